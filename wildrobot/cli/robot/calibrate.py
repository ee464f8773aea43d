"""`wildrobot calibrate`: ids, directions, zeros, the IMU's mount and the feet, measured and written after asking."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.robot.person import PersonHands
from wildrobot.core.consent import COUNTDOWN_S
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.driver import PATIENCE_S, Bus, BusError
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
from wildrobot.firmware_bridge.bus.transport import PortLost, Transport
from wildrobot.firmware_bridge.calibration.measures import Refused, as_calibration, ask_and_write, measure
from wildrobot.firmware_bridge.calibration.progress import open_progress
from wildrobot.robot_description import load_robot

EXAMPLES = """Measure what is one robot's own and write it to a calibration file: servo ids and directions (you move
joint after joint by hand), zeros (the robot drives every joint softly to its end stops), the IMU's mount (the waist
turns, you pitch the robot), and the feet (you press the pads). It asks before anything moves, shows old and new, and
asks before it writes. What was measured is kept beside the output (calibration.progress.json): when
a step fails, the same command goes on there.

examples:
  wildrobot calibrate --port /dev/serial/by-id/usb-FTDI...
  wildrobot calibrate --port PORT --only offsets imu --calibration calibration.yaml --output calibration.yaml

Exit code: 0 written, 1 not written or a foot is wrong, 2 bad input or a measurement that was refused."""


@dataclass
class CalibrateOptions:
    """What to measure."""

    port: Annotated[str | None, tyro.conf.arg(metavar="PORT")] = None
    """Serial port of the robot, best by its name in /dev/serial/by-id."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("calibration.yaml")
    """File to write."""
    only: tuple[Literal["identify", "offsets", "imu", "feet"], ...] = ("identify", "offsets", "imu", "feet")
    """Steps to do; the rest stays as it is."""
    calibration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Begin with this calibration."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""
    restart: bool = False
    """Measure everything anew, whatever an earlier run that did not get to its end has measured."""
    yes: bool = False
    """Agree to every question, and count down before a motion; hands are still asked for what only they can do."""
    countdown: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = COUNTDOWN_S
    """With --yes: how long to count down, 1 or more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(CalibrateOptions, argv, EXAMPLES)
    return run(options)


def run(options: CalibrateOptions, transport: Transport | None = None) -> int:
    """Calibrate over the port (or over `transport`).

    Raises:
        UserError: see the steps.
    """
    if not options.only:
        raise UserError("--only names no step. Name some of: identify offsets imu feet.")
    spec = load_robot(options.robot_file, options.calibration)
    progress = open_progress(options.output, spec, as_calibration(spec), options.only, options.restart)
    hands = PersonHands(options.yes, options.countdown)
    transport = transport or SerialTransport(choose_port(options.port), spec.config.bus.baud)
    # `kill` is to let go as Ctrl-C does
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        findings = measure(Bus(transport, PATIENCE_S), spec, options.only, hands, progress)
        for note in findings.notes:
            hands.say(f"error: {note}")
        written = ask_and_write(options.output, findings, hands, hands.say)
        if written:
            progress.forget()
        else:
            hands.say(progress.kept())
        return 0 if written and not findings.notes else 1
    except Refused as error:
        hands.say(str(error))
        return 1
    except (BusError, PortLost) as error:
        raise UserError(
            f"the bus was lost: {error}. Nothing was written; servos stop by themselves. Check the cable. "
            f"{progress.kept()}"
        ) from error
    except UserError as error:
        raise UserError(f"{error}\n{progress.kept()}") from error
    except KeyboardInterrupt:
        hands.say(f"\ninterrupted: the torque of all servos is off. {progress.kept()}")
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        transport.close()
