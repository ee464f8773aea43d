"""Kinematics of the chains of hinges that lead from the floating base to the torso and to the feet.

The same chains are walked in two directions. `Kinematics` goes outward from the base: frames, marked points and
Jacobians, for plans. `PointMotion` carries a few points inward from the tips, with their velocities: that needs no
frames and is several times faster, for the estimator's every tick. The two agree but for rounding.

All results are in the frame of the floating base ("pelvis frame": x forward, y left, z up at the zero pose), metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.arrays import array_namespace
from wildrobot.robot_description.mjcf import BodyTree, ChainLevel

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def _hinge_rotation(xp: Any, angle: Any, skew: Any, skew_squared: Any, eye: Any) -> Any:
    """Rotation about an axis with the cross product matrix `skew`, by an angle in rad (Rodrigues' formula)."""
    turn = skew * xp.sin(angle)
    turn += skew_squared * (1.0 - xp.cos(angle))
    turn += eye
    return turn


# ---------------------------------------------------------------------- outward: frames and Jacobians


@dataclass
class _Frames:
    """Where `c` chains end and where their hinges are, pelvis frame; batch first."""

    position: Array
    """(..., c, 3) m, of the tips."""
    rotation: Array
    """(..., c, 3, 3) base <- tip."""
    anchors: Array
    """(..., c, depth, 3) m."""
    axes: Array
    """(..., c, depth, 3) unit vectors."""


def _frames(levels: list[ChainLevel], q: Array, count: int) -> _Frames:
    """The frames of `count` chains at joint positions q (..., n)."""
    position = np.zeros((*q.shape[:-1], count, 3))
    if not levels:
        none = np.zeros((*q.shape[:-1], count, 0, 3))
        return _Frames(position, position[..., None] + np.eye(3), none, none)
    rotation, anchors, axes = position[..., None] + np.eye(3), [], []
    for i, level in enumerate(levels):
        angle = q[..., level.joints][..., None, None]
        position = position + (rotation @ level.offset[..., None])[..., 0] if i else position + level.offset
        before = rotation @ level.fixed if i else level.fixed + np.zeros_like(angle)
        rotation = before @ _hinge_rotation(np, angle, level.skew, level.skew_squared, np.eye(3))
        anchors.append(position + (before @ level.anchor[..., None])[..., 0])
        position = anchors[-1] - (rotation @ level.anchor[..., None])[..., 0]
        axes.append((before @ level.axis[..., None])[..., 0])
    return _Frames(position, rotation, np.stack(anchors, axis=-2), np.stack(axes, axis=-2))


class Kinematics:
    """Frames of feet and torso, and points on the feet, from joint positions q (..., n), n in policy order."""

    def __init__(
        self, tree: BodyTree, joint_names: tuple[str, ...], foot_sites: tuple[str, ...], torso: str
    ) -> None:
        self.num_joints = len(joint_names)
        sites = [tree.sites[name] for name in foot_sites]
        feet: list[int] = list(dict.fromkeys(site.body for site in sites))
        self._legs = tree.levels(joint_names, feet)
        across = _frames(self._legs, np.zeros(self.num_joints), len(feet)).position[:, 1]
        if np.any(np.diff(across) > 0.0):  # from left to right, in whatever order the description has them
            feet = [feet[i] for i in np.argsort(-across, kind="stable")]
            self._legs = tree.levels(joint_names, feet)
        self.foot_of_point: Indices = np.array([feet.index(site.body) for site in sites])
        """(points,) the foot that each of `foot_sites` is on: 0 the leftmost."""
        self.foot_pads = [np.flatnonzero(self.foot_of_point == foot) for foot in range(len(feet))]
        """Indices of each foot's points."""
        self.foot_marks: Array = np.array([site.pos for site in sites])
        """(points, 3) m, `foot_sites` in the frames of their feet."""
        soles = [[0.0, 0.0, self.foot_marks[pads, 2].mean()] for pads in self.foot_pads]
        self._soles = np.array(soles)
        self._torso = tree.levels(joint_names, [tree.body_index(torso)])

    @property
    def leg_joints(self) -> Indices:
        """(feet, depth) indices of each leg's joints, from the base down."""
        joints = [level.joints for level in self._legs]
        return np.stack(joints, axis=-1) if joints else np.zeros((len(self.foot_pads), 0), dtype=np.int64)

    @property
    def torso_joints(self) -> tuple[int, ...]:
        """Indices of the joints between base and torso; none if the torso is the base."""
        return tuple(int(level.joints[0]) for level in self._torso)

    def leg_axes(self) -> tuple[Array, Array]:
        """Where the legs' hinges are and which way they point at the zero pose, (feet, depth, 3) m and unit vectors."""
        frames = self._leg_frames(np.zeros(self.num_joints))
        return frames.anchors, frames.axes

    def torso_axes(self) -> Array:
        """Axes (waist joints, 3) of the joints between base and torso at the zero pose."""
        axes: Array = _frames(self._torso, np.zeros(self.num_joints), 1).axes[0]
        return axes

    def _leg_frames(self, q: Array) -> _Frames:
        return _frames(self._legs, q, len(self.foot_pads))

    def foot_points(self, q: Array) -> Array:
        """The sites of `feet` (..., points, 3), in the order of robot.yaml, m."""
        return self.marks(q, self.foot_marks, self.foot_of_point)

    def marks(self, q: Array, marks: Array, feet: Sequence[int] | Indices) -> Array:
        """Points (..., k, 3) m that are fixed to the `feet` (k,) at `marks` (k, 3) m of their frames."""
        return _points(self._leg_frames(q), marks, feet)

    def marks_and_jacobians(
        self, q: Array, marks: Array, feet: Sequence[int] | Indices
    ) -> tuple[Array, Array]:
        """`marks` (..., k, 3) and their Jacobians d mark / d q (..., k, 3, n), m and m/rad."""
        frames, joints = self._leg_frames(q), self.leg_joints
        points = _points(frames, marks, feet)
        jacobians = np.zeros((*points.shape, self.num_joints))
        for i, foot in enumerate(feet):
            lever = points[..., i, None, :] - frames.anchors[..., foot, :, :]
            columns = np.cross(frames.axes[..., foot, :, :], lever)
            jacobians[..., i, :, joints[foot]] = np.moveaxis(columns, -2, 0)
        return points, jacobians

    def sole_frames(self, q: Array) -> tuple[Array, Array]:
        """Foot poses: sole point below the ankle (..., 2, 3) m and base <- foot (..., 2, 3, 3)."""
        frames = self._leg_frames(q)
        return frames.position + (frames.rotation @ self._soles[..., None])[..., 0], frames.rotation

    def torso_frame(self, q: Array) -> tuple[Array, Array]:
        """Pose of the torso: origin (..., 3) m and base <- torso (..., 3, 3)."""
        frames = _frames(self._torso, q, 1)
        return frames.position[..., 0, :], frames.rotation[..., 0, :, :]


def _points(frames: _Frames, marks: Array, feet: Sequence[int] | Indices) -> Array:
    points = [
        frames.position[..., foot, :] + (frames.rotation[..., foot, :, :] @ mark[..., None])[..., 0]
        for mark, foot in zip(marks, feet, strict=True)
    ]
    return np.stack(points, axis=-2)


# ---------------------------------------------------------------------- inward: points and their velocities


@dataclass
class _Inward:
    """Constants of `c` chains' hinges, from the tips to the base, no zeros of turns about a coordinate axis."""

    joints: Any
    """(depth, c)."""
    start: Any
    """(3, 2, c, m+k) positions and velocities in the tips' frames."""
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

    Arrays are of any array library and have the batch as their *last* dimensions, which makes large batches cheap.

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
        start = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)  # (3, c, m)
        moved = np.ones(start.shape[-1])
        if directions is not None:
            turned = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
            start = np.concatenate([start, turned], axis=-1)
            moved = np.concatenate([moved, np.zeros(turned.shape[-1])])
        start = np.stack([start, np.zeros_like(start)], axis=1)
        self._chains = _inward(tree.levels(joint_names, tips)[::-1], start, moved)
        self._prepared: dict[Any, _Inward] = {}

    def __call__(self, q: Any, qd: Any) -> tuple[Any, Any]:
        """Motion of the points relative to the base for joints q, qd (n, ...), rad and rad/s.

        Returns:
            positions m and velocities m/s in the base's frame, (3, c, m+k, ...) each
        """
        xp = array_namespace(q)
        chains = self._like(xp, q)
        # what turns positions turns velocities: both in one array, (3, 2, c, m+k, ...)
        motion = chains.start + xp.zeros_like(q[:1])
        if not chains.rows:  # fixed to the base
            return motion[:, 0], motion[:, 1]
        angle, rate = q[chains.joints, ...], qd[chains.joints, ...]  # (depth, c, ...)
        turn = _hinge_rotation(xp, angle[:, None, None], chains.skew, chains.skew_squared, chains.eye)
        turn = turn[:, :, :, None, :, None]  # (depth, r, r, 1, c, 1, ...)
        spin = (chains.skew * rate[:, None, None])[:, :, :, :, None]
        for i, rows in enumerate(chains.rows):
            if chains.before[i] is not None:
                motion[:, 0] += chains.before[i]
            turned = times(turn[i], motion[rows])
            turned[:, 1] += times(spin[i], turned[:, 0])
            motion[rows] = turned
            if chains.after[i] is not None:
                motion[:, 0] += chains.after[i]
            if chains.fixed[i] is not None:
                motion = times(chains.fixed[i], motion)
                motion[:, 0] += chains.offset[i]
        return motion[:, 0], motion[:, 1]

    def _like(self, xp: Any, like: Any) -> _Inward:
        """The constants as arrays of the library, type and dimensions of `like`."""
        device = getattr(like, "device", None)
        key = (xp.__name__, like.dtype, device, like.ndim)
        if key not in self._prepared:
            batch = (1,) * (like.ndim - 1)

            def array(value: Any, *lead: int) -> Any:
                if value is None:
                    return None
                return xp.asarray(value.reshape(*value.shape, *lead, *batch), dtype=like.dtype, device=device)

            one = self._chains
            self._prepared[key] = _Inward(
                joints=xp.asarray(one.joints, device=device),
                start=array(one.start),
                rows=one.rows,
                skew=array(one.skew),
                skew_squared=array(one.skew_squared),
                eye=array(one.eye),
                before=[array(v) for v in one.before],
                after=[array(v) for v in one.after],
                fixed=[None if v is None else array(v[:, :, None], 1) for v in one.fixed],
                offset=[array(v) for v in one.offset],
            )
        return self._prepared[key]


def _inward(levels: list[ChainLevel], start: Array, moved: Array) -> _Inward:
    """Constants of the `levels` from the tips on; `moved` (m+k,) is 1 for points, 0 for directions."""

    def shift(by: Array) -> Array | None:
        """(c, 3) m as what moved points (3, c, m+k) get, None where that is nothing."""
        step: Array = by.T[:, :, None] * moved
        return step if np.any(step) else None

    rows = [_turned(level.skew) for level in levels]
    widths = {len(range(3)[one]) for one in rows}
    if len(widths) > 1:
        rows, widths = [slice(0, 3)] * len(rows), {3}
    plain = [bool(np.all(level.fixed == np.eye(3))) for level in levels]

    def cut(matrices: list[Array]) -> Array:
        """(depth, r, r, c), the coordinates only that turn."""
        return np.array([np.moveaxis(m[:, one, one], 0, -1) for m, one in zip(matrices, rows, strict=True)])

    return _Inward(
        joints=np.array([level.joints for level in levels], dtype=np.int64),
        start=start,
        rows=rows,
        skew=cut([level.skew for level in levels]),
        skew_squared=cut([level.skew_squared for level in levels]),
        eye=np.eye(max(widths, default=3))[:, :, None],
        before=[shift(-level.anchor) for level in levels],
        after=[
            shift(level.anchor + level.offset if flat else level.anchor)
            for level, flat in zip(levels, plain, strict=True)
        ],
        fixed=[
            None if flat else np.moveaxis(level.fixed, 0, -1)
            for level, flat in zip(levels, plain, strict=True)
        ],
        offset=[shift(level.offset) for level in levels],
    )


def _turned(skew: Array) -> slice:
    """The coordinates that rotations about axes with the cross product matrices (c, 3, 3) change."""
    changed = np.flatnonzero(np.any(skew != 0.0, axis=(0, 2)))
    return slice(changed[0], changed[-1] + 1, changed[-1] - changed[0]) if len(changed) == 2 else slice(0, 3)


def times(matrix: Any, vector: Any) -> Any:
    """(r, s, ...) times (s, ...), column by column: a fixed order of additions, whatever the batch."""
    total = matrix[:, 0] * vector[0]
    for column in range(1, len(vector)):
        total += matrix[:, column] * vector[column]
    return total
