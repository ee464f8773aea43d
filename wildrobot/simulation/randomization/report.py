"""`wildrobot randomization`: what every term asks for and what live robots have of it, after several resets."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import is_stdout, write_json
from wildrobot.robot_description import load_robot
from wildrobot.simulation.randomization.config import PRESETS, Randomization
from wildrobot.simulation.randomization.probe import READINGS, Probe, Reading, take_probe
from wildrobot.simulation.simulation import Simulation

LEAST_ENVS = 32
LEAST_EXPECTED = 12.0
"""Events that can all be missing by chance once in 10^5 reports."""
ALIKE = 6.0
"""Standard errors by which two estimates may differ before it counts."""


@dataclass(frozen=True)
class ReportConfig:
    """Print what every term of a randomization asks for, and what live simulated robots have of it.

    Robots are made, looked at, moved and pushed, and reset again: effective values are read from their models, their
    sensor frames and their motion, not from what was drawn. A term that should vary and does not, that leaves its
    range or that shifts from reset to reset is marked, and the exit code is 1.
    """

    preset: Literal["full", "basic", "nominal"] = "full"
    """full: all that a real robot may differ in; basic: training's default; nominal: nothing should vary."""
    envs: int = 512
    """Simulated robots; more of them show a smaller error."""
    resets: int = 3
    """Every robot is drawn anew this often."""
    level: float = 1.0
    """The curriculum's level, 0 to 1: every range is scaled about its nominal value by it."""
    seed: int = 0
    """Another seed draws other robots."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the figures here, too; - prints them, and no table."""
    threads: int = 0
    """Physics threads; 0: all CPUs. The figures do not depend on it."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""


EXAMPLES = """examples:
  wildrobot randomization
  wildrobot randomization --preset basic --level 0.5
  wildrobot randomization --envs 2048 --resets 10 --json randomization.json"""


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
    values: dict[str, list[Any]] = {reading.name: [] for reading in READINGS}
    for _ in range(resets):
        probe: Probe = take_probe(sim)
        for reading in READINGS:
            values[reading.name].append(np.asarray(reading.read(probe), dtype=np.float64))
    wanted = (asked or sim.randomization).at_level(sim.level)
    return [judge(reading, values[reading.name], wanted, sim) for reading in READINGS]


def judge(reading: Reading, resets: list[Any], randomization: Randomization, sim: Simulation) -> Effect:
    """Statistics of effective values, one array (N, ...) per reset, against what `randomization` asks for."""
    value, default = getattr(randomization, reading.name), getattr(Randomization, reading.name)
    if reading.name == "random_yaw_zero":
        value, default = ((-math.pi, math.pi) if value else (0.0, 0.0)), (0.0, 0.0)
    elif reading.kind == "range" and not isinstance(value, tuple):
        value, default = (0.0, value), (0.0, 0.0)
    asked = value if isinstance(value, tuple) else (float(value), float(value))
    everything = np.concatenate([v.ravel() for v in resets])
    finite = everything[np.isfinite(everything)]
    if not finite.size:  # never pushed
        never, verdict = math.inf, "no effect" if randomization.push_speed_m_s else ""
        return Effect(reading.name, reading.unit, asked, never, never, never, 0.0, never, never, verdict)

    def centre(v: Any) -> float:
        return float(np.sqrt(np.nanmean(v**2)) if reading.kind == "deviation" else np.nanmean(v))

    spread = float(finite.std())
    first, last = centre(resets[0]), centre(resets[-1])
    error = reading.error(sim, randomization) + 1e-9
    verdict = ""
    if reading.kind == "range":
        verdict = _judge_range(asked, finite, error, reading.grid(sim), varies=value != default)
    elif reading.kind == "on":
        # a count may be met by chance; not all of them
        verdict = "" if bool(np.mean(finite) > 0.99) is bool(value) else "not as asked"
    elif reading.kind == "rate":
        verdict = _judge_rate(asked[0], float(np.mean(finite)), finite.size)
    elif abs(centre(finite) - asked[0]) > 0.1 * asked[0] + error:
        verdict = _size(centre(finite), asked[0])
    # values of one robot need not be independent: its number of robots counts
    sure = ALIKE * spread * math.sqrt(2.0 / len(resets[0])) + error
    if not verdict and len(resets) > 1 and abs(last - first) > sure:
        verdict = "shifts"
    return Effect(
        reading.name, reading.unit, asked, float(finite.min()), centre(finite), float(finite.max()), spread, first,
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


# ---------------------------------------------------------------------- the command


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value + 0.0:.3g}"


def _short(value: float) -> str:
    """Two digits where zeros lead: eight columns hold it."""
    return f"{value:.2g}" if 0.0 < abs(value) < 0.1 else _number(value)


def table(effects: Sequence[Effect]) -> Table:
    """The effects for a terminal of 100 columns; the names say the units."""
    result = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    result.add_column("term", no_wrap=True)
    for title in ("asked", "min", "mean", "max", "std", "first\nreset", "last\nreset"):
        result.add_column(title, justify="right", no_wrap=True)
    result.add_column("", no_wrap=True)
    for effect in effects:
        low, high = (_number(end) for end in effect.asked)
        figures = (effect.least, effect.mean, effect.most, effect.deviation, effect.first, effect.last)
        result.add_row(
            effect.name,
            low if low == high else f"{low} … {high}",
            *(_short(figure) for figure in figures),
            "<<" if effect.verdict else "",
        )
    return result


def _main(argv: Sequence[str]) -> int:
    config = tyro.cli(
        ReportConfig,
        prog="wildrobot randomization",
        args=list(argv),
        description=f"{inspect.cleandoc(ReportConfig.__doc__ or '')}\n\n{EXAMPLES}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if config.envs < LEAST_ENVS:
        raise UserError(
            f"--envs is {config.envs}, expected at least {LEAST_ENVS}: fewer say nothing of a range."
        )
    if config.resets < 1:
        raise UserError(f"--resets is {config.resets}, expected 1 or more.")
    effects = measure(
        PRESETS[config.preset],
        config.envs,
        config.resets,
        config.level,
        config.seed,
        config.threads,
        config.robot_file,
    )
    if not is_stdout(config.json):
        print_report(config, effects)
    wrong = [effect for effect in effects if effect.verdict]
    for effect in wrong:
        print(f"{effect.name}: {effect.verdict}", file=sys.stderr)
    if config.json is not None:
        write_json(config.json, document(config, effects))
        print(f"figures: {config.json}", file=sys.stderr)
    return 1 if wrong else 0


def print_report(config: ReportConfig, effects: Sequence[Effect]) -> None:
    """Print the table and how to read it."""
    print(
        f"randomization {config.preset}, level {config.level:g}: {config.envs} robots, reset {config.resets} times, "
        f"seed {config.seed}"
    )
    Console(width=100).print(table(effects))
    print(
        "Mean of a noise or drift: its root mean square. Loss rates: per tick. Delays: whole physics steps."
    )


def document(config: ReportConfig, effects: Sequence[Effect]) -> dict[str, Any]:
    """What is written as JSON; a value that is not finite is null."""
    head = {name: getattr(config, name) for name in ("preset", "envs", "resets", "level", "seed")}

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    rows = [{key: plain(value) for key, value in dataclasses.asdict(effect).items()} for effect in effects]
    return {**head, "terms": rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `wildrobot randomization`."""
    return run_main(_main, argv)
