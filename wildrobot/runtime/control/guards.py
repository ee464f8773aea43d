"""The guards: what they watch of the robot, at which levels of robot.yaml they warn and stop.

They read the SensorFrame itself and not the estimator, so that one fault cannot hide behind the other.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_to_matrix
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.robots.base import Health
from wildrobot.signal_path.sensor_frame import SensorFrame

DEBOUNCE_TICKS = 5
"""Ticks in a row above its stop level before a guard stops the robot; ages and counts do not wait."""


class Level(enum.IntEnum):
    """How far a guard has gone."""

    FINE = 0
    WARN = 1
    STOP = 2


class GuardReading(NamedTuple):
    """A guard's value on one tick, in the unit of its name; `level` is debounced."""

    name: str
    value: float
    level: Level


GUARDS = (
    "tilt_rad",
    "falling_rad",
    "tracking_error_rad",
    "joint_limit_rad",
    "joint_velocity_rad_s",
    "current_a",
    "temperature_c",
    "voltage_low_v",
    "voltage_high_v",
    "sample_age_s",
    "quaternion_norm_error",
    "missed_ticks_in_a_row",
    "hardware_errors",
    "policy_output_clips",
)
"""Every one needs its levels in robot.yaml; `.inf` switches one off, in the open."""
_IMMEDIATE = ("sample_age_s", "missed_ticks_in_a_row", "hardware_errors", "policy_output_clips")
_BELOW = ("voltage_low_v",)
FALL = ("tilt_rad", "falling_rad")
"""Guards that mean a fall: the torque goes at once, not after a crouch."""
FALL_AHEAD_S = 0.25
"""How far ahead `falling_rad` looks. A robot that is pushed over touches the floor about when its tilt has been above
1 rad for the debounce, under full torque; looked ahead so far, the torque is gone by then."""
POLICY_UNTRUSTED = ("sample_age_s", "quaternion_norm_error", "policy_output_clips")
"""Guards after which the policy must not be asked any more: what it would be shown, or what it says, is wrong."""


class Guards:
    """Judge every tick by the levels of robot.yaml."""

    def __init__(self, spec: RobotSpec) -> None:
        """Raises UserError: levels that make no sense (see `check_levels`)."""
        check_levels(spec)
        self._spec = spec
        self._lean = PelvisTilt(spec)
        self._limits = list(zip(spec.joint_lower.tolist(), spec.joint_upper.tolist(), strict=True))
        self._above = dict.fromkeys(GUARDS, 0)
        self._tilt = self._tilt_rate = math.nan
        self._tilt_time_s = -math.inf
        self._imu_last: list[list[float]] | None = None
        self._imu_changed_s = 0.0
        self._time_s = -math.inf
        self._stalled_s = 0.0
        self.stale_ticks = 0
        """Ticks in a row without a fresh sample of every sensor."""

    def check(
        self,
        frame: SensorFrame,
        health: Health,
        missed_in_a_row: int,
        driven: bool,
        target: NDArray[np.float64] | None = None,
        action: NDArray[Any] | None = None,
    ) -> tuple[list[GuardReading], list[str]]:
        """Readings of every guard, and the names of those at their stop level.

        `frame` (1, ...) is raw; `driven` says that the servos have full torque, without which a tracking
        error means nothing; `target` (1, n) rad is what they were given last, `action` (1, n) the policy's last
        answer, None while it is not asked.
        """
        now = float(frame.time_s[0])
        # A frame of no new time is the last one once more, however valid it says it is.
        if self._time_s < now < math.inf:
            self._time_s, self._stalled_s = now, 0.0
        else:
            self._stalled_s += self._spec.control_dt
        valid = frame.joint_valid.all() and frame.imu_valid.all() and frame.foot_valid.all()
        heard = self._imu_is_new(frame) and valid and not self._stalled_s
        self.stale_ticks = 0 if heard else self.stale_ticks + 1
        values = self._values(frame, health, missed_in_a_row, driven, target, action)
        readings = [self._judge(name, values[name]) for name in self._spec.guards]
        return readings, [reading.name for reading in readings if reading.level is Level.STOP]

    def _judge(self, name: str, value: float) -> GuardReading:
        guard, sign = self._spec.guards[name], (-1.0 if name in _BELOW else 1.0)
        # NaN: not measured. It is not above anything, so it neither warns nor stops.
        beyond = sign * value > sign * guard.stop
        self._above[name] = self._above[name] + 1 if beyond else 0
        if beyond and (name in _IMMEDIATE or self._above[name] >= DEBOUNCE_TICKS):
            return GuardReading(name, value, Level.STOP)
        return GuardReading(name, value, Level.WARN if sign * value > sign * guard.warn else Level.FINE)

    def _values(
        self,
        frame: SensorFrame,
        health: Health,
        missed: int,
        driven: bool,
        target: NDArray[np.float64] | None,
        action: NDArray[Any] | None,
    ) -> dict[str, float]:
        # in plain floats: for this few numbers, arrays would take several times as long
        position, angle = frame.joint_position[0].tolist(), self._lean(frame)
        error = 0.0
        if target is not None:
            error = _largest(abs(a - b) for a, b in zip(target[0].tolist(), position, strict=True))
        voltage = _known(health.voltage_v)
        return {
            "tilt_rad": angle,
            "falling_rad": angle + FALL_AHEAD_S * max(0.0, self._tilting(angle, float(frame.imu_time_s[0]))),
            # where a joint is that reads no number, nobody knows, driven or not
            "tracking_error_rad": error if driven or math.isinf(error) else 0.0,
            "joint_limit_rad": _largest(
                max(low - at, at - high) for at, (low, high) in zip(position, self._limits, strict=True)
            ),
            "joint_velocity_rad_s": _largest(map(abs, frame.joint_velocity[0].tolist())),
            "current_a": max(map(abs, _known(health.current_a)), default=math.nan),
            "temperature_c": max(_known(health.temperature_c), default=math.nan),
            "voltage_low_v": min(voltage, default=math.nan),
            "voltage_high_v": max(voltage, default=math.nan),
            "sample_age_s": self._age(frame),
            "quaternion_norm_error": _largest([abs(math.hypot(*frame.imu_quaternion[0].tolist()) - 1.0)]),
            "missed_ticks_in_a_row": float(missed),
            "hardware_errors": float(health.hardware_errors),
            "policy_output_clips": math.nan
            if action is None
            else _largest(abs(value) / self._spec.action_clip for value in action[0].tolist()),
        }

    def _tilting(self, angle: float, time_s: float) -> float:
        """How fast the tilt grows, rad/s, since the IMU's last sample; 0 while nobody knows."""
        if time_s > self._tilt_time_s:
            # two samples cannot be much closer than a tick, whatever their times say
            elapsed = max(time_s - self._tilt_time_s, 0.5 * self._spec.control_dt)
            self._tilt_rate = (angle - self._tilt) / elapsed
            self._tilt, self._tilt_time_s = angle, time_s
        return self._tilt_rate if math.isfinite(self._tilt_rate) else 0.0

    def _age(self, frame: SensorFrame) -> float:
        """Of the oldest sample, s. One that claims to come from the future is as wrong as one that is old."""
        now = float(frame.time_s[0])
        times = (*frame.joint_time_s[0].tolist(), float(frame.foot_time_s[0]), float(frame.imu_time_s[0]))
        return _largest(abs(now - time) for time in (*times, self._imu_changed_s)) + self._stalled_s

    def _imu_is_new(self, frame: SensorFrame) -> bool:
        # A frozen chip goes on answering with the same bits under new times: its age is that of its last
        # change. A sample that is the same to the last bit has not been measured anew, whatever time it
        # carries.
        parts = (frame.imu_quaternion, frame.imu_angular_velocity, frame.imu_acceleration)
        sample = [part[0].tolist() for part in parts]
        same = sample == self._imu_last
        if not same:
            self._imu_last = sample
            self._imu_changed_s = float(frame.imu_time_s[0])
        return not same


def check_levels(spec: RobotSpec) -> None:
    """Every guard has a warning and a stop level that make sense.

    Raises:
        UserError: those that do not, all of them.
    """
    found = [f"unknown guard {name}" for name in sorted(set(spec.guards) - set(GUARDS))]
    found += [f"no levels for {name}" for name in GUARDS if name not in spec.guards]
    for name in GUARDS:
        if name in spec.guards:
            guard, sign = spec.guards[name], (-1.0 if name in _BELOW else 1.0)
            if not sign * guard.warn <= sign * guard.stop:  # also true of NaN
                found.append(f"{name} warns at {guard.warn:g} and stops at {guard.stop:g}")
    if found:
        raise UserError(
            f"{spec.path}: {'; '.join(found)}. Give each of {', '.join(GUARDS)} a `warn` and, beyond it, a `stop` "
            "level; .inf switches one off."
        )


class PelvisTilt:
    """Angle between the pelvis's z axis and up, rad: 0 upright, pi upside down, NaN where the IMU gives no rotation.

    Only one vector, up, is turned from the IMU into the pelvis, and that in plain floats: for a single robot on every
    tick, arrays would take ten times as long.
    """

    def __init__(self, spec: RobotSpec) -> None:
        kinematics = spec.kinematics
        _, torso = kinematics.torso_frame(np.zeros(spec.num_joints))
        self._pelvis_imu = (torso @ quat_to_matrix(spec.imu_mount)).tolist()
        """(3, 3) pelvis <- IMU at the zero pose."""
        axes = kinematics.torso_axes().tolist()
        # from the torso down; each axis at the zero pose, where only the hinges above it have turned
        self._hinges = list(zip(kinematics.torso_joints, axes, strict=True))[::-1]

    def __call__(self, frame: SensorFrame) -> float:
        """Of a `frame` (1, ...); how long its quaternion is does not matter."""
        w, x, y, z = frame.imu_quaternion[0].tolist()
        # the last row of the quaternion's matrix, as long as the quaternion's square
        up = [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z]
        up = [row[0] * up[0] + row[1] * up[1] + row[2] * up[2] for row in self._pelvis_imu]
        for joint, axis in self._hinges:
            up = _turned(up, axis, float(frame.joint_position[0, joint]))
        across = math.hypot(up[0], up[1])
        # the angle by its cosine alone would be blind near upright and upside down
        return math.atan2(across, up[2]) if across or up[2] else math.nan


def _turned(vector: list[float], axis: list[float], angle: float) -> list[float]:
    """`vector` after a turn by `angle` (rad) about a unit `axis` (Rodrigues' formula)."""
    x, y, z = vector
    a, b, c = axis
    # an angle that is no number, or endless, makes a tilt that is no number
    cos, sin = (math.cos(angle), math.sin(angle)) if math.isfinite(angle) else (math.nan, math.nan)
    along = (a * x + b * y + c * z) * (1.0 - cos)
    return [
        cos * x + sin * (b * z - c * y) + along * a,
        cos * y + sin * (c * x - a * z) + along * b,
        cos * z + sin * (a * y - b * x) + along * c,
    ]


def _known(values: NDArray[np.float64]) -> list[float]:
    """Those of (n,) that are measured."""
    return [value for value in np.asarray(values).tolist() if not math.isnan(value)]


def _largest(values: Iterable[float]) -> float:
    """The largest; one that is not a number is as bad as can be, where NaN would pass for "not measured"."""
    values = list(values)
    largest = math.nan if any(map(math.isnan, values)) else max(values)
    return largest if math.isfinite(largest) else math.inf
