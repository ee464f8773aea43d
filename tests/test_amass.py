"""AMASS files: poses on the approximate skeleton, and errors that say what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_walker import Walker, amass_arrays

from wildrobot.core.errors import UserError
from wildrobot.training.reference.capture.amass import SMPL_JOINTS, load_amass
from wildrobot.training.reference.capture.segment import find_swings, heading
from wildrobot.training.reference.capture.skeleton import find_body

SHORT = Walker(steps=4, stand_s=0.5)


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_the_walker_stands_upright_and_walks_where_it_faces(tmp_path: Path) -> None:
    yaw = 0.7
    body = find_body(load_amass(save(tmp_path / "walk.npz", **amass_arrays(SHORT, yaw))))
    points = body.motion.positions
    assert body.motion.fps == pytest.approx(100.0)
    head, pelvis = (points[:, SMPL_JOINTS.index(name)] for name in ("head", "pelvis"))
    np.testing.assert_allclose((head - pelvis)[:, 2], 0.61, atol=0.01)
    way = points[-1, 0, :2] - points[0, 0, :2]
    facing = heading(body)[0]
    np.testing.assert_allclose(way / np.linalg.norm(way), [np.cos(facing), np.sin(facing)], atol=1e-6)
    assert facing == pytest.approx(yaw - np.pi / 2, abs=1e-6)


def test_limb_directions_are_those_of_the_poses(tmp_path: Path) -> None:
    body = find_body(load_amass(save(tmp_path / "walk.npz", **amass_arrays(SHORT))))
    pose = SHORT.pose()
    thigh = (body.path("knee") - body.path("hip"))[:, 0]
    flexion = np.arctan2(-thigh[:, 1], -thigh[:, 2])  # facing -y
    np.testing.assert_allclose(flexion, pose["hip"][:, 0], atol=1e-6)
    assert [s.foot for s in find_swings(body)[0]] == [0, 1, 0, 1]


def test_body_only_files_and_the_other_spelling_of_the_frame_rate_are_read(tmp_path: Path) -> None:
    arrays = amass_arrays(SHORT)
    whole = load_amass(save(tmp_path / "whole.npz", **arrays))
    arrays["poses"] = arrays["poses"][:, :66]
    arrays["mocap_frame_rate"] = arrays.pop("mocap_framerate")
    short = load_amass(save(tmp_path / "short.npz", **arrays))
    np.testing.assert_array_equal(whole.positions, short.positions)
    assert whole.fps == short.fps


@pytest.mark.parametrize("missing", ["poses", "trans", "mocap_framerate"])
def test_a_missing_array_is_named_with_those_that_are_there(tmp_path: Path, missing: str) -> None:
    arrays = amass_arrays(SHORT)
    del arrays[missing]
    with pytest.raises(UserError, match=f"no array '{missing}'.*betas"):
        load_amass(save(tmp_path / "walk.npz", **arrays))


def test_wrong_shapes_and_values_are_refused(tmp_path: Path) -> None:
    arrays = amass_arrays(SHORT)
    with pytest.raises(UserError, match="66 or more"):
        load_amass(save(tmp_path / "few.npz", **arrays | {"poses": arrays["poses"][:, :63]}))
    with pytest.raises(UserError, match="'trans'"):
        load_amass(save(tmp_path / "trans.npz", **arrays | {"trans": arrays["trans"][:-1]}))
    bad = arrays["poses"].copy()
    bad[3, 5] = np.nan
    with pytest.raises(UserError, match="'poses' is empty or not finite"):
        load_amass(save(tmp_path / "nan.npz", **arrays | {"poses": bad}))
    with pytest.raises(UserError, match="frame rate"):
        load_amass(save(tmp_path / "rate.npz", **arrays | {"mocap_framerate": np.array(0.0)}))


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    whole = save(tmp_path / "whole.npz", **amass_arrays(SHORT))
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:2000])
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    for path in (text, cut, single, tmp_path / "nowhere.npz"):
        with pytest.raises(UserError, match=path.name):
            load_amass(path)


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    arrays = amass_arrays(SHORT)
    arrays["poses"] = np.array([{"a": 1}], dtype=object)
    with pytest.raises(UserError, match="poses"):
        load_amass(save(tmp_path / "pickle.npz", **arrays))
