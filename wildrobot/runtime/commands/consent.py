"""Leave to move a real robot that flags command: whoever is beside it presses Enter, or has said so before and hears a
countdown that can be broken off. Until then the robot stays limp."""

from __future__ import annotations

import math
import os
import select
import sys

from wildrobot.runtime.commands.source import Leave, Note
from wildrobot.runtime.control.timing import NS_PER_S


class EnterKey:
    """Asks at the terminal and waits for Enter. What was typed before the question does not count."""

    def __init__(self, plan: str) -> None:
        """`plan`: what the robot will do, as `it stands up, ...`."""
        self._plan = plan
        self._asked = False
        self._line = b""

    def poll(self, now_ns: int) -> Leave:
        notes: tuple[Note, ...] = ()
        handle = sys.stdin.fileno()
        if not self._asked:
            import termios

            termios.tcflush(handle, termios.TCIFLUSH)
            self._asked = True
            notes = (
                Note(f"the torque is off. Hands off, legs clear; then press Enter, and {self._plan}"),
                Note("Ctrl-C ends the program, and nothing moves"),
            )
        while select.select([handle], [], [], 0)[0]:
            try:
                typed = os.read(handle, 64)
            except OSError:  # the terminal was closed
                typed = b""
            if not typed:
                return Leave(withdrawn=True, notes=(Note("the terminal is gone: ending", warning=True),))
            *lines, self._line = (self._line + typed.replace(b"\r", b"\n")).split(b"\n")
            if any(not line.strip() for line in lines):
                return Leave(given=True)
            if lines:
                notes = (Note("Enter alone stands it up; Ctrl-C ends the program"),)
        return Leave(waits_for="press Enter to stand up", notes=notes)


class Countdown:
    """Counts down aloud, second by second."""

    def __init__(self, plan: str, seconds: float) -> None:
        """`plan`: what the robot will do, as `it stands up, ...`."""
        self._plan, self._seconds = plan, seconds
        self._end_ns: int | None = None
        self._told: int | None = None

    def poll(self, now_ns: int) -> Leave:
        notes: tuple[Note, ...] = ()
        if self._end_ns is None:
            self._end_ns = now_ns + round(self._seconds * NS_PER_S)
            notes = (Note(f"hands off, legs clear: {self._plan}. Ctrl-C now, and nothing moves"),)
        left = math.ceil((self._end_ns - now_ns) / NS_PER_S)
        if left <= 0:
            return Leave(given=True)
        if left != self._told:
            self._told = left
            notes += (Note(f"standing up in {left} s"),)
        return Leave(waits_for=f"standing up in {left} s", notes=notes)
