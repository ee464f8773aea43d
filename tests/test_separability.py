"""How well features tell two sides apart: areas under ROC curves, of one feature and of all together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wildrobot.training.rl.separability import feature_auc, logistic_auc


def brute_force_auc(a: Any, b: Any) -> float:
    wins = sum(1.0 if x > y else 0.5 if x == y else 0.0 for x in a for y in b)
    area = wins / (len(a) * len(b))
    return max(area, 1.0 - area)


def test_feature_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + np.array([0.0, 0.7, -2.0])
    a[:, 0], b[:, 0] = rng.integers(0, 3, 30), rng.integers(0, 3, 20)  # ties
    expected = [brute_force_auc(a[:, i], b[:, i]) for i in range(3)]
    np.testing.assert_allclose(feature_auc(a, b), expected, atol=1e-12)


def test_feature_auc_of_apart_and_of_equal() -> None:
    a = np.array([[1.0, 5.0], [2.0, 5.0]])
    b = np.array([[3.0, 5.0], [4.0, 5.0], [5.0, 5.0]])
    np.testing.assert_array_equal(feature_auc(a, b), [1.0, 0.5])


def test_logistic_auc_sees_what_single_features_do_not() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=(400, 1))
    a = np.concatenate([base, base], axis=1) + 0.1 * rng.normal(size=(400, 2)) + [0.0, 0.3]
    b = np.concatenate([base, base], axis=1) + 0.1 * rng.normal(size=(400, 2))
    assert feature_auc(a, b).max() < 0.65
    assert logistic_auc(a, b) > 0.9


def test_logistic_auc_of_the_same_distribution_is_a_half() -> None:
    rng = np.random.default_rng(2)
    assert logistic_auc(rng.normal(size=(1000, 5)), rng.normal(size=(1000, 5))) < 0.56


def test_logistic_auc_of_the_same_few_rows_is_a_half() -> None:
    rows = np.random.default_rng(3).normal(size=(40, 29))
    assert logistic_auc(rows, rows + 1e-7) == pytest.approx(0.5, abs=0.01)
