"""Whether an answer is of this request: the device's own clock must have gone on as far as the host's.

Packets carry no number. An answer that comes a whole tick late looks like one to the request that has just gone out;
only the device's clock in it tells.
"""

from __future__ import annotations

TOLERANCE_S = 0.008
"""A host that is interrupted between looking at its clock and sending sees answers that seem this much off."""
DRIFT = 0.01
"""By which two clocks may part: a servo runs on its processor's own oscillator."""
FORGET_S = 1.2
"""After so long without an answer the clock may be anywhere within a tick, and is taken as it comes."""
FIRST_READINGS = 5
_FOLLOW = 0.05


class DeviceClock:
    """Follows a counter that counts `unit_s` and wraps after `period` counts."""

    def __init__(self, unit_s: float, period: int) -> None:
        self._unit_s, self._period_s = unit_s, unit_s * period
        self._offset_s: float | None = None
        """Host time minus device time, modulo the period."""
        self._seen_s = 0.0
        self._first = 0

    def late_s(self, count: int, time_ns: int) -> float:
        """How old a reading is that was asked for at `time_ns`, s; 0 for one of this request, give or take.

        A reading of this request is followed; another one changes nothing.
        """
        time_s = 1e-9 * time_ns
        offset = time_s - count * self._unit_s
        elapsed = time_s - self._seen_s
        if self._offset_s is None or elapsed > FORGET_S:
            self._offset_s, self._seen_s, self._first = offset, time_s, 1
            return 0.0
        late = (offset - self._offset_s + 0.5 * self._period_s) % self._period_s - 0.5 * self._period_s
        if abs(late) > TOLERANCE_S + DRIFT * elapsed:
            return late
        if self._first < FIRST_READINGS:
            # an interrupted host makes the offset too small, never too large
            self._first += 1
            self._offset_s += max(late, 0.0)
        else:
            self._offset_s += _FOLLOW * late
        self._seen_s = time_s
        return 0.0
