"""The training curves of a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wildrobot.training.charts import Series, line_chart, side_by_side

HEALTHY_BAND = (0.55, 0.80, "healthy 0.55–0.80")


def training_charts(metrics: Mapping[str, Any]) -> str:
    """Figures of all curves there are; `metrics` as `report.read_metrics` gives them."""
    steps, iteration = metrics.get("steps"), metrics.get("iteration")
    if isinstance(steps, np.ndarray):
        x, label = steps / 1e6, "million environment steps"
    else:
        count = max(len(v) for v in metrics.values() if isinstance(v, np.ndarray))
        x, label = (
            (iteration if isinstance(iteration, np.ndarray) else np.arange(count, dtype=float)),
            "iteration",
        )

    def series(*named: tuple[str, str] | tuple[str, str, str]) -> list[Series]:
        found = []
        for key, name, *spread in named:
            values = metrics.get(key)
            if isinstance(values, np.ndarray):
                band = metrics.get(spread[0]) if spread else None
                found.append(Series(name, values, band if isinstance(band, np.ndarray) else None))
        return found

    charts = [
        line_chart("Reward per step, task and style", x, series(("return_mean", "")), label),
        line_chart("Speed error (m/s)", x, series(("speed_error", "")), label, (0.0, None)),
        line_chart("Survival (share of episodes)", x, series(("survival", "")), label, (0.0, 1.0)),
        line_chart(
            "Discriminator accuracy",
            x,
            series(("disc_acc", "disc_acc"), ("disc_acc_heldout", "held-out reference")),
            label,
            (0.4, 1.0),
            HEALTHY_BAND,
        ),
        line_chart(
            "D on reference and policy, mean ± std",
            x,
            series(
                ("disc_real_mean", "D(real)", "disc_real_std"), ("disc_fake_mean", "D(fake)", "disc_fake_std")
            ),
            label,
        ),
        line_chart(
            "Style reward, mean ± std",
            x,
            series(("style_reward_mean", "", "style_reward_std")),
            label,
            (0.0, None),
        ),
        line_chart(
            "Discriminator updates per iteration", x, series(("disc_updates", "")), label, (0.0, None)
        ),
        line_chart("Exploration σ", x, series(("action_std", "")), label, (0.0, None)),
        line_chart("Learning rate × 10⁴", x, _scaled(series(("learning_rate", "")), 1e4), label, (0.0, None)),
        line_chart("Environment steps per second", x, series(("steps_per_s", "")), label, (0.0, None)),
    ]
    charts[3:3] = _evaluations(metrics, x, label)
    return side_by_side(charts)


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


def _scaled(lines: list[Series], factor: float) -> list[Series]:
    return [Series(line.name, line.y * factor) for line in lines]
