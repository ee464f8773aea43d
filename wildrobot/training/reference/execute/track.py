"""A tracking policy that executes planned clips in simulation: its training."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wildrobot.core.config import check_least
from wildrobot.core.progress import Bar
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.randomization.config import FULL, Randomization
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.rl.checkpoint import load_checkpoint, save_checkpoint
from wildrobot.training.rl.device import Device, learning_device
from wildrobot.training.rl.networks import Actor, Critic, SymmetricActor
from wildrobot.training.rl.ppo import PPO, PPOConfig
from wildrobot.training.rl.runner import Mix, Runner
from wildrobot.training.tasks.clip_library import ClipLibrary
from wildrobot.training.tasks.environment import Environment
from wildrobot.training.tasks.tracking import TrackingTask, tracking_layout


@dataclass(frozen=True)
class Limits:
    """What an executed clip must keep to be accepted."""

    joint_rmse_rad: float = 0.10
    saturation: float = 0.05
    survival: float = 0.5
    sole_depth_m: float = 0.004
    """Deepest 99th percentile of the soles under the floor."""
    weight_error: float = 0.1
    """Mean total foot force against the robot's weight."""
    self_collision: float = 0.03
    """Share of frames in which two parts of the robot touch; a rollout with any such frame is not kept."""


@dataclass(frozen=True)
class TrackConfig:
    """How the tracker is trained and what is recorded."""

    iterations: int = 400
    num_envs: int = 512
    steps: int = 24
    hidden: tuple[int, ...] = (256, 128)
    episode_s: float = 8.0
    """Length to which periodic clips are unrolled."""
    rollouts_per_clip: int = 4
    """Rollouts of the tracker's own motion: what the discriminator takes for real."""
    noisy_rollouts_per_clip: int = 3
    """More rollouts, disturbed by action noise, to show how the tracker recovers: for cloning only."""
    action_noise: float = 0.2
    """Standard deviation of that noise, in units of action."""
    student_rounds: int = 3
    """Times that a clone of the tracker drives and the tracker says what it would have done (DAgger, Ross et al. 2011):
    so the clone learns the way back from its own errors."""
    student_rollouts_per_clip: int = 4
    student_push_interval_s: tuple[float, float] = (1.0, 3.0)
    """While the clone drives it is pushed this often, to be shown how to recover."""
    settle_s: float = 0.6
    """Start of a periodic clip's recording that is left out."""
    ppo: PPOConfig = field(
        default_factory=lambda: PPOConfig(
            gamma=0.97,
            epochs=4,
            minibatches=4,
            learning_rate=5e-4,
            learning_rate_range=(1e-6, 1e-3),
            init_std=0.15,
            critic_warmup=0,
        )
    )
    limits: Limits = Limits()
    randomization: Randomization = FULL
    """Of the robots that execute the motion: that of the policy's, or the discriminator tells the robots apart."""

    def __post_init__(self) -> None:
        check_least(
            self, iterations=0, num_envs=1, steps=1, hidden=1, episode_s=1e-3, rollouts_per_clip=1,
            noisy_rollouts_per_clip=0, student_rounds=0, student_rollouts_per_clip=1,
        )  # fmt: skip


def track_randomization(config: TrackConfig, push_interval_s: tuple[float, float] | None) -> Randomization:
    """The ranges of the tracking simulation; no pushes without an interval (s)."""
    if push_interval_s is None:
        return dataclasses.replace(config.randomization, push_speed_m_s=0.0)
    return dataclasses.replace(config.randomization, push_interval_s=push_interval_s)


def make_runner(
    spec: RobotSpec,
    clips: list[PlannedClip],
    config: TrackConfig,
    seed: int,
    threads: int = 0,
    device: Device = "cpu",
) -> Runner:
    """Environment, networks and learner of the tracker."""
    frames = round(config.episode_s * spec.control_hz)
    library = ClipLibrary(spec, clips, frames)
    sim = Simulation(spec, config.num_envs, seed, config.randomization, threads)
    task = TrackingTask(spec, library, sim, seed + 1)
    env = Environment(spec, sim, task, tracking_layout(spec), 1, config.episode_s)
    torch.manual_seed(seed)
    actor = SymmetricActor(spec, env.layout, config.hidden, config.ppo.init_std, task.obs_mirror())
    critic = Critic(env.critic_mirror, config.hidden)
    ppo = PPO(actor, critic, config.ppo, device=learning_device(device))
    return Runner(env, ppo, None, config.steps, Mix(task=1.0, style=0.0, scale=0.1), seed)


def _identity(spec: RobotSpec, clips: list[PlannedClip], config: TrackConfig, seed: int) -> dict[str, Any]:
    """What a tracker's checkpoint must agree in to be continued; how long it is trained is not among it."""
    learner = (
        config.num_envs,
        config.steps,
        config.hidden,
        config.episode_s,
        config.ppo,
        config.randomization,
        seed,
    )
    motion = hashlib.sha256()
    for clip in clips:
        motion.update(clip.joint_position.tobytes() + clip.root_position.tobytes())
    return {
        "clips": [clip.name for clip in clips],
        "motion": motion.hexdigest(),
        "robot_hash": spec.robot_hash,
        "learner": repr(learner),
    }


def train_tracker(
    spec: RobotSpec,
    clips: list[PlannedClip],
    config: TrackConfig,
    seed: int,
    checkpoint: Path | None = None,
    device: Device = "cpu",
) -> Actor:
    """Train (or continue training) the tracker; returns its actor. A checkpoint of another one is replaced."""
    runner = make_runner(spec, clips, config, seed, device=device)
    identity = _identity(spec, clips, config, seed)
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if all(state.get(key, value) == value for key, value in identity.items()):
            runner.load_state_dict(state["runner"])
    if runner.iteration == 0:
        runner.start()

    def save() -> None:
        if checkpoint is not None:
            save_checkpoint(
                checkpoint, identity | {"iteration": runner.iteration, "runner": runner.state_dict()}
            )

    with Bar("tracker", config.iterations, runner.iteration) as bar:
        while runner.iteration < config.iterations:
            metrics = runner.iterate()
            bar.advance(
                f"reward {metrics['task_reward_mean']:.3f}  pose {metrics['reward/pose']:.3f}  "
                f"falls/1000 {metrics['falls_per_1000_steps']:.2f}  std {metrics['action_std']:.3f}  "
                f"{metrics['steps_per_s']:.0f} steps/s"
            )
            if runner.iteration % 25 == 0:
                save()
    save()
    return runner.ppo.actor.cpu()
