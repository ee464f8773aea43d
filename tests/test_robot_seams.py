"""What the code computes from a robot's description and does not know of WildRobot, shown on a robot unlike it."""

from __future__ import annotations

import dataclasses
import math
import typing
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml
from synthetic_walker import Walker, write_bvh

from wildrobot.errors import UserError
from wildrobot.firmware_bridge.bus import Bus
from wildrobot.firmware_bridge.calibration.endstops import find_offsets, pose_for
from wildrobot.firmware_bridge.calibration.feet import check_feet
from wildrobot.firmware_bridge.calibration.identify import describe_motion
from wildrobot.firmware_bridge.calibration.imu_mount import find_mount, rotation_between
from wildrobot.firmware_bridge.calibration.sampling import Sampler
from wildrobot.firmware_bridge.startup import check
from wildrobot.firmware_bridge.virtual.hands import VirtualHands
from wildrobot.firmware_bridge.virtual.robot import Hidden, VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.robot_description.spec import RobotConfig, ServoModel
from wildrobot.rotations import quat_from_rotvec, quat_multiply, quat_to_matrix, rotate
from wildrobot.runtime.estimator import StateEstimator
from wildrobot.runtime.features import compute_features, feature_names, mirror_features
from wildrobot.runtime.reel import Reel
from wildrobot.runtime.robots import RobotOptions, open_robot
from wildrobot.runtime.safety import GUARDS
from wildrobot.runtime.sensor_frame import SensorFrame
from wildrobot.runtime.simulation import Simulation
from wildrobot.training.evaluation import EvalConfig
from wildrobot.training.film import choose
from wildrobot.training.make_run import MakeRunConfig, stages
from wildrobot.training.preset import apply_preset
from wildrobot.training.reference.build import BuildConfig, plan_clips
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.leg_ik import LegIK
from wildrobot.training.reference.whole_body import WholeBody
from wildrobot.training.setup import TrainConfig, check_commands
from wildrobot.training.tracking import _feet_width
from wildrobot.video import video_available

HERON = Path(__file__).parent / "robots" / "heron" / "robot.yaml"
PRESET = str(HERON.with_name("preset.yaml"))
WILDROBOT = load_robot()


@pytest.fixture(scope="module")
def heron() -> RobotSpec:
    return load_robot(HERON)


@pytest.fixture(scope="module")
def plans(heron: RobotSpec) -> dict[str, PlannedClip]:
    clips, rejected = plan_clips(heron, apply_preset(BuildConfig(), PRESET, "reference"))
    assert not rejected
    return {clip.name: clip for clip in clips}


def poses(spec: RobotSpec, count: int = 50) -> np.ndarray:
    """Joint positions (count, n) anywhere in the joints' ranges."""
    return np.random.default_rng(5).uniform(spec.joint_lower, spec.joint_upper, (count, spec.num_joints))


# ---------------------------------------------------------------------- description


def test_roles_follow_from_the_axes_whatever_the_joints_are_called(heron: RobotSpec) -> None:
    parts = ("ankle_roll", "ankle_pitch", "knee_pitch", "hip_pitch", "hip_roll", "hip_yaw")
    assert [role.name for role in heron.roles] == [*parts, *parts]
    assert [role.side for role in heron.roles] == [1] * 6 + [0] * 6
    assert heron.joints_of("knee_pitch").tolist() == [8, 2]  # left, right
    assert [role.sign for role in heron.roles] == [1.0] * 8 + [-1.0] + [1.0] * 3
    assert heron.waist_joints == ()
    assert heron.foot_side.tolist() == [1, 0]


def test_wildrobot_s_own_roles_are_its_joints_names() -> None:
    named = [name.removeprefix("left_").removeprefix("right_") for name in WILDROBOT.joint_names]
    assert [role.name for role in WILDROBOT.roles] == named
    assert WILDROBOT.foot_side.tolist() == [0, 0, 1, 1]
    assert WILDROBOT.foot_pads.tolist() == [[0, 1], [2, 3]]


def test_feet_and_imu_are_where_mujoco_has_them(heron: RobotSpec) -> None:
    """With hinges beside their bodies' origins, the right foot first, and an IMU on the base."""
    model = compile_model(heron)
    data = mujoco.MjData(model)
    address = [model.joint(name).qposadr[0] for name in heron.joint_names]
    dofs = [model.joint(name).dofadr[0] for name in heron.joint_names]
    kinematics = heron.kinematics
    for q in poses(heron):
        data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        points, jacobians = kinematics.foot_points_and_jacobians(q)
        for i, name in enumerate(heron.foot_names):
            jacobian = np.zeros((3, model.nv))
            mujoco.mj_jacSite(model, data, jacobian, None, model.site(name).id)
            np.testing.assert_allclose(points[i], data.site(name).xpos, atol=1e-12)
            np.testing.assert_allclose(jacobians[i], jacobian[:, dofs], atol=1e-12)
        np.testing.assert_allclose(kinematics.imu_point(q), data.site("chip").xpos, atol=1e-12)
        np.testing.assert_array_equal(kinematics.torso_rotation(q), np.eye(3))
        np.testing.assert_array_equal(kinematics.imu_jacobian(q), np.zeros((3, 12)))
        _, turned = kinematics.sole_frames(q)
        np.testing.assert_allclose(turned[0], data.body("l_foot").xmat.reshape(3, 3), atol=1e-12)


def test_a_mirrored_pose_puts_the_feet_at_mirrored_places(heron: RobotSpec) -> None:
    mirror, q = heron.mirror, poses(heron)
    points = heron.kinematics.foot_points(q)
    seen = heron.kinematics.foot_points(q[:, mirror.joint_index] * mirror.joint_sign)
    np.testing.assert_allclose(seen, points[:, mirror.foot_index] * [1.0, -1.0, 1.0], atol=1e-12)


def changed(folder: Path, yaml_change: Any = None, xml_change: Any = None) -> Path:
    """Heron's description after `yaml_change(data)` and `xml_change(text)`."""
    data, text = yaml.safe_load(HERON.read_text()), HERON.with_name("heron.xml").read_text()
    if yaml_change is not None:
        yaml_change(data)
    changed_text = xml_change(text) if xml_change is not None else text
    assert xml_change is None or changed_text != text
    (folder / "heron.xml").write_text(changed_text)
    (folder / "robot.yaml").write_text(yaml.safe_dump(data))
    return folder / "robot.yaml"


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


FIXED_BODY = swap(
    '<body name="r_side" pos="0 0 -0.03">', '<body name="r_plate"><body name="r_side" pos="0 0 -0.03">'
)
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a pelvis that does not float": (lambda d: d.update(pelvis_body="l_foot"), None, "<freejoint> is in 'trunk'"),
    "an IMU that is not on the torso": (lambda d: d.update(torso_body="l_foot"), None, "'chip' is on 'trunk'"),
    "a turned IMU site": (None, swap('<site name="chip"', '<site name="chip" quat="0 1 0 0"'), "imu_mount"),
    "three feet": (
        lambda d: d["feet"].append("chip"),
        None,
        "6 to 'r_foot', 6 to 'l_foot', 0 to 'trunk'",
    ),
    "a foot with more contacts than the other": (
        lambda d: d["feet"].append("r_pad"),
        None,
        r"2 bodies .1, 2 of them",
    ),
    "one foot": (lambda d: d.update(feet=["r_sole"]), None, "on 1 bodies"),
    "legs of different length": (
        lambda d: d["joints"].pop(0),
        lambda text: "\n".join(line for line in text.split("\n") if 'joint name="r_tilt"' not in line),
        "'r_foot' of the MJCF has no hinge",
    ),
    "a body fixed in a leg": (
        None,
        lambda text: FIXED_BODY(text).replace('<body name="l_swivel"', '</body><body name="l_swivel"', 1),
        "'r_plate' of the MJCF has no hinge",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_the_code_could_not_work_with_is_refused_in_words(name: str, tmp_path: Path) -> None:
    yaml_change, xml_change, words = REFUSED[name]
    with pytest.raises(UserError, match=words):
        load_robot(changed(tmp_path, yaml_change, xml_change))


def without(tag: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.split("\n") if tag not in line)


NO_MODEL: dict[str, tuple[Any, str]] = {
    "no actuator": (without('<position name="l_bend"'), 'Add: <position name="l_bend" joint="l_bend"/>'),
    "no touch sensor": (without('<touch name="r_sole"'), '<touch name="r_sole"'),
    "no gyro": (without("<gyro"), 'Add: <gyro name="imu_angular_velocity" site="chip"/>'),
    "nothing to stand on": (swap(' priority="1"', ""), "'r_foot' has no contact geoms"),
    "another body first": (swap('<body name="trunk"', '<body name="crate"/><body name="trunk"'), "must be the first"),
    "no model": (swap('joint="l_bend"/>', 'joint="l_elbow"/>'), "MuJoCo cannot compile"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_MODEL)
def test_a_model_that_lacks_something_says_what_to_add(name: str, tmp_path: Path) -> None:
    change, words = NO_MODEL[name]
    spec = load_robot(changed(tmp_path, None, change))
    with pytest.raises(UserError) as error:
        compile_model(spec)
    assert words in str(error.value)


def test_a_control_rate_that_the_physics_cannot_keep_is_refused(tmp_path: Path) -> None:
    spec = load_robot(changed(tmp_path, lambda d: d.update(control_hz=45)))
    with pytest.raises(
        UserError, match=r"0\.0222222 s, which is not a whole number of physics steps of 0\.005"
    ):
        Simulation(spec, 1, threads=1)


# ---------------------------------------------------------------------- signal path


def standing(spec: RobotSpec, ticks: int = 40) -> tuple[Simulation, StateEstimator, Any]:
    sim, estimator = Simulation(spec, 2, threads=1), StateEstimator(spec)
    for _ in range(ticks):
        sim.step(np.tile(spec.default_joint_pos, (2, 1)))
        estimate = estimator.update(sim.frame())
    return sim, estimator, estimate


def test_an_imu_upside_down_on_the_pelvis_gives_the_pelvis_s_attitude_height_and_velocity(
    heron: RobotSpec,
) -> None:
    sim, estimator, estimate = standing(heron)
    up = quat_to_matrix(sim.truth().pelvis_quaternion)[:, 2]
    np.testing.assert_allclose(estimate.projected_gravity, -up, atol=2e-3)
    np.testing.assert_allclose(estimate.height, sim.truth().pelvis_position[:, 2], atol=1e-3)
    sim.push(np.arange(2), [0.3, -0.1, 0.0])
    for _ in range(3):
        sim.step(np.tile(heron.default_joint_pos, (2, 1)))
        estimate = estimator.update(sim.frame())
    truth = sim.truth()
    assert np.all(truth.pelvis_linear_velocity[:, 0] > 0.1)
    np.testing.assert_allclose(estimate.linear_velocity, truth.pelvis_linear_velocity, atol=0.05)
    qpos, qvel = sim.home(2)
    qvel[:, 3:6] = rates = np.array([0.2, -0.3, 0.6])  # turns to the left
    sim.reset(None, qpos, qvel)
    estimator.reset(sim.frame())
    np.testing.assert_allclose(estimator.update(sim.frame()).angular_velocity, [rates, rates], atol=1e-9)


def test_the_contact_of_a_foot_shows_under_its_name(heron: RobotSpec) -> None:
    sim = Simulation(heron, 1, threads=1)
    qpos, qvel = sim.home(1)
    lifted = heron.joints_of("knee_pitch")[0]  # the left one, which turns the other way
    qpos[:, sim.joint_qpos[lifted]] -= 0.5
    sim.reset(None, qpos, qvel)
    for _ in range(2):
        pose = heron.default_joint_pos.copy()
        pose[lifted] -= 0.5
        sim.step(pose[None])
    frame = sim.frame()
    features = compute_features(frame, StateEstimator(heron).update(frame))
    contact = dict(zip(feature_names(heron), features[0], strict=True))
    assert len(contact) == 2 * 12 + 7 + 2
    assert (contact["contact/r_sole"], contact["contact/l_sole"]) == (1.0, 0.0)
    assert mirror_features(heron, features)[0, -2:].tolist() == [0.0, 1.0]


def test_mirrored_measurements_give_mirrored_features(heron: RobotSpec) -> None:
    rng = np.random.default_rng(2)
    mirror, mount = heron.mirror, heron.imu_mount
    q = heron.default_joint_pos + rng.normal(0.0, 0.1, 12)
    rate, turn, gyro = rng.normal(size=12), rng.normal(0.0, 0.2, 3), rng.normal(size=3)
    force = np.array([0.3, -0.4, 9.6])
    axial = np.array([-1.0, 1.0, -1.0])

    def features(q: Any, rate: Any, turn: Any, gyro: Any, force: Any, contact: Any) -> Any:
        chip = quat_to_matrix(mount).T
        frame = SensorFrame.measured(
            np.zeros(1),
            joint_position=q[None],
            joint_velocity=rate[None],
            imu_quaternion=quat_multiply(quat_from_rotvec(turn), mount)[None],
            imu_angular_velocity=rotate(chip, gyro)[None],
            imu_acceleration=rotate(chip, force)[None],
            foot_contact=np.array([contact]),
        )
        return compute_features(frame, StateEstimator(heron).update(frame))

    seen = features(
        q[mirror.joint_index] * mirror.joint_sign,
        rate[mirror.joint_index] * mirror.joint_sign,
        turn * axial,
        gyro * axial,
        force * [1.0, -1.0, 1.0],
        [0.0, 1.0],
    )
    plain = features(q, rate, turn, gyro, force, [1.0, 0.0])
    # The chip is 10 mm left of the middle, so that the velocity's wide prior is not quite symmetric.
    np.testing.assert_allclose(seen, mirror_features(heron, plain), atol=1e-5)


# ---------------------------------------------------------------------- planning


def test_leg_ik_gives_place_pitch_level_and_heading_of_both_soles(heron: RobotSpec) -> None:
    rng, ik, count = np.random.default_rng(3), LegIK(heron), 200
    sole = np.zeros((count, 2, 3))
    sole[..., 0] = rng.uniform(-0.07, 0.07, (count, 2))
    sole[..., 1] = np.array([0.06, -0.06]) + rng.uniform(-0.02, 0.02, (count, 2))
    sole[..., 2] = rng.uniform(0.0, 0.03, (count, 2))
    pitch, heading = rng.uniform(-0.2, 0.3, (count, 2)), rng.uniform(-0.3, 0.3, (count, 2))
    lean = quat_to_matrix(quat_from_rotvec(rng.normal(0.0, 0.05, (count, 3))))
    position = np.array([0.0, 0.0, 0.40]) + rng.normal(0.0, 0.005, (count, 3))
    q = ik.solve(position, lean, sole, pitch, heading=heading)
    assert np.abs(ik.soles(q, position, lean) - sole).max() < 1e-9
    _, foot = heron.kinematics.sole_frames(q)
    turned = lean[:, None] @ foot
    np.testing.assert_allclose(np.arcsin(-turned[..., 2, 0]), pitch, atol=1e-8)
    np.testing.assert_allclose(turned[..., 2, 1], 0.0, atol=1e-8)
    np.testing.assert_allclose(np.arctan2(turned[..., 1, 0], turned[..., 0, 0]), heading, atol=1e-8)
    knees = heron.joints_of("knee_pitch")
    assert np.all(q[:, knees[0]] < 0.0)  # bent, on either side
    assert np.all(q[:, knees[1]] > 0.0)


def test_standing_feet_of_a_plan_neither_slip_nor_turn_nor_lean(
    heron: RobotSpec, plans: dict[str, PlannedClip]
) -> None:
    ik, body = LegIK(heron), WholeBody(heron)
    for clip in plans.values():
        rotation = quat_to_matrix(clip.root_quaternion)
        soles = ik.soles(clip.joint_position, clip.root_position, rotation)
        turned = rotation[:, None] @ heron.kinematics.sole_frames(clip.joint_position)[1]
        heading = np.unwrap(np.arctan2(turned[..., 1, 0], turned[..., 0, 0]), axis=0)
        lowest = body.lowest_points(clip.root_position, rotation, clip.joint_position)
        assert lowest.min() > -1e-4, clip.name
        for switch, foot in enumerate(heron.foot_side):
            down = clip.contact[1:, switch] & clip.contact[:-1, switch]
            assert np.abs(np.diff(soles[:, foot, :2], axis=0))[down].max() < 1e-3, clip.name
            assert np.abs(np.diff(heading[:, foot]))[down].max() < 1e-6, clip.name
            assert np.abs(turned[:, foot, 2, 1]).max() < 1e-6, clip.name
            assert np.abs(lowest[clip.contact[:, switch], foot]).max() < 1e-4, clip.name


def test_the_phase_begins_with_the_left_swing_though_the_right_foot_is_named_first(
    plans: dict[str, PlannedClip],
) -> None:
    clip = plans["walk_v0.20_t14_c25"]
    right, left = clip.contact.T
    lifts = np.flatnonzero(left[:-1] & ~left[1:])
    assert lifts.size
    assert np.allclose(np.cos(clip.phase[lifts]), 1.0)
    assert np.all(left | right)


def test_a_person_s_walk_becomes_its_own(heron: RobotSpec, tmp_path: Path) -> None:
    path = write_bvh(tmp_path / "walk.bvh", Walker(step_length=0.3))
    config = replace(apply_preset(BuildConfig(), PRESET, "reference"), bvh=(path,))
    clips, _ = plan_clips(heron, config)
    assert {clip.name.removeprefix("walk_").split("_")[0] for clip in clips} >= {
        "stand",
        "start",
        "stop",
        "cycle",
    }
    for clip in clips:
        clip.check(heron)
        assert clip.contact.shape[1] == 2


def without_joints(text: str, *names: str) -> str:
    """The MJCF with these joints' bodies (light ones) taken out and what hung on them hung on their parents."""
    root = ElementTree.fromstring(text)
    for name in names:
        parent, body = next(
            (parent, body)
            for parent in root.iter("body")
            for body in parent.findall("body")
            for joint in body.findall("joint")
            if joint.get("name") == name
        )
        parent.remove(body)
        for child in body.findall("body"):
            places = [
                np.array([float(x) for x in part.get("pos", "0 0 0").split()]) for part in (body, child)
            ]
            child.set("pos", " ".join(f"{x:.12g}" for x in places[0] + places[1]))
            parent.append(child)
        actuators = root.find("actuator")
        assert actuators is not None
        actuators.remove(next(item for item in actuators if item.get("name") == name))
    return ElementTree.tostring(root, encoding="unicode")


def bend_backwards(text: str) -> str:
    return text.replace('axis="0 1 0" range="0 1.9"', 'axis="0 1 0" range="-1.9 0"').replace(
        'axis="0 -1 0" range="-1.9 0"', 'axis="0 -1 0" range="0 1.9"'
    )


@pytest.mark.parametrize("kind", ["no hip yaw", "no hip yaw, no ankle roll", "bird's knees"])
def test_gaits_are_planned_for_other_legs_too(kind: str, tmp_path: Path) -> None:
    stiff, birdlike = "no ankle roll" in kind, kind == "bird's knees"
    lost = [f"{side}_swivel" for side in "rl" if "yaw" in kind]
    lost += [f"{side}_toe" for side in "rl" if stiff]  # the foot's joint becomes the ankle's pitch then

    def description(data: dict[str, Any]) -> None:
        data["joints"] = [joint for joint in data["joints"] if joint["name"] not in lost]
        for joint in data["joints"]:
            joint["home_rad"] *= -1.0 if birdlike else 1.0
            if stiff and joint["name"].endswith("tilt"):
                joint["home_rad"] = -0.45

    def body(text: str) -> str:
        if birdlike:
            return bend_backwards(text).replace('range="-1.4 0.6"', 'range="-0.6 1.4"')
        text = without_joints(text, *lost)
        pitch = '_tilt" axis="0 1 0" range="-0.9 0.8"'
        return text.replace('_tilt" axis="1 0 0" range="-0.4 0.4"', pitch) if stiff else text

    spec = load_robot(changed(tmp_path, description, body))
    preset = apply_preset(BuildConfig(), PRESET, "reference")
    gaits = replace(
        preset.gaits,
        speeds_m_s=(0.2,),
        turn_speeds_m_s=(0.1,),
        turn_rates_rad_s=(0.2,),
        start_speeds_m_s=(0.2,),
    )
    clips, _ = plan_clips(spec, replace(preset, gaits=gaits))
    walk = next(clip for clip in clips if clip.name.startswith("walk"))
    knees = walk.joint_position[:, spec.joints_of("knee_pitch")] * [-1.0, 1.0]
    assert np.all(knees < 0.0) if birdlike else np.all(knees > 0.0)
    for clip in clips:
        rotation = quat_to_matrix(clip.root_quaternion)
        soles = LegIK(spec).soles(clip.joint_position, clip.root_position, rotation)
        for switch, foot in enumerate(spec.foot_side):
            down = clip.contact[1:, switch] & clip.contact[:-1, switch]
            assert np.abs(np.diff(soles[:, foot, :2], axis=0))[down].max() < 1e-3, clip.name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda text: swap('name="l_toe" axis="0 1 0"', 'name="l_toe" axis="0 0.7 -0.7"')(
                swap('name="r_toe" axis="0 1 0"', 'name="r_toe" axis="0 0.7 0.7"')(text)
            ),
            r"l_toe about \[0\.0, 0\.71, -0\.71\] .no role.",
        ),
        (
            swap('_toe" axis="0 1 0" range="-0.9 0.8"', '_toe" axis="1 0 0" range="-0.8 0.8"'),
            r"hip roll, hip pitch, knee and ankle pitch.*heron's left leg has l_swivel",
        ),
    ],
)
def test_legs_that_cannot_be_planned_for_are_named(
    change: Callable[[str], str], words: str, tmp_path: Path
) -> None:
    spec = load_robot(changed(tmp_path, None, change))
    with pytest.raises(UserError, match=words):
        LegIK(spec)


def test_the_feet_s_width_is_that_of_the_boxes_that_may_touch(heron: RobotSpec) -> None:
    assert _feet_width(Simulation(heron, 1, threads=1)) == pytest.approx(2 * 0.038)


# ---------------------------------------------------------------------- commands


def test_a_preset_may_be_a_file_of_one_s_own(tmp_path: Path) -> None:
    config = apply_preset(TrainConfig(), PRESET, "train", preset=PRESET)
    assert config.walking.speed == (0.06, 0.35)
    with pytest.raises(UserError, match=r"no preset '.*mine\.yaml'; known presets: .*quick"):
        apply_preset(TrainConfig(), str(tmp_path / "mine.yaml"), "train")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TrainConfig(), r"--walking\.speed is 0\.06 0\.6 m/s, but heron may be commanded 0 to 0\.35"),
        (
            replace(TrainConfig(), walking=replace(TrainConfig().walking, speed=(0.0, 0.3))),
            r"--selection\.speeds-m-s is 0 0\.15 0\.3 0\.5",
        ),
    ],
)
def test_training_beyond_the_robot_s_commands_is_refused(
    config: TrainConfig, words: str, heron: RobotSpec
) -> None:
    with pytest.raises(UserError, match=words):
        check_commands(heron, config)


def test_wildrobot_s_training_lies_within_its_commands() -> None:
    check_commands(WILDROBOT, TrainConfig())


def test_evaluation_and_film_do_what_the_robot_may_be_commanded(heron: RobotSpec) -> None:
    assert EvalConfig(Path()).chosen_speeds(heron) == (0.0, 0.15, 0.3)
    assert EvalConfig(Path()).chosen_speeds(WILDROBOT) == (0.0, 0.15, 0.3, 0.5, 0.6)
    assert EvalConfig(Path(), speeds=(0.5,)).chosen_speeds(heron) == (0.5,)
    names = [scene.name for scene in choose((), heron)]
    assert "walk_030" in names
    assert "walk_050" not in names
    with pytest.raises(UserError, match=r"walk_050 asks for 0\.5 m/s"):
        choose(("walk_050",), heron)


def test_make_run_hands_its_robot_to_every_stage(tmp_path: Path) -> None:
    config = MakeRunConfig(out=tmp_path, preset=PRESET, robot_file=HERON)
    parts = {stage.name: stage for stage in stages(config, can_film=False)}
    for stage in parts.values():
        at = stage.command.index("--robot-file")
        assert stage.command[at + 1] == str(HERON), stage.name
    assert parts["reference"].outputs == (Path("runs/reference_heron/reference.npz"),)
    assert parts["reference"].inputs == (HERON, HERON.with_name("heron.xml"), Path(PRESET))
    assert "--robot-file" not in stages(MakeRunConfig(out=tmp_path), can_film=False)[0].command


def test_a_video_plays_as_fast_as_the_robot_moved(heron: RobotSpec, tmp_path: Path) -> None:
    robot = open_robot("sim", heron, RobotOptions(0))
    reel = Reel(robot)
    spec, state = SimpleNamespace(control_hz=40.0), SimpleNamespace(value="standing")
    for tick in range(8):
        reel.capture(tick, SimpleNamespace(spec=spec, state=state))  # type: ignore[arg-type]
    assert reel.frames / reel.fps == pytest.approx(8 / 40.0)
    if video_available()[0]:
        import av

        reel.write(tmp_path / "heron.mp4", 64, 48)
        with av.open(str(tmp_path / "heron.mp4")) as file:
            assert float(file.streams.video[0].average_rate) == 20.0


# ---------------------------------------------------------------------- the bus


def suspended(spec: RobotSpec, hidden: Hidden | None = None) -> tuple[VirtualRobot, Bus, VirtualHands]:
    robot = VirtualRobot(spec, suspended=True, hidden=hidden)
    return robot, Bus(VirtualTransport(robot, spec.config.bus.baud)), VirtualHands(robot)


def test_words_for_a_joint_come_from_its_axis(heron: RobotSpec) -> None:
    left, right = heron.joints_of("knee_pitch")
    assert describe_motion(heron, right, 1) == describe_motion(heron, left, -1) == "bend the knee"
    left, right = heron.joints_of("ankle_roll")
    assert (
        describe_motion(heron, left, 1) == describe_motion(heron, right, -1) == "lift the sole's outer edge"
    )
    assert all("axis" not in describe_motion(heron, joint, 1) for joint in range(12))


def test_while_a_joint_is_measured_the_feet_stay_apart(heron: RobotSpec) -> None:
    for joint in range(heron.num_joints):
        for angle in np.linspace(heron.joint_lower[joint], heron.joint_upper[joint], 9):
            pose = pose_for(heron, joint)
            pose[joint] = angle
            left, right = heron.kinematics.foot_points(pose)[heron.foot_pads[:, 0]]
            assert np.linalg.norm(left - right) > 0.09, (heron.joint_names[joint], angle)


def test_a_knee_s_zero_is_found_though_it_turns_the_other_way(heron: RobotSpec) -> None:
    _, bus, _ = suspended(heron, Hidden(offset_rad={"l_bend": 0.12}))
    knee = heron.joint_names.index("l_bend")
    found = find_offsets(bus, heron, [knee], lambda text: None)
    assert found["l_bend"] == pytest.approx(heron.joint_offset[knee] + 0.12, abs=0.005)


def test_without_a_waist_gravity_and_a_pitch_by_hand_give_the_mount(heron: RobotSpec) -> None:
    tilt = (0.1, -0.08, 0.15)
    _, bus, hands = suspended(heron, Hidden(imu_tilt_rad=tilt))
    mount = find_mount(bus, heron, hands)
    true = quat_multiply(quat_from_rotvec(np.array(tilt)), heron.imu_mount)
    assert math.degrees(rotation_between(mount.quaternion, true)[0]) < 1.0
    assert mount.yaw_measured
    assert any("no waist" in text for text in hands.said)


def test_pads_are_the_board_s_first_inputs_in_the_order_of_the_description(heron: RobotSpec) -> None:
    _, bus, hands = suspended(heron)
    sampler = Sampler(bus, heron.servo_ids, heron.config.bus.sensor_board_id)
    assert check_feet(heron, sampler, hands) == []
    assert hands.said == ["r_sole answers", "l_sole answers"]


def test_more_contacts_than_the_board_has_inputs_are_refused(tmp_path: Path, heron: RobotSpec) -> None:
    sites = "".join(
        f'<site name="{{side}}_{i}" pos="{0.02 * i:g} 0 -0.04"/>' for i in range(3)
    )  # three under each foot

    def more(text: str) -> str:
        for side in "rl":
            text = text.replace(
                f'<site name="{side}_sole"', f'{sites.format(side=side)}<site name="{side}_sole"'
            )
        return text

    names = [f"{side}_{i}" for side in "rl" for i in range(3)]
    spec = load_robot(changed(tmp_path, lambda d: d.update(feet=names), more))
    with pytest.raises(UserError, match="6 foot switches, its sensor board 4 inputs"):
        VirtualRobot(spec)
    _, bus, _ = suspended(heron)
    wrong = [str(finding) for finding in check(bus, spec) if finding.level == "error"]
    assert len(wrong) == 1
    assert "4 foot inputs, but heron has the feet r_0, r_1, r_2, l_0, l_1, l_2" in wrong[0]


# ---------------------------------------------------------------------- the page


def keys(config: type, found: set[str]) -> set[str]:
    """The names of a configuration's fields, and of the configurations in them."""
    for field, hint in typing.get_type_hints(config).items():
        found.add(field)
        for inner in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(inner):
                keys(typing.cast("type", inner), found)
    return found


def test_the_page_explains_every_key_of_robot_yaml() -> None:
    text = (Path(__file__).parents[1] / "docs" / "new_robot.md").read_text(encoding="utf-8")
    wanted = keys(RobotConfig, set()) | keys(ServoModel, set()) | set(GUARDS)
    assert {"p_gain", "stall_current_a", "watchdog_s", "tilt_rad"} <= wanted
    assert [key for key in sorted(wanted - {"warn", "stop"}) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("section", ["reference", "train"])
def test_the_page_explains_every_key_of_the_preset(section: str) -> None:
    text = (Path(__file__).parents[1] / "docs" / "new_robot.md").read_text(encoding="utf-8")
    for group, values in yaml.safe_load(Path(PRESET).read_text())[section].items():
        for key in values:
            assert key in text, f"{group}.{key}"
