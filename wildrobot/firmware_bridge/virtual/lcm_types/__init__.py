"""Message type of the virtual robot's true state: `.lcm` source here, generated Python in `wildrobot_lcm`."""

from __future__ import annotations

from wildrobot.firmware_bridge.virtual.lcm_types.wildrobot_lcm import virtual_robot_truth_t

__all__ = ["CHANNEL", "virtual_robot_truth_t"]

CHANNEL = "virtual_robot_truth"
