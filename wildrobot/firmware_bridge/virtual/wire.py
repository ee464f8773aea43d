"""The half-duplex line: who hears which bytes when. Everything in integer nanoseconds, deterministic.

A byte takes 10 bits at its sender's baud, and only those who listen at the same baud understand it. When two talk at
once, both are garbled: the bytes that overlap are noise, and the later sender's are lost in it. An answer that has
not begun when the next instruction ends is taken back. The host hears a sender's bytes when the last of them has
passed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wildrobot.firmware_bridge.bus.protocol import (
    HEADER,
    Instruction,
    Packet,
    Parser,
    encode_status,
)
from wildrobot.firmware_bridge.virtual.adapter import Adapter
from wildrobot.firmware_bridge.virtual.device import Reply, VirtualDevice

BYTE_GAP_NS = 2_000_000
"""A packet whose next byte takes longer than this is given up (assumed; the sensor board's firmware does the same)."""


def byte_ns(baud: int) -> int:
    """Nanoseconds of one byte: start bit, 8 data bits, stop bit."""
    return 10_000_000_000 // baud


class Station(Protocol):
    """Something on the line beside the host."""

    @property
    def baud(self) -> int:
        """Bits per second at which it hears and speaks."""
        ...

    def receive(self, data: bytes, end_ns: int, packets: Sequence[Packet], ear: Ear) -> list[Reply]:
        """Bytes of somebody else have passed, the last at `end_ns`; `packets` became complete with them.

        Returns what it will say, now or later.
        """
        ...


@dataclass
class Line:
    """What faults do to one station's connection."""

    silent: bool = False
    """It hears nothing and says nothing."""
    delay_ns: int = 0
    """Added to every answer, which then comes even into the next transaction."""
    keep_bytes: int | None = None
    """Answers end after so many bytes."""
    short: bool = False
    """Statuses carry one byte of data, whatever was asked."""


@dataclass
class Ear:
    """What everybody at one baud has heard: packets, and the bytes since the last instruction."""

    parser: Parser = field(default_factory=Parser)
    since_instruction: bytearray = field(default_factory=bytearray)
    last_ns: int = 0
    broken_for: int | None = None
    """Device that a whole request with a wrong CRC names, if the last bytes were one."""

    def hear(self, data: bytes, start_ns: int, end_ns: int) -> list[Packet]:
        """Packets that are complete after `data`."""
        if start_ns - self.last_ns > BYTE_GAP_NS:
            self.parser.reset()
        self.last_ns = end_ns
        self.parser.last_broken = None
        packets = self.parser.feed(data)
        broken = self.parser.last_broken
        self.broken_for = broken[0] if broken is not None and broken[1] != Instruction.STATUS else None
        if any(packet.instruction != Instruction.STATUS for packet in packets):
            self.since_instruction.clear()
        elif len(self.since_instruction) < 4096:
            self.since_instruction += data
        return packets


class DeviceStation:
    """A `Device` on the line."""

    def __init__(self, device: VirtualDevice) -> None:
        self.device = device

    @property
    def baud(self) -> int:
        return self.device.baud

    def receive(self, data: bytes, end_ns: int, packets: Sequence[Packet], ear: Ear) -> list[Reply]:
        replies = [self.device.hear(packet, end_ns) for packet in packets]
        replies.append(self.device.heard_bytes(ear.since_instruction, end_ns))
        if (reply := self.device.hear_protocol_1(data, end_ns)) is not None:
            replies.append(reply)
        if ear.broken_for is not None:
            replies.append(self.device.heard_broken(ear.broken_for, end_ns))
        return [reply for reply in replies if reply is not None]


@dataclass
class _Sending:
    start_ns: int
    baud: int
    data: bytearray
    sender: int
    """Index of the station, -1 for the host."""
    firm: bool = False
    """No instruction takes it back."""
    lost: int = 0
    """Bytes at the beginning that nobody heard, for somebody else was talking."""
    end_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.end_ns = self.start_ns + len(self.data) * byte_ns(self.baud)


HOST = -1


class Wire:
    """The line, the host's adapter and the stations."""

    def __init__(
        self, stations: Sequence[Station], baud: int, seed: int = 0, latency_timer_ms: float = 0.0
    ) -> None:
        self.stations = list(stations)
        self.lines = [Line() for _ in stations]
        self.host_baud: int | None = baud
        """None: a rate that no device has."""
        self.bit_error_rate = 0.0
        self.echo = False
        """The adapter receives what it sends."""
        self.connected = True
        """The host's cable is in."""
        self.adapter = Adapter(round(latency_timer_ms * 1e6))
        self.instructions = 0
        """Packets with a true CRC that the host sent at a baud that somebody listens to."""
        self._random = random.Random(seed)
        self._ears: dict[int, Ear] = {}
        self._queue: list[tuple[int, int, _Sending]] = []
        self._count = 0
        self._host_free_ns = 0

    # ------------------------------------------------------------------ the host's end

    def host_write(self, data: bytes, now_ns: int) -> int:
        """The host sends; returns when the last byte will have passed."""
        if self.host_baud is None:
            return now_ns
        start = max(now_ns, self._host_free_ns)
        for piece in split_packets(data):
            sending = _Sending(start, self.host_baud, bytearray(piece), HOST)
            start = sending.end_ns
            if self.connected:
                self._send(sending)
        self._host_free_ns = start
        return start

    def next_ns(self) -> int | None:
        """When something happens next on the line."""
        return self._queue[0][0] if self._queue else None

    def disconnect(self) -> None:
        """The host's cable is pulled: what it was sending and what it had not read is lost."""
        self.connected = False
        self._queue = [item for item in self._queue if item[2].sender != HOST]
        heapq.heapify(self._queue)
        self.adapter.clear()

    # ------------------------------------------------------------------ the line

    def _send(self, sending: _Sending) -> None:
        if not sending.data:
            return
        for _, _, other in self._queue:
            if other.sender != sending.sender:
                self._collide(other, sending)
        self._count += 1
        heapq.heappush(self._queue, (sending.end_ns, self._count, sending))

    def _collide(self, one: _Sending, two: _Sending) -> None:
        first, second = (one, two) if one.start_ns <= two.start_ns else (two, one)
        start, end = second.start_ns, min(first.end_ns, second.end_ns)
        if end <= start:
            return
        length = byte_ns(first.baud)
        low = (start - first.start_ns) // length
        high = -(-(end - first.start_ns) // length)
        for i in range(low, min(high, len(first.data))):
            first.data[i] ^= self._random.randrange(1, 256)
        second.lost = max(second.lost, -(-(end - start) // byte_ns(second.baud)))

    def run_next(self) -> None:
        """Let the next sender finish: everybody hears it, and some begin to answer."""
        end_ns, _, sending = heapq.heappop(self._queue)
        data = self._noisy(bytes(sending.data[sending.lost :]))
        if not data:
            return
        if (sending.sender != HOST or self.echo) and self.connected and sending.baud == self.host_baud:
            self.adapter.push(data, end_ns)
        ear = self._ears.setdefault(sending.baud, Ear())
        packets = ear.hear(data, sending.start_ns, end_ns)
        if any(packet.instruction != Instruction.STATUS for packet in packets):
            self.instructions += sending.sender == HOST
            self._take_back(end_ns, sending.baud)
        for index, station in enumerate(self.stations):
            if index != sending.sender and station.baud == sending.baud and not self.lines[index].silent:
                self._answer(index, station.receive(data, end_ns, packets, ear), end_ns)

    def _take_back(self, now_ns: int, baud: int) -> None:
        def stays(sending: _Sending) -> bool:
            return sending.firm or sending.start_ns < now_ns or sending.baud != baud or sending.sender == HOST

        if not all(stays(item[2]) for item in self._queue):
            self._queue = [item for item in self._queue if stays(item[2])]
            heapq.heapify(self._queue)

    def _answer(self, index: int, replies: Sequence[Reply], now_ns: int) -> None:
        line = self.lines[index]
        for reply in replies:
            data = shortened(reply.data) if line.short else reply.data
            start = max(reply.start_ns, now_ns) + line.delay_ns
            late = line.delay_ns > 0
            self._send(_Sending(start, reply.baud, bytearray(data[: line.keep_bytes]), index, firm=late))

    def _noisy(self, data: bytes) -> bytes:
        if self.bit_error_rate <= 0.0:
            return data
        noisy = bytearray(data)
        for bit in range(8 * len(noisy)):
            if self._random.random() < self.bit_error_rate:
                noisy[bit >> 3] ^= 1 << (bit & 7)
        return bytes(noisy)


def split_packets(data: bytes) -> list[bytes]:
    """`data` cut behind every packet that it seems to hold, so that each ends at its own time."""
    pieces, at = [], 0
    while at < len(data):
        start = data.find(HEADER, at)
        end = len(data)
        if start >= 0 and start + 7 <= len(data):
            end = min(end, start + 7 + int.from_bytes(data[start + 5 : start + 7], "little"))
        pieces.append(data[at:end])
        at = end
    return pieces


def shortened(data: bytes) -> bytes:
    """A status packet with one byte of data at most; part of a fast status loses what is behind its first byte."""
    packets = Parser().feed(data)
    if len(packets) == 1 and packets[0].device <= 0xFC:
        return encode_status(packets[0].device, packets[0].error, packets[0].parameters[:1])
    block = 8 if data.startswith(HEADER) else 0
    return data[: block + 3] + data[-2:]
