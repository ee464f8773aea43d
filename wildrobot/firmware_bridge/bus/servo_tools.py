"""Servos looked at and set up one by one: who answers, registers by name, ids, restarts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.firmware_bridge.board.driver import MODEL_NUMBER
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BY_NAME, Register
from wildrobot.firmware_bridge.bus.driver import Bus, BusError, FoundDevice
from wildrobot.firmware_bridge.bus.presence import BAUDS, FACTORY_ID, answers_garbled, set_speed
from wildrobot.firmware_bridge.bus.protocol import MAX_ID
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.spec import ServoModel

Units = dict[str, tuple[float, str]]
_POSITIONS = (
    "max_position_limit",
    "min_position_limit",
    "goal_position",
    "present_position",
    "position_trajectory",
)


def scan(
    bus: Bus, baud: int, watch: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[int, FoundDevice]]:
    """(bit/s, device) of everybody who answers at one speed, as they do: every id is asked, 0.6 s in all.

    `watch` hears what is looked at.
    """
    bus.transport.baud = baud
    for asked in range(MAX_ID + 1):
        watch(f"looking at {baud} bit/s, id {asked}")
        for device in bus.scan((asked,)):
            yield baud, device


def scan_all_speeds(
    bus: Bus, likely: Iterable[int], watch: Callable[[str], None], say: Callable[[str], None]
) -> Iterator[tuple[int, FoundDevice]]:
    """(bit/s, device) of everybody who answers at any speed that a servo knows; the bus's own is set back.

    One ping to all ids a speed, 0.8 s each; answers that it may have lost, to noise or since two came at once, are
    made up for by asking the `likely` ids one by one. `say` hears of speeds that the adapter does not do.
    """
    home = bus.transport.baud
    try:
        for baud in BAUDS:
            watch(f"looking at {baud} bit/s, all ids at once")
            if not set_speed(bus.transport, baud):
                say(f"the adapter does not do {baud} bit/s: nobody was looked for there")
                continue
            found = {device.id: device for device in bus.broadcast_ping()}
            missing = sorted({FACTORY_ID, *likely} - found.keys())
            found |= {device.id: device for device in bus.scan(missing)}
            for device in sorted(found.values(), key=lambda device: device.id):
                yield baud, device
    finally:
        set_speed(bus.transport, home)


def read(bus: Bus, device: int, names: Sequence[str]) -> Iterator[tuple[Register, int]]:
    """Registers and their counts; all of the table unless some are named.

    Raises:
        UserError: a servo has no register of this name.
        BusError: it does not answer.
    """
    for register in [find_register(name) for name in names] or table.REGISTERS:
        yield register, bus.read(device, register)


def write(
    bus: Bus, device: int, name: str, value: int, torque_off: bool = False
) -> tuple[Register, int, int | None]:
    """Write one register and read it back: its old and new count (None: it talks at another speed from now on).

    Raises:
        UserError: no such register or value, or it is locked while the torque is on (`torque_off` takes it away).
        BusError: the servo does not answer, or refuses.
    """
    register = find_register(name)
    if not register.writable:
        raise UserError(f"{register.name} is read-only: it says what the servo measures or is.")
    if register is table.ID:
        raise UserError("an id is changed by `wildrobot servo set-id`, which looks that the new one is free.")
    low, high = _bounds(register)
    if not low <= value <= high:
        raise UserError(f"{register.name} has {register.size} bytes: {value} is not in {low} to {high}.")
    if register.address < table.EEPROM_END and bus.read(device, table.TORQUE_ENABLE):
        if not torque_off:
            raise UserError(
                f"{register.name} is in the EEPROM, which is locked while the torque of servo {device} is on. "
                "Hold the robot and add --torque-off, or switch it off yourself."
            )
        bus.write(device, table.TORQUE_ENABLE, 0)
    old = bus.read(device, register)
    bus.write(device, register, value)
    return register, old, None if register is table.BAUD_RATE else bus.read(device, register)


def moves(bus: Bus, device: int, name: str, value: int) -> bool:
    """Whether writing this register moves the servo, or makes it stiff.

    Raises:
        UserError: no such register.
        BusError: the servo does not answer.
    """
    register = find_register(name)
    if register is table.TORQUE_ENABLE:
        return value != 0
    return register.name.startswith("goal_") and bus.read(device, table.TORQUE_ENABLE) != 0


def check_new_id(bus: Bus, old: int, new: int) -> FoundDevice:
    """The device `old`, which may get the id `new`: it is alone with its own, and `new` is free.

    Raises:
        UserError: it may not.
    """
    if not 0 <= new <= MAX_ID:
        raise UserError(f"id {new} is none: ids go from 0 to {MAX_ID}.")
    if old == new:
        raise UserError(f"servo {old} has this id already.")
    if answers_garbled(bus, old):
        raise UserError(
            f"two devices answer as {old} and garble each other. Disconnect one, then set the other's id."
        )
    device = bus.ping(old) or bus.ping(old)
    if device is None:
        raise UserError(f"nobody answers as {old}. `wildrobot servo scan` shows who does.")
    if bus.ping(new) is not None or answers_garbled(bus, new):
        raise UserError(f"id {new} is taken: two devices with one id garble each other. Choose another.")
    return device


def set_id(bus: Bus, device: FoundDevice, new: int) -> None:
    """Give a device the id `new`; a servo's torque goes off.

    Raises:
        UserError: it does not answer under its new id.
    """
    # the board has no torque
    if device.model_number != MODEL_NUMBER:
        bus.write(device.id, table.TORQUE_ENABLE, 0)
    bus.write(device.id, table.ID, new)
    if bus.ping(new) is None and bus.ping(new) is None:
        raise UserError(f"servo {device.id} took the write but does not answer as {new}. Scan for it.")


def torque_off(bus: Bus, devices: Sequence[int]) -> dict[int, str]:
    """Let go of servos, all of them with one packet; what is wrong with those that are not limp then, by id."""
    for _ in range(3):  # nobody acknowledges it
        bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(devices, 0))
    wrong = {}
    for device in devices:
        try:
            if bus.read(device, table.TORQUE_ENABLE):
                wrong[device] = "its torque is still on"
        except BusError:
            wrong[device] = "does not answer, so nobody knows whether it is limp"
    return wrong


def in_need_of_a_restart(bus: Bus, devices: Sequence[int]) -> dict[int, str]:
    """Servos that report a hardware error, and which; those that do not answer are left out."""
    errors = {}
    for device in devices:
        try:
            if error := bus.read(device, table.HARDWARE_ERROR_STATUS):
                errors[device] = table.describe_hardware_error(error)
        except BusError:
            continue
    return errors


def question_before_letting_go(held: Sequence[int]) -> str:
    """What to ask a person before the torque of these servos, which hold something, goes off."""
    return f"Servo {', '.join(map(str, held))} holds: WHAT IT CARRIES DROPS. Hold the robot. Go on?"


def holding(bus: Bus, devices: Sequence[int]) -> list[int]:
    """Servos whose torque is on, or that answer pings and do not say; the sensor board has no torque."""
    held = []
    for device in devices:
        found = bus.ping(device)
        if found is None or found.model_number == MODEL_NUMBER:
            continue
        try:
            on = bus.read(device, table.TORQUE_ENABLE)
        except BusError:
            on = 1
        if on:
            held.append(device)
    return held


# ---------------------------------------------------------------------- registers


def describe(register: Register, value: int, units: Units) -> str:
    """A register's value with its unit."""
    if register.name in _POSITIONS:
        angle = (value - table.CENTRE_COUNT) * 360.0 / table.COUNTS_PER_TURN
        return f"{value} ({angle:+.1f} degrees)"
    if register is table.HARDWARE_ERROR_STATUS or register is table.SHUTDOWN:
        return f"{value} ({table.describe_hardware_error(value)})"
    if register is table.BAUD_RATE:
        return f"{value} ({table.BAUD_RATES.get(value, 'unknown')} bit/s)"
    if register is table.BUS_WATCHDOG and value == -1:
        return "-1 (tripped)"
    if register.name in units:
        scale, unit = units[register.name]
        scaled = value * scale
        return f"{value} ({f'{scaled:.4g}' if abs(scaled) < 9999.5 else f'{scaled:.0f}'} {unit})"
    return str(value)


def units_for(spec: RobotSpec, device: int) -> Units:
    """Of the robot's servo with this id; of its first one, if it has none of this id."""
    return units_of(spec.servos[spec.servo_ids.index(device) if device in spec.servo_ids else 0])


@functools.lru_cache(maxsize=8)
def units_of(servo: ServoModel) -> Units:
    """Registers of a servo of this type to (size of a count, unit)."""
    kinds: dict[tuple[float, str], str] = {
        (table.RETURN_DELAY_S * 1e6, "us"): "return_delay_time",
        (1.0, "°C"): "temperature_limit present_temperature",
        (table.VOLTAGE_V, "V"): "max_voltage_limit min_voltage_limit present_input_voltage",
        (servo.current_a_per_count, "A"): "current_limit goal_current present_current",
        (servo.velocity_rad_s_per_count, "rad/s"): "velocity_limit goal_velocity present_velocity "
        "profile_velocity velocity_trajectory",
        (100.0 / table.FULL_PWM, "%"): "pwm_limit goal_pwm present_pwm",
        (360.0 / table.COUNTS_PER_TURN, "degrees"): "homing_offset",
        (table.WATCHDOG_S * 1e3, "ms"): "bus_watchdog",
        (1.0, "ms"): "realtime_tick",
    }
    return {name: unit for unit, names in kinds.items() for name in names.split()}


def _bounds(register: Register) -> tuple[int, int]:
    bits = 8 * register.size
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if register.signed else (0, (1 << bits) - 1)


def find_register(name: str) -> Register:
    """A register of the control table by its name.

    Raises:
        UserError: there is none; the nearest one is named.
    """
    if name not in BY_NAME:
        raise UserError(f"a servo has no register '{name}'; {did_you_mean(name, BY_NAME)}")
    return BY_NAME[name]
