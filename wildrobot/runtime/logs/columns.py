"""Fields of a log as arrays over time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.runtime.logs.decoding import decode
from wildrobot.runtime.logs.eventlog import Event
from wildrobot.runtime.logs.robots import read_log

Array = NDArray[np.float64]


class Columns:
    """One channel: `time_s` (T,) since the log's first message, and fields (T,) or (T, n) by name."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._time = array("d")
        self._values: dict[str, array[float]] = {name: array("d") for name in fields}
        self._width: dict[str, int | None] = {}

    def add(self, time_s: float, message: object) -> None:
        """Take a message up; one with lists of other lengths than the first one's is another robot's, and left out."""
        values = {name: getattr(message, name) for name in self._values}
        width = {
            name: len(value) if isinstance(value, (list, tuple)) else None for name, value in values.items()
        }
        self._width = self._width or width
        if width != self._width:
            return
        self._time.append(time_s)
        for name, value in values.items():
            if isinstance(value, (list, tuple)):
                self._values[name].extend(value)
            else:
                self._values[name].append(value)

    @property
    def time_s(self) -> Array:
        return np.array(self._time)

    def __len__(self) -> int:
        return len(self._time)

    def __getitem__(self, name: str) -> Array:
        values, width = np.array(self._values[name]), self._width.get(name)
        return values if width is None else values.reshape(len(self._time), width)


def read_columns(
    path: Path,
    fields: Mapping[str, Sequence[str]],
    begin_s: float = 0.0,
    end_s: float = float("inf"),
) -> dict[str, Columns]:
    """Numeric `fields` (channel -> names) of a log's messages between two times, s since its first message.

    What is damaged is left out without a word: `summarize` tells.
    """
    found = {channel: Columns(names) for channel, names in fields.items()}
    first: Event | None = None
    for event in read_log(path, damages=[]):
        first = first or event
        time_s = 1e-6 * (event.timestamp_us - first.timestamp_us)
        if event.channel in found and begin_s <= time_s <= end_s:
            found[event.channel].add(time_s, decode(path, event.channel, event.data))
    return found
