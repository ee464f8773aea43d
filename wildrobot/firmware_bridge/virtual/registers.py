"""A servo's own control table: defaults, limits, which byte belongs to which register, and its bytes as they stand."""

from __future__ import annotations

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import INDIRECT_ADDRESSES, Register
from wildrobot.firmware_bridge.bus.protocol import Error

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


class RegisterFile:
    """The table's bytes, which of them a firmware has, and what the indirect data show."""

    def __init__(self, firmware: int, strict_addresses: bool = False, whole_items: bool = False) -> None:
        """`strict_addresses`, `whole_items`: as in `ServoOptions`."""
        self.bytes = bytearray(table.SIZE)
        self._firmware, self._strict, self._whole = firmware, strict_addresses, whole_items

    def get(self, register: Register) -> int:
        """Value in the table, as it stands."""
        return register.decode(bytes(self.bytes[register.address : register.end]))

    def put(self, register: Register, value: int) -> None:
        """Set a value past all checks."""
        self.bytes[register.address : register.end] = register.encode(value)

    def has(self, register: Register) -> bool:
        """This firmware knows the register."""
        return self._firmware >= register.since

    def target(self, address: int) -> int:
        """Byte of the table that an address of the indirect data shows; itself while it shows other indirect data."""
        at = pointer_to(address)
        target = self.bytes[at] | self.bytes[at + 1] << 8
        if not 0 <= target < table.SIZE or is_indirect_data(target):
            return address
        return target

    # ------------------------------------------------------------------ reading

    def readable(self, address: int, size: int) -> int:
        """The error of a read, if it is one."""
        if size == 0:
            return Error.DATA_LENGTH
        end = address + size
        if end > table.SIZE:
            return Error.ACCESS
        if self._strict and not all(self._defined(at) for at in range(address, end)):
            return Error.ACCESS
        return Error.NONE

    def read(self, address: int, size: int) -> bytes:
        """Bytes as the wire shows them."""
        end = address + size
        data = bytearray(self.bytes[address:end])
        if end > table.INDIRECT_DATA:
            for at in range(max(address, table.INDIRECT_DATA), end):
                if is_indirect_data(at):
                    data[at - address] = self._shown(at)
        return bytes(data)

    def _defined(self, address: int) -> bool:
        register = OWNER[address]
        return is_indirect_data(address) if register is None else self.has(register)

    def _shown(self, at: int) -> int:
        """What a byte of indirect data shows."""
        target = self.target(at)
        item = OWNER[target]
        if self._whole and item is not None and item.size > 2:
            first = at - (target - item.address)
            for k in range(item.size):
                if not is_indirect_data(first + k) or self.target(first + k) != item.address + k:
                    return 0
        return self.bytes[target]

    # ------------------------------------------------------------------ writing

    def values_of(self, address: int, data: bytes) -> tuple[dict[Register, int], int]:
        """What a write would make of the registers that it touches, and the error, if it is one."""
        if address + len(data) > table.SIZE:
            return {}, Error.ACCESS
        raw: dict[Register, bytearray] = {}
        written: dict[Register, int] = {}
        for at, byte in enumerate(data, address):
            if is_indirect_data(at):
                at = self.target(at)
            register = OWNER[at]
            if register is None and is_indirect_data(at):
                register = Register(f"indirect_data_{at}", at, 1)
            if register is None or not register.writable or not self.has(register):
                return {}, Error.ACCESS
            content = raw.setdefault(register, self.bytes[register.address : register.end])
            content[at - register.address] = byte
            written[register] = written.get(register, 0) + 1
        if any(count < register.size for register, count in written.items()):
            return {}, Error.DATA_LENGTH
        return {register: register.decode(bytes(content)) for register, content in raw.items()}, Error.NONE
