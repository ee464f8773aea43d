"""Before anything moves: what is wrong is found and named, repaired where that is safe, else refused with a list."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from bus_helpers import BOARD, SPEC, with_bus
from startup_helpers import Start, refused

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HardwareError, Register
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.inspection import Finding, expected_registers
from wildrobot.firmware_bridge.bus.startup import prepare
from wildrobot.firmware_bridge.virtual.faults.table import (
    BROWN_OUT,
    FLIPPED_BITS,
    OVERHEATING,
    OVERLOAD,
    SILENT,
)
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport


def test_a_sound_robot_has_nothing_wrong_and_nothing_is_written_into_its_eeprom() -> None:
    start = Start()
    before = [bytes(servo.registers.bytes[: table.EEPROM_END]) for servo in start.virtual.servos]
    assert start.wrong() == []
    servos = start.prepare()
    assert start.said == []
    assert servos.fast
    assert before == [bytes(servo.registers.bytes[: table.EEPROM_END]) for servo in start.virtual.servos]
    assert all(not samples.failures for samples in [servos.read_tick() for _ in range(10)])


# ---------------------------------------------------------------------- repaired

WRONG: list[tuple[Register, int]] = [
    (table.RETURN_DELAY_TIME, 250),
    (table.DRIVE_MODE, 1),
    (table.OPERATING_MODE, table.OperatingMode.VELOCITY),
    (table.OPERATING_MODE, table.OperatingMode.CURRENT_BASED_POSITION),
    (table.SECONDARY_ID, 4),
    (table.PROTOCOL_TYPE, 1),
    (table.HOMING_OFFSET, -300),
    (table.TEMPERATURE_LIMIT, 70),
    (table.MAX_VOLTAGE_LIMIT, 130),
    (table.MIN_VOLTAGE_LIMIT, 110),
    (table.STARTUP_CONFIGURATION, 1),
    (table.STARTUP_CONFIGURATION, 2),
    (table.SHUTDOWN, 0x04),
    (table.PWM_LIMIT, 400),
    (table.VELOCITY_I_GAIN, 0),
    (table.VELOCITY_P_GAIN, 9),
    (table.GOAL_PWM, 0),
    (table.GOAL_PWM, 150),
    (table.MIN_POSITION_LIMIT, 0),
    (table.MAX_POSITION_LIMIT, 4095),
    (table.STATUS_RETURN_LEVEL, 0),
    (table.STATUS_RETURN_LEVEL, 1),
    (table.POSITION_D_GAIN, 40),
    (table.POSITION_I_GAIN, 7),
    (table.FEEDFORWARD_1ST_GAIN, 3),
    (table.FEEDFORWARD_2ND_GAIN, 3),
    (table.PROFILE_ACCELERATION, 5),
    (table.PROFILE_VELOCITY, 60),
]


def test_every_register_of_which_something_is_expected_is_among_the_wrong_ones() -> None:
    assert {register for register, _ in WRONG} == set(expected_registers(SPEC, 0))


@pytest.mark.parametrize("torque", [False, True], ids=["limp", "torque on"])
@pytest.mark.parametrize(("register", "value"), WRONG, ids=lambda item: getattr(item, "name", str(item)))
def test_a_wrong_register_is_found_named_and_repaired(register: Register, value: int, torque: bool) -> None:
    start = Start()
    servo = start.virtual.servo(6)
    servo.put(register, value)
    servo.put(table.TORQUE_ENABLE, int(torque))
    servo._configure_motor()
    named = [finding for finding in start.wrong() if finding.fix and finding.fix[0] is register]
    assert len(named) == 1
    assert named[0].device == 6
    assert "servo 6 (right_hip_pitch)" in str(named[0])
    if value or register is not table.STATUS_RETURN_LEVEL:  # at level 0 it cannot be read
        wanted = named[0].fix[1] if named[0].fix else None
        assert f"{register.name} is {value}, expected {wanted}" in str(named[0])
    assert servo.get(register) == value, "looking changes nothing"
    servos = start.prepare()
    assert start.as_expected(6)
    assert not servo.torque_on
    assert any(text.startswith(f"servo 6 (right_hip_pitch): {register.name} set to") for text in start.said)
    assert not servos.read_tick().failures
    assert start.wrong() == []


@pytest.mark.parametrize("level", [0, 1])
def test_a_servo_that_does_not_acknowledge_is_repaired_in_one_start_whatever_else_is_wrong(
    level: int,
) -> None:
    start = Start(
        hidden=Hidden(registers={"right_hip_pitch": {"return_delay_time": 250, "homing_offset": 90}})
    )
    servo = start.virtual.servo(6)
    servo.put(table.STATUS_RETURN_LEVEL, level)
    servo.put(table.TORQUE_ENABLE, 1)
    servo.put(table.PROFILE_VELOCITY, 60)
    start.prepare()
    assert start.as_expected(6)
    assert not servo.torque_on


def test_all_registers_of_all_servos_wrong_at_once_are_repaired() -> None:
    start = Start()
    for servo in start.virtual.servos:
        for register, value in WRONG:
            servo.put(register, value)
        servo.put(table.STATUS_RETURN_LEVEL, 2)
        servo.put(table.TORQUE_ENABLE, 1)
    start.prepare()
    assert all(start.as_expected(device) for device in SPEC.servo_ids)


def test_torque_left_on_and_a_tripped_watchdog_are_named_and_undone() -> None:
    start = Start()
    start.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(SPEC.servo_ids, 1))
    start.bus.sync_write(table.BUS_WATCHDOG, dict.fromkeys(SPEC.servo_ids, 2))
    start.port.sleep(0.1)
    assert {servo.get(table.BUS_WATCHDOG) for servo in start.virtual.servos} == {-1}
    texts = [str(finding) for finding in start.wrong()]
    assert sum("torque is on" in text for text in texts) == 9
    assert sum("its bus watchdog has tripped" in text for text in texts) == 9
    start.prepare()
    assert not any(servo.torque_on for servo in start.virtual.servos)
    assert {servo.get(table.BUS_WATCHDOG) for servo in start.virtual.servos} == {0}


def test_a_watchdog_that_is_still_armed_is_switched_off() -> None:
    start = Start()
    start.bus.sync_write(table.BUS_WATCHDOG, dict.fromkeys(SPEC.servo_ids, 50))
    start.prepare()
    assert {servo.get(table.BUS_WATCHDOG) for servo in start.virtual.servos} == {0}


# ---------------------------------------------------------------------- refused


def test_all_that_cannot_be_repaired_is_listed_at_once() -> None:
    start = Start(
        SILENT(servo=2), OVERLOAD(servo=4), OVERHEATING(servo=5, temperature_c=78.0), SILENT(servo="board")
    )
    model = SPEC.servos[7].model_number
    start.virtual.servo(8).put(table.MODEL_NUMBER, 1030)
    text = refused(start)
    assert text.startswith("the robot is not ready:\n")
    for line in (
        "servo 2 (left_hip_pitch): no answer at 1000000 bit/s. Check its cable",
        "servo 4 (left_knee_pitch): hardware error: overload. Find the cause, then: wildrobot servo reboot --all, or "
        "wildrobot doctor --fix",
        "servo 5 (left_ankle_pitch): 78 °C. Let it cool down",
        f"servo 8 (right_knee_pitch): model number 1030, expected {model}",
        f"sensor board {BOARD}: no answer. Check its cable and its power",
    ):
        assert f"\n  {line}" in text
    assert text.count("\n  ") == 5


def test_a_flat_battery_is_refused_and_a_low_one_only_told() -> None:
    low = Start(BROWN_OUT(for_s=None, voltage_v=10.0))
    assert "supply 10.0 V, expected 10.2 to 14.8 V. Charge or change the battery" in refused(low)
    tired = Start(BROWN_OUT(for_s=None, voltage_v=10.7))
    tired.prepare()
    warnings = [str(finding) for finding in tired.wrong()]
    assert len(warnings) == 9
    assert warnings[0] == "servo 1 (waist_yaw): supply 10.7 V. Charge the battery soon"


def test_a_servo_that_is_warm_is_only_told() -> None:
    start = Start(OVERHEATING(servo=5, temperature_c=65.0))
    start.prepare()
    assert [(f.level, f.device, f.what) for f in start.wrong()] == [("warning", 5, "65 °C")]


def test_a_servo_with_the_board_s_id_is_refused() -> None:
    spare = Start(SILENT(servo="board"))
    spare.virtual.servo(9).put(table.ID, BOARD)
    text = refused(spare)
    assert (
        f"sensor board {BOARD}: model number 1020, expected 22354. Another device has the board's id" in text
    )
    assert "servo 9 (right_ankle_pitch): no answer" in text


def test_an_unknown_register_in_robot_yaml_is_refused_with_the_nearest() -> None:
    names = SPEC.config.bus.servo_registers
    with pytest.raises(UserError, match=r"names 'retrun_delay_time'.*did you mean 'return_delay_time'"):
        prepare(Start().bus, with_bus(servo_registers=names | {"retrun_delay_time": 0}))
    with pytest.raises(UserError, match=r"names 'xyzzy'.*known: model_number"):
        prepare(Start().bus, with_bus(servo_registers=names | {"xyzzy": 0}))


def test_a_register_that_the_servo_does_not_take_is_refused_with_its_answer() -> None:
    spec = with_bus(servo_registers=SPEC.config.bus.servo_registers | {"pwm_limit": 900})
    start = Start()
    text = refused(start, spec)
    assert text.count("pwm_limit is 885, expected 900") == 9
    assert "servo 1 (waist_yaw): pwm_limit could not be written" in start.said[0]
    assert "data range" in start.said[0]


def test_a_servo_that_goes_silent_in_the_middle_is_refused_with_words() -> None:
    for at_s in np.arange(0.052, 0.078, 0.004):
        assert "the robot is not ready" in refused(Start(SILENT(at_s=float(at_s), servo=9)))


# ---------------------------------------------------------------------- nothing moves


@pytest.mark.parametrize("torque", [False, True], ids=["limp", "torque on"])
def test_nothing_moves_during_start_up_even_with_a_goal_far_away(torque: bool) -> None:
    alone, start = Start(), Start()
    for servo in start.virtual.servos:
        servo.put(table.POSITION_P_GAIN, 0)  # what kept it from moving so far
        servo.put(table.TORQUE_ENABLE, int(torque))
        servo.put(table.GOAL_POSITION, 2500)
        servo.put(table.PROFILE_VELOCITY, 60)
        servo._configure_motor()
    start.prepare()
    start.port.sleep(0.2)
    alone.port.sleep((start.port.now_ns() - alone.port.now_ns()) * 1e-9)
    swung = alone.virtual.truth().joint_position
    assert not start.virtual.truth().torque_on.any()
    assert np.abs(start.virtual.truth().joint_position - swung).max() < 2e-3


def test_noise_during_start_up_ends_in_a_robot_that_is_ready_or_refused_but_never_wrong() -> None:
    ready = 0
    for seed in range(12):
        virtual = VirtualRobot(SPEC, suspended=True, seed=seed, faults=[FLIPPED_BITS(rate=5e-5)])
        virtual.servo(3).put(table.PROFILE_VELOCITY, 60)
        bus = Bus(VirtualTransport(virtual))
        try:
            prepare(bus, SPEC)
        except UserError:
            continue
        ready += 1
        for joint, servo in enumerate(virtual.servos):
            expected = expected_registers(SPEC, joint)
            assert {register: servo.get(register) for register in expected} == expected
            assert servo.read(table.INDIRECT_ADDRESS, 24, bus.transport.now_ns())[1] == table.indirect_map()
    assert ready > 6


def test_findings_read_as_sentences() -> None:
    finding = Finding("error", 1, "servo 1 (waist_yaw)", "no answer", "Check its cable")
    assert str(finding) == "servo 1 (waist_yaw): no answer. Check its cable"
    assert str(dataclasses.replace(finding, repair="")) == "servo 1 (waist_yaw): no answer"
    assert HardwareError.OVERLOAD in HardwareError(0x34)
