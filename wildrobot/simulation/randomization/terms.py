"""The terms of the randomization: what each range, amplitude or rate does to the rows of a live simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import (
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
    rotate_inverse,
)
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.robot_rows import RobotRows

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
IMU_DRIFT_TIME_S = 20.0
SOLE_CLEARANCE_M = 0.004
"""A bump is drawn while the sole is this far above the highest one: the other edge of a tilted sole is clear, too."""


@dataclass(frozen=True)
class ResetTerm:
    """A field of `Randomization` that is drawn when a robot starts: (k, *shape) values put into its rows."""

    name: str
    shape: Callable[[RobotRows], tuple[int, ...]]
    apply: Callable[[RobotRows, Rows, Array], None]
    """Changes the (nominal) rows by the drawn values."""
    to_any_side: bool = False
    """The last value is no size but the direction in which it shows, -pi to pi."""


@dataclass(frozen=True)
class TickTerm:
    """A field of `Randomization` that is drawn every tick for all rows, if it is on."""

    name: str
    apply: Callable[[RobotRows, Any, np.random.Generator], None]
    """Takes the field's value and draws; each row counts with its own level."""


def _one(robots: RobotRows) -> tuple[int, ...]:
    return (1,)


def _joints(robots: RobotRows) -> tuple[int, ...]:
    return (robots.spec.num_joints,)


# ---------------------------------------------------------------------- drawn at a reset


def _friction(robots: RobotRows, rows: Rows, value: Array) -> None:
    robots.field["geom_friction"][rows[:, None], robots.foot_geoms, 0] = value


def _mass(robots: RobotRows, rows: Rows, factor: Array) -> None:
    robots.field["body_mass"][rows] *= factor
    robots.field["body_inertia"][rows] *= factor[..., None]


def _torso_com(robots: RobotRows, rows: Rows, shift: Array) -> None:
    robots.field["body_ipos"][rows, robots.torso] += shift


def _of_dofs(name: str) -> Callable[[RobotRows, Rows, Array], None]:
    def apply(robots: RobotRows, rows: Rows, factor: Array) -> None:
        robots.field[name][rows[:, None], robots.joint_dofs] *= factor

    return apply


def _voltage(robots: RobotRows, rows: Rows, volts: Array) -> None:
    """torque = stall(V) * duty - (stall / no-load speed)(nominal) * speed, with stall(V) proportional to V."""
    factor = volts / np.array([servo.nominal_voltage_v for servo in robots.spec.servos])
    robots.voltage[rows] = factor
    robots.field["actuator_forcerange"][rows[:, None], robots.actuators] *= factor[..., None]


def _gain(robots: RobotRows, rows: Rows, factor: Array) -> None:
    """The servo's gain is duty per angle, so that its torque per angle follows the supply, which is drawn before."""
    gain = robots.voltage[rows] * factor
    robots.field["actuator_gainprm"][rows[:, None], robots.actuators, 0] *= gain
    robots.field["actuator_biasprm"][rows[:, None], robots.actuators, 1] *= gain


def _whole_steps(robots: RobotRows, seconds: Array) -> Array:
    dt = robots.model.opt.timestep
    value: Array = np.round(seconds / dt) * dt
    return value


def _action_delay(robots: RobotRows, rows: Rows, seconds: Array) -> None:
    robots.action_delay[rows] = _whole_steps(robots, seconds)
    robots.field["actuator_delay"][rows] = robots.action_delay[rows]


def _velocity_lag(robots: RobotRows, rows: Rows, seconds: Array) -> None:
    robots.field["sensor_delay"][rows[:, None], robots.velocity_sensors] = _whole_steps(robots, seconds)


def _into(name: str) -> Callable[[RobotRows, Rows, Array], None]:
    def apply(robots: RobotRows, rows: Rows, value: Array) -> None:
        getattr(robots, name)[rows] = value

    return apply


def _imu_mount(robots: RobotRows, rows: Rows, turn: Array) -> None:
    robots.imu_mount[rows] = quat_multiply(_tilt(turn), robots.imu_mount[rows])


def _yaw_zero(robots: RobotRows, rows: Rows, yaw: Array) -> None:
    robots.yaw_zero[rows] = quat_from_yaw(yaw)


def _floor_tilt(robots: RobotRows, rows: Rows, slope: Array) -> None:
    """Gravity leans instead of the floor, so that heights stay heights over the floor."""
    yaw = quat_from_yaw(slope[:, 1])
    lean = _tilt(np.stack([slope[:, 0], 0.0 * slope[:, 0]], axis=-1))
    floor = quat_multiply(yaw, quat_multiply(lean, yaw * [1.0, -1.0, -1.0, -1.0]))
    robots.floor[rows] = floor
    gravity = robots.field["opt.gravity"]
    gravity[rows] = rotate_inverse(quat_to_matrix(floor), gravity[rows])


def _tilt(roll_pitch: Array) -> Array:
    """Quaternion (k, 4) of a turn about x and y, (k, 2) rad."""
    value: Array = quat_from_rotvec(np.concatenate([roll_pitch, 0.0 * roll_pitch[:, :1]], axis=-1))
    return value


ROBOT_TERMS = (
    ResetTerm("friction", _one, _friction),
    ResetTerm("mass_factor", lambda robots: (robots.model.nbody,), _mass),
    ResetTerm("torso_com_m", lambda robots: (3,), _torso_com),
    ResetTerm("joint_friction_factor", _joints, _of_dofs("dof_frictionloss")),
    ResetTerm("armature_factor", _joints, _of_dofs("dof_armature")),
    ResetTerm("voltage_v", _one, _voltage),
    ResetTerm("gain_factor", _joints, _gain),
    ResetTerm("action_delay_s", _one, _action_delay),
    ResetTerm("encoder_offset_rad", _joints, _into("encoder_offset")),
    ResetTerm("gyro_bias_rad_s", lambda robots: (3,), _into("gyro_bias")),
    ResetTerm("imu_tilt_rad", lambda robots: (2,), _into("imu_tilt")),
    ResetTerm("random_yaw_zero", lambda robots: (), _yaw_zero),
    ResetTerm("foot_switch_factor", lambda robots: (robots.spec.num_feet,), _into("switch_factor")),
)
"""Drawn in this order, on or off (but for the yaw's zero)."""

MORE_ROBOT_TERMS = (
    ResetTerm("damping_factor", _joints, _of_dofs("dof_damping")),
    ResetTerm("backlash_rad", _joints, _into("backlash")),
    ResetTerm("velocity_lag_s", _joints, _velocity_lag),
    ResetTerm("imu_mount_rad", lambda robots: (2,), _imu_mount),
    ResetTerm("floor_tilt_rad", lambda robots: (2,), _floor_tilt, to_any_side=True),
)
"""Drawn from a second generator, so that a configuration without them gives the runs that it always gave."""


def randomize(
    robots: RobotRows,
    rows: Rows,
    randomization: Randomization,
    rng: np.random.Generator,
    second: np.random.Generator,
) -> None:
    """Draw all reset terms for `rows` (k,), which are nominal robots, and apply them."""
    for term in ROBOT_TERMS:
        limits = getattr(randomization, term.name)
        if limits is not False:
            term.apply(robots, rows, _draw(term, robots, len(rows), limits, rng))
    for term in MORE_ROBOT_TERMS:
        limits = getattr(randomization, term.name)
        values = _draw(term, robots, len(rows), limits, second)
        if limits != getattr(Randomization, term.name):
            term.apply(robots, rows, values)


def _draw(term: ResetTerm, robots: RobotRows, count: int, limits: Any, rng: np.random.Generator) -> Array:
    low, high = (-np.pi, np.pi) if limits is True else limits
    values = rng.uniform(low, high, (count, *term.shape(robots)))
    if term.to_any_side:
        values[:, -1] = rng.uniform(-np.pi, np.pi, count)
    return values


# ---------------------------------------------------------------------- drawn every tick


def _action_jitter(robots: RobotRows, longest: float, rng: np.random.Generator) -> None:
    more = longest * robots.level[:, None] * rng.uniform(size=robots.action_delay.shape)
    robots.field["actuator_delay"][:] = robots.action_delay + _fair_steps(robots, more, rng)


def _fair_steps(robots: RobotRows, seconds: Array, rng: np.random.Generator) -> Array:
    """Rounded up or down by chance, so that the mean is kept: a small level must not round to nothing."""
    dt = robots.model.opt.timestep
    value: Array = np.floor(seconds / dt + rng.uniform(size=seconds.shape)) * dt
    return value


def _imu_age(robots: RobotRows, limits: tuple[float, float], rng: np.random.Generator) -> None:
    age = robots.level * rng.uniform(*limits, robots.imu_age.shape)
    robots.imu_age = _fair_steps(robots, age, rng)
    robots.field["sensor_delay"][:, robots.imu_sensors] = robots.imu_age[:, None]


def _imu_drift(robots: RobotRows, deviation: float, rng: np.random.Generator) -> None:
    """Ornstein-Uhlenbeck process, exact at the tick."""
    kept = np.exp(-robots.spec.control_dt / IMU_DRIFT_TIME_S)
    step = rng.normal(0.0, deviation * np.sqrt(1.0 - kept * kept), robots.imu_drift.shape)
    robots.imu_drift = kept * robots.imu_drift + robots.level[:, None] * step


def _joint_loss(robots: RobotRows, rate: float, rng: np.random.Generator) -> None:
    robots.joint_lost = rng.uniform(size=robots.joint_lost.shape) < rate * robots.level[:, None]


def _contact_loss(robots: RobotRows, rate: float, rng: np.random.Generator) -> None:
    robots.contact_lost = rng.uniform(size=robots.contact_lost.shape) < rate * robots.level[:, None]


TICK_TERMS = (
    TickTerm("action_jitter_s", _action_jitter),
    TickTerm("imu_age_s", _imu_age),
    TickTerm("imu_drift_rad", _imu_drift),
    TickTerm("joint_loss_rate", _joint_loss),
    TickTerm("contact_loss_rate", _contact_loss),
)


def disturb(
    robots: RobotRows,
    randomization: Randomization,
    rng: np.random.Generator,
    foot_force: Array,
    sole_height: Array,
) -> None:
    """Draw what differs from tick to tick; `foot_force` (N, feet) N, `sole_height` (N, feet) m are the last tick's."""
    for term in TICK_TERMS:
        value = getattr(randomization, term.name)
        if value != getattr(Randomization, term.name):
            term.apply(robots, value, rng)
    if randomization.floor_bump_m[1] > 0.0:
        _bumps(robots, randomization.floor_bump_m, rng, foot_force, sole_height)


def _bumps(
    robots: RobotRows, limits: tuple[float, float], rng: np.random.Generator, force: Array, height: Array
) -> None:
    """What the floor rises under a corner of a sole the corner reaches down: no geometry is added."""
    robots.bump_due |= force > 0.0
    due = robots.bump_due & (height > limits[1] + SOLE_CLEARANCE_M)
    if not due.any():
        return
    row, corner = np.nonzero(due[:, robots.geom_switch])
    geom = robots.foot_geoms[corner]
    bump = robots.level[row] * rng.uniform(*limits, len(row))
    robots.field["geom_pos"][row, geom, 2] = robots.nominal["geom_pos"][geom, 2] - bump
    robots.bump_due &= ~due


def push_velocity(
    robots: RobotRows, rows: Rows, randomization: Randomization, rng: np.random.Generator
) -> Array:
    """Velocity changes (k, 3) m/s, world frame, of the pelvises of `rows` (k,)."""
    angle = rng.uniform(-np.pi, np.pi, rows.size)
    speed = robots.level[rows] * rng.uniform(0.0, randomization.push_speed_m_s, rows.size)
    value: Array = np.stack([speed * np.cos(angle), speed * np.sin(angle), 0.0 * angle], axis=-1)
    return value
