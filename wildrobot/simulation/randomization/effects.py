"""What every term of a randomization asks for and what live robots have of it, after several resets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.robot_description import load_robot
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.randomization.probe import READ_BACKS, Probe, ReadBack, take_probe
from wildrobot.simulation.simulation import Simulation

LEAST_EXPECTED = 12.0
"""Events that can all be missing by chance once in 10^5 reports."""
ALIKE = 6.0
"""Standard errors by which two estimates may differ before it counts."""


@dataclass(frozen=True)
class Effect:
    """One line of the table."""

    name: str
    unit: str
    asked: tuple[float, float]
    """Range; twice the same for a deviation, a rate or a switch."""
    least: float
    mean: float
    most: float
    deviation: float
    first: float
    last: float
    """Mean (root mean square of a deviation) after the first and after the last reset."""
    verdict: str
    """Empty where all is as asked."""


def measure(
    randomization: Randomization,
    envs: int,
    resets: int,
    level: float,
    seed: int = 0,
    threads: int = 0,
    robot_file: Path | None = None,
) -> list[Effect]:
    """Make `envs` live robots, reset them `resets` times, and read every term back."""
    sim = Simulation(load_robot(robot_file), envs, seed, randomization, threads)
    sim.set_level(level)
    return read_back(sim, resets)


def read_back(sim: Simulation, resets: int, asked: Randomization | None = None) -> list[Effect]:
    """Every term of a simulation over some more resets of all its robots, against what is asked (default: its own)."""
    values: dict[str, list[Any]] = {term.name: [] for term in READ_BACKS}
    for _ in range(resets):
        probe: Probe = take_probe(sim)
        for term in READ_BACKS:
            values[term.name].append(np.asarray(term.read(probe), dtype=np.float64))
    wanted = (asked or sim.randomization).at_level(sim.level)
    return [judge(term, values[term.name], wanted, sim) for term in READ_BACKS]


def judge(term: ReadBack, resets: list[Any], randomization: Randomization, sim: Simulation) -> Effect:
    """Statistics of effective values, one array (N, ...) per reset, against what `randomization` asks for."""
    value, default = getattr(randomization, term.name), getattr(Randomization, term.name)
    if term.name == "random_yaw_zero":
        value, default = ((-math.pi, math.pi) if value else (0.0, 0.0)), (0.0, 0.0)
    elif term.kind == "range" and not isinstance(value, tuple):
        value, default = (0.0, value), (0.0, 0.0)
    asked = value if isinstance(value, tuple) else (float(value), float(value))
    everything = np.concatenate([v.ravel() for v in resets])
    finite = everything[np.isfinite(everything)]
    if not finite.size:  # never pushed
        never, verdict = math.inf, "no effect" if randomization.push_speed_m_s else ""
        return Effect(term.name, term.unit, asked, never, never, never, 0.0, never, never, verdict)

    def centre(v: Any) -> float:
        return float(np.sqrt(np.nanmean(v**2)) if term.kind == "deviation" else np.nanmean(v))

    spread = float(finite.std())
    first, last = centre(resets[0]), centre(resets[-1])
    error = term.error(sim, randomization) + 1e-9
    verdict = ""
    if term.kind == "range":
        verdict = _judge_range(asked, finite, error, term.grid(sim), varies=value != default)
    elif term.kind == "on":
        # a count may be met by chance; not all of them
        verdict = "" if bool(np.mean(finite) > 0.99) is bool(value) else "not as asked"
    elif term.kind == "rate":
        verdict = _judge_rate(asked[0], float(np.mean(finite)), finite.size)
    elif abs(centre(finite) - asked[0]) > 0.1 * asked[0] + error:
        verdict = _size(centre(finite), asked[0])
    # values of one robot need not be independent: its number of robots counts
    sure = ALIKE * spread * math.sqrt(2.0 / len(resets[0])) + error
    if not verdict and len(resets) > 1 and abs(last - first) > sure:
        verdict = "shifts"
    return Effect(
        term.name, term.unit, asked, float(finite.min()), centre(finite), float(finite.max()), spread, first,
        last, verdict,
    )  # fmt: skip


def _judge_range(asked: tuple[float, float], values: Any, error: float, grid: float, varies: bool) -> str:
    low, high = asked
    least, most = low, high
    if grid:
        least, most = math.floor(low / grid + 1e-9) * grid, math.ceil(high / grid - 1e-9) * grid
    if np.any(values < least - error) or np.any(values > most + error):
        return "out of range" if varies else "varies, but is off"
    wide = float(np.ptp(values))
    if wide <= 2.0 * error and high - low > max(2.0 * error, 0.999 * grid):
        return "no effect"
    if wide < 0.7 * (high - low) - grid - 2.0 * error:
        return "too narrow"
    return ""


def _judge_rate(asked: float, found: float, count: int) -> str:
    if found == 0.0 and asked * count >= LEAST_EXPECTED:
        return "no effect"
    sure = ALIKE * math.sqrt(max(asked * (1.0 - asked), 0.0) / count)
    return "" if abs(found - asked) <= sure else _size(found, asked)


def _size(found: float, asked: float) -> str:
    if asked == 0.0:
        return "varies, but is off"
    return "no effect" if found < 1e-9 else "wrong size"
