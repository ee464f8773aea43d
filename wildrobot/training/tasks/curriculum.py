"""How hard the randomization is at each point of a training: as hard as the policy has shown that it can bear."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wildrobot.core.errors import UserError
from wildrobot.core.state import Stateful


@dataclass(frozen=True)
class CurriculumConfig:
    """When the level of the randomization rises; `start` 1 is full randomization from the first step."""

    start: float = 0.3
    """Level of the first step, 0 to 1: the share of every range about its nominal value."""
    step: float = 0.1
    """By how much the level rises at once."""
    falls_per_1000_steps: float = 0.2
    """The level rises when fewer robots fell, over a window of control steps (0.2: nine of ten walk for 10 s)."""
    window_steps: int = 50_000
    """Control steps of all robots together from one decision to the next."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= 1.0:
            raise UserError(f"curriculum start is {self.start}, expected a level from 0 to 1.")
        if not (self.step > 0.0 and self.falls_per_1000_steps > 0.0 and self.window_steps > 0):
            raise UserError(
                f"curriculum step, falls_per_1000_steps and window_steps are {self.step}, {self.falls_per_1000_steps} "
                f"and {self.window_steps}, expected more than zero. For no curriculum choose start 1."
            )


class Curriculum(Stateful):
    """Raises `level` step by step to 1 while few robots fall; it never goes back."""

    state_fields = ("level", "falls_per_1000_steps", "_falls", "_steps")

    def __init__(self, config: CurriculumConfig) -> None:
        self.config = config
        self.level = config.start
        self.falls_per_1000_steps = math.nan
        """Of the last whole window, for the log."""
        self._falls = self._steps = 0

    def update(self, falls: int, steps: int) -> float:
        """Count `falls` in `steps` more control steps of all robots; returns the level from here on."""
        self._falls += int(falls)
        self._steps += int(steps)
        if self._steps >= self.config.window_steps:
            self.falls_per_1000_steps = 1000.0 * self._falls / self._steps
            if self.falls_per_1000_steps < self.config.falls_per_1000_steps:
                self.level = min(1.0, self.level + self.config.step)
            self._falls = self._steps = 0
        return self.level
