"""A controller with everything around it made up: what it reads, what the policy answers, what the person wants."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from runtime_helpers import SPEC, SmallPolicy, frame_at
from session_helpers import LoopSession

from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.skills import Skill
from wildrobot.runtime.control.state_machine import Durations, State, StateMachine
from wildrobot.runtime.control.timing import NS_PER_S, SteppedClock
from wildrobot.runtime.robots.base import Health
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.sensor_frame import SensorFrame

QUICK = Durations(
    limp=0.2, stand_up=0.2, torque_ramp=0.1, settle=0.04, halt=0.1, crouch=0.2, release=0.1, estop_release=0.06
)  # fmt: skip
WALK = OperatorCommand(0.3, 0.0, stand=True)


@dataclasses.dataclass
class Wild:
    """What goes on, and wrong, on one stretch of ticks."""

    count: int = 1
    values: list[tuple[str, int, float]] = dataclasses.field(default_factory=list)
    """Places of the frame, and what stands there."""
    frozen: bool = False
    """The robot gives its last frame again."""
    action: float | None = None
    """What the policy answers; None: what it should."""
    raises: bool = False
    health: float = math.nan
    missed: int = 0
    """Deadlines that each tick comes after."""
    command: OperatorCommand = WALK


class WildRobot:
    """Everything around the controller: its robot, its policy, its person."""

    lockstep = False

    def __init__(self) -> None:
        self.now = Wild()
        self.time, self._frame = 0, frame_at()
        self.written: list[tuple[float, Any]] = []
        """Torque gain and target of every tick."""
        self.asked = 0
        """How often the policy was."""
        self.gain = 0.0
        self.position = SPEC.default_joint_pos[None]
        small = SmallPolicy(SPEC)
        self.layout, self.contract = small.layout, small.contract
        self._small = small

    def read(self) -> SensorFrame:
        self.time += 1
        if self.now.frozen:
            return self._frame
        frame = frame_at(0.02 * self.time, position=self.position[0], jitter=self.time)
        for name, index, value in self.now.values:
            array = getattr(frame, name).reshape(-1)
            array[index % array.size] = value
        self._frame = frame
        return frame

    def health(self) -> Health:
        values = np.full(SPEC.num_joints, self.now.health)
        return Health(values, values, values)

    def write(self, joint_target: Any) -> None:
        self.written.append((self.gain, np.array(joint_target)))
        if self.gain > 0.0:
            self.position = np.array(joint_target)

    def set_stiffness(self, stiffness: float) -> None:
        self.gain = stiffness

    def truth(self) -> None: ...

    def close(self) -> None: ...

    def __call__(self, observation: Any) -> Any:
        self.asked += 1
        if self.now.raises:
            raise RuntimeError("the policy's runtime gave up")
        action = np.array(self._small(observation))
        if self.now.action is not None:
            with np.errstate(over="ignore"):
                action[0, self.time % SPEC.num_joints] = self.now.action
        return action

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        return self.now.command


def wild_session() -> tuple[LoopSession, WildRobot]:
    """A run of it, with short phases."""
    wild = WildRobot()
    skill = Skill(Path("wild.onnx"), "", wild, SignalPath(SPEC, wild.layout))
    session = LoopSession(wild, SteppedClock(round(SPEC.control_dt * NS_PER_S)), [skill], wild)
    session.controller.machine = StateMachine(SPEC, QUICK)
    return session, wild


def wild_tick(session: LoopSession, wild: WildRobot) -> None:
    """One control period, as late as it is to be."""
    with np.errstate(all="ignore"):
        session.clock.wait()
        session.timer.start(wild.now.missed, 0)
        session.controller.tick(session.clock.now_ns())
        session.timer.finish()
