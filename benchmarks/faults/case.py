"""A kind of fault, one run with it, and the rules that no run may break."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from session_helpers import SPEC, LoopSession

from wildrobot.runtime.control.state_machine import State

NAMED_WITHIN_S = 0.2
STRIDE_S = 0.72
CALM_S = 1.2
"""Walking on for so long after a fault is over counts as having got over it."""
PATIENCE_S = 5.0
NOTICED_S = 0.5
"""A robot that is just falling when it is looked at must know so within this time."""
WALKS, STOPS, FALLS = "walks on", "stops softly", "falls, torque off"


@dataclass(frozen=True)
class Case:
    """A kind of fault, what the runtime may do about it, and how it names it (None: it need not)."""

    name: str
    fault: Callable[[float], Any]
    """Of the instant at which it begins, s."""
    outcomes: tuple[str, ...]
    named: str | None
    what: str
    """What happens, for docs/faults.md."""


@dataclass
class Result:
    """One run, and every rule that it broke."""

    case: str
    seed: int
    outcome: str
    named_after_s: float | None
    held: bool
    upright: bool
    """On its feet when it was let go, or at the end."""
    broken: list[str] = field(default_factory=list)


class Watch:
    """Looks at every tick of a run for what must never be."""

    def __init__(self, session: LoopSession) -> None:
        self.session = session
        self.broken: list[str] = []
        self._target: Any = None
        self._state, self._gain = session.state, session.told.gain
        self._step = SPEC.target_rate_limit * SPEC.control_dt + 1e-9

    def look(self) -> None:
        """After a tick."""
        state, gain, applied = self.session.state, self.session.told.gain, self.session.told.applied
        assert applied is not None
        target = applied.target[0]
        if gain > 0.0:
            if not np.all((target >= SPEC.joint_lower) & (target <= SPEC.joint_upper)):
                self.say("a target outside the joint's limits")
            if self._target is not None and not np.all(np.abs(target - self._target) <= self._step):
                self.say("a target faster than the servo")
        if np.array_equal(applied.target, applied.requested) != (not applied.limited_by):
            self.say("a target that was changed without a word, or a word without a change")
        if self._state is State.ESTOP and state is not State.ESTOP:
            self.say("an ESTOP that did not stay")
        if gain > self._gain and state in (State.SOFT_STOP, State.ESTOP):
            self.say("torque that rises in a stop")
        if state is State.LIMP and gain > 0.0:
            self.say("a limp robot under torque")
        self._target, self._state, self._gain = target, state, gain

    def say(self, text: str) -> None:
        """A rule was broken."""
        if text not in self.broken:
            self.broken.append(text)


def follow(
    session: LoopSession,
    case: Case,
    seed: int,
    at: float,
    lasts_s: float | None,
    watch: Watch,
    up: Callable[[], bool],
    calm_s: float = CALM_S,
    rest_s: float = 0.5,
) -> Result:
    """Run on from a walk whose fault begins `at` and `lasts_s` (None: for good), until it is clear how it ends.

    That is, once it walks on for `calm_s` after the fault, or has rested for `rest_s`.
    """
    over = at + (lasts_s or 0.0)
    limp_since: float | None = None
    while session.time_s < over + PATIENCE_S:
        if session.controller.ended and limp_since is None:
            limp_since = session.time_s
        session.tick()
        watch.look()
        calm = session.state is State.WALKING and session.time_s > over + calm_s
        if calm and lasts_s is not None and (up() or session.time_s > over + calm_s + NOTICED_S):
            break
        if limp_since is not None and session.time_s > max(limp_since, over) + rest_s:
            break
    upright = up()
    if session.state is State.ESTOP:
        outcome = FALLS
    elif session.state is State.WALKING:
        outcome = WALKS if upright else "is down and does not know"
    else:
        outcome = STOPS if session.state is State.LIMP else f"hangs in {session.state.value}"
    named = None
    if case.named is not None:
        times = [
            told.time_s - at
            for told in session.told.events
            if told.severity and told.time_s >= at - 0.02 and re.search(case.named, told.text)
        ]
        named = max(0.0, times[0]) if times else None
        if named is None or named > NAMED_WITHIN_S:
            watch.say(f"not reported within {NAMED_WITHIN_S} s ({named})")
    if outcome not in case.outcomes:
        watch.say(f"{outcome}, expected: {' or '.join(case.outcomes)}")
    held = any("stale_samples" in told.text for told in session.told.events if told.name == "limited")
    return Result(case.name, seed, outcome, named, held, upright, watch.broken)
