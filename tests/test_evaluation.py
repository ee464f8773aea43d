"""Evaluation: exact figures from hand-made truths, and small evaluations of policies that stand or fall."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SmallPolicy

from wildrobot.cli import eval as cli
from wildrobot.core.errors import UserError, run_main
from wildrobot.core.rotations import quat_from_yaw
from wildrobot.reports.evaluation_page import build_page
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.gait_figures import HeadingDrift, SwingFigures
from wildrobot.simulation.simulation import Truth
from wildrobot.training.evaluation import evaluation
from wildrobot.training.evaluation.best import score
from wildrobot.training.evaluation.episode_figures import EpisodeFigures, electrical_power
from wildrobot.training.evaluation.episodes import EpisodeConfig, row_of, run_episodes
from wildrobot.training.evaluation.evaluation import EvalConfig, load_style

DT = 0.02


class Home:
    """Keeps the home pose, with a limp of the left leg if asked."""

    def __init__(self, spec: RobotSpec, bias: float = 0.0) -> None:
        self._action = np.zeros(spec.num_joints)
        self._action[list(spec.joint_names).index("left_knee_pitch")] = bias

    def __call__(self, observation: Any) -> Any:
        return np.tile(self._action, (len(observation), 1))


def truth_at(spec: RobotSpec, rows: int = 2, **changes: Any) -> Truth:
    """Robots standing upright at the origin, both feet on the floor, nothing moving."""
    n, feet = spec.num_joints, spec.num_feet
    truth = Truth(
        pelvis_position=np.tile([0.0, 0.0, spec.standing_height], (rows, 1)),
        pelvis_quaternion=np.tile([1.0, 0.0, 0.0, 0.0], (rows, 1)),
        pelvis_linear_velocity=np.zeros((rows, 3)),
        pelvis_angular_velocity=np.zeros((rows, 3)),
        joint_position=np.tile(spec.default_joint_pos, (rows, 1)),
        joint_velocity=np.zeros((rows, n)),
        foot_force=np.full((rows, feet), 8.0),
        foot_position=np.zeros((rows, feet, 3)),
        saturated=np.zeros((rows, n), dtype=bool),
        torque=np.zeros((rows, n)),
    )
    return replace(truth, **changes)


def tiny(**changes: Any) -> EpisodeConfig:
    return EpisodeConfig(**{"episodes": 4, "duration_s": 1.0, "threads": 1, **changes})


# ---------------------------------------------------------------------------- figures


def test_swing_clearance_is_the_mean_of_the_peaks_of_whole_swings() -> None:
    swings = SwingFigures(1)
    heights = [0.05, 0.0, 0.01, 0.03, 0.02, 0.0, 0.01, 0.05, 0.01, 0.0, 0.09]
    for height in heights:  # left: cut off, 30 mm, 50 mm, cut off; the right foot never leaves the floor
        swings.update(np.array([[height == 0.0, True]]), np.array([[height, 0.0]]))
    assert swings.count.tolist() == [[2, 0]]
    assert swings.height_sum[0, 0] == pytest.approx(0.08)


def test_a_bounce_of_two_ticks_is_no_swing() -> None:
    swings = SwingFigures(1)
    for down in (True, False, False, True):
        swings.update(np.array([[down, down]]), np.full((1, 2), 0.02))
    assert swings.count.sum() == 0


def test_rows_that_are_not_active_do_not_count_swings() -> None:
    swings = SwingFigures(2)
    for down in (True, False, False, False, True):
        swings.update(np.full((2, 2), down), np.full((2, 2), 0.02), np.array([True, False]))
    assert swings.count.tolist() == [[1, 1], [0, 0]]


def test_heading_counts_on_over_a_half_turn_and_without_the_turn_asked_for() -> None:
    heading = HeadingDrift(1)
    for yaw in (3.0, 3.1, 3.2 - 2 * np.pi, 3.1):
        heading.update(np.array([yaw]), turned=0.05)
    assert heading.drift[0] == pytest.approx(0.1 - 3 * 0.05)
    assert heading.largest[0] == pytest.approx(0.1)


def test_the_sole_height_of_a_foot_is_that_of_its_lower_point(spec: RobotSpec) -> None:
    swings = SwingFigures(1)
    for lifted in (0.0, 0.03, 0.03, 0.03, 0.0):
        soles, force = np.zeros((1, 4, 3)), np.full((1, 4), 8.0)
        soles[0, :2, 2] = lifted, lifted / 3  # left toe, left heel
        force[0, :2] = 0.0 if lifted else 8.0
        swings.take(spec, truth_at(spec, 1, foot_position=soles, foot_force=force))
    assert swings.count.tolist() == [[1, 0]]
    assert swings.height_sum[0, 0] == pytest.approx(0.01)


def test_a_straight_walk_across_the_world_has_its_speed_and_no_drift(spec: RobotSpec) -> None:
    figures = EpisodeFigures(spec, 2, 0.3, 0.0)
    heading = np.tile(quat_from_yaw(np.asarray(2.0)), (2, 1))
    along, across = np.array([np.cos(2.0), np.sin(2.0)]), np.array([-np.sin(2.0), np.cos(2.0)])
    speed, sideways = np.array([0.25, 0.37]), np.array([0.05, -0.01])
    velocity = speed[:, None] * along + sideways[:, None] * across
    flat = np.concatenate([velocity, np.zeros((2, 1))], axis=-1)
    for tick in range(51):
        place = np.concatenate([tick * DT * velocity, np.full((2, 1), spec.standing_height)], axis=-1)
        truth = truth_at(spec, pelvis_position=place, pelvis_quaternion=heading, pelvis_linear_velocity=flat)
        if tick == 0:
            figures.begin(truth)
        figures.step(truth, True)
    row = figures.summary()
    assert row["survival"] == 1.0
    assert row["mean_speed_m_s"] == pytest.approx(0.31)
    assert row["speed_error_m_s"] == pytest.approx(0.06)
    assert row["lateral_drift_m_s"] == pytest.approx(0.03 * 50 / 51)
    assert row["yaw_drift_worst_rad"] == pytest.approx(0.0)
    assert row["foot_slip_m_s"] == 0.0
    assert row["steps_per_s"] == 0.0
    assert row["clearance_left_mm"] is None


def test_saturation_is_a_share_of_joint_ticks_and_slip_a_speed_of_soles_at_rest(spec: RobotSpec) -> None:
    figures = EpisodeFigures(spec, 1, 0.0, 0.0)
    for tick in range(4):
        soles = np.zeros((1, 4, 3))
        soles[0, 0, 0] = 0.002 * tick  # the left toe slides at 0.1 m/s; the others rest
        limit = np.zeros((1, spec.num_joints), dtype=bool)
        limit[0, 0] = tick == 0
        figures.step(truth_at(spec, 1, foot_position=soles, saturated=limit), True)
    row = figures.summary()
    assert row["saturation"] == pytest.approx(1 / (4 * spec.num_joints))
    assert row["foot_slip_m_s"] == pytest.approx(0.1 / 4)


@pytest.mark.parametrize("how", ["low", "tilted"])
def test_a_row_counts_up_to_its_fall_and_stays_fallen(spec: RobotSpec, how: str) -> None:
    figures = EpisodeFigures(spec, 2, 0.2, 0.0)
    forward = np.tile([0.2, 0.0, 0.0], (2, 1))
    up = truth_at(spec, pelvis_linear_velocity=forward)
    down = truth_at(spec, pelvis_linear_velocity=5 * forward)
    if how == "low":
        down.pelvis_position[1, 2] = 0.59 * spec.standing_height
    else:
        down.pelvis_quaternion[1] = [np.cos(0.53), 0.0, np.sin(0.53), 0.0]  # 61 degrees forward
    down.pelvis_linear_velocity[0] = forward[0]
    for truth in (up, up, down, up):
        figures.step(truth, True)
    row = figures.summary()
    assert row["survival"] == 0.5
    assert figures.measured.tolist() == [4, 2]
    assert row["mean_speed_m_s"] == pytest.approx(0.2)


def test_yaw_drift_per_ten_seconds_counts_each_ten_seconds_by_itself(spec: RobotSpec) -> None:
    figures = EpisodeFigures(spec, 2, 0.2, 0.0)
    figures.begin(truth_at(spec))
    for tick in range(1, 1001):
        # one turns left for ten seconds and then back; the other keeps turning, and falls before the end
        left = 0.3 * min(tick, 1000 - tick) / 500
        yaw = quat_from_yaw(np.array([left, 0.1 * tick / 500]))
        truth = truth_at(spec, pelvis_quaternion=yaw)
        if tick > 900:
            truth.pelvis_position[1, 2] = 0.0
        figures.step(truth, True)
    assert figures.episodes()["yaw_drift_rad_per_10_s"] == pytest.approx([0.3, 0.1], abs=1e-6)
    assert figures.summary()["yaw_drift_rad_per_10_s"] == pytest.approx(0.2, abs=1e-6)


def test_a_stalled_servo_draws_its_stall_current_and_an_idling_one_nothing(spec: RobotSpec) -> None:
    servo = spec.servos[0]
    torque, speed = np.zeros((4, spec.num_joints)), np.zeros((4, spec.num_joints))
    torque[0, 0] = servo.stall_torque_nm  # full voltage, standing still
    torque[1, 0], speed[1, 0] = servo.stall_torque_nm, servo.no_load_speed_rad_s  # full voltage, running free
    torque[2, 0], speed[2, 0] = 0.5 * servo.stall_torque_nm, -servo.no_load_speed_rad_s  # driven backwards
    torque[3, 0], speed[3, 0] = 0.1 * servo.stall_torque_nm, servo.no_load_speed_rad_s  # braking
    power = electrical_power(spec, truth_at(spec, 4, torque=torque, joint_velocity=speed))
    full = servo.nominal_voltage_v * servo.stall_current_a
    assert power == pytest.approx([full, 0.0, 0.5 * 1.5 * full, 0.0])


def test_energy_per_metre_is_power_over_speed(spec: RobotSpec) -> None:
    figures = EpisodeFigures(spec, 1, 0.2, 0.0)
    torque = np.zeros((1, spec.num_joints))
    torque[0, 3] = spec.stall_torque[3]
    for tick in range(251):
        place = np.array([[0.2 * DT * tick, 0.0, spec.standing_height]])
        figures.step(truth_at(spec, 1, pelvis_position=place, torque=torque), True)
    watts = spec.servos[3].nominal_voltage_v * spec.servos[3].stall_current_a
    row = figures.summary()
    assert row["power_w"] == pytest.approx(watts)
    assert row["energy_j_per_m"] == pytest.approx(watts / 0.2, rel=0.01)
    assert row["cost_of_transport"] == pytest.approx(row["energy_j_per_m"] / (spec.total_mass * 9.81))


def test_the_score_is_survival_times_how_well_speed_and_heading_are_kept() -> None:
    def row(survival: float, error: float | None, yaw: float | None) -> dict[str, Any]:
        return {"survival": survival, "speed_error_m_s": error, "yaw_drift_rad_per_10_s": yaw}

    rows = [
        row(1.0, 0.0, 0.0),
        row(0.5, 0.1, 0.2),
        row(1.0, 0.3, 0.0),
        row(1.0, 0.0, 1.5),
        row(0.0, None, None),
    ]
    assert score(rows) == pytest.approx((1.0 + 0.5 * 0.5 * 0.8 + 0.0 + 0.0 + 0.0) / 5)


# ---------------------------------------------------------------------------- episodes


def test_a_policy_that_keeps_the_home_pose_survives_standing_without_steps(spec: RobotSpec) -> None:
    row = row_of(run_episodes(spec, Home(spec), None, 0.0, tiny(randomization="nominal")))
    assert row["survival"] == 1.0
    assert row["mean_speed_m_s"] == pytest.approx(0.0, abs=0.01)
    assert row["steps_standing_per_20_s"] == 0.0


def test_a_policy_that_falls_counts_as_fallen(spec: RobotSpec) -> None:
    row = row_of(run_episodes(spec, Home(spec, bias=4.0), None, 0.3, tiny(duration_s=2.0)))
    assert row["survival"] == 0.0


def test_the_style_score_is_the_clipped_mean_over_the_measured_windows(spec: RobotSpec) -> None:
    seen: list[Any] = []

    def style(window: Any) -> Any:
        seen.append(window)
        return np.array([-3.0, 0.25, 0.75, 5.0])

    row = row_of(run_episodes(spec, Home(spec), None, 0.3, tiny(duration_s=0.4), (style, 2)))
    assert row["style_score"] == pytest.approx(0.5)
    assert len(seen) == 10
    assert np.array_equal(seen[1][:, :29], seen[0][:, 29:])
    standing = row_of(run_episodes(spec, Home(spec), None, 0.0, tiny(duration_s=0.4), (style, 2)))
    assert standing["style_score"] is None


def test_two_evaluations_write_the_same_file_and_another_seed_does_not(
    spec: RobotSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "load_policy", lambda path, spec: SmallPolicy(spec))
    policy = tmp_path / "policy.onnx"
    policy.write_bytes(b"small policy")
    texts = []
    for name, threads, seed in (("a", "1", "0"), ("b", "2", "0"), ("c", "1", "1")):
        out = tmp_path / name / "figures.json"
        flags = ["--speeds", "0", "0.2", "--episodes", "2", "--duration", "0.4", "--threads", threads]
        flags += ["--seed", seed, "--out", str(out), "--html", str(out.with_suffix(".html"))]
        assert cli.main([str(policy), *flags]) == 0
        texts.append(out.read_text())
        assert out.with_suffix(".html").read_text() == build_page(json.loads(texts[-1]))
    assert texts[0] == texts[1]
    first, other = json.loads(texts[0]), json.loads(texts[2])
    assert first["rows"] != other["rows"]
    assert [row["command_m_s"] for row in first["rows"]] == [0.0, 0.2]
    assert first["randomization"]["push_speed_m_s"] == 0.3


def test_the_table_fits_in_a_hundred_columns(
    spec: RobotSpec, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = EpisodeFigures(spec, 3, 0.3).summary() | {"mean_speed_m_s": -0.123, "lateral_drift_m_s": 0.5}
    policy = tmp_path / "wildrobot_walk.onnx"
    policy.write_bytes(b"")
    cli.report(evaluation.document(spec, EvalConfig(policy), [row]))
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 100
    assert any("100.0%" in line and "-0.123" in line for line in lines)


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--speeds", "9"], "--speeds"),
        (["--episodes", "0"], "--episodes"),
        (["--duration", "0"], "--duration"),
        ([], "there is no policy"),
    ],
)
def test_bad_input_ends_with_2_and_names_the_flag(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.onnx"
    if flags:
        policy.write_bytes(b"")
    assert run_main(cli.main, [str(policy), *flags]) == 2
    assert named in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "policy.onnx"
    file.write_bytes(b"")
    for flag in ("--out", "--html"):
        for out in (tmp_path, file / "figures"):
            assert run_main(cli.main, [str(file), flag, str(out)]) == 2
            assert f"cannot write {flag}" in capsys.readouterr().err


def test_the_figures_and_the_page_cannot_be_one_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "policy.onnx"
    file.write_bytes(b"")
    same = str(tmp_path / "figures")
    flags = ["--out", same, "--html", f"{tmp_path}/../{tmp_path.name}/figures"]
    assert run_main(cli.main, [str(file), *flags]) == 2
    assert "a file each" in capsys.readouterr().err


def test_a_policy_that_is_not_finite_is_refused_by_joint(spec: RobotSpec) -> None:
    with pytest.raises(UserError, match="left_knee_pitch"):
        run_episodes(spec, Home(spec, bias=float("nan")), None, 0.0, tiny())


def test_a_style_file_that_is_no_model_is_refused(spec: RobotSpec, tmp_path: Path) -> None:
    broken = tmp_path / "style.onnx"
    assert load_style(broken, spec) is None
    broken.write_bytes(b"no model")
    with pytest.raises(UserError, match="wildrobot export"):
        load_style(broken, spec)
