"""The state machine: nothing moves unasked, torque ramps, stops are soft, ESTOP is latched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC

from wildrobot.runtime.control.state_machine import CROUCH_DEPTH, Demand, Directive, State, StateMachine

HOME = SPEC.default_joint_pos[None]
SAGGED = HOME * 1.2
STAND, WALK, STOP = Demand(stand=True), Demand(stand=True, moving=True), Demand(stop=True)


def advance(machine: StateMachine, demand: Demand, seconds: float, measured: Any = SAGGED) -> list[Directive]:
    """Steps of `seconds`; the last pose of each tick is what the servos were given."""
    steps, target = [], measured
    for _ in range(round(seconds * SPEC.control_hz)):
        steps.append(machine.step(demand, measured, target))
        target = steps[-1].pose
    return steps


def walking_machine() -> StateMachine:
    machine = StateMachine(SPEC)
    advance(machine, WALK, 3.0)
    assert machine.state is State.WALKING
    return machine


def test_nothing_moves_because_a_process_started() -> None:
    steps = advance(StateMachine(SPEC), Demand(moving=True), 5.0)
    assert {step.state for step in steps} == {State.LIMP}
    assert all(step.stiffness == 0.0 and not step.policy for step in steps)


def test_a_stop_is_stronger_than_the_wish_to_stand() -> None:
    steps = advance(StateMachine(SPEC), Demand(stand=True, stop=True), 2.0)
    assert {step.state for step in steps} == {State.LIMP}


def test_states_follow_in_order_from_limp_to_walking() -> None:
    steps = advance(StateMachine(SPEC), WALK, 3.0)
    order = list(dict.fromkeys(step.state for step in steps))
    assert order == [State.LIMP, State.STANDING_UP, State.STANDING, State.WALKING]
    assert sum(step.state is State.STANDING for step in steps) == pytest.approx(SPEC.control_hz, abs=1)


def test_standing_up_ramps_from_the_measured_pose_to_home_under_rising_torque() -> None:
    steps = [s for s in advance(StateMachine(SPEC), STAND, 2.0) if s.state is State.STANDING_UP]
    np.testing.assert_array_equal(steps[0].pose, SAGGED)
    np.testing.assert_allclose(steps[-1].pose, HOME, atol=1e-3)
    jumps = np.abs(np.diff([s.pose[0] for s in steps], axis=0)) * SPEC.control_hz
    assert np.all(jumps < SPEC.target_rate_limit)
    gains = [s.stiffness for s in steps]
    assert gains[0] == 0.0
    assert gains[-1] == 1.0
    assert np.all(np.diff(gains) >= 0.0)


def test_the_policy_starts_once_when_the_robot_stands() -> None:
    steps = advance(StateMachine(SPEC), WALK, 4.0)
    starts = [step.state for step in steps if step.policy_starts]
    assert starts == [State.STANDING]


def test_standing_and_walking_change_with_the_command() -> None:
    machine = walking_machine()
    advance(machine, STAND, 0.1)
    assert machine.state is State.STANDING
    advance(machine, WALK, 0.1)
    assert machine.state is State.WALKING  # settled before: no second wait


def test_a_soft_stop_halts_crouches_and_then_lets_go() -> None:
    steps = advance(walking_machine(), STOP, 4.0)
    assert steps[-1].state is State.LIMP
    assert steps[-1].stiffness == 0.0
    halting = [s for s in steps if s.state is State.SOFT_STOP and s.policy]
    assert len(halting) == pytest.approx(SPEC.control_hz, abs=1)
    letting_go = [s for s in steps if s.state is State.SOFT_STOP and not s.policy and s.stiffness < 1.0]
    crouch = np.clip(CROUCH_DEPTH * HOME, SPEC.joint_lower, SPEC.joint_upper)
    np.testing.assert_allclose(letting_go[0].pose, crouch, atol=1e-3)
    assert np.all(np.diff([s.stiffness for s in letting_go]) < 0.0)


def test_a_distrusted_policy_is_not_asked_to_halt_the_robot() -> None:
    steps = advance(walking_machine(), Demand(stop=True, distrust_policy=True), 0.5)
    assert not any(step.policy for step in steps)
    assert steps[0].state is State.SOFT_STOP


def test_distrust_in_the_middle_of_a_halt_ends_it() -> None:
    machine = walking_machine()
    assert advance(machine, STOP, 0.2)[-1].policy
    assert not advance(machine, Demand(stop=True, distrust_policy=True), 0.04)[-1].policy


@pytest.mark.parametrize("seconds", [0.5, 1.5, 3.0])
def test_estop_takes_the_torque_away_at_once_and_stays(seconds: float) -> None:
    machine = StateMachine(SPEC)
    advance(machine, WALK, seconds)
    advance(machine, Demand(estop=True), 0.02)
    after = advance(machine, WALK, 5.0)
    assert {step.state for step in after} == {State.ESTOP}
    assert after[6].stiffness == 0.0
    assert not any(step.policy for step in after)


def test_estop_from_limp_is_latched_too() -> None:
    machine = StateMachine(SPEC)
    advance(machine, Demand(estop=True), 0.02)
    assert {step.state for step in advance(machine, WALK, 3.0)} == {State.ESTOP}


def test_a_soft_stop_is_not_undone_by_a_new_command() -> None:
    machine = walking_machine()
    advance(machine, STOP, 0.1)
    states = {step.state for step in advance(machine, Demand(moving=True), 4.0)}
    assert states == {State.SOFT_STOP, State.LIMP}
