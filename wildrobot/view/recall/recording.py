"""What a robot said, as an event log: of the last minute, or from a start to a stop."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.recorder import HEAD_CHANNELS, Recorder
from wildrobot.runtime.telemetry.identity import split_channel

KEPT_S = 60.0
MOST_BYTES = 32_000_000
"""That are kept, whatever a robot sends: a minute of the walking robot is a quarter of it."""


class RunRecording:
    """The raw messages of one run, as they came. All methods may be called from any thread.

    What is kept begins with the run's configuration, that no log can be read without, however long ago it came.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        """`folder`: where recordings go."""
        self._folder, self._now, self._lock = folder, now, threading.Lock()
        self._events: deque[Event] = deque()
        self._heads: dict[str, Event] = {}
        self._size = 0
        self._recorder: Recorder | None = None
        self._began_us = 0
        self.said = ""
        """What came of the last recording, for the person."""

    @property
    def kept_bytes(self) -> int:
        """Of messages."""
        return self._size

    @property
    def recording(self) -> Path | None:
        """The file that is written now."""
        recorder = self._recorder
        return None if recorder is None else recorder.path

    @property
    def recorded_s(self) -> float:
        """Since the recording began."""
        return 1e-6 * (self._newest_us() - self._began_us) if self._recorder is not None else 0.0

    def take(self, channel: str, timestamp_us: int, data: bytes) -> None:
        """One message of the run."""
        event = Event(timestamp_us, channel, data)
        with self._lock:
            if split_channel(channel)[1] in HEAD_CHANNELS:
                self._heads[channel] = event
            self._events.append(event)
            self._size += len(data)
            oldest = timestamp_us - 1e6 * KEPT_S
            while self._events and (self._events[0].timestamp_us < oldest or self._size > MOST_BYTES):
                self._size -= len(self._events.popleft().data)
            if self._recorder is not None:
                self._recorder.write([event])
                if self._recorder.ended is not None:
                    self._end(f"recording ended: {self._recorder.ended}")

    def forget(self) -> None:
        """Another run: nothing of this one is kept, and its recording is closed."""
        with self._lock:
            if self._recorder is not None:
                self._end(f"recorded {self._recorder.path}: its run has ended")
            self._events.clear()
            self._heads.clear()
            self._size = 0

    def last_minute(self) -> bytes:
        """An event log of what is kept; empty: nothing is."""
        with self._lock:
            events = list(self._events)
            begun = bool(events) and split_channel(events[0].channel)[1] in HEAD_CHANNELS
            heads = [] if begun else list(self._heads.values())
        if not events:
            return b""
        first_us = events[0].timestamp_us
        with tempfile.TemporaryDirectory() as folder:
            writer = LogWriter(Path(folder) / "minute.lcmlog")
            writer.write(Event(first_us, event.channel, event.data) for event in heads)
            writer.write(events)
            writer.close()
            return writer.path.read_bytes()

    def start(self, name: str) -> None:
        """Record to a new file of the folder, named after the robot; `said` tells if that cannot be."""
        with self._lock:
            if self._recorder is not None:
                return
            path = self._folder / self.file_name(name)
            number = 1
            while path.exists():
                number += 1
                path = self._folder / self.file_name(f"{name}-{number}")
            try:
                self._recorder = Recorder(path)
            except UserError as error:
                self.said = str(error)
                return
            self._began_us, self.said = self._newest_us(), ""
            self._recorder.write([Event(self._began_us, e.channel, e.data) for e in self._heads.values()])

    def stop(self) -> None:
        """End the recording; `said` tells where it lies."""
        with self._lock:
            if self._recorder is not None:
                self._end(f"recorded {self._recorder.path}")

    def file_name(self, name: str) -> str:
        """Of a log of the robot `name` that ends now, local time."""
        return f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(self._now()))}.lcmlog"

    def _newest_us(self) -> int:
        return self._events[-1].timestamp_us if self._events else 0

    def _end(self, said: str) -> None:
        assert self._recorder is not None
        self._recorder.close()
        self._recorder, self.said = None, said
