"""The report: complete, self-contained, and honest about what is missing."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from page_helpers import LIBRARY, LOADS, own

from wildrobot.cli.report import main
from wildrobot.core.errors import UserError
from wildrobot.reports.elements.charts import Series, line_chart, thin, ticks
from wildrobot.reports.run_charts import training_charts
from wildrobot.reports.run_page import build_page
from wildrobot.reports.run_record import read_metrics


def write_run(run: Path, iterations: int = 30) -> Path:
    run.mkdir()
    with open(run / "metrics.jsonl", "w") as file:
        for i in range(iterations):
            row = {
                "iteration": i,
                "steps": 6144 * (i + 1),
                "return_mean": float(i),
                "speed_error": 0.3 - 0.005 * i,
                "disc_acc": 0.9,
                "disc_real_mean": 0.8,
                "disc_fake_mean": 0.2,
                "disc_real_std": 0.1,
                "disc_fake_std": 0.1,
                "style_reward_mean": 0.25,
                "style_reward_std": 0.1,
                "reward/upright": 0.125,
                "auc_top": [["left_toe contact", 0.75]],
            }
            file.write(json.dumps(row) + "\n")
    (run / "config.yaml").write_text('preset: quick\nseed: 7\nwhat: "<&>"\n')
    (run / "environment.json").write_text(json.dumps({"packages": {"torch": "2.13.0"}}))
    return run


def test_the_page_holds_every_part_of_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    evaluation = {"episodes": 100, "rows": [{"command_m_s": 0.3, "survival": 0.975, "mean_speed_m_s": 0.291}]}
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "ablation.json").write_text(json.dumps({"rows": [{"run": "quadratic reward", "disc_acc": 0.5}]}))
    (run / "walk.mp4").write_bytes(b"not really a video")
    (run / "walk.json").write_text(
        json.dumps(
            {"verdict": [{"check": "mean speed", "found": "0.21 m/s", "wanted": "0.30 m/s", "ok": False}]}
        )
    )
    page = build_page(run)
    for text in (
        "97.5%",
        "episodes without a fall",
        "98/100",
        "0.291",
        "quadratic reward",
        "&lt;&amp;&gt;",
        "preset quick",
        "seed 7",
        "torch 2.13.0",
        "left_toe contact",
        "upright",
    ):
        assert text in page
    assert 'class="fail"' in page
    assert base64.b64encode(b"not really a video").decode() in page
    titles = re.findall(r'class="title"[^>]*>([^<]*)<', page)
    assert {"Reward per step, task and style", "Discriminator accuracy", "Style reward, mean ± std"} <= set(
        titles
    )


def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    sources = []

    class Collect(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            sources.extend(str(value) for name, value in attrs if name in ("src", "href"))
            assert tag not in ("link", "iframe")

    run = write_run(tmp_path / "first")
    (run / "walk.mp4").write_bytes(b"video")
    page = build_page(run)
    Collect().feed(page)
    assert len(sources) == 1
    assert sources[0].startswith("data:video/mp4;base64,")
    assert LIBRARY in page
    assert not LOADS.search(own(page))


def test_a_run_without_evaluation_or_video_still_has_a_page(tmp_path: Path) -> None:
    page = build_page(write_run(tmp_path / "first"))
    assert "No video" in page
    assert "Evaluation" not in page


def test_the_command_writes_the_page_beside_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    assert main([str(run)]) == 0
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.jsonl.*wildrobot train"):
        build_page(tmp_path)


def test_a_line_cut_short_by_a_crash_is_ignored_but_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iteration": 0, "kl": 0.5}\n{"iteration": 1}\n{"iterat')
    columns = read_metrics(path)
    np.testing.assert_array_equal(columns["iteration"], [0.0, 1.0])
    np.testing.assert_array_equal(columns["kl"], [0.5, np.nan])
    path.write_text('{"iteration": 0}\n{"iterat\n{"iteration": 2}\n')
    with pytest.raises(UserError, match="line 2"):
        read_metrics(path)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.13, 0.41) == [0.0, 0.2, 0.4]
    assert ticks(0.0, 3.07, 6) == [0.0, 1.0, 2.0, 3.0]


def test_thinning_keeps_the_mean_and_leaves_out_what_is_not_a_number() -> None:
    y = np.arange(1000.0)
    y[::10] = np.nan
    x, thinned = thin(np.arange(1000.0), y, most=90)
    assert len(x) == 90
    assert thinned.mean() == pytest.approx(np.nanmean(y))


def test_a_chart_puts_the_extremes_at_the_corners_of_its_frame() -> None:
    chart = ET.fromstring(
        line_chart("t", np.array([0.0, 1.0]), [Series("a", np.array([0.0, 2.0]))], "x", (0.0, 2.0))
    )
    line = next(element for element in chart.iter("polyline"))
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert x0 < x1
    assert y0 > y1  # SVG counts downwards
    grid = sorted(
        float(element.attrib["y1"]) for element in chart.iter("line") if element.attrib["class"] == "grid"
    )
    assert (y1, y0) == (grid[0], grid[-1])


def test_a_chart_without_values_is_left_out() -> None:
    assert line_chart("t", np.arange(3.0), [Series("a", np.full(3, np.nan))], "x") == ""


def test_the_run_s_own_evaluations_are_drawn_on_the_iterations_that_had_one() -> None:
    scores = np.array([np.nan, 0.5, np.nan, 0.9])
    metrics = {
        "steps": 1e6 * np.arange(1.0, 5.0),
        "return_mean": np.ones(4),
        "eval/score": scores,
        "eval/survival_0.5": np.array([np.nan, 0.4, np.nan, 1.0]),
        "eval/survival_0": np.array([np.nan, 1.0, np.nan, 1.0]),
        "eval/speed_error_0.5": np.array([np.nan, 0.2, np.nan, 0.05]),
    }
    page = training_charts(metrics)
    assert "Evaluations in training: survival" in page
    assert page.index("0 m/s") < page.index("0.5 m/s")
    assert "NaN" not in page
    assert "nan" not in page
    assert "Evaluations in training" not in training_charts({k: metrics[k] for k in ("steps", "return_mean")})
