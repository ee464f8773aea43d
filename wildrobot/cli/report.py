"""`wildrobot report`: one HTML page about a run, or several runs beside each other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.files import write_text
from wildrobot.reports.compare_page import compare_page
from wildrobot.reports.elements.page_videos import LARGEST_PAGE_BYTES, PageVideos
from wildrobot.reports.run_page import build_page
from wildrobot.reports.run_record import read_run

EXAMPLES = """examples:
  wildrobot report runs/first
  wildrobot report runs/first --compare runs/second runs/third --out runs/three.html
  wildrobot report runs/first --quiet"""
MOST_COMPARED = 4
"""Colours that the charts tell apart."""


@dataclass
class ReportOptions:
    """Write one HTML page about a run: training curves, evaluation, randomization, configuration, versions, videos.

    Everything is taken from the run's folder; what is not there yet is left out. With --compare the page is about
    several runs: the same curves on top of each other, figures side by side, and in what they differ.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder, of `wildrobot train`; evaluation.json, walk.json, walk.mp4 and film/ are taken up if there."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Page to write. Default: RUN/report.html, with --compare RUN/compare.html."""

    compare: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Up to three more runs."""

    ablation: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Ablation table (JSON). Default: RUN/ablation.json, else the one that comes with WildRobot."""

    quiet: bool = False
    """Print nothing but warnings."""


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot report`."""
    options = parse_options(ReportOptions, argv, about(ReportOptions, EXAMPLES))
    videos = PageVideos()
    if options.compare:
        if len(options.compare) >= MOST_COMPARED:
            raise UserError(
                f"--compare has {len(options.compare)} runs, expected up to {MOST_COMPARED - 1} beside the first. "
                "Leave some out: more curves in one chart cannot be told apart."
            )
        text = compare_page([read_run(run) for run in (options.run, *options.compare)], videos)
    else:
        text = build_page(options.run, options.ablation, videos)
    out = options.out or options.run / ("compare.html" if options.compare else "report.html")
    write_text(out, text)
    if warning := videos.warning():
        print(f"warning: {warning}", file=sys.stderr)
    if len(text.encode()) > LARGEST_PAGE_BYTES:
        print(f"warning: {out} has {len(text.encode()) / 1e6:.0f} MB", file=sys.stderr)
    if not options.quiet:
        print(f"report: {out}")
    return 0
