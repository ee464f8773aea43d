"""LCM event logs: one system call per write, and readable again however they ended.

The format is LCM's own (big endian): sync word, event number, Unix time in microseconds, length of the
channel name, length of the data, name, data. The writer is ours because `lcm.EventLog.write_event` holds
Python's lock through the disk write and cannot flush; the reader is ours because LCM's ends at the first
damage. `lcm.EventLog`, `lcm-logplayer` and `lcm-spy` read what the writer writes.

A log may be several files, its parts (`wildrobot-run --log-rotate`): run.0007.000.lcmlog is the first part of the
seventh run that was logged as run.lcmlog.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wildrobot.core.errors import UserError

SYNC = 0xEDA1DA01
_SYNC_BYTES = struct.pack(">I", SYNC)
_HEADER = struct.Struct(">IqqII")
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Event:
    """One message of a log."""

    timestamp_us: int
    channel: str
    data: bytes


@dataclass(frozen=True)
class Damage:
    """A stretch of a log file that holds no readable message, or (no bytes long) where messages are missing."""

    path: Path
    begin: int
    """First byte."""
    end: int
    """First byte after it."""
    before_us: int | None
    """Time of the last message before it; None: there is none."""
    after_us: int | None
    """Time of the first message after it; None: the log ends with it."""
    messages: int | None
    """How many are missing, by their numbers; None: not known, nothing readable before or after it."""

    @property
    def seconds(self) -> float | None:
        """Between the messages around it; None: it has no two sides."""
        if self.before_us is None or self.after_us is None:
            return None
        return 1e-6 * (self.after_us - self.before_us)

    def __str__(self) -> str:
        where = f"bytes {self.begin} to {self.end} cannot be read"
        if self.begin == self.end:
            where = f"messages are missing at byte {self.begin}"
        lost = f"; {self.messages} messages" if self.messages is not None else ""
        if self.seconds is not None:
            return f"{self.path}: {where}{lost}, {self.seconds:.2f} s lost"
        edge = "the beginning" if self.before_us is None else "the end"
        return f"{self.path}: {where}: {edge} is lost"


class LogWriter:
    """Appends events to a new file, one system call per `write`: what is written survives the process.

    Args:
        path: file to write.
        new: do not write over a file that is there, but raise FileExistsError.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
            self._file = path.open("xb" if new else "wb", buffering=0)
        except OSError as error:
            if new and path.exists():
                raise
            raise UserError(
                f"cannot write the log {path}: {error.strerror or error}. Choose a folder you may write to."
            ) from error
        self.path = path
        self.size = 0
        """Bytes of whole events."""
        self._number = 0

    def write(self, events: Iterable[Event]) -> None:
        """Append events, all of them or none; raises OSError when the disk is full or gone."""
        parts = []
        for event in events:
            name = event.channel.encode()
            parts.append(_HEADER.pack(SYNC, self._number, event.timestamp_us, len(name), len(event.data)))
            parts += (name, event.data)
            self._number += 1
        block = memoryview(b"".join(parts))
        size = len(block)
        try:
            while block:
                block = block[self._file.write(block) or 0 :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise
        self.size += size

    def sync(self) -> None:
        """Wait until what is written is on the disk and survives a loss of power; raises OSError."""
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


# ---------------------------------------------------------------------- parts


def part_path(path: Path, run: int, part: int) -> Path:
    """File of a part: run.lcmlog -> run.0007.000.lcmlog."""
    return path.with_name(f"{path.stem}.{run:04d}.{part:03d}{path.suffix}")


def find_parts(path: Path) -> list[tuple[int, int, Path]]:
    """All parts (run, part, file) logged as `path`, the oldest first."""
    form = re.compile(rf"{re.escape(path.stem)}\.(\d{{4,}})\.(\d{{3,}}){re.escape(path.suffix)}")
    found = []
    with suppress(OSError):
        for file in path.parent.iterdir():
            if match := form.fullmatch(file.name):
                found.append((int(match[1]), int(match[2]), file))
    return sorted(found)


def log_parts(path: Path) -> list[Path]:
    """The files of a log: `path` itself if it is there; else the parts of a run.

    run.0007.lcmlog stands for the parts of the seventh run, run.lcmlog for those of the last one.

    Raises:
        UserError: there is neither.
    """
    if path.exists():
        return [path]
    name, _, number = path.stem.rpartition(".")
    if name and number.isdecimal():
        run = int(number)
        found = [entry for entry in find_parts(path.with_name(name + path.suffix)) if entry[0] == run]
    else:
        found = find_parts(path)
        found = [entry for entry in found if entry[0] == found[-1][0]]
    if not found:
        raise UserError(f"cannot read {path}: there is no such file. Give a log that exists.")
    return [file for _, _, file in found]


# ---------------------------------------------------------------------- reading


def read_events(path: str | Path, damages: list[Damage] | None = None) -> Iterator[Event]:
    """Events of a log in order, all that can be read: after damage it goes on at the next whole message.

    Args:
        path: a file, or what stands for the parts of a run (`log_parts`).
        damages: gets what cannot be read, as it is met; None: it is printed as warnings.

    Raises:
        UserError: the file cannot be read, or is no event log.
    """
    for part in log_parts(Path(path)):
        for item in read_items(part):
            if isinstance(item, Event):
                yield item
            elif damages is None:
                print(f"warning: {item}", file=sys.stderr)
            else:
                damages.append(item)


def read_items(path: Path) -> Iterator[Event | Damage]:
    """Events of one file and what is damaged between them, in the order of the file.

    A message counts as whole when its lengths lead to the next message or to the end of the file: blocks of zeros,
    as a loss of power leaves them, would pass as data otherwise.

    Raises:
        UserError: the file cannot be read, or there is not one whole message in it.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f"cannot read {path}: {said}. Give a log that exists.") from error
    if data is None:
        return
    with data:
        yield from _walk(path, data)


def _walk(path: Path, data: mmap.mmap) -> Iterator[Event | Damage]:
    at, begin = 0, 0  # what lies between `begin` and `at` could not be read
    last_us: int | None = None
    last_number: int | None = None
    while at < len(data):
        end = _end_of_event(data, at)
        if end is None:
            at = data.find(_SYNC_BYTES, at + 1)
            at = len(data) if at < 0 else at
            continue
        _, number, timestamp_us, name_size, _ = _HEADER.unpack_from(data, at)
        missing = number - last_number - 1 if last_number is not None else None
        # numbers start again where logs were joined
        if begin < at or (missing is not None and missing > 0):
            known = missing if missing is not None and missing >= 0 else None
            yield Damage(path, begin, at, last_us, timestamp_us, known)
        name = at + _HEADER.size
        channel = data[name : name + name_size].decode(errors="replace")
        yield Event(timestamp_us, channel, data[name + name_size : end])
        last_us, last_number = timestamp_us, number
        at = begin = end
    if begin < len(data):
        if last_us is None:
            raise UserError(
                f"{path} is not an LCM event log at byte 0, nor anywhere else (no message after a sync word). "
                "Give a file written by `wildrobot-run --log` or `lcm-logger`."
            )
        yield Damage(path, begin, len(data), last_us, None, None)


def _end_of_event(data: mmap.mmap, at: int) -> int | None:
    """Where the whole message that begins at `at` ends; None: there is none."""
    if at + _HEADER.size > len(data):
        return None
    sync, _, _, name_size, size = _HEADER.unpack_from(data, at)
    end: int = at + _HEADER.size + name_size + size
    if sync != SYNC or not 0 < name_size <= _LONGEST_NAME or end > len(data):
        return None
    following = data[end : end + len(_SYNC_BYTES)]
    return end if following == _SYNC_BYTES[: len(following)] else None
