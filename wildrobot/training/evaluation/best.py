"""The best checkpoint of a run: chosen by short evaluations, not by training's own noisy figures."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.observation import Layout
from wildrobot.training.evaluation.evaluation import EvalConfig, row_of, run_episodes, score
from wildrobot.training.rl.checkpoint import load_checkpoint, save_checkpoint

BEST_FILE = "best.pt"
SELECTION_SEED = 5000
"""Other robots than those of `wildrobot eval`: a choice must not be judged by what it was made with."""


@dataclass(frozen=True)
class SelectionConfig:
    """How often the policy is evaluated while it trains, and on what."""

    every: int = 100
    """Iterations between two evaluations, the last iteration included; 0: never, RUN/best.pt is not written."""
    speeds_m_s: tuple[float, ...] = (0.0, 0.15, 0.3, 0.5)
    episodes: int = 20
    """Of each speed."""
    duration_s: float = 10.0


def short_evaluation(
    spec: RobotSpec, layout: Layout, actor: torch.nn.Module, config: SelectionConfig, threads: int
) -> list[dict[str, Any]]:
    """Rows of figures, one for each speed, of the mean actions of `actor`, through the runtime's path."""
    setting = EvalConfig(
        policy=Path(), episodes=config.episodes, duration=config.duration_s, seed=SELECTION_SEED,
        threads=threads,
    )  # fmt: skip

    actor = copy.deepcopy(actor).cpu()

    def policy(observation: Any) -> Any:
        with torch.no_grad():
            return np.nan_to_num(actor(torch.from_numpy(observation)).numpy())

    return [row_of(run_episodes(spec, policy, layout, speed, setting)) for speed in config.speeds_m_s]


class Selection:
    """Evaluates a run's policy now and then, through the runtime's path, and keeps the best checkpoint."""

    def __init__(
        self, run: Path, spec: RobotSpec, layout: Layout, config: SelectionConfig, threads: int
    ) -> None:
        self.path, self.spec, self.layout, self.config, self.threads = (
            run / BEST_FILE, spec, layout, config, threads,
        )  # fmt: skip
        self.best = load_checkpoint(self.path)["score"] if self.path.exists() else -1.0

    def consider(self, actor: torch.nn.Module, state: dict[str, Any]) -> dict[str, float]:
        """Evaluate the mean actions of `actor`; its checkpoint `state` is kept if it is better than all before.

        Returns figures for the log: the score and, for each speed, survival and speed error.
        """
        rows = short_evaluation(self.spec, self.layout, actor, self.config, self.threads)
        value = score(rows)
        if value > self.best:
            self.best = value
            save_checkpoint(self.path, state | {"score": value})
        figures = {"eval/score": value}
        for row in rows:
            name = f"{row['command_m_s']:g}"
            figures[f"eval/survival_{name}"] = row["survival"]
            figures[f"eval/speed_error_{name}"] = (
                float("nan") if row["speed_error_m_s"] is None else row["speed_error_m_s"]
            )
        return figures
