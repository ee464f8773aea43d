"""The best checkpoint: kept by evaluations of its own, found again on resume, and what is exported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training_helpers import assert_same_state, tiny_config

from wildrobot.export.run_export import export
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.observation import default_layout
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.training.evaluation.best import BEST_FILE, Selection, SelectionConfig
from wildrobot.training.learn import train
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.checkpoint import load_checkpoint, save_checkpoint

QUICK = SelectionConfig(every=2, speeds_m_s=(0.0, 0.3), episodes=2, duration_s=0.4)


class Constant(torch.nn.Module):
    """Home pose plus a bias of the left knee, in units of action."""

    def __init__(self, spec: RobotSpec, knee: float) -> None:
        super().__init__()
        self.action = torch.zeros(spec.num_joints)
        self.action[list(spec.joint_names).index("left_knee_pitch")] = knee

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.action.expand(len(obs), -1)


def test_only_what_is_better_than_all_before_is_kept(spec: RobotSpec, tmp_path: Path) -> None:
    config = SelectionConfig(every=1, speeds_m_s=(0.0,), episodes=3, duration_s=2.0)
    selection = Selection(tmp_path, spec, default_layout(spec), config, 1)
    found = []
    for iteration, knee in enumerate((4.0, 0.0, 4.0)):
        found.append(selection.consider(Constant(spec, knee), {"iteration": iteration}))
    assert found[0]["eval/survival_0"] == 0.0
    assert found[1]["eval/survival_0"] == 1.0
    assert found[1]["eval/score"] == selection.best > found[0]["eval/score"]
    assert load_checkpoint(tmp_path / BEST_FILE)["iteration"] == 1
    again = Selection(tmp_path, spec, default_layout(spec), config, 1)
    assert again.best == selection.best
    assert again.consider(Constant(spec, 0.0), {"iteration": 3}) == found[1], "evaluations are deterministic"
    assert load_checkpoint(tmp_path / BEST_FILE)["iteration"] == 1, "as good is not better"


@pytest.fixture
def config(walking_reference: ReferenceDataset, tmp_path: Path) -> Any:
    walking_reference.save(tmp_path / "reference.npz")
    return tiny_config(
        run_dir=tmp_path / "run", reference=tmp_path / "reference.npz", iterations=5, selection=QUICK
    )


def test_training_evaluates_now_and_then_and_at_its_end(config: Any) -> None:
    run = train(config)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "eval/score" in line] == [2, 4, 5]
    best = load_checkpoint(run / BEST_FILE)
    scores = {line["iteration"]: line["eval/score"] for line in lines if "eval/score" in line}
    assert best["score"] == max(scores.values())
    assert scores[best["iteration"]] == best["score"]


def test_an_evaluation_changes_nothing_in_the_training(config: Any, tmp_path: Path) -> None:
    train(config)
    train(dataclasses.replace(config, run_dir=tmp_path / "other", selection=SelectionConfig(every=0)))
    one, two = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("run", "other"))
    assert not (tmp_path / "other" / BEST_FILE).exists()
    assert_same_state(one["runner"], two["runner"])


def test_export_takes_the_best_checkpoint_unless_asked_for_the_last(config: Any) -> None:
    run = train(config)
    best = load_checkpoint(run / BEST_FILE) | {"iteration": 2}
    save_checkpoint(run / BEST_FILE, best)
    found = [
        OnnxPolicy(export(run, run / f"{which}.onnx", threads=1, which=which).policy).contract["training"]
        for which in ("best", "last")
    ]
    assert [entry["iteration"] for entry in found] == [2, 5]
