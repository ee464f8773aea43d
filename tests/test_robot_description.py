"""The robot read as XML is the robot that MuJoCo simulates, and robot.yaml cannot contradict it unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
import yaml
from kinematics_helpers import (
    foot_jacobians,
    foot_motion,
    foot_motion_jacobians,
    imu_jacobian,
    motion_jacobian,
    torso_point,
    torso_rotation,
)

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.kinematics import Kinematics
from wildrobot.robot_description.mjcf import read_mjcf
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.robot_description.spec import DEFAULT_ROBOT

POSES = 1000


def random_poses(spec: RobotSpec, count: int = POSES) -> Any:
    """Poses (count, n) anywhere between the joint limits."""
    return np.random.default_rng(1).uniform(spec.joint_lower, spec.joint_upper, (count, spec.num_joints))


class MujocoPoses:
    """MuJoCo's answers for the pelvis at the world's origin."""

    def __init__(self, model: Any, joint_names: tuple[str, ...]) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self._qpos = [model.joint(name).qposadr[0] for name in joint_names]
        self._dofs = [model.joint(name).dofadr[0] for name in joint_names]

    def set(self, q: Any) -> None:
        self.data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
        self.data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def point(self, site: str) -> Any:
        return self.data.site(site).xpos.copy()

    def jacobian(self, site: str) -> Any:
        jacobian = np.zeros((3, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jacobian, None, self.model.site(site).id)
        return jacobian[:, self._dofs]

    def rotation(self, body: str) -> Any:
        return self.data.body(body).xmat.reshape(3, 3).copy()


@pytest.fixture(scope="module")
def truth(spec: RobotSpec) -> dict[str, Any]:
    """MuJoCo's positions, Jacobians and rotations at `random_poses`."""
    poses, result = MujocoPoses(compile_model(spec), spec.joint_names), {}
    rows: dict[str, list[Any]] = {
        name: [] for name in ("feet", "feet_j", "imu", "imu_j", "torso", "foot_rotation")
    }
    for q in random_poses(spec):
        poses.set(q)
        rows["feet"].append([poses.point(name) for name in spec.foot_names])
        rows["feet_j"].append([poses.jacobian(name) for name in spec.foot_names])
        rows["imu"].append(poses.point("imu"))
        rows["imu_j"].append(poses.jacobian("imu"))
        rows["torso"].append(poses.rotation("torso"))
        rows["foot_rotation"].append([poses.rotation("left_foot"), poses.rotation("right_foot")])
    for name, values in rows.items():
        result[name] = np.array(values)
    return result


def test_foot_points_equal_mujoco_s(spec: RobotSpec, truth: dict[str, Any]) -> None:
    assert np.abs(spec.kinematics.foot_points(random_poses(spec)) - truth["feet"]).max() < 1e-9


def test_foot_jacobians_equal_mujoco_s(spec: RobotSpec, truth: dict[str, Any]) -> None:
    assert np.abs(foot_jacobians(spec.kinematics, random_poses(spec)) - truth["feet_j"]).max() < 1e-9


def test_imu_point_and_jacobian_equal_mujoco_s(spec: RobotSpec, truth: dict[str, Any]) -> None:
    q = random_poses(spec)
    assert np.abs(torso_point(spec.kinematics, q, spec.imu_position) - truth["imu"]).max() < 1e-9
    assert np.abs(imu_jacobian(spec, q) - truth["imu_j"]).max() < 1e-9


def test_torso_and_foot_rotations_equal_mujoco_s(spec: RobotSpec, truth: dict[str, Any]) -> None:
    q = random_poses(spec)
    assert np.abs(torso_rotation(spec.kinematics, q) - truth["torso"]).max() < 1e-9
    assert np.abs(spec.kinematics.sole_frames(q)[1] - truth["foot_rotation"]).max() < 1e-9


def test_jacobians_are_the_finite_differences_of_the_points(spec: RobotSpec) -> None:
    q, step = random_poses(spec, 50), 1e-6
    kinematics = spec.kinematics
    for joint in range(spec.num_joints):
        move = step * np.eye(spec.num_joints)[joint]
        feet = (kinematics.foot_points(q + move) - kinematics.foot_points(q - move)) / (2 * step)
        imu = (
            torso_point(spec.kinematics, q + move, spec.imu_position)
            - torso_point(spec.kinematics, q - move, spec.imu_position)
        ) / (2 * step)
        np.testing.assert_allclose(foot_jacobians(kinematics, q)[..., joint], feet, atol=1e-8)
        np.testing.assert_allclose(imu_jacobian(spec, q)[..., joint], imu, atol=1e-8)


def test_points_carried_inward_and_their_velocities_equal_mujoco_s(
    spec: RobotSpec, truth: dict[str, Any]
) -> None:
    points, jacobians = foot_motion_jacobians(spec, random_poses(spec))
    assert np.abs(points - truth["feet"]).max() < 1e-9
    assert np.abs(jacobians - truth["feet_j"]).max() < 1e-9


def test_point_velocities_are_the_jacobian_times_the_rates(spec: RobotSpec) -> None:
    q = random_poses(spec, 50)
    rates = np.random.default_rng(2).normal(size=q.shape)
    points, velocities = (np.moveaxis(x.reshape(3, 4, 50), -1, 0) for x in foot_motion(spec)(q.T, rates.T))
    np.testing.assert_allclose(np.swapaxes(points, 1, 2), spec.kinematics.foot_points(q), atol=1e-12)
    expected = (foot_jacobians(spec.kinematics, q) @ rates[:, None, :, None])[..., 0]
    np.testing.assert_allclose(np.swapaxes(velocities, 1, 2), expected, atol=1e-12)


def test_a_torch_batch_gives_what_numpy_gives(spec: RobotSpec) -> None:
    q, motion = random_poses(spec, 20).T.copy(), foot_motion(spec)
    for ours, theirs in zip(
        motion(torch.from_numpy(q), torch.from_numpy(2.0 * q)), motion(q, 2.0 * q), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


def test_any_leading_dimensions_do(spec: RobotSpec) -> None:
    q = random_poses(spec, 6)
    flat = foot_jacobians(spec.kinematics, q)
    again = foot_jacobians(spec.kinematics, q.reshape(2, 3, -1))
    np.testing.assert_array_equal(again, flat.reshape(2, 3, *flat.shape[1:]))
    np.testing.assert_allclose(foot_jacobians(spec.kinematics, q[0]), flat[0], atol=1e-15)


CROOKED = """<mujoco><compiler angle="radian"/><worldbody><body name="base"><freejoint/>
<inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>
<body name="torso" pos="0.1 0.2 0.3" quat="0.8 0.1 -0.5 0.3">
  <inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/><joint name="w" axis="1 2 -1" pos="0.05 -0.02 0.01"/>
  <site name="imu" pos="0.01 0.02 0.03"/></body>
<body name="thigh" pos="-0.1 0 0.2" quat="0.9 -0.3 0.1 0.2">
  <inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/><joint name="h" axis="0 1 0.5" pos="0 0.03 0"/>
  <body name="foot" pos="0 0.1 -0.3" quat="0.6 0.2 0.7 -0.1">
    <inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/><joint name="k" axis="-1 0.2 0" pos="0.02 0 -0.04"/>
    <site name="toe" pos="0.1 0.02 -0.05"/></body></body>
</body></worldbody></mujoco>"""


def test_turned_bodies_and_hinges_beside_the_origin_are_read_as_mujoco_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "crooked.xml"
    path.write_text(CROOKED)
    names = ("w", "h", "k")
    tree = read_mjcf(path)
    kinematics, imu, toe = Kinematics(tree, names, ("toe",), "torso"), tree.sites["imu"], tree.sites["toe"]
    poses = MujocoPoses(mujoco.MjModel.from_xml_path(str(path)), names)
    for q in np.random.default_rng(3).uniform(-3, 3, (50, 3)):
        poses.set(q)
        np.testing.assert_allclose(kinematics.foot_points(q)[0], poses.point("toe"), atol=1e-9)
        np.testing.assert_allclose(foot_jacobians(kinematics, q)[0], poses.jacobian("toe"), atol=1e-9)
        np.testing.assert_allclose(torso_point(kinematics, q, imu.pos), poses.point("imu"), atol=1e-9)
        np.testing.assert_allclose(torso_rotation(kinematics, q), poses.rotation("torso"), atol=1e-9)
        for site, name in ((imu, "imu"), (toe, "toe")):
            points, jacobians = motion_jacobian(tree, names, [site.body], [[site.pos]], q)
            np.testing.assert_allclose(points[0], poses.point(name), atol=1e-9)
            np.testing.assert_allclose(jacobians[0], poses.jacobian(name), atol=1e-9)


def test_joint_order_is_the_documented_one(spec: RobotSpec) -> None:
    leg = ("hip_pitch", "hip_roll", "knee_pitch", "ankle_pitch")
    assert spec.joint_names == (
        "waist_yaw",
        *(f"left_{name}" for name in leg),
        *(f"right_{name}" for name in leg),
    )
    assert spec.foot_names == ("left_toe", "left_heel", "right_toe", "right_heel")
    assert spec.waist_joints == (0,)


def test_masses_and_limits_are_mujoco_s(spec: RobotSpec) -> None:
    model = compile_model(spec)
    assert spec.total_mass == pytest.approx(model.body_mass.sum(), abs=1e-12)
    limits = np.array([model.joint(name).range for name in spec.joint_names])
    np.testing.assert_array_equal(np.stack([spec.joint_lower, spec.joint_upper], axis=-1), limits)


def test_leg_lengths_are_the_distances_between_the_joints(spec: RobotSpec) -> None:
    poses = MujocoPoses(compile_model(spec), spec.joint_names)
    poses.set(np.zeros(spec.num_joints))
    at = {name: poses.data.body(f"left_{name}").xpos for name in ("hip", "shank", "foot")}
    assert spec.leg.thigh == pytest.approx(at["hip"][2] - at["shank"][2], abs=1e-12)
    assert spec.leg.shank == pytest.approx(at["shank"][2] - at["foot"][2], abs=1e-12)
    assert spec.leg.ankle_height == pytest.approx(at["foot"][2] - poses.point("left_toe")[2], abs=1e-12)
    assert spec.leg.length == spec.leg.thigh + spec.leg.shank


def test_the_home_pose_stands_on_level_soles(spec: RobotSpec) -> None:
    heights = spec.kinematics.foot_points(spec.default_joint_pos)[:, 2]
    assert np.ptp(heights) < 1e-3
    assert spec.standing_height == -heights.min()


def test_the_model_falls_as_fast_as_plans_and_estimator_take_it_to(spec: RobotSpec) -> None:
    np.testing.assert_array_equal(compile_model(spec).opt.gravity, [0.0, 0.0, -GRAVITY_M_S2])


def test_a_servo_far_from_its_target_at_rest_gives_its_stall_torque(spec: RobotSpec) -> None:
    model = compile_model(spec)
    data = mujoco.MjData(model)
    data.ctrl[:] = 100.0
    mujoco.mj_forward(model, data)
    torque = [data.actuator(name).force[0] for name in spec.joint_names]
    np.testing.assert_allclose(torque, spec.stall_torque)


def test_a_small_error_is_answered_with_stiffness_times_error(spec: RobotSpec) -> None:
    model = compile_model(spec)
    data = mujoco.MjData(model)
    error = 0.5 * spec.stall_torque / spec.joint_stiffness
    for i, name in enumerate(spec.joint_names):
        data.ctrl[model.actuator(name).id] = data.joint(name).qpos[0] + error[i]
    mujoco.mj_forward(model, data)
    torque = [data.actuator(name).force[0] for name in spec.joint_names]
    np.testing.assert_allclose(torque, 0.5 * spec.stall_torque)


def test_a_free_servo_reaches_its_no_load_speed(spec: RobotSpec) -> None:
    model = compile_model(spec)
    off = mujoco.mjtDisableBit
    model.opt.disableflags |= off.mjDSBL_GRAVITY | off.mjDSBL_CONTACT | off.mjDSBL_LIMIT
    model.dof_frictionloss[:] = 0.0
    data = mujoco.MjData(model)
    waist = spec.joint_names.index("waist_yaw")
    data.ctrl[model.actuator("waist_yaw").id] = 100.0
    for _ in range(100):
        mujoco.mj_step(model, data)
    assert data.joint("waist_yaw").qvel[0] == pytest.approx(spec.no_load_speed[waist], rel=0.01)


def changed_robot(folder: Path, change: Any) -> Path:
    """robot.yaml after `change(data)`, beside which the MJCF is named by its full path."""
    data = yaml.safe_load(DEFAULT_ROBOT.read_text())
    data["mjcf"] = str(DEFAULT_ROBOT.parent / data["mjcf"])
    change(data)
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


CONTRADICTIONS = {
    "a joint that the MJCF lacks": (lambda d: d["joints"][3].update(name="left_knee"), "left_knee"),
    "a joint twice": (lambda d: d["joints"].append(d["joints"][0]), "waist_yaw"),
    "a foot that the MJCF lacks": (lambda d: d["feet"].append("left_tail"), "left_tail"),
    "an IMU that the MJCF lacks": (lambda d: d.update(imu_site="compass"), "compass"),
    "a torso that the MJCF lacks": (lambda d: d.update(torso_body="chest"), "chest"),
    "an unknown servo": (lambda d: d["joints"][0].update(servo="XM999"), "XM999"),
    "an unknown key": (lambda d: d.update(contol_hz=50), "control_hz"),
    "a missing key": (lambda d: d.pop("imu_mount"), "imu_mount"),
    "a missing key of a joint": (lambda d: d["joints"][0].pop("home_rad"), "home_rad"),
    "a joint that is no mapping": (lambda d: d["joints"].insert(0, "waist_yaw"), "waist_yaw"),
    "a word for a number": (lambda d: d.update(control_hz="fifty"), "control_hz"),
    "an MJCF that is not there": (lambda d: d.update(mjcf="nothing.xml"), "nothing.xml"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_description_that_contradicts_itself_is_refused_by_name(name: str, tmp_path: Path) -> None:
    change, named = CONTRADICTIONS[name]
    with pytest.raises(UserError, match=named):
        load_robot(changed_robot(tmp_path, change))


def test_the_unchanged_description_is_accepted_from_another_folder(tmp_path: Path, spec: RobotSpec) -> None:
    other = load_robot(changed_robot(tmp_path, lambda d: None))
    assert other.joint_names == spec.joint_names


def test_the_robot_hash_sees_both_files(tmp_path: Path) -> None:
    data = yaml.safe_load(DEFAULT_ROBOT.read_text())
    xml = (DEFAULT_ROBOT.parent / data["mjcf"]).read_text()

    def hash_of(folder: str, text: str, mjcf: str) -> str:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "robot.yaml").write_text(text)
        (tmp_path / folder / "wildrobot.xml").write_text(mjcf)
        return load_robot(tmp_path / folder / "robot.yaml").robot_hash

    text = DEFAULT_ROBOT.read_text()
    plain = hash_of("a", text, xml)
    assert plain == hash_of("b", text, xml) == load_robot().robot_hash
    assert plain != hash_of("c", text.replace("home_rad: 0.70", "home_rad: 0.71"), xml)
    assert plain != hash_of("d", text, xml + "\n")
    assert plain == hash_of("e", text.replace("baud: 1000000", "baud: 2000000"), xml), "a policy knows no bus"


@pytest.mark.parametrize("offset", [3.4, -2.6])
def test_a_range_that_crosses_the_encoder_s_end_is_refused(offset: float) -> None:
    with pytest.raises(
        UserError, match=r"left_knee_pitch has offset_rad .* counts of its servo, which has 0 to 4095"
    ):
        RobotSpec(DEFAULT_ROBOT, {"joints": {"left_knee_pitch": {"offset_rad": offset}}})
    RobotSpec(DEFAULT_ROBOT, {"joints": {"left_knee_pitch": {"offset_rad": offset / 10}}})
