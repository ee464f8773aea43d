"""The policy that comes with the package: found by who names none, for its own robot only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from heron_helpers import HERON

from wildrobot.cli.eval import EvalOptions, configuration
from wildrobot.cli.run import run
from wildrobot.core.errors import UserError
from wildrobot.core.files import file_sha256
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.signal_path.shipped import POLICIES, shipped_policy


def test_it_fits_its_robot_and_its_figures_are_of_the_same_file(spec: RobotSpec) -> None:
    path = shipped_policy(spec)
    figures = json.loads(path.with_suffix(".json").read_text())
    assert figures["policy_sha256"] == file_sha256(path)
    assert OnnxPolicy(path, spec).contract["robot_hash"] == spec.robot_hash
    assert (POLICIES / "style.onnx").is_file()


def test_a_run_without_a_policy_takes_it(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    assert run.main(["--fast", "--no-lcm", "--duration", "0.2", "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["policy"] == str(POLICIES / "wildrobot_walk.onnx")


def test_an_evaluation_without_a_policy_takes_it(spec: RobotSpec) -> None:
    assert configuration(spec, EvalOptions()).policy == POLICIES / "wildrobot_walk.onnx"


def test_for_another_robot_there_is_none() -> None:
    with pytest.raises(
        UserError, match=r"no policy was given, and none comes with the package for this heron"
    ):
        shipped_policy(load_robot(HERON))
    with pytest.raises(UserError, match="no policy was given"):
        run.main(["--robot-file", str(HERON), "--fast", "--no-lcm"])


def test_it_is_in_the_package_whatever_folder_one_is_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped_policy(load_robot()).is_file()
