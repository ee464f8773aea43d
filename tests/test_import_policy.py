"""`wildrobot import-policy`: networks of mjlab's and Isaac Lab's kind, against an implementation of theirs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from elsewhere_helpers import (
    Elsewhere,
    Term,
    attach,
    check_on_a_rollout,
    export_onnx,
    io_descriptors,
    isaac_task,
    mjlab_metadata,
    mjlab_scale,
    mjlab_task,
    shorten_rollouts,
)

from wildrobot.cli import import_policy as cli
from wildrobot.cli.run import run
from wildrobot.core.errors import UserError
from wildrobot.export.elsewhere.description import (
    ForeignPolicy,
    ForeignTerm,
    ImportFindings,
    read_description,
)
from wildrobot.export.elsewhere.joints import breadth_first, depth_first
from wildrobot.export.elsewhere.readers import described
from wildrobot.export.elsewhere.run_import import import_policy
from wildrobot.export.elsewhere.terms import KINDS
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.logs.replay import replay
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.episodes import EpisodeConfig
from wildrobot.training.evaluation.evaluation import EvalConfig, evaluate

MJLAB = Path(__file__).parent / "data" / "mjlab"


@pytest.fixture(autouse=True)
def _short_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_rollouts(monkeypatch)


# ---------------------------------------------------------------------- the same joint targets


def test_a_policy_of_mjlab_s_kind_does_here_what_it_does_there(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    assert result.difference_rad < 1e-5
    assert check_on_a_rollout(task, result.policy, spec) > 0.1
    contract = OnnxPolicy(result.policy, spec).contract
    assert contract["training"]["imported"]["run_path"] == "lab/walk/abc123"
    assert contract["training"]["imported"]["warnings"] == list(result.warnings)


def test_a_policy_of_isaac_lab_s_kind_does_here_what_it_does_there(spec: RobotSpec, tmp_path: Path) -> None:
    task = isaac_task(spec)
    source = export_onnx(task, tmp_path / "policy.onnx", opset=11)
    described_by = tmp_path / "IO_descriptors.yaml"
    described_by.write_text(yaml.safe_dump(io_descriptors(task, spec)))
    assert list(task.joints) != [f"{name}_joint" for name in spec.joint_names]
    result = import_policy(source, spec, tmp_path / "here.onnx", (described_by,), threads=1)
    assert check_on_a_rollout(task, result.policy, spec) > 0.1


def frame_of(tick: int, there: Any, spec: RobotSpec) -> SensorFrame:
    """What the robot's sensors would have measured at a tick of mjlab's: IMU on the torso, which the waist turns."""
    order = [list(there["joint_names"]).index(name) for name in spec.joint_names]
    position, velocity = (there[name][tick, order].astype(float) for name in ("joint_pos", "joint_vel"))
    w, x, y, z = there["quaternion"][tick].astype(float)
    waist = spec.joint_names.index("waist_yaw")
    half, angle = position[waist] / 2.0, position[waist]
    c, s = np.cos(half), np.sin(half)
    p, q, r = there["angular_velocity"][tick].astype(float)
    return SensorFrame.measured(
        np.array([tick * spec.control_dt]),
        joint_position=position[None],
        joint_velocity=velocity[None],
        imu_quaternion=np.array([[w * c - z * s, x * c + y * s, y * c - x * s, w * s + z * c]]),
        imu_angular_velocity=np.array(
            [
                [
                    np.cos(angle) * p + np.sin(angle) * q,
                    np.cos(angle) * q - np.sin(angle) * p,
                    r + velocity[waist],
                ]
            ]
        ),
        imu_acceleration=np.array([[0.0, 0.0, 9.81]]),
        foot_contact=np.ones((1, 4)),
    )


def test_a_policy_that_mjlab_itself_exported_and_ran_asks_here_for_the_joint_targets_of_there(
    spec: RobotSpec, tmp_path: Path
) -> None:
    """tests/data/mjlab/record.py made the file and the ticks, with another joint order than this robot's."""
    there = np.load(MJLAB / "walk.npz")
    assert list(there["joint_names"]) != list(spec.joint_names)
    result = import_policy(MJLAB / "walk.onnx", spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    policy = OnnxPolicy(result.policy, spec)
    path = SignalPath(spec, policy.layout, heading_hold=False)
    order = [list(there["joint_names"]).index(name) for name in spec.joint_names]
    path.reset(frame_of(0, there, spec))
    default = there["target"][0] - there["action"][0] * mjlab_scale(there)
    # there the last action begins with zeros
    path.previous_action = ((default[order] - spec.default_joint_pos) / spec.action_scale)[None]
    for tick, (command, wanted) in enumerate(zip(there["command"], there["target"], strict=True)):
        action = policy(path.observe(frame_of(tick, there, spec), command[None, [0, 2]]).observation)
        target = spec.default_joint_pos + spec.action_scale * action[0]
        np.testing.assert_allclose(target, wanted[order], atol=1e-5, err_msg=f"tick {tick}")
        path.act(action)
    assert np.ptp(there["target"], axis=0).min() > 0.02  # or nothing was proved


def test_a_wrong_joint_order_is_seen_by_the_rollout(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    swapped = list(task.joints)
    swapped[0], swapped[5] = swapped[5], swapped[0]  # the hips: the same pose at home
    metadata = mjlab_metadata(task, spec, joint_names=swapped)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), metadata)
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    with pytest.raises(AssertionError):
        check_on_a_rollout(task, result.policy, spec)


def test_a_network_without_a_word_about_itself_is_described_by_a_small_file(
    spec: RobotSpec, tmp_path: Path
) -> None:
    """The torso's gyroscope, a clipped action, and a waist that the policy does not know."""
    joints = [name for name in reversed(spec.joint_names) if name != "waist_yaw"]
    home = np.array([spec.default_joint_pos[spec.joint_names.index(name)] for name in joints])
    terms = [
        Term("gyro", lambda s: s.gyro, scale=0.25, history=2),
        Term("gravity", lambda s: s.gravity),
        Term("angles", lambda s: s.position - home),
        Term("dof_vel", lambda s: s.velocity, scale=0.05, clip=(-1.0, 1.0)),
        Term("velocity_commands", lambda s: s.command),
    ]
    task = Elsewhere(joints, home, np.full(8, 0.3), terms, gain=8.0)
    cut, scale = 0.5, task.scale
    real = task.module.forward
    source = export_onnx(task, tmp_path / "bare.onnx")
    task.module.forward = lambda x: torch.clamp(real(x), -cut, cut)  # as the environment's wrapper does
    description = {
        "control_hz": 50,
        "joint_names": [f"{name}_link" for name in joints],
        "rename": {f"{name}_link": name for name in joints},
        "default_joint_pos": home.tolist(),
        "action_scale": float(scale[0]),
        "action_clip": cut,
        "observations": [
            {"term": "gyro", "means": "base_ang_vel", "frame": "torso", "scale": 0.25, "history": 2},
            {"term": "gravity"},
            {"term": "angles", "means": "joint_pos", "relative": True},
            {"term": "dof_vel", "scale": 0.05, "clip": [-1.0, 1.0]},
            {"term": "velocity_commands"},
        ],
    }
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(description))
    result = import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "policy.yaml",), threads=1)
    assert check_on_a_rollout(task, result.policy, spec) == pytest.approx(cut * scale[0])  # it was cut
    assert any("does not move waist_yaw" in text for text in result.warnings)


def test_targets_that_are_cut_there_are_cut_here(spec: RobotSpec, tmp_path: Path) -> None:
    task = isaac_task(spec)
    task.terms = task.terms[:5]  # the last action is known after the cut only
    task.target_clip = [[float(o) - 0.06, float(o) + 0.2] for o in task.offset]
    task.__post_init__()
    source = export_onnx(task, tmp_path / "policy.onnx", opset=11)
    (tmp_path / "IO.yaml").write_text(yaml.safe_dump(io_descriptors(task, spec)))
    result = import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "IO.yaml",), threads=1)
    check_on_a_rollout(task, result.policy, spec)
    assert not any("target_clip" in text for text in result.warnings)
    whole = isaac_task(spec)
    whole.target_clip = task.target_clip
    export_onnx(whole, source, opset=11)
    (tmp_path / "IO.yaml").write_text(yaml.safe_dump(io_descriptors(whole, spec)))
    result = import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "IO.yaml",), threads=1)
    assert any("target_clip" in text and "last_action" in text for text in result.warnings)


def test_a_linear_velocity_is_the_estimate_in_the_pelvis_s_axes_and_a_warning_says_so(
    spec: RobotSpec, tmp_path: Path
) -> None:
    task = mjlab_task(spec)
    task.terms = [Term("base_lin_vel", lambda s: np.zeros(3), scale=2.0)]
    task.__post_init__()
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    assert any(text.startswith("base_lin_vel: not measured here but estimated") for text in result.warnings)
    policy = OnnxPolicy(result.policy, spec)
    assert [term.name for term in policy.layout] == ["pelvis_linear_velocity"]
    velocity = np.array([[0.3, -0.1, 0.02]], dtype=np.float32)
    _, wanted = task.act(2.0 * velocity[0])
    here = spec.default_joint_pos + spec.action_scale * policy(velocity)[0]
    np.testing.assert_allclose(here, [wanted[name] for name in spec.joint_names], atol=1e-5)


def test_runtime_replay_and_evaluation_take_the_file(
    spec: RobotSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = mjlab_task(spec)
    task.module.gain = 0.05
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    out = tmp_path / "here.onnx"
    assert cli.main([str(source), "--control-hz", "50", "--out", str(out), "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert "reads:  base_ang_vel x 1, projected_gravity x 3, joint_pos x 2" in text
    assert "default pose: " in text
    log = tmp_path / "stand.lcmlog"
    assert (
        run.main([str(out), "--robot", "sim", "--duration", "2", "--no-lcm", "--fast", "--log", str(log)])
        == 0
    )
    again = replay(log)
    assert again.difference is None
    assert again.count > 50
    config = EvalConfig(out, speeds=(0.0,), episodes=EpisodeConfig(episodes=2, duration_s=2.0, threads=1))
    figures = evaluate(spec, config)
    assert figures["network_sha256"] == OnnxPolicy(out, spec).contract["network_sha256"]


def test_weights_in_a_file_beside_it_come_into_the_policy_file(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    model = onnx.load(str(source))
    onnx.save(model, str(source), save_as_external_data=True, location="there.onnx.data", size_threshold=0)
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    (tmp_path / "there.onnx.data").unlink()
    check_on_a_rollout(task, result.policy, spec, ticks=3)
    with pytest.raises(UserError, match=r"cannot be read as ONNX.*\.data file"):
        import_policy(source, spec, tmp_path / "again.onnx", control_hz=50.0, threads=1)


# ---------------------------------------------------------------------- what a person is told


def test_other_gains_another_pose_and_coarse_scales_are_told(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    changes = {"joint_stiffness": [40.0] * 9, "joint_damping": [0.85] * 9}
    metadata = mjlab_metadata(task, spec, **changes)
    metadata["observation_terms_scale"] = metadata["observation_terms_scale"].replace("0.050", "0.013")
    source = attach(export_onnx(task, tmp_path / "there.onnx"), metadata)
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    told = "\n".join(result.warnings)
    assert "joint_stiffness: trained with right_hip_pitch 40 (here 18.9)" in told
    assert "joint_damping" not in told
    assert "default pose: waist_yaw 0.05 (here 0)" in told
    assert "0.013 is rounded to three decimals, 4% of it at worst" in told
    assert "base_ang_vel: taken as the pelvis's" in told
    assert "joint_pos is taken as mjlab's term" in told


def test_the_target_s_limits_are_counted_on_the_rollouts(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    task.module.gain = 60.0
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    told = "\n".join(import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1).warnings)
    assert "action_clip cut " in told
    assert "the target's rate limit cut " in told


def test_joints_are_counted_as_mujoco_does_and_as_isaac_sim_does(spec: RobotSpec) -> None:
    model = Simulation(spec, 1, threads=1).model
    assert depth_first(spec) == [model.joint(i).name for i in range(1, model.njnt)]
    assert breadth_first(spec) == [
        "waist_yaw", "left_hip_pitch", "right_hip_pitch", "left_hip_roll", "right_hip_roll",
        "left_knee_pitch", "right_knee_pitch", "left_ankle_pitch", "right_ankle_pitch",
    ]  # fmt: skip


def test_older_metadata_print_lists_as_python_does() -> None:
    found = ImportFindings()
    policy = described(
        {
            "observation_names": "base_ang_vel,command",
            "observation_terms_scale": "0.25,[2.0, 2.0, 0.25]",
            "observation_terms_clip": "[-inf, inf],[-1.0, 1.0]",
        },
        (),
        found,
    )
    assert found.problems == ["observation_terms_scale: 1 entries for 2 observation terms"]
    assert [term.clip for term in policy.observations] == [(-np.inf, np.inf), (-1.0, 1.0)]


def test_the_page_has_the_keys_and_the_terms_that_there_are() -> None:
    page = (Path(__file__).parents[1] / "docs" / "import.md").read_text()
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    read_description(example, Path("docs/import.md"))
    assert set(example) == {item.name for item in dataclasses.fields(ForeignPolicy)}
    told = {key for term in example["observations"] for key in term}
    assert told == {item.name for item in dataclasses.fields(ForeignTerm)}
    table = page.partition("## Terms")[2].partition("Refused")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `"): tuple(re.findall(r"`(\w+)`", row[2])) for row in rows} == KINDS
