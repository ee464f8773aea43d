"""A person at the terminal, beside the robot: what a measurement asks is printed, and answered with a key."""

from __future__ import annotations

import math
import select
import sys
import time
from collections.abc import Callable

from wildrobot.core.consent import COUNTDOWN_S, check_countdown, require_somebody
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.calibration.hands import Request


class PersonHands:
    """A person at the terminal: Enter says that it is done, s skips."""

    def __init__(
        self, yes: bool = False, countdown_s: float = COUNTDOWN_S, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`yes`: leave is given to every question without asking; before a motion `countdown_s` is counted down.

        Raises:
            UserError: nobody could follow such a countdown.
        """
        check_countdown(countdown_s)
        self._yes, self._countdown_s, self._sleep = yes, countdown_s, sleep

    def say(self, text: str) -> None:
        print(text, flush=True)

    def agree(self, question: str, moves: bool = False) -> bool:
        if moves:
            require_somebody(self._yes)
        if self._yes:
            print(f"{question} yes (--yes)", flush=True)
            if moves:
                self._count_down()
            return True
        print(f"{question} [y/N] ", end="", flush=True)
        return self._line().strip().lower() in ("y", "yes")

    def perform(self, request: Request, each: Callable[[], None]) -> bool:
        print(f"{request.text} Enter when done, s to skip: ", end="", flush=True)
        while not select.select([sys.stdin], [], [], 0.0)[0]:
            each()
        return not self._line().strip().lower().startswith("s")

    def _count_down(self) -> None:
        left = self._countdown_s
        while left > 0.0:
            print(f"moving in {math.ceil(left)} s; Ctrl-C now, and nothing moves", flush=True)
            step = left - (math.ceil(left) - 1)
            self._sleep(step)
            left -= step

    @staticmethod
    def _line() -> str:
        line = sys.stdin.readline()
        if not line:
            raise UserError(
                "nobody is at the terminal to answer (end of input). Run this where one can type."
            )
        return line
