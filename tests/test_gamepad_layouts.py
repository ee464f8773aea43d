"""Which button of which gamepad is which: SDL's table, the kernel's rules, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gamepad_helpers import (
    MODELS,
    UNKNOWN,
    XBOX_360,
    A,
    B,
    FakeKernel,
    Model,
    axes,
    fake_kernel,
    numbered,
    of_mapping,
    open_files,
    told,
)

from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad import sdl
from wildrobot.runtime.commands.gamepad.evdev import InputDevice
from wildrobot.runtime.commands.gamepad.finder import PadFinder
from wildrobot.runtime.commands.gamepad.layouts import SDL_VARIABLE, Layout, Stick, choose_layout


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return fake_kernel(tmp_path, monkeypatch)


def layout_of(device: InputDevice, line: str = "") -> Layout:
    return choose_layout(device, {SDL_VARIABLE: line})


def test_a_mapping_of_one_s_own_turns_the_buttons_round_and_a_broken_one_is_refused(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pad = kernel.plug(XBOX_360)
    device = InputDevice(pad.path)
    line = "030000005e0400008e02000014010000,mine,a:b1,b:b0,leftshoulder:b5,start:b6,lefty:a4~,leftx:a0"
    layout = layout_of(device, f"# comment\n{line}")
    assert (layout.origin, *layout.buttons.values()) == (SDL_VARIABLE, 0x137, 0x13A, B, A)
    assert (layout.speed, layout.turn) == (Stick(4, inverted=True), Stick(0))
    for other in (line.replace("5e04", "5e05"), f"{line},platform:Windows", f"0500{line[4:]}"):
        assert layout_of(device, other).origin == "SDL's table"
    labelled = f"{line},hint:SDL_GAMECONTROLLER_USE_BUTTON_LABELS:=1"
    assert layout_of(device, labelled).origin == "SDL's table"
    later = line.replace("a:b1,b:b0", "a:b2,b:b3")
    assert layout_of(device, f"{line}\n{later}").estop == 0x134
    device.close()
    for broken, why in (
        (line.replace("start:b6,", ""), "start:nothing, expected one of its 11 button numbers"),
        (line.replace("a:b1", "a:b11"), "a:b11"),
        (line.replace("lefty:a4~", "lefty:h0.1"), "lefty:h0.1, expected one of its 6 axis numbers"),
        (line.replace("b:b0", "b:b1"), "one button or stick would do two things"),
    ):
        monkeypatch.setenv(SDL_VARIABLE, broken)
        with pytest.raises(UserError, match=why):
            PadFinder().look()


def test_a_pad_without_the_buttons_that_are_needed_is_refused(kernel: FakeKernel) -> None:
    kernel.plug(Model("Nunchuk", 5, 0x1234, 1, 1, (0x130, 0x131), axes((0, 255), 0, 1)))
    with pytest.raises(
        UserError,
        match="by the kernel's rules it should have, but has not: deadman \\(code 0x136\\), stand up",
    ):
        PadFinder().look()


def test_an_axis_that_cannot_move_is_none(kernel: FakeKernel) -> None:
    kernel.plug(replace(XBOX_360, axes=XBOX_360.axes | {3: (0, 0)}))
    with pytest.raises(UserError, match="by SDL's table it should have, but has not: turning \\(axis 3\\)"):
        PadFinder().look()


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_pad_of_which_nobody_knows_where_its_buttons_are_is_refused_with_what_to_do(
    name: str, kernel: FakeKernel
) -> None:
    pad = kernel.plug(UNKNOWN[name])
    before = open_files()
    with pytest.raises(UserError, match=f"wildrobot gamepad learn {pad.path}"):
        PadFinder().look()
    assert open_files() == before
    (line,) = told()
    assert line.startswith("error gamepad: ")
    assert "neither SDL's table nor the kernel's rules say where its buttons are" in line
    kernel.plug(XBOX_360, "event9")  # another one that can be used is
    found = PadFinder().look()
    assert found is not None
    assert found.device.name == XBOX_360.name
    found.device.close()


def test_other_versions_of_a_pad_count_if_they_agree_and_their_driver_numbers_alike(
    kernel: FakeKernel,
) -> None:
    def origin(model: Model) -> str:
        pad = kernel.plug(model)
        device = InputDevice(pad.path)
        try:
            return layout_of(device).origin
        except ValueError:
            return ""
        finally:
            device.close()
            pad.unplug()

    dualshock = MODELS["dualshock generic"]
    assert origin(replace(dualshock, version=0x0222)) == "SDL's table"
    # what SDL says of those without the driver is not of this one
    assert origin(replace(MODELS["dualshock"], version=0x8222)) == "the kernel's rules"
    steam = Model(
        "Steam Controller", 3, 0x28DE, 0x1142, 0x0111, numbered(0x130, 15), axes((0, 255), 0, 1, 2, 5)
    )
    assert origin(steam) == "SDL's table"
    assert origin(replace(steam, version=0x0222)) == ""  # two versions of it that differ


def test_where_the_table_and_the_kernel_s_rules_contradict_each_other_nobody_knows(
    kernel: FakeKernel,
) -> None:
    """SDL counts a Deck's buttons with three more before A, which older kernels do not have."""
    deck = replace(MODELS["steam deck"], version=0x0111, keys=(*MODELS["steam deck"].keys, 0x138, 0x139))
    kernel.plug(replace(deck, keys=(0x121, 0x122, *deck.keys)), "event1")
    with pytest.raises(UserError, match="SDL's table and the kernel's rules contradict each other"):
        PadFinder().look()
    kernel.plug(replace(deck, keys=(0x121, 0x122, 0x126, *deck.keys)), "event2")
    found = PadFinder().look()
    assert found is not None
    assert (found.layout.origin, found.layout.soft_stop, found.layout.estop) == ("SDL's table", A, B)
    found.device.close()


def test_every_line_of_the_table_makes_a_pad_whose_buttons_do_what_is_said_of_them(
    kernel: FakeKernel,
) -> None:
    """Each of the four buttons is another, and the pad has it; the help says lower of `a` and right of `b`."""
    assert len(sdl.table()) > 250
    for mapping in sdl.table():
        for first in (0x120, 0x130):
            model = of_mapping(mapping, first)
            pad = kernel.plug(model)
            device = InputDevice(pad.path)
            pad.unplug()
            if mapping.crc not in (None, sdl.crc16(model.name.encode())):
                device.close()
                continue
            layout = layout_of(device)
            codes = sdl.button_codes(device)
            device.close()
            wanted = [codes[int(mapping.bound[name][1:])] for name in ("leftshoulder", "start", "a", "b")]
            assert list(layout.buttons.values()) == wanted, mapping
            assert len({*wanted}) == 4
            deadman, stand, lower, right = layout.labels
            assert ("lower" in lower, "right" in right) == (True, True)
            assert f"{right}: torque off at once" in layout.help()
            assert f"hold {deadman} to walk" in layout.help()
            assert f"{stand}: stand up · {lower}: stop softly" in layout.help()


def test_the_checksum_of_a_name_is_crc_16_arc() -> None:
    assert sdl.crc16(b"123456789") == 0xBB3D


def test_pads_with_one_number_are_told_apart_by_their_name_in_the_table_too(kernel: FakeKernel) -> None:
    elecom = InputDevice(kernel.plug(replace(MODELS["snes"], name="USB Gamepad")).path)
    assert layout_of(elecom).estop == 0x123  # Elecom's; Retrolink's has the same number
    elecom.close()


def test_two_pads_with_one_number_are_told_apart_by_their_name(kernel: FakeKernel) -> None:
    line = "03000000790000001100000010010000,mine,crc:{:04x},a:b5,b:b6,leftshoulder:b4,start:b9,leftx:a0,lefty:a1"
    device = InputDevice(kernel.plug(MODELS["snes"]).path)
    assert layout_of(device, line.format(sdl.crc16(b"USB gamepad"))).estop == 0x126
    assert layout_of(device, line.format(0x1234)).estop == 0x121
    device.close()
