"""`wildrobot train`: PPO with an adversarial motion prior."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
import yaml
from rich.console import Console

from wildrobot.config import load_config, to_dict
from wildrobot.errors import UserError, run_main
from wildrobot.files import write_text
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.features import feature_mirror
from wildrobot.runtime.observation import layout_to_dicts, make_layout
from wildrobot.runtime.randomization import BASIC, Randomization
from wildrobot.runtime.simulation import Simulation
from wildrobot.runtime.window import windows_of
from wildrobot.training.amp import AMP, AMPConfig
from wildrobot.training.checkpoint import load_checkpoint, save_checkpoint
from wildrobot.training.cloning import CloningConfig, demonstration, fit
from wildrobot.training.environment import Environment
from wildrobot.training.networks import Critic, SymmetricActor
from wildrobot.training.parity import check_parity
from wildrobot.training.ppo import PPO, PPOConfig
from wildrobot.training.preset import apply_preset
from wildrobot.training.progress import Bar
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
    steps: int = 24
    """Control ticks per environment and iteration."""
    seed: int = 0
    threads: int = 0
    """Physics and learning threads; 0: all CPUs."""
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
    ppo: PPOConfig = PPOConfig()
    amp: AMPConfig = AMPConfig()
    mix: Mix = Mix(task=1.0, style=1.0, ramp=(0, 0))
    walking: WalkingConfig = WalkingConfig()
    randomization: Randomization = BASIC
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


def make_runner(spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset) -> Runner:
    """Simulation, environment, networks, motion prior and learner, all seeded from `config.seed`."""
    sim = Simulation(spec, config.num_envs, config.seed, config.randomization, config.threads)
    task = WalkingTask(spec, sim, dataset, config.walking, config.seed + 1)
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
    amp = AMP(reference, held_out, config.amp, mirror)
    shown = demonstration(spec, dataset, layout) if config.cloning.updates else None
    ppo = PPO(actor, critic, config.ppo, shown)
    return Runner(env, ppo, amp, config.steps, config.mix, config.seed)


def environment_info() -> dict[str, Any]:
    """Versions and machine, for the run folder."""
    packages = ("wildrobot", "mujoco", "torch", "numpy", "onnxruntime")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "commit": commit,
        "torch_threads": torch.get_num_threads(),
    }


def checkpoint_state(runner: Runner, spec: RobotSpec, config: TrainConfig) -> dict[str, Any]:
    """What RUN/checkpoint.pt holds; `actor` and `discriminator` stand at the top for the exporter."""
    assert runner.amp is not None
    return {
        "iteration": runner.iteration,
        "steps": runner.total_steps,
        "config": json.dumps(to_dict(config)),
        "robot_hash": spec.robot_hash,
        "layout": layout_to_dicts(runner.env.layout),
        "actor": runner.ppo.actor.state_dict(),
        "discriminator": runner.amp.discriminator.state_dict(),
        "runner": runner.state_dict(),
    }


def _same_config(config: TrainConfig, saved: dict[str, Any]) -> list[str]:
    """Names of the fields that differ, apart from those that may: length, threads and places."""
    free = {"iterations", "threads", "run_dir", "reference", "checkpoint_every", "tensorboard"}
    now = to_dict(config)
    return sorted(key for key in set(now) | set(saved) if key not in free and now.get(key) != saved.get(key))


def train(config: TrainConfig) -> Path:
    """Train to `config.iterations`; continues the run in `run_dir` if there is one. Returns the run folder."""
    console = Console(stderr=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    spec = load_robot(config.robot)
    dataset = ReferenceDataset.load(config.reference, spec)
    run = config.run_dir
    path = run / "checkpoint.pt"
    saved = load_checkpoint(path) if path.exists() else None
    if saved is not None:
        differing = _same_config(config, json.loads(saved["config"]))
        if differing or saved["robot_hash"] != spec.robot_hash:
            what = ", ".join(differing) or "the robot description"
            raise UserError(
                f"{run} holds a run that differs in: {what}. Continue it with its own configuration "
                f"(--config {run}/config.yaml), or choose another --run-dir."
            )
    else:
        write_text(run / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
        write_text(run / "environment.json", json.dumps(environment_info(), indent=1) + "\n")
        console.print(check_parity(spec, dataset))
    runner = make_runner(spec, config, dataset)
    if saved is None:
        if runner.ppo.demonstration is not None:
            console.print(fit(runner.ppo.actor, *runner.ppo.demonstration, config.cloning, config.seed))
        runner.start()
    else:
        runner.load_state_dict(saved["runner"])
        console.print(f"continuing {run} at iteration {runner.iteration}")
    log = _MetricsLog(run, runner.iteration, config.tensorboard)
    began = time.time() - log.spent_s
    try:
        with Bar("training", config.iterations, runner.iteration) as bar:
            while runner.iteration < config.iterations:
                metrics = runner.iterate()
                metrics["time_s"] = time.time() - began
                log.write(metrics)
                bar.advance(
                    f"task {metrics['task_reward_mean']:.2f}  style {metrics['style_reward_mean']:.2f}  "
                    f"disc_acc {metrics['disc_acc']:.2f}  speed error {metrics['speed_error']:.2f}  "
                    f"falls/1000 {metrics['falls_per_1000_steps']:.1f}  {metrics['steps_per_s']:.0f} steps/s"
                )
                if runner.iteration % config.checkpoint_every == 0 or runner.iteration == config.iterations:
                    save_checkpoint(path, checkpoint_state(runner, spec, config))
    except KeyboardInterrupt:
        save_checkpoint(path, checkpoint_state(runner, spec, config))
        console.print(f"stopped at iteration {runner.iteration}; the same command continues it")
        raise
    finally:
        log.close()
    return run


class _MetricsLog:
    """RUN/metrics.jsonl and TensorBoard; on resume the lines beyond the checkpoint are dropped."""

    def __init__(self, run: Path, iteration: int, tensorboard: bool) -> None:
        path = run / "metrics.jsonl"
        lines = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    break
                if entry["iteration"] <= iteration:
                    lines.append(line)
        write_text(path, "".join(line + "\n" for line in lines))
        self.spent_s = json.loads(lines[-1])["time_s"] if lines else 0.0
        self._file = path.open("a")
        self._writer: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=iteration)

    def write(self, metrics: dict[str, Any]) -> None:
        """One iteration."""
        clean = {
            k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in metrics.items()
        }
        self._file.write(json.dumps(clean) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in clean.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, metrics["iteration"])

    def close(self) -> None:
        """Flush both."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def parse(argv: Sequence[str]) -> TrainConfig:
    """Configuration from `--preset NAME`, `--config FILE` and flags, later ones winning."""
    argv, base = list(argv), TrainConfig()
    for option in ("--preset", "--config"):
        if option not in argv:
            continue
        at = argv.index(option)
        if at + 1 >= len(argv):
            raise UserError(f"{option} needs a value.")
        value = argv[at + 1]
        del argv[at : at + 2]
        if option == "--config":
            base = load_config(TrainConfig, value, base)
            continue
        base = apply_preset(base, value, "train", preset=value)
    return tyro.cli(
        TrainConfig,
        prog="wildrobot train",
        args=argv,
        default=base,
        description=f"{TrainConfig.__doc__}\n\nexamples:\n  wildrobot train --preset quick\n"
        "  wildrobot train --preset walk --run-dir runs/walk --seed 3\n"
        "  wildrobot train --config runs/walk/config.yaml",
    )


def _main(argv: Sequence[str]) -> int:
    run = train(parse(argv))
    print(f"run: {run}\nnext: wildrobot export {run} --onnx", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `wildrobot train` and `train`."""
    return run_main(_main, argv)
