"""Plans a walk along a route: footholds beside the path, a ZMP over the feet, the body above it, the legs between.

Zero-moment point (ZMP): it dwells on the stance foot, travels along it from heel to toe, and passes over to the other
foot in double support. The body follows as a pendulum (`lipm.py`), corrected by the inverse dynamics of the whole robot
until the planned motion really has that ZMP. The robot has no ankle roll: a sole leans sideways with its leg, and the
ZMP is put where such a sole bears on the floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.command import is_moving
from wildrobot.runtime.rotations import (
    quat_conjugate,
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
)
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.leg_ik import LegIK
from wildrobot.training.reference.lipm import GRAVITY, Carry, pendulum_motion
from wildrobot.training.reference.whole_body import WholeBody

Array = NDArray[np.float64]
LEFT, RIGHT = 0, 1
_SIDE = (1.0, -1.0)
_PAD = 2  # ticks planned beyond both ends of a periodic motion, for the derivatives
_ITERATIONS = 20
_CONVERGED_M = 3e-4  # largest distance between the wanted ZMP and that of the planned motion
_LEG_MASS_FACTOR = (
    1.2  # the pelvis must move further than the centre of mass: a third of the mass is in the legs
)
_ONTO_EDGE_TICKS = 6  # for the wide stance foot of the first step to lean onto its edge
_BEARING_STEP = (
    0.4  # relaxation of the ZMP towards the bearing edge of the sole, which itself depends on the sway
)


@dataclass(frozen=True)
class GaitStyle:
    """How the robot steps. The defaults were chosen for the least torque beyond what the servos can give at 0.3 m/s."""

    double_support: float = 0.15
    """Share of a step during which both feet carry."""
    half_width_m: float = 0.07
    """Distance of the walking footholds from the path."""
    zmp_forward_m: float = 0.015
    """How far before the sole point the ZMP lies in the middle of a stance."""
    zmp_travel: float = 0.9
    """Way of the ZMP along the stance foot, heel to toe, as a share of the step length."""
    longest_zmp_travel_m: float = 0.07
    """Limit of that way, so that the ZMP stays on the sole."""
    roll_amplitude_rad: float = 0.06
    """Lean of the pelvis towards the stance foot."""
    edge_tilt_rad: float = 0.02
    """Sideways tilt of the sole at which it bears on one edge only."""
    swing_ramp: float = 0.36
    """Share of the swing spent on speeding up, and again on slowing down, of the foot's forward motion."""
    lift_exponent: float = 1.16
    """Above 1 the swing foot is highest after the middle of its swing, below 1 before."""
    toe_down_rad_per_m_s: float = 0.35
    """Pitch of the swing foot, toes down, soon after it has left the floor, per forward speed."""
    toe_down_end: float = 0.4
    """Share of the swing after which the foot is level again."""
    hip_height_m: float = 0.39
    """Hip pitch axis over the floor while walking: lower costs torque, higher costs knee speed."""


@dataclass(frozen=True)
class Step:
    """One swing: `foot` is in the air between the ticks `lift` and `land`."""

    foot: int
    lift: int
    land: int


@dataclass
class Route:
    """What is walked, tick by tick: (N,) forward speed m/s and yaw rate rad/s of the path, and the steps taken."""

    name: str
    speed: Array
    yaw_rate: Array
    command: Array
    """(N, 2) command that this motion answers; it may jump where the motion cannot."""
    phase: Array
    """(N,) rad."""
    steps: list[Step]
    clearance_m: float
    walking: Array
    """(N,) 0 standing at home .. 1 walking: pelvis height and roll, width of the footholds."""
    period: tuple[int, int] | None = None
    """Ticks of the period that is wanted of an endless walk; without it the robot stands at both ends."""


@dataclass
class _Feet:
    """Planned feet, (N, 2) each: sole points (N, 2, 3) with z the height of the lowest point, pitch rad, share of the
    weight, point along the foot that bears (m before the sole point), and whether the foot is in the air. `push` (3, N, 2)
    are the shapes of three swings of the load between the feet: two before the first step, which start the body swaying,
    and one after the last, which stops it."""

    sole: Array
    pitch: Array
    load: Array
    forward: Array
    airborne: NDArray[np.bool_]
    push: Array

    def part(self, ticks: slice) -> _Feet:
        """Some of the ticks, without the beginning."""
        parts = {name: values[ticks] for name, values in vars(self).items() if name != "push"}
        return _Feet(**parts, push=np.zeros((0, *parts["load"].shape)))


class GaitPlanner:
    """Plans clips for one robot and style."""

    def __init__(self, spec: RobotSpec, style: GaitStyle) -> None:
        self.spec, self.style = spec, style
        self.ik = LegIK(spec)
        self.body = WholeBody(spec)
        self.dt = spec.control_dt
        home = self.ik.sole_points(spec.kinematics.foot_points(spec.default_joint_pos))
        self._home_half_width = float(home[LEFT, 1])
        self._home_forward = self.body.com_forward - float(home[LEFT, 0])
        self._omega = math.sqrt(GRAVITY / self.body.com_height)

    def plan(self, route: Route) -> PlannedClip:
        """The motion along a route, as a clip.

        Raises:
            UserError: a step is out of the legs' reach, or a joint outside its limits.
        """
        dt = self.dt
        yaw = _integrate(route.yaw_rate, dt)
        path = np.stack(
            [_integrate(route.speed * np.cos(yaw), dt), _integrate(route.speed * np.sin(yaw), dt)], axis=-1
        )
        feet = self._feet(route, path, yaw)
        walking, phase, command = route.walking, route.phase, route.command
        on_edges = np.ones(len(path))
        carry, turn_only, origin = None, None, path[0]
        if route.period is None:
            begin, end = route.steps[0].lift, route.steps[-1].land
            on_edges = np.interp(
                np.arange(len(path)), [begin, begin + _ONTO_EDGE_TICKS, end, end + 1], [0, 1, 1, 0]
            )
        if route.period is not None:
            first, last = route.period
            turn = _rotation(yaw[last] - yaw[first])
            carry, turn_only = Carry(turn, path[last] - turn @ path[first]), Carry(turn, np.zeros(2))
            origin = path[first]
            around = slice(first - _PAD, last + _PAD + 1)
            feet = feet.part(around)
            yaw, walking, on_edges, phase, command = (
                values[around] for values in (yaw, walking, on_edges, phase, command)
            )
        quat, height = self._posture(route, yaw, walking, phase)
        position, q = self._body_over(
            route.name, feet, yaw, quat, height, on_edges, route.steps, carry, turn_only
        )
        inside = slice(None) if route.period is None else slice(_PAD, -_PAD - 1)
        clip = PlannedClip(
            name=route.name,
            joint_position=q[inside],
            joint_velocity=_central(q, dt)[inside],
            root_position=(position - [*origin, 0.0])[inside],
            root_quaternion=quat[inside],
            root_linear_velocity=_central(position, dt)[inside],
            root_angular_velocity=_angular_velocity(quat, dt)[inside],
            contact=np.repeat(~feet.airborne, 2, axis=1)[inside],
            command=command[inside],
            phase=np.remainder(phase, 2.0 * np.pi)[inside],
            moving=np.asarray(is_moving(self.spec, command))[inside],
            loop=route.period is not None,
            source=f"gait library: {route.name}",
        )
        clip.check(self.spec)
        return clip

    def _posture(self, route: Route, yaw: Array, walking: Array, phase: Array) -> tuple[Array, Array]:
        """Pelvis orientation (N, 4) and height (N,): upright but for a lean towards the stance foot."""
        step = route.steps[0]
        mid_swing = 0.5 * np.pi * (step.land - step.lift) / (route.steps[1].lift - step.lift)
        roll = self.style.roll_amplitude_rad * np.cos(phase - mid_swing) * walking
        quat = quat_multiply(quat_from_yaw(yaw), quat_from_rotvec(roll[:, None] * np.array([1.0, 0.0, 0.0])))
        low = self.style.hip_height_m + self.spec.leg.hip_drop
        return quat, self.spec.standing_height + walking * (low - self.spec.standing_height)

    def _body_over(
        self,
        name: str,
        feet: _Feet,
        yaw: Array,
        quat: Array,
        height: Array,
        on_edges: Array,
        steps: list[Step],
        carry: Carry | None,
        turn: Carry | None,
    ) -> tuple[Array, Array]:
        """Pelvis position (N, 3) and joints (N, n) whose ZMP is where the feet bear.

        Standing on both feet the soles bear in their middle: the load shifts between the feet, not between edges.
        """
        rotation = quat_to_matrix(quat)
        inside = slice(None) if carry is None else slice(_PAD, -_PAD)
        bearing = np.zeros_like(feet.load)
        load = feet.load
        centre, _ = pendulum_motion(self._zmp(feet, yaw, bearing, load)[inside], self._omega, self.dt, carry)
        q = None
        for _ in range(_ITERATIONS):
            plane = centre if carry is None else carry.pad(centre, _PAD)
            position = np.concatenate([plane, height[:, None]], axis=-1)
            q = self._joints(name, position, rotation, feet, q)
            edge = on_edges[:, None] * self.body.bearing(rotation, q, self.style.edge_tilt_rad)
            bearing += _BEARING_STEP * (edge - bearing)
            if carry is None:
                load = self._swayed(feet, yaw, bearing, steps)
            error = (self._zmp(feet, yaw, bearing, load) - self.body.zmp(position, quat, q))[inside]
            if np.max(np.abs(error)) < _CONVERGED_M:
                break
            centre = centre + _LEG_MASS_FACTOR * pendulum_motion(error, self._omega, self.dt, turn)[0]
        assert q is not None
        return position, q

    def _zmp(self, feet: _Feet, yaw: Array, bearing: Array, load: Array) -> Array:
        """ZMP (N, 2): each foot's bearing point, `bearing` (N, 2) inward of its middle, by the load it carries."""
        point = feet.sole[..., :2].copy()
        for foot in (LEFT, RIGHT):
            forward, left = feet.forward[:, foot], -_SIDE[foot] * bearing[:, foot]
            point[:, foot, 0] += np.cos(yaw) * forward - np.sin(yaw) * left
            point[:, foot, 1] += np.sin(yaw) * forward + np.cos(yaw) * left
        return np.sum(load[..., None] * point, axis=1)

    def _swayed(self, feet: _Feet, yaw: Array, bearing: Array, steps: list[Step]) -> Array:
        """The load (N, 2) with `push` such that the body is at rest at the ends and sways evenly between.

        It is at rest before while its divergent component, a mean of the future ZMP that fades as exp(-omega t), is. At
        the first lift it shall be as far to the side as at the third, at the last landing as at the last but two.
        """
        weight = np.exp(-self._omega * self.dt * np.arange(len(yaw)))
        equations = []
        for load in (feet.load, *feet.push):
            sideways = self._zmp(feet, yaw, bearing, load)[:, 1:]
            sway = pendulum_motion(sideways, self._omega, self.dt)[0][:, 0]
            lifted, landed = (
                sway[steps[0].lift] - sway[steps[2].lift],
                sway[steps[-1].land] - sway[steps[-3].land],
            )
            equations.append([np.sum(weight * (sideways[:, 0] - sideways[0, 0])), lifted, landed])
        amount = np.clip(np.linalg.solve(np.array(equations[1:]).T, -np.array(equations[0])), 0.0, 0.5)
        return np.asarray(feet.load + np.tensordot(amount, feet.push, 1))

    def _joints(self, name: str, position: Array, rotation: Array, feet: _Feet, guess: Array | None) -> Array:
        """Joint positions (N, n) with each foot's lowest point at the height asked for."""
        target = feet.sole.copy()
        q = guess
        for _ in range(4):
            if q is not None:
                target[..., 2] += feet.sole[..., 2] - self.body.lowest_points(position, rotation, q)
            q = self.ik.solve(position, rotation, target, feet.pitch, name, q)
        assert q is not None
        return q

    def _feet(self, route: Route, path: Array, yaw: Array) -> _Feet:
        """Footholds beside the path, each where the path is in the middle of its stance, and the swings between."""
        style, count, ticks = self.style, len(path), np.arange(len(path))
        standing = route.period is None

        def foothold(foot: int, tick: float, half_width: float) -> Array:
            centre = np.array([np.interp(tick, ticks, path[:, i]) for i in range(2)])
            turn = _rotation(float(np.interp(tick, ticks, yaw)))
            return np.asarray(centre + turn @ np.array([0.0, _SIDE[foot] * half_width]))

        sole = np.zeros((count, 2, 3))
        width = self._home_half_width if standing else style.half_width_m
        sole[:, :, :2] = np.array([foothold(foot, 0.0, width) for foot in (LEFT, RIGHT)])
        pitch, airborne = np.zeros((count, 2)), np.zeros((count, 2), dtype=bool)
        load_knots: list[tuple[float, float]] = []
        push: list[Array] = []
        rest = [(0.0, self._home_forward)] if standing else []
        along: tuple[list[tuple[float, float]], ...] = (rest.copy(), rest.copy())
        for i, step in enumerate(route.steps):
            following = route.steps[i + 1] if i + 1 < len(route.steps) else None
            width = style.half_width_m
            if standing and following is None:  # the last foot alone goes out to the width of the home pose
                width = 2.0 * self._home_half_width - style.half_width_m
            middle = 0.5 * (following.lift + following.land) if following else count - 1.0
            target = foothold(step.foot, middle, width)
            start = sole[step.lift, step.foot, :2].copy()
            way = float(np.linalg.norm(target - start))
            swing = slice(step.lift, min(step.land + 1, count))
            u = (ticks[swing] - step.lift) / (step.land - step.lift)
            sole[swing, step.foot, :2] = start + _trapezoid(u, style.swing_ramp)[:, None] * (target - start)
            sole[swing, step.foot, 2] = route.clearance_m * np.sin(np.pi * u**style.lift_exponent) ** 2
            sole[swing.stop :, step.foot, :2] = target
            # Early in the swing the leg is still behind and the ankle most bent.
            bump = np.sin(np.pi * np.minimum(u / style.toe_down_end, 1.0)) ** 2
            pace = 0.5 * way / (self.dt * (step.land - step.lift))
            pitch[swing, step.foot] = style.toe_down_rad_per_m_s * pace * bump
            airborne[step.lift + 1 : step.land, step.foot] = True
            load_knots += [(step.lift, float(step.foot)), (step.land, float(step.foot))]
            travel = min(style.zmp_travel * 0.5 * way, style.longest_zmp_travel_m)
            along[1 - step.foot].append((step.lift, style.zmp_forward_m - 0.5 * travel))
            along[1 - step.foot].append((step.land, style.zmp_forward_m + 0.5 * travel))
        if standing:
            first, last = route.steps[0], route.steps[-1]
            shift = first.land - first.lift
            period = route.steps[1].lift - first.lift
            load_knots = [(first.lift - period // 2, 0.5), *load_knots, (last.land + 5, 0.5)]
            swings = (
                (first.lift - 2 * period, 1 - first.foot),
                (first.lift - period, first.foot),
                (last.land, last.foot),
            )
            for begin, foot in swings:
                bump = np.interp((ticks - begin) / period, [0.0, 0.2, 0.8, 1.0], [0.0, 1.0, 1.0, 0.0])
                push.append(np.stack([bump, -bump], axis=-1) * _SIDE[foot])
            for knots in along:
                knots.append((last.land + shift, self._home_forward))
        right_swings = np.interp(ticks, *np.array(load_knots).T)
        forward = np.stack([np.interp(ticks, *np.array(knots).T) for knots in along], axis=-1)
        return _Feet(
            sole,
            pitch,
            np.stack([right_swings, 1.0 - right_swings], axis=-1),
            forward,
            airborne,
            np.array(push),
        )


def _rotation(angle: float) -> Array:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _trapezoid(u: Array, ramp: float) -> Array:
    """Way 0..1 over time 0..1: speed rises and falls as sin^2 within `ramp`, constant between."""
    peak = 1.0 / (1.0 - ramp)

    def rise(v: Array) -> Array:
        return peak * (0.5 * v - ramp / (2.0 * np.pi) * np.sin(np.pi * v / ramp))

    middle = peak * (u - 0.5 * ramp)
    return np.asarray(np.where(u < ramp, rise(u), np.where(u > 1.0 - ramp, 1.0 - rise(1.0 - u), middle)))


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
    return np.asarray(
        np.where(sine > 1e-12, delta[:, 1:] / np.maximum(sine, 1e-12), 0.0) * angle / (2.0 * dt)
    )
