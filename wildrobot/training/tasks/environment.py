"""The vectorized environment: a simulator, the signal path of the robot, and a task that sets goals and pays.

A row that ended is not stepped on: its next tick carries the reset, and that tick is marked invalid. So every tick has
one observation, the terminal one is real, and nothing spans a reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
class Start:
    """Where rows begin: qpos (k, nq), qvel (k, nv), clock phase (k,) rad and heading error (k,) rad."""

    qpos: Array
    qvel: Array
    phase: Array
    heading_error: Array


@dataclass
class Motion:
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


def motion_of(truth: Truth) -> Motion:
    """Express the simulator's truth in the heading frame."""
    rotation = quat_to_matrix(truth.pelvis_quaternion)
    yaw, tilt = heading_split(rotation)
    return Motion(
        yaw=yaw,
        velocity=rotate_heading(yaw, truth.pelvis_linear_velocity, inverse=True),
        angular_velocity=(tilt @ truth.pelvis_angular_velocity[..., None])[..., 0],
        up=rotation[..., 2, :],
        height=truth.pelvis_position[..., 2],
    )


@dataclass
class Moment:
    """What rewards and critic are told of one tick, arrays (N, ...), or of several ones, (T, N, ...)."""

    obs: NDArray[np.float32]
    command: Array
    """(2,) in the observation."""
    gait_clock: Array
    truth: Truth
    motion: Motion
    valid: NDArray[np.bool_]
    """False where this tick was the reset."""
    own: dict[str, Array]
    """What the task keeps of it."""


@dataclass
class Judged:
    """What moments, (N,) or (T, N) of them, were worth."""

    reward: Array
    terms: dict[str, Array]
    """Weighted reward terms, zero where the tick was a reset."""
    figures: dict[str, Array]
    """Unweighted, NaN where they do not apply."""
    critic_obs: NDArray[np.float32]


class Task(Protocol):
    """What the robots are to do. Arrays are numpy, rows are environments.

    `advance` is called once a tick and keeps what `pay` and `critic_extra` need; they change nothing, and take one tick
    or many at once.
    """

    extra_size: int
    heading_hold: bool

    def start(self, rows: NDArray[np.int64]) -> Start: ...

    def command(self) -> Array: ...

    def to_action(self, action: Array) -> Array: ...

    def extra(self, truth: Truth, motion: Motion) -> Array: ...

    def advance(
        self, truth: Truth, motion: Motion, action: Array, fresh: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Array]]:
        """Move on by one tick; who fell, who came to an end, and what is kept for `Moment.own`."""
        ...

    def pay(self, moment: Moment) -> tuple[dict[str, Array], dict[str, Array]]:
        """Weighted reward terms and figures."""
        ...

    def critic_extra(self, moment: Moment) -> Array: ...

    def mirror_extra(self) -> Mirror: ...

    def mirror_critic_extra(self) -> Mirror: ...


@dataclass
class Step:
    """One tick of all rows, after it was taken."""

    obs: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    """Fell: no value beyond."""
    ended: NDArray[np.bool_]
    """Fell or timed out: the next tick carries the reset."""
    valid: NDArray[np.bool_]
    """False where this tick was the reset."""
    features: Array
    window: Array
    window_valid: NDArray[np.bool_]
    """The window holds real frames only, of a robot that was commanded to move all along: style is judged there."""
    signal: Signal
    truth: Truth
    moment: Moment
    judge: Callable[[Moment], Judged]

    @cached_property
    def judged(self) -> Judged:
        """What this tick was worth. Who has many ticks asks `Environment.judge` for all of them at once."""
        return self.judge(self.moment)


class Environment(Stateful):
    """N robots in parallel. `step(action)` (N, n) in, `Step` out."""

    state_fields = ("sim", "path", "task", "window", "age", "ended", "_moving_for")

    def __init__(
        self,
        spec: RobotSpec,
        sim: Simulation,
        task: Any,
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
        self.ended = np.ones(self.num_envs, dtype=bool)
        self._weight = spec.total_mass * GRAVITY_M_S2
        self._moving_for = np.zeros(self.num_envs, dtype=np.int64)
        self.obs_size = layout_size(layout) + task.extra_size
        self.obs_mirror: Mirror = joined([observation_mirror(spec, layout), task.mirror_extra()])
        """Of `Step.obs`."""
        feet = spec.mirror.feet
        own = [POLAR, AXIAL, SAME, POLAR, feet, feet, task.mirror_critic_extra()]
        self.critic_mirror: Mirror = joined([self.obs_mirror, *own])
        """Of `Step.critic_obs`."""
        self.critic_size = len(self.critic_mirror[0])

    def start(self, random_age: NDArray[np.int64] | None = None) -> Step:
        """Reset every row; `random_age` (N,) ticks spreads the time-outs. Returns the first (invalid) tick."""
        self.ended[:] = True
        step = self.step(np.zeros((self.num_envs, self.spec.num_joints)))
        if random_age is not None:
            self.age[:] = random_age
        return step

    def step(self, action: Any) -> Step:
        """One control tick with the policy's action (N, n)."""
        fresh = self.ended
        action = self.task.to_action(np.asarray(action, dtype=np.float64))
        if self.path.previous_target is not None:
            self.sim.step(self.path.act(action))
        if fresh.any():
            rows = np.flatnonzero(fresh)
            start = self.task.start(rows)
            self.sim.reset(rows, start.qpos, start.qvel)
            self.age[rows] = 0
        frame = self.sim.frame()
        if fresh.any():
            phase, error = np.zeros(self.num_envs), np.zeros(self.num_envs)
            phase[rows], error[rows] = start.phase, start.heading_error
            self.path.reset(frame, fresh, phase, error)
            # what was asked of a row that ended was not done: its first action is the one that asks for its pose
            action = np.where(fresh[:, None], self.path.previous_action, action)
        signal = self.path.observe(frame, self.task.command())
        truth = self.sim.truth()
        motion = motion_of(truth)
        moving = is_moving(self.spec, signal.command)
        self._moving_for = np.where(moving & ~fresh, self._moving_for + 1, 0)
        window, window_valid = self.window.push(signal.features, fresh)
        window_valid = window_valid & (self._moving_for >= self.window.frames)
        terminated, timeout, own = self.task.advance(truth, motion, action, fresh)
        valid = ~fresh
        self.age += valid
        terminated = terminated & valid
        ended = (terminated | timeout | (self.age >= self.max_age)) & valid
        self.ended = ended
        extra = self.task.extra(truth, motion)
        obs = np.concatenate([signal.observation, extra], axis=-1, dtype=np.float32, casting="unsafe")
        moment = Moment(obs, signal.command, signal.gait_clock, truth, motion, valid, own)
        return Step(
            obs,
            terminated,
            ended,
            valid,
            signal.features,
            window,
            window_valid,
            signal,
            truth,
            moment,
            self.judge,
        )

    def judge(self, moment: Moment) -> Judged:
        """Rewards and the critic's observations of one tick (N, ...), or of many together (T, N, ...)."""
        truth, motion = moment.truth, moment.motion
        terms, figures = self.task.pay(moment)
        terms = {name: np.where(moment.valid, value, 0.0) for name, value in terms.items()}
        critic_obs = np.concatenate(
            [
                moment.obs,
                motion.velocity,
                motion.angular_velocity,
                motion.height[..., None],
                motion.up,
                truth.foot_force / self._weight,
                truth.foot_position[..., 2],
                self.task.critic_extra(moment),
            ],
            axis=-1,
            dtype=np.float32,
            casting="unsafe",
        )
        return Judged(sum(terms.values(), np.zeros(moment.valid.shape)), terms, figures, critic_obs)
