"""The `run_configuration` message: what a reader of the log needs to know of robot, policies and program."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

from wildrobot import __version__
from wildrobot.core.config import load_yaml
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.control.skills import Skill
from wildrobot.runtime.telemetry.computer_clock import clock_synchronized
from wildrobot.runtime.telemetry.identity import RunIdentity
from wildrobot.runtime.telemetry.lcm_types import run_configuration_t
from wildrobot.signal_path.command import COMMAND_NAMES
from wildrobot.signal_path.features import feature_names


def describe(
    identity: RunIdentity,
    spec: RobotSpec,
    skills: Sequence[Skill],
    options: Mapping[str, Any],
    robot_file: Path | None,
    calibration: Path | None,
) -> run_configuration_t:
    """The message of a run, still without its time; `options` is what the user asked for, by name."""
    message = run_configuration_t()
    message.robot_name, message.run_id = identity
    message.robot, message.robot_hash = spec.name, spec.robot_hash
    message.robot_file = str(robot_file.resolve()) if robot_file else ""
    versions = {"wildrobot": __version__, "numpy": numpy.__version__, "onnxruntime": onnxruntime.__version__}
    content = {
        "control_hz": spec.control_hz,
        "joint_names": spec.joint_names,
        "foot_names": spec.foot_names,
        "feature_names": feature_names(spec),
        "command_names": COMMAND_NAMES,
        "observation": skills[0].policy.contract["observation"],
        "options": dict(options),
        "calibration": load_yaml(calibration) if calibration else None,
        "versions": versions | {"python": platform.python_version()},
        "machine": platform.machine(),
        "clock_synchronized": clock_synchronized(),
    }
    message.json = json.dumps(content, default=str)
    return with_policies(message, [(skill.file, skill.sha256) for skill in skills])


def with_policies(message: run_configuration_t, policies: Sequence[tuple[Path, str]]) -> run_configuration_t:
    """The message with these policies (file, SHA-256), in the order of their numbers."""
    listed: list[dict[str, Any]] = [
        {"path": str(path.resolve()), "sha256": digest} for path, digest in policies
    ]
    message.policy_path, message.policy_sha256 = listed[0]["path"], listed[0]["sha256"]
    message.json = json.dumps(json.loads(message.json) | {"policies": listed})
    return message
