"""`wildrobot-run`: a policy on a robot at 50 Hz, from limp over walking back to limp."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from wildrobot.config import load_yaml
from wildrobot.errors import UserError

if TYPE_CHECKING:
    from wildrobot.robot_description import RobotSpec
    from wildrobot.runtime.commands_input import CommandSource, StopSignals
    from wildrobot.runtime.controller import Controller
    from wildrobot.runtime.loop import Clock, TickTimer
    from wildrobot.runtime.policy import OnnxPolicy
    from wildrobot.runtime.reel import Reel
    from wildrobot.runtime.robots import Robot
    from wildrobot.runtime.telemetry import Telemetry

DEFAULT_DURATION_S = 20.0
EXAMPLES = """Run a policy on a robot at 50 Hz: it stands up, stands, walks, crouches and lets go.

examples:
  wildrobot-run policies/wildrobot_walk.onnx --robot sim --speed 0.3 --duration 20
  wildrobot-run policies/wildrobot_walk.onnx --fast --log walk.lcmlog --json walk.json --video walk.mp4
  wildrobot-run policies/wildrobot_walk.onnx --robot sim --keyboard
  wildrobot-run policies/wildrobot_walk.onnx --robot sim --lcm-command
  wildrobot-run policies/wildrobot_walk.onnx --robot dynamixel --port /dev/serial/by-id/usb-FTDI...

Ctrl-C stops softly; a second Ctrl-C lets go at once. Exit code: 0 walked without a
fall, 1 fell or was stopped by a guard, 2 bad input."""


@dataclass
class RunOptions:
    """What to run, and how."""

    policy: tyro.conf.Positional[Path]
    """Exported policy (.onnx)."""
    robot: Literal["sim", "dynamixel"] = "sim"
    """Robot to drive."""
    port: str | None = None
    """Serial port of the robot (dynamixel), best by its name in /dev/serial/by-id."""
    speed: float = 0.3
    """Forward speed to command, m/s (with --keyboard: the speed while w is held)."""
    yaw_rate: float = 0.0
    """Turning rate to command, rad/s, positive left. 0 holds the heading."""
    duration: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Seconds to walk (20 unless told; with --keyboard or --lcm-command: until stopped)."""
    keyboard: bool = False
    """Command from the keyboard."""
    lcm_command: bool = False
    """Command from LCM channel velocity_command."""
    no_lcm: bool = False
    """Publish nothing on LCM."""
    lcm_url: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """LCM network (LCM_DEFAULT_URL, else udpm://239.255.76.67:7667?ttl=0: this machine only)."""
    log: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write an LCM event log here, for `wildrobot replay` and lcm-logplayer."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the final figures here."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Render the simulated run here (.mp4), after it."""
    fast: bool = False
    """Simulation only: do not wait for real time."""
    seed: int = 0
    """Simulation only: seed of pushes and randomization."""
    push: float = 0.0
    """Simulation only: push the pelvis by up to this speed, m/s, every 4 to 8 seconds."""
    randomize: bool = False
    """Simulation only: draw friction, masses, servo gains and sensor noise as in training."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""
    calibration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """This robot's calibration, as written by `wildrobot calibrate`."""


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


def check_options(options: RunOptions) -> None:
    """Refuse what cannot work before anything is opened."""
    if not options.policy.is_file():
        raise UserError(
            f"there is no policy {options.policy}. Give an .onnx file made by `wildrobot export`."
        )
    if options.keyboard and options.lcm_command:
        raise UserError("--keyboard and --lcm-command exclude each other. Give one of them.")
    if options.keyboard and not sys.stdin.isatty():
        raise UserError("--keyboard needs a terminal as standard input. Run it in one, or use --speed.")
    if options.fast and (options.keyboard or options.lcm_command):
        raise UserError("--fast leaves nobody the time to command. Use it with --speed only.")
    if options.robot == "sim" and options.port is not None:
        raise UserError(
            "--port is for --robot dynamixel; the simulated robot has none. Leave one of them out."
        )
    if options.robot != "sim":
        for name in ("fast", "push", "randomize", "video"):
            if getattr(options, name):
                raise UserError(f"--{name} is for --robot sim only. Leave it out.")
    if options.duration is not None and not options.duration > 0:
        raise UserError(f"--duration is {options.duration}, expected seconds above 0.")
    if options.push < 0:
        raise UserError(f"--push is {options.push}, expected a speed of 0 or more (m/s).")


def check_command(spec: RobotSpec, options: RunOptions) -> None:
    """The velocity from the flags must lie in the ranges of robot.yaml."""
    ranges = spec.command
    for flag, value, unit, (low, high) in (
        ("speed", options.speed, "m/s", ranges.linear_velocity_x),
        ("yaw-rate", options.yaw_rate, "rad/s", ranges.yaw_rate),
    ):
        if not low <= value <= high:
            raise UserError(f"--{flag} is {value} {unit}, but {spec.name} walks at {low} to {high} {unit}.")


def load_policy(path: Path, spec: RobotSpec) -> OnnxPolicy:
    """The policy, refused when its contract differs from the robot or its golden vectors do not reproduce."""
    from wildrobot.runtime.policy import OnnxPolicy

    policy = OnnxPolicy(path, spec)
    if policy.note:
        print(f"note: {policy.note}", file=sys.stderr)
    return policy


def run(options: RunOptions) -> int:
    """Run with checked options; returns the exit code."""
    from wildrobot.robot_description import load_robot
    from wildrobot.runtime.commands_input import StopSignals
    from wildrobot.runtime.figures import print_figures
    from wildrobot.runtime.robots import RobotOptions, open_robot
    from wildrobot.runtime.telemetry import Telemetry, lcm_url

    spec = load_robot(options.robot_file, options.calibration)
    check_command(spec, options)
    policy = load_policy(options.policy, spec)
    with contextlib.ExitStack() as stack:
        robot = open_robot(
            options.robot, spec, RobotOptions(options.seed, options.push, options.randomize, options.port)
        )
        stack.callback(robot.close)
        telemetry = Telemetry(
            options.log, lcm_url(options.lcm_url) if not options.no_lcm else None, lossless=options.fast
        )
        stack.callback(telemetry.close)
        source = open_source(spec, options)
        stack.callback(source.close)
        signals = StopSignals()
        controller, clock = assemble(spec, policy, robot, source, telemetry, signals, options)
        timer = controller.timer
        stack.enter_context(signals)
        reel = None
        if options.video is not None:
            from wildrobot.runtime.reel import Reel

            reel = Reel(robot)
        print(f"running {options.policy} on {options.robot} at {spec.control_hz:g} Hz; Ctrl-C stops softly")
        drive(controller, clock, timer, options, reel)
    figures = summary(controller, timer, telemetry.dropped, options)
    print_figures(figures)
    if options.json is not None:
        from wildrobot.files import write_text

        write_text(options.json, json.dumps(figures, indent=2) + "\n")
    if reel is not None and options.video is not None:
        reel.render(options.video)
    return 1 if controller.outcome.fell or controller.outcome.fault else 0


def assemble(
    spec: RobotSpec,
    policy: OnnxPolicy,
    robot: Robot,
    source: CommandSource,
    telemetry: Telemetry,
    signals: StopSignals,
    options: RunOptions,
) -> tuple[Controller, Clock]:
    """The loop's parts put together and warmed up, and the clock that paces them."""
    from wildrobot.runtime.controller import STAGES, Controller
    from wildrobot.runtime.loop import NS_PER_S, DeadlineClock, SteppedClock, TickTimer
    from wildrobot.runtime.publisher import Publisher
    from wildrobot.runtime.signal_path import SignalPath

    warm_up(spec, SignalPath(spec, policy.layout), policy, robot)
    period_ns = round(spec.control_dt * NS_PER_S)
    clock: Clock = SteppedClock(period_ns) if options.fast else DeadlineClock(period_ns)
    timer = TickTimer(STAGES, window=round(spec.control_hz))
    publisher = Publisher(telemetry, describe(spec, policy, options), clock.now_ns())
    path = SignalPath(spec, policy.layout)
    return Controller(spec, robot, policy, path, source, signals, publisher, timer), clock


def drive(
    controller: Controller, clock: Clock, timer: TickTimer, options: RunOptions, reel: Reel | None
) -> None:
    """The loop: wait for the deadline, tick, and use what is left of the period for the garbage collector."""
    from wildrobot.runtime.loop import gc_outside_the_tick, realtime

    with contextlib.ExitStack() as stack:
        collect = stack.enter_context(gc_outside_the_tick())
        if not options.fast:
            for refused in stack.enter_context(realtime()):
                print(f"note: no {refused}; going on without", file=sys.stderr)
        every, start = round(controller.spec.control_hz), clock.now_ns()
        limited = options.duration is not None and (options.keyboard or options.lcm_command)
        while not controller.ended:
            skipped, late_ns = clock.wait()
            timer.start(skipped, late_ns)
            controller.tick(clock.now_ns())
            timer.finish()
            if reel is not None:
                reel.capture(timer.ticks, controller)
            if timer.ticks % every == 0 and clock.slack_ns() > 5_000_000:
                collect()
            if (
                limited
                and clock.now_ns() - start > (options.duration or 0.0) * 1e9
                and not controller.signals.count
            ):
                controller.signals.count = 1


def open_source(spec: RobotSpec, options: RunOptions) -> CommandSource:
    """Where commands come from, as the flags say."""
    from wildrobot.runtime import commands_input
    from wildrobot.runtime.telemetry import lcm_url, require_lcm

    if options.keyboard:
        print(commands_input.KeyboardCommand.HELP)
        turn_rate = abs(options.yaw_rate) or 0.5 * spec.command.yaw_rate[1]
        return commands_input.KeyboardCommand(spec, options.speed, turn_rate)
    if options.lcm_command:
        return commands_input.LcmCommand(spec, require_lcm(lcm_url(options.lcm_url)))
    return commands_input.FixedCommand(
        spec, options.speed, options.yaw_rate, options.duration or DEFAULT_DURATION_S
    )


def warm_up(spec: RobotSpec, path: Any, policy: OnnxPolicy, robot: Robot) -> None:
    """Call everything once on memories that are thrown away: first calls are slow."""
    from wildrobot.runtime.safety import tilt

    frame = robot.read()
    tilt(spec, frame)
    path.reset(frame)
    path.act(policy(path.observe(frame, [[0.0, 0.0]]).observation))


def describe(spec: RobotSpec, policy: OnnxPolicy, options: RunOptions) -> Any:
    """The `run_configuration` message: what a reader of the log needs to know."""
    import platform

    import numpy
    import onnxruntime

    from wildrobot import __version__
    from wildrobot.runtime.command import COMMAND_NAMES
    from wildrobot.runtime.features import feature_names
    from wildrobot.runtime.lcm_types import run_configuration_t

    message = run_configuration_t()
    message.timestamp_us = time.time_ns() // 1000
    message.robot, message.robot_hash = spec.name, spec.robot_hash
    message.robot_file = str(options.robot_file.resolve()) if options.robot_file else ""
    message.policy_path, message.policy_sha256 = str(options.policy.resolve()), file_sha256(options.policy)
    versions = {"wildrobot": __version__, "numpy": numpy.__version__, "onnxruntime": onnxruntime.__version__}
    content = {
        "control_hz": spec.control_hz,
        "joint_names": spec.joint_names,
        "foot_names": spec.foot_names,
        "feature_names": feature_names(spec),
        "command_names": COMMAND_NAMES,
        "observation": policy.contract["observation"],
        "options": asdict(options),
        "calibration": load_yaml(options.calibration) if options.calibration else None,
        "versions": versions | {"python": platform.python_version()},
        "machine": platform.machine(),
    }
    message.json = json.dumps(content, default=str)
    return message


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(controller: Controller, timer: TickTimer, dropped: int, options: RunOptions) -> dict[str, Any]:
    """The final figures as plain data."""
    return {
        **controller.figures.summary(),
        "fault": controller.outcome.fault,
        "robot": options.robot,
        "policy": str(options.policy),
        "seed": options.seed,
        "real_time": not options.fast,
        "tick": {
            "count": timer.ticks,
            "p50_ms": timer.percentile_ms(50),
            "p99_ms": timer.percentile_ms(99),
            "max_ms": timer.max_ns * 1e-6,
            "lateness_max_ms": timer.max_late_ns * 1e-6,
            "missed": timer.missed,
        },
        "messages_dropped": dropped,
    }
