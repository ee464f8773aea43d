"""Flags of `wildrobot make-run`, and whether what they ask for can be done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.extras import require_packages
from wildrobot.cli.common.outputs import check_folder
from wildrobot.cli.common.presets import from_preset
from wildrobot.cli.run.options import RunOptions, check_command
from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.training.reference.build import BuildConfig
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.setup import TrainConfig, check_commands

NEEDED = ("mujoco", "torch", "tensorboard", "onnx", "onnxscript")
REFERENCE = Path("runs/reference/reference.npz")
EXAMPLES = """examples:
  wildrobot make-run --out runs/make_run
  wildrobot make-run --preset walk --out runs/walk"""


@dataclass
class MakeRunOptions:
    """Everything in one go: reference motion, training, export, evaluation, 20 s of walking, report.

    Interrupted, the same command continues where it was; finished, it does nothing again.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/make_run")
    """Run folder: everything ends up here."""

    preset: str = "quick"
    """Training preset: its name, or a .yaml file of one's own."""

    reference: Path | None = None
    """Use this reference as it is. Default: the gait library, built into runs/reference (another robot's:
    runs/reference_NAME) and kept there."""

    speed: Annotated[float, tyro.conf.arg(metavar="M/S")] = 0.3
    """Commanded forward speed of the walk, m/s."""

    duration: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 20.0
    """Length of the walk, s."""

    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""

    def reference_file(self, spec: RobotSpec) -> Path:
        """The reference to train with: the given one, or where it is built and kept."""
        if self.reference is not None:
            return self.reference
        if self.robot_file is None:
            return REFERENCE
        return REFERENCE.parent.with_name(f"reference_{spec.name}") / REFERENCE.name


def check(options: MakeRunOptions) -> None:
    """Look for all that the stages will need, the last of which is a quarter of an hour away.

    Raises:
        UserError: a package is missing, a folder cannot be written to, the reference cannot be used, the preset has
            what its commands do not know, the robot may not be commanded what is asked for, or there is no time to
            walk in.
    """
    require_packages("wildrobot make-run", NEEDED, "train")
    spec = load_robot(options.robot_file)
    check_command(spec, RunOptions((), speed=options.speed))
    if not options.duration > 0:
        raise UserError(f"--duration is {options.duration}, expected seconds above 0.")
    check_commands(spec, from_preset(TrainConfig(), options.preset, "train"))
    from_preset(BuildConfig(), options.preset, "reference")
    check_folder("--out", options.out)
    reference = options.reference_file(spec)
    if options.reference is not None:
        ReferenceDataset.load(reference, spec)
    elif not reference.exists():
        check_folder("the reference's folder", reference.parent)
