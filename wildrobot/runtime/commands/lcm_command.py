"""Commands from LCM: for which run they are, how fresh, whose count, and what is refused."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field

from wildrobot.core.lcm_network import Receiver
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import (
    COMMAND_TIMEOUT_NS,
    MAX_SOURCES,
    Note,
    OperatorCommand,
    printable,
)
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S, RunTime
from wildrobot.runtime.telemetry.identity import RunIdentity, run_text
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t

COMMAND = "velocity_command"
FLOOD = 100
"""Messages of one source in a second that are too many: twice one per tick."""
CROWD = 10
"""Messages in a tick, of others than who commands, that are too many for one of them to take the wheel."""
MOST_NOTES = 10
"""Sentences for the person in a second."""
DRAIN_S, FEW = 1e-3, 32
"""Of a tick for reading commands; what waits beyond that, and beyond a few messages, is thrown away unread."""


@dataclass
class _Sender:
    """What is known of one source."""

    last: tuple[int, int] = (0, 0)
    """Timestamps, the robot's and its own, of the last message that was obeyed."""
    arrivals: deque[int] = field(default_factory=lambda: deque(maxlen=FLOOD))
    """Times of its last messages, ns."""
    told: set[str] = field(default_factory=set)
    """Refusals that the person has been told of, until it is obeyed again."""


@dataclass
class _Next:
    """Who takes the wheel with the next tick, unless it turns out to be part of a flood by then."""

    name: str
    message: velocity_command_t
    arrived_ns: int
    stand: bool = False
    count: int = 0


class LcmCommand:
    """From LCM channel NAME/velocity_command, which every tick empties.

    The first source that commands holds the robot, from the tick after its first message on and until it has been
    silent for 0.5 s. That tick shows whether the message was the first one of a flood. Refused, and counted: commands
    for another robot or another run, those that answer what the robot said more than 0.5 s ago, other sources while
    one holds it, sources that are not `allowed` (where any are named), repetitions, and floods. So neither a log that
    is played nor a network that delivers late drives the robot; no clock is compared but the robot's with itself.
    """

    def __init__(
        self,
        spec: RobotSpec,
        receiver: Receiver,
        identity: RunIdentity,
        time: RunTime,
        allowed: Collection[str] = (),
    ) -> None:
        self._spec, self._receiver, self._allowed = spec, receiver, frozenset(allowed)
        self._identity, self._time = identity, time
        self._senders: dict[str, _Sender] = {}
        self._holder: str | None = None
        self._next: _Next | None = None
        self._others, self._crowd_told = 0, False
        self._told_ns: deque[int] = deque(maxlen=MOST_NOTES)
        self._latest = velocity_command_t()
        self._arrived_ns: int | None = None
        self._now_ns = 0
        self._unreadable_told = False
        self._begin(0)

    def _begin(self, now_ns: int) -> None:
        self._now_ns, self._stand, self._others = now_ns, False, 0
        self._refused: Counter[str] = Counter()
        self._notes: list[Note] = []

    def _receive(self, data: bytes) -> None:
        try:
            message = velocity_command_t.decode(data)
            name = printable(message.source)
        except Exception:
            # Whatever is in a foreign packet must not end the loop.
            self._refused["unreadable"] += 1
            if not self._unreadable_told:
                self._warn(f"messages on {COMMAND} cannot be read: is their sender of another version?")
                self._unreadable_told = True
            return
        sender = self._sender(name)
        self._others += name != self._holder
        refusal = self._refusal(name, sender, message)
        if refusal is not None:
            self._refused[refusal[0]] += 1
            if refusal[0] not in sender.told and refusal[1]:
                sender.told.add(refusal[0])
                self._warn(refusal[1])
            return
        sender.told.clear()
        sender.last = (message.robot_timestamp_us, message.timestamp_us)
        stand = message.request == velocity_command_t.STAND
        if self._holder == name:
            self._latest, self._arrived_ns, self._stand = message, self._now_ns, self._stand or stand
        else:
            self._next = self._next or _Next(name, message, self._now_ns)
            self._next.message, self._next.arrived_ns = message, self._now_ns
            self._next.stand, self._next.count = self._next.stand or stand, self._next.count + 1
        if not _finite(message):
            self._refused["not_finite"] += 1

    def _warn(self, text: str) -> None:
        if len(self._told_ns) < MOST_NOTES or self._now_ns - self._told_ns[0] >= NS_PER_S:
            self._told_ns.append(self._now_ns)
            self._notes.append(Note(text, warning=True))

    def _refusal(self, name: str, sender: _Sender, message: velocity_command_t) -> tuple[str, str] | None:
        """Why a message is not obeyed: in one word, and for the person (empty: not worth telling)."""
        who, mine = _shown(name), self._identity
        sender.arrivals.append(self._now_ns)
        if self._allowed and name not in self._allowed:
            return "unknown_source", f"{who} is refused: --lcm-source does not name it"
        if len(sender.arrivals) == FLOOD and self._now_ns - sender.arrivals[0] < NS_PER_S:
            if self._holder == name:  # it does not keep the wheel for what it said first
                self._holder, self._arrived_ns, self._stand = None, None, False
            if self._next is not None and self._next.name == name:
                self._next = None
            return "flood", f"{who} is refused: it sends more than {FLOOD} commands a second, 20 are enough"
        if message.robot_name != mine.robot_name:
            return (
                "other_robot",
                f"{who} is refused: it commands {printable(message.robot_name) or 'no robot'}",
            )
        if message.run_id != mine.run_id:
            text = (
                f"{who} is refused: it commands run {run_text(message.run_id)} of {mine.robot_name}, this is "
            )
            return "other_run", f"{text}{mine.run}. Is a log played, or did the robot start again?"
        age_ns = 1000 * (self._time.timestamp_us(self._now_ns) - message.robot_timestamp_us)
        if not 0 <= age_ns <= COMMAND_TIMEOUT_NS:
            text = f"{who} is refused: it answers what the robot said {age_ns / NS_PER_S:.1f} s ago"
            return "old", f"{text}; does it hear the robot, or is a log played?"
        if (message.robot_timestamp_us, message.timestamp_us) <= sender.last:
            return "repeated", ""
        if self._holder is not None and not self._silent():
            text = f"{who} is refused while {_shown(self._holder)} commands"
            return None if self._holder == name else ("other_source", text)
        return None if self._next is None or self._next.name == name else ("other_source", "")

    def _sender(self, name: str) -> _Sender:
        """Known by name; of too many names, those heard least lately are forgotten."""
        sender = self._senders.pop(name, None) or _Sender()
        self._senders[name] = sender
        if len(self._senders) > MAX_SOURCES:
            del self._senders[next(iter(self._senders))]
        return sender

    def _silent(self) -> bool:
        return self._arrived_ns is None or self._now_ns - self._arrived_ns > COMMAND_TIMEOUT_NS

    def _drain(self) -> None:
        """Read what waits; after `DRAIN_S` the rest is thrown away, so that what comes next is new."""
        end, read, taken = time.perf_counter() + DRAIN_S, self._receiver.read, 0
        while (message := read()) is not None:
            self._receive(message.data)
            taken += 1
            if taken >= FEW and time.perf_counter() > end:
                thrown = 0
                while thrown < 10_000 and read() is not None:
                    thrown += 1
                self._refused["flood"] += thrown
                self._others += thrown
                return

    def _hand_over(self, waiting: _Next | None) -> None:
        """`waiting`, from the last tick, takes the wheel if it is free and this tick's messages were not too many."""
        if self._silent():
            self._holder = None
        if self._next is not None and self._others > CROWD:
            self._refused["flood"] += self._next.count
            self._next = None
            if not self._crowd_told:
                self._crowd_told = True
                text = f"{self._others} commands in one tick: no new source gets control while that goes on"
                self._notes.append(Note(text, warning=True))
        if self._holder is not None:
            self._next = None
        elif waiting is not None and waiting is self._next:
            self._holder, self._latest, self._arrived_ns = waiting.name, waiting.message, waiting.arrived_ns
            self._stand, self._next, self._crowd_told = waiting.stand, None, False

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        self._begin(now_ns)
        waiting = self._next
        self._drain()
        self._hand_over(waiting)
        held = self._holder is not None
        moves = held and _finite(self._latest)
        return OperatorCommand(
            self._latest.linear_velocity_x if moves else 0.0,
            self._latest.yaw_rate if moves else 0.0,
            stand=self._stand,
            source=_shown(self._holder) if self._holder is not None else "",
            age_s=math.nan if self._arrived_ns is None else (now_ns - self._arrived_ns) / NS_PER_S,
            lost="" if held else f"sent nothing for {COMMAND_TIMEOUT_NS / NS_PER_S:g} s",
            refused=self._refused,
            notes=tuple(self._notes),
        ).clipped(self._spec)

    def close(self) -> None:
        self._receiver.close()


def _finite(message: velocity_command_t) -> bool:
    return math.isfinite(message.linear_velocity_x) and math.isfinite(message.yaw_rate)


def _shown(name: str) -> str:
    return f"lcm:{name}" if name else "lcm"
