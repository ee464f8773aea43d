"""A run, or a bench, as the options ask for it: started, told of, its figures printed and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wildrobot.cli.common.rows import histogram_rows, print_rows
from wildrobot.cli.run.figures import print_figures
from wildrobot.cli.run.options import RunOptions, check_command
from wildrobot.core.files import write_text
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.bench import DURATION_S, bench
from wildrobot.runtime.commands.keyboard import KeyboardCommand
from wildrobot.runtime.control import session
from wildrobot.runtime.control.controller import Controller
from wildrobot.runtime.control.session import CommandConfig, SessionConfig
from wildrobot.runtime.control.skills import Skill
from wildrobot.runtime.logs.recorder import Rotation
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.telemetry.computer_clock import clock_synchronized
from wildrobot.signal_path.shipped import shipped_policy

if TYPE_CHECKING:
    from wildrobot.simulation.reel import Reel  # needs MuJoCo, which a robot's computer lacks


def run(options: RunOptions) -> int:
    """Run with checked options; returns the exit code."""
    spec = load_robot(options.robot_file, options.calibration)
    check_command(spec, options)
    options = with_policies(options, spec)
    config = session_config(options)
    skills = session.load_skills(spec, config)
    return run_bench(spec, skills, config, options) if options.bench else walk(spec, skills, config, options)


def walk(spec: RobotSpec, skills: Sequence[Skill], config: SessionConfig, options: RunOptions) -> int:
    """From limp to limp; 0: walked without a fall or a fault."""
    with session.open_session(spec, skills, config) as opened:
        if options.keyboard:
            print(KeyboardCommand.HELP)
        reel: Any = None
        if options.video is not None:
            from wildrobot.simulation.reel import Reel

            reel = Reel(opened.simulation)

        def film(tick: int, controller: Controller) -> None:
            if reel is not None:
                reel.capture(tick, controller.state.value.replace("_", " "))

        names = ", ".join(str(file) for file in options.policies)
        print(f"running {names} on {options.robot} at {spec.control_hz:g} Hz; Ctrl-C stops softly")
        if options.log is not None and clock_synchronized() is False:
            print_note(
                "this computer's clock was not set since its start (no NTP): the log's date may be wrong"
            )
        opened.drive(film, print_note)
        figures = opened.summary()
    figures["log_ended"] = opened.telemetry.log_error
    print_figures(figures)
    if options.json is not None:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")
    if options.video is not None:
        render(reel, options.video)
    outcome = opened.controller.outcome
    return 1 if outcome.fell or outcome.fault else 0


def render(reel: Reel, path: Path) -> None:
    """Write the run's video; without rendering libraries say so and go on."""
    from wildrobot.simulation.video import video_available

    available, reason = video_available()
    if not available:
        print(f"warning: no video: {reason}", file=sys.stderr)
        return
    print(f"rendering {reel.frames} frames of video", file=sys.stderr)
    reel.write(path)
    print(f"wrote {path}")


def run_bench(spec: RobotSpec, skills: Sequence[Skill], config: SessionConfig, options: RunOptions) -> int:
    """`--bench`; 0: this computer is fit."""
    duration = options.duration or DURATION_S
    print(f"ticks at {spec.control_hz:g} Hz for {duration:g} s, with log and LCM, without a robot")
    report = bench(spec, skills, config, print_note)
    rows = [
        (v.name, f"{'ok     ' if v.well else 'NOT FIT' if v.needed else 'warning'}  {v.found}")
        for v in report.verdicts
    ]
    rows += [("loop time", row) for row in histogram_rows(report.figures["tick"])]
    rows += [("wake-up delay", row) for row in histogram_rows(report.figures["lateness"])]
    print_rows(rows)
    for verdict in report.verdicts:
        if not verdict.well:
            print(f"{verdict.name}: {verdict.advice}")
    print("this computer is fit to walk" if report.fit else "this computer is NOT fit to walk yet")
    if options.json is not None:
        write_text(options.json, json.dumps(report.document(), indent=2) + "\n")
    return 0 if report.fit else 1


def print_note(text: str) -> None:
    """For a person, beside the figures."""
    print(f"note: {text}", file=sys.stderr)


def session_config(options: RunOptions) -> SessionConfig:
    """The options as the runtime has them."""
    by: Literal["flags", "keyboard", "gamepad", "lcm"] = "flags"
    if options.keyboard:
        by = "keyboard"
    elif options.gamepad is not None:
        by = "gamepad"
    elif options.lcm_command:
        by = "lcm"
    rotation = None
    if options.log_rotate is not None:
        rotation = Rotation(round(1e6 * options.log_rotate), round(1e6 * options.log_keep))
    device = next(iter(options.gamepad or ()), None)
    return SessionConfig(
        options.policies,
        robot=options.robot,
        robot_options=RobotOptions(options.seed, options.push, options.randomize, options.port),
        command=CommandConfig(
            by,
            options.speed,
            options.yaw_rate,
            options.duration,
            device,
            options.lcm_source,
            options.yes,
            options.countdown,
        ),
        style=options.style,
        fast=options.fast,
        cpu=options.cpu,
        publish=not options.no_lcm,
        lcm_url=options.lcm_url,
        name=options.name,
        log=options.log,
        rotation=rotation,
        robot_file=options.robot_file,
        calibration=options.calibration,
        recorded=asdict(options),
    )


def with_policies(options: RunOptions, spec: RobotSpec) -> RunOptions:
    """The options with the shipped policy where none is named.

    Raises:
        UserError: none comes with the package for this robot.
    """
    return options if options.policies else replace(options, policies=(shipped_policy(spec),))
