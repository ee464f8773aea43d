"""Human walking on the robot: limb directions and timing from the recording, physics from the robot.

Steps are as long as the person's limb directions make them with the robot's legs, and follow each other in
the person's time times sqrt(leg ratio): walks of equal Froude number are dynamically similar (R. M.
Alexander, IJRR 1984). Where that asks more than the servos have, steps are shortened, slowed down and
lowered; the clip's `source` says by how much. Soles are level while they carry, feet without a hip yaw share
the pelvis's heading, there are no toes to bend, and the sway comes from the robot's own balance.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.capture.human_motion import HumanMotion
from wildrobot.training.reference.capture.limbs import LimbFigure
from wildrobot.training.reference.capture.scaling import (
    Ease,
    RetargetConfig,
    Walk,
    hann_smooth,
    mean_stride,
    scale_walk,
    unevenness,
)
from wildrobot.training.reference.capture.segment import Bout, Rejection, find_bouts, find_stands
from wildrobot.training.reference.capture.skeleton import HumanBody, find_body
from wildrobot.training.reference.capture.walk_plan import PlannedWalk, WalkPlanner
from wildrobot.training.reference.clip import PlannedClip

__all__ = ["Rejection", "RetargetConfig", "retarget"]
_log = logging.getLogger(__name__)
_END_SWINGS = 4
"""Swings of a start or a stop: two strides."""
_INVENTED_SWINGS = 2
"""Swings left out where the recording does not come from, or end in, standing: there the plan's rest is not
the person's."""


def retarget(
    spec: RobotSpec, motion: HumanMotion, config: RetargetConfig | None = None
) -> tuple[list[PlannedClip], list[Rejection]]:
    """Clips of standing, starting, walking and stopping for the robot, from a recorded motion.

    Args:
        spec: the robot.
        motion: any length unit, any vertical axis, any joint names.
        config: how to retarget.

    Returns:
        The clips, and the parts that cannot be used with the figure that decided. What was assumed about the
        file is logged as a warning.

    Raises:
        UserError: no legs, or values that are not finite.
    """
    body = find_body(motion)
    for note in body.notes:
        _log.warning(note)
    return _Retargeter(spec, body, config or RetargetConfig()).run()


class _Retargeter:
    def __init__(self, spec: RobotSpec, body: HumanBody, config: RetargetConfig) -> None:
        self.spec, self.body, self.config = spec, body, config
        self.figure = LimbFigure(spec, body)
        self.planner = WalkPlanner(spec, config)
        file = Path(body.motion.source)
        self.name, self.file = file.stem, file.name
        self.fps = body.motion.fps
        self.rate_limit = config.rate_share * np.minimum(spec.no_load_speed, spec.target_rate_limit)
        self.clips: list[PlannedClip] = []
        self.rejected: list[Rejection] = []

    def run(self) -> tuple[list[PlannedClip], list[Rejection]]:
        bouts, self.rejected = find_bouts(self.body, self.config.segment, self.name)
        for index, bout in enumerate(bouts):
            tag = f"{self.name}_{index + 1}" if len(bouts) > 1 else self.name
            walk = scale_walk(self.figure, bout, self.config)
            self._whole(tag, bout, walk)
            self._endless(tag, bout, walk)
        self._stand()
        for clip in self.clips:
            clip.check(self.spec)
        return self.clips, self.rejected

    def _whole(self, tag: str, bout: Bout, walk: Walk) -> None:
        """Start, walk and stop of one bout."""
        planned = self._eased(f"{tag}_walk", lambda ease, draft: self.planner.bout(tag, walk, ease, draft))
        if planned is None:
            return
        limit = self.config.max_stagger_m
        rests = []
        for part, rest, lead in (
            ("start", bout.rests_before, abs(planned.step_factor * walk.first_lead_m)),
            ("stop", bout.rests_after, abs(planned.step_factor * float(walk.lead_m[-1]))),
        ):
            if rest and lead > limit:
                self._reject(f"{tag}_{part}", "distance of the standing feet (m)", lead, limit)
            rests.append(rest and lead <= limit)
        lifts, end = [step.lift for step in planned.steps], len(planned.clip)
        count = len(lifts)
        first = _END_SWINGS if rests[0] else _INVENTED_SWINGS
        last = count - (_END_SWINGS if rests[1] else _INVENTED_SWINGS)
        pieces = []
        if rests[0]:
            pieces.append(("start", 0, lifts[_END_SWINGS] if count > _END_SWINGS else end))
        strides, least = 0.5 * (last - first), self.config.segment.min_strides
        if strides >= least:
            pieces.append(("walk", lifts[first], lifts[last]))
        else:
            self._reject(f"{tag}_walk", "strides between start and stop", max(strides, 0.0), least)
        if rests[1]:
            pieces.append(("stop", lifts[count - _END_SWINGS] if count > _END_SWINGS else 0, end))
        source = self._source(bout, planned)
        for kind, begin, stop in pieces:
            self._keep(f"{tag}_{kind}", planned, slice(begin, stop), source)

    def _endless(self, tag: str, bout: Bout, walk: Walk) -> None:
        """The mean stride of one bout as a loop, at the person's speed and at the configured ones."""
        spread = unevenness(bout)
        if spread > self.config.max_unevenness:
            limit = self.config.max_unevenness
            self._reject(f"{tag}_cycle", "relative spread of the stride times", spread, limit)
            return
        stride = mean_stride(self.figure, bout, walk, self.config)
        length = float(stride.leads_m.sum())
        if length <= 0.01:
            self._reject(f"{tag}_cycle", "stride length (m), at least", length, 0.01)
            return
        for speed in (None, *self.config.cycle_speeds_m_s):
            name = f"{tag}_cycle" if speed is None else f"{tag}_cycle_v{speed:.2f}"

            def plan(ease: Ease, draft: bool, name: str = name, speed: float | None = speed) -> PlannedWalk:
                return self.planner.cycle(name, stride, speed, ease, draft)

            planned = self._eased(name, plan)
            if planned is not None:
                source = self._source(bout, planned) + ", mean stride"
                self._keep(name, planned, slice(None), source)

    def _stand(self) -> None:
        """The longest stand with the feet side by side: the home pose with the person's torso yaw."""
        limit = self.config.max_stagger_m
        stands = []
        for begin, end in find_stands(self.body, self.config.segment):
            lead = abs(self.figure.foot_lead(0, begin, end)[0])
            if lead <= limit:
                stands.append((begin, end))
            else:
                label = f"{self.name} stand at {begin / self.fps:.2f}-{end / self.fps:.2f} s"
                self._reject(label, "distance of the feet (m)", lead, limit)
        if not stands:
            return
        begin, end = max(stands, key=lambda span: span[1] - span[0])
        frames = np.arange(begin, end)
        seconds = (end - begin) / self.fps * math.sqrt(self.figure.scale)
        at = np.linspace(begin, end - 1, max(round(seconds / self.spec.control_dt), 10))
        twist = np.interp(at, frames, self.figure.torso_yaw[frames])
        bound = self.config.max_twist_rad
        twist = np.clip(hann_smooth(twist - twist.mean(), 9), -bound, bound)
        name = f"{self.name}_stand"
        source = f"{self.file}: standing {begin / self.fps:.2f}-{end / self.fps:.2f} s"
        self._keep(name, self.planner.stand(name, twist), slice(None), source)

    # ------------------------------------------------------------------ common

    def _reject(self, name: str, figure: str, value: float, limit: float) -> None:
        self.rejected.append(Rejection(name, figure, value, limit))

    def _eased(self, name: str, plan: Callable[[Ease, bool], PlannedWalk]) -> PlannedWalk | None:
        """The least eased plan that legs, servos and joint limits allow; None, and a rejection, when there is
        none."""
        failure = ("", 0.0, 0.0)
        for k in range(self.config.eases + 1):
            ease = Ease.times(k, self.config)
            # A draft is cheap and has nearly the final joint rates.
            for draft in (True, False):
                try:
                    planned = plan(ease, draft)
                except UserError:
                    failure = "out of the legs' reach, step length x", ease.steps, 0.0
                    break
                found = self._beyond(planned, ease)
                if found is not None:
                    failure = found
                    break
            else:
                return planned
        self._reject(name, *failure)
        return None

    def _beyond(self, planned: PlannedWalk, ease: Ease) -> tuple[str, float, float] | None:
        """The figure by which a plan asks too much of the joints: name, value, limit."""
        spec, q = self.spec, planned.clip.joint_position
        rate = np.max(np.abs(planned.clip.joint_velocity), axis=0)
        fast = int(np.argmax(rate / self.rate_limit))
        if rate[fast] > self.rate_limit[fast]:
            figure = f"peak rate of {spec.joint_names[fast]} (rad/s) at {ease.stretch:.2f} x the time"
            return figure, float(rate[fast]), float(self.rate_limit[fast])
        beyond = np.max(np.maximum(spec.joint_lower - q, q - spec.joint_upper), axis=0)
        bent = int(np.argmax(beyond))
        if beyond[bent] > 0.0:
            return f"{spec.joint_names[bent]} beyond its limit (rad)", float(beyond[bent]), 0.0
        return None

    def _source(self, bout: Bout, planned: PlannedWalk) -> str:
        first, last, froude = bout.swings[0], bout.swings[-1], math.sqrt(self.figure.scale)
        return (
            f"{self.file}: steps {first.lift / self.fps:.2f}-{last.land / self.fps:.2f} s, "
            f"leg ratio {self.figure.scale:.3f}, time x {froude * planned.stretch:.3f} (Froude {froude:.3f}, "
            f"servos {planned.stretch:.2f}), steps x {planned.step_factor:.2f}"
        )

    def _keep(self, name: str, planned: PlannedWalk, ticks: slice, source: str) -> None:
        """Add a part of a plan as a clip whose root begins over the world's origin."""
        origin = planned.clip.root_position[ticks][0, :2]
        self.clips.append(planned.clip.part(ticks, name, source, origin))
