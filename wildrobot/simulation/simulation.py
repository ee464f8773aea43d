"""Many simulated robots on `mujoco.batch`: joint targets in, SensorFrames out. One robot is a batch of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import ArrayLike, NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_to_matrix
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mujoco_model import DELAY_SAMPLES, SENSOR_SAMPLES, compile_model
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.randomization.config import NOMINAL, Randomization
from wildrobot.simulation.randomization.terms import disturb, push_velocity, randomize
from wildrobot.simulation.robot_rows import RobotRows, Rows
from wildrobot.simulation.sensors import SimulatedSensors

Array = NDArray[np.float64]
FALLEN_HEIGHT = 0.6
"""Share of the standing height below which a robot has fallen."""
FALLEN_UP = 0.5
"""Cosine of the pelvis's tilt, likewise."""


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
    """(N, feet) N, normal, per switch."""
    foot_position: Array
    """(N, feet, 3) m, sole points."""
    saturated: NDArray[np.bool_]
    """(N, n) servo at its voltage limit."""
    torque: Array
    """(N, n) N m, electromagnetic torque before back-EMF."""


def fallen(spec: RobotSpec, truth: Truth) -> NDArray[np.bool_]:
    """(N,) bool: the pelvis is low, or tilted by more than 60 degrees."""
    up = quat_to_matrix(truth.pelvis_quaternion)[:, 2, 2]
    return (truth.pelvis_position[:, 2] < FALLEN_HEIGHT * spec.standing_height) | (up < FALLEN_UP)


class Simulation(Stateful):
    """`num_envs` robots stepped together at the control rate, each with its own draw of `randomization`.

    Results do not depend on the number of threads. `threads` 0 uses all CPUs.

    Raises:
        UserError: `randomization` delays targets or samples for longer than the model's delay lines last, or the
            control period is no whole number of physics steps.
    """

    state_fields = (
        "_rng", "_tick_rng", "_time", "_sensors", "_force", "_sites", "_goal", "_push_at", "level", "robots", "_memory",
    )  # fmt: skip

    def __init__(
        self,
        spec: RobotSpec,
        num_envs: int,
        seed: int = 0,
        randomization: Randomization = NOMINAL,
        threads: int = 0,
        model: mujoco.MjModel | None = None,
    ) -> None:
        self.spec, self.num_envs, self.randomization = spec, num_envs, randomization
        self.model = compile_model(spec) if model is None else model
        self._check_delays()
        self.batch = Batch(self.model, num_envs, nthread=threads)
        self._rng = np.random.default_rng(seed)
        self._tick_rng = np.random.default_rng([seed, 1])
        self._substeps = self._steps_per_tick()
        self._bind()
        self.robots = RobotRows(spec, self.model, self.batch)
        n, feet = spec.num_joints, spec.num_feet
        self._time = np.zeros(num_envs)
        self._sensors = SimulatedSensors(spec, self.model, num_envs)
        self._force = np.zeros((num_envs, n))
        self._sites = np.zeros((num_envs, feet, 3))
        self._goal = np.zeros((num_envs, n))
        self._push_at = np.full(num_envs, np.inf)
        self.pushed = np.zeros((num_envs, 3))
        """(N, 3) m/s, world: by how much random pushes changed the pelvis's velocity in the last step."""
        self.level = 1.0
        self.reset()

    def _check_delays(self) -> None:
        r, dt = self.randomization, self.model.opt.timestep
        action, sensor = (samples - 2 for samples in (DELAY_SAMPLES, SENSOR_SAMPLES))
        for name, longest, steps in (
            ("action_delay_s + action_jitter_s", r.action_delay_s[1] + r.action_jitter_s, action),
            ("velocity_lag_s", r.velocity_lag_s[1], sensor),
            ("imu_age_s", r.imu_age_s[1], sensor),
        ):
            if longest > steps * dt + 1e-9:
                raise UserError(
                    f"randomization {name} is up to {longest:g} s, expected at most {steps * dt:g} s: "
                    "that is what the simulator's delay lines hold. Choose less."
                )

    def _steps_per_tick(self) -> int:
        steps = self.spec.control_dt / self.model.opt.timestep
        if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
            raise UserError(
                f"a control period of {self.spec.name} is {self.spec.control_dt:g} s, which is not a whole number of "
                f"physics steps of {self.model.opt.timestep:g} s. Choose another control_hz, or another timestep in "
                "the MJCF."
            )
        return round(steps)

    def _bind(self) -> None:
        model, spec, batch = self.model, self.spec, self.batch
        self.qpos, self.qvel = batch.bind("qpos"), batch.bind("qvel")
        self._ctrl, self._history = batch.bind("ctrl"), batch.bind("history")
        self._sensordata = batch.bind("sensordata")
        self._warmstart, self._sim_time = batch.bind("qacc_warmstart"), batch.bind("time")
        self.joint_qpos = np.array([model.joint(name).qposadr[0] for name in spec.joint_names])
        self.joint_qvel = np.array([model.joint(name).dofadr[0] for name in spec.joint_names])
        servos = [batch.actuator(name) for name in spec.joint_names]
        self._targets, self._torques = ([getattr(s, part) for s in servos] for part in ("ctrl", "force"))
        self._soles = [batch.site(name).xpos for name in spec.foot_names]

    # ------------------------------------------------------------------ reset and randomization

    def home(self, count: int) -> tuple[Array, Array]:
        """qpos (count, nq) and qvel (count, nv) of the robot standing in its home pose on the floor."""
        qpos = np.tile(self.model.qpos0, (count, 1))
        qpos[:, 2] = self.spec.standing_height - 5e-4  # the soles just touch
        qpos[:, self.joint_qpos] = self.spec.default_joint_pos
        return qpos, np.zeros((count, self.model.nv))

    @property
    def level(self) -> float:
        """By how much all ranges are scaled about their nominal values, 0 to 1."""
        return self._level

    @level.setter
    def level(self, level: float) -> None:
        self._level, self._drawn = level, self.randomization.at_level(level)

    def set_level(self, level: float) -> None:
        """Scale all ranges about their nominal values by `level`, 0 to 1: each robot's from its next reset on.

        Raises:
            UserError: not a number from 0 to 1.
        """
        if not 0.0 <= level <= 1.0:
            raise UserError(f"the randomization's level is {level}, expected 0 to 1.")
        self.level = float(level)

    def reset(
        self, ids: ArrayLike | None = None, qpos: Array | None = None, qvel: Array | None = None
    ) -> None:
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
        self._goal[rows] = self.qpos[rows][:, self.joint_qpos]
        self._write_ctrl(rows, self._goal[rows])
        self._settle(rows)
        self._time[rows] = 0.0
        self._collect(rows)
        self._sensors.reset(rows, self.robots.switch_factor)
        low, high = self.randomization.push_interval_s
        self._push_at[rows] = (
            self._rng.uniform(low, high, len(rows)) if self.randomization.push_speed_m_s > 0 else np.inf
        )

    def _randomize(self, rows: NDArray[np.int64]) -> None:
        self.robots.restore(rows, self.level)
        randomize(self.robots, rows, self._drawn, self._rng, self._tick_rng)
        self.batch.set_const(rows)

    def _settle(self, rows: NDArray[np.int64]) -> None:
        """Compute the present and make it the whole past of the delay lines."""
        model = self.model
        self._fill(rows, model.actuator_history, model.actuator_historyadr, self._ctrl[rows])
        delay = self.robots.field["sensor_delay"]
        delays = delay[rows]
        delay[rows] = 0.0  # a sensor that lags would read what is not there yet
        self.batch.forward(rows)
        delay[rows] = delays
        self._fill(
            rows, model.sensor_history, model.sensor_historyadr, self._sensordata[rows], model.sensor_dim
        )

    def _fill(
        self, rows: NDArray[np.int64], lines: Array, starts: Array, values: Array, sizes: Array | None = None
    ) -> None:
        # Each line is [user, cursor, times (samples), values (samples x size)]; a reset has written the times.
        history, at = self._history[rows], 0
        for line, ((samples, _), start) in enumerate(zip(lines, starts, strict=True)):
            size = 1 if sizes is None else sizes[line]
            if samples:
                first = start + 2 + samples
                history[:, first : first + samples * size] = np.tile(values[:, at : at + size], (1, samples))
            at += size
        self._history[rows] = history

    # ------------------------------------------------------------------ stepping

    def _write_ctrl(self, rows: Rows | slice, target: Array) -> None:
        for servo, goal in zip(self._targets, np.transpose(target), strict=True):
            servo[rows, 0] = goal

    def step(self, joint_target: ArrayLike) -> None:
        """Advance one control period with joint targets (N, n), rad, as the servos see them (their own zeros)."""
        if self.randomization.push_speed_m_s > 0:
            self._random_pushes()
        disturb(
            self.robots, self.randomization, self._tick_rng, self._sensors.foot_force, self._sites[:, :, 2]
        )
        self._goal = np.asarray(joint_target) - self.robots.encoder_offset
        reached = self._goal
        if self.randomization.backlash_rad[1] > 0.0:
            reached = reached - self.robots.play(self._goal, self.qpos[:, self.joint_qpos])
        self._write_ctrl(slice(None), reached)
        self.batch.step(nstep=self._substeps)
        self._time += self.spec.control_dt
        self._collect(slice(None))

    def _random_pushes(self) -> None:
        rows = np.flatnonzero(self._time >= self._push_at)
        self.pushed.fill(0.0)
        if rows.size:
            self.pushed[rows] = push_velocity(self.robots, rows, self.randomization, self._rng)
            self.push(rows, self.pushed[rows])
            self._push_at[rows] += self._rng.uniform(*self.randomization.push_interval_s, rows.size)

    def push(self, ids: ArrayLike, velocity_change: ArrayLike) -> None:
        """Change the pelvis velocity of simulations `ids` by (k, 3) m/s, world frame, at once."""
        self.qvel[ids, :3] += velocity_change

    def _collect(self, rows: Rows | slice) -> None:
        self._sensors.values[rows] = self._sensordata[rows]
        for i, torque in enumerate(self._torques):
            self._force[rows, i] = torque[rows, 0]
        for i, sole in enumerate(self._soles):
            self._sites[rows, i] = sole[rows]

    # ------------------------------------------------------------------ what can be read

    def frame(self, noise: bool = True) -> SensorFrame:
        """What the hardware would measure, (N, ...), one instant: one physics step before the end of the tick.

        Args:
            noise: False leaves out what is drawn anew at every reading, so that the constant errors show.
        """
        time = self._time - self.model.opt.timestep
        return self._sensors.frame(self.robots, self.randomization, self._rng, time, self._goal, noise)

    def truth(self) -> Truth:
        """The simulator's own state (copies)."""
        torque = self._force.copy()
        return Truth(
            pelvis_position=self.qpos[:, :3].copy(),
            pelvis_quaternion=self.qpos[:, 3:7].copy(),
            pelvis_linear_velocity=self.qvel[:, :3].copy(),
            pelvis_angular_velocity=self.qvel[:, 3:6].copy(),
            joint_position=self.qpos[:, self.joint_qpos],
            joint_velocity=self.qvel[:, self.joint_qvel],
            foot_force=self._sensors.foot_force,
            foot_position=self._sites.copy(),
            saturated=np.abs(torque) >= 0.999 * self.robots.stall_torque,
            torque=torque,
        )

    def data(self, index: int = 0) -> mujoco.MjData:
        """MjData of one simulation, kinematics computed, to render it with `model`."""
        data = self.batch.get_data(index)
        mujoco.mj_forward(self.model, data)
        return data

    # ------------------------------------------------------------------ saved state

    @property
    def _live(self) -> dict[str, Any]:
        return {
            "qpos": self.qpos, "qvel": self.qvel, "ctrl": self._ctrl, "history": self._history,
            "warmstart": self._warmstart, "time": self._sim_time,
        }  # fmt: skip

    @property
    def _memory(self) -> dict[str, Array]:
        return {key: np.array(value) for key, value in (self._live | self.robots.field).items()}

    @_memory.setter
    def _memory(self, saved: dict[str, Array]) -> None:
        field = self.robots.field
        for name, values in field.items():
            values[:] = saved[name]
        field["geom_pos"][:] = self.robots.nominal["geom_pos"]  # a bump comes after the constants
        self.batch.set_const()
        for name, values in (self._live | {"geom_pos": field["geom_pos"]}).items():
            values[:] = saved[name]
