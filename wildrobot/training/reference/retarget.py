"""Human walking on the robot: limb directions and timing from the recording, physics from the robot.

Steps are as long as the person's limb directions make them with the robot's legs, and follow each other in the
person's time times sqrt(leg ratio): walks of equal Froude number are dynamically similar (R. M. Alexander, IJRR 1984).
Where that asks more than the servos have, steps are shortened to the speed limit and time is stretched; the clip's
`source` says by how much. The robot has no hip yaw, no ankle roll and no separate toes: soles are level while they
carry, pelvis and feet share one heading, and the sway comes from the robot's own balance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.gait import GaitLibraryConfig
from wildrobot.training.reference.human_motion import HumanMotion
from wildrobot.training.reference.limbs import LimbFigure, SwingShape, mean_shape
from wildrobot.training.reference.segment import Bout, Rejection, SegmentConfig, find_bouts, find_stands
from wildrobot.training.reference.skeleton import HumanBody, find_body
from wildrobot.training.reference.stepping import SIDE, Frames, PlannedStep, StepPlanner, ZmpShape, rotation_2d

Array = NDArray[np.float64]
_TAU = 2.0 * math.pi


@dataclass(frozen=True)
class RetargetConfig:
    """How a human motion becomes the robot's. Lengths and times are the robot's."""

    segment: SegmentConfig = field(default_factory=SegmentConfig)
    """What counts as walking."""
    max_speed_m_s: float = 0.5
    """Steps are shortened until the mean speed is no higher."""
    cycle_speeds_m_s: tuple[float, ...] = (0.30,)
    """The mean stride is also given at these speeds, its steps lengthened or shortened to them."""
    rate_share: float = 0.9
    """Highest joint rate, as a share of the servo's no-load speed."""
    max_stretch: float = 1.6
    """Highest slow-down beyond Froude scaling before a motion is rejected."""
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
    """Highest relative standard deviation of the stride times for a bout to be looped."""


@dataclass(frozen=True)
class Retargeted:
    """What became of one motion."""

    clips: list[PlannedClip]
    rejected: list[Rejection]
    notes: list[str]
    """Assumptions that the user should know."""


@dataclass(frozen=True)
class _Walk:
    """A bout of steps at the robot's scale, before its time is fixed."""

    feet: list[int]
    lifts_s: Array
    """Times of lifting after the first one, Froude-scaled and evened."""
    swing_s: Array
    leads_m: Array
    """(S, 2) lead of the swinging foot over the other one after landing: forward, and deviation outward."""
    first_lead_m: float
    """Lead of the first swinging foot before its swing."""
    shapes: list[SwingShape]
    turns_rad: Array
    """(S,) change of heading since the first lifting, at each lifting."""
    twist: Array
    """(S, 2) torso yaw at lifting and at landing."""

    @property
    def advance_m(self) -> Array:
        """(S,) way of the feet's middle from swing to swing; the first one is from rest."""
        return self.leads_m[:, 0]


def retarget(
    spec: RobotSpec, motion: HumanMotion, config: RetargetConfig | None = None, gait: GaitLibraryConfig | None = None
) -> Retargeted:
    """Clips of standing, starting, walking and stopping for the robot, from a recorded motion.

    Args:
        spec: the robot.
        motion: any length unit, any vertical axis, any joint names.
        config: how to retarget.
        gait: where the robot's own gait keeps its feet, hips and zero-moment point.

    Raises:
        UserError: no legs, or values that are not finite.
    """
    return _Retargeter(spec, find_body(motion), config or RetargetConfig(), gait or GaitLibraryConfig()).run()


class _Retargeter:
    def __init__(self, spec: RobotSpec, body: HumanBody, config: RetargetConfig, gait: GaitLibraryConfig) -> None:
        self.spec, self.body, self.config, self.gait = spec, body, config, gait
        self.figure = LimbFigure(spec, body)
        self.planner = StepPlanner(spec, ZmpShape(gait.zmp_inset_m, gait.zmp_forward_m))
        self.name = Path(body.motion.source).stem
        self.froude_time = math.sqrt(self.figure.scale)
        self.rate_limit = config.rate_share * np.minimum(spec.no_load_speed, spec.target_rate_limit)
        self.rejected: list[Rejection] = []
        self.clips: list[PlannedClip] = []
        home = self.planner.ik.sole_points(spec.kinematics.foot_points(spec.default_joint_pos))
        self.home_half_width = float(abs(home[0, 1]))

    def run(self) -> Retargeted:
        bouts, rejected = find_bouts(self.body, self.config.segment, self.name)
        self.rejected += rejected
        for index, bout in enumerate(bouts):
            walk = self._walk(bout)
            tag = f"{self.name}_{index + 1}" if len(bouts) > 1 else self.name
            self._bout(tag, bout, walk)
            self._cycles(tag, bout, walk)
        self._stands()
        for clip in self.clips:
            clip.check(self.spec)
        return Retargeted(self.clips, self.rejected, list(self.body.notes))

    # ------------------------------------------------------------------ from the person

    def _walk(self, bout: Bout) -> _Walk:
        config, figure, fps = self.config, self.figure, self.body.motion.fps
        swings = bout.swings
        lifts = np.array([s.lift for s in swings]) / fps * self.froude_time
        swing = np.array([s.land - s.lift for s in swings]) / fps * self.froude_time
        interval = np.diff(lifts)
        mean = float(interval.mean())
        share = swing / np.append(interval, mean)
        interval = mean + (1.0 - config.evenness) * (interval - mean)
        low, high = config.double_support
        swing = np.clip(share, 1.0 - high, 1.0 - low) * np.append(interval, mean)
        leads, first = figure.leads(bout)
        feet = [s.foot for s in swings]
        outward = leads[:, 1] * np.array([SIDE[foot] for foot in feet])
        leads[:, 1] = np.clip(outward - np.median(outward), -config.max_side_m, config.max_side_m)
        yaw = figure.yaw[[s.lift for s in swings]]
        turns = yaw - yaw[0]
        if np.ptp(figure.yaw[swings[0].lift : swings[-1].land]) < config.straight_rad:
            turns = np.zeros_like(turns)
        span = slice(swings[0].lift, swings[-1].land + 1)
        twist = figure.torso_yaw - float(np.mean(figure.torso_yaw[span]))
        twist = np.clip(twist, -config.max_twist_rad, config.max_twist_rad)
        return _Walk(
            feet=feet,
            lifts_s=np.concatenate([[0.0], np.cumsum(interval)]),
            swing_s=swing,
            leads_m=leads,
            first_lead_m=first[0],
            shapes=[figure.shape(s) for s in swings],
            turns_rad=turns,
            twist=np.stack([twist[[s.lift for s in swings]], twist[[s.land for s in swings]]], axis=-1),
        )

    def _course(self, shape: SwingShape, count: int) -> tuple[Array, Array, Array]:
        """Progress, rise (m) and pitch (rad) over `count` ticks."""
        config = self.config
        u = np.linspace(0.0, 1.0, count)
        fine = np.linspace(0.0, 1.0, len(shape.progress))
        smooth_way = trapezoid(u, self.config.swing_ramp)
        theirs = np.interp(smooth_way, fine, shape.progress)
        # The recorded course begins and ends at the thresholds of contact, not at rest.
        theirs = (theirs - theirs[0]) / max(theirs[-1] - theirs[0], 1e-6)
        progress = (1.0 - config.profile_share) * smooth_way + config.profile_share * theirs
        arch = np.sin(np.pi * u) ** 2
        window = _smoothstep(u / 0.25) * _smoothstep((1.0 - u) / 0.25)
        height = float(np.clip(shape.height, *config.clearance_m))
        rise = (1.0 - config.profile_share) * arch + config.profile_share * window * np.interp(u, fine, shape.rise)
        rise = rise / max(float(rise.max()), 1e-6) * height
        limit = config.max_pitch_rad
        pitch = np.clip(config.pitch_share * np.interp(u, fine, shape.pitch), -limit, limit) * arch
        return progress, rise, pitch

    # ------------------------------------------------------------------ whole bouts

    def _bout(self, tag: str, bout: Bout, walk: _Walk) -> None:
        speed = self._speed(walk)
        shorten = min(1.0, self.config.max_speed_m_s / speed)
        planned = self._within_rates(f"{tag}_walk", lambda stretch: self._plan_bout(tag, walk, stretch, shorten))
        if planned is None:
            return
        (frames, steps, yaw), stretch = planned
        rest_before, rest_after = bout.rests_before, bout.rests_after
        last_lead = shorten * abs(float(walk.leads_m[-1, 0]))
        limit = self.config.max_stagger_m
        for rests, lead, part in (
            (rest_before, abs(shorten * walk.first_lead_m), "start"),
            (rest_after, last_lead, "stop"),
        ):
            if rests and lead > limit:
                self.rejected.append(Rejection(f"{tag}_{part}", "distance of the standing feet (m)", lead, limit))
        rest_before &= abs(shorten * walk.first_lead_m) <= limit
        rest_after &= last_lead <= limit
        source = self._source(bout, stretch, shorten)
        count, lifts = len(steps), [step.lift for step in steps]
        command, phase, moving = self._labels(frames, steps, yaw)
        # Two strides make a start or a stop. At an end without rest in the recording, two steps are the plan's own.
        pieces = []
        begin, end = 0, count
        if count >= 6:
            begin, end = (4 if rest_before else 2), (count - 4 if rest_after else count - 2)
        if rest_before:
            pieces.append(("start", 0, lifts[4] if count > 4 else len(yaw)))
        if rest_after:
            pieces.append(("stop", lifts[count - 4] if count > 4 else 0, len(yaw)))
        strides = 0.5 * (end - begin)
        if strides < self.config.segment.min_strides and not (rest_before or rest_after):
            figure = "strides away from the ends of the recording"
            self.rejected.append(Rejection(f"{tag}_walk", figure, strides, self.config.segment.min_strides))
        elif strides >= self.config.segment.min_strides:
            pieces.append(("walk", lifts[begin], lifts[end] if end < count else steps[-1].land))
        for kind, first, last in pieces:
            self.clips.append(
                self._clip(f"{tag}_{kind}", frames, slice(first, last), command, phase, moving, False, source)
            )

    def _plan_bout(
        self, tag: str, walk: _Walk, stretch: float, shorten: float
    ) -> tuple[Frames, list[PlannedStep], Array]:
        dt = self.spec.control_dt
        rest = round(1.0 / dt)
        lift = rest + np.round(stretch * walk.lifts_s / dt).astype(int)
        land = lift + np.maximum(np.round(stretch * walk.swing_s / dt).astype(int), 4)
        count = int(land[-1]) + rest
        ticks = np.arange(count)
        yaw = np.interp(ticks, lift, walk.turns_rad)
        gait = self.gait
        lead = shorten * walk.first_lead_m
        first = walk.feet[0]
        places = np.zeros((2, 2))
        for foot in range(2):
            places[foot] = [lead if foot == first else 0.0, SIDE[foot] * self.home_half_width]
        steps, middle = [], places[1 - first, 0] * np.array([1.0, 0.0])
        for i, foot in enumerate(walk.feet):
            angle = float(yaw[land[i]])
            middle = middle + shorten * walk.advance_m[i] * rotation_2d(angle)[:, 0]
            side = SIDE[foot] * (gait.half_width_m + walk.leads_m[i, 1])
            target = middle + side * rotation_2d(angle)[:, 1]
            course = self._course(walk.shapes[i], int(land[i] - lift[i]) + 1)
            steps.append(PlannedStep(foot, int(lift[i]), int(land[i]), target, *course))
        height = self._height(ticks, steps)
        knots = np.stack([lift, land], axis=-1).ravel()
        waist = np.interp(
            ticks, [lift[0] - rest // 2, *knots, land[-1] + rest // 2], [0.0, *walk.twist.ravel(), 0.0]
        )
        waist = _hann(waist, 9)
        return self.planner.plan(tag, steps, places, _hann(yaw, 2 * rest // 3), height, waist), steps, yaw

    def _height(self, ticks: NDArray[np.int64], steps: list[PlannedStep]) -> Array:
        """Pelvis height (N,): home at rest, the gait's while walking."""
        ramp = max(steps[0].land - steps[0].lift, 1) * 2
        share = _smoothstep((ticks - steps[0].lift + ramp) / ramp) * _smoothstep((steps[-1].land + ramp - ticks) / ramp)
        walking = self.gait.hip_height_m + self.spec.leg.hip_drop
        return self.spec.standing_height + share * (walking - self.spec.standing_height)

    def _labels(self, frames: Frames, steps: list[PlannedStep], yaw: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Command (N, 2), phase (N,) and moving (N,): per stride the mean speed and turning, zero at rest."""
        dt, count = self.spec.control_dt, len(yaw)
        lifts = np.array([step.lift for step in steps])
        step_ticks = float(np.mean(np.diff(lifts)))
        ticks = np.arange(count)
        begin, end = max(lifts[0] - round(0.5 * step_ticks), 0), min(steps[-1].land + 1, count)
        moving = (ticks >= begin) & (ticks < end)
        half_turn = steps[0].foot + np.arange(len(steps))
        phase = np.interp(ticks, lifts, half_turn)
        phase = np.where(ticks < lifts[0], half_turn[0] + (ticks - lifts[0]) / step_ticks, phase)
        phase = np.where(ticks > lifts[-1], half_turn[-1] + (ticks - lifts[-1]) / step_ticks, phase)
        speeds, turns, middles = [], [], []
        for k in range(len(lifts) - 2):
            a, b = lifts[k], lifts[k + 2]
            way = frames.root_position[b, :2] - frames.root_position[a, :2]
            angle = yaw[(a + b) // 2]
            speeds.append((way[0] * math.cos(angle) + way[1] * math.sin(angle)) / ((b - a) * dt))
            turns.append((yaw[b] - yaw[a]) / ((b - a) * dt))
            middles.append(0.5 * (a + b))
        command = np.stack([np.interp(ticks, middles, speeds), np.interp(ticks, middles, turns)], axis=-1)
        return command * moving[:, None], np.where(moving, np.remainder(np.pi * phase, _TAU), 0.0), moving

    # ------------------------------------------------------------------ the mean stride, endless

    def _cycles(self, tag: str, bout: Bout, walk: _Walk) -> None:
        strides = np.array([walk.lifts_s[i + 2] - walk.lifts_s[i] for i in range(len(walk.feet) - 2)])
        recorded = np.array([s.lift for s in bout.swings], dtype=float)
        uneven = recorded[2:] - recorded[:-2]
        spread = float(np.std(uneven) / np.mean(uneven))
        if spread > self.config.max_unevenness:
            figure = "relative spread of the stride times"
            self.rejected.append(Rejection(f"{tag}_cycle", figure, spread, self.config.max_unevenness))
            return
        # The first swing starts from rest and the last one may be a closing step.
        inner = [i for i in range(1, len(walk.feet) - 1)]
        leads = np.array([np.mean([walk.leads_m[i, 0] for i in inner if walk.feet[i] == foot]) for foot in range(2)])
        if leads.sum() <= 0.0:
            self.rejected.append(Rejection(f"{tag}_cycle", "stride length (m)", float(leads.sum()), 0.0))
            return
        shapes = [mean_shape([walk.shapes[i] for i in inner if walk.feet[i] == foot]) for foot in range(2)]
        swing = float(np.mean(walk.swing_s) / np.mean(np.diff(walk.lifts_s)))
        stride_s = float(np.mean(strides))
        twist = self._mean_twist(bout)
        speeds: list[float | None] = [None, *self.config.cycle_speeds_m_s]
        for speed in speeds:
            name = f"{tag}_cycle" if speed is None else f"{tag}_cycle_v{speed:.2f}"

            def plan(stretch: float, speed: float | None = speed, name: str = name) -> tuple[Frames, float, float]:
                return self._plan_cycle(name, leads, shapes, swing, stride_s * stretch, twist, speed)

            planned = self._within_rates(name, plan)
            if planned is None:
                continue
            (frames, actual, factor), stretch = planned
            count = len(frames.joint_position)
            command = np.tile([actual, 0.0], (count, 1))
            phase = np.arange(count) / count * _TAU
            moving = np.ones(count, dtype=bool)
            source = self._source(bout, stretch, factor) + ", mean stride"
            self.clips.append(self._clip(name, frames, slice(None), command, phase, moving, True, source))

    def _plan_cycle(
        self, name: str, leads: Array, shapes: list[SwingShape], swing: float, stride_s: float, twist: Array,
        speed: float | None,
    ) -> tuple[Frames, float, float]:  # fmt: skip
        """Frames of one stride, its speed in m/s, and the factor on the step lengths."""
        dt = self.spec.control_dt
        step = max(round(0.5 * stride_s / dt), 6)
        stride = 2 * step
        native = float(leads.sum()) / (stride * dt)
        speed = min(native, self.config.max_speed_m_s) if speed is None else speed
        factor = speed / native
        air = max(round(swing * step), 4)
        steps, middle = [], 0.0
        places = np.array([[0.0, self.gait.half_width_m], [0.0, -self.gait.half_width_m]])
        for k in range(8):
            foot = k % 2
            middle += factor * float(leads[foot])
            target = np.array([middle, SIDE[foot] * self.gait.half_width_m])
            course = self._course(shapes[foot], air + 1)
            steps.append(PlannedStep(foot, k * step, k * step + air, target, *course))
        count = 4 * stride + 1
        height = np.full(count, self.gait.hip_height_m + self.spec.leg.hip_drop)
        angle = np.arange(count) / stride * _TAU
        waist = twist[0] * np.cos(angle) + twist[1] * np.sin(angle)
        frames = self.planner.plan(name, steps, places, np.zeros(count), height, waist, period=(stride, 2 * stride))
        return frames, speed, factor

    def _mean_twist(self, bout: Bout) -> Array:
        """(2,) cosine and sine amplitude of the torso yaw over the phase of the stride, rad."""
        swings = bout.swings
        lifts = np.array([s.lift for s in swings])
        frames = np.arange(lifts[0], lifts[-1])
        phase = np.pi * np.interp(frames, lifts, swings[0].foot + np.arange(len(lifts)))
        twist = self.figure.torso_yaw[frames] - np.mean(self.figure.torso_yaw[frames])
        columns = np.stack([np.cos(phase), np.sin(phase)], axis=-1)
        amplitude = np.linalg.lstsq(columns, twist, rcond=None)[0]
        return amplitude * min(1.0, self.config.max_twist_rad / max(float(np.linalg.norm(amplitude)), 1e-9))

    # ------------------------------------------------------------------ standing

    def _stands(self) -> None:
        """One clip of the longest stand whose feet are side by side: the home pose with the person's torso yaw."""
        spec, config, fps = self.spec, self.config, self.body.motion.fps
        best: tuple[int, int] | None = None
        for begin, end in find_stands(self.body, config.segment):
            lead = abs(self.figure.foot_lead(0, begin, end)[0])
            if lead > config.max_stagger_m:
                label = f"{self.name} stand at {begin / fps:.2f}-{end / fps:.2f} s"
                self.rejected.append(Rejection(label, "distance of the feet (m)", lead, config.max_stagger_m))
            elif best is None or end - begin > best[1] - best[0]:
                best = begin, end
        if best is None:
            return
        begin, end = best
        dt = spec.control_dt
        count = max(round((end - begin) / fps * self.froude_time / dt), 10)
        twist = np.interp(np.linspace(begin, end - 1, count), np.arange(begin, end), self.figure.torso_yaw[begin:end])
        twist = np.clip(_hann(twist - twist.mean(), 9), -config.max_twist_rad, config.max_twist_rad)
        home = self.planner.ik.sole_points(spec.kinematics.foot_points(spec.default_joint_pos))
        frames = self.planner.plan(
            f"{self.name}_stand", [], home[:, :2], np.zeros(count), np.full(count, spec.standing_height), twist
        )
        source = f"{self.body.motion.source}: standing {begin / fps:.2f}-{end / fps:.2f} s"
        still = np.zeros(count, dtype=bool)
        self.clips.append(
            self._clip(
                f"{self.name}_stand", frames, slice(None), np.zeros((count, 2)), np.zeros(count), still, False, source
            )
        )

    # ------------------------------------------------------------------ common

    def _speed(self, walk: _Walk) -> float:
        """Mean forward speed of a bout, m/s, with Froude-scaled time."""
        step = float(np.mean(np.diff(walk.lifts_s)))
        return max(float(np.mean(walk.leads_m[1:, 0])) / step, 1e-6)

    def _within_rates(self, name: str, plan):  # type: ignore[no-untyped-def]
        """The first plan whose joint rates the servos can follow, with its stretch; None when there is none."""
        stretch, worst, joint = 1.0, 0.0, 0
        while stretch <= self.config.max_stretch + 1e-9:
            try:
                planned = plan(stretch)
            except UserError:
                self.rejected.append(Rejection(name, "reach of the leg (m, step length 0 would fit)", math.inf, self.spec.leg.length))
                return None
            frames: Frames = planned[0]
            rates = np.max(np.abs(frames.joint_velocity), axis=0)
            joint = int(np.argmax(rates / self.rate_limit))
            worst = float(rates[joint])
            if worst <= self.rate_limit[joint]:
                outside = np.maximum(self.spec.joint_lower - frames.joint_position, frames.joint_position - self.spec.joint_upper)
                if np.max(outside) > 0.0:
                    joint = int(np.argmax(np.max(outside, axis=0)))
                    figure = f"{self.spec.joint_names[joint]} beyond its limit (rad)"
                    self.rejected.append(Rejection(name, figure, float(np.max(outside)), 0.0))
                    return None
                return planned, stretch
            stretch *= 1.06
        figure = f"peak rate of {self.spec.joint_names[joint]} (rad/s) at {self.config.max_stretch:.2f} x time"
        self.rejected.append(Rejection(name, figure, worst, float(self.rate_limit[joint])))
        return None

    def _source(self, bout: Bout, stretch: float, length: float) -> str:
        fps = self.body.motion.fps
        first, last = bout.swings[0], bout.swings[-1]
        return (
            f"{self.body.motion.source}: steps {first.lift / fps:.2f}-{last.land / fps:.2f} s, leg ratio "
            f"{self.figure.scale:.3f}, time x {self.froude_time * stretch:.3f} (Froude {self.froude_time:.3f}, "
            f"servos {stretch:.2f}), steps x {length:.2f}"
        )

    def _clip(
        self, name: str, frames: Frames, part: slice, command: Array, phase: Array, moving: NDArray[np.bool_],
        loop: bool, source: str,
    ) -> PlannedClip:  # fmt: skip
        cut = {key: getattr(frames, key)[part].copy() for key in (
            "joint_position", "joint_velocity", "root_position", "root_quaternion", "root_linear_velocity",
            "root_angular_velocity", "contact",
        )}  # fmt: skip
        cut["root_position"][:, :2] -= cut["root_position"][0, :2].copy()
        return PlannedClip(
            name=name, command=command[part], phase=phase[part], moving=moving[part], loop=loop, source=source, **cut
        )


def trapezoid(u: Array, ramp: float) -> Array:
    """Way 0..1 over time 0..1: speed rises and falls as sin^2 within `ramp`, constant between."""
    peak = 1.0 / (1.0 - ramp)

    def rise(v: Array) -> Array:
        return peak * (0.5 * v - ramp / _TAU * np.sin(np.pi * v / ramp))

    return np.where(u < ramp, rise(u), np.where(u > 1.0 - ramp, 1.0 - rise(1.0 - u), peak * (u - 0.5 * ramp)))


def _smoothstep(x: Array) -> Array:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _hann(values: Array, width: int) -> Array:
    """Smoothing of samples (N,) with a Hann window of 2 * width + 1 ticks; the ends are held."""
    window = np.hanning(2 * width + 3)[1:-1]
    padded = np.concatenate([np.full(width, values[0]), values, np.full(width, values[-1])])
    return np.convolve(padded, window / window.sum(), mode="valid")
