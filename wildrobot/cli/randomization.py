"""`wildrobot randomization`: what every term asks for and what live robots have of it, as a table."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.table import Table

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.cli.common.tables import in_terminal, print_table
from wildrobot.core.errors import UserError
from wildrobot.core.files import is_stdout, write_json
from wildrobot.simulation.randomization.config import PRESETS
from wildrobot.simulation.randomization.effects import Effect, measure

LEAST_ENVS = 32


@dataclass(frozen=True)
class RandomizationOptions:
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


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value + 0.0:.3g}"


def _short(value: float) -> str:
    """Two digits where zeros lead: eight columns hold it."""
    return f"{value:.2g}" if 0.0 < abs(value) < 0.1 else _number(value)


def table(effects: Sequence[Effect]) -> Table:
    """A line for each effect; the names say the units."""
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


def report(options: RandomizationOptions, effects: Sequence[Effect]) -> None:
    """Print the table and how to read it."""
    print(
        in_terminal(
            f"randomization {options.preset}, level {options.level:g}: {options.envs} robots, "
            f"reset {options.resets} times, seed {options.seed}"
        )
    )
    print_table(table(effects))
    print(
        in_terminal(
            "Mean of a noise or drift: its root mean square. Loss rates: per tick. Delays: whole physics steps."
        )
    )


def document(options: RandomizationOptions, effects: Sequence[Effect]) -> dict[str, Any]:
    """What is written as JSON."""
    head = {name: getattr(options, name) for name in ("preset", "envs", "resets", "level", "seed")}
    return {**head, "terms": [dataclasses.asdict(effect) for effect in effects]}


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot randomization`."""
    options = parse_options(RandomizationOptions, argv, about(RandomizationOptions, EXAMPLES))
    if options.envs < LEAST_ENVS:
        raise UserError(
            f"--envs is {options.envs}, expected at least {LEAST_ENVS}: fewer say nothing of a range."
        )
    if options.resets < 1:
        raise UserError(f"--resets is {options.resets}, expected 1 or more.")
    effects = measure(
        PRESETS[options.preset],
        options.envs,
        options.resets,
        options.level,
        options.seed,
        options.threads,
        options.robot_file,
    )
    if not is_stdout(options.json):
        report(options, effects)
    wrong = [effect for effect in effects if effect.verdict]
    for effect in wrong:
        print(f"{effect.name}: {effect.verdict}", file=sys.stderr)
    if options.json is not None:
        write_json(options.json, document(options, effects))
        print(f"figures: {options.json}", file=sys.stderr)
    return 1 if wrong else 0
