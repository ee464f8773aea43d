"""Who commands, told on screen and in messages: events, counts, the line at the foot of the terminal."""

from __future__ import annotations

import io
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, run_small_policy, write_small_onnx
from test_run import messages

from wildrobot.core.lcm_network import open_network
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.commands.source import CommandWatch, FixedCommand, Note, OperatorCommand, StopSignals
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.telemetry import telemetry
from wildrobot.runtime.telemetry.identity import channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_command_t
from wildrobot.runtime.telemetry.neighbours import find_robots
from wildrobot.runtime.telemetry.status_line import StatusLine


class Told:
    """Collects events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def event(self, name: str, text: str, severity: int = 0) -> None:
        assert name == "command"
        self.events.append((text, severity))


def watched(*commands: OperatorCommand) -> tuple[CommandWatch, list[tuple[str, int]]]:
    watch, told, state = CommandWatch(), Told(), State.WALKING
    for command in commands:
        watch.take(command, state, told)
        state = State.ESTOP if command.estop else State.SOFT_STOP if command.stop else state
    return watch, told.events


# ---------------------------------------------------------------------- events


def test_who_commands_is_told_once_and_so_is_why_nobody_does() -> None:
    held, lost = OperatorCommand(0.3, source="gamepad", age_s=0.0), OperatorCommand(lost="deadman not held")
    watch, events = watched(lost, held, held, lost, lost, held)
    assert events == [
        ("commanded by gamepad", 0),
        ("command of gamepad lost (deadman not held): standing still", 0),
        ("commanded by gamepad", 0),
    ]
    assert watch.lost == 1
    assert watch.source == "gamepad"


def test_another_source_notes_and_stops_are_told() -> None:
    watch, events = watched(
        OperatorCommand(source="lcm:a", refused={"old": 2}, notes=(Note("b is refused", warning=True),)),
        OperatorCommand(source="lcm:b", refused={"old": 1, "repeated": 4}, stop=True),
        OperatorCommand(source="lcm:b"),
        OperatorCommand(source="lcm:b", stop=True),  # it stops already
        OperatorCommand(source="lcm:b", stop=True, estop=True),
    )
    assert [text for text, _ in events] == [
        "b is refused",
        "commanded by lcm:a",
        "commanded by lcm:b",
        "asked to stop softly",
        "asked for torque off at once",
    ]
    assert events[0][1] == 1
    assert watch.summary() == {"lost": 0, "refused": {"old": 3, "repeated": 4}}


def test_the_line_says_who_what_and_how_long_ago() -> None:
    watch, _ = watched(OperatorCommand(source="gamepad", age_s=0.26))
    line = watch.line("walking", np.array([0.3, -0.1]))
    assert line == "[walking] commanded by gamepad · +0.30 m/s -0.10 rad/s · last word 0.3 s ago"
    watch, _ = watched(OperatorCommand(lost="no gamepad"))
    assert watch.line("limp", (0.0, 0.0)) == "[limp] nobody commands (no gamepad) · +0.00 m/s +0.00 rad/s"


def test_flags_and_signals_say_who_they_are() -> None:
    source, signals = FixedCommand(SPEC, 0.3, 0.0, 0.02), StopSignals()
    command = source.poll(0, State.WALKING)
    assert (command.source, command.age_s, command.stop, command.linear_velocity_x) == (
        "flags",
        0.0,
        True,
        0.0,
    )
    signals.stop("--duration")
    signals.stop("somebody else")
    stopped = signals.applied_to(
        OperatorCommand(0.3, stand=True, policy=2, source="gamepad", estop=True, age_s=5.0)
    )
    assert (stopped.source, stopped.stop, stopped.end, signals.count) == ("--duration", True, True, 1)
    assert (stopped.linear_velocity_x, stopped.stand, stopped.policy) == (0.0, False, 0)
    assert stopped.estop  # the button still works while the robot stops softly


# ---------------------------------------------------------------------- the line


def shown(text: str) -> list[str]:
    """What a terminal shows of a text with returns and clearings of the line."""
    return [line.rpartition("\x1b[K")[2].rpartition("\r")[2] for line in text.split("\n")]


def test_lines_go_by_above_and_the_line_stays() -> None:
    stream = io.StringIO()
    line = StatusLine(stream)
    line.print("first")
    line.show("status")
    before = stream.tell()
    line.show("status")
    assert stream.tell() == before  # nothing new: nothing written
    line.print("second")
    line.show("other")
    assert shown(stream.getvalue()) == ["first", "second", "other"]
    line.close()
    assert shown(stream.getvalue()) == ["first", "second", ""]


def test_a_line_is_cut_at_the_edge_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    StatusLine(stream).show("x" * 100)
    assert shown(stream.getvalue()) == ["x" * 19]


def test_telemetry_has_a_line_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    for status in (False, True):
        sender = telemetry.Telemetry(None, None, "alice", status=status)
        sender.outbox.say("hello")
        sender.outbox.status("walking")
        sender.close()
        assert sender.outbox.has_status is status
        assert ("walking" in stream.getvalue()) is status
    assert shown(stream.getvalue()) == ["hello", "hello", ""]


def test_a_person_at_a_terminal_sees_who_commands(tmp_path: Path) -> None:
    policy = write_small_onnx(tmp_path / "policy.onnx")
    leader, follower = pty.openpty()
    words = ["-m", "wildrobot", "run", str(policy), "--keyboard", "--no-lcm"]
    process = subprocess.Popen([sys.executable, *words], stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(leader, 4096):
                seen.extend(data)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()

    def until(pattern: str, keys: str = "") -> None:
        end = time.monotonic() + 60.0
        while not re.search(pattern, seen.decode()):
            assert time.monotonic() < end, seen.decode()
            if keys:
                os.write(leader, keys.encode())
            time.sleep(0.1)

    try:
        until(r"\[limp\] nobody commands \(no key held\)")
        until(r"\[standing\]", "u")
        until(r"\[walking\] commanded by keyboard · \+0.30 m/s", "w")
        until(r"command of keyboard lost \(no key held\): standing still\r\n")
        until("asked to stop softly", "x")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(leader)
    assert "commands lost" in seen.decode()


# ---------------------------------------------------------------------- a whole run over LCM


def test_two_senders_on_the_network_one_walks_the_robot_and_the_other_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multicast: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log, figures, ended = tmp_path / "log", tmp_path / "figures.json", threading.Event()
    states: list[str] = []

    def send() -> None:
        """The first has the robot stand up and walk; after 30 ticks of that the second stops it."""
        network = open_network(multicast)
        robots = find_robots(network, 30.0, enough=1)
        robot = robots[0].identity
        receiver = network.receiver((channel_of(robot.robot_name, "robot_command"),))
        first, second = CommandSender(network, "first"), CommandSender(network, "second")
        give_up = time.monotonic() + 60.0
        while not ended.wait(0.03):
            while (heard := receiver.read()) is not None:
                said = robot_command_t.decode(heard.data)
                states.append(said.state)
                for sender in (first, second):
                    sender.hears(robot, said.timestamp_us)
            walked = states.count("walking") > 30
            if not walked:
                first.velocity(0.2, 0.0, stand=True)
            if "standing_up" in states:  # who is heard first holds the robot
                second.velocity(0.5, 0.0)
                if walked:
                    second.stop(robot.robot_name, at_once=False)
            if (walked and states[-1] == "limp") or time.monotonic() > give_up:
                signal.raise_signal(signal.SIGTERM)
                break
        network.close()

    sender = threading.Thread(target=send)
    sender.start()
    flags = ("--lcm-command", "--lcm-url", multicast, "--log", str(log), "--json", str(figures))
    try:
        assert run_small_policy(monkeypatch, tmp_path, *flags, lcm=True, fast=False) == 0
    finally:
        ended.set()
        sender.join()
    commands = messages(log, "robot_command")
    walking = [command for command in commands if command.state == "walking"]
    assert {command.command_source for command in walking} == {"lcm:first"}
    assert max(command.user_command[0] for command in walking) == pytest.approx(0.2)
    assert math.isnan(commands[0].command_age_s) or commands[0].command_age_s < 0.5
    assert all(command.command_age_s < 0.5 for command in walking)
    told = [event.text for event in messages(log, "robot_event") if event.name == "command"]
    assert "lcm:second is refused while lcm:first commands" in told
    assert told.count("second asks for a soft stop") == 1
    health = messages(log, "robot_health")[-1]
    counts = dict(zip(health.refusal_name, health.refusal_count, strict=True))
    assert counts["other_source"] > 20
    assert told.count("asked to stop softly") == 1
    summary: Any = json.loads(figures.read_text())["commands"]
    assert summary["refused"]["other_source"] >= counts["other_source"]
    assert "other source" in capsys.readouterr().out
