"""Time: absolute deadlines, and what the operating system grants a control loop."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from wildrobot.core.errors import UserError

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


def control_cpu(asked: int | None) -> int | None:
    """The CPU to pin the control thread to: `asked`, else the last one of four or more, else none.

    None, too, where somebody (taskset, a service unit) has already said which CPUs this process may use.

    Raises:
        UserError: this process may not use the CPU that was asked for.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if asked is not None:
        if asked not in allowed:
            raise UserError(
                f"--cpu is {asked}, but this process may use the CPUs {', '.join(map(str, allowed))} only. "
                "Choose one of them."
            )
        return asked
    restricted = len(allowed) < (os.cpu_count() or 1)
    return None if restricted or len(allowed) < 4 else allowed[-1]


@contextmanager
def realtime(priority: int = 50, cpu: int | None = None) -> Iterator[list[str]]:
    """SCHED_FIFO for this thread on `cpu`, and locked memory; yields what was refused, in words with the remedy.

    Threads and processes started in the block do not inherit the priority, but they do the CPU.
    """
    refused = []
    # No priority helps against another thread that holds Python's lock; it has to give it up this soon.
    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    before = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except (OSError, AttributeError):
        refused.append("real-time priority (give the user `rtprio 50` in /etc/security/limits.conf)")
    libc = ctypes.CDLL(None, use_errno=True)
    # present and future pages, once they are used: without "on fault", all that was ever reserved would be filled
    current, future, on_fault = 1, 2, 4
    if getattr(libc, "mlockall", lambda _: -1)(current | future | on_fault) != 0:
        refused.append("locked memory (give the user `memlock unlimited` in /etc/security/limits.conf)")
    try:
        yield refused
    finally:
        sys.setswitchinterval(switch_interval_s)
        with suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        if cpu is not None:
            os.sched_setaffinity(0, before)
        getattr(libc, "munlockall", lambda: -1)()
