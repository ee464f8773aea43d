"""Pieces of HTML: the page, its sections, and tables from plain data with readable names and figures."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LABELS = {
    "command_m_s": "commanded (m/s)",
    "mean_speed_m_s": "mean speed (m/s)",
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
_PERCENT = ("survival", "saturation", "torque_saturation", "success")


def page(title: str, body: str) -> str:
    """A whole HTML document in the project's style that loads nothing from a network."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def embedded_video(path: Path) -> str:
    """An .mp4 as the address that a page carries it under, whole."""
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


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


def table(rows: list[dict[str, Any]]) -> str:
    """Scalar columns of `rows`, in the order of their first appearance."""
    names = _scalars(rows)
    head = "".join(f"<th>{html.escape(label(name))}</th>" for name in names)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell(name, row.get(name)))}</td>" for name in names) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{lines}</table></div>'


def columns_table(rows: list[dict[str, Any]], key: str) -> str:
    """The same with a column for each of `rows`, headed by its value under `key`: for few rows of many figures."""
    names = [name for name in _scalars(rows) if name != key]
    heads = "".join(f"<th>{html.escape(cell(key, row.get(key)))}</th>" for row in rows)
    lines = "".join(
        f"<tr><td>{html.escape(label(name))}</td>"
        + "".join(f"<td>{html.escape(cell(name, row.get(name)))}</td>" for row in rows)
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


def cell(name: str, value: Any) -> str:
    """A figure as a table shows it, by its key."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if any(name == key or name.startswith(f"{key}_") for key in _PERCENT):
            return f"{value:.1%}"
        return (
            f"{round(value, 3) + 0.0:.3f}" if abs(value) < 100 else f"{value:,.0f}"
        )  # no minus before a zero
    return str(value)


def facts_table(values: Mapping[str, Any]) -> str:
    """Names and values; a mapping inside is one line of `name value` pairs."""
    lines = []
    for key, value in values.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        lines.append(f"<tr><td>{html.escape(key.replace('_', ' '))}</td><td>{html.escape(text)}</td></tr>")
    return f'<div class="scroll"><table class="plain">{"".join(lines)}</table></div>' if lines else ""
