"""A robot's ends of the network and a loop that polls them, without the robot; and who drives it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Self

from runtime_helpers import SPEC

from wildrobot.core.lcm_network import Network, open_network
from wildrobot.runtime.commands.lcm_command import COMMAND, LcmCommand
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.commands.source import OperatorCommand, StopSignals
from wildrobot.runtime.commands.stops import StopListener
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of, new_identity
from wildrobot.runtime.telemetry.lcm_types import robot_announcement_t, robot_state_t, velocity_command_t
from wildrobot.runtime.telemetry.neighbours import ANNOUNCEMENT, Neighbours

TICK_S = 0.02


class RobotLoop:
    """50 Hz: what would the robot do? A context manager, entered on the robot's computer."""

    def __init__(self, url: str, name: str, identity: RunIdentity | None = None) -> None:
        self.identity = identity or new_identity(name, simulated=False)
        self.time, self.signals = RunTime(), StopSignals()
        self.polled: list[tuple[float, OperatorCommand]] = []
        """Time on `time.monotonic`, and what the loop was to do then."""
        self.network: Network = open_network(url)
        self._receiver = self.network.receiver((channel_of(name, COMMAND),))
        self.source = LcmCommand(SPEC, self._receiver, self.identity, self.time)
        self._stops = StopListener(self.network, name, self.signals)
        self._neighbours = Neighbours(self.network, self.identity)
        self.news: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._stops.__enter__()
        self._neighbours.__enter__()
        self.time.begin(time.monotonic_ns())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._neighbours.__exit__()
        self._stops.__exit__()
        self.source.close()
        self.network.close()

    def _work(self) -> None:
        due = time.monotonic()
        with contextlib.suppress(PermissionError):  # as the runtime's loop has it
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        while not self._ended.is_set():
            now = time.monotonic_ns()
            command = self.signals.applied_to(self.source.poll(now, State.LIMP))
            self.polled.append((time.monotonic(), command))
            self._say(now)
            while self._neighbours.news:
                self.news.append(self._neighbours.news.popleft())
            due = max(due + TICK_S, time.monotonic() - TICK_S)
            time.sleep(max(0.0, due - time.monotonic()))

    def _say(self, now: int) -> None:
        state, said = robot_state_t(), robot_announcement_t()
        for message in (state, said):
            message.timestamp_us = self.time.timestamp_us(now)
            message.robot_name, message.run_id = self.identity
        state.state = "limp"
        said.robot, said.host, said.state = "wildrobot", "test", "limp"
        self.network.publish(channel_of(self.identity.robot_name, "robot_state"), state.encode())
        if len(self.polled) % 10 == 1:
            self.network.publish(ANNOUNCEMENT, said.encode())

    def now_us(self) -> int:
        """What its next message will be stamped with."""
        return self.time.timestamp_us(time.monotonic_ns())

    def commanders(self) -> set[str]:
        """Who has commanded it, for a tick at least."""
        return {command.source for _, command in self.polled} - {""}

    def moved(self) -> bool:
        """Whether it was ever asked to stand up or to walk, and obeyed."""
        return any(
            command.stand or command.linear_velocity_x or command.yaw_rate for _, command in self.polled
        )

    def stopped(self) -> list[float]:
        """When it was stopped."""
        return [at for at, command in self.polled if command.stop]

    def notes(self) -> list[str]:
        """What it has told of who commands."""
        return [note.text for _, command in self.polled for note in command.notes]

    def refused(self) -> dict[str, int]:
        """How many commands it has refused, by reason."""
        counts: dict[str, int] = {}
        for _, command in self.polled:
            for reason, count in command.refused.items():
                counts[reason] = counts.get(reason, 0) + count
        return counts


def drive_command(loop: RobotLoop, source: str, number: int = 0) -> bytes:
    """A command to stand up and walk that its robot would obey, with what only a listener can know."""
    message = velocity_command_t()
    message.timestamp_us, message.source = time.time_ns() // 1000 + number, source
    message.robot_name, message.run_id = loop.identity
    message.robot_timestamp_us = loop.now_us()
    message.linear_velocity_x, message.request = 0.3, velocity_command_t.STAND
    return message.encode()


class Driver:
    """Hears one robot and drives it at 20 Hz; a context manager, entered on the driver's computer."""

    def __init__(self, network: Network, robot_name: str, source: str, speed: float = 0.3) -> None:
        self.sender, self._speed = CommandSender(network, source), speed
        self._receiver = network.receiver((channel_of(robot_name, "robot_state"),))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._receiver.close()

    def _work(self) -> None:
        while not self._ended.wait(0.05):
            while (message := self._receiver.read()) is not None:
                said = robot_state_t.decode(message.data)
                self.sender.hears(RunIdentity(said.robot_name, said.run_id), said.timestamp_us)
            self.sender.velocity(self._speed, 0.0)
