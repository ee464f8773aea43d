"""The learning of a run: from its configuration, or from where it was interrupted, to its last checkpoint."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from wildrobot.core.config import from_dict, to_dict
from wildrobot.core.errors import UserError
from wildrobot.core.files import alone_with, write_text
from wildrobot.core.progress import Bar
from wildrobot.core.stop import StopRequest
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.observation import layout_to_dicts
from wildrobot.training.evaluation.best import Selection
from wildrobot.training.metrics_log import MetricsLog
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.reference.parity import check_parity
from wildrobot.training.rl.checkpoint import load_checkpoint, save_checkpoint
from wildrobot.training.rl.cloning import fit
from wildrobot.training.rl.distributed import Distributed, init_distributed, threads_per_rank
from wildrobot.training.rl.runner import Runner
from wildrobot.training.setup import TrainConfig, make_runner


def environment_info(processes: int = 1) -> dict[str, Any]:
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
        "processes": processes,
    }


def checkpoint_state(runner: Runner, spec: RobotSpec, config: TrainConfig) -> dict[str, Any]:
    """What RUN/checkpoint.pt holds; `actor` and `discriminator` stand at the top for the exporter.

    `others` are the states that the other processes have for themselves. All processes call this.
    """
    assert runner.amp is not None
    own = runner.own_state() if not runner.distributed.is_main else {}
    return {
        "iteration": runner.iteration,
        "steps": runner.total_steps,
        "config": json.dumps(to_dict(config)),
        "robot_hash": spec.robot_hash,
        "layout": layout_to_dicts(runner.env.layout),
        "actor": runner.ppo.actor.state_dict(),
        "discriminator": runner.amp.discriminator.state_dict(),
        "runner": runner.state_dict(),
        "others": runner.distributed.gather_states(own),
    }


def with_defaults(saved: dict[str, Any]) -> dict[str, Any]:
    """A run's saved configuration; keys that it lacks, of an older version, count as their defaults."""
    try:
        return to_dict(from_dict(TrainConfig, saved, TrainConfig()))
    except UserError:  # a key that is no more: that one differs
        return saved


def _check_same(
    config: TrainConfig, spec: RobotSpec, saved: dict[str, Any], distributed: Distributed
) -> None:
    """Refuse to continue a run with another configuration, apart from what may differ: length, threads and places.

    Raises:
        UserError: naming what differs.
    """
    free = {
        "iterations", "threads", "device", "run_dir", "reference", "checkpoint_every", "tensorboard", "selection",
    }  # fmt: skip
    now, then = to_dict(config), with_defaults(json.loads(saved["config"]))
    differing = sorted(
        key for key in set(now) | set(then) if key not in free and now.get(key) != then.get(key)
    )
    if differing or saved["robot_hash"] != spec.robot_hash:
        what = ", ".join(differing) or "the robot description"
        raise UserError(
            f"{config.run_dir} holds a run that differs in: {what}. Continue it with its own configuration "
            f"(--config {config.run_dir}/config.yaml), or choose another --run-dir."
        )
    count = 1 + len(saved["others"])
    if count != distributed.world_size:
        how = "wildrobot train" if count == 1 else f"torchrun --nproc-per-node {count} -m wildrobot train"
        raise UserError(
            f"{config.run_dir} is a run of {count} process{'es' if count > 1 else ''}, this is "
            f"{distributed.world_size}. Continue it with as many ({how}), or choose another --run-dir."
        )


def train(config: TrainConfig, say: Callable[[str], None] = lambda text: None) -> Path:
    """Train to `config.iterations`; continues the run in `run_dir` if there is one. Returns the run folder.

    `say` is told what is being done, a sentence or so at a time. Started by torchrun, this is one of several processes;
    the first one writes and speaks.

    Raises:
        UserError: the run that is there is another one, or another process was lost.
        KeyboardInterrupt: after Ctrl-C (or SIGTERM), when the iteration is done and saved.
    """
    with (
        init_distributed() as distributed,
        StopRequest() as stop,
        alone_with(config.run_dir) if distributed.is_main else nullcontext(),  # one writes, so one locks
    ):
        return _train(config, distributed, stop, say if distributed.is_main else lambda text: None)


def _train(
    config: TrainConfig, distributed: Distributed, stop: StopRequest, say: Callable[[str], None]
) -> Path:
    torch.set_num_threads(config.threads or threads_per_rank())
    spec = load_robot(config.robot)
    say(f"reading {config.reference}")
    dataset = ReferenceDataset.load(config.reference, spec)
    run, path = config.run_dir, config.run_dir / "checkpoint.pt"
    saved = load_checkpoint(path) if path.exists() else None
    if saved is not None:
        _check_same(config, spec, saved, distributed)
    elif distributed.is_main:
        write_text(run / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
        write_text(
            run / "environment.json", json.dumps(environment_info(distributed.world_size), indent=1) + "\n"
        )
        say(check_parity(spec, dataset))
    say(f"setting up {config.num_envs} simulated robots and the demonstrations")
    runner = make_runner(spec, config, dataset, distributed)
    if saved is None:
        if runner.ppo.demonstration is not None and distributed.is_main:
            say(fit(runner.ppo.actor, *runner.ppo.demonstration, config.cloning, config.seed))
        distributed.broadcast_parameters(runner.ppo.actor)
        runner.start()
    else:
        runner.load_state_dict(saved["runner"])
        if not distributed.is_main:
            runner.load_own_state(saved["others"][distributed.rank - 1])
        say(f"continuing {run} at iteration {runner.iteration}")
    if not distributed.is_main:
        while not _iterate(runner, spec, config, stop, None)[1]:
            pass
        return run
    selection = Selection(run, spec, runner.env.layout, config.selection, config.threads)
    log = MetricsLog(run, runner.iteration, config.tensorboard)
    began = time.time() - log.spent_s
    done = runner.iteration >= config.iterations
    try:
        with Bar("training", config.iterations, runner.iteration) as bar:
            while not done:
                metrics, done = _iterate(runner, spec, config, stop, selection)
                metrics["time_s"] = time.time() - began
                log.write(metrics)
                bar.advance(
                    f"task {metrics['task_reward_mean']:.2f}  style {metrics['style_reward_mean']:.2f}  "
                    f"disc_acc {metrics['disc_acc']:.2f}  speed error {metrics['speed_error']:.2f}  "
                    f"falls/1000 {metrics['falls_per_1000_steps']:.1f}  {metrics['steps_per_s']:.0f} steps/s"
                )
    finally:
        log.close()
    if stop.asked and runner.iteration < config.iterations:
        say(f"stopped at iteration {runner.iteration}; the same command continues it")
        raise KeyboardInterrupt
    say(f"run: {run}\nnext: wildrobot export {run} --onnx")
    return run


def _iterate(
    runner: Runner, spec: RobotSpec, config: TrainConfig, stop: StopRequest, selection: Selection | None
) -> tuple[dict[str, Any], bool]:
    """One iteration, and a checkpoint and an evaluation when it is time; figures, and whether it was the last one."""
    metrics = runner.iterate()
    asked = not runner.distributed.all_ranks(not stop.asked)
    done = runner.iteration >= config.iterations
    every = config.selection.every
    evaluate = every > 0 and (done or runner.iteration % every == 0)
    if done or asked or evaluate or runner.iteration % config.checkpoint_every == 0:
        state = checkpoint_state(runner, spec, config)
        if runner.distributed.is_main:
            save_checkpoint(config.run_dir / "checkpoint.pt", state)
        if evaluate and selection is not None:
            metrics |= selection.consider(runner.ppo.actor, state)
    return metrics, done or asked
