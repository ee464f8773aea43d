"""What the terminal shows as tables and rows: every figure whole, however narrow it is."""

from __future__ import annotations

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from wildrobot.cli.common.rows import print_rows
from wildrobot.cli.common.tables import figure, parts, print_table
from wildrobot.cli.eval import COLUMNS, report, results_table
from wildrobot.cli.reference.show import clip_table

ROW = {name: 0.123456 * (1 + k) for k, (name, _, _) in enumerate(COLUMNS)} | {"clearance_left_mm": 1234.0}
ROWS = [ROW | {"command_m_s": speed} for speed in (0.0, 0.15)]


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_every_figure_of_an_evaluation_is_whole_in_a_narrow_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(results_table(ROWS))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    words = text.split()
    for row in ROWS:
        for name, _, form in COLUMNS:
            assert format(row[name], form) in words
    parts = sum(line.split()[:1] == ["0.15"] for line in lines)
    assert parts >= (3 if columns == 40 else 1)


def test_a_table_that_fits_is_one_and_one_that_does_not_has_its_first_columns_and_its_title_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table(
        "joint", "side", "first figure", "second figure", box=box.SIMPLE_HEAD, title="what was measured"
    )
    table.add_row("hip", "left", "1.234567", "7.654321")
    for columns, times in ((100, 1), (30, 2)):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_table(table, 2)
        text = capsys.readouterr().out
        assert text.count("hip") == text.count("left") == times
        assert text.count("what was measured") == 1
        assert "1.234567" in text
        assert "7.654321" in text


def test_a_long_value_goes_on_below_its_begin_on_a_terminal_and_stays_whole_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("name", "work p50 0.42, p99 1.25, max 12.75 ms; late by 0.25 ms"), ("n", "short")]
    monkeypatch.setenv("COLUMNS", "40")
    print_rows(rows)
    assert capsys.readouterr().out.splitlines() == [
        "  name  work p50 0.42, p99 1.25, max",
        "          12.75 ms; late by 0.25 ms",
        "  n     short",
    ]
    monkeypatch.delenv("COLUMNS")
    print_rows(rows)
    assert capsys.readouterr().out.splitlines()[0].endswith("late by 0.25 ms")


@pytest.mark.parametrize("columns", [50, 60, 80, 100])
def test_a_long_name_is_folded_and_no_column_is_lost_beside_it(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("survival", "joint_rmse_rad", "saturation", "sole_depth_m", "weight_error", "self_collision")
    figures = {name: 0.1234 + 0.1 * k for k, name in enumerate(names)}
    entry = {"name": "walk_v0.20_t18_c30_and_a_long_name_beyond", "accepted": True, "figures": figures}
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(clip_table([entry], 0.02), 2)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    assert all(f"{value:.4f}" in text.split() for value in figures.values())


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (-0.0002, ".3f", "0.000"),
        (-0.0, ".3f", "0.000"),
        (0.0004, "+.3f", "0.000"),
        (-0.0006, ".3f", "-0.001"),
        (0.0006, "+.3f", "+0.001"),
        (-0.0002, ".1%", "0.0%"),
        (None, ".3f", "–"),
    ],
)
def test_a_zero_has_no_sign(value: float | None, form: str, shown: str) -> None:
    assert figure(value, form) == shown


@pytest.mark.parametrize("columns", [60, 80])
def test_the_text_around_an_evaluation_breaks_between_words(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {
        "policy": "wildrobot_walk.onnx",
        "episodes": 20,
        "duration_s": 20.0,
        "randomization": {"name": "full"},
        "seed": 0,
        "settling_s": 2.0,
        "rows": [row | {"survival": 0.95, "mean_speed_m_s": -0.0001} for row in ROWS],
    }
    texts = []
    for width in (columns, 1000):
        monkeypatch.setenv("COLUMNS", str(width))
        report(result)
        texts.append(capsys.readouterr().out)
    narrow, wide = texts
    assert max(map(len, narrow.splitlines())) <= columns
    assert "-0.000" not in wide
    said = wide.split("─ ")[-1].splitlines()
    sentences = [line for line in said if line.startswith(("Measured", "Survival"))]
    assert len(sentences) == 1 + len(ROWS)
    assert all(sentence in " ".join(narrow.split()) for sentence in sentences)


def test_a_column_without_text_makes_no_part_of_its_own() -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for title in ("term", "asked", ""):
        table.add_column(title, no_wrap=True)
    table.add_row("friction", "0.4 to 1.1", "")
    assert [[column.header for column in part.columns] for part in parts(table, 1, Console(width=20))] == [
        ["term", "asked"]
    ]


def test_what_goes_on_below_is_indented_below_its_begin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_rows([("events", "fall 1"), ("", "  16.04 s  fault fall: the pelvis tilts past its stop level")])
    assert capsys.readouterr().out.splitlines() == [
        "  events  fall 1",
        "            16.04 s  fault fall: the",
        "              pelvis tilts past its stop",
        "              level",
    ]
