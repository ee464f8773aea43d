"""Many figures over time as rows of coloured cells, in inline SVG: what a chart has too few colours for."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wildrobot.reports.elements.charts import ticks

Array = NDArray[np.float64]

_ROW, _LABEL, _VALUE, _PLOT = 15, 216, 46, 760
_MOST_CELLS = 60
_TOP, _BOTTOM = 6, 36


def heat_map(x: Array, rows: Mapping[str, Array], x_label: str, low: float, high: float) -> str:
    """One row of cells for each figure: transparent at `low`, full colour from `high` on; its newest value at the end.

    Args:
        x: (T,) common abscissa.
        rows: name -> (T,) values, NaN where nothing was measured: that place stays empty.
        x_label: text under the axis.
        low, high: ends of the colour's scale.

    Returns:
        An `<svg>` element; the empty string when there is no value at all.
    """
    known = np.isfinite(np.array(list(rows.values()))).any(axis=0) if rows else np.zeros(0, dtype=bool)
    if not known.any():
        return ""
    at = np.flatnonzero(known)
    groups = np.array_split(at, min(len(at), _MOST_CELLS))
    width, height = _LABEL + _PLOT + _VALUE, _TOP + _ROW * len(rows) + _BOTTOM
    cell = _PLOT / len(groups)
    parts = [
        f'<svg class="chart heat" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(x_label)}">'
    ]
    for index, (name, values) in enumerate(rows.items()):
        y = _TOP + _ROW * index
        parts.append(f'<text x="{_LABEL - 8}" y="{y + 11}" text-anchor="end">{html.escape(name)}</text>')
        for column, group in enumerate(groups):
            found = values[group][np.isfinite(values[group])]
            strength = float(np.clip((found.mean() - low) / (high - low), 0.0, 1.0)) if len(found) else 0.0
            kind = "cell" if len(found) else "unknown"
            shade = f' fill-opacity="{strength:.2f}"' if len(found) else ""
            when = f"{x[group[0]]:.4g}" + (f" to {x[group[-1]]:.4g}" if len(group) > 1 else "")
            told = f"<title>{html.escape(name)} {found.mean():.3f} at {when}</title>" if len(found) else ""
            parts.append(
                f'<rect class="{kind}" x="{_LABEL + column * cell:.1f}" y="{y}" width="{cell:.1f}" '
                f'height="{_ROW - 1}"{shade}>{told}</rect>'
            )
        newest = values[np.isfinite(values)]
        if len(newest):
            parts.append(f'<text x="{_LABEL + _PLOT + 8}" y="{y + 11}">{newest[-1]:.2f}</text>')
    foot = _TOP + _ROW * len(rows) + 14
    first, last = float(x[at[0]]), float(x[at[-1]])
    for value in ticks(first, last, 8) if last > first else [first]:
        place = _LABEL + (value - first) / max(last - first, 1e-12) * _PLOT
        parts.append(f'<text class="tick" x="{place:.1f}" y="{foot}" text-anchor="middle">{value:.6g}</text>')
    middle = _LABEL + _PLOT / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{foot + 16}" text-anchor="middle">{html.escape(x_label)}</text>'
    )
    return f'<div class="scroll wide">{"".join(parts)}</svg></div>'
