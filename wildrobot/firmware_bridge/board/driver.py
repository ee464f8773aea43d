"""What the sensor board's sample block says, in SI units, and whether it says anything new.

The block is 34 bytes from `SAMPLE_ADDRESS`. Its registers round to the nearest count, so a value is off by at most half
a count (and the firmware's single precision) inside its register's range, and saturates outside:

    quaternion        ±3.06e-5 per component         range ±2
    angular velocity  ±9.79e-4 rad/s                 range ±64 rad/s
    acceleration      ±1.96e-3 m/s²                  range ±128 m/s²
    foot force        ±0.125 N                       range 0…63.75 N
    supply voltage    ±0.05 V                        range 0…25.5 V
    age, clock        cut to the microsecond         age saturates at 65.535 ms, clock wraps after 71.6 minutes
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.board import control_table as table

DEVICE_ID = table.DEFAULTS["id"]
"""Id on the bus unless it was changed."""
MODEL_NUMBER = table.DEFAULTS["model_number"]

# Half a count, and the rounding of single precision (half a unit in the last place at the range's end) in the firmware.
QUATERNION_BOUND = table.QUATERNION_SCALE / 2 + 2 * 2.0**-25
"""Largest error of a quaternion's component inside its register's range."""
ANGULAR_VELOCITY_BOUND_RAD_S = table.ANGULAR_VELOCITY_SCALE / 2 + 64 * 2.0**-25
ACCELERATION_BOUND_M_S2 = table.ACCELERATION_SCALE / 2 + 128 * 2.0**-25
FORCE_BOUND_N = table.FOOT_FORCE_SCALE / 2 + 64 * 2.0**-25
VOLTAGE_BOUND_V = table.SUPPLY_VOLTAGE_SCALE / 2 + 32 * 2.0**-24

_AGE_SATURATED = 0xFFFF
_COUNTER_WRAP = 1 << 16


FOOT_INPUTS = 4
"""Force inputs of the board. The sites in `feet` of robot.yaml are wired to them in their order, from the first one."""


class BoardStatus(enum.IntFlag):
    """Bits of the status register."""

    IMU_ALIVE = 1 << 0
    IMU_CALIBRATED = 1 << 1
    IMU_SILENT = 1 << 2
    """No IMU sample for more than 50 ms."""
    FOOT_OUT_OF_RANGE = 1 << 3
    """A foot input is at one of its ends: broken wire or short. Its force reads 0."""


class BoardError(enum.IntFlag):
    """Bits of the board's hardware_error_status."""

    IMU_FAILED = 1 << 3
    """The IMU could not be started."""


@dataclass(frozen=True, eq=False)
class BoardSample:
    """One read of the sample block, as the board sent it.

    Nothing is repaired: a quaternion that is not of unit length arrives as such (see `quaternion_norm`), and whether
    the sample is new is the counter's business (`FreshnessTracker`). The mount rotation is not applied.
    """

    quaternion: NDArray[np.float64]
    """(4,) wxyz, rotation world <- IMU chip."""
    angular_velocity: NDArray[np.float64]
    """(3,) rad/s in the chip's frame."""
    acceleration: NDArray[np.float64]
    """(3,) specific force in m/s², in the chip's frame."""
    foot_force: NDArray[np.float64]
    """(4,) N, input by input: WildRobot's left toe, left heel, right toe, right heel."""
    counter: int
    """IMU samples since the board's start, modulo 65536."""
    age_s: float
    """Age of the IMU sample when the read latched it; at `age_saturated` that or more."""
    clock_us: int
    """The board's clock at the latch, modulo 2**32."""
    status: BoardStatus
    voltage_v: float
    """Supply of the servo bus."""

    @classmethod
    def decode(cls, data: bytes) -> BoardSample:
        """From the bytes of the sample block.

        Raises:
            ValueError: not 34 bytes.
        """
        if len(data) != table.SAMPLE_SIZE:
            raise ValueError(f"sample block of {len(data)} bytes, expected {table.SAMPLE_SIZE}")
        values = struct.unpack(table.SAMPLE_FORMAT, data)
        counter, age, clock, status, voltage = values[14:]
        return cls(
            quaternion=np.array(values[0:4]) * table.QUATERNION_SCALE,
            angular_velocity=np.array(values[4:7]) * table.ANGULAR_VELOCITY_SCALE,
            acceleration=np.array(values[7:10]) * table.ACCELERATION_SCALE,
            foot_force=np.array(values[10:14]) * table.FOOT_FORCE_SCALE,
            counter=counter,
            age_s=age * 1e-6,
            clock_us=clock,
            status=BoardStatus(status),
            voltage_v=voltage * table.SUPPLY_VOLTAGE_SCALE,
        )

    @property
    def age_saturated(self) -> bool:
        """`age_s` is a lower limit: the sample is older than its register can say, or there has been none."""
        return round(self.age_s * 1e6) >= _AGE_SATURATED

    @property
    def quaternion_norm(self) -> float:
        """1 but for rounding (within 6.2e-5) when the chip is sound."""
        return float(np.linalg.norm(self.quaternion))


class FreshnessTracker:
    """Whether the board's IMU still measures: a counter that repeats is an old sample, however valid its packet.

    Times are nanoseconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._counter: int | None = None
        self._changed_ns = 0
        self.advanced = 0
        """IMU samples between the last two updates, modulo 65536; 0 when the counter repeated."""
        self.restarted = False
        """The counter went back at the last update: the board has rebooted."""

    def update(self, counter: int, now_ns: int) -> bool:
        """Take the counter of a sample that was read at `now_ns`; True when it is not the one of the read before.

        The first one counts as new: there is nothing to compare it with.
        """
        step = 1 if self._counter is None else (counter - self._counter) % _COUNTER_WRAP
        # At 400 samples per second half of the range is 82 s without a read.
        self.restarted = step >= _COUNTER_WRAP // 2
        self.advanced = 0 if self.restarted else step
        if step != 0:
            self._counter = counter
            self._changed_ns = now_ns
        return step != 0

    def stale_s(self, now_ns: int) -> float:
        """Seconds since a new counter was last seen; infinite before the first."""
        if self._counter is None:
            return float("inf")
        return (now_ns - self._changed_ns) * 1e-9
