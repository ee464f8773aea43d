"""What `wildrobot doctor` looks at from the port to the sensor board. Nothing moves and nothing is changed here."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.board.driver import BoardSample, BoardStatus
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import FAST_READ_FIRMWARE
from wildrobot.firmware_bridge.bus.driver import Bus, BusError
from wildrobot.firmware_bridge.bus.inspection import Finding, check
from wildrobot.firmware_bridge.bus.presence import answers_garbled, look_elsewhere, speaks_protocol_1
from wildrobot.firmware_bridge.bus.serial_transport import latency_timer_ms, list_ports, port_holder
from wildrobot.firmware_bridge.bus.tick_trial import DISTURBED, judge, run_trial
from wildrobot.robot_description import RobotSpec

BY_ID = Path("/dev/serial/by-id")
GRAVITY_TOLERANCE_M_S2 = 0.5
REST_RATE_RAD_S = 0.05
NORM_TOLERANCE = 0.01
WATCH_S = 0.4
_READS = 20


def check_port(port: str | None, by_id: Path = BY_ID) -> list[Finding]:
    """Name, rights, other users and latency timer of a serial port."""

    def finding(level: str, what: str, repair: str = "") -> Finding:
        return Finding(level, 0, "port", what, repair)

    named = sorted(str(path) for path in by_id.iterdir()) if by_id.is_dir() else []
    if port is None:
        seen = f"by name: {', '.join(named)}" if named else list_ports()
        text = f"none was given, so the bus was not looked at. {seen}"
        return [finding("warning", text.rstrip("."), "Give the robot's with --port")]
    if not Path(port).exists():
        return [
            finding(
                "error",
                f"there is no {port}. {list_ports()}".rstrip("."),
                "Plug the adapter in, or give its port",
            )
        ]
    if not os.access(port, os.R_OK | os.W_OK):
        repair = "Add yourself to its group: sudo usermod -aG dialout $USER, and log in again"
        return [finding("error", f"no permission to use {port}", repair)]
    findings = []
    real = os.path.realpath(port)
    if (holder := port_holder(port)) is not None:
        findings.append(
            finding("error", f"{holder} uses {port}", "End it: only one program may drive the bus")
        )
    better = next((name for name in named if os.path.realpath(name) == real), None)
    if better is not None and not port.startswith(str(by_id)):
        findings.append(finding("warning", f"{port} may have another name tomorrow", f"Give {better}"))
    latency = latency_timer_ms(port)
    if latency is not None and latency > 1:
        device = Path(real).name
        repair = f"Set 1: echo 1 | sudo tee /sys/bus/usb-serial/devices/{device}/latency_timer"
        findings.append(
            finding("warning", f"latency timer {latency} ms, so every answer may wait that long", repair)
        )
    elif latency is not None:
        findings.append(finding("ok", f"latency timer {latency} ms"))
    return findings or [finding("ok", port)]


def check_bus(bus: Bus, spec: RobotSpec) -> list[Finding]:
    """Every device against the description; where one lacks, what else is on the bus."""
    findings = check(bus, spec)
    for joint, device in enumerate(spec.servo_ids):
        found = bus.ping(device)
        if found is not None and found.firmware < FAST_READ_FIRMWARE:
            what = f"firmware {found.firmware} knows no fast reads ({FAST_READ_FIRMWARE} does): all reads are slower"
            repair = "Update it with the maker's tool when there is time"
            who = f"servo {device} ({spec.joint_names[joint]})"
            findings.append(Finding("warning", device, who, what, repair))
    lacking = [
        device
        for device in spec.servo_ids
        if any(f.device == device and f.level == "error" and f.what.startswith("no answer") for f in findings)
    ]
    if lacking:
        findings += _who_else(bus, spec, lacking)
    elif not any(f.level == "error" and not f.calibration for f in findings):
        held = [f.device for f in findings if f.fix == (table.TORQUE_ENABLE, 0)]
        findings += _check_reads(bus, spec, held)
    return findings + check_board(bus, spec)


def _check_reads(bus: Bus, spec: RobotSpec, held: list[int]) -> list[Finding]:
    """The reads of a run, on a robot whose devices are all there and set up; not while the servos `held` hold."""
    if held:
        what = f"servo {', '.join(map(str, held))} holds, so the reads of a run were not tried"
        return [Finding("warning", 0, "bus", what, "wildrobot servo torque-off, then look again")]
    port = getattr(bus.transport, "port", None)
    broken = bus.crc_errors
    try:
        trial = run_trial(bus, spec)
    except BusError as error:
        what, advice = f"the reads of a run could not be tried: {error}", "Look at its cable"
        if bus.crc_errors > broken:
            what, advice = f"{what}; the line itself is disturbed", DISTURBED
        elif "indirect data" in str(error):
            advice = "Update its firmware with the maker's tool"
        return [Finding("error", 0, "bus", what, advice)]
    return judge(trial, spec, latency_timer_ms(port) if port is not None else None)


def _who_else(bus: Bus, spec: RobotSpec, lacking: list[int]) -> list[Finding]:
    found = []
    for device in (*spec.servo_ids, spec.config.bus.sensor_board_id):
        if answers_garbled(bus, device):
            what = "reads of this id bring bytes that are no packet, three times out of three: two devices have it"
            if len(lacking) == 1:
                what += f", perhaps the one that lacks ({lacking[0]}) is the other"
            repair = "Connect one alone and give it its own: wildrobot servo set-id"
            found.append(Finding("error", device, f"id {device}", what, repair))
    for device in lacking:
        if speaks_protocol_1(bus, device):
            what = "speaks Protocol 1.0, so it answers nothing of 2.0: its register protocol_type is 1"
            repair = (
                "Set protocol_type to 2 with the maker's tool, DYNAMIXEL Wizard, and switch it off and on"
            )
            name = spec.joint_names[spec.servo_ids.index(device)]
            found.append(Finding("error", device, f"servo {device} ({name})", what, repair))
    for stranger in look_elsewhere(bus, spec, lacking):
        device = stranger.device.id
        names = [spec.joint_names[spec.servo_ids.index(servo)] for servo in lacking]
        which = names[0] if len(names) == 1 else "JOINT"
        repair = f"If it is {' or '.join(names)}'s: wildrobot servo adopt {which}"
        found.append(Finding("warning", device, "bus", f"there is a {stranger}", repair))
    return found


def check_board(bus: Bus, spec: RobotSpec) -> list[Finding]:
    """IMU and feet over `WATCH_S`, robot at rest; nothing when the board does not answer (`check` says that)."""
    device = spec.config.bus.sensor_board_id
    try:
        samples = []
        for _ in range(_READS):
            data = bus.read_block(device, board_table.SAMPLE_ADDRESS, board_table.SAMPLE_SIZE).data
            samples.append(BoardSample.decode(data))
            bus.transport.sleep(WATCH_S / _READS)
    except BusError:
        return []
    return judge_board(samples, spec.foot_names, device)


def judge_board(samples: Sequence[BoardSample], feet: Sequence[str], device: int) -> list[Finding]:
    """What samples of a robot at rest say about its IMU and feet."""

    def finding(level: str, who: str, what: str, repair: str = "") -> Finding:
        return Finding(level, device, who, what, repair)

    last, findings = samples[-1], []
    if not last.status & BoardStatus.IMU_ALIVE or last.status & BoardStatus.IMU_SILENT:
        repair = "Check its wires to the board, then switch the board off and on"
        findings.append(finding("error", "IMU", "gives no samples to the board", repair))
    elif len({sample.counter for sample in samples}) < 3:
        findings.append(
            finding("error", "IMU", "its sample counter stands still", "Switch the board off and on")
        )
    else:
        findings += _judge_imu(samples, device)
        if not last.status & BoardStatus.IMU_CALIBRATED:
            repair = "Turn the robot slowly about all axes, then let it rest for some seconds"
            findings.append(finding("warning", "IMU", "has not calibrated itself yet", repair))
    force = np.median([sample.foot_force for sample in samples], axis=0)
    listed = ", ".join(f"{name} {value:.1f} N" for name, value in zip(feet, force[: len(feet)], strict=True))
    if last.status & BoardStatus.FOOT_OUT_OF_RANGE:
        findings.append(
            finding("error", "feet", f"an input is at one of its ends ({listed})", "Look for a broken wire")
        )
    else:
        findings.append(finding("ok", "feet", listed))
    return findings


def _judge_imu(samples: Sequence[BoardSample], device: int) -> list[Finding]:
    findings = []
    norm = max(abs(sample.quaternion_norm - 1.0) for sample in samples)
    force = np.linalg.norm(np.mean([sample.acceleration for sample in samples], axis=0))
    rate = np.linalg.norm(np.mean([sample.angular_velocity for sample in samples], axis=0))
    if norm > NORM_TOLERANCE:
        what = f"its quaternion's length is off by {norm:.3f}, expected at most {NORM_TOLERANCE:g}"
        findings.append(Finding("error", device, "IMU", what, "Switch the board off and on"))
    if abs(force - GRAVITY_M_S2) > GRAVITY_TOLERANCE_M_S2:
        what = f"measures {force:.2f} m/s² at rest, expected {GRAVITY_M_S2:g} ± {GRAVITY_TOLERANCE_M_S2:g}"
        findings.append(
            Finding("error", device, "IMU", what, "Keep the robot still; if it was, change the IMU")
        )
    if rate > REST_RATE_RAD_S:
        what = f"turns at {math.degrees(rate):.1f} degrees/s, expected at most {math.degrees(REST_RATE_RAD_S):.1f}"
        findings.append(Finding("warning", device, "IMU", what, "Keep the robot still and look again"))
    same = len({sample.quaternion.tobytes() + sample.acceleration.tobytes() for sample in samples}) == 1
    if same:
        findings.append(
            Finding("error", device, "IMU", "repeats one sample over and over", "Switch the board off and on")
        )
    what = f"{force:.2f} m/s², {math.degrees(rate):.1f} degrees/s, samples arrive"
    return findings or [Finding("ok", device, "IMU", what)]
