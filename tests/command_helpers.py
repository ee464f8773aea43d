"""Senders of commands over LCM, with clocks of their own, and the runtime that polls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from network_helpers import HandReceiver
from runtime_helpers import SPEC

from wildrobot.runtime.commands.lcm_command import LcmCommand
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.telemetry.identity import RunIdentity
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t

NS = 1_000_000_000


NONE = velocity_command_t.NONE


STAND = velocity_command_t.STAND


ALICE = RunIdentity("alice", 77)


SKEW_S = {"a": 0.0, "b": 1.7e9, "c": -3e8}
"""How far the clocks of senders are ahead of the robot's."""


class Network:
    """Senders with clocks of their own, and the runtime that polls."""

    def __init__(self, *allowed: str) -> None:
        self.receiver, self.time = HandReceiver(), RunTime()
        self.time.begin(0)
        self.told: list[str] = []
        self.source = LcmCommand(SPEC, self.receiver, ALICE, self.time, allowed)

    def send(
        self,
        at_s: float,
        speed: float = 0.0,
        request: int = NONE,
        source: str = "a",
        heard_s: float | None = None,
        robot: RunIdentity = ALICE,
    ) -> None:
        """A message of the robot's time `at_s`, in answer to what the robot said at `heard_s`: at that time, too."""
        message = velocity_command_t()
        message.timestamp_us = round((at_s + SKEW_S.get(source, 0.0)) * 1e6)
        message.robot_name, message.run_id = robot
        message.robot_timestamp_us = self.time.timestamp_us(
            round((at_s if heard_s is None else heard_s) * NS)
        )
        message.source, message.linear_velocity_x, message.request = source, speed, request
        self.receiver.put(message.encode())

    def tick(self, at_s: float) -> OperatorCommand:
        command = self.source.poll(round(at_s * NS), State.WALKING)
        self.told += texts(command)
        return command

    def poll(self, at_s: float) -> OperatorCommand:
        """A tick, and where somebody new has spoken, the next one, with which he takes the wheel."""
        first = self.tick(at_s)
        if self.source._next is None:
            return first
        second = self.tick(at_s)
        refused = Counter(first.refused)
        refused.update(second.refused)
        return replace(
            second, stand=first.stand or second.stand, refused=refused, notes=first.notes + second.notes
        )

    def speed(self, at_s: float) -> float:
        return self.poll(at_s).linear_velocity_x


def texts(command: OperatorCommand) -> list[str]:
    return [note.text for note in command.notes]
