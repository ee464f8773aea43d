"""Gamepads as SDL knows them: the number it gives a pad, its table of pads, and its notation for buttons and axes.

The table `sdl_pads.txt` is made from SDL's own by `scripts/generate_pads.py`, which says what of it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from wildrobot.runtime.commands.gamepad.evdev import (
    ABS_HAT0X,
    ABS_MAX,
    BTN_JOYSTICK,
    DRIVEN,
    KEY_MAX,
    Identity,
    InputDevice,
)

HATS = range(ABS_HAT0X, ABS_HAT0X + 8)
_BY_POSITION = "!SDL_GAMECONTROLLER_USE_BUTTON_LABELS:=1"
_BY_LABEL = _BY_POSITION[1:]


@dataclass(frozen=True)
class SdlMapping:
    """A line of `GUID,name,a:b0,leftshoulder:b4,rightx:a2,...`: a is the lower of the four buttons, b the right one."""

    guid: str
    """32 hexadecimal digits, those of the name's checksum zero."""
    crc: int | None
    """Checksum that the pad's name must have; None: any."""
    name: str
    bound: Mapping[str, str]
    """Button or axis of the pad, by SDL's name of its role."""


def parse(lines: Iterable[str]) -> tuple[SdlMapping, ...]:
    """The mappings among lines; not those of other platforms, nor those that go by what is printed on the buttons."""
    found = []
    for line in lines:
        number, *fields = line.strip().split(",")
        if not re.fullmatch("[0-9a-fA-F]{32}", number):
            continue
        pairs = [field.split(":", 1) for field in fields[1:] if ":" in field]
        if ["hint", _BY_LABEL] in pairs:
            continue
        bound = dict(pairs)
        if bound.get("platform", "Linux") != "Linux":
            continue
        own = int.from_bytes(bytes.fromhex(number)[2:4], "little")
        crc = int(bound["crc"], 16) if re.fullmatch("[0-9a-fA-F]{1,4}", bound.get("crc", "")) else own or None
        found.append(SdlMapping(_without_crc(number.lower()), crc, fields[0] if fields else "", bound))
    return tuple(found)


@cache
def table() -> tuple[SdlMapping, ...]:
    """SDL's own table of pads on Linux."""
    text = (files("wildrobot.runtime.commands.gamepad") / "sdl_pads.txt").read_text(encoding="utf-8")
    return parse(text.splitlines())


def crc16(data: bytes) -> int:
    """CRC-16/ARC (polynomial 0x8005, reflected), SDL's checksum of a pad's name."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def guid(identity: Identity, name: str) -> str:
    """What SDL calls SDL_JoystickGUID, as 32 hexadecimal digits, of a device that Linux's evdev names so.

    Bus, checksum of the name, vendor, product and version, 16 bits each, little-endian; without a vendor the name
    itself instead of the last three.
    """
    raw = name.encode()
    head = identity.bus.to_bytes(2, "little") + crc16(raw).to_bytes(2, "little")
    if identity.vendor:
        rest = b"".join(number.to_bytes(2, "little") + b"\0\0" for number in identity[1:])
    else:
        rest = raw[:11].ljust(12, b"\0")
    return (head + rest).hex()


def find(mappings: Iterable[SdlMapping], device: InputDevice) -> tuple[list[SdlMapping], list[SdlMapping]]:
    """The mappings of just this pad, those that ask for its name first; and those of other versions of it.

    A driver that numbers the buttons in the kernel's own way marks its version, so that those without this mark
    belong to another numbering, and are of no other version of it.
    """
    number = guid(device.identity, device.name)
    crc = int.from_bytes(bytes.fromhex(number)[2:4], "little")
    wanted = _without_crc(number)
    exact, near = [], []
    for mapping in mappings:
        if mapping.crc not in (None, crc):
            continue
        if mapping.guid == wanted:
            exact.append(mapping)
        elif device.identity.vendor and mapping.guid[:24] == wanted[:24]:
            version = int.from_bytes(bytes.fromhex(mapping.guid[24:28]), "little")
            if not (version ^ device.identity.version) & DRIVEN:
                near.append(mapping)
    return sorted(exact, key=lambda mapping: mapping.crc is None), near


def button_codes(device: InputDevice) -> list[int]:
    """The code of every button number: SDL counts those from BTN_JOYSTICK on, then those before."""
    order = (*range(BTN_JOYSTICK, KEY_MAX), *range(BTN_JOYSTICK))
    return [code for code in order if code in device.keys]


def axis_codes(device: InputDevice) -> list[int]:
    """The code of every axis number: SDL leaves out the hats."""
    return [axis for axis in range(ABS_MAX) if axis in device.axes and axis not in HATS]


def _without_crc(number: str) -> str:
    return f"{number[:4]}0000{number[8:]}"
