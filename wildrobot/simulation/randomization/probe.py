"""What randomization does in effect: every term read back from live robots, not from what was drawn for them.

Physics is read from the simulations' own model fields, sensors from the frames that they give, losses and delays from
a short motion, pushes from the velocity before and after one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import (
    heading_split,
    quat_conjugate,
    quat_multiply,
    quat_to_matrix,
    rotate,
    rotvec_between,
)
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.randomization.terms import IMU_DRIFT_TIME_S
from wildrobot.simulation.simulation import Simulation

Array = NDArray[np.float64]
TICKS = 20
SHAKE_RAD = 0.1
"""Joints are sent to either side of home in turn: every play is crossed."""
_NOISY_FRAMES = 4


@dataclass
class Probe:
    """Live robots after one reset: N rows, T ticks of motion."""

    sim: Simulation
    field: dict[str, Array]
    """Model fields right after the reset."""
    still: SensorFrame
    """Reading of the reset pose without noise."""
    position: Array
    acceleration: Array
    """The same reading without any error: joints (N, n) rad, torso frame (N, 3) m/s^2."""
    noisy: list[SensorFrame]
    """Readings of the same pose with noise."""
    frames: list[SensorFrame]
    """One per tick, without noise."""
    play: Array
    """(T, N, n) rad, how far each encoder is ahead of its link; NaN where the sample is lost."""
    closed: Array
    """(T, N, 4) switches, before contacts are lost."""
    late: Array
    """(T, N) s, action delay beyond that of the reset."""
    tilt: Array
    """(N, 2) rad, error of the fused roll and pitch at the reset."""
    drift: Array
    """(N, 2) rad, the same after the motion, less that at the reset."""
    yaw: Array
    """(N,) rad, of the IMU's world against the simulation's."""
    switch_factor: Array
    push: Array
    """(N, 3) m/s."""
    push_at: Array
    """(N,) s."""
    bumped: Array
    """geom_pos (N, geoms, 3) of robots that come down from the air."""


def take_probe(sim: Simulation) -> Probe:
    """Reset all robots, look at them, shake them, push them, and drop them."""
    spec, sensors, robots = sim.spec, sim._sensors, sim.robots
    everyone = np.arange(sim.num_envs)
    sim.reset()
    field = {name: np.array(values) for name, values in robots.field.items()}
    push_at = sim._push_at.copy()
    still = sim.frame(noise=False)
    position, quaternion, acceleration = sensors.joint_position, sensors.quaternion, sensors.acceleration
    noisy = [sim.frame() for _ in range(_NOISY_FRAMES)]
    tilt, yaw = _fusion_error(sim, still.imu_quaternion, quaternion)
    switch_factor = robots.switch_factor.copy()
    frames, play, closed, late = [], [], [], []
    for tick in range(TICKS):
        side = SHAKE_RAD if tick % 2 else -SHAKE_RAD
        sim.step(np.tile(spec.default_joint_pos + side, (sim.num_envs, 1)) + robots.encoder_offset)
        frame = sim.frame(noise=False)
        frames.append(frame)
        ahead = frame.joint_position - sensors.joint_position
        play.append(np.where(frame.joint_valid, ahead, np.nan))
        closed.append(sensors.switches.closed.copy())
        late.append(robots.field["actuator_delay"][:, 0] - field["actuator_delay"][:, 0])
    drift = _fusion_error(sim, frames[-1].imu_quaternion, sensors.quaternion)[0] - tilt
    before = np.array(sim.qvel[:, :3])
    if sim.randomization.push_speed_m_s > 0.0:
        sim._push_at[:] = sim._time
        sim._random_pushes()
    push = np.array(sim.qvel[:, :3]) - before
    qpos, qvel = sim.home(sim.num_envs)
    qpos[:, 2] += 0.05
    sim.reset(everyone, qpos, qvel)
    sim.step(np.tile(spec.default_joint_pos, (sim.num_envs, 1)))
    return Probe(
        sim, field, still, position, acceleration, noisy, frames, np.array(play), np.array(closed),
        np.array(late), tilt, drift, yaw, switch_factor, push, push_at, np.array(robots.field["geom_pos"]),
    )  # fmt: skip


def _fusion_error(sim: Simulation, measured: Array, torso: Array) -> tuple[Array, Array]:
    """Roll and pitch (N, 2) rad by which the measured orientation is wrong, world, and its yaw zero (N,)."""
    chip = quat_multiply(quat_multiply(sim.robots.floor, torso), sim.robots.imu_mount)
    wrong = quat_multiply(measured, quat_conjugate(chip))
    yaw, _ = heading_split(quat_to_matrix(wrong))
    tilt = quat_multiply(quat_conjugate(sim.robots.yaw_zero), wrong)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(wrong), 1))
    return rotvec_between(upright, tilt)[:, :2], yaw


# ---------------------------------------------------------------------- how each term is read


Kind = Literal["range", "deviation", "rate", "on"]


@dataclass(frozen=True)
class ReadBack:
    """How one field of `Randomization` shows: (N, ...) effective values of a probe."""

    name: str
    unit: str
    read: Callable[[Probe], Any]
    kind: Kind = "range"
    """range: every value lies within it; deviation: the root mean square is it; rate: the mean is it; on: yes or no."""
    error: Callable[[Simulation, Randomization], float] = lambda sim, asked: 0.0
    """By how much a value may be misread, where `asked` is asked for."""
    grid: Callable[[Simulation], float] = lambda sim: 0.0
    """Values come in multiples of this."""


def _nominal(sim: Simulation, field: str) -> Any:
    """The model's own value, whatever the simulation takes for it."""
    return operator.attrgetter(field)(sim.model)


def _ratio(field: str, at: Callable[[Simulation], Any]) -> Callable[[Probe], Any]:
    def read(probe: Probe) -> Any:
        index = at(probe.sim)
        return probe.field[field][(slice(None), *index)] / _nominal(probe.sim, field)[index]

    return read


def _joint_dofs(sim: Simulation) -> Any:
    return (sim.robots.joint_dofs,)


def _supply(probe: Probe) -> Array:
    robots, nominal = probe.sim.robots, [servo.nominal_voltage_v for servo in probe.sim.spec.servos]
    limit = probe.field["actuator_forcerange"][:, robots.actuators, 1]
    value: Array = nominal * limit / _nominal(probe.sim, "actuator_forcerange")[robots.actuators, 1]
    return value


def _gain(probe: Probe) -> Any:
    """Of the servo alone: torque per angle without what the supply does to it."""
    robots = probe.sim.robots
    torque = _ratio("actuator_gainprm", lambda sim: (sim.robots.actuators, 0))(probe)
    return torque * np.array([s.nominal_voltage_v for s in robots.spec.servos]) / _supply(probe)


def _mass(probe: Probe) -> Any:
    body = slice(1, None)  # the world has none
    mass = _ratio("body_mass", lambda sim: (body,))(probe)
    inertia = _ratio("body_inertia", lambda sim: (body,))(probe)
    return np.concatenate([mass[..., None], inertia], axis=-1)


def _torso_com(probe: Probe) -> Any:
    torso = probe.sim.robots.torso
    return probe.field["body_ipos"][:, torso] - _nominal(probe.sim, "body_ipos")[torso]


def _noise(name: str) -> Callable[[Probe], Any]:
    def read(probe: Probe) -> Any:
        return np.stack([getattr(f, name) - getattr(probe.still, name) for f in probe.noisy], axis=1)

    return read


def _joint_noise(name: str) -> Callable[[Probe], Any]:
    def read(probe: Probe) -> Any:
        """Two readings are rounded, each by up to half a count: that is taken off."""
        noise = _noise(name)(probe)
        counts = _counts(probe.sim, name) if probe.sim.randomization.quantise_joints else np.zeros(1)
        square = np.mean(noise**2, axis=(0, 1)) - counts**2 / 6.0
        return noise * np.sqrt(np.maximum(square, 0.0) / np.maximum(np.mean(noise**2, axis=(0, 1)), 1e-30))

    return read


def _counts(sim: Simulation, name: str) -> Array:
    unit = {"joint_position": "position_rad_per_count", "joint_velocity": "velocity_rad_s_per_count"}[name]
    return np.array([getattr(servo, unit) for servo in sim.spec.servos])


def _half_count(sim: Simulation, asked: Randomization) -> float:
    return 0.5 * float(_counts(sim, "joint_position").max()) if sim.randomization.quantise_joints else 0.0


def _hidden(name: str, deviation: str, counts: float) -> Callable[[Simulation, Randomization], float]:
    def error(sim: Simulation, asked: Randomization) -> float:
        """Noise of less than so many counts drowns in the rounding."""
        count = float(_counts(sim, name).max())
        drowns = 0.0 < getattr(asked, deviation) < counts * count
        return count if sim.randomization.quantise_joints and drowns else 0.0

    return error


def _whole_counts(probe: Probe) -> Any:
    counts = probe.frames[-1].joint_velocity / _counts(probe.sim, "joint_velocity")
    return np.abs(counts - np.round(counts)) < 1e-9


def _gyro_bias(probe: Probe) -> Any:
    """The robots are at rest at a reset."""
    return rotate(quat_to_matrix(probe.sim.spec.imu_mount), probe.still.imu_angular_velocity)


def _imu_mount(probe: Probe) -> Any:
    """Which turn about x and y explains what gravity and the soles do to the accelerometer."""
    seen = rotate(quat_to_matrix(probe.sim.spec.imu_mount), probe.still.imu_acceleration)
    wrong = probe.acceleration - seen
    middle = 0.5 * (probe.acceleration + seen)[:, 2]
    return np.stack([-wrong[:, 1] / middle, wrong[:, 0] / middle], axis=-1)


def _floor_tilt(probe: Probe) -> Any:
    gravity = probe.field["opt.gravity"]
    return np.arctan2(np.linalg.norm(gravity[:, :2], axis=-1), -gravity[:, 2])


def _drift(probe: Probe) -> Any:
    """Scaled from the length of the motion to the long run."""
    return probe.drift / np.sqrt(1.0 - np.exp(-2.0 * TICKS * probe.sim.spec.control_dt / IMU_DRIFT_TIME_S))


def _lost_contact(probe: Probe) -> Any:
    read = np.stack([frame.foot_contact for frame in probe.frames])
    return np.swapaxes(np.where(probe.closed, read < 0.5, np.nan), 0, 1)


def _bumps(probe: Probe) -> Any:
    return (_nominal(probe.sim, "geom_pos") - probe.bumped)[:, probe.sim.robots.foot_geoms, 2]


def _step(sim: Simulation) -> float:
    return float(sim.model.opt.timestep)


READ_BACKS = (
    ReadBack("friction", "", lambda p: p.field["geom_friction"][:, p.sim.robots.foot_geoms, 0]),
    ReadBack("mass_factor", "", _mass),
    ReadBack("torso_com_m", "m", _torso_com),
    ReadBack("gain_factor", "", _gain),
    ReadBack("voltage_v", "V", _supply),
    ReadBack("joint_friction_factor", "", _ratio("dof_frictionloss", _joint_dofs)),
    ReadBack("damping_factor", "", _ratio("dof_damping", _joint_dofs)),
    ReadBack("armature_factor", "", _ratio("dof_armature", _joint_dofs)),
    ReadBack("backlash_rad", "rad", lambda p: np.nanmax(p.play, axis=0) - np.nanmin(p.play, axis=0),
            error=lambda sim, asked: 2.0 * _half_count(sim, asked)),
    ReadBack("encoder_offset_rad", "rad", lambda p: p.still.joint_position - p.position, error=_half_count),
    ReadBack("action_delay_s", "s", lambda p: p.field["actuator_delay"][:, 0], grid=_step),
    ReadBack("action_jitter_s", "s", lambda p: p.late.T, grid=_step),
    ReadBack("joint_loss_rate", "", lambda p: np.stack([~f.joint_valid for f in p.frames], axis=1), "rate"),
    ReadBack("velocity_lag_s", "s", lambda p: p.field["sensor_delay"][:, p.sim.robots.velocity_sensors],
            grid=_step),
    ReadBack("joint_position_noise_rad", "rad", _joint_noise("joint_position"), "deviation",
            _hidden("joint_position", "joint_position_noise_rad", 0.6)),
    ReadBack("joint_velocity_noise_rad_s", "rad/s", _joint_noise("joint_velocity"), "deviation",
            _hidden("joint_velocity", "joint_velocity_noise_rad_s", 1.0)),
    ReadBack("quantise_joints", "", _whole_counts, "on"),
    ReadBack("gyro_noise_rad_s", "rad/s", _noise("imu_angular_velocity"), "deviation"),
    ReadBack("gyro_bias_rad_s", "rad/s", _gyro_bias,
            error=lambda sim, asked: 2.0 * asked.gyro_bias_rad_s[1] * asked.imu_mount_rad[1]),
    ReadBack("acceleration_noise_m_s2", "m/s²", _noise("imu_acceleration"), "deviation"),
    ReadBack("imu_tilt_rad", "rad", lambda p: p.tilt),
    ReadBack("imu_drift_rad", "rad", _drift, "deviation"),
    ReadBack("imu_mount_rad", "rad", _imu_mount, error=lambda sim, asked: asked.imu_mount_rad[1] ** 2),
    ReadBack("imu_age_s", "s", lambda p: np.stack([f.time_s - f.imu_time_s for f in p.frames], axis=1), grid=_step),
    ReadBack("random_yaw_zero", "rad", lambda p: p.yaw),
    ReadBack("foot_switch_factor", "", lambda p: p.switch_factor),
    ReadBack("contact_loss_rate", "", _lost_contact, "rate"),
    ReadBack("floor_tilt_rad", "rad", _floor_tilt),
    ReadBack("floor_bump_m", "m", _bumps),
    ReadBack("push_speed_m_s", "m/s", lambda p: np.linalg.norm(p.push, axis=-1)),
    ReadBack("push_interval_s", "s", lambda p: p.push_at),
)  # fmt: skip
"""One for every field of `Randomization`."""
