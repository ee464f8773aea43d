"""`wildrobot train`: PPO with an adversarial motion prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.outputs import note
from wildrobot.cli.common.presets import parse_configuration
from wildrobot.training.learn import train
from wildrobot.training.setup import TrainConfig

EXAMPLES = """examples:
  wildrobot train --preset quick
  wildrobot train --preset walk --run-dir runs/walk --seed 3
  wildrobot train --robot-file mine/robot.yaml --preset mine/preset.yaml
  wildrobot train --config runs/walk/config.yaml
  torchrun --nproc-per-node 2 -m wildrobot train --preset walk"""


@dataclass(frozen=True)
class TrainOptions(TrainConfig):
    """Train a walking policy. Every field is a flag; `--preset NAME` starts from presets/NAME.yaml (or FILE.yaml)."""

    preset: str = "default"
    """Start from this preset: quick, walk, or FILE.yaml. Flags beside it win; the run is reported under its name."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""


def parse(argv: Sequence[str]) -> TrainConfig:
    """Configuration from `--preset NAME`, `--config FILE` and flags, later ones winning."""
    return parse_configuration(TrainConfig(), TrainOptions, argv, "train", EXAMPLES, ("--preset", "--config"))


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot train` and `train`."""
    train(parse(argv), note)
    return 0
