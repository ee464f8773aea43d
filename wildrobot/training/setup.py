"""A training run's configuration, and everything made from it: simulation, environment, networks, learner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wildrobot.core.config import check_least
from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import joined
from wildrobot.signal_path.features import feature_mirror, windows_of
from wildrobot.signal_path.observation import DEFAULT_FRAMES, make_layout
from wildrobot.simulation.randomization.config import FULL, Randomization
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.best import SelectionConfig
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.amp import AMP, AMPConfig
from wildrobot.training.rl.cloning import CloningConfig, demonstration
from wildrobot.training.rl.device import Device, learning_device
from wildrobot.training.rl.distributed import Distributed
from wildrobot.training.rl.networks import Critic, SymmetricActor
from wildrobot.training.rl.normalizer import mirror_tensors
from wildrobot.training.rl.ppo import PPO, PPOConfig
from wildrobot.training.rl.runner import Mix, Runner
from wildrobot.training.tasks.curriculum import CurriculumConfig
from wildrobot.training.tasks.environment import Environment
from wildrobot.training.tasks.walking import WalkingConfig, WalkingTask

ROLLOUT_STEPS, ROLLOUT_SAMPLES = 24, 24 * 512
"""Fewest control ticks and samples of an iteration, unless told: how often a network learns must be worth its calls."""
NORMALIZER_SAMPLES = 5e6
"""Observations after which the normaliser of a policy trained from random weights stops changing."""


@dataclass(frozen=True)
class TrainConfig:
    """How a walking policy is trained."""

    run_dir: Path = Path("runs/train")
    """Where the run goes. A run that is there is continued; its configuration must be the same."""
    reference: Path = Path("runs/reference/reference.npz")
    """Executed reference motion, from `wildrobot reference build`."""
    iterations: int = 600
    """Rounds of collecting samples and learning from them, `num_envs` robots for `steps` ticks each."""
    num_envs: int = 512
    """Robots of each process."""
    steps: int = 0
    """Control ticks per environment and iteration; 0: 24, and with fewer than 512 robots as many as make as many
    samples."""
    seed: int = 0
    """Of everything that is drawn; on a CPU the same seed gives the same run."""
    threads: int = 0
    """Physics and learning threads of each process; 0: all CPUs, shared out among this machine's processes."""
    device: Device = "auto"
    """Where the networks learn and answer; the physics stays on the CPUs. auto: on a GPU if there is one."""
    preset: str = "default"
    """What this configuration began as; the run is reported under its name."""
    robot: Path | None = None
    """robot.yaml of another robot."""
    episode_s: float = 20.0
    """Length of an episode; then the robot is drawn and set up anew."""
    hidden: tuple[int, ...] = (256, 128)
    """Hidden layers of actor and critic."""
    observation: dict[str, int] = field(default_factory=DEFAULT_FRAMES.copy)
    """Observation slices and their number of frames."""
    checkpoint_every: int = 25
    """Iterations between two checkpoints; Ctrl-C saves one, too."""
    tensorboard: bool = True
    """Write the figures for TensorBoard as well as into metrics.jsonl."""
    selection: SelectionConfig = SelectionConfig()
    ppo: PPOConfig = PPOConfig()
    amp: AMPConfig = AMPConfig()
    mix: Mix = Mix(task=1.0, style=0.5)
    walking: WalkingConfig = WalkingConfig()
    randomization: Randomization = FULL
    curriculum: CurriculumConfig = CurriculumConfig(start=1.0)
    """Off: the warm start bears the full randomization from the first step."""
    cloning: CloningConfig = CloningConfig()

    def __post_init__(self) -> None:
        check_least(
            self, iterations=0, num_envs=1, steps=0, threads=0, episode_s=1e-3, hidden=1, checkpoint_every=1
        )

    @property
    def rollout_steps(self) -> int:
        """Control ticks per environment and iteration."""
        return self.steps or max(ROLLOUT_STEPS, -(-ROLLOUT_SAMPLES // self.num_envs))


SPEED_BIN_M_S = 0.05
"""Width of the bins in which the reference's speeds are balanced."""
LARGEST_WEIGHT = 5.0
"""No window is shown more often than this, against its share in the reference: a few rollouts are not a gait."""


def split_reference(
    dataset: ReferenceDataset, amp: AMPConfig, seed: int, speeds_m_s: tuple[float, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Walking windows to train the discriminator on and, from other rollouts, windows held out.

    Standing is not judged: were it in the reference, a robot that stands still while it is commanded to walk would
    pass for real. With `amp.balance` windows are drawn such that all speeds of the range `speeds_m_s` are as likely.

    Raises:
        UserError: nothing in the reference walks.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(dataset.undisturbed)
    held = order[: round(amp.held_out * len(order))]
    parts = []
    for rows in (order[len(held) :], held):
        moving = [
            windows_of(dataset.rollout(int(r), "moving")[:, None], amp.frames).all(axis=-1) for r in rows
        ]
        speed = [dataset.rollout(int(r), "command")[amp.frames - 1 :, 0] for r in rows]
        windows = dataset.windows(amp.frames, rows)
        if moving:
            chosen = np.flatnonzero(np.concatenate(moving))
            if amp.balance and len(chosen):
                chosen = chosen[balanced(np.concatenate(speed)[chosen], speeds_m_s, rng)]
            windows = windows[chosen]
        parts.append(torch.as_tensor(windows, dtype=torch.float32))
    if not len(parts[0]):
        accepted = ", ".join(entry["name"] for entry in dataset.clips if entry["accepted"])
        raise UserError(
            f"the reference holds no {amp.frames} frames in a row of commanded walking (accepted: {accepted}): there "
            "is no style to learn. Build it with a longer trained tracker, or with slower gaits."
        )
    return parts[0], parts[1]


def balanced(
    speed_m_s: NDArray[Any], limits_m_s: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices (k,) into `speed_m_s` (k,), drawn with repetition: their speeds spread evenly over the range."""
    low, high = limits_m_s
    bins = max(1, round((high - low) / SPEED_BIN_M_S))
    place = np.clip((bins * (speed_m_s - low) / max(high - low, 1e-9)).astype(np.int64), 0, bins - 1)
    share = np.bincount(place, minlength=bins) / max(1, len(place))
    weight = np.minimum(1.0 / (bins * np.maximum(share, 1e-9)), LARGEST_WEIGHT)[place]
    drawn: NDArray[np.int64] = rng.choice(len(place), size=len(place), p=weight / weight.sum())
    return drawn


def check_commands(spec: RobotSpec, config: TrainConfig) -> None:
    """What is trained and evaluated must lie in the robot's command ranges.

    Raises:
        UserError: a range or a speed does not.
    """
    ranges, walking = spec.command, config.walking
    for flag, asked, unit, (low, high) in (
        ("--walking.speed", walking.speed, "m/s", ranges.linear_velocity_x),
        ("--walking.yaw-rate", walking.yaw_rate, "rad/s", ranges.yaw_rate),
        ("--selection.speeds-m-s", config.selection.speeds_m_s, "m/s", ranges.linear_velocity_x),
    ):
        if min(asked) < low or max(asked) > high:
            raise UserError(
                f"{flag} is {' '.join(f'{value:g}' for value in asked)} {unit}, but {spec.name} may be commanded "
                f"{low:g} to {high:g} {unit}. Give others, or widen the range under command in {spec.path}."
            )


def make_environment(
    spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset, seed: int
) -> Environment:
    """`config.num_envs` robots under the walking task, seeded from `seed`."""
    sim = Simulation(spec, config.num_envs, seed, config.randomization, config.threads)
    task = WalkingTask(spec, sim, dataset, config.walking, seed + 1)
    layout = make_layout(spec, config.observation)
    return Environment(spec, sim, task, layout, config.amp.frames, config.episode_s)


def make_runner(
    spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset, distributed: Distributed | None = None
) -> Runner:
    """Simulation, environment, networks, motion prior and learner, all seeded from `config.seed`.

    Each of several processes has robots and noise of its own; the networks begin the same.
    """
    check_commands(spec, config)
    distributed = distributed or Distributed()
    seed = distributed.seed(config.seed)
    env = make_environment(spec, config, dataset, seed)
    layout = env.layout
    torch.manual_seed(config.seed)
    # A cloned policy was fitted to its inputs' scales: were they to move on, its feedback gains would, too.
    until = 1.0 if config.cloning.updates else NORMALIZER_SAMPLES
    actor = SymmetricActor(spec, layout, config.hidden, config.ppo.init_std, until=until)
    critic = Critic(env.critic_mirror, config.hidden, streams=2 if config.mix.streams == "two" else 1)
    reference, held_out = split_reference(dataset, config.amp, config.seed, config.walking.speed)
    mirror = mirror_tensors(joined([feature_mirror(spec)] * config.amp.frames))
    device = learning_device(config.device)
    amp = AMP(reference, held_out, config.amp, mirror, device, distributed)
    shown = demonstration(spec, dataset, layout) if config.cloning.updates else None
    ppo = PPO(actor, critic, config.ppo, shown, distributed, device)
    distributed.broadcast_parameters(actor, critic, amp.discriminator)
    return Runner(env, ppo, amp, config.rollout_steps, config.mix, seed, config.curriculum)
