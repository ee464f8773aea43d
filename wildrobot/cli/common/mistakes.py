"""What is wrong with a command's arguments, in one line that says what to do."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import tyro

from wildrobot.core.nearest import did_you_mean, nearest

BROKEN_NUMBERS = (
    (r"Error parsing (\S+?): no type .*? from \['(.*?)'\].*<class 'int'>", "a whole number"),
    (r"Error parsing (\S+?): no type .*? from \['(.*?)'\].*<class 'float'>", "a number"),
    (r"Error parsing (\S+?): invalid literal for int\(\) with base \d+: '(.*?)'", "a whole number"),
    (r"Error parsing (\S+?): could not convert string to float: '(.*?)'", "a number"),
)


def explain(
    options: Any,
    settings: Mapping[str, Any],
    words: Sequence[str],
    said: str,
    early_flags: Sequence[str] = (),
) -> str:
    """Why tyro refuses `words`: the first mistake that is found, and the command whose help explains more.

    `settings` are those of `tyro.cli`, `said` is what it printed: what is left to say where nothing here knows better.
    """
    with warnings.catch_warnings():
        # tyro means to replace this one day; nothing else of it that is public has the flags as data
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Any = tyro.extras.get_parser(options, **settings)
    program, rest = sys.argv[0], list(words)
    while commands := _commands(parser):
        if not rest or rest[0] not in commands:
            return f"{_no_command(program, rest, commands)} `{program} --help` explains them."
        program, parser = f"{program} {rest[0]}", commands[rest.pop(0)]
    return f"{_mistake(parser, program, rest, said, early_flags)} `{program} --help` explains it."


def _commands(parser: Any) -> Mapping[str, Any]:
    return next((a.choices for a in parser._actions if isinstance(a.choices, Mapping)), {})


def _no_command(program: str, rest: Sequence[str], commands: Mapping[str, Any]) -> str:
    if not rest or rest[0].startswith("-"):
        return f"'{program}' needs to know what to do: {', '.join(commands)}."
    return f"'{program}' has no command '{rest[0]}'; {did_you_mean(rest[0], commands)}"


def _mistake(parser: Any, program: str, words: Sequence[str], said: str, early_flags: Sequence[str]) -> str:
    actions = {flag: action for action in parser._actions for flag in action.option_strings}
    positions = [action for action in parser._actions if not action.option_strings]
    free: list[str] = []
    takes: tuple[int, float] = (0, 0)
    for at, word in enumerate(words):
        if not _is_flag(word):
            # a value of the flag before it, as long as that takes some
            takes = (takes[0], takes[1] - 1)
            if takes[1] < 0:
                free.append(word)
            continue
        flag, _, value = word.partition("=")
        flag = "--" + flag[2:].replace("_", "-") if flag.startswith("--") else flag
        if flag not in actions:
            hint = did_you_mean(flag, [*(f for f in actions if f.startswith("--")), *early_flags])
            return f"'{program}' has no flag {flag}; {hint.replace(chr(39), '')}"
        action = actions[flag]
        takes = _takes(action)
        given = [value] if value else _until_flag(words[at + 1 :])[: int(min(takes[1], len(words)))]
        if value:
            takes = (0, 0)
        elif len(given) < takes[0]:
            return f"{flag} needs a value: {flag} {_shown(action)}."
        if wrong := [one for one in given if action.choices and one not in action.choices]:
            # as the help has them: tyro's own order differs from start to start
            choices = str(action.metavar).partition(" ")[0].strip("{}").split(",")
            near = nearest(wrong[0], choices)
            return f"{flag} is '{wrong[0]}', expected {_one_of(choices)}{f'; did you mean {near!r}?' if near else '.'}"
    for pattern, kind in BROKEN_NUMBERS:
        if found := re.search(pattern, _plain(said)):
            name = found[1].partition("/")[0]
            return f"{name if name.startswith('-') else name.upper()} is '{found[2]}', expected {kind}."
    needed = [action for action in positions if _takes(action)[0]]
    if lacking := needed[len(free) :]:
        return f"'{program}' needs {' '.join(map(_shown, needed))}; {_shown(lacking[0])} is missing."
    most = sum(_takes(action)[1] for action in positions)
    if len(free) > most:
        takes_what = " ".join(map(_shown, positions)) or "flags only"
        return f"'{program}' takes {takes_what}: '{free[int(most)]}' is one word too many."
    missing = [a for a in actions.values() if a.required and not set(a.option_strings) & set(words)]
    if missing:
        return f"'{program}' needs {missing[0].option_strings[0]} {_shown(missing[0])}."
    return _plain(said)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and re.match(r"-\.?\d|-$|-?inf$", word) is None


def _until_flag(words: Sequence[str]) -> list[str]:
    end = next((at for at, word in enumerate(words) if _is_flag(word)), len(words))
    return list(words[:end])


def _takes(action: Any) -> tuple[int, float]:
    """How many words an argument needs, and how many it takes."""
    if action.nargs is None:
        return 1, 1
    if isinstance(action.nargs, int):
        return action.nargs, action.nargs
    return (1 if action.nargs == "+" else 0), (1 if action.nargs == "?" else float("inf"))


def _shown(action: Any) -> str:
    return str(action.metavar or action.dest)


def _one_of(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def _plain(said: str) -> str:
    """tyro's box as text in one line."""
    lines = [line.strip("│ ").strip() for line in said.splitlines() if not line.startswith(("╭", "╰"))]
    return " ".join(line for line in lines if line and not line.startswith("─"))
