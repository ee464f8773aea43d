"""Before anything moves: what `inspection` finds is repaired where that is safe, and the reads are mapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import FAST_READ_FIRMWARE, Register, describe_hardware_error
from wildrobot.firmware_bridge.bus.driver import Bus, BusError, FoundDevice
from wildrobot.firmware_bridge.bus.inspection import Finding, check, read_registers
from wildrobot.firmware_bridge.bus.servo_bus import ServoBus
from wildrobot.robot_description import RobotSpec

_TRIALS = 5
_MAP_TRIES = 8
"""The longest packets of all are the first that a disturbed line breaks."""


def repair(bus: Bus, findings: Sequence[Finding]) -> list[str]:
    """Write what is safe to write, torque off first, and restart servos that need it; returns what was done, and what
    failed. What a restart brings back to its default is found by the next `check`."""
    done, limp = [], set()
    # a servo that acknowledges no write would look as if it refused the rest
    for finding in sorted(findings, key=_urgency):
        if finding.reboot:
            done.append(f"{finding.who}: {_restarted(bus, finding.device)}")
            continue
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


def _urgency(finding: Finding) -> int:
    if finding.reboot:
        return 1
    return 0 if finding.fix is not None and finding.fix[0] is table.STATUS_RETURN_LEVEL else 2


def _restarted(bus: Bus, device: int) -> str:
    try:
        bus.write(device, table.TORQUE_ENABLE, 0)
        error = reboot(bus, device)
    except (BusError, UserError) as failed:
        return f"could not be restarted ({failed})"
    return "restarted" if not error else f"restarted; hardware error again: {describe_hardware_error(error)}"


def reboot(bus: Bus, device: int) -> int:
    """Restart a servo and wait until it answers again; returns its hardware error status, 0 if there is none.

    Raises:
        BusError: it does not answer.
        UserError: it does not come back.
    """
    bus.reboot(device)
    for _ in range(20):
        bus.transport.sleep(0.1)
        if bus.ping(device) is not None:
            return bus.read(device, table.HARDWARE_ERROR_STATUS)
    raise UserError(f"servo {device} has not come back within 2 s. Check its supply.")


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
        layout = map_all_reads(bus, spec, say)
        for device in spec.servo_ids:
            bus.write(device, table.BUS_WATCHDOG, 0)
    except BusError as error:
        raise UserError(
            f"the robot is not ready: {error}. Check its cables and run `wildrobot doctor`."
        ) from error
    return tick_reader(bus, spec, layout, say)


def map_all_reads(
    bus: Bus, spec: RobotSpec, say: Callable[[str], None] = lambda text: None
) -> table.MotionLayout:
    """Map the reads of all servos, limp ones, and compare with the registers themselves: as halves, and if a firmware
    shows no halves, whole.

    Raises:
        BusError: a servo does not answer, refuses, or shows something else either way.
    """
    wrong = ""
    for layout in (table.HALVES, table.WHOLE):
        for device in spec.servo_ids:
            map_reads(bus, device, layout)
            if misfit := layout_misfit(bus, device, layout):
                wrong = (
                    wrong or f"device {device}: {misfit}; its firmware maps other bytes than the manual says"
                )
                break
        else:
            if layout is table.WHOLE:
                say("a servo shows values of 4 bytes only whole, so reads carry all their bytes (longer)")
            return layout
    raise BusError(wrong)


def map_reads(bus: Bus, device: int, layout: table.MotionLayout = table.HALVES) -> None:
    """Let a limp servo's indirect data show what the tick reads.

    Raises:
        BusError: it does not answer, refuses, or does not keep them.
    """
    wanted = table.indirect_map(layout.shown)
    bus.write_block(device, table.INDIRECT_ADDRESS, wanted, _MAP_TRIES)
    if bus.read_block(device, table.INDIRECT_ADDRESS, len(wanted), _MAP_TRIES).data != wanted:
        raise BusError(f"device {device} did not keep its indirect addresses")


def layout_misfit(bus: Bus, device: int, layout: table.MotionLayout = table.HALVES) -> str:
    """How the indirect data of a servo differ from the registers that they are to show; "" if they do not.

    Raises:
        BusError: the servo does not answer.
    """
    wrong = ""
    for _ in range(_TRIALS):  # a joint that somebody shakes changes between two reads
        if not (wrong := _misfit(bus, device, layout)):
            break
    return wrong


def _misfit(bus: Bus, device: int, layout: table.MotionLayout) -> str:
    shown = bus.read_block(device, table.INDIRECT_DATA, len(layout.shown)).data
    motion = layout.decode(shown)
    health = table.HealthBlock.decode(shown[layout.format.size :])
    direct = read_registers(bus, device, (
        table.PRESENT_POSITION, table.PRESENT_VELOCITY, table.REALTIME_TICK, table.PRESENT_INPUT_VOLTAGE,
        table.PRESENT_TEMPERATURE, table.HARDWARE_ERROR_STATUS, table.GOAL_PWM,
    ))  # fmt: skip
    since_ms = (direct[table.REALTIME_TICK] - motion.tick_ms) % table.REALTIME_TICK_PERIOD
    for name, seen, true, slack in (
        ("present_position", motion.position, direct[table.PRESENT_POSITION], 40),
        ("present_velocity", motion.velocity, direct[table.PRESENT_VELOCITY], 40),
        ("realtime_tick", 0, since_ms, 1000),
        ("present_input_voltage", health.voltage, direct[table.PRESENT_INPUT_VOLTAGE], 5),
        ("present_temperature", health.temperature, direct[table.PRESENT_TEMPERATURE], 2),
        ("hardware_error_status", health.hardware_error, direct[table.HARDWARE_ERROR_STATUS], 0),
        ("goal_pwm", health.goal_pwm_low, direct[table.GOAL_PWM] & 0xFF, 0),
    ):
        if abs(seen - true) > slack:
            return f"its indirect data do not show {name}: {seen} there, {true} in the register itself"
    return ""


def tick_reader(
    bus: Bus,
    spec: RobotSpec,
    layout: table.MotionLayout,
    say: Callable[[str], None] = lambda text: None,
) -> ServoBus:
    """Reads as they are mapped: by fast bulk reads if every device answers them.

    Their firmware must promise it and a trial must show it.
    """
    devices = [device for i in spec.servo_ids if (device := bus.ping(i)) is not None]
    old = [device for device in devices if device.firmware < FAST_READ_FIRMWARE]
    if old:
        say(f"{_names(old)}: firmware before {FAST_READ_FIRMWARE}, so reads are plain bulk reads (slower)")
    else:
        fast = ServoBus(bus, spec, True, layout)
        # one whole answer proves it; a broken one may be noise
        if any(not fast.read_tick().failures for _ in range(_TRIALS)):
            return fast
        say("fast bulk reads were not answered, so reads are plain bulk reads (slower)")
    return ServoBus(bus, spec, False, layout)


def _names(devices: Sequence[FoundDevice]) -> str:
    return "servo " + ", ".join(str(device.id) for device in devices)
