"""The loop's pace and what it knows of it: deadlines, the timer, garbage."""

from __future__ import annotations

import gc
import time

import pytest

from wildrobot.runtime.control.realtime import gc_outside_the_tick
from wildrobot.runtime.control.timing import DeadlineClock, SteppedClock, TickTimer

MS = 1_000_000


class FakeTime:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.ns = 123
        self.oversleep_ns = 0

    def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9) + self.oversleep_ns

    def clock(self) -> DeadlineClock:
        return DeadlineClock(20 * MS, now_ns=lambda: self.ns, sleep=self.sleep)


def test_deadlines_are_absolute_so_that_lateness_does_not_add_up() -> None:
    fake = FakeTime()
    clock = fake.clock()
    clock.wait()
    start, fake.oversleep_ns = fake.ns, 70_000
    for tick in range(1, 1000):
        fake.ns += 3 * MS
        assert clock.wait() == (0, 70_000)
        assert fake.ns == start + tick * 20 * MS + 70_000


@pytest.mark.parametrize(("work_ms", "skipped"), [(19, 0), (21, 1), (40, 1), (41, 2), (95, 4)])
def test_an_overrun_skips_to_the_next_deadline_and_never_bursts(work_ms: int, skipped: int) -> None:
    fake = FakeTime()
    clock = fake.clock()
    clock.wait()
    start = fake.ns
    fake.ns += work_ms * MS
    assert clock.wait() == (skipped, 0)
    assert fake.ns == start + (skipped + 1) * 20 * MS
    fake.ns += 1 * MS
    assert clock.wait() == (0, 0)
    assert fake.ns == start + (skipped + 2) * 20 * MS


def test_a_sleep_that_ends_early_is_taken_up_again() -> None:
    fake = FakeTime()
    clock = DeadlineClock(20 * MS, now_ns=lambda: fake.ns, sleep=lambda s: fake.sleep(0.5 * s + 1e-9))
    clock.wait()
    start = fake.ns
    clock.wait()
    assert fake.ns >= start + 20 * MS


def test_stepped_time_moves_by_one_period_per_tick() -> None:
    clock = SteppedClock(20 * MS)
    start = clock.now_ns()
    for _ in range(5):
        assert clock.wait() == (0, 0)
    assert clock.now_ns() == start + 100 * MS


def test_the_timer_s_percentiles_and_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now[0])
    timer = TickTimer(("read", "write"), window=10)
    for tick in range(100):
        timer.start(skipped=int(tick == 50), late_ns=tick)
        now[0] += 1 * MS
        timer.mark("read")
        now[0] += (30 if tick == 99 else 2) * MS
        timer.mark("write")
        timer.finish()
    assert timer.work.percentile_ms(50) == pytest.approx(3.0, abs=0.021)
    assert timer.work.percentile_ms(99) == pytest.approx(3.0, abs=0.021)
    assert timer.work.percentile_ms(100) == pytest.approx(31.0, abs=0.021)
    assert timer.work.max_ns == 31 * MS
    assert (timer.missed, timer.missed_in_a_row, timer.lateness.max_ns) == (1, 0, 99)
    assert timer.compute.max_ns == 0  # reading and writing is the robot's
    window = timer.window().stages_ms()
    assert window["max"] == pytest.approx([1.0, 30.0])
    assert window["p50"] == pytest.approx([1.0, 2.0])
    assert timer.by_stage["write"].summary()["p99_ms"] == pytest.approx(2.0, abs=0.021)
    histogram = timer.work.coarse(0.5)
    assert (histogram[6], histogram[62], sum(histogram)) == (99, 1, 100)
    assert timer.work.shown() == [
        ("3 to 5 ms", 99), ("5 to 10 ms", 0), ("10 to 20 ms", 0), ("20 ms or more", 1),
    ]  # fmt: skip


def test_garbage_is_collected_only_when_asked() -> None:
    with gc_outside_the_tick() as collect:
        assert not gc.isenabled()
        collect()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
