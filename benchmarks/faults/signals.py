"""Faults of what the runtime is given: SensorFrames and the policy's answers, over the simulated robot.

The robot's time goes on whether the runtime keeps up or not, so that a slow policy or a stopped process costs what it
would cost. One walk is begun; each run branches off from it (a fork), with its fault at another point of the stride.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from session_helpers import POLICY, SPEC, FreeRobot, LoopSession, up

from faults.case import FALLS, STOPS, STRIDE_S, WALKS, Case, Result, Watch, follow
from wildrobot.runtime.commands_input import FixedCommand
from wildrobot.runtime.sensor_frame import SensorFrame, hold_invalid
from wildrobot.runtime.skills import load_skill
from wildrobot.runtime.state_machine import State

LEFT_KNEE = SPEC.joint_names.index("left_knee_pitch")
MEASURED = (
    "joint_position", "joint_velocity", "joint_time_s", "imu_quaternion", "imu_angular_velocity", "imu_acceleration",
    "imu_time_s", "foot_contact", "foot_time_s",
)  # fmt: skip
ASKS = Callable[[Any], Any]


@dataclass(kw_only=True)
class Fault:
    """Something that goes wrong from `at_s` on, for `for_s` s (None: for good)."""

    at_s: float
    for_s: float | None = None

    def active(self, time_s: float) -> bool:
        """Whether it is going on."""
        return self.at_s <= time_s and (self.for_s is None or time_s < self.at_s + self.for_s)

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        """What the runtime reads in place of `frame`."""
        return frame

    def answer(self, ask: ASKS, observation: Any, robot: FaultyRobot) -> Any:
        """What the policy answers in place of `ask(observation)`."""
        return ask(observation)


class FaultyRobot(FreeRobot):
    """The simulated robot and the policy that drives it, seen through faults."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.seed, self.random = 0, np.random.default_rng(0)
        self.before: deque[SensorFrame] = deque(maxlen=20)
        """True frames, the last one last."""
        self.given: SensorFrame | None = None
        self.last_action: Any = None
        self._policy: Any = None

    def now(self) -> list[Fault]:
        """The faults that are going on."""
        return [fault for fault in self.faults if fault.active(self.now_ns() * 1e-9)]

    def read(self) -> SensorFrame:
        frame = super().read().copy()
        self.before.append(frame)
        for fault in self.now():
            frame = fault.frame(frame.copy(), self)
        self.given = frame
        return frame

    def policy(self, policy: Any) -> Any:
        """`policy` as this robot's faults let it answer."""
        self._policy = policy
        self.contract, self.layout = policy.contract, policy.layout
        return self

    def __call__(self, observation: Any) -> Any:
        answer = self._policy
        for fault in self.now():
            answer = lambda seen, fault=fault, ask=answer: fault.answer(ask, seen, self)  # noqa: E731
        self.last_action = answer(observation)
        return self.last_action


# ---------------------------------------------------------------------- frames


@dataclass(kw_only=True)
class Dropped(Fault):
    """Nothing is read, or `share` of the frames are not: as a robot says it, not valid and as it was."""

    share: float = 1.0

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        if robot.random.random() >= self.share or robot.given is None:
            return frame
        nothing = {
            f"{part}_valid": np.zeros_like(getattr(frame, f"{part}_valid"))
            for part in ("joint", "imu", "foot")
        }
        return hold_invalid(dataclasses.replace(frame, **nothing), robot.given)


@dataclass(kw_only=True)
class Stale(Fault):
    """The values and times of when it began, called valid all the same."""

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        assert robot.given is not None
        return dataclasses.replace(robot.given, time_s=frame.time_s)


@dataclass(kw_only=True)
class Frozen(Fault):
    """The very last frame again, its own time included."""

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        assert robot.given is not None
        return robot.given


@dataclass(kw_only=True)
class StuckEncoder(Fault):
    """One joint reads where it was, at rest, under new times."""

    joint: int = LEFT_KNEE
    _at: float | None = None

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        self._at = float(frame.joint_position[0, self.joint]) if self._at is None else self._at
        frame.joint_position[0, self.joint], frame.joint_velocity[0, self.joint] = self._at, 0.0
        return frame


@dataclass(kw_only=True)
class NotANumber(Fault):
    """A value that is no number, called valid; another one in every run."""

    _place: tuple[str, int, float] | None = None

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        if self._place is None:
            name = MEASURED[robot.seed % len(MEASURED)]
            index = int(robot.random.integers(np.size(getattr(frame, name))))
            self._place = (name, index, robot.random.choice([np.nan, np.inf, -np.inf]))
        name, index, value = self._place
        getattr(frame, name).reshape(-1)[index] = value
        return frame


@dataclass(kw_only=True)
class Delayed(Fault):
    """All samples are `ticks` old; `lying`: under new times."""

    ticks: int
    lying: bool = False

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        old = robot.before[-1 - self.ticks].copy()
        times = ("time_s", "joint_time_s", "imu_time_s", "foot_time_s") if self.lying else ("time_s",)
        return dataclasses.replace(old, **{name: getattr(frame, name) for name in times})


@dataclass(kw_only=True)
class Swapped(Fault):
    """Two places of a field change their places."""

    fields: tuple[str, ...]
    a: tuple[int, ...]
    b: tuple[int, ...]

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        for name in self.fields:
            values = getattr(frame, name)
            values[:, [*self.a, *self.b]] = values[:, [*self.b, *self.a]]
        return frame


@dataclass(kw_only=True)
class Saturated(Fault):
    """A field's values end at +-`limit`."""

    field: str
    limit: float

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        return dataclasses.replace(
            frame, **{self.field: np.clip(getattr(frame, self.field), -self.limit, self.limit)}
        )


# ---------------------------------------------------------------------- time and policy


@dataclass(kw_only=True)
class Stopped(Fault):
    """The process stands still for a while (SIGSTOP, a swap storm) and goes on."""

    seconds: float
    _done: bool = False

    def frame(self, frame: SensorFrame, robot: FaultyRobot) -> SensorFrame:
        if not self._done:
            self._done = True
            robot.sleep(self.seconds)
        return frame


@dataclass(kw_only=True)
class SlowPolicy(Fault):
    """Each answer takes so long."""

    seconds: float

    def answer(self, ask: ASKS, observation: Any, robot: FaultyRobot) -> Any:
        robot.sleep(self.seconds)
        return ask(observation)


@dataclass(kw_only=True)
class WrongAnswer(Fault):
    """The policy's answer is multiplied, and `plus` (None: no number) added to."""

    times: float = 1.0
    plus: float | None = None

    def answer(self, ask: ASKS, observation: Any, robot: FaultyRobot) -> Any:
        plus = (np.nan, np.inf, -np.inf)[robot.seed % 3] if self.plus is None else self.plus
        return self.times * ask(observation) + plus


@dataclass(kw_only=True)
class SameAnswer(Fault):
    """The policy answers what it answered last."""

    def answer(self, ask: ASKS, observation: Any, robot: FaultyRobot) -> Any:
        return robot.last_action


@dataclass(kw_only=True)
class Raises(Fault):
    """The policy's runtime gives up."""

    def answer(self, ask: ASKS, observation: Any, robot: FaultyRobot) -> Any:
        raise RuntimeError("the runtime of the policy gave up")


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
    Case("frames dropped for 40 ms", _fault(Dropped, for_s=0.04), (WALKS,), None, "the last samples are coasted on"),
    Case("1 of 20 frames dropped", _fault(Dropped, for_s=1.0, share=0.05), (WALKS,), None, "coasted over"),
    Case("all frames dropped", _fault(Dropped), (STOPS,), _OLD,
         "coasts 3 ticks, holds the targets, stops softly without the policy"),
    Case("old samples called valid", _fault(Stale), (STOPS,), _OLD, "their own times give them away"),
    Case("frame frozen, time and all", _fault(Frozen), (STOPS,), _OLD, "a frame of no new time has not been read"),
    Case("a value is no number for 40 ms", _fault(NotANumber, for_s=0.04), (WALKS,), None,
         "joint, IMU, foot or time, NaN or infinite: not a sample, coasted over"),
    Case("a value is no number", _fault(NotANumber), (STOPS,), _OLD, "not a sample: as dropped frames"),
    Case("knee's encoder stuck, 1 s", _fault(StuckEncoder, for_s=1.0), (WALKS, STOPS, FALLS), None,
         "a joint may rest, so nothing tells; the policy's business"),
    Case("samples 20 ms late, 1 s", _fault(Delayed, ticks=1, for_s=1.0), (WALKS,), None, "the policy's business"),
    Case("samples 60 ms late, 1 s", _fault(Delayed, ticks=3, for_s=1.0), (WALKS, STOPS, FALLS), _OLD,
         "warned of; the policy's business"),
    Case("samples 160 ms late", _fault(Delayed, ticks=8), (STOPS,), _OLD, "too old: stops softly without the policy"),
    Case("samples 60 ms late under new times, 1 s", _fault(Delayed, ticks=3, lying=True, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "nothing tells; the policy's business"),
    Case("hip pitches swapped", _fault(Swapped, for_s=1.0, **_HIPS), (WALKS, STOPS, FALLS), None,
         "both are where the other may be, so nothing tells but the fall; `wildrobot doctor` and calibration do"),
    Case("knee and ankle swapped", _fault(Swapped, **_KNEE_ANKLE), (STOPS, FALLS), "tracking_error|falling|tilt",
         "the tracking error, if the robot does not fall first"),
    Case("feet swapped, 1 s", _fault(Swapped, for_s=1.0, **_FEET), (WALKS, STOPS, FALLS), None,
         "the estimator weighs a foot that contradicts the rest less; the policy's business"),
    Case("gyro saturated at 0.2 rad/s, 1 s", _fault(Saturated, field="imu_angular_velocity", limit=0.2, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "the policy's business"),
    Case("accelerometer saturated at 8 m/s², 1 s", _fault(Saturated, field="imu_acceleration", limit=8.0, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "the estimator leans on the legs; the policy's business"),
    Case("joint velocities saturated at 1 rad/s, 1 s", _fault(Saturated, field="joint_velocity", limit=1.0, for_s=1.0),
         (WALKS, STOPS, FALLS), None, "the policy's business"),
    Case("policy takes 15 ms, 1 s", _fault(SlowPolicy, seconds=0.015, for_s=1.0), (WALKS,), None, "within the period"),
    Case("policy takes 60 ms once", _fault(SlowPolicy, seconds=0.06, for_s=_ONE_TICK), (WALKS,), _LATE,
         "skips to the next tick, warns"),
    Case("policy takes 25 ms", _fault(SlowPolicy, seconds=0.025), (STOPS,), _LATE,
         "late again and again: stops softly after the sixth"),
    Case("policy hangs for 0.2 s", _fault(SlowPolicy, seconds=0.2, for_s=_ONE_TICK), (STOPS,), _LATE, "stops softly"),
    Case("process stopped for 1 s", _fault(Stopped, seconds=1.0), (STOPS, FALLS), None,
         "stops softly when it goes on; the servos' watchdogs have stopped a real robot by then"),
    Case("policy answers NaN or infinity", _fault(WrongAnswer, for_s=_ONE_TICK), (STOPS,), _NO_NUMBER,
         "holds the targets, stops softly without the policy"),
    Case("policy answers 100 times too much", _fault(WrongAnswer, times=100.0, plus=0.0), (STOPS, FALLS),
         "policy_output_clips", "clipped and bounded; stops softly without the policy"),
    Case("policy answers the same for ever", _fault(SameAnswer), (WALKS, STOPS, FALLS), None,
         "nothing tells; the robot stands as it is, or falls"),
    Case("policy raises", _fault(Raises), (STOPS,), "gave up", "holds the targets, stops softly without the policy"),
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
