"""The virtual robot in this process, behind the bus driver's `Transport`: simulated time, faster than real time."""

from __future__ import annotations

from wildrobot.firmware_bridge.bus.transport import PortLost
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot


class VirtualTransport:
    """A `Transport` whose clock goes on only while somebody writes, reads or sleeps; the same calls give the same
    bytes.

    A write takes the time of its bytes on the wire. After a cable fault every call that needs the port raises
    `PortLost` until `reopen` finds the cable in again.
    """

    def __init__(self, robot: VirtualRobot, baud: int | None = None) -> None:
        """`baud`: bits per second of the host (default: the robot's own)."""
        self.robot = robot
        self._baud = robot.spec.config.bus.baud if baud is None else baud
        robot.set_baud(self._baud)
        self._lost = False
        self.closed = False

    @property
    def baud(self) -> int:
        """Bits per second, 10 bits a byte."""
        return self._baud

    @baud.setter
    def baud(self, value: int) -> None:
        self._baud = value
        self.robot.set_baud(value)

    def _check(self) -> None:
        self._lost = self._lost or not self.robot.connected
        if self.closed:
            raise PortLost("the port is closed")
        if self._lost:
            raise PortLost("the virtual robot's cable is out")

    def write(self, data: bytes) -> None:
        self._check()
        end_ns = self.robot.receive(data, self.robot.now_ns)
        self.robot.advance(end_ns)
        self._check()

    def read(self, timeout_s: float) -> bytes:
        robot, adapter = self.robot, self.robot.wire.adapter
        self._check()
        deadline = robot.now_ns + max(0, round(timeout_s * 1e9))
        while True:
            if data := robot.output(robot.now_ns):
                return data
            if robot.now_ns >= deadline:
                return b""
            arrival = adapter.next_ns()
            if arrival is None:
                robot.advance(deadline, lambda: adapter.next_ns() is not None or not robot.connected)
            else:
                robot.advance(min(arrival, deadline))
            self._check()

    def discard_input(self) -> int:
        self._check()
        return len(self.robot.output(self.robot.now_ns))

    def now_ns(self) -> int:
        return self.robot.now_ns

    def sleep(self, seconds: float) -> None:
        self.robot.advance(self.robot.now_ns + max(0, round(seconds * 1e9)))
        self._lost = self._lost or not self.robot.connected

    def reopen(self) -> bool:
        if self.closed or not self.robot.connected:
            return False
        self._lost = False
        self.robot.output(self.robot.now_ns)
        return True

    def close(self) -> None:
        self.closed = True
