"""When a program may move a real robot: never because it was started, but because somebody beside it has said so, at a
terminal or by a flag with a countdown."""

from __future__ import annotations

import math
import os
import sys

from wildrobot.core.errors import UserError

COUNTDOWN_S = 5.0
"""Between the first word and the first motion, unless told."""
LEAST_COUNTDOWN_S = 1.0
"""Nobody gets his hands away in less."""


def somebody_can_type() -> bool:
    """Whether standard input is a terminal and this program is in front of it: in the background, reading would halt
    it."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # a terminal without job control
        return True


def require_somebody(yes: bool) -> None:
    """Refuse to move a real robot that nobody was asked about.

    Raises:
        UserError: nobody can answer at a terminal, and `yes` was not said either.
    """
    if not yes and not somebody_can_type():
        raise UserError(
            "a real robot moves only when somebody beside it has said so, and there is no terminal to ask at. "
            "Run this in one, or add --yes: it then counts down aloud before it moves."
        )


def check_countdown(seconds: float) -> None:
    """Refuse a countdown that nobody could follow.

    Raises:
        UserError: it is too short, or no number.
    """
    if not LEAST_COUNTDOWN_S <= seconds < math.inf:
        raise UserError(f"--countdown is {seconds:g}, expected {LEAST_COUNTDOWN_S:g} s or more.")
