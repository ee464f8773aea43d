"""Cuts a human motion into standing and bouts of steps, from what its feet do.

Lengths and speeds are judged against the leg (a hip height of l and sqrt(g l)), so that children and giants
are cut alike (R. M. Alexander, "The gaits of bipedal and quadrupedal animals", IJRR 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.training.reference.capture.skeleton import HumanBody

Array = NDArray[np.float64]
_LAND_SPEED, _LIFT_SPEED = 0.12, 0.18
"""Hysteresis of a foot's contact: its slowest point against sqrt(g l)."""
_SMOOTHING_S = 0.02
_MIN_SWING_S, _MIN_STANCE_S = 0.08, 0.08
_SETTLING = ((0.06, 0.05), (0.16, 0.02))
"""(way, rise), shares of the leg: a foot that moved and rose less than one of these pairs has only
settled."""


@dataclass(frozen=True)
class SegmentConfig:
    """What counts as walking. Limits are for the human, in shares of the leg where they are lengths."""

    max_foot_lift: float = 0.30
    """Rise of the ball of the foot in a swing, share of the leg; higher is a kick or a climb."""
    max_sideways: float = 0.20
    """Way of a swing foot across the heading, share of the leg."""
    max_backward: float = 0.05
    """Way of a swing foot against the heading, share of the leg."""
    max_pause_s: float = 0.70
    """Both feet down for longer than this ends a bout of steps."""
    min_stand_s: float = 0.40
    """Both feet down for at least this is standing."""
    min_strides: float = 2.0
    """Shortest bout of steps that is kept."""


@dataclass(frozen=True)
class Rejection:
    """A part of a motion that is not used, and the figure that decided."""

    name: str
    figure: str
    value: float
    limit: float

    def __str__(self) -> str:
        return f"{self.name}: {self.figure} {self.value:.3g}, limit {self.limit:.3g}"


@dataclass(frozen=True)
class Swing:
    """One foot in the air between the frames `lift` and `land`."""

    foot: int
    """0 left, 1 right."""
    lift: int
    land: int
    forward: float
    """Way along the heading, m."""
    sideways: float
    """Way to the left of the heading, m."""
    rise: float
    """Highest rise of the ball of the foot over where it stood, m."""


@dataclass(frozen=True)
class Bout:
    """Alternating swings without a long pause."""

    swings: tuple[Swing, ...]
    rests_before: bool
    """Both feet stood still before the first swing."""
    rests_after: bool

    @property
    def strides(self) -> float:
        """Two swings make a stride."""
        return 0.5 * len(self.swings)


def smooth(values: Array, fps: float, sigma_s: float) -> Array:
    """Gaussian smoothing of samples (T, ...) along time; the ends are held."""
    sigma = sigma_s * fps
    half = int(np.ceil(3.0 * sigma))
    if half < 1:
        return values.copy()
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.concatenate([np.repeat(values[:1], half, 0), values, np.repeat(values[-1:], half, 0)])
    flat = padded.reshape(len(padded), -1)
    out = np.stack([np.convolve(flat[:, i], kernel, mode="valid") for i in range(flat.shape[1])], axis=-1)
    return out.reshape(values.shape)


def heading(body: HumanBody, sigma_s: float = 0.5) -> Array:
    """Heading (T,) rad about up, unwrapped: across the hip line, smoothed over about a stride."""
    hips = body.path("hip")
    return facing(hips[:, 0] - hips[:, 1], body.motion.fps, sigma_s)


def facing(leftward: Array, fps: float, sigma_s: float) -> Array:
    """Heading (T,) rad about up, unwrapped, of what has `leftward` (T, 3) on its left, smoothed."""
    flat = smooth(leftward[:, :2], fps, sigma_s)
    return np.unwrap(np.arctan2(-flat[:, 0], flat[:, 1]))


def foot_contacts(body: HumanBody) -> NDArray[np.bool_]:
    """Which feet stand, (T, 2): the slowest point of a foot rests, with hysteresis; short changes are
    mended."""
    fps = body.motion.fps
    parts = [smooth(body.path(part), fps, _SMOOTHING_S) for part in ("ankle", "ball")]
    speed = np.min([np.linalg.norm(np.gradient(p, 1.0 / fps, axis=0), axis=-1) for p in parts], axis=0)
    scale = np.sqrt(GRAVITY_M_S2 * body.leg_length)
    contact = np.empty(speed.shape, dtype=bool)
    for foot in range(2):
        down = bool(speed[0, foot] < 0.5 * (_LAND_SPEED + _LIFT_SPEED) * scale)
        for k, value in enumerate(speed[:, foot] / scale):
            down = value < _LIFT_SPEED if down else value < _LAND_SPEED
            contact[k, foot] = down
        _fill(contact[:, foot], False, round(_MIN_SWING_S * fps))
        _fill(contact[:, foot], True, round(_MIN_STANCE_S * fps))
    return contact


def _runs(values: NDArray[np.bool_], state: bool) -> list[tuple[int, int]]:
    """Intervals [begin, end) where `values` (T,) is `state`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values == state, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _fill(values: NDArray[np.bool_], state: bool, shortest: int) -> None:
    """Flip runs of `state` shorter than `shortest` that do not touch an end."""
    for begin, end in _runs(values, state):
        if end - begin < shortest and begin > 0 and end < len(values):
            values[begin:end] = not state


def find_swings(body: HumanBody) -> tuple[list[Swing], NDArray[np.bool_]]:
    """Swings in the order of their lifting, and contacts (T, 2) without the settling of feet that stay in
    place."""
    contact = foot_contacts(body)
    yaw = heading(body)
    ball = smooth(body.path("ball"), body.motion.fps, _SMOOTHING_S)
    swings = []
    for foot in range(2):
        for lift, land in _runs(contact[:, foot], False):
            if lift == 0 or land == len(contact):
                continue
            way = ball[land, foot] - ball[lift, foot]
            angle = yaw[(lift + land) // 2]
            forward = float(way[0] * np.cos(angle) + way[1] * np.sin(angle))
            sideways = float(way[1] * np.cos(angle) - way[0] * np.sin(angle))
            rise = float(np.max(ball[lift:land, foot, 2]) - ball[lift, foot, 2])
            way_share, rise_share = np.hypot(forward, sideways) / body.leg_length, rise / body.leg_length
            if any(way_share < far and rise_share < high for far, high in _SETTLING):
                contact[lift:land, foot] = True
            else:
                swings.append(Swing(foot, lift, land, forward, sideways, rise))
    return sorted(swings, key=lambda swing: swing.lift), contact


def find_bouts(body: HumanBody, config: SegmentConfig, name: str) -> tuple[list[Bout], list[Rejection]]:
    """Bouts of walking steps, and what is not walking. `name` begins the names of the rejected parts."""
    swings, _ = find_swings(body)
    fps, leg = body.motion.fps, body.leg_length
    groups: list[list[Swing]] = [[]]
    rejected: list[Rejection] = []
    for swing in swings:
        figure = _unfit(swing, config, leg)
        if figure is not None:
            label = f"{name} {('left', 'right')[swing.foot]} swing at {swing.lift / fps:.2f} s"
            rejected.append(Rejection(label, *figure))
            groups.append([])
            continue
        last = groups[-1][-1] if groups[-1] else None
        if last is not None and (
            swing.foot == last.foot
            or swing.lift - last.land > config.max_pause_s * fps
            or swing.lift < last.land
        ):
            groups.append([])
        groups[-1].append(swing)
    bouts = []
    stand = round(config.min_stand_s * fps)
    for group in (g for g in groups if g):
        first, last = group[0], group[-1]
        before = max((s.land for s in swings if s.land <= first.lift), default=0)
        after = min((s.lift for s in swings if s.lift >= last.land), default=len(body.motion))
        bout = Bout(tuple(group), first.lift - before >= stand, after - last.land >= stand)
        if bout.strides < config.min_strides:
            label = f"{name} steps at {first.lift / fps:.2f}-{last.land / fps:.2f} s"
            rejected.append(Rejection(label, "strides", bout.strides, config.min_strides))
        else:
            bouts.append(bout)
    return bouts, rejected


def _unfit(swing: Swing, config: SegmentConfig, leg: float) -> tuple[str, float, float] | None:
    """The figure by which a swing is no walking step: its name, value and limit."""
    for figure, value, limit in (
        ("foot lift (share of the leg)", swing.rise / leg, config.max_foot_lift),
        ("sideways step (share of the leg)", abs(swing.sideways) / leg, config.max_sideways),
        ("backward step (share of the leg)", -swing.forward / leg, config.max_backward),
    ):
        if value > limit:
            return figure, value, limit
    return None


def find_stands(body: HumanBody, config: SegmentConfig) -> list[tuple[int, int]]:
    """Intervals [begin, end) of frames in which both feet stand for `min_stand_s` or longer."""
    _, contact = find_swings(body)
    shortest = round(config.min_stand_s * body.motion.fps)
    return [(a, b) for a, b in _runs(np.logical_and(contact[:, 0], contact[:, 1]), True) if b - a >= shortest]
