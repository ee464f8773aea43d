"""Inverse kinematics of the legs: where the soles shall be, to joint positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.rotations import rotate, rotate_inverse

Array = NDArray[np.float64]
_TOLERANCE = 1e-11
_MAX_ITERATIONS = 30
_CHAIN_AXES = ("y", "x", "y", "y")


class LegIK:
    """Joint positions for sole points and sole pitch; legs are hip pitch, hip roll, knee, ankle pitch.

    The closed form for a planar leg (law of cosines) starts a Newton iteration on the exact forward
    kinematics, which takes up the small offsets between the axes. The sole point lies below the ankle, on the
    line from the heel's site to the toe's.
    """

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        chains = spec.kinematics._legs
        axes = np.array([["xyz"[int(np.argmax(np.abs(axis)))] for axis in chain] for chain in chains.axis])
        if axes.shape != (2, 4) or any(tuple(row) != _CHAIN_AXES for row in axes):
            raise UserError(
                f"the gait generator needs two legs of hip pitch, hip roll, knee and ankle pitch (axes y, x, y, y); "
                f"{spec.name} has {axes.tolist()}."
            )
        self.joints = chains.joints
        """(2, 4) policy indices of each leg's joints, from the hip down."""
        self._hip = np.cumsum(chains.offset, axis=1)[:, 0]
        self._knee_to_ankle, self._hip_to_knee = spec.leg.shank, spec.leg.thigh
        points = spec.kinematics.foot_points(np.zeros(spec.num_joints)).reshape(2, 2, 3)  # foot, (toe, heel)
        ankle = np.cumsum(chains.offset, axis=1)[:, -1]
        self.toe_length = points[:, 0, 0] - ankle[:, 0]
        self.heel_length = ankle[:, 0] - points[:, 1, 0]
        self._side_offset = points[:, 0, 1] - self._hip[:, 1]
        self._toe_share = (self.heel_length / (self.toe_length + self.heel_length))[:, None]

    def sole_points(self, points: Any) -> Any:
        """Sole points (..., 2, 3) from foot sites (..., 4, 3), in the same frame."""
        pairs = points.reshape(*points.shape[:-2], 2, 2, 3)
        return pairs[..., 1, :] + self._toe_share * (pairs[..., 0, :] - pairs[..., 1, :])

    def solve(
        self,
        pelvis_position: Array,
        pelvis_rotation: Array,
        sole: Array,
        pitch: Array,
        name: str = "pose",
        guess: Array | None = None,
    ) -> Array:
        """Joint positions (..., n) that put the sole points at `sole`.

        Args:
            pelvis_position: (..., 3) m, world.
            pelvis_rotation: (..., 3, 3) world <- pelvis.
            sole: (..., 2, 3) m, world: left, right.
            pitch: (..., 2) rad, elevation of the sole's heel-to-toe line, positive with the toes down.
            name: what to call this motion in an error.
            guess: (..., n) joint positions nearby, to start from instead of the closed form.

        Joints outside the legs are zero. Joint limits are not looked at.

        Raises:
            UserError: a point is out of the leg's reach.
        """
        shape = sole.shape[:-2]
        rotation = np.broadcast_to(pelvis_rotation, (*shape, 3, 3)).reshape(-1, 3, 3)
        target = rotate_inverse(rotation[:, None], (sole - pelvis_position[..., None, :]).reshape(-1, 2, 3))
        rise = np.broadcast_to(-np.sin(pitch), (*shape, 2)).reshape(-1, 2) * (
            self.toe_length + self.heel_length
        )
        if guess is None:
            q = self._planar(target, np.broadcast_to(pitch, (*shape, 2)).reshape(-1, 2))
        else:
            q = guess.reshape(-1, self._spec.num_joints).copy()
        residual = np.full((len(q), 2, 4), np.inf)
        for _ in range(_MAX_ITERATIONS):
            points, jacobians = self._spec.kinematics.foot_points_and_jacobians(q)
            span = rotate(
                rotation[:, None], points.reshape(-1, 2, 2, 3)[:, :, 0] - points.reshape(-1, 2, 2, 3)[:, :, 1]
            )
            residual = np.concatenate(
                [target - self.sole_points(points), (rise - span[..., 2])[..., None]], axis=-1
            )
            if np.max(np.abs(residual), initial=0.0) < _TOLERANCE:
                break
            pairs = jacobians.reshape(-1, 2, 2, 3, self._spec.num_joints)
            sole_jacobian = pairs[:, :, 1] + self._toe_share[..., None] * (pairs[:, :, 0] - pairs[:, :, 1])
            span_jacobian = (rotation[:, None] @ (pairs[:, :, 0] - pairs[:, :, 1]))[..., 2:3, :]
            full = np.concatenate([sole_jacobian, span_jacobian], axis=-2)
            for leg in range(2):
                jacobian = full[:, leg][..., self.joints[leg]]
                step = np.linalg.solve(jacobian, residual[:, leg][..., None])[..., 0]
                q[:, self.joints[leg]] += np.clip(step, -0.3, 0.3)
        worst = float(np.max(np.abs(residual), initial=0.0))
        if not worst < 1e-9:
            frame = int(np.argmax(np.max(np.abs(residual), axis=(1, 2))))
            distance = np.max(np.linalg.norm(target[frame] - self._hip, axis=-1))
            reach = self._spec.leg.length + self._spec.leg.ankle_height
            raise UserError(
                f"{name}: the sole is {distance:.3f} m from the hip at frame {frame}, out of the leg's reach "
                f"({reach:.3f} m straight): lower the hip, or shorten or slow the steps."
            )
        return q.reshape(*shape, self._spec.num_joints)

    def _planar(self, target: Array, pitch: Array) -> Array:
        """Joint positions of an ideal leg whose hip axes meet in one point."""
        q = np.zeros((len(target), self._spec.num_joints))
        for leg in range(2):
            hip_to_sole = target[:, leg] - self._hip[leg]
            roll = np.arctan2(hip_to_sole[:, 1] - self._side_offset[leg], -hip_to_sole[:, 2])
            height = self._spec.leg.ankle_height
            forward = hip_to_sole[:, 0] + height * np.sin(pitch[:, leg])
            down = np.hypot(hip_to_sole[:, 1] - self._side_offset[leg], hip_to_sole[:, 2]) - height * np.cos(
                pitch[:, leg]
            )
            # 1 mm short of a straight leg, where the Jacobian is singular
            reach = np.minimum(np.hypot(forward, down), self._spec.leg.length - 1e-3)
            a, b = self._hip_to_knee, self._knee_to_ankle
            knee = np.pi - np.arccos(np.clip((a * a + b * b - reach**2) / (2 * a * b), -1.0, 1.0))
            at_hip = np.arccos(np.clip((a * a + reach**2 - b * b) / (2 * a * reach), -1.0, 1.0))
            hip = -np.arctan2(forward, down) - at_hip
            for joint, value in zip(
                self.joints[leg], (hip, roll, knee, pitch[:, leg] - hip - knee), strict=True
            ):
                q[:, joint] = value
        return q
