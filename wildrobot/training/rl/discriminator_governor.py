"""Keeps the discriminator a fair opponent: it rests while it is too strong and learns more while it is too weak."""

from __future__ import annotations

from dataclasses import dataclass

from wildrobot.core.state import Stateful


@dataclass(frozen=True)
class GovernorConfig:
    """When the discriminator's updates are spared or doubled."""

    enabled: bool = True
    band: tuple[float, float] = (0.58, 0.76)
    """Running held-out accuracy within which the discriminator learns as configured: a little inside of what is wanted,
    0.55 to 0.80, as it is about the upper end that it settles."""
    memory: float = 0.8
    """Share of the running accuracy that is kept per iteration."""
    hurry: int = 2
    """Factor on the number of updates below the band."""
    rest_iterations: int = 4
    """Above the band it learns in one of so many iterations only, and each time that this was not enough in one of
    twice as many. Not never: a policy that is no longer watched drifts away from the reference in whatever the
    discriminator has not learned to see."""
    longest_rest: int = 32
    """Iterations that a rest lasts at most."""


class Governor(Stateful):
    """Decides from a running accuracy how many updates an iteration gets."""

    state_fields = ("accuracy", "rested", "rest")

    def __init__(self, config: GovernorConfig) -> None:
        self.config = config
        self.accuracy = -1.0
        """Running held-out accuracy; negative before the first figure."""
        self.rested = 0
        """Iterations at rest in a row."""
        self.rest = config.rest_iterations
        """Length of the present rest, with the iteration in which it learns again."""

    def updates(self, accuracy: float, configured: int) -> tuple[int, str]:
        """Number of updates of this iteration, given its held-out `accuracy`, and why."""
        keep = self.config.memory if self.accuracy >= 0.0 else 0.0
        self.accuracy = keep * self.accuracy + (1.0 - keep) * accuracy
        low, high = self.config.band
        strong = self.config.enabled and self.accuracy > high
        if strong and self.rested + 1 < self.rest:
            self.rested += 1
            return 0, f"rests: accuracy {self.accuracy:.2f} is above {high:.2f}"
        self.rested = 0
        self.rest = min(2 * self.rest, self.config.longest_rest) if strong else self.config.rest_iterations
        if strong or not self.config.enabled or self.accuracy >= low:
            return configured, "learns"
        return self.config.hurry * configured, f"hurries: accuracy {self.accuracy:.2f} is below {low:.2f}"
