"""The films: what each scene asks for, what is measured of it, and a page that shows what there is."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, write_small_onnx

from wildrobot.cli import film as cli
from wildrobot.core.errors import EXIT_BAD_INPUT, UserError, run_main
from wildrobot.reports.film_page import FLOOR_SQUARE_M, build_page, film_grid, outcome
from wildrobot.reports.run_page import build_page as build_report
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.simulation import video
from wildrobot.training.evaluation import film, scenes
from wildrobot.training.evaluation.film import Director
from wildrobot.training.evaluation.scenes import SCENES, Scene, ScenePush, choose

available, reason = video.video_available()
needs_rendering = pytest.mark.skipif(not available, reason=f"no rendering here: {reason}")
SHORT = Scene("short", "Standing shortly", ((0.0, 0.0, 0.0),), 0.3)
ROW = {
    "scene": "turn", "title": "Turning <left>", "file": "turn.mp4", "bytes": 5,
    "pushes": ["backward, 1.3 N s, at 5.5 s"],
    "asked_speed_m_s": 0.2, "mean_speed_m_s": 0.251, "asked_turn_rad": 2.8, "turn_rad": 0.731, "moved_m": 1.56,
    "fell_at_s": None, "fault": None,
}  # fmt: skip


def scene(name: str) -> Scene:
    return next(one for one in SCENES if one.name == name)


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    return write_small_onnx(tmp_path / "small.onnx")


def test_the_scenes_are_the_ones_that_a_person_asks_for() -> None:
    speeds = {one.commands[-1][1] for one in SCENES if one.name.startswith("walk")}
    assert speeds == {0.15, 0.3, 0.5}
    assert scene("stand").commands == ((0.0, 0.0, 0.0),)
    assert scene("push").pushes
    assert scene("turn").commands[-1][2] > 0.0
    for one in SCENES:
        assert 6.0 <= one.duration_s <= 8.0
        assert one.commands[0][0] == 0.0
        assert [entry[0] for entry in one.commands] == sorted(entry[0] for entry in one.commands)
        assert all(push.time_s < one.duration_s for push in one.pushes)
    assert choose((), SPEC) == list(SCENES)


@pytest.mark.parametrize(
    ("time_s", "speed", "measured"),
    [
        (0.0, 0.0, False),
        (0.98, 0.0, False),
        (1.0, 0.3, False),
        (2.48, 0.3, False),
        (2.5, 0.3, True),
        (3.58, 0.3, True),
        (3.6, 0.0, False),
        (4.9, 0.0, False),
        (5.0, 0.3, False),
        (6.5, 0.3, True),
        (7.0, 0.0, False),
        (7.98, 0.0, False),
    ],
)
def test_starting_and_stopping_by_hand(time_s: float, speed: float, measured: bool) -> None:
    one = scene("start_stop")
    assert one.command(time_s) == (speed, 0.0)
    assert one.measured(SPEC, time_s) is measured


def test_of_a_standing_robot_the_speed_is_measured_too() -> None:
    assert not scene("stand").measured(SPEC, 1.48)
    assert scene("stand").measured(SPEC, 1.5)


def test_the_director_waits_for_standing_and_pushes_once_in_the_robot_s_own_frame() -> None:
    robot: Any = open_robot("sim", SPEC, RobotOptions())
    simulation = robot.simulation
    yaw = 0.5 * math.pi  # facing +y: forward is +y, left is -x
    simulation.qpos[0, 3:7] = np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)
    one = Scene("x", "x", ((0.0, 0.0, 0.0), (0.04, 0.2, 0.1)), 0.08, (ScenePush(0.02, 0.3, 0.4),))
    director = Director(SPEC, one, simulation)
    assert director.poll(0, State.LIMP).stand
    assert not director.filming
    asked, pushed = [], []
    for _ in range(4):
        command = director.poll(0, State.STANDING)
        assert director.filming
        asked.append((command.linear_velocity_x, command.yaw_rate))
        pushed.append(simulation.qvel[0, :2].copy())
    assert asked == [(0.0, 0.0), (0.0, 0.0), (0.2, 0.1), (0.2, 0.1)]
    np.testing.assert_allclose(pushed, [(0.0, 0.0), *3 * [(-0.4, 0.3)]], atol=1e-9)
    last = director.poll(0, State.STANDING)
    assert last.end
    assert not director.filming
    robot.close()


def test_a_push_is_said_with_its_impulse() -> None:
    mass = SPEC.total_mass
    assert ScenePush(0.0, forward_m_s=-0.4).words(SPEC) == f"backward, {0.4 * mass:.1f} N s"
    assert ScenePush(0.0, 0.3, 0.4).words(SPEC) == f"forward and to the left, {0.5 * mass:.1f} N s"


def test_a_robot_that_stands_is_measured_standing_for_the_whole_scene(policy_file: Path) -> None:
    one = dataclasses.replace(scene("stand"), duration_s=2.0)
    reel, figures = film.play(SPEC, load_skill(SPEC, policy_file), one, RobotOptions())
    assert reel.frames == 50
    assert figures["fell_at_s"] is None
    assert figures["mean_speed_m_s"] == pytest.approx(0.0, abs=0.02)
    assert figures["asked_speed_m_s"] == 0.0
    assert figures["moved_m"] < 0.03
    again = film.play(SPEC, load_skill(SPEC, policy_file), one, RobotOptions())
    assert again[1] == figures


def test_a_fall_is_told_and_ends_the_scene_a_second_later(policy_file: Path) -> None:
    one = dataclasses.replace(scene("stand"), pushes=(ScenePush(0.5, left_m_s=3.0),))
    reel, figures = film.play(SPEC, load_skill(SPEC, policy_file), one, RobotOptions())
    assert 0.5 < figures["fell_at_s"] < 3.0
    assert reel.frames / reel.fps == pytest.approx(figures["fell_at_s"] + 1.0, abs=0.1)
    assert outcome(figures).startswith(f"fell at {figures['fell_at_s']:.1f} s")


@needs_rendering
def test_a_tiny_film_and_its_page(policy_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    monkeypatch.setattr(scenes, "SCENES", (SHORT,))
    out = tmp_path / "film"
    assert cli.main([str(policy_file), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["film.json", "index.html", "short.mp4"]
    with av.open(str(out / "short.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 8  # ticks 0, 2, ... 14
    assert frames[0].shape == (360, 640, 3)
    document = json.loads((out / "film.json").read_text())
    assert document["scenes"][0]["bytes"] == (out / "short.mp4").stat().st_size
    assert 'src="short.mp4"' in (out / "index.html").read_text()


def test_the_page_shows_every_scene_with_its_figures() -> None:
    fallen = {**ROW, "file": "push me.mp4", "title": "Pushed", "fell_at_s": 4.24}
    document = {"policy": "p.onnx", "policy_sha256": "c0ffee", "scenes": [ROW, fallen]}
    page = build_page(document)
    for text in (
        "Turning &lt;left&gt;",
        "0.25 m/s (asked 0.20)",
        "+0.73 rad (asked +2.80)",
        "156 cm",
        "backward, 1.3 N s",
        '<video controls loop muted playsinline preload="metadata" src="turn.mp4">',
        'src="push%20me.mp4"',
        'class="fail">fell at 4.2 s',
        'class="pass">did not fall',
    ):
        assert text in page
    assert "Not on this page: " in film_grid(document, lambda file: None)


def test_the_squares_of_the_floor_are_as_wide_as_the_page_says() -> None:
    model = compile_model(SPEC)
    repeats_per_m = model.mat_texrepeat[model.material("floor").id]
    np.testing.assert_allclose(1.0 / repeats_per_m, FLOOR_SQUARE_M)


def test_the_report_carries_the_films_of_the_run_and_says_when_they_are_of_another_policy(
    tmp_path: Path,
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 0, "kl": 0.5}\n')
    assert "wildrobot film" in build_report(tmp_path)
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "turn.mp4").write_bytes(b"video")
    document = {"policy": "policy.onnx", "policy_sha256": "0" * 64, "scenes": [ROW]}
    (tmp_path / "film" / "film.json").write_text(json.dumps(document))
    page = build_report(tmp_path)
    assert 'src="data:video/mp4;base64,dmlkZW8="' in page
    assert "0.25 m/s (asked 0.20)" in page
    assert "another policy" not in page
    (tmp_path / "policy.onnx").write_bytes(b"newer")
    assert "another policy" in build_report(tmp_path)


def test_without_rendering_the_reason_is_given_and_nothing_is_written(
    policy_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "video_available", lambda: (False, "apt-get install -y libegl1"))
    assert run_main(cli.main, [str(policy_file), "--out", str(tmp_path / "film")]) == EXIT_BAD_INPUT
    assert "cannot film: apt-get install -y libegl1" in capsys.readouterr().err
    assert not (tmp_path / "film").exists()


def test_bad_input_ends_with_two_and_says_what_to_do(
    policy_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "video_available", lambda: (True, ""))
    for arguments, message in (
        ((str(tmp_path / "absent.onnx"), "--out", str(tmp_path)), "there is no policy"),
        ((str(policy_file), "--out", str(tmp_path), "--scenes", "dance"), "no scene 'dance'; known: stand, "),
        ((str(policy_file), "--out", str(policy_file)), "Choose a folder"),
        ((str(policy_file), "--out", "/proc/film"), "Choose a folder"),
    ):
        assert run_main(cli.main, arguments) == EXIT_BAD_INPUT
        assert message in capsys.readouterr().err


def test_a_scene_beyond_the_robot_s_commands_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SCENES", (Scene("sprint", "Sprint", ((0.0, 3.0, 0.0),)),))
    with pytest.raises(UserError, match="scene sprint asks for 3 m/s"):
        choose((), SPEC)


def test_the_page_of_earlier_films_goes_before_new_ones_are_made(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("old")
    (tmp_path / "film.json").write_text("{}")
    (tmp_path / "stand.mp4").write_bytes(b"old")
    cli.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stand.mp4"]
