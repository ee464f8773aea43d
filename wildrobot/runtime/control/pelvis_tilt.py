"""How far the pelvis leans, from the IMU and the joints alone."""

from __future__ import annotations

import math

import numpy as np

from wildrobot.core.rotations import quat_to_matrix
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.sensor_frame import SensorFrame


class PelvisTilt:
    """Angle between the pelvis's z axis and up, rad: 0 upright, pi upside down, NaN where the IMU gives no rotation.

    Only one vector, up, is turned from the IMU into the pelvis, and that in plain floats: for a single robot on every
    tick, arrays would take ten times as long.
    """

    def __init__(self, spec: RobotSpec) -> None:
        kinematics = spec.kinematics
        _, torso = kinematics.torso_frame(np.zeros(spec.num_joints))
        self._pelvis_imu = (torso @ quat_to_matrix(spec.imu_mount)).tolist()
        """(3, 3) pelvis <- IMU at the zero pose."""
        axes = kinematics.torso_axes().tolist()
        # from the torso down; each axis at the zero pose, where only the hinges above it have turned
        self._hinges = list(zip(kinematics.torso_joints, axes, strict=True))[::-1]

    def __call__(self, frame: SensorFrame) -> float:
        """Of a `frame` (1, ...); how long its quaternion is does not matter."""
        w, x, y, z = frame.imu_quaternion[0].tolist()
        # the last row of the quaternion's matrix, as long as the quaternion's square
        up = [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z]
        up = [row[0] * up[0] + row[1] * up[1] + row[2] * up[2] for row in self._pelvis_imu]
        for joint, axis in self._hinges:
            up = _turned(up, axis, float(frame.joint_position[0, joint]))
        across = math.hypot(up[0], up[1])
        # the angle by its cosine alone would be blind near upright and upside down
        return math.atan2(across, up[2]) if across or up[2] else math.nan


def _turned(vector: list[float], axis: list[float], angle: float) -> list[float]:
    """`vector` after a turn by `angle` (rad) about a unit `axis` (Rodrigues' formula)."""
    x, y, z = vector
    a, b, c = axis
    # an angle that is no number, or endless, makes a tilt that is no number
    cos, sin = (math.cos(angle), math.sin(angle)) if math.isfinite(angle) else (math.nan, math.nan)
    along = (a * x + b * y + c * z) * (1.0 - cos)
    return [
        cos * x + sin * (b * z - c * y) + along * a,
        cos * y + sin * (c * x - a * z) + along * b,
        cos * z + sin * (a * y - b * x) + along * c,
    ]
