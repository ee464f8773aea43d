"""Control table of the Dynamixel X series (XM430): addresses, sizes, units. Source: ROBOTIS e-Manual, XM430-W350."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from wildrobot.core.constants import SERVO_FULL_PWM, SERVO_P_GAIN_UNIT

EEPROM_END = 64
"""Registers below keep their value without power and are writable only while the torque is off."""
SIZE = 661
"""Bytes of the whole table."""


@dataclass(frozen=True)
class Register:
    """One value of a control table."""

    name: str
    address: int
    size: int
    signed: bool = False
    writable: bool = True

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


def _r(name: str, address: int, size: int, signed: bool = False, writable: bool = True) -> Register:
    return Register(name, address, size, signed, writable)


MODEL_NUMBER = _r("model_number", 0, 2, writable=False)
MODEL_INFORMATION = _r("model_information", 2, 4, writable=False)
FIRMWARE_VERSION = _r("firmware_version", 6, 1, writable=False)
ID = _r("id", 7, 1)
BAUD_RATE = _r("baud_rate", 8, 1)
RETURN_DELAY_TIME = _r("return_delay_time", 9, 1)
DRIVE_MODE = _r("drive_mode", 10, 1)
OPERATING_MODE = _r("operating_mode", 11, 1)
SECONDARY_ID = _r("secondary_id", 12, 1)
PROTOCOL_TYPE = _r("protocol_type", 13, 1)
HOMING_OFFSET = _r("homing_offset", 20, 4, signed=True)
MOVING_THRESHOLD = _r("moving_threshold", 24, 4)
TEMPERATURE_LIMIT = _r("temperature_limit", 31, 1)
MAX_VOLTAGE_LIMIT = _r("max_voltage_limit", 32, 2)
MIN_VOLTAGE_LIMIT = _r("min_voltage_limit", 34, 2)
PWM_LIMIT = _r("pwm_limit", 36, 2)
CURRENT_LIMIT = _r("current_limit", 38, 2)
VELOCITY_LIMIT = _r("velocity_limit", 44, 4)
MAX_POSITION_LIMIT = _r("max_position_limit", 48, 4)
MIN_POSITION_LIMIT = _r("min_position_limit", 52, 4)
SHUTDOWN = _r("shutdown", 63, 1)
TORQUE_ENABLE = _r("torque_enable", 64, 1)
LED = _r("led", 65, 1)
STATUS_RETURN_LEVEL = _r("status_return_level", 68, 1)
REGISTERED_INSTRUCTION = _r("registered_instruction", 69, 1, writable=False)
HARDWARE_ERROR_STATUS = _r("hardware_error_status", 70, 1, writable=False)
VELOCITY_I_GAIN = _r("velocity_i_gain", 76, 2)
VELOCITY_P_GAIN = _r("velocity_p_gain", 78, 2)
POSITION_D_GAIN = _r("position_d_gain", 80, 2)
POSITION_I_GAIN = _r("position_i_gain", 82, 2)
POSITION_P_GAIN = _r("position_p_gain", 84, 2)
FEEDFORWARD_2ND_GAIN = _r("feedforward_2nd_gain", 88, 2)
FEEDFORWARD_1ST_GAIN = _r("feedforward_1st_gain", 90, 2)
BUS_WATCHDOG = _r("bus_watchdog", 98, 1, signed=True)
GOAL_PWM = _r("goal_pwm", 100, 2, signed=True)
GOAL_CURRENT = _r("goal_current", 102, 2, signed=True)
GOAL_VELOCITY = _r("goal_velocity", 104, 4, signed=True)
PROFILE_ACCELERATION = _r("profile_acceleration", 108, 4)
PROFILE_VELOCITY = _r("profile_velocity", 112, 4)
GOAL_POSITION = _r("goal_position", 116, 4, signed=True)
REALTIME_TICK = _r("realtime_tick", 120, 2, writable=False)
REALTIME_TICK_PERIOD = 32768
"""Its counts until it begins anew."""
MOVING = _r("moving", 122, 1, writable=False)
MOVING_STATUS = _r("moving_status", 123, 1, writable=False)
PRESENT_PWM = _r("present_pwm", 124, 2, signed=True, writable=False)
PRESENT_CURRENT = _r("present_current", 126, 2, signed=True, writable=False)
PRESENT_VELOCITY = _r("present_velocity", 128, 4, signed=True, writable=False)
PRESENT_POSITION = _r("present_position", 132, 4, signed=True, writable=False)
VELOCITY_TRAJECTORY = _r("velocity_trajectory", 136, 4, signed=True, writable=False)
POSITION_TRAJECTORY = _r("position_trajectory", 140, 4, signed=True, writable=False)
PRESENT_INPUT_VOLTAGE = _r("present_input_voltage", 144, 2, writable=False)
PRESENT_TEMPERATURE = _r("present_temperature", 146, 1, writable=False)

REGISTERS = tuple(value for value in list(globals().values()) if isinstance(value, Register))
BY_NAME = {register.name: register for register in REGISTERS}

INDIRECT_ADDRESS = 168
"""First of 28 two-byte registers; number k says which address byte k of the indirect data shows."""
INDIRECT_DATA = 224
INDIRECT_COUNT = 28

BAUD_RATES = {0: 9_600, 1: 57_600, 2: 115_200, 3: 1_000_000, 4: 2_000_000, 5: 3_000_000, 6: 4_000_000}
"""Value of BAUD_RATE to bits per second."""
RETURN_DELAY_S = 2e-6
"""Seconds per unit of RETURN_DELAY_TIME."""
WATCHDOG_S = 0.02
"""Seconds per unit of BUS_WATCHDOG; 0 off, -1 tripped."""
VOLTAGE_V = 0.1
"""Volts per unit of voltage registers."""
PROFILE_ACCELERATION_REV_MIN2 = 214.577
"""Revolutions per minute squared per unit of PROFILE_ACCELERATION."""
FULL_PWM = SERVO_FULL_PWM
"""PWM_LIMIT and GOAL_PWM at full duty."""
P_GAIN_UNIT = SERVO_P_GAIN_UNIT
"""Position P gain of the servo's controller: duty units per count = POSITION_P_GAIN / this."""
COUNTS_PER_TURN = 4096
CENTRE_COUNT = 2048
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


MOTION_BYTES = tuple(
    register.address + i for register in (PRESENT_POSITION, PRESENT_VELOCITY, REALTIME_TICK) for i in range(2)
)
"""Registers whose bytes the motion block of the indirect data shows: the low halves say all there is to say. The
servo's clock tells an answer of this request from a late one of the last."""
HEALTH_BYTES = tuple(
    register.address + i
    for register in (PRESENT_CURRENT, PRESENT_INPUT_VOLTAGE, PRESENT_TEMPERATURE, HARDWARE_ERROR_STATUS)
    for i in range(register.size)
)
"""What follows the motion block, read from one servo per tick."""


@dataclass(frozen=True)
class MotionBlock:
    """A servo's motion block, in counts, and its clock, ms."""

    position: int
    velocity: int
    tick_ms: int

    @classmethod
    def decode(cls, data: bytes) -> MotionBlock:
        """From the first bytes of the indirect data."""
        return cls(
            int.from_bytes(data[0:2], "little", signed=True),
            int.from_bytes(data[2:4], "little", signed=True),
            int.from_bytes(data[4:6], "little"),
        )


@dataclass(frozen=True)
class HealthBlock:
    """A servo's slow registers, raw."""

    current: int
    voltage: int
    temperature: int
    hardware_error: int

    @classmethod
    def decode(cls, data: bytes) -> HealthBlock:
        """From the bytes behind the motion block."""
        return cls(
            int.from_bytes(data[0:2], "little", signed=True),
            int.from_bytes(data[2:4], "little"),
            data[4],
            data[5],
        )


def indirect_map(addresses: Iterable[int] = MOTION_BYTES + HEALTH_BYTES) -> bytes:
    """Raw content of the indirect address registers that shows `addresses` in the indirect data."""
    return b"".join(address.to_bytes(2, "little") for address in addresses)
