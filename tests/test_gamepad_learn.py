"""`wildrobot gamepad learn`: questions about a pad that nobody knows, and what is kept of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from gamepad_helpers import MODELS, START, UNKNOWN, FakeKernel, FakePad, Y, fake_kernel, numbered

from wildrobot.cli.main import find_command
from wildrobot.cli.robot import gamepad_learn
from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad import learn, sdl
from wildrobot.runtime.commands.gamepad.evdev import InputDevice
from wildrobot.runtime.commands.gamepad.finder import PadFinder
from wildrobot.runtime.commands.gamepad.layouts import Stick, choose_layout
from wildrobot.runtime.doctor import check_gamepad

ESTOP, SOFT, STAND, DEADMAN, TURN = 0x123, 0x120, 0x12B, 0x127, 5
PAD = UNKNOWN["no-name joystick"]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    monkeypatch.setattr(learn, "PATIENCE_S", 0.3)
    monkeypatch.setattr(learn, "POLL_S", 0.001)
    return fake_kernel(tmp_path, monkeypatch)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "config" / "wildrobot" / "gamepads.yaml"


class Person:
    """Answers every question, by a part of it, with a hand on the pad; what it was asked is in `said`."""

    def __init__(self, pad: FakePad, **other: Callable[[], None]) -> None:
        self.pad, self.said = pad, list[str]()
        self.answers: dict[str, Callable[[], None]] = {
            "turns the torque off at once": lambda: self.tap(ESTOP),
            "stop it softly": lambda: self.tap(SOFT),
            "make it stand up": lambda: self.tap(STAND),
            "the deadman": lambda: self.tap(DEADMAN),
            "FORWARD": lambda: self.push(Y, -1.0),
            "RIGHT": lambda: self.push(TURN, 1.0),
            "Once more": lambda: self.tap(ESTOP),
        } | {key.replace("_", " "): value for key, value in other.items()}

    def tap(self, *codes: int) -> None:
        for code in codes:
            self.pad.press(code)
            self.pad.release(code)

    def push(self, axis: int, end: float) -> None:
        for share in (0.5 * end, end, 0.2 * end):
            self.pad.move(axis, share)

    def hear(self, text: str) -> None:
        self.said.append(text)
        for key, answer in self.answers.items():
            if key in text and (text.startswith(("Press", "Push", "Once"))):
                answer()
                return


@pytest.fixture
def asked(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Person]:
    """Runs the command with a person who answers."""

    def run(*arguments: str, model: Any = PAD, **answers: Callable[[Person], None]) -> Person:
        person = Person(kernel.plug(model, "event4"))
        for key, answer in answers.items():
            person.answers[key.replace("_", " ")] = lambda answer=answer: answer(person)  # type: ignore[misc]
        monkeypatch.setattr(gamepad_learn, "print", lambda text, **_: person.hear(text), raising=False)
        run.person = person  # type: ignore[attr-defined]
        assert gamepad_learn.main(arguments) == 0
        return person

    return run


def test_what_was_pressed_is_what_the_buttons_do_from_then_on(
    asked: Callable[..., Person], own: Path, kernel: FakeKernel
) -> None:
    kernel.plug(PAD, "event1")
    with pytest.raises(UserError, match="wildrobot gamepad learn"):
        PadFinder().look()
    kernel.folder.joinpath("event1").unlink()
    person = asked()
    assert f"hold your deadman button ({DEADMAN:#x}) to walk" in person.said[-1]
    assert f"your E-STOP button ({ESTOP:#x}): torque off at once" in person.said[-1]
    pad = PadFinder().look()
    assert pad is not None
    layout = pad.layout
    assert layout.origin == f"what was learned ({own})"
    assert list(layout.buttons.values()) == [DEADMAN, STAND, SOFT, ESTOP]
    assert (layout.speed, layout.turn) == (Stick(Y), Stick(TURN))
    pad.device.close()
    (line,) = check_gamepad()
    assert line.level == "ok"
    assert f"buttons by what was learned ({own}): hold your deadman" in str(line)


def test_a_stick_that_counts_the_other_way_round_is_learned_so(
    asked: Callable[..., Person], kernel: FakeKernel
) -> None:
    asked(FORWARD=lambda one: one.push(2, 1.0), RIGHT=lambda one: one.push(0, -1.0))
    device = InputDevice(kernel.folder / "event4")
    layout = choose_layout(device)
    assert (layout.speed, layout.turn) == (Stick(2, inverted=True), Stick(0, inverted=True))
    device.close()


def test_a_button_serves_once_and_the_d_pad_not_at_all(asked: Callable[..., Person], own: Path) -> None:
    model = MODELS["steam deck"]

    def answer(person: Person) -> None:
        person.tap(0x220)
        person.tap(0x130)

    person = asked(
        model=model,
        turns_the_torque_off_at_once=lambda one: one.tap(0x131),
        stop_it_softly=answer,
        make_it_stand_up=lambda one: one.tap(START),
        the_deadman=lambda one: one.tap(0x131, START, 0x136),
        RIGHT=lambda one: (one.push(Y, 1.0), one.push(3, 1.0))[0],
        Once_more=lambda one: one.tap(0x131),
    )
    assert "  The d-pad chooses policies. Press another." in person.said
    assert "  That one is E-STOP already. Press another." in person.said
    assert "  That one is stand up already. Press another." in person.said
    (entry,) = yaml.safe_load(own.read_text()).values()
    assert entry == {
        "name": model.name, "deadman": 0x136, "stand": START, "soft_stop": 0x130, "estop": 0x131,
        "speed_axis": Y, "speed_inverted": False, "turn_axis": 3, "turn_inverted": False,
    }  # fmt: skip


def test_a_trigger_is_no_stick(asked: Callable[..., Person], own: Path) -> None:
    """It rests at its end, passes the centre, and reaches the other end."""

    def trigger_then_stick(person: Person) -> None:
        person.pad.emit(*((3, 2, value) for value in (0, 200, 255, 200, 0)))
        person.push(Y, -1.0)

    model = MODELS["xbox"]
    asked(
        model=model,
        turns_the_torque_off_at_once=lambda one: (one.pad.emit((3, 2, 0)), one.tap(0x131))[0],
        stop_it_softly=lambda one: one.tap(0x130),
        make_it_stand_up=lambda one: one.tap(START),
        the_deadman=lambda one: one.tap(0x136),
        FORWARD=trigger_then_stick,
        RIGHT=lambda one: one.push(3, 1.0),
        Once_more=lambda one: one.tap(0x131),
    )
    (entry,) = yaml.safe_load(own.read_text()).values()
    assert entry["speed_axis"] == Y


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"the_deadman": lambda one: None}, "without a button pressed. Nothing was written"),
        (
            {"FORWARD": lambda one: one.push(0x10, 1.0)},
            "without a stick pushed and released. Nothing was written",
        ),
        ({"RIGHT": lambda one: one.push(Y, 1.0)}, "without a stick pushed"),
        ({"RIGHT": lambda one: one.pad.unplug()}, "the gamepad is gone. Nothing was written"),
        (
            {"Once_more": lambda one: one.tap(SOFT)},
            "that was 0x120, but E-STOP was 0x123 before. Nothing was",
        ),
        ({"the_deadman": lambda one: one.pad.press(DEADMAN)}, "all buttons released: one is stuck, or held"),
    ],
)
def test_half_an_answer_writes_nothing(
    answers: dict[str, Callable[[Person], None]], message: str, asked: Callable[..., Person], own: Path
) -> None:
    with pytest.raises(UserError, match=message):
        asked(**answers)
    assert not own.exists()


def test_what_is_learned_is_put_beside_what_was_and_the_person_s_own_comes_first(
    asked: Callable[..., Person], own: Path, kernel: FakeKernel, tmp_path: Path
) -> None:
    machine = tmp_path / "xdg" / "wildrobot" / "gamepads.yaml"
    person = asked("--output", str(machine))
    layout = choose_layout(InputDevice(person.pad.path))
    assert layout.origin == f"what was learned ({machine})"
    person.pad.unplug()
    asked(model=UNKNOWN["logitech stick"])
    assert len(yaml.safe_load(own.read_text())) == 1
    asked.person.pad.unplug()  # type: ignore[attr-defined]
    asked(turns_the_torque_off_at_once=lambda one: one.tap(0x121), Once_more=lambda one: one.tap(0x121))
    assert len(yaml.safe_load(own.read_text())) == 2
    pad = asked.person.pad  # type: ignore[attr-defined]
    device = InputDevice(pad.path)
    assert choose_layout(device).estop == 0x121
    assert (
        choose_layout(device, {"XDG_CONFIG_DIRS": str(tmp_path / "xdg")}).estop == ESTOP
    )  # a service, without a home
    device.close()
    assert sdl.guid(device.identity, device.name) in yaml.safe_load(own.read_text())


def test_a_file_elsewhere_is_written_and_said_not_to_be_read(
    asked: Callable[..., Person], tmp_path: Path
) -> None:
    person = asked("--output", str(tmp_path / "pads.yaml"))
    assert "run and doctor read" in person.said[-1]
    with pytest.raises(ValueError, match="neither SDL's table"):
        choose_layout(InputDevice(person.pad.path))


def test_a_learned_pad_that_another_driver_numbers_otherwise_is_refused(
    asked: Callable[..., Person], kernel: FakeKernel
) -> None:
    asked().pad.unplug()
    kernel.plug(replace(PAD, keys=numbered(0x130, 12)))
    with pytest.raises(
        UserError, match=r"by what was learned \(.*\) it should have, but has not: deadman \(code 0x127"
    ):
        PadFinder().look()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("'{guid}': 3", "expected its buttons. Delete the entry"),
        ("'{guid}': {{estop: 3}}", "lacks name, deadman"),
        ("'{guid}': {{estop: many}}", "estop"),
    ],
)
def test_a_broken_file_is_refused_by_run_and_learn(
    text: str, message: str, asked: Callable[..., Person], own: Path, kernel: FakeKernel
) -> None:
    device = InputDevice(kernel.plug(PAD, "event4").path)
    own.parent.mkdir(parents=True)
    own.write_text(text.format(guid=sdl.guid(device.identity, device.name)))
    device.close()
    with pytest.raises(UserError, match=message):
        PadFinder().look()
    kernel.folder.joinpath("event4").unlink()
    with pytest.raises(UserError, match=message):
        asked()


def test_which_pad_is_meant_is_asked_for_and_none_is_said(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="there is no gamepad in /dev/input"):
        gamepad_learn.main([])
    kernel.plug(PAD, "event1")
    kernel.plug(MODELS["xbox"], "event2")
    with pytest.raises(
        UserError, match=r"there are 2 gamepads: .*event1 \(DragonRise.*Name the one to learn"
    ):
        gamepad_learn.main([])
    with pytest.raises(UserError, match="is no event device"):
        gamepad_learn.main(["/dev/null"])
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")
    with pytest.raises(UserError, match="name a file with --output"):
        gamepad_learn.main([])


def test_a_folder_that_may_not_be_written_to_is_told_of_before_the_questions(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel.plug(PAD)
    monkeypatch.setattr(gamepad_learn.os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path} may not be written to. Use sudo"):
        gamepad_learn.main(["--output", str(tmp_path / "new" / "pads.yaml")])


def test_the_command_is_found_by_its_two_words() -> None:
    command, rest = find_command(["gamepad", "learn", "x"])
    assert (command.module, rest) == ("wildrobot.cli.robot.gamepad_learn", ["x"])
