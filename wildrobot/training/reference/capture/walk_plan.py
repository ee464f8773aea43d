"""Footholds, headings and heights of a scaled walk, laid out for the step planner: a whole bout, or one
endless stride."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.capture.scaling import (
    Ease,
    MeanStride,
    RetargetConfig,
    Walk,
    hann_smooth,
    smoothstep,
    swing_course,
)
from wildrobot.training.reference.plan.stepping import (
    SIDE,
    Frames,
    PlannedStep,
    Posture,
    StepPlanner,
    ZmpShape,
    rotation_2d,
)

Array = NDArray[np.float64]
_TAU = 2.0 * math.pi
_REST_S = 1.0
"""Standing planned before the first and after the last step."""
_SHORTEST_SWING, _SHORTEST_STEP = 4, 6
"""Ticks: fewer cannot hold the course of a foot."""
_PERIODS = 4
"""Strides planned to cut an endless one out of."""


@dataclass(frozen=True)
class PlannedWalk:
    """Frames with what labels them, (N, ...)."""

    frames: Frames
    steps: tuple[PlannedStep, ...]
    command: Array
    phase: Array
    moving: NDArray[np.bool_]
    stretch: float
    """Factor on the person's Froude-scaled time."""
    step_factor: float
    """Length of the steps against the person's at the robot's scale."""


class WalkPlanner:
    """Plans walks for one robot."""

    def __init__(self, spec: RobotSpec, config: RetargetConfig) -> None:
        self.spec, self.config = spec, config
        self.dt = spec.control_dt
        zmp = ZmpShape(
            config.zmp_forward_m, config.zmp_travel, config.longest_zmp_travel_m, config.zmp_inset_m
        )
        self.stepper = StepPlanner(spec, zmp)
        self.home = self.stepper.ik.soles(spec.default_joint_pos)[:, :2]
        """(2, 2) m, sole points of the home pose: left, right."""
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
        first = walk.feet[0]
        places = np.array([[0.0, side * self.config.half_width_m] for side in SIDE])
        places[first, 0] = factor * walk.first_lead_m
        steps, middle = [], np.zeros(2)
        for i, foot in enumerate(walk.feet):
            axes = rotation_2d(float(yaw[land[i]])).T
            middle = middle + factor * walk.lead_m[i] * axes[0]
            target = middle + SIDE[foot] * (self.config.half_width_m + walk.side_m[i]) * axes[1]
            course = swing_course(walk.shapes[i], int(land[i] - lift[i]) + 1, ease.clearance_m, self.config)
            steps.append(PlannedStep(foot, int(lift[i]), int(land[i]), target, *course))
        knots = np.concatenate(
            [[lift[0] - rest // 2], np.stack([lift, land], -1).ravel(), [land[-1] + rest // 2]]
        )
        waist = hann_smooth(np.interp(ticks, knots, [0.0, *walk.twist_rad.ravel(), 0.0]), rest // 6)
        ramp = 2 * (steps[0].land - steps[0].lift)
        walking = smoothstep((ticks - lift[0] + ramp) / ramp) * smoothstep((land[-1] + ramp - ticks) / ramp)
        height = self.spec.standing_height + walking * (self._walking_height - self.spec.standing_height)
        phase = self._phase(ticks, steps)
        posture = Posture(yaw, height, waist)
        frames = self.stepper.plan(name, steps, places, posture, draft=draft)
        moving = (ticks >= lift[0] - round(0.5 * np.mean(np.diff(lift)))) & (ticks <= land[-1])
        command = self._command(frames, lift, yaw) * moving[:, None]
        phase = np.where(moving, np.remainder(phase, _TAU), 0.0)
        return PlannedWalk(frames, tuple(steps), command, phase, moving, stretch, factor)

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
        places = np.array([[0.0, side * self.config.half_width_m] for side in SIDE])
        steps, middle = [], 0.0
        for k in range(2 * _PERIODS):
            foot = k % 2
            middle += factor * float(stride.leads_m[foot])
            course = swing_course(stride.shapes[foot], air + 1, ease.clearance_m, self.config)
            target = np.array([middle, SIDE[foot] * self.config.half_width_m])
            steps.append(PlannedStep(foot, k * step, k * step + air, target, *course))
        count = _PERIODS * period + 1
        angle = np.arange(count) / period * _TAU
        waist = stride.twist_rad[0] * np.cos(angle) + stride.twist_rad[1] * np.sin(angle)
        height = np.full(count, self._walking_height)
        posture = Posture(np.zeros(count), height, waist)
        frames = self.stepper.plan(name, steps, places, posture, (period, 2 * period), draft)
        command = np.tile([speed, 0.0], (period, 1))
        phase = np.arange(period) / period * _TAU
        return PlannedWalk(frames, tuple(steps), command, phase, np.ones(period, dtype=bool), stretch, factor)

    def stand(self, name: str, twist: Array) -> PlannedWalk:
        """The home pose with the torso yaw `twist` (N,), rad."""
        count = len(twist)
        level = np.zeros(count)
        frames = self.stepper.plan(
            name, [], self.home, Posture(level, np.full(count, self.spec.standing_height), twist)
        )
        still = np.zeros(count, dtype=bool)
        return PlannedWalk(frames, (), np.zeros((count, 2)), np.zeros(count), still, 1.0, 1.0)

    def _phase(self, ticks: NDArray[np.int64], steps: list[PlannedStep]) -> Array:
        """Phase (N,), rad, not wrapped: a multiple of pi where a foot lifts, linear between and beyond."""
        lift = np.array([step.lift for step in steps])
        half_turn = steps[0].foot + np.arange(len(steps))
        pace = 1.0 / float(np.mean(np.diff(lift)))
        before, after = np.minimum(ticks - lift[0], 0), np.maximum(ticks - lift[-1], 0)
        return np.pi * (np.interp(ticks, lift, half_turn) + pace * (before + after))

    def _command(self, frames: Frames, lift: NDArray[np.int64], yaw: Array) -> Array:
        """Mean forward speed and turning rate (N, 2) of the stride around each tick."""
        begin, end = lift[:-2], lift[2:]
        angle, seconds = yaw[(begin + end) // 2], (end - begin) * self.dt
        way = frames.root_position[end, :2] - frames.root_position[begin, :2]
        speed = (way[:, 0] * np.cos(angle) + way[:, 1] * np.sin(angle)) / seconds
        rate = (yaw[end] - yaw[begin]) / seconds
        ticks = np.arange(len(yaw))
        return np.stack([np.interp(ticks, 0.5 * (begin + end), values) for values in (speed, rate)], axis=-1)
