"""`wildrobot-run`: a policy on a robot at 50 Hz, from limp over walking back to limp."""

from __future__ import annotations

from collections.abc import Sequence

import tyro

from wildrobot.cli.run.options import EXAMPLES, RunOptions, check_options


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = tyro.cli(
        RunOptions,
        args=None if argv is None else list(argv),
        description=EXAMPLES,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    check_options(options)
    from wildrobot.cli.run.execute import run  # what only a run needs must not hold up --help

    return run(options)
