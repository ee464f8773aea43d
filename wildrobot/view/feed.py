"""What the robot last said: messages received from LCM, the pose that follows from them, and their last seconds."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import wrap_angle
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.spec import DEFAULT_ROBOT
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.runtime.telemetry.messages import frame_from_message
from wildrobot.view.history import History
from wildrobot.view.track import PelvisTrack, Pose

SILENT_S = 1.0
"""So long without a message, the robot counts as silent."""
EVENTS = 14
CHANNELS = [channel for channel in CHANNEL_TYPES if channel != "velocity_command"]


class Feed:
    """Receives on a thread of its own. Read its attributes under `lock`; messages are never changed once here."""

    def __init__(self, spec: RobotSpec, connection: Any) -> None:
        self.spec, self.lock = spec, threading.Lock()
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
        self._lcm, self._ended = connection, threading.Event()
        self._subscription = connection.subscribe("|".join(CHANNELS), self._receive)
        self._subscription.set_queue_capacity(500)
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
        self._lcm.unsubscribe(self._subscription)

    def _work(self) -> None:
        while not self._ended.is_set():
            self._lcm.handle_timeout(100)

    def _receive(self, channel: str, data: bytes) -> None:
        with self.lock:
            try:
                message = CHANNEL_TYPES[channel].decode(data)
                self._take(channel, message)
            except Exception as error:  # whatever a foreign packet holds must not end the page
                self.problem = f"{channel} cannot be read ({error}): does the robot run this version?"

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
            self.history, self.events = History(spec), deque(maxlen=EVENTS)
            self.tick_history.clear()
            self.bus_errors = 0
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
