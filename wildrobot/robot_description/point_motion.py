"""Positions and velocities of marked points relative to the floating base, for large batches.

The same results as `Kinematics`, several times faster: points are carried from the tip of their chain to the
base, with the batch as the *last* dimensions, and every zero of a rotation about a coordinate axis left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wildrobot.arrays import array_namespace
from wildrobot.robot_description.mjcf import BodyTree

_Entries = dict[tuple[int, int], Any]
"""Entries of one 3x3 matrix per chain, not zero everywhere: a float where all chains agree, else (c,)."""


@dataclass
class _Level:
    """Constants of the hinges that are equally far from the tips of their chains."""

    skew: _Entries
    skew_squared: _Entries
    fixed: _Entries | None
    """Rotation of the body in its parent; None: the identity."""
    before: list[Any]
    """Added to each coordinate of the points before the hinge turns them, (c, m+k), or None: nothing."""
    after: list[Any]
    """After the hinge has turned them: the anchor again, and without a fixed rotation the offset, too."""
    offset: list[Any]
    """After the fixed rotation."""


class PointMotion:
    """Points fixed to the tips of `c` chains of hinges of equal length (none: the base), `m` points on each.

    Args:
        tree: the robot's bodies.
        joint_names: policy order of the joints.
        tips: body index of each chain's tip.
        points: (c, m, 3) positions in the frame of the tip, m.
        directions: (c, k, 3) vectors fixed to the tip, turned but not moved; last in the results.
    """

    def __init__(
        self,
        tree: BodyTree,
        joint_names: tuple[str, ...],
        tips: list[int],
        points: Any,
        directions: Any = None,
    ) -> None:
        paths = [[tree.bodies[body] for body in path[::-1]] for path in tree.chains(tips)]
        levels: list[tuple[Any, ...]] = list(zip(*paths, strict=True))
        joints = [[joint_names.index(body.joint.name) for body in level] for level in levels]
        self._joints = np.array(joints, dtype=np.int64)
        start = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)  # (3, c, m)
        moved = np.ones(start.shape[-1])
        if directions is not None:
            turned = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
            start = np.concatenate([start, turned], axis=-1)
            moved = np.concatenate([moved, np.zeros(turned.shape[-1])])
        self._start = list(start)
        self._levels = [_level(level, moved) for level in levels]
        self._prepared: dict[Any, Any] = {}

    def __call__(self, q: Any, qd: Any) -> tuple[list[Any], list[Any]]:
        """Motion of the points relative to the base for joints q, qd (n, ...), rad and rad/s.

        Returns:
            positions m and velocities m/s in the base's frame, each a list x, y, z of (c, m+k, ...)
        """
        xp = array_namespace(q)
        joints, start, levels = self._constants(xp, q)
        if not levels:  # fixed to the base
            still = xp.zeros_like(q[:1])[None] * start[0]
            return [value + still for value in start], [still] * 3
        angle, rate = xp.take(q, joints, axis=0), xp.take(qd, joints, axis=0)
        shape = (len(levels), -1, *q.shape[1:])
        sine, versine = xp.reshape(xp.sin(angle), shape), xp.reshape(1.0 - xp.cos(angle), shape)
        rate = xp.reshape(rate, shape)
        position = list(start)
        velocity: list[Any] = [0.0, 0.0, 0.0]
        for i, level in enumerate(levels):
            hinge = {key: value[:, None] for key, value in _hinge(level, sine[i], versine[i]).items()}
            position = _turn(_shift(position, level.before), hinge)
            velocity = _turn(velocity, hinge) if i else velocity
            for (row, column), value in level.skew.items():
                velocity[row] = velocity[row] + (value * rate[i])[:, None] * position[column]
            position = _shift(position, level.after)
            if level.fixed is not None:
                fixed = {key: value[:, None] for key, value in level.fixed.items()}
                position, velocity = _shift(_turn(position, fixed), level.offset), _turn(velocity, fixed)
        zero = 0.0 * rate[-1][:, None] * start[0]
        return [_filled(p, zero) for p in position], [_filled(v, zero) for v in velocity]

    def _constants(self, xp: Any, like: Any) -> tuple[Any, list[Any], list[_Level]]:
        """Joint indices, start and levels as arrays of the library, type and dimensions of `like`."""
        key = (xp.__name__, str(like.dtype), str(getattr(like, "device", "")), like.ndim)
        if key not in self._prepared:
            device = getattr(like, "device", None)

            def array(value: Any, lead: int) -> Any:
                if value is None or isinstance(value, float):
                    return value
                shape = value.shape + (1,) * (like.ndim - 1 + lead)
                return xp.asarray(value.reshape(shape), dtype=like.dtype, device=device)

            def entries(values: _Entries) -> _Entries:
                return {k: array(v, 0) for k, v in values.items()}

            def fixed(values: _Entries) -> _Entries:
                one = np.ones(len(self._joints[0]))
                return {k: array(one * v, 0) for k, v in values.items()}

            levels = [
                _Level(
                    skew=entries(level.skew),
                    skew_squared=entries(level.skew_squared),
                    fixed=None if level.fixed is None else fixed(level.fixed),
                    before=[array(v, 0) for v in level.before],
                    after=[array(v, 0) for v in level.after],
                    offset=[array(v, 0) for v in level.offset],
                )
                for level in self._levels
            ]
            joints = xp.asarray(self._joints.reshape(-1), device=device)
            self._prepared[key] = (joints, [array(v, 0) for v in self._start], levels)
        return self._prepared[key]


def _level(bodies: tuple[Any, ...], moved: Any) -> _Level:
    def shifts(by: Any) -> list[Any]:
        steps = [value[:, None] * moved for value in by.T]
        return [step if np.any(step) else None for step in steps]

    anchor = np.array([body.joint.anchor for body in bodies])
    offset = np.array([body.pos for body in bodies])
    fixed = np.array([_matrix(body.quat) for body in bodies])
    plain = bool(np.all(fixed == np.eye(3)))
    skew = np.array([_skew(body.joint.axis) for body in bodies])
    return _Level(
        skew=_entries(skew),
        skew_squared=_entries(skew @ skew),
        fixed=None if plain else _entries(fixed),
        before=shifts(-anchor),
        after=shifts(anchor + offset if plain else anchor),
        offset=shifts(offset),
    )


def _skew(axis: Any) -> Any:
    x, y, z = axis
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _matrix(quat: Any) -> Any:
    k = _skew(quat[1:])
    return np.eye(3) + 2.0 * (quat[0] * k + k @ k)


def _entries(matrices: Any) -> _Entries:
    found: _Entries = {}
    for i, j in zip(*np.nonzero(np.any(matrices != 0.0, axis=0)), strict=True):
        values = matrices[:, i, j]
        found[int(i), int(j)] = float(values[0]) if np.all(values == values[0]) else values
    return found


def _hinge(level: _Level, sine: Any, versine: Any) -> _Entries:
    """Rodrigues: 1 + sin K + (1 - cos) K^2, where it is not the identity; entries are (c, ...)."""
    entries: _Entries = {key: value * sine for key, value in level.skew.items()}
    for key, value in level.skew_squared.items():
        square = value * versine
        square = square + entries[key] if key in entries else square
        entries[key] = 1.0 + square if key[0] == key[1] else square
    return entries


def _turn(vector: list[Any], matrix: _Entries) -> list[Any]:
    """Matrix times vector by coordinates; a row without entries is a row of the identity."""
    result = []
    for i in range(3):
        terms = [matrix[i, j] * vector[j] for j in range(3) if (i, j) in matrix]
        row = terms[0] if terms else vector[i]
        for term in terms[1:]:
            row = row + term
        result.append(row)
    return result


def _shift(position: list[Any], by: list[Any]) -> list[Any]:
    return [p if b is None else p + b for p, b in zip(position, by, strict=True)]


def _filled(value: Any, zero: Any) -> Any:
    """A coordinate that nothing has moved still gets the shape of the batch."""
    return value if getattr(value, "shape", None) == zero.shape else value + zero
