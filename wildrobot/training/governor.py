"""Keeps the discriminator a fair opponent: it rests while it is too strong and learns more while it is too weak."""

from __future__ import annotations

from dataclasses import dataclass

from wildrobot.state import Stateful


@dataclass(frozen=True)
class GovernorConfig:
    """When the discriminator's updates are spared or doubled."""

    enabled: bool = False
    band: tuple[float, float] = (0.55, 0.80)
    """Held-out accuracy within which the discriminator learns as configured."""
    memory: float = 0.8
    """Share of the running accuracy that is kept per iteration."""
    hurry: int = 2
    """Factor on the number of updates below the band."""


class Governor(Stateful):
    """Decides from a running accuracy how many updates an iteration gets."""

    state_fields = ("accuracy",)

    def __init__(self, config: GovernorConfig) -> None:
        self.config = config
        self.accuracy = -1.0
        """Running held-out accuracy; negative before the first figure."""

    def updates(self, accuracy: float, configured: int) -> tuple[int, str]:
        """Number of updates of this iteration, given its held-out `accuracy`, and why."""
        keep = self.config.memory if self.accuracy >= 0.0 else 0.0
        self.accuracy = keep * self.accuracy + (1.0 - keep) * accuracy
        low, high = self.config.band
        if not self.config.enabled or low <= self.accuracy <= high:
            return configured, "learns"
        if self.accuracy > high:
            return 0, f"rests: accuracy {self.accuracy:.2f} is above {high:.2f}"
        return self.config.hurry * configured, f"hurries: accuracy {self.accuracy:.2f} is below {low:.2f}"
