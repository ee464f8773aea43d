"""Robots that the runtime can drive, behind one small protocol. Arrays have a leading batch dim of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.control.safety import Health
from wildrobot.signal_path.sensor_frame import SensorFrame

ROBOTS = ("sim", "dynamixel")


class Robot(Protocol):
    """Sensors to read, joint targets to write."""

    lockstep: bool
    """The robot's time stands still until the next `write`: a missed tick does it no harm."""

    def read(self) -> SensorFrame:
        """Measurements (1, ...). What could not be read keeps its old value and time, marked not valid."""
        ...

    def health(self) -> Health:
        """Currents, temperatures and voltages as last read, (n,)."""
        ...

    def write(self, joint_target: Any) -> None:
        """Give the servos joint targets (1, n), rad."""
        ...

    def set_torque_gain(self, gain: float) -> None:
        """Stiffness of all servos: 0 limp, 1 full."""
        ...

    def truth(self) -> Any | None:
        """A simulator's own state (`simulation.Truth`), None on a real robot. For figures only."""
        ...

    def close(self) -> None:
        """Torque off, and release what was opened."""
        ...


@dataclass(frozen=True)
class RobotOptions:
    """What a robot may need to know beside its description."""

    seed: int = 0
    push_speed_m_s: float = 0.0
    randomize: bool = False
    port: str | None = None
    """Serial port (dynamixel)."""


def open_robot(name: str, spec: RobotSpec, options: RobotOptions) -> Robot:
    """Open a robot by name; only the module of that robot is imported.

    Raises:
        UserError: unknown name, or a robot that is not there or not ready.
    """
    if name == "sim":
        from wildrobot.runtime.robots.sim import SimRobot

        return SimRobot(spec, options)
    if name == "dynamixel":
        from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport, choose_port
        from wildrobot.firmware_bridge.bus.transport import PortLost
        from wildrobot.runtime.robots.dynamixel import DynamixelRobot

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
