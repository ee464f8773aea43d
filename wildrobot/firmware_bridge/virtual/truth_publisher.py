"""The virtual robot's true state on LCM channel virtual_robot_truth: for comparison, never for control."""

from __future__ import annotations

import time
from typing import Any

from wildrobot.core.lcm_network import lcm_url, open_network
from wildrobot.firmware_bridge.virtual.lcm_types import CHANNEL, virtual_robot_truth_t
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot

PERIOD_NS = 20_000_000


def truth_message(robot: VirtualRobot, timestamp_us: int) -> Any:
    """The `virtual_robot_truth_t` of this instant."""
    truth = robot.truth()
    message = virtual_robot_truth_t()
    message.timestamp_us, message.time_ns = timestamp_us, truth.time_ns
    message.num_joints, message.num_feet = len(truth.joint_position), len(truth.foot_force)
    for name in virtual_robot_truth_t.__slots__:
        if name not in ("timestamp_us", "time_ns", "num_joints", "num_feet"):
            setattr(message, name, getattr(truth, name).tolist())
    return message


class TruthPublisher:
    """Publishes 50 times a second of the robot's time. A packet that cannot be sent is lost, as UDP is."""

    def __init__(self, url: str | None) -> None:
        """`url`: LCM network (None: LCM_DEFAULT_URL, else this machine only).

        Raises:
            UserError: LCM knows no such network.
        """
        self.network = open_network(lcm_url(url))
        self._next_ns = 0

    def __call__(self, robot: VirtualRobot) -> None:
        """Publish if it is time."""
        if robot.now_ns < self._next_ns:
            return
        self._next_ns = robot.now_ns - robot.now_ns % PERIOD_NS + PERIOD_NS
        self.network.publish(CHANNEL, truth_message(robot, time.time_ns() // 1000).encode())
