"""The ablation: its kinematic reference, what it runs, its table and page, and going on after Ctrl-C."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from training_helpers import tiny_runner

from wildrobot.core.config import to_dict
from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_yaw
from wildrobot.reports.ablation_page import BASE, CURVES, ablation_page, ablation_rows, verdict
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.amp import AMPConfig
from wildrobot.training.setup import TrainConfig

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from ablation_baselines.kinematic import kinematic_features  # noqa: E402
from ablation_baselines.tracking_reward import PhaseTable  # noqa: E402


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ablation", BENCHMARKS / "ablation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ablation"] = module
    spec.loader.exec_module(module)
    return module


def test_a_plan_that_walks_west_moves_forward_and_leans_about_its_own_axis(
    spec: RobotSpec, squat: PlannedClip
) -> None:
    count = len(squat)
    heading = np.tile(quat_from_yaw(np.asarray(np.pi)), (count, 1))
    contact = np.tile([True, False, True, True], (count, 1))
    clip = replace(
        squat,
        root_quaternion=heading,
        root_linear_velocity=np.tile([-0.3, 0.0, 0.0], (count, 1)),
        root_angular_velocity=np.tile([0.0, -0.2, 0.1], (count, 1)),
        contact=contact,
    )
    names = feature_names(spec)
    values = dict(zip(names, kinematic_features(spec, clip)[7], strict=True))
    assert values["velocity_direction/x"] == pytest.approx(1.0)
    assert values["velocity_direction/y"] == pytest.approx(0.0)
    assert values["angular_velocity/y"] == pytest.approx(0.2)
    assert values["angular_velocity/z"] == pytest.approx(0.1)
    assert values["pelvis_height"] == pytest.approx(clip.root_position[7, 2])
    assert [values[f"contact/{name}"] for name in spec.foot_names] == [1.0, 0.0, 1.0, 1.0]
    assert values["joint_velocity/left_knee_pitch"] == pytest.approx(clip.joint_velocity[7, 3])


def made_run(variant: str, seed: int, score: float, style: float, points: int = 12) -> dict[str, Any]:
    """A finished run whose curves rise from 0 to `style` in the last sixth of the training."""
    curve = [0.0] * (points - 2) + [style, style]
    curves = dict.fromkeys(CURVES, curve) | {
        "iteration": list(range(points)),
        "disc_acc_heldout": [None] * points,
    }
    return {
        "variant": variant,
        "seed": seed,
        "score": score,
        "evaluation": [{"survival": 1.0}, {"survival": 0.5}],
        "auc_top": [["pelvis_height", 0.9]],
        "curves": curves,
    }


RUNS = [
    made_run("norm: spectral norm", 0, 0.9, 0.4),
    made_run("norm: spectral norm", 1, 0.8, 0.6),
    made_run(BASE, 0, 0.5, 0.2),
    made_run(BASE, 1, 0.7, 0.2),
    made_run("R1: γ = 1", 0, 0.6, 0.1),
    made_run("R1: γ = 1", 1, 0.4, 0.1),
]


def test_a_row_is_the_end_of_the_curves_over_the_seeds() -> None:
    rows = {row["variant"]: row for row in ablation_rows(RUNS)}
    assert next(iter(rows)) == BASE
    row = rows["norm: spectral norm"]
    assert row["seeds"] == 2
    assert row["style_reward"] == pytest.approx(0.5)
    assert row["disc_acc"] is None
    assert (row["score"], row["score_spread"]) == pytest.approx((0.85, 0.05))
    assert row["survival"] == pytest.approx(0.75)
    assert row["top_auc"] == "pelvis_height 0.90"
    assert ablation_rows(RUNS[:1])[0]["score_spread"] is None


def test_only_a_difference_beyond_the_seeds_is_one() -> None:
    verdicts = {row["variant"]: row["verdict"] for row in ablation_rows(RUNS)}
    assert verdicts == {BASE: BASE, "norm: spectral norm": "better by 0.250", "R1: γ = 1": "as good"}
    assert verdict([0.1, 0.2], [0.5, 0.6]) == "worse by 0.400"
    assert verdict([0.9], [0.1]) == "–"


def test_the_page_shows_each_question_that_has_two_answers() -> None:
    lines = {
        "norm": {BASE: "LayerNorm", "norm: spectral norm": "spectral norm"},
        "window": {BASE: "2 frames", "window: 3 frames": "3 frames"},
    }
    document = {"note": "n & m", "rows": ablation_rows(RUNS), "lines": lines, "environment": {}, "runs": RUNS}
    page = ablation_page(document)
    assert "<h2>norm " in page
    assert "as configured: LayerNorm" in page
    assert "<h2>window" not in page
    assert page.count("<svg") == 3, "accuracy was never measured"
    assert "n &amp; m" in page


def test_every_answer_changes_the_configuration_or_is_its_present_state(ablation: ModuleType) -> None:
    variants, lines = ablation.plan(TrainConfig(), list(ablation.GROUPS))
    assert all(
        BASE in answers and len(answers) == len(ablation.GROUPS[group]) for group, answers in lines.items()
    )
    different = [json.dumps(to_dict(config)) for config in variants.values()]
    assert len(set(different)) == len(different) - 2, (
        "kinematic reference and tracking reward are no configurations"
    )


def test_the_unchanged_run_follows_the_configuration(ablation: ModuleType) -> None:
    config = TrainConfig(amp=AMPConfig(norm="spectral"))
    assert ablation.plan(config, ["norm"])[1] == {
        "norm": {"norm: LayerNorm": "LayerNorm", BASE: "spectral norm"}
    }


def test_curves_are_means_of_groups_without_what_was_not_measured(ablation: ModuleType) -> None:
    history = [{"iteration": k, "speed_error": float(k) if k % 2 else math.nan} for k in range(120)]
    curves = ablation.curves(history)
    assert len(curves["speed_error"]) == len(curves["iteration"]) == ablation.POINTS
    assert curves["speed_error"][:2] == [1.0, 3.0]
    assert curves["iteration"][:2] == [0.5, 2.5]
    assert set(curves["disc_acc_heldout"]) == {None}


def test_the_phase_table_pays_for_the_reference_s_pose_at_its_phase_and_speed(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    reference = copy.deepcopy(walking_reference)
    arrays, count = reference.arrays, len(reference.arrays["features"])
    arrays["phase"][:] = np.linspace(0.0, 40.0 * np.pi, count) % (2.0 * np.pi)
    features = arrays["features"]
    features[:] = 0.2 * np.random.default_rng(0).standard_normal(features.shape)
    features[:, 0] += 2.0 * np.sin(arrays["phase"])
    table = PhaseTable(reference)
    assert table.speeds_m_s.tolist() == [0.2]
    phase, speed = arrays["phase"].astype(np.float64), np.full(count, 0.23)
    there = table.reward(features, phase, speed)
    assert 0.7 < there.mean() < 0.9
    later = table.reward(features, phase + 1.0, speed)
    assert later.mean() < there.mean() - 0.2
    assert table.reward(table.mean[0, :1], np.array([0.01]), np.array([0.2])) == pytest.approx([1.0])


def test_a_reference_that_does_not_walk_has_no_phase_table(small_reference: ReferenceDataset) -> None:
    still = copy.deepcopy(small_reference)
    still.arrays["moving"][:] = False
    with pytest.raises(UserError, match="walking straight on"):
        PhaseTable(still)


def test_the_tracking_reward_takes_the_style_s_place(
    ablation: ModuleType,
    spec: RobotSpec,
    walking_reference: ReferenceDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Half:
        def __init__(self, dataset: Any) -> None:
            self.seen: list[Any] = []

        def reward(self, features: Any, phase: Any, speed_m_s: Any) -> Any:
            self.seen.append((features, phase, speed_m_s))
            return np.full(len(features), 0.5)

    table = Half(None)
    monkeypatch.setattr(ablation, "PhaseTable", lambda dataset: table)
    runner = tiny_runner(spec, walking_reference, steps=8)
    ablation.use_tracking_reward(runner, walking_reference)
    metrics = runner.iterate()
    assert metrics["style_reward_mean"] == 0.5
    assert np.isnan(metrics["disc_acc_heldout"])
    features, phase, speed = table.seen[0]
    assert features.shape[1] == 29
    assert np.ptp(phase) > 0.5
    low, high = TrainConfig().walking.speed
    assert np.all((speed >= low - 1e-6) & (speed <= high + 1e-6))
    paid = runner.rollout.rewards[..., 1][runner.rollout.valid]
    torch.testing.assert_close(paid, torch.full_like(paid, 0.5 * runner.mix.scale))


TINY = [
    *("--num-envs", "8", "--steps", "4", "--hidden", "8", "--threads", "1", "--cloning.updates", "3"),
    *("--amp.hidden", "8", "--amp.batch", "16", "--amp.warmup-updates", "1"),
    *("--selection.episodes", "2", "--selection.duration-s", "1", "--selection.speeds-m-s", "0.3"),
]


def test_a_run_that_is_there_is_not_made_again(
    ablation: ModuleType,
    walking_reference: ReferenceDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walking_reference.save(tmp_path / "reference.npz")
    output, page = tmp_path / "ablation.json", tmp_path / "ablation.html"
    command = ["--reference", str(tmp_path / "reference.npz"), "--output", str(output), "--page", str(page)]
    command += ["--iterations", "2", "--seeds", "0", "--groups", "norm", *TINY]
    made = []
    run_variant = ablation.run_variant

    def interrupted(*arguments: Any) -> Any:
        made.append(arguments[3])
        return None if len(made) == 2 else run_variant(*arguments)

    monkeypatch.setattr(ablation, "run_variant", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablation._main(command)
    assert ablation._main(command) == 0
    assert made == [BASE, "norm: LayerNorm", "norm: LayerNorm"]
    document = json.loads(output.read_text(encoding="utf-8"))
    assert [run["variant"] for run in document["runs"]] == [BASE, "norm: LayerNorm"]
    assert [row["survival"] is not None for row in document["rows"]] == [True, True]
    assert "<h2>norm " in page.read_text(encoding="utf-8")
    with pytest.raises(UserError, match="differ in: amp"):
        ablation._main([*command, "--amp.r1", "3"])


def test_runs_of_an_older_version_go_on_where_new_keys_are_at_their_defaults(
    ablation: ModuleType, tmp_path: Path
) -> None:
    reference, output = tmp_path / "reference.npz", tmp_path / "ablation.json"
    reference.write_bytes(b"motion")
    wanted = ablation.settings(TrainConfig(reference=reference))
    older = copy.deepcopy(wanted)
    del older["walking"]["kernels"]
    output.write_text(json.dumps({"settings": older, "runs": [{"variant": "a"}]}))
    assert ablation.finished(output, json.loads(json.dumps(wanted))) == [{"variant": "a"}]
    older["walking"]["speed"] = [0.1, 0.2]
    output.write_text(json.dumps({"settings": older, "runs": []}))
    with pytest.raises(UserError, match="differ in: walking"):
        ablation.finished(output, json.loads(json.dumps(wanted)))
