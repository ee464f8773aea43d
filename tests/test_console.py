"""What commands print: tables of 100 columns, no colours in a pipe, progress with the time left, JSON alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wildrobot.cli import eval as eval_cli
from wildrobot.core.files import write_json
from wildrobot.core.progress import Bar

WIDEST = 100
# as wide as figures get; only speed and drifts have a sign
ROW: dict[str, Any] = {name: 0.123456 for name, _, _ in eval_cli.COLUMNS} | {
    "mean_speed_m_s": -0.123456,
    "lateral_drift_m_s": -0.123456,
    "yaw_drift_rad": -0.123456,
    "survival": 1.0,
    "saturation": 1.0,
    "clearance_left_mm": 123.4,
    "clearance_right_mm": 123.4,
    "power_w": 123.4,
}
DOCUMENT: dict[str, Any] = {
    "policy": "walk.onnx",
    "episodes": 100,
    "duration_s": 20.0,
    "settling_s": 2.0,
    "seed": 0,
    "randomization": {"name": "full"},
    "rows": [ROW | {"steps_standing_per_20_s": 12.5}],
}
PUSHES = [
    {
        "command_m_s": 0.3, "direction": "backward and sideways", "impulse_n_s": 12.34, "low_n_s": 10.25,
        "high_n_s": 14.75, "survival": 1.0, "robots": 9600, "largest_n_s": 14.4,
    }
]  # fmt: skip
FIGURE = {"first": -0.1234, "second": -0.1234, "difference": -0.1234, "low": -0.1234, "high": -0.1234}
COMPARED = [{"command_m_s": 0.3, "figures": {"yaw_drift_rad_per_10_s": FIGURE | {"significant": True}}}]


def widest(text: str) -> int:
    return max(len(line.rstrip()) for line in text.splitlines())


def test_the_tables_of_an_evaluation_fit(capsys: pytest.CaptureFixture[str]) -> None:
    eval_cli.report(DOCUMENT)
    eval_cli.report_pushes(PUSHES)
    eval_cli.report_servos([ROW | {"servo": "XM430-W350-T", "supply_v": 14.8}])
    eval_cli.report_comparison(
        "a_policy_with_a_long_name.onnx", "another_policy_with_a_long_name.onnx", COMPARED
    )
    text = capsys.readouterr().out
    assert widest(text) <= WIDEST
    assert "…" not in text
    assert "\x1b" not in text
    for figure in ("-0.123", "100.0%", "12.5 in 20 s", "10.25 to 14.75", "XM430-W350-T", "*"):
        assert figure in text


def test_the_table_of_the_randomization_fits(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mujoco")
    from wildrobot.cli import randomization

    figure = -0.00123456
    effect = randomization.Effect(
        "joint_velocity_noise_rad_s", "rad/s", (0.0, 0.0123), *[figure] * 6, "varies, but is off"
    )
    randomization.report(randomization.RandomizationOptions(), [effect])
    text = capsys.readouterr().out
    assert widest(text) <= WIDEST
    assert "joint_velocity_noise_rad_s" in text
    assert "0 … 0.0123" in text
    assert text.count("-0.0012") == 6
    assert "<<" in text


def test_progress_in_a_pipe_is_plain_lines_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("tracking", 4, every_s=0.0) as bar:
        for _ in range(4):
            bar.advance("reward 0.71")
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/4,", "2/4,", "3/4,", "4/4,"]
    assert all("s left" in line and line.endswith("reward 0.71") for line in lines)
    assert "\x1b" not in said.err


def test_progress_in_a_pipe_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("tracking", 1000, every_s=3600.0) as bar:
        for _ in range(999):
            bar.advance()
        assert len(capsys.readouterr().err.splitlines()) <= 1
        bar.advance()
    assert "1000/1000" in capsys.readouterr().err


def test_json_on_the_screen_is_all_that_eval_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(eval_cli, "evaluate", lambda spec, config: DOCUMENT)
    assert eval_cli.main(["walk.onnx", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT
    for flag in ("--json", "--out"):
        path = tmp_path / f"{flag}.json"
        assert eval_cli.main(["walk.onnx", flag, str(path)]) == 0
        assert json.loads(path.read_text()) == DOCUMENT
        assert "survival" in capsys.readouterr().out


def test_a_document_goes_to_the_screen_or_into_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json("-", {"a": 1})
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    write_json(tmp_path / "b.json", {"a": 1})
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "b.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("extra", [{}, {"NO_COLOR": "1", "FORCE_COLOR": ""}])
def test_a_bad_flag_is_told_without_colours_and_ends_with_two(extra: dict[str, str]) -> None:
    command = [sys.executable, "-m", "wildrobot", "report", "--no-such-flag"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | extra)
    assert done.returncode == 2
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
