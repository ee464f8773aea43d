"""Line charts as inline SVG with the data beside, from which `page.js` makes charts to look into with uPlot.

Colours are CSS variables of the page: light and dark alike. The SVG is what is seen without JavaScript and in print.
"""

from __future__ import annotations

import html
import json
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
_GROUPS = 400
"""Of samples in the data to look into: each keeps its least and its largest of every line."""
_LEGEND_ROW = 15


@dataclass(frozen=True)
class Series:
    """One line: y over x, with an optional interval drawn as a band around it. NaN where there is no value."""

    name: str
    y: Array
    low: Array | None = None
    high: Array | None = None
    x: Array | None = None
    """Its own abscissa, where it is not the chart's."""
    asked: bool = False
    """It is what was asked for, and the other lines are what was found: dashed, in the colour of its own."""
    n: Array | None = None
    """How many values each interval comes from."""

    def interval(self) -> tuple[Array, Array] | None:
        """Both edges, where there are some."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def around(name: str, y: Array, spread: Array | None) -> Series:
    """A line with the band y ± spread."""
    return Series(name, y) if spread is None else Series(name, y, y - spread, y + spread)


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
    within: tuple[float | None, float | None] = (None, None),
    limits: tuple[float, float] | None = None,
) -> str:
    """One chart.

    Args:
        title: heading; says the quantity and its unit.
        x: (T,) common abscissa.
        series: lines, at most four are told apart by colour beside one that is `asked`.
        x_label: text under the axis.
        y_range: fixed ends of the ordinate; None follows the data.
        zone: (low, high, name) of a horizontal region to aim for.
        points: mark each value: there are few, and nothing is known between them.
        within: where values can be; an end that follows the data stays inside.
        limits: (low, high) that values should not leave; what lies beyond is tinted where it is in sight.

    Returns:
        An `<svg>` element; the empty string when no series has a value.
    """
    curves = [curve for curve in _curves(x, series) if len(curve.x)]
    if not curves:
        return ""
    x_low, x_high = min(c.x.min() for c in curves), max(c.x.max() for c in curves)
    x_low = 0.0 if 0.0 < x_low < 0.05 * x_high else x_low
    x_high = x_high if x_high > x_low else x_low + 1.0
    every = np.concatenate([v for c in curves for v in (c.y, *(c.interval or ()))])
    y_low, y_high = _padded(every.min(), every.max(), y_range, within)

    legend, rows = _legend([(c.colour, c.name) for c in curves], zone)
    ceiling = _TOP + _LEGEND_ROW * max(rows - 1, 0)

    def px(value: Array | float) -> Array | float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def py(value: Array | float) -> Array | float:
        clipped = np.clip(value, y_low, y_high)
        return HEIGHT - _BOTTOM - (clipped - y_low) / (y_high - y_low) * (HEIGHT - ceiling - _BOTTOM)

    def region(kind: str, low: float, high: float) -> str:
        top, bottom = py(high), py(low)
        return (
            f'<rect class="{kind}" x="{_LEFT}" y="{top:.1f}" width="{_RIGHT_EDGE - _LEFT}" '
            f'height="{bottom - top:.1f}"/>'
        )

    data = {
        "title": title, "x": x_label, "ends": y_range, "within": within, "points": points, "zone": zone and zone[:2],
        "limits": limits, "tables": _tables(x, series),
    }  # fmt: skip
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}" '
        f'data-plot="{html.escape(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")))}">',
        f'<text class="title" x="10" y="17">{html.escape(title)}</text>',
        *legend,
    ]
    if zone is not None:
        parts.append(region("zone", zone[0], zone[1]))
    if limits is not None and limits[1] < y_high:
        parts.append(region("beyond", limits[1], y_high))
    if limits is not None and limits[0] > y_low:
        parts.append(region("beyond", y_low, limits[0]))
    for value in ticks(y_low, y_high):
        y = py(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT_EDGE}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 3.5, f"{value:.6g}", "end"))
    for value in ticks(x_low, x_high, 6):
        parts.append(_text(px(value), HEIGHT - _BOTTOM + 14, f"{value:.6g}", "middle"))
    parts.append(_text((_LEFT + _RIGHT_EDGE) / 2, HEIGHT - 7, x_label, "middle"))
    for c in curves:
        if c.interval is not None:
            edge_x = np.concatenate([c.x, c.x[::-1]])
            edge_y = np.concatenate([c.interval[1], c.interval[0][::-1]])
            parts.append(f'<polygon class="spread {c.colour}" points="{_points(px(edge_x), py(edge_y))}"/>')
    for c in sorted(curves, key=lambda c: c.colour == "asked"):
        parts.append(f'<polyline class="line {c.colour}" points="{_points(px(c.x), py(c.y))}"/>')
        if points:
            parts += [
                f'<circle class="point {c.colour}" cx="{a:.1f}" cy="{b:.1f}" r="2.8"/>'
                for a, b in zip(np.atleast_1d(px(c.x)), np.atleast_1d(py(c.y)), strict=True)
            ]
    parts.append("</svg>")
    return "\n".join(parts)


@dataclass(frozen=True)
class _Curve:
    """A line of the SVG, thinned."""

    name: str
    colour: str
    x: Array
    y: Array
    interval: tuple[Array, Array] | None


def _colours(series: Sequence[Series]) -> list[str]:
    """By meaning where it is asked, else by the order."""
    found = iter(range(len(series)))
    return ["asked" if line.asked else f"c{next(found) % 4}" for line in series]


def _curves(x: Array, series: Sequence[Series]) -> list[_Curve]:
    curves = []
    for line, colour in zip(series, _colours(series), strict=True):
        own_x = x if line.x is None else line.x
        xs, ys = thin(own_x, line.y)
        edges = [thin(own_x, np.where(np.isfinite(line.y), e, np.nan))[1] for e in line.interval() or ()]
        whole = len(edges) == 2 and all(len(edge) == len(ys) for edge in edges)
        curves.append(_Curve(line.name, colour, xs, ys, (edges[0], edges[1]) if whole else None))
    return curves


def _tables(x: Array, series: Sequence[Series]) -> list[dict[str, Any]]:
    """The values to look into: one table for the lines over the common abscissa, and one for each other line.

    What was asked comes last: it is drawn over the others, which would hide it where they are noisy.
    """
    members: dict[int, list[tuple[Series, str]]] = {}
    for line, colour in zip(series, _colours(series), strict=True):
        members.setdefault(-1 if line.x is None else id(line.x), []).append((line, colour))
    tables = []
    for lines in sorted(members.values(), key=lambda lines: all(line.asked for line, _ in lines)):
        lines.sort(key=lambda entry: entry[0].asked)
        own_x = x if lines[0][0].x is None else lines[0][0].x
        keep = extremes(own_x, [line.y for line, _ in lines])
        tables.append(
            {
                "x": _values(own_x[keep]),
                "lines": [
                    {"name": line.name, "colour": colour}
                    | {
                        name: _values(values[keep])
                        for name, values in (
                            ("y", line.y),
                            ("low", line.low),
                            ("high", line.high),
                            ("n", line.n),
                        )
                        if values is not None
                    }
                    for line, colour in lines
                ],
            }
        )
    return tables


def extremes(x: Array, lines: Sequence[Array], groups: int = _GROUPS) -> NDArray[np.int64]:
    """Rows to keep of long lines: those with the least and the largest value of each of `groups` runs of rows.

    All rows with a value, where they are not more than that; every value kept is one that was measured.
    """
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(np.array(lines)).any(axis=0))
    if len(known) <= 2 * groups:
        return known
    keep = {int(known[0]), int(known[-1])}
    for group in np.array_split(known, groups):
        for y in lines:
            own = y[group]
            if np.isfinite(own).any():
                keep |= {int(group[np.nanargmin(own)]), int(group[np.nanargmax(own)])}
    return np.array(sorted(keep))


def _values(values: Array) -> list[float | int | None]:
    """Six digits of each; None where there is no number."""
    shown = (float(f"{value:.6g}") if math.isfinite(value) else None for value in values)
    return [int(v) if v is not None and v.is_integer() else v for v in shown]


def side_by_side(charts: Sequence[str]) -> str:
    """As many of `charts` (SVG) in a row as the page is wide; empty ones are left out."""
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts if chart)
    return f'<div class="charts">{figures}</div>' if figures else ""


def _padded(
    low: float,
    high: float,
    ends: tuple[float | None, float | None],
    within: tuple[float | None, float | None],
) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    bottom, top = low - margin, high + margin
    bottom = bottom if within[0] is None else max(bottom, within[0])
    top = top if within[1] is None else min(top, within[1])
    bottom = bottom if ends[0] is None else ends[0]
    top = top if ends[1] is None else ends[1]
    return bottom, max(top, bottom + 1e-9)


def _text(x: Any, y: Any, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _points(xs: Array | float, ys: Array | float) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(np.atleast_1d(xs), np.atleast_1d(ys), strict=True))


def _legend(names: list[tuple[str, str]], zone: tuple[float, float, str] | None) -> tuple[list[str], int]:
    """Swatches and names under the title, and how many rows they take; nothing for a single unnamed line."""
    entries = [(f"line {colour}", name) for colour, name in names if name]
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
