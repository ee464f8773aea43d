"""`wildrobot eval`: an exported policy over many simulated episodes, through the runtime's own path."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from wildrobot.errors import UserError, run_main
from wildrobot.files import write_text
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.command import is_moving
from wildrobot.runtime.observation import Layout, layout_from_dicts
from wildrobot.runtime.randomization import PRESETS, Randomization
from wildrobot.runtime.run import load_policy
from wildrobot.runtime.signal_path import SignalPath
from wildrobot.runtime.simulation import Simulation
from wildrobot.runtime.window import FeatureWindow
from wildrobot.training.episode_figures import EpisodeFigures
from wildrobot.training.progress import Bar

STAND_S = 1.0
SETTLE_S = 2.0
HELD_OUT_SEED = 10_000
"""Training counts its seeds from 0; evaluation draws its robots from here on."""

Policy = Callable[[Any], Any]
"""Observations (N, D) float32 to actions (N, n)."""
Style = Callable[[Any], Any]
"""Windows (N, frames * F) float32 to the discriminator's answers D (N,)."""


@dataclass(frozen=True)
class EvalConfig:
    """Measure an exported policy over simulated episodes: delays, sensor noise and pushes on, no luck.

    Every episode stands at home for 1 s under a zero command and then follows one speed. Survival counts the
    whole episode; heading counts from the begin of the command; everything else after the first 2 s of it
    (half of it, if it is shorter than 4 s). The robots are drawn from seeds that training does not use, the
    same ones for every speed, and the same command gives the same figures.
    """

    policy: Annotated[Path, tyro.conf.Positional]
    """Policy, from `wildrobot export`. A style.onnx beside it adds the style score."""
    speeds: tuple[float, ...] = ()
    """Commanded forward speeds, m/s. Default: 0 0.15 0.3 0.5 0.6."""
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Episodes per speed. Default: 100."""
    duration: float = 20.0
    """Length of the commanded part of an episode, s."""
    quick: bool = False
    """Defaults of 20 episodes and the speeds 0 0.15 0.3."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the figures here as JSON, too."""
    seed: int = 0
    """Another seed draws other robots, noise and pushes."""
    randomization: Literal["basic", "full", "nominal"] = "basic"
    """basic: noise, delay, moderate physics and pushes; full: all that a real robot may differ in; nominal: the robot
    as described, undisturbed. `wildrobot randomization` prints what is in each."""
    threads: int = 0
    """Physics threads; 0: all CPUs. The figures do not depend on it."""
    robot: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Another robot's robot.yaml."""

    @property
    def chosen_speeds(self) -> tuple[float, ...]:
        """Speeds after defaults."""
        return self.speeds or ((0.0, 0.15, 0.3) if self.quick else (0.0, 0.15, 0.3, 0.5, 0.6))

    @property
    def chosen_episodes(self) -> int:
        """Episodes per speed after defaults."""
        return self.episodes if self.episodes is not None else 20 if self.quick else 100


EXAMPLES = """examples:
  wildrobot eval policies/wildrobot_walk.onnx --quick
  wildrobot eval runs/first/policy.onnx --speeds 0 0.3 --episodes 50 --out runs/first/evaluation.json"""


def check(config: EvalConfig, spec: RobotSpec) -> None:
    """Refuse what cannot work before anything runs.

    Raises:
        UserError: a number out of range, or an output that could not be written.
    """
    low, high = spec.command.linear_velocity_x
    for speed in config.chosen_speeds:
        if not low <= speed <= high:
            raise UserError(f"--speeds has {speed} m/s, but {spec.name} walks at {low} to {high} m/s.")
    if config.chosen_episodes < 1:
        raise UserError(f"--episodes is {config.chosen_episodes}, expected 1 or more.")
    if not config.duration >= spec.control_dt:
        raise UserError(f"--duration is {config.duration}, expected at least {spec.control_dt} s.")
    if config.out is not None:
        folder = next(p for p in (config.out.absolute().parent, *config.out.absolute().parents) if p.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK) or config.out.is_dir():
            raise UserError(f"cannot write --out {config.out}. Choose a file where you may write.")


def load_style(path: Path, spec: RobotSpec) -> tuple[Style, int] | None:
    """The discriminator in `path` and the number of frames of its window; None where there is no such file.

    Raises:
        UserError: it is not a whole discriminator of this robot's features.
    """
    if not path.exists():
        return None
    from wildrobot.runtime.policy import OnnxStyle

    style = OnnxStyle(path, spec)
    return style, style.frames


def run_episodes(
    spec: RobotSpec,
    policy: Policy,
    layout: Layout | None,
    speed: float,
    config: EvalConfig,
    style: tuple[Style, int] | None = None,
    bar: Bar | None = None,
) -> dict[str, Any]:
    """All episodes of one speed as one batch; returns their row of the table.

    Raises:
        UserError: the policy answered with something that is not finite.
    """
    count, hz = config.chosen_episodes, spec.control_hz
    randomization = PRESETS[config.randomization]
    sim = Simulation(spec, count, HELD_OUT_SEED + config.seed, randomization, config.threads)
    path = SignalPath(spec, layout)
    figures = EpisodeFigures(spec, count, speed, min(1.0, config.duration / 4))
    # the discriminator knows walking only
    window = FeatureWindow(style[1]) if style and is_moving(spec, np.array([speed, 0.0])) else None
    begin, length = round(STAND_S * hz), round(config.duration * hz)
    measure = begin + round(min(SETTLE_S, config.duration / 2) * hz)
    path.reset(sim.frame())
    for tick in range(begin + length):
        command = np.zeros((count, 2))
        if tick == begin:
            figures.begin(sim.truth())
        if tick >= begin:
            command[:, 0] = speed
        signal = path.observe(sim.frame(), command)
        if style and window:
            seen, whole = window.push(signal.features, np.full(count, tick == 0))
            if tick >= measure:
                score = np.clip(style[0](seen.astype(np.float32)), 0.0, 1.0)
                figures.add_style(score, whole)
        action = np.asarray(policy(signal.observation), dtype=np.float64)
        wrong = np.argwhere(~np.isfinite(action) & figures.alive[:, None])
        if len(wrong):
            raise UserError(
                f"the policy's answer for {spec.joint_names[wrong[0][1]]} is not finite {tick / hz:.2f} s "
                f"into an episode at {speed} m/s. Export it again from a checkpoint of before training broke."
            )
        # a fallen robot is left alone: whatever its policy makes of that would only cost time
        sim.step(path.act(np.where(figures.alive[:, None], action, 0.0)))
        figures.step(sim.truth(), tick >= measure)
        if bar is not None:
            bar.advance(f"{speed:g} m/s, {int(figures.alive.sum())} of {count} up")
    row = figures.summary()
    if speed == 0.0 and row["steps_per_s"] is not None:
        row["steps_standing_per_20_s"] = 20.0 * row["steps_per_s"]
    return row


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Run all speeds; returns the document that is written as JSON: the same for the same configuration."""
    spec = load_robot(config.robot)
    check(config, spec)
    if not config.policy.is_file():
        raise UserError(f"there is no policy {config.policy}. Give an .onnx file made by `wildrobot export`.")
    policy = load_policy(config.policy, spec)
    layout = layout_from_dicts(policy.contract["observation"])
    style = load_style(config.policy.with_name("style.onnx"), spec)
    ticks = round(STAND_S * spec.control_hz) + round(config.duration * spec.control_hz)
    with Bar("evaluating", len(config.chosen_speeds) * ticks) as bar:
        rows = [
            run_episodes(spec, policy, layout, speed, config, style, bar) for speed in config.chosen_speeds
        ]
    return document(config, spec, rows) | {"network_sha256": policy.contract.get("network_sha256")}


def document(config: EvalConfig, spec: RobotSpec, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows with everything that it takes to get them again."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    randomization: Randomization = PRESETS[config.randomization]
    return {
        "rows": [{name: row.get(name) for name in names} for row in rows],
        "episodes": config.chosen_episodes,
        "duration_s": config.duration,
        "seed": config.seed,
        "standing_first_s": STAND_S,
        "settling_s": min(SETTLE_S, config.duration / 2),
        "policy": config.policy.name,
        "policy_sha256": hashlib.sha256(config.policy.read_bytes()).hexdigest(),
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "randomization": {"name": config.randomization, **dataclasses.asdict(randomization)},
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("wildrobot", "mujoco", "numpy", "onnxruntime")}


COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("command_m_s", "command\nm/s", ".2f"),
    ("survival", "survival", ".1%"),
    ("mean_speed_m_s", "speed\nm/s", ".3f"),
    ("speed_error_m_s", "error\nm/s", ".3f"),
    ("lateral_drift_m_s", "lateral\nm/s", ".3f"),
    ("yaw_drift_rad", "yaw\nrad", ".2f"),
    ("yaw_drift_worst_rad", "worst\nrad", ".2f"),
    ("saturation", "at volt.\nlimit", ".1%"),
    ("foot_slip_m_s", "slip\nm/s", ".3f"),
    ("clearance_left_mm", "left\nmm", ".0f"),
    ("clearance_right_mm", "right\nmm", ".0f"),
    ("steps_per_s", "steps\n/s", ".2f"),
    ("style_score", "style", ".2f"),
)


def results_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows for a terminal of 100 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for _, title, _ in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*("–" if row[name] is None else format(row[name], form) for name, _, form in COLUMNS))
    return table


def report(result: dict[str, Any]) -> None:
    """Print the table and how to read it."""
    print(
        f"{result['policy']}: {result['episodes']} episodes of {result['duration_s']:g} s per speed, "
        f"randomization {result['randomization']['name']}, seed {result['seed']}"
    )
    Console(width=100).print(results_table(result["rows"]))
    print(
        f"After the first {result['settling_s']:g} s; fallen ones count until they fall. yaw: largest turn\n"
        "from the first heading; left, right: how high the sole's lower edge goes, mean over swings."
    )
    for row in result["rows"]:
        if row.get("steps_standing_per_20_s") is not None:
            print(f"Steps while standing: {row['steps_standing_per_20_s']:.1f} in 20 s.")


def _main(argv: Sequence[str]) -> int:
    config = tyro.cli(
        EvalConfig,
        prog="wildrobot eval",
        args=list(argv),
        description=f"{inspect.cleandoc(EvalConfig.__doc__ or '')}\n\n{EXAMPLES}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    result = evaluate(config)
    report(result)
    if config.out is not None:
        write_text(config.out, json.dumps(result, indent=1) + "\n")
        print(f"figures: {config.out}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `wildrobot eval`."""
    return run_main(_main, argv)
