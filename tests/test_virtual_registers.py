"""Every register of the XM430's control table over the wire: size, access, initial value, range and lock as the manual
says.

The rows are the manual's own (ROBOTIS e-Manual, XM430-W350, "Control Table of EEPROM Area" and "... RAM Area"), written
down here a second time, so that a slip in the project's table shows.
"""

from __future__ import annotations

import pytest
from virtual_helpers import Bench, servo, u16

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BY_NAME, INDIRECT_ADDRESSES, Register
from wildrobot.firmware_bridge.bus.protocol import Error, Instruction

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
