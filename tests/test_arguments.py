"""Arguments of every command: values have names, defaults say something, a mistake is one line with what to do."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from unittest import mock

import pytest
import tyro

from wildrobot.cli import main as cli
from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.common.wording import metavar
from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean

NOISE = re.compile(
    r"\b(INT|FLOAT|STR|PATH|BOOL)\b|\{None|None\}|,None|\{True|\(default: (None|False|True)?\)|STR\]"
)


class ParserFoundError(Exception):
    def __init__(self, parser: Any) -> None:
        self.parser = parser


def parsers_of(command: cli.Command) -> Iterator[Any]:
    """The parsers of a command and of its sub-commands."""

    def stop(options: Any, *, args: Any, **settings: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parser: Any = tyro.extras.get_parser(options, **settings)
            parser.pages = [one.format_help() for one in below(parser)]
            raise ParserFoundError(parser)

    with mock.patch.object(tyro, "cli", stop), pytest.raises(ParserFoundError) as found:
        cli.run_command(command, [], f"wildrobot {command.name}")
    return below(found.value.parser)


def below(parser: Any) -> Iterator[Any]:
    yield parser
    for action in parser._actions:
        if isinstance(action.choices, Mapping):
            for one in action.choices.values():
                yield from below(one)


@pytest.mark.parametrize(
    "command", [c for c in cli.COMMANDS if c.name != "completion"], ids=lambda command: command.name
)
def test_every_value_has_a_name_and_no_default_is_noise(command: cli.Command) -> None:
    parsers = list(parsers_of(command))
    named = [action for parser in parsers for action in parser._actions if action.nargs != 0]
    assert named
    assert [action.dest for action in named if NOISE.search(str(action.metavar))] == []
    for page in parsers[0].pages:
        assert not NOISE.search(page), NOISE.findall(page)


def test_every_command_stands_under_one_heading() -> None:
    listed = [command for commands in cli.grouped().values() for command in commands]
    assert sorted(command.name for command in listed) == sorted(command.name for command in cli.COMMANDS)
    page = cli.overview()
    assert [title for title in cli.GROUPS if f"\n{title}:\n  " in page] == list(cli.GROUPS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("servo raed", "'wildrobot servo' has no command 'raed'; did you mean 'read'?"),
        ("servo", "'wildrobot servo' needs to know what to do: scan, read"),
        ("servo set-id 1 --port PORT", "'wildrobot servo set-id' needs OLD NEW; NEW is missing"),
        ("servo set-id 1 four", "NEW is 'four', expected a whole number"),
        ("servo scan --baud 5x", "--baud is '5x', expected a whole number"),
        ("servo scan 4", "takes flags only: '4' is one word too many"),
        ("servo read 4 present_position --prot PORT", "has no flag --prot; did you mean --port?"),
        ("log inof", "Did you mean 'wildrobot log info'?"),
        ("log info", "'wildrobot log info' needs LOG; LOG is missing"),
        ("log info a b", "takes LOG: 'b' is one word too many"),
        ("reference biuld", "Did you mean 'wildrobot reference build'?"),
        ("run --robot dynamixle", "expected sim or dynamixel; did you mean 'dynamixel'?"),
        ("run --robot=dynamixle", "expected sim or dynamixel; did you mean 'dynamixel'?"),
        ("run --lcm_comand", "has no flag --lcm-comand; did you mean --lcm-command?"),
        ("run --speed", "--speed needs a value: --speed M/S"),
        ("run --speed fast", "--speed is 'fast', expected a number"),
        ("doctor --pose hom", "expected zero or home; did you mean 'home'?"),
        ("calibrate --only identify offset", "--only is 'offset'"),
        ("log export walk.lcmlog", "needs --out FILE.mcap|FOLDER"),
        ("log diff a.lcmlog b.lcmlog --channels robot_stat", "did you mean 'robot_state'?"),
        ("train --ppo.clp 0.1", "did you mean --ppo.clip?"),
        ("train --confg run.yaml", "did you mean --config?"),
        ("train --observation.command x", "--observation.command is 'x', expected a whole number"),
        ("make-run --preset qick", "Did you mean 'quick'?"),
        ("film --out FOLDER --scenes wlak_030", "did you mean 'walk_030'?"),
        ("completion bsh", "wildrobot completion bash"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["wildrobot"])
    with pytest.raises(UserError) as error:
        cli.main(line.split())
    text = str(error.value)
    assert said in text
    assert "\n" not in text
    assert "╭" not in text
    assert capsys.readouterr() == ("", "")


@dataclass
class Options:
    """Everything at once."""

    log: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    duration_s: float | None = None
    span_m: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    start: Literal["stand", "limp"] | None = None
    fast: bool = False


def test_options_are_as_before_when_they_have_been_read() -> None:
    before = dict(Options.__annotations__)
    given = "walk.lcmlog --duration-s -2.5 --span-m -1 .5 --names a b --start limp --fast"
    read = parse_options(Options, given.split(), "text")
    assert read == Options(Path("walk.lcmlog"), -2.5, (-1.0, 0.5), ("a", "b"), "limp", True)
    assert Options.__annotations__ == before
    with pytest.raises(UserError, match=r"needs a value: --span-m M M\."):
        parse_options(Options, ["walk.lcmlog", "--span-m", "1", "--fast"], "text")
    assert Options.__annotations__ == before


def test_help_still_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_options(Options, ["--help"], "What it is.")
    assert end.value.code in (0, None)
    page, other = capsys.readouterr()
    assert other == ""
    assert "What it is." in page
    assert "--start {stand,limp}" in page
    assert "--duration-s SECONDS" in page


def test_names_of_values_tell_the_unit() -> None:
    assert metavar("turn_rate_rad_s", float) == "RAD/S"
    assert metavar("stand_s", float | None) == "SECONDS"
    assert metavar("speeds_m_s", tuple[float, ...]) == "M/S [M/S ...]"
    assert metavar("seed", int) == "N"
    assert metavar("fast", bool) is None


def test_a_word_like_no_other_names_them_all() -> None:
    assert did_you_mean("raed", ("scan", "read")) == "did you mean 'read'?"
    assert did_you_mean("zzz", ("scan", "read")) == "known: scan, read."


def test_all_commands_read_their_arguments_in_one_way() -> None:
    sources = Path(cli.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "tyro.cli(" in path.read_text()] == ["arguments.py"]
