"""A log for other people's tools: every value of its messages with a name and a unit.

Joints, feet, features and slices of the observation are named by the run's configuration; guards, stages and refusals
by the messages themselves: a list of texts that ends in `_name` names the lists of its size beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.decoding import ElementNames, decode, is_array, type_name
from wildrobot.runtime.logs.eventlog import Event
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.logs.units import field_notes, unit_of_name
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

QUANTITIES = {
    "pelvis_height": "m", "velocity_direction": "", "contact": "", "projected_gravity": "", "previous_action": "",
    "gait_clock": "", "pelvis_angular_velocity": "rad/s", "pelvis_linear_velocity": "m/s",
    "torso_angular_velocity": "rad/s",
}  # fmt: skip
"""Units of what features and observation hold (`signal_path`) and no `.lcm` file names; empty: no dimension."""


@dataclass(frozen=True)
class NamedValue:
    """One column, or one curve: a field of a message, or one value of a list."""

    path: tuple[str, ...]
    """joint_position, left_knee_pitch."""
    field: str
    index: int | None
    """Which value of the list; None: the whole field."""
    key: str
    """Its name in the message's own list of names; empty: there is none."""
    kind: str
    """LCM type of a value: double, int64_t, string, ..."""
    listed: bool
    """A whole list, whose values have no names."""
    unit: str
    text: str
    """What the `.lcm` file says of the field."""


@dataclass(frozen=True)
class MessageLayout:
    """The named values of a channel's messages."""

    channel: str
    kind: Any
    values: tuple[NamedValue, ...]

    def read(self, message: Any) -> list[Any]:
        """The value of every column.

        What the message does not name (no command refused for this reason, yet) is NaN, or 0 of a whole number.
        """
        found: list[Any] = []
        own: dict[str, dict[str, Any]] = {}
        for value in self.values:
            content = getattr(message, value.field)
            if value.index is None:
                found.append(list(content) if value.listed else content)
            elif not value.key:
                found.append(content[value.index])
            else:
                if value.field not in own:
                    namer = _namer(self.kind, value.field)
                    own[value.field] = dict(zip(getattr(message, namer), content, strict=True))
                missing = math.nan if value.kind in ("double", "float") else 0
                found.append(own[value.field].get(value.key, missing))
        return found


class LogEntry(NamedTuple):
    """A message of a log, and what is in it."""

    time_us: int
    """Of the log."""
    message: Any
    layout: MessageLayout
    configuration: str
    """JSON of the run_configuration that named the values; empty: the log has none."""


class NamedLog:
    """The messages of a log with their names, the same for a run's messages before its first configuration.

    A log that a logger began after the robot has the configuration up to a second later than the first message, so
    the file is read twice: for the names, and for the messages.
    """

    def __init__(self, path: Path, channels: Sequence[str], warn: Callable[[str], None]) -> None:
        """`warn` is told, once a channel, of messages that are left out because they have another layout.

        Raises:
            UserError: there is no such log, or it is of several robots.
        """
        self._path, self.channels, self._warn = path, channels, warn
        self._told: set[str] = set()
        self._layouts: dict[Any, MessageLayout] = {}
        self._own_names: dict[tuple[str, str], dict[str, None]] = {}
        self._first: dict[int | None, str] = {}
        """The first configuration of every run, by its id."""
        self.configurations: list[Any] = []
        """Every run_configuration that says something new, in order."""
        for event in read_log(path, damages=[]):
            self._survey(event)
        self._names = {m.json: ElementNames(m) for m in self.configurations} or {"": ElementNames(None)}
        if not self.configurations:
            warn(f"{path} has no message on channel run_configuration: joints have numbers instead of names.")

    def __iter__(self) -> Iterator[LogEntry]:
        """Messages on the channels asked for, in the log's order."""
        latest: dict[int | None, str] = {}  # configuration of every run, by its id
        said = next(iter(self._names))
        for event in read_log(self._path):
            if event.channel not in self.channels and event.channel != "run_configuration":
                continue
            message = self._decoded(event, self._warn)
            if message is None:
                continue
            if event.channel == "run_configuration":
                latest[message.run_id] = said = message.json
            if event.channel in self.channels:
                run = getattr(message, "run_id", None)
                names = latest.get(run) or self._first.get(run, said)
                layout = self._layout(event.channel, message, names)
                yield LogEntry(event.timestamp_us, message, layout, names)

    def _survey(self, event: Event) -> None:
        namers = _namers(event.channel)
        if event.channel != "run_configuration" and not namers:
            return
        message = self._decoded(event, warn=None)
        if message is None:
            return
        if event.channel == "run_configuration":
            self._first.setdefault(message.run_id, message.json)
        known = self.configurations[-1].json if self.configurations else None
        if event.channel == "run_configuration" and message.json != known:
            self.configurations.append(message)
        for field in namers:
            names = self._own_names.setdefault((event.channel, field), {})
            names.update(dict.fromkeys(getattr(message, field)))

    def _decoded(self, event: Event, warn: Callable[[str], None] | None) -> Any | None:
        try:
            return decode(self._path, event.channel, event.data)
        except UserError as error:
            if warn is not None and event.channel not in self._told:
                warn(f"left out: {error}")
                self._told.add(event.channel)
            return None

    def _layout(self, channel: str, message: Any, configuration: str) -> MessageLayout:
        kind, names = CHANNEL_TYPES[channel], self._names[configuration]
        known = tuple(names.known(field, len(getattr(message, field))) is not None for field in _lists(kind))
        key = (channel, configuration, known)
        if key not in self._layouts:
            values: list[NamedValue] = []
            for field in kind.__slots__:
                values += self._values(channel, message, field, names)
            self._layouts[key] = MessageLayout(channel, kind, tuple(values))
        return self._layouts[key]

    def _values(self, channel: str, message: Any, field: str, names: ElementNames) -> Iterator[NamedValue]:
        kind, note = CHANNEL_TYPES[channel], field_notes(CHANNEL_TYPES[channel])[field]
        lcm_type, listed = type_name(kind, field), is_array(kind, field)
        if field in _sizes(kind) or field in _namers(channel):
            return
        namer = _namer(kind, field)
        if namer:
            for i, name in enumerate(self._own_names.get((channel, namer), ())):
                unit = note.unit(i) or unit_of_name(name)
                yield NamedValue((field, *name.split("/")), field, i, name, lcm_type, False, unit, note.text)
            return
        known = names.known(field, len(getattr(message, field))) if listed else None
        if known is None:
            yield NamedValue((field,), field, None, "", lcm_type, listed, note.unit(0), note.text)
            return
        scales = names.observation_scale if field == "observation" else [1.0] * len(known)
        for i, (name, scale) in enumerate(zip(known, scales, strict=True)):
            unit = note.unit(i) or unit_of_quantity(name)
            unit = f"{unit} * {scale:g}" if unit and scale != 1 else unit
            yield NamedValue((field, *name.split("/")), field, i, "", lcm_type, False, unit, note.text)


def unit_of_quantity(name: str) -> str:
    """Unit of a feature or a value of the observation: features/joint_position/left_knee_pitch is in rad."""
    for part in name.split("/"):
        quantity = re.sub(r"_\d+_ticks_ago$", "", part)
        if quantity in QUANTITIES:
            return QUANTITIES[quantity]
        units = _units_of_fields().get(quantity, ())
        if len(units) == 1:
            return units[0]
    return ""


@cache
def _units_of_fields() -> dict[str, tuple[str, ...]]:
    return {name: note.units for kind in CHANNEL_TYPES.values() for name, note in field_notes(kind).items()}


@cache
def _lists(kind: Any) -> tuple[str, ...]:
    return tuple(field for field in kind.__slots__ if is_array(kind, field))


@cache
def _sizes(kind: Any) -> frozenset[str]:
    """Fields that say how long a list is: it knows that itself."""
    return frozenset(str(size) for sizes in kind.__dimensions__ for size in sizes or ())


@cache
def _namers(channel: str) -> tuple[str, ...]:
    kind = CHANNEL_TYPES.get(channel)
    return tuple({_namer(kind, field): None for field in _lists(kind) if _namer(kind, field)}) if kind else ()


@cache
def _namer(kind: Any, field: str) -> str:
    """The list of texts that names the values of a list in the same message; empty: there is none."""
    sizes = dict(zip(kind.__slots__, kind.__dimensions__, strict=True))
    for other in _lists(kind):
        named = other.endswith("_name") and type_name(kind, other) == "string"
        if named and other != field and sizes[other] == sizes[field]:
            return other
    return ""
