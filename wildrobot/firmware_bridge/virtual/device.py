"""How a device on the bus behaves: which packets it obeys, what it answers, and when it speaks in a chain.

What a device *is* (its registers) comes from a subclass. Source: ROBOTIS e-Manual, "DYNAMIXEL Protocol 2.0".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from wildrobot.firmware_bridge.bus.protocol import (
    ALERT,
    BROADCAST_ID,
    HEADER,
    Error,
    Instruction,
    Packet,
    crc16,
    encode_status,
)

PING_SLOT_NS = 3_000_000
"""A broadcast ping is answered after this, times the id: the maker's own software waits so long per id."""
FAST_START = 8
"""Bytes of a fast status before its first block."""


@dataclass(frozen=True)
class Reply:
    """Bytes that a device begins to send at a time, at its baud."""

    start_ns: int
    data: bytes
    baud: int


@dataclass(frozen=True)
class _Read:
    """A device's part of a group read."""

    address: int
    size: int
    after: int | None
    """Id of the device before it in the list; None: it is the first."""
    bytes_before: int
    """Bytes of a fast status before its block."""
    length: int
    """LEN of the fast status."""


class VirtualDevice(ABC):
    """Protocol 2.0 from a device's side. Times are nanoseconds on the simulation's clock.

    Values are latched when the answer is made: at the request's end, in a chain when the turn comes. In a fast chain
    only the first device waits its return delay. A packet with a wrong CRC is as good as none, but to `answers_broken`.
    """

    def __init__(self) -> None:
        self._chain: _Read | None = None
        self._fast: _Read | None = None
        self.mishears = False
        """Every read reaches it broken, and it says so."""
        self.last_instruction_ns = 0
        """When the last instruction packet on the bus ended, whoever it was for."""

    # ------------------------------------------------------------------ what a subclass is

    @property
    @abstractmethod
    def id(self) -> int:
        """Address on the bus."""

    @property
    @abstractmethod
    def baud(self) -> int:
        """Bits per second at which it hears and speaks."""

    @property
    @abstractmethod
    def return_delay_ns(self) -> int:
        """Wait between the end of a request and its answer."""

    @property
    @abstractmethod
    def status_return_level(self) -> int:
        """0: answers pings only, 1: reads too, 2: everything."""

    @property
    def secondary_id(self) -> int | None:
        """Address of a group that it obeys, too, without an answer."""
        return None

    @property
    def answers_broken(self) -> bool:
        """It answers a request to itself whose CRC is wrong by a CRC error."""
        return False

    @property
    @abstractmethod
    def alert(self) -> bool:
        """It has a hardware error."""

    @property
    def knows_fast_reads(self) -> bool:
        """Its firmware obeys Fast Sync Read and Fast Bulk Read."""
        return True

    @abstractmethod
    def awake(self, now_ns: int) -> bool:
        """It has power and has booted."""

    @abstractmethod
    def identity(self) -> bytes:
        """Model number (2) and firmware version (1)."""

    @abstractmethod
    def read(self, address: int, size: int, now_ns: int) -> tuple[int, bytes]:
        """Error and, without one, the bytes of the table."""

    @abstractmethod
    def write(self, address: int, data: bytes, now_ns: int) -> int:
        """Write all of it or nothing; returns the error."""

    @abstractmethod
    def reg_write(self, address: int, data: bytes, now_ns: int) -> int:
        """Keep a write for `action`; returns the error."""

    @abstractmethod
    def action(self, now_ns: int) -> int:
        """Do the kept write; returns the error."""

    @abstractmethod
    def command(self, instruction: int, parameters: bytes, broadcast: bool, now_ns: int) -> int:
        """Factory reset, reboot or clear; returns the error. The answer to it is already made."""

    # ------------------------------------------------------------------ hearing

    def hear(self, packet: Packet, end_ns: int) -> Reply | None:
        """A packet has passed on the line; returns what the device answers."""
        if not self.awake(end_ns):
            return None
        if packet.instruction == Instruction.STATUS:
            return self._heard_status(packet, end_ns)
        self._chain = self._fast = None
        self.last_instruction_ns = end_ns
        match packet.instruction:
            case Instruction.SYNC_READ | Instruction.BULK_READ:
                return self._group_read(packet, end_ns)
            case Instruction.FAST_SYNC_READ | Instruction.FAST_BULK_READ:
                return self._fast_read(packet, end_ns)
            case Instruction.SYNC_WRITE:
                self._sync_write(packet, end_ns)
            case Instruction.BULK_WRITE:
                self._bulk_write(packet, end_ns)
            case _ if packet.device in (self.id, BROADCAST_ID):
                return self._single(packet, end_ns)
            case _ if packet.device == self.secondary_id:
                self._as_one_of_a_group(packet, end_ns)
        return None

    def _as_one_of_a_group(self, packet: Packet, end_ns: int) -> None:
        """Obey a packet to the secondary id; nobody answers it."""
        self._single(packet, end_ns)

    def hear_protocol_1(self, data: bytes, end_ns: int) -> Reply | None:
        """Bytes have passed that may be a request of Protocol 1.0, which a device may be set up to speak instead."""
        return None

    def heard_broken(self, device: int, end_ns: int) -> Reply | None:
        """A request to `device` has passed whose CRC is wrong."""
        if not self.answers_broken or device != self.id or not self.awake(end_ns):
            return None
        return self._reply(encode_status(self.id, self._error(Error.CRC)), end_ns)

    def heard_bytes(self, heard: bytearray, end_ns: int) -> Reply | None:
        """Bytes have passed since the last instruction, `heard` in all; returns its block of a fast status if due."""
        read = self._fast
        if read is None or len(heard) < read.bytes_before or not self.awake(end_ns):
            return None
        self._fast = None
        return Reply(end_ns, self._block(read, bytes(heard[: read.bytes_before]), end_ns), self.baud)

    def _heard_status(self, packet: Packet, end_ns: int) -> Reply | None:
        read = self._chain
        if read is None or packet.device != read.after:
            return None
        self._chain = None
        return self._status_of(read, end_ns)

    # ------------------------------------------------------------------ one device

    def _reply(self, data: bytes, end_ns: int) -> Reply:
        return Reply(end_ns + self.return_delay_ns, data, self.baud)

    def _error(self, error: int) -> int:
        return error | (ALERT if self.alert else 0)

    def _single(self, packet: Packet, end_ns: int) -> Reply | None:
        instruction, parameters = packet.instruction, packet.parameters
        broadcast = packet.device == BROADCAST_ID
        # The answer carries the id and the baud that the request found, even if it changes them.
        device, baud, delay_ns, level = self.id, self.baud, self.return_delay_ns, self.status_return_level
        if instruction == Instruction.PING:
            slot_ns = device * PING_SLOT_NS if broadcast else 0
            data = encode_status(device, self._error(0), self.identity())
            return Reply(end_ns + delay_ns + slot_ns, data, baud)
        content = b""
        needed = 2
        match instruction:
            case Instruction.READ:
                needed, error = 1, int(Error.DATA_LENGTH)
                if len(parameters) == 4 and not broadcast:
                    error, content = self._read(_u16(parameters), _u16(parameters[2:]), end_ns)
            case Instruction.WRITE | Instruction.REG_WRITE:
                error = int(Error.DATA_LENGTH)
                if len(parameters) > 2:
                    put = self.write if instruction == Instruction.WRITE else self.reg_write
                    error = put(_u16(parameters), parameters[2:], end_ns)
            case Instruction.ACTION:
                error = self.action(end_ns)
            case (
                Instruction.FACTORY_RESET
                | Instruction.REBOOT
                | Instruction.CLEAR
                | Instruction.CONTROL_TABLE_BACKUP
            ):
                alert = self._error(0)
                error = self.command(instruction, parameters, broadcast, end_ns)
                if broadcast or level < needed:
                    return None
                return Reply(end_ns + delay_ns, encode_status(device, error | alert), baud)
            case _:
                error = int(Error.INSTRUCTION)
        if broadcast or level < needed:
            return None
        return Reply(end_ns + delay_ns, encode_status(device, self._error(error), content), baud)

    def _read(self, address: int, size: int, end_ns: int) -> tuple[int, bytes]:
        return (Error.CRC, b"") if self.mishears else self.read(address, size, end_ns)

    # ------------------------------------------------------------------ groups

    def _find(self, packet: Packet) -> _Read | None:
        """This device's part of a group read, None when it has none."""
        data = packet.parameters
        if packet.device != BROADCAST_ID:
            return None
        if packet.instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
            if len(data) < 5:
                return None
            reads = [(device, _u16(data), _u16(data[2:])) for device in data[4:]]
        else:
            if len(data) < 5 or len(data) % 5:
                return None
            reads = [(data[i], _u16(data[i + 1 :]), _u16(data[i + 3 :])) for i in range(0, len(data), 5)]
        before, found, previous = FAST_START, None, None
        length = 1 + sum(4 + size for _, _, size in reads)
        for device, address, size in reads:
            if device == self.id:
                found = _Read(address, size, previous, before, length)
                break
            previous = device
            before += 4 + size
        return found if self.status_return_level >= 1 else None

    def _group_read(self, packet: Packet, end_ns: int) -> Reply | None:
        read = self._find(packet)
        if read is not None and read.after is not None:
            self._chain = read
            return None
        return None if read is None else self._status_of(read, end_ns)

    def _status_of(self, read: _Read, end_ns: int) -> Reply:
        error, content = self._read(read.address, read.size, end_ns)
        return self._reply(encode_status(self.id, self._error(error), content), end_ns)

    def _fast_read(self, packet: Packet, end_ns: int) -> Reply | None:
        read = self._find(packet) if self.knows_fast_reads else None
        if read is None or read.length > 0xFFFF:
            return None
        if read.after is not None:
            self._fast = read
            return None
        start = HEADER + bytes((BROADCAST_ID,)) + read.length.to_bytes(2, "little") + b"\x55"
        return self._reply(start + self._block(read, start, end_ns), end_ns)

    def _block(self, read: _Read, before: bytes, end_ns: int) -> bytes:
        error, content = self._read(read.address, read.size, end_ns)
        block = bytes((self._error(error), self.id)) + content.ljust(read.size, b"\0")
        return block + crc16(before + block).to_bytes(2, "little")

    def _sync_write(self, packet: Packet, end_ns: int) -> None:
        data = packet.parameters
        if packet.device != BROADCAST_ID or len(data) < 4:
            return
        address, size = _u16(data), _u16(data[2:])
        if size == 0 or (len(data) - 4) % (1 + size):
            return
        for i in range(4, len(data), 1 + size):
            if data[i] == self.id:
                self.write(address, data[i + 1 : i + 1 + size], end_ns)
                return

    def _bulk_write(self, packet: Packet, end_ns: int) -> None:
        data = packet.parameters
        if packet.device != BROADCAST_ID:
            return
        i = 0
        while i + 5 <= len(data):
            size = _u16(data[i + 3 :])
            end = i + 5 + size
            if end > len(data):
                return
            if data[i] == self.id and size:
                self.write(_u16(data[i + 1 :]), data[i + 5 : end], end_ns)
                return
            i = end


def _u16(data: bytes) -> int:
    return data[0] | data[1] << 8
