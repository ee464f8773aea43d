"""Control table of the Dynamixel XM430: every register, its initial value and range, and what a robot expects of it.

The one table that the driver, the start-up, the virtual servo and docs/bus.md use. Source: ROBOTIS
e-Manual, XM430-W350.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from wildrobot.core.constants import (
    SERVO_CENTRE_COUNT,
    SERVO_COUNTS_PER_TURN,
    SERVO_FULL_PWM,
    SERVO_P_GAIN_UNIT,
)

EEPROM_END = 64
"""Registers below keep their value without power and are writable only while the torque is off."""
SIZE = 662
"""Bytes of the whole table: the last one is indirect data 56."""


@dataclass(frozen=True)
class Register:
    """One value of a control table."""

    name: str
    address: int
    size: int
    signed: bool = False
    writable: bool = True
    initial: int | None = 0
    """Of a new servo in the EEPROM, after power-on in the RAM; None where it follows from something else."""
    limits: tuple[int, int] | None = None
    """Least and greatest value that may be written; None where all that fits may be."""
    since: int = 0
    """First firmware that has it."""
    expected: int | None = None
    """What it must say on a robot, unless robot.yaml says otherwise; it is looked at and repaired before the start."""
    why: str = ""
    """Of a writable one that nothing is expected of: why whatever stands in it does no harm."""

    @property
    def end(self) -> int:
        """Address behind its last byte."""
        return self.address + self.size

    def decode(self, data: bytes) -> int:
        """Value of its raw bytes."""
        return int.from_bytes(data[: self.size], "little", signed=self.signed)

    def encode(self, value: int) -> bytes:
        """Raw bytes of a value.

        Raises:
            OverflowError: the value does not fit.
        """
        return int(value).to_bytes(self.size, "little", signed=value < 0)


def _measured(
    name: str, address: int, size: int, signed: bool = False, initial: int | None = None, since: int = 0
) -> Register:
    return Register(name, address, size, signed, False, initial, since=since)


def _set(
    name: str,
    address: int,
    size: int,
    initial: int | None,
    limits: tuple[int, int] | None,
    expected: int | None = None,
    why: str = "",
    signed: bool = False,
    since: int = 0,
) -> Register:
    return Register(name, address, size, signed, True, initial, limits, since, expected, why)


FULL_PWM = SERVO_FULL_PWM
"""PWM_LIMIT and GOAL_PWM at full duty."""
_BY_LIMITS = "follows from the joint's limits in robot.yaml"
_RUNTIME = "written by the runtime before anything moves"
_OTHER_MODE = "the position controller does not use it"
_GAIN = (0, 16383)

# name, address, bytes, initial value, range, what is expected or why nothing is. The tables of the e-Manual's sections
# "Control Table of EEPROM Area" and "Control Table of RAM Area", and below them the register's own section.
MODEL_NUMBER = _measured("model_number", 0, 2)
MODEL_INFORMATION = _measured("model_information", 2, 4)
FIRMWARE_VERSION = _measured("firmware_version", 6, 1)
ID = _set("id", 7, 1, 1, (0, 252), why="the servo answers by it")
BAUD_RATE = _set("baud_rate", 8, 1, 1, (0, 7), why="the servo answers at it")
RETURN_DELAY_TIME = _set("return_delay_time", 9, 1, 250, (0, 254), expected=0)
DRIVE_MODE = _set("drive_mode", 10, 1, 0, (0, 13), expected=0, since=38)
OPERATING_MODE = _set("operating_mode", 11, 1, 3, (0, 16), expected=3)
SECONDARY_ID = _set("secondary_id", 12, 1, 255, (0, 255), expected=255)
PROTOCOL_TYPE = _set("protocol_type", 13, 1, 2, (1, 2), expected=2)
HOMING_OFFSET = _set("homing_offset", 20, 4, 0, (-1_044_479, 1_044_479), expected=0, signed=True)
MOVING_THRESHOLD = _set("moving_threshold", 24, 4, 10, (0, 1023), why="only the bit `moving` depends on it")
TEMPERATURE_LIMIT = _set("temperature_limit", 31, 1, 80, (0, 100), expected=80)
MAX_VOLTAGE_LIMIT = _set("max_voltage_limit", 32, 2, 160, (95, 160), expected=160)
MIN_VOLTAGE_LIMIT = _set("min_voltage_limit", 34, 2, 95, (95, 160), expected=95)
PWM_LIMIT = _set("pwm_limit", 36, 2, FULL_PWM, (0, FULL_PWM), expected=FULL_PWM)
CURRENT_LIMIT = _set("current_limit", 38, 2, 1193, (0, 1193), why=_OTHER_MODE)
VELOCITY_LIMIT = _set("velocity_limit", 44, 4, 200, (0, 1023), why=_OTHER_MODE)
MAX_POSITION_LIMIT = _set("max_position_limit", 48, 4, 4095, (0, 4095), why=_BY_LIMITS)
MIN_POSITION_LIMIT = _set("min_position_limit", 52, 4, 0, (0, 4095), why=_BY_LIMITS)
STARTUP_CONFIGURATION = _set("startup_configuration", 60, 1, 0, (0, 3), expected=0, since=45)
SHUTDOWN = _set("shutdown", 63, 1, 0x34, (0, 0x3D), expected=0x34)
TORQUE_ENABLE = _set("torque_enable", 64, 1, 0, (0, 1), why=_RUNTIME)
LED = _set("led", 65, 1, 0, (0, 1), why="a light")
STATUS_RETURN_LEVEL = _set("status_return_level", 68, 1, 2, (0, 2), expected=2)
REGISTERED_INSTRUCTION = _measured("registered_instruction", 69, 1, initial=0)
HARDWARE_ERROR_STATUS = _measured("hardware_error_status", 70, 1, initial=0)
VELOCITY_I_GAIN = _set("velocity_i_gain", 76, 2, 1920, _GAIN, expected=1920)
VELOCITY_P_GAIN = _set("velocity_p_gain", 78, 2, 100, _GAIN, expected=100)
POSITION_D_GAIN = _set("position_d_gain", 80, 2, 0, _GAIN, expected=0)
POSITION_I_GAIN = _set("position_i_gain", 82, 2, 0, _GAIN, expected=0)
POSITION_P_GAIN = _set("position_p_gain", 84, 2, 800, _GAIN, why=_RUNTIME)
FEEDFORWARD_2ND_GAIN = _set("feedforward_2nd_gain", 88, 2, 0, _GAIN, expected=0)
FEEDFORWARD_1ST_GAIN = _set("feedforward_1st_gain", 90, 2, 0, _GAIN, expected=0)
BUS_WATCHDOG = _set("bus_watchdog", 98, 1, 0, (0, 127), why=_RUNTIME, signed=True, since=38)
GOAL_PWM = _set("goal_pwm", 100, 2, None, None, expected=FULL_PWM, signed=True)
GOAL_CURRENT = _set("goal_current", 102, 2, None, None, why=_OTHER_MODE, signed=True)
GOAL_VELOCITY = _set("goal_velocity", 104, 4, None, None, why=_OTHER_MODE, signed=True)
PROFILE_ACCELERATION = _set("profile_acceleration", 108, 4, 0, (0, 32767), expected=0)
PROFILE_VELOCITY = _set("profile_velocity", 112, 4, 0, (0, 32767), expected=0)
GOAL_POSITION = _set("goal_position", 116, 4, None, (-1_048_575, 1_048_575), why=_RUNTIME, signed=True)
REALTIME_TICK = _measured("realtime_tick", 120, 2)
REALTIME_TICK_PERIOD = 32768
"""Its counts until it begins anew."""
MOVING = _measured("moving", 122, 1, initial=0)
MOVING_STATUS = _measured("moving_status", 123, 1, initial=0)
PRESENT_PWM = _measured("present_pwm", 124, 2, signed=True)
PRESENT_CURRENT = _measured("present_current", 126, 2, signed=True)
PRESENT_VELOCITY = _measured("present_velocity", 128, 4, signed=True)
PRESENT_POSITION = _measured("present_position", 132, 4, signed=True)
VELOCITY_TRAJECTORY = _measured("velocity_trajectory", 136, 4, signed=True)
POSITION_TRAJECTORY = _measured("position_trajectory", 140, 4, signed=True)
PRESENT_INPUT_VOLTAGE = _measured("present_input_voltage", 144, 2)
PRESENT_TEMPERATURE = _measured("present_temperature", 146, 1)
BACKUP_READY = _measured("backup_ready", 147, 1, initial=0, since=45)

REGISTERS = tuple(value for value in list(globals().values()) if isinstance(value, Register))
BY_NAME = {register.name: register for register in REGISTERS}

INDIRECT_ADDRESS = 168
"""First of 28 two-byte registers; number k says which address byte k of the indirect data shows."""
INDIRECT_DATA = 224
INDIRECT_COUNT = 28
"""Of each of the two blocks."""
INDIRECT_BLOCKS = ((INDIRECT_ADDRESS, INDIRECT_DATA), (578, 634))
"""First indirect address and first byte of indirect data: of numbers 1 to 28, and of 29 to 56."""
INDIRECT_ADDRESSES = tuple(
    Register(
        f"indirect_address_{number}", addresses + 2 * i, 2, initial=data + i, limits=(EEPROM_END, SIZE - 1),
        why=_RUNTIME if addresses == INDIRECT_ADDRESS else "what it shows is not read",
    )
    for block, (addresses, data) in enumerate(INDIRECT_BLOCKS)
    for i, number in enumerate(range(INDIRECT_COUNT * block + 1, INDIRECT_COUNT * (block + 1) + 1))
)  # fmt: skip

BAUD_RATES = {
    0: 9_600, 1: 57_600, 2: 115_200, 3: 1_000_000, 4: 2_000_000, 5: 3_000_000, 6: 4_000_000, 7: 4_500_000,
}  # fmt: skip
"""Value of BAUD_RATE to bits per second."""
FAST_READ_FIRMWARE = 45
"""First firmware that answers fast sync and fast bulk reads."""
RETURN_DELAY_S = 2e-6
"""Seconds per unit of RETURN_DELAY_TIME."""
WATCHDOG_S = 0.02
"""Seconds per unit of BUS_WATCHDOG; 0 off, -1 tripped."""
VOLTAGE_V = 0.1
"""Volts per unit of voltage registers."""
PROFILE_ACCELERATION_REV_MIN2 = 214.577
"""Revolutions per minute squared per unit of PROFILE_ACCELERATION."""
P_GAIN_UNIT = SERVO_P_GAIN_UNIT
"""Position P gain of the servo's controller: duty units per count = POSITION_P_GAIN / this."""
COUNTS_PER_TURN = SERVO_COUNTS_PER_TURN
CENTRE_COUNT = SERVO_CENTRE_COUNT
"""Present position of the servo's own zero angle."""


class OperatingMode(enum.IntEnum):
    """What the servo's controller follows."""

    CURRENT = 0
    VELOCITY = 1
    POSITION = 3
    EXTENDED_POSITION = 4
    CURRENT_BASED_POSITION = 5
    PWM = 16


class HardwareError(enum.IntFlag):
    """Bits of HARDWARE_ERROR_STATUS and of the SHUTDOWN mask."""

    INPUT_VOLTAGE = 1 << 0
    OVERHEATING = 1 << 2
    MOTOR_ENCODER = 1 << 3
    ELECTRICAL_SHOCK = 1 << 4
    OVERLOAD = 1 << 5


def describe_hardware_error(value: int) -> str:
    """Names of the bits that are set, for people."""
    names = [flag.name.lower().replace("_", " ") for flag in HardwareError if value & flag and flag.name]
    rest = value & ~sum(HardwareError)
    return ", ".join([*names, *([f"unknown bits {rest:#04x}"] if rest else [])]) or "none"


HEALTH_BYTES = (
    PRESENT_CURRENT.address, PRESENT_CURRENT.address + 1, PRESENT_INPUT_VOLTAGE.address, PRESENT_TEMPERATURE.address,
    HARDWARE_ERROR_STATUS.address, GOAL_PWM.address,
)  # fmt: skip
"""What follows the motion block, read from one servo per tick: of the voltage one byte reaches to 25 V, of the goal PWM
the low one gives most changes away."""


@dataclass(frozen=True)
class MotionBlock:
    """A servo's motion block, in counts, and its clock, ms."""

    position: int
    velocity: int
    tick_ms: int


@dataclass(frozen=True)
class MotionLayout:
    """Which bytes of position, velocity and the servo's clock the indirect data show first.

    The clock tells an answer of this request from a late one of the last.
    """

    addresses: tuple[int, ...]
    format: Struct

    def decode(self, data: bytes) -> MotionBlock:
        """From the first bytes of the indirect data."""
        return MotionBlock(*self.format.unpack_from(data))

    @property
    def shown(self) -> tuple[int, ...]:
        """All that the indirect data show: the motion block, and the slow registers behind it."""
        return self.addresses + HEALTH_BYTES


def _layout(value_bytes: int, code: str) -> MotionLayout:
    items = ((PRESENT_POSITION, value_bytes), (PRESENT_VELOCITY, value_bytes), (REALTIME_TICK, 2))
    addresses = tuple(register.address + i for register, size in items for i in range(size))
    return MotionLayout(addresses, Struct(f"<{code}{code}H"))


HALVES = _layout(2, "h")
"""The low halves of position and velocity, which say all there is to say."""
WHOLE = _layout(4, "i")
"""All their bytes: the manual may be read so that a firmware shows a value of 4 bytes only whole."""


@dataclass(frozen=True)
class HealthBlock:
    """A servo's slow registers, raw."""

    current: int
    voltage: int
    temperature: int
    hardware_error: int
    goal_pwm_low: int
    """Lower byte of GOAL_PWM."""

    @classmethod
    def decode(cls, data: bytes) -> HealthBlock:
        """From the bytes behind the motion block."""
        return cls(
            int.from_bytes(data[0:2], "little", signed=True),
            *data[2:6],
        )


def indirect_map(addresses: Iterable[int] = HALVES.shown) -> bytes:
    """Raw content of the indirect address registers that shows `addresses` in the indirect data."""
    return b"".join(address.to_bytes(2, "little") for address in addresses)
