"""What the start maps for the tick to read: the indirect data against the registers, halves or whole, fast or plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bus_helpers import OLD, SPEC
from startup_helpers import Start, refused

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import Register
from wildrobot.firmware_bridge.bus.protocol import Instruction
from wildrobot.firmware_bridge.virtual.parts import Hidden


def test_the_indirect_addresses_show_motion_and_slow_registers() -> None:
    start = Start()
    start.prepare()
    for device, servo in zip(SPEC.servo_ids, start.virtual.servos, strict=True):
        shown = start.bus.read_block(device, table.INDIRECT_DATA, 12).data
        position = servo.get(table.PRESENT_POSITION)
        assert int.from_bytes(shown[:2], "little", signed=True) == position
        assert shown[8] == servo.get(table.PRESENT_INPUT_VOLTAGE)
        assert shown[9] == servo.get(table.PRESENT_TEMPERATURE)
        assert shown[11] == servo.get(table.GOAL_PWM) & 0xFF
        kept = start.bus.read_block(device, table.INDIRECT_ADDRESS, 24).data
        assert kept == table.indirect_map()


def test_indirect_addresses_that_do_not_stay_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start()
    servo = start.virtual.servo(4)
    commit = servo._commit

    def forgetful(register: Register, value: int, now_ns: int) -> None:
        if register.address != table.INDIRECT_ADDRESS + 6:
            commit(register, value, now_ns)

    monkeypatch.setattr(servo, "_commit", forgetful)
    assert "device 4 did not keep its indirect addresses" in refused(start)


@pytest.mark.parametrize("shift", [1, 2, -1, 6], ids=lambda shift: f"shifted by {shift}")
def test_indirect_data_that_show_something_else_are_refused(
    shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Start()
    servo = start.virtual.servo(4)
    target = servo.registers.target
    monkeypatch.setattr(servo.registers, "target", lambda address: target(address) + shift)
    text = refused(start)
    assert "device 4: its indirect data do not show " in text
    assert "its firmware maps other bytes than the manual says" in text


def test_a_robot_that_swings_while_it_is_looked_at_is_not_called_wrong() -> None:
    start = Start()
    for servo in start.virtual.servos:
        servo.put(table.TORQUE_ENABLE, 1)
        servo.put(table.GOAL_POSITION, 2500)
        servo._configure_motor()
    start.port.sleep(0.05)
    start.prepare()


def test_a_servo_without_a_bus_watchdog_is_refused() -> None:
    text = refused(Start(hidden=Hidden(firmware={"left_knee_pitch": 36})))
    assert "servo 4 (left_knee_pitch): firmware 36 has no bus watchdog" in text


@pytest.mark.parametrize("firmware", [48, 44], ids=["fast", "plain"])
def test_a_firmware_that_shows_values_only_whole_is_told_and_read_whole(firmware: int) -> None:
    hidden = Hidden(whole_items=True, firmware=dict.fromkeys(SPEC.joint_names, firmware))
    start = Start(hidden=hidden)
    servos = start.prepare()
    assert any("only whole, so reads carry all their bytes" in text for text in start.said)
    for _ in range(20):
        samples = servos.read_tick()
        assert not samples.failures
        angle, _ = servos.joint_motion(samples)
        assert np.abs(angle - start.virtual.truth().joint_position).max() < 0.01
        assert samples.health is not None
        i, health = samples.health
        assert health.voltage == start.virtual.servos[i].get(table.PRESENT_INPUT_VOLTAGE)


def test_old_firmware_is_told_and_read_plainly() -> None:
    start = Start(hidden=OLD)
    servos = start.prepare()
    assert not servos.fast
    assert start.said == ["servo 4: firmware before 45, so reads are plain bulk reads (slower)"]
    assert not servos.read_tick().failures


def test_fast_reads_that_nobody_answers_are_told_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start()
    deaf = start.virtual.servo(1)
    hear = deaf.hear

    def hear_no_fast_reads(packet: Any, end_ns: int) -> Any:
        return None if packet.instruction == Instruction.FAST_BULK_READ else hear(packet, end_ns)

    monkeypatch.setattr(deaf, "hear", hear_no_fast_reads)
    servos = start.prepare()
    assert not servos.fast
    assert start.said == ["fast bulk reads were not answered, so reads are plain bulk reads (slower)"]
    assert not servos.read_tick().failures
