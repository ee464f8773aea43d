"""One line at the foot of a terminal that is renewed in place, while other lines go by above it."""

from __future__ import annotations

import shutil
import threading
from typing import NamedTuple, TextIO

_CLEAR = "\r\x1b[K"


class Status(NamedTuple):
    """A text for the line."""

    text: str


class StatusLine:
    """Owns the last line of `stream`, a terminal: whatever else goes there is printed by `print`, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text = stream, ""
        self._lock = threading.Lock()

    def show(self, text: str) -> None:
        """Replace the line; cut off at the terminal's edge, since a line that wraps cannot be renewed."""
        text = text[: max(1, shutil.get_terminal_size().columns - 1)]
        with self._lock:
            if text != self._text:
                self._text = text
                self._write(_CLEAR + text)

    def print(self, text: str) -> None:
        """A line above it."""
        with self._lock:
            self._write(f"{_CLEAR if self._text else ''}{text}\n{self._text}")

    def close(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._text:
                self._text = ""
                self._write(_CLEAR)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
