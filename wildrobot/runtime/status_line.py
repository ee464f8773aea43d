"""One line at the foot of a terminal that is renewed in place, while other lines go by above it."""

from __future__ import annotations

import shutil
from typing import NamedTuple, TextIO

_CLEAR = "\r\x1b[K"


class Status(NamedTuple):
    """A text for the line."""

    text: str


class StatusLine:
    """Owns the last line of `stream`, a terminal: whatever else is printed there goes through `print`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text = stream, ""

    def show(self, text: str) -> None:
        """Replace the line; cut off at the terminal's edge, since a line that wraps cannot be renewed."""
        text = text[: max(1, shutil.get_terminal_size().columns - 1)]
        if text != self._text:
            self._text = text
            self._stream.write(_CLEAR + text)
            self._stream.flush()

    def print(self, text: str) -> None:
        """A line above it."""
        self._stream.write(f"{_CLEAR if self._text else ''}{text}\n{self._text}")
        self._stream.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._text:
            self._text = ""
            self._stream.write(_CLEAR)
            self._stream.flush()
