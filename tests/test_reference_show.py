"""`wildrobot reference show`: the table, the chosen recordings, the video, and bad files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from page_helpers import LOADS, own
from rich.console import Console

from wildrobot.cli.common.tables import PIPED_WIDTH
from wildrobot.cli.reference.show import ShowOptions, choose_rollouts, clip_table, main
from wildrobot.core.errors import EXIT_BAD_INPUT, UserError, run_main
from wildrobot.robot_description import load_robot
from wildrobot.signal_path.features import feature_names
from wildrobot.simulation.video import video_available
from wildrobot.training.reference.dataset import ARRAYS, FORMAT, ReferenceDataset

SPEC = load_robot()
FRAMES = 30


def entry(name: str, accepted: bool = True, **figures: float) -> dict[str, object]:
    return {
        "name": name, "source": f"made for the test of {name}", "frames": FRAMES, "loop": accepted,
        "command": [0.3, -0.1], "accepted": accepted, "figures": figures,
        "reason": "" if accepted else "survival 0.2 < 0.9",
    }  # fmt: skip


@pytest.fixture
def dataset() -> ReferenceDataset:
    """Two accepted clips, the second recorded twice, and a rejected one."""
    n, rows = SPEC.num_joints, 3 * FRAMES
    widths = {
        "joint_position": n, "joint_velocity": n, "imu_quaternion": 4, "imu_angular_velocity": 3,
        "imu_acceleration": 3, "foot_contact": SPEC.num_feet, "features": len(feature_names(SPEC)), "qpos": 7 + n,
        "qvel": 6 + n, "command": 2,
    }  # fmt: skip
    arrays = {
        name: np.zeros((rows, widths[name]) if name in widths else rows, dtype=np.float32) for name in ARRAYS
    }
    arrays["qpos"][:, 2], arrays["qpos"][:, 3] = SPEC.standing_height, 1.0
    clips = [
        entry("walk", survival=1.0, joint_rmse_rad=0.0461),
        entry("fall", False, survival=0.2),
        entry("turn", survival=1.0, joint_rmse_rad=0.05),
    ]
    meta = {"format": FORMAT, "robot": SPEC.name, "feature_names": list(feature_names(SPEC)), "clips": clips,
            "rollout_clip": [0, 2, 2]}  # fmt: skip
    return ReferenceDataset(arrays, np.arange(0, rows + 1, FRAMES), meta)


@pytest.fixture
def file(dataset: ReferenceDataset, tmp_path: Path) -> Path:
    path = tmp_path / "reference.npz"
    dataset.save(path)
    return path


def printed(dataset: ReferenceDataset) -> str:
    console = Console(width=160, record=True, file=None)
    with console.capture() as capture:
        console.print(clip_table(dataset.clips, SPEC.control_dt))
    return capture.get()


def test_the_table_has_every_clip_with_figures_and_verdict(dataset: ReferenceDataset) -> None:
    text = printed(dataset)
    assert "2 of 3 clips accepted" in text
    walk, fall, turn = (
        next(line for line in text.splitlines() if name in line) for name in ("walk", "fall", "turn")
    )
    assert "0.30" in walk
    assert "-0.10" in walk
    assert "0.0461" in walk
    assert turn.split()[0] == "yes"
    assert fall.split()[0] == "no"


def test_one_recording_of_each_accepted_clip_is_rendered(dataset: ReferenceDataset, tmp_path: Path) -> None:
    assert choose_rollouts(dataset, ShowOptions(tmp_path)) == [("walk", 0), ("turn", 1)]
    assert choose_rollouts(dataset, ShowOptions(tmp_path, max_clips=1)) == [("walk", 0)]
    assert choose_rollouts(dataset, ShowOptions(tmp_path, clip="turn")) == [("turn", 1)]


def test_unknown_and_rejected_clips_are_told_apart(dataset: ReferenceDataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no clip 'wlak'; did you mean 'walk'\?"):
        choose_rollouts(dataset, ShowOptions(tmp_path, clip="wlak"))
    with pytest.raises(UserError, match=r"no clip 'dance'; it has: walk, turn\."):
        choose_rollouts(dataset, ShowOptions(tmp_path, clip="dance"))
    with pytest.raises(UserError, match="'fall' was rejected"):
        choose_rollouts(dataset, ShowOptions(tmp_path, clip="fall"))


def test_the_command_prints_and_ends_well(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file)]) == 0
    output = capsys.readouterr().out
    assert "3 rollouts, 90 frames at 50 Hz" in output
    assert "rejected fall: survival 0.2 < 0.9" in output
    assert main([str(file), "--clip", "walk"]) == 0
    assert "made for the test of walk" in capsys.readouterr().out


def test_a_reference_that_is_not_finite_ends_with_two(
    dataset: ReferenceDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.arrays["features"][7, 3] = np.nan
    path = tmp_path / "bad.npz"
    dataset.save(path)
    assert run_main(main, [str(path)]) == EXIT_BAD_INPUT
    message = capsys.readouterr().err
    assert "'features' is not finite at frame 7" in message
    assert "build the reference again" in message


def test_missing_and_truncated_files_end_with_two(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.npz"
    cut.write_bytes(file.read_bytes()[:500])
    for path in (cut, tmp_path / "nowhere.npz"):
        assert run_main(main, [str(path)]) == EXIT_BAD_INPUT
        assert path.name in capsys.readouterr().err


@pytest.mark.skipif(not video_available()[0], reason=video_available()[1])
def test_the_video_lasts_as_long_as_the_recordings(file: Path, tmp_path: Path) -> None:
    import av

    video = tmp_path / "clips.mp4"
    assert main([str(file), "--video", str(video)]) == 0
    with av.open(str(video)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == pytest.approx(2 * FRAMES * SPEC.control_dt * 25, abs=1)


def test_the_page_has_every_clip_and_loads_nothing(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "reference.html"
    assert main([str(file), "--html", str(page)]) == 0
    text = page.read_text()
    for said in (
        "2 of 3",
        "survival 0.2 &lt; 0.9",
        "0.046",
        "left_knee_pitch",
        "pelvis_height",
        "Left leg (rad)",
    ):
        assert said in text
    assert "src=" not in text
    assert not LOADS.search(own(text))


def test_json_on_the_screen_is_all_there_is_on_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file), "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [clip["accepted"] for clip in document["clips"]] == [True, False, True]


def test_the_table_of_a_pipe_fits_a_hundred_columns() -> None:
    figures = dict.fromkeys(("survival", "joint_rmse_rad", "saturation", "sole_depth_m", "weight_error"), 0.1)
    clips = [entry("walk_v0.20_t18_c30_and_a_long_name_beyond", **figures, self_collision=-0.01)]
    console = Console(width=PIPED_WIDTH)
    with console.capture() as capture:
        console.print(clip_table(clips, SPEC.control_dt))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in capture.get()
