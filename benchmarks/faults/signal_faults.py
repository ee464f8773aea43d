"""What can go wrong with SensorFrames and with the policy's answers, and the simulated robot seen through it."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from session_helpers import FreeRobot

from wildrobot.signal_path.sensor_frame import SensorFrame, hold_invalid

MEASURED = (
    "time_s", "joint_position", "joint_velocity", "joint_time_s", "imu_quaternion", "imu_angular_velocity",
    "imu_acceleration", "imu_time_s", "foot_contact", "foot_time_s",
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

    joint: int
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
