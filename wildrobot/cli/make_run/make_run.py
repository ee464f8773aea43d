"""`wildrobot make-run`, the main job: from nothing to a walking robot, its video and a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.cli.make_run.options import EXAMPLES, MakeRunOptions, check
from wildrobot.cli.make_run.pipeline import Pipeline
from wildrobot.cli.make_run.stages import stages
from wildrobot.cli.make_run.verdict import judge
from wildrobot.core.errors import UserError
from wildrobot.core.files import read_json_object, write_text
from wildrobot.core.progress import duration
from wildrobot.reports.run_page import build_page
from wildrobot.simulation.video import video_available


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot make-run`."""
    options = parse_options(MakeRunOptions, argv, about(MakeRunOptions, EXAMPLES))
    check(options)
    can_film, why_not = video_available()
    pipeline = Pipeline(stages(options, can_film), options.out / ".stages")
    if pipeline.half_done_from_something_else():
        aside = move_aside(options.out, pipeline)
        print(f"what {options.out} held was made with other settings or another version: moved to {aside}")
    print(plan(options, pipeline, why_not))
    code = pipeline.run()
    if code:
        return code
    walk = read_json_object(options.out / "walk.json")
    if walk is None:
        raise UserError(f"there is no {options.out / 'walk.json'} with the walk's figures. Run again.")
    verdict = judge(walk, options)
    write_text(options.out / "walk.json", json.dumps({**walk, "verdict": verdict}, indent=2) + "\n")
    # After the verdict, so that the page shows it; it is quick, and so not a stage.
    write_text(options.out / "report.html", build_page(options.out))
    print(summary(options, pipeline, verdict, why_not))
    return 0 if all(row["ok"] for row in verdict) else 1


def plan(options: MakeRunOptions, pipeline: Pipeline, why_no_video: str) -> str:
    """The first thing on the screen: what will happen and how long it takes."""
    finished = pipeline.finished()
    whole = not finished and options.preset == "quick" and options.reference is None
    lines = [
        f"{options.robot_file or 'WildRobot'}: from nothing to a walking robot, into {options.out}."
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


def summary(
    options: MakeRunOptions, pipeline: Pipeline, verdict: list[dict[str, Any]], why_no_video: str
) -> str:
    """What stands on the screen at the end."""
    lines = ["", "Result"]
    for row in verdict:
        word = "PASS" if row["ok"] else "FAIL"
        lines.append(f"  {word}  {row['check']:<22} {row['found']:<22} (wanted {row['wanted']})")
    which = f"--robot-file {options.robot_file} " if options.robot_file else ""
    took = pipeline.seconds()
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in took.items())
    lines += ["", f"Time: {duration(sum(took.values()))} ({parts})", "", "Files"]
    files = [("report.html", "open this in a browser"), ("policy.onnx", "the policy, with its contract")]
    files.append(("walk.mp4", why_no_video or "20 s of walking"))
    files.append(("walk.lcmlog", "its log, for `wildrobot replay`"))
    for name, meaning in files:
        lines.append(
            f"  {options.out / name!s:<32} {'' if (options.out / name).exists() else 'not made: '}{meaning}"
        )
    lines += [
        "",
        f"Standing, other speeds, pushes, stops and turns: wildrobot film {options.out / 'policy.onnx'} "
        f"{which}--out {options.out / 'film'}",
        f"and into the report with them: wildrobot report {options.out}",
        f"Again, by hand: wildrobot-run {options.out / 'policy.onnx'} --robot sim {which}"
        f"--speed {options.speed:g}",
    ]
    return "\n".join(lines)


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
