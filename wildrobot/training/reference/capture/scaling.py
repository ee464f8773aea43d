"""A person's bout of steps at the robot's scale: when the feet lift and land, how far they step, how they
swing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wildrobot.training.reference.capture.limbs import LimbFigure, SwingShape, mean_shape
from wildrobot.training.reference.capture.segment import Bout, SegmentConfig
from wildrobot.training.reference.plan.curves import smoothstep, trapezoidal_progress
from wildrobot.training.reference.plan.footsteps import SIDE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RetargetConfig:
    """How a human motion becomes the robot's. Lengths and times are the robot's."""

    segment: SegmentConfig = field(default_factory=SegmentConfig)
    """What counts as walking."""
    half_width_m: float = 0.07
    """Distance of the footholds from the heading line while walking."""
    hip_height_m: float = 0.385
    """Hip pitch axis over the floor while walking: lower costs torque, higher costs knee speed."""
    zmp_inset_m: float = 0.02
    """How far from the stance foot's middle towards the other foot the zero-moment point lies: the sole leans
    with the leg and bears on its inner edge while the body stays between the feet."""
    zmp_forward_m: float = 0.015
    """How far before the sole point the zero-moment point lies in the middle of a stance."""
    zmp_travel: float = 0.9
    """Way of the zero-moment point along the stance foot, heel to toe, as a share of the step length."""
    longest_zmp_travel_m: float = 0.07
    """Limit of that way, so that the zero-moment point stays on the sole."""
    max_speed_m_s: float = 0.5
    """Steps are shortened until the mean speed is no higher."""
    cycle_speeds_m_s: tuple[float, ...] = (0.30,)
    """The mean stride is also given at these speeds, its steps lengthened or shortened to them."""
    rate_share: float = 0.9
    """Highest joint rate, as a share of the servo's no-load speed."""
    eases: int = 12
    """How often a motion is eased (slower, shorter and lower steps) before it is rejected."""
    ease_stretch: float = 1.02
    """Factor on the time in each easing."""
    ease_steps: float = 0.93
    """Factor on the length of the steps in each easing."""
    evenness: float = 0.7
    """0: steps follow each other as unevenly as the person's; 1: at equal intervals."""
    double_support: tuple[float, float] = (0.10, 0.15)
    """Share of a step during which both feet carry is kept within these."""
    clearance_m: tuple[float, float] = (0.022, 0.032)
    """Height of the swing foot's lowest point is kept within these."""
    profile_share: float = 0.2
    """Share of the person's own course of the swing foot; the rest is the smoothest course for the servos."""
    swing_ramp: float = 0.25
    """Share of the swing spent on speeding up, and again on slowing down, of the smoothest course."""
    pitch_share: float = 0.1
    """Share of the person's foot pitch in the swing."""
    max_pitch_rad: float = 0.06
    """Highest sole pitch in the swing."""
    max_side_m: float = 0.008
    """Highest deviation of a foothold's distance from the heading line."""
    max_twist_rad: float = 0.25
    """Highest torso yaw against the pelvis."""
    max_stagger_m: float = 0.09
    """Feet further apart than this along the heading are no standing pose to start from or stop in."""
    straight_rad: float = 0.35
    """Wander of the heading up to which a bout of steps is taken as straight."""
    max_unevenness: float = 0.4
    """Highest relative standard deviation of the recorded stride times for a bout to be looped."""


@dataclass(frozen=True)
class Ease:
    """How far a motion is brought down to what the servos can do."""

    stretch: float
    """Factor on the time, beyond Froude scaling."""
    steps: float
    """Factor on the length of the steps."""
    clearance_m: float
    """Highest lift of the swing foot."""

    @staticmethod
    def times(k: int, config: RetargetConfig) -> Ease:
        """The k-th easing; none for 0. The clearance is at its lowest after a quarter of them."""
        low, high = config.clearance_m
        lift = high - (high - low) * min(1.0, 4.0 * k / max(config.eases, 1))
        return Ease(config.ease_stretch**k, config.ease_steps**k, lift)


@dataclass(frozen=True)
class Walk:
    """S alternating swings of a bout."""

    feet: tuple[int, ...]
    """(S,) 0 left, 1 right."""
    lift_s: Array
    """(S,) times of lifting after the first one, Froude-scaled and evened."""
    swing_s: Array
    """(S,) durations in the air."""
    lead_m: Array
    """(S,) how far the swinging foot stands before the other one after landing."""
    side_m: Array
    """(S,) deviation of the foothold from its distance to the heading line, outward."""
    first_lead_m: float
    """Lead of the first swinging foot before its swing."""
    shapes: tuple[SwingShape, ...]
    turn_rad: Array
    """(S,) change of heading since the first lifting, at each lifting."""
    twist_rad: Array
    """(S, 2) torso yaw at lifting and at landing."""

    @property
    def step_s(self) -> float:
        """Mean time from lifting to lifting."""
        return float(np.mean(np.diff(self.lift_s)))

    @property
    def speed_m_s(self) -> float:
        """Mean forward speed; the first step, which starts from rest, does not count."""
        return max(float(np.mean(self.lead_m[1:])) / self.step_s, 1e-6)


@dataclass(frozen=True)
class MeanStride:
    """The average stride of a walk, left swing first."""

    leads_m: Array
    """(2,) lead of the left and right foot after landing."""
    shapes: tuple[SwingShape, SwingShape]
    step_s: float
    swing_share: float
    """Share of a step that its foot is in the air."""
    twist_rad: Array
    """(2,) cosine and sine amplitude of the torso yaw over the phase of the stride."""


def scale_walk(figure: LimbFigure, bout: Bout, config: RetargetConfig) -> Walk:
    """A bout at the robot's scale."""
    swings, froude = bout.swings, math.sqrt(figure.scale)
    lift = np.array([s.lift for s in swings]) / figure.fps * froude
    swing = np.array([s.land - s.lift for s in swings]) / figure.fps * froude
    interval = np.diff(lift)
    mean = float(interval.mean())
    share = swing / np.append(interval, mean)
    interval = mean + (1.0 - config.evenness) * (interval - mean)
    low, high = config.double_support
    feet = tuple(s.foot for s in swings)
    leads, first = figure.leads(bout)
    outward = leads[:, 1] * np.array([SIDE[foot] for foot in feet])
    yaw = figure.yaw[[s.lift for s in swings]]
    straight = np.ptp(figure.yaw[swings[0].lift : swings[-1].land]) < config.straight_rad
    twist = figure.torso_yaw - float(np.mean(figure.torso_yaw[swings[0].lift : swings[-1].land + 1]))
    twist = np.clip(twist, -config.max_twist_rad, config.max_twist_rad)
    return Walk(
        feet=feet,
        lift_s=np.concatenate([[0.0], np.cumsum(interval)]),
        swing_s=np.clip(share, 1.0 - high, 1.0 - low) * np.append(interval, mean),
        lead_m=leads[:, 0],
        side_m=np.clip(outward - np.median(outward), -config.max_side_m, config.max_side_m),
        first_lead_m=first[0],
        shapes=tuple(figure.shape(s) for s in swings),
        turn_rad=np.zeros(len(yaw)) if straight else yaw - yaw[0],
        twist_rad=np.stack([twist[[s.lift for s in swings]], twist[[s.land for s in swings]]], axis=-1),
    )


def mean_stride(figure: LimbFigure, bout: Bout, walk: Walk, config: RetargetConfig) -> MeanStride:
    """The average stride; the first swing, from rest, and the last, perhaps a closing step, are left out."""
    inner = range(1, len(walk.feet) - 1)
    of_foot = [[i for i in inner if walk.feet[i] == foot] for foot in range(2)]
    lift = np.array([s.lift for s in bout.swings])
    frames = np.arange(lift[0], lift[-1])
    phase = np.pi * np.interp(frames, lift, bout.swings[0].foot + np.arange(len(lift)))
    twist = figure.torso_yaw[frames] - np.mean(figure.torso_yaw[frames])
    columns = np.stack([np.cos(phase), np.sin(phase)], axis=-1)
    amplitude = np.linalg.lstsq(columns, twist, rcond=None)[0]
    return MeanStride(
        leads_m=np.array([np.mean(walk.lead_m[chosen]) for chosen in of_foot]),
        shapes=(
            mean_shape([walk.shapes[i] for i in of_foot[0]]),
            mean_shape([walk.shapes[i] for i in of_foot[1]]),
        ),
        step_s=walk.step_s,
        swing_share=float(np.mean(walk.swing_s)) / walk.step_s,
        twist_rad=amplitude * min(1.0, config.max_twist_rad / max(float(np.linalg.norm(amplitude)), 1e-9)),
    )


def unevenness(bout: Bout) -> float:
    """Relative standard deviation of the recorded stride times."""
    lift = np.array([s.lift for s in bout.swings], dtype=np.float64)
    strides = lift[2:] - lift[:-2]
    return float(np.std(strides) / np.mean(strides))


def swing_course(
    shape: SwingShape, count: int, highest_m: float, config: RetargetConfig
) -> tuple[Array, Array, Array]:
    """Progress 0 .. 1, height of the lowest point (m) and sole pitch (rad) of a swing over `count` ticks."""
    u, fine = np.linspace(0.0, 1.0, count), np.linspace(0.0, 1.0, len(shape.progress))
    smoothest = trapezoidal_progress(u, config.swing_ramp)
    # The recorded course begins and ends at the thresholds of contact, not at rest: it is run through the
    # smooth one.
    theirs = np.interp(smoothest, fine, shape.progress)
    theirs = (theirs - theirs[0]) / max(float(theirs[-1] - theirs[0]), 1e-6)
    progress = (1.0 - config.profile_share) * smoothest + config.profile_share * theirs
    arch = np.sin(np.pi * u) ** 2
    window = smoothstep(u / 0.25) * smoothstep((1.0 - u) / 0.25)
    rise = (1.0 - config.profile_share) * arch + config.profile_share * window * np.interp(
        u, fine, shape.rise
    )
    rise *= float(np.clip(shape.height, config.clearance_m[0], highest_m)) / max(float(rise.max()), 1e-6)
    pitch = config.pitch_share * np.interp(u, fine, shape.pitch)
    return progress, rise, np.clip(pitch, -config.max_pitch_rad, config.max_pitch_rad) * arch


def hann_smooth(values: Array, width: int) -> Array:
    """Smoothing of samples (N,) with a Hann window of 2 * width + 1 ticks; the ends are held."""
    window = np.hanning(2 * width + 3)[1:-1]
    padded = np.concatenate([np.full(width, values[0]), values, np.full(width, values[-1])])
    return np.convolve(padded, window / window.sum(), mode="valid")
