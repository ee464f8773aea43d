"""Commands from a gamepad: what every button does, the deadman, stops, unplugged and back, a whole run."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gamepad_helpers import (
    HAT,
    LB,
    MODELS,
    START,
    UNKNOWN,
    XBOX_360,
    A,
    B,
    FakeKernel,
    FakePad,
    Model,
    Y,
    fake_kernel,
)
from hypothesis import given
from hypothesis import strategies as st
from runtime_helpers import SPEC

from wildrobot.runtime.commands.gamepad import evdev
from wildrobot.runtime.commands.gamepad.command import (
    DEAD_ZONE,
    RADIO_SILENCE_NS,
    UNPLUGGED_STOP_NS,
    GamepadCommand,
)
from wildrobot.runtime.commands.gamepad.evdev import AxisRange
from wildrobot.runtime.commands.gamepad.finder import PadFinder
from wildrobot.runtime.commands.gamepad.layouts import Stick
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.state_machine import State

MS = 1_000_000
SPEED, TURN = 0.3, 0.2


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return fake_kernel(tmp_path, monkeypatch)


class Hands:
    """A pad in somebody's hands, and the runtime that polls its commands every 20 ms."""

    def __init__(self, kernel: FakeKernel, source: GamepadCommand) -> None:
        self.kernel, self.source, self.now_ns = kernel, source, 10**12
        self.notes: list[str] = []

    def poll(self, after_ns: int = 20 * MS, state: State = State.WALKING) -> OperatorCommand:
        self.now_ns += after_ns
        command = self.source.poll(self.now_ns, state)
        self.notes += [note.text for note in command.notes]
        return command

    def until(self, done: Callable[[OperatorCommand], bool]) -> OperatorCommand:
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
        source = GamepadCommand(SPEC, PadFinder(), SPEED, TURN)
        opened.append(source)
        return pad, Hands(kernel, source)

    yield take
    for source in opened:
        source.close()


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
    "8bitdo ultimate": (LB, START, A, B, 2),
    "steam deck": (LB, START, A, B, 3),
    "logitech d": (0x124, 0x129, 0x121, 0x122, 2),
    "logitech x": (LB, START, A, B, 3),
    "no-name gamepad": (LB, START, A, B, 2),
    "twin joystick": (0x126, 0x129, 0x122, 0x121, 5),
    "snes": (0x124, 0x129, 0x122, 0x121, 0),
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
    pad, hands = hold(down={LB})
    pad.move(Y, -1.0)
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
    assert command.lost == "the gamepad sends nothing: move a stick"
    pad.move(Y, -0.99)
    assert hands.poll().source == "gamepad"


# ---------------------------------------------------------------------- sticks


@pytest.mark.parametrize(("axis", "name"), [(Y, "left stick"), (3, "right stick")])
@pytest.mark.parametrize("at", [-1.0, 0.5, 1.0])
def test_a_stick_that_is_away_from_its_centre_at_the_start_is_told_and_counts_once_it_was_there(
    axis: int, name: str, at: float, hold: Any
) -> None:
    pad, hands = hold(values={axis: round(32767 * at)})
    pad.press(LB)
    command = hands.poll()
    assert (command.linear_velocity_x, command.yaw_rate, command.source) == (0.0, 0.0, "")
    assert command.lost == f"bring the {name} to its centre first"
    assert [note for note in hands.notes if note.startswith(f"the {name} (axis {axis}) rests at {at:+.0%}")]
    pad.press(START)
    pad.press(B)
    command = hands.poll()
    assert (command.stand, command.estop) == (True, True)  # stops never wait
    pad.release(START, B)
    pad.move(axis, 0.9)
    assert hands.poll().source == ""
    pad.move(axis, 0.1)
    pad.move(axis, -1.0)  # at the centre between two polls
    command = hands.poll()
    assert command.source == "gamepad"
    assert command.linear_velocity_x + command.yaw_rate == pytest.approx(
        SPEED if axis == Y else TURN, rel=0.01
    )


def test_both_sticks_at_their_ends_are_named_and_one_at_rest_is_not(hold: Any) -> None:
    pad, hands = hold(values={Y: -32768, 3: 32767})
    pad.press(LB)
    assert hands.poll().lost == "bring the left stick and the right stick to its centre first"
    pad.move(Y, 0.0)
    assert hands.poll().lost == "bring the right stick to its centre first"
    pad.move(3, 0.0)
    assert hands.poll().source == "gamepad"


def test_a_stick_that_rests_within_its_slack_is_none_to_tell_of(hold: Any) -> None:
    pad, hands = hold(values={Y: 6000})
    pad.press(LB)
    assert hands.poll().source == "gamepad"
    assert not [note for note in hands.notes if "rests at" in note]


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_sticks_are_monotonic_odd_and_zero_within_the_dead_zone(a: float, b: float) -> None:
    class Held:
        class device:
            axes = {0: AxisRange(-10000, 10000)}  # noqa: RUF012
            values: dict[int, int] = {}  # noqa: RUF012

    def stick(share: float) -> float:
        Held.device.values[0] = round(10000 * share)
        return GamepadCommand._stick(Held, Stick(0))  # type: ignore[arg-type]

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
    again = kernel.plug(MODELS["dualshock generic"], "event5", down={0x134})
    hands.until(lambda command: command.lost != "no gamepad")
    assert any("(054c:09cc), buttons by SDL's table" in note for note in hands.notes)
    assert hands.poll().source == ""
    again.release(0x134)
    hands.poll()
    again.press(0x134)
    again.move(Y, -1.0)
    assert hands.poll().linear_velocity_x == pytest.approx(SPEED)
    again.press(0x132)
    assert hands.poll().estop


def test_without_a_pad_the_runtime_waits_for_one(kernel: FakeKernel) -> None:
    hands = Hands(kernel, GamepadCommand(SPEC, PadFinder(), SPEED, TURN))
    command = hands.poll()
    assert (command.source, command.stop, command.lost) == ("", False, "no gamepad")
    assert hands.notes == ["no gamepad yet: it is taken up as soon as it is connected"]
    pad = kernel.plug(XBOX_360)
    hands.until(lambda command: command.lost != "no gamepad")
    assert hands.notes[1] == "gamepad: Microsoft X-Box 360 pad (045e:028e), buttons by SDL's table"
    assert hands.notes[2].startswith("hold LB to walk")
    pad.press(START)
    assert hands.poll().stand
    hands.source.close()
    assert not any(thread.name == "gamepad" for thread in threading.enumerate())


def test_a_pad_that_comes_later_and_that_nobody_knows_is_told_once_and_a_known_one_taken(
    kernel: FakeKernel,
) -> None:
    hands = Hands(kernel, GamepadCommand(SPEC, PadFinder(), SPEED, TURN))
    hands.poll()
    pad = kernel.plug(UNKNOWN["no-name joystick"])
    hands.until(lambda _: len(hands.notes) > 1)
    assert f"wildrobot gamepad learn {pad.path}" in hands.notes[1]
    for _ in range(20):
        hands.poll()
        time.sleep(0.002)
    assert len(hands.notes) == 2
    kernel.plug(XBOX_360, "event9")
    hands.until(lambda command: command.lost != "no gamepad")
    assert hands.notes[2].startswith("gamepad: Microsoft X-Box 360 pad")
    hands.source.close()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_rights_that_come_a_moment_after_the_device_are_waited_for(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(kernel, GamepadCommand(SPEC, PadFinder(), SPEED, TURN))
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


def test_hats_count_from_minus_one_to_one() -> None:
    assert {model.axes.get(0x10, HAT) for name, model in MODELS.items() if name != "steam deck"} == {HAT}
