"""What `wildrobot servo` does with the bus once it is open; each order returns the exit code."""

from __future__ import annotations

import difflib
import functools
import sys
from typing import TYPE_CHECKING

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.board.driver import MODEL_NUMBER
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import BY_NAME, Register
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.presence import BAUDS, answers_garbled, model_name
from wildrobot.firmware_bridge.bus.protocol import MAX_ID
from wildrobot.robot_description import load_robot
from wildrobot.robot_description.spec import ServoModel

if TYPE_CHECKING:
    from wildrobot.cli.servo import Read, Reboot, Scan, SetId, Write

Units = dict[str, tuple[float, str]]
_POSITIONS = (
    "max_position_limit",
    "min_position_limit",
    "goal_position",
    "present_position",
    "position_trajectory",
)


def scan(bus: Bus, order: Scan) -> int:
    """List who answers; 1 when nobody does."""
    found = 0
    asked = bus.transport.baud
    for baud in BAUDS if order.all_bauds else (asked,):
        bus.transport.baud = baud
        for device in bus.scan():
            found += 1
            alert = ", reports a hardware error" if device.error & 0x80 else ""
            print(
                f"{baud:>8} bit/s  id {device.id:>3}  {model_name(device.model_number)}, "
                f"firmware {device.firmware}{alert}"
            )
    bus.transport.baud = asked
    if not found:
        print(f"nobody answers at {asked} bit/s; try --all-bauds, and look at the supply")
    return 0 if found else 1


def read(bus: Bus, order: Read) -> int:
    """Print registers."""
    registers = [_register(name) for name in order.registers] or list(table.REGISTERS)
    for register in registers:
        print(f"{register.name:<24} {describe(register, bus.read(order.id, register), _units_of(order))}")
    return 0


def write(bus: Bus, order: Write) -> int:
    """Write one register and read it back."""
    register = _register(order.register)
    if not register.writable:
        raise UserError(f"{register.name} is read-only: it says what the servo measures or is.")
    if register is table.ID:
        raise UserError("an id is changed by `wildrobot servo set-id`, which looks that the new one is free.")
    low, high = _bounds(register)
    if not low <= order.value <= high:
        raise UserError(
            f"{register.name} has {register.size} bytes: {order.value} is not in {low} to {high}."
        )
    if register.address < table.EEPROM_END and bus.read(order.id, table.TORQUE_ENABLE):
        if not order.torque_off:
            raise UserError(
                f"{register.name} is in the EEPROM, which is locked while the torque of servo {order.id} is on. "
                "Hold the robot and add --torque-off, or switch it off yourself."
            )
        bus.write(order.id, table.TORQUE_ENABLE, 0)
    old = bus.read(order.id, register)
    bus.write(order.id, register, order.value)
    if register is table.BAUD_RATE:
        print(f"servo {order.id} talks at {table.BAUD_RATES.get(order.value, order.value)} bit/s from now on")
        return 0
    new = describe(register, bus.read(order.id, register), _units_of(order))
    print(f"servo {order.id}: {register.name} {old} > {new}")
    return 0


def set_id(bus: Bus, order: SetId) -> int:
    """Give a servo another id."""
    if not 0 <= order.new <= MAX_ID:
        raise UserError(f"id {order.new} is none: ids go from 0 to {MAX_ID}.")
    if order.old == order.new:
        raise UserError(f"servo {order.old} has this id already.")
    if answers_garbled(bus, order.old):
        raise UserError(
            f"two devices answer as {order.old} and garble each other. Disconnect one, then set the other's id."
        )
    device = bus.ping(order.old) or bus.ping(order.old)
    if device is None:
        raise UserError(f"nobody answers as {order.old}. `wildrobot servo scan` shows who does.")
    if bus.ping(order.new) is not None or answers_garbled(bus, order.new):
        raise UserError(
            f"id {order.new} is taken: two devices with one id garble each other. Choose another."
        )
    if not order.yes:
        print(
            f"servo {order.old} gets the id {order.new}; its torque goes off, and what it carries drops. Go on? [y/N] ",
            end="",
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was changed")
            return 1
    # the board has no torque
    if device.model_number != MODEL_NUMBER:
        bus.write(order.old, table.TORQUE_ENABLE, 0)
    bus.write(order.old, table.ID, order.new)
    if bus.ping(order.new) is None and bus.ping(order.new) is None:
        raise UserError(f"servo {order.old} took the write but does not answer as {order.new}. Scan for it.")
    print(f"servo {order.old} is {order.new} now")
    return 0


def reboot(bus: Bus, order: Reboot) -> int:
    """Restart a servo and wait until it answers again."""
    bus.reboot(order.id)
    for _ in range(20):
        bus.transport.sleep(0.1)
        if bus.ping(order.id) is not None:
            error = bus.read(order.id, table.HARDWARE_ERROR_STATUS)
            text = table.describe_hardware_error(error)
            print(f"servo {order.id} is up again; hardware error: {text}")
            return 1 if error else 0
    raise UserError(f"servo {order.id} has not come back within 2 s. Check its supply.")


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
        return f"{value} ({value * scale:.4g} {unit})"
    return str(value)


def _units_of(order: Read | Write) -> Units:
    """Of the servo that the order names; of the robot's first one, if robot.yaml does not know that id."""
    spec = load_robot(order.common.robot_file)
    return units_of(spec.servos[spec.servo_ids.index(order.id) if order.id in spec.servo_ids else 0])


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


def _register(name: str) -> Register:

    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(BY_NAME)}."
        raise UserError(f"a servo has no register '{name}'; {hint}")
    return BY_NAME[name]
