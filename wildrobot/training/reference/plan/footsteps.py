"""Footsteps: which foothold each swing leads to and when, and what follows tick by tick for both feet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Knots = list[tuple[float, float]]
"""(tick, value) pairs of a piecewise linear course."""
LEFT, RIGHT = 0, 1
SIDE = (1.0, -1.0)
"""Sign of y on the left and on the right."""


@dataclass(frozen=True)
class StepTiming:
    """When a foot swings: `foot` is in the air between the ticks `lift` and `land`."""

    foot: int
    lift: int
    land: int


@dataclass(frozen=True)
class Footstep(StepTiming):
    """A swing, the foothold where it ends, and its course over land - lift + 1 ticks."""

    foothold: Array
    """(2,) m, world: sole point."""
    heading: float
    """Of the foot on the foothold, rad, world, not wrapped: a full turn more is a turn more for the leg."""
    progress: Array
    """Share of the way from the last foothold to this one, 0 .. 1."""
    rise: Array
    """Height of the foot's lowest point over the floor, m; 0 at both ends."""
    pitch: Array
    """Elevation of the sole's heel-to-toe line, rad, positive with the toes down; 0 at both ends."""


@dataclass(frozen=True)
class ZmpTravel:
    """How the zero-moment point (ZMP) moves along a stance foot."""

    forward_m: float
    """Before the sole point, in the middle of a stance."""
    share: float
    """Way from heel to toe during a stance, as a share of the step length."""
    longest_m: float
    """Limit of that way, so that the point stays on the sole."""


@dataclass(frozen=True)
class Rest:
    """How a motion that begins and ends standing leads to its first swing and away from its last one."""

    forward_m: float
    """Where both feet bear while standing: before the sole point."""
    settled: int
    """Tick from which on they do so after the last step."""
    load_before: Knots
    """Share of the weight on the left foot before the first lift."""
    load_after: Knots
    """The same after the last landing."""


@dataclass(frozen=True)
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

    def part(self, ticks: slice) -> Feet:
        """Some of the ticks."""
        return Feet(**{name: values[ticks] for name, values in vars(self).items()})


def lay_feet(
    steps: Sequence[Footstep], soles: Array, yaw: float, count: int, zmp: ZmpTravel, rest: Rest | None
) -> Feet:
    """Both feet over `count` ticks, from the sole points `soles` (2, 2) m with heading `yaw` rad through the `steps`.

    The weight is on the stance foot during a swing and passes over linearly in double support. Without `rest` what
    comes before the first lift and after the last landing is no motion, only the rim of an endless walk.
    """
    ticks = np.arange(count)
    sole = np.zeros((count, 2, 3))
    sole[:, :, :2] = soles
    pitch, airborne = np.zeros((count, 2)), np.zeros((count, 2), dtype=bool)
    heading = np.full((count, 2), yaw)
    begin: Knots = [] if rest is None else [(0.0, rest.forward_m)]
    forward: tuple[Knots, Knots] = (begin.copy(), begin.copy())
    for step in steps:
        swing = slice(step.lift, min(step.land + 1, count))
        inside = slice(swing.stop - swing.start)
        start, progress = sole[step.lift, step.foot, :2].copy(), step.progress[inside]
        sole[swing, step.foot, :2] = start + progress[:, None] * (step.foothold - start)
        sole[swing, step.foot, 2] = step.rise[inside]
        sole[swing.stop :, step.foot, :2] = step.foothold
        pitch[swing, step.foot] = step.pitch[inside]
        turn = step.heading - heading[step.lift, step.foot]
        heading[swing, step.foot] = heading[step.lift, step.foot] + progress * turn
        heading[swing.stop :, step.foot] = heading[swing.stop - 1, step.foot]
        airborne[step.lift + 1 : step.land, step.foot] = True
        length = 0.5 * float(np.linalg.norm(step.foothold - start))
        travel = 0.5 * min(zmp.share * length, zmp.longest_m)
        forward[1 - step.foot].append((step.lift, zmp.forward_m - travel))
        forward[1 - step.foot].append((step.land, zmp.forward_m + travel))
    # While the right foot (1) swings, the left one carries all (1).
    on_left: Knots = [(float(tick), float(step.foot)) for step in steps for tick in (step.lift, step.land)]
    if rest is not None:
        on_left = [*rest.load_before, *on_left, *rest.load_after]
        for knots in forward:
            knots.append((rest.settled, rest.forward_m))
    left = _course(ticks, on_left)
    return Feet(
        sole=sole,
        pitch=pitch,
        heading=heading,
        load=np.stack([left, 1.0 - left], axis=-1),
        forward=np.stack([_course(ticks, knots) for knots in forward], axis=-1),
        airborne=airborne,
    )


def _course(ticks: NDArray[np.int64], knots: Knots) -> Array:
    return np.interp(ticks, *np.array(knots).T)
