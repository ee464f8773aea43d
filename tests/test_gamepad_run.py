"""A whole run by gamepad, and its flags on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gamepad_helpers import (
    LB,
    START,
    XBOX_360,
    B,
    Y,
    fake_kernel,
)
from runtime_helpers import run_small_policy
from test_run import messages

from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad.command import (
    GamepadCommand,
)
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.state_machine import State


def test_a_run_by_gamepad_walks_while_the_deadman_is_held_and_its_e_stop_is_latched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pad = fake_kernel(tmp_path, monkeypatch).plug(XBOX_360)
    steps: list[tuple[int, Callable[[], None]]] = [
        (20, lambda: pad.press(START)),
        (21, lambda: pad.release(START)),
        (130, lambda: pad.press(LB)),
        (131, lambda: pad.move(Y, -1.0)),
        (160, lambda: pad.release(LB)),
        (180, lambda: pad.press(LB)),
        (200, lambda: pad.press(B)),
        (202, lambda: (pad.release(B), pad.press(START))[0]),
    ]
    tick, poll = [0], GamepadCommand.poll

    def acting(self: GamepadCommand, now_ns: int, state: State) -> OperatorCommand:
        tick[0] += 1
        while steps and steps[0][0] == tick[0]:
            steps.pop(0)[1]()
        return poll(self, now_ns, state)

    monkeypatch.setattr(GamepadCommand, "poll", acting)
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
    assert told[0] == "gamepad: Microsoft X-Box 360 pad (045e:028e), buttons by SDL's table"
    assert told[2:] == [
        "commanded by gamepad",
        "command of gamepad lost (deadman not held): standing still",
        "commanded by gamepad",
        "asked for torque off at once",
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
        (("--lcm-source", "view"), "says which sources --lcm-command accepts"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    flags: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=message):
        run_small_policy(monkeypatch, tmp_path, *flags, fast=False)


def test_a_policy_that_the_gamepad_s_flag_swallowed_is_missed_with_a_hint(tmp_path: Path) -> None:
    from wildrobot.cli.run import run

    with pytest.raises(UserError, match="Name it before --gamepad"):
        run.main(["--gamepad", str(tmp_path / "policy.onnx")])
