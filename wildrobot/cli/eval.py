"""`wildrobot eval`: a policy's figures over many simulated episodes, as tables, JSON and a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.table import Table

from wildrobot.cli.common.arguments import about, parse_options
from wildrobot.cli.common.outputs import check_file
from wildrobot.cli.common.tables import figure, print_table, print_text
from wildrobot.core.errors import UserError
from wildrobot.core.files import is_stdout, write_json, write_text
from wildrobot.reports.elements.html_tables import label
from wildrobot.reports.evaluation_page import build_page
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.shipped import shipped_policy
from wildrobot.training.evaluation.comparison import wilson
from wildrobot.training.evaluation.episodes import EpisodeConfig
from wildrobot.training.evaluation.evaluation import SPEEDS, EvalConfig, commandable, evaluate

EXAMPLES = """examples:
  wildrobot eval --quick
  wildrobot eval runs/first/policy.onnx --speeds 0 0.3 --episodes 50 --out runs/first/evaluation.json
  wildrobot eval runs/first/policy.onnx --push-recovery --servos --html runs/first/evaluation.html
  wildrobot eval --compare runs/first/policy.onnx --speeds 0.3"""
QUICK_SPEEDS, QUICK_EPISODES = (0.0, 0.15, 0.3), 20
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("command_m_s", "command\nm/s", ".2f"),
    ("survival", "survival", ".1%"),
    ("mean_speed_m_s", "speed\nm/s", ".3f"),
    ("speed_error_m_s", "error\nm/s", ".3f"),
    ("lateral_drift_m_s", "drift\nm/s", ".3f"),
    ("yaw_drift_rad", "yaw\nrad", ".2f"),
    ("yaw_drift_worst_rad", "worst\nrad", ".2f"),
    ("saturation", "at volt.\nlimit", ".1%"),
    ("foot_slip_m_s", "slip\nm/s", ".3f"),
    ("clearance_left_mm", "left\nmm", ".0f"),
    ("clearance_right_mm", "right\nmm", ".0f"),
    ("steps_per_s", "steps\n/s", ".2f"),
    ("style_score", "style", ".2f"),
)


@dataclass(frozen=True)
class EvalOptions:
    """Measure an exported policy over many simulated episodes, with delays, sensor noise and pushes.

    Every episode stands at home for 1 s under a zero command and then follows one speed. Survival counts the
    whole episode; heading counts from the start of the command; everything else after its first 2 s
    (half of it, if it is shorter than 4 s). The robots are drawn from seeds that training does not use, the
    same ones for every speed. The same command gives the same figures.
    """

    policy: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[POLICY]")] = None
    """Policy, from `wildrobot export`; without one: that which comes with WildRobot. A style.onnx beside it adds the
    style score."""
    speeds: Annotated[tuple[float, ...], tyro.conf.arg(metavar="M/S [M/S ...]")] = ()
    """Commanded forward speeds, m/s. Default: 0 0.15 0.3 0.5 0.6, as far as the robot's command range allows."""
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Episodes per speed. Default: 100."""
    duration: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 20.0
    """Length of the commanded part of an episode, s."""
    quick: bool = False
    """Defaults of 20 episodes and the speeds 0 0.15 0.3."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", aliases=["--json"])] = None
    """Write the figures here as JSON, too; - prints them, and no tables."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the figures here as one page with charts, too; it loads nothing from a network."""
    seed: int = 0
    """Another seed draws other robots, noise and pushes."""
    push_recovery: bool = False
    """Measure, too, how hard a push from each side the robot takes, standing and at 0.3 m/s."""
    servos: bool = False
    """Measure, too, what other servos and supply voltages would do: speed against saturation and survival."""
    compare: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")] = ()
    """More policies, each on the very same robots, noise and pushes: differences with 95 % limits."""
    randomization: Literal["basic", "full", "nominal"] = "full"
    """basic: noise, delay, moderate physics and pushes; full: all that a real robot may differ in; nominal: the robot
    as described, undisturbed. `wildrobot randomization` prints what is in each."""
    threads: int = 0
    """Physics threads; 0: all CPUs. The figures do not depend on it."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""


def configuration(spec: RobotSpec, options: EvalOptions) -> EvalConfig:
    """What is to be measured, after the defaults.

    Raises:
        UserError: an output could not be written, or no policy was given and none comes with the package for this
            robot.
    """
    for flag, file in (("--out", options.out), ("--html", options.html)):
        if file is not None and not is_stdout(file):
            check_file(flag, file)
    if (
        options.html is not None
        and options.out is not None
        and options.html.resolve() == options.out.resolve()
    ):
        raise UserError(f"--out and --html are both {options.out}. Give the JSON and the page a file each.")
    episodes = EpisodeConfig().episodes if not options.quick else QUICK_EPISODES
    return EvalConfig(
        options.policy or shipped_policy(spec),
        options.speeds or commandable(spec, QUICK_SPEEDS if options.quick else SPEEDS),
        EpisodeConfig(
            episodes if options.episodes is None else options.episodes,
            options.duration,
            options.seed,
            options.randomization,
            options.threads,
        ),
        options.compare,
        options.push_recovery,
        options.servos,
    )


def main(argv: Sequence[str]) -> int:
    """Entry of `wildrobot eval`."""
    options = parse_options(EvalOptions, argv, about(EvalOptions, EXAMPLES))
    spec = load_robot(options.robot)
    result = evaluate(spec, configuration(spec, options))
    if not is_stdout(options.out):
        report(result)
        for path in options.compare:
            own = [entry for entry in result["comparisons"] if entry["policy"] == path.name]
            report_comparison(result["policy"], path.name, own)
        if "servos" in result:
            report_servos(result["servos"])
        if "push_recovery" in result:
            report_pushes(result["push_recovery"])
    if options.out is not None:
        write_json(options.out, result)
        print(f"figures: {options.out}", file=sys.stderr)
    if options.html is not None:
        write_text(options.html, build_page(result))
        print(f"page: {options.html}", file=sys.stderr)
    return 0


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title, justify in columns:
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def results_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A line for each speed."""
    table = _table(*((title, "right") for _, title, _ in COLUMNS))
    for row in rows:
        table.add_row(*(figure(row[name], form) for name, _, form in COLUMNS))
    return table


def report(result: dict[str, Any]) -> None:
    """Print the table and how to read it."""
    print_text(
        f"{result['policy']}: {result['episodes']} episodes of {result['duration_s']:g} s per speed, "
        f"randomization {result['randomization']['name']}, seed {result['seed']}"
    )
    print_table(results_table(result["rows"]))
    print_text(
        f"Measured after the first {result['settling_s']:g} s of the command; a robot that falls counts until then. "
        "drift: sideways; yaw: largest turn away from the heading at the start, mean over episodes; worst: the "
        "largest of any episode; left, right: how high each foot swings (lower edge of the sole), mean over swings."
    )
    for row in result["rows"]:
        low, high = wilson(row["survival"], result["episodes"])
        print_text(
            f"Survival at {row['command_m_s']:.2f} m/s: {round(row['survival'] * result['episodes'])} of "
            f"{result['episodes']} episodes, 95 % limits {low:.1%} to {high:.1%}."
        )
    for row in result["rows"]:
        if row.get("steps_standing_per_20_s") is not None:
            print(f"Steps while standing: {row['steps_standing_per_20_s']:.1f} in 20 s.")


def report_pushes(rows: Sequence[dict[str, Any]]) -> None:
    """Impulse that half of the robots survive, by speed and direction."""
    table = _table(("command\nm/s", "right"), ("pushed", "left"), ("half fall at\nN s", "right"),
                   ("95 % limits\nN s", "right"), ("survival\nof all", "right"), ("robots", "right"))  # fmt: skip
    for row in rows:
        limits = f"{figure(row['low_n_s'], '.2f')} to {figure(row['high_n_s'], '.2f')}"
        table.add_row(f"{row['command_m_s']:.2f}", row["direction"], figure(row["impulse_n_s"], ".2f"), limits,
                      f"{row['survival']:.0%}", str(row["robots"]))  # fmt: skip
    print_table(table, 2)
    print_text(
        f"Pushes up to {rows[0]['largest_n_s']:.1f} N s. "
        "Pushes to the right are counted with those to the left, mirrored."
    )


def report_servos(rows: Sequence[dict[str, Any]]) -> None:
    """Speed against saturation and survival for each servo and supply."""
    table = _table(("servo", "left"), ("supply\nV", "right"), ("command\nm/s", "right"), ("speed\nm/s", "right"),
                   ("survival", "right"), ("at volt.\nlimit", "right"), ("power\nW", "right"))  # fmt: skip
    for row in rows:
        table.add_row(row["servo"], f"{row['supply_v']:.1f}", f"{row['command_m_s']:.2f}",
                      figure(row["mean_speed_m_s"], ".3f"), f"{row['survival']:.0%}",
                      figure(row["saturation"], ".1%"), figure(row["power_w"], ".1f"))  # fmt: skip
    print_table(table, 3)


def report_comparison(first: str, second: str, speeds: Sequence[dict[str, Any]]) -> None:
    """Differences of two policies on the same robots; a star marks what is not chance."""
    print_text(f"first: {first}; second: {second}; both on the same robots.")
    print_text("*: the 95 % limits leave out zero, so the difference is not chance.")
    table = _table(("command\nm/s", "right"), ("figure", "left"), ("first", "right"), ("second", "right"),
                   ("difference", "right"), ("95 % limits", "right"), ("", "left"))  # fmt: skip
    for speed in speeds:
        for name, row in speed["figures"].items():
            limits = f"{figure(row['low'], '+.3f')} to {figure(row['high'], '+.3f')}"
            table.add_row(f"{speed['command_m_s']:.2f}", label(name),
                          figure(row["first"], ".3f"), figure(row["second"], ".3f"),
                          figure(row["difference"], "+.3f"), limits, "*" if row["significant"] else "")  # fmt: skip
    print_table(table, 2)
