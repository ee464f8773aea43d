"""What a service manager hears: a real socket in its place, the runtime in simulation, in real time and hung up."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runtime_helpers import run_small_policy, write_small_onnx

from wildrobot.cli.run import run
from wildrobot.core.errors import UserError
from wildrobot.runtime import service
from wildrobot.runtime.control import session
from wildrobot.runtime.robots.sim import SimRobot

WATCHDOG_S = 0.4


class Supervisor:
    """The service manager's end of the socket; it listens all the time, since the kernel queues ten messages only."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._news = threading.Condition()
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._address = address

    def _listen(self) -> None:
        while text := self._socket.recv(4096).decode():
            with self._news:
                self.heard.append(text)
                self._news.notify_all()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", self._address)
        self._thread.join()
        self._socket.close()

    def values(self, name: str) -> list[str]:
        """Values of a variable so far."""
        lines = [line for text in self.heard for line in text.split("\n")]
        return [line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}=")]

    def wait_for(self, name: str, count: int = 1) -> None:
        """Until the variable has come so many times."""
        with self._news:
            came = self._news.wait_for(lambda: len(self.values(name)) >= count, timeout=20.0)
        assert came, f"{name} came {len(self.values(name))} times in 20 s, not {count}: {self.heard}"

    @property
    def pings(self) -> int:
        return len(self.values("WATCHDOG"))


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """In place of systemd, for what this process runs."""
    found = Supervisor(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(round(1e6 * WATCHDOG_S)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    yield found
    found.close()


class Loop:
    """A controller to watch: the test moves its counter."""

    def __init__(self) -> None:
        self.timer = SimpleNamespace(ticks=0, missed=0)
        self.state = SimpleNamespace(value="walking")
        self.outcome = SimpleNamespace(fell=False, fault=None)
        self.watch = SimpleNamespace(source="")
        self.publisher = SimpleNamespace(problem="")


# ---------------------------------------------------------------------- the whole runtime


def test_a_run_says_ready_after_its_first_tick_then_its_state_and_that_it_stops(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks_at_ready = []
    send = service.ServiceNotifier._send

    def noting(self: Any, text: str) -> bool:
        if text == "READY=1":
            ticks_at_ready.append(self._controller.timer.ticks)
        return send(self, text)

    monkeypatch.setattr(service.ServiceNotifier, "_send", noting)
    assert run_small_policy(monkeypatch, tmp_path, "--speed", "0", "--duration", "0.1", fast=False) == 0
    supervisor.wait_for("STOPPING")
    assert supervisor.heard[0] == "READY=1"
    assert ticks_at_ready[0] >= 1
    assert len(supervisor.values("READY")) == len(supervisor.values("STOPPING")) == 1
    assert supervisor.heard[-1].startswith("STOPPING=1\nSTATUS=limp, commanded by flags; ")
    assert {"soft_stop, commanded by flags"} <= {
        text.split(";")[0] for text in supervisor.values("STATUS")
    }, "it takes 2.5 s"
    assert supervisor.pings >= 3


def test_a_policy_that_is_refused_is_never_ready(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(spec: Any, options: Any) -> Any:
        raise UserError("the policy's golden answers do not reproduce.")

    file = tmp_path / "policy.onnx"
    file.write_bytes(b"no policy")
    monkeypatch.setattr(session, "load_skills", refuse)
    with pytest.raises(UserError, match="golden"):
        run.main([str(file), "--robot", "sim", "--no-lcm"])
    assert supervisor.heard == []


def test_pings_end_when_the_robot_s_read_hangs_and_go_on_when_it_returns(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, hung, free, read = threading.Event(), threading.Event(), threading.Event(), SimRobot.read
    counts: list[int] = []

    def hanging_read(self: SimRobot) -> Any:
        if hang.is_set():
            hung.set()
            free.wait(20.0)
        return read(self)

    def direct() -> None:
        try:
            supervisor.wait_for("READY")
            supervisor.wait_for("WATCHDOG")
            hang.set()
            assert hung.wait(10.0)
            time.sleep(2.0 * WATCHDOG_S)  # for the ping of the ticks before
            counts.append(supervisor.pings)
            time.sleep(2.0 * WATCHDOG_S)
            counts.append(supervisor.pings)
            hang.clear()
            free.set()
            supervisor.wait_for("WATCHDOG", counts[-1] + 1)
        finally:
            hang.clear()
            free.set()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SimRobot, "read", hanging_read)
    director = threading.Thread(target=direct)
    director.start()
    run_small_policy(monkeypatch, tmp_path, "--speed", "0", "--duration", "60", fast=False)
    director.join()
    supervisor.wait_for("STOPPING")
    before, at_the_end = counts
    assert before == at_the_end, "two watchdog timeouts without a ping"


def test_the_whole_program_as_a_service_and_what_a_hang_leaves_in_the_journal(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    policy = write_small_onnx(tmp_path / "policy.onnx")
    environment = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
    flags = ["--no-lcm", "--speed", "0", "--duration", "60"]
    program = subprocess.Popen(
        [sys.executable, "-m", "wildrobot", "run", str(policy), *flags],
        env=environment | {"PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        supervisor.wait_for("READY")
        supervisor.wait_for("WATCHDOG")
        program.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        stopped = supervisor.pings
        time.sleep(2.0 * WATCHDOG_S)
        assert supervisor.pings == stopped
        program.send_signal(signal.SIGABRT)  # what systemd sends when the watchdog's time is up, and then
        program.send_signal(signal.SIGCONT)
        _, said = program.communicate(timeout=20.0)
    finally:
        program.kill()
    assert program.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said
    assert "in drive" in said


# ---------------------------------------------------------------------- the notifier alone


def test_ready_waits_for_the_first_tick_and_a_ping_for_another(supervisor: Supervisor) -> None:
    loop = Loop()
    with service.supervised(loop):  # type: ignore[arg-type]
        time.sleep(0.1)
        assert supervisor.heard == []
        loop.timer.ticks = 1
        supervisor.wait_for("READY")
        supervisor.wait_for("WATCHDOG")
        time.sleep(2.0 * WATCHDOG_S)
        assert supervisor.pings == 1
        loop.timer.ticks = 2
        supervisor.wait_for("WATCHDOG", 2)


def test_while_the_loop_ticks_pings_go_on_and_the_state_comes_once_a_second(supervisor: Supervisor) -> None:
    class Ticking:
        missed = 0
        ticks = property(lambda self: next(counter))

    loop, counter, began = Loop(), itertools.count(1), time.monotonic()
    loop.timer = Ticking()  # type: ignore[assignment]
    with service.supervised(loop):  # type: ignore[arg-type]
        supervisor.wait_for("WATCHDOG", 15)
    lasted_s = time.monotonic() - began
    supervisor.wait_for("STOPPING")
    assert 2 <= len(supervisor.values("STATUS")) - 1 <= 1 + lasted_s / service.STATUS_EVERY_S


def test_the_last_status_says_what_became_of_the_run(supervisor: Supervisor) -> None:
    loop = Loop()
    with service.supervised(loop):  # type: ignore[arg-type]
        loop.timer.ticks, loop.timer.missed = 50, 3
        loop.state.value, loop.outcome.fell, loop.outcome.fault = "estop", True, "current_a"
        loop.publisher.problem = "messages from this computer do not arrive: there is no interface wlan0"
    supervisor.wait_for("STOPPING")
    assert supervisor.values("STATUS")[-1] == (
        "estop, fell, stopped by current_a; 50 ticks, 3 missed; "
        "messages from this computer do not arrive: there is no interface wlan0"
    )


def test_an_abstract_socket_is_understood() -> None:
    name = f"wildrobot-test-{os.getpid()}"
    heard, loop = Supervisor(f"\0{name}"), Loop()
    with service.supervised(loop, {"NOTIFY_SOCKET": f"@{name}"}):  # type: ignore[arg-type]
        loop.timer.ticks = 1
        heard.wait_for("READY")
    heard.wait_for("STOPPING")
    heard.close()


def test_a_service_manager_that_does_not_read_or_is_gone_stops_nothing(tmp_path: Path) -> None:
    loop, address = Loop(), str(tmp_path / "notify")
    loop.timer.ticks = 1
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    silent.bind(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sender.sendto(b"X=1", address):
                pass
    began = time.monotonic()
    with service.supervised(loop, {"NOTIFY_SOCKET": address}):  # type: ignore[arg-type]
        time.sleep(0.1)
        silent.close()
        time.sleep(0.1)
    assert time.monotonic() - began < 5.0


def test_without_a_service_manager_nothing_is_made() -> None:
    threads = threading.active_count()
    with service.supervised(Loop(), {}):  # type: ignore[arg-type]
        assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"NOTIFY_SOCKET": "notify"}, "NOTIFY_SOCKET is 'notify', expected a path or @name"),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, "WATCHDOG_USEC is '0', expected"),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "2s"}, "WATCHDOG_USEC is '2s', expected"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint), service.supervised(Loop(), environment):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 0.5),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, 1.0),
        ({"WATCHDOG_USEC": "60000000"}, 1.0),
        ({}, 1.0),
    ],
)
def test_the_watchdog_s_timeout_sets_the_pace(environment: dict[str, str], period_s: float) -> None:
    assert service.ping_period_s(environment) == period_s
