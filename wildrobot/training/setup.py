"""A training run's configuration, and everything made from it: simulation, environment, networks, learner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.features import feature_mirror
from wildrobot.runtime.observation import make_layout
from wildrobot.runtime.randomization import FULL, Randomization
from wildrobot.runtime.simulation import Simulation
from wildrobot.runtime.window import windows_of
from wildrobot.training.amp import AMP, AMPConfig
from wildrobot.training.best import SelectionConfig
from wildrobot.training.cloning import CloningConfig, demonstration
from wildrobot.training.curriculum import CurriculumConfig
from wildrobot.training.environment import Environment
from wildrobot.training.networks import Critic, SymmetricActor
from wildrobot.training.ppo import PPO, PPOConfig
from wildrobot.training.processes import Processes
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.runner import Mix, Runner
from wildrobot.training.walking import WalkingConfig, WalkingTask

NORMALIZER_SAMPLES = 5e6
"""Observations after which the normaliser of a policy trained from random weights stops changing."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a walking policy. Every field is a flag; `--preset NAME` starts from presets/NAME.yaml."""

    run_dir: Path = Path("runs/train")
    """Where the run goes. A run that is there is continued; its configuration must be the same."""
    reference: Path = Path("runs/reference/reference.npz")
    """Executed reference motion, from `wildrobot reference build`."""
    iterations: int = 600
    num_envs: int = 512
    """Robots of each process."""
    steps: int = 24
    """Control ticks per environment and iteration."""
    seed: int = 0
    threads: int = 0
    """Physics and learning threads of each process; 0: all CPUs, shared out among this machine's processes."""
    preset: str = "default"
    """Name under which this run is reported."""
    robot: Path | None = None
    """Another robot's robot.yaml."""
    episode_s: float = 20.0
    hidden: tuple[int, ...] = (256, 128)
    """Hidden layers of actor and critic."""
    observation: dict[str, int] = field(
        default_factory=lambda: {
            "features": 2, "projected_gravity": 1, "linear_velocity": 1, "command": 1, "previous_action": 2,
            "gait_clock": 1,
        }
    )  # fmt: skip
    """Observation slices and their number of frames."""
    checkpoint_every: int = 25
    tensorboard: bool = True
    selection: SelectionConfig = SelectionConfig()
    ppo: PPOConfig = PPOConfig()
    amp: AMPConfig = AMPConfig()
    mix: Mix = Mix(task=1.0, style=1.0, ramp=(0, 0))
    walking: WalkingConfig = WalkingConfig()
    randomization: Randomization = FULL
    curriculum: CurriculumConfig = CurriculumConfig(start=1.0)
    """Off: the warm start bears the full randomization from the first step."""
    cloning: CloningConfig = CloningConfig()


def split_reference(
    dataset: ReferenceDataset, amp: AMPConfig, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Walking windows to train the discriminator on and, from other rollouts, windows held out.

    Standing is not judged: were it in the reference, a robot that stands still while it is commanded to walk would
    pass for real.
    """
    order = np.random.default_rng(seed).permutation(dataset.undisturbed)
    held = order[: round(amp.held_out * len(order))]
    parts = []
    for rows in (order[len(held) :], held):
        moving = [
            windows_of(dataset.rollout(int(r), "moving")[:, None], amp.frames).all(axis=-1) for r in rows
        ]
        windows = dataset.windows(amp.frames, rows)
        parts.append(
            torch.as_tensor(windows[np.concatenate(moving)] if moving else windows, dtype=torch.float32)
        )
    return parts[0], parts[1]


def make_runner(
    spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset, processes: Processes | None = None
) -> Runner:
    """Simulation, environment, networks, motion prior and learner, all seeded from `config.seed`.

    Each of several processes has robots and noise of its own; the networks begin the same.
    """
    processes = processes or Processes()
    seed = processes.seed(config.seed)
    sim = Simulation(spec, config.num_envs, seed, config.randomization, config.threads)
    task = WalkingTask(spec, sim, dataset, config.walking, seed + 1)
    layout = make_layout(spec, config.observation)
    env = Environment(spec, sim, task, layout, config.amp.frames, config.episode_s)
    torch.manual_seed(config.seed)
    # A cloned policy was fitted to its inputs' scales: were they to move on, its feedback gains would, too.
    until = 1.0 if config.cloning.updates else NORMALIZER_SAMPLES
    actor = SymmetricActor(spec, layout, config.hidden, config.ppo.init_std, until=until)
    critic = Critic(env.critic_size, config.hidden, streams=2 if config.mix.streams == "two" else 1)
    reference, held_out = split_reference(dataset, config.amp, config.seed)
    index, sign = feature_mirror(spec)
    frames = np.arange(config.amp.frames)[:, None] * len(index)
    mirror = (torch.as_tensor((frames + index).ravel()), torch.as_tensor(np.tile(sign, len(frames))).float())
    amp = AMP(reference, held_out, config.amp, mirror, processes=processes)
    shown = demonstration(spec, dataset, layout) if config.cloning.updates else None
    processes.copy_first(actor, critic, amp.discriminator)
    ppo = PPO(actor, critic, config.ppo, shown, processes)
    return Runner(env, ppo, amp, config.steps, config.mix, seed, config.curriculum)
