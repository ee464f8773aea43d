"""The sensor board's core on an emulated Cortex-M0, call for call beside the same core on this computer.

As a pytest plugin (`-p emulated_board`) it puts both in the place of the core alone: whatever a test asks the board is
asked of both, and every answer must be the same to the last bit. `firmware.py` builds the program and runs the tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import itertools
import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from wildrobot.firmware_bridge.board import control_table as table
from wildrobot.firmware_bridge.virtual import board_core

MACHINE = "microbit"
PROGRAM = "WILDROBOT_FIRMWARE"
"""Environment variable: the program for the emulator."""
FIGURES = "WILDROBOT_FIRMWARE_FIGURES"
"""Environment variable: file for what was counted."""
OPERATIONS = (
    *(
        "create",
        "receive",
        "poll",
        "set_imu",
        "set_feet",
        "set_supply",
        "set_hardware_error",
        "reboot",
        "take_save",
    ),
    *("registers", "accepted", "crc_errors", "stack", "board_size", "unaligned"),
)
"""By their numbers in sensor_board.cpp."""
_FAULT = 0xFFFF


class ProcessorFault(Exception):
    """The emulated processor has taken a HardFault."""


class Emulator:
    """QEMU with the program; one board lives in it."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [
                *("qemu-system-arm", "-M", MACHINE, "-nodefaults", "-display", "none"),
                *("-chardev", "stdio,id=wire,signal=off", "-serial", "chardev:wire", "-kernel", str(program)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def call(self, operation: str, arguments: bytes = b"") -> bytes:
        """One call of the core, and what it gave back; layout in sensor_board.cpp.

        Raises:
            ProcessorFault: it faulted.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(struct.pack("<BH", OPERATIONS.index(operation), len(arguments)) + arguments)
        self._process.stdin.flush()
        (size,) = struct.unpack("<H", self._read(2))
        if size == _FAULT:
            raise ProcessorFault(f"HardFault in {operation} {arguments.hex()}")
        return self._read(size)

    def number(self, operation: str) -> int:
        """An answer that is one number."""
        return int.from_bytes(self.call(operation), "little")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise RuntimeError(f"{MACHINE}: the emulator ended with {self._process.wait()}")
        return data


class Both:
    """What `board_core` takes for the core's library. An answer of one that the other does not give is an error."""

    def __init__(self, host: ctypes.CDLL, program: Path) -> None:
        self._host, self._program = host, program
        self._numbers = itertools.count(1)
        self._boards: dict[int, tuple[int, Emulator]] = {}
        self.figures = {"boards": 0, "calls": 0, "bytes_in": 0, "answers": 0, "stack": 0, "differences": 0}

    def wr_board_create(self, eeprom: bytes, max_baud_rate: int, slot_us: int, boot_us: int) -> int:
        board, emulator = next(self._numbers), Emulator(self._program)
        self._boards[board] = self._host.wr_board_create(eeprom, max_baud_rate, slot_us, boot_us), emulator
        self._call(board, "create", eeprom + struct.pack("<BII", max_baud_rate, slot_us, boot_us))
        self.figures["boards"] += 1
        return board

    def wr_board_destroy(self, board: int) -> None:
        if board not in self._boards:  # it was compared at the end already
            return
        with contextlib.suppress(AssertionError):  # counted; nobody hears a finalizer
            self.compare(board)
        host, emulator = self._boards.pop(board)
        self.figures["stack"] = max(self.figures["stack"], emulator.number("stack"))
        emulator.close()
        self._host.wr_board_destroy(host)

    def wr_board_receive(self, board: int, data: bytes, size: int, now_us: int) -> None:
        self._host.wr_board_receive(self._boards[board][0], data, size, now_us)
        self._call(board, "receive", struct.pack("<I", now_us) + data[:size])
        self.figures["bytes_in"] += size

    def wr_board_poll(self, board: int, now_us: int, out: Any, capacity: int, start: Any) -> int:
        size = self._host.wr_board_poll(self._boards[board][0], now_us, out, capacity, start)
        answer = self._call(board, "poll", struct.pack("<I", now_us))
        if size or len(answer) > 4:
            self._same("poll", struct.pack("<I", start._obj.value) + out.raw[:size], answer)
            self.figures["answers"] += 1
        return size

    def wr_board_set_imu(
        self, board: int, q: Any, gyro: Any, acceleration: Any, calibrated: int, now_us: int
    ) -> None:
        self._host.wr_board_set_imu(self._boards[board][0], q, gyro, acceleration, calibrated, now_us)
        self._call(board, "set_imu", struct.pack("<10fBI", *q, *gyro, *acceleration, calibrated, now_us))

    def wr_board_set_feet(self, board: int, force: Any, now_us: int) -> None:
        self._host.wr_board_set_feet(self._boards[board][0], force, now_us)
        self._call(board, "set_feet", struct.pack("<4fI", *force, now_us))

    def wr_board_set_supply(self, board: int, volt: float) -> None:
        self._host.wr_board_set_supply(self._boards[board][0], volt)
        self._call(board, "set_supply", struct.pack("<f", volt))

    def wr_board_set_hardware_error(self, board: int, bits: int) -> None:
        self._host.wr_board_set_hardware_error(self._boards[board][0], bits)
        self._call(board, "set_hardware_error", bytes((bits,)))

    def wr_board_reboot(self, board: int, now_us: int) -> None:
        self._host.wr_board_reboot(self._boards[board][0], now_us)
        self._call(board, "reboot", struct.pack("<I", now_us))

    def wr_board_registers(self, board: int, out: Any) -> None:
        self._host.wr_board_registers(self._boards[board][0], out)
        self._same("registers", out.raw[: table.SIZE], self._call(board, "registers"))

    def wr_board_take_save(self, board: int) -> int:
        return self._number(board, "take_save")

    def wr_board_accepted(self, board: int) -> int:
        return self._number(board, "accepted")

    def wr_board_crc_errors(self, board: int) -> int:
        return self._number(board, "crc_errors")

    def compare(self, board: int) -> None:
        """Everything that can be seen of the two without asking over the wire."""
        self.wr_board_registers(board, ctypes.create_string_buffer(table.SIZE))
        for what in ("take_save", "accepted", "crc_errors"):
            self._number(board, what)

    def _number(self, board: int, operation: str) -> int:
        value = int(getattr(self._host, f"wr_board_{operation}")(self._boards[board][0]))
        self._same(operation, value, int.from_bytes(self._call(board, operation), "little"))
        return value

    def _call(self, board: int, operation: str, arguments: bytes = b"") -> bytes:
        self.figures["calls"] += 1
        return self._boards[board][1].call(operation, arguments)

    def _same(self, operation: str, host: bytes | int, emulated: bytes | int) -> None:
        if host != emulated:
            self.figures["differences"] += 1
            raise AssertionError(f"{operation}: here {host!r}, on the emulated board {emulated!r}")


@functools.cache
def both() -> Both:
    """The library in the place of the core's."""
    return Both(_HOST_LIBRARY(), Path(os.environ[PROGRAM]))


_HOST_LIBRARY = board_core._library


def pytest_configure() -> None:
    """Every board of this run is two."""
    board_core._library = both  # type: ignore[assignment]


def pytest_runtest_teardown() -> None:
    """Boards that the test has left end here, not in the middle of something else."""
    gc.collect()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Nothing is skipped in silence."""
    if report.skipped:
        raise pytest.UsageError(f"{report.nodeid} was skipped: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Boards that are still there are compared too, and the figures written."""
    for board in list(both()._boards):
        both().wr_board_destroy(board)
    if both().figures["differences"]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    Path(os.environ[FIGURES]).write_text(json.dumps(both().figures))
