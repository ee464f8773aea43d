"""`wildrobot log diff`: where two logs part, and by how much each of their fields does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.common.tables import in_terminal, is_narrow, terminal_width
from wildrobot.core.errors import UserError
from wildrobot.core.files import is_stdout, write_json
from wildrobot.core.nearest import did_you_mean
from wildrobot.runtime.logs.diff import CHANNELS, Differences, compare_logs
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

DESCRIPTION = """Say in which tick and field two logs differ first, and how far every field differs.

examples:
  wildrobot log diff before.lcmlog after.lcmlog
  wildrobot log diff before.lcmlog after.lcmlog --channels policy_state --tolerance 1e-6
  wildrobot log diff sim.lcmlog robot.lcmlog --channels robot_state --ignore timestamp_us time_s joint_time_s --json -

Messages are compared tick by tick. Two simulated runs with the same policy, flags and seed are the same.

Exit code: 0 the same, 1 they differ, 2 bad input."""


@dataclass
class DiffOptions:
    """Which logs, and what of them."""

    first: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    """A log."""
    second: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OTHER")]
    """Another one."""
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = CHANNELS
    """Channels to compare."""
    ignore: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD [FIELD ...]")] = ("timestamp_us",)
    """Fields to leave out, on every channel."""
    tolerance: float = 0.0
    """Differences up to this do not count, in the field's unit."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write all of it here; - prints it and nothing else."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(DiffOptions, argv, DESCRIPTION)
    if not options.tolerance >= 0:
        raise UserError(f"--tolerance is {options.tolerance}, expected 0 or more.")
    unknown = [name for name in options.channels if name not in CHANNEL_TYPES]
    if unknown:
        raise UserError(f"there is no channel {unknown[0]}; {did_you_mean(unknown[0], CHANNEL_TYPES)}")
    known = {name for channel in options.channels for name in CHANNEL_TYPES[channel].__slots__}
    unknown = [name for name in options.ignore if name not in known | {"timestamp_us"}]
    if unknown:
        raise UserError(
            f"there is no field {unknown[0]} on these channels; {did_you_mean(unknown[0], sorted(known))}"
        )
    found = compare_logs(options.first, options.second, options.channels, options.ignore, options.tolerance)
    if options.json is not None:
        write_json(options.json, found.document())
    if not is_stdout(options.json):
        _print(options, found)
    return 1 if found.differ else 0


def _print(options: DiffOptions, found: Differences) -> None:
    ticks = max((entry.ticks for entry in found.fields.values()), default=0)
    if not found.differ:
        within = f" within {options.tolerance:g}" if options.tolerance else ""
        print(f"the same{within}: {ticks} ticks, {len(found.fields)} fields")
        return
    if found.first is not None:
        print(in_terminal(str(found.first)))
    for channel, (first, second) in found.only_in.items():
        told = f"{channel}: {first} messages only in {options.first}, {second} only in {options.second}"
        print(in_terminal(told))
    last = ""
    for name, entry in found.fields.items():
        channel, _, own = name.partition(".")
        if not entry.differ:
            continue
        if channel != last:
            head = f"{channel}, {entry.ticks} ticks"
            _print_line(f"{head:<27}{'differ':>7}{'rms':>11}{'largest':>11}", "at tick, of")
            last = channel
        rms, largest = (f"{entry.rms:.3e}", f"{entry.largest:.3e}") if entry.values else ("–", "–")
        where = f"{entry.largest_tick} {entry.largest_name}" if entry.values else ""
        line = f"  {own:<25}{entry.differ:>7}{rms:>11}{largest:>11}"
        _print_line(line, where)


def _print_line(figures: str, where: str) -> None:
    """`where` beside the figures, or below them where the terminal is too narrow."""
    beside = f"{figures}  {where}".rstrip()
    below = is_narrow() and len(beside) > terminal_width()
    print(f"{figures}\n      {where}".rstrip() if below else beside)
