"""What a measurement asks of somebody beside the robot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


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

    def agree(self, question: str, moves: bool = False) -> bool:
        """Ask for leave; `moves`: the robot moves then."""
        ...

    def perform(self, request: Request, each: Callable[[], None]) -> bool:
        """Ask for `request`, calling `each` over and over until it is done; False: it was skipped."""
        ...
