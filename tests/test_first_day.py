"""docs/first_day.md, followed command by command on a virtual robot with hidden errors, in this process and in
simulated time. `make first-day` follows it with the programs themselves, in real time, over a pty."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tyro
from calibration_helpers import SPEC
from first_day_page import ACTIONS, PageCommand, line_to_type, page_commands, rows

from wildrobot.cli import main as cli
from wildrobot.cli.robot import calibrate, doctor, servo
from wildrobot.cli.robot.person import PersonHands
from wildrobot.cli.robot.virtual_robot import VirtualRobotOptions, hidden_errors
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.calibration.hands import Request
from wildrobot.firmware_bridge.calibration.measures import as_calibration
from wildrobot.firmware_bridge.calibration.progress import open_progress, progress_path
from wildrobot.firmware_bridge.virtual.hands import RobotHands
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import load_robot
from wildrobot.runtime.commands.consent import EnterKey
from wildrobot.runtime.commands.source import Leave
from wildrobot.runtime.control import session
from wildrobot.runtime.control.controller import Controller
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import DeadlineClock
from wildrobot.runtime.robots import choice

STANDS_S = 0.5
RECOVERS_NS = 4_000_000_000
ELSEWHERE = {
    r"^wildrobot virtual-robot ": "it is in this process",
    r"--bench$": "takes 20 s of real time; tests/test_bench.py",
    r"tests/hil": "the suite runs them in simulated time",
    r"gamepad": "needs a gamepad; tests/test_gamepad.py",
}
"""Commands of the page that are not followed here, and why."""


class Day:
    """The robot of the page, the person who reads it, and the machine's clock, which is the robot's."""

    def __init__(self, options: VirtualRobotOptions) -> None:
        self.hidden = hidden_errors(SPEC, options)
        self.to_do: PageCommand | None = None
        self.start(self.hidden, suspended=options.suspended)

    def start(self, hidden: Hidden, suspended: bool) -> None:
        """`wildrobot virtual-robot`."""
        self.robot = VirtualRobot(SPEC, hidden=hidden, suspended=suspended)
        self.hands = RobotHands(self.robot)

    def transport(self, port: str, baud: int) -> VirtualTransport:
        return VirtualTransport(self.robot, baud)

    def clock(self, period_ns: int) -> DeadlineClock:
        wait = VirtualTransport(self.robot)
        return DeadlineClock(period_ns, now_ns=wait.now_ns, sleep=wait.sleep)

    def tick(self, tick: int, controller: Controller) -> None:
        """What is to be done while it stands."""
        self.hands.update()
        action = self.to_do.while_it_stands if self.to_do is not None else ""
        if not action or controller.state is not State.STANDING or controller.machine.seconds < STANDS_S:
            return
        self.to_do = None
        if action in ACTIONS:
            self.hands.command(ACTIONS[action])
        else:
            assert action in ("Ctrl-C", "Ctrl-C twice")
            for _ in range(1 + action.endswith("twice")):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Day]:
    first = next(page_commands())
    words = shlex.split(first.text)
    assert words[:2] == ["wildrobot", "virtual-robot"]
    day = Day(tyro.cli(VirtualRobotOptions, args=words[2:]))
    leader, follower = pty.openpty()

    class Reader(PersonHands):
        """Reads what is asked, and does what the page says."""

        def perform(self, request: Request, each: Callable[[], None]) -> bool:
            line = line_to_type(request.text)
            assert line is not None, f"the page does not say what to do: {request.text}"
            day.hands.command(line)
            while day.hands.busy:
                each()
                day.hands.update()
            return True

        @staticmethod
        def _line() -> str:
            return "y\n"

    class Pressed(EnterKey):
        """Somebody presses Enter once it was asked for."""

        def poll(self, now_ns: int) -> Leave:
            asked, leave = self._asked, super().poll(now_ns)
            if not asked:
                os.write(leader, b"\n")
            return leave

    for module in (servo, calibrate, doctor, choice):
        monkeypatch.setattr(module, "SerialTransport", day.transport)
    for module in (servo, calibrate, doctor):
        monkeypatch.setattr(module, "PersonHands", Reader)
    monkeypatch.setattr(session, "DeadlineClock", day.clock)
    monkeypatch.setattr(session, "EnterKey", Pressed)
    monkeypatch.setattr(session, "Telemetry", lossless(session.Telemetry))
    monkeypatch.setattr(session, "realtime", lambda cpu: contextlib.nullcontext([]))
    monkeypatch.setattr(session, "drive", watched(session.drive, day.tick))
    monkeypatch.setenv("PORT", os.ttyname(follower))
    monkeypatch.setenv("LCM_DEFAULT_URL", f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0")
    monkeypatch.chdir(tmp_path)
    with os.fdopen(follower, "rb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield day
    os.close(leader)


def lossless(telemetry: Any) -> Any:
    """Simulated time does not wait for the thread that writes the log."""
    return lambda *parts, **more: telemetry(*parts, **more | {"lossless": True})


def watched(drive: Any, look: Callable[[int, Controller], None]) -> Any:
    def both(controller: Any, clock: Any, config: Any, after_tick: Any, note: Any) -> Any:
        def after(tick: int, controller: Controller) -> None:
            after_tick(tick, controller)
            look(tick, controller)

        return drive(controller, clock, config, after, note)

    return both


def run(words: list[str]) -> int:
    """A command of the page; its exit code."""
    load_robot.cache_clear()  # each command is a process of its own
    argv = ["run", *words[1:]] if words[0] == "wildrobot-run" else words[1:]
    try:
        return cli.main(argv)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


@pytest.mark.slow
def test_the_first_day_can_be_followed_command_by_command(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    followed = 0
    for command in page_commands():
        if any(re.search(pattern, command.text) for pattern in ELSEWHERE) or command.text.startswith("PORT="):
            continue
        if command.before.startswith("set it down"):
            day.start(replace(day.hidden, new=()), suspended=False)
        elif command.before:
            line = line_to_type(command.before)
            assert line is not None, command.before
            day.hands.command(line)
        if command.while_it_stands == "kill -9 it":
            leave_stiff(day)
            continue
        if "--only offsets" in command.text:
            remember_zeros(day)
        day.to_do = command
        code = run(shlex.split(os.path.expandvars(command.text.replace("--duration 10", "--duration 3"))))
        said = capsys.readouterr()
        assert code == command.code, f"{command.section}: {command.text}\n{said.out}{said.err}"
        if command.while_it_stands:  # the cable is put back, the switch switched on
            day.robot.advance(day.robot.now_ns + RECOVERS_NS)
        assert not command.while_it_stands or day.to_do is None, f"never stood: {command.text}\n{said.err}"
        if code == 1 and " doctor " in command.text:
            errors = [line for line in said.out.splitlines() if line.startswith("error")]
            assert all("_position_limit is" in line for line in errors), said.out
        followed += 1
    assert followed > 25
    assert not progress_path(Path("my_robot.yaml")).exists(), "it went on with what was measured"
    found = load_robot(None, "my_robot.yaml")
    true = day.hidden
    for i, joint in enumerate(found.config.joints):
        assert joint.offset_rad - SPEC.joint_offset[i] == pytest.approx(
            true.offset_rad.get(joint.name, 0.0), abs=0.003
        )
        flipped = -1 if joint.name in true.flipped else 1
        assert joint.direction == flipped * SPEC.config.joints[i].direction


def remember_zeros(day: Day) -> None:
    """An earlier run of the same command had its cable pulled when it had measured these joints: two are left."""
    found = load_robot(None, "my_robot.yaml")
    steps = ("offsets", "imu", "feet")
    progress = open_progress(Path("my_robot.yaml"), found, as_calibration(found), steps, restart=False)
    progress.offset_rad = {
        name: float(SPEC.joint_offset[i])
        for i, name in enumerate(SPEC.joint_names)
        if name not in day.hidden.offset_rad
    }
    assert len(progress.offset_rad) == SPEC.num_joints - 2
    progress.keep()


def leave_stiff(day: Day) -> None:
    """What a killed program leaves: servos that hold where they are, their watchdogs tripped."""
    bus = servo.Bus(VirtualTransport(day.robot))
    for device in SPEC.servo_ids:
        bus.write(device, table.TORQUE_ENABLE, 1)
        bus.write(device, table.BUS_WATCHDOG, 4)
    bus.transport.sleep(0.5)
    assert all(one.torque_on and one.get(table.BUS_WATCHDOG) == -1 for one in day.robot.servos)


def test_the_page_s_table_says_what_is_typed() -> None:
    said = {
        "connect the servo of left_knee_pitch": "plug left_knee_pitch",
        "... this joint alone (left_hip_pitch -0.35 rad)": "move left_hip_pitch -0.35",
        "NOSE DOWN ... (+0.35 rad)": "tilt pitch 0.35",
        "LEFT TOE: press this pad": "press left_toe",
        "Press the left toe pad": "press left_toe",
        "POSE: legs straight ... hold it": "pose zero",
        "Let go.": "free",
        "Tilt the whole robot nose up": "tilt pitch -0.35",
        "Tilt the whole robot to its left side": "tilt roll -0.35",
    }
    table = " ".join(f"{said} {line}" for said, line in rows().items())
    for words, line in said.items():
        assert line_to_type(words) == line
        assert f"`{line}`" in table
    for words, line in ACTIONS.items():
        assert rows()[words] == f"`{line}`"


def test_what_is_not_followed_is_on_the_page() -> None:
    texts = [command.text for command in page_commands()]
    for pattern in ELSEWHERE:
        assert any(re.search(pattern, text) for text in texts), pattern
    joints = [words[3] for words in map(str.split, texts) if words[1:3] == ["servo", "adopt"]]
    assert joints == list(SPEC.joint_names)
