"""Forward kinematics and Jacobians of the marked points, batched, on any array library.

All positions are in the frame of the floating base ("pelvis frame": x forward, y left, z up at the zero pose), metres.
Chains of equal length (the two legs) are computed side by side as one more batch dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import device

from wildrobot.core.arrays import array_namespace
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
        paths = tree.chains(tips)
        self.depth = len(paths[0])
        joints = [[joint_names.index(tree.bodies[b].joint.name) for b in p] for p in paths]  # type: ignore[union-attr]
        self.joints = np.array(joints, dtype=np.int64)
        bodies = [[tree.bodies[b] for b in path] for path in paths]
        shape = (len(paths), self.depth)
        self.offset = np.array([[b.pos for b in chain] for chain in bodies]).reshape(*shape, 3)
        self.fixed = np.array([[_quat_matrix(b.quat) for b in chain] for chain in bodies]).reshape(
            *shape, 3, 3
        )
        self.axis = np.array([[b.joint.axis for b in chain] for chain in bodies]).reshape(*shape, 3)  # type: ignore[union-attr]
        self.anchor = np.array([[b.joint.anchor for b in chain] for chain in bodies]).reshape(*shape, 3)  # type: ignore[union-attr]
        self.skew = np.array([[_skew(axis) for axis in chain] for chain in self.axis]).reshape(*shape, 3, 3)
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
        self._cache: dict[Any, Any] = {}
        sites = [tree.sites[name] for name in foot_sites]
        feet: list[int] = list(dict.fromkeys(site.body for site in sites))
        self._legs = _Chains(tree, joint_names, feet)
        across = self._frames(self._legs, np.zeros(self.num_joints))[0][:, 1]
        if np.any(np.diff(across) > 0.0):  # from left to right, in whatever order the description has them
            feet = [feet[i] for i in np.argsort(-across, kind="stable")]
            self._legs = _Chains(tree, joint_names, feet)
        self.foot_of_point = np.array([feet.index(site.body) for site in sites])
        """(points,) the foot that each point is on: 0 the leftmost."""
        self.foot_pads = [np.flatnonzero(self.foot_of_point == foot) for foot in range(len(feet))]
        """Indices of each foot's points."""
        self._points = np.array([site.pos for site in sites])
        self._torso = _Chains(tree, joint_names, [tree.body_index(torso)])
        self._imu = tree.sites[imu_site].pos

    @property
    def leg_joints(self) -> Any:
        """(feet, depth) indices of each leg's joints, from the base down."""
        return self._legs.joints

    @property
    def torso_joints(self) -> tuple[int, ...]:
        """Indices of the joints between base and torso; none if the torso is the base."""
        return tuple(int(joint) for joint in self._torso.joints[0])

    def leg_axes(self) -> tuple[Any, Any]:
        """Where the legs' hinges are and which way they point at the zero pose, (feet, depth, 3) m and unit vectors."""
        return self._frames(self._legs, np.zeros(self.num_joints))[2:]

    def torso_axes(self) -> Any:
        """Axes (waist joints, 3) of the joints between base and torso at the zero pose."""
        return self._frames(self._torso, np.zeros(self.num_joints))[3][0]

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
        if chains.depth == 0:
            return self._base_frames(xp, q, len(chains.joints))
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

    def _base_frames(self, xp: Any, q: Any, count: int) -> tuple[Any, Any, Any, Any]:
        """`_frames` of chains without a hinge: the base itself."""
        eye = self._const(xp, q, _IDENTITY)
        none = xp.zeros((*q.shape[:-1], count, 0, 3), dtype=q.dtype, device=device(q))
        position = xp.zeros((*q.shape[:-1], count, 3), dtype=q.dtype, device=device(q))
        return position, position[..., None] + eye, none, none

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
        zero = xp.zeros_like(points)
        where = {int(joint): level for level, joint in enumerate(chains.joints[chain])}
        return xp.stack(
            [columns[..., where[j], :] if j in where else zero for j in range(self.num_joints)], axis=-1
        )

    def _point_positions(
        self, xp: Any, q: Any, position: Any, rotation: Any, points: Any = None, feet: Any = None
    ) -> list[Any]:
        points = self._const(xp, q, self._points if points is None else points)
        return [
            position[..., int(foot), :] + (rotation[..., int(foot), :, :] @ points[i][..., None])[..., 0]
            for i, foot in enumerate(self.foot_of_point if feet is None else feet)
        ]

    def foot_points(self, q: Any) -> Any:
        """The sites of `feet` (..., points, 3), in the order of robot.yaml, pelvis frame, m."""
        return self.marks(q, self._points, self.foot_of_point)

    def foot_points_and_jacobians(self, q: Any) -> tuple[Any, Any]:
        """`foot_points` (..., points, 3) and their Jacobians d point / d q (..., points, 3, n), m and m/rad."""
        return self.marks_and_jacobians(q, self._points, self.foot_of_point)

    def marks(self, q: Any, marks: Any, feet: Any) -> Any:
        """Points (..., k, 3) m, pelvis frame, that are fixed to the `feet` (k,) at `marks` (k, 3) m of their frames."""
        xp = array_namespace(q)
        position, rotation, _, _ = self._frames(self._legs, q)
        return xp.stack(self._point_positions(xp, q, position, rotation, marks, feet), axis=-2)

    def marks_and_jacobians(self, q: Any, marks: Any, feet: Any) -> tuple[Any, Any]:
        """`marks` (..., k, 3) and their Jacobians d mark / d q (..., k, 3, n), m and m/rad."""
        xp = array_namespace(q)
        position, rotation, anchors, axes = self._frames(self._legs, q)
        points = self._point_positions(xp, q, position, rotation, marks, feet)
        jacobians = [
            self._jacobian(xp, self._legs, int(foot), point, anchors, axes)
            for point, foot in zip(points, feet, strict=True)
        ]
        return xp.stack(points, axis=-2), xp.stack(jacobians, axis=-3)

    def foot_points_and_velocities(self, q: Any, qd: Any) -> tuple[Any, Any]:
        """`foot_points` and their velocities relative to the pelvis (..., points, 3), m and m/s, pelvis frame.

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
        """Jacobians of `foot_points`, (..., points, 3, n), m/rad."""
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
        rates = xp.take(qd, xp.asarray(self._torso.joints[0], device=device(qd)), axis=-1)
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
