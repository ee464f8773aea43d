"""What the registers of the virtual servo do when they are written, as the e-Manual says, over the wire."""

from __future__ import annotations

import math

import pytest
from virtual_helpers import MS, Bench, servo, u16

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import OperatingMode
from wildrobot.firmware_bridge.bus.protocol import ALERT, BROADCAST_ID, Error, Instruction, Parser, encode
from wildrobot.firmware_bridge.bus.protocol1 import READ, WRITE, encode1
from wildrobot.firmware_bridge.virtual.servo import ServoOptions


def reboot(bench: Bench, device: int = 1) -> None:
    bench.ask(device, Instruction.REBOOT)
    bench.run(bench.now + 300 * MS)


def test_the_second_block_of_indirect_data_shows_what_its_addresses_name() -> None:
    """As ROBOTIS's own hardware interface for ROS 2 reads a joint."""
    bench = Bench(servo())
    bench.angle[id(bench.devices[0])] = 0.5
    bench.run(bench.now + 20 * MS)
    for k in range(4):
        (status,) = bench.ask(1, Instruction.WRITE, u16(578 + 2 * k) + u16(132 + k))
        assert status.error == 0
    (shown,) = bench.ask(1, Instruction.READ, u16(634) + u16(4))
    assert int.from_bytes(shown.parameters, "little") == bench.read(1, table.PRESENT_POSITION) != 2048
    (status,) = bench.ask(1, Instruction.WRITE, u16(632) + u16(65))
    (status,) = bench.ask(1, Instruction.WRITE, u16(661) + b"\x01")
    assert (status.error, bench.read(1, table.LED)) == (0, 1)


def test_startup_configuration_switches_the_torque_on_and_brings_the_backed_up_ram_back() -> None:
    bench = Bench(servo(startup_configuration=3))
    assert bench.read(1, table.TORQUE_ENABLE) == 1
    bench.write(1, table.TORQUE_ENABLE, 0)
    bench.write(1, table.POSITION_P_GAIN, 321)
    (status,) = bench.ask(1, Instruction.CONTROL_TABLE_BACKUP, b"\x01CTRL")
    assert (status.error, bench.read(1, table.BACKUP_READY)) == (0, 1)
    bench.write(1, table.POSITION_P_GAIN, 555)
    reboot(bench)
    assert bench.read(1, table.POSITION_P_GAIN) == 321
    assert bench.read(1, table.TORQUE_ENABLE) == 1


def test_backup_and_restore_are_the_manual_s_bytes_and_conditions() -> None:
    bench = Bench(servo())
    bench.write(1, table.HOMING_OFFSET, 77)
    assert bench.send(bytes.fromhex("FFFFFD00010800200143 54524C16F5")) == bytes.fromhex(
        "FFFFFD0001040055 00A10C"
    )
    bench.write(1, table.HOMING_OFFSET, 5)
    bench.write(1, table.TORQUE_ENABLE, 1)
    for what in (b"\x01CTRL", b"\x02CTRL"):
        assert bench.ask(1, Instruction.CONTROL_TABLE_BACKUP, what)[0].error == Error.RESULT_FAIL
    bench.write(1, table.TORQUE_ENABLE, 0)
    # the manual's example ends in 92 F5, which is not the CRC of its bytes
    assert bench.send(bytes.fromhex("FFFFFD0001080020024354524C9EF5")) == bytes.fromhex(
        "FFFFFD000104005500A10C"
    )
    assert bench.ask(1, Instruction.PING) == []  # it restarts
    bench.run(bench.now + 300 * MS)
    assert bench.read(1, table.HOMING_OFFSET) == 77
    assert bench.ask(1, Instruction.CONTROL_TABLE_BACKUP, b"\x01WHAT")[0].error == Error.DATA_RANGE
    assert (
        Bench(servo(firmware=44)).ask(1, Instruction.CONTROL_TABLE_BACKUP, b"\x01CTRL")[0].error
        == Error.INSTRUCTION
    )
    assert Bench(servo()).ask(1, Instruction.CONTROL_TABLE_BACKUP, b"\x02CTRL")[0].error == Error.RESULT_FAIL


def test_torque_comes_on_with_a_goal_where_the_drive_mode_says_so() -> None:
    bench = Bench(servo(drive_mode=8))
    assert bench.write(1, table.GOAL_POSITION, 2100) == Error.NONE
    assert (bench.read(1, table.TORQUE_ENABLE), bench.read(1, table.GOAL_POSITION)) == (1, 2100)
    plain = Bench(servo())
    plain.write(1, table.GOAL_POSITION, 2100)
    assert plain.read(1, table.TORQUE_ENABLE) == 0


def test_after_a_shutdown_no_goal_brings_the_torque_back_before_a_reboot() -> None:
    bench = Bench(servo(drive_mode=8))
    bench.devices[0].fail(table.HardwareError.OVERLOAD)
    (status,) = bench.ask(
        1, Instruction.WRITE, u16(table.GOAL_POSITION.address) + (2100).to_bytes(4, "little")
    )
    assert status.error == ALERT
    assert bench.read(1, table.TORQUE_ENABLE) == 0
    reboot(bench)
    bench.write(1, table.GOAL_POSITION, 2100)
    assert bench.read(1, table.TORQUE_ENABLE) == 1


@pytest.mark.parametrize("rise_ms", [0, 100, 300])
def test_a_time_based_profile_takes_the_time_that_it_was_given(rise_ms: int) -> None:
    bench = Bench(servo(drive_mode=4))
    bench.write(1, table.PROFILE_VELOCITY, 600)
    bench.write(1, table.PROFILE_ACCELERATION, rise_ms)
    bench.write(1, table.TORQUE_ENABLE, 1)
    began = bench.now
    bench.write(1, table.GOAL_POSITION, 3048)
    while bench.read(1, table.POSITION_TRAJECTORY) != 3048:
        assert bench.now - began < 1_000 * MS
    assert abs(bench.now - began - 600 * MS) < 45 * MS  # two reads of 20 ms


@pytest.mark.parametrize(("offset", "shift"), [(1024, 1024), (-1024, -1024), (1025, 0), (-300_000, 0)])
def test_a_homing_offset_beyond_a_quarter_turn_is_ignored_in_position_mode(offset: int, shift: int) -> None:
    bench = Bench(servo(homing_offset=offset))
    bench.run(bench.now + 20 * MS)
    assert bench.read(1, table.PRESENT_POSITION) == 2048 + shift


def test_another_mode_puts_gains_profile_and_goals_back() -> None:
    bench = Bench(servo())
    changed = {
        table.POSITION_P_GAIN: 400, table.POSITION_D_GAIN: 9, table.VELOCITY_P_GAIN: 7, table.FEEDFORWARD_1ST_GAIN: 3,
        table.PROFILE_VELOCITY: 50, table.PROFILE_ACCELERATION: 5, table.GOAL_PWM: 100, table.GOAL_CURRENT: 20,
    }  # fmt: skip
    for register, value in changed.items():
        assert bench.write(1, register, value) == 0
    bench.write(1, table.OPERATING_MODE, OperatingMode.EXTENDED_POSITION)
    expected = {table.GOAL_PWM: 885, table.GOAL_CURRENT: 1193}
    for register in changed:
        assert bench.read(1, register) == expected.get(register, register.initial)


@pytest.mark.parametrize("by_mode", [False, True])
def test_position_mode_forgets_whole_turns_with_the_torque_or_the_mode(by_mode: bool) -> None:
    bench = Bench(
        servo(operating_mode=OperatingMode.EXTENDED_POSITION if by_mode else OperatingMode.POSITION)
    )
    bench.angle[id(bench.devices[0])] = 2 * math.tau + 0.5
    bench.run(bench.now + 20 * MS)
    within = 2048 + round(0.5 / math.tau * 4096)
    assert (
        bench.read(1, table.PRESENT_POSITION) == within + 2 * 4096
    )  # torque off: it counts on in every mode
    if by_mode:
        bench.write(1, table.TORQUE_ENABLE, 1)
        assert bench.read(1, table.PRESENT_POSITION) == within + 2 * 4096
        bench.write(1, table.TORQUE_ENABLE, 0)
        bench.write(1, table.OPERATING_MODE, OperatingMode.POSITION)
    else:
        bench.write(1, table.TORQUE_ENABLE, 1)
    assert bench.read(1, table.PRESENT_POSITION) == bench.read(1, table.GOAL_POSITION) == within


def test_the_secondary_id_is_obeyed_in_the_ram_and_never_answered() -> None:
    bench = Bench(servo(1, secondary_id=100), servo(2, secondary_id=100), servo(3, secondary_id=253))
    for instruction, parameters in (
        (Instruction.PING, b""),
        (Instruction.READ, u16(65) + u16(1)),
        (Instruction.WRITE, u16(65) + b"\x01"),
        (Instruction.WRITE, u16(9) + b"\x07"),
    ):
        assert bench.send(encode(100, instruction, parameters)) == b""
    assert [bench.read(i, table.LED) for i in (1, 2, 3)] == [1, 1, 0]
    assert [bench.read(i, table.RETURN_DELAY_TIME) for i in (1, 2)] == [0, 0]
    # where one has it for its id, that one answers
    bench.write(3, table.SECONDARY_ID, 1)
    assert [status.device for status in bench.ask(1, Instruction.WRITE, u16(65) + b"\x00")] == [1]
    assert bench.read(3, table.LED) == 0


def test_baud_code_7_is_4_500_000() -> None:
    bench = Bench(servo(baud_rate=7), baud=4_500_000)
    assert bench.read(1, table.BAUD_RATE) == 7


def test_a_broken_request_is_answered_by_a_crc_error_or_by_silence() -> None:
    broken = bytearray(encode(1, Instruction.READ, u16(132) + u16(4)))
    broken[-1] ^= 1
    assert Bench(servo()).send(bytes(broken)) == b""
    honest = Bench(
        servo(options=ServoOptions(crc_status=True)), servo(2, options=ServoOptions(crc_status=True))
    )
    (status,) = Parser().feed(honest.send(bytes(broken)))
    assert (status.device, status.error) == (1, Error.CRC)
    broken[4] = BROADCAST_ID
    assert honest.send(bytes(broken)) == b""


def test_addresses_that_the_table_does_not_define_read_0_or_are_refused() -> None:
    request = u16(table.MIN_POSITION_LIMIT.address) + u16(12)
    (status,) = Bench(servo()).ask(1, Instruction.READ, request)
    assert (status.error, status.parameters) == (0, bytes(11) + b"\x34")
    strict = Bench(servo(options=ServoOptions(strict_addresses=True)))
    assert strict.ask(1, Instruction.READ, request)[0].error == Error.ACCESS
    assert strict.ask(1, Instruction.READ, u16(52) + u16(4))[0].error == 0
    assert strict.ask(1, Instruction.READ, u16(168) + u16(84))[0].error == 0
    # older firmware does not define what newer firmware has
    old = Bench(servo(firmware=44, options=ServoOptions(strict_addresses=True)))
    assert old.ask(1, Instruction.READ, u16(60) + u16(1))[0].error == Error.ACCESS


@pytest.mark.parametrize("whole", [False, True])
def test_two_of_four_bytes_show_the_half_or_nothing(whole: bool) -> None:
    bench = Bench(servo(options=ServoOptions(whole_items=whole)))
    for k in range(2):
        bench.ask(1, Instruction.WRITE, u16(168 + 2 * k) + u16(132 + k))
    for k in range(4):
        bench.ask(1, Instruction.WRITE, u16(174 + 2 * k) + u16(132 + k))
    (half,) = bench.ask(1, Instruction.READ, u16(224) + u16(2))
    (full,) = bench.ask(1, Instruction.READ, u16(227) + u16(4))
    assert half.parameters == (b"\0\0" if whole else b"\0\x08")
    assert full.parameters == b"\0\x08\0\0"


def test_a_watchdog_that_trips_takes_the_profile_away_and_answers_goals_by_a_range_error() -> None:
    bench = Bench(servo())
    for register, value in (
        (table.PROFILE_VELOCITY, 20),
        (table.PROFILE_ACCELERATION, 2),
        (table.TORQUE_ENABLE, 1),
    ):
        bench.write(1, register, value)
    bench.write(1, table.GOAL_POSITION, 3000)
    bench.write(1, table.BUS_WATCHDOG, 2)
    bench.run(bench.now + 100 * MS)
    assert bench.read(1, table.BUS_WATCHDOG) == -1
    assert [bench.read(1, r) for r in (table.PROFILE_VELOCITY, table.PROFILE_ACCELERATION)] == [0, 0]
    assert bench.write(1, table.GOAL_POSITION, 3000) == Error.DATA_RANGE
    bench.write(1, table.BUS_WATCHDOG, 0)
    assert bench.write(1, table.GOAL_POSITION, 3000) == Error.NONE


@pytest.mark.parametrize(
    ("profile", "goal", "shape"),
    [((0, 0), 3000, 0), ((100, 0), 3000, 1), ((100, 2), 2068, 2), ((20, 20), 3000, 3)],
)
def test_the_moving_bits_say_what_the_profile_and_the_horn_do(
    profile: tuple[int, int], goal: int, shape: int
) -> None:
    bench = Bench(servo(moving_threshold=3))
    velocity, acceleration = profile
    for register, value in (
        (table.PROFILE_VELOCITY, velocity), (table.PROFILE_ACCELERATION, acceleration), (table.TORQUE_ENABLE, 1),
    ):  # fmt: skip
        bench.write(1, register, value)
    assert (bench.read(1, table.MOVING), bench.read(1, table.MOVING_STATUS) & 0x0B) == (0, 1)
    bench.write(1, table.GOAL_POSITION, goal)
    status = bench.read(1, table.MOVING_STATUS)
    assert status >> 4 == shape
    under_way = bool(shape)  # a step is there at once; the horn of this bench never moves
    assert bool(status & 2) == under_way or goal - 2048 < 50
    assert bool(status & 1) == (goal - 2048 <= 20)
    bench.run(bench.now + 1_000 * MS)
    assert bool(bench.read(1, table.MOVING_STATUS) & 8) == (goal - 2048 > 100)


def test_protocol_1_holds_from_the_next_power_on_and_answers_the_manual_s_bytes() -> None:
    bench = Bench(servo())
    assert bench.write(1, table.PROTOCOL_TYPE, 1) == Error.NONE
    assert bench.send(bytes.fromhex("FFFF010201FB")) == b""
    reboot(bench)
    assert bench.ask(1, Instruction.PING) == []
    assert bench.send(bytes.fromhex("FFFF010201FB")) == bytes.fromhex("FFFF010200FC")
    assert bench.send(encode1(1, READ, bytes((0, 2)))) == encode1(1, 0, (1020).to_bytes(2, "little"))
    assert bench.send(encode1(1, WRITE, bytes((table.PROTOCOL_TYPE.address, 2)))) == encode1(1, 0)
    reboot_1 = Bench(servo(protocol_type=1))
    assert reboot_1.send(encode1(1, 0x55)) == encode1(1, 0x40)
