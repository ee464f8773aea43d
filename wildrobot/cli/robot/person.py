"""A person at the terminal, beside the robot: what a measurement asks is printed, and answered with a key."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.calibration.hands import Request


class PersonHands:
    """A person at the terminal: Enter says that it is done, s skips."""

    def __init__(self, yes: bool = False) -> None:
        """`yes`: leave is given to every question without asking."""
        self._yes = yes

    def say(self, text: str) -> None:
        print(text, flush=True)

    def agree(self, question: str) -> bool:
        if self._yes:
            print(f"{question} yes (--yes)", flush=True)
            return True
        print(f"{question} [y/N] ", end="", flush=True)
        return self._line().strip().lower() in ("y", "yes")

    def perform(self, request: Request, each: Callable[[], None]) -> bool:
        print(f"{request.text} Enter when done, s to skip: ", end="", flush=True)
        while not select.select([sys.stdin], [], [], 0.0)[0]:
            each()
        return not self._line().strip().lower().startswith("s")

    @staticmethod
    def _line() -> str:
        line = sys.stdin.readline()
        if not line:
            raise UserError(
                "nobody is at the terminal to answer (end of input). Run this where one can type."
            )
        return line
