"""A log on the disk: in one file or in parts, safe from kill -9 and loss of power, and never the end of the disk."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import Event, LogWriter, find_parts, part_path
from wildrobot.runtime.telemetry.identity import split_channel

SYNC_EVERY_S = 0.25
"""Between the beginnings of two syncs: with a disk that takes as long for one, a loss of power costs half a second."""
LOOK_EVERY_S, LOOK_EVERY_BYTES = 1.0, 100_000
"""Between looks at the room on the disk, whichever comes first: a robot writes less in a second."""
LEAST_FREE_BYTES = 256_000_000
LEAST_FREE_SHARE = 0.05
"""Room that a log leaves on its disk: these bytes, or this share of a small disk."""
HEAD_CHANNELS = ("run_configuration",)
"""Kinds whose last message is repeated at the head of every part, so that each can be read alone."""


def to_stderr(text: str) -> None:
    """Print a line for the person."""
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class Rotation:
    """When a new part begins, and how much all parts of a name may take together, of earlier runs, too."""

    part_bytes: int
    keep_bytes: int


class Recorder:
    """Writes events as they come; a thread of its own syncs, closes and deletes, what takes a slow disk seconds.

    Whatever goes wrong ends the log, with a warning, and not the run: `ended` says why.

    Args:
        path: the log's name: its file, or with `rotation` what its parts are named after.
        rotation: None: one file, which replaces one of that name.
        tell: prints a line for the person.

    Raises:
        UserError: the file cannot be made.
    """

    def __init__(
        self, path: Path, rotation: Rotation | None = None, tell: Callable[[str], None] = to_stderr
    ) -> None:
        self._path, self._rotation, self._tell = path, rotation, tell
        self.ended: str | None = None
        self._run, self._part = 0, 0
        if rotation is not None:
            self._run = max((run for run, _, _ in find_parts(path)), default=0) + 1
        self._writer = self._open()
        self._retired: deque[LogWriter] = deque()
        self._heads: dict[str, Event] = {}
        self._last_us: int | None = None
        self._unsynced, self._new_file = False, True
        self._looked_at, self._since_look = 0.0, 0
        self._stop = threading.Event()
        self._make_room()
        self._thread = threading.Thread(target=self._keep, name="log", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """File that is written now."""
        return self._writer.path

    def write(self, events: Sequence[Event]) -> None:
        """Append events; one thread only."""
        if self.ended is not None or not events:
            return
        try:
            for event in events:
                if split_channel(event.channel)[1] in HEAD_CHANNELS:
                    self._heads[event.channel] = event
            if self._rotation is not None and self._writer.size >= self._rotation.part_bytes:
                # the messages of a tick share its time, and stay together
                cut = next((i for i, e in enumerate(events) if e.timestamp_us != self._last_us), None)
                if cut is not None:
                    self._writer.write(events[:cut])
                    events = events[cut:]
                    self._next_part(events[0].timestamp_us)
            self._writer.write(events)
            self._last_us = events[-1].timestamp_us
            self._unsynced = True
            self._since_look += sum(len(event.data) for event in events)
            if self._since_look > LOOK_EVERY_BYTES:  # faster than real time
                self._make_room()
        except OSError as error:
            self._end(f"{self.path}: {error.strerror or error}")
        except UserError as error:  # the next part cannot be made
            self._end(str(error))

    def close(self) -> None:
        """Bring all of it to the disk."""
        self._stop.set()
        self._thread.join()
        self.keep()
        self._writer.close()

    def keep(self) -> None:
        """What the thread does again and again: sync, close what is full, look after the room."""
        try:
            while self._retired:
                writer = self._retired.popleft()
                _sync(writer)
                writer.close()
            if self._unsynced:
                self._unsynced = False  # before the sync: what comes during it waits for the next
                _sync(self._writer)
            if self._new_file:
                self._new_file = False
                _sync_folder(self._path.parent)
        except OSError as error:
            self._end(f"{self.path}: {error.strerror or error}")
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._make_room()

    def _keep(self) -> None:
        due = time.monotonic()
        while True:
            due = max(due + SYNC_EVERY_S, time.monotonic())
            if self._stop.wait(due - time.monotonic()):
                return
            self.keep()

    def _open(self) -> LogWriter:
        if self._rotation is None:
            return LogWriter(self._path)
        while True:
            try:
                return LogWriter(part_path(self._path, self._run, self._part), new=True)
            except FileExistsError:  # somebody else logs under this name
                self._run += 1

    def _next_part(self, timestamp_us: int) -> None:
        self._part += 1
        writer = self._open()
        writer.write([Event(timestamp_us, e.channel, e.data) for e in self._heads.values()])
        # its last bytes are synced by the thread, too, and nobody else closes it
        self._retired.append(self._writer)
        self._writer, self._new_file = writer, True

    def _make_room(self) -> None:
        """Delete the oldest parts while there is too little room; without any to delete, end the log."""
        self._looked_at, self._since_look = time.monotonic(), 0
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return  # writing will tell what is wrong
        free: float = disk.f_bavail * disk.f_frsize
        wanted = min(LEAST_FREE_BYTES, LEAST_FREE_SHARE * disk.f_blocks * disk.f_frsize)
        if self._rotation is not None:
            free = self._drop_oldest(free, wanted, self._rotation.keep_bytes)
        if free < wanted:
            self._end(
                f"{self.path}: {free / 1e6:.3g} MB are left on the disk, and a log leaves {wanted / 1e6:.3g} MB alone"
            )

    def _drop_oldest(self, free: float, wanted: float, keep_bytes: int) -> float:
        sizes = {}
        for _, _, file in find_parts(self._path):
            with suppress(OSError):
                sizes[file] = file.stat().st_size
        total = sum(sizes.values())
        for file, size in sizes.items():
            if total <= keep_bytes and free >= wanted:
                break
            if file == self.path:
                continue
            with suppress(OSError):
                file.unlink()
                total, free = total - size, free + size
        return free

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            self._tell(f"warning: logging ended, {why}; the run goes on.")


def _sync(writer: LogWriter) -> None:
    try:
        writer.sync()
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):  # no file of a disk, such as a pipe
            raise


def _sync_folder(folder: Path) -> None:
    """Bring a new file's name to the disk."""
    with suppress(OSError):  # some file systems cannot, some folders are for writing only
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
