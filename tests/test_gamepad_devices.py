"""Gamepads as the kernel and SDL see them: events, the layouts of many pads, finding one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from gamepad_helpers import (
    LB,
    MODELS,
    XBOX_360,
    XPAD_KEYS,
    A,
    B,
    FakeKernel,
    Model,
    X,
    Y,
    axes,
    fake_kernel,
    open_files,
    told,
)
from hypothesis import given
from hypothesis import strategies as st

from wildrobot.cli.robot import doctor
from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad import evdev
from wildrobot.runtime.commands.gamepad.evdev import AxisRange, DeviceGone, InputDevice
from wildrobot.runtime.commands.gamepad.finder import PadFinder

RX = 3


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return fake_kernel(tmp_path, monkeypatch)


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


# ---------------------------------------------------------------------- doctor


def test_the_doctor_names_the_pad_its_buttons_and_what_is_wrong(kernel: FakeKernel) -> None:
    assert told() == ["warning gamepad: none in /dev/input. Connect it; on Bluetooth, pair it first"]
    pad = kernel.plug(XBOX_360)
    (line,) = told()
    assert line.startswith(
        "ok gamepad: Microsoft X-Box 360 pad (045e:028e), buttons by SDL's table: hold LB to walk"
    )
    pad.unplug()
    kernel.plug(MODELS["dualsense"], "event8", down={LB})
    _, radio, stuck = told()
    assert "warning gamepad: on Bluetooth" in radio
    assert "a button is down (0x136)" in stuck
    assert told(Path("/dev/null"))[0].startswith("error gamepad: /dev/null is no event device")
    _, stick = told(kernel.plug(MODELS["logitech d"], "event9", values={Y: 0}).path)
    assert stick.startswith("warning gamepad: the left stick (axis 1) rests at -100% of its way")


def test_the_doctor_looks_for_a_pad_when_asked(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.plug(XBOX_360)
    doctor.main(["--gamepad"])
    assert "gamepad: Microsoft X-Box 360 pad" in capsys.readouterr().out
    doctor.main([])
    assert "gamepad" not in capsys.readouterr().out
    with pytest.raises(UserError, match="takes one device, but 2"):
        doctor.main(["--gamepad", "a", "b"])


# ---------------------------------------------------------------------- finding


def test_the_first_pad_is_taken_and_what_is_none_is_passed_over(kernel: FakeKernel) -> None:
    keyboard = Model("Keyboard", 3, 1, 1, 1, tuple(range(1, 100)), {})
    motion = Model("Motion Sensors", 3, 0x054C, 0x09CC, 0x8111, (), axes((-100, 100), 0, 1, 2))
    kernel.plug(keyboard, "event0")
    kernel.plug(motion, "event2")
    kernel.plug(MODELS["dualshock"], "event11")
    kernel.plug(XBOX_360, "event9")
    (kernel.folder / "event1").write_bytes(b"no device")
    before = open_files()
    found = PadFinder().look()
    assert found is not None
    assert open_files() == before + 1
    assert str(found) == "Microsoft X-Box 360 pad (045e:028e), buttons by SDL's table"
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
    for asked in (PadFinder(kernel.folder / "event0"), PadFinder()):
        with pytest.raises(UserError, match="usermod -aG input"):
            asked.look()
