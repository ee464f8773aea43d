"""What a virtual robot is made of: body, servos, sensor board and the wire between them, each by its name."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply
from wildrobot.firmware_bridge.board.driver import FOOT_INPUTS
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.inspection import position_limits
from wildrobot.firmware_bridge.virtual.board_core import REBOOT_US, BoardCore
from wildrobot.firmware_bridge.virtual.board_station import BoardStation, Core
from wildrobot.firmware_bridge.virtual.servo import Servo, ServoOptions
from wildrobot.firmware_bridge.virtual.wire import DeviceStation, Line, Station, Wire
from wildrobot.robot_description import RobotSpec

if TYPE_CHECKING:
    from wildrobot.firmware_bridge.virtual.physics import Start

Array = NDArray[np.float64]
Target = int | str
"""A servo by its id or joint; "board" is the sensor board."""
SUPPLY_V = 12.0
SUPPLY_OHM = 0.1
"""Battery and cables."""


@dataclass(frozen=True)
class Hidden:
    """What is wrong with this robot and is not in its description: for `doctor` and `calibrate` to find."""

    offset_rad: Mapping[str, float] = field(default_factory=dict)
    """Joint name to the error of its zero: true position = direction * servo angle + offset of robot.yaml + this."""
    flipped: tuple[str, ...] = ()
    """Joints whose servo turns the other way than robot.yaml says."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """Joint name to another servo id."""
    bauds: Mapping[str, int] = field(default_factory=dict)
    """Joint name to another baud."""
    firmware: Mapping[str, int] = field(default_factory=dict)
    """Joint name to another firmware version."""
    registers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Joint name to values that somebody else left in its registers, by name."""
    crc_status: bool = False
    strict_addresses: bool = False
    whole_items: bool = False
    """What the manual leaves open, for all servos: as in `ServoOptions`."""
    new: tuple[str, ...] = ()
    """Joints whose servo is as it comes from its box (id 1, 57600 bit/s), and is not connected yet."""
    imu_tilt_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation vector, torso frame, by which the IMU's true mount differs from robot.yaml's."""


@dataclass
class Sensors:
    """What faults make of the board's inputs."""

    feet: int
    imu_silent: bool = False
    imu_stuck: bool = False
    quaternion_norm: float = 1.0

    def __post_init__(self) -> None:
        self.foot_stuck = np.full(self.feet, np.nan)
        self.foot_bounce_hz = np.zeros(self.feet)

    def forces(self, true_n: Array, now_ns: int) -> Array:
        """(feet,) N at the inputs."""
        force = true_n
        if self.foot_bounce_hz.any():
            pressed = np.floor(2.0 * self.foot_bounce_hz * now_ns * 1e-9) % 2.0
            force = np.where(self.foot_bounce_hz > 0.0, 20.0 * pressed, force)
        return np.where(np.isnan(self.foot_stuck), force, self.foot_stuck)


class RobotParts:
    """All of a robot but its time."""

    def __init__(
        self,
        spec: RobotSpec,
        seed: int,
        suspended: bool,
        start: Start,
        hidden: Hidden,
        latency_timer_ms: float,
        yaw_zero_rad: float | None,
        velocity_window_ms: int,
        core: Core | None,
    ) -> None:
        """As `VirtualRobot` takes them."""
        from wildrobot.firmware_bridge.virtual.physics import Physics  # needs mujoco, which the robot lacks

        if spec.num_feet > FOOT_INPUTS:
            raise UserError(
                f"{spec.name} has {spec.num_feet} foot switches, its sensor board {FOOT_INPUTS} inputs. Name "
                f"fewer sites under feet in {spec.path}."
            )
        self.spec, self.hidden = spec, hidden
        self._names = {name: i for i, name in enumerate(spec.joint_names)}
        yaw = random.Random(seed).uniform(-math.pi, math.pi) if yaw_zero_rad is None else yaw_zero_rad
        mount = quat_multiply(quat_from_rotvec(np.array(hidden.imu_tilt_rad)), spec.imu_mount)
        self.physics = Physics(spec, start, suspended, mount, yaw)
        self._place_servos(velocity_window_ms)
        self.board = BoardStation(core or _new_core(spec))
        stations: list[Station] = [*(DeviceStation(servo) for servo in self.servos), self.board]
        self.wire = Wire(stations, spec.config.bus.baud, seed, latency_timer_ms)
        for name in hidden.new:
            self.line(name).silent = True
        self.sensors = Sensors(spec.num_feet)
        self.forced_supply_v: float | None = None
        """Of a fault; None: the battery's."""
        self.supply_v = SUPPLY_V

    def _place_servos(self, velocity_window_ms: int) -> None:
        spec, hidden = self.spec, self.hidden
        for group in (
            hidden.offset_rad,
            hidden.flipped,
            hidden.ids,
            hidden.bauds,
            hidden.firmware,
            hidden.registers,
            hidden.new,
        ):
            for name in group:
                self._joint(name)
        flips = np.array([-1.0 if name in hidden.flipped else 1.0 for name in spec.joint_names])
        self._direction = spec.joint_direction * flips
        self._offset = spec.joint_offset + np.array(
            [hidden.offset_rad.get(name, 0.0) for name in spec.joint_names]
        )
        code = {baud: code for code, baud in table.BAUD_RATES.items()}
        self.servos: list[Servo] = []
        for i, name in enumerate(spec.joint_names):
            eeprom = {key: value for key, value in spec.config.bus.servo_registers.items() if _in_eeprom(key)}
            low, high = position_limits(spec, i)
            baud = hidden.bauds.get(name, spec.config.bus.baud)
            if baud not in code:
                raise UserError(
                    f"baud {baud} of {name} is not one of a servo's: {sorted(code)}. Choose one of them."
                )
            eeprom |= {
                "id": hidden.ids.get(name, spec.servo_ids[i]),
                "baud_rate": code[baud],
                "min_position_limit": low,
                "max_position_limit": high,
            }
            eeprom |= hidden.registers.get(name, {})
            if name in hidden.new:
                eeprom = {}
            options = ServoOptions(
                hidden.firmware.get(name, 48),
                eeprom,
                hidden.crc_status,
                hidden.strict_addresses,
                hidden.whole_items,
            )
            servo = Servo(spec.servos[i], options, velocity_window_ms)
            servo.motor.observe(
                float(self._direction[i] * (self.physics.joint_position[i] - self._offset[i]))
            )
            servo.restart()
            self.servos.append(servo)

    # ------------------------------------------------------------------ parts, by name

    def _joint(self, name: str) -> int:
        if name not in self._names:
            raise UserError(f"there is no joint '{name}'; {did_you_mean(name, self._names)}")
        return self._names[name]

    def _index(self, target: Target) -> int:
        if isinstance(target, str):
            return self._joint(target)
        if target not in self.spec.servo_ids:
            raise UserError(f"there is no servo {target}; {self.spec.name} has {list(self.spec.servo_ids)}.")
        return self.spec.servo_ids.index(target)

    def servo(self, target: Target) -> Servo:
        """A servo by the id that robot.yaml gives it, or by its joint's name.

        Raises:
            UserError: there is none.
        """
        return self.servos[self._index(target)]

    def line(self, target: Target) -> Line:
        """A device's connection; "board" or its id is the sensor board.

        Raises:
            UserError: there is no such device.
        """
        if target in ("board", self.spec.config.bus.sensor_board_id):
            return self.wire.lines[-1]
        return self.wire.lines[self._index(target)]

    def foot(self, name: str) -> int:
        """Index of a foot input.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.spec.foot_names:
            raise UserError(
                f"there is no foot input '{name}'; {self.spec.name} has {', '.join(self.spec.foot_names)}."
            )
        return self.spec.foot_names.index(name)


def _in_eeprom(name: str) -> bool:
    return table.BY_NAME[name].address < table.EEPROM_END


def _new_core(spec: RobotSpec) -> Core:
    codes = {baud: code for code, baud in table.BAUD_RATES.items()}
    bus = spec.config.bus
    return BoardCore({"id": bus.sensor_board_id, "baud_rate": codes[bus.baud]}, boot_us=REBOOT_US)
