"""LCM event logs: written so that neither a slow disk nor kill -9 costs much, read with clear errors.

The format is LCM's own (big endian): sync word, event number, Unix time in microseconds, length of the
channel name, length of the data, name, data. The writer is ours because `lcm.EventLog.write_event` holds
Python's lock through the disk write and cannot flush; `lcm.EventLog`, `lcm-logplayer` and `lcm-spy` read what
it writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wildrobot.errors import UserError

SYNC = 0xEDA1DA01
_HEADER = struct.Struct(">IqqII")


@dataclass(frozen=True)
class Event:
    """One message of a log."""

    timestamp_us: int
    channel: str
    data: bytes


class LogWriter:
    """Appends events to a new file, one system call per `write`: what is written survives the process."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise UserError(
                f"cannot write the log {path}: {error.strerror or error}. Choose a folder you may write to."
            ) from error
        self.path = path
        self._number = 0

    def write(self, events: Iterable[Event]) -> None:
        """Append events; raises OSError when the disk is full or gone."""
        parts = []
        for event in events:
            name = event.channel.encode()
            parts.append(_HEADER.pack(SYNC, self._number, event.timestamp_us, len(name), len(event.data)))
            parts += (name, event.data)
            self._number += 1
        block = memoryview(b"".join(parts))
        while block:
            block = block[self._file.write(block) or 0 :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: str | Path) -> Iterator[Event]:
    """Events of a log in order. A last event cut short (the writer was killed) ends the log without an error.

    Raises:
        UserError: the file cannot be read, or is no event log at some byte.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (closed by the `with` below)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}. Give a log that exists.") from error
    with file:
        while True:
            start = file.tell()
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size and (start > 0 or not head):
                return
            sync, _, timestamp_us, name_size, size = (
                _HEADER.unpack(head) if len(head) == _HEADER.size else (0,) * 5
            )
            if sync != SYNC:
                raise UserError(
                    f"{path} is not an LCM event log at byte {start} (no sync word). "
                    "Give a file written by `wildrobot-run --log` or `lcm-logger`."
                )
            name, data = file.read(name_size), file.read(size)
            if len(data) < size:
                return
            yield Event(timestamp_us, name.decode(errors="replace"), data)
