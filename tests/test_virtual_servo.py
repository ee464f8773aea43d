"""The virtual servo: what the manual says about registers, over the wire, byte for byte where there are vectors."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from virtual_helpers import MS, Bench, bulk, servo, sync_read, u16

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HardwareError, OperatingMode, Register
from wildrobot.firmware_bridge.bus.protocol import ALERT, BROADCAST_ID, Error, Instruction, Packet, encode

COUNT = 2 * math.pi / 4096


def hold(bench: Bench, count: int) -> None:
    """Put the horn of the first servo there."""
    bench.angle[id(bench.devices[0])] = (count - 2048) * COUNT
    bench.run(bench.now + 20 * MS)


# ---------------------------------------------------------------------- vectors of the design note


def test_ping_and_its_answer_are_the_manual_s_bytes() -> None:
    bench = Bench(servo(firmware=38, model="XM430-W210-T"))
    answer = bench.send(bytes.fromhex("FFFFFD00010300 01194E"))
    assert answer == bytes.fromhex("FFFFFD00010700550006042665 5D")


def test_read_of_the_position_and_its_answer_are_the_manual_s_bytes() -> None:
    bench = Bench(servo())
    hold(bench, 166)
    answer = bench.send(bytes.fromhex("FFFFFD0001070002840004001D15"))
    assert answer == bytes.fromhex("FFFFFD000108005500A60000008CC0")


def test_a_payload_with_a_header_comes_back_stuffed_and_is_understood_stuffed() -> None:
    bench = Bench(servo())
    bench.write(1, table.OPERATING_MODE, OperatingMode.EXTENDED_POSITION)
    value = int.from_bytes(b"\xff\xff\xfd\xff", "little", signed=True)
    packet = encode(1, Instruction.WRITE, u16(116) + b"\xff\xff\xfd\xff")
    assert b"\xff\xff\xfd\xfd" in packet
    bench.send(packet)
    assert bench.read(1, table.GOAL_POSITION) == value
    raw = bench.send(encode(1, Instruction.READ, u16(116) + u16(4)))
    assert b"\xff\xff\xfd\xfd\xff" in raw


# ---------------------------------------------------------------------- access


def test_eeprom_is_locked_while_the_torque_is_on() -> None:
    bench = Bench(servo())
    assert bench.write(1, table.RETURN_DELAY_TIME, 5) == Error.NONE
    bench.write(1, table.TORQUE_ENABLE, 1)
    assert bench.write(1, table.RETURN_DELAY_TIME, 0) == Error.ACCESS
    assert bench.read(1, table.RETURN_DELAY_TIME) == 5


@pytest.mark.parametrize(
    "register", [table.MODEL_NUMBER, table.PRESENT_POSITION, table.HARDWARE_ERROR_STATUS]
)
def test_read_only_registers_refuse_a_write(register: Register) -> None:
    bench = Bench(servo())
    before = bench.read(1, register)
    assert bench.write(1, register, 1) == Error.ACCESS
    assert bench.read(1, register) == before


@pytest.mark.parametrize(
    ("register", "value", "error"),
    [
        (table.ID, 253, Error.DATA_RANGE),
        (table.BAUD_RATE, 8, Error.DATA_RANGE),
        (table.OPERATING_MODE, 2, Error.DATA_RANGE),
        (table.TORQUE_ENABLE, 2, Error.DATA_RANGE),
        (table.POSITION_P_GAIN, 16384, Error.DATA_RANGE),
        (table.GOAL_POSITION, 4096, Error.DATA_LIMIT),
        (table.GOAL_POSITION, -1, Error.DATA_LIMIT),
        (table.GOAL_PWM, 886, Error.DATA_LIMIT),
        (table.GOAL_VELOCITY, -201, Error.DATA_LIMIT),
        (table.GOAL_CURRENT, 1194, Error.DATA_LIMIT),
    ],
)
def test_values_out_of_range_and_beyond_limits_are_refused(
    register: Register, value: int, error: Error
) -> None:
    bench = Bench(servo())
    before = bench.read(1, register)
    assert bench.write(1, register, value) == error
    assert bench.read(1, register) == before


def test_goal_positions_keep_the_servo_s_own_limits_in_position_mode_only() -> None:
    bench = Bench(servo(min_position_limit=1000, max_position_limit=3000))
    assert bench.write(1, table.GOAL_POSITION, 999) == Error.DATA_LIMIT
    assert bench.write(1, table.GOAL_POSITION, 1000) == Error.NONE
    bench.write(1, table.OPERATING_MODE, OperatingMode.CURRENT_BASED_POSITION)
    assert bench.write(1, table.GOAL_POSITION, 999) == Error.NONE


def test_a_write_over_several_registers_is_all_or_nothing() -> None:
    bench = Bench(servo())
    data = table.PROFILE_VELOCITY.encode(7) + table.GOAL_POSITION.encode(5000)
    (status,) = bench.ask(1, Instruction.WRITE, u16(112) + data)
    assert status.error == Error.DATA_LIMIT
    assert bench.read(1, table.PROFILE_VELOCITY) == 0
    data = table.PROFILE_VELOCITY.encode(7) + table.GOAL_POSITION.encode(2000)
    (status,) = bench.ask(1, Instruction.WRITE, u16(112) + data)
    assert (status.error, bench.read(1, table.PROFILE_VELOCITY), bench.read(1, table.GOAL_POSITION)) == (
        0,
        7,
        2000,
    )


def test_beyond_the_table_there_is_no_access_and_nothing_of_no_length() -> None:
    bench = Bench(servo())
    for instruction, parameters, error in (
        (Instruction.READ, u16(661) + u16(2), Error.ACCESS),
        (Instruction.WRITE, u16(661) + b"ab", Error.ACCESS),
        (Instruction.READ, u16(132) + u16(0), Error.DATA_LENGTH),
        (Instruction.READ, u16(132), Error.DATA_LENGTH),
        (Instruction.WRITE, u16(64), Error.DATA_LENGTH),
        (0x21, b"", Error.INSTRUCTION),
    ):
        (status,) = bench.ask(1, instruction, parameters)
        assert status.error == error


# ---------------------------------------------------------------------- torque, watchdog, errors


def test_torque_on_takes_the_present_position_for_the_goal() -> None:
    bench = Bench(servo())
    hold(bench, 1500)
    bench.write(1, table.GOAL_POSITION, 2500)
    bench.write(1, table.TORQUE_ENABLE, 1)
    assert bench.read(1, table.GOAL_POSITION) == 1500
    assert bench.devices[0].motor.duty == 0.0
    bench.write(1, table.GOAL_POSITION, 2500)
    bench.write(1, table.TORQUE_ENABLE, 1)  # on already: nothing happens
    assert bench.read(1, table.GOAL_POSITION) == 2500


def test_the_watchdog_holds_the_servo_where_it_is_and_makes_goals_read_only_until_it_is_cleared() -> None:
    bench = Bench(servo())
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.write(1, table.BUS_WATCHDOG, 4)
    bench.write(1, table.GOAL_POSITION, 2100)
    for _ in range(20):  # any instruction feeds it, whoever it is for
        bench.ask(77, Instruction.PING, wait_ms=40)
    assert bench.devices[0].get(table.BUS_WATCHDOG) == 4
    hold(bench, 2080)
    bench.run(bench.now + 79 * MS)
    assert bench.devices[0].get(table.BUS_WATCHDOG) == -1
    assert bench.read(1, table.BUS_WATCHDOG) == -1
    assert bench.read(1, table.GOAL_POSITION) == 2080
    assert bench.read(1, table.TORQUE_ENABLE) == 1
    assert bench.write(1, table.GOAL_POSITION, 2100) == Error.DATA_RANGE
    assert bench.write(1, table.GOAL_PWM, 100) == Error.DATA_RANGE
    assert bench.write(1, table.BUS_WATCHDOG, 4) == Error.DATA_RANGE
    assert bench.write(1, table.BUS_WATCHDOG, 0) == Error.NONE
    assert bench.write(1, table.GOAL_POSITION, 2100) == Error.NONE


def test_the_watchdog_counts_from_the_last_instruction_and_not_without_torque() -> None:
    bench = Bench(servo())
    bench.write(1, table.BUS_WATCHDOG, 1)
    bench.run(bench.now + 1000 * MS)
    assert bench.read(1, table.BUS_WATCHDOG) == 1
    bench.write(1, table.TORQUE_ENABLE, 1)
    end = bench.devices[0].last_instruction_ns
    bench.run(end + 19 * MS)
    assert bench.devices[0].get(table.BUS_WATCHDOG) == 1
    bench.run(end + 22 * MS)
    assert bench.devices[0].get(table.BUS_WATCHDOG) == -1


def test_a_shutdown_lets_go_raises_the_alert_and_only_a_reboot_restores_it() -> None:
    bench = Bench(servo())
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.devices[0].fail(HardwareError.OVERLOAD)
    (status,) = bench.ask(1, Instruction.PING)
    assert status.error == ALERT
    assert bench.read(1, table.TORQUE_ENABLE) == 0
    assert bench.read(1, table.HARDWARE_ERROR_STATUS) == HardwareError.OVERLOAD
    assert bench.write(1, table.TORQUE_ENABLE, 1) == ALERT | Error.RESULT_FAIL
    bench.ask(1, Instruction.REBOOT, wait_ms=250)
    (status,) = bench.ask(1, Instruction.PING)
    assert status.error == 0
    assert bench.write(1, table.TORQUE_ENABLE, 1) == Error.NONE


def test_an_error_that_the_mask_leaves_out_only_raises_the_alert() -> None:
    bench = Bench(servo(shutdown=0x34))
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.supply_v = 9.0
    bench.run(bench.now + 40 * MS)
    (status,) = bench.ask(1, Instruction.READ, u16(70) + u16(1))
    assert (status.error, status.parameters[0]) == (ALERT, HardwareError.INPUT_VOLTAGE)
    assert bench.read(1, table.TORQUE_ENABLE) == 1


def test_heat_above_the_limit_shuts_down() -> None:
    bench = Bench(servo(temperature_limit=70))
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.devices[0].motor.temperature_c = 70.4
    bench.run(bench.now + 40 * MS)
    assert bench.read(1, table.TORQUE_ENABLE) == 1
    bench.devices[0].motor.temperature_c = 71.0
    bench.run(bench.now + 40 * MS)
    assert bench.read(1, table.TORQUE_ENABLE) == 0
    assert bench.read(1, table.HARDWARE_ERROR_STATUS) == HardwareError.OVERHEATING


def test_pushing_with_all_might_against_a_wall_is_an_overload() -> None:
    bench = Bench(servo())
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.write(1, table.GOAL_POSITION, 2400)
    bench.run(bench.now + 1500 * MS)
    assert bench.read(1, table.HARDWARE_ERROR_STATUS) == 0
    bench.run(bench.now + 1000 * MS)
    assert bench.read(1, table.HARDWARE_ERROR_STATUS) == HardwareError.OVERLOAD


# ---------------------------------------------------------------------- restarting


def test_a_reboot_answers_then_is_silent_and_puts_the_ram_back() -> None:
    bench = Bench(servo())
    bench.write(1, table.RETURN_DELAY_TIME, 3)
    bench.write(1, table.POSITION_P_GAIN, 400)
    bench.write(1, table.TORQUE_ENABLE, 1)
    indirect = table.indirect_map()
    bench.write(1, table.TORQUE_ENABLE, 0)
    bench.ask(1, Instruction.WRITE, u16(table.INDIRECT_ADDRESS) + indirect)
    bench.write(1, table.TORQUE_ENABLE, 1)
    (status,) = bench.ask(1, Instruction.REBOOT, wait_ms=10)
    assert status.error == 0
    assert bench.ask(1, Instruction.PING, wait_ms=195) == []
    assert len(bench.ask(1, Instruction.PING)) == 1
    assert bench.read(1, table.TORQUE_ENABLE) == 0
    assert bench.read(1, table.POSITION_P_GAIN) == 800
    assert bench.read(1, table.RETURN_DELAY_TIME) == 3
    (status,) = bench.ask(1, Instruction.READ, u16(table.INDIRECT_ADDRESS) + u16(2))
    assert status.parameters == u16(table.INDIRECT_DATA)


def test_a_factory_reset_keeps_what_it_is_told_to_keep() -> None:
    for keep, device, code in ((0x02, 9, 3), (0x01, 9, 1), (0xFF, 1, 1)):
        bench = Bench(servo(9, homing_offset=7))
        (status,) = bench.ask(9, Instruction.FACTORY_RESET, bytes((keep,)))
        assert status.device == 9
        found = bench.devices[0]
        assert (found.id, found.get(table.BAUD_RATE)) == (device, code)
        assert (found.get(table.HOMING_OFFSET), found.get(table.RETURN_DELAY_TIME)) == (0, 250)


def test_a_broadcast_factory_reset_must_not_give_all_devices_one_id() -> None:
    bench = Bench(servo(4), servo(5))
    bench.ask(BROADCAST_ID, Instruction.FACTORY_RESET, b"\xff")
    assert [device.id for device in bench.devices] == [4, 5]


def test_clear_brings_the_position_back_into_one_turn() -> None:
    bench = Bench(servo(operating_mode=OperatingMode.EXTENDED_POSITION))
    hold(bench, 3 * 4096 + 100)
    assert bench.read(1, table.PRESENT_POSITION) == 3 * 4096 + 100
    (status,) = bench.ask(1, Instruction.CLEAR, bytes.fromhex("0144584C22"))
    assert (status.error, bench.read(1, table.PRESENT_POSITION)) == (0, 100)
    (status,) = bench.ask(1, Instruction.CLEAR, b"\x01")
    assert status.error == Error.DATA_RANGE


def test_a_brown_out_resets_the_servo_when_the_supply_is_back() -> None:
    bench = Bench(servo())
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.supply_v = 5.0
    bench.run(bench.now + 10 * MS)
    assert bench.ask(1, Instruction.PING) == []
    bench.supply_v = 12.0
    bench.run(bench.now + 5 * MS)
    assert bench.ask(1, Instruction.PING, wait_ms=220) == []
    assert bench.read(1, table.TORQUE_ENABLE) == 0


# ---------------------------------------------------------------------- who answers when


def test_the_status_return_level_decides_what_is_answered() -> None:
    bench = Bench(servo())
    heard = {}
    for level in (2, 1, 0):
        bench.send(encode(1, Instruction.WRITE, u16(68) + bytes((level,))))
        heard[level] = [
            len(bench.ask(1, instruction, parameters))
            for instruction, parameters in (
                (Instruction.PING, b""),
                (Instruction.READ, u16(132) + u16(4)),
                (Instruction.WRITE, u16(65) + b"\1"),
            )
        ]
    assert heard == {2: [1, 1, 1], 1: [1, 1, 0], 0: [1, 0, 0]}


def test_reg_write_waits_for_its_action() -> None:
    bench = Bench(servo(1), servo(2))
    goal = u16(116) + table.GOAL_POSITION.encode(2222)
    for device in (1, 2):
        bench.ask(device, Instruction.REG_WRITE, goal)
        assert bench.read(device, table.REGISTERED_INSTRUCTION) == 1
        assert bench.read(device, table.GOAL_POSITION) != 2222
    assert bench.ask(BROADCAST_ID, Instruction.ACTION) == []
    for device in (1, 2):
        assert bench.read(device, table.GOAL_POSITION) == 2222
        assert bench.read(device, table.REGISTERED_INSTRUCTION) == 0
    (status,) = bench.ask(1, Instruction.REG_WRITE, u16(116) + table.GOAL_POSITION.encode(9999))
    assert status.error == Error.DATA_LIMIT


def test_a_new_id_and_rate_hold_from_the_answer_s_end_on() -> None:
    bench = Bench(servo())
    (status,) = bench.ask(1, Instruction.WRITE, u16(7) + b"\x05")
    assert status.device == 1
    (status,) = bench.ask(5, Instruction.WRITE, u16(8) + b"\x04")
    assert status.device == 5
    assert bench.ask(5, Instruction.PING) == []
    bench.wire.host_baud = 2_000_000
    assert len(bench.ask(5, Instruction.PING)) == 1


def test_a_bulk_write_reaches_each_device_with_its_own_address() -> None:
    bench = Bench(servo(1), servo(2))
    blocks = bytes((1,)) + u16(65) + u16(1) + b"\1" + bytes((2,)) + u16(84) + u16(2) + u16(321)
    assert bench.ask(BROADCAST_ID, Instruction.BULK_WRITE, blocks) == []
    assert bench.read(1, table.LED) == 1
    assert bench.read(2, table.POSITION_P_GAIN) == 321


def test_a_bulk_read_is_answered_in_the_order_of_its_list() -> None:
    bench = Bench(servo(1), servo(2), servo(3))
    statuses = bench.ask(BROADCAST_ID, Instruction.BULK_READ, bulk((3, 0, 2), (1, 6, 1), (2, 7, 1)))
    assert statuses == [
        Packet(3, 0x55, u16(1020)),
        Packet(1, 0x55, bytes((48,))),
        Packet(2, 0x55, bytes((2,))),
    ]


def test_old_firmware_does_not_know_fast_reads() -> None:
    bench = Bench(servo(1), servo(2, firmware=44))
    assert len(bench.send(encode(*sync_read(Instruction.FAST_SYNC_READ, 132, 4, [1, 2])))) == 8 + 8
    assert bench.send(encode(*sync_read(Instruction.FAST_SYNC_READ, 132, 4, [2, 1]))) == b""


# ---------------------------------------------------------------------- indirect data


def test_indirect_data_show_the_bytes_that_the_addresses_name() -> None:
    bench = Bench(servo())
    hold(bench, 2100)
    (status,) = bench.ask(1, Instruction.WRITE, u16(table.INDIRECT_ADDRESS) + table.indirect_map())
    assert status.error == 0
    size = len(table.HALVES.shown)
    (status,) = bench.ask(1, Instruction.READ, u16(table.INDIRECT_DATA) + u16(size))
    motion = table.HALVES.decode(status.parameters)
    assert (motion.position, motion.velocity) == (2100, 0)
    (status,) = bench.ask(1, Instruction.READ, u16(table.REALTIME_TICK.address) + u16(2))
    assert 0 <= int.from_bytes(status.parameters, "little") - motion.tick_ms <= 30
    (status,) = bench.ask(
        1, Instruction.READ, u16(table.INDIRECT_DATA + len(table.HALVES.addresses)) + u16(size)
    )
    health = table.HealthBlock.decode(status.parameters)
    assert (health.current, health.voltage, health.hardware_error) == (0, 120, 0)
    assert health.temperature == 30


def test_writing_indirect_data_writes_what_the_addresses_name_with_all_its_checks() -> None:
    bench = Bench(servo())
    bench.ask(1, Instruction.WRITE, u16(table.INDIRECT_ADDRESS) + table.indirect_map(range(116, 120)))
    (status,) = bench.ask(1, Instruction.WRITE, u16(table.INDIRECT_DATA) + table.GOAL_POSITION.encode(1234))
    assert (status.error, bench.read(1, table.GOAL_POSITION)) == (0, 1234)
    (status,) = bench.ask(1, Instruction.WRITE, u16(table.INDIRECT_DATA) + table.GOAL_POSITION.encode(5000))
    assert (status.error, bench.read(1, table.GOAL_POSITION)) == (Error.DATA_LIMIT, 1234)


def test_indirect_addresses_are_locked_while_the_torque_is_on() -> None:
    bench = Bench(servo())
    bench.write(1, table.TORQUE_ENABLE, 1)
    (status,) = bench.ask(1, Instruction.WRITE, u16(table.INDIRECT_ADDRESS) + u16(132))
    assert status.error == Error.ACCESS


# ---------------------------------------------------------------------- what is measured


def test_the_realtime_tick_counts_milliseconds_and_wraps() -> None:
    bench = Bench(servo())
    bench.run(32_700 * MS)
    assert 32_690 < bench.read(1, table.REALTIME_TICK) <= 32_700
    bench.run(32_800 * MS)
    assert 30 <= bench.read(1, table.REALTIME_TICK) <= 32


def test_the_encoder_rounds_and_the_velocity_is_its_mean_change() -> None:
    bench = Bench(servo())
    motor = bench.devices[0].motor
    motor.control(0.49 * COUNT, 0.0, 12.0)
    assert motor.count == 2048
    motor.control(0.51 * COUNT, 0.0, 12.0)
    assert motor.count == 2049
    for k in range(20):
        motor.control(k * 4 * COUNT, 0.0, 12.0)
    exact = 4 * COUNT / 0.001 / 0.02398082
    assert motor.velocity_count == round(exact)
    for _ in range(4):
        motor.control(19 * 4 * COUNT, 0.0, 12.0)
    assert motor.velocity_count == round(exact / 5)


def test_the_duty_follows_the_p_gain_up_to_the_pwm_limit() -> None:
    bench = Bench(servo(pwm_limit=400))
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.write(1, table.GOAL_POSITION, 2058)
    bench.run(bench.now + 5 * MS)
    assert bench.devices[0].motor.duty == pytest.approx(10 * 800 / 128 / 885)
    assert bench.read(1, table.PRESENT_PWM) == round(10 * 800 / 128)
    assert bench.read(1, table.PRESENT_CURRENT) == round(2.3 * 62.5 / 885 / 0.00269)
    bench.write(1, table.GOAL_POSITION, 2500)
    bench.run(bench.now + 5 * MS)
    assert bench.devices[0].motor.duty == pytest.approx(400 / 885)


@pytest.mark.parametrize("goal", [3000, 1500])
def test_a_profile_is_a_trapezoid_of_the_registers_speed_and_slope(goal: int) -> None:
    bench = Bench(servo())
    velocity, acceleration = 100, 20
    bench.write(1, table.PROFILE_VELOCITY, velocity)
    bench.write(1, table.PROFILE_ACCELERATION, acceleration)
    bench.write(1, table.TORQUE_ENABLE, 1)
    motor = bench.devices[0].motor
    bench.wire.host_write(
        encode(1, Instruction.WRITE, u16(116) + table.GOAL_POSITION.encode(goal)), bench.now
    )
    track = []
    for _ in range(1500):
        bench.run(bench.now + MS)
        track.append(motor.trajectory)
    speed = [b - a for a, b in pairwise(track)]
    most = velocity * 0.229 * 4096 / 60e3
    slope = acceleration * 214.577 * 4096 / 3600 / 1e6
    assert max(map(abs, speed)) == pytest.approx(most, rel=0.01)
    assert max(abs(b - a) for a, b in pairwise(speed)) <= 1.6 * slope
    took = next(i for i, value in enumerate(track) if value == goal)
    assert took == pytest.approx(abs(goal - 2048) / most + most / slope, rel=0.05)
    assert all(value == goal for value in track[took:])
    ahead = [(goal - value) * (goal - 2048) for value in track]
    assert min(ahead) >= 0.0  # no overshoot


def test_without_a_profile_the_goal_is_a_step() -> None:
    bench = Bench(servo())
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.write(1, table.GOAL_POSITION, 3000)
    assert bench.devices[0].motor.trajectory == 3000.0
    assert bench.read(1, table.POSITION_TRAJECTORY) == 3000


def test_current_based_position_keeps_to_the_goal_current() -> None:
    bench = Bench(servo(operating_mode=OperatingMode.CURRENT_BASED_POSITION))
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.write(1, table.GOAL_CURRENT, 100)
    bench.write(1, table.GOAL_POSITION, 2500)
    assert bench.read(1, table.PRESENT_CURRENT) == 100
    bench.write(1, table.GOAL_POSITION, 1500)
    assert bench.read(1, table.PRESENT_CURRENT) == -100


def test_current_warms_the_servo_slowly() -> None:
    bench = Bench(servo())
    motor = bench.devices[0].motor
    before = motor.temperature_c
    bench.write(1, table.TORQUE_ENABLE, 1)
    bench.write(1, table.GOAL_POSITION, 2148)
    bench.run(bench.now + 1000 * MS)
    heat_w = motor.current_a**2 * 12.0 / 2.3
    assert motor.temperature_c - before == pytest.approx((heat_w - 5.0 / 6.0) / 100.0, rel=0.05)
