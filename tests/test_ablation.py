"""The ablation's kinematic reference: features of a plan, in the frames of the executed ones."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wildrobot.robot_description import RobotSpec
from wildrobot.rotations import quat_from_yaw
from wildrobot.runtime.features import feature_names
from wildrobot.training.reference.clip import PlannedClip


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "ablation.py"
    spec = importlib.util.spec_from_file_location("ablation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ablation"] = module
    spec.loader.exec_module(module)
    return module


def test_a_plan_that_walks_west_moves_forward_and_leans_about_its_own_axis(
    ablation: ModuleType, spec: RobotSpec, squat: PlannedClip
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
    values = dict(zip(names, ablation.kinematic_features(spec, clip)[7], strict=True))
    assert values["velocity_direction/x"] == pytest.approx(1.0)
    assert values["velocity_direction/y"] == pytest.approx(0.0)
    assert values["angular_velocity/y"] == pytest.approx(0.2)
    assert values["angular_velocity/z"] == pytest.approx(0.1)
    assert values["pelvis_height"] == pytest.approx(clip.root_position[7, 2])
    assert [values[f"contact/{name}"] for name in spec.foot_names] == [1.0, 0.0, 1.0, 1.0]
    assert values["joint_velocity/left_knee_pitch"] == pytest.approx(clip.joint_velocity[7, 3])


def test_a_row_averages_the_ends_and_skips_what_was_not_measured(ablation: ModuleType) -> None:
    history = [{"disc_fake_mean": float(k), "speed_error": float("nan")} for k in range(30)]
    history[0]["auc_top"] = [["pelvis_height", 0.9]]
    row = ablation.table_row("x", history)
    assert row["d_fake_begin"] == pytest.approx(4.5)
    assert row["d_fake"] == pytest.approx(24.5)
    assert row["speed_error"] is None
    assert row["top_auc"] == "pelvis_height 0.90"
