"""Every guard: what it watches, at which level of robot.yaml it warns and stops, and that none does another's work."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, frame_at, no_health
from test_safety import tilted

from wildrobot.core.errors import UserError
from wildrobot.robot_description.spec import Guard
from wildrobot.runtime.control.guards import DEBOUNCE_TICKS, FALL_AHEAD_S, GUARDS, GuardReading, Guards, Level

HOME = SPEC.default_joint_pos[None]
N = SPEC.num_joints


@dataclasses.dataclass
class Tick:
    """What the supervisor is shown; at rest, unless told."""

    frame: Any
    health: Any = dataclasses.field(default_factory=no_health)
    missed: int = 0
    action: Any = None
    driven: bool = True


Show = Callable[[float, int], Tick]
"""A guard's value, and the number of the tick, to a tick on which the guard reads that value."""


def at_rest(i: int) -> Any:
    return frame_at(0.02 * i, jitter=i)


def one_servo(field: str, rest: float = math.nan) -> Show:
    def show(value: float, i: int) -> Tick:
        values = np.full(N, rest)
        values[3] = value
        return Tick(at_rest(i), health=dataclasses.replace(no_health(), **{field: values}))

    return show


def falling(value: float, i: int) -> Tick:
    """Upright before tick 0, and from then on as fast as makes the guard read `value`."""
    angle = value * (1.0 - (FALL_AHEAD_S / (FALL_AHEAD_S + SPEC.control_dt)) ** (i + 1))
    return Tick(tilted(angle, 0, time_s=0.02 * i, jitter=i))


def off_target(value: float, i: int) -> Tick:
    position = SPEC.default_joint_pos.copy()
    position[3] -= value
    return Tick(frame_at(0.02 * i, position=position, jitter=i))


def past_its_limit(value: float, i: int) -> Tick:
    position = SPEC.default_joint_pos.copy()
    position[0] = SPEC.joint_lower[0] - value
    return Tick(frame_at(0.02 * i, position=position, jitter=i), driven=False)


def fast(value: float, i: int) -> Tick:
    frame = at_rest(i)
    frame.joint_velocity[0, 4] = -value
    return Tick(frame)


def old(value: float, i: int) -> Tick:
    frame = at_rest(i)
    frame.foot_time_s[:] -= value
    return Tick(frame)


def long_quaternion(value: float, i: int) -> Tick:
    return Tick(frame_at(0.02 * i, quaternion=(1.0 + value) * SPEC.imu_mount, jitter=i))


SHOW: dict[str, Show] = {
    "tilt_rad": lambda value, i: Tick(tilted(value, 1, time_s=0.02 * i, jitter=i)),
    "falling_rad": falling,
    "tracking_error_rad": off_target,
    "joint_limit_rad": past_its_limit,
    "joint_velocity_rad_s": fast,
    "current_a": lambda value, i: one_servo("current_a", 0.1)(-value, i),
    "temperature_c": one_servo("temperature_c", 30.0),
    "voltage_low_v": one_servo("voltage_v", 12.0),
    "voltage_high_v": one_servo("voltage_v", 12.0),
    "sample_age_s": old,
    "quaternion_norm_error": long_quaternion,
    "missed_ticks_in_a_row": lambda value, i: Tick(at_rest(i), missed=math.ceil(value - 1e-3)),
    "hardware_errors": lambda value, i: Tick(
        at_rest(i), health=dataclasses.replace(no_health(), hardware_errors=math.ceil(value - 1e-3))
    ),
    "policy_output_clips": lambda value, i: Tick(at_rest(i), action=-value * SPEC.action_clip * np.eye(1, N)),
}
IMMEDIATE = {"sample_age_s", "missed_ticks_in_a_row", "hardware_errors", "policy_output_clips"}
TOGETHER = {"tilt_rad": {"falling_rad"}}
"""Guards that cannot be past their level alone."""


def spec_with(name: str, guard: Guard) -> Any:
    spec = copy.copy(SPEC)
    spec.guards = SPEC.guards | {name: guard}
    return spec


def read(spec: Any, name: str, value: float, count: int) -> list[list[GuardReading]]:
    """Readings of `count` ticks on which guard `name` reads `value`, after one at rest."""
    guards = Guards(spec)
    guards.check(at_rest(-1), no_health(), 0, True, HOME)
    found = []
    for i in range(count):
        tick = SHOW[name](value, i)
        found.append(guards.check(tick.frame, tick.health, tick.missed, tick.driven, HOME, tick.action)[0])
    return found


def stopping(readings: list[GuardReading]) -> set[str]:
    return {reading.name for reading in readings if reading.level is Level.STOP}


def beyond(name: str, level: float, by: float = 0.02) -> float:
    """A little worse than `level`."""
    whole = name in ("missed_ticks_in_a_row", "hardware_errors")
    sign = -1.0 if name == "voltage_low_v" else 1.0
    return math.floor(level) + 1.0 if whole else level + sign * by * level


def test_every_guard_is_shown_here() -> None:
    assert set(SHOW) == set(GUARDS) == set(SPEC.guards)


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_stops_beyond_its_level_and_not_before(name: str) -> None:
    stop, alone = SPEC.guards[name].stop, {name} | TOGETHER.get(name, set())
    found = [stopping(readings) for readings in read(SPEC, name, beyond(name, stop), DEBOUNCE_TICKS)]
    assert name in found[-1]
    assert found[-1] <= alone
    if name not in IMMEDIATE:
        assert not any(found[:-1]), "it waits for several ticks in a row"
    inside = beyond(name, stop, -0.02) if name not in ("missed_ticks_in_a_row", "hardware_errors") else stop
    assert name not in stopping(read(SPEC, name, math.floor(inside) if inside == stop else inside, 5)[-1])


@pytest.mark.parametrize("name", GUARDS)
def test_what_must_not_wait_stops_on_the_first_tick(name: str) -> None:
    found = stopping(read(SPEC, name, beyond(name, SPEC.guards[name].stop), 1)[0])
    assert (name in found) == (name in IMMEDIATE)


@pytest.mark.parametrize("name", [name for name in GUARDS if name != "hardware_errors"])
def test_a_guard_warns_beyond_its_level_and_not_before(name: str) -> None:
    guard = SPEC.guards[name]
    levels = {
        value: next(
            reading.level for reading in read(SPEC, name, value, DEBOUNCE_TICKS)[-1] if reading.name == name
        )
        for value in (beyond(name, guard.warn), beyond(name, guard.warn, -0.02))
    }
    first, *rest = levels.values()
    assert first is Level.WARN
    assert all(level is Level.FINE for level in rest)


@pytest.mark.parametrize("name", GUARDS)
def test_with_its_level_out_of_reach_nothing_else_stops_in_its_place(name: str) -> None:
    away = -math.inf if name == "voltage_low_v" else math.inf
    spec = spec_with(name, Guard(away, away))
    readings = read(spec, name, beyond(name, SPEC.guards[name].stop), DEBOUNCE_TICKS)
    assert all(stopping(each) <= TOGETHER.get(name, set()) for each in readings)


@pytest.mark.parametrize(
    ("name", "guard", "said"),
    [
        ("tilt_rad", None, "no levels for tilt_rad"),
        ("tilt_rad", Guard(1.2, 1.0), "warns at 1.2 and stops at 1"),
        ("tilt_rad", Guard(0.6, math.nan), "stops at nan"),
        ("voltage_low_v", Guard(10.0, 11.0), "voltage_low_v warns at 10 and stops at 11"),
        ("tilt_degrees", Guard(30.0, 60.0), "unknown guard tilt_degrees"),
    ],
)
def test_levels_that_make_no_sense_are_refused(name: str, guard: Guard | None, said: str) -> None:
    spec = copy.copy(SPEC)
    spec.guards = {key: value for key, value in SPEC.guards.items() if key != name}
    if guard is not None:
        spec.guards[name] = guard
    with pytest.raises(UserError, match=said):
        Guards(spec)


@pytest.mark.parametrize(
    "field", ["joint_position", "joint_velocity", "imu_quaternion", "imu_time_s", "foot_time_s"]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_counts_as_the_worst(field: str, value: float) -> None:
    guards = Guards(SPEC)
    for i in range(DEBOUNCE_TICKS):
        frame = at_rest(i)
        getattr(frame, field).reshape(-1)[0] = value
        with np.errstate(invalid="ignore"):
            found = guards.check(frame, no_health(), 0, False, HOME)[1]
    assert found


def test_a_current_without_end_counts_and_one_that_nobody_measures_does_not() -> None:
    show = one_servo("current_a", math.nan)
    guards = Guards(SPEC)
    for i in range(DEBOUNCE_TICKS):
        endless = show(math.inf, i)
        found = guards.check(endless.frame, endless.health, 0, driven=True)[1]
    assert found == ["current_a"]
    unknown = show(math.nan, DEBOUNCE_TICKS)
    assert guards.check(unknown.frame, unknown.health, 0, driven=True)[1] == []


def test_a_frame_that_comes_again_grows_old_although_it_calls_itself_fresh() -> None:
    guards, frame = Guards(SPEC), at_rest(1)
    found = [guards.check(frame, no_health(), 0, driven=True)[1] for _ in range(8)]
    assert SPEC.guards["sample_age_s"].stop == pytest.approx(6 * SPEC.control_dt)
    assert not any(found[:6])
    assert found[7] == ["sample_age_s"]


def test_a_sample_from_the_future_is_as_wrong_as_an_old_one() -> None:
    guards, frame = Guards(SPEC), at_rest(1)
    frame.joint_time_s[0, 2] += 10.0
    assert guards.check(frame, no_health(), 0, driven=True)[1] == ["sample_age_s"]
