"""Commands from LCM: whose count, how old they may be, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import COMMAND_TIMEOUT_NS, Note, OperatorCommand
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t

CLOCK_DRIFT = 1e-3
"""How much slower than ours a sender's clock may run; a hundred times what a quartz does."""
STEADY_NS = 2 * NS_PER_S
"""Messages that are late by the same amount for so long are not late: their sender's clock was set back."""
STEADY_WITHIN_NS = NS_PER_S // 10
MAX_SOURCES = 32
_WHY = {
    velocity_command_t.STOP: "asks to stop softly",
    velocity_command_t.ESTOP: "asks to let go at once",
}


class SenderClock:
    """How late the messages of one sender are, from their own timestamps; the two clocks need not agree.

    The least difference between arrival and timestamp seen so far is that of a message that came at once (as in
    Cristian's algorithm, one way); what a message has more than that is its delay. A delay that was there from the
    first message on cannot be told from a difference of the clocks.
    """

    def __init__(self) -> None:
        self._least_ns = 0
        self._last_ns: int | None = None
        self._steady_ns, self._since_ns = 0, 0
        self._steady = False

    def delay_ns(self, timestamp_us: int, now_ns: int) -> int:
        """Delay of a message that arrives now, 0 or more."""
        difference = now_ns - 1000 * timestamp_us
        if self._last_ns is None:
            self._least_ns = difference
        else:
            allowed = self._least_ns + round(CLOCK_DRIFT * (now_ns - self._last_ns))
            self._least_ns = min(allowed, difference)
        self._last_ns = now_ns
        delay = difference - self._least_ns
        if delay <= COMMAND_TIMEOUT_NS:
            self._steady = False
        elif not self._steady or abs(difference - self._steady_ns) > STEADY_WITHIN_NS:
            self._steady, self._steady_ns, self._since_ns = True, difference, now_ns
        elif now_ns - self._since_ns >= STEADY_NS:
            self._steady, self._least_ns, delay = False, difference, 0
        return delay


@dataclass
class _Sender:
    """What is known of one source."""

    clock: SenderClock = field(default_factory=SenderClock)
    timestamp_us: int | None = None
    """Of the last message that was obeyed."""
    request: int = velocity_command_t.NONE
    """Of the last message, so that a request that is sent again and again is told once."""
    told: set[str] = field(default_factory=set)
    """Refusals that the person has been told of, until it is obeyed again."""


class LcmCommand:
    """From LCM channel `velocity_command`. Every tick drains the queue: LCM keeps the oldest.

    The first source that commands holds the robot until it has been silent for 0.5 s. Refused, and counted: other
    sources while one holds it, sources that are not `allowed` (where any are named), messages that come late by
    their sender's clock, and repetitions. STOP and ESTOP count whoever sends them, and whenever.
    """

    def __init__(self, spec: RobotSpec, connection: Any, allowed: Collection[str] = ()) -> None:
        self._spec, self._lcm, self._allowed = spec, connection, frozenset(allowed)
        self._subscription = connection.subscribe("velocity_command", self._receive)
        self._senders: dict[str, _Sender] = {}
        self._holder: str | None = None
        self._latest = velocity_command_t()
        self._arrived_ns: int | None = None
        self._now_ns = 0
        self._unreadable_told = False
        self._begin(0)

    def _begin(self, now_ns: int) -> None:
        self._now_ns, self._request = now_ns, velocity_command_t.NONE
        self._refused: Counter[str] = Counter()
        self._notes: list[Note] = []

    def _receive(self, channel: str, data: bytes) -> None:
        try:
            message = velocity_command_t.decode(data)
            name = _printable(message.source)
        except Exception:
            # Whatever is in a foreign packet must not end the loop.
            self._refused["unreadable"] += 1
            if not self._unreadable_told:
                text = "messages on velocity_command cannot be read: is their sender of another version?"
                self._notes.append(Note(text, warning=True))
                self._unreadable_told = True
            return
        sender = self._sender(name)
        if message.request >= velocity_command_t.STOP:
            self._request = max(self._request, message.request)
            if message.request != sender.request:
                why = _WHY.get(message.request, _WHY[velocity_command_t.ESTOP])
                self._notes.append(Note(f"{_shown(name)} {why}"))
        sender.request = message.request
        refusal = self._refusal(name, sender, message)
        if refusal is not None and message.request >= velocity_command_t.STOP:
            return
        if refusal is not None:
            self._refused[refusal[0]] += 1
            if refusal[0] not in sender.told and refusal[1]:
                sender.told.add(refusal[0])
                self._notes.append(Note(refusal[1], warning=True))
            return
        sender.told.clear()
        sender.timestamp_us = message.timestamp_us
        self._holder, self._latest, self._arrived_ns = name, message, self._now_ns
        if message.request == velocity_command_t.STAND:
            self._request = max(self._request, message.request)
        if not _finite(message):
            self._refused["not_finite"] += 1

    def _refusal(self, name: str, sender: _Sender, message: velocity_command_t) -> tuple[str, str] | None:
        """Why a message is not obeyed: in one word, and for the person (empty: not worth telling)."""
        delay_ns = sender.clock.delay_ns(message.timestamp_us, self._now_ns)
        if self._allowed and name not in self._allowed:
            return "unknown_source", f"{_shown(name)} is refused: --lcm-source does not name it"
        if delay_ns > COMMAND_TIMEOUT_NS:
            text = (
                f"{_shown(name)} is refused: its commands come {delay_ns / NS_PER_S:.1f} s late by its clock"
            )
            return "old", text
        last = sender.timestamp_us
        # further back than that is a clock that was set back, which took its time to be believed
        if last is not None and 0 <= 1000 * (last - message.timestamp_us) < COMMAND_TIMEOUT_NS:
            return "repeated", ""
        if self._holder not in (None, name) and not self._silent():
            return "other_source", f"{_shown(name)} is refused while {_shown(self._holder or '')} commands"
        return None

    def _sender(self, name: str) -> _Sender:
        """Known by name; of too many names, those heard least lately are forgotten."""
        sender = self._senders.pop(name, None) or _Sender()
        self._senders[name] = sender
        if len(self._senders) > MAX_SOURCES:
            del self._senders[next(iter(self._senders))]
        return sender

    def _silent(self) -> bool:
        return self._arrived_ns is None or self._now_ns - self._arrived_ns > COMMAND_TIMEOUT_NS

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        self._begin(now_ns)
        for _ in range(100):  # bounded: a flood must not hold up the tick
            if self._lcm.handle_timeout(0) <= 0:
                break
        if self._silent():
            self._holder = None
        held = self._holder is not None
        moves = held and _finite(self._latest)
        return OperatorCommand(
            self._latest.linear_velocity_x if moves else 0.0,
            self._latest.yaw_rate if moves else 0.0,
            stand=self._request == velocity_command_t.STAND,
            stop=self._request == velocity_command_t.STOP,
            estop=self._request >= velocity_command_t.ESTOP,
            source=_shown(self._holder) if self._holder is not None else "",
            age_s=math.nan if self._arrived_ns is None else (now_ns - self._arrived_ns) / NS_PER_S,
            lost="" if held else f"silent for {COMMAND_TIMEOUT_NS / NS_PER_S:g} s",
            refused=self._refused,
            notes=tuple(self._notes),
        ).clipped(self._spec)

    def close(self) -> None:
        self._lcm.unsubscribe(self._subscription)


def _finite(message: velocity_command_t) -> bool:
    return math.isfinite(message.linear_velocity_x) and math.isfinite(message.yaw_rate)


def _printable(source: str) -> str:
    """A name as a terminal may show it: what is in it came over the network."""
    return "".join(character for character in source if character.isprintable())[:40]


def _shown(name: str) -> str:
    return f"lcm:{name}" if name else "lcm"
