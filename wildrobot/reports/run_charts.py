"""The training curves of a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.reports.elements.charts import Series, around, line_chart, side_by_side
from wildrobot.reports.elements.heat_map import heat_map
from wildrobot.reports.run_record import AUC

Array = NDArray[np.float64]
Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Curve:
    """A chart: what it shows, and the columns of metrics.jsonl that are its lines."""

    title: str
    lines: tuple[tuple[str, str, str], ...]
    """(column, name, column of its spread or nothing)."""
    ends: Ends = (None, None)
    zone: tuple[float, float, str] | None = None
    factor: float = 1.0


CURVES = (
    Curve("Reward per step, task and style", (("return_mean", "", ""),)),
    Curve("Speed error (m/s)", (("speed_error", "", ""),), (0.0, None)),
    Curve("Survival (share of episodes)", (("survival", "", ""),), (0.0, 1.0)),
    Curve(
        "Discriminator accuracy",
        (("disc_acc", "disc_acc", ""), ("disc_acc_heldout", "held-out reference", "")),
        (0.4, 1.0),
        (0.55, 0.80, "healthy 0.55–0.80"),
    ),
    Curve(
        "D on reference and policy, mean ± std",
        (("disc_real_mean", "D(real)", "disc_real_std"), ("disc_fake_mean", "D(fake)", "disc_fake_std")),
    ),
    Curve("Style reward, mean ± std", (("style_reward_mean", "", "style_reward_std"),), (0.0, None)),
    Curve("Discriminator updates per iteration", (("disc_updates", "", ""),), (0.0, None)),
    Curve("Exploration σ", (("action_std", "", ""),), (0.0, None)),
    Curve("Learning rate × 10⁴", (("learning_rate", "", ""),), (0.0, None), factor=1e4),
    Curve("Environment steps per second", (("steps_per_s", "", ""),), (0.0, None)),
)
AUC_LINES = 4
"""Lines that one chart tells apart."""
AUC_RECENT = 10
"""The features of the charts are those with the largest mean over so many newest looks."""
AUC_SCALE = (0.5, 0.7)


def abscissa(metrics: Mapping[str, Any]) -> tuple[Array, str]:
    """What curves are drawn over: (T,) values and what they are."""
    steps, iteration = metrics.get("steps"), metrics.get("iteration")
    if isinstance(steps, np.ndarray):
        return steps / 1e6, "million environment steps"
    if isinstance(iteration, np.ndarray):
        return iteration, "iteration"
    count = max(len(v) for v in metrics.values() if isinstance(v, np.ndarray))
    return np.arange(count, dtype=float), "iteration"


def training_charts(metrics: Mapping[str, Any]) -> str:
    """Figures of all curves there are; `metrics` as `run_record.read_metrics` gives them."""
    x, label = abscissa(metrics)
    charts = []
    for curve in CURVES:
        lines = []
        for key, name, spread in curve.lines:
            values, band = metrics.get(key), metrics.get(spread)
            if isinstance(values, np.ndarray):
                deviation = band * curve.factor if isinstance(band, np.ndarray) else None
                lines.append(around(name, values * curve.factor, deviation))
        charts.append(line_chart(curve.title, x, lines, label, curve.ends, curve.zone))
    charts[3:3] = _evaluations(metrics, x, label)
    return side_by_side(charts)


def feature_areas(metrics: Mapping[str, Any]) -> str:
    """AUC of each feature alone over the training: the ones that give the policy away most as curves, all as a map."""
    areas = {key.removeprefix(AUC): value for key, value in metrics.items() if key.startswith(AUC)}
    areas = {name: value for name, value in areas.items() if isinstance(value, np.ndarray)}
    if not areas:
        return ""
    x, label = abscissa(metrics)
    looked = np.isfinite(np.array(list(areas.values()))).any(axis=0)

    def end(name: str) -> float:
        # what is not known was not among the largest: no difference is the least that it can be
        return float(np.nan_to_num(areas[name][looked][-AUC_RECENT:], nan=0.5).mean())

    first = sorted(areas, key=end, reverse=True)
    charts = []
    for begin in (0, AUC_LINES):
        lines = [Series(name, areas[name][looked]) for name in first[begin : begin + AUC_LINES]]
        title = "AUC of one feature alone" if begin == 0 else "The next ones"
        charts.append(line_chart(title, x[looked], lines, label, (0.5, None), points=True, within=(0.5, 1.0)))
    complete = all(np.isfinite(value[looked]).all() for value in areas.values())
    note = (
        "How well one feature alone tells the policy from the reference, as the area under the ROC curve: at 0.5 not "
        f"at all, at 1 always. The colour goes from {AUC_SCALE[0]:g} to {AUC_SCALE[1]:g}; "
        "the last value is at the right."
    )
    if not complete:
        note += " Empty places: not measured, or not among the six largest, and only those were kept."
    chart = heat_map(x[looked], {name: areas[name][looked] for name in first}, label, *AUC_SCALE)
    return f'<p class="faint">{note}</p>{side_by_side(charts)}{chart}'


def _evaluations(metrics: Mapping[str, Any], x: Any, label: str) -> list[str]:
    """The run's own evaluations, on the iterations that had one."""
    scores = metrics.get("eval/score")
    if not isinstance(scores, np.ndarray):
        return []
    had = np.isfinite(scores)
    charts = []
    for figure, title, limits in (
        ("survival", "Evaluations in training: survival", (0.0, 1.0)),
        ("speed_error", "Evaluations in training: speed error (m/s)", (0.0, None)),
    ):
        prefix = f"eval/{figure}_"
        speeds = sorted(
            (key for key in metrics if key.startswith(prefix)), key=lambda key: float(key[len(prefix) :])
        )
        lines = [Series(f"{key[len(prefix) :]} m/s", metrics[key][had]) for key in speeds]
        charts.append(line_chart(title, x[had], lines, label, limits))
    return charts
