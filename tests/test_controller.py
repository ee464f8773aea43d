"""The controller, when what it is given is wrong: it coasts, holds, stops softly, and asks nobody it cannot trust."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, frame_at
from session_helpers import LoopSession
from wild_helpers import QUICK, Wild, WildRobot, wild_session, wild_tick

from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.controller import REFUSAL_S
from wildrobot.runtime.control.guards import DEBOUNCE_TICKS
from wildrobot.runtime.control.safety import COAST_TICKS
from wildrobot.runtime.control.state_machine import CROUCH_DEPTH, Durations, State
from wildrobot.signal_path.sensor_frame import SensorFrame, drop_not_finite

CROUCH = np.clip(CROUCH_DEPTH * SPEC.default_joint_pos[None], SPEC.joint_lower, SPEC.joint_upper)


def walking() -> tuple[LoopSession, WildRobot]:
    session, wild = wild_session()
    for _ in range(50):
        wild_tick(session, wild)
    assert session.state is State.WALKING
    return session, wild


def states(session: LoopSession, wild: WildRobot, count: int) -> list[State]:
    found = []
    for _ in range(count):
        wild_tick(session, wild)
        found.append(session.state)
    return found


@pytest.mark.parametrize(
    "field", ["time_s", "joint_position", "joint_velocity", "imu_angular_velocity", "foot_contact"]
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_coasted_over_and_stops_softly_if_it_stays(
    field: str, value: float
) -> None:
    session, wild = walking()
    wild.now = Wild(values=[(field, 2, value)])
    assert set(states(session, wild, 2)) == {State.WALKING}
    wild.now = Wild()
    assert set(states(session, wild, 20)) == {State.WALKING}
    wild.now = Wild(values=[(field, 2, value)])
    assert State.SOFT_STOP in states(session, wild, 8)
    assert session.controller.outcome.fault == "sample_age_s"
    assert states(session, wild, 30)[-1] is State.LIMP
    assert all(np.all(np.isfinite(target)) for _, target in wild.written)


def test_what_is_no_number_keeps_its_last_value_and_time_and_is_not_valid() -> None:
    last, frame = frame_at(1.0), frame_at(1.02, jitter=1)
    frame.joint_position[0, 3] = frame.imu_acceleration[0, 1] = math.nan
    seen = drop_not_finite(frame, last)
    assert seen.joint_valid[0].tolist() == [i != 3 for i in range(SPEC.num_joints)]
    assert (bool(seen.imu_valid[0]), bool(seen.foot_valid[0])) == (False, True)
    assert (seen.joint_time_s[0, 3], seen.joint_time_s[0, 2], seen.imu_time_s[0]) == (1.0, 1.02, 1.0)
    assert seen.joint_position[0, 3] == last.joint_position[0, 3]
    np.testing.assert_array_equal(seen.imu_angular_velocity, last.imu_angular_velocity)
    assert drop_not_finite(last, None) is last


def test_a_robot_without_readings_is_never_stood_up() -> None:
    session, wild = wild_session()
    wild.now = Wild(values=[("joint_position", 0, math.nan)])
    assert set(states(session, wild, round((QUICK.limp + REFUSAL_S) * SPEC.control_hz) + 10)) == {State.LIMP}
    assert session.controller.outcome.fault is not None
    assert all(gain == 0.0 and np.all(np.isfinite(target)) for gain, target in wild.written)


def test_who_asks_once_is_obeyed_as_soon_as_the_guards_have_seen_enough() -> None:
    session, wild = wild_session()
    wild.now = Wild(command=OperatorCommand(0.0, 0.0))
    assert set(states(session, wild, 2)) == {State.LIMP}
    wild.now = Wild(command=OperatorCommand(0.0, 0.0, stand=True))
    assert states(session, wild, 1) == [State.LIMP]
    wild.now = Wild(command=OperatorCommand(0.0, 0.0))
    rest = round(QUICK.limp * SPEC.control_hz) - 3
    assert states(session, wild, rest + 1) == [State.LIMP] * rest + [State.STANDING_UP]


def test_a_stop_takes_back_that_somebody_asked() -> None:
    session, wild = wild_session()
    wild.now = Wild(command=OperatorCommand(0.0, 0.0, stand=True))
    states(session, wild, 2)
    wild.now = Wild(command=OperatorCommand(0.0, 0.0, stop=True))
    states(session, wild, 1)
    wild.now = Wild(command=OperatorCommand(0.0, 0.0))
    assert set(states(session, wild, 30)) == {State.LIMP}


def test_who_asks_once_while_a_guard_holds_the_robot_back_is_told_and_not_obeyed_later() -> None:
    session, wild = wild_session()
    blind = [("joint_position", 0, math.nan)]
    wild.now = Wild(values=blind, command=OperatorCommand(0.0, 0.0, stand=True))
    states(session, wild, 2)
    wild.now = Wild(values=blind, command=OperatorCommand(0.0, 0.0))
    assert set(states(session, wild, 20)) == {State.LIMP}
    told = [event.text for event in session.told.events if event.name == "refused"]
    assert len(told) == 1
    assert "not standing up" in told[0]
    assert "sample_age_s" in told[0]
    wild.now = Wild(command=OperatorCommand(0.0, 0.0))
    assert set(states(session, wild, 30)) == {State.LIMP}


def test_who_asks_a_limp_robot_to_walk_is_told_once() -> None:
    session, wild = wild_session()
    for command in (
        OperatorCommand(0.3, 0.0),
        OperatorCommand(0.0, 0.0),
        OperatorCommand(0.3, 0.0, stop=True),
        OperatorCommand(0.3, 0.0),
    ):
        wild.now = Wild(command=command)
        assert set(states(session, wild, 5)) == {State.LIMP}
    told = [event.text for event in session.told.events if event.name == "refused"]
    assert told == ["not walking: the torque is off; stand the robot up first"] * 2


def test_every_guard_has_seen_a_limp_robot_before_it_may_stand_up() -> None:
    slowest = max(DEBOUNCE_TICKS * SPEC.control_dt, SPEC.guards["sample_age_s"].stop + SPEC.control_dt)
    assert Durations().limp > slowest


def test_without_samples_the_targets_are_held_and_then_the_robot_crouches_and_lets_go() -> None:
    session, wild = walking()
    wild.now = Wild(frozen=True)
    found: list[tuple[State, Any]] = []
    while session.state is not State.LIMP:
        wild_tick(session, wild)
        found.append((session.state, wild.written[-1]))
    walked = [target for state, (_, target) in found if state is State.WALKING]
    assert len(walked) > COAST_TICKS
    assert all(np.array_equal(target, walked[COAST_TICKS]) for target in walked[COAST_TICKS:])
    down = [(gain, target) for state, (gain, target) in found if state is State.SOFT_STOP]
    full = [target for gain, target in down if gain == 1.0]
    np.testing.assert_allclose(full[-1], CROUCH, atol=0.02)
    assert down[-1][0] < 1.0


def test_a_policy_that_raises_is_told_of_and_the_robot_stops_softly() -> None:
    session, wild = walking()
    last = wild.written[-1][1]
    wild.now = Wild(raises=True)
    assert states(session, wild, 2) == [State.WALKING, State.SOFT_STOP]
    np.testing.assert_array_equal(wild.written[-2][1], last)
    assert session.controller.outcome.fault == "policy_raised"
    assert any("RuntimeError: the policy's runtime gave up" in event.text for event in session.told.events)
    asked = wild.asked
    states(session, wild, 10)
    assert wild.asked == asked, "it is not asked any more"


def test_a_policy_is_not_asked_about_what_overflows() -> None:
    session, wild = walking()
    asked, wild.now = wild.asked, Wild(values=[("imu_angular_velocity", 1, 1e300)])
    assert State.SOFT_STOP in states(session, wild, 2)
    assert wild.asked == asked
    assert session.controller.outcome.fault == "policy_input_not_finite"


@pytest.mark.parametrize(
    ("action", "fault"), [(math.nan, "policy_output_not_finite"), (1e3, "policy_output_clips")]
)
def test_an_answer_that_cannot_be_stops_the_robot_without_the_policy(action: float, fault: str) -> None:
    session, wild = walking()
    wild.now = Wild(action=action)
    assert states(session, wild, 2) == [State.WALKING, State.SOFT_STOP]
    assert session.controller.outcome.fault == fault
    asked, wild.now = wild.asked, Wild()
    states(session, wild, 10)
    assert wild.asked == asked


def test_what_limited_a_target_is_told_once_with_what_was_asked_and_given() -> None:
    session, wild = walking()
    wild.now = Wild(action=math.nan)
    wild_tick(session, wild)
    applied = session.told.applied
    assert applied is not None
    assert np.all(np.isnan(applied.requested))
    assert applied.limited_by == ("not_finite",)
    assert [event.text for event in session.told.events if event.name == "limited"] == ["not_finite"]


def test_being_late_on_every_tick_stops_the_robot_although_no_single_tick_is_very_late() -> None:
    session, wild = walking()
    wild.now = Wild(missed=1)
    level = round(SPEC.guards["missed_ticks_in_a_row"].stop)
    assert states(session, wild, level + 1) == [State.WALKING] * level + [State.SOFT_STOP]


def test_a_servo_that_gives_up_while_it_walks_ends_the_walk_with_the_policy_s_help() -> None:
    session, wild = walking()
    wild.now = dataclasses.replace(wild.now, health=90.0)
    asked = wild.asked
    assert State.SOFT_STOP in states(session, wild, 6)
    assert wild.asked == asked + 6, "the policy comes to a halt: what it is shown is right"


def test_a_stop_is_for_the_person_who_asked_and_a_new_stand_may_follow() -> None:
    session, wild = walking()
    wild.now = Wild(command=OperatorCommand(stop=True))
    assert (
        states(session, wild, round((QUICK.halt + QUICK.crouch + QUICK.release) * 50) + 2)[-1] is State.LIMP
    )
    wild.now = Wild()
    assert State.WALKING in states(session, wild, 50)


def test_a_robot_that_sinks_down_while_it_is_let_go_has_not_fallen() -> None:
    session, wild = walking()
    session.controller.machine._durations = dataclasses.replace(QUICK, release=0.4)
    wild.now = Wild(command=OperatorCommand(stop=True))
    while not session.controller.machine.releasing:
        wild_tick(session, wild)
    on_its_side = [("imu_quaternion", 0, math.sqrt(0.5)), ("imu_quaternion", 1, math.sqrt(0.5))]
    wild.now = Wild(command=OperatorCommand(stop=True), values=on_its_side)
    assert set(states(session, wild, 25)) == {State.SOFT_STOP, State.LIMP}
    assert not session.controller.outcome.fell


def test_a_frame_is_not_changed_when_all_of_it_is_right() -> None:
    frame = frame_at(1.0)
    before = frame.copy()
    assert drop_not_finite(frame, None) is frame
    for field in dataclasses.fields(SensorFrame):
        np.testing.assert_array_equal(getattr(frame, field.name), getattr(before, field.name))
