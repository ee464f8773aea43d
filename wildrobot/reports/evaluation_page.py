"""The figures of an evaluation as one HTML page that loads nothing from a network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wildrobot.reports.elements.charts import Series, line_chart, side_by_side
from wildrobot.reports.elements.html_tables import (
    columns_table,
    ends_of,
    facts_table,
    label,
    page,
    section,
    table,
    tiles,
)
from wildrobot.training.evaluation.comparison import wilson
from wildrobot.training.evaluation.directions import DIRECTIONS

Row = Mapping[str, Any]
Chart = tuple[str, tuple[tuple[str, str], ...], tuple[float | None, float | None]]

SPEED_CHARTS: tuple[Chart, ...] = (
    ("Survival (share of episodes)", (("survival", ""),), (0.0, 1.0)),
    ("Speed (m/s)", (("command_m_s", "commanded"), ("mean_speed_m_s", "measured")), (None, None)),
    ("Speed error (m/s)", (("speed_error_m_s", ""),), (0.0, None)),
    ("Lateral drift (m/s)", (("lateral_drift_m_s", ""),), (0.0, None)),
    ("Turn per 10 s (rad)", (("yaw_drift_rad_per_10_s", ""),), (0.0, None)),
    ("Share of joint-ticks at the voltage limit", (("saturation", ""),), (0.0, None)),
    ("Swing clearance (mm)", (("clearance_left_mm", "left"), ("clearance_right_mm", "right")), (0.0, None)),
    ("Foot slip (m/s)", (("foot_slip_m_s", ""),), (0.0, None)),
    ("Power (W)", (("power_w", ""),), (0.0, None)),
    ("Style score", (("style_score", ""),), (0.0, 1.0)),
)
"""Title, (column, name of the line), ends of the ordinate."""
SERVO_CHARTS = (
    ("mean_speed_m_s", "Speed (m/s)", (None, None)),
    ("survival", "Survival (share of episodes)", (0.0, 1.0)),
    ("saturation", "Share of joint-ticks at the voltage limit", (0.0, None)),
)
SERVO_FIRST = ("servo", "supply_v", "command_m_s", "mean_speed_m_s", "survival", "saturation", "power_w")
"""Columns that a servo is chosen by."""
TILES = (
    ("survival", min, "{:.1%}", "survival, lowest"),
    ("mean_speed_m_s", max, "{:.3f}", "mean speed (m/s), highest"),
    ("speed_error_m_s", max, "{:.3f}", "speed error (m/s), largest"),
    ("lateral_drift_m_s", max, "{:.3f}", "lateral drift (m/s), largest"),
    ("saturation", max, "{:.1%}", "at the voltage limit, largest"),
    ("style_score", min, "{:.2f}", "style score, lowest"),
)
"""Column, which of the speeds' values, format, label."""
COMMAND = "commanded speed (m/s)"
NOTE = (
    "A robot that falls counts until then. Largest turn: away from the heading at the start of the command. "
    "Clearance: how high each foot swings (lower edge of the sole), mean over swings."
)
_OWN = ("rows", "servos", "push_recovery", "comparisons", "policy", "randomization", "versions")


def build_page(result: Mapping[str, Any]) -> str:
    """The page's HTML, from the JSON document of `wildrobot eval`.

    Columns and keys that are not known here are shown under their own names; a row's lists and objects are not.
    """
    rows: list[dict[str, Any]] = list(result.get("rows", ()))
    policy = str(result.get("policy", "policy"))
    servos, pushes = result.get("servos") or [], result.get("push_recovery") or []
    body = [
        f"<h1>Evaluation · {html.escape(policy)}</h1>",
        f'<p class="faint">{html.escape(protocol(result))}</p>',
        _tiles(rows),
        section("By commanded speed", by_speed(rows, result.get("settling_s"), result.get("episodes"))),
        section("Push recovery", push_figures(pushes)),
        section("Servos and supplies", servo_figures(servos)),
        section("Comparison on the same robots", _comparisons(policy, result.get("comparisons") or [])),
    ]
    facts = {}
    for key, value in result.items():
        if key in _OWN:
            continue
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            body.append(section(label(key).capitalize(), table(value)))
        elif value is not None:
            facts[key] = _plain(value)
    body += [
        section("Protocol", facts_table(facts)),
        section("Randomization", facts_table(_plain(_mapping(result.get("randomization"))))),
        section("Versions", facts_table(_mapping(result.get("versions")))),
    ]
    return page(f"Evaluation · {policy}", "".join(body))


def protocol(result: Mapping[str, Any]) -> str:
    """One line of plain text: how much was measured, on what."""
    parts = []
    if "episodes" in result and "duration_s" in result:
        parts.append(f"{result['episodes']} episodes of {result['duration_s']:g} s per speed")
    randomization = _mapping(result.get("randomization"))
    if "name" in randomization:
        parts.append(f"randomization {randomization['name']}")
    parts += [f"{key} {result[key]}" for key in ("seed", "robot") if key in result]
    return " · ".join(parts)


def _tiles(rows: Sequence[Row]) -> str:
    shown = []
    for key, pick, form, name in TILES:
        values = [row[key] for row in rows if row.get(key) is not None]
        if values:
            shown.append((form.format(pick(values)), name))
    return tiles(shown)


def with_limits(row: Row, episodes: int | None) -> dict[str, Any]:
    """A row whose survival has its 95 % limits and its count beside it; the row, where either is not known."""
    share = row.get("survival")
    if share is None or not episodes:
        return dict(row)
    low, high = wilson(share, episodes)
    limits = {
        "survived": f"{round(share * episodes)}/{episodes}",
        "survival_low": low,
        "survival_high": high,
    }
    shown: dict[str, Any] = {}
    for key, value in row.items():
        shown |= {key: value} | (limits if key == "survival" else {})
    return shown


def by_speed(rows: list[dict[str, Any]], settling_s: float | None, episodes: int | None = None) -> str:
    """HTML: all figures with a column for each speed, and their charts."""
    if not rows:
        return ""
    when = "" if settling_s is None else f"After the first {settling_s:g} s of the command. "
    rows = [with_limits(row, episodes) for row in rows]
    ordered = _ordered(rows)
    x = _column(ordered, "command_m_s")
    drawn = []
    for title, columns, ends in SPEED_CHARTS:
        lines = [_line(ordered, key, name, episodes) for key, name in columns]
        if np.isfinite(lines[0].y).any():
            within = ends_of(columns[0][0])
            drawn.append(line_chart(title, x, lines, COMMAND, ends, points=True, within=within))
    return f'{columns_table(rows, "command_m_s")}<p class="faint">{when}{NOTE}</p>{side_by_side(drawn)}'


def _line(ordered: Sequence[Row], key: str, name: str, episodes: int | None) -> Series:
    y = _column(ordered, key)
    if key != "survival" or not episodes:
        return Series(name, y, asked=key == "command_m_s")
    low, high = (_column(ordered, end) for end in ("survival_low", "survival_high"))
    return Series(name, y, low, high, n=np.where(np.isfinite(y), float(episodes), np.nan))


def servo_figures(rows: list[dict[str, Any]]) -> str:
    """HTML: charts over the speed for each servo and supply, and their table."""
    if not rows:
        return ""
    speeds = sorted({row["command_m_s"] for row in rows})
    kinds = list(dict.fromkeys((row["servo"], row["supply_v"]) for row in rows))
    drawn = []
    for key, title, ends in SERVO_CHARTS:
        lines = []
        for servo, volts in kinds:
            own = {
                row["command_m_s"]: row for row in rows if (row["servo"], row["supply_v"]) == (servo, volts)
            }
            values = _column([own.get(speed, {}) for speed in speeds], key)
            lines.append(Series(f"{servo}, {volts:g} V", values))
        drawn.append(line_chart(title, np.array(speeds), lines, COMMAND, ends, points=True))
    return side_by_side(drawn) + table(
        [{key: row[key] for key in SERVO_FIRST if key in row} | row for row in rows]
    )


def push_figures(rows: list[dict[str, Any]]) -> str:
    """HTML: the impulse at which half fall, by direction and speed."""
    if not rows:
        return ""
    angles = np.linspace(0.0, 180.0, len(DIRECTIONS))
    lines = []
    for speed in dict.fromkeys(row["command_m_s"] for row in rows):
        own = {row["direction"]: row for row in rows if row["command_m_s"] == speed}
        around = [own.get(name, {}) for name in DIRECTIONS]
        half, low, high, robots = (
            _column(around, key) for key in ("impulse_n_s", "low_n_s", "high_n_s", "robots")
        )
        lines.append(Series(f"at {speed:g} m/s", half, low, high, n=robots))
    chart = line_chart(
        "Impulse at which half fall (N s)",
        angles,
        lines,
        "angle from forward (degrees)",
        (0.0, None),
        points=True,
    )
    note = (
        "Pushes to the right are counted with those to the left, mirrored. "
        "A dash: nearly all robots fell, or nearly none."
    )
    return f'{side_by_side([chart])}{table(rows)}<p class="faint">{note}</p>'


def _comparisons(policy: str, entries: Sequence[Row]) -> str:
    parts = []
    for other in dict.fromkeys(str(entry["policy"]) for entry in entries):
        rows = []
        for entry in entries:
            if str(entry["policy"]) == other:
                for name, figure in entry["figures"].items():
                    rows.append({"figure": label(name), "command_m_s": entry["command_m_s"], **figure})
        said = f"First: {policy}; second: {other}. Difference: second minus first, with its 95 % limits."
        parts.append(f"<p>{html.escape(said)}</p>{table(rows)}")
    return "".join(parts)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: float(row.get("command_m_s") or 0.0))


def _column(rows: Sequence[Row], key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(k,) values, NaN where there is none."""
    values = (row.get(key) for row in rows)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _plain(value: Any) -> Any:
    """A pair of numbers as the range that it is; a mapping's likewise."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return (" to " if len(value) == 2 else ", ").join(str(one) for one in value)
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
