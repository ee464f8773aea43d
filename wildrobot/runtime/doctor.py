"""`wildrobot doctor`: everything that the robot needs, looked at one after another; each line with its repair."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from wildrobot.core.errors import UserError

if TYPE_CHECKING:
    from wildrobot.firmware_bridge.bus.startup import Finding
    from wildrobot.firmware_bridge.bus.transport import Transport
    from wildrobot.firmware_bridge.calibration.hands import Hands
    from wildrobot.robot_description import RobotSpec

EXAMPLES = """Look at port, bus, servos, sensor board, this computer, a policy and a gamepad; every line is ok,
warning or error, and says what to do. Without --fix, --identify and --pose nothing is changed and nothing moves.

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
    """Repair registers where that is safe. The torque goes off: let the robot hang, or hold it."""
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
    options = tyro.cli(
        DoctorOptions,
        args=None if argv is None else list(argv),
        description=EXAMPLES,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return run(options)


def run(options: DoctorOptions) -> int:
    """Look at everything and print it; returns the exit code.

    Raises:
        UserError: options that cannot work.
    """
    from wildrobot.firmware_bridge.bus.checks import check_port
    from wildrobot.robot_description import load_robot
    from wildrobot.signal_path.shipped import find_shipped_policy

    for path in (options.policy, options.calibration, options.robot_file):
        if path is not None and not path.is_file():
            raise UserError(f"there is no file {path}.")
    needs_port = [flag for flag in ("fix", "identify", "pose") if getattr(options, flag)]
    if needs_port and options.port is None:
        raise UserError(f"--{needs_port[0]} works on the bus: give the robot's port with --port.")
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
    from wildrobot.firmware_bridge.bus.driver import BusError
    from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
    from wildrobot.firmware_bridge.bus.startup import Finding
    from wildrobot.firmware_bridge.bus.transport import PortLost
    from wildrobot.firmware_bridge.calibration.hands import PersonHands

    try:
        transport = SerialTransport(choose_port(options.port), spec.config.bus.baud)
    except UserError as error:
        report.add([Finding("error", 0, "port", str(error))])
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        examine(transport, spec, options, PersonHands(), report)
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
    from wildrobot.firmware_bridge.bus.checks import check_bus
    from wildrobot.firmware_bridge.bus.presence import patient_bus
    from wildrobot.firmware_bridge.bus.startup import repair
    from wildrobot.firmware_bridge.calibration.diagnosis import diagnose

    bus = patient_bus(transport)
    findings = check_bus(bus, spec)
    if options.fix and any(finding.fix for finding in findings):
        report.say("--fix repairs:")
        for finding in findings:
            if finding.fix is not None:
                report.say(f"  {finding.who}: {finding.what}")
        for text in repair(bus, findings):
            report.say(f"  {text}")
        findings = check_bus(bus, spec)
    report.add(findings)
    if options.identify or options.pose:
        report.add(diagnose(bus, spec, hands, options.identify, options.pose))


def check_computer(lcm_url: str | None) -> list[Finding]:
    """Real-time rights and LCM."""
    from wildrobot.firmware_bridge.bus.startup import Finding
    from wildrobot.runtime.control.loop import realtime
    from wildrobot.runtime.telemetry import telemetry

    with realtime() as refused:
        pass
    findings = [
        Finding(
            "warning",
            0,
            "computer",
            f"no {text.split(' (')[0]}",
            text.split(" (")[1].rstrip(")").capitalize(),
        )
        for text in refused
    ]
    if not refused:
        findings.append(Finding("ok", 0, "computer", "real-time priority and locked memory are allowed"))
    url = telemetry.lcm_url(lcm_url)
    found, why = telemetry.try_lcm(url)
    if found is None:
        findings.append(Finding("warning", 0, "LCM", f"not available at {url}: {why}"))
    else:
        findings.append(Finding("ok", 0, "LCM", url))
    return findings


def check_policy(path: Path, spec: RobotSpec) -> list[Finding]:
    """Contract and golden vectors of a policy."""
    from wildrobot.firmware_bridge.bus.startup import Finding
    from wildrobot.signal_path.policy import OnnxPolicy

    try:
        policy = OnnxPolicy(path, spec)
    except UserError as error:
        return [Finding("error", 0, "policy", str(error))]
    if policy.note:
        return [Finding("warning", 0, "policy", policy.note)]
    what = f"{path} fits the robot, golden answers within {policy.golden_difference:.1e}"
    return [Finding("ok", 0, "policy", what)]


def check_gamepad(device: Path | None = None) -> list[Finding]:
    """Whether there is a gamepad, which of its buttons do what, and whether one of them is stuck."""
    from wildrobot.firmware_bridge.bus.startup import Finding
    from wildrobot.runtime.commands.gamepad.evdev import BUS_BLUETOOTH
    from wildrobot.runtime.commands.gamepad.finder import PadFinder

    try:
        pad = PadFinder(device).look()
    except UserError as error:
        return [Finding("error", 0, "gamepad", str(error))]
    if pad is None:
        where = f"at {device}" if device is not None else "in /dev/input"
        return [Finding("warning", 0, "gamepad", f"none {where}", "Connect it; on Bluetooth, pair it first")]
    pad.device.close()
    findings = [Finding("ok", 0, "gamepad", f"{pad}: {pad.layout.help()}")]
    if pad.device.identity.bus == BUS_BLUETOOTH:
        what = "on Bluetooth: a lost link shows after up to 3 s only"
        findings.append(
            Finding("warning", 0, "gamepad", what, "Prefer a cable, or have a hand at the power switch")
        )
    if pad.device.down:
        codes = ", ".join(f"{code:#x}" for code in sorted(pad.device.down))
        findings.append(
            Finding("warning", 0, "gamepad", f"a button is down ({codes})", "Let it go, or it is stuck")
        )
    return findings


class Report:
    """Lines for a person as they come, or one JSON list at the end."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console

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

    def add(self, findings: Sequence[Finding]) -> None:
        """Take findings, print them."""
        from rich.text import Text

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
                    "fixable": finding.fix is not None,
                }
                for finding in self.findings
            ]
            print(json.dumps(lines, indent=2))
            return
        count = {level: sum(f.level == level for f in self.findings) for level in _STYLES}
        self.say(f"{count['ok']} ok, {count['warning']} warnings, {count['error']} errors")
