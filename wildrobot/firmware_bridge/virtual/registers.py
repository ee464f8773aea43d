"""The XM430's control table as a servo keeps it: defaults, ranges, and which byte belongs to which register."""

from __future__ import annotations

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import Register

INDIRECT_ADDRESSES = tuple(
    Register(f"indirect_address_{i + 1}", table.INDIRECT_ADDRESS + 2 * i, 2)
    for i in range(table.INDIRECT_COUNT)
)
INDIRECT_END = table.INDIRECT_DATA + table.INDIRECT_COUNT

FACTORY: dict[Register, int] = {
    table.ID: 1,
    table.BAUD_RATE: 1,
    table.RETURN_DELAY_TIME: 250,
    table.OPERATING_MODE: table.OperatingMode.POSITION,
    table.SECONDARY_ID: 255,
    table.PROTOCOL_TYPE: 2,
    table.MOVING_THRESHOLD: 10,
    table.TEMPERATURE_LIMIT: 80,
    table.MAX_VOLTAGE_LIMIT: 160,
    table.MIN_VOLTAGE_LIMIT: 95,
    table.PWM_LIMIT: table.FULL_PWM,
    table.CURRENT_LIMIT: 1193,
    table.VELOCITY_LIMIT: 200,
    table.MAX_POSITION_LIMIT: 4095,
    table.SHUTDOWN: 0x34,
}
"""Values of a new servo below `EEPROM_END`; what is not named is 0."""
POWER_ON: dict[Register, int] = {
    table.STATUS_RETURN_LEVEL: 2,
    table.VELOCITY_I_GAIN: 1920,
    table.VELOCITY_P_GAIN: 100,
    table.POSITION_P_GAIN: 800,
}
"""Values of the RAM after power-on; what is not named is 0, or follows from the EEPROM."""

RANGES: dict[Register, tuple[int, int]] = {
    table.ID: (0, 252),
    table.BAUD_RATE: (0, 6),
    table.RETURN_DELAY_TIME: (0, 254),
    table.DRIVE_MODE: (0, 1),
    table.SECONDARY_ID: (0, 255),
    table.PROTOCOL_TYPE: (2, 2),
    table.HOMING_OFFSET: (-1_044_479, 1_044_479),
    table.MOVING_THRESHOLD: (0, 1023),
    table.TEMPERATURE_LIMIT: (0, 100),
    table.MAX_VOLTAGE_LIMIT: (95, 160),
    table.MIN_VOLTAGE_LIMIT: (95, 160),
    table.PWM_LIMIT: (0, table.FULL_PWM),
    table.CURRENT_LIMIT: (0, 1193),
    table.VELOCITY_LIMIT: (0, 1023),
    table.MAX_POSITION_LIMIT: (0, 4095),
    table.MIN_POSITION_LIMIT: (0, 4095),
    table.SHUTDOWN: (0, 0x3D),
    table.TORQUE_ENABLE: (0, 1),
    table.LED: (0, 1),
    table.STATUS_RETURN_LEVEL: (0, 2),
    table.VELOCITY_I_GAIN: (0, 16383),
    table.VELOCITY_P_GAIN: (0, 16383),
    table.POSITION_D_GAIN: (0, 16383),
    table.POSITION_I_GAIN: (0, 16383),
    table.POSITION_P_GAIN: (0, 16383),
    table.FEEDFORWARD_2ND_GAIN: (0, 16383),
    table.FEEDFORWARD_1ST_GAIN: (0, 16383),
    table.BUS_WATCHDOG: (0, 127),
    table.PROFILE_ACCELERATION: (0, 32767),
    table.PROFILE_VELOCITY: (0, 32767),
    table.GOAL_POSITION: (-1_048_575, 1_048_575),
    **dict.fromkeys(INDIRECT_ADDRESSES, (table.EEPROM_END, table.SIZE - 1)),
}
"""Allowed values, ends included; a register that is not named takes all that it can hold. Of DRIVE_MODE only the
direction is modelled: time-based profiles and torque-on-by-goal are refused as out of range."""
OPERATING_MODES = frozenset(int(mode) for mode in table.OperatingMode)

GOALS = frozenset({table.GOAL_PWM, table.GOAL_CURRENT, table.GOAL_VELOCITY, table.GOAL_POSITION})
"""Read-only while the bus watchdog has tripped."""
LIMITED_BY = {
    table.GOAL_PWM: table.PWM_LIMIT,
    table.GOAL_CURRENT: table.CURRENT_LIMIT,
    table.GOAL_VELOCITY: table.VELOCITY_LIMIT,
}
"""Goals whose size another register limits."""


def _owners() -> list[Register | None]:
    owners: list[Register | None] = [None] * table.SIZE
    for register in (*table.REGISTERS, *INDIRECT_ADDRESSES):
        for address in range(register.address, register.end):
            owners[address] = register
    return owners


OWNER = _owners()
"""Register of every byte of the table; None where there is none, and for the indirect data."""
