"""Where the battery's voltage is going. Not how long it lasts: nobody measures its charge."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Any

SPAN_S = 300.0
"""The trend is that of so long."""
MEAN_S = 20.0
"""Of the beginning and of the end, whose medians are compared: under load voltages jump."""


class BatteryTrend:
    """Given every robot_health of one run."""

    def __init__(self) -> None:
        self._volts: deque[tuple[float, float]] = deque()

    def take(self, health: Any) -> None:
        """Once a second: the lowest voltage that a servo measures."""
        low = min((value for value in health.voltage_v if math.isfinite(value)), default=math.nan)
        if math.isnan(low):
            return
        now = 1e-6 * health.timestamp_us
        if self._volts and now < self._volts[-1][0]:
            self._volts.clear()
        self._volts.append((now, low))
        while now - self._volts[0][0] > SPAN_S:
            self._volts.popleft()

    def change(self) -> tuple[float, float] | None:
        """Change of voltage, V, and over how long, s; None before there is enough to compare."""
        if not self._volts:
            return None
        begin, end = self._volts[0][0], self._volts[-1][0]
        if end - begin < 3.0 * MEAN_S:
            return None
        first = statistics.median(volts for when, volts in self._volts if when <= begin + MEAN_S)
        last = statistics.median(volts for when, volts in self._volts if when >= end - MEAN_S)
        return last - first, end - begin
