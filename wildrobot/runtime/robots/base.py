"""What a robot is to the runtime: sensors to read, joint targets to write. Arrays have a leading batch dim of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from wildrobot.signal_path.sensor_frame import SensorFrame

if TYPE_CHECKING:
    from wildrobot.simulation.simulation import Truth  # MuJoCo is there for `sim` only


@dataclass(frozen=True)
class Health:
    """What servos report beside motion, (n,); NaN where the robot does not measure it."""

    current_a: NDArray[np.float64]
    temperature_c: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    hardware_errors: int = 0
    """Servos that have shut themselves down or are about to."""
    problems: tuple[str, ...] = ()
    """What is wrong with the bus or a device right now, for people: "servo 4 (left_knee_pitch) does not answer"."""
    pushes: tuple[str, ...] = ()
    """What a simulation did to the robot since the last `write`, for people; a real robot cannot know."""


class Robot(Protocol):
    """All of it. Only the safety supervisor has one; others are given a `RobotView`."""

    lockstep: bool
    """The robot's time stands still until the next `write`: a missed tick does it no harm."""

    def read(self) -> SensorFrame:
        """Measurements (1, ...). What could not be read keeps its old value and time, marked not valid."""
        ...

    def health(self) -> Health:
        """Currents, temperatures and voltages as last read, (n,)."""
        ...

    def truth(self) -> Truth | None:
        """A simulator's own state, None on a real robot. For figures only."""
        ...

    def write(self, joint_target: NDArray[np.float64]) -> None:
        """Give the servos joint targets (1, n), rad."""
        ...

    def set_stiffness(self, stiffness: float) -> None:
        """Stiffness of all servos, from now on: 0 limp, 1 full."""
        ...

    def close(self) -> None:
        """Torque off, and release what was opened."""
        ...


class RobotView:
    """A robot's `lockstep`, `read`, `health` and `truth`, and nothing that could move it."""

    def __init__(self, robot: Robot) -> None:
        self.lockstep = robot.lockstep
        self.read: Callable[[], SensorFrame] = robot.read
        self.health: Callable[[], Health] = robot.health
        self.truth: Callable[[], Truth | None] = robot.truth


@dataclass(frozen=True)
class RobotOptions:
    """What a robot may need to know beside its description."""

    seed: int = 0
    push_speed_m_s: float = 0.0
    randomize: bool = False
    port: str | None = None
    """Serial port (dynamixel)."""
