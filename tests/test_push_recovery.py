"""Push recovery: the fitted curve, and pushes on robots that stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.randomization.config import NOMINAL
from wildrobot.training.evaluation.comparison import compare
from wildrobot.training.evaluation.directions import DIRECTIONS
from wildrobot.training.evaluation.push_recovery import PushConfig, half_survive, push_recovery


def test_the_middle_of_the_curve_is_where_half_survive() -> None:
    rng = np.random.default_rng(0)
    impulse = rng.uniform(0.0, 4.0, 4000)
    survived = rng.random(4000) < 1.0 / (1.0 + np.exp(3.0 * (impulse - 1.7)))
    assert half_survive(impulse, survived) == pytest.approx(1.7, abs=0.05)


def test_answers_that_do_not_overlap_have_their_middle_in_the_gap() -> None:
    impulse = np.repeat([0.5, 1.0, 1.5, 2.0], 5)
    assert half_survive(impulse, impulse < 1.2) == pytest.approx(1.25, abs=0.1)


@pytest.mark.parametrize("survived", [[True] * 4, [False] * 4, [False, False, True, True]])
def test_there_is_no_middle_where_all_or_none_fall_or_harder_pushes_are_better(survived: list[bool]) -> None:
    assert half_survive(np.array([1.0, 2.0, 3.0, 4.0]), np.array(survived)) is None


class Home:
    def __init__(self, spec: RobotSpec) -> None:
        self._n = spec.num_joints

    def __call__(self, observation: Any) -> Any:
        return np.zeros((len(observation), self._n))


def test_a_robot_that_keeps_its_pose_takes_little_and_left_and_right_alike(spec: RobotSpec) -> None:
    config = PushConfig(
        speeds_m_s=(0.0,),
        velocity_changes_m_s=(0.02, 0.3, 1.0),
        phases=2,
        before_s=0.4,
        after_s=1.5,
        resamples=40,
    )
    rows = push_recovery(spec, Home(spec), None, NOMINAL, 0, 1, config)
    assert [row["direction"] for row in rows] == list(DIRECTIONS)
    for row in rows:
        assert row["robots"] == 6
        assert row["largest_n_s"] == pytest.approx(spec.total_mass)
        assert 0.0 < row["survival"] < 1.0, "the weakest push is nothing, the strongest throws it over"
        assert 0.02 * spec.total_mass < row["impulse_n_s"] < spec.total_mass
    again = push_recovery(spec, Home(spec), None, NOMINAL, 0, 1, config)
    assert again == rows


# ---------------------------------------------------------------------- comparison


def episodes(survived: Any, speed: Any) -> dict[str, Any]:
    figures = {
        "survival": np.asarray(survived, dtype=float),
        "mean_speed_m_s": np.asarray(speed, dtype=float),
    }
    rest = ("speed_error_m_s", "lateral_drift_m_s", "yaw_drift_rad_per_10_s", "saturation", "energy_j_per_m")
    return figures | {name: np.full(len(figures["survival"]), np.nan) for name in rest}


def test_a_small_difference_on_the_same_robots_is_seen_through_their_spread() -> None:
    rng = np.random.default_rng(0)
    robots = rng.normal(0.3, 0.05, 200)  # a spread of five times the difference
    other = robots + 0.01 + rng.normal(0.0, 0.01, 200)
    found = compare(episodes(np.ones(200), robots), episodes(np.ones(200), other))
    row = found["mean_speed_m_s"]
    assert row["significant"]
    assert row["low"] < 0.01 < row["high"]
    assert row["difference"] == pytest.approx(np.mean(other - robots))
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * 0.01 / 200**0.5, rel=0.2)
    assert "saturation" not in found, "it was not measured"


def test_limits_of_paired_survival_are_those_of_agresti_and_min() -> None:
    # 100 pairs: 8 only the second survives, 2 only the first
    first = np.array([1.0] * 80 + [0.0] * 18 + [1.0] * 2)
    second = np.array([1.0] * 80 + [1.0] * 8 + [0.0] * 10 + [0.0] * 2)
    row = compare(episodes(first, first), episodes(second, second))["survival"]
    assert row["difference"] == pytest.approx(0.06)
    middle = 6.0 / 102.0
    spread = 1.96 * (11.0 - 36.0 / 102.0) ** 0.5 / 102.0
    assert (row["low"], row["high"]) == pytest.approx((middle - spread, middle + spread), abs=1e-4)
    assert not row["significant"]


def test_a_policy_does_not_differ_from_itself() -> None:
    same = episodes([1.0, 1.0, 0.0], [0.3, 0.31, np.nan])
    assert all(row["difference"] == 0.0 and not row["significant"] for row in compare(same, same).values())
