"""`wildrobot servo`: who is on the bus, registers by name, ids, reboots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from wildrobot.core.errors import UserError

if TYPE_CHECKING:
    from wildrobot.firmware_bridge.bus.transport import Transport

EXAMPLES = """Look at the devices on the bus and set them up. Nothing moves, unless `write` makes it: goal_position with
the torque on.

examples:
  wildrobot servo scan --port PORT --all-bauds
  wildrobot servo read 4 present_position present_temperature --port PORT
  wildrobot servo write 4 position_p_gain 640 --port PORT
  wildrobot servo set-id 1 4 --port PORT
  wildrobot servo reboot 4 --port PORT

Exit code: 0 done, 1 nothing found or not agreed to, 2 bad input or no answer."""


@dataclass(frozen=True)
class _Common:
    port: Annotated[str | None, tyro.conf.arg(metavar="PORT")] = None
    """Serial port, best by its name in /dev/serial/by-id."""
    baud: int | None = None
    """Bits per second (default: robot.yaml's)."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""


@dataclass(frozen=True)
class Scan:
    """List every device that answers.

    example: wildrobot servo scan --port PORT --all-bauds
    """

    all_bauds: bool = False
    """Try 57600, 115200, 1 M, 2 M, 3 M and 4 M."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Read:
    """Print registers of a servo; all of them unless some are named.

    example: wildrobot servo read 4 present_position present_temperature --port PORT
    """

    id: tyro.conf.Positional[int]
    """Servo."""
    registers: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of the control table, for example present_position."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Write:
    """Write a register of a servo, in the register's own counts.

    example: wildrobot servo write 4 position_p_gain 640 --port PORT
    """

    id: tyro.conf.Positional[int]
    """Servo."""
    register: tyro.conf.Positional[str]
    """Name of the control table."""
    value: tyro.conf.Positional[int]
    """New value, counts."""
    torque_off: bool = False
    """Switch the torque off first: registers of the EEPROM are locked while it is on."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class SetId:
    """Give a servo another id. Asks first, and looks that the new id is free.

    example: wildrobot servo set-id 1 4 --port PORT
    """

    old: tyro.conf.Positional[int]
    """Id that it has."""
    new: tyro.conf.Positional[int]
    """Id that it shall have."""
    yes: bool = False
    """Do not ask."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


@dataclass(frozen=True)
class Reboot:
    """Restart a servo after a hardware error; its torque is off afterwards.

    example: wildrobot servo reboot 4 --port PORT
    """

    id: tyro.conf.Positional[int]
    """Servo."""
    common: tyro.conf.OmitArgPrefixes[_Common] = _Common()


Order = (
    Annotated[Scan, tyro.conf.subcommand("scan")]
    | Annotated[Read, tyro.conf.subcommand("read")]
    | Annotated[Write, tyro.conf.subcommand("write")]
    | Annotated[SetId, tyro.conf.subcommand("set-id")]
    | Annotated[Reboot, tyro.conf.subcommand("reboot")]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    order: Any = tyro.cli(
        Order,  # type: ignore[arg-type]
        args=None if argv is None else list(argv),
        description=EXAMPLES,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return run(order)


def run(order: Any, transport: Transport | None = None) -> int:
    """Do one order over its port (or over `transport`).

    Raises:
        UserError: the port, the device or the value is wrong.
    """
    from wildrobot.firmware_bridge.bus import servo_tools as orders
    from wildrobot.firmware_bridge.bus.driver import BusError
    from wildrobot.firmware_bridge.bus.presence import patient_bus
    from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
    from wildrobot.firmware_bridge.bus.transport import PortLost
    from wildrobot.robot_description import load_robot

    common: _Common = order.common
    if transport is None:
        baud = common.baud or load_robot(common.robot_file).config.bus.baud
        transport = SerialTransport(choose_port(common.port), baud)
    actions: dict[type, Any] = {
        Scan: orders.scan,
        Read: orders.read,
        Write: orders.write,
        SetId: orders.set_id,
        Reboot: orders.reboot,
    }
    try:
        code: int = actions[type(order)](patient_bus(transport), order)
        return code
    except BusError as error:
        raise UserError(f"{error}. `wildrobot servo scan` shows who answers.") from error
    except PortLost as error:
        raise UserError(f"the port is gone ({error}). Check cable and adapter.") from error
    finally:
        transport.close()
