"""The whole runtime on the virtual robot in this process: bytes between them, simulated time, no waiting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import session_helpers
from session_helpers import POLICY, SPEC, LoopSession, Told

from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import CommandSource, FixedCommand
from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.control.timing import NS_PER_S, DeadlineClock
from wildrobot.runtime.robots.dynamixel import DynamixelRobot

__all__ = ["POLICY", "SPEC", "Session", "Told", "up"]


class Session(LoopSession):
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
        clock = DeadlineClock(
            round(spec.control_dt * NS_PER_S), now_ns=self.transport.now_ns, sleep=self.transport.sleep
        )
        super().__init__(
            DynamixelRobot(spec, self.transport, self.notes.append),
            clock,
            [load_skill(spec, policy)],
            source or FixedCommand(spec, speed, 0.0, duration_s),
            spec,
        )


def up(virtual: VirtualRobot) -> bool:
    """The robot has not fallen."""
    return session_helpers.up(virtual.truth())
