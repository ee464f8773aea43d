"""Pieces of HTML: the page, its sections, and tables from plain data with readable names and figures."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wildrobot.view.theme import THEMES

_LABELS = {
    "command_m_s": "commanded (m/s)",
    "mean_speed_m_s": "mean speed (m/s)",
    "survived": "episodes without a fall",
    "survival_low": "95 % limit, low",
    "survival_high": "95 % limit, high",
    "speed_error_m_s": "speed error (m/s)",
    "lateral_drift_m_s": "lateral drift (m/s)",
    "yaw_drift_rad": "largest turn, mean (rad)",
    "yaw_drift_worst_rad": "largest turn (rad)",
    "saturation": "at the voltage limit",
    "yaw_drift_rad_per_10_s": "turn per 10 s (rad)",
    "power_w": "power (W)",
    "energy_j_per_m": "energy (J/m)",
    "standing_drift_cm": "drift while standing (cm)",
    "supply_v": "supply (V)",
    "direction": "pushed",
    "impulse_n_s": "half fall at (N s)",
    "low_n_s": "95 % limit, low (N s)",
    "high_n_s": "95 % limit, high (N s)",
    "largest_n_s": "largest tried (N s)",
    "foot_slip_m_s": "foot slip (m/s)",
    "clearance_left_mm": "clearance left (mm)",
    "clearance_right_mm": "clearance right (mm)",
    "steps_per_s": "steps/s",
    "steps_standing_per_20_s": "steps in 20 s of standing",
    "joint_rmse_rad": "joint error (rad)",
    "sole_depth_m": "sole depth (m)",
    "disc_acc": "disc_acc",
    "disc_acc_spread": "±",
    "survival_spread": "±",
    "score_spread": "±",
}
_SHARES = ("style_score", "disc_acc")
_NEVER_NEGATIVE = (
    "error",
    "rmse",
    "slip",
    "power",
    "energy",
    "clearance",
    "drift",
    "steps",
    "impulse",
    "cost_of",
    "collision",
)
_DECIMALS = {"time (s)": 2, "supply_v": 1, "power_w": 1, "clearance_left_mm": 1, "clearance_right_mm": 1}
_PERCENT = ("survival", "saturation", "torque_saturation", "success")


def page(title: str, body: str) -> str:
    """A whole HTML document in the project's style that loads nothing from a network."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_style()}</style></head>\n"
        f"<body><main>{body}</main>{scripts(body)}</body></html>\n"
    )


def scripts(body: str) -> str:
    """What `body` needs to be looked into: the charts' library, with its licence, where there are charts."""
    own = f"<script>{_file('page.js')}</script>"
    if "data-plot=" not in body:
        return own
    licence, library, style = (
        _file(f"uplot/{name}") for name in ("LICENSE", "uPlot.iife.min.js", "uPlot.min.css")
    )
    return f"<style>{style}</style><script>/* uPlot\n{licence}*/\n{library}</script>{own}"


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _style() -> str:
    """The style sheet, with the live page's colours of what was asked and what was found."""
    light, dark = (
        f":root{{--asked:{colors['asked']};--c0:{colors['estimated']}}}"
        for colors in (THEMES["light"], THEMES["dark"])
    )
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}{_file('page.css')}"


def embedded_video(path: Path) -> str:
    """An .mp4 as the address that a page carries it under, whole."""
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def embedded_data(name: str, value: Any) -> str:
    """Plain data that the page's script finds under an id."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def section(title: str, content: str) -> str:
    """`content` (HTML) under a heading (plain text); nothing where there is no content."""
    return f"<h2>{html.escape(title)}</h2>{content}" if content else ""


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Figures to be read first: (value, what it is)."""
    shown = "".join(
        f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>'
        for value, name in figures
    )
    return f'<div class="tiles">{shown}</div>'


def find_rows(document: Any) -> list[dict[str, Any]]:
    """The table in a JSON document: itself when it is a list of objects, else its first value that is one."""
    lists = [document, *document.values()] if isinstance(document, Mapping) else [document]
    for value in lists:
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return value
    return []


def label(name: str) -> str:
    """What a person reads for a key of a document."""
    return _LABELS.get(name, name.replace("_", " "))


def table(rows: list[dict[str, Any]], kind: str = "") -> str:
    """Scalar columns of `rows`, in the order of their first appearance; a click on a column's name sorts by it.

    `kind` is a CSS class of the frame around it.
    """
    names = _scalars(rows)
    kinds = [
        " class=words" if {type(row.get(name)) for row in rows} - {type(None)} == {str} else ""
        for name in names
    ]
    head = "".join(f"<th{of}>{html.escape(label(name))}</th>" for of, name in zip(kinds, names, strict=True))
    shown = [cells(name, [row.get(name) for row in rows]) for name in names]
    lines = "".join(
        "<tr>"
        + "".join(f"<td{of}>{html.escape(text)}</td>" for of, text in zip(kinds, row, strict=True))
        + "</tr>"
        for row in zip(*shown, strict=True)
    )
    return (
        f'<div class="{f"scroll {kind}".strip()}"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def columns_table(rows: list[dict[str, Any]], key: str) -> str:
    """The same with a column for each of `rows`, headed by its value under `key`: for few rows of many figures."""
    names = [name for name in _scalars(rows) if name != key]
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in cells(key, [row.get(key) for row in rows]))
    lines = "".join(
        f"<tr><td>{html.escape(label(name))}</td>"
        + "".join(f"<td>{html.escape(text)}</td>" for text in cells(name, [row.get(name) for row in rows]))
        + "</tr>"
        for name in names
    )
    return (
        f'<div class="scroll"><table><tr><th>{html.escape(label(key))}</th>{heads}</tr>{lines}</table></div>'
    )


def _scalars(rows: list[dict[str, Any]]) -> list[str]:
    return [
        name
        for name in dict.fromkeys(key for row in rows for key in row)
        if all(not isinstance(row.get(name), (list, dict)) for row in rows)
    ]


def cells(name: str, values: Sequence[Any]) -> list[str]:
    """One figure's values as a table shows them, by its key: all with the same decimals."""
    numbers = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v)]
    largest = max(numbers, default=0.0)
    digits = _DECIMALS.get(name, 3 if largest < 100 else 1 if largest < 10_000 else 0)
    return [_cell(name, value, digits) for value in values]


def _cell(name: str, value: Any, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and any(name == key or name.startswith(f"{key}_") for key in _PERCENT):
        return f"{value:.1%}"
    if isinstance(value, float):
        return f"{round(value, digits) + 0.0:,.{digits}f}"  # no minus before a zero
    return str(value)


def ends_of(name: str) -> tuple[float | None, float | None]:
    """Where the values of a figure can be, by its key: shares from 0 to 1, sizes of errors not below 0."""
    if any(name == key or name.startswith(f"{key}_") for key in (*_PERCENT, *_SHARES)):
        return 0.0, 1.0
    return (0.0, None) if any(word in name for word in _NEVER_NEGATIVE) else (None, None)


def facts_table(values: Mapping[str, Any]) -> str:
    """Names and values; a mapping inside is one line of `name value` pairs."""
    lines = []
    for key, value in values.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        lines.append(f"<tr><td>{html.escape(key.replace('_', ' '))}</td><td>{html.escape(text)}</td></tr>")
    return f'<div class="scroll"><table class="plain">{"".join(lines)}</table></div>' if lines else ""
