"""Episodes at one commanded speed, all as one batch, through the runtime's own signal path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.progress import Bar
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import is_moving
from wildrobot.signal_path.features import FeatureWindow
from wildrobot.signal_path.observation import Layout
from wildrobot.signal_path.path import SignalPath
from wildrobot.simulation.randomization.config import PRESETS, Randomization
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.episode_figures import EpisodeFigures

STAND_S = 1.0
"""Of standing under a zero command, at the begin of an episode."""
SETTLE_S = 2.0
HELD_OUT_SEED = 10_000
"""Training counts its seeds from 0; evaluation draws its robots from here on."""

Floats = NDArray[np.float32]
Policy = Callable[[Floats], NDArray[Any]]
"""Observations (N, D) to actions (N, n)."""
Style = Callable[[Floats], NDArray[Any]]
"""Windows (N, frames * F) to the discriminator's answers D (N,)."""


@dataclass(frozen=True)
class EpisodeConfig:
    """What the episodes of every speed have in common."""

    episodes: int = 100
    duration_s: float = 20.0
    """Length of the commanded part."""
    seed: int = 0
    """Another seed draws other robots, noise and pushes; never those that a training draws."""
    randomization: Literal["basic", "full", "nominal"] = "full"
    threads: int = 0
    """Physics threads; 0: all CPUs. The figures do not depend on it."""

    @property
    def settling_s(self) -> float:
        """The begin of the commanded part that is not measured."""
        return min(SETTLE_S, self.duration_s / 2)

    @property
    def drawing_seed(self) -> int:
        """What the robots are drawn from."""
        return HELD_OUT_SEED + self.seed

    def ticks(self, control_hz: float) -> int:
        """Of an episode, its standing included."""
        return round(STAND_S * control_hz) + round(self.duration_s * control_hz)


def run_episodes(
    spec: RobotSpec,
    policy: Policy,
    layout: Layout | None,
    speed: float,
    config: EpisodeConfig,
    style: tuple[Style, int] | None = None,
    bar: Bar | None = None,
    simulated: tuple[RobotSpec, Randomization] | None = None,
) -> EpisodeFigures:
    """All episodes of one speed (m/s) as one batch; returns their figures.

    Without `layout` the policy reads the default observation. `style` is a discriminator and the frames of its window;
    `simulated` is another robot than the one that the policy takes it for, and its randomization.

    Raises:
        UserError: the policy answered with something that is not finite.
    """
    count, hz = config.episodes, spec.control_hz
    body, randomization = simulated or (spec, PRESETS[config.randomization])
    sim = Simulation(body, count, config.drawing_seed, randomization, config.threads)
    path = SignalPath(spec, layout)
    figures = EpisodeFigures(spec, count, speed, min(1.0, config.duration_s / 4))
    # the discriminator knows walking only
    window = FeatureWindow(style[1]) if style and is_moving(spec, np.array([speed, 0.0])) else None
    begin, length = round(STAND_S * hz), round(config.duration_s * hz)
    measure = begin + round(config.settling_s * hz)
    path.reset(sim.frame())
    for tick in range(begin + length):
        command = np.zeros((count, 2))
        if tick == begin:
            figures.begin(sim.truth())
        if tick >= begin:
            command[:, 0] = speed
        signal = path.observe(sim.frame(), command)
        if style and window:
            seen, whole = window.push(signal.features, np.full(count, tick == 0))
            if tick >= measure:
                score = np.clip(style[0](seen.astype(np.float32)), 0.0, 1.0)
                figures.add_style(score, whole)
        action = np.asarray(policy(signal.observation), dtype=np.float64)
        wrong = np.argwhere(~np.isfinite(action) & figures.alive[:, None])
        if len(wrong):
            raise UserError(
                f"the policy's answer for {spec.joint_names[wrong[0][1]]} is not finite {tick / hz:.2f} s "
                f"into an episode at {speed} m/s. Export it again from a checkpoint of before training broke."
            )
        # a fallen robot is left alone: whatever its policy makes of that would only cost time
        sim.step(path.act(np.where(figures.alive[:, None], action, 0.0)))
        figures.step(sim.truth(), tick >= measure)
        if bar is not None:
            bar.advance(f"{speed:g} m/s, {int(figures.alive.sum())} of {count} up")
    return figures


def row_of(figures: EpisodeFigures) -> dict[str, Any]:
    """A row of the table; while standing also the steps in 20 s and how far the robot has moved."""
    row = figures.summary()
    if figures.command == 0.0 and row["steps_per_s"] is not None:
        row["steps_standing_per_20_s"] = 20.0 * row["steps_per_s"]
        row["standing_drift_cm"] = float(np.nanmean(figures.episodes()["moved_cm"]))
    return row
