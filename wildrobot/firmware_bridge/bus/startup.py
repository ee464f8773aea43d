"""Before anything moves: every device is asked who it is and how it is set up, and compared with robot.yaml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.board.driver import FOOT_INPUTS
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BY_NAME, Register, describe_hardware_error
from wildrobot.firmware_bridge.bus.driver import Bus, BusError, FoundDevice
from wildrobot.firmware_bridge.bus.servo_bus import ServoBus
from wildrobot.robot_description import RobotSpec

FAST_READ_FIRMWARE = 45
"""X-series firmware from which on a servo answers fast sync and fast bulk reads."""
LIMIT_MARGIN_RAD = 0.05
"""How far beyond the joint's limits the servo's own position limits lie."""
_BLOCK = table.PRESENT_TEMPERATURE.end
_TRIALS = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `level` is ok, warning or error; `fix` (register, value) is a safe repair."""

    level: str
    device: int
    who: str
    what: str
    repair: str = ""
    """What to do about it, for people."""
    fix: tuple[Register, int] | None = None

    def __str__(self) -> str:
        advice = f". {self.repair}" if self.repair else ""
        return f"{self.who}: {self.what}{advice}"


def expected_registers(spec: RobotSpec, joint: int) -> dict[Register, int]:
    """What the registers of a joint's servo must say, from robot.yaml and the joint's limits.

    Raises:
        UserError: robot.yaml names a register that the servo does not have.
    """
    expected = {}
    for name, value in spec.config.bus.servo_registers.items():
        if name not in BY_NAME:
            raise UserError(
                f"{spec.path}: bus.servo_registers names '{name}', which no servo has; {did_you_mean(name, BY_NAME)}"
            )
        expected[BY_NAME[name]] = int(value)
    low, high = position_limits(spec, joint)
    return expected | {table.MIN_POSITION_LIMIT: low, table.MAX_POSITION_LIMIT: high}


def position_limits(spec: RobotSpec, joint: int) -> tuple[int, int]:
    """The servo's own position limits, counts: the joint's limits and a margin."""
    ends = np.array([spec.joint_lower[joint] - LIMIT_MARGIN_RAD, spec.joint_upper[joint] + LIMIT_MARGIN_RAD])
    angle = spec.joint_direction[joint] * (ends - spec.joint_offset[joint])
    counts = np.rint(angle / spec.servos[joint].position_rad_per_count) + table.CENTRE_COUNT
    low, high = np.clip(np.sort(counts), 0, table.COUNTS_PER_TURN - 1).astype(int).tolist()
    return low, high


def check(bus: Bus, spec: RobotSpec) -> list[Finding]:
    """Look at all devices; nothing is changed."""
    findings = []
    for joint in range(spec.num_joints):
        findings += _check_servo(bus, spec, joint)
    return findings + _check_board(bus, spec)


def _check_servo(bus: Bus, spec: RobotSpec, joint: int) -> list[Finding]:
    device = spec.servo_ids[joint]
    who = f"servo {device} ({spec.joint_names[joint]})"

    def finding(level: str, what: str, repair: str = "", fix: tuple[Register, int] | None = None) -> Finding:
        return Finding(level, device, who, what, repair, fix)

    found = bus.ping(device) or bus.ping(device)
    if found is None:
        where = f"no answer at {bus.transport.baud} bit/s"
        return [finding("error", where, "Check its cable; `wildrobot servo scan` finds other ids and speeds")]
    model = spec.servos[joint].model_number
    if found.model_number != model:
        text = f"model number {found.model_number}, expected {model}"
        return [finding("error", text, "Put the servo that robot.yaml names there, or correct robot.yaml")]
    try:
        data = bus.read_block(device, 0, _BLOCK).data
    except BusError:
        text = "answers pings but no reads: status return level 0"
        return [
            finding("error", text, "`wildrobot doctor --fix` sets it to 2", (table.STATUS_RETURN_LEVEL, 2))
        ]

    def value(register: Register) -> int:
        return register.decode(data[register.address : register.end])

    voltage, temperature = (
        value(table.PRESENT_INPUT_VOLTAGE) * table.VOLTAGE_V,
        value(table.PRESENT_TEMPERATURE),
    )
    findings = [finding("ok", f"firmware {found.firmware}, {voltage:.1f} V, {temperature} °C")]
    for register, wanted in expected_registers(spec, joint).items():
        if (got := value(register)) != wanted:
            text = f"{register.name} is {got}, expected {wanted}"
            findings.append(finding("error", text, "`wildrobot doctor --fix` writes it", (register, wanted)))
    if value(table.TORQUE_ENABLE):
        findings.append(
            finding("warning", "torque is on", "It is let go at the start", (table.TORQUE_ENABLE, 0))
        )
    if value(table.BUS_WATCHDOG) == -1:
        text = "its bus watchdog has tripped"
        findings.append(finding("warning", text, "It is cleared at the start", (table.BUS_WATCHDOG, 0)))
    if error := value(table.HARDWARE_ERROR_STATUS):
        text = f"hardware error: {describe_hardware_error(error)}"
        findings.append(finding("error", text, f"Find the cause, then: wildrobot servo reboot {device}"))
    guards = spec.guards
    low, high = guards["voltage_low_v"], guards["voltage_high_v"]
    if not low.stop <= voltage <= high.stop:
        text = f"supply {voltage:.1f} V, expected {low.stop:g} to {high.stop:g} V"
        findings.append(finding("error", text, "Charge or change the battery"))
    elif not low.warn <= voltage <= high.warn:
        findings.append(finding("warning", f"supply {voltage:.1f} V", "Charge the battery soon"))
    limit = guards["temperature_c"]
    if temperature > limit.warn:
        level = "error" if temperature > limit.stop else "warning"
        findings.append(finding(level, f"{temperature} °C", "Let it cool down"))
    return findings


def _check_board(bus: Bus, spec: RobotSpec) -> list[Finding]:
    device = spec.config.bus.sensor_board_id
    who = f"sensor board {device}"
    if spec.num_feet > FOOT_INPUTS:
        text = f"has {FOOT_INPUTS} foot inputs, but {spec.name} has the feet {', '.join(spec.foot_names)}"
        return [Finding("error", device, who, text, "Name fewer sites under feet in robot.yaml")]
    found = bus.ping(device) or bus.ping(device)
    if found is None:
        return [Finding("error", device, who, "no answer", "Check its cable and its power")]
    if found.model_number != board_table.DEFAULTS["model_number"]:
        text = f"model number {found.model_number}, expected {board_table.DEFAULTS['model_number']}"
        return [Finding("error", device, who, text, "Another device has the board's id")]
    return [Finding("ok", device, who, f"firmware {found.firmware}")]


def repair(bus: Bus, findings: Sequence[Finding]) -> list[str]:
    """Write what is safe to write, torque off first; returns what was done, and what failed."""
    done, limp = [], set()
    # a servo that acknowledges no write would look as if it refused the rest
    for finding in sorted(findings, key=lambda finding: not _answers(finding)):
        if finding.fix is None:
            continue
        register, value = finding.fix
        try:
            if finding.device not in limp and register is not table.STATUS_RETURN_LEVEL:
                bus.write(finding.device, table.TORQUE_ENABLE, 0)
                limp.add(finding.device)
            if register is table.STATUS_RETURN_LEVEL:  # a servo that does not answer yet
                bus.sync_write(register, {finding.device: value})
            else:
                bus.write(finding.device, register, value)
        except BusError as error:
            done.append(f"{finding.who}: {register.name} could not be written ({error})")
        else:
            done.append(f"{finding.who}: {register.name} set to {value}")
    return done


def _answers(finding: Finding) -> bool:
    return finding.fix is not None and finding.fix[0] is table.STATUS_RETURN_LEVEL


def prepare(bus: Bus, spec: RobotSpec, say: Callable[[str], None] = lambda text: None) -> ServoBus:
    """Bring all devices to where the tick's two packets work: checked, repaired, limp, watchdog off, reads mapped.

    `say` hears what was repaired. Nothing moves.

    Raises:
        UserError: something is wrong that cannot be repaired safely; all of it is listed.
    """
    findings = check(bus, spec)
    tried: set[tuple[int, tuple[Register, int]]] = set()
    # twice, if need be: of a servo that answered no reads the rest is known only now
    while new := [f for f in findings if f.fix is not None and (f.device, f.fix) not in tried]:
        tried |= {(finding.device, finding.fix) for finding in new if finding.fix is not None}
        for text in repair(bus, new):
            say(text)
        findings = check(bus, spec)
    wrong = [finding for finding in findings if finding.level == "error"]
    if wrong:
        listed = "\n  ".join(str(finding) for finding in wrong)
        raise UserError(f"the robot is not ready:\n  {listed}\n`wildrobot doctor` shows more.")
    try:
        for device in spec.servo_ids:
            _map_reads(bus, device)
            bus.write(device, table.BUS_WATCHDOG, 0)
    except BusError as error:
        raise UserError(
            f"the robot is not ready: {error}. Check its cables and run `wildrobot doctor`."
        ) from error
    return _reader(bus, spec, say)


def _map_reads(bus: Bus, device: int) -> None:
    wanted = table.indirect_map()
    bus.write_block(device, table.INDIRECT_ADDRESS, wanted)
    if bus.read_block(device, table.INDIRECT_ADDRESS, len(wanted)).data != wanted:
        raise BusError(f"device {device} did not keep its indirect addresses")


def _reader(bus: Bus, spec: RobotSpec, say: Callable[[str], None]) -> ServoBus:
    """By fast bulk reads if every device answers them: its firmware must promise it and a trial must show it."""
    devices = [device for i in spec.servo_ids if (device := bus.ping(i)) is not None]
    old = [device for device in devices if device.firmware < FAST_READ_FIRMWARE]
    if old:
        say(f"{_names(old)}: firmware before {FAST_READ_FIRMWARE}, so reads are plain bulk reads (slower)")
    else:
        fast = ServoBus(bus, spec, fast=True)
        # one whole answer proves it; a broken one may be noise
        if any(not fast.read_tick().failures for _ in range(_TRIALS)):
            return fast
        say("fast bulk reads were not answered, so reads are plain bulk reads (slower)")
    return ServoBus(bus, spec, fast=False)


def _names(devices: Sequence[FoundDevice]) -> str:
    return "servo " + ", ".join(str(device.id) for device in devices)
