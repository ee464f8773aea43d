"""Names and values on the screen, in two columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns; a name is not repeated."""
    width, last = max(len(name) for name, _ in rows), ""
    for name, value in rows:
        print(f"  {'' if name == last else name:<{width}}  {value}")
        last = name or last


def histogram_rows(figures: dict[str, Any]) -> list[str]:
    """A `timing.Histogram.summary` as lines with bars."""
    counts = figures["histogram"]
    total = max(1, sum(counts.values()))
    return [
        f"{span:<14}{count:>9}  {'#' * round(40 * count / total)}".rstrip() for span, count in counts.items()
    ]
