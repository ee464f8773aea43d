"""The same physical situation through every way that sensor frames come into being: the same, right answer.

One robot is put into a state and, where time must pass, driven with joint targets; each adapter delivers
the frames.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from kinematics_helpers import foot_jacobians

from wildrobot.core.rotations import (
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
    rotate_heading,
)
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.spec import DEFAULT_ROBOT
from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.runtime.telemetry.lcm_types import robot_state_t
from wildrobot.runtime.telemetry.messages import Stamp, frame_from_message, frame_to_message
from wildrobot.signal_path.estimator import Estimate, StateEstimator
from wildrobot.signal_path.features import compute_features, feature_names
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.randomization.config import NOMINAL
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference.dataset import ARRAYS, FORMAT, SENSOR_FIELDS, ReferenceDataset
from wildrobot.training.reference.parity import stored_frames
from wildrobot.training.reference.plan.gait import GaitLibraryConfig, RoutePlanner, steady_gait

YAWS = [0.0, 0.5 * np.pi, np.pi]
Frames = list[SensorFrame]
Adapter = Callable[[RobotSpec, Any, Any, Any, Path], Frames]


def from_batch(spec: RobotSpec, qpos: Any, qvel: Any, targets: Any, folder: Path) -> Frames:
    """Row 1 of three simulations; the others stand."""
    sim = Simulation(spec, 3, threads=1)
    sim.reset(np.array([1]), qpos, qvel)
    frames = [sim.frame().row(1)]
    for target in targets:
        sim.step(np.stack([spec.default_joint_pos, target, spec.default_joint_pos]))
        frames.append(sim.frame().row(1))
    return frames


def from_sim_robot(spec: RobotSpec, qpos: Any, qvel: Any, targets: Any, folder: Path) -> Frames:
    """The robot that `wildrobot-run --robot sim` reads and writes: a batch of one."""
    robot: Any = open_robot("sim", spec, RobotOptions())
    robot.set_stiffness(1.0)
    robot.simulation.reset(None, qpos, qvel)
    frames = [robot.read()]
    for target in targets:
        robot.write(target[None])
        frames.append(robot.read())
    return frames


def from_log(spec: RobotSpec, qpos: Any, qvel: Any, targets: Any, folder: Path) -> Frames:
    """Frames sent as LCM messages, written to a log and read back."""
    frames = from_sim_robot(spec, qpos, qvel, targets, folder)
    writer = LogWriter(folder / "run.lcmlog")
    for tick, frame in enumerate(frames):
        message = frame_to_message(frame, "walking", Stamp("alice", 1, tick * 20_000, tick))
        writer.write([Event(tick * 20_000, "robot_state", message.encode())])
    writer.close()
    return [frame_from_message(robot_state_t.decode(e.data)) for e in read_log(folder / "run.lcmlog")]


def from_reference_file(spec: RobotSpec, qpos: Any, qvel: Any, targets: Any, folder: Path) -> Frames:
    """Frames stored in a reference file, in single precision, and rebuilt from it."""
    frames = from_batch(spec, qpos, qvel, targets, folder)
    count = len(frames)
    widths = {"features": (len(feature_names(spec)),), "command": (2,)}
    arrays = {name: np.zeros((count, *widths.get(name, ())), dtype=np.float32) for name in ARRAYS}
    for name in SENSOR_FIELDS:
        arrays[name] = np.stack([getattr(frame, name) for frame in frames]).astype(np.float32)
    meta = {"format": FORMAT, "robot": spec.name, "feature_names": list(feature_names(spec)), "clips": []}
    ReferenceDataset(arrays, np.array([0, count]), json.loads(json.dumps(meta))).save(
        folder / "reference.npz"
    )
    return list(stored_frames(spec, ReferenceDataset.load(folder / "reference.npz", spec), 0))


ADAPTERS: dict[str, Adapter] = {
    "batch": from_batch,
    "sim robot": from_sim_robot,
    "log": from_log,
    "reference file": from_reference_file,
}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Frames]:
    play = ADAPTERS[request.param]

    def adapted(spec: RobotSpec, qpos: Any, qvel: Any, targets: Any = ()) -> Frames:
        return play(spec, qpos[None], qvel[None], targets, tmp_path)

    return adapted


def estimates(spec: RobotSpec, frames: Frames) -> tuple[list[Estimate], Any]:
    """The estimate of every tick, and features (T, F), without batch dimensions."""
    estimator, result, features = StateEstimator(spec), [], []
    for frame in frames:
        estimate = estimator.update(frame)
        features.append(np.reshape(compute_features(frame, estimate), -1))
        values = {f.name: getattr(estimate, f.name) for f in dataclasses.fields(estimate)}
        if np.ndim(frame.time_s):
            values = {name: value[0] for name, value in values.items()}
        result.append(Estimate(**values))
    return result, np.array(features)


def home(spec: RobotSpec) -> tuple[Any, Any, Any, Any]:
    """qpos, qvel of the standing robot, and where its joints are in both."""
    sim = Simulation(spec, 1, threads=1)
    qpos, qvel = sim.home(1)
    return qpos[0], qvel[0], sim.joint_qpos, sim.joint_qvel


def column(spec: RobotSpec, prefix: str) -> Any:
    return [i for i, name in enumerate(feature_names(spec)) if name.startswith(prefix)]


# ---------------------------------------------------------------------- forward is +x, wherever north is


def gliding(spec: RobotSpec, yaw: float, speed: float = 0.3) -> tuple[Any, Any]:
    """The pelvis moves forward at `speed` over planted feet: the leg joints turn so that the soles rest."""
    qpos, qvel, _, dofs = home(spec)
    qpos[3:7] = quat_from_yaw(np.asarray(yaw))
    velocity = np.array([speed, 0.0, 0.0])
    qvel[:3] = rotate_heading(np.asarray(yaw), velocity)
    jacobian = foot_jacobians(spec.kinematics, spec.default_joint_pos).reshape(12, -1)
    rates, *_ = np.linalg.lstsq(jacobian, np.tile(-velocity, 4), rcond=None)
    np.testing.assert_allclose(jacobian @ rates, np.tile(-velocity, 4), atol=1e-3)
    qvel[dofs] = rates
    return qpos, qvel


@pytest.mark.parametrize("yaw", YAWS)
def test_gliding_forward_over_planted_feet_is_plus_x(spec: RobotSpec, adapter: Any, yaw: float) -> None:
    estimate, features = estimates(spec, adapter(spec, *gliding(spec, yaw)))
    np.testing.assert_allclose(estimate[0].linear_velocity, [0.3, 0.0, 0.0], atol=0.01)
    np.testing.assert_allclose(features[0, column(spec, "velocity_direction")], [1.0, 0.0, 0.0], atol=0.03)


def test_gliding_backward_is_minus_x(spec: RobotSpec, adapter: Any) -> None:
    estimate, _ = estimates(spec, adapter(spec, *gliding(spec, 1.0, speed=-0.3)))
    np.testing.assert_allclose(estimate[0].linear_velocity, [-0.3, 0.0, 0.0], atol=0.01)


@pytest.fixture(scope="module")
def gait(spec: RobotSpec) -> Any:
    """One stride at 0.3 m/s as it is planned."""
    return steady_gait(RoutePlanner(spec, GaitLibraryConfig()), 0.3, 18, 0.03)


def walking(spec: RobotSpec, gait: Any, yaw: float, ticks: int = 25) -> tuple[Any, Any, Any]:
    """State at the gait's first frame, walking towards `yaw`, and the planned poses as targets."""
    qpos, qvel, joints, dofs = home(spec)
    turn = quat_from_yaw(np.asarray(yaw))
    qpos[:3] = rotate_heading(np.asarray(yaw), gait.root_position[0])
    qpos[3:7] = quat_multiply(turn, gait.root_quaternion[0])
    qvel[:3] = rotate_heading(np.asarray(yaw), gait.root_linear_velocity[0])
    qvel[3:6] = gait.root_angular_velocity[0] @ quat_to_matrix(gait.root_quaternion[0])
    qpos[joints], qvel[dofs] = gait.joint_position[0], gait.joint_velocity[0]
    return qpos, qvel, gait.joint_position[1 : ticks + 1]


@pytest.mark.parametrize("yaw", YAWS)
def test_walking_forward_is_plus_x(spec: RobotSpec, adapter: Any, gait: Any, yaw: float) -> None:
    estimate, features = estimates(spec, adapter(spec, *walking(spec, gait, yaw)))
    velocity = np.mean([e.linear_velocity for e in estimate], axis=0)
    assert velocity[0] > 0.15
    assert abs(velocity[1]) < 0.1
    assert features[:, column(spec, "velocity_direction")[0]].mean() > 0.7


@pytest.mark.parametrize("yaw", YAWS[1:])
def test_the_features_of_a_walk_do_not_know_where_north_is(
    spec: RobotSpec, adapter: Any, gait: Any, yaw: float
) -> None:
    _, north = estimates(spec, adapter(spec, *walking(spec, gait, 0.0)))
    _, turned = estimates(spec, adapter(spec, *walking(spec, gait, yaw)))
    np.testing.assert_allclose(turned, north, atol=2e-5)


# ---------------------------------------------------------------------- which way is down


def in_the_air(
    spec: RobotSpec, rotation: Any, waist: float = 0.0, waist_rate: float = 0.0
) -> tuple[Any, Any]:
    """Pelvis turned by the quaternion `rotation`, a metre up."""
    qpos, qvel, joints, dofs = home(spec)
    qpos[2], qpos[3:7] = 1.5, rotation
    waist_joint = spec.waist_joints[0]
    qpos[joints[waist_joint]], qvel[dofs[waist_joint]] = waist, waist_rate
    return qpos, qvel


@pytest.mark.parametrize("yaw", YAWS)
def test_pitching_the_nose_down_puts_gravity_forward(spec: RobotSpec, adapter: Any, yaw: float) -> None:
    angle = np.radians(20.0)
    rotation = quat_multiply(quat_from_yaw(np.asarray(yaw)), quat_from_rotvec(np.array([0.0, angle, 0.0])))
    estimate, _ = estimates(spec, adapter(spec, *in_the_air(spec, rotation)))
    expected = [np.sin(angle), 0.0, -np.cos(angle)]
    np.testing.assert_allclose(estimate[0].projected_gravity, expected, atol=1e-6)


def test_leaning_to_the_right_puts_gravity_to_the_right(spec: RobotSpec, adapter: Any) -> None:
    angle = np.radians(20.0)
    estimate, _ = estimates(
        spec, adapter(spec, *in_the_air(spec, quat_from_rotvec(np.array([angle, 0.0, 0.0]))))
    )
    expected = [0.0, -np.sin(angle), -np.cos(angle)]
    np.testing.assert_allclose(estimate[0].projected_gravity, expected, atol=1e-6)


# ---------------------------------------------------------------------- the pelvis below a twisted waist


@pytest.mark.parametrize(("waist", "waist_rate"), [(0.0, 0.0), (0.4, 0.0), (-0.5, 2.0)])
def test_pelvis_quantities_do_not_follow_the_waist(
    spec: RobotSpec, adapter: Any, waist: float, waist_rate: float
) -> None:
    angle, yaw = np.radians(20.0), 0.7
    rotation = quat_multiply(quat_from_yaw(np.asarray(yaw)), quat_from_rotvec(np.array([0.0, angle, 0.0])))
    qpos, qvel = in_the_air(spec, rotation, waist, waist_rate)
    qvel[3:6] = spin = np.array([0.3, -0.2, 0.5])
    (estimate,), features = estimates(spec, adapter(spec, qpos, qvel))
    tilt = quat_to_matrix(quat_from_rotvec(np.array([0.0, angle, 0.0])))
    np.testing.assert_allclose(estimate.projected_gravity, [np.sin(angle), 0.0, -np.cos(angle)], atol=1e-6)
    np.testing.assert_allclose(estimate.pelvis_rotation, tilt, atol=1e-6)
    np.testing.assert_allclose(estimate.angular_velocity, tilt @ spin, atol=1e-5)
    np.testing.assert_allclose(features[0, column(spec, "angular_velocity")], tilt @ spin, atol=1e-5)


def test_twisting_the_waist_does_not_turn_the_heading(spec: RobotSpec, adapter: Any) -> None:
    straight, twisted = (
        adapter(spec, *in_the_air(spec, quat_from_yaw(np.asarray(0.7)), waist)) for waist in (0.0, 0.4)
    )
    (a,), (b,) = estimates(spec, straight)[0], estimates(spec, twisted)[0]
    assert b.yaw == pytest.approx(float(a.yaw), abs=1e-6)


def test_the_way_the_imu_is_mounted_does_not_change_the_pelvis(
    spec: RobotSpec, adapter: Any, tmp_path: Path
) -> None:
    data = yaml.safe_load(DEFAULT_ROBOT.read_text())
    data["mjcf"] = str(DEFAULT_ROBOT.parent / data["mjcf"])
    data["imu_mount"] = [float(v) for v in quat_from_rotvec(np.array([1.2, -0.7, 2.0]))]
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(data))
    other = load_robot(tmp_path / "robot.yaml")
    qpos, qvel = gliding(spec, 0.4)
    qpos[3:7] = quat_multiply(qpos[3:7], quat_from_rotvec(np.array([0.0, 0.05, 0.0])))
    plain, mounted = adapter(spec, qpos, qvel), adapter(other, qpos, qvel)
    assert np.abs(plain[0].imu_acceleration - mounted[0].imu_acceleration).max() > 1.0
    (a,), (b,) = estimates(spec, plain)[0], estimates(other, mounted)[0]
    for name in ("projected_gravity", "angular_velocity", "linear_velocity", "pelvis_rotation", "height"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), atol=1e-5, err_msg=name)


# ---------------------------------------------------------------------- contacts


def on_one_switch(spec: RobotSpec, switch: int) -> tuple[Any, Any]:
    """Only the sole point of one switch touches: that leg is longer, and the robot tipped to toe or heel."""
    qpos, qvel, joints, _ = home(spec)
    q = spec.default_joint_pos.copy()
    other = "right" if spec.foot_names[switch].startswith("left") else "left"
    for part, bend in (("hip_pitch", -0.3), ("knee_pitch", 0.6), ("ankle_pitch", -0.3)):
        q[spec.joint_names.index(f"{other}_{part}")] += bend
    tip = 0.12 if spec.foot_names[switch].endswith("toe") else -0.12
    qpos[3:7] = quat_from_rotvec(np.array([0.0, tip, 0.0]))
    points = spec.kinematics.foot_points(q) @ quat_to_matrix(qpos[3:7]).T
    assert np.argmin(points[:, 2]) == switch
    qpos[2], qpos[joints] = -points[switch, 2] - 1e-3, q
    return qpos, qvel


@pytest.mark.parametrize("name", ["left_toe", "left_heel", "right_toe", "right_heel"])
def test_standing_on_one_sole_point_is_one_contact_in_its_slot(
    spec: RobotSpec, adapter: Any, name: str
) -> None:
    frames = adapter(spec, *on_one_switch(spec, spec.foot_names.index(name)))
    (estimate,), features = estimates(spec, frames)
    expected = [float(foot == name) for foot in ("left_toe", "left_heel", "right_toe", "right_heel")]
    assert np.reshape(frames[0].foot_contact, -1).tolist() == expected
    assert np.asarray(estimate.contacts).tolist() == expected
    assert features[0, column(spec, "contact/")].tolist() == expected


def test_standing_is_four_contacts_and_flying_none(spec: RobotSpec, adapter: Any) -> None:
    qpos, qvel, _, _ = home(spec)
    qpos[2] -= 1e-3
    assert np.sum(adapter(spec, qpos, qvel)[0].foot_contact) == 4
    qpos[2] += 0.1
    assert np.sum(adapter(spec, qpos, qvel)[0].foot_contact) == 0


def test_the_height_is_that_of_the_pelvis_over_the_soles(spec: RobotSpec, adapter: Any) -> None:
    qpos, qvel, _, _ = home(spec)
    _, features = estimates(spec, adapter(spec, qpos, qvel, [spec.default_joint_pos] * 10))
    np.testing.assert_allclose(features[:, column(spec, "pelvis_height")], spec.standing_height, atol=0.003)


# ---------------------------------------------------------------------- conventions of the raw frame


def test_quaternions_are_wxyz_and_map_imu_to_world(spec: RobotSpec) -> None:
    sim = Simulation(spec, 1, randomization=dataclasses.replace(NOMINAL, random_yaw_zero=False), threads=1)
    for axis, expected in ((2, [0.8, 0.0, 0.0, 0.6]), (1, [0.8, 0.0, 0.6, 0.0]), (0, [0.8, 0.6, 0.0, 0.0])):
        qpos, qvel = in_the_air(spec, quat_from_rotvec(2.0 * np.arccos(0.8) * np.eye(3)[axis]))
        sim.reset(None, qpos[None], qvel[None])
        np.testing.assert_allclose(sim.frame().imu_quaternion[0], expected, atol=1e-9)


def test_an_imu_at_rest_measures_gravity_upward(spec: RobotSpec, adapter: Any) -> None:
    qpos, qvel, _, _ = home(spec)
    frames = adapter(spec, qpos, qvel, [spec.default_joint_pos] * 50)
    np.testing.assert_allclose(np.reshape(frames[-1].imu_acceleration, 3), [0.0, 0.0, 9.81], atol=0.4)
    np.testing.assert_allclose(np.reshape(frames[-1].imu_angular_velocity, 3), 0.0, atol=0.05)


def test_a_frame_s_samples_are_of_one_instant(spec: RobotSpec, adapter: Any) -> None:
    qpos, qvel, _, _ = home(spec)
    frames = adapter(spec, qpos, qvel, [spec.default_joint_pos] * 3)
    times = np.array([float(np.reshape(frame.time_s, ())) for frame in frames])
    np.testing.assert_allclose(np.diff(times), spec.control_dt, atol=1e-9)
    for frame, time in zip(frames, times, strict=True):
        for name in ("joint_time_s", "imu_time_s", "foot_time_s"):
            np.testing.assert_array_equal(getattr(frame, name), time)
