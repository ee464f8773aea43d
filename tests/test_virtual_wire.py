"""The line: times by baud, chains that break, two who talk at once, and the adapter's latency."""

from __future__ import annotations

import random

import pytest
from virtual_helpers import MS, Bench, bulk, servo, sync_read, u16

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.protocol import (
    BROADCAST_ID,
    FastReply,
    Instruction,
    Parser,
    encode,
    encode_fast_status,
)
from wildrobot.firmware_bridge.virtual.wire import shortened, split_packets

NINE = tuple(range(1, 10))
CODE = {1_000_000: 3, 2_000_000: 4, 4_000_000: 6}
TABLE_MS = [
    (1_000_000, Instruction.SYNC_READ, 2.12),
    (2_000_000, Instruction.SYNC_READ, 1.06),
    (4_000_000, Instruction.SYNC_READ, 0.53),
    (1_000_000, Instruction.FAST_SYNC_READ, 1.57),
    (2_000_000, Instruction.FAST_SYNC_READ, 0.79),
    (4_000_000, Instruction.FAST_SYNC_READ, 0.39),
]


def bench_of(*ids: int, baud: int = 1_000_000, **eeprom: int) -> Bench:
    return Bench(*(servo(i, baud_rate=CODE[baud], **eeprom) for i in ids), baud=baud)


# ---------------------------------------------------------------------- time on the wire


@pytest.mark.parametrize(("baud", "instruction", "expected_ms"), TABLE_MS)
def test_reads_take_the_time_of_the_design_note_s_table(
    baud: int, instruction: int, expected_ms: float
) -> None:
    bench = bench_of(*NINE, baud=baud)
    bench.send(encode(*sync_read(instruction, 126, 10, NINE)))
    # the table rounds to 0.01 ms
    assert bench.last_end / MS == pytest.approx(expected_ms, rel=0.02, abs=0.005)


@pytest.mark.parametrize(("baud", "expected_ms"), [(1_000_000, 0.59), (2_000_000, 0.30), (4_000_000, 0.15)])
def test_goal_writes_take_the_time_of_the_design_note_s_table(baud: int, expected_ms: float) -> None:
    bench = bench_of(*NINE, baud=baud)
    goals = b"".join(bytes((i,)) + table.GOAL_POSITION.encode(2048 + i) for i in NINE)
    bench.send(encode(BROADCAST_ID, Instruction.SYNC_WRITE, u16(116) + u16(4) + goals))
    assert bench.last_end / MS == pytest.approx(expected_ms, rel=0.02, abs=0.005)
    assert [device.get(table.GOAL_POSITION) for device in bench.devices] == [2048 + i for i in NINE]


def test_every_device_of_a_chain_waits_its_return_delay_and_in_a_fast_one_only_the_first() -> None:
    ends = {}
    for instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        for delay in (0, 250):
            bench = bench_of(*NINE, return_delay_time=delay)
            bench.send(encode(*sync_read(instruction, 126, 10, NINE)))
            ends[instruction, delay] = bench.last_end
    assert ends[Instruction.SYNC_READ, 250] - ends[Instruction.SYNC_READ, 0] == 9 * 0.5 * MS
    assert ends[Instruction.FAST_SYNC_READ, 250] - ends[Instruction.FAST_SYNC_READ, 0] == 0.5 * MS


# ---------------------------------------------------------------------- chains


def test_a_silent_device_silences_those_behind_it() -> None:
    bench = bench_of(1, 2, 3)
    statuses = bench.ask(*sync_read(Instruction.SYNC_READ, 132, 4, [1, 9, 2, 3]))
    assert [status.device for status in statuses] == [1]
    statuses = bench.ask(
        BROADCAST_ID, Instruction.BULK_READ, bulk((2, 0, 2), (3, 0, 2), (9, 0, 2), (1, 0, 2))
    )
    assert [status.device for status in statuses] == [2, 3]


def test_a_fast_answer_is_one_packet_with_cumulative_crcs() -> None:
    bench = bench_of(1, 2, 3)
    raw = bench.send(encode(*sync_read(Instruction.FAST_SYNC_READ, 0, 2, [2, 3, 1])))
    assert raw == encode_fast_status([(0, i, u16(1020)) for i in (2, 3, 1)])
    raw = bench.send(encode(BROADCAST_ID, Instruction.FAST_BULK_READ, bulk((3, 0, 2), (1, 7, 1), (2, 6, 1))))
    assert raw == encode_fast_status([(0, 3, u16(1020)), (0, 1, b"\1"), (0, 2, bytes((48,)))])


def test_a_fast_answer_is_not_stuffed() -> None:
    bench = bench_of(1, 2)
    for device in bench.devices:
        device.put(table.HOMING_OFFSET, 0xFDFFFF)
    raw = bench.send(encode(*sync_read(Instruction.FAST_SYNC_READ, table.HOMING_OFFSET.address, 4, [1, 2])))
    assert raw == encode_fast_status([(0, i, b"\xff\xff\xfd\0") for i in (1, 2)])


def test_of_a_fast_answer_only_the_part_before_a_silent_device_arrives() -> None:
    bench = bench_of(1, 2, 3)
    whole = encode_fast_status([(0, i, u16(1020)) for i in (1, 2, 9, 3)])
    raw = bench.send(encode(*sync_read(Instruction.FAST_SYNC_READ, 0, 2, [1, 2, 9, 3])))
    assert raw == whole[: 8 + 2 * 6]
    reply = FastReply([(i, 2) for i in (1, 2, 9, 3)])
    reply.feed(raw)
    assert [block.device for block in reply.blocks] == [1, 2]
    assert bench.send(encode(*sync_read(Instruction.FAST_SYNC_READ, 0, 2, [9, 1, 2]))) == b""


def test_a_new_instruction_ends_a_chain_that_waits() -> None:
    bench = bench_of(1, 2)
    bench.ask(*sync_read(Instruction.SYNC_READ, 132, 4, [9, 1, 2]))
    statuses = bench.ask(2, Instruction.PING)
    assert [status.device for status in statuses] == [2]


def test_a_broadcast_ping_is_answered_in_the_order_of_the_ids() -> None:
    bench = bench_of(7, 3, 5)
    statuses = bench.ask(BROADCAST_ID, Instruction.PING, wait_ms=100)
    assert [status.device for status in statuses] == [3, 5, 7]
    assert bench.last_end == pytest.approx((7 * 3 + 0.24) * MS)


def test_an_instruction_takes_back_answers_that_have_not_begun() -> None:
    bench = bench_of(3, 50)
    bench.wire.host_write(encode(BROADCAST_ID, Instruction.PING), bench.now)
    bench.run(20 * MS)
    statuses = bench.ask(3, Instruction.PING, wait_ms=300)
    assert [status.device for status in statuses] == [3, 3]


# ---------------------------------------------------------------------- who hears what


def test_a_device_at_another_rate_neither_hears_nor_is_heard() -> None:
    bench = Bench(servo(1), servo(2, baud_rate=1))
    assert [s.device for s in bench.ask(BROADCAST_ID, Instruction.PING, wait_ms=50)] == [1]
    bench.wire.host_baud = 57600
    assert [s.device for s in bench.ask(BROADCAST_ID, Instruction.PING, wait_ms=50)] == [2]
    bench.wire.host_baud = None
    assert bench.ask(BROADCAST_ID, Instruction.PING, wait_ms=50) == []


def test_two_devices_with_one_id_garble_each_other() -> None:
    bench = Bench(servo(4), servo(4), servo(5))
    parser = Parser()
    raw = bench.send(encode(4, Instruction.PING))
    assert len(raw) == 14
    assert raw != bench.send(encode(5, Instruction.PING))
    assert parser.feed(raw) == []
    assert [status.device for status in bench.ask(5, Instruction.PING)] == [5]


def test_talking_into_an_answer_spoils_both() -> None:
    bench = bench_of(1)
    request = encode(1, Instruction.READ, u16(126) + u16(10))
    bench.wire.host_write(request, 0)
    bench.run(200_000)  # the answer has begun
    bench.wire.host_write(request, 200_000)
    bench.run(20 * MS)
    assert Parser().feed(bench.wire.adapter.take(bench.now)) == []


def test_packets_written_in_one_go_each_end_at_their_own_time() -> None:
    two = encode(1, Instruction.PING) + encode(2, Instruction.WRITE, u16(65) + b"\1")
    assert split_packets(b"ab" + two) == [b"ab" + two[:10], two[10:]]
    assert split_packets(two[:6]) == [two[:6]]
    bench = bench_of(1, 2)
    bench.wire.host_write(two, 0)
    bench.run(100_000)
    assert bench.devices[0].last_instruction_ns == 100_000


def test_a_packet_that_stops_is_given_up_and_the_next_one_is_heard() -> None:
    bench = bench_of(1)
    bench.send(encode(1, Instruction.WRITE, u16(224) + bytes(28))[:20], wait_ms=5)
    assert len(bench.ask(1, Instruction.PING)) == 1
    request = encode(1, Instruction.PING)
    bench.wire.host_write(request[:4], bench.now)
    bench.run(bench.now + MS)
    assert len(Parser().feed(bench.send(request[4:]))) == 1


def test_a_wrong_crc_is_as_good_as_no_packet() -> None:
    bench = bench_of(1)
    packet = bytearray(encode(1, Instruction.PING))
    packet[-1] ^= 1
    assert bench.send(bytes(packet)) == b""


# ---------------------------------------------------------------------- the adapter


@pytest.mark.parametrize("latency_ms", [1.0, 16.0])
def test_answers_wait_for_the_latency_timer_but_never_longer(latency_ms: float) -> None:
    bench = Bench(servo(1), latency_timer_ms=latency_ms)
    rng, waits = random.Random(0), []
    for _ in range(60):
        bench.run(bench.now + rng.randrange(50 * MS))
        bench.wire.host_write(encode(1, Instruction.PING), bench.now)
        bench.run(bench.now + MS)
        arrival = bench.wire.adapter.next_ns()
        assert arrival is not None
        waits.append((arrival - bench.last_end) / MS)
        bench.run(arrival)
        assert bench.wire.adapter.take(arrival - 1) == b""
        assert len(bench.wire.adapter.take(arrival)) == 14
    assert 0.0 <= min(waits) < 0.3 * latency_ms
    assert 0.7 * latency_ms < max(waits) <= latency_ms


def test_a_full_usb_packet_does_not_wait() -> None:
    bench = Bench(*(servo(i) for i in NINE), latency_timer_ms=16.0)
    bench.wire.host_write(encode(*sync_read(Instruction.SYNC_READ, 126, 10, NINE)), 0)
    bench.run(2 * MS)
    early = bench.wire.adapter.take(bench.now)
    assert len(early) == 2 * 62
    bench.run(20 * MS)
    assert len(early + bench.wire.adapter.take(bench.now)) == 9 * 21


# ---------------------------------------------------------------------- damage


def test_a_shortened_status_keeps_one_byte_of_data_and_a_true_crc() -> None:
    bench = bench_of(1)
    raw = bench.send(encode(1, Instruction.READ, u16(0) + u16(7)))
    (status,) = Parser().feed(shortened(raw))
    assert (status.device, status.parameters) == (1, u16(1020)[:1])


def test_noise_flips_bits_at_its_rate() -> None:
    bench = bench_of(1)
    bench.wire.bit_error_rate = 1e-3
    clean = bench.wire._noisy(bytes(0))
    assert clean == b""
    noisy = bench.wire._noisy(bytes(20_000))
    flipped = sum(byte.bit_count() for byte in noisy)
    assert 100 < flipped < 230
