"""The sensor board's firmware core on this computer: the firmware's own C++, built once and called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.core.nearest import did_you_mean
from wildrobot.firmware_bridge.board import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BAUD_RATES, Register

FIRMWARE = Path(__file__).resolve().parents[1] / "board" / "firmware"
"""Sources of the firmware: core, Arduino layer, C++ tests, Makefile."""
_SOURCES = FIRMWARE / "core"
_FLAGS = ("-std=c++11", "-O2", "-shared", "-fPIC", "-fno-exceptions", "-fno-rtti")
_EEPROM_SIZE = 64
_REPLY_SIZE = 256
_FASTEST = 6
"""Greatest baud code that the firmware may take: its ports reach no 4.5 Mbit/s."""
_WRAP = 1 << 32
REBOOT_US = 300_000
"""A plausible time without an answer after a reboot, for a host that imitates the hardware (`boot_us`)."""


def compiler() -> str | None:
    """The C++ compiler that is used: $CXX, g++, c++ or clang++, whichever is there first."""
    candidates = (os.environ.get("CXX"), "g++", "c++", "clang++")
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wildrobot"


def build() -> Path:
    """The shared library of the core, built if this version of the sources has not been built on this computer yet.

    It lies in `$XDG_CACHE_HOME/wildrobot` (or ~/.cache/wildrobot) under a name with the hash of the sources. Two
    processes may build at once: each renames a whole file into place.

    Raises:
        UserError: no compiler, a compiler that fails, or a cache folder that cannot be written to.
    """
    sources = sorted(_SOURCES.glob("*.cpp"))
    digest = hashlib.sha256(" ".join((*_FLAGS, platform.machine())).encode())
    for path in sorted((*sources, *_SOURCES.glob("*.hpp"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    library = _cache_folder() / f"sensor_board-{digest.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    cxx = compiler()
    if cxx is None:
        raise UserError(
            "no C++ compiler found (looked for $CXX, g++, c++ and clang++). The virtual robot's sensor board is the "
            "firmware itself, compiled for this computer. Install one: sudo apt-get install -y g++"
        )
    with atomic_write(library) as temporary:
        done = subprocess.run(
            [cxx, *_FLAGS, "-o", str(temporary), *map(str, sources)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UserError(
                f"{cxx} could not compile the sensor board's core in {_SOURCES} (it needs C++11):\n"
                f"{done.stderr.strip()[-2000:]}\nName another compiler in the environment variable CXX."
            )
    return library


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build()))
    board, u8, u32, size = ctypes.c_void_p, ctypes.c_uint8, ctypes.c_uint32, ctypes.c_size_t
    floats = ctypes.POINTER(ctypes.c_float)
    signatures: dict[str, tuple[object, list[object]]] = {
        "create": (board, [ctypes.c_char_p, u8, u32, u32]),
        "destroy": (None, [board]),
        "receive": (None, [board, ctypes.c_char_p, size, u32]),
        "poll": (size, [board, u32, ctypes.c_char_p, size, ctypes.POINTER(u32)]),
        "set_imu": (None, [board, floats, floats, floats, ctypes.c_int, u32]),
        "set_feet": (None, [board, floats, u32]),
        "set_supply": (None, [board, ctypes.c_float]),
        "set_hardware_error": (None, [board, u8]),
        "reboot": (None, [board, u32]),
        "take_save": (ctypes.c_int, [board]),
        "registers": (None, [board, ctypes.c_char_p]),
        "accepted": (u32, [board]),
        "crc_errors": (u32, [board]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"wr_board_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def _floats(values: Sequence[float], count: int) -> ctypes.Array[ctypes.c_float]:
    if len(values) != count:
        raise ValueError(f"{len(values)} values, expected {count}")
    return (ctypes.c_float * count)(*(float(value) for value in values))


class BoardCore:
    """One sensor board, driven by bytes and time; it knows no clock and no hardware of its own.

    Times are integer microseconds of one clock that never goes back, as long as you like; the firmware sees their low
    32 bits, as it would see its own counter.
    """

    def __init__(
        self, eeprom: Mapping[str, int] | None = None, *, broadcast_slot_us: int = 3000, boot_us: int = 0
    ) -> None:
        """A board as after power-on at time 0.

        Args:
            eeprom: settings by register name (`id`, `baud_rate`, `return_delay_time`); what is left out is the default.
            broadcast_slot_us: a broadcast ping is answered after this, times the id.
            boot_us: deaf and blind for so long after a reboot.

        Raises:
            UserError: an unknown setting or a value that its register does not allow; no compiler.
        """
        image = bytearray(_EEPROM_SIZE)
        known = {register.name: register for register in table.EEPROM}
        settings = {name: table.DEFAULTS[name] for name in known} | dict(eeprom or {})
        for name, value in settings.items():
            if name not in known:
                raise UserError(f"sensor board: unknown setting {name!r}; {did_you_mean(name, known)}")
            image[known[name].address] = value & 0xFF
        self._library = _library()
        self._board = self._library.wr_board_create(bytes(image), _FASTEST, broadcast_slot_us, boot_us)
        self._finalizer = weakref.finalize(self, self._library.wr_board_destroy, self._board)
        self._out = ctypes.create_string_buffer(_REPLY_SIZE)
        self._start = ctypes.c_uint32()
        self._now_us = 0
        for name, value in settings.items():
            if self.read(known[name]) != value:
                raise UserError(f"sensor board: its register {name} does not allow {value}.")

    def _wrap(self, now_us: int) -> int:
        self._now_us = now_us
        return now_us % _WRAP

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes that others (host, servos) put on the wire; `now_us` is the end of the last one. Never its own."""
        self._library.wr_board_receive(self._board, bytes(data), len(data), self._wrap(now_us))

    def poll(self, now_us: int) -> list[tuple[int, bytes]]:
        """What the board puts on the wire: (time of its first bit in µs, now or later; bytes), at most one.

        It is given out as soon as it is decided. If an instruction comes before its time (a broadcast ping is answered
        up to 0.76 s later), the caller drops it.
        """
        size = self._library.wr_board_poll(
            self._board, self._wrap(now_us), self._out, len(self._out), ctypes.byref(self._start)
        )
        if size == 0:
            return []
        wait_us = (self._start.value - now_us) % _WRAP
        return [(now_us + wait_us, self._out.raw[:size])]

    def set_imu(
        self,
        quaternion_wxyz: Sequence[float],
        angular_velocity: Sequence[float],
        acceleration: Sequence[float],
        now_us: int,
        calibrated: bool = True,
    ) -> None:
        """A new IMU sample: rotation world <- chip, rad/s and specific force in m/s², both in the chip's frame.

        A value that is not finite makes it no sample: the counter stays. Beyond the register's range it saturates.
        """
        self._library.wr_board_set_imu(
            self._board,
            _floats(quaternion_wxyz, 4),
            _floats(angular_velocity, 3),
            _floats(acceleration, 3),
            int(calibrated),
            self._wrap(now_us),
        )

    def set_feet(self, force_n: Sequence[float], now_us: int) -> None:
        """Forces on left toe, left heel, right toe, right heel (N). Taken at most once a millisecond, as the firmware
        samples; NaN or a force outside -5…150 N is a broken input."""
        self._library.wr_board_set_feet(self._board, _floats(force_n, 4), self._wrap(now_us))

    def set_supply(self, voltage_v: float) -> None:
        """Voltage of the servo bus."""
        self._library.wr_board_set_supply(self._board, voltage_v)

    def set_hardware_error(self, bits: int) -> None:
        """Content of hardware_error_status; any bit sets the alert bit of every status."""
        self._library.wr_board_set_hardware_error(self._board, bits)

    def reboot(self, now_us: int | None = None) -> None:
        """Power off and on; settings stay. At the time of the last call if none is given."""
        self._library.wr_board_reboot(self._board, self._wrap(self._now_us if now_us is None else now_us))

    def registers(self) -> bytes:
        """The whole table as it stands, without a latch of the sample block."""
        out = ctypes.create_string_buffer(table.SIZE)
        self._library.wr_board_registers(self._board, out)
        return out.raw

    def read(self, register: Register) -> int:
        """One register's value, not over the wire."""
        return register.decode(self.registers()[register.address : register.end])

    @property
    def eeprom(self) -> dict[str, int]:
        """Settings that outlive the power, by register name: what to give to the next `BoardCore`."""
        return {register.name: self.read(register) for register in table.EEPROM}

    @property
    def baud(self) -> int:
        """Bits per second that the port listens and talks at. After a write, from the end of its answer on."""
        return BAUD_RATES[self.read(table.BAUD_RATE)]

    @property
    def accepted(self) -> int:
        """Packets with a right CRC so far, for whomever."""
        return int(self._library.wr_board_accepted(self._board))

    @property
    def crc_errors(self) -> int:
        """Whole packets with a wrong CRC so far."""
        return int(self._library.wr_board_crc_errors(self._board))
