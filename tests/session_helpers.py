"""The whole runtime in this process and in simulated time, tick by tick, over any robot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.commands.source import CommandSource, FixedCommand, StopSignals
from wildrobot.runtime.control.controller import STAGES, Controller
from wildrobot.runtime.control.safety import Applied, SafetySupervisor
from wildrobot.runtime.control.skills import Skill, load_skill
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S, Clock, DeadlineClock, TickTimer
from wildrobot.runtime.robots.base import Health, Robot, RobotOptions
from wildrobot.runtime.robots.sim import SimRobot
from wildrobot.signal_path.sensor_frame import SensorFrame

SPEC = load_robot()
POLICY = Path(__file__).resolve().parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"


@dataclass(frozen=True)
class Told:
    """An event that the runtime published."""

    time_s: float
    name: str
    text: str
    severity: int


class EventList:
    """A publisher that keeps events and the last command, and forgets the rest."""

    def __init__(self) -> None:
        self.events: list[Told] = []
        self.applied: Applied | None = None
        self.gain = 0.0
        self._now_ns = 0

    def begin(self, now_ns: int, tick: int, state: str) -> None:
        self._now_ns = now_ns

    def event(self, name: str, text: str, severity: int = 0) -> None:
        self.events.append(Told(self._now_ns / NS_PER_S, name, text, severity))

    def command(self, user: Any, gain: float, applied: Applied, watch: Any) -> None:
        self.gain, self.applied = gain, applied

    def state(self, *_: Any) -> None: ...

    def policy(self, *_: Any) -> None: ...

    def health(self, *_: Any) -> None: ...

    def announce(self, *_: Any) -> None: ...

    def status(self, *_: Any) -> None: ...

    def end(self) -> None: ...


class LoopSession:
    """One run: `tick` is one control period of everything."""

    def __init__(
        self,
        robot: Robot,
        clock: Clock,
        skills: Sequence[Skill],
        source: CommandSource | None = None,
        spec: RobotSpec = SPEC,
    ) -> None:
        self.robot, self.clock = robot, clock
        self.timer = TickTimer(STAGES, window=50)
        self.told = EventList()
        self.controller = Controller(
            spec,
            SafetySupervisor(spec, robot),
            skills,
            source or FixedCommand(spec, 0.3, 0.0, 60.0),
            StopSignals(),
            self.told,  # type: ignore[arg-type]
            self.timer,
        )

    @property
    def state(self) -> State:
        """What the runtime is doing."""
        return self.controller.state

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return self.clock.now_ns() / NS_PER_S

    def tick(self) -> None:
        """One control period."""
        self.timer.start(*self.clock.wait())
        self.controller.tick(self.clock.now_ns())
        self.timer.finish()

    def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """So many seconds, or until the run has ended; `each` is called after every tick."""
        for _ in range(round(seconds * SPEC.control_hz)):
            if self.controller.ended:
                return
            self.tick()
            each()

    def until(self, state: State, limit_s: float = 20.0) -> None:
        """Until the runtime is in `state`."""
        for _ in range(round(limit_s * SPEC.control_hz)):
            if self.state is state:
                return
            self.tick()
        raise AssertionError(
            f"not {state.value} within {limit_s} s, but {self.state.value}: {self.told.events}"
        )


class FreeRobot:
    """The simulated robot on a clock of its own: its time goes on, whether the runtime keeps up or not."""

    lockstep = False

    def __init__(self, spec: RobotSpec = SPEC, seed: int = 0) -> None:
        self.sim = SimRobot(spec, RobotOptions(seed=seed))
        self._period = round(spec.control_dt * NS_PER_S)
        self._now = self._stepped = 0
        self._goal: Any = spec.default_joint_pos[None]

    def now_ns(self) -> int:
        """Simulated time."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Time passes: the physics goes on with the last target."""
        self._now += round(seconds * NS_PER_S)
        while self._stepped + self._period <= self._now:
            self.sim.write(self._goal)
            self._stepped += self._period

    def clock(self) -> DeadlineClock:
        """The loop's pace in this robot's time."""
        return DeadlineClock(self._period, now_ns=self.now_ns, sleep=self.sleep)

    def read(self) -> SensorFrame:
        return self.sim.read()

    def health(self) -> Health:
        return self.sim.health()

    def write(self, joint_target: Any) -> None:
        self._goal = np.array(joint_target)

    def set_stiffness(self, stiffness: float) -> None:
        self.sim.set_stiffness(stiffness)

    def truth(self) -> Any:
        return self.sim.truth()

    def close(self) -> None:
        self.sim.close()


def sim_session(source: CommandSource | None = None, seed: int = 0) -> LoopSession:
    """The shipped policy on a `FreeRobot`."""
    robot = FreeRobot(seed=seed)
    return LoopSession(robot, robot.clock(), [load_skill(SPEC, POLICY)], source)


def up(truth: Any) -> bool:
    """The robot has not fallen, by a simulator's truth of one robot."""
    _, x, y, _ = np.ravel(truth.pelvis_quaternion)
    upright = 1.0 - 2.0 * (x * x + y * y)
    return bool(np.ravel(truth.pelvis_position)[2] > 0.6 * SPEC.standing_height and upright > 0.5)
