"""Training rate as a share of the raw `mujoco.batch` rate: same model, threads, randomization and motion.

Both are measured in turns within one run. The raw side steps the physics alone, from the states and with the joint
targets that the training had at that moment, so that contacts cost the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from wildrobot.robot_description import load_robot
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.train import make_runner, parse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, default=Path("runs/reference/reference.npz"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--iterations", type=int, default=8)
    arguments = parser.parse_args()
    spec = load_robot()
    config = parse(["--preset", arguments.preset, "--reference", str(arguments.reference)])
    runner = make_runner(spec, config, ReferenceDataset.load(config.reference, spec))
    runner.start()
    runner.iterate()
    sim, env = runner.env.sim, runner.env
    training, raw = [], []
    for _ in range(arguments.iterations):
        training.append(runner.iterate()["steps_per_s"])
        # Repeat the physics of one iteration from here, then put the simulator back.
        saved = sim.state_dict()
        target = np.asarray(env.path.previous_target).copy()
        sim._write_ctrl(slice(None), target)
        began = time.perf_counter()
        for _ in range(config.steps):
            sim.batch.step(nstep=sim._substeps)
        raw.append(config.steps * sim.num_envs / (time.perf_counter() - began))
        sim.load_state_dict(saved)
    share = [a / b for a, b in zip(training, raw, strict=True)]
    result = {
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "num_envs": config.num_envs,
        "training_steps_per_s": statistics.median(training),
        "raw_steps_per_s": statistics.median(raw),
        "share": statistics.median(share),
        "share_min": min(share),
        "share_max": max(share),
        "load_average": os.getloadavg()[0],
    }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
