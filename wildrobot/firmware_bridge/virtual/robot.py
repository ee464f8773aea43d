"""The whole virtual robot: servos and sensor board on a wire, the body in MuJoCo, faults on a schedule.

Time is the caller's: bytes go in at a time, `advance` lets time pass, bytes come out with their times. The same calls
give the same bytes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply
from wildrobot.firmware_bridge.board.driver import FOOT_INPUTS
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.startup import position_limits
from wildrobot.firmware_bridge.virtual.board_station import BoardStation, Core, ImuSample
from wildrobot.firmware_bridge.virtual.faults import Fault, FaultSchedule, Target
from wildrobot.firmware_bridge.virtual.servo import Servo, ServoOptions
from wildrobot.firmware_bridge.virtual.wire import DeviceStation, Line, Station, Wire
from wildrobot.robot_description import RobotSpec

if TYPE_CHECKING:
    from wildrobot.firmware_bridge.virtual.physics import Start, VirtualTruth

Array = NDArray[np.float64]
STEP_NS = 1_000_000
"""Period of the physics, of the servos' control and of the board's foot inputs."""
IMU_PERIOD_NS = 2_500_000
"""The BNO085's fastest reports: 400 Hz."""
IMU_NOISE_RAD = 3e-4
IMU_NOISE_RAD_S = 0.005
IMU_NOISE_M_S2 = 0.05
"""Standard deviations of the chip's orientation, rate and acceleration (assumed, after the BNO085's data sheet)."""
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
    """Joint name to values of its EEPROM, by register name."""
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


class VirtualRobot:
    """A robot that one talks to in bytes. Times are nanoseconds since its power-on."""

    def __init__(
        self,
        spec: RobotSpec,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        suspended: bool = False,
        start: Start | None = None,
        hidden: Hidden | None = None,
        latency_timer_ms: float = 0.0,
        yaw_zero_rad: float | None = None,
        velocity_window_ms: int = 5,
        core: Core | None = None,
        imu_noise: float = 1.0,
    ) -> None:
        """A robot with the torque off.

        Args:
            spec: its description; the servos' EEPROM is set up as it demands.
            seed: of the line's noise, and of the IMU's yaw zero where `yaw_zero_rad` does not say it.
            faults: what will go wrong, and when.
            suspended: the pelvis is bolted to a stand, the feet off the floor.
            start: "stand" (held in its home pose until a servo's torque first comes on; default on the floor), "limp"
                (default when suspended) or "lying".
            hidden: errors of this robot that its description does not know.
            latency_timer_ms: of the host's USB adapter; 0: none.
            yaw_zero_rad: heading of the IMU's world.
            velocity_window_ms: over which a servo's present velocity is averaged.
            core: the sensor board's firmware; a new one unless given.
            imu_noise: share of the chip's noise. Without any, a robot at rest gives one sample over and over, which no
                chip does.
        """
        from wildrobot.firmware_bridge.virtual.physics import Physics  # needs mujoco, which the robot lacks

        if spec.num_feet > FOOT_INPUTS:
            raise UserError(
                f"{spec.name} has {spec.num_feet} foot switches, its sensor board {FOOT_INPUTS} inputs. Name "
                f"fewer sites under feet in {spec.path}."
            )
        self.spec, self.hidden = spec, hidden or Hidden()
        self._names = {name: i for i, name in enumerate(spec.joint_names)}
        yaw = random.Random(seed).uniform(-math.pi, math.pi) if yaw_zero_rad is None else yaw_zero_rad
        mount = quat_multiply(quat_from_rotvec(np.array(self.hidden.imu_tilt_rad)), spec.imu_mount)
        start = start or ("limp" if suspended else "stand")
        self.physics = Physics(spec, start, suspended, mount, yaw)
        self._on_stand = start == "stand" and not suspended
        self._place_servos(velocity_window_ms)
        self.board = BoardStation(core or _new_core(spec))
        stations: list[Station] = [*(DeviceStation(servo) for servo in self.servos), self.board]
        self.wire = Wire(stations, spec.config.bus.baud, seed, latency_timer_ms)
        self.sensors = Sensors(spec.num_feet)
        self.forced_supply_v: float | None = None
        self.supply_v = SUPPLY_V
        self.now_ns = 0
        self._step_ns = STEP_NS
        self._imu_ns = 0
        self._last_imu: ImuSample | None = None
        self._imu_noise, self._rng = imu_noise, np.random.default_rng(seed)
        self._duty = np.zeros(spec.num_joints)
        self.faults = FaultSchedule(self, faults)
        self._read_sensors(0)
        self.faults.update(0)

    def _place_servos(self, velocity_window_ms: int) -> None:
        spec, hidden = self.spec, self.hidden
        for group in (
            hidden.offset_rad,
            hidden.flipped,
            hidden.ids,
            hidden.bauds,
            hidden.firmware,
            hidden.registers,
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
            options = ServoOptions(firmware=hidden.firmware.get(name, 48), eeprom=eeprom)
            servo = Servo(spec.servos[i], options, velocity_window_ms)
            servo.motor.observe(
                float(self._direction[i] * (self.physics.joint_position[i] - self._offset[i]))
            )
            servo.restart()
            self.servos.append(servo)

    # ------------------------------------------------------------------ parts, by name

    def _joint(self, name: str) -> int:
        if name not in self._names:
            raise UserError(f"there is no joint '{name}'; {self.spec.name} has {', '.join(self._names)}.")
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

    # ------------------------------------------------------------------ the bus

    @property
    def connected(self) -> bool:
        """The host's cable is in."""
        return self.wire.connected

    def set_baud(self, baud: int | None) -> None:
        """Rate at which the host sends and hears; None: one that no device has."""
        self.wire.host_baud = baud

    def receive(self, data: bytes, now_ns: int) -> int:
        """The host sends; returns when the last byte will have passed. Time goes on to `now_ns`."""
        self.advance(now_ns)
        return self.wire.host_write(data, now_ns)

    def output(self, now_ns: int) -> bytes:
        """What has reached the host by now and was not taken yet."""
        self.advance(now_ns)
        return self.wire.adapter.take(now_ns)

    def next_event_ns(self, physics: bool = True) -> int | None:
        """When something happens next by itself: a physics step, a packet's end, an arrival at the host.

        `physics` False: only what happens on the wire and at the host.
        """
        times = (self._step_ns if physics else None, self.wire.next_ns(), self.wire.adapter.next_ns())
        return min((time for time in times if time is not None), default=None)

    def advance(self, now_ns: int, until: Callable[[], bool] | None = None) -> int:
        """Let time pass to `now_ns`, or until `until` says so after an event; returns the time."""
        while True:
            wire_ns = self.wire.next_ns()
            if wire_ns is not None and wire_ns < self._step_ns:
                if wire_ns > now_ns:
                    break
                self.now_ns = max(self.now_ns, wire_ns)
                self.wire.run_next()
            else:
                if self._step_ns > now_ns:
                    break
                self.now_ns = max(self.now_ns, self._step_ns)
                self._step(self._step_ns)
                self._step_ns += STEP_NS
            if until is not None and until():
                return self.now_ns
        self.now_ns = max(self.now_ns, now_ns)
        return self.now_ns

    # ------------------------------------------------------------------ the body

    def _step(self, now_ns: int) -> None:
        self.faults.update(now_ns)
        physics, direction, supply = self.physics, self._direction, self.supply_v
        physics.step(self._duty, supply)
        angle = (direction * (physics.joint_position - self._offset)).tolist()
        speed = (direction * physics.joint_velocity).tolist()
        used, torque_on, duties = 0.0, False, []
        for servo, shaft, rate in zip(self.servos, angle, speed, strict=True):
            duty = servo.control(shaft, rate, supply, now_ns)
            duties.append(duty)
            used += abs(duty * servo.motor.current_a)
            torque_on = torque_on or servo.torque_on
        self._duty = direction * duties
        if self._on_stand and torque_on:
            self._on_stand = False
            physics.hold(None)
        self.supply_v = SUPPLY_V - SUPPLY_OHM * used if self.forced_supply_v is None else self.forced_supply_v
        self.board.supply(self.supply_v, now_ns)
        self._read_sensors(now_ns)

    def _read_sensors(self, now_ns: int) -> None:
        sensors = self.sensors
        self.board.feet(sensors.forces(self.physics.foot_force, now_ns), now_ns)
        if now_ns < self._imu_ns:
            return
        self._imu_ns += IMU_PERIOD_NS
        if sensors.imu_silent:
            return
        if self._last_imu is None or not sensors.imu_stuck:
            self._last_imu = self._noisy(self.physics.imu())
        sample = self._last_imu
        quaternion = sample.quaternion * sensors.quaternion_norm
        self.board.imu(ImuSample(quaternion, sample.angular_velocity, sample.acceleration), now_ns)

    def _noisy(self, sample: ImuSample) -> ImuSample:
        noise = self._imu_noise * self._rng.standard_normal(9)
        turn = quat_from_rotvec(IMU_NOISE_RAD * noise[:3])
        return ImuSample(
            quat_multiply(sample.quaternion, turn),
            sample.angular_velocity + IMU_NOISE_RAD_S * noise[3:6],
            sample.acceleration + IMU_NOISE_M_S2 * noise[6:],
        )

    def truth(self) -> VirtualTruth:
        """The simulation's own state."""
        on = np.array([servo.torque_on for servo in self.servos])
        goal = np.array([servo.motor.horn_goal_rad for servo in self.servos])
        return self.physics.truth(self._step_ns - STEP_NS, on, self._direction * goal + self._offset)


def _in_eeprom(name: str) -> bool:
    return table.BY_NAME[name].address < table.EEPROM_END


def _new_core(spec: RobotSpec) -> Core:
    from wildrobot.firmware_bridge.virtual.board_core import REBOOT_US, BoardCore

    codes = {baud: code for code, baud in table.BAUD_RATES.items()}
    bus = spec.config.bus
    return BoardCore({"id": bus.sensor_board_id, "baud_rate": codes[bus.baud]}, boot_us=REBOOT_US)
