"""Networks as they are: interfaces that come and go, firewalls, servers that go away; nothing of it holds a loop up."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from computers import (
    PORT,
    WIRE,
    WIRE_URL,
    Computer,
    connect,
    wait_for,
    why_not,
)
from robot_loop import RobotLoop

from wildrobot.core.lcm_network import DEFAULT_LCM_URL, Network, Receiver, open_network
from wildrobot.runtime.doctor import check_network
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, robot_health_t, robot_state_t

QUEUE_PORT = 7700

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def robot() -> Iterator[Computer]:
    with Computer(1) as computer:
        yield computer


@pytest.fixture
def desk() -> Iterator[Computer]:
    with Computer(2) as computer:
        yield computer


@pytest.fixture
def loop(robot: Computer) -> Iterator[RobotLoop]:
    """A robot's loop on a computer of its own."""
    with robot.inside(), RobotLoop(DEFAULT_LCM_URL, "alice") as loop:
        yield loop


@pytest.fixture
def network(loop: RobotLoop) -> Iterator[Network]:
    """Another program's network on the robot's computer."""
    network = open_network(loop.network.url)
    yield network
    network.close()


def problem_comes(network: Network, words: str) -> float:
    """Seconds until the network says so."""
    return wait_for(lambda: words in network.problem)


def heals(network: Network) -> float:
    """Seconds until messages pass."""
    return wait_for(lambda: not network.problem)


def passes(network: Network, receiver: Receiver) -> bool:
    """Whether a new message of one reaches the other."""
    while receiver.read() is not None:
        pass
    network.publish("hello", b"x")
    return receiver.wait(0.2) and receiver.read() is not None


def test_an_interface_that_comes_later_goes_down_and_comes_again(robot: Computer, desk: Computer) -> None:
    with contextlib.ExitStack() as stack:
        with robot.inside():
            network = open_network(WIRE_URL)
            stack.callback(network.close)
            here = network.receiver(("hello",))
            assert (
                network.problem == f"messages from this computer do not arrive: there is no interface {WIRE}"
            )
            assert not network.publish("hello", b"lost")
        with desk.inside():
            other = open_network(WIRE_URL)
            stack.callback(other.close)
            there = other.receiver(("hello",))

        def connected() -> None:
            assert heals(network) < 2.0
            assert heals(other) < 2.0
            assert wait_for(lambda: passes(network, there)) < 2.0
            assert wait_for(lambda: passes(other, here)) < 1.0

        connect(robot, desk)
        connected()
        for down, up in (
            ("", ""),
            (f"ip address flush dev {WIRE};", f"ip address add 10.21.0.9/24 dev {WIRE};"),
        ):
            robot.do(f"{down} ip link set {WIRE} down")
            assert problem_comes(network, "is down, or nothing is plugged in") < 1.0
            assert not network.publish("hello", b"lost")
            robot.do(f"{up} ip link set {WIRE} up")
            connected()
        # An adapter that is pulled out comes back under its name, but with another number.
        robot.do(f"ip link del {WIRE}")
        assert problem_comes(network, f"there is no interface {WIRE}") < 1.0
        connect(robot, desk)
        connected()


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
@pytest.mark.parametrize("hook", ["input", "output"])
def test_a_firewall_that_drops_the_port_is_said_within_a_second_and_blocks_nothing(
    robot: Computer, loop: RobotLoop, network: Network, hook: str
) -> None:
    assert heals(loop.network) < 1.0
    robot.do(
        f"nft add table ip t; nft add chain ip t c '{{ type filter hook {hook} priority 0; }}';"
        f"nft add rule ip t c udp dport {PORT} drop"
    )
    assert wait_for(lambda: loop.network.problem) < 1.0
    began = len(loop.polled)
    time.sleep(0.5)
    assert len(loop.polled) - began >= 22, "ticks go on"
    with robot.inside():
        began_s = time.monotonic()
        (finding,) = check_network(DEFAULT_LCM_URL)
        assert time.monotonic() - began_s < 3.0
    assert finding.level == "warning"
    assert "messages from this computer do not arrive" in finding.what
    robot.do("nft delete table ip t")
    assert heals(loop.network) < 1.0
    assert wait_for(lambda: loop.network.publish("hello", b"x")) < 1.0


class Server:
    """A server of tcpq://, as a program of its own: LCM's library holds Python's lock while it waits for one."""

    def __init__(self, robot: Computer) -> None:
        program = Path(__file__).with_name("queue_server.py")
        self.process = robot.start(sys.executable, program, str(QUEUE_PORT), stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        if number != signal.SIGSTOP:
            self.process.communicate()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGSTOP])
@pytest.mark.usefixtures("loop")
def test_a_server_that_goes_away_and_comes_back_holds_nobody_up(robot: Computer, how: int) -> None:
    url = f"tcpq://127.0.0.1:{QUEUE_PORT}"
    server = Server(robot)
    with contextlib.closing(open_network(url)) as one, contextlib.closing(open_network(url)) as other:
        receiver = other.receiver(("hello",))
        assert wait_for(lambda: passes(one, receiver)) < 3.0
        server.end(how)
        with contextlib.closing(open_network(url)) as late:  # while it is away
            assert problem_comes(late, "messages from this computer do not arrive") < 1.5
        gaps, last, ended = [], time.monotonic(), time.monotonic() + 1.5
        while last < ended:
            one.publish("hello", bytes(10_000))
            time.sleep(0.002)
            gaps.append(time.monotonic() - last)
            last += gaps[-1]
        assert max(gaps) < 0.2, "threads of this program wait for the library"
        assert problem_comes(one, "messages from this computer do not arrive") < 0.5
        if how == signal.SIGSTOP:
            server.end(signal.SIGKILL)
        server = Server(robot)
        for network in (one, other):
            assert heals(network) < 4.0
        assert wait_for(lambda: passes(one, receiver)) < 3.0
    server.end()


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
def test_a_run_says_that_nobody_hears_it_and_goes_on_without_end(robot: Computer, tmp_path: Path) -> None:
    log = tmp_path / "run.lcmlog"
    command = [sys.executable, "-m", "wildrobot", "run", "--robot", "sim", "--lcm-command", "--name", "alice"]
    program = robot.start(
        *command, "--log", log, "--duration", 60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said: list[str] = []

    def until(words: str) -> float:
        assert program.stdout is not None
        for line in program.stdout:
            said.append(line)
            if words in line:
                return time.monotonic()
        raise AssertionError(f"it ended without {words}: {said}")

    try:
        until("Ctrl-C stops softly")
        time.sleep(1.0)
        robot.do(
            "nft add table ip t; nft add chain ip t c '{ type filter hook input priority 0; }';"
            f"nft add rule ip t c udp dport {PORT} drop"
        )
        dropped = time.monotonic()
        assert (
            until("warning: messages from this computer do not arrive: what it sends to port 7667 on lo")
            - dropped
            < 1.5
        )
        time.sleep(1.2)
        robot.do("nft delete table ip t")
        until("messages pass again")
        program.send_signal(signal.SIGINT)
        assert program.wait(10.0) == 0, said
    finally:
        program.kill()
        program.communicate()
    messages = [
        CHANNEL_TYPES[event.channel].decode(event.data)
        for event in read_log(log)
        if event.channel in CHANNEL_TYPES
    ]
    health = [message for message in messages if isinstance(message, robot_health_t)]
    assert any("does a firewall drop it?" in message.network_problem for message in health)
    ticks = [message.tick for message in messages if isinstance(message, robot_state_t)]
    assert len(ticks) >= 100
    assert not any("lost" in line or "Traceback" in line for line in said)
