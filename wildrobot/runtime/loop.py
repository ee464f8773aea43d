"""Time: absolute deadlines, how well they were kept, and what the operating system grants a control loop."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Paces the loop."""

    def now_ns(self) -> int:
        """Time on the loop's clock."""
        ...

    def wait(self) -> tuple[int, int]:
        """Sleep until the next tick; returns (deadlines skipped, lateness of the wake-up in ns)."""
        ...

    def slack_ns(self) -> int:
        """Time left until the next tick."""
        ...


class DeadlineClock:
    """Ticks at start + k * period on the monotonic clock, in integer nanoseconds, so that no error adds up.

    After an overrun the ticks that were missed are skipped, never made up for: two policy steps on one
    instant would be wrong twice.
    """

    def __init__(
        self,
        period_ns: int,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._period, self._now, self._sleep = period_ns, now_ns, sleep
        self._deadline: int | None = None

    def now_ns(self) -> int:
        return self._now()

    def slack_ns(self) -> int:
        now = self._now()
        return 0 if self._deadline is None else self._deadline + self._period - now

    def wait(self) -> tuple[int, int]:
        if self._deadline is None:  # the first tick is at once, and the others count from it
            self._deadline = self._now()
            return 0, 0
        self._deadline += self._period
        late = self._now() - self._deadline
        skipped = 0
        if late > 0:
            skipped = -(-late // self._period)
            self._deadline += skipped * self._period
        # A sleep may end early (signal handlers run in it); the deadline decides.
        while (left := self._deadline - self._now()) > 0:
            self._sleep(left / NS_PER_S)
        return skipped, self._now() - self._deadline


class SteppedClock:
    """Simulated time for runs faster than real time: every wait is over at once, one period later."""

    def __init__(self, period_ns: int) -> None:
        self._period, self._time = period_ns, time.monotonic_ns()

    def now_ns(self) -> int:
        return self._time

    def slack_ns(self) -> int:
        return self._period

    def wait(self) -> tuple[int, int]:
        self._time += self._period
        return 0, 0


class TickTimer:
    """Work per tick and per stage: the last second's figures, and a histogram of the whole run.

    Call `start`, then `mark(stage)` at the end of every stage in order, then `finish`.
    """

    BIN_NS = 20_000
    BINS = 2500

    def __init__(self, stages: tuple[str, ...], window: int) -> None:
        self.stages = stages
        self._index = {name: i for i, name in enumerate(stages)}
        self._work = np.zeros(window, dtype=np.int64)
        self._stage = np.zeros((window, len(stages)), dtype=np.int64)
        self._late = np.zeros(window, dtype=np.int64)
        self._histogram = np.zeros(self.BINS, dtype=np.int64)
        self._started = self._marked = 0
        self.ticks = self.missed = self.missed_in_a_row = 0
        self.max_ns = self.max_late_ns = 0

    def start(self, skipped: int, late_ns: int) -> None:
        """A tick begins, after `skipped` missed deadlines and `late_ns` after its own."""
        self._started = self._marked = time.perf_counter_ns()
        self.missed += skipped
        self.missed_in_a_row = skipped if skipped else 0
        row = self.ticks % len(self._work)
        self._stage[row] = 0
        self._late[row] = late_ns
        self.max_late_ns = max(self.max_late_ns, late_ns)

    def mark(self, stage: str) -> None:
        """The stage ends now."""
        now = time.perf_counter_ns()
        self._stage[self.ticks % len(self._work), self._index[stage]] = now - self._marked
        self._marked = now

    def finish(self) -> None:
        """The tick's work is done."""
        work = time.perf_counter_ns() - self._started
        self._work[self.ticks % len(self._work)] = work
        self._histogram[min(work // self.BIN_NS, self.BINS - 1)] += 1
        self.max_ns = max(self.max_ns, work)
        self.ticks += 1

    def window(self) -> dict[str, float]:
        """Milliseconds over the last window: p50, p99, max of the work, and the largest lateness."""
        count = min(self.ticks, len(self._work))
        if count == 0:
            return dict.fromkeys(("p50", "p99", "max", "late"), 0.0)
        work = self._work[:count] * 1e-6
        p50, p99 = np.percentile(work, [50, 99])
        return {
            "p50": p50,
            "p99": p99,
            "max": float(work.max()),
            "late": float(self._late[:count].max() * 1e-6),
        }

    def stage_max_ms(self) -> list[float]:
        """Largest time of each stage over the last window."""
        return [float(value) for value in self._stage.max(axis=0) * 1e-6]

    def percentile_ms(self, percent: float) -> float:
        """Work per tick over the whole run, to a bin's width (20 us), never above the maximum."""
        if self.ticks == 0:
            return 0.0
        index = int(np.searchsorted(np.cumsum(self._histogram), percent / 100.0 * self.ticks))
        return min((index + 1) * self.BIN_NS, self.max_ns) * 1e-6

    def coarse_histogram(self, bin_ms: float = 0.5) -> list[int]:
        """Ticks per `bin_ms` of work, the last bin open to the right."""
        group = round(bin_ms * 1e6 / self.BIN_NS)
        return [int(count) for count in self._histogram.reshape(-1, group).sum(axis=1)]


@contextmanager
def gc_outside_the_tick() -> Iterator[Callable[[], None]]:
    """Switch automatic garbage collection off; yields a function to call where there is time for it."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield lambda: (gc.collect(1), None)[1]
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def realtime(priority: int = 50) -> Iterator[list[str]]:
    """SCHED_FIFO for this thread and locked memory; yields what was refused, in words with the remedy.

    Threads and processes started in the block do not inherit the priority.
    """
    refused = []
    # No priority helps against another thread that holds Python's lock; it has to give it up this soon.
    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except (OSError, AttributeError):
        refused.append("real-time priority (give the user `rtprio 50` in /etc/security/limits.conf)")
    libc = ctypes.CDLL(None, use_errno=True)
    current_and_future = 1 | 2
    if getattr(libc, "mlockall", lambda _: -1)(current_and_future) != 0:
        refused.append("locked memory (give the user `memlock unlimited` in /etc/security/limits.conf)")
    try:
        yield refused
    finally:
        sys.setswitchinterval(switch_interval_s)
        with suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        getattr(libc, "munlockall", lambda: -1)()
