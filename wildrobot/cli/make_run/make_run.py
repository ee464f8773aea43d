"""`wildrobot make-run`, the main job: from nothing to a walking robot, its video and a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from wildrobot.cli.common.extras import require_packages
from wildrobot.cli.make_run.pipeline import Pipeline, Stage
from wildrobot.cli.run.options import RunOptions, check_command
from wildrobot.core.config import load_yaml
from wildrobot.core.errors import UserError
from wildrobot.core.files import read_json_object, write_text
from wildrobot.core.progress import duration
from wildrobot.robot_description import load_robot
from wildrobot.simulation.video import video_available
from wildrobot.training.preset import preset_path

SPEED_TOLERANCE_M_S = 0.05
HEADING_TOLERANCE_RAD = 0.5
CLEARANCE_M = 0.015
FELL = 1
"""Exit code of wildrobot-run after a fall: the figures are there and tell of it."""
TRAINING_TIME = {"quick": "about 7 min", "walk": "about 24 min"}
"""On two cores, of the presets that come along."""
NEEDED = ("mujoco", "torch", "tensorboard", "onnx", "onnxscript")
"""Looked for before the plan is printed: the last stage is a quarter of an hour away."""
REFERENCE = Path("runs/reference/reference.npz")


@dataclass
class MakeRunConfig:
    """Everything in one go: reference motion, training, export, evaluation, 20 s of walking, report.

    Interrupted, the same command continues where it was; finished, it does nothing again.

    Example: wildrobot make-run --out runs/make_run
    """

    out: Path = Path("runs/make_run")
    """Run folder: everything ends up here."""

    preset: str = "quick"
    """Training preset: its name, or a .yaml file of one's own."""

    reference: Path | None = None
    """Use this reference as it is. Default: the gait library, built into runs/reference (another robot's:
    runs/reference_NAME) and kept there."""

    speed: float = 0.3
    """Commanded forward speed of the walk, m/s."""

    duration: float = 20.0
    """Length of the walk, s."""

    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""


def main(argv: Sequence[str]) -> int:
    config = tyro.cli(MakeRunConfig, args=list(argv))
    check_walk(config)
    require_packages("wildrobot make-run", NEEDED, "train")
    can_film, why_not = video_available()
    pipeline = Pipeline(stages(config, can_film), config.out / ".stages")
    if pipeline.half_done_from_something_else():
        aside = move_aside(config.out, pipeline)
        print(f"what {config.out} held was made with other settings or another version: moved to {aside}")
    print(plan(config, pipeline, why_not))
    code = pipeline.run()
    if code:
        return code
    walk = _read_walk(config.out / "walk.json")
    verdict = judge(walk, config)
    write_text(config.out / "walk.json", json.dumps({**walk, "verdict": verdict}, indent=2) + "\n")
    # After the verdict, so that the page shows it; it is quick, and so not a stage.
    from wildrobot.reports.run_page import build_page

    write_text(config.out / "report.html", build_page(config.out))
    print(summary(config, pipeline, verdict, why_not))
    return 0 if all(row["ok"] for row in verdict) else 1


def check_walk(config: MakeRunConfig) -> None:
    """Refuse a walk at the end that cannot be, before the training for it.

    Raises:
        UserError: a speed outside of the robot's commands, or no time to walk in.
    """
    check_command(load_robot(config.robot_file), RunOptions((), speed=config.speed))
    if not config.duration > 0:
        raise UserError(f"--duration is {config.duration}, expected seconds above 0.")


def stages(config: MakeRunConfig, can_film: bool) -> tuple[Stage, ...]:
    """The pipeline's commands, in order."""
    out = config.out
    python = (sys.executable, "-m", "wildrobot")
    spec = load_robot(config.robot_file)
    robot = (spec.path, spec.mjcf_path)
    which = ("--robot-file", str(config.robot_file)) if config.robot_file else ()
    own = REFERENCE.parent.with_name(f"reference_{spec.name}") / REFERENCE.name
    reference = config.reference or (own if config.robot_file else REFERENCE)
    policy = out / "policy.onnx"
    preset = preset_path(config.preset)
    # presets without a reference of their own share the default one
    planned = "reference" in load_yaml(preset)
    build = Stage(
        "reference",
        "plan a gait library, execute it in simulation, keep the clips that pass",
        "about 8 min",
        (
            *python,
            "reference",
            "build",
            *which,
            *(("--preset", config.preset) if planned else ()),
            "--output",
            str(reference),
        ),
        (reference,),
        stamps=reference.parent / ".stages",
        inputs=(*robot, preset) if planned else robot,
    )
    walk = [*python, "run", str(policy), "--robot", "sim", *which, "--fast", "--speed", str(config.speed)]
    walk += [
        "--duration",
        str(config.duration),
        "--log",
        str(out / "walk.lcmlog"),
        "--json",
        str(out / "walk.json"),
    ]
    if can_film:
        walk += ["--video", str(out / "walk.mp4")]
    rest = (
        Stage(
            "train",
            f"preset {config.preset}: PPO for the task, AMP for the style",
            TRAINING_TIME.get(config.preset, "as it asks"),
            (
                *python,
                "train",
                *which,
                "--preset",
                config.preset,
                "--run-dir",
                str(out),
                "--reference",
                str(reference),
            ),
            tuple(
                out / name for name in ("checkpoint.pt", "metrics.jsonl", "config.yaml", "environment.json")
            ),
            resumes=True,
            inputs=(*robot, preset),
        ),
        Stage(
            "export",
            "write the policy as one ONNX file and compare it with torch",
            "about 20 s",
            (*python, "export", str(out), *which, "--onnx", str(policy)),
            (policy,),
        ),
        Stage(
            "eval",
            "measure the exported file over simulated episodes at three speeds",
            "about 1 min",
            (*python, "eval", str(policy), *which, "--quick", "--out", str(out / "evaluation.json")),
            (out / "evaluation.json",),
        ),
        Stage(
            "walk",
            f"{config.duration:g} s at {config.speed:g} m/s through wildrobot-run",
            "about 1 min" if can_film else "about 10 s",
            tuple(walk),
            (out / "walk.json", *((out / "walk.mp4",) if can_film else ())),
            fine=(0, FELL),
        ),
    )
    return rest if config.reference else (build, *rest)


def plan(config: MakeRunConfig, pipeline: Pipeline, why_no_video: str) -> str:
    """The first thing on the screen: what will happen and how long it takes."""
    finished = pipeline.finished()
    whole = not finished and config.preset == "quick" and config.reference is None
    lines = [
        f"{config.robot_file or 'WildRobot'}: from nothing to a walking robot, into {config.out}."
        + whole * " About 16 minutes on two cores that do nothing else.",
        "",
    ]
    for index, stage in enumerate(pipeline.stages):
        when = "done before" if index < finished else stage.estimate
        lines.append(f"  {index + 1}. {stage.name:<10} {when:<13} {stage.summary}")
    lines += ["", "Then the report. Ctrl-C is safe at any time: the same command continues where it was."]
    if why_no_video:
        lines.append(f"No video will be made: {why_no_video}")
    return "\n".join(lines)


def judge(walk: Mapping[str, Any], config: MakeRunConfig) -> list[dict[str, Any]]:
    """The walk's figures against what is asked of it: rows of check, found, wanted and ok."""
    walked, falls = float(walk.get("walked_s") or 0.0), int(walk.get("falls") or 0)
    speed, drift = walk.get("mean_speed_m_s"), walk.get("heading_drift_max_rad")
    clearances = walk.get("swing_clearance_m") or {}
    rows = [
        _row(
            "no fall",
            f"{walked:.1f} s, {falls} falls",
            f"{config.duration:g} s, 0 falls",
            falls == 0 and walked >= config.duration - 0.5,
        ),
        _row(
            "mean speed",
            "–" if speed is None else f"{speed:.3f} m/s",
            f"{config.speed:.2f} ± {SPEED_TOLERANCE_M_S} m/s",
            speed is not None and abs(speed - config.speed) <= SPEED_TOLERANCE_M_S,
        ),
        _row(
            "heading kept",
            "–" if drift is None else f"{abs(drift):.2f} rad off",
            f"≤ {HEADING_TOLERANCE_RAD} rad",
            drift is not None and abs(drift) <= HEADING_TOLERANCE_RAD,
        ),
    ]
    for side in ("left", "right"):
        height = clearances.get(side)
        rows.append(
            _row(
                f"{side} swing clearance",
                "no swing seen" if height is None else f"{1000 * height:.0f} mm",
                f"≥ {1000 * CLEARANCE_M:.0f} mm",
                height is not None and height >= CLEARANCE_M,
            )
        )
    return rows


def summary(
    config: MakeRunConfig, pipeline: Pipeline, verdict: list[dict[str, Any]], why_no_video: str
) -> str:
    """What stands on the screen at the end."""
    lines = ["", "Result"]
    for row in verdict:
        word = "PASS" if row["ok"] else "FAIL"
        lines.append(f"  {word}  {row['check']:<22} {row['found']:<22} (wanted {row['wanted']})")
    which = f"--robot-file {config.robot_file} " if config.robot_file else ""
    took = pipeline.seconds()
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in took.items())
    lines += ["", f"Time: {duration(sum(took.values()))} ({parts})", "", "Files"]
    files = [("report.html", "open this in a browser"), ("policy.onnx", "the policy, with its contract")]
    files.append(("walk.mp4", why_no_video or "20 s of walking"))
    files.append(("walk.lcmlog", "its log, for `wildrobot replay`"))
    for name, meaning in files:
        lines.append(
            f"  {config.out / name!s:<32} {'' if (config.out / name).exists() else 'not made: '}{meaning}"
        )
    lines += [
        "",
        f"Standing, other speeds, pushes, stops and turns: wildrobot film {config.out / 'policy.onnx'} "
        f"{which}--out {config.out / 'film'}",
        f"and into the report with them: wildrobot report {config.out}",
        f"Again, by hand: wildrobot-run {config.out / 'policy.onnx'} --robot sim {which}"
        f"--speed {config.speed:g}",
    ]
    return "\n".join(lines)


def _row(check: str, found: str, wanted: str, ok: bool) -> dict[str, Any]:
    return {"check": check, "found": found, "wanted": wanted, "ok": bool(ok)}


def _read_walk(path: Path) -> dict[str, Any]:
    walk = read_json_object(path)
    if walk is None:
        raise UserError(f"there is no {path} with the walk's figures. Run again.")
    return walk


def move_aside(folder: Path, pipeline: Pipeline) -> Path:
    """Move what does not belong to a finished stage from `folder` to the first free `folder-N`.

    Nobody's training is deleted. Returns the new folder.
    """
    number = 1
    while (aside := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    aside.mkdir()
    kept = {path for stage in pipeline.stages[: pipeline.finished()] for path in stage.outputs}
    for path in sorted(folder.iterdir()):
        if path not in kept and path != pipeline.stamps:
            path.rename(aside / path.name)
    return aside
