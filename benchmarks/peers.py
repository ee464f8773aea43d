"""Training beside its peers, in one run on one machine: steps per second, and task reward over wall-clock time.

wildrobot: PPO and AMP as `wildrobot train` runs them; wildrobot_ppo: the same without AMP. rsl_rl: RSL-RL's PPO on the
very same simulator, model, threads, robots, steps, widths of networks, epochs and minibatches, through a thin adapter;
task reward alone, and plain layers where ours are equivariant (less arithmetic at the same widths). stable-baselines3:
its PPO over SubprocVecEnv with one robot per CPU on classic mj_step, the same model, rates, task reward and rollout
size (what was chosen there: benchmarks/peer_learners/classic.py).

All begin with random weights, the same action noise and step sizes (SCRATCH), for it is learning that is compared: the
warm start of `wildrobot train` is left out, and so that all learn the same thing no robot is randomized, unless
--randomization asks for it. The learners work in turns, each for --seconds of its own time. A step is one control tick
of one robot. JSON goes to the screen (and to --out), the table to standard error.

Further flags go to `wildrobot train`: --num-envs 1024 --threads 8 --hidden 128 64.

examples:
  pip install -e '.[bench]'
  python benchmarks/peers.py --out runs/peers.json
  python benchmarks/peers.py --learners wildrobot rsl_rl --seconds 600 --preset walk
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from peer_learners.ours import OURS, PPO_ALONE, Ours
from peer_learners.turns import Iteration, Learner, in_turns, ratios, summary, table

from wildrobot.cli.train import parse
from wildrobot.core.config import to_dict
from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import write_text
from wildrobot.core.progress import Bar
from wildrobot.robot_description import load_robot
from wildrobot.simulation.randomization.config import PRESETS
from wildrobot.training.learn import environment_info
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.setup import TrainConfig

NEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    OURS: (),
    PPO_ALONE: (),
    "rsl_rl": (("rsl_rl", "rsl-rl-lib"),),
    "stable-baselines3": (("stable_baselines3", "stable-baselines3"), ("gymnasium", "gymnasium")),
}
"""Learners, and the modules each needs with the names of their packages."""
SCRATCH = [
    *("--cloning.updates", "0", "--ppo.critic-warmup", "0", "--ppo.init-std", "0.3"),
    *("--ppo.learning-rate", "3e-4", "--ppo.learning-rate-range", "1e-5", "1e-2"),
]
"""Learning from random weights: no warm start, and RSL-RL's fixed range of step sizes."""


def check_packages(names: Sequence[str]) -> dict[str, str]:
    """Versions of the packages that the learners `names` need.

    Raises:
        UserError: one of them is missing.
    """
    wanted = [pair for name in names for pair in NEEDS[name]]
    missing = [package for module, package in wanted if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} not installed. Do: pip install -e '.[bench]' "
            f"(or: pip install {' '.join(missing)}), or leave it out: --learners {OURS}"
        )
    return {package: metadata.version(package) for _, package in wanted}


def make_learners(names: Sequence[str], config: TrainConfig, processes: int) -> list[Learner]:
    """The learners `names`, ready to go."""
    spec = load_robot(config.robot)
    dataset = ReferenceDataset.load(config.reference, spec)
    made: list[Learner] = []
    for name in names:
        print(f"peers: makes {name}", file=sys.stderr, flush=True)
        if name in (OURS, PPO_ALONE):
            made.append(Ours(spec, config, dataset, amp=name == OURS))
        elif name == "rsl_rl":
            from peer_learners.rsl import RslRl

            made.append(RslRl(spec, config, dataset))
        else:
            from peer_learners.sb3 import Sb3

            made.append(Sb3(config, processes))
    return made


def measure(learners: Sequence[Learner], seconds: float, warmup: int) -> dict[str, dict[str, Any]]:
    """Summaries by learner, with a bar of the seconds that are left."""
    total = max(1, round(seconds * len(learners)))
    spent = 0.0
    with Bar("peers", total) as bar:

        def say(name: str, iteration: Iteration) -> None:
            nonlocal spent
            before, spent = min(total, int(spent)), spent + iteration.wall_s
            note = (
                f"{name}: {iteration.steps / iteration.wall_s:.0f} steps/s, task {iteration.task_reward:.3f}"
            )
            bar.advance(note, min(total, int(spent)) - before)

        try:
            done = in_turns(learners, seconds, warmup + 1, say)
        finally:
            for learner in learners:
                learner.close()
    return {learner.name: summary(done[learner.name], warmup) | learner.extra for learner in learners}


def _main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--reference", type=Path, default=Path("runs/reference/reference.npz"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument(
        "--learners", nargs="+", choices=list(NEEDS), default=list(NEEDS), help="(default: all)"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each learner (default: %(default)g)")
    parser.add_argument(
        "--warmup",
        type=int,
        default=2,
        help="first iterations that the rates leave out (default: %(default)s)",
    )
    parser.add_argument(
        "--processes", type=int, default=0, help="of stable-baselines3; 0: as many as threads (default)"
    )
    parser.add_argument(
        "--randomization",
        choices=list(PRESETS),
        default="nominal",
        help="of the robots of wildrobot and rsl_rl; those of stable-baselines3 are nominal (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="write the JSON to this file, too")
    arguments, rest = parser.parse_known_args(argv)
    if arguments.warmup < 0 or arguments.processes < 0:
        raise UserError("--warmup and --processes are expected to be 0 or more.")
    packages = check_packages(arguments.learners)
    reference = ["--reference", str(arguments.reference)]
    config = parse(["--preset", arguments.preset, *reference, *SCRATCH, *rest])
    threads = config.threads or os.cpu_count() or 1
    config = dataclasses.replace(
        config, threads=threads, device="cpu", randomization=PRESETS[arguments.randomization]
    )
    torch.set_num_threads(threads)
    processes = arguments.processes or threads
    if config.num_envs * config.rollout_steps < processes:
        raise UserError(
            f"--processes {processes} is more than the {config.num_envs * config.rollout_steps} steps of a rollout."
        )
    load = os.getloadavg()[0]
    summaries = measure(
        make_learners(arguments.learners, config, processes), arguments.seconds, arguments.warmup
    )
    result = {
        "threads": threads,
        "num_envs": config.num_envs,
        "steps": config.rollout_steps,
        "hidden": list(config.hidden),
        "epochs": config.ppo.epochs,
        "minibatches": config.ppo.minibatches,
        "randomization": arguments.randomization,
        "stable_baselines3_processes": processes,
        "seconds": arguments.seconds,
        "load_average_before": load,
        "load_average": os.getloadavg()[0],
        "learners": summaries,
        "ratios": ratios(summaries, OURS),
        "packages": packages,
        "environment": environment_info(),
        "config": to_dict(config),
    }
    text = json.dumps(result, indent=1, default=str) + "\n"
    if arguments.out:
        write_text(arguments.out, text)
    print(table(summaries), file=sys.stderr)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(_main, sys.argv[1:]))
