"""`wildrobot virtual-robot`: a real serial port in real time, its options, its end; the true state on LCM."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
from lcm_helpers import VIRTUAL, check_generated
from virtual_helpers import SPEC

from wildrobot.cli.robot import virtual_robot as cli
from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import alone_with
from wildrobot.firmware_bridge.bus.control_table import BY_NAME
from wildrobot.firmware_bridge.bus.protocol import Instruction, Packet, Parser, encode
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.faults.table import CABLE_OUT
from wildrobot.firmware_bridge.virtual.lcm_types import CHANNEL, virtual_robot_truth_t
from wildrobot.firmware_bridge.virtual.pty_server import PtyServer, ServerFigures
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.truth_publisher import TruthPublisher

PING = encode(1, Instruction.PING)


@contextmanager
def serving(link: Path, *faults: Fault, latency_timer_ms: float = 0.0) -> Iterator[PtyServer]:
    robot = VirtualRobot(SPEC, faults=faults, latency_timer_ms=latency_timer_ms)
    server = PtyServer(robot, link, say=lambda text: None)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(timeout=5.0)


def answer(port: serial.Serial, request: bytes, timeout_s: float = 0.2) -> list[Packet]:
    port.write(request)
    parser, end = Parser(), time.monotonic() + timeout_s
    while time.monotonic() < end:
        select.select([port.fileno()], [], [], max(0.0, end - time.monotonic()))
        if found := parser.feed(port.read(4096)):
            return found
    return []


def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


# ---------------------------------------------------------------------- the port


def test_a_program_that_opens_the_link_gets_answers_at_the_robot_s_rate_only(tmp_path: Path) -> None:
    link = tmp_path / "robot"
    with serving(link), serial.Serial(str(link), 1_000_000, timeout=0) as port:
        assert [packet.device for packet in answer(port, PING)] == [1]
        for baud in (57600, 2_000_000, 1_234_567):
            port.baudrate = baud
            assert answer(port, PING, 0.05) == []
        settings = termios.tcgetattr(port)
        settings[4] = settings[5] = termios.B0  # hung up
        termios.tcsetattr(port, termios.TCSANOW, settings)
        assert answer(port, PING, 0.05) == []
        port.baudrate = 1_000_000
        assert [packet.device for packet in answer(port, PING)] == [1]
    assert not link.is_symlink()


def test_an_answer_takes_its_time_on_the_wire(tmp_path: Path) -> None:
    link, took = tmp_path / "robot", []
    with serving(link), serial.Serial(str(link), 1_000_000, timeout=0) as port:
        read = encode(1, Instruction.READ, bytes((0, 0, 200, 0)))
        for _ in range(20):
            began = time.monotonic()
            assert answer(port, read)
            took.append(time.monotonic() - began)
    assert min(took) >= (14 + 211) * 10e-6
    assert min(took) < 0.004


def test_time_passes_as_it_does_outside(tmp_path: Path) -> None:
    with serving(tmp_path / "robot") as server:
        time.sleep(0.1)
        before, began = server.robot.now_ns, time.monotonic_ns()
        time.sleep(0.5)
        passed, real = server.robot.now_ns - before, time.monotonic_ns() - began
    assert passed + server.figures.skipped_s * 1e9 == pytest.approx(real, abs=20e6)


def test_a_host_that_does_not_read_stops_nothing(tmp_path: Path) -> None:
    link = tmp_path / "robot"
    with serving(link) as server, serial.Serial(str(link), 1_000_000, timeout=0, write_timeout=1) as port:
        read = encode(1, Instruction.READ, bytes((0, 0, 0x80, 2)))

        def ask() -> bool:  # some 64 KiB fit the kernel's buffers
            port.write(read)
            time.sleep(0.009)
            return server.figures.bytes_dropped > 0

        assert eventually(ask)
        port.reset_input_buffer()
        assert answer(port, PING)


def test_a_process_held_up_for_some_ticks_makes_up_for_it(tmp_path: Path) -> None:
    for _ in range(5):  # this machine may hold it up for longer than the test does
        passed, real, figures = held_up_for_60_ms(tmp_path / "robot")
        if not figures.skips:
            break
    assert not figures.skips, figures
    assert passed == pytest.approx(real, abs=20e6)


def held_up_for_60_ms(link: Path) -> tuple[int, int, ServerFigures]:
    """Nanoseconds that passed for the robot, and in truth, over such a hold and 0.3 s after it."""
    with serving(link) as server:
        held, before = threading.Event(), [0, 0]

        def hold(robot: VirtualRobot) -> None:
            if not held.is_set():
                before[:] = robot.now_ns, time.monotonic_ns()
                time.sleep(0.06)
                held.set()

        server.set_tick(hold)
        assert held.wait(5.0)
        time.sleep(0.3)
        return server.robot.now_ns - before[0], time.monotonic_ns() - before[1], server.figures


def test_a_process_held_up_for_long_leaves_time_out_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "robot") as server:
        held = threading.Event()

        def hold(robot: VirtualRobot) -> None:
            if not held.is_set():
                time.sleep(0.2)
                held.set()

        server.set_tick(hold)
        assert held.wait(5.0)
        assert eventually(lambda: server.figures.skips > 0)
        assert 0.15 < server.figures.skipped_s < 0.5


def test_a_pulled_cable_hangs_up_and_the_link_leads_to_the_new_port(tmp_path: Path) -> None:
    link = tmp_path / "robot"
    with serving(link, CABLE_OUT(at_s=0.3, for_s=0.5)) as server:
        port = os.open(link, os.O_RDWR | os.O_NOCTTY)

        def hung_up() -> bool:  # the link goes first, so that nobody opens a port that is about to close
            try:
                os.write(port, PING)
            except OSError as error:
                return error.errno == errno.EIO
            return False

        assert eventually(hung_up)
        os.close(port)
        assert server.path == "" or server.robot.connected
        assert eventually(link.is_symlink)
        with serial.Serial(str(link), 1_000_000, timeout=0) as again:
            assert answer(again, PING)


def test_a_file_where_the_link_should_be_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(UserError, match="no symbolic link"):
        PtyServer(VirtualRobot(SPEC), path)
    assert path.read_text() == "data"


# ---------------------------------------------------------------------- the command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_port_serves_and_ends_cleanly(tmp_path: Path, number: int) -> None:
    link = tmp_path / "robot"
    command = [sys.executable, "-m", "wildrobot", "virtual-robot", "--link", str(link)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert f"virtual wildrobot at {link}, 1000000 baud" in process.stdout.readline()
        with serial.Serial(str(link), 1_000_000, timeout=0) as port:
            assert answer(port, PING, 2.0)
        process.send_signal(number)
        out, error = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, error) == (0, "")
    assert "1 instructions, 10 bytes in, 14 out" in out
    assert not link.is_symlink()


def test_a_second_robot_does_not_take_the_place_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "robot"
    with alone_with(link):
        assert run_main(cli.main, ["--link", str(link), "--duration", "0.1"]) == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err
    assert not link.is_symlink()
    assert run_main(cli.main, ["--link", str(link), "--duration", "0.1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "1s silnt servo=3"], "did you mean 'silent'"),
        (["--faults", "/nowhere/faults.yaml"], "cannot read /nowhere/faults.yaml"),
        (["--hide-offset-rad", "elbow=0.1"], "there is no joint 'elbow'"),
        (["--hide-offset-rad", "waist_yaw"], "expected JOINT=VALUE"),
        (["--hide-baud", "waist_yaw=1234"], "baud 1234 of waist_yaw"),
        (["--latency-timer-ms", "-1"], "expected 0 or more"),
        (["--velocity-window-ms", "0"], "expected 1 or more"),
        (["--duration", "0"], "expected seconds above 0"),
        (["--suspended", "--start", "lying"], "needs the floor"),
        (["--link", "/nowhere/robot", "--duration", "0.1"], "cannot make the link"),
    ],
)
def test_what_cannot_work_is_said_with_exit_code_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(cli.main, arguments) == 2
    assert message in capsys.readouterr().err


def test_all_options_reach_the_robot() -> None:
    options = cli.VirtualRobotOptions(
        hide_offset_rad=("waist_yaw=0.1", "left_hip_roll=-0.05"),
        hide_flipped=("left_knee_pitch",),
        hide_id=("waist_yaw=11",),
        hide_baud=("waist_yaw=57600",),
        hide_firmware=("waist_yaw=38",),
        hide_imu_tilt_deg=(180.0, 0.0, 0.0),
        hide_register=("waist_yaw.goal_pwm=0", "waist_yaw.secondary_id=3", "left_hip_roll.goal_pwm=150"),
        crc_status=True,
        whole_items=True,
    )
    hidden = cli.hidden_errors(SPEC, options)
    assert hidden.offset_rad == {"waist_yaw": 0.1, "left_hip_roll": -0.05}
    assert hidden.flipped == ("left_knee_pitch",)
    assert (hidden.ids, hidden.bauds, hidden.firmware) == (
        {"waist_yaw": 11},
        {"waist_yaw": 57600},
        {"waist_yaw": 38},
    )
    assert hidden.imu_tilt_rad == pytest.approx((3.14159265, 0.0, 0.0))
    assert hidden.registers == {
        "waist_yaw": {"goal_pwm": 0, "secondary_id": 3},
        "left_hip_roll": {"goal_pwm": 150},
    }
    assert (hidden.crc_status, hidden.strict_addresses, hidden.whole_items) == (True, False, True)
    robot = VirtualRobot(SPEC, hidden=hidden)
    servo = robot.servo("waist_yaw")
    assert [servo.get(BY_NAME[name]) for name in ("goal_pwm", "secondary_id")] == [0, 3]
    assert servo.options.whole_items


# ---------------------------------------------------------------------- the true state


def test_generated_type_is_that_of_the_source(tmp_path: Path) -> None:
    check_generated(VIRTUAL, tmp_path)


def test_the_true_state_is_published_fifty_times_a_second() -> None:
    robot, got = VirtualRobot(SPEC), []
    publisher = TruthPublisher("memq://")
    receiver = publisher.network.receiver((CHANNEL,))
    for k in range(1, 201):
        robot.advance(k * 1_000_000)
        publisher(robot)
    while receiver.wait(0.5) and (message := receiver.read()) is not None:
        got.append(virtual_robot_truth_t.decode(message.data))
    assert len(got) == 10 + 1
    truth = robot.truth()
    assert got[-1].time_ns == truth.time_ns
    assert list(got[-1].pelvis_position) == truth.pelvis_position.tolist()
    assert list(got[-1].joint_position) == truth.joint_position.tolist()
    assert got[-1].timestamp_us > 1_600_000_000_000_000


def test_without_lcm_the_way_to_it_is_named() -> None:
    with pytest.raises(UserError, match="use a URL that LCM knows"):
        TruthPublisher("nonsense://")
