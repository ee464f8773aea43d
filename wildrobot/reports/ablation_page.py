"""What an ablation came to: a table over its seeds and one HTML page with the curves (`benchmarks/ablation.py`)."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.reports.elements.charts import Series, line_chart, side_by_side
from wildrobot.reports.elements.html_tables import facts_table, page, table

Array = NDArray[np.float64]

BASE = "as configured"
CURVES = (
    "disc_acc_heldout", "disc_real_mean", "disc_fake_mean", "style_reward_mean", "style_reward_std", "speed_error",
    "falls_per_1000_steps", "task_reward_mean",
)  # fmt: skip
"""Figures of every iteration that a run keeps."""
CHARTS = (
    ("disc_acc_heldout", "Accuracy on held-out reference", (0.4, 1.0), (0.55, 0.80, "0.55–0.80")),
    ("style_reward_mean", "Style reward", (0.0, None), None),
    ("speed_error", "Speed error (m/s)", (0.0, None), None),
    ("falls_per_1000_steps", "Falls per 1000 steps", (0.0, None), None),
)
END = 6
"""The table averages the last 1/END of the curves."""


def _end(run: Mapping[str, Any], name: str) -> float:
    """Mean of a curve's end; NaN where nothing was measured."""
    values = run["curves"][name]
    known = [value for value in values[-max(1, len(values) // END) :] if value is not None]
    return float(np.mean(known)) if known else math.nan


def _survival(run: Mapping[str, Any]) -> float:
    return float(np.mean([row["survival"] for row in run["evaluation"]]))


def _over_seeds(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and half the range of what was measured; None if nothing was, and no range of one seed."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None, None
    return float(np.mean(known)), 0.5 * (max(known) - min(known)) if len(known) > 1 else None


def verdict(scores: Sequence[float], base: Sequence[float]) -> str:
    """Better or worse than the unchanged runs, if every seed is; "as good" where the ranges overlap.

    One seed a side has no range to compare with: no verdict.
    """
    if len(scores) < 2 or len(base) < 2:
        return "–"
    gain = float(np.mean(scores) - np.mean(base))
    if min(scores) > max(base) or max(scores) < min(base):
        return f"{'better' if gain > 0.0 else 'worse'} by {abs(gain):.3f}"
    return "as good"


def ablation_rows(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each variant, the unchanged one first: means over its seeds (`_spread`: half their range)."""
    names = list(dict.fromkeys(run["variant"] for run in runs))
    by_name = {name: [run for run in runs if run["variant"] == name] for name in names}
    base = [run["score"] for run in by_name.get(BASE, [])]
    rows = []
    for name in sorted(names, key=lambda name: name != BASE):
        own = by_name[name]
        accuracy, accuracy_spread = _over_seeds([_end(run, "disc_acc_heldout") for run in own])
        survival, survival_spread = _over_seeds([_survival(run) for run in own])
        score, score_spread = _over_seeds([run["score"] for run in own])
        rows.append(
            {
                "variant": name,
                "verdict": BASE if name == BASE else verdict([run["score"] for run in own], base),
                "score": score,
                "score_spread": score_spread,
                "survival": survival,
                "disc_acc": accuracy,
                "disc_acc_spread": accuracy_spread,
                "style_reward": _over_seeds([_end(run, "style_reward_mean") for run in own])[0],
                "style_reward_std": _over_seeds([_end(run, "style_reward_std") for run in own])[0],
                "speed_error": _over_seeds([_end(run, "speed_error") for run in own])[0],
                "falls_per_1000_steps": _over_seeds([_end(run, "falls_per_1000_steps") for run in own])[0],
                "d_real": _over_seeds([_end(run, "disc_real_mean") for run in own])[0],
                "d_fake": _over_seeds([_end(run, "disc_fake_mean") for run in own])[0],
                "seeds": len(own),
                "survival_spread": survival_spread,
                "top_auc": ", ".join(f"{feature} {area:.2f}" for feature, area in own[0]["auc_top"][:3]),
            }
        )
    return rows


def _series(runs: Sequence[Mapping[str, Any]], variant: str, figure: str, label: str) -> Series:
    """A figure's mean over a variant's seeds, with the range of them."""
    curves = [run["curves"][figure] for run in runs if run["variant"] == variant]
    values: Array = np.array([[math.nan if v is None else v for v in curve] for curve in curves])
    count = np.full(values.shape[1], float(len(values)))
    return Series(label, values.mean(axis=0), values.min(axis=0), values.max(axis=0), n=count)


def _group(question: str, answers: Mapping[str, str], runs: Sequence[Mapping[str, Any]]) -> str:
    """Charts of one question, `answers` by variant; nothing if fewer than two of them were run."""
    present = [name for name in answers if any(run["variant"] == name for run in runs)]
    if len(present) < 2:
        return ""
    x = np.array(next(run["curves"]["iteration"] for run in runs))
    charts = []
    for figure, heading, y_range, zone in CHARTS:
        series = [_series(runs, name, figure, answers[name]) for name in present]
        charts.append(line_chart(heading, x, series, "iteration", y_range, zone))
    base = f' <span class="faint">{BASE}: {html.escape(answers[BASE])}</span>' if BASE in answers else ""
    return f"<h2>{html.escape(question)}{base}</h2>{side_by_side(charts)}"


def ablation_page(document: Mapping[str, Any]) -> str:
    """The page's HTML from what `benchmarks/ablation.py` writes: note, table, curves of each question, versions."""
    runs = document["runs"]
    body = [
        "<h1>WildRobot · ablation</h1>",
        f"<p>{html.escape(document['note'])}</p>",
        table(document["rows"]),
        *(_group(question, answers, runs) for question, answers in document["lines"].items()),
        f"<h2>Versions</h2>{facts_table(document['environment'])}",
    ]
    return page("WildRobot · ablation", "".join(body))
