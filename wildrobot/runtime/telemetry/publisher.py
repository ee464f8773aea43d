"""What a tick has to say, and the queue that takes it to the telemetry thread: nothing is made into messages here.

It is handed over once per tick, at its end: every time wakes the thread, which then wants Python's lock in the middle
of the tick. Arrays are copied, so that the loop may go on writing to its own.
"""

from __future__ import annotations

import copy
import queue
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wildrobot.runtime.commands.source import CommandWatch
from wildrobot.runtime.control.guards import GuardReading
from wildrobot.runtime.control.safety import Applied
from wildrobot.runtime.control.timing import RunTime, TickTimer
from wildrobot.runtime.robots.base import Health
from wildrobot.runtime.telemetry.configuration_message import with_policies
from wildrobot.runtime.telemetry.identity import RunIdentity
from wildrobot.runtime.telemetry.lcm_types import robot_event_t, run_configuration_t
from wildrobot.runtime.telemetry.messages import (
    Stamp,
    announcement_message,
    command_to_message,
    event_to_message,
    frame_to_message,
    health_to_message,
    policy_to_message,
)
from wildrobot.runtime.telemetry.neighbours import Neighbours
from wildrobot.runtime.telemetry.status_line import Status
from wildrobot.signal_path.path import Signal
from wildrobot.signal_path.sensor_frame import SensorFrame

CONFIGURATION_EVERY_US = 60_000_000
"""In the log: should its head be damaged, what comes later can still be understood."""

Part = TypeVar("Part")


class Outgoing(NamedTuple):
    """A message, or the function that makes it on the telemetry thread."""

    channel: str
    message: Any
    to_log: bool
    to_lcm: bool


Item = Outgoing | str | Status
"""A message, a line for the person, or the line at the foot of the screen."""


class Outbox:
    """The control thread's end of the queue to telemetry."""

    def __init__(self, capacity: int, lossless: bool) -> None:
        """`capacity`: ticks that wait at most. `lossless` waits for room; otherwise what finds none is dropped."""
        self.queue: queue.Queue[list[Item] | None] = queue.Queue(capacity)
        self._put_tick = self.queue.put if lossless else self.queue.put_nowait
        self.active = self.has_status = self.quiet = False
        self.items: list[Item] = []
        """Of the tick that is not handed over yet."""
        self.dropped = 0
        """Messages that reached neither log nor network."""

    def put(self, channel: str, message: Any, to_log: bool = True, to_lcm: bool = True) -> None:
        """One more message (with `timestamp_us`) of this tick; `flush` hands it over.

        The message, or the function that makes it, is the thread's from now on: nothing that it holds may change.
        """
        self.items.append(Outgoing(channel, message, to_log, to_lcm))

    def status(self, text: str) -> None:
        """Renew the line at the foot of the screen, off the control thread."""
        if self.has_status:
            self.items.append(Status(text))

    def say(self, text: str) -> None:
        """Print a line for the person, off the control thread: a stopped terminal must not stop the loop."""
        if not self.quiet:
            self.items.append(text)

    def flush(self) -> None:
        """Hand over what has come since the last time; never blocks in a real-time run."""
        if not self.items:
            return
        items, self.items = self.items, []
        try:
            self._put_tick(items)
        except queue.Full:
            self.dropped += len(items)


class Publisher:
    """Call `begin` once per tick, then the messages, then `end`; all of a tick share its number and timestamp."""

    def __init__(
        self,
        outbox: Outbox,
        configuration: run_configuration_t,
        time: RunTime,
        simulated: bool = False,
        neighbours: Neighbours | None = None,
    ) -> None:
        """`neighbours` tells of the network; None: there is none."""
        self._outbox, self._configuration, self._time = outbox, configuration, time
        configuration.timestamp_us = time.start_us
        self._identity = RunIdentity(configuration.robot_name, configuration.run_id)
        self._stamp, self._state = Stamp(*self._identity, time.start_us, 0), ""
        self._logged_us = time.start_us
        self._simulated, self._host, self._neighbours = simulated, socket.gethostname(), neighbours
        self.problem = ""
        """Why nobody hears this run; empty: nothing is known to be wrong."""
        self._outbox.put("run_configuration", copy.copy(configuration))
        outbox.flush()

    def begin(self, now_ns: int, tick: int, state: str) -> None:
        """A tick at `now_ns` on the loop's clock; timestamps are Unix time moved on by that clock."""
        self._stamp = Stamp(*self._identity, self._time.timestamp_us(now_ns), tick)
        self._state = state
        if self._neighbours is not None:
            self._tell_of_network(self._neighbours)

    def end(self) -> None:
        """Hand over what the tick has to say."""
        self._outbox.flush()

    def reconfigure(self, policies: Sequence[tuple[Path, str]]) -> None:
        """Other policies (file, SHA-256) from now on: into the log, too."""
        self._configuration = with_policies(self._configuration, policies)
        self._configuration.timestamp_us = self._stamp.timestamp_us
        self._outbox.put("run_configuration", copy.copy(self._configuration))

    def event(self, name: str, text: str, severity: int = robot_event_t.INFO) -> None:
        """A change of state, a warning or a fault; warnings and faults are also printed."""
        self._outbox.put("robot_event", partial(event_to_message, name, text, severity, self._stamp))
        if severity or name in ("state", "command", "network"):
            self._outbox.say(f"{('', 'warning: ', 'FAULT: ')[severity]}{text}")

    def state(self, frame: SensorFrame) -> None:
        """The raw frame (1, ...)."""
        if self._outbox.active:
            message = partial(frame_to_message, _kept(frame), self._state, self._stamp)
            self._outbox.put("robot_state", message)

    def policy(
        self,
        signal: Signal,
        action: NDArray[Any],
        target: NDArray[np.float64],
        reset: bool,
        policy: int,
        style: float,
    ) -> None:
        """All that went into and came out of the policy with the index `policy`, and its style score."""
        if self._outbox.active:
            said = (_kept(signal), action.copy(), target.copy(), reset, policy, style)
            self._outbox.put("policy_state", partial(policy_to_message, *said, self._stamp))

    def status(self, line: Callable[[], str]) -> None:
        """The line that stays at the foot of the screen, where there is one."""
        if self._outbox.has_status:
            deaf = f" · {self.problem.partition(':')[0]}" if self.problem else ""
            self._outbox.status(line() + deaf)

    def command(
        self, user: NDArray[np.float64], stiffness: float, applied: Applied, watch: CommandWatch
    ) -> None:
        """What the servos were given, and at whose command."""
        if self._outbox.active:
            said = (user.copy(), stiffness, _kept(applied), watch.source, watch.age_s)
            self._outbox.put("robot_command", partial(command_to_message, *said, self._state, self._stamp))

    def announce(self, source: str) -> None:
        """Who is there and who commands, for everybody on the network and whoever is shown the log."""
        if self._outbox.active:
            said = (self._configuration.robot, self._host, self._simulated, self._state, source)
            self._outbox.put("robot_announcement", partial(announcement_message, *said, self._stamp))

    def _tell_of_network(self, neighbours: Neighbours) -> None:
        while neighbours.news:
            self.event("network", neighbours.news.popleft(), robot_event_t.WARNING)
        problem = neighbours.problem
        if problem != self.problem:
            self.problem = problem
            text = problem or "messages pass again"
            self.event("network", text, robot_event_t.WARNING if problem else robot_event_t.INFO)

    def health(
        self, timer: TickTimer, health: Health, readings: list[GuardReading], watch: CommandWatch
    ) -> None:
        """Timing, servo health, guards and who commands; and the configuration again for those who have just joined."""
        outbox, now_us = self._outbox, self._stamp.timestamp_us
        if not outbox.active:
            return
        said = (timer.window(), timer.stages, timer.missed, outbox.dropped, _kept(health), list(readings))
        who = (watch.source, watch.age_s, watch.lost, dict(watch.refused), self.problem)
        self._outbox.put("robot_health", partial(health_to_message, *said, *who, self._stamp))
        self._configuration.timestamp_us = now_us
        due = now_us - self._logged_us >= CONFIGURATION_EVERY_US
        self._logged_us = now_us if due else self._logged_us
        outbox.put("run_configuration", copy.copy(self._configuration), to_log=due)


def _kept(part: Part) -> Part:
    """A dataclass as it is now, whatever becomes of its arrays; those of dataclasses inside it, too."""
    kept = object.__new__(type(part))
    for name, value in part.__dict__.items():
        if isinstance(value, np.ndarray):
            value = value.copy()
        elif hasattr(value, "__dataclass_fields__"):
            value = _kept(value)
        kept.__dict__[name] = value
    return kept
