"""Inverse kinematics of the legs: where the soles shall be, to joint positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import rotate, rotate_inverse
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.legs import SIDES

Array = NDArray[np.float64]
_TOLERANCE = 1e-11
_MAX_ITERATIONS = 30
_NEEDED = ("hip_roll", "hip_pitch", "knee_pitch", "ankle_pitch")
_MORE = ("hip_yaw", "ankle_roll")
_AHEAD, _ASIDE = np.array([0.05, 0.0, 0.0]), np.array([0.0, 0.05, 0.0])
"""m, from a contact to marks that show the foot's direction where its contacts do not."""


class LegIK:
    """Joint positions for sole points and sole pitch; legs have hip roll, hip pitch, knee and ankle pitch.

    A leg with an ankle roll also keeps its sole level sideways, one with a hip yaw also gives it a heading. The closed
    form for a planar leg (law of cosines) starts a Newton iteration on the exact forward kinematics, which takes up
    what the closed form leaves out: offsets between the axes, their order, hip yaw.

    Every foot has marks at its front and rear: its foremost and rearmost contact, or two points beside a single one.
    The sole point lies below the ankle, on the line between them.

    Raises:
        UserError: the legs have other joints.
    """

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        self.joints = spec.kinematics.leg_joints
        """(2, depth) policy indices of each leg's joints, from the hip down."""
        self.role = {name: spec.joints_of(name) for name in (*_NEEDED, *_MORE)}
        """(2,) policy indices of the joints of a role; (0,) where the legs have none."""
        self._check_legs()
        self.sign = {
            name: np.array([spec.roles[joint].sign for joint in joints]) for name, joints in self.role.items()
        }
        """(2,) 1 where the joint turns about +x, +y or +z, else -1."""
        self.turns, self._level = (len(self.role[name]) == 2 for name in _MORE)
        """Whether the legs can turn the feet about the upright axis."""
        anchors, _ = spec.kinematics.leg_axes()
        place = [list(self.joints[leg]).index(self.role["hip_pitch"][leg]) for leg in range(2)]
        self._hip = np.stack([anchors[leg, place[leg]] for leg in range(2)])
        self._knee_to_ankle, self._hip_to_knee = spec.leg.shank, spec.leg.thigh
        self._bend = self._knee_bend()
        self._place_marks(anchors)

    def _check_legs(self) -> None:
        spec, axes = self._spec, self._spec.kinematics.leg_axes()[1]
        for leg, side in enumerate(SIDES):
            roles = [spec.roles[joint].name for joint in self.joints[leg]]
            if "" in roles or not set(_NEEDED) <= set(roles):
                listed = ", ".join(
                    f"{spec.joint_names[joint]} about {np.round(axis, 2).tolist()} ({role or 'no role'})"
                    for joint, axis, role in zip(self.joints[leg], axes[leg], roles, strict=True)
                )
                raise UserError(
                    f"the gait planner needs legs of hip roll, hip pitch, knee and ankle pitch, and takes hip yaw and "
                    f"ankle roll, axes along x, y or z at the zero pose; {spec.name}'s {side} leg has {listed}. "
                    "Give such a robot motion that another tool planned, or plan for it here (leg_ik.py)."
                )

    def _knee_bend(self) -> Array:
        """(2,) 1: knees bend forward as a person's do, -1: backward."""
        spec, knees, sign = self._spec, self.role["knee_pitch"], self.sign["knee_pitch"]
        middle = sign * (spec.joint_lower[knees] + spec.joint_upper[knees])
        return np.where(middle < 0.0, -1.0, 1.0)

    def _place_marks(self, anchors: Array) -> None:
        spec = self._spec
        marks, self._feet = [], []
        for foot, pads in enumerate(spec.foot_pads):
            at = np.array([spec.tree.sites[spec.foot_names[pad]].pos for pad in pads])
            front, rear = at[np.argmax(at[:, 0])], at[np.argmin(at[:, 0])]
            if front[0] - rear[0] < 0.01:
                front, rear = front + _AHEAD, rear - _AHEAD
            own = [front, rear, rear + _ASIDE] if self._level else [front, rear]
            marks += own
            self._feet += [foot] * len(own)
        self._marks = np.array(marks)
        points = self._pairs(spec.kinematics.marks(np.zeros(spec.num_joints), self._marks, self._feet))
        place = [list(self.joints[leg]).index(self.role["ankle_pitch"][leg]) for leg in range(2)]
        ankle = np.stack([anchors[leg, place[leg]] for leg in range(2)])
        self.toe_length = points[:, 0, 0] - ankle[:, 0]
        self.heel_length = ankle[:, 0] - points[:, 1, 0]
        self._side_offset = points[:, 0, 1] - self._hip[:, 1]
        self._toe_share = (self.heel_length / (self.toe_length + self.heel_length))[:, None]

    def _pairs(self, marks: Array) -> Array:
        """Marks (..., k, 3) by foot: (..., 2, k / 2, 3)."""
        return marks.reshape(*marks.shape[:-2], 2, -1, 3)

    def _between(self, pairs: Array) -> Array:
        points: Array = pairs[..., 1, :] + self._toe_share * (pairs[..., 0, :] - pairs[..., 1, :])
        return points

    def soles(self, q: Array, position: Array | None = None, rotation: Array | None = None) -> Array:
        """Sole points (..., 2, 3) left and right, m, of joint positions q (..., n).

        In the world of a pelvis at `position` (..., 3) with `rotation` (..., 3, 3), or in the pelvis frame.
        """
        marks = self._spec.kinematics.marks(q, self._marks, self._feet)
        if position is not None and rotation is not None:
            marks = position[..., None, :] + rotate(rotation[..., None, :, :], marks)
        return self._between(self._pairs(marks))

    def solve(
        self,
        pelvis_position: Array,
        pelvis_rotation: Array,
        sole: Array,
        pitch: Array,
        name: str = "pose",
        guess: Array | None = None,
        heading: Array | None = None,
    ) -> Array:
        """Joint positions (..., n) that put the sole points at `sole`.

        Args:
            pelvis_position: (..., 3) m, world.
            pelvis_rotation: (..., 3, 3) world <- pelvis.
            sole: (..., 2, 3) m, world: left, right.
            pitch: (..., 2) rad, elevation of the sole's heel-to-toe line, positive with the toes down.
            name: what to call this motion in an error.
            guess: (..., n) joint positions nearby, to start from instead of the closed form.
            heading: (..., 2) rad, world, of the feet of legs with a hip yaw. Default: the pelvis's.

        Joints outside the legs are zero. Joint limits are not looked at.

        Raises:
            UserError: a point is out of the leg's reach.
        """
        shape, n = sole.shape[:-2], self._spec.num_joints
        rotation = np.broadcast_to(pelvis_rotation, (*shape, 3, 3)).reshape(-1, 3, 3)
        target = rotate_inverse(rotation[:, None], (sole - pelvis_position[..., None, :]).reshape(-1, 2, 3))
        pitch = np.broadcast_to(pitch, (*shape, 2)).reshape(-1, 2)
        rise = -np.sin(pitch) * (self.toe_length + self.heel_length)
        if heading is None:
            heading = np.repeat(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])[:, None], 2, axis=-1)
        else:
            heading = np.broadcast_to(heading, (*shape, 2)).reshape(-1, 2)
        q = self._planar(target, pitch) if guess is None else guess.reshape(-1, n).copy()
        residual = np.full((len(q), 2, self.joints.shape[1]), np.inf)
        for _ in range(_MAX_ITERATIONS):
            marks, jacobians = self._spec.kinematics.marks_and_jacobians(q, self._marks, self._feet)
            pairs, slopes = self._pairs(marks), jacobians.reshape(len(q), 2, -1, 3, n)
            span = rotate(rotation[:, None], pairs[:, :, 0] - pairs[:, :, 1])
            turn = rotation[:, None] @ (slopes[:, :, 0] - slopes[:, :, 1])
            parts = [target - self._between(pairs), (rise - span[..., 2])[..., None]]
            rows = [
                slopes[:, :, 1] + self._toe_share[..., None] * (slopes[:, :, 0] - slopes[:, :, 1]),
                turn[..., 2:3, :],
            ]
            if self._level:
                across = rotate(rotation[:, None], pairs[:, :, 2] - pairs[:, :, 1])
                parts.append(-across[..., 2:])
                rows.append((rotation[:, None] @ (slopes[:, :, 2] - slopes[:, :, 1]))[..., 2:3, :])
            if self.turns:
                cos, sin = np.cos(heading), np.sin(heading)
                parts.append((sin * span[..., 0] - cos * span[..., 1])[..., None])
                rows.append(
                    cos[..., None, None] * turn[..., 1:2, :] - sin[..., None, None] * turn[..., 0:1, :]
                )
            residual = np.concatenate(parts, axis=-1)
            if np.max(np.abs(residual), initial=0.0) < _TOLERANCE:
                break
            full = np.concatenate(rows, axis=-2)
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
        return q.reshape(*shape, n)

    def _planar(self, target: Array, pitch: Array) -> Array:
        """Joint positions (N, n) of an ideal leg whose hip axes meet in one point; hip yaw stays zero.

        Law of cosines in the plane of the leg (S. Kajita et al., Introduction to Humanoid Robotics, 2014, ch. 2).
        """
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
            knee = self._bend[leg] * (
                np.pi - np.arccos(np.clip((a * a + b * b - reach**2) / (2 * a * b), -1.0, 1.0))
            )
            at_hip = np.arccos(np.clip((a * a + reach**2 - b * b) / (2 * a * reach), -1.0, 1.0))
            hip = -np.arctan2(forward, down) - self._bend[leg] * at_hip
            angles = {
                "hip_pitch": hip,
                "hip_roll": roll,
                "knee_pitch": knee,
                "ankle_pitch": pitch[:, leg] - hip - knee,
                "ankle_roll": -roll,
            }
            for name, value in angles.items():
                if len(self.role[name]):
                    q[:, self.role[name][leg]] = self.sign[name][leg] * value
        return q
