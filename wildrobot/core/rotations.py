"""Rotations on any array library. Quaternions: (..., 4) wxyz, unit; matrices (..., 3, 3) map child to parent frame."""

from __future__ import annotations

import math

import numpy as np

from wildrobot.core.arrays import A, Constants, array_namespace

_WW, _WX, _WY, _WZ, _, _XX, _XY, _XZ, _, _, _YY, _YZ, _, _, _, _ZZ = range(16)
"""Where the products of a quaternion's components stand in their table, row by row."""
_MATRIX = Constants(
    np.array([_YY, _XY, _XZ, _XY, _XX, _YZ, _XZ, _YZ, _XX]),
    np.array([_ZZ, _WZ, _WY, _WZ, _ZZ, _WX, _WY, _WX, _YY]),
    np.array([1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0]),
    np.array([-2.0, 2.0, 2.0, 2.0, -2.0, 2.0, 2.0, 2.0, -2.0]),
    np.eye(3).reshape(9),
)
"""A rotation matrix's entries, row by row: one + scale * (first product + sign * second product)."""


def quat_to_matrix(quat: A) -> A:
    """Rotation matrix (..., 3, 3) of a unit quaternion (..., 4) wxyz."""
    xp = array_namespace(quat)
    first, second, sign, scale, one = _MATRIX.like(quat)
    product = xp.reshape(quat[..., :, None] * quat[..., None, :], (*quat.shape[:-1], 16))
    entries = one + scale * (xp.take(product, first, axis=-1) + sign * xp.take(product, second, axis=-1))
    return xp.reshape(entries, (*quat.shape[:-1], 3, 3))


def quat_multiply(a: A, b: A) -> A:
    """Hamilton product a*b, (..., 4) wxyz."""
    xp = array_namespace(a, b)
    aw, ax, ay, az = (a[..., i] for i in range(4))
    bw, bx, by, bz = (b[..., i] for i in range(4))
    return xp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conjugate(quat: A) -> A:
    """Inverse of a unit quaternion (..., 4) wxyz."""
    xp = array_namespace(quat)
    return xp.concat([quat[..., :1], -quat[..., 1:]], axis=-1)


def quat_from_rotvec(vector: A) -> A:
    """Quaternion (..., 4) wxyz of a rotation vector (..., 3), rad."""
    xp = array_namespace(vector)
    angle = xp.sqrt(xp.sum(vector * vector, axis=-1, keepdims=True))
    half = 0.5 * angle
    small = angle < 1e-8
    scale = xp.where(small, 0.5 + 0.0 * angle, xp.sin(half) / xp.where(small, 1.0 + 0.0 * angle, angle))
    return xp.concat([xp.cos(half), scale * vector], axis=-1)


def rotvec_between(a: A, b: A) -> A:
    """Rotation vector (..., 3), rad, in a's frame, turning orientation `a` into `b`, (..., 4) wxyz; the short way."""
    xp = array_namespace(a, b)
    turn = quat_multiply(quat_conjugate(a), b)
    turn = xp.where(turn[..., :1] < 0.0, -turn, turn)
    sine = xp.sqrt(xp.sum(turn[..., 1:] ** 2, axis=-1, keepdims=True))
    small = sine < 1e-12
    scale = xp.where(
        small, 2.0 + 0.0 * sine, 2.0 * xp.atan2(sine, turn[..., :1]) / xp.where(small, 1.0 + 0.0 * sine, sine)
    )
    return scale * turn[..., 1:]


def quat_from_yaw(yaw: A) -> A:
    """Quaternion (..., 4) wxyz of a rotation about z, rad."""
    xp = array_namespace(yaw)
    zero = xp.zeros_like(yaw)
    return xp.stack([xp.cos(0.5 * yaw), zero, zero, xp.sin(0.5 * yaw)], axis=-1)


def rotate(matrix: A, vector: A) -> A:
    """matrix (..., 3, 3) times vector (..., 3)."""
    return (matrix @ vector[..., None])[..., 0]


def rotate_inverse(matrix: A, vector: A) -> A:
    """Transposed matrix (..., 3, 3) times vector (..., 3)."""
    return (vector[..., None, :] @ matrix)[..., 0, :]


def heading_split(rotation: A) -> tuple[A, A]:
    """Split world<-body (..., 3, 3) into the heading and the rest.

    Heading (yaw, rad) is the direction of the body's forward axis projected on the ground; the rest, heading<-body
    (..., 3, 3), holds the tilt only. With the body's x axis vertical the heading is that of atan2, arbitrary. Further
    columns (..., 3, 3 + k) are vectors, turned from the world into the heading frame along with the body's axes.
    """
    xp = array_namespace(rotation)
    forward_x, forward_y = rotation[..., 0, 0], rotation[..., 1, 0]
    yaw = xp.atan2(forward_y, forward_x)
    cos, sin = xp.cos(yaw)[..., None], xp.sin(yaw)[..., None]
    rows = [
        cos * rotation[..., 0, :] + sin * rotation[..., 1, :],
        cos * rotation[..., 1, :] - sin * rotation[..., 0, :],
        rotation[..., 2, :],
    ]
    return yaw, xp.stack(rows, axis=-2)


def rotate_heading(yaw: A, vector: A, inverse: bool = False) -> A:
    """Turn a vector (..., 3) by yaw (...) about z; `inverse` turns it back (world to heading frame)."""
    xp = array_namespace(vector)
    cos, sin = xp.cos(yaw), xp.sin(yaw)
    if inverse:
        sin = -sin
    x, y = vector[..., 0], vector[..., 1]
    return xp.stack([cos * x - sin * y, sin * x + cos * y, vector[..., 2]], axis=-1)


def wrap_angle(angle: A) -> A:
    """The same angle in [-pi, pi), rad."""
    xp = array_namespace(angle)
    return xp.remainder(angle + math.pi, 2.0 * math.pi) - math.pi
