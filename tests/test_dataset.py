"""The reference file: whole, finite, of this robot, and its windows within one rollout each."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from training_helpers import tiny_config

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.robot_description.spec import DEFAULT_ROBOT
from wildrobot.training.reference.dataset import ARRAYS, ReferenceDataset
from wildrobot.training.reference.parity import check_parity, replay_features
from wildrobot.training.setup import balanced, split_reference


@pytest.fixture
def dataset(small_reference: ReferenceDataset) -> ReferenceDataset:
    """A copy that a test may spoil."""
    return copy.deepcopy(small_reference)


@pytest.fixture(scope="module")
def written(small_reference: ReferenceDataset, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("reference") / "reference.npz"
    small_reference.save(path)
    return path.read_bytes()


def test_what_was_saved_is_loaded(small_reference: ReferenceDataset, tmp_path: Path, spec: RobotSpec) -> None:
    path = tmp_path / "a" / "reference.npz"
    small_reference.save(path)
    loaded = ReferenceDataset.load(path, spec)
    assert loaded.meta == small_reference.meta
    np.testing.assert_array_equal(loaded.begin, small_reference.begin)
    for name in ARRAYS:
        np.testing.assert_array_equal(loaded.arrays[name], small_reference.arrays[name])
        assert loaded.arrays[name].dtype == small_reference.arrays[name].dtype


def test_the_file_says_what_it_is(small_reference: ReferenceDataset, spec: RobotSpec) -> None:
    meta = small_reference.meta
    assert meta["robot"] == "wildrobot"
    assert meta["robot_hash"] == spec.robot_hash
    assert meta["control_hz"] == 50.0
    assert meta["joint_names"] == list(spec.joint_names)
    assert [clip["name"] for clip in small_reference.clips] == ["squat", "march"]
    for clip in small_reference.clips:
        assert clip["accepted"]
        assert clip["figures"]["joint_rmse_rad"] < 0.1


@pytest.mark.parametrize("name", ["features", "qpos", "imu_quaternion", "command"])
def test_a_value_that_is_not_finite_is_refused_and_its_frame_named(
    dataset: ReferenceDataset, tmp_path: Path, name: str
) -> None:
    dataset.arrays[name][7, 1] = np.nan
    dataset.save(tmp_path / "r.npz")
    with pytest.raises(UserError, match=f"'{name}' is not finite at frame 7"):
        ReferenceDataset.load(tmp_path / "r.npz")


def test_another_joint_order_is_refused(dataset: ReferenceDataset, tmp_path: Path) -> None:
    data = yaml.safe_load(DEFAULT_ROBOT.read_text())
    data["mjcf"] = str(DEFAULT_ROBOT.parent / data["mjcf"])
    data["joints"].insert(0, data["joints"].pop())
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(data))
    dataset.save(tmp_path / "r.npz")
    with pytest.raises(UserError, match="Build the reference for this robot"):
        ReferenceDataset.load(tmp_path / "r.npz", load_robot(tmp_path / "robot.yaml"))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(written: bytes, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.npz"
    path.write_bytes(written[: int(share * len(written))])
    with pytest.raises(UserError, match=r"cut\.npz.*wildrobot reference build"):
        ReferenceDataset.load(path)


def test_a_file_with_a_flipped_byte_is_refused(written: bytes, tmp_path: Path) -> None:
    spoiled = bytearray(written)
    spoiled[len(spoiled) // 2] ^= 0xFF
    path = tmp_path / "flipped.npz"
    path.write_bytes(spoiled)
    with pytest.raises(UserError, match=r"flipped\.npz"):
        ReferenceDataset.load(path)


def test_other_files_are_refused(dataset: ReferenceDataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the reference .*wildrobot reference build"):
        ReferenceDataset.load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", poses=np.zeros(3))
    for name in ("text.npz", "plain.npy", "other.npz"):
        with pytest.raises(UserError, match=name):
            ReferenceDataset.load(tmp_path / name)
    dataset.meta["format"] = "wildrobot-reference-99"
    dataset.save(tmp_path / "newer.npz")
    with pytest.raises(UserError, match="wildrobot-reference-99"):
        ReferenceDataset.load(tmp_path / "newer.npz")


def test_arrays_of_different_lengths_are_refused(dataset: ReferenceDataset, tmp_path: Path) -> None:
    dataset.arrays["qpos"] = dataset.arrays["qpos"][:-1]
    dataset.save(tmp_path / "r.npz")
    with pytest.raises(UserError, match="'qpos' has"):
        ReferenceDataset.load(tmp_path / "r.npz")


def check_windows_stay_in_their_rollout(dataset: ReferenceDataset, frames: int) -> None:
    """Feature 0 tells the rollout, feature 1 the tick in it."""
    sizes = np.diff(dataset.begin)
    dataset.arrays["features"][:, 0] = np.repeat(np.arange(dataset.num_rollouts), sizes)
    dataset.arrays["features"][:, 1] = np.concatenate([np.arange(size) for size in sizes])
    everything = np.arange(dataset.num_rollouts)
    windows = dataset.windows(frames, everything).reshape(-1, frames, dataset.features.shape[1])
    assert len(windows) == np.sum(sizes - frames + 1)
    assert np.all(windows[:, :, 0] == windows[:, :1, 0])
    assert np.all(np.diff(windows[:, :, 1], axis=1) == 1.0)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_windows_never_span_two_rollouts(dataset: ReferenceDataset, frames: int) -> None:
    check_windows_stay_in_their_rollout(dataset, frames)


def test_windows_leave_out_the_disturbed_rollouts(dataset: ReferenceDataset) -> None:
    noisy = np.flatnonzero(dataset.meta["rollout_noisy"])
    assert len(noisy) == 4
    for rollout in noisy:
        dataset.rollout(int(rollout), "features")[:] = 99.0
    assert not np.any(dataset.windows(2) == 99.0)
    assert np.any(dataset.windows(2, noisy) == 99.0)


def test_standing_is_neither_trained_on_nor_held_out(dataset: ReferenceDataset) -> None:
    dataset.arrays["features"][~dataset.moving] = 99.0
    for part in split_reference(dataset, tiny_config().amp, 0, (0.06, 0.6)):
        assert not torch.any(part == 99.0)


def test_every_speed_is_shown_as_often_as_it_is_commanded() -> None:
    rng = np.random.default_rng(0)
    slow, fast = rng.uniform(0.1, 0.2, 9000), rng.uniform(0.2, 0.3, 1000)
    speed = np.concatenate([slow, fast])
    shown = speed[balanced(speed, (0.1, 0.3), rng)]
    assert len(shown) == len(speed)
    assert np.mean(shown > 0.2) == pytest.approx(0.5, abs=0.02)
    # a handful of windows does not fill a whole range
    rare = np.concatenate([slow, fast[:10]])
    assert np.mean(rare[balanced(rare, (0.1, 0.3), rng)] > 0.2) < 0.02


def test_windows_are_balanced_by_the_command_that_they_carry(dataset: ReferenceDataset) -> None:
    """A label stands in each frame's first feature; its share must follow the balance."""
    moving = np.flatnonzero(dataset.moving)
    command = dataset.arrays["command"]
    command[:, 0] = 0.1
    command[moving[::8], 0] = 0.3
    dataset.arrays["features"][:, 0] = command[:, 0]
    config = dataclasses.replace(tiny_config().amp, held_out=0.0)
    share = {}
    for balance in (False, True):
        windows, _ = split_reference(dataset, dataclasses.replace(config, balance=balance), 0, (0.1, 0.3))
        share[balance] = float((windows[:, windows.shape[1] // 2] > 0.2).float().mean())
    assert abs(share[True] - 0.5) < 0.07 < abs(share[False] - 0.5)


def test_the_noisy_rollouts_were_disturbed_and_the_others_not(small_reference: ReferenceDataset) -> None:
    noisy = np.asarray(small_reference.meta["rollout_noisy"])

    def jitter(rollout: Any) -> float:
        executed = small_reference.rollout(int(rollout), "previous_action")[1:]
        meant = small_reference.rollout(int(rollout), "action")[:-1]
        return float(np.sqrt(np.mean((executed - meant) ** 2)))

    assert max(jitter(r) for r in np.flatnonzero(~noisy)) < 1e-5
    assert min(jitter(r) for r in np.flatnonzero(noisy)) > 0.1


def test_held_out_windows_come_from_other_rollouts(walking_reference: ReferenceDataset) -> None:
    dataset = copy.deepcopy(walking_reference)
    sizes = np.diff(dataset.begin)
    dataset.arrays["features"][:, 0] = np.repeat(np.arange(dataset.num_rollouts), sizes)
    as_they_are = dataclasses.replace(tiny_config().amp, balance=False)
    train, held = split_reference(dataset, as_they_are, 0, (0.06, 0.6))
    rollouts = [set(part[:, 0].int().tolist()) for part in (train, held)]
    assert len(rollouts[1]) == round(0.25 * len(dataset.undisturbed))
    assert not rollouts[0] & rollouts[1]
    assert rollouts[0] | rollouts[1] == set(dataset.undisturbed.tolist())


def test_features_replayed_from_the_stored_frames_are_the_stored_ones(
    small_reference: ReferenceDataset, spec: RobotSpec
) -> None:
    rollout = int(small_reference.undisturbed[0])
    stored, replayed = (
        small_reference.rollout(rollout, "features"),
        replay_features(spec, small_reference, rollout),
    )
    direct = [i for i in range(29) if i not in range(18, 21) and i != 24]  # all but velocity and height
    np.testing.assert_allclose(replayed[:, direct], stored[:, direct], atol=1e-5)
    np.testing.assert_allclose(replayed[25:, 24], stored[25:, 24], atol=1e-4)


def test_parity_holds_for_a_recorded_reference(small_reference: ReferenceDataset, spec: RobotSpec) -> None:
    assert "are told apart with AUC 0.5" in check_parity(spec, small_reference, rollouts=6)


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [(24, 0.45, "pelvis_height"), (25, 0.0, "contact/left_toe"), (22, -5.0, "angular_velocity/y")],
)
def test_features_made_by_other_code_are_refused_and_named(
    dataset: ReferenceDataset, spec: RobotSpec, column: int, value: float, name: str
) -> None:
    dataset.arrays["features"][:, column] = value
    with pytest.raises(UserError, match=f"alone: {name} .*build the reference again"):
        check_parity(spec, dataset, rollouts=3)
