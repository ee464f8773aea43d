"""An evaluation's figures for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("command_m_s", "command\nm/s", ".2f"),
    ("survival", "survival", ".1%"),
    ("mean_speed_m_s", "speed\nm/s", ".3f"),
    ("speed_error_m_s", "error\nm/s", ".3f"),
    ("lateral_drift_m_s", "drift\nm/s", ".3f"),
    ("yaw_drift_rad", "yaw\nrad", ".2f"),
    ("yaw_drift_worst_rad", "worst\nrad", ".2f"),
    ("saturation", "at volt.\nlimit", ".1%"),
    ("foot_slip_m_s", "slip\nm/s", ".3f"),
    ("clearance_left_mm", "left\nmm", ".0f"),
    ("clearance_right_mm", "right\nmm", ".0f"),
    ("steps_per_s", "steps\n/s", ".2f"),
    ("style_score", "style", ".2f"),
)


def results_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows for a terminal of 100 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for _, title, _ in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*("–" if row[name] is None else format(row[name], form) for name, _, form in COLUMNS))
    return table


def report(result: dict[str, Any]) -> None:
    """Print the table and how to read it."""
    print(
        f"{result['policy']}: {result['episodes']} episodes of {result['duration_s']:g} s per speed, "
        f"randomization {result['randomization']['name']}, seed {result['seed']}"
    )
    Console(width=100).print(results_table(result["rows"]))
    print(
        f"After the first {result['settling_s']:g} s; fallen ones count until they fall. drift: sideways;\n"
        "yaw: largest turn from the first heading; left, right: how high the sole's lower edge goes,\n"
        "mean over swings."
    )
    for row in result["rows"]:
        if row.get("steps_standing_per_20_s") is not None:
            print(f"Steps while standing: {row['steps_standing_per_20_s']:.1f} in 20 s.")


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title, justify in columns:
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def report_pushes(rows: Sequence[dict[str, Any]]) -> None:
    """Impulse that half of the robots survive, by speed and direction."""
    table = _table(("command\nm/s", "right"), ("pushed", "left"), ("half fall at\nN s", "right"),
                   ("95 % limits\nN s", "right"), ("survival\nof all", "right"), ("robots", "right"))  # fmt: skip
    for row in rows:
        limits = f"{_shown(row['low_n_s'], '.2f')} to {_shown(row['high_n_s'], '.2f')}"
        table.add_row(f"{row['command_m_s']:.2f}", row["direction"], _shown(row["impulse_n_s"], ".2f"), limits,
                      f"{row['survival']:.0%}", str(row["robots"]))  # fmt: skip
    Console(width=100).print(table)
    print(f"Pushes up to {rows[0]['largest_n_s']:.1f} N s; those to the right count as their mirror images.")


def report_servos(rows: Sequence[dict[str, Any]]) -> None:
    """Speed against saturation and survival for each servo and supply."""
    table = _table(("servo", "left"), ("supply\nV", "right"), ("command\nm/s", "right"), ("speed\nm/s", "right"),
                   ("survival", "right"), ("at volt.\nlimit", "right"), ("power\nW", "right"))  # fmt: skip
    for row in rows:
        table.add_row(row["servo"], f"{row['supply_v']:.1f}", f"{row['command_m_s']:.2f}",
                      _shown(row["mean_speed_m_s"], ".3f"), f"{row['survival']:.0%}",
                      _shown(row["saturation"], ".1%"), _shown(row["power_w"], ".1f"))  # fmt: skip
    Console(width=100).print(table)


def report_comparison(first: str, second: str, speeds: Sequence[dict[str, Any]]) -> None:
    """Differences of two policies on the same robots; a star marks what is not chance."""
    print(f"first: {first}\nsecond: {second}, on the same robots. *: not chance")
    table = _table(("command\nm/s", "right"), ("figure", "left"), ("first", "right"), ("second", "right"),
                   ("difference", "right"), ("95 % limits", "right"), ("", "left"))  # fmt: skip
    for speed in speeds:
        for name, row in speed["figures"].items():
            limits = f"{row['low']:+.3f} to {row['high']:+.3f}"
            table.add_row(f"{speed['command_m_s']:.2f}", name, f"{row['first']:.3f}", f"{row['second']:.3f}",
                          f"{row['difference']:+.3f}", limits, "*" if row["significant"] else "")  # fmt: skip
    Console(width=100).print(table)
