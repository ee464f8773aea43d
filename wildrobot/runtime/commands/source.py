"""What a person asks of the robot, and who: what all sources of commands have in common, flags, signals, and the watch
that tells of it."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S
from wildrobot.runtime.telemetry.lcm_types import robot_event_t

COMMAND_TIMEOUT_NS = NS_PER_S // 2
"""A person's command older than this asks for standing still."""
REPEATED_S = 1.0
"""A stop that its sender repeats within this time is told once."""
MAX_SOURCES = 32
"""Names of senders that are remembered at most."""

ANNOUNCED_S = 3.0
"""Before its end, the end of a run beside a real robot is announced."""


@dataclass(frozen=True)
class Note:
    """A sentence for the person and the log."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class OperatorCommand:
    """What the person asks for now."""

    linear_velocity_x: float = 0.0
    """m/s, forward."""
    yaw_rate: float = 0.0
    """rad/s, positive turns left."""
    stand: bool = False
    """Get up, if limp."""
    stop: bool = False
    """Soft stop: crouch and let go."""
    estop: bool = False
    end: bool = False
    """Leave the program once limp."""
    policy: int = 0
    """Number (from 1) of the policy to put in charge; 0: leave it."""
    source: str = ""
    """Who commands: flags, keyboard, gamepad, lcm:NAME; empty: nobody, and the velocity is zero."""
    age_s: float = math.nan
    """Since the last word of who commands, or did; NaN: nobody ever has."""
    lost: str = ""
    """Why nobody commands, where that is so."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Commands that were not obeyed since the last poll: how many, by reason."""
    notes: tuple[Note, ...] = ()

    def stopped(self, **changes: Any) -> OperatorCommand:
        """The same with a soft stop asked for and nothing else, but for `changes`."""
        return replace(self, linear_velocity_x=0.0, yaw_rate=0.0, stand=False, stop=True, **changes)

    def clipped(self, spec: RobotSpec) -> OperatorCommand:
        """Inside the ranges of robot.yaml."""
        ranges = spec.command
        return replace(
            self,
            linear_velocity_x=min(
                max(self.linear_velocity_x, ranges.linear_velocity_x[0]), ranges.linear_velocity_x[1]
            ),
            yaw_rate=min(max(self.yaw_rate, ranges.yaw_rate[0]), ranges.yaw_rate[1]),
        )


class CommandSource(Protocol):
    """Polled once per tick; never blocks."""

    def poll(self, now_ns: int, state: State) -> OperatorCommand: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Leave:
    """What has come so far of the question whether the robot may move."""

    given: bool = False
    withdrawn: bool = False
    """It will not be given any more."""
    waits_for: str = ""
    notes: tuple[Note, ...] = ()


class Consent(Protocol):
    """Asks for leave to move a real robot: polled every tick until it is given or withdrawn; never blocks."""

    def poll(self, now_ns: int) -> Leave: ...


def announcement(left_s: float) -> str:
    """What is said beside a real robot before its time is over."""
    return f"the run ends in {left_s:.0f} s: the robot stops, crouches, and the torque goes off"


class FixedCommand:
    """From flags: stand up, follow one velocity for `duration_s`, then stop softly and end.

    The time counts from the first step, or from standing when the velocity is zero. With `consent`, somebody is beside
    the robot: it stays limp until that is given, and the end is announced.
    """

    def __init__(
        self,
        spec: RobotSpec,
        speed: float,
        yaw_rate: float,
        duration_s: float,
        consent: Consent | None = None,
    ) -> None:
        gait = spec.gait
        moves = abs(speed) > gait.moving_speed_m_s or abs(yaw_rate) > gait.moving_yaw_rate_rad_s
        self._counts_from = State.WALKING if moves else State.STANDING
        self._command = OperatorCommand(speed, yaw_rate, stand=True, source="flags", age_s=0.0)
        # In ticks, so that the length of a run does not hang on the clock.
        self._ticks_left = round(duration_s * spec.control_hz)
        self._counting = False
        self._consent, self._announces = consent, consent is not None
        self._announced_ticks = min(round(ANNOUNCED_S * spec.control_hz), self._ticks_left - 1)
        self._dt = spec.control_dt

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        if self._consent is not None:
            answer = self._consent.poll(now_ns)
            if answer.withdrawn:
                return OperatorCommand(stop=True, end=True, notes=answer.notes)
            if not answer.given:
                return OperatorCommand(lost=answer.waits_for, notes=answer.notes)
            self._consent = None
        self._counting = self._counting or state is self._counts_from
        if self._counting:
            self._ticks_left -= 1
            if self._announces and self._ticks_left == self._announced_ticks:
                note = Note(announcement(self._ticks_left * self._dt))
                return replace(self._command, notes=(note,))
            if self._ticks_left <= 0:
                return self._command.stopped(end=True)
        return self._command

    def close(self) -> None:
        """Nothing to release."""


class StopSignals:
    """Stops that go past who commands, latched until the next tick. A context manager.

    SIGTERM, Ctrl-C and a lost terminal ask for a soft stop and the end of the program, a second one lets go at once.
    `ask` is for others, from any thread: it stops the robot, and the program goes on.
    """

    KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._by = "signal"
        self._asked: deque[tuple[str, bool]] = deque(maxlen=100)
        self._told: dict[tuple[str, bool], float] = {}

    def __enter__(self) -> StopSignals:
        self._saved = {kind: signal.signal(kind, self._on_signal) for kind in self.KINDS}
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._saved.items():
            signal.signal(kind, handler)

    def _on_signal(self, number: int, stack: object) -> None:
        self.count += 1

    def stop(self, by: str) -> None:
        """As the first signal does, unless there was one; `by` is who is said to have asked."""
        if self.count == 0:
            self.count, self._by = 1, by

    def ask(self, source: str, at_once: bool) -> None:
        """A soft stop, or letting go at once; `source` is who asks."""
        self._asked.append((source, at_once))

    def applied_to(self, command: OperatorCommand) -> OperatorCommand:
        """The command after the signals received so far."""
        if self._asked:
            command = self._with_asked(command)
        if self.count == 0:
            return command
        return command.stopped(
            estop=command.estop or self.count > 1, end=True, policy=0, source=self._by, age_s=0.0
        )

    def _with_asked(self, command: OperatorCommand) -> OperatorCommand:
        notes, now_s = list(command.notes), time.monotonic()
        at_once = command.estop
        while self._asked:
            asked = self._asked.popleft()
            at_once = at_once or asked[1]
            if now_s - self._told.get(asked, -math.inf) > REPEATED_S:
                notes.append(
                    Note(f"{asked[0]} asks for {'torque off at once' if asked[1] else 'a soft stop'}")
                )
            if len(self._told) >= MAX_SOURCES:
                self._told.clear()
            self._told[asked] = now_s
        return command.stopped(estop=at_once, notes=tuple(notes))


def printable(name: str) -> str:
    """A name as a terminal may show it: what is in it came over the network."""
    return "".join(character for character in name if character.isprintable())[:40]


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

    def take(self, command: OperatorCommand, state: State, teller: Teller) -> None:
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
            teller.event("command", "asked for torque off at once")
        elif command.stop and state not in (State.LIMP, State.SOFT_STOP, State.ESTOP):
            teller.event("command", "asked to stop softly")

    def line(self, state: str, velocity: NDArray[np.float64]) -> str:
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
