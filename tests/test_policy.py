"""The policy file on the robot: what it refuses, and that its contract is enough to make joint targets of answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from policy_helpers import make_run, rewrite_contract

from wildrobot.cli.run import run
from wildrobot.core.errors import UserError
from wildrobot.export.run_export import export
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.logs.comparison import policy_ticks
from wildrobot.signal_path.contract import METADATA_KEY, contract_differences, robot_contract
from wildrobot.signal_path.observation import default_layout, make_layout
from wildrobot.signal_path.path import joint_target
from wildrobot.signal_path.policy import OnnxPolicy, OnnxStyle, open_session

SHIPPED = Path(__file__).parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"
GOLDEN_LOG = Path(__file__).parent / "data" / "standing_and_walking.lcmlog"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def exported(spec: RobotSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported policy with its discriminator beside it."""
    folder = make_run(tmp_path_factory.mktemp("run"), spec)
    return export(folder, threads=1).policy


def other_robot(folder: Path, change: Change) -> RobotSpec:
    """WildRobot with a changed robot.yaml."""
    spec = load_robot()
    config = yaml.safe_load(spec.path.read_text())
    change(config)
    config["mjcf"] = str(spec.mjcf_path)
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return load_robot(path)


# ---------------------------------------------------------------------------- it runs


def test_a_policy_answers_batches_and_reports_how_far_its_golden_vectors_were_off(
    exported: Path, spec: RobotSpec
) -> None:
    policy = OnnxPolicy(exported, spec)
    size = sum(term.size * term.frames for term in default_layout(spec))
    actions = policy(np.random.default_rng(0).normal(size=(7, size)))
    assert actions.shape == (7, spec.num_joints)
    assert actions.dtype == np.float32
    assert 0.0 <= policy.golden_difference <= 1e-5
    assert policy.note is None
    assert policy.layout == default_layout(spec)


def test_the_session_has_one_thread_that_does_not_spin(exported: Path) -> None:
    options = open_session(str(exported)).get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_contract_alone_is_enough_to_compute_joint_targets(exported: Path, spec: RobotSpec) -> None:
    session = onnxruntime.InferenceSession(str(exported))
    contract = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    size = sum(term["size"] * term["frames"] for term in contract["observation"])
    obs = 3.0 * np.random.default_rng(1).normal(size=(50, size)).astype(np.float32)
    action = session.run(["actions"], {"obs": obs})[0].astype(np.float64)
    previous = np.tile(contract["default_joint_pos"], (50, 1))
    rule, step = contract["action"], np.array(contract["target_rate_limit"]) / contract["control_hz"]
    target = contract["default_joint_pos"] + rule["scale"] * np.clip(action, -rule["clip"], rule["clip"])
    target = np.clip(target, previous - step, previous + step)
    target = np.clip(target, contract["joint_lower"], contract["joint_upper"])
    assert rule["kind"] == "joint_position_target"
    assert np.max(np.abs(target - joint_target(spec, action, previous))) < 1e-12
    assert np.any(target != previous)


def test_clock_memory_and_targets_of_a_recorded_walk_follow_from_the_file_alone() -> None:
    """As docs/policy_file.md has it: everything around the network but what is estimated from sensors."""
    session = onnxruntime.InferenceSession(str(SHIPPED))
    contract = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    clock, rule, dt = contract["gait_clock"], contract["action"], 1.0 / contract["control_hz"]
    step = np.array(contract["target_rate_limit"]) * dt
    past: dict[str, Any] = {}
    phase, ticks, moved = 0.0, 0, 0
    for tick in policy_ticks(GOLDEN_LOG):
        message, assert_near = tick.policy, partial(np.testing.assert_allclose, rtol=0.0, atol=1e-6)
        speed, yaw_rate = np.abs(message.command)
        moving = speed > clock["moving_speed_m_s"] or yaw_rate > clock["moving_yaw_rate_rad_s"]
        if message.reset:
            assert tick.frame is not None
            past, phase, target = {}, 0.0, tick.frame.joint_position[0]
            answer = (target - contract["default_joint_pos"]) / rule["scale"]
        newest = {
            "command": np.array(message.command),
            "gait_clock": moving * np.array([np.sin(phase), np.cos(phase)]),
            "previous_action": np.clip(answer, -rule["clip"], rule["clip"]),
            "features": np.array(message.features),
        }
        observation, start = np.array(message.observation), 0
        for term in contract["observation"]:
            size, frames = term["size"], term["frames"]
            seen = observation[start : start + size * frames].reshape(frames, size)
            start += size * frames
            if term["name"] in newest:
                assert_near(seen[-1], term["scale"] * newest[term["name"]])
            assert_near(seen[:-1], past.get(term["name"], np.tile(seen[-1], (frames, 1)))[1:])
            past[term["name"]] = seen
        assert start == len(observation)
        answer = session.run(["actions"], {"obs": observation[None].astype(np.float32)})[0][0]
        assert_near(answer, message.action, atol=1e-5)
        wanted = contract["default_joint_pos"] + rule["scale"] * np.clip(answer, -rule["clip"], rule["clip"])
        target = np.clip(
            np.clip(wanted, target - step, target + step), contract["joint_lower"], contract["joint_upper"]
        )
        assert_near(target, message.joint_target, atol=1e-5)
        rates = (clock["stride_hz"], clock["fast_stride_hz"])
        advance = 2.0 * np.pi * np.interp(speed, clock["stride_speeds_m_s"], rates) * dt
        phase = (phase + advance) % (2.0 * np.pi) if moving else 0.0
        ticks, moved = ticks + 1, moved + moving
    assert 0 < moved < ticks


def test_golden_vectors_are_those_of_the_network_to_the_last_digit_of_json(exported: Path) -> None:
    policy = OnnxPolicy(exported)
    golden = policy.contract["golden"]
    again = np.asarray(golden["obs"], dtype=np.float32)
    assert np.array_equal(again.astype(np.float64), np.asarray(golden["obs"]))
    assert np.max(np.abs(policy(again) - np.asarray(golden["actions"]))) == policy.golden_difference
    assert len(np.unique(np.round(golden["actions"], 6), axis=0)) > 1


def test_the_style_file_scores_windows_of_its_own_length(exported: Path, spec: RobotSpec) -> None:
    style = OnnxStyle(exported.with_name("style.onnx"), spec)
    assert style.frames == 2
    logit = style(np.zeros((3, style.frames * 29)))
    assert logit.shape == (3,)
    assert style.contract["policy_sha256"] == OnnxPolicy(exported).contract["network_sha256"]


# ---------------------------------------------------------------------------- it is refused


def test_a_contract_agrees_with_the_robot_that_it_was_made_for(spec: RobotSpec) -> None:
    contract = json.loads(json.dumps(robot_contract(spec, default_layout(spec))))
    assert contract_differences(contract, spec) == []
    assert contract_differences(contract, spec, default_layout(spec)) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.update(robot="otherrobot"), "robot: the policy has otherrobot"),
        (lambda c: c.update(control_hz=100.0), "control_hz: the policy has 100"),
        (lambda c: c.update(contract_version=2), "contract_version: the policy has 2, the robot 1"),
        (lambda c: c["action"].update(kind="torque"), "action.kind: the policy has torque"),
        (lambda c: c["action"].update(clip=1.0), "action.clip"),
        (
            lambda c: c["action"]["scale"].__setitem__(4, 0.75),
            "action.scale: left_ankle_pitch: 0.75 (robot 0.5)",
        ),
        (lambda c: c["joint_lower"].__setitem__(3, -0.1), "joint_lower: left_knee_pitch: -0.1"),
        (lambda c: c["joint_upper"].pop(), "joint_upper: the policy has ["),
        (lambda c: c.pop("target_rate_limit"), "target_rate_limit: missing"),
        (lambda c: c["joint_stiffness"].__setitem__(0, 1.0), "joint_stiffness: waist_yaw: 1 "),
        (lambda c: c.update(history="newest first"), "history: the policy has newest first"),
        (lambda c: c["feature_names"].reverse(), "feature_names: 0: contact/right_heel"),
        (lambda c: c["gait_clock"].update(stride_hz=2.0), "gait_clock.stride_hz: the policy has 2,"),
        (lambda c: c.update(gait_clock=None), "gait_clock: the policy has None"),
        (lambda c: c["foot_names"].reverse(), "foot_names: 0: right_heel (robot left_toe)"),
        (lambda c: c["observation"][0].update(name="camera"), "slice 'camera' is unknown"),
        (lambda c: c["observation"][0].update(size=28), "slice 'features' has 28 values, here 29"),
        (lambda c: c["observation"][0].pop("scale"), "lacks name, size, frames or scale"),
        (lambda c: c["observation"][0].update(frames=0), "slice 'features' has 0 frames"),
        (lambda c: c["observation"][0].update(frames=3), "obs: the network takes 86 values"),
        (lambda c: c.pop("observation"), "observation: missing"),
        (
            lambda c: c["command_ranges"].update(yaw_rate=[-0.1, 0.1]),
            "command_ranges.yaw_rate: the policy was made",
        ),
    ],
)
def test_a_policy_whose_contract_differs_is_refused_by_name(
    exported: Path, spec: RobotSpec, tmp_path: Path, change: Change, named: str
) -> None:
    changed = rewrite_contract(exported, tmp_path / "policy.onnx", change)
    with pytest.raises(UserError) as refused:
        OnnxPolicy(changed, spec)
    assert named in str(refused.value)
    assert "; 1 difference:" in str(refused.value)


def test_a_policy_for_another_joint_order_ends_wildrobot_run_with_2_and_every_difference(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def swap(config: dict[str, Any]) -> None:
        joints = config["joints"]
        joints[1], joints[2] = joints[2], joints[1]  # hip pitch and hip roll of both legs
        joints[5], joints[6] = joints[6], joints[5]
        config["gait"]["stride_hz"] = 1.0

    robot = other_robot(tmp_path, swap)
    from wildrobot.core.errors import run_main

    flags = ["--robot", "sim", "--robot-file", str(robot.path), "--no-lcm", "--fast"]
    assert run_main(run.main, [str(exported), *flags]) == 2
    error = capsys.readouterr().err
    assert (
        "joint_names: 1: left_hip_pitch (robot left_hip_roll), 2: left_hip_roll (robot left_hip_pitch)"
        in error
    )
    assert "\n  feature_names: 1: joint_position/left_hip_pitch (robot joint_position/left_hip_roll)" in error
    assert "\n  gait_clock.stride_hz: the policy has 1.38889, the robot 1" in error
    for same in ("default_joint_pos", "joint_lower", "action.scale"):  # the same values, joint by joint
        assert same not in error
    assert "Traceback" not in error


def test_calibration_of_one_robot_is_a_note_and_no_refusal(exported: Path, tmp_path: Path) -> None:
    robot = other_robot(tmp_path, lambda config: config["joints"][0].update(id=42))
    policy = OnnxPolicy(exported, robot)
    assert policy.note is not None
    assert robot.robot_hash[:12] in policy.note


def test_a_robot_that_may_be_commanded_less_than_its_policy_can_is_no_difference(
    exported: Path, tmp_path: Path
) -> None:
    robot = other_robot(tmp_path, lambda config: config["command"].update(linear_velocity_x=[0.0, 0.3]))
    assert contract_differences(OnnxPolicy(exported).contract, robot) == []


def test_a_layout_other_than_the_policy_s_is_a_difference(exported: Path, spec: RobotSpec) -> None:
    policy = OnnxPolicy(exported, spec)
    policy.check_contract(spec, default_layout(spec))
    with pytest.raises(UserError, match="observation"):
        policy.check_contract(spec, make_layout(spec, {"features": 1, "command": 1}))


@pytest.mark.parametrize("shift", [2e-5, -2e-5, float("nan")])
def test_a_tampered_golden_vector_is_refused(
    exported: Path, spec: RobotSpec, tmp_path: Path, shift: float
) -> None:
    def tamper(contract: dict[str, Any]) -> None:
        contract["golden"]["actions"][0][3] += shift

    changed = rewrite_contract(exported, tmp_path / "policy.onnx", tamper)
    with pytest.raises(UserError, match="does not reproduce its golden vectors"):
        OnnxPolicy(changed, spec)


def test_a_tampered_weight_is_refused(exported: Path, spec: RobotSpec, tmp_path: Path) -> None:
    model = onnx.load(str(exported))
    weight = next(item for item in model.graph.initializer if len(item.dims) == 2)
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0] += 0.1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, str(tmp_path / "policy.onnx"))
    with pytest.raises(UserError, match="does not reproduce its golden vectors"):
        OnnxPolicy(tmp_path / "policy.onnx", spec)


@pytest.mark.parametrize(
    ("golden", "named"),
    [
        (None, "no golden vectors"),
        ({"obs": [], "actions": []}, "expected (k, 86)"),
        ({"obs": [[0.0] * 86], "actions": [[0.0] * 8]}, "expected (1, 8)"),
        ({"obs": [["a"] * 86], "actions": [[0.0] * 9]}, "no golden vectors"),
    ],
)
def test_golden_vectors_that_prove_nothing_are_refused(
    exported: Path, tmp_path: Path, golden: Any, named: str
) -> None:
    changed = rewrite_contract(exported, tmp_path / "policy.onnx", lambda c: c.update(golden=golden))
    with pytest.raises(UserError) as refused:
        OnnxPolicy(changed)
    assert named in str(refused.value)


def test_files_that_are_no_policy_are_refused_with_what_to_do(exported: Path, tmp_path: Path) -> None:
    truncated, bare, broken = tmp_path / "truncated.onnx", tmp_path / "bare.onnx", tmp_path / "broken.onnx"
    truncated.write_bytes(exported.read_bytes()[:5000])
    model = onnx.load(str(exported))
    next(entry for entry in model.metadata_props if entry.key == METADATA_KEY).value = '{"robot": '
    onnx.save(model, str(broken))
    del model.metadata_props[:]
    onnx.save(model, str(bare))
    for path, reason in (
        (tmp_path / "nowhere.onnx", "there is no policy"),
        (truncated, "not a whole ONNX file"),
        (bare, "has no contract"),
        (broken, "not valid JSON"),
        (exported.with_name("style.onnx"), "a policy has 'obs' and 'actions'"),
    ):
        with pytest.raises(UserError, match=reason) as refused:
            OnnxPolicy(path)
        assert "wildrobot export" in str(refused.value)


def test_a_discriminator_of_other_features_is_refused(
    exported: Path, spec: RobotSpec, tmp_path: Path
) -> None:
    style = exported.with_name("style.onnx")
    changed = rewrite_contract(style, tmp_path / "style.onnx", lambda c: c["feature_names"].reverse())
    with pytest.raises(UserError, match="feature_names"):
        OnnxStyle(changed, spec)
    changed = rewrite_contract(style, tmp_path / "style.onnx", lambda c: c.update(frames=0))
    with pytest.raises(UserError, match="frames"):
        OnnxStyle(changed, spec)
