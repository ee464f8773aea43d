"""Many simulated robots on `mujoco.batch`: joint targets in, SensorFrames out. One robot is a batch of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.rotations import (
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
)
from wildrobot.runtime.randomization import NOMINAL, Randomization
from wildrobot.runtime.sensor_frame import FootSwitches, SensorFrame
from wildrobot.state import Stateful

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The simulator's own state, for critic, reward and figures only. World frame, rows are simulations."""

    pelvis_position: Array
    """(N, 3) m."""
    pelvis_quaternion: Array
    """(N, 4) wxyz."""
    pelvis_linear_velocity: Array
    """(N, 3) m/s, world."""
    pelvis_angular_velocity: Array
    """(N, 3) rad/s, pelvis frame."""
    joint_position: Array
    joint_velocity: Array
    foot_force: Array
    """(N, 4) N, normal, per switch."""
    foot_position: Array
    """(N, 4, 3) m, sole points."""
    saturated: NDArray[np.bool_]
    """(N, n) servo at its voltage limit."""
    torque: Array
    """(N, n) N m, electromagnetic torque before back-EMF."""


class Simulator(Protocol):
    """What training needs of a simulator; a GPU backend is one more class with these methods."""

    spec: RobotSpec
    num_envs: int

    def reset(self, ids: Any = None, qpos: Any = None, qvel: Any = None) -> None: ...

    def step(self, joint_target: Any) -> None: ...

    def frame(self) -> SensorFrame: ...

    def truth(self) -> Truth: ...


class Simulation(Stateful):
    """`num_envs` robots stepped together at the control rate, each with its own draw of `randomization`.

    Results do not depend on the number of threads. `threads` 0 uses all CPUs.
    """

    state_fields = (
        "_rng", "_time", "_sensors", "_force", "_sites", "_switches", "_encoder_offset", "_gyro_bias", "_imu_error",
        "_yaw_zero", "_switch_factor", "_push_at", "_stall", "_memory",
    )  # fmt: skip

    def __init__(
        self,
        spec: RobotSpec,
        num_envs: int,
        seed: int = 0,
        randomization: Randomization = NOMINAL,
        threads: int = 0,
        model: Any = None,
    ) -> None:
        self.spec, self.num_envs, self.randomization = spec, num_envs, randomization
        self.model = compile_model(spec) if model is None else model
        self.batch = Batch(self.model, num_envs, nthread=threads)
        self._rng = np.random.default_rng(seed)
        self._substeps = round(spec.control_dt / self.model.opt.timestep)
        self._bind()
        n, feet = spec.num_joints, spec.num_feet
        self._time = np.zeros(num_envs)
        self._sensors = np.zeros((num_envs, self.model.nsensordata))
        self._force = np.zeros((num_envs, self.model.nu))
        self._sites = np.zeros((num_envs, feet, 3))
        self._switches = FootSwitchRows(spec, num_envs)
        self._encoder_offset = np.zeros((num_envs, n))
        self._gyro_bias = np.zeros((num_envs, 3))
        self._imu_error = np.tile([1.0, 0.0, 0.0, 0.0], (num_envs, 1))
        self._yaw_zero = np.tile([1.0, 0.0, 0.0, 0.0], (num_envs, 1))
        self._switch_factor = np.ones((num_envs, feet))
        self._push_at = np.full(num_envs, np.inf)
        self._stall = np.tile(spec.stall_torque, (num_envs, 1))
        self.reset()

    def _bind(self) -> None:
        model, spec, batch = self.model, self.spec, self.batch
        self.qpos, self.qvel = batch.bind("qpos"), batch.bind("qvel")
        self._ctrl, self._history = batch.bind("ctrl"), batch.bind("history")
        self._sensordata, self._site_xpos = batch.bind("sensordata"), batch.bind("site_xpos")
        self._actuator_force = batch.bind("actuator_force")
        self._warmstart, self._sim_time = batch.bind("qacc_warmstart"), batch.bind("time")
        self.joint_qpos = np.array([model.joint(name).qposadr[0] for name in spec.joint_names])
        self.joint_qvel = np.array([model.joint(name).dofadr[0] for name in spec.joint_names])
        self._actuators = np.array([model.actuator(name).id for name in spec.joint_names])
        self._foot_sites = np.array([model.site(name).id for name in spec.foot_names])

        def where(names: list[str]) -> NDArray[np.int64]:
            spans = [(model.sensor(name).adr[0], model.sensor(name).dim[0]) for name in names]
            return np.concatenate([np.arange(start, start + size) for start, size in spans])

        self._at_position = where([f"position/{name}" for name in spec.joint_names])
        self._at_velocity = where([f"velocity/{name}" for name in spec.joint_names])
        self._at_quaternion = where(["imu_quaternion"])
        self._at_gyro = where(["imu_angular_velocity"])
        self._at_acceleration = where(["imu_acceleration"])
        self._at_touch = where(list(spec.foot_names))
        feet = [
            g for g in range(model.ngeom) if model.geom_bodyid[g] in set(model.site_bodyid[self._foot_sites])
        ]
        self._foot_geoms = np.array([g for g in feet if model.geom_priority[g] > 0])
        self._expanded = {
            name: batch.expand(name)
            for name in (
                "geom_friction",
                "body_mass",
                "body_inertia",
                "body_ipos",
                "actuator_gainprm",
                "actuator_biasprm",
                "actuator_forcerange",
                "dof_frictionloss",
                "dof_armature",
                "actuator_delay",
            )
        }
        self._nominal = {name: np.array(values[0]) for name, values in self._expanded.items()}

    # ------------------------------------------------------------------ reset and randomization

    def home(self, count: int) -> tuple[Array, Array]:
        """qpos (count, nq) and qvel (count, nv) of the robot standing in its home pose on the floor."""
        qpos = np.tile(self.model.qpos0, (count, 1))
        qpos[:, 2] = self.spec.standing_height - 5e-4  # the soles just touch
        qpos[:, self.joint_qpos] = self.spec.default_joint_pos
        return qpos, np.zeros((count, self.model.nv))

    def reset(self, ids: Any = None, qpos: Any = None, qvel: Any = None) -> None:
        """Start simulations `ids` (k,) (None: all) anew from qpos (k, nq), qvel (k, nv) (default: standing at home).

        Draws their randomization anew and settles their delay lines at the present pose.
        """
        rows = np.arange(self.num_envs) if ids is None else np.asarray(ids)
        if rows.size == 0:
            return
        home_qpos, home_qvel = self.home(len(rows))
        self.batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._randomize(rows)
        self.qpos[rows] = home_qpos if qpos is None else qpos
        self.qvel[rows] = home_qvel if qvel is None else qvel
        target = self.qpos[rows][:, self.joint_qpos]
        self._write_ctrl(rows, target)
        self._fill_delay_lines(rows)
        self.batch.forward(rows)
        self._time[rows] = 0.0
        self._collect(rows)
        self._switches.reset(self._sensors[:, self._at_touch], self._switch_factor, rows)
        low, high = self.randomization.push_interval_s
        self._push_at[rows] = (
            self._rng.uniform(low, high, len(rows)) if self.randomization.push_speed_m_s > 0 else np.inf
        )

    def _fill_delay_lines(self, rows: NDArray[np.int64]) -> None:
        # Each line is [header, header, times..., values...]: a full past of the present control.
        history = self._history[rows]
        dt = self.model.opt.timestep
        for actuator in range(self.model.nu):
            samples, start = (
                self.model.actuator_history[actuator][0],
                self.model.actuator_historyadr[actuator],
            )
            times = start + 2 + np.arange(samples)
            history[:, times] = dt * (np.arange(samples) - samples)
            history[:, times + samples] = self._ctrl[rows, actuator, None]
            history[:, start + 1] = samples - 1
        self._history[rows] = history

    def _randomize(self, rows: NDArray[np.int64]) -> None:
        r, rng, spec, k = self.randomization, self._rng, self.spec, len(rows)
        n, nominal, field = spec.num_joints, self._nominal, self._expanded

        def draw(limits: tuple[float, float], *shape: int) -> Array:
            return rng.uniform(limits[0], limits[1], (k, *shape))

        def assign(name: str, values: Array) -> None:
            field[name][rows] = values

        friction = np.tile(nominal["geom_friction"], (k, 1, 1))
        friction[:, self._foot_geoms, 0] = draw(r.friction, 1)
        assign("geom_friction", friction)
        mass = draw(r.mass_factor, self.model.nbody)
        assign("body_mass", nominal["body_mass"] * mass)
        assign("body_inertia", nominal["body_inertia"] * mass[..., None])
        ipos = np.tile(nominal["body_ipos"], (k, 1, 1))
        ipos[:, self.model.body(spec.config.torso_body).id] += draw(r.torso_com_m, 3)
        assign("body_ipos", ipos)
        for name, factor in (
            ("dof_frictionloss", r.joint_friction_factor),
            ("dof_armature", r.armature_factor),
        ):
            values = np.tile(nominal[name], (k, 1))
            values[:, self.joint_qvel] *= draw(factor, n)
            assign(name, values)
        nominal_voltage = np.array([servo.nominal_voltage_v for servo in spec.servos])
        voltage = draw(r.voltage_v, 1) / nominal_voltage
        gain = voltage * draw(r.gain_factor, n)
        self._stall[rows] = spec.stall_torque * voltage
        gainprm, biasprm, limits = (
            np.tile(nominal[name], (k, 1, 1))
            for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
        )
        gainprm[:, self._actuators, 0] *= gain
        biasprm[:, self._actuators, 1] *= gain
        limits[:, self._actuators] *= voltage[..., None]
        assign("actuator_gainprm", gainprm)
        assign("actuator_biasprm", biasprm)
        assign("actuator_forcerange", limits)
        dt = self.model.opt.timestep
        assign("actuator_delay", np.tile(np.round(draw(r.action_delay_s, 1) / dt) * dt, (1, self.model.nu)))
        self.batch.set_const(rows)
        self._encoder_offset[rows] = draw(r.encoder_offset_rad, n)
        self._gyro_bias[rows] = draw(r.gyro_bias_rad_s, 3)
        tilt = np.concatenate([draw(r.imu_tilt_rad, 2), np.zeros((k, 1))], axis=-1)
        self._imu_error[rows] = quat_from_rotvec(tilt)
        yaw = rng.uniform(-np.pi, np.pi, k) if r.random_yaw_zero else np.zeros(k)
        self._yaw_zero[rows] = quat_from_yaw(yaw)
        self._switch_factor[rows] = draw(r.foot_switch_factor, spec.num_feet)

    # ------------------------------------------------------------------ stepping

    def _write_ctrl(self, rows: Any, target: Any) -> None:
        ctrl = np.zeros((len(target), self.model.nu))
        ctrl[:, self._actuators] = target
        self._ctrl[rows] = ctrl

    def step(self, joint_target: Any) -> None:
        """Advance one control period with joint targets (N, n), rad, as the servos see them (their own zeros)."""
        if self.randomization.push_speed_m_s > 0:
            self._random_pushes()
        self._write_ctrl(slice(None), np.asarray(joint_target) - self._encoder_offset)
        self.batch.step(nstep=self._substeps)
        self._time += self.spec.control_dt
        self._collect(slice(None))

    def _random_pushes(self) -> None:
        rows = np.flatnonzero(self._time >= self._push_at)
        if rows.size:
            angle = self._rng.uniform(-np.pi, np.pi, rows.size)
            speed = self._rng.uniform(0.0, self.randomization.push_speed_m_s, rows.size)
            self.push(rows, np.stack([speed * np.cos(angle), speed * np.sin(angle), 0.0 * angle], axis=-1))
            self._push_at[rows] += self._rng.uniform(*self.randomization.push_interval_s, rows.size)

    def push(self, ids: Any, velocity_change: Any) -> None:
        """Change the pelvis velocity of simulations `ids` by (k, 3) m/s, world frame, at once."""
        self.qvel[ids, :3] += velocity_change

    def _collect(self, rows: Any) -> None:
        self._sensors[rows] = self._sensordata[rows]
        self._force[rows] = self._actuator_force[rows]
        self._sites[rows] = self._site_xpos[rows][:, self._foot_sites]

    # ------------------------------------------------------------------ what can be read

    def frame(self) -> SensorFrame:
        """What the hardware would measure, (N, ...), one instant: one physics step before the end of the tick."""
        r, rng, spec, sensors = self.randomization, self._rng, self.spec, self._sensors
        shape = (self.num_envs, spec.num_joints)
        position = sensors[:, self._at_position] + self._encoder_offset
        velocity = sensors[:, self._at_velocity]
        gyro = sensors[:, self._at_gyro] + self._gyro_bias
        acceleration = sensors[:, self._at_acceleration]
        if r.joint_position_noise_rad:
            position = position + rng.normal(0.0, r.joint_position_noise_rad, shape)
        if r.joint_velocity_noise_rad_s:
            velocity = velocity + rng.normal(0.0, r.joint_velocity_noise_rad_s, shape)
        if r.quantise_joints:
            counts = np.array([[s.position_rad_per_count, s.velocity_rad_s_per_count] for s in spec.servos])
            position = np.round(position / counts[:, 0]) * counts[:, 0]
            velocity = np.round(velocity / counts[:, 1]) * counts[:, 1]
        if r.gyro_noise_rad_s:
            gyro = gyro + rng.normal(0.0, r.gyro_noise_rad_s, gyro.shape)
        if r.acceleration_noise_m_s2:
            acceleration = acceleration + rng.normal(0.0, r.acceleration_noise_m_s2, acceleration.shape)
        # The model's IMU site is aligned with the torso; the chip sits in its mount.
        mount = quat_to_matrix(spec.imu_mount)
        true_quat = quat_multiply(self._imu_error, sensors[:, self._at_quaternion])
        contact = self._switches.update(sensors[:, self._at_touch], self._switch_factor)
        time = self._time - self.model.opt.timestep
        yes = np.ones(self.num_envs, dtype=bool)
        return SensorFrame(
            time_s=time,
            joint_position=position,
            joint_velocity=velocity,
            joint_time_s=np.repeat(time[:, None], spec.num_joints, axis=1),
            joint_valid=np.ones(shape, dtype=bool),
            imu_quaternion=quat_multiply(self._yaw_zero, quat_multiply(true_quat, spec.imu_mount)),
            imu_angular_velocity=gyro @ mount,
            imu_acceleration=acceleration @ mount,
            imu_time_s=time.copy(),
            imu_valid=yes,
            foot_contact=contact,
            foot_time_s=time.copy(),
            foot_valid=yes.copy(),
        )

    def truth(self) -> Truth:
        """The simulator's own state (copies)."""
        torque = self._force[:, self._actuators]
        return Truth(
            pelvis_position=self.qpos[:, :3].copy(),
            pelvis_quaternion=self.qpos[:, 3:7].copy(),
            pelvis_linear_velocity=self.qvel[:, :3].copy(),
            pelvis_angular_velocity=self.qvel[:, 3:6].copy(),
            joint_position=self.qpos[:, self.joint_qpos],
            joint_velocity=self.qvel[:, self.joint_qvel],
            foot_force=self._sensors[:, self._at_touch],
            foot_position=self._sites.copy(),
            saturated=np.abs(torque) >= 0.999 * self._stall,
            torque=torque,
        )

    def data(self, index: int = 0) -> Any:
        """MjData of one simulation, kinematics computed, to render it with `model`."""
        data = self.batch.get_data(index)
        mujoco.mj_forward(self.model, data)
        return data

    # ------------------------------------------------------------------ saved state

    @property
    def _memory(self) -> dict[str, Array]:
        live = {"qpos": self.qpos, "qvel": self.qvel, "ctrl": self._ctrl, "history": self._history}
        live |= {"warmstart": self._warmstart, "time": self._sim_time}
        return {key: np.array(value) for key, value in (live | self._expanded).items()}

    @_memory.setter
    def _memory(self, saved: dict[str, Array]) -> None:
        for name, values in self._expanded.items():
            values[:] = saved[name]
        self.batch.set_const()
        live = {"qpos": self.qpos, "qvel": self.qvel, "ctrl": self._ctrl, "history": self._history}
        for name, values in (live | {"warmstart": self._warmstart, "time": self._sim_time}).items():
            values[:] = saved[name]


class FootSwitchRows(Stateful):
    """The robot's foot switches, one set per simulation, each with its own spread of the switching force."""

    state_fields = ("closed",)

    def __init__(self, spec: RobotSpec, num_envs: int) -> None:
        switch = spec.foot_switch
        self._switches = FootSwitches(switch.on_n, switch.off_n, (num_envs, spec.num_feet))

    @property
    def closed(self) -> Any:
        """(N, 4) bool."""
        return self._switches.closed

    @closed.setter
    def closed(self, value: Any) -> None:
        self._switches.closed = value

    def reset(self, force: Array, factor: Array, rows: NDArray[np.int64]) -> None:
        mask = np.zeros(len(force), dtype=bool)
        mask[rows] = True
        self._switches.reset(force / factor, mask)

    def update(self, force: Array, factor: Array) -> Any:
        return self._switches.update(force / factor)
