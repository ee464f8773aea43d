"""The sensor board's firmware core on the host, against the bridge's own protocol module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.board import control_table as table
from wildrobot.firmware_bridge.bus import protocol
from wildrobot.firmware_bridge.bus.protocol import Error, FastReply, Instruction, encode, encode_status
from wildrobot.firmware_bridge.virtual import board_core as core_module
from wildrobot.firmware_bridge.virtual.board_core import BoardCore

if core_module.compiler() is None:
    pytest.skip("no C++ compiler on this computer", allow_module_level=True)

ID = table.DEFAULTS["id"]
PONG = encode_status(ID, 0, b"\x52\x57\x01")


class Wire:
    """A board alone with its host: every packet takes its time on the wire at 1 Mbps."""

    def __init__(self, board: BoardCore | None = None) -> None:
        self.board = board or BoardCore()
        self.now_us = 0
        self.start_us = 0

    def send(self, data: bytes) -> bytes:
        self.now_us += 10 * len(data)
        self.board.receive(data, self.now_us)
        return self.poll()

    def poll(self) -> bytes:
        answers = self.board.poll(self.now_us)
        if not answers:
            return b""
        self.start_us, data = answers[0]
        return data


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


def read(address: int, size: int, device: int = ID) -> bytes:
    return encode(device, Instruction.READ, words(address, size))


def test_the_vectors_of_the_protocol_match_to_the_byte() -> None:
    wire = Wire(BoardCore({"id": 1}))
    wire.board.set_imu([0, 0, 0xA6 / 16384, 0], [0, 0, 0], [0, 0, 0], 0)
    ping = bytes.fromhex("FFFFFD00010300 01194E")
    assert wire.send(ping) == encode_status(1, 0, b"\x52\x57\x01")
    # Present position of a servo; here the same bytes are the quaternion's y and z.
    assert wire.send(bytes.fromhex("FFFFFD00010700028400 04001D15")) == bytes.fromhex(
        "FFFFFD0001080055 00A60000008CC0"
    )


def test_a_ping_is_answered_after_the_return_delay() -> None:
    wire = Wire(BoardCore({"return_delay_time": 250}))
    assert wire.send(encode(ID, Instruction.PING)) == PONG
    assert wire.start_us == wire.now_us + 500
    assert wire.poll() == b""


def test_a_broadcast_ping_is_answered_in_the_slot_of_the_id() -> None:
    wire = Wire(BoardCore({"id": 7}, broadcast_slot_us=2000))
    assert wire.send(encode(protocol.BROADCAST_ID, Instruction.PING)) == encode_status(7, 0, b"\x52\x57\x01")
    assert wire.start_us == wire.now_us + 14_000


def test_times_go_on_when_the_firmware_clock_wraps() -> None:
    wire = Wire(BoardCore({"return_delay_time": 250}))
    wire.now_us = 5 * 2**32 - 300
    assert wire.send(encode(ID, Instruction.PING)) == PONG
    assert wire.start_us == 5 * 2**32 - 300 + 100 + 500


def test_reads_give_the_table_and_say_what_is_wrong() -> None:
    wire = Wire()
    assert wire.send(read(6, 4)) == encode_status(ID, 0, bytes((1, ID, 3, 0)))
    assert wire.send(read(table.SIZE, 1)) == encode_status(ID, Error.ACCESS)
    assert wire.send(read(0, 0)) == encode_status(ID, Error.DATA_LENGTH)
    assert wire.send(encode(ID, Instruction.CLEAR)) == encode_status(ID, Error.INSTRUCTION)
    assert wire.send(read(0, 4, device=1)) == b""


@pytest.mark.parametrize(
    ("address", "data", "error"),
    [
        (9, b"\x05", Error.NONE),
        (9, b"\xff", Error.DATA_RANGE),
        (8, b"\x07", Error.DATA_RANGE),
        (7, b"\xfd", Error.DATA_RANGE),
        (6, b"\x05", Error.ACCESS),
        (10, b"\x05", Error.ACCESS),
        (128, b"\x05", Error.ACCESS),
        (9, b"", Error.DATA_LENGTH),
    ],
)
@pytest.mark.parametrize("instruction", [Instruction.WRITE, Instruction.REG_WRITE])
def test_writes_are_checked(address: int, data: bytes, error: Error, instruction: Instruction) -> None:
    wire = Wire()
    assert wire.send(encode(ID, instruction, words(address) + data)) == encode_status(ID, error)
    if error:
        assert wire.board.eeprom == {"id": ID, "baud_rate": 3, "return_delay_time": 0}


def test_a_registered_write_waits_for_its_action() -> None:
    wire = Wire()
    assert wire.send(encode(ID, Instruction.ACTION)) == encode_status(ID, Error.INSTRUCTION)
    wire.send(encode(ID, Instruction.REG_WRITE, words(9) + b"\x08"))
    assert wire.board.eeprom["return_delay_time"] == 0
    assert wire.board.read(table.REGISTERED_INSTRUCTION) == 1
    assert wire.send(encode(ID, Instruction.ACTION)) == encode_status(ID, 0)
    assert wire.board.eeprom["return_delay_time"] == 8
    assert wire.board.read(table.REGISTERED_INSTRUCTION) == 0


def test_settings_survive_a_reboot_and_samples_do_not() -> None:
    wire = Wire(BoardCore(boot_us=1000))
    wire.board.set_imu([1, 0, 0, 0], [0, 0, 0], [0, 0, 9.81], 0)
    wire.send(encode(ID, Instruction.WRITE, words(7) + bytes((42, 1, 3))))
    assert wire.board.baud == 57_600
    assert wire.send(encode(42, Instruction.REBOOT)) == encode_status(42, 0)
    assert wire.send(encode(42, Instruction.PING)) == b""
    wire.now_us += 5000
    assert wire.send(read(152, 4, device=42)) == encode_status(42, 0, b"\x00\x00\xff\xff")
    assert BoardCore(wire.board.eeprom).eeprom == {"id": 42, "baud_rate": 1, "return_delay_time": 3}
    wire.board.reboot()
    assert wire.board.read(table.SAMPLE_COUNTER) == 0


def test_a_factory_reset_keeps_what_it_says() -> None:
    kept = {0xFF: (ID, 3), 0x01: (42, 3), 0x02: (42, 1)}
    for option, (device, baud) in kept.items():
        wire = Wire(BoardCore({"id": 42, "baud_rate": 1, "return_delay_time": 9}))
        assert wire.send(encode(42, Instruction.FACTORY_RESET, bytes((option,)))) == encode_status(42, 0)
        assert wire.board.eeprom == {"id": device, "baud_rate": baud, "return_delay_time": 0}


def test_sync_and_bulk_writes_reach_the_board_without_an_answer() -> None:
    wire = Wire()
    everyone = protocol.BROADCAST_ID
    assert wire.send(encode(everyone, Instruction.SYNC_WRITE, words(9, 1) + bytes((1, 5, ID, 7)))) == b""
    assert wire.board.eeprom["return_delay_time"] == 7
    one = b"\x01" + words(116, 4) + bytes(4)
    assert (
        wire.send(encode(everyone, Instruction.BULK_WRITE, one + bytes((ID,)) + words(9, 1) + b"\x08")) == b""
    )
    assert wire.board.eeprom["return_delay_time"] == 8


def test_stuffing_is_undone_in_requests_and_done_in_answers() -> None:
    wire = Wire()
    parameters = words(9, 1) + bytes((0xFF, 0xFF, 0xFD, 5, ID, 7))
    request = encode(protocol.BROADCAST_ID, Instruction.SYNC_WRITE, parameters)
    assert b"\xff\xff\xfd\xfd" in request
    wire.send(request)
    assert wire.board.eeprom["return_delay_time"] == 7
    wire.board.set_imu([-1 / 16384, 253 / 16384, -1 / 16384, -3 / 16384], [0, 0, 0], [0, 0, 0], wire.now_us)
    data = b"\xff\xff\xfd\x00\xff\xff\xfd\xff"
    answer = wire.send(read(128, 8))
    assert answer == encode_status(ID, 0, data)
    assert len(answer) == 11 + 8 + 2


def test_a_status_return_level_silences_answers() -> None:
    wire = Wire()
    wire.send(encode(ID, Instruction.WRITE, words(68) + b"\x01"))
    assert wire.send(encode(ID, Instruction.WRITE, words(9) + b"\x00")) == b""
    assert wire.send(read(9, 1)) == encode_status(ID, 0, b"\x00")
    wire.send(encode(ID, Instruction.WRITE, words(68) + b"\x00"))
    assert wire.send(read(9, 1)) == b""
    assert wire.send(encode(ID, Instruction.PING)) == PONG


def test_a_hardware_error_is_an_alert_in_every_status() -> None:
    wire = Wire()
    wire.board.set_hardware_error(8)
    assert wire.send(read(70, 1)) == encode_status(ID, protocol.ALERT, b"\x08")


# Answers of servos around the board; one with bytes that look like a header.
SERVOS = [(1, b"\x01\x02\x03\x04"), (2, b"\xff\xff\xfd\x00"), (3, b"\xff\xff\xfd\xfd")]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    "instruction",
    [Instruction.SYNC_READ, Instruction.BULK_READ, Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ],
)
def test_in_a_chain_the_board_answers_in_its_place(instruction: Instruction, place: int) -> None:
    wire = Wire()
    members: list[tuple[int, bytes]] = list(SERVOS)
    members.insert(place, (ID, bytes((ID, 3, 0, 0))))
    if instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        parameters = words(7, 4) + bytes(device for device, _ in members)
    else:
        parameters = b"".join(
            bytes((device,)) + words(7 if device == ID else 224, 4) for device, _ in members
        )
    request = encode(protocol.BROADCAST_ID, instruction, parameters)
    fast = instruction in (Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ)
    expected = (
        protocol.encode_fast_status([(0, device, data) for device, data in members])
        if fast
        else b"".join(encode_status(device, 0, data) for device, data in members)
    )
    whole, answers = bytearray(), 0
    out = wire.send(request)
    while len(whole) < len(expected):
        if out:  # the board's own bytes, which it does not hear
            answers += 1
            assert wire.start_us == wire.now_us
            wire.now_us += 10 * len(out)
            whole += out
            out = wire.poll()
        else:  # the others', byte by byte
            whole.append(expected[len(whole)])
            out = wire.send(bytes(whole[-1:]))
    assert bytes(whole) == expected
    assert answers == 1
    if fast:
        reply = FastReply([(device, len(data)) for device, data in members])
        reply.feed(bytes(whole))
        assert [block.device for block in reply.blocks] == [device for device, _ in members]
    assert wire.send(encode(ID, Instruction.PING)) == PONG


@pytest.mark.parametrize("instruction", [Instruction.BULK_READ, Instruction.FAST_BULK_READ])
def test_a_silent_predecessor_silences_the_board_until_the_next_request(instruction: Instruction) -> None:
    wire = Wire()
    parameters = b"".join(bytes((device,)) + words(224, 4) for device, _ in SERVOS[:1])
    parameters += bytes((ID,)) + words(7, 4)
    assert wire.send(encode(protocol.BROADCAST_ID, instruction, parameters)) == b""
    wire.now_us += 3000
    assert wire.poll() == b""
    moved = parameters[5:] + parameters[:5]
    assert wire.send(encode(protocol.BROADCAST_ID, instruction, moved)) != b""


def test_mutated_strings_are_taken_only_where_the_other_parser_takes_them() -> None:
    rng = np.random.default_rng(5)
    board, parser = BoardCore({"id": 1}), protocol.Parser()
    seeds = [
        encode(1, Instruction.PING),
        encode(1, Instruction.READ, words(128, 34)),
        encode(1, Instruction.READ, words(0xFFFF, 0xFFFD)),
        encode(1, Instruction.WRITE, words(68) + b"\x02"),
        encode(1, Instruction.WRITE, words(9) + b"\xff\xff\xfd" * 5),
        encode(0xFE, Instruction.SYNC_READ, words(128, 34) + bytes((1, 2))),
        encode(0xFE, Instruction.BULK_READ, b"\x02" + words(224, 4) + b"\x01" + words(128, 34)),
        encode(0xFE, Instruction.FAST_BULK_READ, b"\x01" + words(128, 34) + b"\x02" + words(224, 4)),
        encode_status(2, 0, b"\xff\xff\xfd\x00" * 3),
    ]
    count = 100_000
    which = rng.integers(len(seeds), size=count).tolist()
    changes = rng.integers(4, size=count).tolist()
    noise = rng.integers(1 << 30, size=(count, 4)).tolist()
    taken, answers, now = 0, 0, 0
    for k in range(count):
        data = bytearray(seeds[which[k]])
        for number in noise[k][: changes[k]]:
            at, kind, value = number % len(data), (number >> 10) % 4, (number >> 16) & 0xFF
            if kind == 0:
                data[at] = value
            elif kind == 1:
                data.insert(at, value)
            elif kind == 2:
                data[at] ^= 1 << (value & 7)
            elif len(data) > 1:
                del data[at]
        now += 10_000
        parser.reset()
        packets = parser.feed(bytes(data))
        before = board.accepted
        board.receive(bytes(data), now)
        assert board.accepted - before == len(packets), data.hex()
        taken += len(packets)
        for _, answer in board.poll(now):
            assert packets, data.hex()
            assert answer[:4] == protocol.HEADER
            answers += 1
    assert taken > count // 5
    assert answers > count // 10


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown setting 'baud'.*baud_rate"):
        BoardCore({"baud": 3})
    with pytest.raises(UserError, match="id does not allow 253"):
        BoardCore({"id": 253})


def test_wrong_numbers_of_values_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 4"):
        BoardCore().set_feet([1.0], 0)


def test_a_missing_compiler_is_named_with_its_repair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"no C\+\+ compiler.*apt-get install -y g\+\+"):
        core_module.build()


def test_a_failing_compiler_shows_what_it_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "cxx"
    compiler.write_text("#!/bin/sh\necho 'no C++17 here' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(UserError, match=r"no C\+\+17 here"):
        core_module.build()
    assert not list((tmp_path / "wildrobot").iterdir())


def test_two_processes_build_at_once_and_share_the_result(tmp_path: Path) -> None:
    code = (
        "from wildrobot.firmware_bridge.virtual.board_core import BoardCore, build\n"
        "BoardCore().receive(b'', 0)\n"
        "print(build())"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(printed) == 1
    assert [path.suffix for path in (tmp_path / "wildrobot").iterdir()] == [".so"]
