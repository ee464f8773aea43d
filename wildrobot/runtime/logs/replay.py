"""The robot and the policies of a recording, as they were when it was made, for computing its ticks again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.core.files import file_sha256
from wildrobot.robot_description.spec import DEFAULT_ROBOT, RobotSpec
from wildrobot.runtime.logs.comparison import Comparison, compare
from wildrobot.runtime.logs.decoding import read_configuration
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.signal_path.shipped import POLICIES


def replay(
    path: Path, policies: Sequence[Path] = (), tolerance: float = 0.0, robot_file: Path | None = None
) -> Comparison:
    """Feed a log's raw frames through the same code again, until the first difference above `tolerance`.

    `policies` and `robot_file` say where the files are now, if they are not where they were recorded.

    Raises:
        UserError: robot or policy are not those of the recording, or there is nothing to compare.
    """
    configuration = read_configuration(path)
    calibration = json.loads(configuration.json).get("calibration")
    spec = RobotSpec(recorded_robot_file(configuration, robot_file) or DEFAULT_ROBOT, calibration)
    if spec.robot_hash != configuration.robot_hash:
        raise UserError(
            f"the log was recorded with another robot description (hash "
            f"{configuration.robot_hash[:12]}, this one has {spec.robot_hash[:12]}). "
            "Replay it with the robot.yaml and MJCF of that time."
        )
    return compare(path, spec, RecordedPolicies(policies, spec), tolerance)


def recorded_robot_file(configuration: Any, now: Path | None) -> Path | None:
    """robot.yaml of the recorded robot, at `now` if given; None: WildRobot's own.

    Raises:
        UserError: it is not there.
    """
    path = now or (Path(configuration.robot_file) if configuration.robot_file else None)
    if path is not None and not path.is_file():
        raise UserError(f"there is no robot description {path}. Say where it is now with --robot-file.")
    return path


def open_policy(path: Path, sha256: str, spec: RobotSpec) -> OnnxPolicy:
    """The policy of the recording."""
    if not path.is_file():
        raise UserError(f"the policy of this log is not at {path}. Say where it is with --policy.")
    found = file_sha256(path)
    if found != sha256:
        raise UserError(
            f"{path} is not the policy of this log: SHA-256 {found[:12]}..., recorded {sha256[:12]}.... "
            "Give the file that was recorded with --policy."
        )
    return OnnxPolicy(path, spec)


class RecordedPolicies:
    """The policies that a `run_configuration` names, each opened once: from `files` by their SHA-256, else from where
    they were, else that which comes with WildRobot if it is the same."""

    def __init__(self, files: Sequence[Path], spec: RobotSpec) -> None:
        self._files, self._spec = files, spec
        self._open: dict[str, OnnxPolicy] = {}

    def __call__(self, configuration: Any) -> list[OnnxPolicy]:
        """In the order of their numbers."""
        return [self._policy(entry) for entry in json.loads(configuration.json)["policies"]]

    def _policy(self, entry: dict[str, str]) -> OnnxPolicy:
        digest = entry["sha256"]
        if digest not in self._open:
            same = [file for file in self._files if file.is_file() and file_sha256(file) == digest]
            path = (same or list(self._files) or [self._recorded(Path(entry["path"]), digest)])[0]
            self._open[digest] = open_policy(path, digest, self._spec)
        return self._open[digest]

    def _recorded(self, path: Path, digest: str) -> Path:
        """Where the policy was recorded; if it is gone from there, the shipped one, if that is the same."""
        shipped = POLICIES.glob("*.onnx") if not path.is_file() else ()
        return next((file for file in shipped if file_sha256(file) == digest), path)
