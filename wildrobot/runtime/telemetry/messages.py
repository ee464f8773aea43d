"""Between the runtime's data and LCM messages, both ways and without loss: doubles stay doubles."""

from __future__ import annotations

from typing import Any

import numpy as np

from wildrobot.runtime.telemetry.lcm_types import policy_state_t, robot_state_t
from wildrobot.signal_path.path import Signal
from wildrobot.signal_path.sensor_frame import SensorFrame

# The runtime works on a batch of one: row 0 goes into the message, and comes back with its leading dimension.


def frame_to_message(frame: SensorFrame, timestamp_us: int, tick: int, state: str) -> robot_state_t:
    """`robot_state` of a frame (1, ...)."""
    message = robot_state_t()
    message.timestamp_us, message.tick, message.state = timestamp_us, tick, state
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
    action: Any,
    target: Any,
    reset: bool,
    policy: int,
    style: float,
    timestamp_us: int,
    tick: int,
) -> policy_state_t:
    """`policy_state` of one tick of the policy with the index `policy`; `action` (1, n), `target` (1, n)."""
    message, estimate = policy_state_t(), signal.estimate
    message.timestamp_us, message.tick, message.reset = timestamp_us, tick, reset
    message.policy, message.style_score = policy, style
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
