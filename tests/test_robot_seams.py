"""What the code computes from a robot's description and does not know of WildRobot, shown on a robot unlike it."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml
from heron_helpers import HERON, PRESET, changed, swap
from kinematics_helpers import foot_jacobians, imu_jacobian, torso_point, torso_rotation

from wildrobot.cli.eval import EvalOptions, configuration
from wildrobot.cli.make_run.options import MakeRunOptions
from wildrobot.cli.make_run.stages import stages
from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply, quat_to_matrix, rotate
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.robot_description.spec import RobotConfig, ServoModel
from wildrobot.runtime.control.guards import GUARDS
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.signal_path.estimator import StateEstimator
from wildrobot.signal_path.features import compute_features, feature_names, mirror_features
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.reel import Reel
from wildrobot.simulation.simulation import Simulation
from wildrobot.simulation.video import video_available
from wildrobot.training.evaluation.evaluation import commandable
from wildrobot.training.evaluation.scenes import choose
from wildrobot.training.preset import apply_preset
from wildrobot.training.setup import TrainConfig, check_commands

WILDROBOT = load_robot()


@pytest.fixture(scope="module")
def heron() -> RobotSpec:
    return load_robot(HERON)


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
        points, jacobians = kinematics.foot_points(q), foot_jacobians(kinematics, q)
        for i, name in enumerate(heron.foot_names):
            jacobian = np.zeros((3, model.nv))
            mujoco.mj_jacSite(model, data, jacobian, None, model.site(name).id)
            np.testing.assert_allclose(points[i], data.site(name).xpos, atol=1e-12)
            np.testing.assert_allclose(jacobians[i], jacobian[:, dofs], atol=1e-12)
        np.testing.assert_allclose(
            torso_point(kinematics, q, heron.imu_position), data.site("chip").xpos, atol=1e-12
        )
        np.testing.assert_array_equal(torso_rotation(kinematics, q), np.eye(3))
        np.testing.assert_array_equal(imu_jacobian(heron, q), np.zeros((3, 12)))
        _, turned = kinematics.sole_frames(q)
        np.testing.assert_allclose(turned[0], data.body("l_foot").xmat.reshape(3, 3), atol=1e-12)


def test_a_mirrored_pose_puts_the_feet_at_mirrored_places(heron: RobotSpec) -> None:
    mirror, q = heron.mirror, poses(heron)
    points = heron.kinematics.foot_points(q)
    seen = heron.kinematics.foot_points(q[:, mirror.joint_index] * mirror.joint_sign)
    np.testing.assert_allclose(seen, points[:, mirror.foot_index] * [1.0, -1.0, 1.0], atol=1e-12)


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
    assert commandable(heron) == (0.0, 0.15, 0.3)
    assert commandable(WILDROBOT) == (0.0, 0.15, 0.3, 0.5, 0.6)
    assert configuration(heron, EvalOptions(Path(), speeds=(0.5,))).speeds == (0.5,)
    names = [scene.name for scene in choose((), heron)]
    assert "walk_030" in names
    assert "walk_050" not in names
    with pytest.raises(UserError, match=r"walk_050 asks for 0\.5 m/s"):
        choose(("walk_050",), heron)


def test_make_run_hands_its_robot_to_every_stage(tmp_path: Path) -> None:
    config = MakeRunOptions(out=tmp_path, preset=PRESET, robot_file=HERON)
    parts = {stage.name: stage for stage in stages(config, can_film=False)}
    for stage in parts.values():
        at = stage.command.index("--robot-file")
        assert stage.command[at + 1] == str(HERON), stage.name
    assert parts["reference"].outputs == (Path("runs/reference_heron/reference.npz"),)
    assert parts["reference"].inputs == (HERON, HERON.with_name("heron.xml"), Path(PRESET))
    assert "--robot-file" not in stages(MakeRunOptions(out=tmp_path), can_film=False)[0].command


def test_a_video_plays_as_fast_as_the_robot_moved(heron: RobotSpec, tmp_path: Path) -> None:
    robot: Any = open_robot("sim", heron, RobotOptions(0))
    reel = Reel(robot.simulation)
    for tick in range(8):
        reel.capture(tick, "standing")
    assert reel.frames / reel.fps == pytest.approx(8 / 40.0)
    if video_available()[0]:
        import av

        reel.write(tmp_path / "heron.mp4", 64, 48)
        with av.open(str(tmp_path / "heron.mp4")) as file:
            assert float(file.streams.video[0].average_rate) == 20.0


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
