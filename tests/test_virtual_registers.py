"""Every register of the XM430's control table over the wire: size, access, initial value, range and lock as the manual
says.

The rows are the manual's own (ROBOTIS e-Manual, XM430-W350, "Control Table of EEPROM Area" and "... RAM Area"), written
down here a second time, so that a slip in the project's table shows.
"""

from __future__ import annotations

import math

import pytest
from virtual_helpers import MS, Bench, servo, u16

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BY_NAME, INDIRECT_ADDRESSES, OperatingMode, Register
from wildrobot.firmware_bridge.bus.protocol import ALERT, BROADCAST_ID, Error, Instruction, Parser, encode
from wildrobot.firmware_bridge.bus.protocol1 import READ, WRITE, encode1
from wildrobot.firmware_bridge.virtual.servo import ServoOptions

MANUAL = """
0 2 R 1020 - model_number
2 4 R - - model_information
6 1 R - - firmware_version
7 1 RW 1 0..252 id
8 1 RW 1 0..7 baud_rate
9 1 RW 250 0..254 return_delay_time
10 1 RW 0 0..13 drive_mode
11 1 RW 3 0..16 operating_mode
12 1 RW 255 0..255 secondary_id
13 1 RW 2 1..2 protocol_type
20 4 RW 0 -1044479..1044479 homing_offset
24 4 RW 10 0..1023 moving_threshold
31 1 RW 80 0..100 temperature_limit
32 2 RW 160 95..160 max_voltage_limit
34 2 RW 95 95..160 min_voltage_limit
36 2 RW 885 0..885 pwm_limit
38 2 RW 1193 0..1193 current_limit
44 4 RW 200 0..1023 velocity_limit
48 4 RW 4095 0..4095 max_position_limit
52 4 RW 0 0..4095 min_position_limit
60 1 RW 0 0..3 startup_configuration
63 1 RW 52 - shutdown
64 1 RW 0 0..1 torque_enable
65 1 RW 0 0..1 led
68 1 RW 2 0..2 status_return_level
69 1 R 0 - registered_instruction
70 1 R 0 - hardware_error_status
76 2 RW 1920 0..16383 velocity_i_gain
78 2 RW 100 0..16383 velocity_p_gain
80 2 RW 0 0..16383 position_d_gain
82 2 RW 0 0..16383 position_i_gain
84 2 RW 800 0..16383 position_p_gain
88 2 RW 0 0..16383 feedforward_2nd_gain
90 2 RW 0 0..16383 feedforward_1st_gain
98 1 RW 0 0..127 bus_watchdog
100 2 RW 885 -885..885 goal_pwm
102 2 RW 1193 -1193..1193 goal_current
104 4 RW - -200..200 goal_velocity
108 4 RW 0 0..32767 profile_acceleration
112 4 RW 0 0..32767 profile_velocity
116 4 RW - 0..4095 goal_position
120 2 R - - realtime_tick
122 1 R 0 - moving
123 1 R - - moving_status
124 2 R - - present_pwm
126 2 R - - present_current
128 4 R - - present_velocity
132 4 R - - present_position
136 4 R - - velocity_trajectory
140 4 R - - position_trajectory
144 2 R - - present_input_voltage
146 1 R - - present_temperature
147 1 R 0 - backup_ready
"""
ROWS = [row.split() for row in MANUAL.split("\n") if row]
ROWS += [
    [str(168 + 2 * k), "2", "RW", str(224 + k), "64..661", f"indirect_address_{k + 1}"] for k in range(28)
]
ROWS += [
    [str(578 + 2 * k), "2", "RW", str(634 + k), "64..661", f"indirect_address_{k + 29}"] for k in range(28)
]
SECTIONS = {
    "drive_mode": "Drive Mode(10): bits 0, 2 and 3; the table of firmware 38 has 0 to 1",
    "secondary_id": "Secondary(Shadow) ID(12): 253 to 255 switch it off; the table has 0 to 252",
    "id": "ID(7): 0 to 252; one table has 253, which the protocol leaves out",
    "startup_configuration": "Startup Configuration(60): bits 0 and 1, from firmware 45",
    "backup_ready": "Backup Ready(147), from firmware 45",
    "bus_watchdog": "Bus Watchdog(98): 1 to 127, 0 switches it off and clears it, -1 has tripped",
    "goal_pwm": "Goal PWM(100): up to PWM Limit(36), which it is after power-on",
    "goal_current": "Goal Current(102): up to Current Limit(38), which it is after power-on",
    "goal_velocity": "Goal Velocity(104): up to Velocity Limit(44)",
    "goal_position": "Goal Position(116): from Min to Max Position Limit(52, 48) in position mode",
}


def source(row: list[str]) -> str:
    """Where the manual says it: the register's own section, or the table of its area."""
    area = "Control Table of EEPROM Area" if int(row[0]) < 64 else "Control Table of RAM Area"
    return f"e-Manual, XM430-W350, {SECTIONS.get(row[-1], area)}, address {row[0]}"


KNOWN = BY_NAME | {register.name: register for register in INDIRECT_ADDRESSES}
WITHOUT_A_LOCK = 64
LEFT_ALONE = (
    "id", "baud_rate", "operating_mode", "protocol_type", "torque_enable", "status_return_level", "temperature_limit",
    "max_voltage_limit", "min_voltage_limit",
)  # fmt: skip
"""What the ends of their ranges do has tests of its own: no answer, or a shutdown."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[-1])
def test_a_register_is_as_the_manual_says(row: list[str]) -> None:
    address, size, access, initial, limits, name = row
    register = KNOWN[name]
    said = (int(address), int(size), access == "RW")
    assert (register.address, register.size, register.writable) == said, source(row)
    bench = Bench(servo())
    if initial != "-" and name not in ("id", "baud_rate", "return_delay_time"):
        assert bench.read(1, register) == int(initial), source(row)
    if access == "R":
        assert bench.write(1, register, 0) == Error.ACCESS
        return
    present = bench.read(1, register)
    if register.size > 1:
        short = register.encode(present)[:-1]
        (status,) = bench.ask(1, Instruction.WRITE, u16(register.address) + short)
        assert status.error == Error.DATA_LENGTH
    if limits != "-":
        low, high = map(int, limits.split(".."))
        refused = Error.DATA_LIMIT if name.startswith("goal_") else Error.DATA_RANGE
        for value in (low - 1, high + 1):
            if (value >= 0 or register.signed) and value < 1 << 8 * register.size:
                assert bench.write(1, register, value) == refused, source(row)
        assert bench.read(1, register) == present
        if name not in LEFT_ALONE:
            for value in (low, high):
                assert bench.write(1, register, value) == Error.NONE
                assert bench.read(1, register) == value
            bench.write(1, register, present)
    # a servo that answers reads only takes the write, and says nothing
    bench.write(1, table.TORQUE_ENABLE, 1)
    locked = register.address < WITHOUT_A_LOCK or name.startswith("indirect_address")
    assert bench.write(1, register, present) == (Error.ACCESS if locked else Error.NONE)


def test_nothing_is_missing_and_nothing_is_made_up() -> None:
    assert {row[-1] for row in ROWS} == set(KNOWN)
    addresses = [at for register in KNOWN.values() for at in range(register.address, register.end)]
    assert len(addresses) == len(set(addresses))


def test_every_writable_register_is_looked_at_or_does_no_harm_and_says_why() -> None:
    for register in KNOWN.values():
        if register.writable:
            assert (register.expected is None) == bool(register.why), register.name
        else:
            assert register.expected is None
            assert not register.why


# ---------------------------------------------------------------------- firmware


@pytest.mark.parametrize(
    ("firmware", "value", "error"),
    [(37, 1, 4), (38, 1, 0), (41, 4, 4), (42, 5, 0), (44, 8, 4), (45, 13, 0), (48, 2, 4)],
)
def test_drive_mode_knows_the_bits_of_its_firmware(firmware: int, value: int, error: int) -> None:
    bench = Bench(servo(firmware=firmware))
    expected = Error.ACCESS if firmware < 38 else error
    assert bench.write(1, table.DRIVE_MODE, value) == expected


@pytest.mark.parametrize("register", [table.STARTUP_CONFIGURATION], ids=lambda r: r.name)
def test_what_newer_firmware_has_older_firmware_refuses(register: Register) -> None:
    assert Bench(servo(firmware=44)).write(1, register, 1) == Error.ACCESS
    assert Bench(servo(firmware=45)).write(1, register, 1) == Error.NONE


# ---------------------------------------------------------------------- what registers do


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
