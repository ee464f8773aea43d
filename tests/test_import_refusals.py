"""What of another framework's policy cannot be built here, and what is then said."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from elsewhere_helpers import (
    Term,
    attach,
    csv,
    export_onnx,
    io_descriptors,
    isaac_task,
    mjlab_metadata,
    mjlab_task,
    shorten_rollouts,
)
from torch import nn

from wildrobot.cli import import_policy as cli
from wildrobot.core.errors import UserError, run_main
from wildrobot.export.elsewhere.run_import import import_policy
from wildrobot.robot_description import RobotSpec


@pytest.fixture(autouse=True)
def _short_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_rollouts(monkeypatch)


def test_everything_in_the_way_is_named_at_once_and_nothing_is_written(
    spec: RobotSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = mjlab_task(spec)
    task.terms += [Term("height_scan", lambda s: np.zeros(187)), Term("wheel_slip", lambda s: np.zeros(2))]
    task.__post_init__()
    metadata = mjlab_metadata(task, spec)
    metadata["joint_names"] = metadata["joint_names"].replace("waist_yaw", "waist_roll")
    source = attach(export_onnx(task, tmp_path / "there.onnx"), metadata)
    before = sorted(tmp_path.iterdir())
    assert run_main(cli.main, [str(source), "--out", str(tmp_path / "here.onnx")]) == 2
    text = capsys.readouterr().err
    assert "2 things stand in the way" in text  # the joints' names first: without them no term can be built
    assert "control_hz: neither the file nor a description says it; this robot runs at 50 Hz" in text
    assert "wildrobot has no joint 'waist_roll' (waist_yaw?)" in text
    (tmp_path / "names.yaml").write_text("rename: {waist_roll: waist_yaw}\n")
    arguments = [
        str(source),
        "--description",
        str(tmp_path / "names.yaml"),
        "--out",
        str(tmp_path / "here.onnx"),
    ]
    assert run_main(cli.main, arguments) == 2
    text = capsys.readouterr().err
    assert "3 things stand in the way" in text
    assert "height_scan: no sensor of this robot sees the ground" in text
    assert "wheel_slip: unknown here; if it is one of base_lin_vel, base_ang_vel" in text
    assert "Nothing was written" in text
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "names.yaml"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation_names": "base_ang_vel"}, "observation_terms_scale: 6 entries for 1 observation terms"),
        ({"action_scale": "0.5,0.5"}, "action_scale: 2 values for 9 joints"),
        ({"action_scale": "0.000"}, "holds a 0, with which a joint is not moved"),
        ({"action_scale": "a,b"}, "action_scale: 'a,b' of the metadata is no list of numbers"),
        ({"default_joint_pos": ",".join(["nan"] * 9)}, "are not all numbers"),
        ({"default_joint_pos": ",".join(["1.0"] * 9)}, "default pose: outside the joint limits of waist_yaw"),
        ({"command_names": "motion"}, "the policy follows a recorded motion"),
        ({"joint_names": ""}, "Isaac Sim breadth-first, which is likely waist_yaw, left_hip_pitch, right_hip_pitch"),
        ({"joint_names": ",".join(["waist_yaw"] * 9)}, "name a joint twice"),
        ({"observation_terms_history_length": csv([0, 3, 2, 4, 2, 1, 1])}, "7 entries for 6 observation terms"),
        ({"observation_terms_history_length": csv([0, 3, 2, 4, 1, 0])}, "takes 87 values, its terms have 78"),
        ({"observation_terms_flatten_history_dim": csv([True, False] * 3)}, "its history is a dimension of its own"),
        ({"observation_terms_scale": csv([0.25, 1.0, 1.0, 0.05, 1.0, [2.0, 2.0]])}, "command: 2 scales for 3 values"),
        ({"observation_terms_scale": csv([0.25, 0.0, 1.0, 0.05, 1.0, 1.0])}, "projected_gravity: its scale is 0.0"),
        ({"observation_terms_scale": ""}, "joint_vel: its scale is said nowhere"),
        ({"observation_terms_history_length": ""}, "joint_vel: its history length is said nowhere"),
        ({"observation_names": csv(["phase", "a", "b", "c", "d", "e"])}, "say `means: gait_clock`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_metadata_that_make_no_sense_are_refused_by_name(
    spec: RobotSpec, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec, **changes))
    with pytest.raises(UserError) as error:
        import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    assert message in str(error.value)
    assert not (tmp_path / "here.onnx").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("controll_hz: 50\n", "unknown key 'controll_hz'"),
        (
            "observations: [{term: joint_acc}]\n",
            "describes joint_acc, but the policy's terms are base_ang_vel",
        ),
        (
            "observations: [{term: joint_pos, joints: [left_knee_pitch, nose]}]\n",
            "joint_pos: nose are not among",
        ),
        ("observations: [{term: projected_gravity, frame: torso}]\n", "only the torso's angular velocity"),
        ("observations: [{term: joint_pos, history: 0}]\n", "joint_pos: its history is 0"),
        (
            "observations: [{term: joint_pos, clip: [1, -1]}]\n",
            "joint_pos: its clip is [1.0, -1.0], expected the lower",
        ),
        (
            "target_clip: [[1, -1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]\n",
            "the lower number",
        ),
        ("action_clip: -1\n", "action_clip: -1.0, expected a number above 0"),
        ("target_clip: [[-1, 1]]\n", "target_clip: 1 ranges for 9 joints"),
        ("control_hz: 60\n", "made for 60 Hz, this robot runs at 50 Hz"),
        ("joint_names: [a\n", "is not valid YAML"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused_by_name(
    spec: RobotSpec, tmp_path: Path, text: str, message: str
) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "policy.yaml",), threads=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["actions"][0].update(full_path="x.JointVelocityAction"),
            "here an action is one JointPositionAction",
        ),
        (lambda d: d["actions"].append(d["actions"][0]), "JointPositionAction, JointPositionAction; here"),
        (
            lambda d: d["observations"]["policy"][1]["extras"].update(modifiers=["bias"]),
            "goes through modifiers",
        ),
        (lambda d: d["scene"].pop("dt"), "looks like Isaac Lab's IO descriptors, but cannot be read"),
        (lambda d: d["scene"].update(dt=0.005), "made for 200 Hz"),
        (
            lambda d: d["observations"]["policy"][2]["overloads"].update(flatten_history_dim=False),
            "flatten it",
        ),
    ],
)
def test_io_descriptors_that_cannot_be_built_are_refused_by_name(
    spec: RobotSpec, tmp_path: Path, change: Any, message: str
) -> None:
    task = isaac_task(spec)
    source, data = export_onnx(task, tmp_path / "policy.onnx"), io_descriptors(task, spec)
    change(data)
    (tmp_path / "IO.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match=message):
        import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "IO.yaml",), threads=1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, obs: Any, h_in: Any) -> Any:
        h = torch.tanh(self.linear(obs) + h_in)
        return h, h


class OneAtATime(nn.Module):
    """Its graph holds the batch size that it was exported with."""

    def forward(self, obs: Any) -> Any:
        return torch.reshape(obs[:, :9] + 0.0, (1, 9))


class TwoAnswers(nn.Module):
    def forward(self, obs: Any) -> Any:
        return obs[:, :9] + 0.0, obs[:, :1] * 2.0


def test_networks_of_another_form_are_refused(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    metadata = mjlab_metadata(task, spec)
    source = tmp_path / "there.onnx"

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
        assert not (tmp_path / "here.onnx").exists()

    refused("there is no")
    source.write_bytes(b"no network")
    refused("cannot be read as ONNX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = {"input_names": ["obs", "h_in"], "output_names": ["actions", "h_out"]}
        torch.onnx.export(
            Recurrent(), (torch.zeros(1, 4), torch.zeros(1, 2)), str(source), dynamo=False, **ends
        )
        attach(source, metadata)
        refused("a memory of its own from tick to tick takes obs, h_in")
        task.module.double()
        torch.onnx.export(
            task.module, (torch.zeros(1, 87).double(),), str(source), dynamo=False,
            input_names=["obs"], output_names=["actions"],
        )  # fmt: skip
        attach(source, metadata)
        refused("obs: DOUBLE values; export the network in float32")
        torch.onnx.export(
            OneAtATime(), (torch.zeros(1, 87),), str(source), dynamo=False,
            input_names=["obs"], output_names=["actions"],
        )  # fmt: skip
        attach(source, metadata)
        refused("cannot be run on 5 observations at once")
        for module, message in (
            (nn.Linear(87, 12), r"answers with shape \(1, 12\), expected \(1, 9\)"),
            (nn.Linear(50, 9), "obs: ONNX Runtime cannot run it on 87 values"),
            (TwoAnswers(), "mean, value; which one is the action"),
        ):
            size = getattr(module, "in_features", 87)
            names = ["mean", "value"] if isinstance(module, TwoAnswers) else ["actions"]
            torch.onnx.export(
                module, (torch.zeros(1, size),), str(source), dynamo=False, input_names=["obs"], output_names=names,
                dynamic_axes={name: {0: "batch", 1: f"size_{name}"} for name in ("obs", *names)},
            )  # fmt: skip
            attach(source, metadata)
            refused(message)
    attach(export_onnx(mjlab_task(spec), source), metadata)
    import_policy(source, spec, tmp_path / "done.onnx", control_hz=50.0, threads=1)
    source = tmp_path / "done.onnx"
    refused("is a policy file already")
