"""When something was so: rows of bars over time in inline SVG, for states and for feet on the floor."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from wildrobot.reports.elements.charts import ticks

_ROW, _LABEL, _PLOT, _RIGHT = 19, 150, 880, 16
_TOP, _BOTTOM = 6, 36
_LEAST_WIDTH = 0.8


def bars(
    rows: Mapping[str, Sequence[tuple[float, float]]],
    span: tuple[float, float],
    x_label: str,
    bad: Sequence[str] = (),
) -> str:
    """One row for each name, with a bar for each (begin, end) of it that lies in `span`; its times appear over it.

    Args:
        rows: name -> stretches, s.
        span: ends of the abscissa.
        x_label: text under the axis.
        bad: names whose bars are drawn in the colour of what should not be.

    Returns:
        An `<svg>` element; the empty string when there is no row.
    """
    low, high = span
    if not rows or high <= low:
        return ""

    def px(value: float) -> float:
        return _LABEL + (min(max(value, low), high) - low) / (high - low) * _PLOT

    width, height = _LABEL + _PLOT + _RIGHT, _TOP + _ROW * len(rows) + _BOTTOM
    foot = _TOP + _ROW * len(rows)
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(x_label)}" '
        f'data-bars="[{low},{high},{_LABEL},{_PLOT}]">'
    ]
    for value in ticks(low, high, 10):
        x = px(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{foot}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{foot + 14}" text-anchor="middle">{value:.6g}</text>'
        )
    for index, (name, stretches) in enumerate(rows.items()):
        y = _TOP + _ROW * index
        parts.append(f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{html.escape(name)}</text>')
        kind = "bar bad" if name in bad else "bar"
        for begin, end in stretches:
            if end >= low and begin <= high:
                wide = max(px(end) - px(begin), _LEAST_WIDTH)
                parts.append(
                    f'<rect class="{kind}" x="{px(begin):.1f}" y="{y + 3}" width="{wide:.1f}" height="{_ROW - 6}">'
                    f"<title>{html.escape(name)}: {begin:.2f} to {end:.2f} s</title></rect>"
                )
    parts.append(f'<line class="cursor" y1="{_TOP}" y2="{foot}" visibility="hidden"/>')
    middle = _LABEL + _PLOT / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{foot + 30}" text-anchor="middle">{html.escape(x_label)}</text>'
    )
    return f'<div class="scroll wide">{"".join(parts)}</svg></div>'
