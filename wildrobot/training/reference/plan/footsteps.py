"""Where the feet of a planned walk are, and what each of them carries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEFT, RIGHT = 0, 1
SIDE = (1.0, -1.0)
"""Sign of y on the left and on the right."""


@dataclass(frozen=True)
class GaitStyle:
    """How the robot steps.

    The defaults were searched for the least torque beyond what the servos give at 0.3 m/s, and chosen so that
    the plan, played open loop into the simulation, is followed best.
    """

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
    """What is walked, tick by tick."""

    name: str
    speed: Array
    """(N,) m/s along the path."""
    yaw_rate: Array
    """(N,) rad/s of the path and of the pelvis."""
    command: Array
    """(N, 2) command that this motion answers; it may jump where the motion cannot."""
    phase: Array
    """(N,) rad."""
    steps: list[Step]
    clearance_m: float
    walking: Array
    """(N,) from 0, standing at home, to 1, walking: height and lean of the pelvis."""
    period: tuple[int, int] | None = None
    """Ticks of the period that is wanted of an endless walk; without it the robot stands at both ends."""


@dataclass(frozen=True)
class HomeStance:
    """How the robot stands: half the distance of the sole points, and how far before them its centre of mass is, m."""

    half_width_m: float
    forward_m: float


@dataclass
class Feet:
    """Planned feet, tick by tick; the second axis is left, right."""

    sole: Array
    """(N, 2, 3) sole points, m, world; z is the height of the foot's lowest point."""
    pitch: Array
    """(N, 2) rad, positive with the toes down."""
    heading: Array
    """(N, 2) rad, world, for legs that can turn their feet: on the floor a foot keeps it."""
    load: Array
    """(N, 2) share of the weight."""
    forward: Array
    """(N, 2) m, where along the foot it bears, counted from the sole point."""
    airborne: NDArray[np.bool_]
    """(N, 2)."""
    sways: Array
    """(3, N, 2) shapes of load swinging to and fro: two before the first step, which start the
    body swaying from side to side, and one after the last, which stops it. None in an endless walk."""

    def part(self, ticks: slice) -> Feet:
        """Some of the ticks of an endless walk."""
        parts = {name: values[ticks] for name, values in vars(self).items() if name != "sways"}
        return Feet(**parts, sways=np.zeros((0, *parts["load"].shape)))


def plan_feet(route: Route, path: Array, yaw: Array, style: GaitStyle, home: HomeStance, dt: float) -> Feet:
    """Footholds beside the path (N, 2) m with heading `yaw` (N,) rad, and the swings from one to the next.

    Each foothold is where the path is in the middle of its stance, so inner steps of a turn are shorter.
    """
    count, ticks, standing = len(path), np.arange(len(path)), route.period is None

    def foothold(foot: int, tick: float, half_width: float) -> Array:
        centre = np.array([np.interp(tick, ticks, path[:, i]) for i in range(2)])
        turn = rotation_2d(float(np.interp(tick, ticks, yaw)))
        return np.asarray(centre + turn @ np.array([0.0, SIDE[foot] * half_width]))

    sole = np.zeros((count, 2, 3))
    width = home.half_width_m if standing else style.half_width_m
    sole[:, :, :2] = np.array([foothold(foot, 0.0, width) for foot in (LEFT, RIGHT)])
    pitch, airborne = np.zeros((count, 2)), np.zeros((count, 2), dtype=bool)
    heading = np.full((count, 2), yaw[0])
    rest = [(0.0, home.forward_m)] if standing else []
    forward_knots: tuple[list[tuple[float, float]], ...] = (rest.copy(), rest.copy())
    for i, step in enumerate(route.steps):
        following = route.steps[i + 1] if i + 1 < len(route.steps) else None
        width = style.half_width_m
        if standing and following is None:  # the last foot alone goes out to the width of the home stance
            width = 2.0 * home.half_width_m - style.half_width_m
        middle = 0.5 * (following.lift + following.land) if following else count - 1.0
        start, target = sole[step.lift, step.foot, :2].copy(), foothold(step.foot, middle, width)
        swing = slice(step.lift, min(step.land + 1, count))
        u = (ticks[swing] - step.lift) / (step.land - step.lift)
        progress = _trapezoid(u, style.swing_ramp)
        sole[swing, step.foot, :2] = start + progress[:, None] * (target - start)
        sole[swing, step.foot, 2] = route.clearance_m * np.sin(np.pi * u**style.lift_exponent) ** 2
        sole[swing.stop :, step.foot, :2] = target
        turned = float(np.interp(middle, ticks, yaw)) - heading[step.lift, step.foot]
        heading[swing, step.foot] = heading[step.lift, step.foot] + progress * turned
        heading[swing.stop :, step.foot] = heading[swing.stop - 1, step.foot]
        airborne[step.lift + 1 : step.land, step.foot] = True
        step_length = 0.5 * float(np.linalg.norm(target - start))
        # Early in the swing the leg is still behind and the ankle most bent.
        bump = np.sin(np.pi * np.minimum(u / style.toe_down_end, 1.0)) ** 2
        pitch[swing, step.foot] = (
            style.toe_down_rad_per_m_s * step_length / (dt * (step.land - step.lift)) * bump
        )
        travel = min(style.zmp_travel * step_length, style.longest_zmp_travel_m)
        forward_knots[1 - step.foot].append((step.lift, style.zmp_forward_m - 0.5 * travel))
        forward_knots[1 - step.foot].append((step.land, style.zmp_forward_m + 0.5 * travel))
    load_knots = [(float(t), float(step.foot)) for step in route.steps for t in (step.lift, step.land)]
    sways: list[Array] = []
    if standing:
        first, last = route.steps[0], route.steps[-1]
        period = route.steps[1].lift - first.lift
        load_knots = [(first.lift - period // 2, 0.5), *load_knots, (last.land + period // 3, 0.5)]
        for knots in forward_knots:
            knots.append((last.land + period, home.forward_m))
        begins = (first.lift - 2 * period, first.lift - period, last.land)
        for begin, foot in zip(begins, (1 - first.foot, first.foot, last.foot), strict=True):
            bump = np.interp((ticks - begin) / period, [0.0, 0.2, 0.8, 1.0], [0.0, 1.0, 1.0, 0.0])
            sways.append(np.stack([bump, -bump], axis=-1) * SIDE[foot])
    on_left = np.interp(ticks, *np.array(load_knots).T)  # while the right foot swings the left one carries
    return Feet(
        sole=sole,
        pitch=pitch,
        heading=heading,
        load=np.stack([on_left, 1.0 - on_left], axis=-1),
        forward=np.stack([np.interp(ticks, *np.array(knots).T) for knots in forward_knots], axis=-1),
        airborne=airborne,
        sways=np.array(sways),
    )


def rotation_2d(angle: float) -> Array:
    """Rotation (2, 2) in the plane by `angle` rad."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _trapezoid(u: Array, ramp: float) -> Array:
    """Way 0..1 over time 0..1: speed rises and falls as sin^2 within `ramp`, constant between."""
    peak = 1.0 / (1.0 - ramp)

    def rise(v: Array) -> Array:
        return peak * (0.5 * v - ramp / (2.0 * np.pi) * np.sin(np.pi * v / ramp))

    middle = peak * (u - 0.5 * ramp)
    return np.asarray(np.where(u < ramp, rise(u), np.where(u > 1.0 - ramp, 1.0 - rise(1.0 - u), middle)))
