"""Positions and velocities of marked points relative to the floating base, for large batches.

The same results as `Kinematics`, several times faster: points are carried from the tip of their chain to the
base, with the batch as the *last* dimensions, and every zero of a rotation about a coordinate axis left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wildrobot.core.arrays import array_namespace
from wildrobot.robot_description.mjcf import BodyTree


@dataclass
class _Levels:
    """Constants of all hinges, from the tips of their chains to the base; `c` chains."""

    rows: list[slice]
    """(depth) the `r` coordinates that each level's hinges turn: two of them, or all three where an axis is oblique."""
    skew: Any
    """(depth, r, r, c) cross product matrix of the axes, those coordinates only."""
    skew_squared: Any
    """(depth, r, r, c)."""
    eye: Any
    """(r, r, 1)."""
    before: list[Any]
    """(depth) added to the points (3, c, m+k) before the hinge turns them, or None: nothing."""
    after: list[Any]
    """After the hinge has turned them: the anchor again, and without a fixed rotation the offset, too."""
    fixed: list[Any]
    """(depth) rotation of the body in its parent (3, 3, c), or None: the identity."""
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
        self._start = np.stack(
            [start, np.zeros_like(start)], axis=1
        )  # positions and velocities, (3, 2, c, m+k)
        self._levels = _constants_of(levels, moved)
        self._prepared: dict[Any, Any] = {}

    def __call__(self, q: Any, qd: Any) -> tuple[Any, Any]:
        """Motion of the points relative to the base for joints q, qd (n, ...), rad and rad/s.

        Returns:
            positions m and velocities m/s in the base's frame, (3, c, m+k, ...) each
        """
        xp = array_namespace(q)
        joints, start, levels = self._constants(xp, q)
        # what turns positions turns velocities: both in one array, (3, 2, c, m+k, ...)
        motion = start + xp.zeros_like(q[:1])
        if not levels.rows:  # fixed to the base
            return motion[:, 0], motion[:, 1]
        angle, rate = q[joints, ...], qd[joints, ...]  # (depth, c, ...)
        turn = levels.skew * xp.sin(angle)[:, None, None]  # Rodrigues' formula
        turn += levels.skew_squared * (1.0 - xp.cos(angle))[:, None, None]
        turn += levels.eye
        turn = turn[:, :, :, None, :, None]  # (depth, r, r, 1, c, 1, ...)
        spin = (levels.skew * rate[:, None, None])[:, :, :, :, None]
        for i, rows in enumerate(levels.rows):
            if levels.before[i] is not None:
                motion[:, 0] += levels.before[i]
            turned = times(turn[i], motion[rows])
            turned[:, 1] += times(spin[i], turned[:, 0])
            motion[rows] = turned
            if levels.after[i] is not None:
                motion[:, 0] += levels.after[i]
            if levels.fixed[i] is not None:
                motion = times(levels.fixed[i], motion)
                motion[:, 0] += levels.offset[i]
        return motion[:, 0], motion[:, 1]

    def _constants(self, xp: Any, like: Any) -> tuple[Any, Any, _Levels]:
        """Joint indices, start and levels as arrays of the library, type and dimensions of `like`."""
        device = getattr(like, "device", None)
        key = (xp.__name__, like.dtype, device, like.ndim)
        if key not in self._prepared:
            batch = (1,) * (like.ndim - 1)

            def array(value: Any, *lead: int) -> Any:
                if value is None:
                    return None
                return xp.asarray(value.reshape(*value.shape, *lead, *batch), dtype=like.dtype, device=device)

            one = self._levels
            levels = _Levels(
                rows=one.rows,
                skew=array(one.skew),
                skew_squared=array(one.skew_squared),
                eye=array(one.eye),
                before=[array(v) for v in one.before],
                after=[array(v) for v in one.after],
                fixed=[None if v is None else array(v[:, :, None], 1) for v in one.fixed],
                offset=[array(v) for v in one.offset],
            )
            joints = xp.asarray(self._joints, device=device)
            self._prepared[key] = (joints, array(self._start), levels)
        return self._prepared[key]


def _constants_of(levels: list[tuple[Any, ...]], moved: Any) -> _Levels:
    def shift(by: Any) -> Any:
        """(c, 3) m as what moved points (3, c, m+k) get, None where that is nothing."""
        step = by.T[:, :, None] * moved
        return step if np.any(step) else None

    skews = [np.array([_skew(body.joint.axis) for body in level]) for level in levels]
    rows = [_turned(skew) for skew in skews]
    widths = {len(range(3)[one]) for one in rows}
    if len(widths) > 1:
        rows, widths = [slice(0, 3)] * len(rows), {3}
    width = max(widths, default=3)
    found = _Levels(rows, [], [], np.eye(width)[:, :, None], [], [], [], [])
    for level, skew, turned in zip(levels, skews, rows, strict=True):
        anchor = np.array([body.joint.anchor for body in level])
        offset = np.array([body.pos for body in level])
        fixed = np.array([_matrix(body.quat) for body in level])
        plain = bool(np.all(fixed == np.eye(3)))
        for matrices, known in ((skew, found.skew), (skew @ skew, found.skew_squared)):
            known.append(np.moveaxis(matrices[:, turned, turned], 0, -1))
        found.before.append(shift(-anchor))
        found.after.append(shift(anchor + offset if plain else anchor))
        found.fixed.append(None if plain else np.moveaxis(fixed, 0, -1))
        found.offset.append(shift(offset))
    found.skew, found.skew_squared = np.array(found.skew), np.array(found.skew_squared)
    return found


def _turned(skew: Any) -> slice:
    """The coordinates that rotations about axes with the cross product matrices (c, 3, 3) change."""
    changed = np.flatnonzero(np.any(skew != 0.0, axis=(0, 2)))
    return slice(changed[0], changed[-1] + 1, changed[-1] - changed[0]) if len(changed) == 2 else slice(0, 3)


def _skew(axis: Any) -> Any:
    x, y, z = axis
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _matrix(quat: Any) -> Any:
    k = _skew(quat[1:])
    return np.eye(3) + 2.0 * (quat[0] * k + k @ k)


def times(matrix: Any, vector: Any) -> Any:
    """(r, s, ...) times (s, ...), column by column: a fixed order of additions, whatever the batch."""
    total = matrix[:, 0] * vector[0]
    for column in range(1, len(vector)):
        total += matrix[:, column] * vector[column]
    return total
