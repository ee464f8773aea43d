"""What full randomization costs: control steps per CPU second against the nominal robot, in turns within one run.

Both step the same joint targets (a shuffle in place, so that feet land and lift) and reset as often; `step` and `frame`
are timed together with the resets, and `physics` is `Batch.step` alone. CPU time of all threads, not the clock on the
wall: others that use the machine meanwhile slow both, but not in step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any

import numpy as np

from wildrobot.robot_description import load_robot
from wildrobot.simulation.randomization.config import PRESETS
from wildrobot.simulation.simulation import Simulation


class Timed:
    """Stands in for a simulation's batch and adds up the seconds spent in `step`."""

    def __init__(self, batch: Any) -> None:
        self.batch, self.seconds = batch, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batch, name)

    def step(self, **arguments: Any) -> None:
        began = time.process_time()
        self.batch.step(**arguments)
        self.seconds += time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--ticks", type=int, default=25, help="control steps per round and preset")
    parser.add_argument("--threads", type=int, default=0, help="0: all CPUs")
    arguments = parser.parse_args()
    spec = load_robot()
    sims = {
        name: Simulation(spec, arguments.envs, randomization=preset, threads=arguments.threads)
        for name, preset in PRESETS.items()
    }
    for sim in sims.values():
        sim.batch = Timed(sim.batch)
    whole: dict[str, list[float]] = {name: [] for name in sims}
    physics: dict[str, list[float]] = {name: [] for name in sims}
    rng = np.random.default_rng(0)
    for _ in range(arguments.rounds):
        shape = (arguments.ticks, arguments.envs, spec.num_joints)
        targets = spec.default_joint_pos + rng.normal(0.0, 0.08, shape)
        for name, sim in sims.items():
            sim.batch.seconds, began = 0.0, time.process_time()
            sim.reset(np.arange(0, arguments.envs, 8))
            for target in targets:
                sim.step(target)
                sim.frame()
            whole[name].append(time.process_time() - began)
            physics[name].append(sim.batch.seconds)
    steps = arguments.ticks * arguments.envs

    def share(seconds: dict[str, list[float]], name: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds["nominal"], seconds[name], strict=True))

    result = {
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "num_envs": arguments.envs,
        "threads": arguments.threads,
        "control_steps_per_cpu_s": {
            name: steps / statistics.median(seconds) for name, seconds in whole.items()
        },
        "rate_against_nominal": {name: share(whole, name) for name in sims},
        "physics_rate_against_nominal": {name: share(physics, name) for name in sims},
    }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
