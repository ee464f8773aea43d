"""Message types: `.lcm` sources here, generated Python in `wildrobot_lcm`, and which channel has which."""

from __future__ import annotations

from typing import Any

from wildrobot.runtime.telemetry.lcm_types.wildrobot_lcm import (
    policy_state_t,
    robot_announcement_t,
    robot_command_t,
    robot_event_t,
    robot_health_t,
    robot_state_t,
    robot_stop_t,
    run_configuration_t,
    velocity_command_t,
)

__all__ = [
    "CHANNEL_TYPES",
    "COMMON_CHANNELS",
    "ROBOT_CHANNELS",
    "policy_state_t",
    "robot_announcement_t",
    "robot_command_t",
    "robot_event_t",
    "robot_health_t",
    "robot_state_t",
    "robot_stop_t",
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
    "robot_stop": robot_stop_t,
    "robot_announcement": robot_announcement_t,
}
"""Kind of a channel to message class: what comes after a channel's `NAME/`. Every message has `timestamp_us`."""
ROBOT_CHANNELS = (
    "robot_state",
    "robot_command",
    "policy_state",
    "robot_health",
    "robot_event",
    "run_configuration",
)
"""What a robot says of itself, each message with its `robot_name` and the `run_id` of the program."""
COMMON_CHANNELS = ("robot_stop", "robot_announcement")
"""Those of all robots, without a name before them."""
