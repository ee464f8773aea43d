"""What the robot last said: messages received from LCM, the pose that follows from them, and their last seconds."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import Network, Receiver
from wildrobot.core.rotations import wrap_angle
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.spec import DEFAULT_ROBOT
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of, split_channel
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, ROBOT_CHANNELS, robot_announcement_t
from wildrobot.runtime.telemetry.messages import frame_from_message
from wildrobot.runtime.telemetry.neighbours import (
    ANNOUNCEMENT,
    GONE_S,
    MOST,
    NetworkRobot,
    Robots,
    side_by_side,
)
from wildrobot.view.history import History
from wildrobot.view.readout.battery import BatteryTrend
from wildrobot.view.readout.events import Events
from wildrobot.view.readout.link import Link
from wildrobot.view.readout.servos import ServoRecord
from wildrobot.view.recall.recording import RunRecording
from wildrobot.view.track import PelvisTrack, Pose

SILENT_S = 1.0
"""So long without a message, the robot counts as silent."""
STALE_US = 500_000
"""What a robot says may arrive so much out of order."""
AT_ONCE = 200
"""Messages that are read before the next look at who is there."""


class Feed:
    """Receives on a thread of its own. Read its attributes under `lock`; messages are never changed once here.

    It follows one run of one robot, and takes no message of another. With `robot_name` that robot; without, the first
    one that is there, and another one only when that is gone.
    """

    def __init__(
        self,
        spec: RobotSpec,
        network: Network,
        robot_name: str | None = None,
        follow: Callable[[RunIdentity | None, int], None] = lambda robot, timestamp_us: None,
    ) -> None:
        """`follow` is told of every message that is taken, whose it is and when that robot said it; and with None, that
        the robot is gone."""
        self.spec, self.network, self.robot_name, self.lock = spec, network, robot_name, threading.Lock()
        self.robot: RunIdentity | None = None
        """The robot and the run that are followed."""
        self.announcement: robot_announcement_t | None = None
        """Its last."""
        self.rivals: list[NetworkRobot] = []
        """Robots that answer, when it is not plain which one is meant."""
        self.latest: dict[str, Any] = {}
        self.pose: Pose | None = None
        self.history = History(spec)
        self.recording = RunRecording(Path.cwd())
        """Its raw messages."""
        self.tick_history: deque[tuple[float, float, float, float]] = deque(maxlen=60)
        """Once a second: p50, p99 and largest work per tick, and largest lateness, ms."""
        self.events, self.servos, self.battery, self.link = (
            Events(),
            ServoRecord(spec),
            BatteryTrend(),
            Link(),
        )
        self.problem = ""
        """Why what is shown may be wrong; empty: it is not."""
        self.frames = 0
        self._heard_s = -math.inf
        self._track = PelvisTrack(spec)
        self._pending: Any = None
        self._configuration = ""
        self._follow = follow
        self._robots = Robots()
        self._announcements = network.receiver((ANNOUNCEMENT,))
        self._receiver: Receiver | None = None
        self._heads: Receiver | None = None
        self._configurations: dict[str, bytes] = {}
        self._newest_us = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """Seconds since the robot last spoke; infinite before its first message."""
        return time.monotonic() - self._heard_s

    @property
    def silent(self) -> bool:
        """The robot has spoken, and says nothing more: its numbers are old."""
        return "robot_state" in self.latest and self.silent_s > SILENT_S

    @property
    def simulated(self) -> bool:
        """The robot that is followed says that it is simulated."""
        return self.announcement is not None and bool(self.announcement.simulated)

    def close(self) -> None:
        """Stop receiving."""
        self._ended.set()
        self._thread.join()
        self._announcements.close()
        for receiver in (self._receiver, self._heads):
            if receiver is not None:
                receiver.close()
        self.recording.forget()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._look(time.monotonic())
            if self._receiver is None:
                self._announcements.wait(0.1)
            elif self._receiver.wait(0.1):
                for message in islice(iter(self._receiver.read, None), AT_ONCE):
                    self._receive(split_channel(message.channel)[1], message.data)

    def _look(self, now_s: float) -> None:
        """Who is there, and whom to follow."""
        self._read_heads(now_s)
        for message in islice(iter(self._announcements.read, None), AT_ONCE):
            self._robots.take(message.data, now_s)
        self._robots.forget(now_s)
        present = {
            robot.identity: robot
            for robot in self._robots.present()
            if self.robot_name in (None, robot.identity.robot_name)
        }
        with self.lock:
            self.rivals = side_by_side(list(present.values()))
            if self._is_gone(present, now_s):
                if present:
                    self._turn_to(self._next(present))
                elif self.robot is not None:
                    self._follow(None, 0)
            if self.robot in present:
                self.announcement = present[self.robot].announcement

    def _read_heads(self, now_s: float) -> None:
        """While no robot speaks, keep every robot's configuration: it is the first message of a log that is played,
        before it is known whose log that is."""
        if now_s - self._heard_s <= SILENT_S:
            if self._heads is not None:
                self._heads.close()
                self._heads = None
            return
        if self._heads is None:
            self._heads, self._configurations = self.network.receiver(None), {}
        for message in islice(iter(self._heads.read, None), AT_ONCE):
            name, kind = split_channel(message.channel)
            known = name in self._configurations or len(self._configurations) < MOST
            if kind == "run_configuration" and known:
                self._configurations[name] = message.data

    def _is_gone(self, present: Mapping[RunIdentity, NetworkRobot], now_s: float) -> bool:
        """The robot that is followed has fallen silent for good, or its program has been started anew."""
        if self.robot is None:
            return True
        mine = present.get(self.robot)
        if mine is None:
            return now_s - self._heard_s > GONE_S  # messages may come though the announcement is late
        again = any(
            robot.since_s > mine.heard_s
            for identity, robot in present.items()
            if identity.robot_name == self.robot.robot_name
        )
        return again and now_s - mine.heard_s > SILENT_S

    def _next(self, present: Mapping[RunIdentity, NetworkRobot]) -> RunIdentity:
        """The last run of the robot that was followed, else the first robot by name."""
        name = self.robot.robot_name if self.robot is not None else ""
        runs = [identity for identity in present if identity.robot_name == name]
        return max(runs, key=lambda identity: present[identity].since_s) if runs else next(iter(present))

    def _turn_to(self, robot: RunIdentity) -> None:
        """Follow a robot, or another run of it, and forget all that the last one said."""
        if self._receiver is not None and (self.robot is None or self.robot.robot_name != robot.robot_name):
            self._receiver.close()
            self._receiver = None
        if self._receiver is None:
            channels = [channel_of(robot.robot_name, kind) for kind in ROBOT_CHANNELS]
            self._receiver = self.network.receiver(channels)
        self.recording.forget()
        self.robot, self._newest_us, self._heard_s = robot, 0, -math.inf
        self._forget()
        self.latest.clear()
        self._track, self.pose, self._pending = PelvisTrack(self.spec), None, None
        self._configuration, self.problem = "", ""
        self._follow(robot, 0)
        if (configuration := self._configurations.pop(robot.robot_name, None)) is not None:
            self._decode("run_configuration", configuration)

    def _forget(self) -> None:
        self.history, self.events, self.servos = History(self.spec), Events(), ServoRecord(self.spec)
        self.battery, self.link = BatteryTrend(), Link()
        self.tick_history.clear()

    def _receive(self, channel: str, data: bytes) -> None:
        with self.lock:
            self._decode(channel, data)

    def _decode(self, channel: str, data: bytes) -> None:
        try:
            message = CHANNEL_TYPES[channel].decode(data)
            mine = (message.robot_name, message.run_id) == self.robot
            if mine and self._take_new(channel, message):
                named = channel_of(message.robot_name, channel)
                self.recording.take(named, message.timestamp_us, data)
        except Exception as error:  # whatever a foreign packet holds must not end the page
            self.problem = f"{channel} cannot be read ({error}): does the robot run this version?"

    def _take_new(self, channel: str, message: Any) -> bool:
        """Whether it is news. A run's own clock only goes forward: while it speaks, what is older than its last word is
        a log of it that is played."""
        if message.timestamp_us < self._newest_us - STALE_US:
            if self.silent_s <= SILENT_S:
                return False
            self._newest_us = message.timestamp_us
            self.recording.forget()
        self._newest_us = max(self._newest_us, message.timestamp_us)
        self._take(channel, message)
        if self.robot is not None:
            self._robots.heard(self.robot, self._heard_s)
        self._follow(self.robot, self._newest_us)
        return True

    def _take(self, channel: str, message: Any) -> None:
        self._heard_s = time.monotonic()
        if channel == "run_configuration":
            self._configure(message)
        elif channel == "robot_state":
            self._take_state(message)
        elif channel == "robot_command":
            self.servos.take_command(message)
            if self._pending is not None:
                self._append(message)
        elif channel == "robot_health":
            tick = (message.tick_p50_ms, message.tick_p99_ms, message.tick_max_ms, message.lateness_max_ms)
            self.tick_history.append(tick)
            self.battery.take(message)
        elif channel == "robot_event":
            self.events.take(message)
            self.servos.take_event(message)
        self.latest[channel] = message

    def _configure(self, message: Any) -> None:
        """Another robot, or another calibration of it: the IMU's mount and the joint count may differ."""
        if message.json == self._configuration:
            return
        self._configuration = message.json
        calibration = json.loads(message.json).get("calibration")
        known = [Path(message.robot_file)] if message.robot_file else [DEFAULT_ROBOT]
        spec, self.problem = self.spec, ""
        for file in known:
            try:
                spec = RobotSpec(file, calibration)
            except (UserError, OSError):
                continue  # a remote robot's file need not lie here
        if message.robot_hash != spec.robot_hash:
            self.problem = (
                f"the robot '{message.robot}' is not the one drawn here: give its file with --robot-file"
            )
        if (spec.num_joints, spec.num_feet) == (self.spec.num_joints, self.spec.num_feet):
            self._track = PelvisTrack(spec)

    def _take_state(self, message: Any) -> None:
        spec = self.spec
        if (message.num_joints, message.num_feet) != (spec.num_joints, spec.num_feet):
            self.problem = (
                f"the robot has {message.num_joints} joints, the one drawn here {spec.num_joints}: "
                "give its file with --robot-file"
            )
            return
        if self._pending is not None:
            self._append(None)
        last = self.latest.get("robot_state")
        if last is not None and message.tick < last.tick:
            self._forget()
        self.pose = self._track.update(frame_from_message(message))
        self._pending = message
        self.frames += 1
        self.link.take(message.timestamp_us)
        self.servos.take_state(message, self.simulated)

    def _append(self, command: Any) -> None:
        """A row of history from the pending state and, if it came, the command of the same tick."""
        state, self._pending, pose = self._pending, None, self.pose
        assert pose is not None
        estimate, gravity = pose.estimate, pose.estimate.projected_gravity[0]
        parts: dict[str, Any] = {}
        if command is not None and command.tick == state.tick and command.num_joints == state.num_joints:
            # Targets of a limp robot are where its joints happen to be.
            driven = command.torque_gain > 0.0
            parts["joint_target"] = command.joint_target_applied if driven else np.nan
            parts["command"] = command.user_command
        self.history.append(
            joint_position=state.joint_position,
            gyro=state.imu_angular_velocity,
            acceleration=state.imu_acceleration,
            contact=state.foot_contact,
            velocity=(estimate.linear_velocity[0, 0], estimate.angular_velocity[0, 2]),
            height=estimate.height[0],
            heading=wrap_angle(np.array(pose.heading)),
            side_velocity=pose.velocity[1],
            position=pose.position,
            rotation=pose.rotation.reshape(9),
            airborne=float(pose.airborne),
            tilt=(math.atan2(-gravity[1], -gravity[2]), math.atan2(gravity[0], -gravity[2])),
            **parts,
        )
