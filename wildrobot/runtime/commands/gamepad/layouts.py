"""Which button and which stick of a pad does what, and how sure that is.

In this order: the mapping that the person gives in `SDL_GAMECONTROLLERCONFIG`; what somebody pressed when asked
(`wildrobot gamepad learn`); SDL's table for just this pad and the kernel's own rules, where its driver keeps them
(Documentation/input/gamepad.rst); SDL's table for other versions of this pad, where they agree. What is known by none
of these, or otherwise by two, is refused: a button whose place is a guess may be the one that should have let go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wildrobot.runtime.commands.gamepad import learned, sdl
from wildrobot.runtime.commands.gamepad.evdev import (
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
    BUS_BLUETOOTH,
    InputDevice,
)

SDL_VARIABLE = "SDL_GAMECONTROLLERCONFIG"


@dataclass(frozen=True)
class Stick:
    """An axis that a stick moves: forward or left is its minimum, unless it is inverted."""

    axis: int
    inverted: bool = False


@dataclass(frozen=True)
class Layout:
    """Codes of what commands the robot, and what the person finds on the buttons."""

    origin: str
    """How it is known."""
    deadman: int
    stand: int
    soft_stop: int
    estop: int
    speed: Stick
    turn: Stick
    labels: tuple[str, str, str, str]
    """Of deadman, stand, soft stop and e-stop."""
    sticks: tuple[str, str] = ("left stick", "right stick")
    """What gives the speed and what turns."""

    def help(self) -> str:
        """What to do with which button."""
        deadman, stand, soft_stop, estop = self.labels
        return (
            f"hold {deadman} to walk, {self.sticks[0]} speed, {self.sticks[1]} turns · {stand}: stand up · "
            f"{soft_stop}: stop softly · {estop}: torque off at once"
        )

    @property
    def buttons(self) -> dict[str, int]:
        """Code of every button, by what it does."""
        codes = (self.deadman, self.stand, self.soft_stop, self.estop)
        return dict(zip(("deadman", "stand up", "soft stop", "e-stop"), codes, strict=True))


PLAIN = ("left shoulder", "start", "lower button", "right button")


def is_pad(device: InputDevice) -> bool:
    """Whether it has a stick and a gamepad's or joystick's buttons."""
    return {ABS_X, ABS_Y} <= set(device.axes) and bool({BTN_GAMEPAD, BTN_JOYSTICK} & device.keys)


def choose_layout(device: InputDevice, environment: Mapping[str, str] | None = None) -> Layout:
    """The layout of a pad, every button and axis of which the pad has; no button does two things.

    Raises:
        ValueError: it is not known which button is where, or the pad lacks one that is needed; says which.
        UserError: a file of learned pads is broken.
    """
    environment = os.environ if environment is None else environment
    given = sdl.parse(environment.get(SDL_VARIABLE, "").splitlines())
    layout = _given(device, given) or _learned(device, environment) or _known(device)
    if layout is None:
        raise ValueError("neither SDL's table nor the kernel's rules say where its buttons are")
    _check(layout, device)
    return layout


def _given(device: InputDevice, mappings: tuple[sdl.SdlMapping, ...]) -> Layout | None:
    exact, near = sdl.find(reversed(mappings), device)
    found = exact or near
    return _from_sdl(found[0], device, SDL_VARIABLE, PLAIN) if found else None


def _learned(device: InputDevice, environment: Mapping[str, str]) -> Layout | None:
    found = learned.find(sdl.guid(device.identity, device.name), environment)
    if found is None:
        return None
    pad, path = found
    return Layout(
        f"what was learned ({path})",
        pad.deadman,
        pad.stand,
        pad.soft_stop,
        pad.estop,
        Stick(pad.speed_axis, pad.speed_inverted),
        Stick(pad.turn_axis, pad.turn_inverted),
        (
            f"your deadman button ({pad.deadman:#x})",
            f"your stand-up button ({pad.stand:#x})",
            f"your soft-stop button ({pad.soft_stop:#x})",
            f"your E-STOP button ({pad.estop:#x})",
        ),
        (f"your speed stick (axis {pad.speed_axis})", f"your turning stick (axis {pad.turn_axis})"),
    )


def _known(device: InputDevice) -> Layout | None:
    exact, near = sdl.find(sdl.table(), device)
    table = _from_table(exact[0], device) if exact else None
    rules = _by_rules(device)
    if table is not None and rules is not None and table.buttons != rules.buttons:
        raise ValueError("SDL's table and the kernel's rules contradict each other on where its buttons are")
    if table is not None or rules is not None:
        return table or rules
    others = [_from_table(mapping, device) for mapping in near]
    # what is said of other versions of this pad counts only if they all say the same
    return others[0] if others and all(other == others[0] for other in others) else None


def _by_rules(device: InputDevice) -> Layout | None:
    """By the codes alone; None: this pad's codes do not say where its buttons are."""
    if not _keeps_the_rules(device):
        return None
    turn = _right_stick(device)
    sticks = ("left stick", "left stick" if turn == ABS_X else "right stick")
    codes = (BTN_TL, BTN_START, BTN_SOUTH, BTN_EAST)
    return Layout("the kernel's rules", *codes, Stick(ABS_Y), Stick(turn), _printed(device), sticks)


def _from_table(mapping: sdl.SdlMapping, device: InputDevice) -> Layout | None:
    """None: the pad has not all that its line names, so that it is about another driver's numbers."""
    try:
        return _from_sdl(mapping, device, "SDL's table", _printed(device))
    except ValueError:
        return None


def _keeps_the_rules(device: InputDevice) -> bool:
    """Whether a button's code says where it is.

    The generic HID driver numbers a pad's buttons one after another, through BTN_C, which the rules do not know.
    Microsoft's pads on Bluetooth, but for the first firmware, and 8BitDo's Ultimate leave gaps in their numbers, so
    that the codes come out right.
    """
    if BTN_GAMEPAD not in device.keys:
        return False
    bus, vendor, product, _ = device.identity
    xbox = bus == BUS_BLUETOOTH and vendor == _MICROSOFT and product != _EARLY_BLUETOOTH
    gapped = xbox or (vendor, product) in _GAPPED_EIGHTBITDO
    return BTN_C not in device.keys or gapped


def _check(layout: Layout, device: InputDevice) -> None:
    missing = [f"{name} (code {code:#x})" for name, code in layout.buttons.items() if code not in device.keys]
    sticks = {"speed": layout.speed.axis, "turning": layout.turn.axis}
    for name, axis in sticks.items():
        if axis not in device.axes or not device.axes[axis].moves:
            missing.append(f"{name} (axis {axis})")
    if missing:
        raise ValueError(f"by {layout.origin} it should have, but has not: {', '.join(missing)}")
    if len(set(layout.buttons.values())) < 4 or len(set(sticks.values())) < 2:
        what = ", ".join(f"{name} {code:#x}" for name, code in (layout.buttons | sticks).items())
        raise ValueError(f"by {layout.origin} one button or stick would do two things ({what})")


def _right_stick(device: InputDevice) -> int:
    """Its horizontal axis. Where there are both pairs, Z and RZ are the triggers; the left stick's if there is none."""
    for x, y in ((ABS_RX, ABS_RY), (ABS_Z, ABS_RZ)):
        if x in device.axes and y in device.axes:
            return x
    return ABS_X


def _from_sdl(
    mapping: sdl.SdlMapping, device: InputDevice, origin: str, labels: tuple[str, str, str, str]
) -> Layout:
    bound = dict(mapping.bound)
    for stick, pad in (("lefty", "dpup"), ("leftx", "dpleft")):  # a d-pad alone, which is an axis
        if not bound.get(stick) and re.fullmatch(r"-a\d+", bound.get(pad, "")):
            bound[stick] = bound[pad][1:]
    turn = "rightx" if bound.get("rightx") else "leftx"
    left = "left stick" if mapping.bound.get("lefty") else "d-pad"
    buttons, axes = sdl.button_codes(device), sdl.axis_codes(device)
    return Layout(
        origin,
        _button(bound, "leftshoulder", buttons, origin),
        _button(bound, "start", buttons, origin),
        _button(bound, "a", buttons, origin),
        _button(bound, "b", buttons, origin),
        _stick(bound, "lefty", axes, origin),
        _stick(bound, turn, axes, origin),
        labels=labels,
        sticks=(left, "right stick" if turn == "rightx" else left),
    )


def _button(bound: Mapping[str, str], name: str, codes: list[int], origin: str) -> int:
    text = bound.get(name, "nothing")
    found = re.fullmatch(r"b(\d+)", text)
    if found is None or int(found[1]) >= len(codes):
        raise ValueError(f"{origin} has {name}:{text}, expected one of its {len(codes)} button numbers")
    return codes[int(found[1])]


def _stick(bound: Mapping[str, str], name: str, codes: list[int], origin: str) -> Stick:
    text = bound.get(name, "nothing")
    found = re.fullmatch(r"a(\d+)(~?)", text)
    if found is None or int(found[1]) >= len(codes):
        raise ValueError(f"{origin} has {name}:{text}, expected one of its {len(codes)} axis numbers")
    return Stick(codes[int(found[1])], bool(found[2]))


# ---------------------------------------------------------------------- what is printed on the buttons

_MICROSOFT, _SONY, _NINTENDO, _EIGHTBITDO, _LOGITECH, _VALVE = 0x045E, 0x054C, 0x057E, 0x2DC8, 0x046D, 0x28DE
_EARLY_BLUETOOTH = 0x2E0
_GAPPED_EIGHTBITDO = {(_EIGHTBITDO, product) for product in range(0x3010, 0x3020)}  # the Ultimate series
_XBOX = ("LB", "menu (start)", "A (lower button)", "B (right button)")
_PRINTED: Mapping[int, tuple[range | tuple[int, ...], tuple[str, str, str, str]]] = {
    _MICROSOFT: (range(0x28E, 0x10000), _XBOX),  # from the Xbox 360 on
    _SONY: (
        (0x0268, 0x05C4, 0x09CC, 0x0BA0, 0x0CE6, 0x0DF2),
        ("L1", "options (start)", "cross (lower button)", "circle (right button)"),
    ),
    _NINTENDO: ((0x2009,), ("L", "+", "B (lower button)", "A (right button)")),
    _LOGITECH: ((0xC21D, 0xC21E, 0xC21F, 0xC242), ("LB", "start", *_XBOX[2:])),
    _VALVE: (range(0x10000), ("L1", "menu (start)", *_XBOX[2:])),
}


def _printed(device: InputDevice) -> tuple[str, str, str, str]:
    """What stands on the buttons of a pad whose letters are known beyond doubt; else where they are."""
    products, labels = _PRINTED.get(device.identity.vendor, ((), PLAIN))
    return labels if device.identity.product in products else PLAIN
