"""What is in a log: channels, states, events, guards, timing, what is missing; read in one go with bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.core.files import json_document
from wildrobot.runtime.logs.decoding import decode
from wildrobot.runtime.logs.eventlog import Damage, Event, log_parts
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, robot_event_t

MOST_EVENTS = 1000
"""Kept whole; beyond, they are counted."""
LEVELS = ("fine", "warning", "stop")
SEVERITIES = ("info", "warning", "fault")


@dataclass
class Channel:
    """What came on one channel."""

    messages: int = 0
    bytes: int = 0
    rate_hz: float = 0.0
    longest_gap_s: float = 0.0
    missing_ticks: int = 0
    """Ticks whose message is not there although those around it are."""
    undecodable: int = 0
    """Messages of a layout that this release does not know."""
    first_s: float = 0.0
    last_s: float = 0.0
    last_tick: int | None = None


@dataclass(frozen=True)
class Stretch:
    """The robot was in one state."""

    state: str
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class Told:
    """A `robot_event`."""

    time_s: float
    tick: int
    severity: str
    name: str
    text: str


@dataclass
class GuardSummary:
    """A guard as `robot_health` gave it: the value at its worst level."""

    value: float
    level: str


@dataclass
class Timing:
    """The loop's, the worst of the log's seconds; counts since the run's start."""

    missed_ticks: int = 0
    messages_dropped: int = 0
    work_p50_ms: float = 0.0
    work_p99_ms: float = 0.0
    work_max_ms: float = 0.0
    late_max_ms: float = 0.0
    histogram: dict[str, int] = field(default_factory=dict)
    """Work per tick since the start: where a bin begins (ms) and its ticks."""


@dataclass
class Summary:
    """All of it; times in s since the first message."""

    files: list[str]
    bytes: int
    begin_us: int = 0
    """Unix time of the first message."""
    clock_synchronized: bool | None = None
    """Whether something had set the robot's clock when the run began; None: the log does not say."""
    duration_s: float = 0.0
    channels: dict[str, Channel] = field(default_factory=dict)
    robot_name: str = ""
    robot: str = ""
    robot_hash: str = ""
    policies: list[dict[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    states: list[Stretch] = field(default_factory=list)
    falls: int = 0
    faults: int = 0
    events: list[Told] = field(default_factory=list)
    event_counts: dict[str, int] = field(default_factory=dict)
    guards: dict[str, GuardSummary] = field(default_factory=dict)
    timing: Timing | None = None
    damages: list[Damage] = field(default_factory=list)

    def begins(self) -> str:
        """Date and time for a person, with what is to be thought of them."""
        begin = datetime.fromtimestamp(1e-6 * self.begin_us, UTC)
        doubt = " (the robot's clock was not set: may be wrong)" if self.clock_synchronized is False else ""
        return f"{begin:%Y-%m-%d %H:%M:%S} UTC{doubt}"

    def seconds_in(self, state: str) -> float:
        """Time spent in a state."""
        return sum(s.end_s - s.begin_s for s in self.states if s.state == state)

    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain: dict[str, Any] = json_document(asdict(self))
        for entry, damage in zip(plain["damages"], self.damages, strict=True):
            entry["seconds"] = damage.seconds
        return plain


def summarize(path: Path) -> Summary:
    """Read a log once.

    Raises:
        UserError: it is not there, is no log, or is empty.
    """
    parts = log_parts(path)
    summary = Summary([str(part) for part in parts], sum(part.stat().st_size for part in parts))
    reader = _Reader(path, summary)
    for event in read_log(path, summary.damages):
        reader.take(event)
    if not summary.channels:
        raise UserError(f"{path} is empty: no message was logged.")
    reader.finish()
    return summary


class _Reader:
    """Takes events in their order and fills a summary."""

    def __init__(self, path: Path, summary: Summary) -> None:
        self._path, self._summary = path, summary
        self._now = 0.0
        self._counts: Counter[str] = Counter()
        self._take = {
            "run_configuration": self._configuration,
            "robot_state": self._state,
            "robot_event": self._event,
            "robot_health": self._health,
        }

    def take(self, event: Event) -> None:
        summary = self._summary
        if not summary.channels:
            summary.begin_us = event.timestamp_us
        self._now = 1e-6 * (event.timestamp_us - summary.begin_us)
        summary.duration_s = max(summary.duration_s, self._now)
        channel = summary.channels.get(event.channel)
        if channel is None:
            channel = summary.channels[event.channel] = Channel(first_s=self._now, last_s=self._now)
        channel.messages += 1
        channel.bytes += len(event.data)
        channel.longest_gap_s = max(channel.longest_gap_s, self._now - channel.last_s)
        channel.last_s = self._now
        if event.channel not in CHANNEL_TYPES:
            return
        try:
            message = decode(self._path, event.channel, event.data)
        except UserError:
            channel.undecodable += 1
            return
        self._count_ticks(event.channel, channel, message)
        if event.channel in self._take:
            self._take[event.channel](message)

    def finish(self) -> None:
        for channel in self._summary.channels.values():
            span = channel.last_s - channel.first_s
            channel.rate_hz = (channel.messages - 1) / span if span > 0 else 0.0
        self._summary.event_counts = dict(self._counts)

    def _count_ticks(self, name: str, channel: Channel, message: Any) -> None:
        if name not in ("robot_state", "robot_command", "policy_state"):
            return
        # the policy rests while a pose is driven, and begins with a reset
        if channel.last_tick is not None and not getattr(message, "reset", False):
            channel.missing_ticks += max(0, message.tick - channel.last_tick - 1)
        channel.last_tick = message.tick

    def _configuration(self, message: Any) -> None:
        summary, content = self._summary, json.loads(message.json)
        summary.robot_name, summary.robot, summary.robot_hash = (
            message.robot_name,
            message.robot,
            message.robot_hash,
        )
        summary.versions, summary.machine = content.get("versions", {}), content.get("machine", "")
        summary.options = content.get("options", {})
        summary.clock_synchronized = content.get("clock_synchronized")
        for policy in content.get("policies", []):
            if policy not in summary.policies:
                summary.policies.append(policy)

    def _state(self, message: Any) -> None:
        states = self._summary.states
        if states:  # one ends where the next begins
            states[-1] = Stretch(states[-1].state, states[-1].begin_s, self._now)
        if not states or states[-1].state != message.state:
            states.append(Stretch(message.state, self._now, self._now))

    def _event(self, message: Any) -> None:
        summary = self._summary
        self._counts[message.name] += 1
        summary.falls += message.name == "fall"
        summary.faults += message.severity == robot_event_t.FAULT and message.name == "fault"
        if len(summary.events) < MOST_EVENTS:
            severity = SEVERITIES[min(max(message.severity, 0), 2)]
            summary.events.append(Told(self._now, message.tick, severity, message.name, message.text))

    def _health(self, message: Any) -> None:
        timing = self._summary.timing = self._summary.timing or Timing()
        timing.missed_ticks, timing.messages_dropped = message.missed_ticks, message.messages_dropped
        timing.work_p50_ms = max(timing.work_p50_ms, message.tick_p50_ms)
        timing.work_p99_ms = max(timing.work_p99_ms, message.tick_p99_ms)
        timing.work_max_ms = max(timing.work_max_ms, message.tick_max_ms)
        timing.late_max_ms = max(timing.late_max_ms, message.lateness_max_ms)
        timing.histogram = {
            f"{i * message.bin_width_ms:g}": count for i, count in enumerate(message.histogram) if count
        }
        guards = self._summary.guards
        for name, value, level in _guards(message):
            known = guards.get(name)
            if known is None or level >= LEVELS.index(known.level):
                guards[name] = GuardSummary(value, LEVELS[level])


def _guards(message: Any) -> Iterator[tuple[str, float, int]]:
    for name, value, level in zip(message.guard_name, message.guard_value, message.guard_level, strict=True):
        yield name, value, min(max(level, 0), 2)
