"""A hanging virtual robot and a host that has not spoken to it yet."""

from __future__ import annotations

import pytest
from bus_helpers import SPEC

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.inspection import Finding, check, expected_registers
from wildrobot.firmware_bridge.bus.servo_bus import ServoBus
from wildrobot.firmware_bridge.bus.startup import prepare
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec


class Start:
    """A hanging robot and a host that has not spoken to it yet."""

    def __init__(self, *faults: Fault, hidden: Hidden | None = None, wait_s: float = 0.05) -> None:
        self.virtual = VirtualRobot(SPEC, suspended=True, faults=faults, hidden=hidden)
        self.port = VirtualTransport(self.virtual)
        self.bus = Bus(self.port)
        self.said: list[str] = []
        self.port.sleep(wait_s)

    def wrong(self) -> list[Finding]:
        return [finding for finding in check(self.bus, SPEC) if finding.level != "ok"]

    def prepare(self, spec: RobotSpec = SPEC) -> ServoBus:
        return prepare(self.bus, spec, self.said.append)

    def registers(self, device: int) -> dict[str, int]:
        """Those that robot.yaml speaks about, as they stand."""
        servo = self.virtual.servo(device)
        return {r.name: servo.get(r) for r in expected_registers(SPEC, SPEC.servo_ids.index(device))}

    def as_expected(self, device: int) -> bool:
        expected = expected_registers(SPEC, SPEC.servo_ids.index(device))
        return self.registers(device) == {register.name: value for register, value in expected.items()}


def refused(start: Start, spec: RobotSpec = SPEC) -> str:
    with pytest.raises(UserError) as caught:
        start.prepare(spec)
    assert not any(servo.torque_on for servo in start.virtual.servos)
    return str(caught.value)
