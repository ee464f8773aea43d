"""The vectorized environment: a simulator, the signal path of the robot, and a task that sets goals and rewards.

A row that ended is not stepped on: its next tick carries the reset, and that tick is marked invalid. So every tick has
one observation, the terminal one is real, and nothing spans a reset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.rotations import heading_split, quat_to_matrix, rotate_heading
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import AXIAL, POLAR, SAME, Mirror, joined
from wildrobot.signal_path.command import is_moving
from wildrobot.signal_path.features import FeatureWindow
from wildrobot.signal_path.observation import Layout, layout_size, observation_mirror
from wildrobot.signal_path.path import Signal, SignalPath
from wildrobot.simulation.simulation import Simulation, Truth

Array = NDArray[np.float64]


AVERAGED_S = 0.36
"""Time constant of averaged velocities: half a stride."""


@dataclass
class InitialState:
    """Where episodes begin: qpos (k, nq), qvel (k, nv), clock phase (k,) rad and heading error (k,) rad."""

    qpos: Array
    qvel: Array
    phase: Array
    heading_error: Array


@dataclass
class PelvisMotion:
    """Truth in the pelvis's heading frame, (N, ...): what rewards are written in."""

    yaw: Array
    velocity: Array
    """m/s."""
    angular_velocity: Array
    """rad/s."""
    up: Array
    """(N, 3) up in the pelvis frame."""
    height: Array
    """Pelvis origin over the floor, m."""


def pelvis_motion(truth: Truth) -> PelvisMotion:
    """The simulator's truth in the heading frame."""
    rotation = quat_to_matrix(truth.pelvis_quaternion)
    yaw, tilt = heading_split(rotation)
    return PelvisMotion(
        yaw=yaw,
        velocity=rotate_heading(yaw, truth.pelvis_linear_velocity, inverse=True),
        angular_velocity=(tilt @ truth.pelvis_angular_velocity[..., None])[..., 0],
        up=rotation[..., 2, :],
        height=truth.pelvis_position[..., 2],
    )


@dataclass
class StepData:
    """What rewards and critic are computed from: arrays (N, ...) of one tick, or (T, N, ...) of several."""

    obs: NDArray[np.float32]
    command: Array
    """(2,) in the observation."""
    gait_clock: Array
    truth: Truth
    motion: PelvisMotion
    valid: NDArray[np.bool_]
    """False where this tick was the reset."""
    task: dict[str, Array]
    """What the task keeps of it."""


@dataclass
class Rewards:
    """Of steps, (N,) or (T, N) of them."""

    total: Array
    terms: dict[str, Array]
    """Weighted, zero where the tick was a reset; `total` is their sum."""
    figures: dict[str, Array]
    """Unweighted, for the log; NaN where they do not apply."""


class Task(Protocol):
    """What the robots are to do. Arrays are numpy, rows are environments.

    `step` is called once a tick and keeps what `compute_rewards` and `critic_observation` need; these change nothing,
    and take one tick or many at once.
    """

    obs_size: int
    heading_hold: bool

    def reset(self, rows: NDArray[np.int64]) -> InitialState: ...

    def command(self) -> Array: ...

    def process_action(self, action: Array) -> Array: ...

    def observation(self, truth: Truth, motion: PelvisMotion) -> Array: ...

    def step(
        self, truth: Truth, motion: PelvisMotion, action: Array, reset: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Array]]:
        """Move on by one tick, which carried the reset in rows `reset`: terminated, truncated, and `StepData.task`."""
        ...

    def compute_rewards(self, data: StepData) -> tuple[dict[str, Array], dict[str, Array]]:
        """Weighted reward terms and figures."""
        ...

    def critic_observation(self, data: StepData) -> Array: ...

    def obs_mirror(self) -> Mirror: ...

    def critic_mirror(self) -> Mirror: ...


@dataclass
class StepResult:
    """One tick of all rows, after it was taken."""

    obs: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    """Fell: no value beyond."""
    done: NDArray[np.bool_]
    """Terminated or truncated (timed out): the next tick carries the reset."""
    valid: NDArray[np.bool_]
    """False where this tick was the reset."""
    features: Array
    window: Array
    window_valid: NDArray[np.bool_]
    """The window holds real frames only, of a robot that was commanded to move all along: style is judged there."""
    signal: Signal
    truth: Truth
    data: StepData
    env: Environment

    @cached_property
    def rewards(self) -> Rewards:
        """Of this tick. Who has many ticks asks `Environment.compute_rewards` for all of them at once."""
        return self.env.compute_rewards(self.data)

    @cached_property
    def critic_obs(self) -> NDArray[np.float32]:
        """(N, critic_size), likewise."""
        return self.env.critic_observation(self.data)


class Environment(Stateful):
    """N robots in parallel. `step(action)` (N, n) in, `StepResult` out."""

    state_fields = ("sim", "path", "task", "window", "age", "ended", "_moving_for")

    def __init__(
        self,
        spec: RobotSpec,
        sim: Simulation,
        task: Task,
        layout: Layout,
        window_frames: int,
        episode_s: float = 20.0,
    ) -> None:
        self.spec, self.sim, self.task, self.layout = spec, sim, task, layout
        self.num_envs = sim.num_envs
        self.path = SignalPath(spec, layout, heading_hold=task.heading_hold)
        self.window = FeatureWindow(window_frames)
        self.max_age = round(episode_s * spec.control_hz)
        self.age = np.zeros(self.num_envs, dtype=np.int64)
        """(N,) ticks of the episode."""
        self.ended = np.ones(self.num_envs, dtype=bool)
        """(N,) the last tick was the episode's last: the next one resets."""
        self._weight = spec.total_mass * GRAVITY_M_S2
        self._moving_for = np.zeros(self.num_envs, dtype=np.int64)
        self.obs_size = layout_size(layout) + task.obs_size
        self.obs_mirror: Mirror = joined([observation_mirror(spec, layout), task.obs_mirror()])
        """Of `StepResult.obs`."""
        feet = spec.mirror.feet
        own = [POLAR, AXIAL, SAME, POLAR, feet, feet, task.critic_mirror()]
        self.critic_mirror: Mirror = joined([self.obs_mirror, *own])
        """Of `StepResult.critic_obs`."""
        self.critic_size = len(self.critic_mirror[0])

    def reset(self, age: NDArray[np.int64] | None = None) -> StepResult:
        """Reset every row; `age` (N,) ticks spreads the time-outs. Returns the first (invalid) tick."""
        self.ended[:] = True
        result = self.step(np.zeros((self.num_envs, self.spec.num_joints)))
        if age is not None:
            self.age[:] = age
        return result

    def step(self, action: ArrayLike) -> StepResult:
        """One control tick with the policy's action (N, n)."""
        reset = self.ended
        action = self.task.process_action(np.asarray(action, dtype=np.float64))
        if self.path.previous_target is not None:
            self.sim.step(self.path.act(action))
        if reset.any():
            rows = np.flatnonzero(reset)
            initial = self.task.reset(rows)
            self.sim.reset(rows, initial.qpos, initial.qvel)
            self.age[rows] = 0
        frame = self.sim.frame()
        if reset.any():
            phase, error = np.zeros(self.num_envs), np.zeros(self.num_envs)
            phase[rows], error[rows] = initial.phase, initial.heading_error
            self.path.reset(frame, reset, phase, error)
            # what was asked of a row that ended was not done: its first action is the one that asks for its pose
            action = np.where(reset[:, None], self.path.previous_action, action)
        signal = self.path.observe(frame, self.task.command())
        truth = self.sim.truth()
        motion = pelvis_motion(truth)
        moving = is_moving(self.spec, signal.command)
        self._moving_for = np.where(moving & ~reset, self._moving_for + 1, 0)
        window, window_valid = self.window.push(signal.features, reset)
        window_valid = window_valid & (self._moving_for >= self.window.frames)
        terminated, truncated, kept = self.task.step(truth, motion, action, reset)
        valid = ~reset
        self.age += valid
        terminated = terminated & valid
        done = (terminated | truncated | (self.age >= self.max_age)) & valid
        self.ended = done
        task_obs = self.task.observation(truth, motion)
        obs = np.concatenate([signal.observation, task_obs], axis=-1, dtype=np.float32, casting="unsafe")
        data = StepData(obs, signal.command, signal.gait_clock, truth, motion, valid, kept)
        features = signal.features
        return StepResult(
            obs, terminated, done, valid, features, window, window_valid, signal, truth, data, self
        )

    def compute_rewards(self, data: StepData) -> Rewards:
        """Of one tick (N, ...), or of many together (T, N, ...)."""
        terms, figures = self.task.compute_rewards(data)
        terms = {name: np.where(data.valid, value, 0.0) for name, value in terms.items()}
        return Rewards(sum(terms.values(), np.zeros(data.valid.shape)), terms, figures)

    def critic_observation(self, data: StepData) -> NDArray[np.float32]:
        """(..., critic_size) of one tick (N, ...), or of many together (T, N, ...): what the policy sees, and truth."""
        truth, motion = data.truth, data.motion
        return np.concatenate(
            [
                data.obs,
                motion.velocity,
                motion.angular_velocity,
                motion.height[..., None],
                motion.up,
                truth.foot_force / self._weight,
                truth.foot_position[..., 2],
                self.task.critic_observation(data),
            ],
            axis=-1,
            dtype=np.float32,
            casting="unsafe",
        )
