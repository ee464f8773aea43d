"""Names and values on the screen, in two columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from wildrobot.cli.common.tables import is_narrow, terminal_width

LEAST_VALUE = 20
"""Columns that a value has, however narrow the terminal."""


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns; a name is not repeated.

    On a terminal a long value goes on below its begin, broken between words; in a file or a pipe it stays one line.
    """
    width, last, narrow = max(len(name) for name, _ in rows), "", is_narrow()
    room = max(terminal_width() - width - 4, LEAST_VALUE)
    for name, value in rows:
        lines = [value]
        if narrow and len(value) > room:
            below = " " * (2 + len(value) - len(value.lstrip()))
            lines = textwrap.wrap(
                value, room, subsequent_indent=below, break_long_words=False, break_on_hyphens=False
            )
        print(f"  {'' if name == last else name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            print(f"  {'':<{width}}  {line}")
        last = name or last


def histogram_rows(figures: dict[str, Any]) -> list[str]:
    """A `timing.Histogram.summary` as lines with bars."""
    counts = figures["histogram"]
    total = max(1, sum(counts.values()))
    return [
        f"{span:<14}{count:>9}  {'#' * round(40 * count / total)}".rstrip() for span, count in counts.items()
    ]
