"""Who the devices are and how they are set up, compared with robot.yaml and the control table; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.board.driver import FOOT_INPUTS
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BY_NAME, Register, describe_hardware_error
from wildrobot.firmware_bridge.bus.driver import Bus, BusError, FoundDevice
from wildrobot.robot_description import RobotSpec

LIMIT_MARGIN_RAD = 0.05
"""How far beyond the joint's limits the servo's own position limits lie."""
PLAUSIBLE_MARGIN_RAD = 0.35
"""How far outside its limits a joint may read before the reading is taken for a servo that has lost its registers."""
POSITION_LIMITS = (table.MIN_POSITION_LIMIT, table.MAX_POSITION_LIMIT)
"""Which way a joint turns, and where its zero is, is known only after `wildrobot calibrate`."""
_TRIES, _BEFORE = 6, 3
_PINGS = 4


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
    reboot: bool = False
    """A restart repairs it; the servo lets go then."""
    calibration: bool = False
    """It follows from the calibration: `wildrobot calibrate` may begin with it, and reads are well all the same."""

    @property
    def fixable(self) -> bool:
        """`repair` can do something about it."""
        return self.fix is not None or self.reboot

    def __str__(self) -> str:
        advice = f". {self.repair}" if self.repair else ""
        return f"{self.who}: {self.what}{advice}"


def expected_registers(spec: RobotSpec, joint: int) -> dict[Register, int]:
    """What the registers of a joint's servo must say: as the control table expects, but for what robot.yaml and the
    joint's limits say.

    Raises:
        UserError: robot.yaml names a register that the servo does not have.
    """
    expected = {register: register.expected for register in table.REGISTERS if register.expected is not None}
    for name, value in spec.config.bus.servo_registers.items():
        if name not in BY_NAME:
            raise UserError(
                f"{spec.path}: bus.servo_registers names '{name}', which no servo has; {did_you_mean(name, BY_NAME)}"
            )
        expected[BY_NAME[name]] = int(value)
    if table.GOAL_PWM.name not in spec.config.bus.servo_registers:
        # after power-on it is the limit, and never more
        expected[table.GOAL_PWM] = expected[table.PWM_LIMIT]
    low, high = position_limits(spec, joint)
    return expected | {table.MIN_POSITION_LIMIT: low, table.MAX_POSITION_LIMIT: high}


def position_limits(spec: RobotSpec, joint: int) -> tuple[int, int]:
    """The servo's own position limits, counts: the joint's limits and a margin."""
    ends = np.array([spec.joint_lower[joint] - LIMIT_MARGIN_RAD, spec.joint_upper[joint] + LIMIT_MARGIN_RAD])
    angle = spec.joint_direction[joint] * (ends - spec.joint_offset[joint])
    counts = np.rint(angle / spec.servos[joint].position_rad_per_count) + table.CENTRE_COUNT
    low, high = np.clip(np.sort(counts), 0, table.COUNTS_PER_TURN - 1).astype(int).tolist()
    return low, high


def read_registers(bus: Bus, device: int, registers: Iterable[Register]) -> dict[Register, int]:
    """Values of registers, read in as few blocks as they make: nothing is read that the table does not define.

    Raises:
        BusError: as `Bus.read_block`.
    """
    values: dict[Register, int] = {}
    block: list[Register] = []

    def fetch() -> None:
        start = block[0].address
        data = bus.read_block(device, start, block[-1].end - start).data
        values.update((r, r.decode(data[r.address - start : r.end - start])) for r in block)

    for register in sorted(registers, key=lambda register: register.address):
        if block and register.address != block[-1].end:
            fetch()
            block = []
        block.append(register)
    if block:
        fetch()
    return values


def _find(bus: Bus, device: int) -> FoundDevice | None:
    """A device, if it answers one of some pings: on a disturbed line most of them may be lost."""
    return next((found for _ in range(_PINGS) if (found := bus.ping(device)) is not None), None)


def _why_no_reads(bus: Bus, device: int) -> tuple[str, str, tuple[Register, int] | None]:
    """Of a servo that answers pings and no read: what is wrong, what to do, and the repair if it is safe."""
    level, broken = table.STATUS_RETURN_LEVEL, bus.crc_errors
    answered = 0
    for _ in range(_TRIES):
        try:
            bus.read_block(device, level.address, level.size, tries=1)
            answered += 1
        except BusError:
            continue
    if answered == 0 and bus.crc_errors == broken and bus.ping(device) is not None:
        return (
            "answers pings but no reads: status return level 0",
            "`wildrobot doctor --fix` sets it to 2",
            (level, 2),
        )
    text = (
        f"its answers break off: {_TRIES - answered} of {_TRIES} reads of one byte brought none that is whole"
    )
    return text, "Look at its cable and plugs, the supply's ground, and the length of the line", None


def check(bus: Bus, spec: RobotSpec) -> list[Finding]:
    """Look at all devices; nothing is changed."""
    findings = []
    for joint in range(spec.num_joints):
        findings += _check_servo(bus, spec, joint)
    return findings + _check_board(bus, spec)


def _past_its_range(spec: RobotSpec, joint: int, count: int) -> list[tuple[str, str]]:
    """What is wrong with a position, counts, and what to do; nothing if the joint can be there."""
    turn = (
        spec.joint_direction[joint] * (count - table.CENTRE_COUNT) * spec.servos[joint].position_rad_per_count
    )
    angle, low, high = turn + spec.joint_offset[joint], spec.joint_lower[joint], spec.joint_upper[joint]
    past = max(low - angle, angle - high)
    if past <= PLAUSIBLE_MARGIN_RAD:
        return []
    what = f"reads {angle:+.2f} rad, {past:.2f} rad past its range of {low:+.2f} to {high:+.2f}"
    cause = "Its horn sits a tooth or more off, or another servo has its id, or robot.yaml's offset is another robot's"
    return [(what, f"{cause}: look at the joint, then wildrobot calibrate")]


_LOOKED_AT = (
    table.TORQUE_ENABLE,
    table.BUS_WATCHDOG,
    table.HARDWARE_ERROR_STATUS,
    table.PRESENT_POSITION,
    table.PRESENT_INPUT_VOLTAGE,
    table.PRESENT_TEMPERATURE,
)


def _check_servo(bus: Bus, spec: RobotSpec, joint: int) -> list[Finding]:
    device = spec.servo_ids[joint]
    who = f"servo {device} ({spec.joint_names[joint]})"

    def finding(level: str, what: str, repair: str = "", fix: tuple[Register, int] | None = None) -> Finding:
        return Finding(level, device, who, what, repair, fix)

    found = _find(bus, device)
    if found is None:
        where = f"no answer at {bus.transport.baud} bit/s"
        return [finding("error", where, "Check its cable; `wildrobot servo scan` finds other ids and speeds")]
    model = spec.servos[joint].model_number
    if found.model_number != model:
        text = f"model number {found.model_number}, expected {model}"
        return [finding("error", text, "Put the servo that robot.yaml names there, or correct robot.yaml")]
    if found.firmware < table.BUS_WATCHDOG.since:
        text = f"firmware {found.firmware} has no bus watchdog, which stops a servo that nobody speaks to any more"
        return [finding("error", text, "Update it with the maker's tool")]
    expected = {
        register: wanted
        for register, wanted in expected_registers(spec, joint).items()
        if register.since <= found.firmware
    }
    try:
        values = read_registers(bus, device, {*expected, *_LOOKED_AT})
    except BusError:
        what, advice, fix = _why_no_reads(bus, device)
        return [finding("error", what, advice, fix)]
    voltage, temperature = (
        values[table.PRESENT_INPUT_VOLTAGE] * table.VOLTAGE_V,
        values[table.PRESENT_TEMPERATURE],
    )
    findings = [finding("ok", f"firmware {found.firmware}, {voltage:.1f} V, {temperature} °C")]
    for register, wanted in expected.items():
        if (got := values[register]) != wanted:
            text = f"{register.name} is {got}, expected {wanted}"
            findings.append(
                Finding(
                    "error",
                    device,
                    who,
                    text,
                    "`wildrobot doctor --fix` writes it",
                    (register, wanted),
                    calibration=register in POSITION_LIMITS,
                )
            )
    if values[table.TORQUE_ENABLE]:
        findings.append(
            finding("warning", "torque is on", "It is let go at the start", (table.TORQUE_ENABLE, 0))
        )
    if values[table.BUS_WATCHDOG] == -1:
        text = "its bus watchdog has tripped"
        findings.append(finding("warning", text, "It is cleared at the start", (table.BUS_WATCHDOG, 0)))
    if error := values[table.HARDWARE_ERROR_STATUS]:
        text = f"hardware error: {describe_hardware_error(error)}"
        advice = "Find the cause, then: wildrobot servo reboot --all, or wildrobot doctor --fix"
        findings.append(Finding("error", device, who, text, advice, reboot=True))
    guards = spec.guards
    low, high = guards["voltage_low_v"], guards["voltage_high_v"]
    if not low.stop <= voltage <= high.stop:
        text = f"supply {voltage:.1f} V, expected {low.stop:g} to {high.stop:g} V"
        findings.append(finding("error", text, "Charge or change the battery"))
    elif not low.warn <= voltage <= high.warn:
        findings.append(finding("warning", f"supply {voltage:.1f} V", "Charge the battery soon"))
    findings += [
        Finding("error", device, who, *wrong, calibration=True)
        for wrong in _past_its_range(spec, joint, values[table.PRESENT_POSITION])
    ]
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
    found = _find(bus, device)
    if found is None:
        return [Finding("error", device, who, "no answer", "Check its cable and its power")]
    if found.model_number != board_table.DEFAULTS["model_number"]:
        text = f"model number {found.model_number}, expected {board_table.DEFAULTS['model_number']}"
        return [Finding("error", device, who, text, "Another device has the board's id")]
    return [Finding("ok", device, who, f"firmware {found.firmware}")]
