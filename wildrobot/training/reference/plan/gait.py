"""The generated gait library: planned walking at every speed, with starts, stops, turns and standing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.curves import smootherstep
from wildrobot.training.reference.plan.footsteps import StepTiming
from wildrobot.training.reference.plan.route import GaitStyle, Route, RoutePlanner

Array = NDArray[np.float64]
_STILL_TICKS = 12  # standing before a start
_SETTLE_TICKS = 50  # standing after a stop: the body comes to rest within it


@dataclass(frozen=True)
class GaitLibraryConfig(GaitStyle):
    """What the library contains, and how the robot steps."""

    speeds_m_s: tuple[float, ...] = (0.06, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40)
    """Forward speeds of the steady gaits."""
    step_ticks: tuple[int, ...] = (18, 16, 20)
    """Durations of one step, in control ticks; the first one is used for starts, stops and turns."""
    clearances_m: tuple[float, ...] = (0.030, 0.038)
    """Heights to which the swing foot's lowest point rises; the first one is used for starts, stops and turns."""
    longest_step_m: float = 0.199
    """Steady gaits with longer steps than this are left out: the ankle does not bend far enough for them."""
    fast_speeds_m_s: tuple[float, ...] = (0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65)
    """Forward speeds of the fast gaits: quicker steps, less double support, lower hip."""
    fast_step_ticks: tuple[int, ...] = (14, 15)
    fast_clearances_m: tuple[float, ...] = (0.025, 0.030)
    fast_double_support: float = 0.10
    fast_swing_ramp: float = 0.25
    fast_hip_height_m: float = 0.385
    fast_turn_speeds_m_s: tuple[float, ...] = (0.45, 0.55)
    turn_speeds_m_s: tuple[float, ...] = (0.0, 0.10, 0.20, 0.30, 0.40)
    """Forward speeds of the steady turns."""
    turn_rates_rad_s: tuple[float, ...] = (0.20, 0.40)
    """Yaw rates of the steady turns; each is planned to the left and mirrored to the right."""
    start_speeds_m_s: tuple[float, ...] = (0.10, 0.20, 0.30, 0.40)
    """Speeds to which the robot starts and from which it stops, with either foot first."""
    stand_s: float = 3.0
    """Length of the standing clips."""
    stand_sway_m: tuple[float, float, float] = (0.010, 0.008, 0.010)
    """Amplitudes of the pelvis in the swaying one: forward, sideways, down."""


def steady_gait(
    planner: RoutePlanner, speed: float, step_ticks: int, clearance: float, yaw_rate: float = 0.0
) -> PlannedClip:
    """One stride of an endless walk at a constant command, from the start of a left swing."""
    stride, strides = 2 * step_ticks, 4
    count = strides * stride + 1
    swing = step_ticks - round(planner.style.double_support * step_ticks)
    name = f"walk_v{speed:.2f}_t{step_ticks}_c{round(1000 * clearance)}"
    if yaw_rate:
        name = f"turn_v{speed:.2f}_w{yaw_rate:+.2f}_t{step_ticks}_c{round(1000 * clearance)}"
    return planner.plan(
        Route(
            name=name,
            speed=np.full(count, speed),
            yaw_rate=np.full(count, yaw_rate),
            command=np.tile([speed, yaw_rate], (count, 1)),
            phase=math.pi * np.arange(count) / step_ticks,
            steps=[StepTiming(k % 2, k * step_ticks, k * step_ticks + swing) for k in range(2 * strides)],
            clearance_m=clearance,
            walking=np.ones(count),
            period=(stride, 2 * stride),
        )
    )


def start_and_stop(
    planner: RoutePlanner, speed: float, step_ticks: int, clearance: float
) -> list[PlannedClip]:
    """From standing to `speed`, left foot first, and from `speed` to standing: two clips cut from one plan.

    The command jumps, and the gait clock starts with it at phase 0. The body first sways to the left and to
    the right over both feet; one stride after the command the left foot lifts, at phase 0 again. After the
    command to stop the robot takes a few more steps.
    """
    swing = step_ticks - round(planner.style.double_support * step_ticks)
    go = _STILL_TICKS
    stop = go + 9 * step_ticks
    steps = [
        StepTiming(k % 2, go + (k + 2) * step_ticks, go + (k + 2) * step_ticks + swing) for k in range(10)
    ]
    count = steps[-1].land + swing + _SETTLE_TICKS
    ticks = np.arange(count)
    rise = smootherstep((ticks - go - 1.5 * step_ticks) / (2.5 * step_ticks))
    fall = smootherstep((ticks - stop) / (2.0 * step_ticks))
    command = np.zeros((count, 2))
    command[go:stop, 0] = speed
    crouch = smootherstep((ticks - go) / (2 * step_ticks)) * (
        1.0 - smootherstep((ticks - steps[-1].land) / (2 * swing))
    )
    clip = planner.plan(
        Route(
            name="start_stop",
            speed=speed * rise * (1.0 - fall),
            yaw_rate=np.zeros(count),
            command=command,
            phase=np.maximum(0.0, math.pi * (ticks - go) / step_ticks),
            steps=steps,
            clearance_m=clearance,
            walking=crouch,
        )
    )
    middle = go + 7 * step_ticks
    suffix = f"_v{speed:.2f}_t{step_ticks}"
    parts = (("start", slice(0, middle)), ("stop", slice(middle, count)))
    return [_cut(clip, f"{kind}{suffix}_left", ticks) for kind, ticks in parts]


def standing(
    planner: RoutePlanner, seconds: float, sway: tuple[float, float, float], name: str
) -> PlannedClip:
    """Standing in the home pose, swaying with amplitudes `sway` (m: forward, sideways, down) over level soles."""
    spec, dt = planner.spec, planner.dt
    count = round(seconds / dt)
    angle = 2.0 * np.pi * np.arange(count) / count
    wave = np.stack([np.sin(2.0 * angle), np.sin(angle), 0.5 * (np.cos(2.0 * angle) - 1.0)], axis=-1)
    rate = np.stack([2.0 * np.cos(2.0 * angle), np.cos(angle), -np.sin(2.0 * angle)], axis=-1)
    position = np.array([0.0, 0.0, spec.standing_height]) + np.array(sway) * wave
    home = planner.gait.ik.soles(spec.default_joint_pos)
    feet = np.tile(home + np.array([0.0, 0.0, spec.standing_height]), (count, 1, 1))
    upright = np.broadcast_to(np.eye(3), (count, 3, 3))
    q = planner.gait.ik.solve(position, upright, feet, np.zeros((count, 2)), name)
    for _ in range(3):
        feet[..., 2] -= planner.gait.body.lowest_points(position, upright, q)
        q = planner.gait.ik.solve(position, upright, feet, np.zeros((count, 2)), name, q)
    return PlannedClip(
        name=name,
        joint_position=q,
        joint_velocity=(np.roll(q, -1, axis=0) - np.roll(q, 1, axis=0)) / (2.0 * dt),
        root_position=position,
        root_quaternion=np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
        root_linear_velocity=np.array(sway) * rate * 2.0 * np.pi / seconds,
        root_angular_velocity=np.zeros((count, 3)),
        contact=np.ones((count, spec.num_feet), dtype=bool),
        command=np.zeros((count, 2)),
        phase=np.zeros(count),
        moving=np.zeros(count, dtype=bool),
        loop=True,
        source=f"gait library: {name}",
    )


def mirror_clip(spec: RobotSpec, clip: PlannedClip, name: str) -> PlannedClip:
    """The same motion seen in the mirror that swaps left and right."""
    mirror = spec.mirror
    begun = np.maximum.accumulate(clip.moving)  # the phase goes on counting while a stop is carried out
    flip, axial = np.array([1.0, -1.0, 1.0]), np.array([-1.0, 1.0, -1.0])
    return replace(
        clip,
        name=name,
        joint_position=clip.joint_position[:, mirror.joint_index] * mirror.joint_sign,
        joint_velocity=clip.joint_velocity[:, mirror.joint_index] * mirror.joint_sign,
        root_position=clip.root_position * flip,
        root_quaternion=clip.root_quaternion * np.concatenate([[1.0], axial]),
        root_linear_velocity=clip.root_linear_velocity * flip,
        root_angular_velocity=clip.root_angular_velocity * axial,
        contact=clip.contact[:, mirror.foot_index],
        command=clip.command * np.array([1.0, -1.0]),
        phase=np.where(begun, np.remainder(clip.phase + np.pi, 2.0 * np.pi), clip.phase),
        source=f"{clip.source}, mirrored",
    )


def build_gait_library(spec: RobotSpec, config: GaitLibraryConfig | None = None) -> list[PlannedClip]:
    """All clips: standing, steady gaits, turns both ways, starts and stops with either foot.

    Raises:
        UserError: the configuration asks for a step out of the robot's reach or beyond its joint limits.
    """
    config = config or GaitLibraryConfig()
    planner = RoutePlanner(spec, config)
    clips = [
        standing(planner, config.stand_s, (0.0, 0.0, 0.0), "stand"),
        standing(planner, config.stand_s, config.stand_sway_m, "stand_sway"),
    ]
    for ticks in config.step_ticks:
        speeds = [v for v in config.speeds_m_s if v * ticks * spec.control_dt <= config.longest_step_m]
        clips += [
            steady_gait(planner, v, ticks, clearance) for clearance in config.clearances_m for v in speeds
        ]
    ticks, clearance = config.step_ticks[0], config.clearances_m[0]
    clips += _turns(planner, config.turn_rates_rad_s, config.turn_speeds_m_s, ticks, clearance)
    for speed in config.start_speeds_m_s:
        for clip in start_and_stop(planner, speed, ticks, clearance):
            clips += [clip, mirror_clip(spec, clip, clip.name.replace("_left", "_right"))]
    return clips + _fast_gaits(spec, config)


def _fast_gaits(spec: RobotSpec, config: GaitLibraryConfig) -> list[PlannedClip]:
    """Steady gaits and turns beyond the speed at which the slow style's long steps ask too much of knee and ankle."""
    if not (config.fast_speeds_m_s or config.fast_turn_speeds_m_s):
        return []
    style = replace(
        config,
        double_support=config.fast_double_support,
        swing_ramp=config.fast_swing_ramp,
        hip_height_m=config.fast_hip_height_m,
    )
    planner, clips = RoutePlanner(spec, style), []
    for ticks in config.fast_step_ticks:
        for clearance in config.fast_clearances_m:
            clips += [steady_gait(planner, speed, ticks, clearance) for speed in config.fast_speeds_m_s]
    ticks, clearance = config.fast_step_ticks[0], config.fast_clearances_m[0]
    return clips + _turns(planner, config.turn_rates_rad_s, config.fast_turn_speeds_m_s, ticks, clearance)


def _turns(
    planner: RoutePlanner, rates: Sequence[float], speeds: Sequence[float], ticks: int, clearance: float
) -> list[PlannedClip]:
    """Steady turns to the left, each followed by its mirror image."""
    lefts = [steady_gait(planner, speed, ticks, clearance, rate) for rate in rates for speed in speeds]
    pairs = [(left, mirror_clip(planner.spec, left, left.name.replace("_w+", "_w-"))) for left in lefts]
    return [clip for pair in pairs for clip in pair]


def _cut(clip: PlannedClip, name: str, ticks: slice) -> PlannedClip:
    """Frames of a clip that walks straight, with the root's x counted from the first of them."""
    begin = np.array([clip.root_position[ticks.start, 0], 0.0])
    return clip.part(ticks, name, f"gait library: {name}", begin)
