"""`wildrobot completion SHELL`: a script that completes commands, flags and choices, read off the commands' parsers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import tyro

from wildrobot.cli import main as cli
from wildrobot.core.errors import UserError
from wildrobot.core.nearest import nearest

SHELLS = ("bash", "zsh", "fish")
USAGE = """usage: wildrobot completion {bash,zsh,fish}

Print a script that completes `wildrobot` and `wildrobot-run`: commands, their flags, what a flag may be, else file
names. It is made from what is installed here: a command whose extra is missing completes without flags. It takes
some seconds, for every command is asked for its flags.

examples:
  wildrobot completion bash > ~/.local/share/bash-completion/completions/wildrobot
  wildrobot completion zsh > ~/.wildrobot.zsh       # and in ~/.zshrc after compinit: source ~/.wildrobot.zsh
  wildrobot completion fish > ~/.config/fish/completions/wildrobot.fish
"""

Words = dict[tuple[str, ...], list[str]]
"""What may follow some words: after a command's, its sub-commands, or the flags of a whole one."""


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot completion`."""
    if argv and argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if len(argv) != 1 or argv[0] not in SHELLS:
        found = f"'{' '.join(argv)}' is no shell known here" if argv else "no shell was named"
        near = nearest(argv[0], SHELLS) if argv else None
        raise UserError(
            f"{found}, expected one of {', '.join(SHELLS)}: wildrobot completion {near or SHELLS[0]}"
        )
    syntaxes = collect_syntax()
    print(script(argv[0], words_of(syntaxes), choices_of(syntaxes)), end="")
    return 0


@dataclass(frozen=True)
class Syntax:
    """What a command takes."""

    flags: dict[str, tuple[str, ...]]
    """Every long flag, in the order of the help, and the words that it may be followed by; none: anything."""
    commands: dict[str, Syntax]
    """Its sub-commands."""


Syntaxes = dict[tuple[str, ...], Syntax]


def collect(commands: Sequence[cli.Command] = cli.COMMANDS) -> Words:
    """Sub-commands and flags of every command."""
    return words_of(collect_syntax(commands), commands)


def collect_syntax(commands: Sequence[cli.Command] = cli.COMMANDS) -> Syntaxes:
    """What every command and sub-command takes, by the words that name it; without those whose extra is missing."""
    found: Syntaxes = {}
    for command in commands:
        if command.module == __name__:
            continue
        with contextlib.suppress(UserError):
            _add(found, command.words, syntax_of(command))
    return found


def _add(found: Syntaxes, path: tuple[str, ...], syntax: Syntax) -> None:
    found[path] = syntax
    for name, below in syntax.commands.items():
        _add(found, (*path, name), below)


class _ParserFoundError(Exception):
    def __init__(self, syntax: Syntax) -> None:
        self.syntax = syntax


def syntax_of(command: cli.Command) -> Syntax:
    """What a command takes: it runs as far as to its parser, and no further.

    Raises:
        UserError: its extra is not installed.
    """

    def stop(options: Any, *, args: Any = None, **settings: Any) -> None:
        with warnings.catch_warnings():
            # tyro means to replace this one day; nothing else of it that is public has the flags as data
            warnings.simplefilter("ignore", DeprecationWarning)
            raise _ParserFoundError(_read(tyro.extras.get_parser(options, **settings)))

    with mock.patch.object(tyro, "cli", stop):
        try:
            cli.run_command(command, [], f"wildrobot {command.name}")
        except _ParserFoundError as found:
            return Syntax(dict.fromkeys(command.early_flags, ()) | found.syntax.flags, found.syntax.commands)
    raise AssertionError(f"wildrobot {command.name} parses its arguments without tyro.cli")


def _read(parser: Any) -> Syntax:
    """An argparse parser as data. Any: tyro brings a copy of argparse of its own."""
    flags: dict[str, tuple[str, ...]] = {}
    commands: dict[str, Syntax] = {}
    for action in parser._actions:
        if isinstance(action.choices, Mapping):
            commands |= {name: _read(below) for name, below in action.choices.items()}
            continue
        may_be = tuple(str(choice) for choice in action.choices or () if choice != "None")
        flags |= {flag: may_be for flag in action.option_strings if flag.startswith("--")}
    return Syntax(flags, commands)


def words_of(found: Syntaxes, commands: Sequence[cli.Command] = cli.COMMANDS) -> Words:
    """What follows the words of every command: its sub-commands, else its flags."""
    words: Words = {(): [*dict.fromkeys(command.words[0] for command in commands), "--help", "--version"]}
    for command in commands:
        for depth in range(1, len(command.words)):
            following = words.setdefault(command.words[:depth], [])
            following += [command.words[depth]] if command.words[depth] not in following else []
        words[command.words] = list(SHELLS) if command.module == __name__ else []
    return words | {path: list(syntax.commands or syntax.flags) for path, syntax in found.items()}


def choices_of(found: Syntaxes) -> Words:
    """What may follow a flag that takes one of a few words: (command's words, flag) -> these words."""
    return {
        (*path, flag): list(may_be)
        for path, syntax in found.items()
        for flag, may_be in syntax.flags.items()
        if may_be
    }


def script(shell: str, words: Words, choices: Words | None = None) -> str:
    """The completion script for one of SHELLS."""
    if shell == "fish":
        return _fish(words, choices or {})
    head = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return head + _bash(words, choices or {})


def _bash(words: Words, choices: Words) -> str:
    cases = "\n".join(
        f'        "{" ".join(path)}") words="{" ".join(known)}" ;;'
        for path, known in (words | choices).items()
    )
    return f"""# wildrobot and wildrobot-run; made by: wildrobot completion
_wildrobot_words() {{
    local words=""
    case "$1" in
{cases}
        *) return 1 ;;
    esac
    printf '%s' "$words"
}}

_wildrobot() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" path="" next i
    case "${{COMP_WORDS[0]##*/}}" in
        wildrobot-run) path="run" ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ "${{COMP_WORDS[i]}}" == -* ]] && break
        next="${{path:+$path }}${{COMP_WORDS[i]}}"
        _wildrobot_words "$next" >/dev/null || break
        path="$next"
    done
    next="$path ${{COMP_WORDS[COMP_CWORD - 1]}}"
    [[ "$next" == *" --"* ]] && _wildrobot_words "$next" >/dev/null && path="$next"
    COMPREPLY=($(compgen -W "$(_wildrobot_words "$path")" -- "$current"))
}}
complete -o default -F _wildrobot wildrobot wildrobot-run
"""


def _fish(words: Words, choices: Words) -> str:
    cases = "\n".join(
        f'        case "{" ".join(path)}"\n            echo {" ".join(known)}'
        for path, known in (words | choices).items()
    )
    return f"""# wildrobot and wildrobot-run; made by: wildrobot completion
function __wildrobot_words
    switch "$argv"
{cases}
        case '*'
            return 1
    end
end

function __wildrobot
    set -l given (commandline -opc)
    set -l path
    switch (basename $given[1])
        case wildrobot-run
            set path run
    end
    for word in $given[2..]
        string match -q -- '-*' $word; and break
        __wildrobot_words $path $word >/dev/null; or break
        set path $path $word
    end
    if string match -q -- '--*' $given[-1]; and __wildrobot_words $path $given[-1] >/dev/null
        set path $path $given[-1]
    end
    __wildrobot_words $path | string split ' '
end
complete -c wildrobot -a '(__wildrobot)'
complete -c wildrobot-run -a '(__wildrobot)'
"""
