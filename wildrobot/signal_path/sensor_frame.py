"""`SensorFrame`: what the hardware can measure at one instant, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wildrobot.core.state import state_type

Array = NDArray[np.float64]


@state_type
@dataclass
class SensorFrame:
    """One tick's measurements; every array has the same leading batch dims `...` (none on the robot).

    Times are seconds of one monotonic clock. `*_valid` is False where the value is not a fresh measurement.
    """

    time_s: Array
    """(...) instant that the frame stands for."""
    joint_position: Array
    """(..., n) rad, policy order."""
    joint_velocity: Array
    """(..., n) rad/s."""
    joint_time_s: Array
    """(..., n) when each servo's sample was taken."""
    joint_valid: NDArray[np.bool_]
    """(..., n) bool."""
    imu_quaternion: Array
    """(..., 4) wxyz, world <- IMU; the world's z is up, its yaw zero is arbitrary."""
    imu_angular_velocity: Array
    """(..., 3) rad/s, IMU frame."""
    imu_acceleration: Array
    """(..., 3) m/s^2 specific force, IMU frame: +9.81 along up at rest."""
    imu_time_s: Array
    """(...)."""
    imu_valid: NDArray[np.bool_]
    """(...) bool."""
    foot_contact: Array
    """(..., feet) 0 or 1, in the order of `feet` in robot.yaml."""
    foot_time_s: Array
    """(...)."""
    foot_valid: NDArray[np.bool_]
    """(...) bool."""

    @classmethod
    def measured(cls, time_s: ArrayLike, **values: Any) -> SensorFrame:
        """A frame whose samples are all valid and of the instant `time_s` (...); `values` are the measurements."""
        time = np.asarray(time_s, dtype=np.float64)
        shape = np.shape(values["joint_position"])
        yes = np.ones(time.shape, dtype=bool)
        return cls(
            time_s=time,
            joint_time_s=np.broadcast_to(time[..., None], shape).copy(),
            joint_valid=np.ones(shape, dtype=bool),
            imu_time_s=time.copy(),
            imu_valid=yes,
            foot_time_s=time.copy(),
            foot_valid=yes.copy(),
            **values,
        )

    def aged(self, time_s: Array) -> SensorFrame:
        """The same samples, with their times, as known at the later instant `time_s` (...): none is a fresh one."""
        no = {flag: np.zeros_like(getattr(self, flag)) for flag in ("joint_valid", "imu_valid", "foot_valid")}
        return dataclasses.replace(self, time_s=time_s, **no)

    def row(self, index: int) -> SensorFrame:
        """One simulation of a batch, without the leading dimension."""
        return SensorFrame(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def copy(self) -> SensorFrame:
        """A frame that does not share memory with this one (numpy arrays)."""
        return SensorFrame(**{f.name: np.array(getattr(self, f.name)) for f in dataclasses.fields(self)})


_READ_TOGETHER = {
    "joint_valid": ("joint_position", "joint_velocity", "joint_time_s"),
    "imu_valid": ("imu_quaternion", "imu_angular_velocity", "imu_acceleration", "imu_time_s"),
    "foot_valid": ("foot_contact", "foot_time_s"),
}
"""What each flag of a frame speaks of."""


def last_valid(valid: ArrayLike, values: Sequence[Any], last: Sequence[Any]) -> Sequence[Any]:
    """Samples that are read together, and the last valid ones where they are not `valid` (...) themselves.

    `values` and `last` are arrays (...) or (..., k), the samples' times among them: an old sample keeps its old time,
    so that its age stays visible. Whatever stands where a sample is not valid, NaN too, is not looked at.
    """
    valid = np.asarray(valid)
    if valid.all():
        return values
    rows = valid[..., None]
    return [
        np.where(valid if np.ndim(new) == valid.ndim else rows, new, old)
        for new, old in zip(values, last, strict=True)
    ]


def hold_invalid(frame: SensorFrame, last: SensorFrame) -> SensorFrame:
    """Values and times of `last` where `frame` has no valid sample; the flags and the instant stay those of `frame`."""
    held: dict[str, Any] = {}
    for flag, names in _READ_TOGETHER.items():
        valid = getattr(frame, flag)
        if not np.all(valid):
            values, old = ([getattr(one, name) for name in names] for one in (frame, last))
            held |= zip(names, last_valid(valid, values, old), strict=True)
    return dataclasses.replace(frame, **held) if held else frame


def drop_not_finite(frame: SensorFrame, last: SensorFrame | None) -> SensorFrame:
    """What is not a number, in a value or its time, is no sample: marked not valid, and as it was in `last`.

    Without a `last`, what is not a number stays to be seen. Infinite counts as not a number.
    """
    times = frame.time_s, frame.imu_time_s, frame.foot_time_s
    joints = frame.joint_position, frame.joint_velocity, frame.joint_time_s
    imu_parts = frame.imu_quaternion, frame.imu_angular_velocity, frame.imu_acceleration
    every = (*(np.asarray(time)[..., None] for time in times), *joints, *imu_parts, frame.foot_contact)
    if np.isfinite(np.concatenate(every, axis=-1)).all():
        return frame
    when = np.isfinite(frame.time_s)  # without it, nothing in the frame has an age
    joint = when[..., None] & np.isfinite(frame.joint_position) & np.isfinite(frame.joint_velocity)
    joint = joint & np.isfinite(frame.joint_time_s)
    imu = when & np.isfinite(frame.imu_time_s)
    for part in imu_parts:
        imu = imu & np.all(np.isfinite(part), axis=-1)
    foot = when & np.all(np.isfinite(frame.foot_contact), axis=-1) & np.isfinite(frame.foot_time_s)
    marked = dataclasses.replace(
        frame,
        joint_valid=frame.joint_valid & joint,
        imu_valid=frame.imu_valid & imu,
        foot_valid=frame.foot_valid & foot,
    )
    if last is None:
        return marked
    return dataclasses.replace(hold_invalid(marked, last), time_s=np.where(when, frame.time_s, last.time_s))


def select_rows(mask: ArrayLike, chosen: SensorFrame, other: SensorFrame) -> SensorFrame:
    """Rows of `chosen` where `mask` (...) is True, of `other` elsewhere."""
    mask, values = np.asarray(mask), {}
    for field in dataclasses.fields(SensorFrame):
        a, b = getattr(chosen, field.name), getattr(other, field.name)
        values[field.name] = np.where(mask.reshape(mask.shape + (1,) * (np.ndim(a) - mask.ndim)), a, b)
    return SensorFrame(**values)


class FootSwitches:
    """Contacts from forces with hysteresis: closes above `on_n`, opens below `off_n` (newtons), per row of a batch."""

    def __init__(self, on_n: float, off_n: float, shape: tuple[int, ...]) -> None:
        self.on_n, self.off_n = on_n, off_n
        self.closed = np.zeros(shape, dtype=bool)

    def reset(self, force: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Start rows afresh: closed where the force is above the middle of the band."""
        fresh = np.asarray(force) > 0.5 * (self.on_n + self.off_n)
        self.closed = fresh if mask is None else np.where(np.asarray(mask)[..., None], fresh, self.closed)

    def update(self, force: NDArray[np.float64]) -> NDArray[np.float64]:
        """Contacts (..., feet) 0.0 or 1.0 after seeing `force` (..., feet) N."""
        self.closed = np.where(self.closed, force > self.off_n, force > self.on_n)
        return self.closed.astype(np.float64)
