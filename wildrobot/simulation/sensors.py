"""What a simulated robot's hardware would measure: the simulator's sensors with each robot's own errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import quat_from_rotvec, quat_multiply, quat_to_matrix, rotate_inverse
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.sensor_frame import FootSwitches, SensorFrame, last_valid
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.robot_rows import RobotRows

Array = NDArray[np.float64]


class SimulatedSensors(Stateful):
    """The last readings of all simulations, and the samples that a servo's lost one leaves standing."""

    state_fields = ("values", "switches", "_position", "_velocity", "_time", "_seen")

    def __init__(self, spec: RobotSpec, model: Any, num_envs: int) -> None:
        self.spec = spec

        def where(names: list[str]) -> NDArray[np.int64]:
            spans = [(model.sensor(name).adr[0], model.sensor(name).dim[0]) for name in names]
            return np.concatenate([np.arange(start, start + size) for start, size in spans])

        self._at_position = where([f"position/{name}" for name in spec.joint_names])
        self._at_velocity = where([f"velocity/{name}" for name in spec.joint_names])
        self._at_quaternion = where(["imu_quaternion"])
        self._at_gyro = where(["imu_angular_velocity"])
        self._at_acceleration = where(["imu_acceleration"])
        self._at_touch = where(list(spec.foot_names))
        self._counts = np.array([[s.position_rad_per_count, s.velocity_rad_s_per_count] for s in spec.servos])
        shape = (num_envs, spec.num_joints)
        self.values = np.zeros((num_envs, model.nsensordata))
        self.switches = FootSwitchRows(spec, num_envs)
        self._position, self._velocity, self._time = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._seen = np.zeros(shape, dtype=bool)

    @property
    def joint_position(self) -> Array:
        """(N, n) rad, without error."""
        value: Array = self.values[:, self._at_position]
        return value

    @property
    def quaternion(self) -> Array:
        """(N, 4) wxyz, simulation <- torso, without error."""
        value: Array = self.values[:, self._at_quaternion]
        return value

    @property
    def acceleration(self) -> Array:
        """(N, 3) m/s^2, specific force in the torso frame, without error."""
        value: Array = self.values[:, self._at_acceleration]
        return value

    @property
    def foot_force(self) -> Array:
        """(N, feet) N, normal, per switch."""
        value: Array = self.values[:, self._at_touch]
        return value

    def reset(self, rows: NDArray[np.int64], switch_factor: Array) -> None:
        """Start `rows` afresh from `values`."""
        self.switches.reset(self.foot_force, switch_factor, rows)
        self._seen[rows] = False

    def frame(
        self, robots: RobotRows, randomization: Randomization, rng: np.random.Generator, time: Array, goal: Array,
        noise: bool = True,
    ) -> SensorFrame:  # fmt: skip
        """The reading (N, ...) of the instant `time` (N,) s, servos at their `goal` (N, n) rad.

        Args:
            noise: False leaves out what is drawn anew at every reading, so that the constant errors show.
        """
        r, spec, values = randomization, self.spec, self.values
        level = robots.level[:, None]

        def noisy(value: Array, deviation: float) -> Array:
            if not (deviation and noise):
                return value
            return value + level * rng.normal(0.0, deviation, value.shape)

        position = self.joint_position + robots.encoder_offset
        if r.backlash_rad[1] > 0.0:
            position = position + robots.play(goal, self.joint_position)
        position = noisy(position, r.joint_position_noise_rad)
        velocity = noisy(values[:, self._at_velocity], r.joint_velocity_noise_rad_s)
        if r.quantise_joints:
            position = np.round(position / self._counts[:, 0]) * self._counts[:, 0]
            velocity = np.round(velocity / self._counts[:, 1]) * self._counts[:, 1]
        joint_time = np.repeat(time[:, None], spec.num_joints, axis=1)
        lost = robots.joint_lost & self._seen
        position, velocity, joint_time = last_valid(
            ~lost, (position, velocity, joint_time), (self._position, self._velocity, self._time)
        )
        if r.joint_loss_rate:
            self._position, self._velocity, self._time = position.copy(), velocity.copy(), joint_time.copy()
            self._seen |= ~lost
        gyro = noisy(values[:, self._at_gyro] + robots.gyro_bias, r.gyro_noise_rad_s)
        acceleration = noisy(self.acceleration, r.acceleration_noise_m_s2)
        # The model's IMU site is aligned with the torso; the chip sits in its mount.
        mount = quat_to_matrix(robots.imu_mount)
        wander = np.zeros((len(time), 3))
        wander[:, :2] = robots.imu_tilt + robots.imu_drift
        torso = quat_multiply(quat_from_rotvec(wander), quat_multiply(robots.floor, self.quaternion))
        contact = self.switches.update(self.foot_force, robots.switch_factor)
        if r.contact_loss_rate:
            contact = np.where(robots.contact_lost, 0.0, contact)
        yes = np.ones(len(time), dtype=bool)
        return SensorFrame(
            time_s=time,
            joint_position=position,
            joint_velocity=velocity,
            joint_time_s=joint_time,
            joint_valid=~lost,
            imu_quaternion=quat_multiply(robots.yaw_zero, quat_multiply(torso, robots.imu_mount)),
            imu_angular_velocity=rotate_inverse(mount, gyro),
            imu_acceleration=rotate_inverse(mount, acceleration),
            imu_time_s=time - robots.imu_age,
            imu_valid=yes,
            foot_contact=contact,
            foot_time_s=time.copy(),
            foot_valid=yes.copy(),
        )


class FootSwitchRows(Stateful):
    """The robot's foot switches, one set per simulation, each with its own spread of the switching force."""

    state_fields = ("closed",)

    def __init__(self, spec: RobotSpec, num_envs: int) -> None:
        switch = spec.foot_switch
        self._switches = FootSwitches(switch.on_n, switch.off_n, (num_envs, spec.num_feet))

    @property
    def closed(self) -> NDArray[np.bool_]:
        """(N, feet) bool."""
        return self._switches.closed

    @closed.setter
    def closed(self, value: NDArray[np.bool_]) -> None:
        self._switches.closed = value

    def reset(self, force: Array, factor: Array, rows: NDArray[np.int64]) -> None:
        mask = np.zeros(len(force), dtype=bool)
        mask[rows] = True
        self._switches.reset(force / factor, mask)

    def update(self, force: Array, factor: Array) -> Array:
        return self._switches.update(force / factor)
