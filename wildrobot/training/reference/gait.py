"""The generated gait library: planned walking at every commanded speed, with starts, stops and turns.

A plan is a heading path, footholds beside it, a zero-moment-point (ZMP) that dwells on the stance foot and moves over
in double support, the pendulum motion above it, swing trajectories, and leg inverse kinematics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.rotations import quat_conjugate, quat_from_rotvec, quat_from_yaw, quat_multiply, quat_to_matrix
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.leg_ik import LegIK
from wildrobot.training.reference.lipm import GRAVITY, Carry, pendulum_motion
from wildrobot.training.reference.whole_body import WholeBody

Array = NDArray[np.float64]
LEFT, RIGHT = 0, 1
_SIDE = (1.0, -1.0)
_DYNAMICS_ITERATIONS = 15
_LEG_MASS_FACTOR = 1.2  # the pelvis must move further than the centre of mass: a third of the mass is in the legs
_PAD = 2  # ticks planned beyond both ends of a periodic motion, for the derivatives


@dataclass(frozen=True)
class GaitLibraryConfig:
    """What the library contains and how the robot steps."""

    speeds_m_s: tuple[float, ...] = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60)
    """Forward speeds of the steady gaits."""
    step_ticks: tuple[int, ...] = (18, 16, 20)
    """Durations of one step, in control ticks; the first one is used for starts, stops and turns."""
    clearances_m: tuple[float, ...] = (0.030, 0.038)
    """Heights of the swing foot's lowest point at mid-swing."""
    longest_step_m: float = 0.199
    """Steady gaits with longer steps than this are left out: the leg is too short for them."""
    double_support: float = 0.15
    """Share of a step during which both feet carry."""
    half_width_m: float = 0.07
    """Distance of the walking footholds from the heading path."""
    zmp_inset_m: float = 0.03
    """How far towards the other foot the ZMP lies from the stance foot's sole point."""
    zmp_forward_m: float = 0.015
    """How far before the sole point the ZMP lies in the middle of a stance."""
    toe_down_rad_per_m_s: float = 0.35
    """Pitch of the swing foot, toes down, soon after it has left the floor, per forward speed."""
    zmp_travel: float = 0.9
    """Way of the ZMP along the stance foot, heel to toe, as a share of the step length."""
    longest_zmp_travel_m: float = 0.07
    """Limit of that way, so that the ZMP stays on the sole."""
    roll_amplitude_rad: float = 0.05
    """Lean of the pelvis towards the stance foot."""
    edge_m: float = 0.038
    """Distance of the sole's edges from its middle."""
    edge_tilt_rad: float = 0.02
    """Sideways tilt of the sole at which it bears on one edge only."""
    swing_ramp: float = 0.36
    """Share of the swing spent on speeding up, and again on slowing down, of the foot's forward motion."""
    toe_rate: float = 2.5
    lift_exponent: float = 1.16
    """Below 1 the swing foot is highest before the middle of its swing."""
    hip_height_m: float = 0.39
    """Hip pitch axis over the floor while walking slowly."""
    fast_hip_height_m: float = 0.39
    """The same at the highest speed; between, in proportion to the square of the speed."""


@dataclass(frozen=True)
class Step:
    """One swing: `foot` is in the air between the ticks `lift` and `land`."""

    foot: int
    lift: int
    land: int


@dataclass
class _Feet:
    """Planned feet: sole points (N, 2, 3) with z the height of the lowest point, sole pitch (N, 2) rad, the share of
    the weight each carries (N, 2), where along the foot it bears (N, 2) m, and whether it is in the air (N, 2)."""

    sole: Array
    pitch: Array
    load: Array
    forward: Array
    airborne: NDArray[np.bool_]

    def part(self, ticks: slice) -> _Feet:
        return _Feet(self.sole[ticks], self.pitch[ticks], self.load[ticks], self.forward[ticks], self.airborne[ticks])


class GaitPlanner:
    """Plans clips for one robot and configuration."""

    def __init__(self, spec: RobotSpec, config: GaitLibraryConfig) -> None:
        self.spec, self.config = spec, config
        self.ik = LegIK(spec)
        self.body = WholeBody(spec)
        self.dt = spec.control_dt
        self.home_half_width = float(self.ik.sole_points(spec.kinematics.foot_points(spec.default_joint_pos))[0, 1])
        self.home_sole_x = float(self.ik.sole_points(spec.kinematics.foot_points(spec.default_joint_pos))[0, 0])

    # ------------------------------------------------------------------ clips

    def steady(self, speed: float, step_ticks: int, clearance: float, yaw_rate: float = 0.0) -> PlannedClip:
        """One stride of an endless walk at a constant command."""
        stride = 2 * step_ticks
        swing = step_ticks - round(self.config.double_support * step_ticks)
        steps = [Step(k % 2, k * step_ticks, k * step_ticks + swing) for k in range(8)]
        name = f"walk_v{speed:.2f}_w{yaw_rate:+.2f}_t{step_ticks}_c{round(1000 * clearance)}"
        command = np.tile([speed, yaw_rate], (4 * stride + 1, 1))
        return self._plan(name, command, steps, clearance, period=(stride, 2 * stride))

    def stand(self, seconds: float = 2.0) -> PlannedClip:
        """The home pose, still."""
        count = round(seconds / self.dt)
        still = np.zeros((count, 3))
        return PlannedClip(
            name="stand",
            joint_position=np.tile(self.spec.default_joint_pos, (count, 1)),
            joint_velocity=np.zeros((count, self.spec.num_joints)),
            root_position=np.tile([0.0, 0.0, self.spec.standing_height], (count, 1)),
            root_quaternion=np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
            root_linear_velocity=still,
            root_angular_velocity=still.copy(),
            contact=np.ones((count, self.spec.num_feet), dtype=bool),
            command=np.zeros((count, 2)),
            phase=np.zeros(count),
            moving=np.zeros(count, dtype=bool),
            loop=True,
            source="gait library: home pose",
        )

    # ------------------------------------------------------------------ the plan

    def _plan(
        self,
        name: str,
        command: Array,
        steps: list[Step],
        clearance: float,
        period: tuple[int, int] | None = None,
    ) -> PlannedClip:
        """The clip that walks `steps` at `command` (N, 2): from standing to standing, or the ticks of one `period`."""
        config, dt = self.config, self.dt
        yaw = _integrate(command[:, 1], dt)
        path = np.stack(
            [_integrate(command[:, 0] * np.cos(yaw), dt), _integrate(command[:, 0] * np.sin(yaw), dt)], axis=-1
        )
        feet = self._feet(path, yaw, steps, clearance, standing=period is None)
        phase = self._phase(len(command), steps)
        roll = self._roll(phase, steps)
        origin = path[0]
        carry, still = None, None
        if period is not None:
            first, last = period
            turn = _rotation(yaw[last] - yaw[first])
            carry = Carry(turn, path[last] - turn @ path[first])
            still = Carry(turn, np.zeros(2))
            origin = path[first]
            around = slice(first - _PAD, last + _PAD + 1)
            feet = feet.part(around)
            yaw, roll, phase, command = (x[around] for x in (yaw, roll, phase, command))
        count = len(command)
        share = min(1.0, (np.max(np.abs(command[:, 0])) / max(config.speeds_m_s)) ** 2)
        hip = config.hip_height_m + share * (config.fast_hip_height_m - config.hip_height_m)
        height = np.full((count, 1), hip + self.spec.leg.hip_drop)
        quat = quat_multiply(quat_from_yaw(yaw), quat_from_rotvec(roll[:, None] * np.array([1.0, 0.0, 0.0])))
        omega = math.sqrt(GRAVITY / self.body.com_height)
        unpad = slice(None) if period is None else slice(_PAD, -_PAD)
        bearing = np.full((count, 2), config.zmp_inset_m)
        centre, _ = pendulum_motion(self._zmp(feet, yaw, bearing)[unpad], omega, dt, carry)
        for _ in range(_DYNAMICS_ITERATIONS):
            position = np.concatenate([centre if carry is None else carry.pad(centre, _PAD), height], axis=-1)
            q = self._joints(name, position, quat, feet)
            bearing = 0.6 * bearing + 0.4 * self._bearing(quat, q)
            error = (self._zmp(feet, yaw, bearing) - self.body.zmp(position, quat, q))[unpad]
            correction, _ = pendulum_motion(error, omega, dt, still)
            centre = centre + _LEG_MASS_FACTOR * correction
        self.residual = error
        self.tilt_bearing = bearing
        inside = slice(None) if period is None else slice(_PAD, -_PAD - 1)
        clip = PlannedClip(
            name=name,
            joint_position=q[inside],
            joint_velocity=_central(q, dt)[inside],
            root_position=position[inside],
            root_quaternion=quat[inside],
            root_linear_velocity=_central(position, dt)[inside],
            root_angular_velocity=_angular_velocity(quat, dt)[inside],
            contact=np.repeat(~feet.airborne, 2, axis=1)[inside],
            command=command[inside],
            phase=phase[inside],
            moving=np.ones(count, dtype=bool)[inside],
            loop=period is not None,
            source=f"gait library: {name}",
        )
        clip.root_position[:, :2] -= origin
        return clip

    def _feet(self, path: Array, yaw: Array, steps: list[Step], clearance: float, standing: bool) -> _Feet:
        """Footholds beside the path, swings between them."""
        config, count = self.config, len(path)

        def foothold(foot: int, tick: float, half_width: float) -> Array:
            ticks = np.arange(count)
            centre = np.array([np.interp(tick, ticks, path[:, i]) for i in range(2)])
            return centre + _rotation(float(np.interp(tick, ticks, yaw))) @ np.array([0.0, _SIDE[foot] * half_width])

        width = self.home_half_width if standing else config.half_width_m
        sole = np.zeros((count, 2, 3))
        sole[:, :, :2] = np.array([foothold(foot, 0.0, width) for foot in (LEFT, RIGHT)])
        pitch = np.zeros((count, 2))
        airborne = np.zeros((count, 2), dtype=bool)
        knots: list[tuple[float, float]] = []
        bearing: tuple[list[tuple[float, float]], ...] = ([(0.0, 0.0)], [(0.0, 0.0)])
        for i, step in enumerate(steps):
            other = steps[i + 1] if i + 1 < len(steps) else None
            middle = 0.5 * (other.lift + other.land) if other else step.lift + 1.5 * (step.land - step.lift)
            target = foothold(step.foot, min(middle, count - 1), config.half_width_m)
            start = sole[step.lift, step.foot, :2].copy()
            stop = min(step.land + 1, count)
            u = np.arange(stop - step.lift) / (step.land - step.lift)
            sole[step.lift : stop, step.foot, :2] = start + _trapezoid(u, config.swing_ramp)[:, None] * (target - start)
            sole[step.lift : stop, step.foot, 2] = clearance * np.sin(np.pi * u**config.lift_exponent) ** 2
            sole[stop:, step.foot, :2] = target
            # early in the swing, when the leg is still behind and the ankle most bent
            bump = np.sin(np.pi * np.minimum(config.toe_rate * u, 1.0)) ** 2
            swing_speed = np.linalg.norm(target - start) / (self.dt * (step.land - step.lift)) * 0.5
            pitch[step.lift : stop, step.foot] = config.toe_down_rad_per_m_s * swing_speed * bump
            airborne[step.lift + 1 : step.land, step.foot] = True
            knots += [(step.lift, float(step.foot)), (step.land, float(step.foot))]
            travel = min(config.zmp_travel * 0.5 * float(np.linalg.norm(target - start)), config.longest_zmp_travel_m)
            bearing[1 - step.foot].extend([(step.lift, -0.5 * travel), (step.land, 0.5 * travel)])
        forward = np.stack([np.interp(np.arange(count), *np.array(b).T) for b in bearing], axis=-1)
        right_swings = np.interp(np.arange(count), [tick for tick, _ in knots], [foot for _, foot in knots])
        return _Feet(sole, pitch, np.stack([right_swings, 1.0 - right_swings], axis=-1), forward, airborne)

    def _zmp(self, feet: _Feet, yaw: Array, inset: Array) -> Array:
        """ZMP (N, 2): each foot's bearing point, `inset` (N, 2) inward of its sole point, by the load it carries."""
        point = feet.sole[..., :2].copy()
        for foot in (LEFT, RIGHT):
            forward = self.config.zmp_forward_m + feet.forward[:, foot]
            left = -_SIDE[foot] * inset[:, foot]
            point[:, foot, 0] += np.cos(yaw) * forward - np.sin(yaw) * left
            point[:, foot, 1] += np.sin(yaw) * forward + np.cos(yaw) * left
        return np.sum(feet.load[..., None] * point, axis=1)

    def _bearing(self, quat: Array, q: Array) -> Array:
        """How far inward of its sole point (N, 2) each foot bears on the floor: its lower edge, or between if level."""
        _, foot = self.spec.kinematics.sole_frames(q)
        tilt = (quat_to_matrix(quat)[:, None] @ foot)[..., 2, 1]  # rise of the foot's left edge
        inner_low = tilt * np.array(_SIDE)
        edge = self.config.edge_m * np.tanh(inner_low / self.config.edge_tilt_rad)
        return edge + 0.0

    def _roll(self, phase: Array, steps: list[Step]) -> Array:
        """Roll of the pelvis (N,), towards the stance foot in the middle of a swing."""
        middle = np.pi * 0.5 * (steps[0].land - steps[0].lift) / (steps[1].lift - steps[0].lift)
        return self.config.roll_amplitude_rad * np.cos(phase - middle)

    def _joints(self, name: str, position: Array, quat: Array, feet: _Feet) -> Array:
        """Joint positions (N, n) with each foot's lowest point at the height sole[..., 2]."""
        rotation = quat_to_matrix(quat)
        target = feet.sole.copy()
        for _ in range(4):
            q = self.ik.solve(position, rotation, target, feet.pitch, name)
            target[..., 2] += feet.sole[..., 2] - self.body.lowest_points(position, rotation, q)
        return q

    def _phase(self, count: int, steps: list[Step]) -> Array:
        starts = np.array([step.lift for step in steps], dtype=float)
        half_turns = steps[0].foot + np.arange(len(steps))
        ticks = np.arange(count)
        rate = 1.0 / (starts[1] - starts[0])
        phase = np.interp(ticks, starts, half_turns, left=np.nan, right=np.nan)
        phase = np.where(ticks < starts[0], half_turns[0] + (ticks - starts[0]) * rate, phase)
        phase = np.where(ticks > starts[-1], half_turns[-1] + (ticks - starts[-1]) * rate, phase)
        return np.remainder(np.pi * phase, 2.0 * np.pi)


def build_gait_library(spec: RobotSpec, config: GaitLibraryConfig | None = None) -> list[PlannedClip]:
    """All clips of the library."""
    config = config or GaitLibraryConfig()
    planner = GaitPlanner(spec, config)
    clips = [planner.stand()]
    for ticks in config.step_ticks:
        for clearance in config.clearances_m:
            speeds = [v for v in config.speeds_m_s if v * ticks * spec.control_dt <= config.longest_step_m]
            clips += [planner.steady(speed, ticks, clearance) for speed in speeds]
    for clip in clips:
        clip.check(spec)
    return clips


def _rotation(angle: float) -> Array:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _trapezoid(u: Array, ramp: float) -> Array:
    """Way 0..1 over time 0..1: speed rises and falls as sin^2 within `ramp`, constant between."""
    peak = 1.0 / (1.0 - ramp)

    def rise(v: Array) -> Array:
        return peak * (0.5 * v - ramp / (2.0 * np.pi) * np.sin(np.pi * v / ramp))

    return np.where(
        u < ramp, rise(u), np.where(u > 1.0 - ramp, 1.0 - rise(1.0 - u), peak * (u - 0.5 * ramp))
    )


def _integrate(rate: Array, dt: float) -> Array:
    return np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1])) * dt])


def _central(values: Array, dt: float) -> Array:
    """Derivative of samples (N, k): central differences; the motion stands still beyond its ends."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[2:] - padded[:-2]) / (2.0 * dt)


def _angular_velocity(quat: Array, dt: float) -> Array:
    """World angular velocity (N, 3) of quaternions (N, 4), between the neighbours of each sample."""
    padded = np.concatenate([quat[:1], quat, quat[-1:]])
    delta = quat_multiply(padded[2:], quat_conjugate(padded[:-2]))
    delta = delta * np.sign(delta[:, :1])
    sine = np.linalg.norm(delta[:, 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, delta[:, :1])
    return np.where(sine > 1e-12, delta[:, 1:] / np.maximum(sine, 1e-12), 0.0) * angle / (2.0 * dt)
