"""What a fault is: a row of the table, and an event of that kind with its time and its values."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.virtual.parts import RobotParts

Values = Mapping[str, Any]
"""A fault's parameters by name."""
Act = Callable[[RobotParts, Values], None]


class Kind(enum.Enum):
    """What a parameter is."""

    DEVICE = "servo or board"
    SERVO = "servo"
    FOOT = "foot input"
    REGISTER = "register of a servo"
    WHOLE = "whole number"
    NUMBER = "number"


@dataclass(frozen=True)
class Parameter:
    """One value of a fault, in the unit of its name; no default: it must be given."""

    name: str
    kind: Kind
    default: float | None = None


@dataclass(frozen=True)
class FaultKind:
    """A row of the table; called with times and parameters, it gives a fault."""

    name: str
    what: str
    """What happens, for people."""
    parameters: tuple[Parameter, ...]
    begin: Act
    end: Act | None
    """When it is over; what it broke for good stays broken. None: it happens at once, and `for_s` means nothing."""
    for_s: float | None = None
    """How long it lasts, unless that is said."""
    refuse: Callable[[Values], str | None] = lambda values: None
    """What is wrong with its values, and what was expected."""

    @property
    def momentary(self) -> bool:
        """It happens at once."""
        return self.end is None

    def __call__(
        self, *, at_s: float = 0.0, for_s: float | EllipsisType | None = ..., **values: Any
    ) -> Fault:
        """The fault; one that does not say how long lasts as long as its kind does.

        Raises:
            TypeError: a parameter that the kind does not have, or lacks.
        """
        known = {parameter.name: parameter.default for parameter in self.parameters}
        given = {name: value for name, value in known.items() if value is not None} | values
        if set(given) != set(known):
            raise TypeError(f"'{self.name}' takes {sorted(known)}, not {sorted(given)}")
        return Fault(
            self,
            at_s,
            self.for_s if isinstance(for_s, EllipsisType) else for_s,
            {name: given[name] for name in known},
        )


@dataclass(frozen=True)
class Fault:
    """An event on the simulation's clock."""

    kind: FaultKind
    at_s: float
    for_s: float | None
    values: Values

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            UserError: with the value and what was expected.
        """
        if self.at_s < 0.0 or (self.for_s is not None and self.for_s <= 0.0):
            raise UserError(
                f"fault '{self.kind.name}': at {self.at_s} s for {self.for_s} s, expected a time of 0 or more "
                "and a duration above 0. Mend the schedule."
            )
        if (wrong := self.kind.refuse(self.values)) is not None:
            raise UserError(f"fault '{self.kind.name}': {wrong}")
