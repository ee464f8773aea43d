"""The whole virtual robot: servos and sensor board on a wire, the body in MuJoCo, faults on a schedule.

Time is the caller's: bytes go in at a time, `advance` lets time pass, bytes come out with their times. The same calls
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from wildrobot.core.rotations import quat_from_rotvec, quat_multiply
from wildrobot.firmware_bridge.virtual.board_station import Core, ImuSample
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.faults.schedule import FaultSchedule
from wildrobot.firmware_bridge.virtual.parts import SUPPLY_OHM, SUPPLY_V, Hidden, RobotParts
from wildrobot.robot_description import RobotSpec

if TYPE_CHECKING:
    from wildrobot.firmware_bridge.virtual.physics import Start, VirtualTruth

STEP_NS = 1_000_000
"""Period of the physics, of the servos' control and of the board's foot inputs."""
IMU_PERIOD_NS = 2_500_000
"""The BNO085's fastest reports: 400 Hz."""
IMU_NOISE_RAD = 3e-4
IMU_NOISE_RAD_S = 0.005
IMU_NOISE_M_S2 = 0.05
"""Standard deviations of the chip's orientation, rate and acceleration (assumed, after the BNO085's data sheet)."""


class VirtualRobot(RobotParts):
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
        start = start or ("limp" if suspended else "stand")
        super().__init__(
            spec,
            seed,
            suspended,
            start,
            hidden or Hidden(),
            latency_timer_ms,
            yaw_zero_rad,
            velocity_window_ms,
            core,
        )
        self._on_stand = start == "stand" and not suspended
        self.now_ns = 0
        self._step_ns = STEP_NS
        self._imu_ns = 0
        self._last_imu: ImuSample | None = None
        self._imu_noise, self._rng = imu_noise, np.random.default_rng(seed)
        self._duty = np.zeros(spec.num_joints)
        self.faults = FaultSchedule(self, faults)
        self._read_sensors(0)
        self.faults.update(0)

    # ------------------------------------------------------------------ the bus

    @property
    def connected(self) -> bool:
        """The host's cable is in."""
        return self.wire.connected

    def set_baud(self, baud: int | None) -> None:
        """Rate at which the host sends and hears; None: one that no device has; 0: it has hung up."""
        self.wire.host_baud = baud or None

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
