"""`wildrobot completion`: what bash, zsh and fish make of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from wildrobot.cli import completion
from wildrobot.cli import main as cli
from wildrobot.core.errors import UserError

WORDS: completion.Words = {
    (): ["reference", "report", "run", "servo", "--help"],
    ("reference",): ["build", "show"],
    ("reference", "show"): ["--video", "--html", "--help"],
    ("report",): ["--out", "--compare"],
    ("run",): ["--robot", "--speed"],
    ("servo",): ["scan", "read"],
    ("servo", "scan"): ["--port", "--all-bauds"],
}
CASES = (
    ("wildrobot re", ["reference", "report"]),
    ("wildrobot reference ", ["build", "show"]),
    ("wildrobot reference s", ["show"]),
    ("wildrobot reference show --", ["--video", "--html", "--help"]),
    ("wildrobot reference show a.npz --v", ["--video"]),
    ("wildrobot servo scan --p", ["--port"]),
    ("wildrobot-run walk.onnx --s", ["--speed"]),
    ("wildrobot nothing --o", []),
)


@pytest.fixture(params=("bash", "zsh"))
def script(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / "completion"
    path.write_text(completion.script(request.param, WORDS))
    return request.param, path


def test_the_shell_takes_the_script(script: tuple[str, Path]) -> None:
    shell, path = script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", str(path)], check=True, timeout=30)


def completed_by_bash(line: str, folder: Path, choices: completion.Words | None = None) -> list[str]:
    """What bash offers at the end of the line."""
    path = folder / "completion"
    path.write_text(completion.script("bash", WORDS, choices))
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    given = " ".join(f"'{word}'" for word in words)
    drive = f"source {path}; COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _wildrobot; echo ${{COMPREPLY[*]}}"
    done = subprocess.run(["bash", "-c", drive], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash_completes_commands_and_flags(line: str, expected: list[str], tmp_path: Path) -> None:
    assert completed_by_bash(line, tmp_path) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish_completes_commands_and_flags(tmp_path: Path) -> None:
    path = tmp_path / "wildrobot.fish"
    path.write_text(completion.script("fish", WORDS))
    for line, expected in CASES[:-1]:
        drive = f"source {path}; complete -C '{line}'"
        done = subprocess.run(["fish", "-c", drive], capture_output=True, text=True, check=True, timeout=30)
        assert set(expected) <= {found.partition("\t")[0] for found in done.stdout.splitlines()}


def test_every_command_is_there_with_its_flags_and_two_word_commands_with_their_second() -> None:
    words = completion.collect()
    assert set(words[()]) >= {command.words[0] for command in cli.COMMANDS}
    assert words["reference",] == ["build", "show"]
    assert set(words["servo",]) == {"scan", "read", "write", "adopt", "set-id", "torque-off", "reboot"}
    assert {"--compare", "--out", "--quiet"} <= set(words["report",])
    assert {"--preset", "--config", "--run-dir", "--ppo.clip", "--no-tensorboard"} <= set(words["train",])
    assert "--torque-off" in words["servo", "write"]
    assert words["completion",] == ["bash", "zsh", "fish"]
    for path, known in words.items():
        assert known or path[:1] == ("completion",), f"{' '.join(path)} completes nothing"


def test_a_command_whose_extra_is_missing_completes_without_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more_yet.py").write_text("raise ModuleNotFoundError(name='mujoco')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    words = completion.collect([cli.Command(("film",), "needs_more_yet", "", "", extra="sim")])
    assert words == {(): ["film", "--help", "--version"], ("film",): []}


def test_another_shell_is_refused() -> None:
    with pytest.raises(UserError, match="expected one of bash, zsh, fish"):
        completion.main(["tcsh"])


CHOICES: completion.Words = {("run", "--robot"): ["sim", "dynamixel"]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wildrobot run --robot ", ["sim", "dynamixel"]),
        ("wildrobot run walk.onnx --robot d", ["dynamixel"]),
        ("wildrobot-run --robot ", ["sim", "dynamixel"]),
        ("wildrobot run --robot sim --s", ["--speed"]),
        ("wildrobot run --speed ", ["--robot", "--speed"]),
    ],
)
def test_bash_completes_what_a_flag_may_be(line: str, expected: list[str], tmp_path: Path) -> None:
    assert completed_by_bash(line, tmp_path, CHOICES) == expected


def test_choices_are_the_parsers() -> None:
    choices = completion.choices_of(completion.collect_syntax())
    assert choices["run", "--robot"] == ["sim", "dynamixel"]
    assert choices["export", "--checkpoint"] == ["best", "last"]
    assert not [path for path in choices if path[0] == "completion"]
