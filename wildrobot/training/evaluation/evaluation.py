"""An exported policy over many simulated episodes and speeds: one document of figures."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.core.files import file_sha256
from wildrobot.core.progress import Bar
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.observation import Layout, layout_from_dicts
from wildrobot.signal_path.policy import OnnxPolicy, OnnxStyle, load_policy
from wildrobot.simulation.randomization.config import PRESETS
from wildrobot.training.evaluation.comparison import compare
from wildrobot.training.evaluation.episodes import STAND_S, EpisodeConfig, Style, row_of, run_episodes
from wildrobot.training.evaluation.push_recovery import push_recovery

SPEEDS = (0.0, 0.15, 0.3, 0.5, 0.6)
"""Evaluated at, unless told, as far as the robot's command range allows (m/s)."""
SERVOS = (("XM430-W350-T", 11.1), ("XM430-W350-T", 12.0), ("XM430-W350-T", 14.8), ("XM430-W210-T", 12.0))
"""Servo models and supplies (V) to compare."""
SERVO_SPEEDS = (0.15, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class EvalConfig:
    """What is measured, and on what."""

    policy: Path
    """Policy, from `wildrobot export`. A style.onnx beside it adds the style score."""
    speeds: tuple[float, ...] = ()
    """Commanded forward speeds, m/s; none: `SPEEDS`."""
    episodes: EpisodeConfig = EpisodeConfig()
    """Of every speed, on the same robots."""
    compare: tuple[Path, ...] = ()
    """More policies, each on the very same robots, noise and pushes."""
    push_recovery: bool = False
    """Measure, too, how hard a push from each side the robot takes."""
    servos: bool = False
    """Measure, too, what other servos and supply voltages would do."""


def commandable(spec: RobotSpec, speeds: Sequence[float] = SPEEDS) -> tuple[float, ...]:
    """Those speeds (m/s) that the robot may be commanded; the nearest one, if there are none."""
    low, high = spec.command.linear_velocity_x
    return tuple(speed for speed in speeds if low <= speed <= high) or (max(low, min(high, speeds[-1])),)


def check(spec: RobotSpec, config: EvalConfig) -> None:
    """Refuse what cannot work before anything runs.

    Raises:
        UserError: a number is out of range.
    """
    low, high = spec.command.linear_velocity_x
    for speed in config.speeds:
        if not low <= speed <= high:
            raise UserError(f"--speeds has {speed} m/s, but {spec.name} walks at {low} to {high} m/s.")
    if config.episodes.episodes < 1:
        raise UserError(f"--episodes is {config.episodes.episodes}, expected 1 or more.")
    if not config.episodes.duration_s >= spec.control_dt:
        raise UserError(f"--duration is {config.episodes.duration_s}, expected at least {spec.control_dt} s.")


def load_style(path: Path, spec: RobotSpec) -> tuple[Style, int] | None:
    """The discriminator in `path` and the number of frames of its window; None where there is no such file.

    Raises:
        UserError: it is not a whole discriminator of this robot's features.
    """
    if not path.exists():
        return None
    style = OnnxStyle(path, spec)
    return style, style.frames


def evaluate(spec: RobotSpec, config: EvalConfig) -> dict[str, Any]:
    """Run all speeds; returns figures as plain data: the same for the same configuration.

    Raises:
        UserError: a number is out of range, a policy is not there, not this robot's, or answers with no number.
    """
    check(spec, config)
    each = config.episodes
    policies = [_load(path, spec) for path in (config.policy, *config.compare)]
    policy, layout, _ = policies[0]
    speeds = config.speeds or commandable(spec)
    servo_runs = _servo_runs(spec) if config.servos else []
    runs = len(speeds) * len(policies) + len(servo_runs)
    rows, comparisons = [], []
    with Bar("evaluating", runs * each.ticks(spec.control_hz)) as bar:
        for speed in speeds:
            all_ = [
                run_episodes(spec, their_policy, their_layout, speed, each, their_style, bar)
                for their_policy, their_layout, their_style in policies
            ]
            rows.append(row_of(all_[0]))
            episodes = [figures.episodes() for figures in all_]
            comparisons += [
                {
                    "command_m_s": speed,
                    "policy": path.name,
                    "figures": compare(episodes[0], other, each.seed),
                }
                for path, other in zip(config.compare, episodes[1:], strict=True)
            ]
        servo_rows = []
        for name, volts, speed in servo_runs:
            body = load_robot(spec.path, servo=name)
            supply = dataclasses.replace(PRESETS[each.randomization], voltage_v=(volts, volts))
            figures = run_episodes(spec, policy, layout, speed, each, None, bar, (body, supply))
            servo_rows.append({"servo": name, "supply_v": volts, **row_of(figures)})
    result = document(spec, config, rows) | {"network_sha256": policy.contract.get("network_sha256")}
    if config.compare:
        result["comparisons"] = comparisons
    if config.servos:
        result["servos"] = servo_rows
    if config.push_recovery:
        steady = dataclasses.replace(PRESETS[each.randomization], push_speed_m_s=0.0)
        result["push_recovery"] = push_recovery(spec, policy, layout, steady, each.drawing_seed, each.threads)
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
    return [(*servo, speed) for servo in known for speed in commandable(spec, SERVO_SPEEDS)]


def _load(path: Path, spec: RobotSpec) -> tuple[OnnxPolicy, Layout, tuple[Style, int] | None]:
    """A policy, its observation layout and its discriminator."""
    if not path.is_file():
        raise UserError(f"there is no policy {path}. Give an .onnx file made by `wildrobot export`.")
    policy = load_policy(path, spec)
    layout = layout_from_dicts(policy.contract["observation"])
    return policy, layout, load_style(path.with_name("style.onnx"), spec)


def document(spec: RobotSpec, config: EvalConfig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows with everything that it takes to get them again."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    each = config.episodes
    return {
        "rows": [{name: row.get(name) for name in names} for row in rows],
        "episodes": each.episodes,
        "duration_s": each.duration_s,
        "seed": each.seed,
        "standing_first_s": STAND_S,
        "settling_s": each.settling_s,
        "policy": config.policy.name,
        "policy_sha256": file_sha256(config.policy),
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "randomization": {
            "name": each.randomization,
            **dataclasses.asdict(PRESETS[each.randomization]),
        },
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("wildrobot", "mujoco", "numpy", "onnxruntime")}
