"""`wildrobot doctor`: everything that the robot needs, looked at one after another; each line with its repair."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.text import Text

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.robot.person import PersonHands
from wildrobot.core.activity import ActivityLine
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import servo_tools
from wildrobot.firmware_bridge.bus.checks import check_bus, check_port
from wildrobot.firmware_bridge.bus.driver import Bus, BusError
from wildrobot.firmware_bridge.bus.inspection import Finding
from wildrobot.firmware_bridge.bus.presence import patient_bus
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
from wildrobot.firmware_bridge.bus.startup import repair
from wildrobot.firmware_bridge.bus.transport import PortLost, Transport
from wildrobot.firmware_bridge.calibration.diagnosis import diagnose
from wildrobot.firmware_bridge.calibration.hands import Hands
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.doctor import check_computer, check_gamepad, check_policy
from wildrobot.signal_path.shipped import find_shipped_policy

EXAMPLES = """Look at port, bus, servos, sensor board, this computer, a policy and a gamepad; every line is ok,
warning or error, and says what to do. Of the bus it also does what a run does: its reads, for two seconds at its rate.
Without --fix, --identify and --pose nothing moves, and nothing is changed but which registers a limp servo's indirect
data show, which every run sets anew.

examples:
  wildrobot doctor --port /dev/serial/by-id/usb-FTDI...
  wildrobot doctor --port PORT --policy runs/first/policy.onnx
  wildrobot doctor --port PORT --fix
  wildrobot doctor --port PORT --identify --pose zero

Exit code: 0 all ok, or warnings only; 1 errors; 2 bad input."""
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@dataclass
class DoctorOptions:
    """What to look at."""

    port: Annotated[str | None, tyro.conf.arg(metavar="PORT")] = None
    """Serial port of the robot, best by its name in /dev/serial/by-id."""
    policy: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Policy (.onnx) that is to run, unless it is that which comes with WildRobot: its contract is compared with the
    robot."""
    calibration: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """This robot's calibration."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""
    fix: bool = False
    """Repair registers where that is safe, and restart servos that go on reporting a hardware error. The torque goes
    off: let the robot hang, or hold it. Asks before a servo lets go that holds something."""
    yes: bool = False
    """With --fix: do not ask before servos let go, count down aloud instead."""
    json: bool = False
    """Print one JSON list."""
    identify: bool = False
    """Find out, with your hands, which servo moves which joint and how the IMU and the feet sit; the waist turns."""
    pose: Literal["zero", "home"] | None = None
    """Compare the joints with a pose in which you hold the robot."""
    gamepad: Annotated[tuple[Path, ...] | None, tyro.conf.arg(metavar="[DEVICE]")] = None
    """Look for the gamepad that is to command: the first one, or that at DEVICE."""
    lcm_url: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """LCM network (LCM_DEFAULT_URL, else udpm://239.255.76.67:7667?ttl=0: this machine only)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(DoctorOptions, argv, EXAMPLES)
    return run(options)


def run(options: DoctorOptions) -> int:
    """Look at everything and print it; returns the exit code.

    Raises:
        UserError: options that cannot work.
    """
    for path in (options.policy, options.calibration, options.robot_file):
        if path is not None and not path.is_file():
            raise UserError(f"there is no file {path}.")
    needs_port = [flag for flag in ("fix", "identify", "pose") if getattr(options, flag)]
    if needs_port and options.port is None:
        raise UserError(f"--{needs_port[0]} works on the bus: give the robot's port with --port.")
    if options.yes and not options.fix:
        raise UserError("--yes answers what --fix asks: add --fix, or leave it out.")
    if options.json and (options.identify or options.pose):
        raise UserError("--json prints for programs, --identify and --pose ask a person: use one of them.")
    if options.gamepad is not None and len(options.gamepad) > 1:
        raise UserError(f"--gamepad takes one device, but {len(options.gamepad)} were given.")
    spec = load_robot(options.robot_file, options.calibration)
    report = Report(quiet=options.json)
    report.add(check_computer(options.lcm_url))
    policy = options.policy or find_shipped_policy(spec)
    if policy is not None:
        report.add(check_policy(policy, spec))
    if options.gamepad is not None:
        report.add(check_gamepad(*options.gamepad))
    port_findings = check_port(options.port)
    report.add(port_findings)
    if options.port is not None and not any(finding.level == "error" for finding in port_findings):
        _look_at_bus(options, spec, report)
    report.close()
    return 1 if report.errors else 0


def _look_at_bus(options: DoctorOptions, spec: RobotSpec, report: Report) -> None:

    try:
        transport = SerialTransport(choose_port(options.port), spec.config.bus.baud)
    except UserError as error:
        report.add([Finding("error", 0, "port", str(error))])
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        examine(transport, spec, options, PersonHands(options.yes), report)
    except (BusError, PortLost) as error:
        report.add([Finding("error", 0, "bus", f"lost while looking at it: {error}", "Check the cable")])
    finally:
        signal.signal(signal.SIGTERM, previous)
        transport.close()


def examine(
    transport: Transport, spec: RobotSpec, options: DoctorOptions, hands: Hands, report: Report
) -> None:
    """The bus: look, repair if asked, look again, then ask for hands if asked.

    Raises:
        UserError: a measurement by hand stays unclear.
        BusError, PortLost: the bus is gone.
    """
    bus = patient_bus(transport)
    with ActivityLine() as status:
        status("looking at every servo, then at the sensor board")
        findings = check_bus(bus, spec)
    if options.fix and any(finding.fixable for finding in findings):
        findings = _fix(bus, spec, hands, report, findings)
    report.add(findings)
    if options.identify or options.pose:
        report.add(diagnose(bus, spec, hands, options.identify, options.pose))


def _fix(bus: Bus, spec: RobotSpec, hands: Hands, report: Report, findings: list[Finding]) -> list[Finding]:
    """Repair, and look again. A servo that holds is let go, so nothing is done until somebody has agreed to that."""
    report.say("--fix repairs:")
    for finding in findings:
        if finding.fixable:
            report.say(f"  {finding.who}: {finding.what}")
    held = servo_tools.holding(bus, sorted({finding.device for finding in findings if finding.fixable}))
    if held and not report.ask(hands, servo_tools.question_before_letting_go(held)):
        report.say("nothing was changed")
        return findings
    for text in repair(bus, findings):
        report.say(f"  {text}")
    with ActivityLine() as status:
        status("looking again")
        findings = check_bus(bus, spec)
        # a restart puts the registers of the RAM back
        if again := [finding for finding in findings if finding.fix is not None]:
            for text in repair(bus, again):
                report.say(f"  {text}")
            findings = check_bus(bus, spec)
    return findings


class Report:
    """Lines for a person as they come, or one JSON list at the end."""

    def __init__(self, quiet: bool = False) -> None:

        self.findings: list[Finding] = []
        self._quiet = quiet
        self._console = Console(highlight=False, soft_wrap=True)

    @property
    def errors(self) -> int:
        """Lines that are errors."""
        return sum(finding.level == "error" for finding in self.findings)

    def say(self, text: str) -> None:
        """A line that is no finding; to stderr when stdout is for a program."""
        print(text, file=sys.stderr if self._quiet else sys.stdout, flush=True)

    def ask(self, hands: Hands, question: str) -> bool:
        """Ask for leave to let go of what servos hold; not on stdout when that is for a program."""
        with contextlib.redirect_stdout(sys.stderr if self._quiet else sys.stdout):
            return hands.agree(question, moves=True)

    def add(self, findings: Sequence[Finding]) -> None:
        """Take findings, print them."""

        self.findings += findings
        for finding in findings if not self._quiet else ():
            line = Text(f"{finding.level:<8}", style=_STYLES[finding.level])
            self._console.print(line.append(str(finding), style="default"))

    def close(self) -> None:
        """Print the sum, or the JSON."""
        if self._quiet:
            lines = [
                {
                    "level": finding.level,
                    "device": finding.device or None,
                    "who": finding.who,
                    "what": finding.what,
                    "repair": finding.repair,
                    "fixable": finding.fixable,
                }
                for finding in self.findings
            ]
            print(json.dumps(lines, indent=2))
            return
        count = {level: sum(f.level == level for f in self.findings) for level in _STYLES}
        self.say(f"{count['ok']} ok, {count['warning']} warnings, {count['error']} errors")
