"""`wildrobot eval`: an exported policy over many simulated episodes, through the runtime's own path."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
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

from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import is_stdout, write_json, write_text
from wildrobot.core.progress import Bar
from wildrobot.reports.evaluation_page import build_page
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.command import is_moving
from wildrobot.signal_path.observation import Layout, layout_from_dicts
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.policy import load_policy
from wildrobot.signal_path.shipped import shipped_policy
from wildrobot.signal_path.window import FeatureWindow
from wildrobot.simulation.randomization.config import PRESETS, Randomization
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.comparison import compare
from wildrobot.training.evaluation.episode_figures import EpisodeFigures
from wildrobot.training.evaluation.push_recovery import push_recovery
from wildrobot.training.evaluation.tables import report, report_comparison, report_pushes, report_servos

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

    policy: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[POLICY]")] = None
    """Policy, from `wildrobot export`; without one: that which comes with WildRobot. A style.onnx beside it adds the
    style score."""
    speeds: tuple[float, ...] = ()
    """Commanded forward speeds, m/s. Default: 0 0.15 0.3 0.5 0.6, as far as the robot's command range allows."""
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Episodes per speed. Default: 100."""
    duration: float = 20.0
    """Length of the commanded part of an episode, s."""
    quick: bool = False
    """Defaults of 20 episodes and the speeds 0 0.15 0.3."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", aliases=["--json"])] = None
    """Write the figures here as JSON, too; - prints them, and no tables."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the figures here as one page with charts, too; it loads nothing from a network."""
    seed: int = 0
    """Another seed draws other robots, noise and pushes."""
    push_recovery: bool = False
    """Measure, too, how hard a push from each side the robot takes, standing and at 0.3 m/s."""
    servos: bool = False
    """Measure, too, what other servos and supply voltages would do: speed against saturation and survival."""
    compare: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")] = ()
    """More policies, each on the very same robots, noise and pushes: differences with 95 % limits."""
    randomization: Literal["basic", "full", "nominal"] = "full"
    """basic: noise, delay, moderate physics and pushes; full: all that a real robot may differ in; nominal: the robot
    as described, undisturbed. `wildrobot randomization` prints what is in each."""
    threads: int = 0
    """Physics threads; 0: all CPUs. The figures do not depend on it."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""

    def chosen_policy(self, spec: RobotSpec) -> Path:
        """The policy's file after the default.

        Raises:
            UserError: none was given, and none comes with the package for this robot.
        """
        return self.policy or shipped_policy(spec)

    def chosen_speeds(self, spec: RobotSpec) -> tuple[float, ...]:
        """Speeds after defaults."""
        defaults = (0.0, 0.15, 0.3) if self.quick else (0.0, 0.15, 0.3, 0.5, 0.6)
        return self.speeds or _within(spec, defaults)

    @property
    def chosen_episodes(self) -> int:
        """Episodes per speed after defaults."""
        return self.episodes if self.episodes is not None else 20 if self.quick else 100


EXAMPLES = """examples:
  wildrobot eval --quick
  wildrobot eval runs/first/policy.onnx --speeds 0 0.3 --episodes 50 --out runs/first/evaluation.json
  wildrobot eval runs/first/policy.onnx --push-recovery --servos --html runs/first/evaluation.html
  wildrobot eval --compare runs/first/policy.onnx --speeds 0.3"""
SERVOS = (("XM430-W350-T", 11.1), ("XM430-W350-T", 12.0), ("XM430-W350-T", 14.8), ("XM430-W210-T", 12.0))
"""Servo models and supplies (V) of `--servos`."""
SERVO_SPEEDS = (0.15, 0.3, 0.4, 0.5, 0.6)


def _within(spec: RobotSpec, speeds: Sequence[float]) -> tuple[float, ...]:
    """Those speeds that the robot may be commanded; the nearest one, if there are none."""
    low, high = spec.command.linear_velocity_x
    return tuple(speed for speed in speeds if low <= speed <= high) or (max(low, min(high, speeds[-1])),)


def check(config: EvalConfig, spec: RobotSpec) -> None:
    """Refuse what cannot work before anything runs.

    Raises:
        UserError: a number out of range, or an output that could not be written.
    """
    low, high = spec.command.linear_velocity_x
    for speed in config.chosen_speeds(spec):
        if not low <= speed <= high:
            raise UserError(f"--speeds has {speed} m/s, but {spec.name} walks at {low} to {high} m/s.")
    if config.chosen_episodes < 1:
        raise UserError(f"--episodes is {config.chosen_episodes}, expected 1 or more.")
    if not config.duration >= spec.control_dt:
        raise UserError(f"--duration is {config.duration}, expected at least {spec.control_dt} s.")
    for flag, file in (("--out", config.out), ("--html", config.html)):
        if file is None:
            continue
        folder = next(p for p in (file.absolute().parent, *file.absolute().parents) if p.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK) or file.is_dir():
            raise UserError(f"cannot write {flag} {file}. Choose a file where you may write.")
    if config.html is not None and config.out is not None and config.html.resolve() == config.out.resolve():
        raise UserError(f"--out and --html are both {config.out}. Give the JSON and the page a file each.")


def load_style(path: Path, spec: RobotSpec) -> tuple[Style, int] | None:
    """The discriminator in `path` and the number of frames of its window; None where there is no such file.

    Raises:
        UserError: it is not a whole discriminator of this robot's features.
    """
    if not path.exists():
        return None
    from wildrobot.signal_path.policy import OnnxStyle

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
    simulated: tuple[RobotSpec, Randomization] | None = None,
) -> EpisodeFigures:
    """All episodes of one speed as one batch; returns their figures.

    `simulated` is another robot than the one that the policy takes it for, and its randomization.

    Raises:
        UserError: the policy answered with something that is not finite.
    """
    count, hz = config.chosen_episodes, spec.control_hz
    body, randomization = simulated or (spec, PRESETS[config.randomization])
    sim = Simulation(body, count, HELD_OUT_SEED + config.seed, randomization, config.threads)
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
    return figures


def row_of(figures: EpisodeFigures) -> dict[str, Any]:
    """A row of the table; while standing also the steps in 20 s and how far the robot has moved."""
    row = figures.summary()
    if figures.command == 0.0 and row["steps_per_s"] is not None:
        row["steps_standing_per_20_s"] = 20.0 * row["steps_per_s"]
        row["standing_drift_cm"] = float(np.nanmean(figures.episodes()["moved_cm"]))
    return row


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Run all speeds; returns the document that is written as JSON: the same for the same configuration."""
    spec = load_robot(config.robot)
    check(config, spec)
    policies = [_load(path, spec) for path in (config.chosen_policy(spec), *config.compare)]
    policy, layout, _ = policies[0]
    ticks = round(STAND_S * spec.control_hz) + round(config.duration * spec.control_hz)
    speeds = config.chosen_speeds(spec)
    servo_runs = _servo_runs(spec) if config.servos else []
    runs = len(speeds) * len(policies) + len(servo_runs)
    rows, comparisons = [], []
    with Bar("evaluating", runs * ticks) as bar:
        for speed in speeds:
            all_ = [
                run_episodes(spec, each, their_layout, speed, config, their_style, bar)
                for each, their_layout, their_style in policies
            ]
            rows.append(row_of(all_[0]))
            episodes = [figures.episodes() for figures in all_]
            comparisons += [
                {
                    "command_m_s": speed,
                    "policy": path.name,
                    "figures": compare(episodes[0], other, config.seed),
                }
                for path, other in zip(config.compare, episodes[1:], strict=True)
            ]
        servo_rows = []
        for name, volts, speed in servo_runs:
            body = load_robot(config.robot, servo=name)
            supply = dataclasses.replace(PRESETS[config.randomization], voltage_v=(volts, volts))
            figures = run_episodes(spec, policy, layout, speed, config, None, bar, (body, supply))
            servo_rows.append({"servo": name, "supply_v": volts, **row_of(figures)})
    result = document(config, spec, rows) | {"network_sha256": policy.contract.get("network_sha256")}
    if config.compare:
        result["comparisons"] = comparisons
    if config.servos:
        result["servos"] = servo_rows
    if config.push_recovery:
        steady = dataclasses.replace(PRESETS[config.randomization], push_speed_m_s=0.0)
        seed = HELD_OUT_SEED + config.seed
        result["push_recovery"] = push_recovery(spec, policy, layout, steady, seed, config.threads)
    return result


def _servo_runs(spec: RobotSpec) -> list[tuple[str, float, float]]:
    """Model, supply (V) and speed (m/s) of every run of `--servos`.

    Raises:
        UserError: robot.yaml has none of the models.
    """
    known = [servo for servo in SERVOS if servo[0] in spec.config.servo_models]
    if not known:
        raise UserError(
            f"--servos compares {', '.join(sorted({name for name, _ in SERVOS}))}, but {spec.path} has only "
            f"{', '.join(spec.config.servo_models)} in servo_models. Add one of them with its figures."
        )
    return [(*servo, speed) for servo in known for speed in _within(spec, SERVO_SPEEDS)]


def _load(path: Path, spec: RobotSpec) -> tuple[Any, Layout, tuple[Style, int] | None]:
    """A policy, its observation layout and its discriminator."""
    if not path.is_file():
        raise UserError(f"there is no policy {path}. Give an .onnx file made by `wildrobot export`.")
    policy = load_policy(path, spec)
    layout = layout_from_dicts(policy.contract["observation"])
    return policy, layout, load_style(path.with_name("style.onnx"), spec)


def score(rows: Sequence[dict[str, Any]]) -> float:
    """What the best checkpoint is chosen by, 0 to 1: survival times speed times heading kept, mean over the speeds.

    The speed counts fully without error and not at all from 0.2 m/s of error on (a standing robot's is its drift); the
    heading fully without drift and not at all from 1 rad in 10 s on.
    """

    def kept(row: dict[str, Any], name: str, limit: float) -> float:
        return max(0.0, 1.0 - (row[name] or 0.0) / limit)

    return float(
        np.mean(
            [
                row["survival"] * kept(row, "speed_error_m_s", 0.2) * kept(row, "yaw_drift_rad_per_10_s", 1.0)
                for row in rows
            ]
        )
    )


def document(config: EvalConfig, spec: RobotSpec, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows with everything that it takes to get them again."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    policy = config.chosen_policy(spec)
    randomization: Randomization = PRESETS[config.randomization]
    return {
        "rows": [{name: row.get(name) for name in names} for row in rows],
        "episodes": config.chosen_episodes,
        "duration_s": config.duration,
        "seed": config.seed,
        "standing_first_s": STAND_S,
        "settling_s": min(SETTLE_S, config.duration / 2),
        "policy": policy.name,
        "policy_sha256": hashlib.sha256(policy.read_bytes()).hexdigest(),
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "randomization": {"name": config.randomization, **dataclasses.asdict(randomization)},
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("wildrobot", "mujoco", "numpy", "onnxruntime")}


def _main(argv: Sequence[str]) -> int:
    config = tyro.cli(
        EvalConfig,
        prog="wildrobot eval",
        args=list(argv),
        description=f"{inspect.cleandoc(EvalConfig.__doc__ or '')}\n\n{EXAMPLES}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    result = evaluate(config)
    if not is_stdout(config.out):
        report(result)
        for path in config.compare:
            own = [entry for entry in result["comparisons"] if entry["policy"] == path.name]
            report_comparison(result["policy"], path.name, own)
        if "servos" in result:
            report_servos(result["servos"])
        if "push_recovery" in result:
            report_pushes(result["push_recovery"])
    if config.out is not None:
        write_json(config.out, result)
        print(f"figures: {config.out}", file=sys.stderr)
    if config.html is not None:
        write_text(config.html, build_page(result))
        print(f"page: {config.html}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `wildrobot eval`."""
    return run_main(_main, argv)
