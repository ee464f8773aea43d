"""How hard a push the robot takes: for each direction the impulse at which half of the robots fall.

Every robot is pushed once, at its own phase of the stride. Whether it falls within the next seconds is a yes or no per
impulse; a logistic curve through these answers has its middle at the impulse that half of them survive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import rotate_heading
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.observation import Layout
from wildrobot.signal_path.path import SignalPath
from wildrobot.simulation.gait_figures import heading_and_speed
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.simulation import Simulation, fallen
from wildrobot.training.evaluation.directions import DIRECTIONS
from wildrobot.training.evaluation.episodes import Policy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PushConfig:
    """What is tried."""

    speeds_m_s: tuple[float, ...] = (0.0, 0.3)
    velocity_changes_m_s: tuple[float, ...] = tuple(0.1 * k for k in range(1, 13))
    """Sudden changes of the whole robot's velocity; the impulse is the robot's mass times that."""
    phases: int = 8
    """Robots for each impulse and direction, pushed at phases spread over a stride, every other one to the right."""
    before_s: float = 3.0
    after_s: float = 4.0
    resamples: int = 200
    """Of the bootstrap that the confidence interval comes from."""


def push_recovery(
    spec: RobotSpec, policy: Policy, layout: Layout | None, randomization: Randomization, seed: int, threads: int = 0,
    config: PushConfig = PushConfig(),
) -> list[dict[str, Any]]:  # fmt: skip
    """One row per commanded speed and direction: impulse (N s) that half of the robots survive, with 95 % limits.

    A limit of None: no curve could be fitted there, because nearly all or none fell (then `survival` says which).
    """
    rows = []
    for speed in config.speeds_m_s:
        impulse, direction, survived = _survival(
            spec, policy, layout, randomization, seed, threads, config, speed
        )
        for index, name in enumerate(DIRECTIONS):
            own = direction == index
            rng = np.random.default_rng(seed)
            middle = half_survive(impulse[own], survived[own])
            tries = []
            for _ in range(config.resamples):
                picked = rng.integers(int(own.sum()), size=int(own.sum()))
                found = half_survive(impulse[own][picked], survived[own][picked])
                if found is not None:
                    tries.append(found)
            sure = middle is not None and len(tries) > 0.9 * config.resamples
            low, high = np.percentile(tries, [2.5, 97.5]) if sure else (None, None)
            rows.append(
                {
                    "command_m_s": speed,
                    "direction": name,
                    "impulse_n_s": middle,
                    "low_n_s": None if low is None else float(low),
                    "high_n_s": None if high is None else float(high),
                    "survival": float(np.mean(survived[own])),
                    "largest_n_s": float(impulse.max()),
                    "robots": int(own.sum()),
                }
            )
    return rows


def _survival(
    spec: RobotSpec,
    policy: Policy,
    layout: Layout | None,
    randomization: Randomization,
    seed: int,
    threads: int,
    config: PushConfig,
    speed: float,
) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Impulse (N,) N s, direction (N,) and whether it stayed up (N,) of every robot that was up when it was pushed."""
    changes = np.array(config.velocity_changes_m_s)
    grid = np.meshgrid(np.arange(len(DIRECTIONS)), changes, np.arange(config.phases), indexing="ij")
    direction, change, phase = (part.ravel() for part in grid)
    count = len(direction)
    side = np.where(phase % 2 == 0, 1.0, -1.0)
    angle = direction * np.pi / (len(DIRECTIONS) - 1)
    stride = round(spec.control_hz / spec.gait.stride_hz)
    push_at = round(config.before_s * spec.control_hz) + (phase * stride) // config.phases
    last = int(push_at.max()) + round(config.after_s * spec.control_hz)
    sim = Simulation(spec, count, seed, randomization, threads)
    path = SignalPath(spec, layout)
    path.reset(sim.frame())
    up, up_then = np.ones(count, dtype=bool), np.ones(count, dtype=bool)
    command = np.zeros((count, 2))
    for tick in range(last):
        command[:, 0] = speed if tick >= spec.control_hz else 0.0
        due = np.flatnonzero(push_at == tick)
        if due.size:
            up_then[due] = up[due]
            yaw, _ = heading_and_speed(sim.truth())
            ahead = np.stack([change * np.cos(angle), side * change * np.sin(angle), 0.0 * change], axis=-1)
            sim.push(due, rotate_heading(yaw[due], ahead[due]))
        signal = path.observe(sim.frame(), command)
        action = np.asarray(policy(signal.observation), dtype=np.float64)
        sim.step(path.act(np.where(up[:, None], action, 0.0)))
        up &= ~fallen(spec, sim.truth())
    return spec.total_mass * change[up_then], direction[up_then], up[up_then]


def half_survive(impulse: Array, survived: NDArray[np.bool_], rounds: int = 50) -> float | None:
    """Impulse at which a logistic curve through yes and no (k,) crosses one half; None where there is none in reach.

    Maximum likelihood by Newton's method, with a weak pull of the slope towards zero that keeps it finite when the two
    answers do not overlap.
    """
    if survived.all() or not survived.any():
        return None
    scale = float(impulse.max())
    x = np.stack([np.ones(len(impulse)), impulse / scale], axis=-1)
    y, weight, pull = survived.astype(np.float64), np.zeros(2), np.diag([1e-6, 1e-2])
    for _ in range(rounds):
        chance = 1.0 / (1.0 + np.exp(-np.clip(x @ weight, -30.0, 30.0)))
        slope = x.T @ (y - chance) - pull @ weight
        bend = (x * (chance * (1.0 - chance))[:, None]).T @ x + pull
        change = np.linalg.solve(bend, slope)
        weight = weight + np.clip(change, -5.0, 5.0)
        if np.abs(change).max() < 1e-9:
            break
    if weight[1] >= 0.0:  # harder pushes would be survived better: no curve
        return None
    middle = float(-weight[0] / weight[1] * scale)
    return middle if 0.0 < middle <= 1.5 * scale else None
