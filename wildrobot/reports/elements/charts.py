"""Line charts as inline SVG, coloured by CSS variables of the page they stand in: light and dark alike."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH, HEIGHT = 380, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 46, 38
_RIGHT_EDGE = WIDTH - _RIGHT
_MOST_POINTS = 240
_LEGEND_ROW = 15


@dataclass(frozen=True)
class Series:
    """One line: y over x, with an optional spread drawn as a band around it. NaN where there is no value."""

    name: str
    y: Array
    spread: Array | None = None
    x: Array | None = None
    """Its own abscissa, where it is not the chart's."""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 5 × a power of ten) inside [low, high], about `count` of them."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-12) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def thin(x: Array, y: Array, most: int = _MOST_POINTS) -> tuple[Array, Array]:
    """Means over at most `most` consecutive groups, so that long runs stay small; NaN is left out."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= most:
        return x, y
    groups = np.array_split(np.arange(len(x)), most)
    return np.array([x[g].mean() for g in groups]), np.array([y[g].mean() for g in groups])


def line_chart(
    title: str,
    x: Array,
    series: Sequence[Series],
    x_label: str,
    y_range: tuple[float | None, float | None] = (None, None),
    zone: tuple[float, float, str] | None = None,
    points: bool = False,
) -> str:
    """One chart.

    Args:
        title: heading; says the quantity and its unit.
        x: (T,) common abscissa.
        series: lines, at most four are told apart by colour.
        x_label: text under the axis.
        y_range: fixed ends of the ordinate; None follows the data.
        zone: (low, high, name) of a horizontal region to aim for.
        points: mark each value: there are few, and nothing is known between them.

    Returns:
        An `<svg>` element; the empty string when no series has a value.
    """
    curves = []
    for line in series:
        own_x = x if line.x is None else line.x
        xs, ys = thin(own_x, line.y)
        spread = (
            thin(own_x, np.where(np.isfinite(line.y), line.spread, np.nan))[1]
            if line.spread is not None
            else None
        )
        if len(xs):
            curves.append((line.name, xs, ys, spread))
    if not curves:
        return ""
    x_low, x_high = min(c[1].min() for c in curves), max(c[1].max() for c in curves)
    x_low = 0.0 if 0.0 < x_low < 0.05 * x_high else x_low
    x_high = x_high if x_high > x_low else x_low + 1.0
    lows = [
        (ys if spread is None or len(spread) != len(ys) else ys - spread).min() for _, _, ys, spread in curves
    ]
    highs = [
        (ys if spread is None or len(spread) != len(ys) else ys + spread).max() for _, _, ys, spread in curves
    ]
    y_low, y_high = _padded(min(lows), max(highs), *y_range)

    legend, rows = _legend([name for name, *_ in curves], zone)
    ceiling = _TOP + _LEGEND_ROW * max(rows - 1, 0)

    def px(value: Array | float) -> Array | float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def py(value: Array | float) -> Array | float:
        clipped = np.clip(value, y_low, y_high)
        return HEIGHT - _BOTTOM - (clipped - y_low) / (y_high - y_low) * (HEIGHT - ceiling - _BOTTOM)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">',
        f'<text class="title" x="10" y="17">{html.escape(title)}</text>',
        *legend,
    ]
    if zone is not None:
        top, bottom = py(zone[1]), py(zone[0])
        parts.append(
            f'<rect class="zone" x="{_LEFT}" y="{top:.1f}" width="{_RIGHT_EDGE - _LEFT}" '
            f'height="{bottom - top:.1f}"/>'
        )
    for value in ticks(y_low, y_high):
        y = py(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT_EDGE}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 3.5, f"{value:.6g}", "end"))
    for value in ticks(x_low, x_high, 6):
        parts.append(_text(px(value), HEIGHT - _BOTTOM + 14, f"{value:.6g}", "middle"))
    parts.append(_text((_LEFT + _RIGHT_EDGE) / 2, HEIGHT - 7, x_label, "middle"))
    for index, (_, xs, ys, spread) in enumerate(curves):
        if spread is not None and len(spread) == len(ys):
            edge_x = np.concatenate([xs, xs[::-1]])
            edge_y = np.concatenate([ys + spread, (ys - spread)[::-1]])
            parts.append(f'<polygon class="spread c{index % 4}" points="{_points(px(edge_x), py(edge_y))}"/>')
    for index, (_, xs, ys, _spread) in enumerate(curves):
        parts.append(f'<polyline class="line c{index % 4}" points="{_points(px(xs), py(ys))}"/>')
        if points:
            parts += [
                f'<circle class="point c{index % 4}" cx="{a:.1f}" cy="{b:.1f}" r="2.8"/>'
                for a, b in zip(np.atleast_1d(px(xs)), np.atleast_1d(py(ys)), strict=True)
            ]
    parts.append("</svg>")
    return "\n".join(parts)


def side_by_side(charts: Sequence[str]) -> str:
    """As many of `charts` (SVG) in a row as the page is wide; empty ones are left out."""
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts if chart)
    return f'<div class="charts">{figures}</div>' if figures else ""


def _padded(
    low: float, high: float, fixed_low: float | None, fixed_high: float | None
) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    bottom = fixed_low if fixed_low is not None else low - margin
    top = fixed_high if fixed_high is not None else high + margin
    return bottom, max(top, bottom + 1e-9)


def _text(x: Any, y: Any, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _points(xs: Array | float, ys: Array | float) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(np.atleast_1d(xs), np.atleast_1d(ys), strict=True))


def _legend(names: list[str], zone: tuple[float, float, str] | None) -> tuple[list[str], int]:
    """Swatches and names under the title, and how many rows they take; nothing for a single unnamed line."""
    entries = [(f"line c{i % 4}", name) for i, name in enumerate(names) if name]
    if zone is not None:
        entries.append(("zone", zone[2]))
    parts, x, row = [], 10.0, 0
    for kind, name in entries:
        width = 19 + 5.9 * len(name)
        if x > 10.0 and x + width > _RIGHT_EDGE:
            x, row = 10.0, row + 1
        y = 26 + _LEGEND_ROW * row
        if kind == "zone":
            parts.append(f'<rect class="zone" x="{x}" y="{y}" width="14" height="9"/>')
        else:
            parts.append(f'<line class="{kind}" x1="{x}" x2="{x + 14}" y1="{y + 4.5}" y2="{y + 4.5}"/>')
        parts.append(f'<text class="tick" x="{x + 19}" y="{y + 8}">{html.escape(name)}</text>')
        x += width + 14
    return parts, row + 1 if entries else 0
