"""`wildrobot import-policy FILE.onnx`: a policy of mjlab, Isaac Lab or the like as a policy file of this project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.export.elsewhere.run_import import import_policy
from wildrobot.robot_description import load_robot

DESCRIPTION = """Make a policy file of an .onnx that another framework exported: its observation terms are built from
this robot's signal path, joints put in order, scales and default pose converted, and the result is compared with the
original network on simulated rollouts. What cannot be built is named, and nothing is written.

examples:
  wildrobot import-policy mjlab_walk.onnx --control-hz 50 --out walk.onnx
  wildrobot import-policy isaac/policy.onnx --description isaac/IO_descriptors.yaml --out walk.onnx
  wildrobot import-policy policy.onnx --description policy.yaml --out walk.onnx

mjlab writes what it knows into the file, Isaac Lab into IO_descriptors.yaml; what is said nowhere stands in a small
YAML file. docs/import.md has its keys and the terms that can be built. Then: wildrobot eval walk.onnx"""


@dataclass
class ImportOptions:
    """What to import, for which robot, and where to."""

    policy: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK")]
    """The network: one observation in, one action per joint out."""
    out: Path | None = None
    """The policy file. Default: beside the network, with `_imported` after its name."""
    description: tuple[Path, ...] = ()
    """Isaac Lab's IO_descriptors.yaml, or a description of docs/import.md; of several the last one counts."""
    control_hz: float | None = None
    """Rate that it was trained for: 1 / (timestep * decimation). mjlab's files do not say it."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of the robot that shall run it. Default: WildRobot."""
    seed: int = 0
    """Of the rollouts that the comparison is made on."""
    threads: int = 0
    """Physics threads; 0: all CPUs."""


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot import-policy`."""
    options = parse_options(ImportOptions, argv, DESCRIPTION)
    source = options.policy
    output = options.out or source.with_name(f"{source.stem}_imported.onnx")
    result = import_policy(
        source,
        load_robot(options.robot),
        output,
        options.description,
        options.control_hz,
        options.seed,
        options.threads,
    )
    print(f"policy: {result.policy}  (joint targets as the original's to {result.difference_rad:.1g} rad)")
    print(f"reads:  {', '.join(result.terms)}")
    for text in result.warnings:
        print(f"warning: {text}")
    print(f"measure it before a robot runs it: wildrobot eval {result.policy}")
    return 0
