"""Whose messages a log holds: one robot's go on to whoever reads it, those of two are never mixed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import Damage, Event, read_events
from wildrobot.runtime.telemetry.identity import RunIdentity, run_text, split_channel
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, ROBOT_CHANNELS

_START = struct.Struct(">qqI")
"""Fingerprint, timestamp_us and the length of robot_name, with which every message of a robot begins."""


def read_log(path: str | Path, damages: list[Damage] | None = None) -> Iterator[Event]:
    """Events of a log of one robot in order, with the kind of the channel for its name: robot_state, ...

    Args:
        path, damages: as for `read_events`.

    Raises:
        UserError: the log cannot be read, or holds more than one robot, or two runs at once under one name.
    """
    robot, run, earlier = "", None, set[int]()
    for event in read_events(path, damages):
        name, kind = split_channel(event.channel)
        if name and kind in CHANNEL_TYPES:
            robot = robot or name
            if name != robot:
                _refuse(path, "the robots " + ", ".join(robot_names(path)))
            event = replace(event, channel=kind)
        if kind in ROBOT_CHANNELS and (said := _run_id(event.data)) is not None and said != run:
            if said in earlier:
                runs = f"runs {run_text(run or 0)} and {run_text(said)} of the robot {robot} at the same time"
                _refuse(path, runs)
            if run is not None:
                earlier.add(run)
            run = said
        yield event


def _refuse(path: str | Path, found: str) -> None:
    raise UserError(
        f"{path} holds {found}; what is read from it would mix them. Take it apart first: wildrobot log split {path}"
    )


def robot_names(path: str | Path) -> list[str]:
    """Names of the robots in a log."""
    channels = {event.channel for event in read_events(path, damages=[])}
    named = (split_channel(channel) for channel in channels)
    return sorted({name for name, kind in named if name and kind in CHANNEL_TYPES})


def split_events(events: Iterable[Event]) -> Iterator[tuple[RunIdentity | None, Event]]:
    """Each event with the robot and run that it is of; None: of none, or of one that has not spoken yet.

    Commands and stops belong to the robot's run of that time.
    """
    runs: dict[str, int] = {}
    for event in events:
        name, kind = split_channel(event.channel)
        if not name or kind not in CHANNEL_TYPES:
            yield None, event
            continue
        if kind in ROBOT_CHANNELS and (said := _run_id(event.data)) is not None:
            runs[name] = said
        yield (RunIdentity(name, runs[name]) if name in runs else None), event


def _run_id(data: bytes) -> int | None:
    """`run_id` of a robot's message, without the rest of it; None: it is cut short."""
    if len(data) < _START.size:
        return None
    begin = _START.size + _START.unpack_from(data)[2]
    return int.from_bytes(data[begin : begin + 8], "big") if len(data) >= begin + 8 else None
