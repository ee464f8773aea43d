"""Keeps the eye on who commands: tells when that changes, why the robot stands still, and what was refused."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Protocol

from wildrobot.runtime.commands.source import Command
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.telemetry.lcm_types import robot_event_t


class Teller(Protocol):
    """Takes events, as `Publisher` does."""

    def event(self, name: str, text: str, severity: int = ..., /) -> None: ...


class CommandWatch:
    """Given every tick's command; the events that it tells are called `command`."""

    def __init__(self) -> None:
        self.source, self.age_s = "", math.nan
        self.lost = 0
        """Times that the robot was told to stand still because who commanded it let go or fell silent."""
        self.refused: Counter[str] = Counter()
        self._why = ""

    def take(self, command: Command, state: State, teller: Teller) -> None:
        """One tick; `state` is that in which the command came."""
        for note in command.notes:
            teller.event("command", note.text, robot_event_t.WARNING if note.warning else robot_event_t.INFO)
        before, self.source, self.age_s = self.source, command.source, command.age_s
        self._why = command.lost
        self.refused.update(command.refused)
        if before and not self.source:
            self.lost += 1
            why = f" ({command.lost})" if command.lost else ""
            teller.event("command", f"command of {before} lost{why}: standing still")
        elif self.source != before:
            teller.event("command", f"commanded by {self.source}")
        if command.estop and state is not State.ESTOP:
            teller.event("command", "asked to let go at once")
        elif command.stop and state not in (State.LIMP, State.SOFT_STOP, State.ESTOP):
            teller.event("command", "asked to stop softly")

    def line(self, state: str, velocity: Any) -> str:
        """What the robot does and who commands, as one line; `velocity` (2,) m/s and rad/s is what it was given."""
        if self.source:
            who = f"commanded by {self.source}"
        else:
            who = f"nobody commands ({self._why})" if self._why else "nobody commands"
        age = "" if math.isnan(self.age_s) else f" · last word {min(self.age_s, 999.9):.1f} s ago"
        return f"[{state}] {who} · {velocity[0]:+.2f} m/s {velocity[1]:+.2f} rad/s{age}"

    def summary(self) -> dict[str, Any]:
        """Plain data for the final figures."""
        return {"lost": self.lost, "refused": dict(sorted(self.refused.items()))}
