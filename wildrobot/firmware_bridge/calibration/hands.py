"""What a measurement asks of somebody beside the robot, and a person at the terminal who does it."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wildrobot.core.errors import UserError


@dataclass(frozen=True)
class Request:
    """Something to do with the robot, in words for a person."""

    text: str


@dataclass(frozen=True)
class MoveJoint(Request):
    """Move one limp joint by `angle_rad` and back."""

    joint: str
    angle_rad: float


@dataclass(frozen=True)
class PressFoot(Request):
    """Press one foot pad from below."""

    foot: str


@dataclass(frozen=True)
class PitchNoseDown(Request):
    """Turn the whole robot about its left-pointing axis by `angle_rad` (0: upright again), and leave it there."""

    angle_rad: float


@dataclass(frozen=True)
class TakePose(Request):
    """Bring all limp joints to these angles and keep them there."""

    joint_position: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LetGo(Request):
    """Hands off."""


class Hands(Protocol):
    """Somebody beside the robot."""

    def say(self, text: str) -> None:
        """Tell something."""
        ...

    def agree(self, question: str) -> bool:
        """Ask for leave."""
        ...

    def perform(self, request: Request, each: Callable[[], None]) -> bool:
        """Ask for `request`, calling `each` over and over until it is done; False: it was skipped."""
        ...


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
