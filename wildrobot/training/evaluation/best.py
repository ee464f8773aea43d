"""The best checkpoint of a run: chosen by short evaluations, not by training's own noisy figures."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.observation import Layout
from wildrobot.training.evaluation.episodes import EpisodeConfig, row_of, run_episodes
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
    setting = EpisodeConfig(config.episodes, config.duration_s, SELECTION_SEED, threads=threads)
    actor = copy.deepcopy(actor).cpu()

    def policy(observation: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.nan_to_num(actor(torch.from_numpy(observation)).numpy())

    return [row_of(run_episodes(spec, policy, layout, speed, setting)) for speed in config.speeds_m_s]


def score(rows: Sequence[dict[str, Any]]) -> float:
    """What the best checkpoint is chosen by, 0 to 1: survival times speed times heading kept, mean over the speeds.

    The speed counts fully without error and not at all from 0.2 m/s of error on (a standing robot's is its drift); the
    heading fully without drift and not at all from 1 rad in 10 s on.
    """

    def kept(row: dict[str, Any], name: str, limit: float) -> float:
        return max(0.0, 1.0 - (row[name] or 0.0) / limit)

    return float(
        np.mean(
            [
                row["survival"] * kept(row, "speed_error_m_s", 0.2) * kept(row, "yaw_drift_rad_per_10_s", 1.0)
                for row in rows
            ]
        )
    )


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
