"""Training rate as a share of the raw `mujoco.batch` rate: same model, threads, randomization and motion.

Every iteration is followed by its own physics once more, alone: each control tick starts from the state and the joint
targets that training had there, so that contacts cost the same, and only `Batch.step` is timed. Learning is on in full
(the critic's warm-up is over). With `--envs 256 512 1024` the same for each of these numbers of robots.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildrobot.cli.train import parse
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.setup import TrainConfig, make_runner


class Recorder:
    """Stands in for a simulation's batch and keeps the state before every step, to step it again."""

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.batch = sim, sim.batch
        self.fields = [
            self.batch.bind(name) for name in ("qpos", "qvel", "ctrl", "history", "qacc_warmstart", "time")
        ]
        self.before: list[list[Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batch, name)

    def step(self, **arguments: Any) -> None:
        self.before.append([np.array(field) for field in self.fields])
        self.batch.step(**arguments)

    def again(self) -> float:
        """Seconds in `Batch.step` for all recorded steps; leaves the simulation as it found it."""
        saved, seconds = self.sim.state_dict(), 0.0
        for state in self.before:
            for field, value in zip(self.fields, state, strict=True):
                field[:] = value
            began = time.perf_counter()
            self.batch.step(nstep=self.sim._substeps)
            seconds += time.perf_counter() - began
        self.sim.load_state_dict(saved)
        self.before.clear()
        return seconds


def measure(
    spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset, iterations: int
) -> dict[str, float | int]:
    """Training's and the bare physics' control steps per second, and their ratio."""
    runner = make_runner(spec, config, dataset)
    runner.start()
    runner.ppo.updates = config.ppo.critic_warmup
    runner.iterate()
    sim = runner.env.sim
    recorder = Recorder(sim)
    sim.batch = recorder
    training, raw = [], []
    for _ in range(iterations):
        training.append(runner.iterate()["steps_per_s"])
        raw.append(config.rollout_steps * sim.num_envs / recorder.again())
    share = [a / b for a, b in zip(training, raw, strict=True)]
    return {
        "num_envs": config.num_envs,
        "training_steps_per_s": statistics.median(training),
        "raw_steps_per_s": statistics.median(raw),
        "share": statistics.median(share),
        "share_min": min(share),
        "share_max": max(share),
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, default=Path("runs/reference/reference.npz"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument(
        "--envs", type=int, nargs="+", help="numbers of robots, one after the other (default: the preset's)"
    )
    parser.add_argument("--threads", type=int, default=0, help="0: all CPUs")
    arguments = parser.parse_args()
    spec = load_robot()
    config = parse(["--preset", arguments.preset, "--reference", str(arguments.reference)])
    config = dataclasses.replace(config, threads=arguments.threads)
    if config.threads:
        torch.set_num_threads(config.threads)
    dataset = ReferenceDataset.load(config.reference, spec)
    result: dict[str, Any] = {"cpus": os.cpu_count(), "threads": torch.get_num_threads()}
    if arguments.envs is None:
        result |= measure(spec, config, dataset, arguments.iterations)
    else:
        result["by_num_envs"] = []
        for count in arguments.envs:
            sized = dataclasses.replace(config, num_envs=count)
            result["by_num_envs"].append(measure(spec, sized, dataset, arguments.iterations))
            print(f"{count} robots: {result['by_num_envs'][-1]['share']:.2f} of the physics", file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
