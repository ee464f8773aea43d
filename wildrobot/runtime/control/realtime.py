"""What the operating system and the interpreter grant a control loop, and what the process takes of the machine."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wildrobot.core.errors import UserError


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


class Usage:
    """What the process takes of the machine from now on."""

    def __init__(self) -> None:
        self._wall, self._cpu, self._memory = time.perf_counter(), time.process_time(), resident_mb()

    def summary(self) -> dict[str, float]:
        """Share of one CPU since the start; memory in RAM now and by how much it grew, MB."""
        wall, memory = time.perf_counter() - self._wall, resident_mb()
        return {
            "cpu_share": (time.process_time() - self._cpu) / max(wall, 1e-9),
            "memory_mb": memory,
            "memory_growth_mb": memory - self._memory,
        }


def resident_mb() -> float:
    """Memory of this process in RAM, MB; NaN where /proc does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") * 1e-6
