"""What JavaScript adds to a page: values under the pointer, one cursor for all charts, zoom, tables that sort."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_helpers import ELEMENTS, LIBRARY, LOADS, own
from runtime_helpers import run_small_policy
from test_report import write_run
from view_helpers import browser

from wildrobot.cli.log import plot
from wildrobot.reports.run_page import build_page


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chart_page")
    with pytest.MonkeyPatch.context() as patch:
        flags = ("--speed", "0.2", "--duration", "1", "--log", str(folder / "log"))
        assert run_small_policy(patch, folder, *flags) == 0
    assert plot.main([str(folder / "log"), "--out", str(folder / "log.html")]) == 0
    return folder / "log.html"


@pytest.fixture(scope="module")
def page(page_file: Path) -> Iterator[Any]:
    with browser() as launched:
        opened = launched.new_page(viewport={"width": 1280, "height": 720})
        opened.goto(page_file.as_uri())
        opened.wait_for_function("() => window.charts && window.charts.length > 5")
        yield opened


def test_the_library_is_whole_of_the_version_that_is_named_and_asks_for_nothing(page_file: Path) -> None:
    assert "v1.6.32" in LIBRARY
    notes = (ELEMENTS / "uplot" / "README.md").read_text(encoding="utf-8")
    assert notes.startswith("uPlot 1.6.32 (MIT, `LICENSE`)")
    assert "Permission is hereby granted" in (ELEMENTS / "uplot" / "LICENSE").read_text(encoding="utf-8")
    text = page_file.read_text(encoding="utf-8")
    assert LIBRARY in text
    assert not LOADS.search(own(text))
    assert len(text) < 5_000_000


def test_without_javascript_every_chart_is_drawn(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    charts = text.split("<svg")[1:]
    assert len(charts) > 5
    assert all("<polyline" in chart or "<path" in chart or "<rect" in chart for chart in charts)


def test_the_cursor_shows_values_in_all_charts_of_the_same_time(page: Any) -> None:
    plots = page.locator(".plot .u-over")
    plots.first.scroll_into_view_if_needed()
    box = plots.first.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    shown = page.evaluate(
        """() => {
            const [first, ...others] = window.charts;
            const legend = u => u.root.querySelector('.u-legend').textContent;
            return [legend(first), first.data[0][first.cursor.idx], others.filter(u => u.cursor.idx != null).length];
        }"""
    )
    assert f"{shown[1]:.1f}" in shown[0]
    assert shown[2] > 3


def test_a_zoom_goes_over_all_charts_and_a_double_click_ends_it(page: Any) -> None:
    plots = page.locator(".plot .u-over")
    plots.first.scroll_into_view_if_needed()
    ranges = "() => window.charts.map(u => u.scales.x.max - u.scales.x.min)"
    before, box = page.evaluate(ranges), plots.first.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=5)
    page.mouse.up()
    zoomed = page.evaluate(ranges)
    assert sum(after < 0.5 * was for after, was in zip(zoomed, before, strict=True)) > 3
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], y)
    assert page.evaluate(ranges) == pytest.approx(before)


def test_a_click_on_a_column_sorts_and_a_second_one_turns_it_round(page: Any) -> None:
    events = page.locator("table.sortable").first
    column = "table => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[0].textContent))"
    times = events.evaluate(column)
    assert len(times) > 3
    head = events.locator("thead th").first
    head.click()
    assert events.evaluate(column) == sorted(times)
    head.click()
    assert events.evaluate(column) == sorted(times, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"


def test_two_fingers_zoom_all_charts_and_a_button_shows_all_again(page_file: Path, page: Any) -> None:
    size = {"width": 390, "height": 844}
    context = page.context.browser.new_context(viewport=size, has_touch=True, is_mobile=True)
    phone = context.new_page()
    phone.goto(page_file.as_uri())
    phone.wait_for_function("() => window.charts && window.charts.length > 5", polling=100, timeout=8000)
    plot = phone.locator(".plot .u-over").first
    plot.scroll_into_view_if_needed()
    ranges = "() => window.charts.map(u => u.scales.x.max - u.scales.x.min)"
    before, box = phone.evaluate(ranges), plot.bounding_box()
    touches = context.new_cdp_session(phone)

    def fingers(kind: str, *parts: float) -> None:
        places = [
            {"x": box["x"] + part * box["width"], "y": box["y"] + box["height"] / 2, "id": k}
            for k, part in enumerate(parts)
        ]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    fingers("touchStart", 0.4, 0.6)
    fingers("touchMove", 0.3, 0.7)
    fingers("touchMove", 0.2, 0.8)
    fingers("touchEnd")
    phone.wait_for_function("() => !document.querySelector('.plot .all').hidden", polling=100, timeout=8000)
    zoomed = phone.evaluate(ranges)
    assert zoomed[0] == pytest.approx(before[0] / 3, rel=0.1)
    assert sum(after < 0.5 * was for after, was in zip(zoomed, before, strict=True)) > 3
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390
    phone.locator(".plot .all").first.tap()
    phone.wait_for_function("() => document.querySelector('.plot .all').hidden", polling=100, timeout=8000)
    assert phone.evaluate(ranges) == pytest.approx(before)
    context.close()


def test_no_two_values_at_an_axis_read_the_same(page: Any) -> None:
    def shown(step: float) -> list[str]:
        values = [k * step for k in range(5)]
        return list(page.evaluate("([v, step]) => atAxis(null, v, 0, 0, step)", [values, step]))

    assert shown(0.0005) == ["0.0000", "0.0005", "0.0010", "0.0015", "0.0020"]
    assert shown(0.025) == ["0.000", "0.025", "0.050", "0.075", "0.100"]
    assert shown(2500) == ["0", "2,500", "5,000", "7,500", "10,000"]
    every = page.evaluate("() => window.charts.flatMap(u => u.axes.map(axis => axis._values))")
    assert len(every) > 20
    assert all(len(set(values)) == len(values) for values in every)


def test_a_report_fits_a_phone(page: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "a_run_with_a_long_name")
    rows = [{"check": "right swing clearance", "found": "19.0 mm or so", "wanted": "≥ 15 mm", "ok": True}]
    (run / "walk.json").write_text(json.dumps({"verdict": rows}))
    (run / "report.html").write_text(build_page(run), encoding="utf-8")
    context = page.context.browser.new_context(viewport={"width": 390, "height": 844})
    phone = context.new_page()
    phone.goto((run / "report.html").as_uri())
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390
    context.close()


def test_what_was_asked_is_drawn_over_what_was_found(page: Any) -> None:
    colours = page.evaluate(
        "() => window.charts.map(u => JSON.parse(u.root.closest('figure').querySelector('svg').dataset.plot)"
        ".tables.flatMap(t => t.lines.map(l => l.colour)))"
    )
    asked = [own for own in colours if "asked" in own]
    assert asked
    assert all(own[-1] == "asked" for own in asked)
