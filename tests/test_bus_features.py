"""What the policy sees over the bus is what it would see in simulation, but for the rounding of the registers.

Every tick of a walk on the virtual robot is computed twice: from the bytes, and from the very values, unrounded, that
the devices had in hand when they answered. Both go through the same signal path.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from dynamixel_helpers import SPEC, Session

from wildrobot.firmware_bridge.board import driver
from wildrobot.firmware_bridge.bus.protocol import Instruction
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.runtime.control.state_machine import State
from wildrobot.signal_path.features import feature_names
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.sensor_frame import FootSwitches, SensorFrame

COUNT_RAD = SPEC.servos[0].position_rad_per_count
WINDOW_S = 0.005
POSITION_BOUND = COUNT_RAD / 2
"""rad: half a count."""
VELOCITY_BOUND = COUNT_RAD / WINDOW_S + SPEC.servos[0].velocity_rad_s_per_count / 2
"""rad/s: both ends of the servo's window are rounded to a count, and the register to its unit."""
GYRO_BOUND = driver.ANGULAR_VELOCITY_BOUND_RAD_S
TILT_BOUND = 4e-4
"""rad: four components of the quaternion rounded, and the waist angle."""
LEAN = 0.1
"""rad: how far the pelvis leans while it walks."""
RATE_BOUND = 2 * GYRO_BOUND + 8.0 * TILT_BOUND
"""rad/s: the gyro's rounding, and rates up to 8 rad/s turned by a rounded rotation."""
HEIGHT_BOUND = 1e-3
"""m: hip, knee and ankle pitch half a count each over a leg of 0.44 m, and the tilt over the hips' half width."""
SPEED_BOUND = 0.08
"""m/s: leg odometry sees joint velocities rounded by up to 0.32 rad/s over 0.4 m of leg; the estimator averages."""
MOVING = 0.2
"""m/s: below, a direction means little, and at 0.1 m/s it jumps to zero."""
BOUNDS = {
    "joint_position": POSITION_BOUND,
    "joint_velocity": VELOCITY_BOUND,
    # a chord of the unit circle, when both velocities are at least MOVING and SPEED_BOUND apart
    "velocity_direction": 2 * SPEED_BOUND / MOVING,
    # the waist's own rate is taken off what the torso's gyro says: about z, and with the pelvis's lean about x and y
    "angular_velocity/z": RATE_BOUND + VELOCITY_BOUND,
    "angular_velocity": RATE_BOUND + LEAN * VELOCITY_BOUND,
    "pelvis_height": HEIGHT_BOUND,
    "contact": 0.0,
}


class Unrounded:
    """Keeps what the devices had in hand when they answered."""

    def __init__(self, virtual: VirtualRobot) -> None:
        self.joints: list[Any] = [virtual.physics.joint_position.copy()] * 8
        self.forces: list[Any] = [virtual.physics.foot_force.copy()] * 3
        self.samples: dict[int, Any] = {}
        self._counter = 1
        """IMU samples that the board has had: one when it was switched on."""
        self.position, self.velocity = np.zeros(SPEC.num_joints), np.zeros(SPEC.num_joints)
        self.force = np.zeros(SPEC.num_feet)
        self._switches = FootSwitches(SPEC.foot_switch.on_n, SPEC.foot_switch.off_n, (1, SPEC.num_feet))
        self._fresh = True
        step, imu, hear = virtual._step, virtual.board.imu, virtual.board.receive

        def stepped(now_ns: int) -> None:
            step(now_ns)
            self.joints = [*self.joints[1:], virtual.physics.joint_position.copy()]
            self.forces = [*self.forces[1:], virtual.physics.foot_force.copy()]

        def sampled(sample: Any, now_ns: int) -> None:
            imu(sample, now_ns)
            self._counter += 1
            self.samples[self._counter] = sample

        def heard(data: bytes, end_ns: int, packets: Any, ear: Any) -> Any:
            if any(packet.instruction == Instruction.FAST_BULK_READ for packet in packets):
                self.force = np.median(self.forces, axis=0)  # the board takes its sample when a read begins
            return hear(data, end_ns, packets, ear)

        virtual._step, virtual.board.imu = stepped, sampled  # type: ignore[method-assign]
        virtual.board.receive = heard  # type: ignore[method-assign]
        for i, servo in enumerate(virtual.servos):
            servo.read = self._listen(i, servo.read)  # type: ignore[method-assign]

    def _listen(self, i: int, read: Any) -> Any:
        def answered(address: int, size: int, now_ns: int) -> Any:
            self.position[i] = self.joints[-1][i]
            window = round(WINDOW_S / 0.001)
            self.velocity[i] = (self.joints[-1][i] - self.joints[-1 - window][i]) / WINDOW_S
            return read(address, size, now_ns)

        return answered

    def frame(self, rounded: SensorFrame, counter: int) -> SensorFrame:
        """The frame that `rounded` would be without rounding."""
        sample, force = self.samples[counter], self.force[None]
        if self._fresh:
            self._switches.reset(force)
            self._fresh = False
        return dataclasses.replace(
            rounded,
            joint_position=self.position[None].copy(),
            joint_velocity=self.velocity[None].copy(),
            imu_quaternion=sample.quaternion[None],
            imu_angular_velocity=sample.angular_velocity[None],
            imu_acceleration=sample.acceleration[None],
            foot_contact=self._switches.update(force),
        )


@dataclasses.dataclass
class Walk:
    """(ticks, ...) of a walk of 6 s: what came of the bytes minus what came of the unrounded values."""

    features: Any
    velocity: Any
    """(ticks, 3) m/s, heading frame."""
    moving: Any
    """(ticks,) both fast enough for a direction."""
    force: Any
    """(ticks, 4) N, unrounded."""


@pytest.fixture(scope="module")
def walk() -> Walk:
    virtual = VirtualRobot(SPEC, seed=3)
    known = Unrounded(virtual)
    session = Session(duration_s=60.0, virtual=virtual)
    session.until(State.WALKING)
    paths = [SignalPath(SPEC, session.controller.skills[0].path.layout) for _ in range(2)]
    features, velocity, moving, force = [], [], [], []
    for tick in range(300):
        session.tick()
        counter = session.robot._freshness._counter
        assert counter is not None
        frames = session.robot._frame, known.frame(session.robot._frame, counter)
        if tick == 0:
            for path, frame in zip(paths, frames, strict=True):
                path.reset(frame)
        signals = [path.observe(frame, [[0.3, 0.0]]) for path, frame in zip(paths, frames, strict=True)]
        one, two = (signal.estimate.linear_velocity[0] for signal in signals)
        features.append(signals[0].features[0] - signals[1].features[0])
        velocity.append(one - two)
        moving.append(min(np.linalg.norm(one), np.linalg.norm(two)) > MOVING)
        force.append(known.force)
    assert session.state is State.WALKING
    return Walk(*(np.array(part) for part in (features, velocity, moving, force)))


@pytest.mark.parametrize("index", range(29), ids=feature_names(SPEC))
def test_a_feature_differs_by_the_rounding_of_the_registers_only(walk: Walk, index: int) -> None:
    name = feature_names(SPEC)[index]
    bound = next(bound for key, bound in BOUNDS.items() if name.startswith(key))
    difference = np.abs(walk.features[:, index])
    if name.startswith("velocity_direction"):
        difference = difference[walk.moving]
    if name.startswith("contact"):
        # a force within half a register's unit of a switching point may fall on either side of it
        force, switch = walk.force[:, index - 25], SPEC.foot_switch
        near = np.minimum(np.abs(force - switch.on_n), np.abs(force - switch.off_n)) <= driver.FORCE_BOUND_N
        difference = np.where(near, 0.0, difference)
        assert np.count_nonzero(near) < 10
    assert len(difference) > 100
    assert np.max(difference) <= bound


def test_the_estimated_velocity_differs_by_the_rounding_of_the_registers_only(walk: Walk) -> None:
    assert np.max(np.linalg.norm(walk.velocity, axis=-1)) <= SPEED_BOUND


def test_the_rounding_is_there(walk: Walk) -> None:
    assert np.max(np.abs(walk.features[:, : SPEC.num_joints])) > 0.9 * POSITION_BOUND
