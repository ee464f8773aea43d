"""Footholds, headings and heights of a captured walk, laid out for the gait planner: a whole bout, or one endless
stride."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.capture.scaling import (
    Ease,
    MeanStride,
    RetargetConfig,
    Walk,
    hann_smooth,
    swing_course,
)
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.curves import rotation_2d, smoothstep
from wildrobot.training.reference.plan.footsteps import (
    RIGHT,
    SIDE,
    Footstep,
    Knots,
    Rest,
    ZmpTravel,
    lay_feet,
)
from wildrobot.training.reference.plan.gait_planner import GaitPlan, GaitPlanner, Posture

Array = NDArray[np.float64]
_TAU = 2.0 * math.pi
_REST_S = 1.0
"""Standing planned before the first and after the last step."""
_SHORTEST_SWING, _SHORTEST_STEP = 4, 6
"""Ticks: fewer cannot hold the course of a foot."""
_PERIODS = 4
"""Strides planned to cut an endless one out of."""
_PUSH_S = (0.08, 0.26, 0.34)
"""Times before the first lifting at which the load has left for the stance foot, has come, and begins to come."""
_PUSH_SHARE = 0.45
"""Share of the weight that the foot about to swing carries beyond its half."""


@dataclass(frozen=True)
class PlannedWalk:
    """A clip with what it is made of."""

    clip: PlannedClip
    steps: tuple[Footstep, ...]
    stretch: float
    """Factor on the person's Froude-scaled time."""
    step_factor: float
    """Length of the steps against the person's at the robot's scale."""


class WalkPlanner:
    """Plans walks for one robot."""

    def __init__(self, spec: RobotSpec, config: RetargetConfig) -> None:
        self.spec, self.config = spec, config
        self.dt = spec.control_dt
        self.gait = GaitPlanner(spec)
        self._zmp = ZmpTravel(config.zmp_forward_m, config.zmp_travel, config.longest_zmp_travel_m)
        self._walking_height = config.hip_height_m + spec.leg.hip_drop

    def bout(self, name: str, walk: Walk, ease: Ease, draft: bool = False) -> PlannedWalk:
        """A whole bout from standing to standing. A draft has the joint rates, but not yet the right sway.

        Raises:
            UserError: a foothold is out of the leg's reach.
        """
        stretch, factor = ease.stretch, ease.steps * min(1.0, self.config.max_speed_m_s / walk.speed_m_s)
        rest = round(_REST_S / self.dt)
        lift = rest + np.round(stretch * walk.lift_s / self.dt).astype(int)
        land = lift + np.maximum(np.round(stretch * walk.swing_s / self.dt).astype(int), _SHORTEST_SWING)
        ticks = np.arange(int(land[-1]) + rest)
        yaw = hann_smooth(np.interp(ticks, lift, walk.turn_rad), 2 * rest // 3)
        soles = self._side_by_side()
        soles[walk.feet[0], 0] = factor * walk.first_lead_m
        steps, middle = [], np.zeros(2)
        for i, foot in enumerate(walk.feet):
            heading = float(yaw[land[i]])
            axes = rotation_2d(heading).T
            middle = middle + factor * walk.lead_m[i] * axes[0]
            foothold = middle + SIDE[foot] * (self.config.half_width_m + walk.side_m[i]) * axes[1]
            course = swing_course(walk.shapes[i], int(land[i] - lift[i]) + 1, ease.clearance_m, self.config)
            steps.append(Footstep(foot, int(lift[i]), int(land[i]), foothold, heading, *course))
        knots = np.concatenate(
            [[lift[0] - rest // 2], np.stack([lift, land], -1).ravel(), [land[-1] + rest // 2]]
        )
        waist = hann_smooth(np.interp(ticks, knots, [0.0, *walk.twist_rad.ravel(), 0.0]), rest // 6)
        ramp = 2 * (steps[0].land - steps[0].lift)
        walking = smoothstep((ticks - lift[0] + ramp) / ramp) * smoothstep((land[-1] + ramp - ticks) / ramp)
        height = self.spec.standing_height + walking * (self._walking_height - self.spec.standing_height)
        moving = (ticks >= lift[0] - round(0.5 * np.mean(np.diff(lift)))) & (ticks <= land[-1])
        phase = np.where(moving, self._phase(ticks, steps), 0.0)
        plan = self._gait_plan(
            name, steps, soles, Posture(yaw, height, np.zeros(len(ticks)), waist), phase, moving
        )
        clip = self.gait.plan(plan, draft)
        clip = replace(clip, command=self._command(clip, lift, yaw) * moving[:, None])
        return PlannedWalk(clip, tuple(steps), stretch, factor)

    def cycle(
        self, name: str, stride: MeanStride, speed: float | None, ease: Ease, draft: bool = False
    ) -> PlannedWalk:
        """One stride of an endless walk at `speed` m/s; None: at the person's, as far as limit and easing
        allow.

        Raises:
            UserError: a foothold is out of the leg's reach.
        """
        # At a given speed more time means longer steps, which ask more of the joints: there the time is cut.
        stretch = ease.stretch if speed is None else 1.0 / ease.stretch
        step = max(round(stretch * stride.step_s / self.dt), _SHORTEST_STEP)
        period = 2 * step
        native = float(stride.leads_m.sum()) / (period * self.dt)
        if speed is None:
            speed = min(native, self.config.max_speed_m_s / stretch) * ease.steps
        factor = speed / native
        air = max(round(stride.swing_share * step), _SHORTEST_SWING)
        soles = self._side_by_side()
        steps, middle = [], 0.0
        for k in range(2 * _PERIODS):
            foot = k % 2
            middle += factor * float(stride.leads_m[foot])
            course = swing_course(stride.shapes[foot], air + 1, ease.clearance_m, self.config)
            foothold = np.array([middle, SIDE[foot] * self.config.half_width_m])
            steps.append(Footstep(foot, k * step, k * step + air, foothold, 0.0, *course))
        count = _PERIODS * period + 1
        angle = np.arange(count) / period * _TAU
        waist = stride.twist_rad[0] * np.cos(angle) + stride.twist_rad[1] * np.sin(angle)
        height, level = np.full(count, self._walking_height), np.zeros(count)
        phase, moving = np.arange(count) % period / period * _TAU, np.ones(count, dtype=bool)
        plan = self._gait_plan(
            name, steps, soles, Posture(level, height, level, waist), phase, moving, (period, 2 * period)
        )
        plan = replace(plan, command=np.tile([speed, 0.0], (count, 1)))
        return PlannedWalk(self.gait.plan(plan, draft), tuple(steps), stretch, factor)

    def stand(self, name: str, twist: Array) -> PlannedWalk:
        """The home pose with the torso yaw `twist` (N,), rad."""
        count = len(twist)
        level, still = np.zeros(count), np.zeros(count, dtype=bool)
        posture = Posture(level, np.full(count, self.spec.standing_height), level, twist)
        plan = self._gait_plan(name, [], self.gait.home_soles, posture, level, still)
        return PlannedWalk(self.gait.plan(plan), (), 1.0, 1.0)

    def _side_by_side(self) -> Array:
        """Sole points (2, 2) m of walking width."""
        return np.array([[0.0, side * self.config.half_width_m] for side in SIDE])

    def _gait_plan(
        self,
        name: str,
        steps: Sequence[Footstep],
        soles: Array,
        posture: Posture,
        phase: Array,
        moving: NDArray[np.bool_],
        period: tuple[int, int] | None = None,
    ) -> GaitPlan:
        """The plan of a walk from sole points `soles` (2, 2) m, with a zero command."""
        count = len(phase)
        rest = self._rest(steps) if period is None else None
        feet = lay_feet(steps, soles, float(posture.yaw[0]), count, self._zmp, rest)
        return GaitPlan(
            name=name,
            feet=feet,
            posture=posture,
            path=np.mean(feet.sole[..., :2], axis=1),
            command=np.zeros((count, 2)),
            phase=phase,
            moving=moving,
            period=period,
            inset_m=self.config.zmp_inset_m,
            spare_ankles=True,
        )

    def _rest(self, steps: Sequence[Footstep]) -> Rest:
        """Standing before and after the steps.

        The foot that will swing is loaded first: that throws the body towards the other one, which then need not carry
        it for long (anticipatory adjustment, Y. Breniere and M. C. Do, J. Biomechanics 1986). Stopping is the same
        backward in time.
        """
        if not steps:
            return Rest(self.gait.home_forward_m, 0, [(0.0, 0.5)], [])
        first, last = steps[0], steps[-1]
        before, after = (
            self._push(step, tick, sign)
            for step, tick, sign in ((first, first.lift, -1), (last, last.land, 1))
        )
        return Rest(self.gait.home_forward_m, int(after[-1][0]), before[::-1], after)

    def _push(self, step: Footstep, tick: int, sign: int) -> Knots:
        """Knots of the load on the left foot, from the `tick` of lifting backward (sign -1) or of landing on (1)."""
        loaded = 0.5 - _PUSH_SHARE if step.foot == RIGHT else 0.5 + _PUSH_SHARE
        at = [float(tick + sign * round(s / self.dt)) for s in _PUSH_S]
        return list(zip(at, (loaded, loaded, 0.5), strict=True))

    def _phase(self, ticks: NDArray[np.int64], steps: Sequence[Footstep]) -> Array:
        """Phase (N,), rad, not wrapped: a multiple of pi where a foot lifts, linear between and beyond."""
        lift = np.array([step.lift for step in steps])
        half_turn = steps[0].foot + np.arange(len(steps))
        pace = 1.0 / float(np.mean(np.diff(lift)))
        before, after = np.minimum(ticks - lift[0], 0), np.maximum(ticks - lift[-1], 0)
        return np.pi * (np.interp(ticks, lift, half_turn) + pace * (before + after))

    def _command(self, clip: PlannedClip, lift: NDArray[np.int64], yaw: Array) -> Array:
        """Mean forward speed and turning rate (N, 2) of the stride around each tick."""
        begin, end = lift[:-2], lift[2:]
        angle, seconds = yaw[(begin + end) // 2], (end - begin) * self.dt
        way = clip.root_position[end, :2] - clip.root_position[begin, :2]
        speed = (way[:, 0] * np.cos(angle) + way[:, 1] * np.sin(angle)) / seconds
        rate = (yaw[end] - yaw[begin]) / seconds
        ticks = np.arange(len(yaw))
        return np.stack([np.interp(ticks, 0.5 * (begin + end), values) for values in (speed, rate)], axis=-1)
