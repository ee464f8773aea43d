"""`wildrobot export`: the file says the same as torch, says what it is, and is there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from policy_helpers import make_networks, make_run

from wildrobot.cli import export as cli
from wildrobot.core.errors import UserError, run_main
from wildrobot.export import run_export
from wildrobot.export.metadata import golden_vectors
from wildrobot.export.onnx_export import compare, rollout, to_onnx
from wildrobot.export.run_export import export
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.contract import robot_contract
from wildrobot.signal_path.observation import default_layout, layout_size, observation_mirror
from wildrobot.signal_path.policy import OnnxPolicy, OnnxStyle
from wildrobot.training.rl.networks import SymmetricActor

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run(spec: RobotSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    return make_run(tmp_path_factory.mktemp("run"), spec)


@pytest.fixture(scope="module")
def exported(run: Path) -> run_export.Exported:
    """Its export."""
    return export(run, threads=1)


@pytest.fixture
def recorded(walked: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports take the observations of one rollout made before: it is the slow part."""
    monkeypatch.setattr(run_export, "rollout", lambda *args, **kwargs: walked)


@pytest.fixture(scope="module")
def walked(spec: RobotSpec) -> tuple[Any, Any]:
    """Observations and windows of a rollout."""
    return rollout(spec, default_layout(spec), make_networks(spec)[0], 2, seed=3, threads=1)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# ---------------------------------------------------------------------------- what is written


def test_spectral_norm_is_done_with_when_the_discriminator_is_written(
    spec: RobotSpec, recorded: None, tmp_path: Path
) -> None:
    run = make_run(tmp_path, spec, norm="spectral")
    style = export(run, threads=1).style
    assert style is not None
    loaded, trained = OnnxStyle(style, spec), make_networks(spec, "spectral")[1].eval()
    inputs = 3.0 * np.random.default_rng(2).normal(size=(200, loaded.input_size)).astype(np.float32)
    with torch.no_grad():
        wanted = trained(torch.as_tensor(inputs)).numpy()
    assert np.std(wanted) > 0.05
    assert np.max(np.abs(loaded(inputs) - wanted)) < 1e-5


def test_policy_and_discriminator_agree_with_torch_and_the_file_says_how_well(
    exported: run_export.Exported, spec: RobotSpec
) -> None:
    assert exported.style is not None
    for path, network, kind in zip(
        (exported.policy, exported.style), make_networks(spec), (OnnxPolicy, OnnxStyle), strict=True
    ):
        loaded = kind(path, spec)
        inputs = 3.0 * np.random.default_rng(2).normal(size=(200, loaded.input_size)).astype(np.float32)
        with torch.no_grad():
            wanted = network(torch.as_tensor(inputs)).numpy()
        assert np.std(wanted) > 0.05
        assert np.max(np.abs(loaded(inputs) - wanted)) < 1e-5
        comparison = loaded.contract["comparison"]
        assert comparison["samples"] == 1000
        assert 0.0 < comparison["max_abs_difference"] <= 1e-5


def test_mirrored_observations_get_exactly_mirrored_actions(
    exported: run_export.Exported, spec: RobotSpec
) -> None:
    policy = OnnxPolicy(exported.policy, spec)
    index, sign = observation_mirror(spec, default_layout(spec))
    obs = np.random.default_rng(3).normal(size=(64, policy.input_size)).astype(np.float32)
    mirrored = (obs[:, index] * sign).astype(np.float32)
    answer, reflected = policy(obs), policy(mirrored)
    expected = answer[:, spec.mirror.joint_index] * spec.mirror.joint_sign.astype(np.float32)
    assert np.max(np.abs(reflected - expected)) < 1e-6
    assert np.max(np.abs(reflected - answer)) > 0.1


def test_the_contract_holds_the_robot_the_training_and_nothing_rounded(
    exported: run_export.Exported, spec: RobotSpec
) -> None:
    contract = OnnxPolicy(exported.policy).contract
    expected = robot_contract(spec, default_layout(spec))
    assert {key: contract[key] for key in expected} == expected
    known = {"commit": "c0ffee", "preset": "quick", "seed": 5, "steps": 3456, "iteration": 12}
    assert {key: contract["training"][key] for key in known} == known
    assert contract["training"]["config"]["hidden"] == [32, 16]
    assert contract["joint_damping"] == spec.joint_damping.tolist()
    assert contract["evaluation"] is None


def test_the_comma_strings_of_other_tools_are_there(exported: run_export.Exported, spec: RobotSpec) -> None:
    model = onnx.load(str(exported.policy))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["joint_names"] == ",".join(spec.joint_names)
    assert metadata["observation_names"] == ",".join(term.name for term in default_layout(spec))
    assert metadata["command_names"] == "linear_velocity_x,yaw_rate"
    for key, values in (
        ("joint_stiffness", spec.joint_stiffness),
        ("joint_damping", spec.joint_damping),
        ("default_joint_pos", spec.default_joint_pos),
        ("action_scale", spec.action_scale),
    ):
        assert np.allclose([float(part) for part in metadata[key].split(",")], values, rtol=1e-5)
    assert "/" not in metadata["run_path"]


def test_the_graph_is_small_plain_and_takes_any_batch(exported: run_export.Exported) -> None:
    model = onnx.load(str(exported.policy))
    assert model.opset_import[0].version >= 17
    nodes = [node.op_type for node in model.graph.node if node.op_type != "Constant"]
    plain = {"Gather", "Slice", "Concat", "Gemm", "MatMul", "Mul", "Div", "Add", "Sub", "Clip", "Elu"}
    assert set(nodes) <= plain | {"Identity"}
    assert len(nodes) < 50
    for value, name in ((model.graph.input[0], "obs"), (model.graph.output[0], "actions")):
        assert value.name == name
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    content = exported.policy.read_bytes()
    assert str(ROOT).encode() not in content  # no path of the machine that made it
    assert str(exported.policy.parent).encode() not in content


def test_two_exports_of_one_run_are_the_same_file(
    run: Path, exported: run_export.Exported, tmp_path: Path
) -> None:
    again = export(run, tmp_path / "again.onnx", threads=1)
    assert again.policy.read_bytes() == exported.policy.read_bytes()
    assert sorted(files(tmp_path)) == ["again.onnx", "style.onnx"]


@pytest.mark.usefixtures("recorded")
def test_an_evaluation_of_this_network_is_taken_up_and_one_of_another_is_not(
    spec: RobotSpec, exported: run_export.Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, spec)
    network = OnnxPolicy(exported.policy).contract["network_sha256"]
    figures = {"network_sha256": network, "rows": [{"survival": 0.97}]}
    (run / "evaluation.json").write_text(json.dumps(figures))
    assert OnnxPolicy(export(run, threads=1).policy).contract["evaluation"] == figures
    (run / "evaluation.json").write_text(json.dumps({**figures, "network_sha256": "another"}))
    assert run_main(cli.main, [str(run), "--onnx", "--threads", "1"]) == 0
    assert "another network" in capsys.readouterr().out
    assert OnnxPolicy(run / "policy.onnx").contract["evaluation"] is None


@pytest.mark.usefixtures("recorded")
def test_a_run_without_discriminator_gives_a_policy_alone(spec: RobotSpec, tmp_path: Path) -> None:
    result = export(make_run(tmp_path, spec, discriminator=None), tmp_path / "out" / "policy.onnx", threads=1)
    assert result.style is None
    assert files(tmp_path / "out") == ["policy.onnx"]


def test_observations_of_the_comparison_are_real_rollouts_of_this_policy(
    spec: RobotSpec, walked: tuple[Any, Any]
) -> None:
    layout = default_layout(spec)
    observations, windows = walked
    assert observations.shape == (1000, layout_size(layout))
    assert windows.shape == (1000, 58)
    start = sum(term.size * term.frames for term in layout[:3])
    speed = observations[:, start]
    assert speed.min() == 0.0
    assert speed.max() == pytest.approx(spec.command.linear_velocity_x[1])
    assert np.all(np.std(observations[:, : spec.num_joints], axis=0) > 1e-3)
    assert len(np.unique(observations, axis=0)) == 1000
    still = SymmetricActor(spec, layout, (8,))
    for part in (still.head.even, still.head.odd):
        torch.nn.init.zeros_(part.weight)
    other, _ = rollout(spec, layout, still, 2, seed=3, threads=1)
    assert not np.array_equal(other, observations)


def test_golden_vectors_are_spread_over_the_rollouts_and_exact() -> None:
    inputs = np.arange(12, dtype=np.float32).reshape(6, 2) / 7
    golden = golden_vectors(inputs, inputs[:, :1] * 2, ("obs", "actions"), count=3)
    assert np.array_equal(np.asarray(golden["obs"], dtype=np.float32), inputs[[0, 2, 5]])
    assert json.loads(json.dumps(golden)) == golden


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.usefixtures("recorded")
def test_a_graph_with_another_activation_is_refused_and_nothing_is_left_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(module: torch.nn.Module, size: int, names: tuple[str, str]) -> onnx.ModelProto:
        with monkeypatch.context() as patch:  # the predecessor's mistake: another activation than the actor's
            patch.setattr(torch.nn.functional, "elu", torch.nn.functional.selu)
            return to_onnx(module, size, names)

    monkeypatch.setattr(run_export, "to_onnx", wrong)
    place = tmp_path / "new" / "policy.onnx"
    assert run_main(cli.main, [str(run), "--onnx", str(place), "--threads", "1"]) == 2
    assert "differ by" in capsys.readouterr().err
    assert files(tmp_path) == []


def test_the_comparison_draws_the_line_at_1e_minus_5(spec: RobotSpec) -> None:
    actor, _ = make_networks(spec)
    size = layout_size(default_layout(spec))
    model = to_onnx(actor, size, ("obs", "actions"))
    inputs = np.random.default_rng(0).normal(size=(40, size)).astype(np.float32)

    class Shifted(torch.nn.Module):
        def __init__(self, shift: float) -> None:
            super().__init__()
            self.shift = shift

        def forward(self, obs: Any) -> Any:
            return actor(obs) + self.shift

    figures, _ = compare(model, Shifted(5e-6), inputs, ("obs", "actions"))
    assert figures["max_abs_difference"] == pytest.approx(5e-6, rel=0.3)
    for shift in (2e-5, -2e-5, float("nan")):
        with pytest.raises(UserError):
            compare(model, Shifted(shift), inputs, ("obs", "actions"))


@pytest.mark.usefixtures("recorded")
def test_a_discriminator_that_differs_stops_the_policy_too(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_export.to_onnx

    def broken(module: torch.nn.Module, size: int, names: tuple[str, str]) -> Any:
        if names == run_export.STYLE_NAMES:
            module = torch.nn.Sequential(module, torch.nn.Softplus())
        return real(module, size, names)

    monkeypatch.setattr(run_export, "to_onnx", broken)
    with pytest.raises(UserError, match="'logit'"):
        export(run, tmp_path / "policy.onnx", threads=1)
    assert files(tmp_path) == []


@pytest.mark.usefixtures("recorded")
def test_a_diverged_network_is_refused(spec: RobotSpec, tmp_path: Path) -> None:
    actor, _ = make_networks(spec)
    state = actor.state_dict()
    state["net.layers.0.even.bias"][0] = float("nan")
    with pytest.raises(UserError, match="NaN or infinite"):
        export(make_run(tmp_path, spec, actor=state), tmp_path / "out" / "policy.onnx", threads=1)
    assert not (tmp_path / "out").exists()


def break_file(run: Path, how: str, spec: RobotSpec) -> None:
    path = run / "checkpoint.pt"
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:4000])
    elif how == "no policy":
        make_run(run, spec, layout=None)
    elif how == "other networks":
        make_run(run, spec, config=json.dumps({"hidden": [32, 8], "robot": None}))
    elif how == "other robot":
        make_run(run, spec, robot_hash="0" * 64)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("missing", "no checkpoint"),
        ("truncated", "truncated"),
        ("no policy", "lacks layout"),
        ("other networks", "does not fit"),
        ("other robot", "another robot description"),
    ],
)
def test_a_checkpoint_that_cannot_be_exported_ends_with_2_and_leaves_nothing(
    how: str, named: str, spec: RobotSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", spec)
    break_file(run, how, spec)
    assert run_main(cli.main, [str(run), "--onnx", str(tmp_path / "out" / "policy.onnx")]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("recorded")
def test_a_failure_while_writing_keeps_the_files_that_were_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("policy.onnx", "style.onnx"):
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(run_export, "OnnxPolicy", FailsToLoad)
    with pytest.raises(UserError):
        export(run, tmp_path / "policy.onnx", threads=1)
    assert files(tmp_path) == ["policy.onnx", "style.onnx"]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}


class FailsToLoad:
    """A policy that does not pass its own check after it was written."""

    def __init__(self, path: Path, spec: RobotSpec) -> None:
        raise UserError("does not reproduce")


@pytest.mark.usefixtures("recorded")
def test_an_output_that_is_a_folder_or_the_style_file_ends_with_2(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.onnx").mkdir()
    for name, named in (("policy.onnx", "a folder has this name"), ("style.onnx", "Choose another name")):
        assert run_main(cli.main, [str(run), "--onnx", str(tmp_path / name), "--threads", "1"]) == 2
        assert named in capsys.readouterr().err
    assert files(tmp_path) == ["policy.onnx"]


def test_the_form_of_export_must_be_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(cli.main, [str(run)]) == 2
    assert "--onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["runs/a", "--onnx"], ["runs/a", "--onnx"]),
        (["runs/a", "--onnx", "p.onnx"], ["runs/a", "--onnx", "--output", "p.onnx"]),
        (["--onnx", "runs/a"], ["--onnx", "runs/a"]),
        (["runs/a", "--onnx", "--output", "p.onnx"], ["runs/a", "--onnx", "--output", "p.onnx"]),
    ],
)
def test_a_file_may_follow_the_flag(given: list[str], meant: list[str]) -> None:
    assert cli._with_file_after_onnx(given) == meant


# ------------------------------------------------------------------------ figures into a file that is there


def measured(policy: Path, **changes: Any) -> dict[str, Any]:
    """What `wildrobot eval` writes about a policy file."""
    loaded = OnnxPolicy(policy)
    names = {"network_sha256": loaded.contract["network_sha256"], "policy_sha256": loaded.sha256}
    return {**names, "rows": [{"command_m_s": 0.3, "survival": 0.97}], **changes}


def test_figures_go_into_a_policy_file_and_leave_the_rest_of_it_alone(
    exported: run_export.Exported, tmp_path: Path, spec: RobotSpec
) -> None:
    policy, figures = tmp_path / "policy.onnx", tmp_path / "figures.json"
    policy.write_bytes(exported.policy.read_bytes())
    figures.write_text(json.dumps(measured(policy)))
    flags = ["nowhere", "--onnx", str(policy), "--evaluation", str(figures)]
    for _ in range(2):  # the second time the file is no longer the one that was measured, but its network is
        assert run_main(cli.main, flags) == 0
    before, after = OnnxPolicy(exported.policy), OnnxPolicy(policy, spec)
    assert after.contract == {**before.contract, "evaluation": json.loads(figures.read_text())}
    strings = [{e.key: e.value for e in onnx.load(str(p)).metadata_props} for p in (exported.policy, policy)]
    assert {**strings[0], "wildrobot": ""} == {**strings[1], "wildrobot": ""}


def test_figures_of_another_network_are_refused_and_the_file_stays_as_it_is(
    exported: run_export.Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, figures = tmp_path / "policy.onnx", tmp_path / "figures.json"
    content = exported.policy.read_bytes()
    policy.write_bytes(content)
    flags = ["nowhere", "--onnx", str(policy), "--evaluation", str(figures)]
    assert run_main(cli.main, flags) == 2
    assert "there is no" in capsys.readouterr().err
    figures.write_text(json.dumps(measured(policy, network_sha256="x", policy_sha256="y")))
    assert run_main(cli.main, flags) == 2
    assert "are not of" in capsys.readouterr().err
    assert policy.read_bytes() == content
