"""A real robot moves only when somebody beside it has said so: a key, or a countdown that can be broken off."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from calibration_helpers import Bench
from dynamixel_helpers import SPEC, Session
from process_helpers import PROGRAM, VirtualServer
from session_helpers import POLICY

from wildrobot.cli import replay
from wildrobot.cli.robot.person import PersonHands
from wildrobot.cli.robot.servo import Read, Write
from wildrobot.cli.robot.servo import run as run_servo
from wildrobot.cli.run import run
from wildrobot.core.consent import somebody_can_type
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.virtual.faults.table import SILENT
from wildrobot.runtime.commands.consent import Countdown, EnterKey
from wildrobot.runtime.commands.source import FixedCommand, OperatorCommand
from wildrobot.runtime.control.session import CommandConfig, SessionConfig, drive, open_source
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S, RunTime
from wildrobot.runtime.telemetry.identity import new_identity

PLAN = "it stands up"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "rb", buffering=0) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield SimpleNamespace(
            press=lambda keys: os.write(leader, keys.encode()), close=lambda: os.close(leader)
        )


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def said(command: OperatorCommand) -> str:
    return " | ".join(note.text for note in command.notes)


def flags(consent: Any, duration_s: float = 60.0) -> FixedCommand:
    return FixedCommand(SPEC, 0.3, 0.0, duration_s, consent)


# ---------------------------------------------------------------------- a key


def test_flags_move_a_real_robot_only_after_enter(terminal: Any) -> None:
    source = flags(EnterKey(PLAN))
    first = source.poll(0, State.LIMP)
    assert (first.stand, first.linear_velocity_x, first.source) == (False, 0.0, "")
    assert "press Enter, and it stands up" in said(first)
    assert not any(source.poll(tick, State.LIMP).stand for tick in range(1, 500))
    terminal.press("\n")
    time.sleep(0.05)
    assert [source.poll(tick, State.LIMP).stand for tick in (500, 501)] == [True, True]


def test_what_was_typed_before_the_question_is_no_answer(terminal: Any) -> None:
    terminal.press("\n\n")
    time.sleep(0.05)
    source = flags(EnterKey(PLAN))
    assert not any(source.poll(tick, State.LIMP).stand for tick in range(20))


def test_a_word_is_no_answer_and_enter_is_asked_for_again(terminal: Any) -> None:
    source = flags(EnterKey(PLAN))
    source.poll(0, State.LIMP)
    terminal.press("no\n")
    time.sleep(0.05)
    command = source.poll(1, State.LIMP)
    assert not command.stand
    assert "Enter alone stands it up" in said(command)


def test_a_terminal_that_goes_away_ends_the_run_limp(terminal: Any) -> None:
    source = flags(EnterKey(PLAN))
    source.poll(0, State.LIMP)
    terminal.close()
    command = source.poll(1, State.LIMP)
    assert (command.stand, command.stop, command.end) == (False, True, True)


# ---------------------------------------------------------------------- a countdown


def test_with_yes_the_robot_is_limp_and_read_while_a_countdown_is_spoken() -> None:
    session = Session([SILENT(servo=4, at_s=1.0, for_s=0.2)], source=flags(Countdown(PLAN, 5.0)))
    session.run(4.9)
    assert session.state is State.LIMP
    assert not any(servo.torque_on for servo in session.virtual.servos)
    told = [event.text for event in session.told.events if event.name == "command"]
    assert [text for text in told if text.startswith("standing up in")] == [
        f"standing up in {left} s" for left in (5, 4, 3, 2, 1)
    ]
    assert "hands off" in told[0]
    assert any(event.name == "bus" for event in session.told.events), "the robot was not looked at meanwhile"
    session.run(0.3)
    assert session.state is State.STANDING_UP


def test_ctrl_c_during_the_countdown_ends_it_limp() -> None:
    session = Session(source=flags(Countdown(PLAN, 5.0)))
    session.run(2.0)
    session.controller.signals.count = 1
    session.run(5.0)
    assert session.controller.ended
    assert session.state is State.LIMP
    assert not any(event.name == "state" for event in session.told.events)


# ---------------------------------------------------------------------- the end


@pytest.mark.parametrize(("duration_s", "left"), [(5.0, "3 s"), (2.0, "2 s")])
def test_the_end_is_announced_beside_a_real_robot(duration_s: float, left: str) -> None:
    source = flags(Countdown(PLAN, 0.0), duration_s)
    commands = [source.poll(tick, State.WALKING) for tick in range(round(duration_s * SPEC.control_hz))]
    (at,) = (tick for tick, command in enumerate(commands) if command.notes)
    assert f"ends in {left}: the robot stops, crouches, and the torque goes off" in said(commands[at])
    assert at == max(0, round((duration_s - 3.0) * SPEC.control_hz) - 1)
    assert commands[-1].stop
    assert not any(command.stop for command in commands[:-1])


def test_the_end_is_not_announced_beside_a_simulated_one() -> None:
    source = FixedCommand(SPEC, 0.3, 0.0, 5.0)
    assert not any(source.poll(tick, State.WALKING).notes for tick in range(300))


@pytest.mark.parametrize(("robot", "announced"), [("dynamixel", 1), ("sim", 0)])
def test_the_end_of_a_person_s_run_is_announced_too(robot: str, announced: int) -> None:
    class Person:
        def poll(self, now_ns: int, state: State) -> OperatorCommand:
            return OperatorCommand(stand=state is State.LIMP and now_ns < 2 * NS_PER_S)

        def close(self) -> None:
            pass

    session = Session(source=Person())
    session.controller.publisher.flush = lambda: None  # type: ignore[attr-defined]
    config = SessionConfig(
        (POLICY,), robot=robot, fast=True, command=CommandConfig("keyboard", duration_s=5.0)
    )
    drive(session.controller, session.clock, config)
    told = [event.text for event in session.told.events if event.name == "command"]
    assert sum("ends in 3 s" in text for text in told) == announced
    assert told[-1] == "asked to stop softly"


# ---------------------------------------------------------------------- refusals


def real(*words: str) -> list[str]:
    return [str(POLICY), "--no-lcm", "--robot", "dynamixel", "--port", "/dev/nothing", *words]


@pytest.mark.usefixtures("no_terminal")
def test_without_a_terminal_and_without_yes_a_real_robot_is_left_alone(tmp_path: Path) -> None:
    identity = new_identity(None, simulated=False)
    with pytest.raises(UserError, match=r"no terminal to ask at.*--yes: it then counts down"):
        run.main(real())
    with pytest.raises(UserError, match="there is no port /dev/nothing"):  # a person says it with a button
        run.main(real("--gamepad"))
    with pytest.raises(UserError, match="no terminal to ask at"):
        replay.main([str(tmp_path / "none"), "--robot", "dynamixel", "--port", "/dev/nothing"])
    with pytest.raises(UserError, match="no terminal to ask at"):
        open_source(SPEC, SessionConfig((POLICY,), robot="dynamixel"), None, identity, RunTime())
    with pytest.raises(UserError, match="no terminal to ask at"):
        PersonHands().agree("Go on?", moves=True)
    source = open_source(SPEC, SessionConfig((POLICY,)), None, identity, RunTime())
    assert source.poll(0, State.LIMP).stand, "a simulated robot is not asked for"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--yes", "--countdown", "0"), "expected 1 s or more"),
        (("--yes", "--countdown", "nan"), "expected 1 s or more"),
        (("--yes", "--countdown", "inf"), "expected 1 s or more"),
        (("--gamepad", "--yes"), "stands up when that person says so"),
        (("--yes",), "there is no port /dev/nothing"),
    ],
)
def test_a_countdown_is_one_that_can_be_followed(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run.main(real(*words))


def test_a_program_in_the_background_of_a_terminal_has_nobody(
    terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert somebody_can_type()
    monkeypatch.setattr(os, "tcgetpgrp", lambda handle: os.getpgrp() + 1)
    assert not somebody_can_type()


# ---------------------------------------------------------------------- other programs


def test_a_program_that_waits_counts_down_before_a_motion_only(capsys: pytest.CaptureFixture[str]) -> None:
    slept: list[float] = []
    person = PersonHands(yes=True, countdown_s=2.5, sleep=slept.append)
    assert person.agree("Write it?")
    assert slept == []
    assert person.agree("Every joint moves. Go on?", moves=True)
    assert slept == [0.5, 1.0, 1.0]
    assert re.findall(r"moving in (\d) s", capsys.readouterr().out) == ["3", "2", "1"]


@pytest.mark.usefixtures("no_terminal")
@pytest.mark.parametrize(("torque", "asks"), [(0, False), (1, True)])
def test_a_goal_is_written_to_a_stiff_servo_only_after_asking(torque: int, asks: bool) -> None:
    bench = Bench()
    bench.bus.write(4, table.TORQUE_ENABLE, torque)
    order = Write(4, "goal_position", 2100)
    if asks:
        with pytest.raises(UserError, match="no terminal to ask at"):
            run_servo(order, bench.transport)
    else:
        assert run_servo(order, bench.transport) == 0
    bench.transport.closed = False
    assert (bench.bus.read(4, table.GOAL_POSITION) == 2100) is not asks
    assert run_servo(Read(4, ("present_position",)), bench.transport) == 0


@pytest.mark.usefixtures("no_terminal")
def test_torque_is_switched_on_only_after_asking() -> None:
    bench = Bench()
    with pytest.raises(UserError, match="no terminal to ask at"):
        run_servo(Write(4, "torque_enable", 1), bench.transport)
    assert not bench.robot.servo(4).torque_on


# ---------------------------------------------------------------------- the program itself


def test_the_program_leaves_the_robot_limp_until_somebody_presses_enter(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    seen = bytearray()
    words = [
        "--robot",
        "dynamixel",
        "--port",
        str(tmp_path / "port"),
        "--no-lcm",
        "--speed",
        "0",
        "--duration",
        "1",
    ]

    def read() -> None:
        try:
            while data := os.read(leader, 4096):
                seen.extend(data)
        except OSError:  # the other end is closed
            pass

    def until(pattern: str) -> None:
        end = time.monotonic() + 60.0
        while not re.search(pattern, seen.decode()):
            assert time.monotonic() < end, seen.decode()
            time.sleep(0.05)

    with VirtualServer(tmp_path / "port", "--suspended"):
        command = [*PROGRAM, "run", str(POLICY), *words]
        process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            until(r"press Enter, and it stands up, stays standing for 1 s, crouches and turns the torque off")
            until(r"\[limp\] nobody commands \(press Enter to stand up\)")
            time.sleep(1.0)
            assert b"commanded by flags" not in seen
            os.write(leader, b"\n")
            until("commanded by flags")
            # on a machine that others keep busy the virtual robot answers late, and is not stood up at all
            until("limp -> standing_up|not standing up: sample_age_s")
        finally:
            process.kill()
            process.wait()
