"""Everything that can go wrong with the robot, as events with a time: what happens when each begins and ends.

    Silent(at_s=2.0, for_s=0.5, servo=3)

`for_s` None lasts to the end. Servos are named by id or by joint, the sensor board as "board". `fault_text` reads the
same events from the command line and from YAML.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HardwareError

if TYPE_CHECKING:
    from wildrobot.firmware_bridge.virtual.robot import VirtualRobot

Target = int | str


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An event on the simulation's clock."""

    name: ClassVar[str]
    momentary: ClassVar[bool] = False
    """It happens at once: `for_s` means nothing."""

    at_s: float = 0.0
    for_s: float | None = None

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            UserError: with the value and what was expected.
        """
        if self.at_s < 0.0 or (self.for_s is not None and self.for_s <= 0.0):
            raise UserError(
                f"fault '{self.name}': at {self.at_s} s for {self.for_s} s, expected a time of 0 or more "
                "and a duration above 0. Mend the schedule."
            )

    def begin(self, robot: VirtualRobot) -> None:
        """It sets in."""
        raise NotImplementedError

    def end(self, robot: VirtualRobot) -> None:
        """It is over; what it broke for good stays broken."""


@dataclass(frozen=True, kw_only=True)
class Silent(Fault):
    """A device hears nothing and says nothing (its bus cable is off); a servo goes on with its last goal."""

    name = "silent"
    servo: Target

    def begin(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).silent = True

    def end(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).silent = False


@dataclass(frozen=True, kw_only=True)
class Late(Fault):
    """A device answers so much later."""

    name = "late"
    servo: Target
    delay_s: float = 0.004

    def begin(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).delay_ns = round(self.delay_s * 1e9)

    def end(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).delay_ns = 0


@dataclass(frozen=True, kw_only=True)
class FlippedBits(Fault):
    """Noise on the line: every bit, of requests and answers, flips with this probability."""

    name = "flip"
    rate: float = 1e-4

    def begin(self, robot: VirtualRobot) -> None:
        robot.wire.bit_error_rate = self.rate

    def end(self, robot: VirtualRobot) -> None:
        robot.wire.bit_error_rate = 0.0


@dataclass(frozen=True, kw_only=True)
class Truncated(Fault):
    """A device's answers break off after so many bytes."""

    name = "truncate"
    servo: Target
    bytes: int = 9

    def begin(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).keep_bytes = self.bytes

    def end(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).keep_bytes = None


@dataclass(frozen=True, kw_only=True)
class Short(Fault):
    """A device's statuses carry one byte of data, with a true CRC, whatever was asked."""

    name = "short"
    servo: Target

    def begin(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).short = True

    def end(self, robot: VirtualRobot) -> None:
        robot.line(self.servo).short = False


@dataclass(frozen=True, kw_only=True)
class Overheating(Fault):
    """A servo is this hot; above its limit it reports that and lets go."""

    name = "overheat"
    servo: Target
    temperature_c: float = 85.0

    def begin(self, robot: VirtualRobot) -> None:
        robot.servo(self.servo).motor.forced_temperature_c = self.temperature_c

    def end(self, robot: VirtualRobot) -> None:
        robot.servo(self.servo).motor.forced_temperature_c = None


@dataclass(frozen=True, kw_only=True)
class Overload(Fault):
    """A servo reports an overload and lets go, until it is rebooted."""

    name = "overload"
    momentary = True
    servo: Target

    def begin(self, robot: VirtualRobot) -> None:
        robot.servo(self.servo).fail(HardwareError.OVERLOAD)


@dataclass(frozen=True, kw_only=True)
class BrownOut(Fault):
    """The supply dips: what needs more than this resets, and boots when the supply is back."""

    name = "brown-out"
    for_s: float | None = 0.1
    voltage_v: float = 5.5

    def begin(self, robot: VirtualRobot) -> None:
        robot.forced_supply_v = self.voltage_v

    def end(self, robot: VirtualRobot) -> None:
        robot.forced_supply_v = None


@dataclass(frozen=True, kw_only=True)
class SwappedIds(Fault):
    """Two servos have each other's id."""

    name = "swap-ids"
    servo: Target
    other: Target

    def begin(self, robot: VirtualRobot) -> None:
        one, two = robot.servo(self.servo), robot.servo(self.other)
        first, second = one.id, two.id
        one.put(table.ID, second)
        two.put(table.ID, first)

    def end(self, robot: VirtualRobot) -> None:
        self.begin(robot)


@dataclass(frozen=True, kw_only=True)
class DuplicateId(Fault):
    """A servo has the id of another one too."""

    name = "duplicate-id"
    servo: Target
    other: Target

    def begin(self, robot: VirtualRobot) -> None:
        robot.servo(self.servo).put(table.ID, robot.servo(self.other).id)

    def end(self, robot: VirtualRobot) -> None:
        servo = robot.servo(self.servo)
        servo.put(table.ID, robot.spec.servo_ids[robot.servos.index(servo)])


@dataclass(frozen=True, kw_only=True)
class WrongBaud(Fault):
    """A servo talks at another rate, as one fresh from its box does."""

    name = "wrong-baud"
    servo: Target
    baud: int = 57600

    def check(self) -> None:
        super().check()
        if self.baud not in table.BAUD_RATES.values():
            known = ", ".join(str(baud) for baud in table.BAUD_RATES.values())
            raise UserError(f"fault '{self.name}': baud is {self.baud}, expected one of {known}.")

    def begin(self, robot: VirtualRobot) -> None:
        robot.servo(self.servo).set_baud(self.baud)

    def end(self, robot: VirtualRobot) -> None:
        robot.servo(self.servo).set_baud(robot.spec.config.bus.baud)


@dataclass(frozen=True, kw_only=True)
class FrozenImu(Fault):
    """The IMU chip gives nothing any more: the board's sample counter stands still."""

    name = "imu-frozen"

    def begin(self, robot: VirtualRobot) -> None:
        robot.sensors.imu_silent = True

    def end(self, robot: VirtualRobot) -> None:
        robot.sensors.imu_silent = False


@dataclass(frozen=True, kw_only=True)
class StuckImu(Fault):
    """The IMU chip gives the same values over and over: the board's sample counter goes on."""

    name = "imu-stuck"

    def begin(self, robot: VirtualRobot) -> None:
        robot.sensors.imu_stuck = True

    def end(self, robot: VirtualRobot) -> None:
        robot.sensors.imu_stuck = False


@dataclass(frozen=True, kw_only=True)
class BadQuaternion(Fault):
    """The IMU's quaternion has this length: 0, nan, or something that is not 1."""

    name = "quaternion"
    norm: float = 0.0

    def begin(self, robot: VirtualRobot) -> None:
        robot.sensors.quaternion_norm = self.norm

    def end(self, robot: VirtualRobot) -> None:
        robot.sensors.quaternion_norm = 1.0


@dataclass(frozen=True, kw_only=True)
class FootStuck(Fault):
    """A foot input, by the name of its site (left_toe), reads this force, whatever presses."""

    name = "foot-stuck"
    foot: str
    force_n: float = 20.0

    def begin(self, robot: VirtualRobot) -> None:
        robot.sensors.foot_stuck[robot.foot(self.foot)] = self.force_n

    def end(self, robot: VirtualRobot) -> None:
        robot.sensors.foot_stuck[robot.foot(self.foot)] = np.nan


@dataclass(frozen=True, kw_only=True)
class FootBounce(Fault):
    """A foot input jumps between nothing and a full press at this rate."""

    name = "foot-bounce"
    foot: str
    rate_hz: float = 100.0

    def check(self) -> None:
        super().check()
        if not self.rate_hz > 0.0:
            raise UserError(f"fault '{self.name}': rate_hz is {self.rate_hz}, expected more than 0.")

    def begin(self, robot: VirtualRobot) -> None:
        robot.sensors.foot_bounce_hz[robot.foot(self.foot)] = self.rate_hz

    def end(self, robot: VirtualRobot) -> None:
        robot.sensors.foot_bounce_hz[robot.foot(self.foot)] = 0.0


@dataclass(frozen=True, kw_only=True)
class CableOut(Fault):
    """The host's cable is pulled, and put back in."""

    name = "cable-out"
    for_s: float | None = 2.0

    def begin(self, robot: VirtualRobot) -> None:
        robot.wire.disconnect()

    def end(self, robot: VirtualRobot) -> None:
        robot.wire.connected = True


@dataclass(frozen=True, kw_only=True)
class Push(Fault):
    """Somebody pushes: the pelvis's velocity changes at once, m/s, forward x, left y, up z in the world."""

    name = "push"
    momentary = True
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0

    def begin(self, robot: VirtualRobot) -> None:
        robot.physics.push(np.array([self.x, self.y, self.z]))


FAULTS: tuple[type[Fault], ...] = (
    Silent,
    Late,
    FlippedBits,
    Truncated,
    Short,
    Overheating,
    Overload,
    BrownOut,
    SwappedIds,
    DuplicateId,
    WrongBaud,
    FrozenImu,
    StuckImu,
    BadQuaternion,
    FootStuck,
    FootBounce,
    CableOut,
    Push,
)
"""Every kind."""


class FaultSchedule:
    """Begins and ends faults when their time has come. Times count from the robot's power-on."""

    def __init__(self, robot: VirtualRobot, faults: Iterable[Fault]) -> None:
        self._robot = robot
        self._events: list[tuple[int, int, bool, Fault]] = []
        self._count = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Schedule one more; a time that has passed means now.

        Raises:
            UserError: it names a servo, joint or foot that the robot does not have, or a value out of range.
        """
        fault.check()
        for name in ("servo", "other"):
            if hasattr(fault, name):
                where = (
                    self._robot.line
                    if isinstance(fault, Silent | Late | Truncated | Short)
                    else self._robot.servo
                )
                where(getattr(fault, name))
        if hasattr(fault, "foot"):
            self._robot.foot(fault.foot)
        self._add(fault.at_s, True, fault)
        if fault.for_s is not None and not fault.momentary:
            self._add(fault.at_s + fault.for_s, False, fault)

    def _add(self, at_s: float, begins: bool, fault: Fault) -> None:
        self._count += 1
        self._events.append((round(at_s * 1e9), self._count, begins, fault))
        self._events.sort(key=lambda event: event[:2])

    def update(self, now_ns: int) -> None:
        """Let happen what is due."""
        while self._events and self._events[0][0] <= now_ns:
            _, _, begins, fault = self._events.pop(0)
            if begins:
                fault.begin(self._robot)
            else:
                fault.end(self._robot)
