"""Message types: `.lcm` sources here, generated Python in `wildrobot_lcm`, and which channel has which."""

from __future__ import annotations

from typing import Any

from wildrobot.runtime.telemetry.lcm_types.wildrobot_lcm import (
    policy_state_t,
    robot_command_t,
    robot_event_t,
    robot_health_t,
    robot_state_t,
    run_configuration_t,
    velocity_command_t,
)

__all__ = [
    "CHANNEL_TYPES",
    "policy_state_t",
    "robot_command_t",
    "robot_event_t",
    "robot_health_t",
    "robot_state_t",
    "run_configuration_t",
    "velocity_command_t",
]

CHANNEL_TYPES: dict[str, Any] = {
    "robot_state": robot_state_t,
    "robot_command": robot_command_t,
    "policy_state": policy_state_t,
    "robot_health": robot_health_t,
    "robot_event": robot_event_t,
    "run_configuration": run_configuration_t,
    "velocity_command": velocity_command_t,
}
"""Channel name to message class; every message has `timestamp_us`."""
