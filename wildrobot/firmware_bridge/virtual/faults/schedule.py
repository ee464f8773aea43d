"""When faults begin and end."""

from __future__ import annotations

from collections.abc import Iterable

from wildrobot.firmware_bridge.virtual.faults.kinds import Act, Fault, Kind
from wildrobot.firmware_bridge.virtual.parts import RobotParts


class FaultSchedule:
    """Begins and ends faults when their time has come. Times count from the robot's power-on."""

    def __init__(self, robot: RobotParts, faults: Iterable[Fault]) -> None:
        self._robot = robot
        self._events: list[tuple[int, int, Act, Fault]] = []
        self._count = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Schedule one more; a time that has passed means now.

        Raises:
            UserError: it names a servo, joint or foot that the robot does not have, or a value out of range.
        """
        fault.check()
        robot = self._robot
        places = {Kind.DEVICE: robot.line, Kind.SERVO: robot.servo, Kind.FOOT: robot.foot}
        for parameter in fault.kind.parameters:
            if parameter.kind in places:
                places[parameter.kind](fault.values[parameter.name])
        self._add(fault.at_s, fault.kind.begin, fault)
        if fault.for_s is not None and fault.kind.end is not None:
            self._add(fault.at_s + fault.for_s, fault.kind.end, fault)

    def _add(self, at_s: float, act: Act, fault: Fault) -> None:
        self._count += 1
        self._events.append((round(at_s * 1e9), self._count, act, fault))
        self._events.sort(key=lambda event: event[:2])

    def update(self, now_ns: int) -> None:
        """Let happen what is due."""
        while self._events and self._events[0][0] <= now_ns:
            _, _, act, fault = self._events.pop(0)
            act(self._robot, fault.values)
