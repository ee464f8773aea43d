"""Where two logs part, and by how much each of their fields does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.decoding import ElementNames, read_messages
from wildrobot.runtime.logs.eventlog import Damage
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

WHOSE = ("robot_name", "run_id")
"""Fields that say whose log it is, and are never compared."""
CHANNELS = ("robot_state", "policy_state", "robot_command", "robot_event")
"""Compared unless told: what a run did, and not how long it took for it."""

Key = tuple[int, int, int]
"""Which of the runs in a log, tick, which message of the tick."""


@dataclass(frozen=True)
class FirstDifference:
    """Where two logs part."""

    tick: int
    channel: str
    field: str
    name: str
    """Element of the field; empty: it is no list."""
    first: Any
    second: Any

    def __str__(self) -> str:
        element = f", {self.name}" if self.name else ""
        gap = ""
        if isinstance(self.first, float) and isinstance(self.second, float):
            gap = f", difference {self.second - self.first:.3e}"
        return (
            f"first difference: tick {self.tick}, {self.channel}, {self.field}{element}: "
            f"{self.first!r} and {self.second!r}{gap}"
        )


@dataclass
class FieldDifference:
    """How far one field differs, over all ticks that both logs have."""

    ticks: int = 0
    """Compared."""
    differ: int = 0
    """Of them, those with a difference that counts."""
    largest: float = 0.0
    largest_tick: int = 0
    largest_name: str = ""
    squares: float = 0.0
    values: int = 0
    """Numbers compared."""

    @property
    def rms(self) -> float:
        """Of the difference, over all numbers."""
        return float(np.sqrt(self.squares / self.values)) if self.values else 0.0


@dataclass
class Differences:
    """All of it."""

    first: FirstDifference | None = None
    fields: dict[str, FieldDifference] = field(default_factory=dict)
    """By channel.field."""
    only_in: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Channel -> messages that only the first log has, and only the second."""

    @property
    def differ(self) -> bool:
        """Whether there is a difference at all."""
        return self.first is not None or bool(self.only_in)

    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        document = asdict(self) | {"differ": self.differ}
        for name, entry in self.fields.items():
            document["fields"][name]["rms"] = entry.rms
        return document


def compare_logs(
    first: Path, second: Path, channels: Sequence[str], ignore: Sequence[str], tolerance: float = 0.0
) -> Differences:
    """Compare two logs channel by channel, a message of each in memory at a time.

    Raises:
        UserError: a log cannot be read, or none of the channels is in both.
    """
    found, both = Differences(), 0
    firsts: list[tuple[Key, FirstDifference]] = []
    for channel in channels:
        fields = [
            name for name in CHANNEL_TYPES[channel].__slots__ if name not in ignore and name not in WHOSE
        ]
        only = [0, 0]
        for key, messages, names in _pairs(first, second, channel):
            if None in messages:
                only[messages[0] is None] += 1
                continue
            both += 1
            for name in fields:
                entry = found.fields.setdefault(f"{channel}.{name}", FieldDifference())
                values = [getattr(message, name) for message in messages]
                parted = _compare_field(entry, key[1], channel, name, values, names, tolerance)
                if parted is not None and (not firsts or firsts[-1][1].channel != channel):
                    firsts.append((key, parted))
        if any(only):
            found.only_in[channel] = (only[0], only[1])
    if both == 0:
        raise UserError(
            f"{first} and {second} have no tick in common on {', '.join(channels)}. "
            "Give logs of `wildrobot-run --log`, and channels that they have."
        )
    # on one tick, the order of the channels is that of cause and effect
    found.first = min(firsts, key=lambda entry: entry[0][:2])[1] if firsts else None
    return found


def _pairs(first: Path, second: Path, channel: str) -> Iterator[tuple[Key, list[Any], ElementNames]]:
    """Messages of the same tick from both logs, in order; None where one has none."""
    streams = [_keyed(path, channel) for path in (first, second)]
    heads = [next(stream, None) for stream in streams]
    while heads != [None, None]:
        key = min(head[0] for head in heads if head is not None)
        mine = [head is not None and head[0] == key for head in heads]
        names = next(head[2] for head, own in zip(heads, mine, strict=True) if own and head is not None)
        yield key, [head[1] if own and head else None for head, own in zip(heads, mine, strict=True)], names
        heads = [
            next(stream, None) if own else head
            for stream, head, own in zip(streams, heads, mine, strict=True)
        ]


def _keyed(path: Path, channel: str) -> Iterator[tuple[Key, Any, ElementNames]]:
    run, last, count, names = 0, -1, 0, ElementNames(None)
    told: list[Damage] | None = None if channel == CHANNELS[0] else []  # once
    for found, message in read_messages(path, ("run_configuration", channel), told):
        if found == "run_configuration":
            names = ElementNames(message)
        if found != channel:
            continue
        tick = getattr(message, "tick", 0)
        run += tick < last
        count = count + 1 if tick == last else 0
        last = tick
        yield (run, tick, count), message, names


def _compare_field(
    entry: FieldDifference,
    tick: int,
    channel: str,
    name: str,
    values: Sequence[Any],
    names: ElementNames,
    tolerance: float,
) -> FirstDifference | None:
    """Take one field of one tick up; returns the difference, if it counts."""
    entry.ticks += 1
    first, second = values
    if first == second:  # most of the time; a NaN is looked at below
        entry.values += len(first) if isinstance(first, (list, tuple)) else not isinstance(first, str)
        return None
    listed = isinstance(first, (list, tuple))
    if isinstance(first, str) or (listed and (len(first) != len(second) or isinstance(first[0], str))):
        entry.differ += 1
        return FirstDifference(tick, channel, name, "", first, second)
    a, b = np.atleast_1d(np.asarray(first, dtype=float)), np.atleast_1d(np.asarray(second, dtype=float))
    with np.errstate(invalid="ignore"):
        gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(b - a))
    gap = np.where(np.isnan(gap), np.inf, gap)
    entry.values += len(gap)
    entry.squares += float(np.sum(gap**2))
    worst = int(np.argmax(gap))
    element = names(name, len(gap))[worst] if listed else ""
    if gap[worst] > entry.largest:
        entry.largest, entry.largest_tick, entry.largest_name = float(gap[worst]), tick, element
    if gap[worst] <= tolerance:
        return None
    entry.differ += 1
    return FirstDifference(tick, channel, name, element, float(a[worst]), float(b[worst]))
