"""What a calibration has measured so far, in a file beside its output: where a later step fails, the same command goes
on there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wildrobot.core import files
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.calibration.identify import Wiring
from wildrobot.robot_description import RobotSpec


@dataclass
class Progress:
    """Kept after every joint and every step. Without a path nothing is written."""

    path: Path | None = None
    key: Mapping[str, Any] = field(default_factory=dict)
    """What must be the same for the measurements to count: the robot, the calibration it began with, the steps."""
    steps: list[str] = field(default_factory=list)
    """Finished."""
    wiring: dict[str, Wiring] = field(default_factory=dict)
    """Joint name to what `identify` found."""
    offset_rad: dict[str, float] = field(default_factory=dict)
    """Joint name to what `offsets` found."""
    imu_mount: list[float] | None = None

    @property
    def empty(self) -> bool:
        """Nothing has been measured."""
        return not (self.steps or self.wiring or self.offset_rad or self.imu_mount)

    def keep(self) -> None:
        """Write it down, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        if self.path is not None and not self.empty:
            content = asdict(self)
            del content["path"]
            files.write_text(self.path, json.dumps(content, indent=2) + "\n")

    def finish(self, step: str) -> None:
        """A step is done."""
        self.steps.append(step)
        self.keep()

    def forget(self) -> None:
        """The calibration was written: nothing is left to go on with."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def __str__(self) -> str:
        parts = list(self.steps)
        if self.wiring and "identify" not in self.steps:
            parts.append(f"ids of {len(self.wiring)} joints")
        if self.offset_rad and "offsets" not in self.steps:
            parts.append(f"zeros of {len(self.offset_rad)} joints")
        return ", ".join(parts)

    def kept(self) -> str:
        """Where to go on, for the person to whom something has failed."""
        if self.empty or self.path is None:
            return "Nothing had been measured yet."
        return f"What was measured is kept in {self.path} ({self}): the same command goes on there."


def progress_path(output: Path) -> Path:
    """Beside the calibration file that it is to become."""
    return output.with_name(f"{output.stem}.progress.json")


def open_progress(
    output: Path, spec: RobotSpec, began_with: Mapping[str, Any], steps: Sequence[str], restart: bool
) -> Progress:
    """That of an earlier run of the same command, or a new one; `restart` takes a new one in any case.

    `began_with`: content of the calibration before the first step.

    Raises:
        UserError: the file is of another command, or cannot be read.
    """
    path = progress_path(output)
    key = {"robot": spec.robot_hash, "began_with": dict(began_with), "steps": sorted(steps)}
    if restart or not path.exists():
        return Progress(path, key)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        wiring = {name: Wiring(int(w["id"]), int(w["direction"])) for name, w in content["wiring"].items()}
        offsets = {name: float(value) for name, value in content["offset_rad"].items()}
        mount = content["imu_mount"] and [float(value) for value in content["imu_mount"]]
        found = Progress(
            path, content["key"], [str(step) for step in content["steps"]], wiring, offsets, mount
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} should hold what an earlier calibration measured, and cannot be read ({error}). Add --restart to "
            "begin anew."
        ) from error
    if found.key != json.loads(json.dumps(key)):
        raise UserError(
            f"{path} holds what was measured for another calibration ({found}): of another robot, begun with another "
            "--calibration, or with other steps. Go on with that command, or add --restart to begin anew."
        )
    return found
