"""Which button and which stick of which pad is what: by vendor and product, else by the kernel's own rules.

A pad whose driver keeps to the kernel's rules (Documentation/input/gamepad.rst) needs no entry. Those here are
used through the generic HID driver, which numbers their buttons from BTN_GAMEPAD or BTN_JOYSTICK on. Whoever has
yet another pad gives its mapping in `SDL_GAMECONTROLLERCONFIG`, in the notation of SDL and Steam.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from wildrobot.runtime.commands.gamepad.evdev import (
    ABS_HAT0X,
    ABS_MAX,
    ABS_RX,
    ABS_RY,
    ABS_RZ,
    ABS_X,
    ABS_Y,
    ABS_Z,
    BTN_C,
    BTN_EAST,
    BTN_GAMEPAD,
    BTN_JOYSTICK,
    BTN_SOUTH,
    BTN_START,
    BTN_TL,
    KEY_MAX,
    InputDevice,
)

SDL_VARIABLE = "SDL_GAMECONTROLLERCONFIG"
HATS = range(ABS_HAT0X, ABS_HAT0X + 8)


@dataclass(frozen=True)
class Layout:
    """Codes of what commands the robot, and what the person finds written on the buttons."""

    name: str
    deadman: int = BTN_TL
    """Left shoulder."""
    stand: int = BTN_START
    soft_stop: int = BTN_SOUTH
    estop: int = BTN_EAST
    speed_axis: int = ABS_Y
    turn_axis: int | None = None
    """None: the right stick's, wherever the pad has it; the left stick's if there is no right one."""
    labels: tuple[str, str, str, str] = ("left shoulder", "start", "lower button", "right button")
    """Of deadman, stand, soft stop and e-stop."""

    def help(self) -> str:
        """What to do with which button."""
        deadman, stand, soft_stop, estop = self.labels
        return (
            f"hold {deadman} to walk, left stick speed, right stick turns · {stand}: stand up · "
            f"{soft_stop}: stop softly · {estop}: let go at once"
        )


XBOX = ("LB", "menu", "A", "B")
SONY = ("L1", "options", "cross", "circle")
NINTENDO = ("L", "+", "B", "A")
EIGHTBITDO = ("L1", "start", "B", "A")

STANDARD = Layout("standard")
JOYSTICK = Layout("joystick", 0x124, 0x129, 0x121, 0x122)
"""For pads that call themselves joysticks: the order that Logitech and most others number their buttons in."""

_SONY_PADS = (0x05C4, 0x09CC, 0x0BA0, 0x0CE6, 0x0DF2)
_ULTIMATE = 0x301  # 8BitDo's Ultimate series has Xbox's letters
_DRIVEN = 0x8000  # hid-sony, hid-playstation and hid-nintendo set this bit in the version


def _microsoft(device: InputDevice) -> Layout:
    if device.identity.product == 0x02E0 and BTN_C in device.keys:  # Bluetooth, early firmware
        return Layout("xbox, early bluetooth", 0x134, 0x137, 0x130, 0x131, labels=XBOX)
    return Layout("xbox", labels=XBOX)


def _sony(device: InputDevice) -> Layout:
    if device.identity.product in _SONY_PADS and not device.identity.version & _DRIVEN:
        return Layout("playstation, generic driver", 0x134, 0x139, 0x131, 0x132, turn_axis=ABS_Z, labels=SONY)
    return Layout("playstation", labels=SONY)


def _eightbitdo(device: InputDevice) -> Layout:
    if device.identity.product >> 4 != _ULTIMATE and BTN_C in device.keys:
        # "D-input": the codes are those of what is printed on the buttons, and that is Nintendo's way round
        return Layout("8bitdo", soft_stop=BTN_EAST, estop=BTN_SOUTH, labels=EIGHTBITDO)
    return Layout("8bitdo, xbox letters", labels=("L1", "start", "A", "B"))


def _nintendo(device: InputDevice) -> Layout:
    if BTN_C in device.keys and not device.identity.version & _DRIVEN:
        return Layout("nintendo, generic driver", 0x134, 0x139, 0x130, 0x131, labels=NINTENDO)
    return Layout("nintendo", labels=NINTENDO)


def _logitech(device: InputDevice) -> Layout:
    labels = ("LB", "start", "A", "B")
    return replace(JOYSTICK if BTN_GAMEPAD not in device.keys else STANDARD, name="logitech", labels=labels)


_VENDORS: Mapping[int, Callable[[InputDevice], Layout]] = {
    0x045E: _microsoft,
    0x054C: _sony,
    0x2DC8: _eightbitdo,
    0x046D: _logitech,
    0x057E: _nintendo,
    0x28DE: lambda device: Layout("steam", labels=("L1", "menu", "A", "B")),
}


def is_pad(device: InputDevice) -> bool:
    """Whether it has a stick and a gamepad's or joystick's buttons."""
    return {ABS_X, ABS_Y} <= set(device.axes) and bool({BTN_GAMEPAD, BTN_JOYSTICK} & device.keys)


def choose_layout(device: InputDevice, environment: Mapping[str, str] | None = None) -> Layout:
    """The layout of a pad, every code of which the pad has.

    Raises:
        ValueError: the pad lacks a button that is needed; says which.
    """
    environment = os.environ if environment is None else environment
    layout = sdl_layout(device, environment.get(SDL_VARIABLE, ""))
    if layout is None:
        plain = STANDARD if BTN_GAMEPAD in device.keys else JOYSTICK
        layout = _VENDORS.get(device.identity.vendor, lambda _: plain)(device)
    if layout.turn_axis is None:
        layout = replace(layout, turn_axis=_right_stick(device))
    buttons = dict(zip(("deadman", "stand up", "soft stop", "e-stop"), _buttons(layout), strict=True))
    missing = [name for name, code in buttons.items() if code not in device.keys]
    missing += [f"axis {axis}" for axis in (layout.speed_axis, layout.turn_axis) if axis not in device.axes]
    if missing:
        raise ValueError(f"it lacks what the mapping '{layout.name}' has for {', '.join(missing)}")
    return layout


def _buttons(layout: Layout) -> tuple[int, int, int, int]:
    return layout.deadman, layout.stand, layout.soft_stop, layout.estop


def _right_stick(device: InputDevice) -> int:
    """Its horizontal axis. Where there are both pairs, Z and RZ are the triggers."""
    for x, y in ((ABS_RX, ABS_RY), (ABS_Z, ABS_RZ)):
        if x in device.axes and y in device.axes:
            return x
    return ABS_X


def sdl_layout(device: InputDevice, mappings: str) -> Layout | None:
    """The layout in lines of `GUID,name,a:b0,leftshoulder:b4,rightx:a2,...`, if one is this pad's.

    SDL counts the buttons that a pad has from BTN_JOYSTICK on, then those before; and its axes without the hats.

    Raises:
        ValueError: the line for this pad cannot be used; says why.
    """
    wanted = (device.identity.vendor, device.identity.product)
    for line in mappings.splitlines():
        guid, *fields = line.strip().split(",")
        if not re.fullmatch("[0-9a-fA-F]{32}", guid):
            continue
        number = bytes.fromhex(guid)
        if (int.from_bytes(number[4:6], "little"), int.from_bytes(number[8:10], "little")) != wanted:
            continue
        bound = dict(field.split(":", 1) for field in fields[1:] if ":" in field)
        order = [*range(BTN_JOYSTICK, KEY_MAX + 1), *range(BTN_JOYSTICK)]
        buttons = [code for code in order if code in device.keys]
        axes = [axis for axis in range(ABS_MAX + 1) if axis in device.axes and axis not in HATS]
        return Layout(
            f"{fields[0] if fields else ''}, {SDL_VARIABLE}",
            _sdl_code(bound, "leftshoulder", "b", buttons),
            _sdl_code(bound, "start", "b", buttons),
            _sdl_code(bound, "a", "b", buttons),
            _sdl_code(bound, "b", "b", buttons),
            _sdl_code(bound, "lefty", "a", axes),
            _sdl_code(bound, "rightx" if "rightx" in bound else "leftx", "a", axes),
        )
    return None


def _sdl_code(bound: Mapping[str, str], name: str, kind: str, codes: list[int]) -> int:
    text = bound.get(name, "nothing")
    found = re.fullmatch(kind + r"(\d+)", text)
    if found is None or int(found[1]) >= len(codes):
        what = "button" if kind == "b" else "axis"
        raise ValueError(f"{SDL_VARIABLE} has {name}:{text}, expected one of its {len(codes)} {what} numbers")
    return codes[int(found[1])]
