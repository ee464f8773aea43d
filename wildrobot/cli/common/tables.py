"""Tables that a narrow terminal shows whole: what does not fit beside the first columns follows below them."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

PIPED_WIDTH = 100
"""Columns where the output is no terminal and COLUMNS is not set."""
_ANY_WIDTH = 100_000


def terminal_width() -> int:
    """Columns of COLUMNS, else of the terminal, else `PIPED_WIDTH`."""
    return shutil.get_terminal_size((PIPED_WIDTH, 24)).columns


def is_narrow() -> bool:
    """Lines are read where they are as wide as a terminal; in a file or a pipe each stays whole."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def in_terminal(text: str) -> str:
    """`text`, on a terminal in lines of its width that break between words."""
    return _filled(text) if is_narrow() else text


def _filled(text: str) -> str:
    return textwrap.fill(text, terminal_width(), break_long_words=False, break_on_hyphens=False)


def figure(value: float | None, form: str) -> str:
    """A figure as a table shows it: a dash where there is none, and no sign before a zero."""
    if value is None:
        return "–"
    text = format(value, form)
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")


def print_text(text: str) -> None:
    """Print `text` in lines as wide as the terminal, broken between words."""
    print(_filled(text))


def print_table(table: Table, keys: int = 1) -> None:
    """Print `table` without a cut figure; the first `keys` columns say which row it is, and come with each part."""
    console = Console(width=terminal_width(), highlight=False)
    for part in parts(table, keys, console):
        console.print(part)


def parts(table: Table, keys: int, console: Console) -> list[Table]:
    """`table` as few tables, one below the other, that fit in `console`.

    A column that does not fit even alone beside the keys has a part of its own, and is folded there. One without any
    text has none.
    """
    columns = table.columns
    if _width(table, columns, console) <= console.width:
        return [table]
    groups = [list(columns[:keys])]
    for column in columns[keys:]:
        if not any((column.header, *column.cells)):
            continue
        if len(groups[-1]) > keys and _least_width(table, [*groups[-1], column], console) > console.width:
            groups.append(list(columns[:keys]))
        groups[-1].append(column)
    return [_fitted(table, group, table.title if k == 0 else None, console) for k, group in enumerate(groups)]


def _width(table: Table, columns: Sequence[Column], console: Console) -> int:
    """Of `table` with these columns, where nothing wraps."""
    options = console.options.update(width=_ANY_WIDTH)
    return Measurement.get(console, options, _part(table, columns)).maximum


def _least_width(table: Table, columns: Sequence[Column], console: Console) -> int:
    return _width(table, columns, console) - sum(_longest(column) - _least(column) for column in columns)


def _fitted(table: Table, columns: Sequence[Column], title: object, console: Console) -> Table:
    """Every column as narrow as it can be without a cut, those that fold as wide as there is room for."""
    part = _part(table, columns, title)
    room = max(console.width - _least_width(table, columns, console), 0)
    for column in part.columns:
        longest, least = _longest(column), _least(column)
        grown = min(longest - least, room) if longest > least else 0
        room -= grown
        column.width = least + grown
    return part


def _least(column: Column) -> int:
    if column.overflow == "fold" and column.min_width is not None:
        return column.min_width
    return _longest(column, str.splitlines if column.no_wrap else str.split)


def _longest(column: Column, split: Callable[[str], list[str]] = str.splitlines) -> int:
    texts = [str(text) for text in (column.header, *column.cells)]
    return max((cell_len(piece) for text in texts for piece in split(text)), default=0)


def _part(table: Table, columns: Sequence[Column], title: object = None) -> Table:
    part = Table(
        title=title,  # type: ignore[arg-type]
        box=table.box,
        padding=table.padding,
        pad_edge=table.pad_edge,
    )
    for column in columns:
        part.add_column(
            column.header,
            justify=column.justify,
            overflow=column.overflow,
            min_width=column.min_width,
            no_wrap=column.no_wrap,
        )
    for row, cells in zip(table.rows, zip(*(column.cells for column in columns), strict=True), strict=True):
        part.add_row(*cells, style=row.style)
    return part
