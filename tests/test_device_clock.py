"""Which readings a device's own clock tells to be of this request, with a clock that is exact to its unit."""

from __future__ import annotations

import pytest

from wildrobot.firmware_bridge.bus.servo_bus import FIRST_READINGS, DeviceClock

TICK_S = 0.02
PERIOD = 32768
"""Counts of 1 ms of a servo's clock."""


def reading(clock: DeviceClock, asked_s: float, arrived_s: float, read_s: float) -> float:
    """Verdict on a reading that the device took at `read_s`."""
    return clock.late_s(round(1e3 * read_s) % PERIOD, round(1e9 * asked_s), round(1e9 * arrived_s))


def followed(ticks: int = 3 * FIRST_READINGS) -> tuple[DeviceClock, float]:
    """A clock that has been read for so many ticks, and the time of the next one."""
    clock = DeviceClock(1e-3, PERIOD)
    for i in range(ticks):
        now = i * TICK_S
        assert reading(clock, now, now + 0.001, now) == 0.0
    return clock, ticks * TICK_S


@pytest.mark.parametrize("held_s", [0.012, 0.03, 0.2])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_reading_from_any_time_between_request_and_arrival_is_of_this_request(
    held_s: float, share: float
) -> None:
    clock, now = followed()
    assert reading(clock, now, now + held_s, now + share * held_s) == 0.0
    # and it has not moved what the next ones are held against
    now += held_s + TICK_S
    assert reading(clock, now, now + 0.001, now) == 0.0
    assert reading(clock, now, now + 0.001, now - 0.02) == pytest.approx(0.02, abs=0.002)


def test_a_reading_from_after_its_arrival_or_from_before_its_request_is_of_another() -> None:
    clock, now = followed()
    assert reading(clock, now, now + 0.03, now - 0.02) == pytest.approx(0.02, abs=0.002)
    assert reading(clock, now, now + 0.03, now + 0.05) == pytest.approx(-0.05, abs=0.002)
    assert reading(clock, now, now + 0.03, now) == 0.0


@pytest.mark.parametrize("held_s", [0.012, 0.03, 0.1])
def test_a_first_reading_taken_while_the_host_was_held_up_does_not_spoil_the_next_second(
    held_s: float,
) -> None:
    clock = DeviceClock(1e-3, PERIOD)
    assert reading(clock, 0.0, held_s, held_s) == 0.0
    for i in range(1, 51):
        now = held_s + i * TICK_S
        assert reading(clock, now, now + 0.001, now) == 0.0, f"tick {i}"
    now += TICK_S
    assert reading(clock, now, now + 0.001, now - 0.02) == pytest.approx(0.02, abs=0.002)
