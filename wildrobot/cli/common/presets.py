"""Where a configuration begins: `--preset NAME`, `--config FILE`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.core.config import load_config
from wildrobot.core.errors import UserError
from wildrobot.training.preset import apply_preset

T = TypeVar("T")


def parse_configuration(
    base: T, options: type[T], argv: Sequence[str], section: str, examples: str, early_flags: Sequence[str]
) -> T:
    """`base` with what `--preset` and then `--config` name, if they are among the `early_flags`, and with the flags of
    `options`, a subclass with the command's wording, which win.

    Raises:
        UserError: as for `parse_options`, or there is no such preset or file.
    """
    begin, rest = _starting_point(base, argv, section, early_flags)
    own = {field.name for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    parsed = parse_options(
        options,
        rest,
        about(options, examples),
        options(**vars(begin)),
        switches=False,
        early_flags=[flag for flag in early_flags if flag.removeprefix("--") not in own],
    )
    return type(base)(**vars(parsed))  # equal to others of the same values, which options are not


def _starting_point(
    base: T, argv: Sequence[str], section: str, options: Sequence[str]
) -> tuple[T, list[str]]:
    """`base` with what `--preset` and then `--config` name, and the arguments without these two.

    `section` is the part of a preset that the command reads. A configuration that has a field `preset` is told the
    name.

    Raises:
        UserError: an option without a value, no such preset or file, or a key that the configuration does not know.
    """
    rest = list(argv)
    for option in options:
        value, rest = _take(option, rest)
        while value is not None:
            if option == "--config":
                base = load_config(type(base), value, base)
            else:
                base = from_preset(base, value, section)
            value, rest = _take(option, rest)
    return base, rest


def from_preset(base: T, name: str, section: str) -> T:
    """`base` with the values of one section of a preset; a field `preset` gets its name, unless the section has one."""
    fields = {field.name for field in dataclasses.fields(base)}  # type: ignore[arg-type]
    named: dict[str, Any] = {"preset": name} if "preset" in fields else {}
    return apply_preset(base, name, section, **named)


def _take(option: str, argv: list[str]) -> tuple[str | None, list[str]]:
    """The value of `OPTION VALUE` or `OPTION=VALUE` (None: it is not there), and the other arguments."""
    for at, word in enumerate(argv):
        if word.startswith(f"{option}="):
            return word.partition("=")[2], argv[:at] + argv[at + 1 :]
        if word == option:
            if at + 1 >= len(argv):
                raise UserError(f"{option} needs a value.")
            return argv[at + 1], argv[:at] + argv[at + 2 :]
    return None, argv
