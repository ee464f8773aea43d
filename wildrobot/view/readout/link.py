"""How late the robot's messages arrive here."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise

WINDOW_S = 2.0


class Link:
    """Of one run; given every robot_state as it arrives."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._now, self._wall = now, wall
        self._heard: deque[tuple[float, float]] = deque()

    def take(self, timestamp_us: int) -> None:
        """A message of the tick at Unix time `timestamp_us` has arrived."""
        now = self._now()
        self._heard.append((now, self._wall() - 1e-6 * timestamp_us))
        while now - self._heard[0][0] > WINDOW_S:
            self._heard.popleft()

    @property
    def latency_s(self) -> float:
        """Age of messages as they arrive, median of two seconds, by the clocks of both computers; NaN: unknown."""
        ages = sorted(age for _, age in self._heard)
        return ages[len(ages) // 2] if ages else math.nan

    @property
    def gap_s(self) -> float:
        """Longest time between two messages in the last two seconds; NaN: unknown."""
        times = [when for when, _ in self._heard]
        return max((b - a for a, b in pairwise(times)), default=math.nan)
