"""`wildrobot log export`: a log as parquet or MCAP, for the programs that people plot with."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.runtime.logs.named_values import NamedLog
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

DESCRIPTION = """Write a log as MCAP or parquet. Needs: pip install 'wildrobot[log]'

examples:
  wildrobot log export walk.lcmlog --out walk.mcap
  wildrobot log export walk.lcmlog --out walk_parquet
  wildrobot log export walk.lcmlog --out walk_parquet --channels robot_state policy_state

A name that ends in .mcap is one MCAP file of Protobuf messages, which Foxglove, Lichtblick, rerun and PlotJuggler plot
(robot_state.joint_position.left_knee_pitch). Any other name is a folder with a parquet file for every channel and a
column for every value (joint_position.left_knee_pitch). Both keep LCM's field names, units and frames; joints, feet,
features, observations, guards and stages have their names instead of numbers."""


@dataclass
class LogExportOptions:
    """What to write, and where."""

    log: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    """Log of `wildrobot-run --log` or of lcm-logger."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.mcap|FOLDER")]
    """MCAP file, or folder of parquet files."""
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = tuple(CHANNEL_TYPES)
    """Channels to write; all unless told."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(LogExportOptions, argv, DESCRIPTION)
    unknown = [name for name in options.channels if name not in CHANNEL_TYPES]
    if unknown:
        raise UserError(f"there is no channel {unknown[0]}; {did_you_mean(unknown[0], CHANNEL_TYPES)}")
    module = "mcap_file" if options.out.suffix == ".mcap" else "parquet"
    write = importlib.import_module(f"wildrobot.runtime.logs.{module}").write
    counts = write(options.out, NamedLog(options.log, options.channels, _warn))
    print(f"{options.out}: {', '.join(f'{name} {count}' for name, count in counts.items())}")
    return 0


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
