"""Faults of what the runtime is given: SensorFrames and the policy's answers, over the simulated robot.

The robot's time goes on whether the runtime keeps up or not, so that a slow policy or a stopped process costs what it
would cost. One walk is begun; each run branches off from it (a fork), with its fault at another point of the stride.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from session_helpers import POLICY, SPEC, LoopSession, up

from faults.case import FALLS, STOPS, STRIDE_S, WALKS, Case, Result, Watch, follow
from faults.signal_faults import (
    Delayed,
    Dropped,
    Fault,
    FaultyRobot,
    Frozen,
    NotANumber,
    Raises,
    SameAnswer,
    Saturated,
    SlowPolicy,
    Stale,
    Stopped,
    StuckEncoder,
    Swapped,
    WrongAnswer,
)
from wildrobot.runtime.commands.source import FixedCommand
from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.control.state_machine import State


def _fault(kind: Callable[..., Fault], **values: Any) -> Callable[[float], Fault]:
    return lambda at: kind(at_s=at, **values)


def joints(*names: str) -> tuple[int, ...]:
    """Their indices."""
    return tuple(SPEC.joint_names.index(name) for name in names)


_ONE_TICK = 0.9 * SPEC.control_dt
_MOTION = ("joint_position", "joint_velocity")
_HIPS = {"fields": _MOTION, "a": joints("left_hip_pitch"), "b": joints("right_hip_pitch")}
_KNEE_ANKLE = {"fields": _MOTION, "a": joints("left_knee_pitch"), "b": joints("left_ankle_pitch")}
_FEET = {"fields": ("foot_contact",), "a": (0, 1), "b": (2, 3)}
_OLD, _LATE, _NO_NUMBER = "sample_age_s", "missed_ticks_in_a_row", "policy_output_not_finite"
CASES = (
    Case("frames dropped for 40 ms", _fault(Dropped, for_s=0.04), (WALKS,), None, "the last samples are used"),
    Case("1 of 20 frames dropped", _fault(Dropped, for_s=1.0, share=0.05), (WALKS,), None, "bridged"),
    Case("all frames dropped", _fault(Dropped), (STOPS, FALLS), _OLD,
         "bridges 3 ticks, holds the targets, stops softly without the policy"),
    Case("old samples called valid", _fault(Stale), (STOPS, FALLS), _OLD, "their own times show it"),
    Case("frame frozen, time and all", _fault(Frozen), (STOPS, FALLS), _OLD,
         "a frame of no new time has not been read"),
    Case("a value is NaN or infinite for 40 ms", _fault(NotANumber, for_s=0.04), (WALKS,), None,
         "joint, IMU, foot or time, NaN or infinite: not a sample, bridged"),
    Case("a value is NaN or infinite", _fault(NotANumber), (STOPS, FALLS), _OLD, "not a sample: as dropped frames"),
    Case("knee's encoder stuck, 1 s", _fault(StuckEncoder, for_s=1.0, joint=joints("left_knee_pitch")[0]),
         (WALKS, STOPS, FALLS), None,
         "a joint may rest: not detectable; left to the policy"),
    Case("samples 20 ms late, 1 s", _fault(Delayed, ticks=1, for_s=1.0), (WALKS,), None, "left to the policy"),
    Case("samples 60 ms late, 1 s", _fault(Delayed, ticks=3, for_s=1.0), (WALKS, STOPS, FALLS), _OLD,
         "a warning; left to the policy"),
    Case("samples 160 ms late", _fault(Delayed, ticks=8), (STOPS, FALLS), _OLD,
         "too old: stops softly without the policy"),
    Case("samples 60 ms late under new times, 1 s", _fault(Delayed, ticks=3, lying=True, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "not detectable; left to the policy"),
    Case("hip pitches swapped", _fault(Swapped, for_s=1.0, **_HIPS), (WALKS, STOPS, FALLS), None,
         "both are where the other may be, not detectable before the fall; `wildrobot doctor` and calibration do"),
    Case("knee and ankle swapped", _fault(Swapped, **_KNEE_ANKLE), (STOPS, FALLS), "tracking_error|falling|tilt",
         "the tracking error, if the robot does not fall first"),
    Case("feet swapped, 1 s", _fault(Swapped, for_s=1.0, **_FEET), (WALKS, STOPS, FALLS), None,
         "the estimator weighs a foot that contradicts the rest less; left to the policy"),
    Case("gyro saturated at 0.2 rad/s, 1 s", _fault(Saturated, field="imu_angular_velocity", limit=0.2, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "left to the policy"),
    Case("accelerometer saturated at 8 m/s², 1 s", _fault(Saturated, field="imu_acceleration", limit=8.0, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "the estimator relies on the legs; left to the policy"),
    Case("joint velocities saturated at 1 rad/s, 1 s", _fault(Saturated, field="joint_velocity", limit=1.0, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "left to the policy"),
    Case("policy takes 15 ms, 1 s", _fault(SlowPolicy, seconds=0.015, for_s=1.0), (WALKS,), None, "within the period"),
    Case("policy takes 60 ms once", _fault(SlowPolicy, seconds=0.06, for_s=_ONE_TICK), (WALKS,), _LATE,
         "skips to the next tick, warns"),
    Case("policy takes 25 ms", _fault(SlowPolicy, seconds=0.025), (STOPS, FALLS), _LATE,
         "late again and again: stops softly after the sixth"),
    Case("policy hangs for 0.2 s", _fault(SlowPolicy, seconds=0.2, for_s=_ONE_TICK), (STOPS, FALLS), _LATE,
         "stops softly"),
    Case("process stopped for 1 s", _fault(Stopped, seconds=1.0), (STOPS, FALLS), None,
         "stops softly when it goes on; the servos' watchdogs have stopped a real robot by then"),
    Case("policy answers NaN or infinity", _fault(WrongAnswer, for_s=_ONE_TICK), (STOPS, FALLS), _NO_NUMBER,
         "holds the targets, stops softly without the policy"),
    Case("policy answers 100 times too much", _fault(WrongAnswer, times=100.0, plus=0.0), (STOPS, FALLS),
         "policy_output_clips", "clipped and bounded; stops softly without the policy"),
    Case("policy repeats its answer", _fault(SameAnswer), (WALKS, STOPS, FALLS), None,
         "not detectable; the robot stands as it is, or falls"),
    Case("policy raises", _fault(Raises), (STOPS, FALLS), "policy_raised",
         "holds the targets, stops softly without the policy"),
)  # fmt: skip


_walk: tuple[LoopSession, FaultyRobot] | None = None


def begin() -> None:
    """Start the walk that all runs branch off from."""
    global _walk
    robot, skill = FaultyRobot(), load_skill(SPEC, POLICY)
    skill.policy = robot.policy(skill.policy)
    session = LoopSession(robot, robot.clock(), [skill], FixedCommand(SPEC, 0.3, 0.0, 600.0))
    session.until(State.WALKING)
    session.run(0.5)
    _walk = session, robot


def run_case(task: tuple[int, int]) -> Result:
    """One run, in a process of its own that was forked from the walk."""
    index, seed = task
    assert _walk is not None
    case, (session, robot) = CASES[index], _walk
    robot.seed, robot.random = seed, np.random.default_rng(seed)
    at = session.time_s + 0.06 + STRIDE_S * (seed % 20) / 20.0
    fault = case.fault(at)
    robot.faults.append(fault)
    return follow(session, case, seed, at, fault.for_s, Watch(session), lambda: up(robot.truth()), 0.7, 0.1)
