"""What part each joint plays in a biped, by the place and the direction of its axis: names mean nothing here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.robot_description.kinematics import Kinematics

SIDES = ("left", "right")
"""Feet and legs are counted in this order, whatever order robot.yaml has."""
_ALIGNED = 0.99


@dataclass(frozen=True)
class JointRole:
    """The part of one joint."""

    name: str
    """waist_yaw, hip_yaw, hip_roll, hip_pitch, knee_pitch, ankle_pitch, ankle_roll; empty: none of these."""
    side: int | None
    """0 left leg, 1 right leg, None: no leg."""
    sign: float
    """1: turns about +x, +y or +z as its role has it (see `derive_roles`), -1: the other way."""


@dataclass(frozen=True)
class LegGeometry:
    """Lengths of one leg at the zero pose, m: hip pitch to knee, knee to ankle, ankle to sole, hip below pelvis."""

    thigh: float
    shank: float
    ankle_height: float
    hip_drop: float

    @property
    def length(self) -> float:
        """Hip pitch axis to ankle, leg straight, m."""
        return self.thigh + self.shank


def derive_roles(kinematics: Kinematics) -> tuple[JointRole, ...]:
    """The role of every joint (n), from the axes at the zero pose.

    Of a leg's pitch axes (y) three are hip, knee and ankle, from above; a roll axis (x) or a yaw axis (z) above the
    knee belongs to the hip, a roll axis below it to the ankle. A joint between pelvis and torso about z is the waist's
    yaw. Where a leg has another number of any of these, none of that direction has a role.
    """
    roles = [JointRole("", None, 1.0)] * kinematics.num_joints
    _, axes = kinematics.leg_axes()
    for side, joints in enumerate(kinematics.leg_joints):
        letters = [_letter(axis) for axis in axes[side]]
        pitch = [i for i, (letter, _) in enumerate(letters) if letter == "y"]
        parts = dict.fromkeys(range(len(joints)), "")
        if len(pitch) == 3:
            parts |= dict(zip(pitch, ("hip_pitch", "knee_pitch", "ankle_pitch"), strict=True))
            knee = pitch[1]
            for letter, name, above in (
                ("x", "hip_roll", True),
                ("x", "ankle_roll", False),
                ("z", "hip_yaw", True),
            ):
                found = [i for i, (own, _) in enumerate(letters) if own == letter and (i < knee) is above]
                if len(found) == 1:
                    parts[found[0]] = name
        for i, joint in enumerate(joints):
            roles[int(joint)] = JointRole(parts[i], side, letters[i][1])
    for joint, axis in zip(kinematics.torso_joints, kinematics.torso_axes(), strict=True):
        letter, sign = _letter(axis)
        roles[joint] = JointRole("waist_yaw" if letter == "z" else "", None, sign)
    return tuple(roles)


def _letter(axis: NDArray[np.float64]) -> tuple[str, float]:
    """The coordinate axis that an axis (3,) runs along, and which way; empty: along none."""
    i = int(np.argmax(np.abs(axis)))
    return ("xyz"[i] if abs(axis[i]) > _ALIGNED else "", float(np.sign(axis[i])))


def leg_geometry(
    name: str, kinematics: Kinematics, joint_names: tuple[str, ...], roles: tuple[JointRole, ...]
) -> LegGeometry:
    """Lengths of the left leg.

    Raises:
        UserError: it has no hip, knee and ankle that turn about y.
    """
    joints = [int(joint) for joint in kinematics.leg_joints[0]]
    anchors, axes = kinematics.leg_axes()
    at = {roles[joint].name: anchors[0, i] for i, joint in enumerate(joints)}
    if "knee_pitch" not in at:
        found = ", ".join(
            f"{joint_names[joint]} about {np.round(axes[0, i], 2).tolist()}" for i, joint in enumerate(joints)
        )
        raise UserError(
            f"{name}'s left leg has the joints {found}; expected three that turn about y at the zero pose, from above: "
            "hip pitch, knee, ankle pitch. Gaits can be planned for such legs only."
        )
    hip, knee, ankle = (at[part] for part in ("hip_pitch", "knee_pitch", "ankle_pitch"))
    sole = kinematics.foot_points(np.zeros(kinematics.num_joints))[int(kinematics.foot_pads[0][0])]
    return LegGeometry(
        thigh=float(hip[2] - knee[2]),
        shank=float(knee[2] - ankle[2]),
        ankle_height=float(ankle[2] - sole[2]),
        hip_drop=float(-hip[2]),
    )
