"""A command's arguments: its options as a dataclass, help that names every value, and mistakes in one line."""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from wildrobot.cli.common.wording import worded
from wildrobot.core.errors import UserError

T = TypeVar("T")


def parse_options(
    options: type[T],
    argv: Sequence[str] | None,
    text: str,
    default: T | None = None,
    switches: bool = True,
    early_flags: Sequence[str] = (),
) -> T:
    """The options of a command: `argv`, or the program's own arguments. `text` is what its help says first.

    Values begin as in `default`, if there is one. With `switches` a truth value has one flag, that turns it on.
    `early_flags` are read before, and known where a flag is misspelt.

    Raises:
        UserError: an argument is misspelt, missing, too much or of another kind.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    settings: dict[str, Any] = {"description": text}
    if switches:
        settings["config"] = (tyro.conf.FlagCreatePairsOff,)
    if default is not None:
        settings["default"] = default
    said = io.StringIO()
    with worded(options, switches):
        try:
            with contextlib.redirect_stderr(said):
                return tyro.cli(options, args=words, **settings)
        except SystemExit as end:
            if not end.code:
                raise
        from wildrobot.cli.common.mistakes import explain  # only on the way to an answer

        raise UserError(explain(options, settings, words, said.getvalue(), early_flags))


def about(options: type[Any], examples: str) -> str:
    """What a help says first: the options' docstring, then examples."""
    return f"{inspect.cleandoc(options.__doc__ or '')}\n\n{examples}"
