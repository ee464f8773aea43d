"""`wildrobot-run`: a policy on a robot at 50 Hz, from limp over walking back to limp."""

from __future__ import annotations

from collections.abc import Sequence

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.run.options import EXAMPLES, RunOptions, check_options


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(RunOptions, argv, EXAMPLES)
    check_options(options)
    from wildrobot.cli.run.execute import run  # what only a run needs must not hold up --help

    return run(options)
