"""The few rotations that the virtual robot needs. Quaternions are (4,) wxyz."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def multiply(a: Array, b: Array) -> Array:
    """Product a b: first b, then a."""
    w, x, y, z = (float(value) for value in a)
    s, i, j, k = (float(value) for value in b)
    return np.array(
        [
            w * s - x * i - y * j - z * k,
            w * i + x * s + y * k - z * j,
            w * j - x * k + y * s + z * i,
            w * k + x * j - y * i + z * s,
        ]
    )


def conjugate(q: Array) -> Array:
    """Inverse of a unit quaternion."""
    return np.array([q[0], -q[1], -q[2], -q[3]])


def quaternion_from_rotvec(rotvec: Array) -> Array:
    """Rotation about `rotvec` (3,) by its length, rad."""
    angle = float(np.linalg.norm(rotvec))
    if angle < 1e-12:
        return np.array([1.0, 0.0, 0.0, 0.0])
    axis = np.asarray(rotvec) / angle
    return np.concatenate([[math.cos(0.5 * angle)], math.sin(0.5 * angle) * axis])


def quaternion_from_yaw(yaw_rad: float) -> Array:
    """Rotation about z."""
    return np.array([math.cos(0.5 * yaw_rad), 0.0, 0.0, math.sin(0.5 * yaw_rad)])


def rotvec_between(a: Array, b: Array) -> Array:
    """Rotation vector, in a's frame, that turns a into b; the short way."""
    d = multiply(conjugate(a), b)
    if d[0] < 0.0:
        d = -d
    sine = float(np.linalg.norm(d[1:]))
    if sine < 1e-12:
        return np.zeros(3)
    return d[1:] / sine * 2.0 * math.atan2(sine, float(d[0]))


def to_matrix(q: Array) -> Array:
    """(3, 3) rotation matrix."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotate_back(matrix: Array, vector: Array) -> Array:
    """`vector` (3,) in the frame that `matrix` rotates from."""
    return vector @ matrix
