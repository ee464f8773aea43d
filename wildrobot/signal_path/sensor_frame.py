"""`SensorFrame`: what the hardware can measure at one instant, and nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from wildrobot.core.state import state_type


@state_type
@dataclass
class SensorFrame:
    """One tick's measurements; every array has the same leading batch dims `...` (none on the robot).

    Times are seconds of one monotonic clock. `*_valid` is False where the value is not a fresh measurement.
    """

    time_s: Any
    """(...) instant that the frame stands for."""
    joint_position: Any
    """(..., n) rad, policy order."""
    joint_velocity: Any
    """(..., n) rad/s."""
    joint_time_s: Any
    """(..., n) when each servo's sample was taken."""
    joint_valid: Any
    """(..., n) bool."""
    imu_quaternion: Any
    """(..., 4) wxyz, world <- IMU; the world's z is up, its yaw zero is arbitrary."""
    imu_angular_velocity: Any
    """(..., 3) rad/s, IMU frame."""
    imu_acceleration: Any
    """(..., 3) m/s^2 specific force, IMU frame: +9.81 along up at rest."""
    imu_time_s: Any
    """(...)."""
    imu_valid: Any
    """(...) bool."""
    foot_contact: Any
    """(..., feet) 0 or 1, in the order of `feet` in robot.yaml."""
    foot_time_s: Any
    """(...)."""
    foot_valid: Any
    """(...) bool."""

    @classmethod
    def measured(cls, time_s: Any, **values: Any) -> SensorFrame:
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

    def row(self, index: int) -> SensorFrame:
        """One simulation of a batch, without the leading dimension."""
        return SensorFrame(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def copy(self) -> SensorFrame:
        """A frame that does not share memory with this one (numpy arrays)."""
        return SensorFrame(**{f.name: np.array(getattr(self, f.name)) for f in dataclasses.fields(self)})


def hold_invalid(frame: SensorFrame, last: SensorFrame) -> SensorFrame:
    """Values of `last` where `frame` has no valid sample; times and validity flags stay those of each sample.

    An old sample keeps its old time, so that its age stays visible.
    """
    joint, imu, foot = frame.joint_valid, frame.imu_valid, frame.foot_valid
    if np.all(joint) and np.all(imu) and np.all(foot):
        return frame
    imu_rows, foot_rows = np.asarray(imu)[..., None], np.asarray(foot)[..., None]
    return dataclasses.replace(
        frame,
        joint_position=np.where(joint, frame.joint_position, last.joint_position),
        joint_velocity=np.where(joint, frame.joint_velocity, last.joint_velocity),
        joint_time_s=np.where(joint, frame.joint_time_s, last.joint_time_s),
        imu_quaternion=np.where(imu_rows, frame.imu_quaternion, last.imu_quaternion),
        imu_angular_velocity=np.where(imu_rows, frame.imu_angular_velocity, last.imu_angular_velocity),
        imu_acceleration=np.where(imu_rows, frame.imu_acceleration, last.imu_acceleration),
        imu_time_s=np.where(imu, frame.imu_time_s, last.imu_time_s),
        foot_contact=np.where(foot_rows, frame.foot_contact, last.foot_contact),
        foot_time_s=np.where(foot, frame.foot_time_s, last.foot_time_s),
    )


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


def select_rows(mask: Any, chosen: SensorFrame, other: SensorFrame) -> SensorFrame:
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

    def reset(self, force: Any, mask: Any = None) -> None:
        """Start rows afresh: closed where the force is above the middle of the band."""
        fresh = np.asarray(force) > 0.5 * (self.on_n + self.off_n)
        self.closed = fresh if mask is None else np.where(np.asarray(mask)[..., None], fresh, self.closed)

    def update(self, force: Any) -> Any:
        """Contacts (..., feet) 0.0 or 1.0 after seeing `force` (..., feet) N."""
        self.closed = np.where(self.closed, force > self.off_n, force > self.on_n)
        return self.closed.astype(np.float64)
