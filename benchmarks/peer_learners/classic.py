"""One robot as a plain gymnasium environment on classic `mujoco.mj_step`: how it is usually done without a batch.

Chosen so as to favour the peer where a choice had to be made: the observation is written out plainly from the
simulator's truth, without sensor noise, delays and state estimator (our signal path is made for many rows; with a
single one it takes twenty times as long as the physics), and the robot is the nominal one, never randomized. Ours are
the model, the physics step, the control rate, the way from action to joint target, commands, starts of episodes, falls
and the task reward: the very code of `WalkingTask` with one row, so that returns are the same figure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import load_robot
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.signal_path.command import GaitClock, HeadingHold
from wildrobot.simulation.simulation import Truth
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.tasks.environment import PelvisMotion, StepData, pelvis_motion
from wildrobot.training.tasks.walking import WalkingConfig, WalkingTask

Array = NDArray[np.float64]
RESET, GOING_ON = np.ones(1, dtype=bool), np.zeros(1, dtype=bool)
ROW = np.zeros(1, dtype=np.int64)


class ClassicWalk(gymnasium.Env):  # type: ignore[misc]
    """Follow velocity commands: action (n,) in action units, observation (D,) float32, reward per control tick."""

    num_envs = 1

    def __init__(
        self, reference: Path, walking: WalkingConfig, episode_s: float, seed: int, robot: Path | None = None
    ) -> None:
        self.robot = spec = load_robot(robot)  # gymnasium keeps `spec` for itself
        self.model = model = compile_model(spec)
        self.data = mujoco.MjData(model)
        self._substeps = round(spec.control_dt / model.opt.timestep)
        self.joint_qpos = np.array([model.joint(name).qposadr[0] for name in spec.joint_names])
        self._joint_qvel = np.array([model.joint(name).dofadr[0] for name in spec.joint_names])
        self._actuators = np.array([model.actuator(name).id for name in spec.joint_names])
        self._sites = np.array([model.site(name).id for name in spec.foot_names])
        self._touch = np.array([model.sensor(name).adr[0] for name in spec.foot_names])
        self._rate = spec.target_rate_limit * spec.control_dt
        task_sim: Any = self  # of a simulation the task asks for `num_envs`, `home` and `joint_qpos`
        self.task = WalkingTask(spec, task_sim, ReferenceDataset.load(reference, spec), walking, seed)
        self._clock, self._hold = GaitClock(spec), HeadingHold(spec)
        self._max_age = round(episode_s * spec.control_hz)
        self._age = 0
        self._target = np.zeros(spec.num_joints)
        clip = np.full(spec.num_joints, spec.action_clip, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(-clip, clip)
        size = len(self.reset(seed=seed)[0])
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def home(self, count: int) -> tuple[Array, Array]:
        """qpos (count, nq) and qvel (count, nv) of the robot standing in its home pose on the floor."""
        qpos = np.tile(self.model.qpos0, (count, 1))
        qpos[:, 2] = self.robot.standing_height - 5e-4
        qpos[:, self.joint_qpos] = self.robot.default_joint_pos
        return qpos, np.zeros((count, self.model.nv))

    def physics(self) -> None:
        """One control period with the present joint targets."""
        mujoco.mj_step(self.model, self.data, nstep=self._substeps)

    def truth(self) -> Truth:
        """The simulator's state, one row."""
        data, torque = self.data, self.data.actuator_force[None, self._actuators]
        return Truth(
            pelvis_position=data.qpos[None, :3].copy(),
            pelvis_quaternion=data.qpos[None, 3:7].copy(),
            pelvis_linear_velocity=data.qvel[None, :3].copy(),
            pelvis_angular_velocity=data.qvel[None, 3:6].copy(),
            joint_position=data.qpos[None, self.joint_qpos],
            joint_velocity=data.qvel[None, self._joint_qvel],
            foot_force=data.sensordata[None, self._touch],
            foot_position=data.site_xpos[None, self._sites],
            saturated=np.abs(torque) >= 0.999 * self.robot.stall_torque,
            torque=torque,
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A new episode: from a frame of the reference, or standing at home."""
        super().reset(seed=seed)
        if seed is not None:
            self.task._rng = np.random.default_rng(seed)
        spec, data, initial = self.robot, self.data, self.task.reset(ROW)
        mujoco.mj_resetData(self.model, data)
        data.qpos[:], data.qvel[:] = initial.qpos[0], initial.qvel[0]
        self._target = data.qpos[self.joint_qpos].copy()
        data.ctrl[self._actuators] = self._target
        mujoco.mj_forward(self.model, data)
        self._age = 0
        self._clock.reset((1,), None, initial.phase)
        self._hold.reset((1,), None, initial.heading_error)
        asked = (self._target - spec.default_joint_pos) / spec.action_scale
        return self._tick(np.clip(asked, -spec.action_clip, spec.action_clip), RESET)[0], {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One control tick with the policy's action (n,)."""
        spec, data = self.robot, self.data
        action = np.asarray(action, dtype=np.float64)
        wanted = spec.default_joint_pos + spec.action_scale * np.clip(
            action, -spec.action_clip, spec.action_clip
        )
        wanted = np.clip(wanted, self._target - self._rate, self._target + self._rate)
        self._target = np.clip(wanted, spec.joint_lower, spec.joint_upper)
        data.ctrl[self._actuators] = self._target
        self.physics()
        self._age += 1
        obs, reward, fell = self._tick(action, GOING_ON)
        return obs, reward, fell, not fell and self._age >= self._max_age, {}

    def _tick(self, action: Array, reset: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, bool]:
        truth = self.truth()
        motion = pelvis_motion(truth)
        command = self._hold.command(self.task.command(), motion.yaw)
        clock = self._clock.tick(command)
        fell, _, kept = self.task.step(truth, motion, action[None], reset)
        obs = self._observation(truth, motion, command, clock, action)
        terms, _ = self.task.compute_rewards(StepData(obs, command, clock, truth, motion, ~reset, kept))
        return obs, float(sum(value[0] for value in terms.values())), bool(fell[0])

    def _observation(
        self, truth: Truth, motion: PelvisMotion, command: Array, clock: Array, action: Array
    ) -> NDArray[np.float32]:
        spec = self.robot
        return np.concatenate(
            [
                truth.joint_position[0] - spec.default_joint_pos,
                truth.joint_velocity[0],
                truth.foot_force[0] > spec.foot_switch.on_n,
                motion.velocity[0],
                motion.angular_velocity[0],
                motion.up[0],
                motion.height,
                command[0],
                np.clip(action, -spec.action_clip, spec.action_clip),
                clock[0],
            ],
            dtype=np.float32,
            casting="unsafe",
        )
