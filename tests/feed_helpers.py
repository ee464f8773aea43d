"""A feed on a clock of its own, robots that speak to it, and a simulated walk for them to tell of."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_network import MemoryNetwork
from runtime_helpers import SPEC

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.sim import SimRobot
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of
from wildrobot.runtime.telemetry.lcm_types import (
    robot_announcement_t,
    robot_command_t,
    robot_event_t,
    robot_health_t,
    run_configuration_t,
)
from wildrobot.runtime.telemetry.messages import Stamp, frame_to_message
from wildrobot.runtime.telemetry.neighbours import ANNOUNCEMENT
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.view.feed import Feed
from wildrobot.view.readout.status import headline, rivals_warning, status

POLICY = Path(__file__).resolve().parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"


TICKS = 200


@dataclass
class Walk:
    """A simulated walk, as it was measured and as it truly was; one entry a tick."""

    frames: list[SensorFrame]
    position: np.ndarray
    quaternion: np.ndarray


@cache
def simulated_walk() -> Walk:
    """Two seconds straight on at 0.3 m/s, two in a left curve."""
    robot, skill = SimRobot(SPEC, RobotOptions()), load_skill(SPEC, POLICY, None)
    robot.set_stiffness(1.0)
    frames, positions, quaternions = [], [], []
    skill.path.reset(robot.read())
    for tick in range(TICKS):
        frame, truth = robot.read(), robot.truth()
        frames.append(frame.copy())
        positions.append(np.array(truth.pelvis_position[0]))
        quaternions.append(np.array(truth.pelvis_quaternion[0]))
        signal = skill.path.observe(frame, [[0.3, 0.3 if tick > TICKS // 2 else 0.0]])
        robot.write(skill.path.act(skill.policy(signal.observation)))
    return Walk(frames, np.array(positions), np.array(quaternions))


ALICE = RunIdentity("alice", 7)


AGAIN = RunIdentity("alice", 8)


BOB = RunIdentity("bob", 7)


class WatchedFeed(Feed):
    """Counts how often it has looked who is there."""

    looks = 0

    def _look(self, now_s: float) -> None:
        super()._look(now_s)
        self.looks += 1


class Page:
    """A feed, on a clock of its own, and what it said of whom it follows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, robot_name: str | None = None) -> None:
        self.time_s = 1000.0
        monkeypatch.setattr("wildrobot.view.feed.time", self)
        self.network = MemoryNetwork()
        self.followed: list[tuple[RunIdentity | None, int]] = []
        self.feed = WatchedFeed(SPEC, self.network, robot_name, lambda *said: self.followed.append(said))

    def monotonic(self) -> float:
        return self.time_s

    def settle(self) -> None:
        """Wait until all has been read and looked at."""
        self.until(lambda: not any(receiver.wait(0.0) for receiver in list(self.network.receivers)))
        looks = self.feed.looks
        for count in (1, 2):  # the one that is under way may not know the latest
            for receiver in list(self.network.receivers):
                receiver.wake()
            self.until(lambda count=count: self.feed.looks >= looks + count)

    def wait(self, seconds: float, *present: Robot) -> None:
        """Time goes by, in which those that are `present` announce themselves."""
        end = self.time_s + seconds
        while self.time_s < end:
            self.time_s = min(end, self.time_s + 0.5)
            for robot in present:
                robot.announce()
            self.settle()

    def text(self) -> str:
        with self.feed.lock:
            return headline(self.feed) + status(self.feed, "nobody drives")

    def banner(self) -> str:
        with self.feed.lock:
            return rivals_warning(self.feed)

    def until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.001)


class Robot:
    """Speaks as a robot does."""

    def __init__(self, page: Page, identity: RunIdentity = ALICE) -> None:
        self.page, self.identity = page, identity
        self.feed = page.feed
        self.tick = 0
        self.text, self.until = page.text, page.until

    def announce(self) -> None:
        message = robot_announcement_t()
        message.robot_name, message.run_id = self.identity
        message.robot, message.host, message.simulated = SPEC.name, "desk.example", True
        self.page.network.publish(ANNOUNCEMENT, message.encode())

    def join(self) -> None:
        """Announce itself, and be followed."""
        self.announce()
        self.until(lambda: self.feed.robot == self.identity)

    def send(self, channel: str, message: Any) -> None:
        message.robot_name, message.run_id = self.identity
        message.timestamp_us = message.timestamp_us or 1000 * self.tick
        self.page.network.publish(channel_of(self.identity.robot_name, channel), message.encode())

    def state(self, frame: SensorFrame, state: str = "walking") -> None:
        self.tick += 1
        stamp = Stamp(*self.identity, 1000 * self.tick, self.tick)
        self.send("robot_state", frame_to_message(frame, state, stamp))

    def step(
        self, frame: SensorFrame, state: str = "walking", command: tuple[float, float] = (0.3, 0.1)
    ) -> None:
        self.state(frame, state)
        message = robot_command_t()
        message.tick, message.state, message.user_command, message.torque_gain = (
            self.tick,
            state,
            command,
            1.0,
        )
        message.num_joints = SPEC.num_joints
        message.joint_target_requested = message.joint_target_applied = (
            0.01 * np.arange(SPEC.num_joints)
        ).tolist()
        message.limited_by = "target_rate"
        message.command_source = "lcm:view@<host>"
        self.send("robot_command", message)


def configuration(**content: Any) -> run_configuration_t:
    message = run_configuration_t()
    message.robot, message.robot_hash = SPEC.name, SPEC.robot_hash
    message.json = json.dumps({"policies": [{"path": "/x/walk.onnx"}], "options": {"robot": "sim"}} | content)
    return message


def health(**values: Any) -> robot_health_t:
    message = robot_health_t()
    n = SPEC.num_joints
    message.num_joints, message.current_a = n, [math.nan] * n
    message.temperature_c, message.voltage_v = [math.nan] * n, [math.nan] * n
    for name, value in values.items():
        setattr(message, name, value)
    message.num_guards, message.num_stages = len(message.guard_name), len(message.stage_name)
    return message


def bus_event() -> robot_event_t:
    event = robot_event_t()
    event.name, event.text, event.severity = "bus", "servo 3: no answer", robot_event_t.WARNING
    return event
