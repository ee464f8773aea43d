"""`wildrobot log split`: a log of a whole network, taken apart into one per robot and run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.runtime.logs.eventlog import LogWriter, read_events
from wildrobot.runtime.logs.robots import split_events
from wildrobot.runtime.telemetry.identity import RunIdentity, run_text

DESCRIPTION = """Take apart a log in which lcm-logger recorded several robots, or several runs of one.

examples:
  wildrobot log split lab.lcmlog

lab.lcmlog with the robots left and right becomes lab.left.RUN.lcmlog and lab.right.RUN.lcmlog beside it, with RUN
different for every start of a robot's program. Messages that are of no robot are left out.

Exit code: 0, 2 bad input."""


@dataclass
class SplitOptions:
    """Which log."""

    log: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    """Log of lcm-logger."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(SplitOptions, argv, DESCRIPTION)
    for path, messages in split(options.log).items():
        print(f"wrote {path}: {messages} messages")
    return 0


def split(log: Path) -> dict[Path, int]:
    """Write the parts, all or none of them; their files and how many messages each has.

    Raises:
        UserError: the log cannot be read, or holds no robot.
    """
    counts, writers = Counter[RunIdentity](), dict[RunIdentity, LogWriter]()
    paths: dict[RunIdentity, Path] = {}
    with ExitStack() as stack:
        for identity, event in split_events(read_events(log)):
            if identity is None:
                continue
            if identity not in writers:
                name = f"{log.stem}.{identity.robot_name}.{run_text(identity.run_id)}{log.suffix}"
                paths[identity] = log.with_name(name)
                writers[identity] = LogWriter(stack.enter_context(atomic_write(paths[identity])))
                stack.callback(writers[identity].close)
            writers[identity].write([event])
            counts[identity] += 1
    if not counts:
        raise UserError(f"{log} holds no messages of a robot, so there is nothing to take apart.")
    return {paths[identity]: count for identity, count in counts.items()}
