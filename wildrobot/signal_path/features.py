"""The feature vector and windows of it: the one place that makes them, for reference, training and robot alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.arrays import Array, array_namespace
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import AXIAL, POLAR, SAME, Mirror, joined
from wildrobot.signal_path.estimator import Estimate
from wildrobot.signal_path.sensor_frame import SensorFrame

# Below this speed the direction of the velocity is noise, and reads zero.
MIN_DIRECTION_SPEED = 0.1


def feature_names(spec: RobotSpec) -> tuple[str, ...]:
    """Names in order: 2n joint values, 3 direction, 3 rate, 1 height, one per foot switch (29 for WildRobot)."""
    return (
        *(f"joint_position/{name}" for name in spec.joint_names),
        *(f"joint_velocity/{name}" for name in spec.joint_names),
        *(f"velocity_direction/{axis}" for axis in "xyz"),
        *(f"angular_velocity/{axis}" for axis in "xyz"),
        "pelvis_height",
        *(f"contact/{name}" for name in spec.foot_names),
    )


def num_features(spec: RobotSpec) -> int:
    """Length of the feature vector."""
    return 2 * spec.num_joints + 7 + spec.num_feet


def compute_features(frame: SensorFrame, estimate: Estimate) -> Array:
    """Features (..., F) of one instant, in the units and frames of `feature_names`.

    rad; rad/s; unit vector in the heading frame (zeros below 0.1 m/s); rad/s in the heading frame; m; 0 or 1.
    """
    xp = array_namespace(frame.joint_position)
    velocity = estimate.linear_velocity
    speed = xp.sqrt((velocity * velocity).sum(-1))[..., None]
    moving = speed >= MIN_DIRECTION_SPEED
    direction = xp.where(moving, velocity / xp.where(moving, speed, 1.0), 0.0)
    return xp.concat(
        [
            frame.joint_position,
            frame.joint_velocity,
            direction,
            estimate.angular_velocity,
            estimate.height[..., None],
            estimate.contacts,
        ],
        axis=-1,
    )


def feature_mirror(spec: RobotSpec) -> Mirror:
    """Index and sign (F,) of the mirrored feature vector: mirrored[i] = sign[i] * features[index[i]]."""
    return joined([spec.mirror.joints, spec.mirror.joints, POLAR, AXIAL, SAME, spec.mirror.feet])


def mirror_features(spec: RobotSpec, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same instant seen in the mirror, (..., F) (numpy)."""
    index, sign = feature_mirror(spec)
    return features[..., index] * sign


class FeatureWindow(Stateful):
    """The last `frames` feature vectors of each row, oldest first, flat (..., frames * F).

        [ f(t-2) | f(t-1) | f(t) ]   <- push(f(t))

    A window is valid once it holds `frames` real frames since the last reset; it never spans one.
    """

    state_fields = ("_memory", "_count")

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._memory: Any = None
        self._count: Any = None

    def push(self, features: Array, fresh: Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Add features (..., F); rows where `fresh` (...) is True start over. Returns window and valid (...)."""
        features = np.asarray(features)
        fresh = np.asarray(fresh)
        if self._memory is None:
            self._memory = np.repeat(features[..., None, :], self.frames, axis=-2)
            self._count = np.zeros(fresh.shape, dtype=np.int64)
        self._memory = np.concatenate([self._memory[..., 1:, :], features[..., None, :]], axis=-2)
        if fresh.any():
            self._memory = np.where(fresh[..., None, None], features[..., None, :], self._memory)
        self._count = np.where(fresh, 1, np.minimum(self._count + 1, self.frames))
        flat = self._memory.reshape(*fresh.shape, -1)
        return flat, self._count >= self.frames


def windows_of(features: NDArray[Any], frames: int) -> NDArray[Any]:
    """All windows of one uninterrupted recording: (T, F) -> (T - frames + 1, frames * F), oldest first."""
    features = np.asarray(features)
    count = len(features) - frames + 1
    if count < 1:
        return np.zeros((0, frames * features.shape[-1]))
    return np.concatenate([features[i : i + count] for i in range(frames)], axis=-1)
