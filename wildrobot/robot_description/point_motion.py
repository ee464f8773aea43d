"""Positions and velocities of marked points relative to the floating base, for large batches, on any array library.

The same results as `Kinematics`, several times faster: points are carried from the tip of their chain to the base, with
the batch as the *last* dimensions and every zero of a rotation about a coordinate axis left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from wildrobot.robot_description.mjcf import BodyTree

# Entries of (c,) constants: a float where all chains agree, else an array.
_Entries = dict[tuple[int, int], Any]


def _skew(axis: Any) -> Any:
    x, y, z = axis
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


class PointMotion:
    """Points fixed to the tips of `c` chains of hinges of equal length, `m` points on each.

    Args:
        tree: the robot's bodies.
        joint_names: policy order of the joints.
        tips: body index of each chain's tip.
        points: (c, m, 3) positions in the frame of the tip, m.
        directions: (c, k, 3) vectors fixed to the tip that are turned but not moved (appended to the points).
    """

    def __init__(
        self,
        tree: BodyTree,
        joint_names: tuple[str, ...],
        tips: list[int],
        points: Any,
        directions: Any = None,
    ) -> None:
        paths: list[list[Any]] = []
        for tip in tips:
            path, body = [], tip
            while body > 0:
                path.append(tree.bodies[body])
                body = tree.bodies[body].parent
            paths.append(path)  # tip first
        if len({len(path) for path in paths}) > 1 or any(
            body.joint is None for path in paths for body in path
        ):
            raise ValueError("chains must have equal length and one hinge per body")
        levels = list(zip(*paths, strict=True))
        self._joints = [[joint_names.index(body.joint.name) for body in level] for level in levels]
        self._points = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)  # (3, c, m)
        self._num_points = self._points.shape[-1]
        if directions is not None:
            turned = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
            self._points = np.concatenate([self._points, turned], axis=-1)
        self._offset = [self._shifts(np.array([body.pos for body in level])) for level in levels]
        self._anchor = [self._shifts(np.array([body.joint.anchor for body in level])) for level in levels]
        fixed = [np.array([_matrix(body.quat) for body in level]) for level in levels]
        skew = [np.array([_skew(body.joint.axis) for body in level]) for level in levels]
        self._fixed: list[_Entries | None] = [None if np.all(f == np.eye(3)) else _entries(f) for f in fixed]
        self._axis = [_entries(np.array([body.joint.axis for body in level])[:, :, None]) for level in levels]
        self._skew = [_entries(k) for k in skew]
        self._skew2 = [_entries(k @ k) for k in skew]

    def __call__(self, q: Any, qd: Any) -> tuple[Any, Any, Any]:
        """Motion of the points relative to the base for joints q, qd (n, ...), rad and rad/s.

        Returns:
            positions (3, c, m+k, ...) m, velocities (3, c, m+k, ...) m/s, and the tips' angular velocities
            (3, c, ...) rad/s; all in the base's frame.
        """
        xp = array_namespace(q)
        batch = q.ndim - 1
        angle = xp.stack([q[j] for level in self._joints for j in level])
        rate = xp.stack([qd[j] for level in self._joints for j in level])
        sine, versine = xp.sin(angle), 1.0 - xp.cos(angle)
        count = len(self._joints[0])
        start = _like(xp, q, self._points, batch)
        zero = xp.zeros((*self._points.shape[1:], *q.shape[1:]), dtype=q.dtype)
        position = [start[i] + zero for i in range(3)]
        velocity = [zero, zero, zero]
        omega = [xp.zeros((count, *q.shape[1:]), dtype=q.dtype)] * 3
        for level in range(len(self._joints)):
            rows = slice(level * count, (level + 1) * count)
            hinge = self._hinge(xp, level, sine[rows], versine[rows])
            spread = {key: entry[:, None] for key, entry in hinge.items()}
            position = _shift(xp, position, self._anchor[level], -1.0)
            position, omega = _turn(position, spread), _turn(omega, hinge)
            velocity = _turn(velocity, spread) if level else velocity
            w = rate[rows]
            for (i, _), value in self._axis[level].items():
                omega[i] = omega[i] + _const(xp, value, w) * w
            for (i, j), value in self._skew[level].items():
                velocity[i] = velocity[i] + (_const(xp, value, w) * w)[:, None] * position[j]
            position = _shift(xp, position, self._anchor[level], 1.0)
            fixed = self._fixed[level]
            if fixed is not None:
                position, velocity = _fixed_turn(xp, position, fixed), _fixed_turn(xp, velocity, fixed)
                omega = _fixed_turn(xp, omega, fixed)
            position = _shift(xp, position, self._offset[level], 1.0)
        return xp.stack(position), xp.stack(velocity), xp.stack(omega)

    def _shifts(self, by: Any) -> list[Any]:
        """What adding `by` (c, 3) does to each coordinate of points and directions: (c, m+k), or None where nothing."""
        moved = np.zeros((3, by.shape[0], self._points.shape[-1]))
        moved[:, :, : self._num_points] = by.T[:, :, None]
        return [m if np.any(m) else None for m in moved]

    def _hinge(self, xp: Any, level: int, sine: Any, versine: Any) -> _Entries:
        """Rodrigues: 1 + sin K + (1 - cos) K^2, the entries that are not those of the identity, (c, ...) each."""
        skew, skew2 = self._skew[level], self._skew2[level]
        entries: _Entries = {key: _const(xp, value, sine) * sine for key, value in skew.items()}
        for key, value in skew2.items():
            square = _const(xp, value, versine) * versine
            square = square + entries[key] if key in entries else square
            entries[key] = 1.0 + square if key[0] == key[1] else square
        return entries


def _matrix(quat: Any) -> Any:
    w, x, y, z = quat
    k = _skew((x, y, z))
    return np.eye(3) + 2.0 * (w * k + k @ k)


def _entries(matrices: Any) -> _Entries:
    """Entries of (c, r, s) matrices that are not zero in every chain."""
    found: _Entries = {}
    for i in range(matrices.shape[1]):
        for j in range(matrices.shape[2]):
            values = matrices[:, i, j]
            if np.any(values):
                found[i, j] = float(values[0]) if np.all(values == values[0]) else values
    return found


def _like(xp: Any, like: Any, value: Any, batch: int) -> Any:
    """Constant with `batch` dimensions of one appended, of the library of `like`."""
    return xp.asarray(value.reshape(value.shape + (1,) * batch), dtype=like.dtype)


def _const(xp: Any, value: Any, like: Any) -> Any:
    """A factor for arrays (c, ...): a float, or one per chain."""
    return value if isinstance(value, float) else _like(xp, like, value, like.ndim - 1)


def _turn(vector: list[Any], matrix: _Entries) -> list[Any]:
    """Matrix times vector by components; a row without entries is a row of the identity."""
    result = []
    for i in range(3):
        row: Any = None
        for j in range(3):
            if (i, j) in matrix:
                term = matrix[i, j] * vector[j]
                row = term if row is None else row + term
        result.append(vector[i] if row is None else row)
    return result


def _shift(xp: Any, position: list[Any], by: list[Any], sign: float) -> list[Any]:
    return [
        p if b is None else p + sign * _like(xp, p, b, p.ndim - 2) for p, b in zip(position, by, strict=True)
    ]


def _fixed_turn(xp: Any, vector: list[Any], matrix: _Entries) -> list[Any]:
    """Constant rotation (one matrix per chain) of components (c, ...)."""
    rows = [
        [_const(xp, matrix[i, j], vector[j]) * vector[j] for j in range(3) if (i, j) in matrix]
        for i in range(3)
    ]
    return [sum(row[1:], row[0]) for row in rows]
