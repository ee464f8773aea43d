"""What `wildrobot-run` is asked to do: its flags, and what of them cannot go together."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from wildrobot.core.consent import COUNTDOWN_S, check_countdown, require_somebody
from wildrobot.core.errors import UserError
from wildrobot.runtime.telemetry.identity import checked_name

if TYPE_CHECKING:  # NumPy must not hold up --help
    from wildrobot.robot_description import RobotSpec

GIVE_ONE = "Give an .onnx file made by `wildrobot export`, or none for the policy that comes with WildRobot."
EXAMPLES = """Run a policy on a robot at 50 Hz: it stands up, stands, walks, crouches and turns the torque off.

examples:
  wildrobot-run --robot sim --speed 0.3 --duration 20
  wildrobot-run --fast --log walk.lcmlog --json walk.json --video walk.mp4
  wildrobot-run --robot sim --keyboard
  wildrobot-run --robot sim --gamepad
  wildrobot-run --robot sim --lcm-command
  wildrobot-run runs/walk/policy.onnx --robot dynamixel --port /dev/serial/by-id/usb-FTDI...
  wildrobot-run --robot dynamixel --port PORT --speed 0.15 --duration 5 --yes
  wildrobot-run runs/walk/policy.onnx runs/slow/policy.onnx --robot sim --keyboard
  wildrobot-run --bench

A real robot stays limp until somebody beside it presses Enter, or until --yes has counted
down. Ctrl-C stops softly; a second Ctrl-C turns the torque off at once. SIGUSR1 reloads the policies, while
the robot stands. Exit code: 0 walked without a fall (--bench: this computer is fit), 1 fell or
was stopped by a guard (not fit), 2 bad input."""


@dataclass
class RunOptions:
    """What to run, and how."""

    policies: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[POLICY ...]")] = ()
    """Exported policies (.onnx). The first one is in charge; the others can take over while the robot stands. Without
    one: the policy that comes with WildRobot."""
    robot: Literal["sim", "dynamixel"] = "sim"
    """Robot to drive."""
    port: Annotated[str | None, tyro.conf.arg(metavar="PORT")] = None
    """Serial port of the robot (dynamixel), best by its name in /dev/serial/by-id."""
    speed: Annotated[float, tyro.conf.arg(metavar="M/S")] = 0.3
    """Forward speed to command, m/s (with --keyboard: while w is held; with --gamepad: of a stick at its end)."""
    yaw_rate: Annotated[float, tyro.conf.arg(metavar="RAD/S")] = 0.0
    """Turning rate to command, rad/s, positive left. 0 holds the heading."""
    duration: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Seconds to walk (20 unless told; with --keyboard, --gamepad or --lcm-command: until stopped)."""
    yes: bool = False
    """Do not ask at the terminal before a real robot stands up by flags: count down aloud instead."""
    countdown: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = COUNTDOWN_S
    """With --yes: how long to count down, 1 or more."""
    keyboard: bool = False
    """Command from the keyboard."""
    gamepad: Annotated[tuple[Path, ...] | None, tyro.conf.arg(metavar="[DEVICE]")] = None
    """Command from a gamepad: the first one, or that at /dev/input/DEVICE. Hold the left shoulder button to walk."""
    lcm_command: bool = False
    """Command from LCM channel NAME/velocity_command: `wildrobot view` and other programs."""
    lcm_source: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = ()
    """With --lcm-command: accept these sources only (default: any). Every source may stop the robot."""
    style: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Discriminator that scores the motion's style (style.onnx beside the policy, if it is there)."""
    bench: bool = False
    """Drive no robot: measure whether this computer keeps time, and say what to do if not."""
    cpu: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """CPU to pin the control thread to (the last one of four or more, unless told)."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of this one robot, on LCM and in logs (WILDROBOT_NAME, else this computer's; a simulation's is sim-...)."""
    no_lcm: bool = False
    """Publish nothing on LCM, and hear no stop there."""
    lcm_url: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """LCM network (LCM_DEFAULT_URL, else udpm://239.255.76.67:7667?ttl=0: this machine only)."""
    log: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write an LCM event log here, for `wildrobot replay`, `wildrobot log` and lcm-logplayer."""
    log_rotate: Annotated[float | None, tyro.conf.arg(metavar="MB")] = None
    """Begin a new part of the log after so many MB, and write over none: FILE.0007.000 is the seventh run's first."""
    log_keep: Annotated[float, tyro.conf.arg(metavar="MB")] = 2000.0
    """With --log-rotate: what all parts may take together; the oldest are deleted."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the final figures here."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Render the simulated run here (.mp4), after it."""
    fast: bool = False
    """Simulation only: do not wait for real time."""
    seed: int = 0
    """Simulation only: seed of pushes and randomization."""
    push: Annotated[float, tyro.conf.arg(metavar="M/S")] = 0.0
    """Simulation only: push the pelvis by up to this speed, m/s, every 4 to 8 seconds."""
    randomize: bool = False
    """Simulation only: draw friction, masses, servo gains and sensor noise as in training."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""
    calibration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """This robot's calibration, as written by `wildrobot calibrate`."""


def check_options(options: RunOptions) -> None:
    """Refuse what cannot work before anything is opened."""
    for file in options.policies:
        if not file.is_file():
            found = f"{file} is a folder, no policy" if file.is_dir() else f"there is no policy {file}"
            raise UserError(f"{found}. {GIVE_ONE}")
    if options.bench:
        check_bench(options)
    check_sources(options)
    if options.keyboard and not sys.stdin.isatty():
        raise UserError("--keyboard needs a terminal as standard input. Run it in one, or use --speed.")
    if options.name is not None:
        checked_name(options.name)
    if options.fast and person_commands(options):
        raise UserError("--fast leaves nobody the time to command. Use it with --speed only.")
    if options.lcm_command and options.no_lcm:
        raise UserError(
            "--lcm-command and --no-lcm exclude each other: a command answers what the robot says. Leave one out."
        )
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
    check_rotation(options)
    if options.push < 0:
        raise UserError(f"--push is {options.push}, expected a speed of 0 or more (m/s).")
    check_consent(options)


def check_consent(options: RunOptions) -> None:
    """Somebody must have said, or be there to say, that a real robot may stand up by flags."""
    check_countdown(options.countdown)
    if person_commands(options):
        if options.yes:
            raise UserError(
                "--yes is for a robot that flags command: commanded by a person, it stands up when that person says "
                "so. Leave it out."
            )
    elif options.robot != "sim" and not options.bench:
        require_somebody(options.yes)


def check_rotation(options: RunOptions) -> None:
    """Parts of a log must have a size that makes sense."""
    if options.log_rotate is None:
        return
    if options.log is None:
        raise UserError("--log-rotate is for a log. Give --log FILE, too.")
    if not 0 < options.log_rotate <= options.log_keep:
        raise UserError(
            f"--log-rotate is {options.log_rotate:g} MB and --log-keep {options.log_keep:g} MB, expected parts of "
            "more than 0 and at most what is kept."
        )


def check_sources(options: RunOptions) -> None:
    """One source of commands at a time."""
    asked = [
        flag
        for flag, on in (
            ("--keyboard", options.keyboard),
            ("--gamepad", options.gamepad is not None),
            ("--lcm-command", options.lcm_command),
        )
        if on
    ]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} exclude each other. Give one of them.")
    if options.gamepad is not None and len(options.gamepad) > 1:
        raise UserError(
            f"--gamepad takes one device, but {len(options.gamepad)} were given: "
            f"{', '.join(map(str, options.gamepad))}. Name policies before it."
        )
    if options.gamepad and options.gamepad[0].suffix == ".onnx":
        raise UserError(
            f"--gamepad takes a device, and {options.gamepad[0]} is a policy. Name it before --gamepad."
        )
    if options.lcm_source and not options.lcm_command:
        raise UserError(
            "--lcm-source says which sources --lcm-command accepts. Give --lcm-command too, or leave it out."
        )


def person_commands(options: RunOptions) -> bool:
    """Whether somebody commands, now and then, and not the flags."""
    return options.keyboard or options.gamepad is not None or options.lcm_command


def check_bench(options: RunOptions) -> None:
    """A bench run commands no robot."""
    for name in ("port", "keyboard", "gamepad", "lcm_command", "fast", "push", "randomize", "video", "log"):
        if getattr(options, name) not in (None, False, 0.0):
            raise UserError(
                f"--bench drives no robot: --{name.replace('_', '-')} means nothing to it. Leave it out."
            )


def check_command(spec: RobotSpec, options: RunOptions) -> None:
    """The velocity from the flags must lie in the ranges of robot.yaml."""
    ranges = spec.command
    for flag, value, unit, (low, high) in (
        ("speed", options.speed, "m/s", ranges.linear_velocity_x),
        ("yaw-rate", options.yaw_rate, "rad/s", ranges.yaw_rate),
    ):
        if not low <= value <= high:
            raise UserError(f"--{flag} is {value} {unit}, but {spec.name} walks at {low} to {high} {unit}.")
