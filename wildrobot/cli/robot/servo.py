"""`wildrobot servo`: who is on the bus, registers by name, ids, reboots."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.cli.robot.person import PersonHands
from wildrobot.core.activity import ActivityLine
from wildrobot.core.consent import COUNTDOWN_S
from wildrobot.core.errors import UserError
from wildrobot.core.nearest import nearest
from wildrobot.firmware_bridge.bus import adoption, servo_tools
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus, BusError
from wildrobot.firmware_bridge.bus.presence import model_name, patient_bus
from wildrobot.firmware_bridge.bus.protocol import ALERT
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
from wildrobot.firmware_bridge.bus.servo_tools import describe
from wildrobot.firmware_bridge.bus.startup import reboot
from wildrobot.firmware_bridge.bus.transport import PortLost, Transport
from wildrobot.robot_description import RobotSpec, load_robot

EXAMPLES = """Look at the devices on the bus and set them up. Nothing moves, unless `write` makes it (a goal with the
torque on, or the torque itself); it asks before that.

examples:
  wildrobot servo scan --port PORT --all-bauds
  wildrobot servo read 4 present_position present_temperature --port PORT
  wildrobot servo write 4 position_p_gain 640 --port PORT
  wildrobot servo adopt left_knee_pitch --port PORT
  wildrobot servo set-id 1 4 --port PORT
  wildrobot servo torque-off --port PORT
  wildrobot servo reboot 4 --port PORT
  wildrobot servo reboot --all --port PORT

Exit code: 0 done, 1 nothing found or not agreed to, 2 bad input or no answer."""


@dataclass(frozen=True)
class _Common:
    port: Annotated[str | None, tyro.conf.arg(metavar="PORT")] = None
    """Serial port, best by its name in /dev/serial/by-id."""
    baud: Annotated[int | None, tyro.conf.arg(metavar="BAUD")] = None
    """Bits per second (default: robot.yaml's)."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""


@dataclass(frozen=True)
class Scan:
    """List every device that answers.

    example: wildrobot servo scan --port PORT --all-bauds
    """

    all_bauds: bool = False
    """Try every speed that a servo can have been set to, 9600 bit/s to 4.5 M; 7 s."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Read:
    """Print registers of a servo; all of them unless some are named.

    example: wildrobot servo read 4 present_position present_temperature --port PORT
    """

    id: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="ID")]
    """Servo."""
    registers: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[REGISTER ...]")] = ()
    """Names of the control table, for example present_position."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Write:
    """Write a register of a servo, in the register's own counts.

    example: wildrobot servo write 4 position_p_gain 640 --port PORT
    """

    id: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="ID")]
    """Servo."""
    register: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="REGISTER")]
    """Name of the control table."""
    value: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="COUNTS")]
    """New value, counts."""
    torque_off: bool = False
    """Switch the torque off first: registers of the EEPROM are locked while it is on."""
    yes: bool = False
    """Do not ask before a motion: count down aloud instead."""
    countdown: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = COUNTDOWN_S
    """With --yes: how long to count down, 1 or more."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class SetId:
    """Give a servo another id. Asks first, and looks that the new id is free.

    example: wildrobot servo set-id 1 4 --port PORT
    """

    old: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="OLD")]
    """Id that it has."""
    new: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="NEW")]
    """Id that it shall have."""
    yes: bool = False
    """Do not ask."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Adopt:
    """Make a new servo that of a joint: finds the one new device at any id and speed, shows it, asks, and sets its id,
    then its speed, then the start-up registers of robot.yaml. Connect one new servo at a time.

    example: wildrobot servo adopt left_knee_pitch --port PORT
    """

    joint: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="JOINT")]
    """Joint that it shall move."""
    yes: bool = False
    """Do not ask."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class TorqueOff:
    """Let go of all servos at once, whoever made them stiff; the robot drops what it carries.

    example: wildrobot servo torque-off --port PORT
    """

    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Reboot:
    """Restart servos after a hardware error: those named, or with --all those of the robot that report one. They let
    go; asks first while any servo holds.

    example: wildrobot servo reboot 4 --port PORT
    """

    ids: Annotated[tyro.conf.Positional[tuple[int, ...]], tyro.conf.arg(metavar="[ID ...]")] = ()
    """Servos."""
    all: bool = False
    """Those of the robot that report a hardware error, as a brown-out leaves them: all at once."""
    yes: bool = False
    """Do not ask before servos let go: count down aloud instead."""
    countdown: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = COUNTDOWN_S
    """With --yes: how long to count down, 1 or more."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


Order = (
    Annotated[Scan, tyro.conf.subcommand("scan")]
    | Annotated[Read, tyro.conf.subcommand("read")]
    | Annotated[Write, tyro.conf.subcommand("write")]
    | Annotated[Adopt, tyro.conf.subcommand("adopt")]
    | Annotated[SetId, tyro.conf.subcommand("set-id")]
    | Annotated[TorqueOff, tyro.conf.subcommand("torque-off")]
    | Annotated[Reboot, tyro.conf.subcommand("reboot")]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    order: Any = parse_options(Order, argv, EXAMPLES)  # type: ignore[arg-type]
    return run(order)


def run(order: Any, transport: Transport | None = None) -> int:
    """Do one order over its port (or over `transport`).

    Raises:
        UserError: the port, the device or the value is wrong.
    """
    common: _Common = order.common
    spec = load_robot(common.robot_file)
    if transport is None:
        transport = SerialTransport(choose_port(common.port), common.baud or spec.config.bus.baud)
    try:
        return do(order, patient_bus(transport), spec)
    except BusError as error:
        raise UserError(f"{error}. `wildrobot servo scan` shows who answers.") from error
    except PortLost as error:
        raise UserError(f"the port is gone ({error}). Check cable and adapter.") from error
    finally:
        transport.close()


def do(order: Any, bus: Bus, spec: RobotSpec) -> int:
    """One order, printed; returns the exit code."""
    match order:
        case Scan():
            return scan(order, bus, spec)
        case Read():
            units = servo_tools.units_for(spec, order.id)
            for register, value in servo_tools.read(bus, order.id, order.registers):
                print(f"{register.name:<24} {describe(register, value, units)}")
        case Write():
            person = PersonHands(order.yes, order.countdown)
            if servo_tools.moves(bus, order.id, order.register, order.value) and not person.agree(
                f"SERVO {order.id} MOVES, or holds where it is: nothing may be in its way. Go on?", moves=True
            ):
                print("nothing was changed")
                return 1
            register, old, new = servo_tools.write(
                bus, order.id, order.register, order.value, order.torque_off
            )
            if new is None:
                baud = table.BAUD_RATES.get(order.value, order.value)
                print(f"servo {order.id} talks at {baud} bit/s from now on")
            else:
                shown = describe(register, new, servo_tools.units_for(spec, order.id))
                print(f"servo {order.id}: {register.name} {old} > {shown}")
        case Adopt():
            return adopt_servo(order, bus, spec)
        case SetId():
            return set_id(order, bus)
        case TorqueOff():
            return torque_off(bus, spec)
        case Reboot():
            return reboot_servos(order, bus, spec)
    return 0


def scan(order: Scan, bus: Bus, spec: RobotSpec) -> int:
    """List who answers; 1 when nobody does."""
    found = 0
    asked = bus.transport.baud
    with ActivityLine() as status:

        def say(text: str) -> None:
            status.clear()
            print(text, flush=True)

        def watch(text: str) -> None:
            status(f"{text}; {found} found")

        likely = (*spec.servo_ids, spec.config.bus.sensor_board_id)
        devices = (
            servo_tools.scan_all_speeds(bus, likely, watch, say)
            if order.all_bauds
            else servo_tools.scan(bus, asked, watch)
        )
        for baud, device in devices:
            found += 1
            alert = ", reports a hardware error" if device.error & ALERT else ""
            say(
                f"{baud:>8} bit/s  id {device.id:>3}  {model_name(device.model_number)}, "
                f"firmware {device.firmware}{alert}"
            )
    if not found:
        where = "at any speed:" if order.all_bauds else f"at {asked} bit/s; try --all-bauds, and"
        print(f"nobody answers {where} look at the supply")
    return 0 if found else 1


def adopt_servo(order: Adopt, bus: Bus, spec: RobotSpec) -> int:
    """Find the new servo, show it, ask, set it up; 1 when it was not agreed to."""
    if order.joint not in spec.joint_names:
        near = nearest(order.joint, spec.joint_names)
        hint = f"Did you mean '{near}'?" if near else f"{spec.name} has {', '.join(spec.joint_names)}."
        raise UserError(f"there is no joint '{order.joint}'. {hint}")
    if order.common.baud not in (None, spec.config.bus.baud):
        raise UserError("adopt looks at every speed by itself. Leave --baud out.")
    joint, name = spec.joint_names.index(order.joint), order.joint
    with ActivityLine() as status:
        new = adoption.find_new(bus, spec, joint, status)
    print(f"found one new device: {new}, firmware {new.device.firmware}")
    question = (
        f"It becomes {name}: id {spec.servo_ids[joint]} at {spec.config.bus.baud} bit/s, registers as robot.yaml says. "
        "Its torque goes off. Go on?"
    )
    if not PersonHands(order.yes).agree(question):
        print("nothing was changed")
        return 1
    adoption.adopt(bus, spec, joint, new, lambda text: print(f"  {text}", flush=True))
    print(
        f"{name} has its servo, id {spec.servo_ids[joint]}; its position limits wait for `wildrobot calibrate`"
    )
    return 0


def torque_off(bus: Bus, spec: RobotSpec) -> int:
    """Turn off the torque of all servos, and say whether it is off; 1 when a servo still holds."""
    stiff = servo_tools.torque_off(bus, spec.servo_ids)
    for device, why in stiff.items():
        print(f"servo {device} ({spec.joint_names[spec.servo_ids.index(device)]}): {why}")
    if stiff:
        print("switch the power off")
        return 1
    print(f"torque off on all {spec.num_joints} servos")
    return 0


def reboot_servos(order: Reboot, bus: Bus, spec: RobotSpec) -> int:
    """Show what is wrong with which servos, ask if the robot stands on them, restart them; 1 when an error stays."""
    if bool(order.ids) == order.all:
        raise UserError(
            "name the servos that are to restart, or give --all for those that report a hardware error."
        )
    devices = order.ids
    if order.all:
        wrong = servo_tools.in_need_of_a_restart(bus, spec.servo_ids)
        if not wrong:
            print("no servo that answers reports a hardware error: nothing to restart")
            return 0
        for device, error in wrong.items():
            print(f"servo {device} ({spec.joint_names[spec.servo_ids.index(device)]}): {error}")
        devices = tuple(wrong)
    # a servo that restarts lets go, and a robot that stands on the others falls
    held = servo_tools.holding(bus, spec.servo_ids if order.all else devices)
    if held and not PersonHands(order.yes, order.countdown).agree(
        servo_tools.question_before_letting_go(held), moves=True
    ):
        print("nothing was changed")
        return 1
    if held and (stiff := servo_tools.torque_off(bus, held)):
        raise UserError("; ".join(f"servo {device}: {why}" for device, why in stiff.items()))
    failed = 0
    for device in devices:
        try:
            left = reboot(bus, device)
        except (BusError, UserError) as problem:
            if len(devices) == 1:
                raise
            failed += 1
            print(f"servo {device}: {problem}")
            continue
        failed += left != 0
        print(f"servo {device} is up again; hardware error: {table.describe_hardware_error(left)}")
    return 1 if failed else 0


def set_id(order: SetId, bus: Bus) -> int:
    """Ask, then give a servo another id; 1 when it was not agreed to."""
    device = servo_tools.check_new_id(bus, order.old, order.new)
    if not order.yes:
        print(
            f"servo {order.old} gets the id {order.new}; its torque goes off, and what it carries drops. Go on? [y/N] ",
            end="",
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was changed")
            return 1
    servo_tools.set_id(bus, device, order.new)
    print(f"servo {order.old} is {order.new} now")
    return 0
