"""A real port (a pty here): one user, waits that sleep in the kernel, a hang-up that is told, opening again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import serial_transport
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port, latency_timer_ms
from wildrobot.firmware_bridge.bus.transport import PortLost

BAUD = 1_000_000


class Cable:
    """A pty pair; `path` is a link to the host's end, as udev makes one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "robot"
        self.robot = -1
        self.plug()

    def plug(self) -> None:
        self.robot, host = os.openpty()
        tty.setraw(self.robot)
        tty.setraw(host)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(host))
        os.close(host)

    def pull(self) -> None:
        if self.robot >= 0:
            os.close(self.robot)
        self.path.unlink(missing_ok=True)
        self.robot = -1


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    made = Cable(tmp_path)
    yield made
    made.pull()


@pytest.fixture
def port(cable: Cable) -> Iterator[SerialTransport]:
    opened = SerialTransport(str(cable.path), BAUD)
    yield opened
    opened.close()


def read_all(port: SerialTransport, count: int) -> bytes:
    data = b""
    while len(data) < count:
        got = port.read(1.0)
        assert got, f"{len(data)} of {count} bytes"
        data += got
    return data


# ---------------------------------------------------------------------- bytes and waits


def test_every_byte_passes_both_ways(cable: Cable, port: SerialTransport) -> None:
    everything = bytes(range(256))
    port.write(everything)
    assert os.read(cable.robot, 4096) == everything
    os.write(cable.robot, everything)
    assert read_all(port, 256) == everything


def test_more_than_the_line_takes_at_once_is_written_whole(cable: Cable, port: SerialTransport) -> None:
    heard = bytearray()

    def listen() -> None:
        time.sleep(0.1)  # the line's buffer is full by now
        while len(heard) < 50_000:
            heard.extend(os.read(cable.robot, 4096))

    listener = threading.Thread(target=listen, daemon=True)
    data = os.urandom(50_000)
    listener.start()
    port.write(data)
    listener.join(5.0)
    assert bytes(heard) == data


def test_a_wait_sleeps_in_the_kernel_and_ends_when_it_should(port: SerialTransport) -> None:
    start, cpu = time.monotonic(), time.process_time()
    assert port.read(1.0) == b""
    assert time.process_time() - cpu < 0.02
    assert 1.0 <= time.monotonic() - start < 1.2


def test_a_wait_of_less_than_a_millisecond_is_one(port: SerialTransport) -> None:
    start = time.monotonic()
    for _ in range(50):
        assert port.read(0.0005) == b""
    assert 0.025 <= time.monotonic() - start < 0.25
    start = time.monotonic()
    for _ in range(50):
        assert port.read(-1.0) == b""
    assert time.monotonic() - start < 0.05


def test_a_wait_ends_with_the_first_byte(cable: Cable, port: SerialTransport) -> None:
    sender = threading.Timer(0.05, os.write, (cable.robot, b"x"))
    sender.start()
    start = time.monotonic()
    assert port.read(5.0) == b"x"
    assert time.monotonic() - start < 1.0
    sender.join()


def test_what_has_arrived_is_thrown_away_on_request_and_counted(cable: Cable, port: SerialTransport) -> None:
    os.write(cable.robot, b"late answer")
    port.sleep(0.01)
    assert port.discard_input() == 11
    assert port.discard_input() == 0
    assert port.read(0.0) == b""


def test_what_came_before_it_was_opened_is_not_read(cable: Cable) -> None:
    keep = os.open(cable.path, os.O_RDWR | os.O_NOCTTY)
    os.write(cable.robot, b"from the last run")
    port = SerialTransport(str(cable.path), BAUD)
    assert port.read(0.02) == b""
    port.close()
    os.close(keep)


def test_the_clock_is_the_monotonic_one(port: SerialTransport) -> None:
    before = time.monotonic_ns()
    middle = port.now_ns()
    port.sleep(0.01)
    assert before <= middle <= port.now_ns() - 10_000_000 <= time.monotonic_ns() - 10_000_000


# ---------------------------------------------------------------------- one user


def test_a_port_that_is_not_there_is_refused_and_those_that_are_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no port .*nowhere.*Serial ports of this computer: .*--port"):
        SerialTransport(str(tmp_path / "nowhere"), BAUD)
    with pytest.raises(UserError, match=r"no --port was given\. Serial ports of this computer: "):
        choose_port(None)
    assert choose_port("/dev/x") == "/dev/x"


def test_what_is_no_serial_port_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot open"):
        SerialTransport(str(file), BAUD)


def test_a_port_without_permission_is_refused_with_the_remedy(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match=r"no permission to use .*usermod -aG dialout"):
        SerialTransport(str(cable.path), BAUD)


OPEN_AND_WAIT = """
import sys
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport
port = SerialTransport(sys.argv[1], 1000000)
print("open", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def other_program(path: Path) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [sys.executable, "-c", OPEN_AND_WAIT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "open\n"
        yield program
    finally:
        program.kill()
        program.wait(5.0)


def test_a_second_user_is_refused_and_told_who_has_it(cable: Cable) -> None:
    with other_program(cable.path) as program:
        with pytest.raises(UserError) as caught:
            SerialTransport(str(cable.path), BAUD)
        assert f"(pid {program.pid}) uses it. Only one program may drive the bus." in str(caught.value)
    SerialTransport(str(cable.path), BAUD).close()


def test_a_second_opening_by_the_same_program_is_refused(cable: Cable, port: SerialTransport) -> None:
    with pytest.raises(UserError, match="Only one program may drive the bus"):
        SerialTransport(str(cable.path), BAUD)
    port.write(b"still mine")
    assert os.read(cable.robot, 4096) == b"still mine"


def test_a_closed_port_is_free_and_closing_twice_is_nothing(cable: Cable) -> None:
    for _ in range(3):
        port = SerialTransport(str(cable.path), BAUD)
        port.close()
        port.close()


# ---------------------------------------------------------------------- the cable


def test_a_pulled_cable_is_a_lost_port_to_every_call(cable: Cable, port: SerialTransport) -> None:
    cable.pull()
    for call in (
        lambda: port.read(0.1),
        lambda: port.write(b"x"),
        port.discard_input,
        lambda: port.read(0.0),
    ):
        with pytest.raises(PortLost):
            call()


def test_a_cable_pulled_during_a_wait_ends_it(cable: Cable, port: SerialTransport) -> None:
    puller = threading.Timer(0.05, cable.pull)
    puller.start()
    start = time.monotonic()
    with pytest.raises(PortLost):
        port.read(5.0)
    assert time.monotonic() - start < 1.0
    puller.join()


def test_a_lost_port_opens_again_when_it_is_back_and_not_before(cable: Cable, port: SerialTransport) -> None:
    cable.pull()
    with pytest.raises(PortLost):
        port.read(0.01)
    assert not port.reopen()
    with pytest.raises(PortLost):
        port.write(b"x")
    with pytest.raises(PortLost):
        port.read(0.0)
    with pytest.raises(PortLost):
        port.discard_input()
    cable.plug()
    assert port.reopen()
    port.write(b"again")
    assert os.read(cable.robot, 4096) == b"again"
    os.write(cable.robot, b"yes")
    assert read_all(port, 3) == b"yes"


def test_a_port_that_somebody_took_meanwhile_does_not_open_again(cable: Cable, port: SerialTransport) -> None:
    cable.pull()
    cable.plug()
    with other_program(cable.path):
        assert not port.reopen()
    assert port.reopen()


def test_while_it_is_closed_nothing_is_written_to_whatever_took_its_place(
    cable: Cable, port: SerialTransport, tmp_path: Path
) -> None:
    port.close()
    other = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)  # gets the number that the port had
    with pytest.raises(PortLost):
        port.write(b"x")
    with pytest.raises(PortLost):
        port.read(0.0)
    assert os.fstat(other).st_size == 0
    os.close(other)


# ---------------------------------------------------------------------- the adapter


def test_the_latency_timer_is_read_where_there_is_one(
    cable: Cable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert latency_timer_ms(str(cable.path)) is None
    name = Path(os.path.realpath(cable.path)).name
    timer = tmp_path / "devices" / name / "latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("16\n")

    class Redirected(type(tmp_path)):  # type: ignore[misc]
        def __new__(cls, path: str) -> Path:  # type: ignore[misc]
            return Path(str(path).replace("/sys/bus/usb-serial/devices", str(tmp_path / "devices")))

    monkeypatch.setattr(serial_transport, "Path", Redirected)
    assert latency_timer_ms(str(cable.path)) == 16
