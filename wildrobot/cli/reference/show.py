"""`wildrobot reference show`: the clips of a reference with their figures, and a video of what was recorded."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.cli.common.tables import print_table, terminal_width
from wildrobot.core.errors import UserError
from wildrobot.core.files import is_stdout, write_json, write_text
from wildrobot.core.nearest import did_you_mean
from wildrobot.reports.elements.page_videos import PageVideos
from wildrobot.reports.reference_page import build_page
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.reference.recorded_video import render


@dataclass(frozen=True)
class ShowOptions:
    """Print a reference's clips with their figures; render recorded clips to a video."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCE")]
    """Reference .npz that `wildrobot reference build` has made."""
    video: Path | None = None
    """Render to this .mp4 file."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write all of it here as one page with charts, too, with the video if one is made; it loads nothing from a
    network."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the clips and their figures here; - prints them instead of the table."""
    clip: str | None = None
    """Show this clip only, the whole recording; without it the video shows several clips."""
    seconds: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 3.0
    """Time of each clip in a video of several."""
    max_clips: int = 12
    """Clips in a video of several, evenly chosen among the accepted ones."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""


EXAMPLES = """examples:
  wildrobot reference show runs/reference/reference.npz
  wildrobot reference show runs/reference/reference.npz --video reference.mp4 --html reference.html
  wildrobot reference show runs/reference/reference.npz --clip walk_v0.30_t18_c30 --video walk.mp4"""


def clip_table(clips: Sequence[dict[str, Any]], dt: float) -> Table:
    """One row per clip with the figures that the executed clips share; `dt` is the time of a frame, s."""
    counts = Counter(name for entry in clips for name in entry.get("figures", {}))
    shared = [name for name, count in counts.items() if 5 * count > len(clips)]
    title = f"{sum(bool(entry['accepted']) for entry in clips)} of {len(clips)} clips accepted"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("ok")
    table.add_column("clip", overflow="fold", min_width=min(20, max(len(entry["name"]) for entry in clips)))
    for heading in ("seconds", "m/s", "rad/s", *(name.replace("_", " ") for name in shared)):
        table.add_column(heading, justify="right")
    for entry in clips:
        figures = entry.get("figures", {})
        forward, turn = (*entry.get("command", ()), 0.0, 0.0)[:2]
        table.add_row(
            "yes" if entry["accepted"] else "no",
            entry["name"],
            f"{'loop ' if entry.get('loop') else ''}{entry.get('frames', 0) * dt:.1f}",
            f"{forward:.2f}",
            f"{turn:+.2f}",
            *(f"{figures[name]:.4f}" if name in figures else "" for name in shared),
            style=None if entry["accepted"] else "dim",
        )
    return table


def choose_rollouts(dataset: ReferenceDataset, config: ShowOptions) -> list[tuple[str, int]]:
    """Clip names and the recorded rollouts to render.

    Raises:
        UserError: the clip is unknown or has no recording.
    """
    clip_of = [int(index) for index in dataset.meta["rollout_clip"]]
    first = {dataset.clips[index]["name"]: clip_of.index(index) for index in sorted(set(clip_of))}
    if config.clip is None:
        names = list(first)
        count = min(len(names), max(config.max_clips, 1))
        chosen = [names[round(i)] for i in np.linspace(0, len(names) - 1, count)]
        return [(name, first[name]) for name in chosen]
    if config.clip in first:
        return [(config.clip, first[config.clip])]
    entry = next((entry for entry in dataset.clips if entry["name"] == config.clip), None)
    if entry is not None:
        raise UserError(
            f"clip '{config.clip}' was rejected ({entry.get('reason', '')}): nothing of it is recorded."
        )
    raise UserError(
        f"{config.file} has no clip '{config.clip}'; {did_you_mean(config.clip, first, 'it has')}"
    )


def show(config: ShowOptions) -> None:
    """Print the table, then render and write what is asked for."""
    spec = load_robot(config.robot)
    dataset = ReferenceDataset.load(config.file, spec)
    clips = [entry for entry in dataset.clips if config.clip in (None, entry["name"])]
    if config.clip is not None and not clips:
        choose_rollouts(dataset, config)
    if config.json is not None:
        write_json(config.json, {"file": str(config.file), "rollouts": dataset.num_rollouts, "clips": clips})
    if not is_stdout(config.json):
        report(clips, dataset, spec, config)
    if config.video is not None:
        whole = config.clip is not None
        render(
            spec, dataset, choose_rollouts(dataset, config), config.video, None if whole else config.seconds
        )
        print(f"video: {config.video}", file=sys.stderr)
    if config.html is not None:
        videos = PageVideos()
        shown = choose_rollouts(dataset, config)
        write_text(config.html, build_page(config.file.name, spec, dataset, shown, config.video, videos))
        if warning := videos.warning():
            print(f"warning: {warning}", file=sys.stderr)
        print(f"page: {config.html}", file=sys.stderr)


def report(
    clips: Sequence[dict[str, Any]], dataset: ReferenceDataset, spec: RobotSpec, config: ShowOptions
) -> None:
    """Print the clips, why some were rejected, and how much was recorded."""
    print_table(clip_table(clips, spec.control_dt), 2)
    console = Console(width=terminal_width(), highlight=False)
    for entry in clips:
        if not entry["accepted"]:
            console.print(
                f"rejected {entry['name']}: {entry.get('reason', '')}", soft_wrap=True, markup=False
            )
    if config.clip is not None:
        for entry in clips:
            console.print(f"source: {entry['source']}", soft_wrap=True, markup=False)
    console.print(
        f"{dataset.num_rollouts} rollouts, {len(dataset.features)} frames at {spec.control_hz:g} Hz"
    )


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot reference show`."""
    show(parse_options(ShowOptions, argv, about(ShowOptions, EXAMPLES), switches=False))
    return 0
