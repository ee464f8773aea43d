"""A run's events, repeated ones in groups, and the cause of its last stop."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wildrobot.view.readout.advice import SOFT_STOP, TORQUE_OFF, advice

TOGETHER_US = 10_000_000
"""A repetition within so long of the last one counts with it."""
GROUPS = 40
"""That are kept."""
_FIGURE = re.compile(r"(?<!servo )(?<![\w.])[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
"""Numbers, but not which servo."""


@dataclass
class EventGroup:
    """Events of one kind from one device."""

    name: str
    text: str
    """The latest."""
    severity: int
    """The worst."""
    first_us: int
    last_us: int
    count: int = 1
    over: bool = False
    """A problem that the robot said is over."""

    @property
    def seconds(self) -> float:
        """From the first to the last."""
        return 1e-6 * (self.last_us - self.first_us)


@dataclass(frozen=True)
class Cause:
    """Why the robot stopped last, or does not stand up."""

    name: str
    text: str
    timestamp_us: int
    stopped: bool = True
    """False: it was only refused to stand up."""

    @property
    def next_step(self) -> str:
        """What to do."""
        return advice(self.name)


class Events:
    """Of one run."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], EventGroup] = {}
        """The open ones and, under a key that no event has, those that are closed; the latest event's is last."""
        self._closed = 0
        self.cause: Cause | None = None
        """Of the last stop; None: it has stood up since, or none was heard."""
        self.bus_errors = 0
        """Events of the servo bus that were no mere news."""

    def __iter__(self) -> Iterator[EventGroup]:
        """That of the latest event first."""
        return reversed(self._groups.values())

    def __len__(self) -> int:
        return len(self._groups)

    def take(self, event: Any) -> None:
        """One robot_event."""
        self.bus_errors += int(event.name == "bus" and event.severity > 0)
        self._group(event)
        self._judge(event)

    def _group(self, event: Any) -> None:
        text, over = event.text, False
        if event.name == "bus" and text.startswith("over: "):
            text, over = text.removeprefix("over: "), True
        key = (event.name, _kind(event.name, text))
        group = self._groups.get(key)
        if group is not None and abs(event.timestamp_us - group.last_us) > TOGETHER_US:
            self._closed += 1
            # in its place: what is newer than it stays so
            self._groups = {
                (("", str(self._closed)) if one == key else one): kept for one, kept in self._groups.items()
            }
            group = None
        if group is None:
            group = EventGroup(event.name, text, event.severity, event.timestamp_us, event.timestamp_us)
            group.over = over
        else:
            del self._groups[key]
            group.text, group.severity = text, max(group.severity, event.severity)
            group.last_us, group.over = event.timestamp_us, over
            group.count += int(not over)
        self._groups[key] = group
        while len(self._groups) > GROUPS:
            del self._groups[next(iter(self._groups))]

    def _judge(self, event: Any) -> None:
        if event.name == "state" and event.text.endswith("-> standing_up"):
            self.cause = None
            return
        name = ""
        if event.name == "fall":
            name = "fall"
        elif event.name in ("fault", "refused") and " at the stop level" in event.text:
            first = event.text.partition(" at the stop level")[0].removeprefix("not standing up: ")
            name = first.partition(",")[0]
        elif event.name == "command" and event.text in (TORQUE_OFF, SOFT_STOP):
            name = event.text
        if not name:
            return
        # What follows a first cause is its consequence; torque off and a fall weigh more than a soft stop.
        known = self.cause is not None and self.cause.stopped
        if known and name not in ("fall", TORQUE_OFF):
            return
        self.cause = Cause(name, event.text, event.timestamp_us, event.name != "refused")


def _kind(name: str, text: str) -> str:
    """What texts have in common that differ only in their figures."""
    return text.partition(" = ")[0] if name == "guard" else _FIGURE.sub("#", text)


def clock(timestamp_us: int) -> str:
    """Time of day here: hours, minutes, seconds."""
    return time.strftime("%H:%M:%S", time.localtime(1e-6 * timestamp_us))
