"""Ablation: training runs that differ from the configuration in one thing each, with the same seeds and warm starts.

Each choice (reward formula, update order, window, normalisation, replay, symmetry, R1, streams, governor, motion prior,
tracking reward or task reward alone, executed or kinematic reference) is run once per seed and judged by a short
evaluation of its mean actions at the end. Every finished run is written to OUTPUT at once and not run again: after
Ctrl-C (which costs the run that was going on, no more) the same command continues. PAGE shows the curves and the table.

Further flags go to `wildrobot train`: --num-envs 128 --cloning.updates 500 --selection.episodes 10.

examples:
  python benchmarks/ablation.py --preset walk --iterations 300
  python benchmarks/ablation.py --seeds 0 1 2 --groups window norm
  python benchmarks/ablation.py --iterations 3 --num-envs 16 --output runs/try.json --page runs/try.html
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation_baselines.kinematic import kinematic_windows
from ablation_baselines.tracking_reward import PhaseTable

from wildrobot.cli.train import parse
from wildrobot.core.config import from_dict, to_dict
from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import write_text
from wildrobot.core.progress import Bar
from wildrobot.core.stop import StopRequest
from wildrobot.reports.ablation_page import BASE, CURVES, ablation_page, ablation_rows
from wildrobot.reports.elements.charts import thin
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.features import num_features
from wildrobot.training.evaluation.best import score, short_evaluation
from wildrobot.training.learn import environment_info, with_defaults
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.amp import AMP
from wildrobot.training.rl.cloning import clone
from wildrobot.training.rl.runner import Runner
from wildrobot.training.setup import TrainConfig, make_runner

KINEMATIC = "kinematic"
TRACKING = "tracking reward"
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "reward": {
        "clip": {"amp": {"reward": "clip"}},
        "sigmoid": {"amp": {"reward": "sigmoid"}},
        "quadratic": {"amp": {"reward": "quadratic"}},
    },
    "update order": {
        "reward first": {"amp": {"reward_before_update": True}},
        "update first": {"amp": {"reward_before_update": False}},
    },
    "window": {f"{k} frame{'s' * (k > 1)}": {"amp": {"frames": k}} for k in (1, 2, 3)},
    "norm": {"LayerNorm": {"amp": {"norm": "layer"}}, "spectral norm": {"amp": {"norm": "spectral"}}},
    "replay": {
        "30 rollouts, half": {"amp": {"replay_rollouts": 30, "fresh": 0.5}},
        "fresh windows only": {"amp": {"replay_rollouts": 1, "fresh": 1.0}},
    },
    "symmetry": {
        "as recorded": {"amp": {"symmetry": False}},
        "mirrored windows": {"amp": {"symmetry": True}},
    },
    "R1": {f"γ = {g:g}": {"amp": {"r1": g}} for g in (1.0, 5.0, 10.0)},
    "streams": {"summed": {"mix": {"streams": "sum"}}, "two streams": {"mix": {"streams": "two"}}},
    "governor": {
        "no governor": {"amp": {"governor": {"enabled": False}}},
        "governor": {"amp": {"governor": {"enabled": True}}},
    },
    "prior": {"AMP": {}, TRACKING: {}, "task reward alone": {"mix": {"style": 0.0}}},
    "reference": {"executed": {}, KINEMATIC: {}},
}
"""Questions, and the answers to choose from as changes of the configuration; one of each may change nothing."""
POINTS = 60
"""Of a curve in the output: means over so many groups of iterations."""


def use_kinematic_reference(
    runner: Runner, spec: RobotSpec, dataset: ReferenceDataset, config: TrainConfig
) -> None:
    """Put a discriminator into `runner` that knows the plans only; its normaliser is fitted to them."""
    windows = kinematic_windows(spec, dataset, config.amp.frames)
    order = np.random.default_rng(config.seed).permutation(len(windows))
    held = order[: max(1, round(config.amp.held_out * len(order)))]
    sides = [
        torch.as_tensor(np.concatenate([windows[i] for i in part]), dtype=torch.float32)
        for part in (order[len(held) :], held)
    ]
    torch.manual_seed(config.seed)
    assert runner.amp is not None
    runner.amp = AMP(sides[0], sides[1], config.amp, runner.amp.mirror)


def use_tracking_reward(runner: Runner, dataset: ReferenceDataset) -> None:
    """Pay `runner` for being where the reference is at the gait's phase and the commanded speed, instead of style."""
    table = PhaseTable(dataset)
    layout = runner.env.layout
    begin = np.cumsum([0, *(term.size * term.frames for term in layout)]).tolist()
    clock, command = (
        (slice(start, start + term.size), term.scale)
        for name in ("gait_clock", "command")
        for term, start in zip(layout, begin[:-1], strict=True)
        if term.name == name
    )

    def style(
        windows: torch.Tensor, window_ok: torch.Tensor, metrics: dict[str, Any]
    ) -> tuple[torch.Tensor, list[Any]]:
        ok = window_ok.numpy()
        features = windows.numpy()[ok][:, -num_features(runner.env.spec) :]
        seen = torch.cat([runner.rollout.obs[1:], runner.collector.obs[None]]).numpy()[
            ok
        ]  # with these very features
        sine, cosine = seen[:, clock[0]].T
        reward = table.reward(features, np.arctan2(sine, cosine), seen[:, command[0]][:, 0] / command[1])
        metrics |= {"style_reward_mean": float(reward.mean()), "style_reward_std": float(reward.std())}
        metrics |= {"disc_acc_heldout": math.nan, "disc_real_mean": math.nan, "disc_fake_mean": math.nan}
        paid = torch.full(ok.shape, metrics["style_reward_mean"])
        paid[torch.from_numpy(ok)] = torch.from_numpy(reward).float()
        return paid, []

    runner._style = style  # type: ignore[method-assign]


def warm_start(spec: RobotSpec, dataset: ReferenceDataset, config: TrainConfig) -> dict[str, Any]:
    """The actor's state with which every variant of a seed begins: as `wildrobot train` would begin."""
    runner = make_runner(spec, config, dataset)
    actor = runner.ppo.actor
    if config.cloning.updates:
        said = clone(spec, dataset, actor, runner.env.layout, config.cloning, config.seed)
        print(said, file=sys.stderr)
    return copy.deepcopy(actor.state_dict())


def plan(
    config: TrainConfig, groups: Sequence[str]
) -> tuple[dict[str, TrainConfig], dict[str, dict[str, str]]]:
    """Configurations to run by name, the unchanged one first, and for each group its answers by these names.

    An answer that changes nothing is the unchanged run, whatever the defaults are.
    """
    variants: dict[str, TrainConfig] = {BASE: config}
    lines: dict[str, dict[str, str]] = {}
    for group in groups:
        lines[group] = {}
        for answer, changes in GROUPS[group].items():
            changed = from_dict(TrainConfig, changes, config, answer)
            name = BASE if changed == config and answer not in (KINEMATIC, TRACKING) else f"{group}: {answer}"
            lines[group][name] = answer
            variants[name] = changed
    return variants, lines


def curves(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`CURVES` as lists over at most `POINTS` groups of iterations, None where nothing was measured."""
    iteration = np.array([entry["iteration"] for entry in history], dtype=float)
    result = {"iteration": thin(iteration, iteration, POINTS)[0].tolist()}
    groups = np.array_split(np.arange(len(history)), min(POINTS, len(history)))
    for name in CURVES:
        values = np.array([entry.get(name, math.nan) for entry in history], dtype=float)
        known = [part[np.isfinite(part)] for part in (values[group] for group in groups)]
        result[name] = [float(f"{part.mean():.4g}") if len(part) else None for part in known]
    return result


def run_variant(
    spec: RobotSpec, dataset: ReferenceDataset, config: TrainConfig, name: str, warm: dict[str, Any], bar: Bar
) -> dict[str, Any] | None:
    """One run of `config.iterations` from the warm start, with its evaluation; None when Ctrl-C ended it."""
    began = time.perf_counter()
    runner = make_runner(spec, config, dataset)
    if name == f"reference: {KINEMATIC}":
        use_kinematic_reference(runner, spec, dataset, config)
    if name == f"prior: {TRACKING}":
        use_tracking_reward(runner, dataset)
    runner.ppo.actor.load_state_dict(warm)
    runner.start()
    history: list[dict[str, Any]] = []
    with StopRequest() as stop:
        for _ in range(config.iterations):
            history.append(runner.iterate())
            last = history[-1]
            bar.advance(
                f"{name}, seed {config.seed}: disc_acc {last['disc_acc_heldout']:.2f}  "
                f"style {last['style_reward_mean']:.2f}  speed error {last['speed_error']:.2f}"
            )
            if stop.asked:
                return None
    rows = short_evaluation(spec, runner.env.layout, runner.ppo.actor, config.selection, config.threads)
    return {
        "variant": name,
        "seed": config.seed,
        "seconds": round(time.perf_counter() - began, 1),
        "score": score(rows),
        "evaluation": rows,
        "auc_top": next((entry["auc_top"] for entry in reversed(history) if "auc_top" in entry), []),
        "curves": curves(history),
    }


def settings(config: TrainConfig) -> dict[str, Any]:
    """What all runs of one output have in common: the configuration, the seed and places apart."""
    free = ("seed", "threads", "run_dir", "reference", "checkpoint_every", "tensorboard")
    own = {key: value for key, value in to_dict(config).items() if key not in free}
    return own | {"reference_sha256": hashlib.sha256(config.reference.read_bytes()).hexdigest()}


def finished(output: Path, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs that `output` holds already, none if it is not there.

    Raises:
        UserError: it is not an ablation's, or its runs have other settings (they are named).
    """
    if not output.exists():
        return []
    try:
        saved = json.loads(output.read_text(encoding="utf-8"))
        then, runs = saved["settings"], saved["runs"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{output} holds no runs of this ablation. Give another --output, or delete it."
        ) from error
    known = {name: then[name] for name in then.keys() & to_dict(TrainConfig()).keys()}
    then |= {name: value for name, value in with_defaults(known).items() if name in known}
    differing = sorted(key for key in wanted.keys() | then.keys() if wanted.get(key) != then.get(key))
    if differing:
        raise UserError(
            f"{output} holds runs that differ in: {', '.join(differing)}. Runs of one table must be alike: "
            "give another --output, or delete it."
        )
    return list(runs)


def write(output: Path, page: Path, config: TrainConfig, runs: list[dict[str, Any]]) -> None:
    """The table, every run's curves, and the page made of them."""
    _, lines = plan(config, list(GROUPS))
    document = {
        "note": (
            f"{config.iterations} iterations each of preset {config.preset} with {config.num_envs} robots; means over "
            "the seeds, ± half their range. D, style and speed error are those of the last sixth of the "
            "training, before each update; disc_acc is on held-out windows of the variant's own reference, the style "
            "reward in the variant's own currency. Survival and score are of "
            f"{config.selection.episodes} episodes of {config.selection.duration_s:g} s at each of "
            f"{', '.join(f'{v:g}' for v in config.selection.speeds_m_s)} m/s, mean actions. Verdict: the score's "
            "difference, where the seeds' ranges do not overlap."
        ),
        "rows": ablation_rows(runs),
        "lines": lines,
        "settings": settings(config),
        "environment": environment_info(),
        "runs": runs,
    }
    text = json.dumps(document, separators=(",", ":"))
    write_text(output, text.replace('{"variant"', '\n{"variant"') + "\n")  # a line for each row and run
    write_text(page, ablation_page(document))


def _main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, default=Path("runs/reference/reference.npz"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--iterations", type=int, default=60, help="of each run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="(default: 0 1)")
    parser.add_argument(
        "--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="questions (default: all)"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/ablation.json"))
    parser.add_argument("--page", type=Path, default=Path("runs/ablation.html"))
    arguments, rest = parser.parse_known_args(argv)
    config = dataclasses.replace(
        parse(["--preset", arguments.preset, "--reference", str(arguments.reference), *rest]),
        iterations=arguments.iterations,
    )
    if config.threads:
        torch.set_num_threads(config.threads)
    spec = load_robot(config.robot)
    dataset = ReferenceDataset.load(config.reference, spec)
    runs = finished(arguments.output, settings(config))
    done = {(run["variant"], run["seed"]) for run in runs}
    variants, _ = plan(config, arguments.groups)
    todo = [(name, seed) for seed in arguments.seeds for name in variants if (name, seed) not in done]
    total = len(arguments.seeds) * len(variants)
    warm: dict[int, dict[str, Any]] = {}
    with Bar("ablation", total * config.iterations, (total - len(todo)) * config.iterations) as bar:
        for name, seed in todo:
            variant = dataclasses.replace(variants[name], seed=seed)
            if seed not in warm:
                warm[seed] = warm_start(spec, dataset, dataclasses.replace(config, seed=seed))
            run = run_variant(spec, dataset, variant, name, warm[seed], bar)
            if run is None:
                raise KeyboardInterrupt
            runs.append(run)
            write(arguments.output, arguments.page, config, runs)
    write(arguments.output, arguments.page, config, runs)
    print(f"table: {arguments.output}\npage: {arguments.page}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(_main, sys.argv[1:]))
