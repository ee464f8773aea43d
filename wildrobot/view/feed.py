"""What the robot last said: messages received from LCM, the pose that follows from them, and their last seconds."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import Network, Receiver
from wildrobot.core.rotations import wrap_angle
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.spec import DEFAULT_ROBOT
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of, split_channel
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, ROBOT_CHANNELS
from wildrobot.runtime.telemetry.messages import frame_from_message
from wildrobot.runtime.telemetry.neighbours import ANNOUNCEMENT, Robots
from wildrobot.view.history import History
from wildrobot.view.track import PelvisTrack, Pose

SILENT_S = 1.0
"""So long without a message, the robot counts as silent."""
EVENTS = 14
STALE_US = 500_000


class Feed:
    """Receives on a thread of its own. Read its attributes under `lock`; messages are never changed once here.

    It follows one run of one robot, and takes no message of another. With `robot_name` that robot; without, the first
    one that is there, and the next when it falls silent.
    """

    def __init__(
        self,
        spec: RobotSpec,
        network: Network,
        robot_name: str | None = None,
        follow: Callable[[RunIdentity | None, int], None] = lambda robot, timestamp_us: None,
    ) -> None:
        """`follow` is told of every message that is taken: whose it is, and when that robot said it."""
        self.spec, self.lock = spec, threading.Lock()
        self.robot: RunIdentity | None = None
        """The robot and the run that are followed."""
        self.rivals: list[str] = []
        """Robots that answer, when it is not plain which one is meant."""
        self.latest: dict[str, Any] = {}
        self.pose: Pose | None = None
        self.history = History(spec)
        self.tick_history: deque[tuple[float, float, float, float]] = deque(maxlen=60)
        """Once a second: p50, p99 and largest work per tick, and largest lateness, ms."""
        self.events: deque[Any] = deque(maxlen=EVENTS)
        self.bus_errors = 0
        """Events of the servo bus that were no mere news."""
        self.problem = ""
        """Why what is shown may be wrong; empty: it is not."""
        self.frames = 0
        self._heard_s = -math.inf
        self._track = PelvisTrack(spec)
        self._pending: Any = None
        self._configuration = ""
        self._network, self._robot_name, self._follow = network, robot_name, follow
        self._robots = Robots()
        self._announcements = network.receiver((ANNOUNCEMENT,))
        self._receiver: Receiver | None = None
        self._newest_us = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        """Seconds since the robot last spoke; infinite before its first message."""
        return time.monotonic() - self._heard_s

    def close(self) -> None:
        """Stop receiving."""
        self._ended.set()
        self._thread.join()
        self._announcements.close()
        if self._receiver is not None:
            self._receiver.close()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._look()
            if self._receiver is None:
                self._announcements.wait(0.1)
            elif self._receiver.wait(0.1):
                while (message := self._receiver.read()) is not None:
                    self._receive(split_channel(message.channel)[1], message.data)

    def _look(self) -> None:
        """Who is there, and whom to follow."""
        now = time.monotonic()
        while (message := self._announcements.read()) is not None:
            self._robots.take(message.data, now)
        self._robots.forget(now)
        present = [
            robot for robot in self._robots.present() if self._robot_name in (None, robot.identity.robot_name)
        ]
        with self.lock:
            self.rivals = [str(robot) for robot in present] if len(present) > 1 else []
            here = [robot.identity for robot in present]
            if here and self.robot not in here:
                self._turn_to(here[0])

    def _turn_to(self, robot: RunIdentity) -> None:
        """Follow a robot, or another run of it, and forget all that the last one said."""
        if (
            self._receiver is not None
            and self.robot is not None
            and self.robot.robot_name != robot.robot_name
        ):
            self._receiver.close()
            self._receiver = None
        if self._receiver is None:
            channels = [channel_of(robot.robot_name, kind) for kind in ROBOT_CHANNELS]
            self._receiver = self._network.receiver(channels)
        self.robot, self._newest_us = robot, 0
        self._forget()
        self.latest.clear()
        self.pose = self._pending = None
        self._configuration, self.problem = "", ""
        self._follow(robot, 0)

    def _forget(self) -> None:
        self.history, self.events = History(self.spec), deque(maxlen=EVENTS)
        self.tick_history.clear()
        self.bus_errors = 0

    def _receive(self, channel: str, data: bytes) -> None:
        with self.lock:
            try:
                message = CHANNEL_TYPES[channel].decode(data)
                if (message.robot_name, message.run_id) == self.robot:
                    self._take_new(channel, message)
            except Exception as error:  # whatever a foreign packet holds must not end the page
                self.problem = f"{channel} cannot be read ({error}): does the robot run this version?"

    def _take_new(self, channel: str, message: Any) -> None:
        """A run's own clock only goes forward: what is older than its last word is a log of it that is played."""
        if message.timestamp_us < self._newest_us - STALE_US:
            return
        self._newest_us = max(self._newest_us, message.timestamp_us)
        self._take(channel, message)
        self._follow(self.robot, self._newest_us)

    def _take(self, channel: str, message: Any) -> None:
        self._heard_s = time.monotonic()
        if channel == "run_configuration":
            self._configure(message)
        elif channel == "robot_state":
            self._take_state(message)
        elif channel == "robot_command" and self._pending is not None:
            self._append(message)
        elif channel == "robot_health":
            tick = (message.tick_p50_ms, message.tick_p99_ms, message.tick_max_ms, message.lateness_max_ms)
            self.tick_history.append(tick)
        elif channel == "robot_event":
            self.events.append(message)
            self.bus_errors += int(message.name == "bus" and message.severity > 0)
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
            tilt=(math.atan2(-gravity[1], -gravity[2]), math.atan2(gravity[0], -gravity[2])),
            **parts,
        )
