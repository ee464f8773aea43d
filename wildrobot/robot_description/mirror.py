"""The left-right mirror map, derived from the model's geometry and joint axes: never typed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.robot_description.mjcf import BodyTree

_REFLECT = np.diag([1.0, -1.0, 1.0])

Mirror = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Index and sign (k,) of the mirror image sign * x[index] of vectors x (..., k)."""
POLAR: Mirror = np.arange(3), np.array([1.0, -1.0, 1.0])
"""Of a velocity or a direction; x forward, y to the left, z up."""
AXIAL: Mirror = np.arange(3), np.array([-1.0, 1.0, -1.0])
"""Of an angular velocity."""
SAME: Mirror = np.arange(1), np.ones(1)
"""Of a number that has no side."""


def joined(mirrors: Sequence[Mirror]) -> Mirror:
    """The mirror of vectors one after the other."""
    begin = np.cumsum([0, *(len(index) for index, _ in mirrors)])
    index = [start + index for start, (index, _) in zip(begin[:-1], mirrors, strict=True)]
    return np.concatenate(index), np.concatenate([sign for _, sign in mirrors])


@dataclass(frozen=True)
class MirrorMap:
    """mirrored[i] = sign[i] * x[index[i]] for joints (n,) and feet.

    A reflection in the x-z plane maps a vector v to (vx, -vy, vz) and an axial vector (rotation rate) to
    (-wx, wy, -wz).
    """

    joint_index: NDArray[np.int64]
    joint_sign: NDArray[np.float64]
    foot_index: NDArray[np.int64]

    @property
    def joints(self) -> Mirror:
        """Of vectors of joints."""
        return self.joint_index, self.joint_sign

    @property
    def feet(self) -> Mirror:
        """Of a number for each point of the feet."""
        return self.foot_index, np.ones(len(self.foot_index))


def derive_mirror(tree: BodyTree, joint_names: tuple[str, ...], foot_names: tuple[str, ...]) -> MirrorMap:
    """Match every joint and foot site with its mirror image at the zero pose.

    A hinge with anchor p and axis a (base frame) mirrors to anchor S p and axis -S a, S = diag(1, -1, 1), because an
    axis is an axial vector. The partner is the hinge at that anchor; the sign tells whether its axis points along it.

    Raises:
        UserError: a joint or foot without a mirror image, or mirrored joints whose ranges do not agree.
    """
    position: list[NDArray[np.float64]] = []
    for body in tree.bodies:
        base = np.zeros(3) if body.parent < 0 else position[body.parent] + body.pos
        if not np.allclose(body.quat, [1.0, 0.0, 0.0, 0.0]):
            raise UserError(
                f"body '{body.name}' is rotated at the zero pose; the mirror map needs aligned frames."
            )
        position.append(base)
    hinge = {}
    for body, base in zip(tree.bodies, position, strict=True):
        if body.joint is not None:
            hinge[body.joint.name] = (base + body.joint.anchor, body.joint.axis, body.joint.range)
    index, sign = [], []
    for name in joint_names:
        anchor, axis, limits = hinge[name]
        for partner, other in enumerate(joint_names):
            other_anchor, other_axis, other_limits = hinge[other]
            alignment = float(other_axis @ (-_REFLECT @ axis))
            if np.allclose(_REFLECT @ anchor, other_anchor, atol=1e-4) and abs(abs(alignment) - 1.0) < 1e-6:
                expected = limits if alignment > 0 else (-limits[1], -limits[0])
                if not np.allclose(expected, other_limits, atol=1e-6):
                    raise UserError(
                        f"joints '{name}' and '{other}' mirror each other, but their ranges do not."
                    )
                index.append(partner)
                sign.append(float(np.sign(alignment)))
                break
        else:
            raise UserError(f"joint '{name}' has no mirror image in the model.")
    feet = [position[tree.sites[name].body] + tree.sites[name].pos for name in foot_names]
    foot_index = []
    for name, point in zip(foot_names, feet, strict=True):
        distances = [float(np.linalg.norm(_REFLECT @ point - other)) for other in feet]
        if min(distances) > 1e-3:
            raise UserError(f"foot '{name}' has no mirror image in the model.")
        foot_index.append(int(np.argmin(distances)))
    return MirrorMap(np.array(index), np.array(sign), np.array(foot_index))
