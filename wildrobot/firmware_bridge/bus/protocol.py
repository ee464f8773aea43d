"""Dynamixel Protocol 2.0: packets to bytes and bytes to packets, both directions.

    instruction   FF FF FD 00 | ID | LEN (2) | INST | parameters            | CRC (2)
    status        FF FF FD 00 | ID | LEN (2) | 55   | ERR | parameters      | CRC (2)
    fast status   FF FF FD 00 | FE | LEN (2) | 55   | (ERR ID data CRC) x N

LEN counts everything after itself. Numbers are little-endian. Source: ROBOTIS e-Manual, "DYNAMIXEL Protocol 2.0".
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

HEADER = b"\xff\xff\xfd\x00"
BROADCAST_ID = 0xFE
MAX_ID = 0xFC
MAX_LENGTH = 1024
"""Longest LEN that a parser believes; a longer one is noise."""
_OVERHEAD = 7
"""Bytes up to and including LEN."""


class Instruction(enum.IntEnum):
    """What a packet asks for; STATUS marks an answer."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    CONTROL_TABLE_BACKUP = 0x20
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class Error(enum.IntEnum):
    """Low seven bits of a status packet's ERR byte."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


ALERT = 0x80
"""Bit 7 of ERR: the device has a hardware error, register 70 says which."""


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
        entries.append(crc)
    return tuple(entries)


_CRC_TABLE = _table()


def crc16(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """CRC-16 with polynomial 0x8005, not reflected; `crc` continues an earlier part."""
    table = _CRC_TABLE
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ table[(crc >> 8) ^ byte]
    return crc


def stuff(body: bytes) -> bytes:
    """INST…parameters with FD after every FF FF FD, so that no header appears inside a packet."""
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")


def unstuff(body: bytes) -> bytes:
    """Inverse of `stuff`."""
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")


def encode(device: int, instruction: int, parameters: bytes = b"") -> bytes:
    """Bytes of an instruction packet."""
    return _frame(device, stuff(bytes((instruction,)) + parameters))


def encode_status(device: int, error: int, parameters: bytes = b"") -> bytes:
    """Bytes of a status packet with its ERR byte."""
    return _frame(device, stuff(bytes((Instruction.STATUS, error)) + parameters))


def encode_fast_status(blocks: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Bytes of the one answer to a fast read: (ERR, ID, data) of every device; never stuffed."""
    length = 1 + sum(4 + len(data) for _, _, data in blocks)
    out = bytearray(HEADER + bytes((BROADCAST_ID,)) + length.to_bytes(2, "little"))
    out.append(Instruction.STATUS)
    crc, done = 0, 0
    for error, device, data in blocks:
        out += bytes((error, device)) + data
        crc = crc16(out[done:], crc)
        done = len(out)
        out += crc.to_bytes(2, "little")
    return bytes(out)


def _frame(device: int, body: bytes) -> bytes:
    packet = HEADER + bytes((device,)) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


class Packet(NamedTuple):
    """A packet whose CRC was right. `parameters` are unstuffed and, in a status, without the ERR byte."""

    device: int
    instruction: int
    parameters: bytes
    error: int = 0

    @property
    def alert(self) -> bool:
        """The device reports a hardware error."""
        return bool(self.error & ALERT)


class Parser:
    """Packets out of a stream of bytes, however it is cut and whatever lies between them.

    A packet with a wrong CRC is dropped byte by byte from its header on, so that a true packet behind a false header is
    still found. Nothing is ever accepted without its CRC. Fast statuses come out as one packet of the broadcast id,
    `parameters` raw (`FastReply` takes them apart as they arrive).
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.crc_errors = 0
        """Whole packets with a wrong CRC."""
        self.last_broken: tuple[int, int] | None = None
        """Device and instruction that the last one of them named, as far as they can be believed."""
        self.skipped = 0
        """Bytes that belonged to no packet."""

    def reset(self) -> None:
        """Forget a packet that began and never ended."""
        self.skipped += len(self._buffer)
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Packet]:
        """Packets that are complete after `data`, in order."""
        self._buffer += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def _skip(self, count: int) -> None:
        self.skipped += count
        del self._buffer[:count]

    def _next(self) -> Packet | None:
        buffer = self._buffer
        while True:
            start = buffer.find(b"\xff\xff\xfd")
            if start < 0:
                # two bytes of a header may have come already
                keep = 2 if buffer.endswith(b"\xff\xff") else 1 if buffer.endswith(b"\xff") else 0
                self._skip(len(buffer) - keep)
                return None
            if start:
                self._skip(start)
            if len(buffer) < _OVERHEAD:
                if len(buffer) > 3 and buffer[3] != 0:
                    self._skip(1)
                    continue
                return None
            length = buffer[5] | buffer[6] << 8
            if buffer[3] != 0 or not 3 <= length <= MAX_LENGTH:
                self._skip(1)
                continue
            end = _OVERHEAD + length
            if len(buffer) < end:
                return None
            packet = self._accept(bytes(buffer[:end]))
            if packet is None:
                self._skip(1)
                continue
            del buffer[:end]
            return packet

    def _accept(self, raw: bytes) -> Packet | None:
        if crc16(raw[:-2]) != raw[-2] | raw[-1] << 8:
            self.crc_errors += 1
            self.last_broken = raw[4], raw[_OVERHEAD]
            return None
        device, body = raw[4], raw[_OVERHEAD:-2]
        if body[0] != Instruction.STATUS:
            return Packet(device, body[0], unstuff(body)[1:])
        if device == BROADCAST_ID:
            return Packet(device, body[0], body[1:])
        body = unstuff(body)
        if len(body) < 2:  # a status without ERR is no status
            return None
        return Packet(device, body[0], body[2:], body[1])


class Block(NamedTuple):
    """One device's part of a fast status."""

    device: int
    error: int
    data: bytes


class FastLayout(NamedTuple):
    """How the answer to one fast read looks."""

    start: bytes
    """Its first bytes."""
    start_crc: int
    """CRC of those."""
    blocks: tuple[tuple[int, int], ...]
    """(ID, end of its block) of every device."""

    @classmethod
    def of(cls, expected: Sequence[tuple[int, int]]) -> FastLayout:
        """From (ID, bytes of data) of every device, in the order of the request."""
        length = 1 + sum(4 + size for _, size in expected)
        start = HEADER + bytes((BROADCAST_ID,)) + length.to_bytes(2, "little") + b"\x55"
        ends, at = [], len(start)
        for device, size in expected:
            at += 4 + size
            ends.append((device, at))
        return cls(start, crc16(start), tuple(ends))

    @property
    def size(self) -> int:
        """Bytes of the whole answer."""
        return self.blocks[-1][1] if self.blocks else len(self.start)


class FastReply:
    """The answer to one fast read, taken apart as it arrives: by its lengths and CRCs, never by looking for a header.

    Every block carries a CRC over all bytes before it, so the blocks in front of a device that keeps silent are good.
    """

    def __init__(self, expected: Sequence[tuple[int, int]] | FastLayout) -> None:
        """`expected`: (ID, bytes of data) of every device, in the order of the request, or the layout made of it."""
        self.layout = expected if isinstance(expected, FastLayout) else FastLayout.of(expected)
        self._start, self._start_crc, self._blocks = self.layout
        self._buffer = b""
        self._at = 0
        self._crc = 0
        self.blocks: list[Block] = []
        self.failed = False
        """Bytes came that are not this answer, or a CRC is wrong: the rest is worth nothing."""

    @property
    def complete(self) -> bool:
        """Every block has come."""
        return len(self.blocks) == len(self._blocks)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        if self._at == 0:
            self._find_start()
        if self._at == 0 or self.failed:
            return
        # loops in place of calls of crc16: the tick's largest part, on a processor whose caches are cold
        buffer, at, crc, table = self._buffer, self._at, self._crc, _CRC_TABLE
        for device, end in self._blocks[len(self.blocks) :]:
            if len(buffer) < end:
                break
            block = buffer[at:end]
            for byte in block[:-2]:
                crc = ((crc << 8) & 0xFFFF) ^ table[(crc >> 8) ^ byte]
            low, high = crc & 0xFF, crc >> 8
            if block[-2] != low or block[-1] != high or block[1] != device:
                self.failed = True
                break
            crc = (low << 8) ^ table[high ^ low]
            crc = ((crc << 8) & 0xFFFF) ^ table[(crc >> 8) ^ high]
            at = end
            self.blocks.append(Block(device, block[0], block[2:-2]))
        self._at, self._crc = at, crc

    def _find_start(self) -> None:
        # Line noise may come before the answer; the start is long enough not to be mistaken.
        start = self._buffer.find(self._start)
        if start < 0:
            self._buffer = self._buffer[max(0, len(self._buffer) - len(self._start) + 1) :]
            return
        self._buffer = self._buffer[start:]
        self._at = len(self._start)
        self._crc = self._start_crc
