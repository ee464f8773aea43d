"""`wildrobot reference build`: plan, execute, judge and store the reference motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.outputs import note
from wildrobot.cli.common.presets import parse_configuration
from wildrobot.training.reference.build import BuildConfig, build

EXAMPLES = """examples:
  wildrobot reference build --preset quick
  wildrobot reference build --bvh walk.bvh --output runs/walk/reference.npz
  wildrobot reference build --robot-file mine/robot.yaml --preset mine/preset.yaml"""


@dataclass(frozen=True)
class BuildOptions(BuildConfig):
    """Plan motions (generated gaits, or motion capture), execute them in simulation, keep what passes."""

    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""


def parse(argv: Sequence[str]) -> BuildConfig:
    """Configuration from `--preset NAME` and flags, which win."""
    return parse_configuration(BuildConfig(), BuildOptions, argv, "reference", EXAMPLES, ("--preset",))


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot reference build`."""
    build(parse(argv), note)
    return 0
