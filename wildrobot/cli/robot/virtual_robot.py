"""`wildrobot virtual-robot`: the servos, the sensor board and a body, on a pseudo-terminal in real time."""

from __future__ import annotations

import gc
import math
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.files import alone_with
from wildrobot.core.nearest import did_you_mean
from wildrobot.firmware_bridge.bus.control_table import BY_NAME
from wildrobot.firmware_bridge.virtual.faults.text import describe_faults, load_faults, parse_fault
from wildrobot.firmware_bridge.virtual.hands import RobotHands, TypedLines
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.pty_server import PtyServer, realtime_if_allowed
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.truth_publisher import TruthPublisher
from wildrobot.robot_description import RobotSpec, load_robot

WARM_UP_NS = 50_000_000
EXAMPLES = """A robot that cannot be told from the real one by the bytes on its bus: servos, sensor board and physics.

examples:
  wildrobot virtual-robot --link /tmp/wildrobot
  wildrobot virtual-robot --suspended --latency-timer-ms 1
  wildrobot virtual-robot --fault "2.0s silent servo=3 for=0.5s" --fault "5s push y=0.4"
  wildrobot virtual-robot --suspended --link /tmp/wildrobot --new-servo all
  wildrobot virtual-robot --hide-offset-rad left_knee_pitch=0.1 --hide-flipped waist_yaw --hide-imu-tilt-deg 10 0 0

It prints the path to give to --port. Ctrl-C ends it.

faults (TIME NAME KEY=VALUE ...; TIME in seconds from the start, for=... how long, else to the end; a servo is named
by its id or its joint; a YAML file has a list of mappings under `faults`, with fault, at and the same keys):
"""

LINES = """lines to type while it runs, as hands beside the robot (for `wildrobot calibrate` in another terminal):
  move JOINT RAD        move one limp joint by so much and back
  pose zero|home        hold all joints there; `free` releases all joints
  press FOOT [N]        press a foot pad for a second and a half
  tilt roll|pitch RAD   turn the stand of a suspended robot; 0 is upright
  push X Y              push: the pelvis's velocity changes at once, m/s
  plug JOINT            connect a servo's bus cable: that of --new-servo hangs loose at first; `unplug` takes it off
  fault NAME KEY=VALUE  a fault, now: fault silent servo=3 for=0.5s"""


@dataclass
class VirtualRobotOptions:
    """What robot, and what is wrong with it."""

    suspended: bool = False
    """Bolt the pelvis to a stand, feet off the floor."""
    start: Literal["stand", "limp", "lying"] | None = None
    """Start held on its feet until the torque comes on, limp, or lying (default: stand; limp if suspended)."""
    fault: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="TEXT")] = ()
    """A fault and its time, as below; may be given several times."""
    faults: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A YAML schedule of faults."""
    latency_timer_ms: float = 0.0
    """Latency timer of the USB adapter; 0: none. 1 is a well set FTDI adapter, 16 one as it comes."""
    link: Annotated[Path | None, tyro.conf.arg(metavar="LINK")] = None
    """Make this symbolic link to the port."""
    seed: int = 0
    """Of noise, and of the direction in which the IMU's world begins."""
    hide_offset_rad: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT=RAD ...")] = ()
    """Errors of joints' zeros that robot.yaml does not know."""
    hide_flipped: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT ...")] = ()
    """Joints whose servo turns the other way than robot.yaml says."""
    hide_id: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT=ID ...")] = ()
    """Joints whose servo has another id."""
    hide_baud: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT=BAUD ...")] = ()
    """Joints whose servo talks at another rate."""
    hide_firmware: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT=VERSION ...")] = ()
    """Joints whose servo has another firmware (below 45: no fast reads)."""
    hide_register: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT.REGISTER=COUNTS ...")] = ()
    """Registers that another program left otherwise, for example left_knee_pitch.goal_pwm=150."""
    crc_status: bool = False
    """Servos answer a request with a wrong CRC by error 3 instead of silence."""
    strict_addresses: bool = False
    """Servos refuse a read that touches an address which their table does not define, instead of reading 0 there."""
    whole_items: bool = False
    """Servos' indirect data show a value of 4 bytes only where all of them are named."""
    new_servo: Annotated[tuple[str, ...], tyro.conf.arg(metavar="JOINT ...")] = ()
    """Joints whose servo is new from its box (id 1, 57600 bit/s, the maker's registers), and connected only when
    `plug JOINT` is typed; `all`: every joint."""
    hide_imu_tilt_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation vector (torso frame, degrees) by which the IMU is mounted other than robot.yaml says."""
    velocity_window_ms: int = 5
    """Time over which a servo's present velocity is averaged."""
    lcm_truth: bool = False
    """Publish the true state on LCM channel virtual_robot_truth."""
    lcm_url: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """LCM network (LCM_DEFAULT_URL, else udpm://239.255.76.67:7667?ttl=0: this machine only)."""
    duration: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """End after this time (default: at Ctrl-C)."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(VirtualRobotOptions, argv, EXAMPLES + describe_faults() + "\n\n" + LINES)
    check_options(options)
    link = options.link
    # two robots at one place: whoever opens it would speak to the later one, and the first would never know
    with alone_with(link) if link is not None and link.parent.is_dir() else nullcontext():
        return run(options)


def run(options: VirtualRobotOptions) -> int:
    """Serve until SIGINT, SIGTERM or the end of `duration`."""
    faults = [parse_fault(text) for text in options.fault]
    faults += load_faults(options.faults) if options.faults is not None else []
    spec = load_robot(options.robot_file)
    robot = VirtualRobot(
        spec,
        seed=options.seed,
        faults=faults,
        suspended=options.suspended,
        start=options.start,
        hidden=hidden_errors(spec, options),
        latency_timer_ms=options.latency_timer_ms,
        velocity_window_ms=options.velocity_window_ms,
    )
    typed = TypedLines(RobotHands(robot), sys.stdin, lambda text: print(text, flush=True))
    ticks = [TruthPublisher(options.lcm_url)] if options.lcm_truth else []
    welcome = f"virtual {spec.name} at {{}}, {spec.config.bus.baud} baud; Ctrl-C ends it"
    server = PtyServer(robot, options.link, say=lambda text: print(text, flush=True))

    def first(robot: VirtualRobot) -> None:
        # A host that reads the line may talk at once: everything has been called by then, and answers in time.
        if robot.now_ns >= WARM_UP_NS:
            print(welcome.format(options.link or server.path), flush=True)
            server.set_tick(tick)

    def tick(robot: VirtualRobot) -> None:
        typed.update()
        for publish in ticks:
            publish(robot)
        if options.duration is not None and robot.now_ns >= options.duration * 1e9:
            server.stop()

    server.set_tick(first)
    previous = {
        number: signal.signal(number, lambda *_: server.stop()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    gc.collect()
    gc.freeze()
    try:
        with realtime_if_allowed():
            server.serve()
    finally:
        gc.unfreeze()
        for number, handler in previous.items():
            signal.signal(number, handler)
    print(server.figures, flush=True)
    return 0


def check_options(options: VirtualRobotOptions) -> None:
    """Refuse what cannot work."""
    if options.latency_timer_ms < 0.0:
        raise UserError(f"--latency-timer-ms is {options.latency_timer_ms}, expected 0 or more.")
    if options.velocity_window_ms < 1:
        raise UserError(f"--velocity-window-ms is {options.velocity_window_ms}, expected 1 or more.")
    if options.duration is not None and not options.duration > 0.0:
        raise UserError(f"--duration is {options.duration}, expected seconds above 0.")
    if options.suspended and options.start in ("stand", "lying"):
        raise UserError(f"--start {options.start} needs the floor. Leave --suspended or --start out.")


def hidden_errors(spec: RobotSpec, options: VirtualRobotOptions) -> Hidden:
    """The --hide options as data.

    Raises:
        UserError: a value that is none; joints are checked by the robot.
    """
    x, y, z = (math.radians(value) for value in options.hide_imu_tilt_deg)
    return Hidden(
        offset_rad=_pairs("--hide-offset-rad", options.hide_offset_rad, float),
        flipped=options.hide_flipped,
        ids=_pairs("--hide-id", options.hide_id, int),
        bauds=_pairs("--hide-baud", options.hide_baud, int),
        firmware=_pairs("--hide-firmware", options.hide_firmware, int),
        registers=_registers(options.hide_register),
        crc_status=options.crc_status,
        strict_addresses=options.strict_addresses,
        whole_items=options.whole_items,
        new=spec.joint_names if "all" in options.new_servo else options.new_servo,
        imu_tilt_rad=(x, y, z),
    )


def _registers(items: Sequence[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for place, value in _pairs("--hide-register", items, int).items():
        joint, dot, name = place.partition(".")
        if not dot or name not in BY_NAME:
            raise UserError(
                f"--hide-register has '{place}', expected JOINT.REGISTER; {did_you_mean(name, BY_NAME)}"
            )
        found.setdefault(joint, {})[name] = value
    return found


def _pairs(flag: str, items: Sequence[str], kind: Any) -> dict[str, Any]:
    found = {}
    for item in items:
        joint, equals, value = item.partition("=")
        try:
            found[joint] = kind(value)
        except ValueError:
            equals = ""
        if not equals:
            raise UserError(
                f"{flag} has '{item}', expected JOINT=VALUE, for example left_knee_pitch={kind(1)}."
            )
    return found
