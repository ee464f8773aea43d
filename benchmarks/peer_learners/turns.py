"""Several learners in turns on one machine, each on its own clock, and what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wildrobot.reports.elements.charts import thin

POINTS = 60
"""Of a learning curve in the output: means over so many groups of iterations."""


class Learner(Protocol):
    """What is compared: something that collects a rollout and learns from it."""

    name: str
    extra: dict[str, Any]
    """Figures of its own for the output."""

    def iterate(self) -> tuple[int, float]:
        """One rollout and update: control steps of all robots together, and task reward per control tick."""
        ...

    def cpu_seconds(self) -> float:
        """CPU time so far, s, of this process and of the learner's own ones."""
        ...

    def close(self) -> None:
        """End the learner's own processes."""
        ...


@dataclass(frozen=True)
class Iteration:
    """One iteration of one learner."""

    steps: int
    task_reward: float
    wall_s: float
    cpu_s: float


def in_turns(
    learners: Sequence[Learner],
    seconds: float,
    least: int,
    say: Callable[[str, Iteration], None] = lambda name, iteration: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[Iteration]]:
    """Iterations of each learner for `seconds` s of its own wall-clock time, and `least` of them at least.

    The next turn is always that of the learner with the least time so far: who else uses the machine meanwhile slows
    all of them alike. A learner that waits for its turn costs nothing. Ctrl-C ends it early, with what there is.

    Raises:
        KeyboardInterrupt: after Ctrl-C, where a learner does not have its `least` iterations yet.
    """
    done: dict[str, list[Iteration]] = {learner.name: [] for learner in learners}
    spent = dict.fromkeys(done, 0.0)

    def goes_on(learner: Learner) -> bool:
        return spent[learner.name] < seconds or len(done[learner.name]) < least

    while waiting := [learner for learner in learners if goes_on(learner)]:
        learner = min(waiting, key=lambda one: spent[one.name])
        cpu, began = learner.cpu_seconds(), clock()
        try:
            steps, reward = learner.iterate()
        except KeyboardInterrupt:
            if any(len(one) < least for one in done.values()):
                raise
            break
        wall = clock() - began
        iteration = Iteration(steps, reward, wall, learner.cpu_seconds() - cpu)
        done[learner.name].append(iteration)
        spent[learner.name] += wall
        say(learner.name, iteration)
    return done


def summary(iterations: Sequence[Iteration], warmup: int) -> dict[str, Any]:
    """Rates over the iterations after the first `warmup`, and the learning curve over all of them.

    `seconds` of the curve is the learner's own wall-clock time, `steps` are control steps of all robots together.
    """
    timed = iterations[warmup:]
    wall = np.cumsum([one.wall_s for one in iterations])
    steps = np.cumsum([one.steps for one in iterations], dtype=float)
    reward = np.array([one.task_reward for one in iterations])
    last = max(1, len(reward) // 10)
    return {
        "steps_per_s": statistics.median(one.steps / one.wall_s for one in timed),
        "steps_per_cpu_s": statistics.median(one.steps / max(one.cpu_s, 1e-9) for one in timed),
        "total_steps": int(steps[-1]),
        "iterations": len(iterations),
        "iterations_timed": len(timed),
        "wall_s": float(wall[-1]),
        "task_reward_first": float(reward[0]),
        "task_reward_last_tenth": float(reward[-last:].mean()),
        "curve": {
            name: [float(f"{value:.4g}") for value in means(values)]
            for name, values in (("seconds", wall), ("steps", steps), ("task_reward", reward))
        },
    }


def means(values: Any) -> list[float]:
    """Values (k,) as at most `POINTS` means of neighbours."""
    return [float(value) for value in thin(np.arange(len(values), dtype=float), values, POINTS)[1]]


def ratios(summaries: dict[str, dict[str, Any]], ours: str) -> dict[str, dict[str, float]]:
    """Our rates over each peer's, by the wall clock and by CPU time."""
    if ours not in summaries:
        return {}
    return {
        f"{ours}/{name}": {
            rate: summaries[ours][rate] / figures[rate] for rate in ("steps_per_s", "steps_per_cpu_s")
        }
        for name, figures in summaries.items()
        if name != ours
    }


def table(summaries: dict[str, dict[str, Any]]) -> str:
    """The figures as Markdown, a row per learner."""
    lines = [
        "| learner | steps/s | steps per CPU second | task reward per tick, first | last tenth | steps | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in summaries.items():
        lines.append(
            f"| {name} | {figures['steps_per_s']:.0f} | {figures['steps_per_cpu_s']:.0f} "
            f"| {figures['task_reward_first']:.3f} | {figures['task_reward_last_tenth']:.3f} "
            f"| {figures['total_steps']:.3g} | {figures['wall_s']:.0f} s |"
        )
    return "\n".join(lines)
