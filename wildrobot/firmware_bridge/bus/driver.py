"""Requests and answers on the bus. Whatever goes wrong is told per device: nothing is thrown away and nothing made up.

Level below the SDK's group readers, which drop the ERR byte, wait by spinning and take one silent device for all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from wildrobot.firmware_bridge.bus.control_table import Register
from wildrobot.firmware_bridge.bus.protocol import (
    ALERT,
    BROADCAST_ID,
    Error,
    FastLayout,
    FastReply,
    Instruction,
    Packet,
    Parser,
    encode,
)
from wildrobot.firmware_bridge.bus.transport import Transport

MARGIN_S = 0.002
"""How long an answer may be late: USB adapters hand on what they have once per millisecond."""
BEHIND = "not asked: the chain broke before it"
"""What is wrong with a device whose turn did not come."""
PATIENCE_S = 0.02
"""The same outside the tick, where nothing hurries: asking again costs more than waiting."""
STATUS_OVERHEAD = 11
"""Bytes of a status packet beside its data."""
PING_SLOT_NS = 3_000_000
"""A device answers a ping to all after this, times its id."""
_NS = 1_000_000_000


class BusError(Exception):
    """A device did not answer, or answered that it would not."""


class Answer(NamedTuple):
    """One device's answer to a read: raw data, ERR byte, and the instant that the data stand for."""

    data: bytes
    error: int
    time_ns: int

    @property
    def alert(self) -> bool:
        """The device reports a hardware error."""
        return bool(self.error & ALERT)


@dataclass
class BulkAnswer:
    """What one request to several devices brought: answers by id, and for the others what was wrong."""

    answers: dict[int, Answer] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    first_missing: int | None = None
    """The device whose turn it was when the chain broke."""


@dataclass(frozen=True)
class FoundDevice:
    """Who answered a ping."""

    id: int
    model_number: int
    firmware: int
    error: int


class BulkRequest(NamedTuple):
    """One request to several devices: the same few go out over and over, and each is encoded once."""

    fast: bool
    packet: bytes
    sizes: dict[int, int]
    """Bytes of data by id, in the order of the request."""
    reply: FastLayout
    reply_size: int
    """Bytes of all answers together."""

    @classmethod
    def of(cls, blocks: Sequence[tuple[int, int, int]], fast: bool) -> BulkRequest:
        """From (id, address, length) of every device."""
        body = b"".join(struct.pack("<BHH", *block) for block in blocks)
        instruction = Instruction.FAST_BULK_READ if fast else Instruction.BULK_READ
        sizes = {device: length for device, _, length in blocks}
        reply = FastLayout.of(list(sizes.items()))
        size = reply.size if fast else sum(STATUS_OVERHEAD + length for length in sizes.values())
        return cls(fast, encode(BROADCAST_ID, instruction, body), sizes, reply, size)


class Bus:
    """One transaction at a time; waits sleep in the kernel."""

    def __init__(self, transport: Transport, margin_s: float = MARGIN_S) -> None:
        self.transport, self.margin_s = transport, margin_s
        self._parser = Parser()
        self._held_ns = 0
        self.transactions = 0
        self.late_bytes = 0
        """Bytes that came after their request had been given up."""

    @property
    def crc_errors(self) -> int:
        """Packets with a wrong CRC so far."""
        return self._parser.crc_errors

    def wire_ns(self, count: int) -> int:
        """Time of so many bytes on the wire, ten bits each."""
        return count * 10 * _NS // self.transport.baud

    # ------------------------------------------------------------------ exchange

    def _send(self, packet: bytes) -> int:
        """Send a request on a quiet line; returns when its last byte will have gone, ns, were the host not held up."""
        # An answer that comes late must not be taken for the next request's.
        self.late_bytes += self.transport.discard_input()
        self._parser.reset()
        self.transactions += 1
        sent = self.transport.now_ns() + self.wire_ns(len(packet))
        self.transport.write(packet)
        # it may have been held up before the write, too
        self._held_ns = max(0, self.transport.now_ns() - sent)
        return sent

    def _collect(
        self, expected_end_ns: int, take: Callable[[bytes], bool], margin_s: float | None = None
    ) -> None:
        """Feed what arrives to `take` until it says that it has all; give up `margin_s` after the expected end.

        While bytes keep coming it waits for one more margin, not longer. The last look is after the deadline: a host
        that was held up meanwhile finds the answer waiting. Of a part of one it waits one margin for the rest.
        """
        transport = self.transport
        margin = round((self.margin_s if margin_s is None else margin_s) * _NS)
        deadline = expected_end_ns + self._held_ns + margin
        cap = deadline + margin
        held = False
        while True:
            left = deadline - transport.now_ns()
            data = transport.read(left / _NS if left > 0 else 0.0)
            if data:
                if take(data):
                    return
                now = transport.now_ns()
                if 2 * (now - deadline) > margin and not held:
                    held, cap = True, now + margin
                deadline = max(deadline, min(cap, now + margin))
            elif left <= 0:
                return

    def _status(self, packet: bytes, device: int, size: int, margin_s: float = PATIENCE_S) -> Packet | None:
        """The status of one device to one request, None without any. `size`: bytes of data when all is well."""
        found: list[Packet] = []

        def take(data: bytes) -> bool:
            for status in self._parser.feed(data):
                if status.instruction == Instruction.STATUS and status.device == device:
                    found.append(status)
            return bool(found)

        end = self._send(packet) + self.wire_ns(STATUS_OVERHEAD + size)
        self._collect(end, take, margin_s)
        return found[0] if found else None

    def _asked(self, packet: bytes, device: int, size: int, tries: int, what: str) -> Packet:
        """The answer to a request that is repeated when none comes, or one that the request came broken.

        Raises:
            BusError: no such answer in `tries`; `what` was asked.
        """
        broken = 0
        for _ in range(tries):
            status = self._status(packet, device, size)
            if status is None:
                continue
            error = status.error & ~ALERT
            if error == Error.CRC:  # no refusal: it has not understood
                broken += 1
            elif error or len(status.parameters) == size:
                return status
        if broken:
            raise BusError(
                f"device {device} does not answer {what}: it says that requests reach it broken (CRC error)"
            )
        raise BusError(f"device {device} does not answer {what}")

    def listen(self, packet: bytes, seconds: float) -> bytes:
        """All bytes that come within `seconds` of a request's end, but for the request itself: some adapters hear what
        they send."""
        heard: list[bytes] = []

        def take(data: bytes) -> bool:
            heard.append(data)
            return False

        self._collect(self._send(packet), take, seconds)
        return b"".join(heard).removeprefix(packet)

    # ------------------------------------------------------------------ one device

    def ping(self, device: int, margin_s: float = PATIENCE_S) -> FoundDevice | None:
        """Model number and firmware of a device, None when nobody answers."""
        status = self._status(encode(device, Instruction.PING), device, 3, margin_s)
        if status is None or len(status.parameters) < 3:
            return None
        return FoundDevice(
            device, int.from_bytes(status.parameters[:2], "little"), status.parameters[2], status.error
        )

    def scan(self, ids: Iterable[int] = range(BROADCAST_ID - 1)) -> list[FoundDevice]:
        """Every device that answers a ping, one id after another: about 2 ms per id that is not there."""
        return [device for i in ids if (device := self.ping(i, self.margin_s)) is not None]

    def broadcast_ping(self) -> list[FoundDevice]:
        """Every device that answers one ping to all: each waits its id times 3 ms, so it takes 0.8 s at any speed.

        Of two with one id neither is found.
        """
        found: dict[int, FoundDevice] = {}

        def take(data: bytes) -> bool:
            for status in self._parser.feed(data):
                if status.instruction == Instruction.STATUS and len(status.parameters) >= 3:
                    model = int.from_bytes(status.parameters[:2], "little")
                    found[status.device] = FoundDevice(
                        status.device, model, status.parameters[2], status.error
                    )
            return False

        sent = self._send(encode(BROADCAST_ID, Instruction.PING))
        self._collect(sent + (BROADCAST_ID - 1) * PING_SLOT_NS + self.wire_ns(STATUS_OVERHEAD + 3), take)
        return [found[device] for device in sorted(found)]

    def read_block(self, device: int, address: int, length: int, tries: int = 3) -> Answer:
        """`length` raw bytes from `address`.

        Raises:
            BusError: no answer in `tries`, or an answer with an error.
        """
        packet = encode(
            device, Instruction.READ, address.to_bytes(2, "little") + length.to_bytes(2, "little")
        )
        status = self._asked(packet, device, length, tries, f"a read of address {address}")
        if status.error & ~ALERT:
            raise BusError(f"device {device}, address {address}: {error_name(status.error)}")
        return Answer(status.parameters, status.error, self.transport.now_ns())

    def read(self, device: int, register: Register) -> int:
        """Value of a register.

        Raises:
            BusError: as `read_block`.
        """
        return register.decode(self.read_block(device, register.address, register.size).data)

    def write_block(self, device: int, address: int, data: bytes, tries: int = 3) -> None:
        """Write raw bytes from `address` on, acknowledged.

        Raises:
            BusError: no answer in `tries`, or the device refused.
        """
        packet = encode(device, Instruction.WRITE, address.to_bytes(2, "little") + data)
        status = self._asked(packet, device, 0, tries, f"a write to address {address}")
        if status.error & ~ALERT:
            raise BusError(
                f"device {device} refused {data.hex()} at address {address}: {error_name(status.error)}"
            )

    def write(self, device: int, register: Register, value: int) -> None:
        """Write a register, acknowledged.

        Raises:
            BusError: as `write_block`.
        """
        self.write_block(device, register.address, register.encode(value))

    def reboot(self, device: int) -> None:
        """Restart a device; it is silent for a while, and its RAM registers start over.

        Raises:
            BusError: no answer.
        """
        self._asked(encode(device, Instruction.REBOOT), device, 0, 1, "a reboot")

    # ------------------------------------------------------------------ many devices

    def sync_write(self, register: Register, values: dict[int, int]) -> None:
        """One packet that writes a register of many devices; nobody answers.

        Raises:
            OverflowError: a value does not fit.
        """
        pairs = [number for pair in values.items() for number in pair]
        try:
            body = _sync_layout(register.size, register.signed, len(values)).pack(
                register.address, register.size, *pairs
            )
        except struct.error as error:
            raise OverflowError(f"{register.name} of {values}: {error}") from None
        self.transactions += 1
        self.transport.write(encode(BROADCAST_ID, Instruction.SYNC_WRITE, body))

    def bulk_read(self, blocks: Sequence[tuple[int, int, int]], fast: bool) -> BulkAnswer:
        """(id, address, length) of every device in one request; answered in that order, as far as the chain holds."""
        return self.ask(BulkRequest.of(blocks, fast))

    def ask(self, request: BulkRequest) -> BulkAnswer:
        """`bulk_read` of a request that is ready."""
        result = BulkAnswer(start_ns=self.transport.now_ns())
        bad = self._parser.crc_errors
        sent = self._send(request.packet)
        end = sent + self.wire_ns(request.reply_size)
        # The bytes of a long answer need not wake anybody one by one: all have come when the last one has.
        if (left := end + self._held_ns - self.transport.now_ns()) > 0:
            self.transport.sleep(left / _NS)
        if request.fast:
            broken = self._collect_fast(result, sent, end, request)
        else:
            self._collect_chain(result, sent, end, request)
            broken = self._parser.crc_errors > bad
        result.end_ns = self.transport.now_ns()
        if len(result.answers) == len(request.sizes):
            return result
        for device in request.sizes:
            if device not in result.answers and device not in result.failures:
                first = result.first_missing is None
                if first:
                    result.first_missing = device
                result.failures[device] = (
                    BEHIND if not first else "a broken answer" if broken else "no answer"
                )
        return result

    def _collect_fast(self, result: BulkAnswer, sent_ns: int, end_ns: int, request: BulkRequest) -> bool:
        reply = FastReply(request.reply)

        def take(data: bytes) -> bool:
            reply.feed(data)
            return reply.complete or reply.failed

        self._collect(end_ns, take)
        answers = result.answers
        for device, error, data in reply.blocks:  # of the size that was asked for: else the reply has failed
            if error & ~ALERT:
                self._judge(result, device, error, data, len(data), sent_ns)
            else:
                answers[device] = Answer(data, error, sent_ns)
        return reply.failed

    def _collect_chain(self, result: BulkAnswer, sent_ns: int, end_ns: int, request: BulkRequest) -> None:
        left = set(request.sizes)

        def take(data: bytes) -> bool:
            for status in self._parser.feed(data):
                device = status.device
                if status.instruction == Instruction.STATUS and device in left:
                    left.discard(device)
                    size = request.sizes[device]
                    self._judge(result, device, status.error, status.parameters, size, sent_ns)
            return not left

        self._collect(end_ns, take)

    @staticmethod
    def _judge(result: BulkAnswer, device: int, error: int, data: bytes, size: int, time_ns: int) -> None:
        if not error & ~ALERT and len(data) == size:
            result.answers[device] = Answer(data, error, time_ns)
        else:
            reason = error_name(error) if error & ~ALERT else f"{len(data)} bytes in place of {size}"
            result.failures[device] = f"answers with an error: {reason}"


@lru_cache(maxsize=64)
def _sync_layout(size: int, signed: bool, count: int) -> struct.Struct:
    kind = {1: "b", 2: "h", 4: "i"}[size]
    return struct.Struct("<HH" + f"B{kind if signed else kind.upper()}" * count)


def error_name(error: int) -> str:
    """What an ERR byte says, for people."""
    code = error & ~ALERT
    known = {item.value: item.name.lower().replace("_", " ") for item in Error}
    return known.get(code, f"error {code}")
