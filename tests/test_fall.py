"""A fall: the torque is gone before the robot touches the floor, from whatever side it is pushed over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from session_helpers import FreeRobot, LoopSession, sim_session

from wildrobot.runtime.control.guards import FALL
from wildrobot.runtime.control.state_machine import State


def pushed(degrees: float, speed_m_s: float, walk_s: float) -> tuple[LoopSession, Any]:
    """A robot that walks and is pushed; and its simulation."""
    session = sim_session()
    session.until(State.WALKING)
    session.run(walk_s)
    assert isinstance(session.robot, FreeRobot)
    simulation = session.robot.sim.simulation
    angle = np.deg2rad(degrees)
    simulation.push([0], speed_m_s * np.array([[np.cos(angle), np.sin(angle), 0.0]]))
    return session, simulation


def touches(simulation: Any) -> bool:
    """Something other than a foot touches the floor."""
    body = simulation.model.geom_bodyid
    feet = {int(body[geom]) for geom in simulation.robots.foot_geoms}
    pairs = [{int(body[c.geom1]), int(body[c.geom2])} for c in simulation.data(0).contact]
    return any(0 in pair and not pair & feet for pair in pairs)


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_the_torque_is_gone_before_a_falling_robot_touches_the_floor(degrees: int) -> None:
    session, simulation = pushed(degrees, 1.4, walk_s=0.3 + 0.001 * degrees)
    for _ in range(75):
        session.tick()
        if touches(simulation):
            break
    else:
        pytest.fail("it did not fall")
    assert session.state is State.ESTOP
    assert session.told.gain <= 0.2
    assert session.controller.outcome.fell


@pytest.mark.parametrize("degrees", range(0, 360, 90))
def test_a_push_that_the_policy_can_take_is_no_fall(degrees: int) -> None:
    session, _ = pushed(degrees, 0.25, walk_s=0.4)
    session.run(2.0)
    assert session.state is State.WALKING
    assert not any(event.name == "guard" and event.text.startswith(FALL) for event in session.told.events)


def test_sinking_while_it_is_let_go_is_no_fall_but_falling_in_the_crouch_is() -> None:
    session, simulation = pushed(90, 0.0, walk_s=0.3)
    session.controller.signals.count = 1
    session.until(State.SOFT_STOP)
    session.run(1.4)  # halted, and on its way down
    assert not session.controller.machine.releasing
    simulation.push([0], [[0.0, 2.0, 0.0]])
    session.run(0.6)
    assert session.state is State.ESTOP
