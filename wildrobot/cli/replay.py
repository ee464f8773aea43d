"""`wildrobot replay`: a recorded run through the same code again; the answers must be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.table import Table

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.common.tables import in_terminal, print_table
from wildrobot.cli.robot.person import PersonHands
from wildrobot.core.consent import COUNTDOWN_S, require_somebody
from wildrobot.core.errors import UserError
from wildrobot.core.files import is_stdout, write_json
from wildrobot.firmware_bridge.bus.serial_transport import choose_port
from wildrobot.robot_description import load_robot
from wildrobot.runtime.logs.decoding import read_configuration
from wildrobot.runtime.logs.playback import JointFigures, logged_targets, play_targets
from wildrobot.runtime.logs.replay import recorded_robot_file, replay

DESCRIPTION = """Feed a log's raw sensor frames through the same code again and demand the same answers.

examples:
  wildrobot replay walk.lcmlog
  wildrobot replay walk.lcmlog --policy runs/first/policy.onnx --tolerance 1e-6
  wildrobot replay walk.lcmlog --robot dynamixel --port /dev/serial/by-id/usb-FTDI...

Where messages are missing or cannot be read, it goes on at the policy's next start. Until there it compares the
actions alone, and says for which ticks.

The last one plays the logged targets on a robot that hangs from its stand, and says per joint what came back. It asks
before it moves.

Exit code: 0 the same, 1 a difference (the first is named), 2 bad input."""


@dataclass
class ReplayOptions:
    """What to replay."""

    log: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LOG")]
    """Log of `wildrobot-run --log`, or of lcm-logger; of --log-rotate: a part, or the name that all parts share."""
    policy: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")] = ()
    """Where the policies are now, if they are not where they were recorded; they must be the same files."""
    tolerance: float = 0.0
    """Largest difference allowed. 0: equal to the last bit, which the machine of the recording must reach; on
    another kind of processor use 1e-6."""
    robot: Literal["dynamixel"] | None = None
    """Play the log's targets on this robot instead."""
    port: Annotated[str | None, tyro.conf.arg(metavar="PORT")] = None
    """Serial port of that robot."""
    calibration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """That robot's calibration."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the robot.yaml of another robot is now, if it is not where it was when the log was recorded."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write what was compared, or what came back of the robot, here; - prints it."""
    yes: bool = False
    """Do not ask: the robot hangs, and may move; count down aloud instead."""
    countdown: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = COUNTDOWN_S
    """With --yes: how long to count down, 1 or more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(ReplayOptions, argv, DESCRIPTION)
    if not options.tolerance >= 0:
        raise UserError(f"--tolerance is {options.tolerance}, expected 0 or more.")
    if options.robot is not None:
        return play(options)
    if options.port is not None:
        raise UserError("--port is for --robot dynamixel. Leave it out, or give both.")
    found = replay(options.log, options.policy, options.tolerance, options.robot_file)
    exactly = "to the last bit" if options.tolerance == 0 else f"within {options.tolerance:g}"
    if options.json is not None:
        write_json(options.json, asdict(found))
    if is_stdout(options.json):
        return 1 if found.difference else 0
    if found.difference is not None:
        print(in_terminal(f"{options.log}: {found.count} ticks the same {exactly}, then the"))
        print(in_terminal(str(found.difference)))
    elif found.count:
        said = "features, observations, actions and targets the same"
        print(in_terminal(f"{options.log}: {found.count} ticks, {said} {exactly}"))
    else:
        print(
            in_terminal(
                f"{options.log}: no start of the policy in it; what could be compared is the same {exactly}"
            )
        )
    for line in found.lines():
        print(in_terminal(line))
    return 1 if found.difference else 0


def play(options: ReplayOptions) -> int:
    """Play the log's targets on a robot that hangs; asks first, or counts down with --yes."""
    person = PersonHands(options.yes, options.countdown)
    require_somebody(options.yes)
    configuration = read_configuration(options.log)
    spec = load_robot(recorded_robot_file(configuration, options.robot_file), options.calibration)
    port = choose_port(options.port)
    targets = logged_targets(options.log, spec)
    seconds, reach = len(targets) * spec.control_dt, float(np.max(np.ptp(targets, axis=0)))
    person.say(
        f"The robot at {port} will move all joints for {seconds:.0f} s, by up to {np.degrees(reach):.0f} degrees.\n"
        "It must hang from its stand, feet off the floor, hands off. Ctrl-C turns the torque off."
    )
    if not person.agree("Does it hang?", moves=True):
        raise UserError("not confirmed: nothing was moved.")
    figures = play_targets(targets, spec, port)
    if not is_stdout(options.json):
        print_figures(figures)
    if options.json is not None:
        write_json(options.json, [asdict(entry) for entry in figures])
    return 0


def print_figures(figures: Sequence[JointFigures]) -> None:
    """A line for every joint."""
    table = Table("joint", "error rms (rad)", "delay (ms)", "velocity noise (rad/s)", box=None)
    for entry in figures:
        values = list(asdict(entry).values())
        digits = zip(values[1:], (3, 0, 2), strict=True)
        table.add_row(values[0], *("–" if np.isnan(v) else f"{v:.{places}f}" for v, places in digits))
    print_table(table)
