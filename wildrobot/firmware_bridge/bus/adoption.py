"""A servo that does not belong to the robot yet: found at any id and speed, and set up as the servo of a joint."""

from __future__ import annotations

from collections.abc import Callable

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus, BusError
from wildrobot.firmware_bridge.bus.inspection import POSITION_LIMITS, expected_registers
from wildrobot.firmware_bridge.bus.presence import (
    FACTORY_ID,
    Stranger,
    answers_garbled,
    model_name,
    set_speed,
)
from wildrobot.robot_description import RobotSpec


def find_new(
    bus: Bus, spec: RobotSpec, joint: int, watch: Callable[[str], None] = lambda text: None
) -> Stranger:
    """The one device that is not set up as one of the robot's. The bus's speed, that of robot.yaml, is set back.

    `watch` hears what is looked at.

    Raises:
        UserError: there is none, or more than one; it is no servo of this joint's kind; or the joint has its servo.
    """
    name, new_id = spec.joint_names[joint], spec.servo_ids[joint]
    known, home = {*spec.servo_ids, spec.config.bus.sensor_board_id}, spec.config.bus.baud
    found: list[Stranger] = []
    taken = False
    try:
        for baud in sorted(table.BAUD_RATES.values(), key=lambda baud: (baud != home, -baud)):
            watch(f"looking at {baud} bit/s, all ids; {len(found)} new so far")
            if not set_speed(bus.transport, baud):
                continue
            devices = {device.id: device for device in bus.broadcast_ping()}
            for asked in sorted({FACTORY_ID, new_id, *devices}):
                if answers_garbled(bus, asked):
                    raise UserError(
                        f"two devices answer as {asked} at {baud} bit/s and garble each other. Disconnect all new "
                        "servos but one, then adopt them one after another."
                    )
                # a broadcast's answer may have been lost to noise
                if asked not in devices and (device := bus.ping(asked, bus.margin_s)) is not None:
                    devices[asked] = device
            taken = taken or (baud == home and new_id in devices)
            found += [
                Stranger(device, baud)
                for device in devices.values()
                if baud != home or device.id not in known
            ]
    finally:
        bus.transport.baud = home
    listed = ", ".join(map(str, found))
    if taken:
        other = f" (there is also a {listed})" if found else ""
        raise UserError(
            f"{name} has its servo already: id {new_id} answers at {home} bit/s{other}. Disconnect it if it is to be "
            "replaced, or name another joint."
        )
    if not found:
        raise UserError(
            f"there is no new device on the bus, at any of {len(table.BAUD_RATES)} speeds. Connect the servo for "
            f"{name}, and look at its supply: its LED blinks once when it is switched on."
        )
    if len(found) > 1:
        raise UserError(
            f"there are {len(found)} new devices: {listed}. Connect one alone: nobody can tell which one {name} gets."
        )
    wanted = spec.servos[joint].model_number
    if found[0].device.model_number != wanted:
        raise UserError(
            f"the new device is a {listed}; {name} needs a {model_name(wanted)}. Connect that, or correct robot.yaml."
        )
    return found[0]


def adopt(bus: Bus, spec: RobotSpec, joint: int, new: Stranger, say: Callable[[str], None]) -> None:
    """Give a new servo the joint's id, then the bus's speed, then the registers of robot.yaml; `say` hears each.

    The id first, at the speed that it has: at the bus's speed another device may have the one it came with. Position
    limits stay as they are.

    Raises:
        UserError: it does not answer under its new id or at the new speed.
        BusError: it does not answer, or refuses.
    """
    old_id, new_id, home = new.device.id, spec.servo_ids[joint], spec.config.bus.baud
    bus.transport.baud = new.baud
    try:
        bus.sync_write(table.STATUS_RETURN_LEVEL, {old_id: 2})  # or it would acknowledge nothing
        bus.write(old_id, table.TORQUE_ENABLE, 0)
        if old_id != new_id:
            bus.write(old_id, table.ID, new_id)
            _require(bus, new_id, f"servo {old_id} took the id {new_id} but does not answer under it")
            say(f"id {old_id} > {new_id}")
        if new.baud != home:
            code = next(code for code, baud in table.BAUD_RATES.items() if baud == home)
            bus.write(new_id, table.BAUD_RATE, code)
            bus.transport.baud = home
            _require(bus, new_id, f"servo {new_id} took the speed {home} bit/s but does not answer at it")
            say(f"baud_rate {new.baud} > {home} bit/s")
    finally:
        bus.transport.baud = home
    for register, wanted in expected_registers(spec, joint).items():
        if register in POSITION_LIMITS or (old := bus.read(new_id, register)) == wanted:
            continue
        bus.write(new_id, register, wanted)
        if (now := bus.read(new_id, register)) != wanted:
            raise BusError(f"servo {new_id} was given {register.name} {wanted} and says {now}")
        say(f"{register.name} {old} > {wanted}")


def _require(bus: Bus, device: int, otherwise: str) -> None:
    for _ in range(5):
        if bus.ping(device) is not None:
            return
        bus.transport.sleep(0.05)
    raise UserError(
        f"{otherwise}. Switch it off and on, and adopt it again: it is found at any id and speed."
    )
