"""Windows hold consecutive ticks of one episode, oldest first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wildrobot.signal_path.features import FeatureWindow, windows_of


def rows(*values: float) -> Any:
    """One feature per row."""
    return np.array(values, dtype=float)[:, None]


def flags(*values: int) -> Any:
    return np.array(values, dtype=bool)


def test_a_window_is_oldest_first() -> None:
    window = FeatureWindow(3)
    for value in (1.0, 2.0, 3.0):
        flat, valid = window.push(rows(value), flags(value == 1.0))
    np.testing.assert_array_equal(flat, [[1.0, 2.0, 3.0]])
    assert valid.tolist() == [True]


def test_a_window_is_valid_once_it_is_full() -> None:
    window = FeatureWindow(3)
    valid = [window.push(rows(i), flags(i == 0))[1][0] for i in range(5)]
    assert valid == [False, False, True, True, True]


def test_a_single_frame_is_always_valid() -> None:
    window = FeatureWindow(1)
    for fresh in (1, 0, 1):
        flat, valid = window.push(rows(7.0), flags(fresh))
        assert valid.tolist() == [True]
        np.testing.assert_array_equal(flat, [[7.0]])


def test_a_reset_empties_only_its_own_row() -> None:
    window = FeatureWindow(2)
    window.push(rows(1.0, 10.0), flags(1, 1))
    window.push(rows(2.0, 20.0), flags(0, 0))
    flat, valid = window.push(rows(3.0, 30.0), flags(1, 0))
    np.testing.assert_array_equal(flat, [[3.0, 3.0], [20.0, 30.0]])
    assert valid.tolist() == [False, True]
    flat, valid = window.push(rows(4.0, 40.0), flags(0, 0))
    np.testing.assert_array_equal(flat, [[3.0, 4.0], [30.0, 40.0]])
    assert valid.tolist() == [True, True]


def test_frames_follow_each_other_whole() -> None:
    window = FeatureWindow(2)
    window.push(np.array([[1.0, 2.0]]), flags(1))
    flat, _ = window.push(np.array([[3.0, 4.0]]), flags(0))
    np.testing.assert_array_equal(flat, [[1.0, 2.0, 3.0, 4.0]])


def test_what_was_returned_does_not_change_later() -> None:
    window = FeatureWindow(2)
    first, _ = window.push(rows(1.0), flags(1))
    kept = first.copy()
    window.push(rows(2.0), flags(0))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_windows_of_a_recording_are_those_that_were_pushed(frames: int) -> None:
    features = np.random.default_rng(0).normal(size=(6, 4))
    window, pushed = FeatureWindow(frames), []
    for i, values in enumerate(features):
        flat, valid = window.push(values[None], flags(i == 0))
        if valid[0]:
            pushed.append(flat[0])
    np.testing.assert_array_equal(windows_of(features, frames), pushed)


def test_a_recording_shorter_than_a_window_has_none() -> None:
    assert windows_of(np.zeros((2, 4)), 3).shape == (0, 12)


def test_a_saved_window_goes_on_as_if_nothing_had_happened() -> None:
    one, two = FeatureWindow(2), FeatureWindow(2)
    one.push(rows(1.0, 10.0), flags(1, 1))
    two.load_state_dict(one.state_dict())
    for window in (one, two):
        flat, valid = window.push(rows(2.0, 20.0), flags(0, 0))
        np.testing.assert_array_equal(flat, [[1.0, 2.0], [10.0, 20.0]])
        assert valid.all()
