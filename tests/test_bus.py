"""Requests and answers on the bus: errors told per device, noise that is never believed, patience in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from bus_helpers import BOARD, Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import BEHIND, MARGIN_S, PATIENCE_S, Bus, BusError, error_name
from wildrobot.firmware_bridge.bus.presence import answers_garbled
from wildrobot.firmware_bridge.bus.protocol import (
    ALERT,
    Error,
    Instruction,
    Packet,
    Parser,
    encode,
    encode_fast_status,
    encode_status,
)
from wildrobot.firmware_bridge.virtual.faults.table import LATE, OVERLOAD, SILENT

Reply = Callable[[Packet], bytes]
BLOCKS = [(1, 224, 4), (2, 224, 10), (BOARD, 128, 34), (3, 224, 4)]
DATA = {1: b"\xff\xff\xfd\x00", 2: bytes(range(10)), BOARD: bytes(range(100, 134)), 3: b"\xfd\xff\xff\xfd"}
"""With headers inside, which a status stuffs and a fast answer does not."""


class Line:
    """A `Transport` whose other end is a function from request to bytes; they come in pieces."""

    def __init__(
        self, reply: Reply, piece: int = 1000, delay_s: float = 0.0, holds: dict[int, float] | None = None
    ) -> None:
        """`holds`: seconds for which the host is held up before its write (-1), after it (0), its first read (1) ..."""
        self.baud, self._reply, self._piece, self._delay_ns = 1_000_000, reply, piece, round(delay_s * 1e9)
        self._holds, self._calls = holds or {}, 0
        self._now = 0
        self._coming: list[tuple[int, bytes]] = []
        self.requests: list[Packet] = []

    def write(self, data: bytes) -> None:
        self._calls = -1
        self._hold()
        self._now += len(data) * 10_000
        (request,) = Parser().feed(data)
        self.requests.append(request)
        answer = self._reply(request)
        for at in range(0, len(answer), self._piece):
            piece = answer[at : at + self._piece]
            self._coming.append((self._now + self._delay_ns + 10_000 * (at + len(piece)), piece))
        self._hold()

    def _hold(self) -> None:
        self._now += round(1e9 * self._holds.get(self._calls, 0.0))
        self._calls += 1

    def read(self, timeout_s: float) -> bytes:
        deadline = self._now + round(timeout_s * 1e9)
        if self._coming and self._coming[0][0] <= deadline:
            at, data = self._coming.pop(0)
            self._now = max(self._now, at)
            self._hold()
            return data
        self._now = deadline
        return b""

    def discard_input(self) -> int:
        count = sum(len(data) for at, data in self._coming if at <= self._now)
        self._coming = [item for item in self._coming if item[0] > self._now]
        return count

    def now_ns(self) -> int:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += round(seconds * 1e9)

    def reopen(self) -> bool:
        return True

    def close(self) -> None: ...


def sent(fast: bool, errors: dict[int, int] | None = None, data: dict[int, bytes] | None = None) -> bytes:
    """What the devices of `BLOCKS` answer when all is well."""
    errors, data = errors or {}, data or DATA
    if fast:
        return encode_fast_status([(errors.get(i, 0), i, data[i]) for i, _, _ in BLOCKS])
    return b"".join(encode_status(i, errors.get(i, 0), data[i]) for i, _, _ in BLOCKS)


FAST = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


# ---------------------------------------------------------------------- many devices


@FAST
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_every_device_s_bytes_arrive_however_they_are_cut(piece: int, fast: bool) -> None:
    line = Line(lambda _: sent(fast, {2: ALERT}), piece)
    answer = Bus(line).bulk_read(BLOCKS, fast)
    assert {device: got.data for device, got in answer.answers.items()} == DATA
    assert {device for device, got in answer.answers.items() if got.alert} == {2}
    assert answer.failures == {}
    assert answer.first_missing is None
    (request,) = line.requests
    assert request.instruction == (Instruction.FAST_BULK_READ if fast else Instruction.BULK_READ)


@FAST
def test_a_device_that_answers_with_an_error_brings_no_value_and_says_which(fast: bool) -> None:
    answer = Bus(Line(lambda _: sent(fast, {2: Error.ACCESS | ALERT}))).bulk_read(BLOCKS, fast)
    assert set(answer.answers) == {1, BOARD, 3}
    assert answer.failures == {2: "answers with an error: access"}
    assert answer.first_missing is None, "it did answer: those behind it are not at risk"


def test_data_of_another_length_are_no_value() -> None:
    for wrong in (b"", b"\x01", bytes(9), bytes(11)):
        answer = Bus(Line(lambda _, wrong=wrong: sent(False, data=DATA | {2: wrong}))).bulk_read(
            BLOCKS, False
        )
        assert set(answer.answers) == {1, BOARD, 3}
        assert answer.failures == {2: f"answers with an error: {len(wrong)} bytes in place of 10"}


@FAST
def test_of_a_broken_chain_the_first_part_counts_and_the_first_that_is_missing_is_named(fast: bool) -> None:
    start = sent(fast)
    cut = (8 + 8 if fast else len(encode_status(1, 0, DATA[1]))) + 5
    answer = Bus(Line(lambda _: start[:cut])).bulk_read(BLOCKS, fast)
    assert set(answer.answers) == {1}
    assert answer.first_missing == 2
    assert answer.failures == {2: "no answer", BOARD: BEHIND, 3: BEHIND}


@FAST
def test_a_wrong_crc_is_a_broken_answer_of_the_one_it_hit(fast: bool) -> None:
    raw = bytearray(sent(fast))
    raw[raw.index(DATA[2]) + 3] ^= 0x10
    bus = Bus(Line(lambda _: bytes(raw)))
    answer = bus.bulk_read(BLOCKS, fast)
    assert set(answer.answers) == ({1} if fast else {1, BOARD, 3})
    assert answer.first_missing == 2
    assert answer.failures[2] == "a broken answer"


def test_crc_errors_are_counted() -> None:
    raw = bytearray(sent(False))
    raw[12] ^= 1
    bus = Bus(Line(lambda _: bytes(raw)))
    for count in (1, 2, 3):
        bus.bulk_read(BLOCKS, False)
        assert bus.crc_errors == count


def test_a_second_answer_and_a_stranger_s_do_not_replace_a_value() -> None:
    extra = encode_status(1, 0, b"\x01\x02\x03\x04") + encode_status(77, 0, b"\x01\x02\x03\x04")
    first = encode_status(1, 0, DATA[1])
    answer = Bus(Line(lambda _: first + extra + sent(False)[len(first) :])).bulk_read(BLOCKS, False)
    assert {device: got.data for device, got in answer.answers.items()} == DATA


def _noisy(raw: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    """`raw` with bytes inserted (and others left out) at places given as they come."""
    out = bytearray(raw)
    for place, junk, drop in edits:
        at = place % (len(out) + 1)
        out[at : at + drop] = junk
    return bytes(out)


JUNK = st.one_of(st.binary(max_size=12), st.sampled_from([b"\xff", b"\xff\xff\xfd", b"\xff\xff\xfd\x00\x01"]))
EDITS = st.lists(st.tuples(st.integers(0, 400), JUNK, st.integers(0, 3)), max_size=4)


@FAST
@settings(max_examples=300, deadline=None)
@given(edits=EDITS, piece=st.integers(1, 60))
def test_noise_between_and_inside_answers_never_yields_a_wrong_value(
    fast: bool, edits: list[tuple[int, bytes, int]], piece: int
) -> None:
    answer = Bus(Line(lambda _: _noisy(sent(fast), edits), piece)).bulk_read(BLOCKS, fast)
    assert {device: got.data for device, got in answer.answers.items()}.items() <= DATA.items()
    assert set(answer.answers) | set(answer.failures) == set(DATA)
    assert not set(answer.answers) & set(answer.failures)


@settings(max_examples=200, deadline=None)
@given(edits=EDITS, piece=st.integers(1, 20))
def test_noise_around_a_single_answer_never_yields_a_wrong_value(
    edits: list[tuple[int, bytes, int]], piece: int
) -> None:
    bus = Bus(Line(lambda _: _noisy(encode_status(1, 0, DATA[1]), edits), piece))
    got = b""
    with contextlib.suppress(BusError):
        got = bus.read_block(1, 132, 4).data
    assert got in (b"", DATA[1])


@FAST
@settings(max_examples=100, deadline=None)
@given(before=st.binary(max_size=40))
def test_noise_before_the_answer_costs_nothing_but_a_false_start(fast: bool, before: bytes) -> None:
    noise = before.replace(b"\xff", b"\xfe")  # no beginning of a header
    answer = Bus(Line(lambda _: noise + sent(fast))).bulk_read(BLOCKS, fast)
    assert len(answer.answers) == len(BLOCKS)


# ---------------------------------------------------------------------- time


def test_silence_is_waited_for_no_longer_than_the_answers_time_and_the_margin() -> None:
    line = Line(lambda _: b"")
    answer = Bus(line).bulk_read(BLOCKS, True)
    assert answer.answers == {}
    wire_s = 10e-6 * (len(encode(254, 0x9A, bytes(5 * len(BLOCKS)))) + len(sent(True)))
    assert (answer.end_ns - answer.start_ns) * 1e-9 == pytest.approx(wire_s + MARGIN_S, abs=1e-5)


def test_bytes_that_keep_coming_are_waited_for_one_more_margin_and_no_longer() -> None:
    endless = Line(lambda _: bytes(1000), piece=1)
    answer = Bus(endless).bulk_read(BLOCKS, True)
    wire_s = 10e-6 * (len(encode(254, 0x9A, bytes(5 * len(BLOCKS)))) + len(sent(True)))
    assert (answer.end_ns - answer.start_ns) * 1e-9 == pytest.approx(wire_s + 2 * MARGIN_S, abs=1.5e-4)


def test_an_answer_that_comes_late_is_dropped_before_the_next_request() -> None:
    replies = iter([encode_status(1, 0, b"\x01\x00"), b""])
    line = Line(lambda _: next(replies, b""), delay_s=PATIENCE_S + 0.01)
    bus = Bus(line)
    with pytest.raises(BusError, match="device 1 does not answer a read of address 132"):
        bus.read_block(1, 132, 2, tries=1)
    line.sleep(0.02)
    with pytest.raises(BusError):
        bus.read_block(1, 132, 2, tries=1)
    assert bus.late_bytes == len(encode_status(1, 0, b"\x01\x00"))


# ---------------------------------------------------------------------- a host that is held up

HELD = pytest.mark.parametrize(
    "held_after", [-1, 0, 1, 2], ids=["before write", "write", "first piece", "second piece"]
)


@FAST
@HELD
@pytest.mark.parametrize("held_s", [0.0045, 0.3])
def test_a_held_up_host_finds_the_whole_answer_at_the_port(
    held_after: int, held_s: float, fast: bool
) -> None:
    line = Line(lambda _: sent(fast), piece=30, holds={held_after: held_s})
    answer = Bus(line).bulk_read(BLOCKS, fast)
    assert {device: got.data for device, got in answer.answers.items()} == DATA
    assert answer.failures == {}


@HELD
def test_a_held_up_host_finds_the_answer_of_one_device_too(held_after: int) -> None:
    def reply(request: Packet) -> bytes:
        data = {Instruction.PING: b"\xfc\x03\x30", Instruction.READ: DATA[1]}
        return encode_status(1, 0, data.get(Instruction(request.instruction), b""))

    line = Line(reply, piece=4, holds={held_after: 0.3})
    bus = Bus(line)
    found = bus.ping(1)
    assert found is not None
    assert found.model_number == 1020
    assert bus.read_block(1, 132, 4, tries=1).data == DATA[1]
    bus.write_block(1, 64, b"\x01", tries=1)
    bus.reboot(1)
    assert len(line.requests) == 4


@FAST
def test_the_rest_of_an_answer_that_was_cut_while_the_host_was_held_up_is_waited_for(fast: bool) -> None:
    line = Line(lambda _: sent(fast), piece=30, delay_s=0.0085, holds={0: 0.009})
    answer = Bus(line).bulk_read(BLOCKS, fast)
    assert len(answer.answers) == len(BLOCKS)


@FAST
def test_what_has_not_come_when_the_host_looks_is_late_however_long_it_was_held_up(fast: bool) -> None:
    line = Line(lambda _: sent(fast), delay_s=0.02, holds={0: 0.009})
    answer = Bus(line).bulk_read(BLOCKS, fast)
    assert answer.answers == {}
    assert answer.failures[1] == "no answer"


# ---------------------------------------------------------------------- one device


def test_a_lost_answer_is_asked_for_again_and_a_refusal_is_not() -> None:
    replies = iter([b"", encode_status(1, 0, b"\x2a")])
    line = Line(lambda _: next(replies))
    assert Bus(line).read(1, table.TORQUE_ENABLE) == 42
    assert len(line.requests) == 2
    line = Line(lambda _: encode_status(1, Error.DATA_RANGE))
    with pytest.raises(BusError, match="device 1 refused 05 at address 64: data range"):
        Bus(line).write(1, table.TORQUE_ENABLE, 5)
    with pytest.raises(BusError, match="device 1, address 64: data range"):
        Bus(line).read(1, table.TORQUE_ENABLE)
    assert len(line.requests) == 2


def test_a_device_that_got_the_request_broken_is_asked_again() -> None:
    crc = encode_status(1, Error.CRC | ALERT)
    replies = iter([crc, encode_status(1, 0, b"\x2a"), crc, crc, encode_status(1, 0)])
    line = Line(lambda _: next(replies))
    assert Bus(line).read(1, table.TORQUE_ENABLE) == 42
    Bus(line).write(1, table.TORQUE_ENABLE, 1)
    assert len(line.requests) == 5
    bus = Bus(Line(lambda _: crc))
    for ask in (lambda: bus.read(1, table.ID), lambda: bus.write(1, table.LED, 1), lambda: bus.reboot(1)):
        with pytest.raises(BusError, match=r"requests reach it broken \(CRC error\)"):
            ask()


def test_an_id_that_two_have_is_found_on_a_bus_that_hears_itself() -> None:
    """`answers_garbled` of: noise, silence, one whole answer; each behind the request's own bytes."""
    position = encode_status(5, 0, bytes(4))
    for echo in (False, True):
        for reply, garbled in (
            (bytes(range(9)), True),
            (b"", False),
            (position, False),
            (position[:-1], True),
        ):

            def line(request: Packet, reply: bytes = reply, echo: bool = echo) -> bytes:
                return encode(request.device, request.instruction, request.parameters) * echo + reply

            assert answers_garbled(Bus(Line(line)), 5) is garbled


def test_silence_has_an_end_and_a_name() -> None:
    line = Line(lambda _: b"")
    bus = Bus(line)
    with pytest.raises(BusError, match="device 7 does not answer a read of address 64"):
        bus.read(7, table.TORQUE_ENABLE)
    with pytest.raises(BusError, match="device 7 does not answer a write to address 64"):
        bus.write(7, table.TORQUE_ENABLE, 1)
    with pytest.raises(BusError, match="device 7 does not answer a reboot"):
        bus.reboot(7)
    assert bus.ping(7) is None
    assert len(line.requests) == 3 + 3 + 1 + 1


def test_a_status_of_one_byte_is_no_answer_to_a_ping_or_a_longer_read() -> None:
    bus = Bus(Line(lambda _: encode_status(1, 0, b"\x01")))
    assert bus.ping(1) is None
    with pytest.raises(BusError, match="does not answer"):
        bus.read(1, table.GOAL_POSITION)


def test_an_alert_hides_nothing() -> None:
    rig = Rig()
    rig.fail(OVERLOAD(at_s=rig.time_s, servo=4))
    rig.port.sleep(0.05)
    answer = rig.bus.read_block(4, table.HARDWARE_ERROR_STATUS.address, 1)
    assert answer.alert
    assert answer.data == b"\x20"
    assert rig.bus.ping(4) is not None
    rig.bus.write(4, table.LED, 1)
    assert rig.virtual.servo(4).get(table.LED) == 1


def test_a_scan_finds_who_is_there_and_a_reboot_takes_one_away_for_a_while() -> None:
    rig = Rig()
    rig.fail(SILENT(at_s=rig.time_s, servo=3))
    rig.port.sleep(0.002)
    start = rig.port.now_ns()
    found = rig.bus.scan(range(12))
    assert [device.id for device in found] == [1, 2, 4, 5, 6, 7, 8, 9]
    assert {device.model_number for device in found} == {1020}
    assert (rig.port.now_ns() - start) * 1e-9 < 4 * 0.003 + 8 * 0.001, "3 ms for each that is not there"
    rig.bus.reboot(5)
    assert rig.bus.ping(5) is None
    rig.port.sleep(0.3)
    assert rig.bus.ping(5) is not None


def test_outside_the_tick_a_slow_answer_is_waited_for() -> None:
    rig = Rig()
    rig.fail(LATE(at_s=rig.time_s, servo=2, delay_s=0.015))
    rig.port.sleep(0.002)
    assert rig.bus.read(2, table.ID) == 2


def test_errors_have_names() -> None:
    assert error_name(Error.DATA_LIMIT | ALERT) == "data limit"
    assert error_name(99) == "error 99"
