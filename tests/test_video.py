"""The video: what was rendered is in the file, and a file is whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wildrobot.simulation import video

available, reason = video.video_available()
needs_rendering = pytest.mark.skipif(not available, reason=f"no rendering here: {reason}")

SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1"/>
    <geom type="plane" size="0 0 0.1" rgba="0.3 0.3 0.3 1"/>
    <body name="pelvis" pos="0 0 0.34"><freejoint/><geom type="sphere" size="0.15" rgba="{rgba}"/></body>
  </worldbody>
</mujoco>
"""


def scene(rgba: str = "1 0 0 1") -> tuple[Any, Any]:
    import mujoco

    model = mujoco.MjModel.from_xml_string(SCENE.format(rgba=rgba))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@needs_rendering
def test_every_frame_added_is_decoded_back_in_the_body_s_colour(tmp_path: Path) -> None:
    import av

    model, data = scene("1 0 0 1")
    with video.VideoWriter(tmp_path / "ball.mp4", model, fps=25, width=160, height=120) as writer:
        for _ in range(7):
            writer.add(data)
    with av.open(str(tmp_path / "ball.mp4")) as container:
        assert container.streams.video[0].average_rate == 25
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 7
    red, green, blue = frames[0][60, 80].astype(int)
    assert red > 80
    assert red > 2 * max(green, blue)


@needs_rendering
def test_the_camera_follows_the_body_and_the_picture_is_upright() -> None:
    import mujoco

    model, data = scene("1 0 0 1")
    data.qpos[:2] = 20.0, -7.0
    mujoco.mj_forward(model, data)
    renderer = video.SceneRenderer(model, 160, 120)
    picture = renderer.render(data).astype(int)
    renderer.close()
    redness = picture[..., 0] - picture[..., 1]
    rows, columns = np.nonzero(redness > 80)
    assert abs(columns.mean() - 80) < 8
    assert abs(rows.mean() - 60) < 12
    assert picture[-1].mean() > picture[0].mean() + 10  # a lit floor below, black sky above


@needs_rendering
def test_an_error_while_rendering_leaves_no_file(tmp_path: Path) -> None:
    model, data = scene()

    def film() -> None:
        with video.VideoWriter(tmp_path / "x.mp4", model, width=64, height=48) as writer:
            writer.add(data)
            raise RuntimeError("simulation lost")

    with pytest.raises(RuntimeError, match="lost"):
        film()
    assert list(tmp_path.iterdir()) == []


@needs_rendering
def test_a_video_without_frames_leaves_no_file_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    writer = video.VideoWriter(tmp_path / "x.mp4", scene()[0], width=64, height=48)
    writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == []


@needs_rendering
def test_frames_are_due_at_the_frame_rate_of_the_file(tmp_path: Path) -> None:
    model, data = scene()
    with video.VideoWriter(tmp_path / "x.mp4", model, fps=25, width=64, height=48) as writer:
        taken = []
        for tick in range(10):
            if writer.due(3.0 + 0.02 * tick):
                writer.add(data)
                taken.append(tick)
    assert taken == [0, 2, 4, 6, 8]


def test_without_a_rendering_library_the_reason_names_the_line_that_installs_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(video, "rendering_backend", lambda: None)
    ok, why = video.video_available()
    assert not ok
    assert "apt-get install" in why
