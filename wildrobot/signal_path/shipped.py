"""The policy that comes with the package, for who names none."""

from __future__ import annotations

import json
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec

POLICIES = Path(__file__).parents[1] / "policies"
"""Each policy with its style.onnx, and beside it the figures of its evaluation (.json), which name its robot's hash."""


def find_shipped_policy(spec: RobotSpec) -> Path | None:
    """The policy (.onnx) that was trained for exactly this robot description and comes with the package, if any."""
    for figures in sorted(POLICIES.glob("*.json")):
        if json.loads(figures.read_text(encoding="utf-8"))["robot_hash"] == spec.robot_hash:
            return figures.with_suffix(".onnx")
    return None


def shipped_policy(spec: RobotSpec) -> Path:
    """The same for whom it is needed.

    Raises:
        UserError: there is none.
    """
    path = find_shipped_policy(spec)
    if path is not None:
        return path
    raise UserError(
        f"no policy was given, and none comes with the package for this {spec.name} (robot hash "
        f"{spec.robot_hash[:12]}). Give an .onnx file made by `wildrobot export`."
    )
