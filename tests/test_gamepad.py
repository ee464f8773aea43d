"""Gamepads: the kernel's interface, what which button means on which pad, deadman, stops, unplugged and back."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gamepad_helpers import HAT, MODELS, XBOX_360, XPAD_KEYS, FakeKernel, FakePad, Model, axes
from hypothesis import given
from hypothesis import strategies as st
from runtime_helpers import SPEC, run_small_policy
from test_run import messages

from wildrobot.errors import UserError
from wildrobot.runtime.commands_input import Command
from wildrobot.runtime.gamepad import evdev, finder
from wildrobot.runtime.gamepad.command import (
    DEAD_ZONE,
    RADIO_SILENCE_NS,
    UNPLUGGED_STOP_NS,
    GamepadCommand,
)
from wildrobot.runtime.gamepad.evdev import AxisRange, DeviceGone, InputDevice
from wildrobot.runtime.gamepad.finder import PadFinder
from wildrobot.runtime.gamepad.layouts import SDL_VARIABLE, choose_layout, sdl_layout
from wildrobot.runtime.state_machine import State

MS = 1_000_000
LB, START, A, B = 0x136, 0x13B, 0x130, 0x131
X, Y, RX = 0, 1, 3
SPEED, TURN = 0.3, 0.2


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    monkeypatch.setattr(finder, "LOOK_EVERY_S", 0.005)
    monkeypatch.delenv(SDL_VARIABLE, raising=False)
    folder = tmp_path / "input"
    folder.mkdir()
    return FakeKernel(folder, monkeypatch)


class Hands:
    """A pad in somebody's hands, and the runtime that polls its commands every 20 ms."""

    def __init__(self, kernel: FakeKernel, source: GamepadCommand) -> None:
        self.kernel, self.source, self.now_ns = kernel, source, 10**12
        self.notes: list[str] = []

    def poll(self, after_ns: int = 20 * MS, state: State = State.WALKING) -> Command:
        self.now_ns += after_ns
        command = self.source.poll(self.now_ns, state)
        self.notes += [note.text for note in command.notes]
        return command

    def until(self, done: Callable[[Command], bool]) -> Command:
        """Poll, without time going by on the loop's clock, until a thread has done its work."""
        end = time.monotonic() + 20.0
        while not done(command := self.poll(0)):
            assert time.monotonic() < end, command
            time.sleep(0.002)
        return command


@pytest.fixture
def hold(kernel: FakeKernel) -> Iterator[Callable[..., tuple[FakePad, Hands]]]:
    opened = []

    def take(model: Model = XBOX_360, **state: Any) -> tuple[FakePad, Hands]:
        pad = kernel.plug(model, **state)
        source = GamepadCommand(SPEC, PadFinder(folder=kernel.folder), SPEED, TURN)
        opened.append(source)
        return pad, Hands(kernel, source)

    yield take
    for source in opened:
        source.close()


# ---------------------------------------------------------------------- the kernel's interface


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_numbers_and_sizes_are_those_of_the_kernel_s_header(tmp_path: Path) -> None:
    names = [
        "EV_SYN EV_KEY EV_ABS SYN_REPORT SYN_DROPPED ABS_X ABS_Y ABS_Z ABS_RX ABS_RY ABS_RZ ABS_HAT0X ABS_HAT0Y",
        "BTN_JOYSTICK BTN_GAMEPAD BTN_SOUTH BTN_EAST BTN_C BTN_TL BTN_START BTN_DPAD_UP BTN_DPAD_DOWN",
        "BTN_DPAD_LEFT BTN_DPAD_RIGHT BUS_BLUETOOTH KEY_MAX ABS_MAX",
    ]
    ours = {name: getattr(evdev, name) for name in " ".join(names).split()} | {
        "EVIOCGID": evdev.gid_request(),
        "EVIOCGNAME(256)": evdev.name_request(256),
        "EVIOCGKEY(96)": evdev.keys_request(96),
        "EVIOCGBIT(EV_KEY,96)": evdev.bits_request(evdev.EV_KEY, 96),
        "EVIOCGBIT(EV_ABS,8)": evdev.bits_request(evdev.EV_ABS, 8),
        "EVIOCGABS(ABS_RZ)": evdev.axis_request(evdev.ABS_RZ),
        "sizeof(struct input_event)": evdev._EVENT.size,
        "sizeof(struct input_absinfo)": evdev._ABSINFO.size,
        "sizeof(struct input_id)": 8,
    }
    lines = "".join(f'printf("%lu\\n", (unsigned long)({name}));\n' for name in ours)
    (tmp_path / "a.c").write_text(
        f"#include <stdio.h>\n#include <linux/input.h>\nint main(void) {{ {lines} return 0; }}\n"
    )
    made = subprocess.run(["cc", "-o", "a", "a.c"], cwd=tmp_path, capture_output=True, text=True)
    if "linux/input.h: No such file" in made.stderr:
        pytest.skip("no kernel headers")
    assert made.returncode == 0, made.stderr
    theirs = subprocess.run([tmp_path / "a"], capture_output=True, text=True, check=True).stdout.split()
    assert dict(zip(ours, map(int, theirs), strict=True)) == ours


def test_a_device_says_who_it_is_and_what_it_has(kernel: FakeKernel) -> None:
    pad = kernel.plug(XBOX_360, down={LB}, values={X: 1000})
    device = InputDevice(pad.path)
    assert (device.name, device.identity) == ("Microsoft X-Box 360 pad", (3, 0x045E, 0x028E, 0x0114))
    assert device.keys == frozenset(XPAD_KEYS)
    assert device.axes[RX] == AxisRange(-32768, 32767, 128)
    assert device.axes[0x10] == AxisRange(-1, 1, 128)
    assert (device.down, device.values[X]) == ({LB}, 1000)
    assert device.read() == []
    device.close()
    device.close()


def test_after_lost_events_the_state_is_asked_for_and_what_was_missed_is_made_up(kernel: FakeKernel) -> None:
    pad = kernel.plug(XBOX_360)
    device = InputDevice(pad.path)
    pad.press(LB)
    pad.emit((evdev.EV_SYN, evdev.SYN_DROPPED, 0), report=False)
    pad.emit((evdev.EV_KEY, A, 1), report=False)  # the rest of a report whose beginning was lost
    pad.down, pad.values[Y] = {B}, -20000
    pad.emit()
    assert device.read() == [(evdev.EV_KEY, LB, 1), (1, B, 1), (1, LB, 0), (evdev.EV_ABS, Y, -20000)]
    assert (device.down, device.values[Y]) == ({B}, -20000)
    device.close()


def test_an_event_cut_in_two_is_put_together(kernel: FakeKernel) -> None:
    pad = kernel.plug(XBOX_360)
    device = InputDevice(pad.path)
    whole = evdev._EVENT.pack(0, 0, evdev.EV_KEY, A, 1)
    os.write(pad.pipe, whole[:10])
    assert device.read() == []
    os.write(pad.pipe, whole[10:])
    assert device.read() == [(evdev.EV_KEY, A, 1)]
    device.close()


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EIO])
def test_a_device_that_is_gone_is_told_as_such(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    device = InputDevice(kernel.plug(XBOX_360).path)

    def gone(*_: Any) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(evdev.os, "read", gone)
    with pytest.raises(DeviceGone):
        device.read()
    device.close()


@given(st.integers(-40000, 40000), st.integers(1, 70000), st.data())
def test_an_axis_runs_from_minus_one_to_one(low: int, width: int, data: Any) -> None:
    span = AxisRange(low, low + width)
    assert (span.normalized(low), span.normalized(low + width)) == (-1.0, 1.0)
    a, b = sorted(data.draw(st.tuples(*2 * [st.integers(low - 5, low + width + 5)])))
    assert -1.0 <= span.normalized(a) <= span.normalized(b) <= 1.0


# ---------------------------------------------------------------------- what means what

# deadman, stand up, soft stop, e-stop, axis that turns
EXPECTED = {
    "xbox": (LB, START, A, B, 3),
    "xbox bluetooth": (LB, START, A, B, 2),
    "xbox series bluetooth": (LB, START, A, B, 2),
    "xbox early bluetooth": (0x134, 0x137, 0x130, 0x131, 3),
    "dualshock": (LB, START, A, B, 3),
    "dualshock generic": (0x134, 0x139, 0x131, 0x132, 2),
    "dualsense": (LB, START, A, B, 3),
    "dualsense generic": (0x134, 0x139, 0x131, 0x132, 2),
    "8bitdo": (LB, START, B, A, 2),
    "8bitdo x-input": (LB, START, A, B, 3),
    "switch pro": (LB, START, A, B, 3),
    "steam deck": (LB, START, A, B, 3),
    "logitech d": (0x124, 0x129, 0x121, 0x122, 2),
    "logitech x": (LB, START, A, B, 3),
    "no-name gamepad": (LB, START, A, B, 2),
    "no-name joystick": (0x124, 0x129, 0x121, 0x122, 2),
    "one stick": (LB, START, B, A, 0),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_button_of_every_pad_does_what_it_is_said_to(name: str, hold: Any) -> None:
    pad, hands = hold(MODELS[name])
    deadman, stand, soft_stop, estop, turn = EXPECTED[name]
    hands.poll()
    for code, field in ((stand, "stand"), (soft_stop, "stop"), (estop, "estop")):
        pad.press(code)
        command = hands.poll()
        assert [f for f in ("stand", "stop", "estop") if getattr(command, f)] == [field]
        pad.release(code)
        assert not getattr(hands.poll(), field)
    pad.press(deadman)
    pad.move(Y, -1.0)
    command = hands.poll()
    assert (command.source, command.linear_velocity_x) == ("gamepad", pytest.approx(SPEED, rel=0.01))
    pad.move(Y, 0.0)
    pad.move(turn, -1.0)
    command = hands.poll()
    assert (command.linear_velocity_x, command.yaw_rate) == (0.0, pytest.approx(TURN, rel=0.01))
    pad.move(turn, 1.0)
    assert hands.poll().yaw_rate == pytest.approx(-TURN, rel=0.01)


# Linux lines of SDL's own database for the same pads: what games take for their buttons.
SDL_LINES = {
    "xbox": "030000005e0400008e02000014010000,X360,a:b0,b:b1,leftshoulder:b4,lefty:a1,rightx:a3,start:b7",
    "xbox bluetooth": "050000005e040000fd02000003090000,XBOX,a:b0,b:b1,leftshoulder:b6,lefty:a1,rightx:a2,start:b11",
    "xbox early bluetooth": "050000005e040000e002000003090000,X,a:b0,b:b1,leftshoulder:b4,lefty:a1,rightx:a3,start:b7",
    "dualshock generic": "030000004c050000cc09000011010000,PS4,a:b1,b:b2,leftshoulder:b4,lefty:a1,rightx:a2,start:b9",
    "dualsense generic": "030000004c050000e60c000011010000,PS5,a:b1,b:b2,leftshoulder:b4,lefty:a1,rightx:a2,start:b9",
    "8bitdo": "05000000c82d00000161000000010000,SN30,a:b1,b:b0,leftshoulder:b6,lefty:a1,rightx:a2,start:b11",
    "logitech d": "030000006d04000016c2000010010000,Dual,a:b1,b:b2,leftshoulder:b4,lefty:a1,rightx:a2,start:b9",
    "logitech x": "030000006d0400001dc2000014400000,F310,a:b0,b:b1,leftshoulder:b4,lefty:a1,rightx:a3,start:b7",
}


@pytest.mark.parametrize("name", SDL_LINES)
def test_our_layouts_are_those_of_sdl(name: str, kernel: FakeKernel) -> None:
    device = InputDevice(kernel.plug(MODELS[name]).path)
    ours = choose_layout(device, {})
    theirs = choose_layout(device, {SDL_VARIABLE: f"# comment\n{SDL_LINES['xbox']}\n{SDL_LINES[name]}\n"})
    assert theirs.name.endswith(SDL_VARIABLE)
    fields = ("deadman", "stand", "soft_stop", "estop", "speed_axis", "turn_axis")
    assert [getattr(theirs, f) for f in fields] == [getattr(ours, f) for f in fields]
    device.close()


def test_a_mapping_of_one_s_own_turns_the_buttons_round_and_a_broken_one_is_refused(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pad = kernel.plug(XBOX_360)
    device = InputDevice(pad.path)
    line = "030000005e0400008e02000014010000,mine,a:b1,b:b0,leftshoulder:b5,start:b6,lefty:a4,leftx:a0"
    layout = sdl_layout(device, line)
    assert layout is not None
    assert (layout.deadman, layout.stand, layout.soft_stop, layout.estop) == (0x137, 0x13A, B, A)
    assert (layout.speed_axis, layout.turn_axis) == (4, 0)
    assert sdl_layout(device, line.replace("5e04", "5e05")) is None
    device.close()
    for broken, why in (
        (line.replace("start:b6,", ""), "start:nothing, expected one of its 11 button numbers"),
        (line.replace("a:b1", "a:b11"), "a:b11"),
        (line.replace("lefty:a4", "lefty:h0.1"), "lefty:h0.1, expected one of its 6 axis numbers"),
    ):
        monkeypatch.setenv(SDL_VARIABLE, broken)
        with pytest.raises(UserError, match=why):
            PadFinder(folder=kernel.folder).look()


def test_a_pad_without_the_buttons_that_are_needed_is_refused(kernel: FakeKernel) -> None:
    kernel.plug(Model("Nunchuk", 5, 0x1234, 1, 1, (0x130, 0x131), axes((0, 255), 0, 1)))
    with pytest.raises(UserError, match="it lacks what the mapping 'standard' has for deadman, stand up"):
        PadFinder(folder=kernel.folder).look()


# ---------------------------------------------------------------------- finding


def test_the_first_pad_is_taken_and_what_is_none_is_passed_over(kernel: FakeKernel) -> None:
    keyboard = Model("Keyboard", 3, 1, 1, 1, tuple(range(1, 100)), {})
    motion = Model("Motion Sensors", 3, 0x054C, 0x09CC, 0x8111, (), axes((-100, 100), 0, 1, 2))
    kernel.plug(keyboard, "event0")
    kernel.plug(motion, "event2")
    kernel.plug(MODELS["dualshock"], "event11")
    kernel.plug(XBOX_360, "event9")
    (kernel.folder / "event1").write_bytes(b"no device")
    found = PadFinder(folder=kernel.folder).look()
    assert found is not None
    assert str(found) == "Microsoft X-Box 360 pad (045e:028e, as xbox)"
    found.device.close()
    chosen = PadFinder(kernel.folder / "event11").look()
    assert chosen is not None
    assert chosen.device.identity.vendor == 0x054C
    chosen.device.close()


def test_a_device_that_is_no_pad_is_refused_with_what_to_do(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.plug(Model("Keyboard", 3, 1, 1, 1, tuple(range(1, 100)), {}), "event0")
    with pytest.raises(UserError, match="event0 is Keyboard, which has no stick"):
        PadFinder(kernel.folder / "event0").look()
    with pytest.raises(UserError, match="/dev/null is no event device"):
        PadFinder(Path("/dev/null")).look()
    assert PadFinder(kernel.folder / "event7").look() is None  # it may still come

    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(evdev.os, "open", refuse)
    for asked in (PadFinder(kernel.folder / "event0"), PadFinder(folder=kernel.folder)):
        with pytest.raises(UserError, match="usermod -aG input"):
            asked.look()


# ---------------------------------------------------------------------- the deadman


def test_the_velocity_counts_only_while_the_deadman_is_held(hold: Any) -> None:
    pad, hands = hold()
    pad.move(Y, -1.0)
    command = hands.poll()
    assert (command.linear_velocity_x, command.source, command.lost) == (0.0, "", "deadman not held")
    pad.press(LB)
    assert hands.poll().linear_velocity_x == pytest.approx(SPEED)
    pad.release(LB)
    command = hands.poll()
    assert (command.linear_velocity_x, command.yaw_rate, command.source) == (0.0, 0.0, "")


def test_a_deadman_that_is_down_when_the_pad_appears_must_be_let_go_first(hold: Any) -> None:
    pad, hands = hold(down={LB}, values={Y: -32768})
    command = hands.poll()
    assert (command.linear_velocity_x, command.source) == (0.0, "")
    assert command.lost == "deadman was held from the start: let it go first"
    pad.release(LB)
    hands.poll()
    pad.press(LB)
    assert hands.poll().linear_velocity_x == pytest.approx(SPEED)


def test_a_held_stick_that_says_nothing_new_goes_on_commanding_and_its_age_shows(hold: Any) -> None:
    pad, hands = hold()
    pad.press(LB)
    pad.move(Y, -1.0)
    hands.poll()
    command = hands.poll(60_000 * MS)
    assert (command.linear_velocity_x, command.age_s) == (pytest.approx(SPEED), 60.0)


def test_over_bluetooth_a_silent_pad_loses_its_command_until_it_speaks(hold: Any) -> None:
    pad, hands = hold(MODELS["xbox bluetooth"])
    pad.press(LB)
    pad.move(Y, -1.0)
    hands.poll()
    assert hands.poll(RADIO_SILENCE_NS).source == "gamepad"
    command = hands.poll()
    assert (command.linear_velocity_x, command.source) == (0.0, "")
    assert command.lost == "the gamepad is silent: move a stick"
    pad.move(Y, -0.99)
    assert hands.poll().source == "gamepad"


# ---------------------------------------------------------------------- sticks


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_sticks_are_monotonic_odd_and_zero_within_the_dead_zone(a: float, b: float) -> None:
    class Held:
        class device:
            axes = {0: AxisRange(-10000, 10000)}  # noqa: RUF012
            values: dict[int, int] = {}  # noqa: RUF012

    def stick(share: float) -> float:
        Held.device.values[0] = round(10000 * share)
        return GamepadCommand._stick(Held, 0)  # type: ignore[arg-type]

    a, b = sorted((a, b))
    assert stick(a) <= stick(b)
    assert stick(-a) == pytest.approx(-stick(a))
    assert abs(stick(a)) <= 1.0
    if abs(a) < DEAD_ZONE - 1e-4:
        assert stick(a) == 0.0
    assert stick(1.0) == 1.0
    assert 0.0 < stick(DEAD_ZONE + 0.01) < 0.02


def test_nobody_walks_backwards_who_cannot(hold: Any) -> None:
    pad, hands = hold()
    pad.press(LB)
    pad.move(Y, 1.0)
    assert hands.poll().linear_velocity_x == max(-SPEED, SPEC.command.linear_velocity_x[0])


# ---------------------------------------------------------------------- the d-pad


@pytest.mark.parametrize(
    ("axis", "share", "number"), [(0x11, -1.0, 1), (0x10, 1.0, 2), (0x11, 1.0, 3), (0x10, -1.0, 4)]
)
def test_the_d_pad_chooses_a_policy_once(axis: int, share: float, number: int, hold: Any) -> None:
    pad, hands = hold()
    pad.move(axis, share)
    assert [hands.poll().policy for _ in range(3)] == [number, 0, 0]
    pad.move(axis, 0.0)
    assert hands.poll().policy == 0


def test_a_d_pad_of_buttons_chooses_too_and_a_touch_surface_does_not(hold: Any) -> None:
    pad, hands = hold(MODELS["steam deck"])
    for code, number in ((0x220, 1), (0x223, 2), (0x221, 3), (0x222, 4)):
        pad.press(code)
        assert hands.poll().policy == number
    pad.emit((evdev.EV_ABS, 0x10, 1), (evdev.EV_ABS, 0x11, -1))
    assert hands.poll().policy == 0


# ---------------------------------------------------------------------- unplugged


def test_unplugged_the_robot_stands_still_at_once_and_is_stopped_softly_later(hold: Any) -> None:
    pad, hands = hold()
    pad.press(LB)
    pad.move(Y, -1.0)
    assert hands.poll().source == "gamepad"
    pad.unplug()
    command = hands.poll()
    assert (command.linear_velocity_x, command.source, command.stop) == (0.0, "", False)
    assert command.lost == "no gamepad"
    assert "the gamepad is gone: standing still" in hands.notes
    assert not hands.poll(UNPLUGGED_STOP_NS).stop
    assert hands.poll(1).stop
    assert not hands.poll(1, State.LIMP).stop
    assert not hands.poll(1).end  # the run goes on: the pad may come back


def test_a_pad_that_comes_back_is_taken_up_and_its_deadman_pressed_anew(
    hold: Any, kernel: FakeKernel
) -> None:
    pad, hands = hold()
    pad.press(LB)
    hands.poll()
    pad.unplug()
    assert hands.poll().lost == "no gamepad"
    again = kernel.plug(MODELS["dualshock generic"], "event5", down={0x134}, values={Y: 0})
    hands.until(lambda command: command.lost != "no gamepad")
    assert any("as playstation, generic driver" in note for note in hands.notes)
    assert hands.poll().source == ""
    again.release(0x134)
    hands.poll()
    again.press(0x134)
    assert hands.poll().linear_velocity_x == pytest.approx(SPEED)
    again.press(0x132)
    assert hands.poll().estop


def test_without_a_pad_the_runtime_waits_for_one(kernel: FakeKernel) -> None:
    hands = Hands(kernel, GamepadCommand(SPEC, PadFinder(folder=kernel.folder), SPEED, TURN))
    command = hands.poll()
    assert (command.source, command.stop, command.lost) == ("", False, "no gamepad")
    assert hands.notes == ["no gamepad yet: it is taken up as soon as it is connected"]
    pad = kernel.plug(XBOX_360)
    hands.until(lambda command: command.lost != "no gamepad")
    assert hands.notes[1] == "gamepad: Microsoft X-Box 360 pad (045e:028e, as xbox)"
    assert hands.notes[2].startswith("hold LB to walk")
    pad.press(START)
    assert hands.poll().stand
    hands.source.close()
    assert not any(thread.name == "gamepad" for thread in threading.enumerate())


def test_rights_that_come_a_moment_after_the_device_are_waited_for(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(kernel, GamepadCommand(SPEC, PadFinder(folder=kernel.folder), SPEED, TURN))
    hands.poll()
    refusals, really = [], os.open

    def refuse_first(path: Any, *rest: Any) -> int:
        if len(refusals) < 3:
            refusals.append(path)
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(path, *rest)

    pad_path = kernel.plug(XBOX_360).path
    monkeypatch.setattr(evdev.os, "open", refuse_first)
    hands.until(lambda command: command.lost != "no gamepad")
    assert refusals == [pad_path] * 3
    hands.source.close()


# ---------------------------------------------------------------------- a whole run


def test_a_run_by_gamepad_walks_while_the_deadman_is_held_and_its_e_stop_is_latched(
    kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pad = kernel.plug(XBOX_360)
    steps: list[tuple[int, Callable[[], None]]] = [
        (10, lambda: pad.press(START)),
        (11, lambda: pad.release(START)),
        (130, lambda: pad.press(LB)),
        (131, lambda: pad.move(Y, -1.0)),
        (160, lambda: pad.release(LB)),
        (180, lambda: pad.press(LB)),
        (200, lambda: pad.press(B)),
        (202, lambda: (pad.release(B), pad.press(START))[0]),
    ]
    tick, poll = [0], GamepadCommand.poll

    def acting(self: GamepadCommand, now_ns: int, state: State) -> Command:
        tick[0] += 1
        while steps and steps[0][0] == tick[0]:
            steps.pop(0)[1]()
        return poll(self, now_ns, state)

    monkeypatch.setattr(GamepadCommand, "poll", acting)
    monkeypatch.setattr(finder, "FOLDER", kernel.folder)
    log, figures = tmp_path / "log", tmp_path / "figures.json"
    flags = ("--gamepad", str(pad.path), "--log", str(log), "--json", str(figures))
    assert run_small_policy(monkeypatch, tmp_path, *flags, fast=False) == 0
    assert not steps
    commands = messages(log, "robot_command")
    by_state = list(dict.fromkeys(command.state for command in commands))
    assert by_state == ["limp", "standing_up", "standing", "walking", "estop"]
    assert commands[-1].torque_gain == 0.0
    walking = [command for command in commands if command.state == "walking"]
    assert {command.command_source for command in walking} == {"gamepad"}
    assert max(command.user_command[0] for command in walking) == pytest.approx(0.3)
    let_go = [command for command in commands if command.command_source == "" and command.state == "standing"]
    assert len(let_go) >= 15
    assert {tuple(command.user_command) for command in let_go} == {(0.0, 0.0)}
    told = [event.text for event in messages(log, "robot_event") if event.name == "command"]
    assert told[0] == "gamepad: Microsoft X-Box 360 pad (045e:028e, as xbox)"
    assert told[2:] == [
        "commanded by gamepad",
        "command of gamepad lost (deadman not held): standing still",
        "commanded by gamepad",
        "asked to let go at once",
    ]
    health = messages(log, "robot_health")[-1]
    assert (health.command_source, health.commands_lost) == ("gamepad", 1)
    printed = capsys.readouterr()
    assert "commands lost" in printed.out
    assert "command of gamepad lost (deadman not held): standing still" in printed.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--gamepad", "--keyboard"), "--keyboard and --gamepad exclude each other"),
        (("--gamepad", "--lcm-command"), "--gamepad and --lcm-command exclude each other"),
        (("--gamepad", "--fast"), "nobody the time"),
        (("--gamepad", "--bench"), "--gamepad means nothing to it"),
        (("--gamepad", "/dev/null", "/dev/zero"), "takes one device, but 2 were given"),
        (("--gamepad", "/dev/null"), "/dev/null is no event device"),
        (("--lcm-source", "view"), "says whom --lcm-command obeys"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    flags: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=message):
        run_small_policy(monkeypatch, tmp_path, *flags, fast=False)


def test_a_policy_that_the_gamepad_s_flag_swallowed_is_missed_with_a_hint(tmp_path: Path) -> None:
    from wildrobot.runtime import run

    with pytest.raises(UserError, match="Name it before --gamepad"):
        run.main(["--gamepad", str(tmp_path / "policy.onnx")])


def test_hats_count_from_minus_one_to_one() -> None:
    assert {model.axes.get(0x10, HAT) for name, model in MODELS.items() if name != "steam deck"} == {HAT}
