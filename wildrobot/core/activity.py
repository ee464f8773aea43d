"""What a command does at the moment, where somebody watches it."""

from __future__ import annotations

import os
import shutil
import sys
from types import TracebackType


class ActivityLine:
    """`with ActivityLine() as say: say("id 4")`: one line on a terminal, written anew each time; nothing in a pipe.

    It is on standard error. Call `clear` before printing elsewhere; at the end it is gone.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> ActivityLine:
        return self

    def __call__(self, text: str) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{text[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        self("")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
