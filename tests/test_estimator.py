"""The estimator against exact kinematic motions: every frame here is computed from a known pelvis motion."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kinematics_helpers import foot_jacobians, foot_points_and_velocities, torso_point, torso_rotation

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.rotations import (
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
)
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.kinematics import Kinematics, PointMotion
from wildrobot.robot_description.mjcf import Body, BodyTree, Joint, Site
from wildrobot.signal_path.estimator import Estimate, StateEstimator
from wildrobot.signal_path.features import compute_features, feature_names
from wildrobot.signal_path.sensor_frame import SensorFrame

Array = Any
Pose = tuple[Array, Array, Array]
"""Joint positions (n,), pelvis position (3,) and rotation world <- pelvis (3, 3)."""
Motion = Callable[[float], Pose]
_STEP = 1e-4
PITCH = ("hip", "knee", "ankle")
UP = np.array([0.0, 0.0, GRAVITY_M_S2])
_OBLIQUE = quat_from_rotvec(np.array([0.2, -0.5, 0.9]))


@pytest.fixture(scope="module")
def spec() -> RobotSpec:
    return load_robot()


def matrix_to_quat(r: Array) -> Array:
    """Unit quaternion wxyz of a rotation matrix: the largest eigenvector (Bar-Itzhack 2000)."""
    k = np.empty((4, 4))
    k[1:, 1:] = r + r.T - np.trace(r) * np.eye(3)
    k[0, 0] = np.trace(r)
    k[0, 1:] = k[1:, 0] = [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]
    return np.linalg.eigh(k)[1][:, -1]


def with_mount(spec: RobotSpec, mount: Array) -> RobotSpec:
    turned = copy.copy(spec)
    turned.imu_mount = mount
    return turned


def motion_frame(spec: RobotSpec, pose: Motion, time: float, contact: Array) -> tuple[SensorFrame, Array]:
    """What the sensors read at `time` of a motion, by central differences; and the pelvis velocity, world."""
    h = _STEP
    poses = [pose(time - h), pose(time), pose(time + h)]
    mount = quat_to_matrix(np.asarray(spec.imu_mount))
    turns = [rotation @ torso_rotation(spec.kinematics, q) @ mount for q, _, rotation in poses]
    points = [
        position + rotation @ torso_point(spec.kinematics, q, spec.imu_position)
        for q, position, rotation in poses
    ]
    (before, (q, _, _), after), turn = poses, turns[1]
    acceleration = (points[2] - 2.0 * points[1] + points[0]) / h**2
    spin = turn.T @ (turns[2] - turns[0]) / (2.0 * h)
    gyro = np.array([spin[2, 1], spin[0, 2], spin[1, 0]])
    force = turn.T @ (acceleration + UP)
    now, yes = np.array(time), np.array(True)
    frame = SensorFrame(
        time_s=now,
        joint_position=q,
        joint_velocity=(after[0] - before[0]) / (2.0 * h),
        joint_time_s=np.full(q.shape, time),
        joint_valid=np.ones(q.shape, dtype=bool),
        imu_quaternion=matrix_to_quat(turn),
        imu_angular_velocity=gyro,
        imu_acceleration=force,
        imu_time_s=now,
        imu_valid=yes,
        foot_contact=np.asarray(contact, dtype=np.float64),
        foot_time_s=now,
        foot_valid=yes,
    )
    return frame, (after[1] - before[1]) / (2.0 * h)


def stance_motion(spec: RobotSpec, yaw: float = 0.0, waist: float = 0.0, amplitude: float = 1.0) -> Motion:
    """The left sole lies fixed on the floor while every joint moves: the pelvis translates and turns."""

    def pose(t: float) -> Pose:
        speed = amplitude * np.sin(2.0 * np.pi * t * np.linspace(0.5, 1.3, spec.num_joints))
        q = spec.default_joint_pos + 0.25 * speed
        q[spec.waist_joints[0]] += waist
        foot, turn = spec.kinematics.sole_frames(q)
        world = quat_to_matrix(quat_from_yaw(np.array(yaw)))
        rotation = world @ turn[0].T
        return q, np.array([0.3, -0.2, 0.0]) - rotation @ foot[0], rotation

    return pose


def stepping_forward(
    spec: RobotSpec, yaw: float, speed: float, slip: float = 0.0, slip_from: float = 0.0
) -> Motion:
    """Both soles stay put under an upright pelvis that moves along x; the right one may slide, later."""
    home = spec.default_joint_pos
    legs = [
        [spec.joint_names.index(f"{side}_{joint}_pitch") for joint in PITCH] for side in ("left", "right")
    ]

    def soles(q: Array) -> Array:
        """x, z and pitch (..., 2, 3) of both soles, pelvis frame."""
        sole, turn = spec.kinematics.sole_frames(q)
        return np.stack([sole[..., 0], sole[..., 2], np.arctan2(turn[..., 0, 2], turn[..., 2, 2])], axis=-1)

    def pose(t: float) -> Pose:
        q = home.copy()
        slid = slip * max(t - slip_from, 0.0)
        targets = soles(home) + np.array([[-speed * t, 0.0, 0.0], [slid - speed * t, 0.0, 0.0]])
        for _ in range(5):  # Newton's method
            for foot, columns in enumerate(legs):
                moved = np.tile(q, (4, 1))
                moved[[0, 1, 2], columns] += 1e-6
                reached = soles(moved)[:, foot]
                jacobian = (reached[:3] - reached[3]).T / 1e-6
                q[columns] += np.linalg.solve(jacobian, targets[foot] - reached[3])
        world = quat_to_matrix(quat_from_yaw(np.array(yaw)))
        return q, world @ np.array([speed * t, 0.0, spec.standing_height]), world

    return pose


def run(spec: RobotSpec, pose: Motion, contact: Array, ticks: int = 12) -> tuple[Estimate, Array]:
    """Estimate and true pelvis velocity (world) at the end of a motion."""
    estimator = StateEstimator(spec)
    for k in range(ticks):
        frame, velocity = motion_frame(spec, pose, k * spec.control_dt, contact)
        if k == 0:
            estimator.reset(frame)
        estimate = estimator.update(frame)
    return estimate, velocity


def heading_vector(yaw: Array, vector: Array) -> Array:
    return quat_to_matrix(quat_from_yaw(np.asarray(yaw))).T @ vector


def random_frames(spec: RobotSpec, rows: int, ticks: int) -> list[SensorFrame]:
    """Arbitrary, but plausible readings: rows of different motions with contacts that come and go."""
    rng = np.random.default_rng(7)
    frames = []
    for k in range(ticks):
        q = spec.default_joint_pos + 0.2 * rng.normal(size=(rows, spec.num_joints))
        quat = quat_from_rotvec(0.3 * rng.normal(size=(rows, 3)))
        time, yes = np.full(rows, k * spec.control_dt), np.ones(rows, dtype=bool)
        frames.append(
            SensorFrame(
                time_s=time,
                joint_position=q,
                joint_velocity=rng.normal(size=q.shape),
                joint_time_s=np.repeat(time[:, None], spec.num_joints, axis=1),
                joint_valid=rng.uniform(size=q.shape) > 0.01,
                imu_quaternion=quat,
                imu_angular_velocity=rng.normal(size=(rows, 3)),
                imu_acceleration=rng.normal(size=(rows, 3)) + UP,
                imu_time_s=time,
                imu_valid=rng.uniform(size=rows) > 0.1,
                foot_contact=(rng.uniform(size=(rows, 4)) > 0.5).astype(np.float64),
                foot_time_s=time,
                foot_valid=yes,
            )
        )
    return frames


def assert_same(a: Estimate, b: Estimate, tolerance: float) -> None:
    for field in dataclasses.fields(Estimate):
        one, other = (np.asarray(getattr(e, field.name)) for e in (a, b))
        np.testing.assert_allclose(one, other, rtol=0.0, atol=tolerance, err_msg=field.name)


def test_standing_still_is_zero_velocity_at_the_standing_height(spec: RobotSpec) -> None:
    estimate, _ = run(spec, stepping_forward(spec, 0.0, 0.0), np.ones(4))
    np.testing.assert_allclose(estimate.linear_velocity, 0.0, atol=1e-6)
    np.testing.assert_allclose(estimate.angular_velocity, 0.0, atol=1e-9)
    np.testing.assert_allclose(estimate.height, spec.standing_height, atol=1e-9)
    np.testing.assert_allclose(estimate.projected_gravity, [0.0, 0.0, -1.0], atol=1e-9)


@pytest.mark.parametrize("mount", [np.array([1.0, 0.0, 0.0, 0.0]), _OBLIQUE], ids=["aligned", "oblique"])
@pytest.mark.parametrize("waist", [0.0, 0.3])
def test_velocity_rate_and_tilt_over_a_fixed_foot(spec: RobotSpec, mount: Array, waist: float) -> None:
    spec = with_mount(spec, mount)
    pose = stance_motion(spec, yaw=0.7, waist=waist)
    estimate, velocity = run(spec, pose, [1.0, 1.0, 0.0, 0.0], ticks=22)
    time = 21 * spec.control_dt
    (_, position, rotation), ahead, back = pose(time), pose(time + _STEP)[2], pose(time - _STEP)[2]
    spin = (ahead - back) / (2.0 * _STEP) @ rotation.T
    rate = np.array([spin[2, 1], spin[0, 2], spin[1, 0]])
    yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
    assert np.linalg.norm(velocity) > 0.5
    assert np.linalg.norm(rate) > 1.0
    np.testing.assert_allclose(estimate.linear_velocity, heading_vector(yaw, velocity), atol=2e-3)
    np.testing.assert_allclose(estimate.angular_velocity, heading_vector(yaw, rate), atol=1e-6)
    np.testing.assert_allclose(estimate.projected_gravity, -rotation[2], atol=1e-9)
    np.testing.assert_allclose(estimate.yaw, yaw, atol=1e-9)
    np.testing.assert_allclose(estimate.height, position[2], atol=2e-3)


@pytest.mark.parametrize("yaw", np.deg2rad([0.0, 90.0, 180.0, -90.0]))
def test_walking_forward_is_plus_x_wherever_north_is(spec: RobotSpec, yaw: float) -> None:
    estimate, velocity = run(spec, stepping_forward(spec, yaw, 0.25), np.ones(4))
    np.testing.assert_allclose(np.linalg.norm(velocity), 0.25, atol=1e-9)
    np.testing.assert_allclose(estimate.linear_velocity, [0.25, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(np.cos(estimate.yaw - yaw), 1.0, atol=1e-9)


@pytest.mark.parametrize("speed", [0.09, 0.11])
def test_velocity_direction_reads_zero_below_a_tenth(spec: RobotSpec, speed: float) -> None:
    pose = stepping_forward(spec, 1.0, speed)
    estimate, _ = run(spec, pose, np.ones(4))
    frame, _ = motion_frame(spec, pose, 0.0, np.ones(4))
    start = feature_names(spec).index("velocity_direction/x")
    direction = compute_features(frame, estimate)[start : start + 3]
    np.testing.assert_allclose(direction, [float(speed > 0.1), 0.0, 0.0], atol=5e-3)


@pytest.mark.parametrize("mount", [np.array([1.0, 0.0, 0.0, 0.0]), _OBLIQUE], ids=["aligned", "oblique"])
def test_twenty_degrees_nose_down(spec: RobotSpec, mount: Array) -> None:
    spec, angle = with_mount(spec, mount), np.deg2rad(20.0)
    q = spec.default_joint_pos.copy()
    q[spec.waist_joints[0]] = 0.4
    nose_down = quat_multiply(quat_from_yaw(np.array(2.1)), quat_from_rotvec(np.array([0.0, angle, 0.0])))

    def pose(t: float) -> Pose:
        return q, np.zeros(3), quat_to_matrix(nose_down)

    estimate, _ = run(spec, pose, np.zeros(4), ticks=1)
    np.testing.assert_allclose(estimate.projected_gravity, [np.sin(angle), 0.0, -np.cos(angle)], atol=1e-12)
    expected = quat_to_matrix(quat_from_rotvec(np.array([0.0, angle, 0.0])))
    np.testing.assert_allclose(estimate.pelvis_rotation, expected, atol=1e-12)


def test_velocity_starts_at_zero_without_contact(spec: RobotSpec) -> None:
    estimate, _ = run(spec, stepping_forward(spec, 0.0, 0.3), np.zeros(4), ticks=1)
    np.testing.assert_allclose(estimate.linear_velocity, 0.0, atol=1e-12)


def test_without_contact_the_accelerometer_carries_velocity_and_height(spec: RobotSpec) -> None:
    """A ballistic hop: legs still, no contact, free fall in the accelerometer."""
    q, estimator = spec.default_joint_pos, StateEstimator(spec)
    ground, v0 = stepping_forward(spec, 0.0, 0.2), np.array([0.2, 0.0, 0.5])
    frame, _ = motion_frame(spec, ground, 0.0, np.ones(4))
    estimator.reset(frame)
    estimator.update(frame)
    start = np.array([0.0, 0.0, spec.standing_height])

    def flight(t: float) -> Pose:
        return q, start + v0 * t + 0.5 * np.array([0.0, 0.0, -GRAVITY_M_S2]) * t**2, np.eye(3)

    frame, _ = motion_frame(spec, flight, 0.0, np.ones(4))
    frame.joint_velocity = frame.joint_velocity * 0.0
    estimator._velocity = v0.copy()
    estimator._acceleration = np.array([0.0, 0.0, -GRAVITY_M_S2])
    for k in range(1, 5):
        frame, velocity = motion_frame(spec, flight, k * spec.control_dt, np.zeros(4))
        estimate = estimator.update(frame)
    np.testing.assert_allclose(estimate.linear_velocity, velocity, atol=1e-4)
    rise = flight(4 * spec.control_dt)[1][2] - spec.standing_height
    # Euler's rule over one tick is off by at most half a tick of gravity's velocity
    np.testing.assert_allclose(
        estimate.height - spec.standing_height, rise, atol=0.5 * GRAVITY_M_S2 * 0.02 * 0.08
    )


def test_a_slipping_foot_is_discounted(spec: RobotSpec) -> None:
    estimator, slip = StateEstimator(spec), 0.4
    walk = stepping_forward(spec, 0.0, 0.2, slip, slip_from=-0.01)
    for k in range(-10, 10):
        frame, _ = motion_frame(spec, walk, k * spec.control_dt, np.ones(4))
        estimate = estimator.update(frame)
    # the mean of both feet would be wrong by half the slip
    assert abs(estimate.linear_velocity[0] - 0.2) < 0.25 * 0.5 * slip


def test_touchdown_is_believed_less_than_settled_stance(spec: RobotSpec) -> None:
    """The right foot slides by 0.1 m/s, having just landed or having stood for long; the left one stands."""
    errors = []
    for long_stance in (False, True):
        estimator = StateEstimator(spec)
        walk = stepping_forward(spec, 0.0, 0.2, 0.1, slip_from=-1.5 * spec.control_dt)
        for k in range(-9, 1):
            landed = long_stance or k == 0
            frame, _ = motion_frame(spec, walk, k * spec.control_dt, [1.0, 1.0, landed, landed])
            estimate = estimator.update(frame)
        errors.append(abs(estimate.linear_velocity[0] - 0.2))
    assert errors[0] < 0.5 * errors[1]


def test_late_joint_velocities_cost_less_than_half_of_what_they_lag(spec: RobotSpec) -> None:
    """The legs speed up; each frame shows the joint velocities of the tick before."""
    estimator, dt, late = StateEstimator(spec), spec.control_dt, None
    constant = stepping_forward(spec, 0.0, 1.0)

    def pose(t: float) -> Pose:
        return constant(t * t)  # 2 m/s^2

    for k in range(9):
        frame, velocity = motion_frame(spec, pose, k * dt, np.ones(4))
        late, frame.joint_velocity = frame.joint_velocity, frame.joint_velocity if late is None else late
        estimate = estimator.update(frame)
    lag = 2.0 * dt
    assert abs(estimate.linear_velocity[0] - velocity[0]) < 0.5 * lag


def test_rows_of_a_batch_equal_single_robots(spec: RobotSpec) -> None:
    frames = random_frames(spec, rows=5, ticks=8)
    together, alone = StateEstimator(spec), [StateEstimator(spec) for _ in range(5)]
    for frame in frames:
        batch = together.update(frame)
        for row, estimator in enumerate(alone):
            single = estimator.update(frame.row(row))
            picked = Estimate(**{f.name: getattr(batch, f.name)[row] for f in dataclasses.fields(Estimate)})
            assert_same(picked, single, 1e-12)


def test_any_leading_dimensions(spec: RobotSpec) -> None:
    flat, square = StateEstimator(spec), StateEstimator(spec)
    for frame in random_frames(spec, rows=6, ticks=4):
        folded = SensorFrame(
            **{
                f.name: getattr(frame, f.name).reshape(2, 3, *getattr(frame, f.name).shape[1:])
                for f in dataclasses.fields(SensorFrame)
            }
        )
        a, b = flat.update(frame), square.update(folded)
        unfolded = Estimate(
            **{
                f.name: getattr(b, f.name).reshape(6, *getattr(b, f.name).shape[2:])
                for f in dataclasses.fields(Estimate)
            }
        )
        assert_same(a, unfolded, 1e-12)


def test_reset_rows_forget_and_the_others_do_not_notice(spec: RobotSpec) -> None:
    frames = random_frames(spec, rows=4, ticks=10)
    mask = np.array([False, True, False, True])
    plain, partly = StateEstimator(spec), StateEstimator(spec)
    fresh: StateEstimator | None = None
    for k, frame in enumerate(frames):
        if k == 5:
            partly.reset(frame, mask)
            fresh = StateEstimator(spec)
        a, b = plain.update(frame), partly.update(frame)
        for field in dataclasses.fields(Estimate):
            one, other = getattr(a, field.name), getattr(b, field.name)
            np.testing.assert_array_equal(one[~mask], other[~mask], err_msg=field.name)
            if fresh is None:
                np.testing.assert_array_equal(one[mask], other[mask], err_msg=field.name)
        if fresh is not None:
            c = fresh.update(frame)
            np.testing.assert_array_equal(b.linear_velocity[mask], c.linear_velocity[mask])
            np.testing.assert_array_equal(b.height[mask], c.height[mask])
            if k == 5:
                assert not np.allclose(a.linear_velocity[mask], b.linear_velocity[mask], atol=1e-3)


def test_a_reset_row_recovers_from_readings_that_were_not_numbers(spec: RobotSpec) -> None:
    frames = random_frames(spec, rows=2, ticks=4)
    estimator, fresh = StateEstimator(spec), StateEstimator(spec)
    frames[1].joint_velocity[1] = np.nan
    frames[1].joint_position[1] = np.nan
    frames[1].imu_quaternion[1] = np.nan
    frames[1].imu_acceleration[1] = np.nan
    for frame in frames[:2]:
        estimator.update(frame)
    estimator.reset(frames[2], np.array([False, True]))
    for frame in frames[2:]:
        recovered, expected = estimator.update(frame), fresh.update(frame)
        assert np.all(np.isfinite(recovered.linear_velocity))
        np.testing.assert_array_equal(recovered.linear_velocity[1], expected.linear_velocity[1])
        np.testing.assert_array_equal(recovered.height[1], expected.height[1])


def test_an_invalid_imu_sample_is_not_integrated(spec: RobotSpec) -> None:
    pose, results = stepping_forward(spec, 0.3, 0.2), []
    for wild in (0.0, 50.0):
        estimator = StateEstimator(spec)
        for k in range(6):
            frame, _ = motion_frame(spec, pose, k * spec.control_dt, np.ones(4))
            if k == 5:
                frame.imu_valid = np.array(False)
                frame.imu_acceleration = frame.imu_acceleration + wild
            estimate = estimator.update(frame)
        results.append(estimate.linear_velocity)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_allclose(results[1], [0.2, 0.0, 0.0], atol=1e-3)


def test_an_invalid_joint_sample_measures_no_velocity(spec: RobotSpec) -> None:
    pose, estimator = stepping_forward(spec, 0.3, 0.2), StateEstimator(spec)
    for k in range(6):
        frame, _ = motion_frame(spec, pose, k * spec.control_dt, np.ones(4))
        if k == 5:
            frame.joint_valid = np.arange(spec.num_joints) != 3
            frame.joint_velocity = np.zeros(spec.num_joints)
        estimate = estimator.update(frame)
    np.testing.assert_allclose(estimate.linear_velocity, [0.2, 0.0, 0.0], atol=1e-3)


def test_torch_gives_the_same(spec: RobotSpec) -> None:
    torch = pytest.importorskip("torch")
    with_numpy, with_torch = StateEstimator(spec), StateEstimator(spec)
    mask = np.array([True, False, False])
    for k, frame in enumerate(random_frames(spec, rows=3, ticks=6)):
        tensors = SensorFrame(
            **{f.name: torch.from_numpy(getattr(frame, f.name)) for f in dataclasses.fields(SensorFrame)}
        )
        if k == 3:
            with_numpy.reset(frame, mask)
            with_torch.reset(tensors, torch.from_numpy(mask))
        assert_same(with_numpy.update(frame), with_torch.update(tensors), 1e-12)


def test_mirrored_readings_give_the_mirrored_estimate(spec: RobotSpec) -> None:
    mirror, vector, axial = spec.mirror, np.array([1.0, -1.0, 1.0]), np.array([-1.0, 1.0, -1.0])
    left, right = StateEstimator(spec), StateEstimator(spec)
    for frame in random_frames(spec, rows=4, ticks=5):
        joints = {
            name: getattr(frame, name)[:, mirror.joint_index] * mirror.joint_sign
            for name in ("joint_position", "joint_velocity")
        }
        seen = dataclasses.replace(
            frame,
            **joints,
            imu_quaternion=frame.imu_quaternion * [1.0, -1.0, 1.0, -1.0],
            imu_angular_velocity=frame.imu_angular_velocity * axial,
            imu_acceleration=frame.imu_acceleration * vector,
            foot_contact=frame.foot_contact[:, mirror.foot_index],
            joint_valid=frame.joint_valid[:, mirror.joint_index],
        )
        a, b = left.update(frame), right.update(seen)
        np.testing.assert_allclose(b.linear_velocity, a.linear_velocity * vector, atol=1e-9)
        np.testing.assert_allclose(b.angular_velocity, a.angular_velocity * axial, atol=1e-9)
        np.testing.assert_allclose(b.height, a.height, atol=1e-9)


def test_a_saved_estimator_goes_on_bit_for_bit(spec: RobotSpec) -> None:
    frames = random_frames(spec, rows=3, ticks=8)
    first, second = StateEstimator(spec), StateEstimator(spec)
    for frame in frames[:4]:
        first.update(frame)
    second.load_state_dict(first.state_dict())
    for frame in frames[4:]:
        assert_same(first.update(frame), second.update(frame), 0.0)


def oblique_tree() -> tuple[BodyTree, tuple[str, ...], list[int], dict[str, Site]]:
    """Two chains of three hinges with turned bodies, arbitrary axes and anchors off the bodies' origins."""
    rng = np.random.default_rng(3)
    zero, unit = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    bodies = [Body("base", -1, zero, unit, None, 1.0)]
    for chain in "ab":
        parent = 0
        for level in range(3):
            axis = rng.normal(size=3)
            joint = Joint(f"{chain}{level}", axis / np.linalg.norm(axis), rng.normal(size=3), (-1.0, 1.0))
            quat = rng.normal(size=4)
            bodies.append(
                Body(joint.name, parent, rng.normal(size=3), quat / np.linalg.norm(quat), joint, 1.0)
            )
            parent = len(bodies) - 1
    tips = [3, 6]
    sites = {
        f"{name}{i}": Site(f"{name}{i}", tip, rng.normal(size=3), unit)
        for tip, name in zip(tips, "ab", strict=True)
        for i in range(2)
    }
    names = tuple(body.name for body in bodies[1:])[::-1]
    return BodyTree(tuple(bodies), sites), names, tips, sites


def test_point_motion_equals_kinematics_on_oblique_chains() -> None:
    tree, names, tips, sites = oblique_tree()
    kinematics = Kinematics(tree, names, tuple(sites), "a2")
    points = np.array([site.pos for site in sites.values()]).reshape(2, 2, 3)
    motion = PointMotion(tree, names, tips, points, np.tile(np.eye(3), (2, 1, 1)))
    rng = np.random.default_rng(0)
    q, qd = rng.normal(size=(50, 6)), rng.normal(size=(50, 6))
    position, velocity = motion(q.T.copy(), qd.T.copy())
    found = np.stack(position)[:, :, :2].reshape(3, 4, 50).transpose(2, 1, 0)
    speed = np.stack(velocity)[:, :, :2].reshape(3, 4, 50).transpose(2, 1, 0)
    np.testing.assert_allclose(found, kinematics.foot_points(q), atol=1e-12)
    jacobian = foot_jacobians(kinematics, q)
    np.testing.assert_allclose(speed, (jacobian @ qd[:, None, :, None])[..., 0], atol=1e-12)
    turned = np.stack(position)[:, 0, 2:].transpose(2, 0, 1)
    np.testing.assert_allclose(turned, torso_rotation(kinematics, q), atol=1e-12)
    step = 1e-6
    moved = np.stack(motion((q + step * qd).T.copy(), qd.T.copy())[0]) - np.stack(position)
    np.testing.assert_allclose(moved / step, np.stack(velocity), atol=1e-4)


def test_point_motion_equals_kinematics_on_the_robot(spec: RobotSpec) -> None:
    sites = [spec.tree.sites[name] for name in spec.foot_names]
    points = np.array([site.pos for site in sites]).reshape(2, 2, 3)
    motion = PointMotion(spec.tree, spec.joint_names, [sites[0].body, sites[2].body], points)
    rng = np.random.default_rng(1)
    q, qd = rng.normal(size=(50, spec.num_joints)), rng.normal(size=(50, spec.num_joints))
    position, velocity = (np.stack(x).reshape(3, 4, 50).transpose(2, 1, 0) for x in motion(q.T, qd.T))
    expected, rate = foot_points_and_velocities(spec.kinematics, q, qd)
    np.testing.assert_allclose(position, expected, atol=1e-12)
    np.testing.assert_allclose(velocity, rate, atol=1e-12)


@pytest.mark.parametrize("yaw", np.deg2rad([0.0, 90.0, 180.0]))
def test_a_push_in_simulation_is_seen_in_the_heading_frame(spec: RobotSpec, yaw: float) -> None:
    simulation_module = pytest.importorskip("wildrobot.simulation.simulation")
    simulation = simulation_module.Simulation(spec, 1, seed=1, threads=1)
    qpos, qvel = simulation.home(1)
    qpos[:, 3:7] = quat_from_yaw(np.array([yaw]))
    simulation.reset(None, qpos, qvel)
    estimator, home = StateEstimator(spec), spec.default_joint_pos[None]
    for _ in range(25):
        estimator.update(simulation.frame())
        simulation.step(home)
    forward = np.array([[np.cos(yaw), np.sin(yaw), 0.0]])
    simulation.push([0], 0.35 * forward)
    peak, errors = 0.0, []
    for _ in range(15):
        simulation.step(home)
        velocity = estimator.update(simulation.frame()).linear_velocity[0]
        truth = simulation.truth().pelvis_linear_velocity[0]
        errors.append(velocity - heading_vector(yaw, truth))
        peak = max(peak, velocity[0])
    assert peak > 0.1
    assert np.sqrt(np.mean(np.square(errors))) < 0.04
