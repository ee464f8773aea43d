"""Linux's event devices, as far as a gamepad needs them: who it is, what it has, what was pressed and moved.

Read through the kernel's own interface (linux/input.h), which is stable and small, so that the robot's computer
needs no compiler and no further package for it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

EV_SYN, EV_KEY, EV_ABS = 0, 1, 3
SYN_REPORT, SYN_DROPPED = 0, 3
ABS_X, ABS_Y, ABS_Z, ABS_RX, ABS_RY, ABS_RZ = range(6)
ABS_HAT0X, ABS_HAT0Y = 0x10, 0x11
BTN_JOYSTICK, BTN_GAMEPAD = 0x120, 0x130
BTN_SOUTH, BTN_EAST, BTN_C = 0x130, 0x131, 0x132
BTN_TL, BTN_START = 0x136, 0x13B
BTN_DPAD_UP, BTN_DPAD_DOWN, BTN_DPAD_LEFT, BTN_DPAD_RIGHT = range(0x220, 0x224)
BUS_BLUETOOTH = 5
DRIVEN = 0x8000
"""Set in the version by hid-sony, hid-playstation and hid-nintendo, which number buttons in the kernel's own way."""
KEY_MAX, ABS_MAX = 0x2FF, 0x3F

_EVENT = struct.Struct("@llHHi")  # struct input_event: seconds, microseconds, type, code, value
_ABSINFO = struct.Struct("@6i")  # value, minimum, maximum, fuzz, flat, resolution
_READ_EVENTS = 256


def _ioc_read(number: int, size: int) -> int:
    """Number of the ioctl _IOC(_IOC_READ, 'E', number, size)."""
    return 2 << 30 | size << 16 | ord("E") << 8 | number


def gid_request() -> int:
    """EVIOCGID: bus, vendor, product and version."""
    return _ioc_read(0x02, 8)


def name_request(size: int) -> int:
    """EVIOCGNAME(size)."""
    return _ioc_read(0x06, size)


def keys_request(size: int) -> int:
    """EVIOCGKEY(size): which buttons are down."""
    return _ioc_read(0x18, size)


def bits_request(kind: int, size: int) -> int:
    """EVIOCGBIT(kind, size): which codes of a kind of event the device has."""
    return _ioc_read(0x20 + kind, size)


def axis_request(axis: int) -> int:
    """EVIOCGABS(axis): value and range."""
    return _ioc_read(0x40 + axis, _ABSINFO.size)


class DeviceGone(Exception):
    """The device was unplugged, or its radio link has ended."""


class Identity(NamedTuple):
    """What a device says it is."""

    bus: int
    vendor: int
    product: int
    version: int


@dataclass(frozen=True)
class AxisRange:
    """What an axis counts."""

    minimum: int
    maximum: int
    flat: int = 0
    """Noise around the centre, as the driver knows it."""

    @property
    def moves(self) -> bool:
        """Whether it has more than one value."""
        return self.maximum > self.minimum

    def normalized(self, value: int) -> float:
        """-1 to 1, 0 in the middle."""
        half = (self.maximum - self.minimum) / 2.0
        return min(max((value - self.minimum) / half - 1.0, -1.0), 1.0) if half > 0 else 0.0


class InputEvent(NamedTuple):
    """A button (value 1 down, 0 up, 2 held) or an axis that changed."""

    kind: int
    code: int
    value: int


class InputDevice:
    """An open event device; `down` and `values` are what its buttons and axes are now. Never blocks.

    Raises:
        OSError: it cannot be opened, or is no event device.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.identity = Identity(*struct.unpack("@4H", self._ask(gid_request(), 8)))
            self.name = self._ask(name_request(256), 256).split(b"\0", 1)[0].decode(errors="replace")
            self.keys = frozenset(_set_bits(self._ask(bits_request(EV_KEY, 96), 96)))
            self.axes: dict[int, AxisRange] = {}
            for axis in _set_bits(self._ask(bits_request(EV_ABS, 8), 8)):
                _, low, high, _, flat, _ = _ABSINFO.unpack(self._ask(axis_request(axis), _ABSINFO.size))
                self.axes[axis] = AxisRange(low, high, flat)
            self.down, self.values = self._state()
        except BaseException:
            self.close()
            raise
        self._rest = b""
        self._dropped = False

    def read(self) -> list[InputEvent]:
        """What has changed since the last time, in order.

        Raises:
            DeviceGone: there is no device any more.
        """
        try:
            data = self._rest + os.read(self._handle, _READ_EVENTS * _EVENT.size)
        except BlockingIOError:
            return []
        except OSError as error:  # ENODEV, and EIO from some drivers
            raise DeviceGone(error.strerror) from error
        if not data:
            raise DeviceGone("end of file")
        whole = len(data) - len(data) % _EVENT.size
        self._rest = data[whole:]
        events = []
        for _, _, kind, code, value in _EVENT.iter_unpack(data[:whole]):
            if kind == EV_SYN and code == SYN_DROPPED:
                self._dropped = True  # the queue ran over: what comes up to the next report is not whole
            elif kind == EV_SYN and code == SYN_REPORT and self._dropped:
                self._dropped = False
                events += self._catch_up()
            elif kind in (EV_KEY, EV_ABS) and not self._dropped:
                self._take(event := InputEvent(kind, code, value))
                events.append(event)
        return events

    def _take(self, event: InputEvent) -> None:
        if event.kind == EV_ABS:
            self.values[event.code] = event.value
        elif event.value:
            self.down.add(event.code)
        else:
            self.down.discard(event.code)

    def _catch_up(self) -> list[InputEvent]:
        """After events were lost: the difference between what was known and what the kernel says."""
        try:
            down, values = self._state()
        except OSError as error:
            raise DeviceGone(error.strerror) from error
        events = [InputEvent(EV_KEY, code, 1) for code in sorted(down - self.down)]
        events += [InputEvent(EV_KEY, code, 0) for code in sorted(self.down - down)]
        events += [
            InputEvent(EV_ABS, axis, value) for axis, value in values.items() if value != self.values[axis]
        ]
        self.down, self.values = down, values
        return events

    def _state(self) -> tuple[set[int], dict[int, int]]:
        values = {
            axis: _ABSINFO.unpack(self._ask(axis_request(axis), _ABSINFO.size))[0] for axis in self.axes
        }
        return set(_set_bits(self._ask(keys_request(96), 96))), values

    def _ask(self, request: int, size: int) -> bytes:
        buffer = bytearray(size)
        fcntl.ioctl(self._handle, request, buffer)
        return bytes(buffer)

    def close(self) -> None:
        """Close it; more than once does no harm."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _set_bits(data: bytes) -> Iterator[int]:
    for index, byte in enumerate(data):
        yield from (8 * index + bit for bit in range(8) if byte >> bit & 1)
