"""The command line: `wildrobot` and its sub-commands, and `wildrobot-run`.

Only the module of the chosen sub-command is imported, so that help and the runtime start fast and need
neither torch nor mujoco.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from wildrobot import __version__
from wildrobot.cli.common.extras import missing_extra, not_installed
from wildrobot.core.errors import EXIT_BAD_INPUT, UserError, run_main
from wildrobot.core.nearest import nearest


@dataclass(frozen=True)
class Command:
    """A sub-command: the words that name it, its entry function, and what the overview says of it."""

    words: tuple[str, ...]
    module: str
    summary: str
    example: str
    extra: str = ""
    """Optional dependencies it needs (an extra of the package); empty: the base install does."""
    early_flags: tuple[str, ...] = ()
    """Flags that it reads before its parser does, which therefore does not know them."""

    @property
    def name(self) -> str:
        return " ".join(self.words)


COMMANDS = (
    Command(
        ("reference", "build"),
        "wildrobot.cli.reference.build",
        "plan a motion library (gaits or motion capture), execute it in simulation, keep what is good",
        "wildrobot reference build --preset quick",
        "train",
        ("--preset",),
    ),
    Command(
        ("reference", "show"),
        "wildrobot.cli.reference.show",
        "print the clips of a reference with their figures; write them as a page, render them to a video",
        "wildrobot reference show runs/reference/reference.npz --video reference.mp4",
        "train",
    ),
    Command(
        ("train",),
        "wildrobot.cli.train",
        "train a policy: PPO for the task, AMP for the style",
        "wildrobot train --preset quick --run-dir runs/first",
        "train",
        ("--preset", "--config"),
    ),
    Command(
        ("export",),
        "wildrobot.cli.export",
        "write a run's policy as one .onnx with its contract and golden vectors",
        "wildrobot export runs/first --onnx",
        "train",
    ),
    Command(
        ("import-policy",),
        "wildrobot.cli.import_policy",
        "make a policy file of a network that mjlab, Isaac Lab or the like exported",
        "wildrobot import-policy mjlab_walk.onnx --control-hz 50 --out walk.onnx",
        "train",
    ),
    Command(
        ("eval",),
        "wildrobot.cli.eval",
        "measure an exported policy over many simulated episodes and speeds",
        "wildrobot eval --quick",
        "sim",
    ),
    Command(
        ("film",),
        "wildrobot.cli.film",
        "short videos of a policy: standing, walking, pushed, starting and stopping, turning; on one page",
        "wildrobot film --out runs/film",
        "sim",
    ),
    Command(
        ("randomization",),
        "wildrobot.cli.randomization",
        "print what every randomized value is asked to be and what live simulated robots have of it",
        "wildrobot randomization --preset full",
        "sim",
    ),
    Command(
        ("run",),
        "wildrobot.cli.run.run",
        "run a policy at 50 Hz on a robot: simulated or real",
        "wildrobot run --robot sim --speed 0.3 --duration 20",
    ),
    Command(
        ("view",),
        "wildrobot.cli.view",
        "the robot live in a browser: 3D, health, plots, and controls to drive it",
        "wildrobot view --sim",
        "view",
    ),
    Command(
        ("stop",),
        "wildrobot.cli.robot.stop",
        "turn a robot's torque off at once, or of all that receive it, over LCM; or list the robots",
        "wildrobot stop",
    ),
    Command(
        ("virtual-robot",),
        "wildrobot.cli.robot.virtual_robot",
        "a robot to talk to over a serial port, with physics behind it and faults on request",
        "wildrobot virtual-robot --link /tmp/wildrobot",
        "sim",
    ),
    Command(
        ("doctor",),
        "wildrobot.cli.robot.doctor",
        "look at port, servos, sensor board, this computer and a policy; say what to do about each fault",
        "wildrobot doctor --port /dev/serial/by-id/usb-FTDI...",
    ),
    Command(
        ("calibrate",),
        "wildrobot.cli.robot.calibrate",
        "measure a robot's servo ids, directions, zeros and IMU mount; write them after asking",
        "wildrobot calibrate --port /dev/serial/by-id/usb-FTDI... --output calibration.yaml",
    ),
    Command(
        ("servo",),
        "wildrobot.cli.robot.servo",
        "look at servos and set them up: scan, adopt, read, write, set-id, torque-off, reboot",
        "wildrobot servo scan --port /dev/serial/by-id/usb-FTDI...",
    ),
    Command(
        ("gamepad", "learn"),
        "wildrobot.cli.robot.gamepad_learn",
        "ask once which button of an unknown gamepad shall do what; E-STOP first",
        "wildrobot gamepad learn",
    ),
    Command(
        ("replay",),
        "wildrobot.cli.replay",
        "feed a recorded log through the same code again and demand the same answers",
        "wildrobot replay walk.lcmlog",
    ),
    Command(
        ("log", "info"),
        "wildrobot.cli.log.info",
        "what a log holds: duration, policy, states, falls, guards, events, timing, what is missing",
        "wildrobot log info walk.lcmlog",
    ),
    Command(
        ("log", "plot"),
        "wildrobot.cli.log.plot",
        "one HTML page about a log: joints against targets, IMU, contacts, features, timing, states",
        "wildrobot log plot walk.lcmlog --out walk.html",
    ),
    Command(
        ("log", "diff"),
        "wildrobot.cli.log.diff",
        "the first tick and field in which two logs differ, and by how much each field does",
        "wildrobot log diff before.lcmlog after.lcmlog",
    ),
    Command(
        ("log", "split"),
        "wildrobot.cli.log.split",
        "take a log apart in which lcm-logger recorded several robots, or several runs",
        "wildrobot log split lab.lcmlog",
    ),
    Command(
        ("log", "export"),
        "wildrobot.cli.log.export",
        "a log as parquet or MCAP, for pandas, Foxglove and others",
        "wildrobot log export walk.lcmlog --out walk.mcap",
        "log",
    ),
    Command(
        ("report",),
        "wildrobot.cli.report",
        "one HTML page about a run (or several): curves, evaluation, randomization, configuration, videos",
        "wildrobot report runs/first",
    ),
    Command(
        ("make-run",),
        "wildrobot.cli.make_run.make_run",
        "everything in one go: reference, training, export, evaluation, 20 s of walking, report",
        "wildrobot make-run --out runs/make_run",
        "train",
    ),
    Command(
        ("completion",),
        "wildrobot.cli.completion",
        "print a script that completes commands and flags in bash, zsh or fish",
        "wildrobot completion bash",
    ),
)

GROUPS = {
    "robot": ("run", "view", "stop", "doctor", "calibrate", "servo", "gamepad", "virtual-robot"),
    "learning": (
        "make-run", "reference", "train", "export", "import-policy", "eval", "film", "randomization", "report"
    ),
    "logs": ("log", "replay"),
    "other": ("completion",),
}  # fmt: skip
"""The overview's headings, and the first words of what stands below each."""


def grouped() -> dict[str, list[Command]]:
    """All commands by the overview's headings."""
    return {
        title: [command for word in words for command in COMMANDS if command.words[0] == word]
        for title, words in GROUPS.items()
    }


def overview() -> str:
    """What `wildrobot --help` prints."""
    width = max(len(command.name) for command in COMMANDS)
    listed = [
        line
        for title, commands in grouped().items()
        for line in (f"{title}:", *(f"  {c.name:<{width}}  {c.summary}" for c in commands), "")
    ]
    lines = [
        "usage: wildrobot COMMAND [OPTIONS]",
        "",
        "A small biped, from a motion it should imitate to walking on its own computer.",
        "",
        *listed,
        "examples, in the order of the work:",
        *(f"  {command.example}" for command in COMMANDS),
        "",
        "`wildrobot COMMAND --help` explains a command's options. `wildrobot --version` prints the version.",
    ]
    return "\n".join(lines)


def find_command(argv: Sequence[str]) -> tuple[Command, list[str]]:
    """Split the arguments into the command they name and the rest.

    Raises:
        UserError: no such command; the nearest one is named.
    """
    for command in COMMANDS:
        if tuple(argv[: len(command.words)]) == command.words:
            return command, list(argv[len(command.words) :])
    group = [command for command in COMMANDS if command.words[0] == argv[0]]
    if group:
        names = [command.words[1] for command in group]
        if len(argv) > 1 and not argv[1].startswith("-"):
            near = nearest(argv[1], names)
            hint = f"Did you mean 'wildrobot {argv[0]} {near}'?" if near else f"Known: {', '.join(names)}."
            raise UserError(f"'wildrobot {argv[0]}' has no command '{argv[1]}'. {hint}")
        choices = " or ".join(f"'wildrobot {command.name}'" for command in group)
        raise UserError(f"'wildrobot {argv[0]}' needs to know what to do. Use {choices}.")
    names = list(dict.fromkeys(command.words[0] for command in COMMANDS))
    near = nearest(argv[0], names)
    hint = (
        f"Did you mean 'wildrobot {near}'?"
        if near
        else f"Known: {', '.join(names)}. `wildrobot --help` explains them."
    )
    raise UserError(f"there is no command '{argv[0]}'. {hint}")


def run_command(command: Command, argv: Sequence[str], program: str) -> int:
    """Import a command's module and run its `main(argv)`.

    Raises:
        UserError: a package of an optional extra is not installed, whether it is missed at once or on the way.
    """
    sys.argv[0] = program  # argparse and tyro show it in their usage line
    try:
        return importlib.import_module(command.module).main(list(argv)) or 0
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = missing_extra(missing, command.extra)
        if extra is None:
            raise
        raise not_installed(program, missing, extra) from error


def main(argv: Sequence[str]) -> int:
    """`wildrobot COMMAND …`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if argv else EXIT_BAD_INPUT
    if argv[0] in ("-V", "--version"):
        print(f"wildrobot {__version__}")
        return 0
    if argv[1:2] and argv[1] in ("-h", "--help"):
        group = [command for command in COMMANDS if command.words[0] == argv[0] and len(command.words) > 1]
        if group:
            for command in group:
                print(f"wildrobot {command.name}\n    {command.summary}\n    example: {command.example}\n")
            return 0
    command, rest = find_command(argv)
    return run_command(command, rest, f"wildrobot {command.name}")


def wildrobot_script() -> int:
    """Console script `wildrobot`."""
    return run_main(main)


def wildrobot_run_script() -> int:
    """Console script `wildrobot-run`: the same as `wildrobot run`."""
    command = next(command for command in COMMANDS if command.words == ("run",))
    return run_main(lambda argv: run_command(command, argv, "wildrobot-run"))
