"""A person's limb directions put on the robot's leg: what a retargeted step takes over from the recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.capture.segment import Bout, Swing, facing, find_swings, heading, smooth
from wildrobot.training.reference.capture.skeleton import HumanBody

Array = NDArray[np.float64]
_SAMPLES = 41
_SMOOTHING_S = 0.03
_NEAREST_STEP = 0.1
"""Steps shorter than this share of the leg say nothing about how a foot goes forward."""


@dataclass(frozen=True)
class SwingShape:
    """Course of one swing over `u` = 0 .. 1 in equal steps (41 samples)."""

    progress: Array
    """Share of the way, 0 .. 1, never backward."""
    rise: Array
    """Height, 1 at its highest."""
    pitch: Array
    """Pitch of the foot against standing flat, rad, positive with the toes down."""
    height: float
    """Highest rise of the ball of the foot, m, at the robot's scale."""


class LimbFigure:
    """The robot's leg lengths along a person's thigh, shank and foot, in the person's heading frame.

    The width of the hips is scaled by the leg ratio: a step keeps what the turning of the pelvis adds to it.
    """

    def __init__(self, spec: RobotSpec, body: HumanBody) -> None:
        self.body = body
        self.scale = spec.leg.length / body.leg_length
        self.fps = body.motion.fps
        self.yaw = heading(body)
        self.swings, self.contact = find_swings(body)
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        self._heading = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=-2)[:, None]
        hip, knee, ankle, ball = (
            smooth(body.path(part), self.fps, _SMOOTHING_S) for part in ("hip", "knee", "ankle", "ball")
        )
        foot = ball - ankle
        middle = np.mean(hip, axis=1, keepdims=True)
        self.ball = (
            self.scale * self._local(hip - middle)
            + spec.leg.thigh * _direction(self._local(knee - hip))
            + spec.leg.shank * _direction(self._local(ankle - knee))
            + self.scale * self._local(foot)
        )
        """(T, 2, 3) m, ball of the left and right foot from the middle of the hips: x ahead, y left, z up."""
        self._world_ball = ball
        if body.has_feet:
            elevation = np.arcsin(np.clip(_direction(foot)[..., 2], -1.0, 1.0))
            low = ankle[..., 2] <= np.percentile(ankle[..., 2], 25, axis=0)
            flat = np.array([np.median(elevation[low[:, i], i]) for i in range(2)])
            self.foot_pitch = flat - elevation
        else:
            self.foot_pitch = np.zeros(ball.shape[:2])
        self.torso_yaw = self._torso_yaw()

    def _local(self, vectors: Array) -> Array:
        """World vectors (T, 2, 3) in the heading frame."""
        flat = (self._heading @ vectors[..., :2, None])[..., 0]
        return np.concatenate([flat, vectors[..., 2:]], axis=-1)

    def _torso_yaw(self) -> Array:
        """Shoulder line against hip line (T,) rad about up; zeros without arms."""
        if self.body.shoulders is None:
            return np.zeros(len(self.yaw))
        left, right = (self.body.motion.positions[:, joint] for joint in self.body.shoulders)
        hips = self.body.path("hip")
        lines = (left - right, hips[:, 0] - hips[:, 1])
        shoulders_yaw, hips_yaw = (facing(line, self.fps, 2.0 * _SMOOTHING_S) for line in lines)
        twist = shoulders_yaw - hips_yaw
        return twist - 2.0 * np.pi * np.round(np.mean(twist) / (2.0 * np.pi))

    def foot_lead(self, foot: int, begin: int, end: int) -> tuple[float, float]:
        """How far `foot` stands before and to the left of the other one in frames [begin, end), m."""
        span = slice(begin, max(end, begin + 1))
        lead = np.median(self.ball[span, foot] - self.ball[span, 1 - foot], axis=0)
        return float(lead[0]), float(lead[1])

    def leads(self, bout: Bout) -> tuple[Array, tuple[float, float]]:
        """(S, 2) lead of each swing's foot over the other in the double support after it; of the first also
        before."""
        ends = [*(swing.lift for swing in bout.swings[1:]), self._rest_end(bout)]
        after = [self.foot_lead(s.foot, s.land, end) for s, end in zip(bout.swings, ends, strict=True)]
        first = bout.swings[0]
        begin = max((s.land for s in self.swings if s.land <= first.lift), default=0)
        return np.array(after), self.foot_lead(first.foot, begin, first.lift)

    def _rest_end(self, bout: Bout) -> int:
        last = bout.swings[-1]
        following = min((s.lift for s in self.swings if s.lift >= last.land), default=len(self.yaw))
        return min(following, last.land + round(0.5 * self.fps))

    def shape(self, swing: Swing) -> SwingShape:
        """Course of a swing."""
        frames = np.arange(swing.lift, swing.land + 1)
        u = (frames - swing.lift) / (swing.land - swing.lift)
        fine = np.linspace(0.0, 1.0, _SAMPLES)
        ball = self._world_ball[frames, swing.foot]
        way = ball[-1, :2] - ball[0, :2]
        length = float(np.linalg.norm(way))
        if length > _NEAREST_STEP * self.body.leg_length:
            along = (ball[:, :2] - ball[0, :2]) @ way / length**2
            progress = np.clip(np.maximum.accumulate(np.interp(fine, u, along)), 0.0, 1.0)
        else:
            progress = fine
        rise = np.interp(fine, u, ball[:, 2]) - (ball[0, 2] + fine * (ball[-1, 2] - ball[0, 2]))
        height = max(float(rise.max()), 1e-6)
        pitch = np.interp(fine, u, self.foot_pitch[frames, swing.foot])
        return SwingShape(progress, np.clip(rise / height, 0.0, 1.0), pitch, self.scale * height)


def mean_shape(shapes: list[SwingShape]) -> SwingShape:
    """Average course of several swings."""
    return SwingShape(
        progress=np.mean([shape.progress for shape in shapes], axis=0),
        rise=np.mean([shape.rise for shape in shapes], axis=0),
        pitch=np.mean([shape.pitch for shape in shapes], axis=0),
        height=float(np.mean([shape.height for shape in shapes])),
    )


def _direction(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
