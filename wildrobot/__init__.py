"""WildRobot: a small biped, from a motion it should imitate to walking on its own computer.

The names below are what other programs may import (`docs/api.md`); everything else may change between versions. They
are loaded when they are first asked for: `import wildrobot` itself imports nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wildrobot.core.errors import UserError
    from wildrobot.robot_description import RobotSpec, load_robot
    from wildrobot.runtime.logs.robots import read_log
    from wildrobot.signal_path.estimator import Estimate, StateEstimator
    from wildrobot.signal_path.features import compute_features, feature_names
    from wildrobot.signal_path.path import SignalPath, joint_target
    from wildrobot.signal_path.policy import OnnxPolicy, load_policy
    from wildrobot.signal_path.sensor_frame import SensorFrame
    from wildrobot.signal_path.shipped import shipped_policy

__version__ = "0.1.0"

_HOMES = {
    "Estimate": "signal_path.estimator",
    "OnnxPolicy": "signal_path.policy",
    "RobotSpec": "robot_description",
    "SensorFrame": "signal_path.sensor_frame",
    "SignalPath": "signal_path.path",
    "StateEstimator": "signal_path.estimator",
    "UserError": "core.errors",
    "compute_features": "signal_path.features",
    "feature_names": "signal_path.features",
    "joint_target": "signal_path.path",
    "load_policy": "signal_path.policy",
    "load_robot": "robot_description",
    "read_log": "runtime.logs.robots",
    "shipped_policy": "signal_path.shipped",
}
"""Public name -> where it lives."""

__all__ = [
    "Estimate",
    "OnnxPolicy",
    "RobotSpec",
    "SensorFrame",
    "SignalPath",
    "StateEstimator",
    "UserError",
    "compute_features",
    "feature_names",
    "joint_target",
    "load_policy",
    "load_robot",
    "read_log",
    "shipped_policy",
]

# Builds of ONNX Runtime report their use to their maker: a thread, a file and half a second at the start. It looks at
# this when it is imported, so it stands before every import of it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wildrobot' has no attribute '{name}'")
    return getattr(importlib.import_module(f"wildrobot.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
