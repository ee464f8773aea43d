"""What the rest of the code takes for granted of a robot's body, said at once and in words where it does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.robot_description.kinematics import Kinematics
from wildrobot.robot_description.mirror import MirrorMap
from wildrobot.robot_description.mjcf import BodyTree


def check_places(path: Path, tree: BodyTree, pelvis: str, torso: str, imu_site: str) -> None:
    """Pelvis, torso and IMU are where the estimator takes them to be.

    Raises:
        UserError: one of them is not.
    """
    tree.body_index(torso)
    if tree.body_index(pelvis) != 0:
        raise UserError(
            f"{path}: pelvis_body is '{pelvis}', but the MJCF's <freejoint> is in '{tree.bodies[0].name}'. The pelvis "
            f"is the body that floats freely: name that one, or put the <freejoint> into '{pelvis}'."
        )
    site = tree.sites[imu_site]
    if tree.bodies[site.body].name != torso:
        raise UserError(
            f"{path}: torso_body is '{torso}', but the IMU's site '{imu_site}' is on '{tree.bodies[site.body].name}'. "
            "The torso is the body that carries the IMU (it may be the pelvis): make them agree."
        )
    if not np.allclose(site.quat, [1.0, 0.0, 0.0, 0.0]):
        raise UserError(
            f"the IMU's site '{imu_site}' is turned in the MJCF ({site.quat.tolist()}). Leave its quat out there: how "
            f"the IMU is mounted stands in {path} as imu_mount."
        )


def check_feet(path: Path, kinematics: Kinematics) -> None:
    """There are two feet, with as many contacts each.

    Raises:
        UserError: there is not.
    """
    bodies, counts = len(kinematics.foot_pads), [len(pads) for pads in kinematics.foot_pads]
    if bodies != 2 or counts[0] != counts[1]:
        raise UserError(
            f"{path}: the sites in feet lie on {bodies} bodies ({', '.join(map(str, counts))} of them); expected two "
            "bodies, a left and a right foot, with the same number of sites on each."
        )


def check_sides(path: Path, kinematics: Kinematics, mirror: MirrorMap) -> None:
    """One foot is the other's mirror image.

    Raises:
        UserError: it is not.
    """
    same = kinematics.foot_of_point[mirror.foot_index] == kinematics.foot_of_point
    if same.any():
        raise UserError(
            f"{path}: a foot is its own mirror image; expected one foot on either side of the x-z plane."
        )


def foot_geoms(model: Any, body: int) -> list[int]:
    """Geoms of a foot that stand on the floor: those with a priority."""
    return [g for g in range(model.ngeom) if model.geom_bodyid[g] == body and model.geom_priority[g] > 0]
