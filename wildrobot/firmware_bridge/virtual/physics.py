"""One MuJoCo robot whose servos are driven by duty: what the virtual servos and sensors stand in.

    torque = stall(V) * duty - (stall / no-load speed) * speed

The second term is the joint damping of `compile_model`; as in the simulated robot of the runtime it stays when the
torque is off. A joint's duty comes once per step from outside, as the servo's own controller gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import (
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
    rotate_inverse,
    rotvec_between,
)
from wildrobot.firmware_bridge.virtual.board_station import ImuSample
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mujoco_model import compile_model

Array = NDArray[np.float64]
Start = Literal["stand", "limp", "lying"]
DT_S = 0.001
_HAND_STIFFNESS = 60.0
"""N m/rad of the hands (or the stand) that hold a joint."""
_CLAMP = 1e5
"""kg and kg m^2 of the stand that a suspended pelvis is bolted to."""
_SUSPENDED_HEIGHT_M = 0.25


@dataclass(frozen=True)
class VirtualTruth:
    """The simulation's own state, one instant. World frame unless said otherwise; joints in policy order."""

    time_ns: int
    pelvis_position: Array
    """(3,) m."""
    pelvis_quaternion: Array
    """(4,) wxyz."""
    pelvis_linear_velocity: Array
    """(3,) m/s."""
    pelvis_angular_velocity: Array
    """(3,) rad/s, pelvis frame."""
    joint_position: Array
    """(n,) rad."""
    joint_velocity: Array
    """(n,) rad/s."""
    joint_torque: Array
    """(n,) N m of the motors, before back-EMF."""
    foot_force: Array
    """(feet,) N, normal."""
    torque_on: NDArray[np.bool_]
    """(n,)"""
    goal_position: Array
    """(n,) rad, what the servos are told to reach, in true joint angles."""


class Physics:
    """The body. `step` advances one millisecond."""

    def __init__(
        self,
        spec: RobotSpec,
        start: Start = "stand",
        suspended: bool = False,
        imu_mount: Array | None = None,
        yaw_zero_rad: float = 0.0,
    ) -> None:
        """`imu_mount`: the true rotation torso <- chip, wxyz (default: what robot.yaml says)."""
        self.spec, self.suspended = spec, suspended
        self.model = model = compile_model(spec)
        model.opt.timestep = DT_S
        self.data = mujoco.MjData(model)
        self._q = np.array([model.joint(name).qposadr[0] for name in spec.joint_names])
        self._v = np.array([model.joint(name).dofadr[0] for name in spec.joint_names])
        actuators = np.array([model.actuator(name).id for name in spec.joint_names])
        self._actuators = actuators
        # The position actuators become plain torque: the servos close their own loops.
        model.actuator_gainprm[actuators, 0] = 1.0
        model.actuator_biasprm[actuators] = 0.0
        model.actuator_forcelimited[actuators] = 0
        self._stall = spec.stall_torque
        self._nominal_v = np.array([servo.nominal_voltage_v for servo in spec.servos])
        pelvis, torso = model.body(spec.config.pelvis_body).id, model.body(spec.config.torso_body).id
        self._pelvis, self._torso = pelvis, torso
        self._sites = np.array([model.site(name).id for name in spec.foot_names])
        self._foot_bodies = model.site_bodyid[self._sites]

        def where(name: str) -> slice:
            sensor = model.sensor(name)
            return slice(sensor.adr[0], sensor.adr[0] + sensor.dim[0])

        self._at_quaternion, self._at_gyro = where("imu_quaternion"), where("imu_angular_velocity")
        self._at_acceleration = where("imu_acceleration")
        self._at_touch = np.array([model.sensor(name).adr[0] for name in spec.foot_names])
        self._mount = np.array(spec.imu_mount if imu_mount is None else imu_mount, dtype=float)
        self._mount_matrix = quat_to_matrix(self._mount)
        self._yaw_zero = quat_from_yaw(np.array(yaw_zero_rad))
        self.hand_force = np.zeros(spec.num_feet)
        """(feet,) N, a hand that presses a foot pad from below."""
        self._held: Array | None = None
        self._torque = np.zeros(spec.num_joints)
        self._pose_from = self._pose_to = np.array([1.0, 0.0, 0.0, 0.0])
        self._pose_start_s, self._pose_duration_s = 0.0, 0.0
        self._put(start)

    def _put(self, start: Start) -> None:
        spec, data, model = self.spec, self.data, self.model
        data.qpos[self._q] = spec.default_joint_pos
        data.qpos[2] = spec.standing_height - 5e-4  # the soles just touch
        if self.suspended:
            data.qpos[2] = spec.standing_height + _SUSPENDED_HEIGHT_M
            model.dof_armature[:6] = _CLAMP
        elif start == "lying":
            data.qpos[2] = 0.12
            data.qpos[3:7] = quat_from_rotvec(np.array([0.0, 0.5 * np.pi, 0.0]))
        self._root = data.qpos[:3].copy()
        if start == "stand" and not self.suspended:
            self._held = spec.default_joint_pos.copy()
        mujoco.mj_forward(model, data)

    # ------------------------------------------------------------------ stepping

    def step(self, duty: Array, supply_v: float) -> None:
        """One millisecond with the motors' duty (n,), -1 to 1, positive along the joint, at a supply voltage."""
        data = self.data
        self._torque = self._stall * duty * (supply_v / self._nominal_v)
        torque = self._torque
        if self._held is not None:
            grip = _HAND_STIFFNESS * (self._held - data.qpos[self._q])
            grip = np.clip(grip, -2.0 * self._stall, 2.0 * self._stall)
            torque = np.where(np.isnan(grip), torque, grip)
        data.ctrl[self._actuators] = torque
        self._press()
        mujoco.mj_step2(self.model, data)
        if self.suspended:
            self._bolt()
        mujoco.mj_step1(self.model, data)

    def _press(self) -> None:
        self.data.xfrc_applied[self._foot_bodies] = 0.0
        if not self.hand_force.any():
            return
        data = self.data
        for body, site, force in zip(self._foot_bodies, self._sites, self.hand_force, strict=True):
            up = data.xmat[body].reshape(3, 3)[:, 2] * force
            data.xfrc_applied[body, :3] += up
            data.xfrc_applied[body, 3:] += np.cross(data.site_xpos[site] - data.xipos[body], up)

    def _bolt(self) -> None:
        """Put the pelvis where the stand holds it."""
        data = self.data
        quaternion, rate = self._stand_pose(data.time)
        data.qpos[:3], data.qpos[3:7] = self._root, quaternion
        data.qvel[:3], data.qvel[3:6] = 0.0, rate

    def _stand_pose(self, time_s: float) -> tuple[Array, Array]:
        """The stand's orientation, wxyz, and its rate in the pelvis frame: a minimum-jerk turn."""
        if self._pose_duration_s <= 0.0:
            return self._pose_to, np.zeros(3)
        part = min((time_s - self._pose_start_s) / self._pose_duration_s, 1.0)
        way = part**3 * (10.0 - 15.0 * part + 6.0 * part**2)
        rate = 30.0 * part**2 * (1.0 - part) ** 2 / self._pose_duration_s
        turn = rotvec_between(self._pose_from, self._pose_to)
        return quat_multiply(self._pose_from, quat_from_rotvec(way * turn)), rate * turn

    # ------------------------------------------------------------------ people around the robot

    def push(self, velocity_change: Array) -> None:
        """Change the pelvis velocity by (3,) m/s, world frame, at once."""
        self.data.qvel[:3] += velocity_change
        mujoco.mj_step1(self.model, self.data)

    def tilt(self, quaternion: Array, duration_s: float = 0.5) -> None:
        """Turn the stand of a suspended robot so that the pelvis has this orientation, world <- pelvis, wxyz."""
        self._pose_from, _ = self._stand_pose(self.data.time)
        self._pose_to = np.asarray(quaternion, dtype=float) / np.linalg.norm(quaternion)
        self._pose_start_s, self._pose_duration_s = self.data.time, duration_s

    def hold(self, joint_position: Array | None) -> None:
        """Hands (or a jig) hold joints at (n,) rad, stronger than the servos; NaN: not this one. None lets go."""
        self._held = None if joint_position is None else np.array(joint_position, dtype=float)

    # ------------------------------------------------------------------ what can be measured

    @property
    def joint_position(self) -> Array:
        """(n,) rad."""
        return self.data.qpos[self._q]

    @property
    def joint_velocity(self) -> Array:
        """(n,) rad/s."""
        return self.data.qvel[self._v]

    @property
    def foot_force(self) -> Array:
        """(feet,) N on the pads, from the floor and from hands."""
        return self.data.sensordata[self._at_touch] + self.hand_force

    def imu(self) -> ImuSample:
        """What the chip measures."""
        sensors, mount = self.data.sensordata, self._mount_matrix
        quaternion = quat_multiply(self._yaw_zero, quat_multiply(sensors[self._at_quaternion], self._mount))
        return ImuSample(
            quaternion,
            rotate_inverse(mount, sensors[self._at_gyro]),
            rotate_inverse(mount, sensors[self._at_acceleration]),
        )

    def truth(self, time_ns: int, torque_on: NDArray[np.bool_], goal_position: Array) -> VirtualTruth:
        """The state, copied."""
        data = self.data
        return VirtualTruth(
            time_ns=time_ns,
            pelvis_position=data.qpos[:3].copy(),
            pelvis_quaternion=data.qpos[3:7].copy(),
            pelvis_linear_velocity=data.qvel[:3].copy(),
            pelvis_angular_velocity=data.qvel[3:6].copy(),
            joint_position=self.joint_position,
            joint_velocity=self.joint_velocity,
            joint_torque=self._torque.copy(),
            foot_force=self.foot_force,
            torque_on=torque_on,
            goal_position=goal_position,
        )
