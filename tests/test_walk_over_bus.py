"""The shipped policy on the virtual robot, through bytes only: it walks, and gets over a cable that was pulled."""

from __future__ import annotations

import numpy as np
import pytest
from dynamixel_helpers import SPEC, Session, up

from wildrobot.firmware_bridge.virtual.faults.table import CABLE_OUT
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.runtime.control.state_machine import State


def test_it_walks_at_the_speed_asked_with_one_read_and_one_write_per_tick() -> None:
    session = Session(speed=0.3)
    session.until(State.WALKING)
    session.run(2.0)
    wire = session.virtual.wire
    instructions, start = wire.instructions, session.virtual.truth().pelvis_position[0]
    session.run(8.0)
    assert up(session.virtual)
    assert session.virtual.truth().pelvis_position[0] - start == pytest.approx(0.3 * 8.0, abs=0.05 * 8.0)
    assert wire.instructions - instructions == 2 * round(8.0 * SPEC.control_hz)
    assert session.timer.missed == 0


def test_old_firmware_walks_on_plain_bulk_reads() -> None:
    old = Hidden(firmware={"left_knee_pitch": 44})
    session = Session(hidden=old)
    assert not session.robot.servos.fast
    assert any("servo 4: firmware before 45" in note for note in session.notes)
    session.until(State.WALKING)
    session.run(4.0)
    assert session.state is State.WALKING
    assert up(session.virtual)


def test_it_walks_through_a_usb_adapter_that_hands_on_bytes_late() -> None:
    session = Session(latency_timer_ms=1.0)
    session.until(State.WALKING)
    session.run(4.0)
    assert session.state is State.WALKING
    assert up(session.virtual)


def test_nothing_moves_before_the_torque_is_asked_for() -> None:
    virtual = VirtualRobot(SPEC, suspended=True)
    session = Session(virtual=virtual)
    before = virtual.truth().joint_position
    for _ in range(3):
        session.robot.read()
        session.robot.write(SPEC.default_joint_pos[None] + 0.3)
        session.transport.sleep(0.02)
    assert not virtual.truth().torque_on.any()
    assert np.max(np.abs(virtual.truth().joint_position - before)) < 0.02  # it hangs and swings


def test_after_two_seconds_without_the_cable_it_starts_again_without_a_power_cycle() -> None:
    session = Session(faults=[CABLE_OUT(at_s=4.0, for_s=2.0)])
    session.until(State.WALKING)
    session.run(5.0)
    texts = [told.text for told in session.told.events if told.severity]
    assert any("the port is gone: cable or adapter" in text for text in texts)
    assert session.controller.ended
    assert session.controller.outcome.fault == "sample_age_s"
    assert session.state is State.LIMP
    goals = [servo.motor.goal_count for servo in session.virtual.servos]
    session.transport.sleep(1.0)
    assert goals == [servo.motor.goal_count for servo in session.virtual.servos], "the watchdogs hold"

    virtual = session.virtual
    virtual.physics._put("stand")  # somebody sets it on its feet
    virtual._on_stand = True
    again = Session(virtual=virtual)
    assert any("bus_watchdog set to 0" in note for note in again.notes)
    assert not virtual.truth().torque_on.any()
    again.until(State.WALKING)
    again.run(3.0)
    assert again.state is State.WALKING
    assert up(virtual)
