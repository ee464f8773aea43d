"""Gamepads without hardware: the kernel's side of an event device, on a FIFO and a stand-in for its ioctls."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wildrobot.runtime.commands.gamepad import evdev, finder, sdl
from wildrobot.runtime.commands.gamepad.layouts import SDL_VARIABLE
from wildrobot.runtime.doctor import check_gamepad

EV_REL = 2
USB, BLUETOOTH = 3, evdev.BUS_BLUETOOTH
X, Y = 0, 1
LB, START, A, B = 0x136, 0x13B, 0x130, 0x131
XPAD_KEYS = (0x130, 0x131, 0x133, 0x134, 0x136, 0x137, 0x13A, 0x13B, 0x13C, 0x13D, 0x13E)
SIXTEEN_BIT = (-32768, 32767)
BYTE = (0, 255)
HAT = (-1, 1)


def numbered(first: int, count: int) -> tuple[int, ...]:
    """Buttons as the generic HID driver numbers them."""
    return tuple(range(first, first + count))


def axes(sticks: tuple[int, int], *codes: int) -> dict[int, tuple[int, int]]:
    """Axes of one range, and the hat."""
    return dict.fromkeys(codes, sticks) | {0x10: HAT, 0x11: HAT}


@dataclass
class Model:
    """A kind of pad as its driver shows it."""

    name: str
    bus: int
    vendor: int
    product: int
    version: int
    keys: tuple[int, ...]
    axes: dict[int, tuple[int, int]]
    flat: int = 0


XBOX_360 = Model("Microsoft X-Box 360 pad", USB, 0x045E, 0x028E, 0x0114, XPAD_KEYS,
                 axes(SIXTEEN_BIT, 0, 1, 3, 4) | {2: BYTE, 5: BYTE}, 128)  # fmt: skip
MODELS = {
    "xbox": XBOX_360,
    "xbox bluetooth": Model("Xbox Wireless Controller", BLUETOOTH, 0x045E, 0x02FD, 0x0903, numbered(0x130, 15),
                            axes((0, 65535), 0, 1, 2, 5) | {9: (0, 1023), 10: (0, 1023)}, 4095),
    "xbox series bluetooth": Model("Xbox Wireless Controller", BLUETOOTH, 0x045E, 0x0B13, 0x0509,
                                   numbered(0x130, 15), axes((0, 65535), 0, 1, 2, 5) | {9: (0, 1023), 10: (0, 1023)}),
    "xbox early bluetooth": Model("Xbox Wireless Controller", BLUETOOTH, 0x045E, 0x02E0, 0x0903, numbered(0x130, 10),
                                  axes((0, 65535), 0, 1, 3, 4) | {2: (0, 1023), 5: (0, 1023)}),
    "dualshock": Model("Wireless Controller", USB, 0x054C, 0x09CC, 0x8111, (*XPAD_KEYS, 0x138, 0x139),
                       axes(BYTE, 0, 1, 2, 3, 4, 5)),
    "dualshock generic": Model("Sony Computer Entertainment Wireless Controller", USB, 0x054C, 0x09CC, 0x0111,
                               numbered(0x130, 14), axes(BYTE, 0, 1, 2, 3, 4, 5)),
    "dualsense": Model("DualSense Wireless Controller", BLUETOOTH, 0x054C, 0x0CE6, 0x8100, (*XPAD_KEYS, 0x138, 0x139),
                       axes(BYTE, 0, 1, 2, 3, 4, 5)),
    "dualsense generic": Model("Sony Interactive Entertainment Wireless Controller", USB, 0x054C, 0x0CE6, 0x0111,
                               numbered(0x130, 15), axes(BYTE, 0, 1, 2, 3, 4, 5)),
    "8bitdo": Model("8BitDo SN30 Pro", BLUETOOTH, 0x2DC8, 0x6101, 0x0100, numbered(0x130, 15),
                    axes(BYTE, 0, 1, 2, 5)),
    "8bitdo x-input": Model("8BitDo Ultimate Wireless", USB, 0x2DC8, 0x3106, 0x0114, XPAD_KEYS,
                            axes(SIXTEEN_BIT, 0, 1, 3, 4) | {2: BYTE, 5: BYTE}),
    "switch pro": Model("Nintendo Switch Pro Controller", USB, 0x057E, 0x2009, 0x8111,
                        (*XPAD_KEYS, 0x135, 0x138, 0x139), axes((-32767, 32767), 0, 1, 3, 4)),
    "8bitdo ultimate": Model("8BitDo Ultimate 2C Wireless", BLUETOOTH, 0x2DC8, 0x301B, 0x0001, numbered(0x130, 15),
                             axes(BYTE, 0, 1, 2, 5)),
    "steam deck": Model("Steam Deck", USB, 0x28DE, 0x1205, 0x0100, (*XPAD_KEYS, 0x220, 0x221, 0x222, 0x223),
                        dict.fromkeys((0, 1, 3, 4, 0x10, 0x11), (-32767, 32767))),
    "logitech d": Model("Logitech Logitech Dual Action", USB, 0x046D, 0xC216, 0x0110, numbered(0x120, 12),
                        axes(BYTE, 0, 1, 2, 5)),
    "logitech x": Model("Logitech Gamepad F310", USB, 0x046D, 0xC21D, 0x4014, XPAD_KEYS,
                        axes(SIXTEEN_BIT, 0, 1, 3, 4) | {2: BYTE, 5: BYTE}),
    "no-name gamepad": Model("USB Gamepad", USB, 0x1234, 0x0001, 0x0110, XPAD_KEYS, axes(BYTE, 0, 1, 2, 5)),
    "twin joystick": Model("Twin USB Joystick", USB, 0x0810, 0x0001, 0x0110, numbered(0x120, 12),
                           axes(BYTE, 0, 1, 2, 5)),
    "snes": Model("USB gamepad", USB, 0x0079, 0x0011, 0x0110, numbered(0x120, 10), axes(BYTE, 0, 1)),
    "one stick": Model("8BitDo Zero 2", BLUETOOTH, 0x2DC8, 0x3230, 0x0100, numbered(0x130, 15), axes(BYTE, 0, 1)),
}  # fmt: skip
# Nobody but a person knows where their buttons are.
UNKNOWN = {
    "switch pro generic": Model("Pro Controller", BLUETOOTH, 0x057E, 0x2009, 0x0001, numbered(0x130, 14),
                                axes((0, 65535), 0, 1, 3, 4)),
    "no-name joystick": Model("DragonRise Inc.   Generic   USB  Joystick  ", USB, 0x0079, 0x0006, 0x0110,
                              numbered(0x120, 12), axes(BYTE, 0, 1, 2, 5)),
    "no-name generic": Model("2Axes 11Keys Game  Pad", USB, 0x1234, 0x0002, 0x0110, numbered(0x130, 11),
                             axes(BYTE, 0, 1, 2, 5)),
    "logitech stick": Model("Logitech Extreme 3D", USB, 0x046D, 0xC215, 0x0110, numbered(0x120, 12),
                            axes(BYTE, 0, 1, 5, 6)),
}  # fmt: skip


def of_mapping(mapping: sdl.SdlMapping, first: int) -> Model:
    """A pad that a line of SDL's table is about, the buttons numbered from `first` on as the generic driver does."""
    number = bytes.fromhex(mapping.guid)
    vendor, product, version = (int.from_bytes(number[at : at + 2], "little") for at in (4, 8, 12))
    name = mapping.name
    if number[6:8] != b"\0\0":  # no vendor: the pad's own name in its place
        name, vendor, product, version = number[4:].rstrip(b"\0").decode(), 0, 0, 0
    count = 1 + max(int(text[1:]) for text in mapping.bound.values() if re.fullmatch(r"b\d+", text))
    keys = numbered(first, min(count, 16)) + numbered(0x2C0, max(0, count - 16))
    return Model(name, number[0], vendor, product, version, keys, axes(BYTE, 0, 1, 2, 3, 4, 5))


@dataclass
class FakePad:
    """One pad that is plugged in: what its buttons and axes are, and the pipe that its events come through."""

    model: Model
    path: Path
    down: set[int] = field(default_factory=set)
    values: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for axis, (low, high) in self.model.axes.items():
            self.values.setdefault(axis, 0 if low == -high or low == -high - 1 else (low + high + 1) // 2)
        os.mkfifo(self.path)
        self.pipe = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def emit(self, *events: tuple[int, int, int], report: bool = True) -> None:
        """Raw events as the kernel writes them, ended by a report."""
        ended = [*events, (evdev.EV_SYN, evdev.SYN_REPORT, 0)] if report else events
        os.write(self.pipe, b"".join(struct.pack("@llHHi", 1, 2, *event) for event in ended))

    def press(self, *codes: int) -> None:
        self.down |= set(codes)
        self.emit(*((evdev.EV_KEY, code, 1) for code in codes))

    def release(self, *codes: int) -> None:
        self.down -= set(codes)
        self.emit(*((evdev.EV_KEY, code, 0) for code in codes))

    def move(self, axis: int, share: float) -> None:
        """Put an axis at `share` of its way, -1 to 1."""
        low, high = self.model.axes[axis]
        self.values[axis] = round(low + (high - low) * (share + 1.0) / 2.0)
        self.emit((evdev.EV_ABS, axis, self.values[axis]))

    def unplug(self) -> None:
        """Its node goes, and readers get an end of file (the kernel's are told ENODEV)."""
        self.path.unlink()
        os.close(self.pipe)


class FakeKernel:
    """Answers the ioctls of event devices for FIFOs in a folder; other files are passed on to the real kernel."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.pads = folder, {}  # type: ignore[var-annotated]
        self.real = fcntl.ioctl
        monkeypatch.setattr(evdev.fcntl, "ioctl", self.ioctl)

    def plug(self, model: Model, name: str = "event3", **state: Any) -> FakePad:
        pad = FakePad(model, self.folder / f".{name}", **state)
        self.pads[os.stat(pad.path).st_ino] = pad
        # seen only once it is known: a node's number may be that of a pad which is gone
        pad.path = pad.path.rename(self.folder / name)
        return pad

    def ioctl(self, handle: int, request: int, argument: Any = 0, *rest: Any) -> Any:
        pad = self.pads.get(os.fstat(handle).st_ino)
        if pad is None:
            return self.real(handle, request, argument, *rest)
        answer = self._answer(pad, request, len(argument))
        argument[: len(answer)] = answer
        return len(answer)

    @staticmethod
    def _answer(pad: FakePad, request: int, size: int) -> bytes:
        direction, kind, number = request >> 30, request >> 8 & 0xFF, request & 0xFF
        assert (direction, kind, request >> 16 & 0x3FFF) == (2, ord("E"), size)
        model = pad.model
        if number == 0x02:
            return struct.pack("@4H", model.bus, model.vendor, model.product, model.version)
        if number == 0x06:
            return model.name.encode()[: size - 1] + b"\0"
        if number == 0x18:
            return bits(pad.down, size)
        if number == 0x20:
            return bits((evdev.EV_SYN, evdev.EV_KEY, evdev.EV_ABS), size)
        if number == 0x20 + evdev.EV_KEY:
            return bits(model.keys, size)
        if number == 0x20 + evdev.EV_ABS:
            return bits(model.axes, size)
        if number == 0x20 + EV_REL:
            return bits((), size)
        if number - 0x40 in model.axes:
            axis = number - 0x40
            return struct.pack("@6i", pad.values[axis], *model.axes[axis], 0, model.flat, 0)
        raise OSError(errno.EINVAL, "Invalid argument")


def fake_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """A folder for event devices, empty so far, which is looked at often; nothing given, nothing learned."""
    monkeypatch.setattr(finder, "LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(finder, "FOLDER", folder / "input")
    monkeypatch.delenv(SDL_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(folder / "xdg"))
    (folder / "input").mkdir()
    return FakeKernel(folder / "input", monkeypatch)


def answers(pad: FakePad) -> dict[int, bytes]:
    """What the kernel answers about a pad, by the number of the ioctl."""
    sizes = {
        0x02: 8,
        0x06: 256,
        0x18: 96,
        0x20: 4,
        0x20 + evdev.EV_KEY: 96,
        0x20 + EV_REL: 8,
        0x20 + evdev.EV_ABS: 8,
    }
    sizes |= {0x40 + axis: 24 for axis in pad.model.axes}
    return {
        number: FakeKernel._answer(pad, 2 << 30 | size << 16 | ord("E") << 8 | number, size)
        for number, size in sizes.items()
    }


def bits(codes: Any, size: int) -> bytes:
    field_ = 0
    for code in codes:
        field_ |= 1 << code
    return field_.to_bytes(size, "little")


def told(device: Path | None = None) -> list[str]:
    return [f"{finding.level} {finding}" for finding in check_gamepad(device)]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
