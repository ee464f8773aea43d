"""`wildrobot completion SHELL`: a script that completes commands and flags, collected from the commands' helps."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence

from wildrobot.cli import main as cli
from wildrobot.core.errors import UserError

SHELLS = ("bash", "zsh", "fish")
USAGE = """usage: wildrobot completion {bash,zsh,fish}

Print a script that completes `wildrobot`, `wildrobot-run` and `train`: commands and their flags, else file names.
It is made from what is installed here: a command whose extra is missing completes without flags. It takes some
seconds, for every command is asked for its help.

examples:
  wildrobot completion bash > ~/.local/share/bash-completion/completions/wildrobot
  wildrobot completion zsh > ~/.wildrobot.zsh       # and in ~/.zshrc after compinit: source ~/.wildrobot.zsh
  wildrobot completion fish > ~/.config/fish/completions/wildrobot.fish
"""
_FLAG = re.compile(r"^\W*(?:-\w, )?(--[a-z][\w.-]*)(?:, (--[a-z][\w.-]*))?", re.MULTILINE)
_CHOICES = re.compile(r"^usage: .*\{([a-z,-]+)\}\s*$", re.MULTILINE)

Words = dict[tuple[str, ...], list[str]]
"""What may follow the words of a command: sub-commands, or the flags of a whole one."""


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot completion`."""
    if argv and argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if len(argv) != 1 or argv[0] not in SHELLS:
        found = f"'{' '.join(argv)}' is no shell known here" if argv else "no shell was named"
        raise UserError(f"{found}, expected one of {', '.join(SHELLS)}: wildrobot completion bash")
    print(script(argv[0], collect()), end="")
    return 0


def collect(commands: Sequence[cli.Command] = cli.COMMANDS) -> Words:
    """Sub-commands and flags of every command."""
    words: Words = {(): [*dict.fromkeys(command.words[0] for command in commands), "--help", "--version"]}
    for command in commands:
        for depth in range(1, len(command.words)):
            following = words.setdefault(command.words[:depth], [])
            following += [command.words[depth]] if command.words[depth] not in following else []
        text = help_of(command, [])
        choices = _CHOICES.search(text)
        words[command.words] = choices[1].split(",") if choices else flags(text, command.name)
        for choice in words[command.words] if choices and command.module != __name__ else ():
            words[(*command.words, choice)] = flags(help_of(command, [choice]))
    return words


def flags(text: str, command: str = "") -> list[str]:
    """The flags of a help, in their order: those that begin a line, and those of the examples of `command`.

    The examples know flags that are read before all others (`wildrobot train --config FILE`).
    """
    found = [flag for match in _FLAG.finditer(text) for flag in match.groups() if flag]
    for line in text.splitlines() if command else ():
        if line.strip().startswith(f"wildrobot {command} "):
            found += re.findall(r" (--[a-z][\w.-]*)", line)
    return list(dict.fromkeys(found))


def help_of(command: cli.Command, more: Sequence[str]) -> str:
    """What `wildrobot COMMAND MORE --help` prints; nothing where its extra is not installed."""
    if command.module == __name__:
        return USAGE
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit, UserError):
        cli.run_command(command, [*more, "--help"], f"wildrobot {command.name}")
    return output.getvalue()


def script(shell: str, words: Words) -> str:
    """The completion script for one of SHELLS."""
    if shell == "fish":
        return _fish(words)
    head = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return head + _bash(words)


def _bash(words: Words) -> str:
    cases = "\n".join(
        f'        "{" ".join(path)}") words="{" ".join(known)}" ;;' for path, known in words.items()
    )
    return f"""# wildrobot, wildrobot-run and train; made by: wildrobot completion
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
        train) path="train" ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        next="${{path:+$path }}${{COMP_WORDS[i]}}"
        _wildrobot_words "$next" >/dev/null || break
        path="$next"
    done
    COMPREPLY=($(compgen -W "$(_wildrobot_words "$path")" -- "$current"))
}}
complete -o default -F _wildrobot wildrobot wildrobot-run train
"""


def _fish(words: Words) -> str:
    cases = "\n".join(
        f'        case "{" ".join(path)}"\n            echo {" ".join(known)}'
        for path, known in words.items()
    )
    return f"""# wildrobot, wildrobot-run and train; made by: wildrobot completion
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
        case train
            set path train
    end
    for word in $given[2..]
        __wildrobot_words $path $word >/dev/null; or break
        set path $path $word
    end
    __wildrobot_words $path | string split ' '
end
complete -c wildrobot -a '(__wildrobot)'
complete -c wildrobot-run -a '(__wildrobot)'
complete -c train -a '(__wildrobot)'
"""
