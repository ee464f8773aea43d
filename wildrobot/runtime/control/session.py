"""`wildrobot-run`: a policy on a robot at 50 Hz, from limp over walking back to limp."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tyro

from wildrobot.cli.run import (
    DEFAULT_DURATION_S,
    EXAMPLES,
    RunOptions,
    check_command,
    check_options,
    person_commands,
    rotation,
    with_policies,
)

if TYPE_CHECKING:
    from wildrobot.robot_description import RobotSpec
    from wildrobot.runtime.commands.source import CommandSource, StopSignals
    from wildrobot.runtime.control.controller import Controller
    from wildrobot.runtime.control.loop import Clock
    from wildrobot.runtime.control.skills import Reloader, Skill
    from wildrobot.runtime.control.timing import TickTimer, Usage
    from wildrobot.runtime.robots import Robot
    from wildrobot.runtime.telemetry.telemetry import Telemetry
    from wildrobot.simulation.reel import Reel


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = tyro.cli(
        RunOptions,
        args=None if argv is None else list(argv),
        description=EXAMPLES,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    check_options(options)
    return run(options)


def load_skills(spec: RobotSpec, options: RunOptions) -> list[Skill]:
    """All policies, each refused when its contract differs from the robot or its golden vectors do not reproduce."""
    from wildrobot.runtime.control.skills import load_skill

    return [load_skill(spec, file, options.style) for file in options.policies]


def run(options: RunOptions) -> int:
    """Run with checked options; returns the exit code."""
    from wildrobot.robot_description import load_robot
    from wildrobot.runtime.commands.source import StopSignals
    from wildrobot.runtime.control.skills import Reloader
    from wildrobot.runtime.control.timing import Usage
    from wildrobot.runtime.robots import RobotOptions, open_robot
    from wildrobot.runtime.service import supervised
    from wildrobot.runtime.telemetry.figures import print_figures
    from wildrobot.runtime.telemetry.telemetry import Telemetry, lcm_url

    spec = load_robot(options.robot_file, options.calibration)
    check_command(spec, options)
    options = with_policies(options, spec)
    skills = load_skills(spec, options)
    if options.bench:
        from wildrobot.runtime.bench import bench

        return bench(spec, skills, options)
    with contextlib.ExitStack() as stack:
        robot = open_robot(
            options.robot, spec, RobotOptions(options.seed, options.push, options.randomize, options.port)
        )
        stack.callback(robot.close)
        telemetry = Telemetry(
            options.log,
            lcm_url(options.lcm_url) if not options.no_lcm else None,
            lossless=options.fast,
            rotation=rotation(options),
            status=sys.stderr.isatty() and not options.fast,
        )
        stack.callback(telemetry.close)
        source = open_source(spec, options)
        stack.callback(source.close)
        signals = StopSignals()
        reloader = stack.enter_context(Reloader(lambda: load_skills(spec, options)))
        controller, clock = assemble(spec, skills, robot, source, telemetry, signals, options, reloader)
        timer = controller.timer
        stack.enter_context(signals)
        reel = None
        if options.video is not None:
            from wildrobot.simulation.reel import Reel

            reel = Reel(robot)
        names = ", ".join(str(file) for file in options.policies)
        print(f"running {names} on {options.robot} at {spec.control_hz:g} Hz; Ctrl-C stops softly")
        usage = Usage()
        with supervised(controller):
            drive(controller, clock, timer, options, reel)
        figures = summary(controller, timer, usage, telemetry.dropped, options)
        figures["log_ended"] = telemetry.log_error
    print_figures(figures)
    if options.json is not None:
        from wildrobot.core.files import write_text

        write_text(options.json, json.dumps(figures, indent=2) + "\n")
    if reel is not None and options.video is not None:
        reel.render(options.video)
    return 1 if controller.outcome.fell or controller.outcome.fault else 0


def assemble(
    spec: RobotSpec,
    skills: Sequence[Skill],
    robot: Robot,
    source: CommandSource,
    telemetry: Telemetry,
    signals: StopSignals,
    options: RunOptions,
    reloader: Reloader | None = None,
) -> tuple[Controller, Clock]:
    """The loop's parts put together and warmed up, and the clock that paces them."""
    from wildrobot.runtime.control.controller import STAGES, Controller
    from wildrobot.runtime.control.loop import NS_PER_S, DeadlineClock, SteppedClock
    from wildrobot.runtime.control.timing import TickTimer
    from wildrobot.runtime.telemetry.configuration_message import describe
    from wildrobot.runtime.telemetry.publisher import Publisher

    for skill in skills:
        warm_up(spec, skill, robot)
    period_ns = round(spec.control_dt * NS_PER_S)
    clock: Clock = SteppedClock(period_ns) if options.fast else DeadlineClock(period_ns)
    timer = TickTimer(STAGES, window=round(spec.control_hz))
    publisher = Publisher(telemetry, describe(spec, skills, options), clock.now_ns())
    return Controller(spec, robot, skills, source, signals, publisher, timer, reloader), clock


def drive(
    controller: Controller, clock: Clock, timer: TickTimer, options: RunOptions, reel: Reel | None
) -> list[str]:
    """The loop: wait for the deadline, tick, and use what is left of the period for the garbage collector.

    Returns the rights that the operating system refused.
    """
    from wildrobot.runtime.control.loop import control_cpu, gc_outside_the_tick, realtime

    with contextlib.ExitStack() as stack:
        collect = stack.enter_context(gc_outside_the_tick())
        refused: list[str] = []
        if not options.fast:
            refused = stack.enter_context(realtime(cpu=control_cpu(options.cpu)))
            for right in refused:
                print(f"note: no {right}; going on without", file=sys.stderr)
        every, start = round(controller.spec.control_hz), clock.now_ns()
        limited = options.duration is not None and person_commands(options)
        while not controller.ended:
            skipped, late_ns = clock.wait()
            timer.start(skipped, late_ns)
            controller.tick(clock.now_ns())
            timer.finish()
            if reel is not None:
                reel.capture(timer.ticks, controller)
            if timer.ticks % every == 0 and clock.slack_ns() > 5_000_000:
                collect()
            if limited and clock.now_ns() - start > (options.duration or 0.0) * 1e9:
                controller.signals.stop("--duration")
    return refused


def open_source(spec: RobotSpec, options: RunOptions) -> CommandSource:
    """Where commands come from, as the flags say."""
    turn_rate = abs(options.yaw_rate) or 0.5 * spec.command.yaw_rate[1]
    if options.keyboard:
        from wildrobot.runtime.commands.keyboard import KeyboardCommand

        print(KeyboardCommand.HELP)
        return KeyboardCommand(spec, options.speed, turn_rate)
    if options.gamepad is not None:
        from wildrobot.runtime.commands.gamepad.command import GamepadCommand
        from wildrobot.runtime.commands.gamepad.finder import PadFinder

        return GamepadCommand(spec, PadFinder(*options.gamepad), options.speed, turn_rate)
    if options.lcm_command:
        from wildrobot.runtime.commands.lcm_command import LcmCommand
        from wildrobot.runtime.telemetry.telemetry import lcm_url, require_lcm

        return LcmCommand(spec, require_lcm(lcm_url(options.lcm_url)), options.lcm_source)
    from wildrobot.runtime.commands.source import FixedCommand

    return FixedCommand(spec, options.speed, options.yaw_rate, options.duration or DEFAULT_DURATION_S)


def warm_up(spec: RobotSpec, skill: Skill, robot: Robot) -> None:
    """Call everything once on memories that are thrown away: first calls are slow."""
    from wildrobot.runtime.control.safety import SafetySupervisor
    from wildrobot.signal_path.path import SignalPath

    frame, path = robot.read(), SignalPath(spec, skill.policy.layout)
    SafetySupervisor(spec).check(frame, robot.health(), 0, driven=False)
    path.reset(frame)
    signal = path.observe(frame, [[0.0, 0.0]])
    path.act(skill.policy(signal.observation))
    if skill.style is not None:
        skill.style.warm_up(signal.features)


def summary(
    controller: Controller, timer: TickTimer, usage: Usage, dropped: int, options: RunOptions
) -> dict[str, Any]:
    """The final figures as plain data."""
    return {
        **controller.figures.summary(),
        "commands": controller.watch.summary(),
        "fault": controller.outcome.fault,
        "robot": options.robot,
        "policy": str(options.policies[0]),
        "seed": options.seed,
        "real_time": not options.fast,
        "tick": {"count": timer.ticks, "missed": timer.missed} | timer.work.summary(),
        "compute": timer.compute.summary(),
        "stages": {name: histogram.summary() for name, histogram in timer.by_stage.items()},
        "lateness": timer.lateness.summary(),
        "usage": usage.summary(),
        "messages_dropped": dropped,
    }
