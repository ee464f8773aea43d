"""Routes of the gait library: a path, a speed and the ticks of the steps, to footholds beside the path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import is_moving
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.curves import rotation_2d, trapezoidal_progress
from wildrobot.training.reference.plan.footsteps import (
    LEFT,
    RIGHT,
    SIDE,
    Footstep,
    Rest,
    StepTiming,
    ZmpTravel,
    lay_feet,
)
from wildrobot.training.reference.plan.gait_planner import EdgeBearing, GaitPlan, GaitPlanner, Posture, Sways

Array = NDArray[np.float64]
_ONTO_EDGE_TICKS = 6  # for the wide stance foot of the first step to lean onto its edge


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
    steps: list[StepTiming]
    clearance_m: float
    walking: Array
    """(N,) from 0, standing at home, to 1, walking: height and lean of the pelvis."""
    period: tuple[int, int] | None = None
    """Ticks of the period that is wanted of an endless walk; without it the robot stands at both ends."""


class RoutePlanner:
    """Plans clips along routes, for one robot and style."""

    def __init__(self, spec: RobotSpec, style: GaitStyle) -> None:
        self.spec, self.style, self.dt = spec, style, spec.control_dt
        self.gait = GaitPlanner(spec)
        self._home_width = float(self.gait.home_soles[LEFT, 1])

    def plan(self, route: Route) -> PlannedClip:
        """The motion along a route, as a clip. World: the path begins (or its period does) at x = y = 0.

        Raises:
            UserError: a step is out of the legs' reach, or a joint outside its limits.
        """
        yaw = _integrate(route.yaw_rate, self.dt)
        path = np.stack(
            [
                _integrate(route.speed * np.cos(yaw), self.dt),
                _integrate(route.speed * np.sin(yaw), self.dt),
            ],
            axis=-1,
        )
        clip = self.gait.plan(self._gait_plan(route, path, yaw))
        source = f"gait library: {route.name}"
        clip = clip.part(
            slice(None), route.name, source, path[0 if route.period is None else route.period[0]]
        )
        clip.check(self.spec)
        return clip

    def _gait_plan(self, route: Route, path: Array, yaw: Array) -> GaitPlan:
        style, steps, count = self.style, route.steps, len(path)
        first, last = steps[0], steps[-1]
        cadence = steps[1].lift - first.lift
        rest, sways, on_edges = None, None, np.ones(count)
        if route.period is None:
            rest = Rest(
                forward_m=self.gait.home_forward_m,
                settled=last.land + cadence,
                load_before=[(first.lift - cadence // 2, 0.5)],
                load_after=[(last.land + cadence // 3, 0.5)],
            )
            sways = Sways(
                self._sways(first, last, cadence, count),
                lifts=(first.lift, steps[2].lift),
                lands=(last.land, steps[-3].land),
            )
            knots = [first.lift, first.lift + _ONTO_EDGE_TICKS, last.land, last.land + 1]
            on_edges = np.interp(np.arange(count), knots, [0.0, 1.0, 1.0, 0.0])
        width = style.half_width_m if rest is None else self._home_width
        soles = np.array([_foothold(path, yaw, foot, 0.0, width) for foot in (LEFT, RIGHT)])
        zmp = ZmpTravel(style.zmp_forward_m, style.zmp_travel, style.longest_zmp_travel_m)
        return GaitPlan(
            name=route.name,
            feet=lay_feet(self._footsteps(route, path, yaw, soles), soles, yaw[0], count, zmp, rest),
            posture=self._posture(route, yaw, cadence),
            path=path,
            command=route.command,
            phase=route.phase,
            moving=np.asarray(is_moving(self.spec, route.command)),
            period=route.period,
            edges=EdgeBearing(style.edge_tilt_rad, on_edges),
            sways=sways,
        )

    def _footsteps(self, route: Route, path: Array, yaw: Array, soles: Array) -> list[Footstep]:
        """Footholds beside the path, and the swings from one to the next.

        Each foothold is where the path is in the middle of its stance, so inner steps of a turn are shorter.
        """
        style, at, footsteps = self.style, list(soles), []
        for i, step in enumerate(route.steps):
            following = route.steps[i + 1] if i + 1 < len(route.steps) else None
            width = style.half_width_m
            if route.period is None and following is None:
                # The last foot alone goes out to the width of the home stance.
                width = 2.0 * self._home_width - style.half_width_m
            middle = 0.5 * (following.lift + following.land) if following else len(path) - 1.0
            start, foothold = at[step.foot], _foothold(path, yaw, step.foot, middle, width)
            at[step.foot] = foothold
            ticks = step.land - step.lift
            u = np.arange(ticks + 1) / ticks
            # Early in the swing the leg is still behind and the ankle most bent.
            bump = np.sin(np.pi * np.minimum(u / style.toe_down_end, 1.0)) ** 2
            length = 0.5 * float(np.linalg.norm(foothold - start))
            footsteps.append(
                Footstep(
                    step.foot,
                    step.lift,
                    step.land,
                    foothold,
                    heading=_at(yaw, middle),
                    progress=trapezoidal_progress(u, style.swing_ramp),
                    rise=route.clearance_m * np.sin(np.pi * u**style.lift_exponent) ** 2,
                    pitch=style.toe_down_rad_per_m_s * length / (self.dt * ticks) * bump,
                )
            )
        return footsteps

    def _posture(self, route: Route, yaw: Array, cadence: int) -> Posture:
        """Upright but for a lean towards the stance foot, and lower while walking."""
        step = route.steps[0]
        mid_swing = 0.5 * np.pi * (step.land - step.lift) / cadence
        high, low = self.spec.standing_height, self.style.hip_height_m + self.spec.leg.hip_drop
        return Posture(
            yaw=yaw,
            height=high + route.walking * (low - high),
            roll=self.style.roll_amplitude_rad * np.cos(route.phase - mid_swing) * route.walking,
            waist=np.zeros(len(yaw)),
        )

    @staticmethod
    def _sways(first: StepTiming, last: StepTiming, cadence: int, count: int) -> Array:
        """Shapes (3, N, 2) of load swinging to and fro: two before the first step and one after the last."""
        begins = (first.lift - 2 * cadence, first.lift - cadence, last.land)
        sways = []
        for begin, foot in zip(begins, (1 - first.foot, first.foot, last.foot), strict=True):
            bump = np.interp((np.arange(count) - begin) / cadence, [0.0, 0.2, 0.8, 1.0], [0.0, 1.0, 1.0, 0.0])
            sways.append(np.stack([bump, -bump], axis=-1) * SIDE[foot])
        return np.array(sways)


def _foothold(path: Array, yaw: Array, foot: int, tick: float, half_width: float) -> Array:
    """Sole point (2,) m beside the path at a tick."""
    centre = np.array([_at(path[:, i], tick) for i in range(2)])
    return np.asarray(centre + rotation_2d(_at(yaw, tick)) @ np.array([0.0, SIDE[foot] * half_width]))


def _at(values: Array, tick: float) -> float:
    return float(np.interp(tick, np.arange(len(values)), values))


def _integrate(rate: Array, dt: float) -> Array:
    return np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1])) * dt])
