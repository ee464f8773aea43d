"""`--robot dynamixel`: nine servos and the sensor board on one bus, behind the protocol of every robot."""

from __future__ import annotations

from typing import Any

import numpy as np

from wildrobot.firmware_bridge import control_table as table
from wildrobot.firmware_bridge.board.driver import BoardSample, FreshnessTracker
from wildrobot.firmware_bridge.bus import Bus
from wildrobot.firmware_bridge.servo_bus import ServoBus, TickSamples
from wildrobot.firmware_bridge.startup import prepare
from wildrobot.firmware_bridge.transport import PortLost, Transport
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.safety import Health
from wildrobot.runtime.sensor_frame import FootSwitches, SensorFrame

NS = 1e-9
PLAUSIBLE_MARGIN_RAD = 0.35
"""How far outside its limits a joint may read before the reading is taken for a servo that has lost its registers."""
REOPEN_EVERY_TICKS = 12
SILENT_TICKS = 2
"""Ticks without an answer after which a device is named as silent; a single lost packet is only counted."""


class DynamixelRobot:
    """One transaction reads everything, one packet writes the targets. Nothing moves before `set_torque_gain` > 0."""

    lockstep = False

    def __init__(self, spec: RobotSpec, transport: Transport, repair: bool = True) -> None:
        """Check and prepare every device on the bus.

        Raises:
            UserError: a device is missing or set up in a way that cannot be repaired safely; all of it is listed.
        """
        self.spec, self.transport = spec, transport
        self.bus = Bus(transport)
        self.servos: ServoBus = prepare(self.bus, spec, repair=repair)
