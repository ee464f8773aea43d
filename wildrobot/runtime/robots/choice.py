"""Robots by the names they have on the command line."""

from __future__ import annotations

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
from wildrobot.firmware_bridge.bus.transport import PortLost
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.robots.base import Robot, RobotOptions
from wildrobot.runtime.robots.dynamixel import DynamixelRobot

ROBOTS = ("sim", "dynamixel")


def open_robot(name: str, spec: RobotSpec, options: RobotOptions) -> Robot:
    """Open a robot by name, for a `SafetySupervisor` to take over.

    Raises:
        UserError: unknown name, or a robot that is not there or not ready.
    """
    if name == "sim":
        from wildrobot.runtime.robots.sim import SimRobot  # needs MuJoCo

        return SimRobot(spec, options)
    if name == "dynamixel":
        transport = SerialTransport(choose_port(options.port), spec.config.bus.baud)
        try:
            return DynamixelRobot(spec, transport)
        except PortLost as error:
            transport.close()
            raise UserError(
                f"{options.port} went away while the robot was looked at ({error}). Check cable and adapter, and start "
                "again."
            ) from error
        except BaseException:
            transport.close()
            raise
    raise UserError(f"there is no robot '{name}'. Use one of: {', '.join(ROBOTS)}.")
