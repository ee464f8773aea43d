"""What a servo does with the control table of its own: defaults, limits, and which byte belongs to which register."""

from __future__ import annotations

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import INDIRECT_ADDRESSES, Register

_ALL = (*table.REGISTERS, *INDIRECT_ADDRESSES)
FACTORY = {
    r: r.initial for r in _ALL if r.address < table.EEPROM_END and r.writable and r.initial is not None
}
"""Values of a new servo below `EEPROM_END`; what is not named is 0."""
POWER_ON = {r: r.initial for r in _ALL if r.address >= table.EEPROM_END and r.initial is not None}
"""Values of the RAM after power-on; what is not named is 0, or follows from the EEPROM."""
BACKED_UP = tuple(
    r
    for r in _ALL
    if (r.address < table.EEPROM_END and r.writable)
    or r.name.endswith("_gain")
    or r.name.startswith(("profile_", "indirect_address_"))
)
"""What the instruction Control Table Backup keeps."""
OPERATING_MODES = frozenset(int(mode) for mode in table.OperatingMode)

GOALS = frozenset({table.GOAL_PWM, table.GOAL_CURRENT, table.GOAL_VELOCITY, table.GOAL_POSITION})
"""Read-only while the bus watchdog has tripped."""
LIMITED_BY = {
    table.GOAL_PWM: table.PWM_LIMIT,
    table.GOAL_CURRENT: table.CURRENT_LIMIT,
    table.GOAL_VELOCITY: table.VELOCITY_LIMIT,
}
"""Goals whose size another register limits."""
MODE_RESETS = tuple(r for r in table.REGISTERS if r.name.endswith("_gain") or r.name.startswith("profile_"))
"""What another operating mode puts back, besides the goals."""
DRIVE_MODE_BITS = {0: 0x00, 38: 0x01, 42: 0x05, 45: 0x0D}
"""First firmware to the bits of DRIVE_MODE that it knows: reverse, then time-based profile, then torque on by goal."""


def is_indirect_data(address: int) -> bool:
    """A byte that shows another one."""
    return any(data <= address < data + table.INDIRECT_COUNT for _, data in table.INDIRECT_BLOCKS)


def pointer_to(address: int) -> int:
    """Address of the indirect address that a byte of indirect data follows."""
    pointers, data = next(block for block in reversed(table.INDIRECT_BLOCKS) if address >= block[1])
    return pointers + 2 * (address - data)


def _owners() -> list[Register | None]:
    owners: list[Register | None] = [None] * table.SIZE
    for register in _ALL:
        for address in range(register.address, register.end):
            owners[address] = register
    return owners


OWNER = _owners()
"""Register of every byte of the table; None where there is none, and for the indirect data."""
