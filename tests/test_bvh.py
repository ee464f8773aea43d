"""BVH files: channels in any order, both vertical axes, any unit and names, and errors that name the line."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from synthetic_walker import ANKLE_HEIGHT, HIP_HEIGHT, SHANK, THIGH, Walker, write_bvh

from wildrobot.core.errors import UserError
from wildrobot.robot_description import load_robot
from wildrobot.training.reference.capture.bvh import load_bvh
from wildrobot.training.reference.capture.retarget import retarget
from wildrobot.training.reference.capture.skeleton import find_body

SHORT = Walker(steps=4, stand_s=0.5)
TINY = """HIERARCHY
ROOT base
{
  OFFSET 1 2 3
  CHANNELS 6 Yposition Xposition Zposition Xrotation Zrotation Yrotation
  JOINT arm
  {
    OFFSET 0 1 0
    CHANNELS 1 Zrotation
    End Site
    {
      OFFSET 2 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01
0 0 0 0 0 0 0
20 10 30 90 0 90 90
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tiny.bvh"
    path.write_text(text, encoding="utf-8")
    return path


def test_channels_are_applied_in_the_order_of_the_file(tmp_path: Path) -> None:
    motion = load_bvh(write(tmp_path, TINY))
    assert motion.joint_names == ("base", "arm", "arm_end")
    np.testing.assert_allclose(motion.positions[0], [[1, 2, 3], [1, 3, 3], [3, 3, 3]], atol=1e-12)
    # Rx(90) Rz(0) Ry(90): x -> -z -> y, y -> z, z -> x; and Rz(90) in the arm: its x is the base's y.
    np.testing.assert_allclose(motion.positions[1, 0], [11, 22, 33], atol=1e-12)
    np.testing.assert_allclose(motion.positions[1, 1], [11, 22, 34], atol=1e-12)
    np.testing.assert_allclose(motion.positions[1, 2], [11, 22, 36], atol=1e-12)
    np.testing.assert_allclose(motion.rotations[1, 0], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_frame_rate_and_joints_without_channels(tmp_path: Path) -> None:
    text = (
        TINY.replace("    CHANNELS 1 Zrotation\n", "")
        .replace("90 0 90 90", "90 0 90")
        .replace("0 0 0 0 0 0 0", "0 0 0 0 0 0")
    )
    motion = load_bvh(write(tmp_path, text))
    assert motion.fps == pytest.approx(100.0)
    np.testing.assert_allclose(motion.positions[1, 2] - motion.positions[1, 1], [0, 2, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("HIERARCHY", "HIERARCHIE", 1, "HIERARCHY"),
        ("OFFSET 1 2 3", "OFFSET 1 2", 4, "OFFSET"),
        ("OFFSET 0 1 0", "OFFSET 0 one 0", 8, "OFFSET"),
        ("CHANNELS 1 Zrotation", "CHANNELS 2 Zrotation", 9, "CHANNELS"),
        ("CHANNELS 1 Zrotation", "CHANNELS 1 Zrotatoin", 9, "Zrotation"),
        ("Frames: 2", "Frames: two", 17, "Frames:"),
        ("Frame Time: 0.01", "Frame Time: 0", 18, "positive"),
        ("20 10 30 90 0 90 90", "20 10 30 90 0 90", 20, "7 channels"),
        ("20 10 30 90 0 90 90", "20 10 nan 90 0 90 90", 20, "finite"),
        ("20 10 30 90 0 90 90\n", "", 19, "2 frames"),
    ],
)
def test_errors_name_the_line_and_what_was_expected(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    with pytest.raises(UserError, match=rf"line {line}\b") as error:
        load_bvh(write(tmp_path, TINY.replace(old, new, 1)))
    assert words in str(error.value)


def test_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.bvh"):
        load_bvh(tmp_path / "nowhere.bvh")


@pytest.mark.parametrize("order", ["ZYX", "XYZ", "YXZ"])
@pytest.mark.parametrize("z_up", [False, True])
def test_legs_are_found_whatever_is_up_and_in_whatever_order(tmp_path: Path, order: str, z_up: bool) -> None:
    body = find_body(
        load_bvh(write_bvh(tmp_path / "walk.bvh", SHORT, z_up=z_up, order=order, yaw=0.4 * (order == "ZYX")))
    )
    names = [
        [body.motion.joint_names[j] for j in (leg.hip, leg.knee, leg.ankle, leg.ball)] for leg in body.legs
    ]
    assert names == [
        [f"{side}{part}" for part in ("UpLeg", "Leg", "Foot", "Toe")] for side in ("Left", "Right")
    ]
    assert body.shoulders is not None
    assert [body.motion.joint_names[j] for j in body.shoulders] == ["LeftArm", "RightArm"]
    assert body.leg_length == pytest.approx(THIGH + SHANK, abs=1e-5)
    np.testing.assert_allclose(
        body.path("hip")[:, :, 2] - body.path("ankle")[:, :, 2].min(), HIP_HEIGHT - ANKLE_HEIGHT, atol=0.01
    )


def test_wrong_names_do_not_mislead(tmp_path: Path) -> None:
    swapped = {
        f"{a}{part}": f"{b}{part}"
        for a, b in (("Left", "Right"), ("Right", "Left"))
        for part in ("UpLeg", "Leg", "Foot", "Toe")
    }
    body = find_body(load_bvh(write_bvh(tmp_path / "walk.bvh", SHORT, names=swapped)))
    assert [body.motion.joint_names[leg.hip] for leg in body.legs] == ["RightUpLeg", "LeftUpLeg"]
    plain = find_body(load_bvh(write_bvh(tmp_path / "plain.bvh", SHORT)))
    np.testing.assert_allclose(body.path("ankle"), plain.path("ankle"), atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "word"), [(0.01, "centimetres"), (0.0254 / 0.45, "CMU"), (0.37, "no known unit")]
)
def test_the_unit_is_inferred_from_the_leg_and_said(tmp_path: Path, unit: float, word: str) -> None:
    body = find_body(load_bvh(write_bvh(tmp_path / "walk.bvh", SHORT, unit=unit)))
    assert body.leg_length == pytest.approx(THIGH + SHANK, rel=0.02)
    assert len(body.notes) == 1
    assert word in body.notes[0]


def test_an_assumed_unit_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    motion = load_bvh(write_bvh(tmp_path / "walk.bvh", Walker(steps=2, stand_s=0.2), unit=0.01))
    with caplog.at_level(logging.WARNING):
        retarget(load_robot(), motion)
    assert "centimetres" in caplog.text


def test_without_legs_the_joints_found_are_listed(tmp_path: Path) -> None:
    motion = load_bvh(write(tmp_path, TINY))
    with pytest.raises(UserError) as error:
        find_body(motion)
    for word in ("base", "arm", "hip, knee and ankle", "no legs"):
        assert word in str(error.value)


def test_arms_alone_are_no_legs(tmp_path: Path) -> None:
    motion = load_bvh(write_bvh(tmp_path / "walk.bvh", SHORT))
    keep = [
        j
        for j, name in enumerate(motion.joint_names)
        if not any(part in name for part in ("Leg", "Foot", "Toe"))
    ]
    upper = type(motion)(
        motion.fps,
        tuple(motion.joint_names[j] for j in keep),
        tuple(keep.index(motion.parents[j]) if motion.parents[j] >= 0 else -1 for j in keep),
        motion.positions[:, keep],
        motion.rotations[:, keep],
        motion.source,
    )
    with pytest.raises(UserError, match="LeftForeArm"):
        find_body(upper)
