"""Whole-body figures of a planned motion: its zero-moment point and the lowest points of its feet."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import rotate
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.body_checks import foot_geoms
from wildrobot.robot_description.mujoco_model import compile_model

Array = NDArray[np.float64]
_INWARD = np.array([-1.0, 1.0])  # direction of the other leg along y: left, right


class WholeBody:
    """Inverse dynamics of the full model along a planned motion."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.model = compile_model(spec)
        # A plan is for a symmetric robot, so that its mirror image is a plan too: midline bodies balance on
        # the midline.
        self._pelvis = self.model.body(spec.config.pelvis_body).id
        hinges = [self.model.joint(name).bodyid[0] for name in spec.joint_names]
        sides = [spec.mirror.joint_index[i] for i in range(spec.num_joints)]
        middle = [self._pelvis] + [body for i, body in enumerate(hinges) if sides[i] == i]
        self.model.body_ipos[middle, 1] = 0.0
        self.model.opt.disableflags |= int(
            mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
        )
        self.data = mujoco.MjData(self.model)
        self.joint_qpos = np.array([self.model.joint(name).qposadr[0] for name in spec.joint_names])
        self._corners = self._contact_points()
        self.data.qpos[:] = self.model.qpos0
        self.data.qpos[2] = spec.standing_height
        self.data.qpos[self.joint_qpos] = spec.default_joint_pos
        mujoco.mj_forward(self.model, self.data)
        self.com_forward, _, self.com_height = (float(value) for value in self.data.subtree_com[0])

    def _contact_points(self) -> list[tuple[Array, float]]:
        """Per foot: centres (k, 3) of its contact spheres relative to the sole point, foot axes, and their radius."""
        model, kinematics = self.model, self.spec.kinematics
        sole, _ = kinematics.sole_frames(np.zeros(self.spec.num_joints))
        mujoco.mj_kinematics(model, self.data)
        origin = self.data.xpos[self._pelvis]
        feet = []
        for foot, pads in enumerate(self.spec.foot_pads):
            geoms = foot_geoms(model, model.site(self.spec.foot_names[pads[0]]).bodyid[0])
            feet.append(
                (self.data.geom_xpos[geoms] - origin - sole[foot], float(model.geom_size[geoms[0], 0]))
            )
        self._half_sole = 0.5 * float(np.ptp(feet[0][0][:, 1]))
        return feet

    def lowest_points(self, position: Array, rotation: Array, q: Array) -> Array:
        """Height (N, 2) of the lowest contact point of each foot, m over the floor."""
        sole, foot = self.spec.kinematics.sole_frames(q)
        lowest = []
        for i, (corners, radius) in enumerate(self._corners):
            points = sole[:, i, None] + rotate(foot[:, i, None], corners)
            lowest.append(
                np.min((position[:, None] + rotate(rotation[:, None], points))[..., 2], axis=-1) - radius
            )
        return np.stack(lowest, axis=-1)

    def bearing(self, rotation: Array, q: Array, tilt_rad: float) -> Array:
        """How far inward (towards the other leg) of its middle each sole bears on the floor, (N, 2) m.

        Without an ankle roll the sole leans sideways with the leg: tilted beyond `tilt_rad` it bears on its
        lower edge, between it bears somewhere between the edges.
        """
        _, foot = self.spec.kinematics.sole_frames(q)
        rise = (rotation[:, None] @ foot)[..., 2, 1] * _INWARD  # of the sole's inner edge
        return -self._half_sole * np.tanh(rise / tilt_rad)

    def root_wrench(self, position: Array, quat: Array, q: Array) -> tuple[Array, Array]:
        """Force (N, 3) and moment about the world origin (N, 3) that the floor must give."""
        model, data, dt = self.model, self.data, self.spec.control_dt
        qpos = np.tile(model.qpos0, (len(q), 1))
        qpos[:, :3], qpos[:, 3:7], qpos[:, self.joint_qpos] = position, quat, q
        velocity = np.zeros((len(q), model.nv))
        for k in range(len(q) - 1):
            mujoco.mj_differentiatePos(model, velocity[k], dt, qpos[k], qpos[k + 1])
        force, moment = np.zeros((len(q), 3)), np.zeros((len(q), 3))
        for k in range(len(q)):
            before, after = velocity[max(k - 1, 0)], velocity[min(k, len(q) - 2)]
            data.qpos[:] = qpos[k]
            data.qvel[:] = 0.5 * (before + after)
            data.qacc[:] = (after - before) / dt
            mujoco.mj_inverse(model, data)
            force[k] = data.qfrc_inverse[:3]
            pelvis = data.xmat[self._pelvis].reshape(3, 3)
            moment[k] = pelvis @ data.qfrc_inverse[3:6] + np.cross(position[k], force[k])
        return force, moment

    def zmp(self, position: Array, quat: Array, q: Array) -> Array:
        """Zero-moment point (N, 2) on the floor, m: (-moment_y, moment_x) / force_z of the root wrench.

        M. Vukobratovic and B. Borovac, "Zero-moment point: thirty five years of its life", IJHR 2004.
        """
        force, moment = self.root_wrench(position, quat, q)
        return np.stack([-moment[:, 1], moment[:, 0]], axis=-1) / force[:, 2:3]
