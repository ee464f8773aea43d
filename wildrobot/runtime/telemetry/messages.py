"""Between the runtime's data and LCM messages, both ways and without loss: doubles stay doubles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wildrobot.runtime.control.guards import GuardReading
from wildrobot.runtime.control.safety import Applied
from wildrobot.runtime.control.timing import TimerWindow
from wildrobot.runtime.robots.base import Health
from wildrobot.runtime.telemetry.lcm_types import (
    policy_state_t,
    robot_announcement_t,
    robot_command_t,
    robot_event_t,
    robot_health_t,
    robot_state_t,
)
from wildrobot.signal_path.path import Signal
from wildrobot.signal_path.sensor_frame import SensorFrame

HISTOGRAM_BIN_MS = 0.5


class Stamp(NamedTuple):
    """What every message of a robot begins with."""

    robot_name: str
    run_id: int
    timestamp_us: int
    tick: int

    def on(self, message: Any) -> Any:
        """The message with it."""
        message.robot_name, message.run_id = self.robot_name, self.run_id
        message.timestamp_us, message.tick = self.timestamp_us, self.tick
        return message


# The runtime works on a batch of one: row 0 goes into the message, and comes back with its leading dimension.


def frame_to_message(frame: SensorFrame, state: str, stamp: Stamp) -> robot_state_t:
    """`robot_state` of a frame (1, ...)."""
    message: robot_state_t = stamp.on(robot_state_t())
    message.state = state
    message.time_s = float(frame.time_s[0])
    message.num_joints = len(frame.joint_position[0])
    message.joint_position = frame.joint_position[0].tolist()
    message.joint_velocity = frame.joint_velocity[0].tolist()
    message.joint_time_s = frame.joint_time_s[0].tolist()
    message.joint_valid = frame.joint_valid[0].tolist()
    message.imu_quaternion = frame.imu_quaternion[0].tolist()
    message.imu_angular_velocity = frame.imu_angular_velocity[0].tolist()
    message.imu_acceleration = frame.imu_acceleration[0].tolist()
    message.imu_time_s = float(frame.imu_time_s[0])
    message.imu_valid = bool(frame.imu_valid[0])
    message.num_feet = len(frame.foot_contact[0])
    message.foot_contact = frame.foot_contact[0].tolist()
    message.foot_time_s = float(frame.foot_time_s[0])
    message.foot_valid = bool(frame.foot_valid[0])
    return message


def frame_from_message(message: robot_state_t) -> SensorFrame:
    """The frame (1, ...) that `frame_to_message` was given, bit for bit."""

    def row(values: Any, dtype: Any = np.float64) -> Any:
        return np.array([values], dtype=dtype)

    return SensorFrame(
        time_s=row(message.time_s),
        joint_position=row(message.joint_position),
        joint_velocity=row(message.joint_velocity),
        joint_time_s=row(message.joint_time_s),
        joint_valid=row(message.joint_valid, np.bool_),
        imu_quaternion=row(message.imu_quaternion),
        imu_angular_velocity=row(message.imu_angular_velocity),
        imu_acceleration=row(message.imu_acceleration),
        imu_time_s=row(message.imu_time_s),
        imu_valid=row(message.imu_valid, np.bool_),
        foot_contact=row(message.foot_contact),
        foot_time_s=row(message.foot_time_s),
        foot_valid=row(message.foot_valid, np.bool_),
    )


def policy_to_message(
    signal: Signal,
    action: NDArray[Any],
    target: NDArray[np.float64],
    reset: bool,
    policy: int,
    style: float,
    stamp: Stamp,
) -> policy_state_t:
    """`policy_state` of one tick of the policy with the index `policy`; `action` (1, n), `target` (1, n)."""
    message, estimate = stamp.on(policy_state_t()), signal.estimate
    message.reset, message.policy, message.style_score = reset, policy, style
    message.command = signal.command[0].tolist()
    message.linear_velocity = estimate.linear_velocity[0].tolist()
    message.angular_velocity = estimate.angular_velocity[0].tolist()
    message.projected_gravity = estimate.projected_gravity[0].tolist()
    message.yaw, message.height = float(estimate.yaw[0]), float(estimate.height[0])
    message.features = signal.features[0].tolist()
    message.num_features = len(message.features)
    message.observation = signal.observation[0].tolist()
    message.num_observations = len(message.observation)
    message.action, message.joint_target = action[0].tolist(), target[0].tolist()
    message.num_joints = len(message.action)
    return message


def command_to_message(
    user: NDArray[np.float64],
    stiffness: float,
    applied: Applied,
    source: str,
    age_s: float,
    state: str,
    stamp: Stamp,
) -> robot_command_t:
    """`robot_command`: the velocity `user` (2,) that was followed, who asked for it, and what the servos were given."""
    message: robot_command_t = stamp.on(robot_command_t())
    message.state = state
    message.user_command, message.torque_gain = user.tolist(), stiffness
    message.command_source, message.command_age_s = source, age_s
    message.joint_target_requested = applied.requested[0].tolist()
    message.joint_target_applied = applied.target[0].tolist()
    message.num_joints = len(message.joint_target_applied)
    message.limited_by = ",".join(applied.limited_by)
    return message


def event_to_message(name: str, text: str, severity: int, stamp: Stamp) -> robot_event_t:
    """`robot_event`."""
    message: robot_event_t = stamp.on(robot_event_t())
    message.severity, message.name, message.text = severity, name, text
    return message


def health_to_message(
    window: TimerWindow,
    stages: Sequence[str],
    missed: int,
    dropped: int,
    health: Health,
    readings: Sequence[GuardReading],
    source: str,
    age_s: float,
    commands_lost: int,
    refused: Mapping[str, int],
    network_problem: str,
    stamp: Stamp,
) -> robot_health_t:
    """`robot_health`: timing of the `window`, ticks `missed` and messages `dropped` so far, servos, guards, who
    commands, and why nobody hears the robot, where that is so."""
    message: robot_health_t = stamp.on(robot_health_t())
    message.missed_ticks, message.messages_dropped = missed, dropped
    message.stage_name = list(stages)
    message.num_stages = len(message.stage_name)
    message.current_a = np.asarray(health.current_a).tolist()
    message.temperature_c = np.asarray(health.temperature_c).tolist()
    message.voltage_v = np.asarray(health.voltage_v).tolist()
    message.num_joints = len(message.current_a)
    message.guard_name = [reading.name for reading in readings]
    message.guard_value = [reading.value for reading in readings]
    message.guard_level = [int(reading.level) for reading in readings]
    message.num_guards = len(readings)
    message.command_source, message.command_age_s = source, age_s
    message.commands_lost = commands_lost
    message.refusal_name, message.refusal_count = list(refused), list(refused.values())
    message.num_refusals = len(refused)
    message.network_problem = network_problem
    work, by_stage = window.work_ms(), window.stages_ms()
    message.tick_p50_ms, message.tick_p99_ms = work["p50"], work["p99"]
    message.tick_max_ms, message.lateness_max_ms = work["max"], work["late"]
    message.stage_p50_ms, message.stage_p99_ms = by_stage["p50"], by_stage["p99"]
    message.stage_max_ms = by_stage["max"]
    message.bin_width_ms = HISTOGRAM_BIN_MS
    message.histogram = window.run.coarse(HISTOGRAM_BIN_MS)
    message.num_bins = len(message.histogram)
    return message


def announcement_message(
    robot: str, host: str, simulated: bool, state: str, source: str, stamp: Stamp
) -> robot_announcement_t:
    """`robot_announcement`: a specimen of `robot` runs on the computer `host`, commanded by `source`."""
    message: robot_announcement_t = stamp.on(robot_announcement_t())
    message.robot, message.host, message.simulated = robot, host, simulated
    message.state, message.command_source = state, source
    return message
