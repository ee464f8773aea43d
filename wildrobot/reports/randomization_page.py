"""A run's randomization as an HTML table: every term with its range, its unit and what it is."""

from __future__ import annotations

import ast
import dataclasses
import html
import inspect
from collections.abc import Mapping
from typing import Any

from wildrobot.simulation.randomization.config import PRESETS, Randomization

UNITS = {
    "_rad_s": "rad/s", "_m_s2": "m/s²", "_m_s": "m/s", "_rad": "rad", "_m": "m", "_s": "s", "_v": "V",
}  # fmt: skip
"""By the end of a field's name, longer ones first."""


def unit(name: str) -> str:
    """Unit of a field of `Randomization`; empty for factors, rates and switches."""
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def meanings() -> dict[str, str]:
    """The docstring under each field of `Randomization`."""
    body = ast.parse(inspect.getsource(Randomization)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(text, ast.Expr)
            and isinstance(field.target, ast.Name)
        ):
            said = " ".join(str(ast.literal_eval(text.value)).split())
            found[field.target.id] = said.rstrip(".")
    return found


def preset_name(terms: Mapping[str, Any]) -> str:
    """Name of the preset that these terms are; empty where they are none."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in terms.items()}
    return next((name for name, preset in PRESETS.items() if dataclasses.asdict(preset) == plain), "")


def randomization_table(terms: Mapping[str, Any]) -> str:
    """HTML from the `randomization` of a configuration; terms that are off are said to be so."""
    if not terms:
        return ""
    rows = []
    for name, value in terms.items():
        nominal = getattr(Randomization, name, None)
        if isinstance(nominal, tuple):
            nominal = list(nominal)
        off = list(value) == nominal if isinstance(value, (list, tuple)) else not value
        if name == "push_interval_s":
            off = not terms.get("push_speed_m_s")
        cells = (name, shown(value), unit(name), shown(nominal), meanings().get(name, ""))
        kind = ' class="faint"' if off else ""
        rows.append(f"<tr{kind}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
    preset = preset_name(terms)
    said = f"Preset {preset}. " if preset else "No preset has all of these ranges. "
    head = (
        "<tr><th>term</th><th>range or size</th><th>unit</th><th>nominal robot</th><th>what it is</th></tr>"
    )
    note = f'<p class="faint">{said}Terms in grey are off. All are drawn again at every reset.</p>'
    return f'{note}<div class="scroll"><table class="terms">{head}{"".join(rows)}</table></div>'


def shown(value: Any) -> str:
    """A range, a size or a switch as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        low, high = value
        return f"{low:g}" if low == high else f"{low:g} … {high:g}"
    return f"{value:g}"
