"""What tests ask of a robot's kinematics beyond what the code needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.kinematics import Kinematics, PointMotion
from wildrobot.robot_description.mjcf import BodyTree


def foot_jacobians(kinematics: Kinematics, q: Any) -> Any:
    """Jacobians of `foot_points`, (..., points, 3, n), m/rad."""
    return kinematics.marks_and_jacobians(q, kinematics.foot_marks, kinematics.foot_of_point)[1]


def foot_points_and_velocities(kinematics: Kinematics, q: Any, qd: Any) -> tuple[Any, Any]:
    """`foot_points` and their velocities relative to the pelvis (..., points, 3), m and m/s: Jacobian times qd."""
    return kinematics.foot_points(q), (foot_jacobians(kinematics, q) @ qd[..., None, :, None])[..., 0]


def torso_rotation(kinematics: Kinematics, q: Any) -> Any:
    """Pelvis <- torso, (..., 3, 3)."""
    return kinematics.torso_frame(q)[1]


def torso_point(kinematics: Kinematics, q: Any, point: Any) -> Any:
    """A point (3,) m of the torso in the pelvis frame, (..., 3)."""
    position, rotation = kinematics.torso_frame(q)
    return position + rotation @ point


def motion_jacobian(
    tree: BodyTree, joint_names: tuple[str, ...], tips: list[int], points: Any, q: Any
) -> tuple[Any, Any]:
    """Points (..., c*m, 3) and Jacobians (..., c*m, 3, n) by `PointMotion`: its velocities at unit rates."""
    motion, n = PointMotion(tree, joint_names, tips, points), len(joint_names)
    columns = np.moveaxis(np.asarray(q), -1, 0)
    shape = (-1, *columns.shape[1:])
    rates = np.eye(n).reshape(n, n, *[1] * (columns.ndim - 1)) + np.zeros_like(columns)
    position = np.moveaxis(motion(columns, rates[0])[0].reshape(3, *shape), (0, 1), (-1, -2))
    jacobian = [np.moveaxis(motion(columns, rate)[1].reshape(3, *shape), (0, 1), (-1, -2)) for rate in rates]
    return position, np.stack(jacobian, axis=-1)


def imu_jacobian(spec: RobotSpec, q: Any) -> Any:
    """d IMU point / d q, (..., 3, n), m/rad, by `PointMotion`."""
    imu = spec.tree.sites[spec.config.imu_site]
    return motion_jacobian(spec.tree, spec.joint_names, [imu.body], [[imu.pos]], q)[1][..., 0, :, :]


def foot_motion(spec: RobotSpec) -> PointMotion:
    """Of `foot_points`, foot by foot as robot.yaml has them."""
    return PointMotion(spec.tree, spec.joint_names, *_feet(spec))


def foot_motion_jacobians(spec: RobotSpec, q: Any) -> tuple[Any, Any]:
    """`foot_points` and `foot_jacobians` by `PointMotion`."""
    return motion_jacobian(spec.tree, spec.joint_names, *_feet(spec), q)


def _feet(spec: RobotSpec) -> tuple[list[int], Any]:
    sites = [spec.tree.sites[name] for name in spec.foot_names]
    bodies = list(dict.fromkeys(site.body for site in sites))
    return bodies, np.array([[site.pos for site in sites if site.body == body] for body in bodies])
