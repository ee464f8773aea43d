"""The estimator's error against the simulator's truth while a policy walks on what it estimates; JSON.

Truth is the state at the end of the control tick, which the policy acts on: the sensors' age counts as error.
`plain` is the usual estimator on the same frames, for comparison: leg odometry of the feet in contact at a
gain of 0.3, the accelerometer in between.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.errors import UserError
from wildrobot.core.rotations import heading_split, quat_to_matrix, rotate, rotate_heading
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.estimator import StateEstimator
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.signal_path.shipped import POLICIES
from wildrobot.simulation.randomization.config import BASIC, NOMINAL, Randomization
from wildrobot.simulation.simulation import Simulation

WARM_UP_S = 1.0
FALLEN_M = 0.3
PUSHES = dataclasses.replace(BASIC, push_interval_s=(1.5, 4.0))


@dataclass(frozen=True)
class Condition:
    """What the robot has to bear beside `randomization`."""

    randomization: Randomization
    contact_loss: float = 0.0
    """Share of ticks at which a closed foot switch reads open, or an open one closed at a tenth of that."""
    imu_loss: float = 0.0
    """Share of ticks without a fresh IMU sample."""
    late_velocity: bool = False
    """Joint velocities are those of the tick before."""


CONDITIONS = {
    "ideal": Condition(NOMINAL),
    "noise_and_delay": Condition(dataclasses.replace(BASIC, push_speed_m_s=0.0)),
    "noise_delay_and_pushes": Condition(PUSHES, contact_loss=0.02),
    "and_imu_loss": Condition(PUSHES, contact_loss=0.02, imu_loss=0.05),
    "and_late_joint_velocity": Condition(PUSHES, contact_loss=0.02, late_velocity=True),
}


class PlainEstimator:
    """Leg odometry averaged over the points in contact, the accelerometer between, at a fixed gain."""

    def __init__(self, spec: RobotSpec, gain: float = 0.3) -> None:
        self.spec, self.gain = spec, gain
        self.velocity: Any = None

    def update(self, frame: SensorFrame) -> Any:
        """Pelvis velocity (N, 3) m/s, heading frame."""
        kinematics, contact = self.spec.kinematics, frame.foot_contact[..., None]
        torso = kinematics.torso_frame(frame.joint_position)[1] @ quat_to_matrix(self.spec.imu_mount)
        world_from_imu = quat_to_matrix(frame.imu_quaternion)
        world = world_from_imu @ np.swapaxes(torso, -1, -2)
        # of one hinge, whose axis its own turn leaves alone
        waist = frame.joint_velocity[:, list(kinematics.torso_joints)] @ kinematics.torso_axes()
        rate = rotate(torso, frame.imu_angular_velocity) - waist
        points, jacobians = kinematics.marks_and_jacobians(
            frame.joint_position, kinematics.foot_marks, kinematics.foot_of_point
        )
        moving = rotate(jacobians, frame.joint_velocity[:, None])
        over_point = -(moving + np.cross(rate[:, None], points))
        count = np.sum(contact, axis=1)
        legs = rotate(world, np.sum(contact * over_point, axis=1) / np.maximum(count, 1.0))
        if self.velocity is None:
            self.velocity = legs
        acceleration = rotate(world_from_imu, frame.imu_acceleration) - [0.0, 0.0, GRAVITY_M_S2]
        self.velocity = self.velocity + self.spec.control_dt * acceleration
        self.velocity = self.velocity + self.gain * (count > 0) * (legs - self.velocity)
        return rotate_heading(heading_split(world)[0], self.velocity, inverse=True)


def disturb(condition: Condition, frame: SensorFrame, last: SensorFrame | None, rng: Any) -> SensorFrame:
    """The frame with what the condition takes from it."""
    contact = frame.foot_contact
    draw = rng.uniform(size=contact.shape)
    flipped = draw < condition.contact_loss * np.where(contact > 0, 1.0, 0.1)
    changes: dict[str, Any] = {"foot_contact": np.where(flipped, 1.0 - contact, contact)}
    if condition.imu_loss:
        changes["imu_valid"] = rng.uniform(size=frame.imu_valid.shape) >= condition.imu_loss
    if condition.late_velocity and last is not None:
        changes["joint_velocity"] = last.joint_velocity
    return dataclasses.replace(frame, **changes)


def measure(
    spec: RobotSpec, policy: OnnxPolicy, condition: Condition, speeds: list[float], rows: int, seconds: float
) -> dict[str, Any]:
    """Errors while `rows` robots walk at `speeds` m/s (in turn); one that fell counts no longer."""
    sim = Simulation(spec, rows, seed=7, randomization=condition.randomization)
    path, plain, rng = SignalPath(spec, policy.layout), PlainEstimator(spec), np.random.default_rng(11)
    command = np.zeros((rows, 2))
    command[:, 0] = np.resize(speeds, rows)
    upright, last = np.ones(rows, dtype=bool), None
    errors, plain_errors, heights, walked = [], [], [], []
    path.reset(sim.frame())
    for tick in range(round(seconds * spec.control_hz)):
        raw = sim.frame()
        signal = path.observe(disturb(condition, raw, last, rng), command)
        last = raw
        truth = sim.truth()
        yaw, _ = heading_split(quat_to_matrix(truth.pelvis_quaternion))
        velocity = rotate_heading(yaw, truth.pelvis_linear_velocity, inverse=True)
        upright &= truth.pelvis_position[:, 2] > FALLEN_M
        simple = plain.update(signal.frame)
        if tick >= WARM_UP_S * spec.control_hz:
            errors.append((signal.estimate.linear_velocity - velocity)[upright])
            plain_errors.append((simple - velocity)[upright])
            heights.append((signal.estimate.height - truth.pelvis_position[:, 2])[upright])
            walked.append(velocity[upright, 0])
        sim.step(path.act(policy(signal.observation)))
    height = np.concatenate(heights)
    return {
        "robots": rows,
        "fell": int(np.sum(~upright)),
        "mean_speed_m_s": float(np.mean(np.concatenate(walked))),
        "velocity_rmse_m_s": rmse(np.concatenate(errors)),
        "plain_velocity_rmse_m_s": rmse(np.concatenate(plain_errors)),
        "height_rmse_m": float(np.sqrt(np.mean(height**2))),
        "height_max_m": float(np.max(np.abs(height))),
    }


def rmse(error: Any) -> dict[str, float]:
    """Root mean square of (k, 3) per axis and of the vector's length."""
    square = np.mean(error**2, axis=0)
    axes = {axis: float(np.sqrt(value)) for axis, value in zip("xyz", square, strict=True)}
    return {**axes, "horizontal": float(np.sqrt(np.sum(square[:2]))), "total": float(np.sqrt(np.sum(square)))}


def update_time_ms(spec: RobotSpec, rows: int) -> float:
    """Median time of one update."""
    frame = Simulation(spec, rows, threads=1).frame()
    frame = frame.row(0) if rows == 1 else frame
    estimator, times = StateEstimator(spec), []
    for _ in range(200):
        began = time.perf_counter()
        estimator.update(frame)
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", type=Path, default=POLICIES / "wildrobot_walk.onnx")
    parser.add_argument("--speeds", type=float, nargs="+", default=[0.3, 0.4])
    parser.add_argument("--robots", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    spec = load_robot()
    policy = OnnxPolicy(arguments.policy, spec)
    size = (arguments.speeds, arguments.robots, arguments.seconds)
    result = {
        "policy": str(arguments.policy),
        "commanded_m_s": arguments.speeds,
        "conditions": {name: measure(spec, policy, c, *size) for name, c in CONDITIONS.items()},
        "update_ms": {str(rows): update_time_ms(spec, rows) for rows in (1, 512)},
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
