"""Forward kinematics and Jacobians of the marked points, batched, on any array library.

All positions are in the frame of the floating base ("pelvis frame": x forward, y left, z up at the zero pose), metres.
Chains of equal length (the two legs) are computed side by side as one more batch dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import device

from wildrobot.arrays import array_namespace
from wildrobot.robot_description.mjcf import BodyTree

_IDENTITY = np.eye(3)


def _skew(axis: Any) -> Any:
    x, y, z = axis
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _quat_matrix(quat: Any) -> Any:
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


class _Chains:
    """Several base-to-tip chains with the same number of hinges, stacked as constants of shape (c, ...)."""

    def __init__(self, tree: BodyTree, joint_names: tuple[str, ...], tips: list[int]) -> None:
        paths: list[list[int]] = []
        for tip in tips:
            path, body = [], tip
            while body > 0:
                path.append(body)
                body = tree.bodies[body].parent
            paths.append(path[::-1])
        if len({len(path) for path in paths}) > 1 or any(
            tree.bodies[b].joint is None for p in paths for b in p
        ):
            raise ValueError("chains must have equal length and one hinge per body")
        self.depth = len(paths[0])
        self.joints = np.array([[joint_names.index(tree.bodies[b].joint.name) for b in p] for p in paths])  # type: ignore[union-attr]
        bodies = [[tree.bodies[b] for b in path] for path in paths]
        self.offset = np.array([[b.pos for b in chain] for chain in bodies])  # (c, depth, 3)
        self.fixed = np.array([[_quat_matrix(b.quat) for b in chain] for chain in bodies])  # (c, depth, 3, 3)
        self.axis = np.array([[b.joint.axis for b in chain] for chain in bodies])  # type: ignore[union-attr]
        self.anchor = np.array([[b.joint.anchor for b in chain] for chain in bodies])  # type: ignore[union-attr]
        self.skew = np.array([[_skew(axis) for axis in chain] for chain in self.axis])
        self.skew2 = self.skew @ self.skew


class Kinematics:
    """Foot points, soles, torso and IMU from joint positions q (..., n), n in policy order."""

    def __init__(
        self,
        tree: BodyTree,
        joint_names: tuple[str, ...],
        foot_sites: tuple[str, ...],
        torso: str,
        imu_site: str,
    ) -> None:
        self.num_joints = len(joint_names)
        sites = [tree.sites[name] for name in foot_sites]
        feet: list[int] = list(dict.fromkeys(site.body for site in sites))
        self._legs = _Chains(tree, joint_names, feet)
        self.foot_of_point = np.array([feet.index(site.body) for site in sites])
        self._points = np.array([site.pos for site in sites])
        self._torso = _Chains(tree, joint_names, [tree.body_index(torso)])
        self._imu = tree.sites[imu_site].pos
        self._cache: dict[Any, Any] = {}

    def _const(self, xp: Any, like: Any, value: Any) -> Any:
        """`value` as an array of the library, type and device of `like`; converted once."""
        if xp is np or isinstance(like, np.ndarray):
            return value
        key = (id(value), str(like.dtype), str(device(like)))
        if key not in self._cache:
            self._cache[key] = (xp.asarray(value, dtype=like.dtype, device=device(like)), value)
        return self._cache[key][0]

    def _frames(self, chains: _Chains, q: Any) -> tuple[Any, Any, Any, Any]:
        """Tip pose and hinges: p (..., c, 3), R (..., c, 3, 3), anchors and axes (..., c, depth, 3)."""
        xp = array_namespace(q)
        columns = [
            xp.stack([q[..., int(joint)] for joint in chains.joints[:, level]], axis=-1)
            for level in range(chains.depth)
        ]
        rotation: Any = None
        position: Any = None
        anchors, axes = [], []
        for level in range(chains.depth):
            angle = columns[level][..., None, None]
            skew, skew2 = (self._level(xp, q, chains, name, level) for name in ("skew", "skew2"))
            hinge = (
                self._level(xp, q, chains, "eye", level)
                + xp.sin(angle) * skew
                + (1.0 - xp.cos(angle)) * skew2
            )
            offset = self._level(xp, q, chains, "offset", level)
            fixed = self._level(xp, q, chains, "fixed", level)
            axis = self._level(xp, q, chains, "axis", level)
            anchor = self._level(xp, q, chains, "anchor", level)
            if rotation is None:
                position = offset + xp.zeros_like(angle[..., 0])
                before = fixed + xp.zeros_like(angle)
            else:
                position = position + (rotation @ offset[..., None])[..., 0]
                before = rotation @ fixed
            rotation = before @ hinge
            hinge_point = position + (before @ anchor[..., None])[..., 0]
            position = hinge_point - (rotation @ anchor[..., None])[..., 0]
            anchors.append(hinge_point)
            axes.append((before @ axis[..., None])[..., 0])
        return position, rotation, xp.stack(anchors, axis=-2), xp.stack(axes, axis=-2)

    def _level(self, xp: Any, like: Any, chains: _Chains, name: str, level: int) -> Any:
        key = (id(chains), name, level)
        if key not in self._cache:
            self._cache[key] = (
                _IDENTITY if name == "eye" else np.ascontiguousarray(getattr(chains, name)[:, level])
            )
        return self._const(xp, like, self._cache[key])

    def _jacobian(self, xp: Any, chains: _Chains, chain: int, points: Any, anchors: Any, axes: Any) -> Any:
        """d point / d q, (..., 3, n), for one point (..., 3) at the tip of `chain`."""
        lever = points[..., None, :] - anchors[..., chain, :, :]
        axis = axes[..., chain, :, :]
        columns = xp.linalg.cross(axis, lever)
        zero = xp.zeros_like(columns[..., 0, :])
        where = {int(joint): level for level, joint in enumerate(chains.joints[chain])}
        return xp.stack(
            [columns[..., where[j], :] if j in where else zero for j in range(self.num_joints)], axis=-1
        )

    def _point_positions(self, xp: Any, q: Any, position: Any, rotation: Any) -> list[Any]:
        points = self._const(xp, q, self._points)
        return [
            position[..., int(foot), :] + (rotation[..., int(foot), :, :] @ points[i][..., None])[..., 0]
            for i, foot in enumerate(self.foot_of_point)
        ]

    def foot_points(self, q: Any) -> Any:
        """Sole points (..., 4, 3): left toe, left heel, right toe, right heel, pelvis frame, m."""
        xp = array_namespace(q)
        position, rotation, _, _ = self._frames(self._legs, q)
        return xp.stack(self._point_positions(xp, q, position, rotation), axis=-2)

    def foot_points_and_jacobians(self, q: Any) -> tuple[Any, Any]:
        """`foot_points` (..., 4, 3) and their Jacobians d point / d q (..., 4, 3, n), m and m/rad."""
        xp = array_namespace(q)
        position, rotation, anchors, axes = self._frames(self._legs, q)
        points = self._point_positions(xp, q, position, rotation)
        jacobians = [
            self._jacobian(xp, self._legs, int(foot), point, anchors, axes)
            for point, foot in zip(points, self.foot_of_point, strict=True)
        ]
        return xp.stack(points, axis=-2), xp.stack(jacobians, axis=-3)

    def foot_points_and_velocities(self, q: Any, qd: Any) -> tuple[Any, Any]:
        """`foot_points` and their velocities relative to the pelvis (..., 4, 3), m and m/s, pelvis frame.

        The same as Jacobian times qd, by propagation along the chain, without building the matrix.
        """
        xp = array_namespace(q)
        chains = self._legs
        position, rotation, anchors, axes = self._frames(chains, q)
        rates = xp.stack(
            [xp.stack([qd[..., int(j)] for j in chain], axis=-1) for chain in chains.joints], axis=-2
        )[..., None]
        omega = axes * rates  # (..., c, depth, 3)
        total = xp.sum(omega, axis=-2)
        moment = xp.sum(xp.linalg.cross(omega, anchors), axis=-2)
        points = self._point_positions(xp, q, position, rotation)
        velocities = [
            xp.linalg.cross(total[..., int(foot), :], point) - moment[..., int(foot), :]
            for point, foot in zip(points, self.foot_of_point, strict=True)
        ]
        return xp.stack(points, axis=-2), xp.stack(velocities, axis=-2)

    def foot_jacobians(self, q: Any) -> Any:
        """Jacobians of `foot_points`, (..., 4, 3, n), m/rad."""
        return self.foot_points_and_jacobians(q)[1]

    def sole_frames(self, q: Any) -> tuple[Any, Any]:
        """Foot poses: sole point below the ankle (..., 2, 3) m and foot rotation (..., 2, 3, 3), pelvis frame."""
        xp = array_namespace(q)
        position, rotation, _, _ = self._frames(self._legs, q)
        drop = self._const(xp, q, self._sole_drop)
        return position + (rotation @ drop[..., None])[..., 0], rotation

    @property
    def _sole_drop(self) -> Any:
        if "sole" not in self._cache:
            heights = [
                self._points[self.foot_of_point == foot][:, 2].mean()
                for foot in range(self._legs.joints.shape[0])
            ]
            self._cache["sole"] = np.array([[0.0, 0.0, height] for height in heights])
        return self._cache["sole"]

    def torso_rotation(self, q: Any) -> Any:
        """Rotation pelvis <- torso, (..., 3, 3)."""
        return self._frames(self._torso, q)[1][..., 0, :, :]

    def torso_angular_velocity(self, q: Any, qd: Any) -> Any:
        """Angular velocity of the torso relative to the pelvis (..., 3), rad/s, pelvis frame."""
        xp = array_namespace(q)
        _, _, _, axes = self._frames(self._torso, q)
        rates = xp.stack([qd[..., int(joint)] for joint in self._torso.joints[0]], axis=-1)
        return xp.sum(axes[..., 0, :, :] * rates[..., None], axis=-2)

    def imu_point(self, q: Any) -> Any:
        """IMU position (..., 3), pelvis frame, m."""
        xp = array_namespace(q)
        position, rotation, _, _ = self._frames(self._torso, q)
        return (
            position[..., 0, :] + (rotation[..., 0, :, :] @ self._const(xp, q, self._imu)[..., None])[..., 0]
        )

    def imu_jacobian(self, q: Any) -> Any:
        """d imu_point / d q, (..., 3, n), m/rad."""
        xp = array_namespace(q)
        _, _, anchors, axes = self._frames(self._torso, q)
        return self._jacobian(xp, self._torso, 0, self.imu_point(q), anchors, axes)
