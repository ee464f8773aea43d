"""Protocol 2.0 packets: the published vectors, stuffing, noise. Nothing without a right CRC ever comes out."""

from __future__ import annotations

import random

import pytest
from dynamixel_sdk import PacketHandler, PortHandler
from hypothesis import given
from hypothesis import strategies as st

from wildrobot.firmware_bridge.bus.protocol import (
    ALERT,
    BROADCAST_ID,
    Block,
    FastReply,
    Instruction,
    Packet,
    Parser,
    crc16,
    encode,
    encode_fast_status,
    encode_status,
    stuff,
    unstuff,
)

VECTORS = [
    (encode(1, Instruction.PING), "FF FF FD 00 01 03 00 01 19 4E"),
    (encode_status(1, 0, bytes.fromhex("060426")), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
    (encode(1, Instruction.READ, bytes.fromhex("84000400")), "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
    (encode_status(1, 0, bytes.fromhex("a6000000")), "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
]
INSTRUCTIONS = [item for item in Instruction if item is not Instruction.STATUS]
# Bytes that headers are made of come often, so that stuffing has something to do.
BODIES = st.lists(
    st.sampled_from([0xFF, 0xFF, 0xFD, 0x00, 0x55, 0x83]) | st.integers(0, 255), max_size=60
).map(bytes)


@pytest.mark.parametrize(("packet", "published"), VECTORS)
def test_packets_are_the_published_bytes(packet: bytes, published: str) -> None:
    assert packet == bytes.fromhex(published)


@pytest.mark.parametrize(("packet", "published"), VECTORS)
def test_the_published_bytes_are_understood(packet: bytes, published: str) -> None:
    (found,) = Parser().feed(bytes.fromhex(published))
    assert found.device == 1
    assert found.instruction in (Instruction.PING, Instruction.READ, Instruction.STATUS)


def test_a_header_inside_a_packet_is_stuffed_and_counted() -> None:
    packet = encode(1, Instruction.WRITE, bytes.fromhex("7400fffffd00"))
    assert bytes.fromhex("fffffdfd") in packet
    assert int.from_bytes(packet[5:7], "little") == len(packet) - 7
    assert Parser().feed(packet) == [Packet(1, Instruction.WRITE, bytes.fromhex("7400fffffd00"))]


@given(BODIES)
def test_stuffing_is_undone(body: bytes) -> None:
    stuffed = stuff(body)
    assert unstuff(stuffed) == body
    assert b"\xff\xff\xfd\x00" not in stuffed


@given(st.integers(0, 0xFC), st.sampled_from(INSTRUCTIONS), BODIES)
def test_instructions_come_through(device: int, instruction: Instruction, body: bytes) -> None:
    assert Parser().feed(encode(device, instruction, body)) == [Packet(device, instruction, body)]


@given(st.integers(0, 0xFC), st.integers(0, 255), BODIES)
def test_statuses_come_through_with_their_error_byte(device: int, error: int, body: bytes) -> None:
    (found,) = Parser().feed(encode_status(device, error, body))
    assert (found.device, found.error, found.parameters) == (device, error, body)
    assert found.alert == bool(error & ALERT)


@given(st.lists(BODIES, min_size=1, max_size=5), st.binary(max_size=20), st.lists(st.integers(1, 9)))
def test_packets_are_found_however_the_stream_is_cut(
    bodies: list[bytes], noise: bytes, cuts: list[int]
) -> None:
    noise = noise.replace(b"\xff", b"\x00")  # noise that is no header
    stream = noise + b"".join(encode_status(7, 0, body) for body in bodies)
    parser, found = Parser(), []
    while stream:
        size = cuts.pop() if cuts else 13
        found += parser.feed(stream[:size])
        stream = stream[size:]
    assert [packet.parameters for packet in found] == bodies


def test_a_packet_behind_a_false_header_is_found() -> None:
    parser = Parser()
    false = (
        b"\xff\xff\xfd\x00\x01\x04\x00"  # promises four bytes, which the true packet's first four seem to be
    )
    found = parser.feed(false + encode(2, Instruction.PING))
    assert found == [Packet(2, Instruction.PING, b"")]
    assert parser.crc_errors == 1


@pytest.mark.parametrize("length", [0, 2, 1025, 0xFFFF])
def test_an_impossible_length_is_noise(length: int) -> None:
    parser = Parser()
    parser.feed(b"\xff\xff\xfd\x00\x01" + length.to_bytes(2, "little") + b"\x55" * 20)
    assert parser.feed(encode(2, Instruction.PING)) == [Packet(2, Instruction.PING, b"")]


def test_a_reserved_byte_that_is_not_zero_is_noise() -> None:
    assert Parser().feed(b"\xff\xff\xfd\x01" + encode(2, Instruction.PING)) == [
        Packet(2, Instruction.PING, b"")
    ]


def test_a_status_of_one_byte_is_none() -> None:
    packet = b"\xff\xff\xfd\x00\x01\x03\x00\x55"
    assert Parser().feed(packet + crc16(packet).to_bytes(2, "little")) == []


def test_reset_forgets_a_packet_that_never_ended() -> None:
    parser = Parser()
    parser.feed(encode(1, Instruction.PING)[:-1])
    parser.reset()
    assert parser.skipped == 9
    assert len(parser.feed(encode(2, Instruction.PING))) == 1


BLOCKS = [(0, 3, b"\xff\xff\xfd\x00"), (ALERT, 5, b"abcdef"), (0, 200, b"\xff\xff\xfd")]
EXPECTED = [(3, 4), (5, 6), (200, 3)]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_fast_status_is_taken_apart_as_it_arrives_and_is_not_stuffed(size: int) -> None:
    reply, data = FastReply(EXPECTED), b"\x00\xff" + encode_fast_status(BLOCKS)
    for start in range(0, len(data), size):
        reply.feed(data[start : start + size])
    assert reply.complete
    assert not reply.failed
    assert reply.blocks == [Block(device, error, body) for error, device, body in BLOCKS]
    assert reply.layout.size == len(data) - 2


def test_the_blocks_before_a_silent_device_are_good() -> None:
    reply, data = FastReply(EXPECTED), encode_fast_status(BLOCKS)
    reply.feed(data[: 8 + 8 + 10])
    assert [block.device for block in reply.blocks] == [3, 5]
    assert not reply.complete


@given(st.integers(0, len(encode_fast_status(BLOCKS)) - 1), st.integers(1, 255))
def test_a_wrong_bit_ends_a_fast_status_there(at: int, flip: int) -> None:
    data, reply = bytearray(encode_fast_status(BLOCKS)), FastReply(EXPECTED)
    data[at] ^= flip
    reply.feed(bytes(data))
    good = [Block(device, error, body) for error, device, body in BLOCKS]
    assert not reply.complete
    assert reply.blocks == good[: len(reply.blocks)]


def test_a_block_of_another_device_is_not_taken() -> None:
    reply = FastReply([(4, 4), (5, 6), (200, 3)])
    reply.feed(encode_fast_status(BLOCKS))
    assert reply.failed
    assert reply.blocks == []


def test_a_fast_status_in_the_stream_is_one_raw_packet() -> None:
    (found,) = Parser().feed(encode_fast_status(BLOCKS))
    assert found.device == BROADCAST_ID
    assert found.parameters[:6] == b"\x00\x03" + BLOCKS[0][2]


def mutated(rng: random.Random) -> bytes:
    """Noise, or true packets with some bits flipped, bytes lost or doubled."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(60))
    kind = rng.randrange(3)
    body = bytes(rng.choices(b"\xff\xfd\x00\x55\x01\x83", k=rng.randrange(20)))
    packet = bytearray(
        encode(rng.randrange(256), rng.randrange(256), body)
        if kind == 0
        else encode_status(rng.randrange(256), rng.randrange(256), body)
        if kind == 1
        else encode_fast_status([(0, 1, body), (0, 2, body)])
    )
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(packet))
        change = rng.randrange(3)
        if change == 0:
            packet[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del packet[at]
        else:
            packet.insert(at, rng.randrange(256))
        if not packet:
            break
    return bytes(packet)


def accepts_only_what_has_a_right_crc(count: int, seed: int) -> int:
    """Feed `count` strings into one parser; returns how many packets came out, each found in the bytes with its CRC."""
    rng, parser, accepted = random.Random(seed), Parser(), 0
    recent = b""
    for _ in range(count):
        data = mutated(rng)
        recent = (recent + data)[-1200:]
        for packet in parser.feed(data):
            accepted += 1
            assert stands_in(recent, packet)
        reply = FastReply([(1, 4), (2, 4)])
        reply.feed(data)
        for block in reply.blocks:
            assert bytes((block.error, block.device)) + block.data in data
    return accepted


def stands_in(recent: bytes, packet: Packet) -> bool:
    """Some header in `recent` begins a stretch with a right CRC that says what `packet` says."""
    start = recent.find(b"\xff\xff\xfd\x00")
    while start >= 0:
        length = int.from_bytes(recent[start + 5 : start + 7], "little")
        raw = recent[start : start + 7 + length]
        if len(raw) == 7 + length and crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little"):
            body = raw[7:-2]
            if body[0] != Instruction.STATUS or raw[4] != BROADCAST_ID:
                body = body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
            status = packet.instruction == Instruction.STATUS and raw[4] != BROADCAST_ID
            said = bytes((packet.instruction, *([packet.error] if status else []))) + packet.parameters
            if raw[4] == packet.device and body == said:
                return True
        start = recent.find(b"\xff\xff\xfd\x00", start + 1)
    return False


def test_mutated_bytes_are_never_taken_for_packets() -> None:
    assert accepts_only_what_has_a_right_crc(30_000, seed=1) > 1000


@pytest.mark.slow
def test_a_million_mutated_strings_are_never_taken_for_packets() -> None:
    assert accepts_only_what_has_a_right_crc(1_000_000, seed=2) > 30_000


class Loop(PortHandler):
    """The SDK's port with a wire that leads back to us."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("none")
        self.sent, self.answer = b"", answer

    def clearPort(self) -> None:
        pass

    def writePort(self, packet: list[int]) -> int:
        self.sent += bytes(packet)
        return len(packet)

    def readPort(self, length: int) -> bytes:
        data, self.answer = self.answer[:length], self.answer[length:]
        return data


def test_the_sdk_sends_what_we_parse() -> None:
    port, handler = Loop(), PacketHandler(2.0)
    handler.writeTxOnly(port, 3, 116, 4, [1, 2, 3, 4])
    handler.regWriteTxOnly(port, 4, 116, 4, [5, 6, 7, 8])
    found = Parser().feed(port.sent)
    assert found == [
        Packet(3, Instruction.WRITE, b"\x74\x00\x01\x02\x03\x04"),
        Packet(4, Instruction.REG_WRITE, b"\x74\x00\x05\x06\x07\x08"),
    ]


def test_the_sdk_accepts_what_we_send() -> None:
    port = Loop(encode_status(1, ALERT, bytes.fromhex("fffffd07")))
    value, result, error = PacketHandler(2.0).read4ByteTxRx(port, 1, 132)
    assert (value, result, error) == (0x07FDFFFF, 0, ALERT)
