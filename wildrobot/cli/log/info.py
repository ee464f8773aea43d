"""`wildrobot log info`: what a log holds, on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.common.rows import print_rows
from wildrobot.core.files import is_stdout, write_json
from wildrobot.runtime.logs.summary import Channel, Summary, summarize

DESCRIPTION = """Say what a log holds: how long, which policy, states, falls, guards, events, timing, what is missing.

examples:
  wildrobot log info walk.lcmlog
  wildrobot log info walk.lcmlog --json walk_info.json
  wildrobot log info /var/log/wildrobot/run.lcmlog

The last one takes the newest run's parts, if the log was written with --log-rotate; run.0007.lcmlog takes those of the
seventh run.

Exit code: 0, also for a damaged log; 2 bad input."""
SHOWN = 20
"""Warnings and faults, and damaged places, on the screen; --json has all."""


@dataclass
class InfoOptions:
    """Which log."""

    log: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    """Log of `wildrobot-run --log` or of lcm-logger."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write all of it here; - prints it and nothing else."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(InfoOptions, argv, DESCRIPTION)
    summary = summarize(options.log)
    if options.json is not None:
        write_json(options.json, summary.document())
    if not is_stdout(options.json):
        print_rows(rows(summary))
    return 0


def rows(summary: Summary) -> list[tuple[str, str]]:
    """Names and values for the screen."""
    lines = [("file", file) for file in summary.files]
    lines += [
        ("begins", summary.begins()),
        ("duration", f"{summary.duration_s:.2f} s, {summary.bytes / 1e6:.2f} MB"),
        (
            "robot",
            f"{summary.robot_name or '(no name)'}, {summary.robot or 'not known'} {summary.robot_hash[:12]}".rstrip(),
        ),
    ]
    lines += [("policy", f"{policy['path']} {policy['sha256'][:12]}") for policy in summary.policies]
    made = [*summary.versions.items(), ("on", summary.machine)] if summary.versions else []
    lines += [("versions", ", ".join(f"{name} {value}" for name, value in made))] if made else []
    for name, channel in summary.channels.items():
        lines.append(
            ("channels", f"{name:<18}{channel.messages:>8} {channel.rate_hz:>7.2f} Hz{_gaps(channel)}")
        )
    lines += [
        ("states", f"{stretch.state:<12}{stretch.begin_s:>9.2f} to {stretch.end_s:>8.2f} s")
        for stretch in summary.states
    ]
    lines += [("falls", str(summary.falls)), ("faults", str(summary.faults))]
    for name, guard in summary.guards.items():
        if guard.level != "fine":
            lines.append(("guards", f"{name} {guard.value:.4g}: {guard.level}"))
    if summary.guards and all(guard.level == "fine" for guard in summary.guards.values()):
        lines.append(("guards", f"all {len(summary.guards)} fine, once a second"))
    lines.append(("events", ", ".join(f"{name} {n}" for name, n in summary.event_counts.items()) or "none"))
    bad = [event for event in summary.events if event.severity != "info"]
    lines += [
        ("", f"{event.time_s:9.2f} s  {event.severity:<8}{event.name}: {event.text}") for event in bad[:SHOWN]
    ]
    lines += [("", f"and {len(bad) - SHOWN} more")] if len(bad) > SHOWN else []
    if summary.timing is not None:
        timing = summary.timing
        lines += [
            ("missed ticks", str(timing.missed_ticks)),
            ("messages dropped", str(timing.messages_dropped)),
            (
                "worst second",
                f"work p50 {timing.work_p50_ms:.2f}, p99 {timing.work_p99_ms:.2f}, max {timing.work_max_ms:.2f} ms; "
                f"late by {timing.late_max_ms:.2f} ms",
            ),
        ]
    lines += [("damaged", str(damage)) for damage in summary.damages[:SHOWN]]
    more = len(summary.damages) - SHOWN
    return lines + ([("", f"and {more} more places")] if more > 0 else [])


def _gaps(channel: Channel) -> str:
    said = f"   longest gap {channel.longest_gap_s:.2f} s" if channel.messages > 1 else ""
    if channel.missing_ticks:
        said += f", {channel.missing_ticks} ticks missing"
    if channel.undecodable:
        said += f", {channel.undecodable} of another layout"
    return said
