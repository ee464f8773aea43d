"""The whole runtime on the virtual robot in this process: bytes between them, simulated time, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildrobot.firmware_bridge.virtual.faults import Fault
from wildrobot.firmware_bridge.virtual.robot import Hidden, VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.commands_input import CommandSource, FixedCommand, StopSignals
from wildrobot.runtime.controller import STAGES, Controller
from wildrobot.runtime.loop import NS_PER_S, DeadlineClock
from wildrobot.runtime.robots.dynamixel import DynamixelRobot
from wildrobot.runtime.skills import load_skill
from wildrobot.runtime.state_machine import State
from wildrobot.runtime.timing import TickTimer

SPEC = load_robot()
POLICY = Path(__file__).resolve().parents[1] / "policies" / "wildrobot_walk.onnx"


@dataclass(frozen=True)
class Told:
    """An event that the runtime published."""

    time_s: float
    name: str
    text: str
    severity: int


class EventList:
    """A publisher that keeps events and forgets the rest."""

    def __init__(self) -> None:
        self.events: list[Told] = []
        self._now_ns = 0

    def begin(self, now_ns: int, tick: int, state: str) -> None:
        self._now_ns = now_ns

    def event(self, name: str, text: str, severity: int = 0) -> None:
        self.events.append(Told(self._now_ns / NS_PER_S, name, text, severity))

    def state(self, *_: Any) -> None: ...

    def policy(self, *_: Any) -> None: ...

    def command(self, *_: Any) -> None: ...

    def health(self, *_: Any) -> None: ...

    def status(self, *_: Any) -> None: ...


class Session:
    """One run: `tick` is one control period of everything."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        speed: float = 0.3,
        duration_s: float = 60.0,
        spec: RobotSpec = SPEC,
        hidden: Hidden | None = None,
        latency_timer_ms: float = 0.0,
        source: CommandSource | None = None,
        policy: Path = POLICY,
        virtual: VirtualRobot | None = None,
    ) -> None:
        self.virtual = virtual or VirtualRobot(
            SPEC, seed=seed, faults=faults, hidden=hidden, latency_timer_ms=latency_timer_ms
        )
        self.transport = VirtualTransport(self.virtual, spec.config.bus.baud)
        self.notes: list[str] = []
        self.robot = DynamixelRobot(spec, self.transport, self.notes.append)
        self.clock = DeadlineClock(
            round(spec.control_dt * NS_PER_S), now_ns=self.transport.now_ns, sleep=self.transport.sleep
        )
        self.timer = TickTimer(STAGES, window=50)
        self.told = EventList()
        self.controller = Controller(
            spec,
            self.robot,
            [load_skill(spec, policy)],
            source or FixedCommand(spec, speed, 0.0, duration_s),
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
        return self.transport.now_ns() / NS_PER_S

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


def up(virtual: VirtualRobot) -> bool:
    """The robot has not fallen."""
    truth = virtual.truth()
    _, x, y, _ = truth.pelvis_quaternion
    upright = 1.0 - 2.0 * (x * x + y * y)
    return bool(truth.pelvis_position[2] > 0.6 * SPEC.standing_height and upright > 0.5)
