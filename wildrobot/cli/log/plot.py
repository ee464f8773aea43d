"""`wildrobot log plot`: one page about a log."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.files import write_text
from wildrobot.reports.log_page import build_page
from wildrobot.robot_description import load_robot

DESCRIPTION = """Write one HTML page about a log; it loads nothing from a network.

examples:
  wildrobot log plot walk.lcmlog --out walk.html
  wildrobot log plot walk.lcmlog --out fall.html --begin 12 --end 16

States, speed, timing and servos over the whole time; joints against their targets, IMU, feet and features for four
seconds in full detail: before the first fall or fault, else of steady walking, or from --begin to --end."""


@dataclass
class PlotOptions:
    """Which log, and what of it."""

    log: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    """Log of `wildrobot-run --log` or of lcm-logger."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Page to write. Default: the log's name with .html."""
    begin: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Where the detail begins, s since the log's first message."""
    end: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Where it ends."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot, for the limits of its joints."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(PlotOptions, argv, DESCRIPTION)
    if options.begin is not None and options.end is not None and not options.begin < options.end:
        raise UserError(f"--begin is {options.begin:g} and --end {options.end:g}, expected a later end.")
    out = options.out or options.log.with_suffix(".html")
    write_text(out, build_page(options.log, options.begin, options.end, load_robot(options.robot)))
    print(f"page: {out}", file=sys.stderr)
    return 0
