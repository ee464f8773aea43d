"""When the loop's ticks begin, and how long they take: clocks with absolute deadlines, the last second's figures, and
histograms of the whole run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

NS_PER_S = 1_000_000_000
BIN_NS = 20_000
BINS = 2500
ROBOT_STAGES = ("read", "write")
"""What they take is the robot's business: the bus, or the physics of a simulated one and what it knows better."""
EDGES_MS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Of the histogram that people are shown; the last bin is open."""


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


class Histogram:
    """Durations in bins of 20 us, up to 50 ms and beyond; adding one allocates nothing."""

    def __init__(self) -> None:
        self._bins = np.zeros(BINS, dtype=np.int64)
        self.count = 0
        self.max_ns = 0

    def add(self, duration_ns: int) -> None:
        """One more."""
        self._bins[min(max(duration_ns, 0) // BIN_NS, BINS - 1)] += 1
        self.count += 1
        self.max_ns = max(self.max_ns, duration_ns)

    def percentile_ms(self, percent: float) -> float:
        """To a bin's width, never above the maximum; 0 of nothing."""
        if self.count == 0:
            return 0.0
        index = int(np.searchsorted(np.cumsum(self._bins), percent / 100.0 * self.count))
        return min((index + 1) * BIN_NS, self.max_ns) * 1e-6

    def coarse(self, bin_ms: float = 0.5) -> list[int]:
        """Counts per `bin_ms`, the last bin open to the right."""
        group = round(bin_ms * 1e6 / BIN_NS)
        return [int(count) for count in self._bins.reshape(-1, group).sum(axis=1)]

    def copy(self) -> Histogram:
        """One that does not count on."""
        other = Histogram()
        other._bins[:], other.count, other.max_ns = self._bins, self.count, self.max_ns
        return other

    def shown(self) -> list[tuple[str, int]]:
        """Counts by the ranges of `EDGES_MS`, from the first to the last that is not empty, for people."""
        first = [round(edge * 1e6 / BIN_NS) for edge in EDGES_MS]
        counts = np.add.reduceat(self._bins, first).tolist()
        ends = [f" to {end:g} ms" for end in EDGES_MS[1:]] + [" ms or more"]
        rows = [(f"{edge:g}{end}", count) for edge, end, count in zip(EDGES_MS, ends, counts, strict=True)]
        known = [i for i, (_, count) in enumerate(rows) if count]
        return rows[known[0] : known[-1] + 1] if known else []

    def summary(self) -> dict[str, Any]:
        """p50, p99 and max in ms, and the counts by range."""
        return {
            "p50_ms": self.percentile_ms(50),
            "p99_ms": self.percentile_ms(99),
            "max_ms": self.max_ns * 1e-6,
            "histogram": dict(self.shown()),
        }


@dataclass(frozen=True)
class TimerWindow:
    """What a `TickTimer` knew at one instant, in arrays of its own: figures of them may be made on another thread."""

    work_ns: NDArray[np.int64]
    """(k,) of the last ticks, in no order; none before the first."""
    late_ns: NDArray[np.int64]
    """(k,)."""
    stage_ns: NDArray[np.int64]
    """(k, stages), of at least one tick."""
    run: Histogram
    """Work of the whole run."""

    def work_ms(self) -> dict[str, float]:
        """p50, p99, max of the work, and the largest lateness."""
        if len(self.work_ns) == 0:
            return dict.fromkeys(("p50", "p99", "max", "late"), 0.0)
        work, late = self.work_ns * 1e-6, self.late_ns * 1e-6
        p50, p99 = np.percentile(work, [50, 99])
        return {"p50": p50, "p99": p99, "max": float(work.max()), "late": float(late.max())}

    def stages_ms(self) -> dict[str, list[float]]:
        """p50, p99 and max of each stage, in the timer's order."""
        p50, p99, worst = np.percentile(self.stage_ns * 1e-6, [50, 99, 100], axis=0).tolist()
        return {"p50": p50, "p99": p99, "max": worst}


class RunTime:
    """The loop's clock as the Unix time that stands in a run's messages: set once, so that it only goes forward."""

    def __init__(self) -> None:
        self.start_us = time.time_ns() // 1000
        self._start_ns = 0

    def begin(self, now_ns: int) -> None:
        """The run begins, at `now_ns` on the loop's clock."""
        self.start_us, self._start_ns = time.time_ns() // 1000, now_ns

    def timestamp_us(self, now_ns: int) -> int:
        """Unix time, us, of `now_ns` on the loop's clock."""
        return self.start_us + (now_ns - self._start_ns) // 1000


class TickTimer:
    """Work per tick and per stage, and lateness.

    Call `start`, then `mark(stage)` at the end of every stage in order, then `finish`.
    """

    def __init__(self, stages: tuple[str, ...], window: int) -> None:
        self.stages = stages
        self._index = {name: i for i, name in enumerate(stages)}
        self._window_ns = {"work": np.zeros(window, dtype=np.int64), "late": np.zeros(window, dtype=np.int64)}
        self._stage = np.zeros((window, len(stages)), dtype=np.int64)
        self.work, self.lateness = Histogram(), Histogram()
        self.compute = Histogram()
        """Work without that of `ROBOT_STAGES`."""
        self._robot_ns = 0
        self.by_stage = {name: Histogram() for name in stages}
        self._started = self._marked = 0
        self.ticks = self.missed = 0
        self.missed_in_a_row = 0
        """Deadlines missed since the last tick that began on its own."""

    def start(self, skipped: int, late_ns: int) -> None:
        """A tick begins, after `skipped` missed deadlines and `late_ns` after its own."""
        self._started = self._marked = time.perf_counter_ns()
        self._robot_ns = 0
        self.missed += skipped
        # Work that takes a little too long every time misses one tick again and again.
        self.missed_in_a_row = self.missed_in_a_row + skipped if skipped else 0
        row = self.ticks % len(self._stage)
        self._stage[row] = 0
        self._window_ns["late"][row] = late_ns
        self.lateness.add(late_ns)

    def mark(self, stage: str) -> None:
        """The stage ends now."""
        now = time.perf_counter_ns()
        took, self._marked = now - self._marked, now
        self._stage[self.ticks % len(self._stage), self._index[stage]] = took
        self.by_stage[stage].add(took)
        if stage in ROBOT_STAGES:
            self._robot_ns += took

    def finish(self) -> None:
        """The tick's work is done."""
        work = time.perf_counter_ns() - self._started
        row = self.ticks % len(self._stage)
        self._window_ns["work"][row] = work
        self.work.add(work)
        self.compute.add(work - self._robot_ns)
        self.ticks += 1

    def window(self) -> TimerWindow:
        """The last ticks, as many as are kept."""
        count = min(self.ticks, len(self._stage))
        work, late = (values[:count].copy() for values in self._window_ns.values())
        return TimerWindow(work, late, self._stage[: max(1, count)].copy(), self.work.copy())
