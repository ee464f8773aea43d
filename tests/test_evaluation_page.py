"""The page of an evaluation: every figure of the document, at its place, and nothing from elsewhere."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest
from page_helpers import LOADS, own

from wildrobot.reports.elements.charts import HEIGHT, WIDTH
from wildrobot.reports.elements.html_tables import cells, ends_of, table
from wildrobot.reports.evaluation_page import build_page
from wildrobot.training.evaluation.comparison import wilson

ROW = {
    "command_m_s": 0.3,
    "survival": 0.975,
    "mean_speed_m_s": 0.291,
    "speed_error_m_s": 0.013,
    "lateral_drift_m_s": 0.02,
    "yaw_drift_rad_per_10_s": 0.11,
    "saturation": 0.004,
    "foot_slip_m_s": 0.021,
    "clearance_left_mm": 17.25,
    "clearance_right_mm": 16.5,
    "power_w": 31.5,
    "style_score": 0.62,
}
STANDING = dict.fromkeys(ROW) | {
    "command_m_s": 0.0,
    "survival": 1.0,
    "mean_speed_m_s": 0.001,
    "speed_error_m_s": 0.001,
}
DOCUMENT: dict[str, Any] = {
    "rows": [STANDING, ROW],
    "episodes": 100,
    "duration_s": 20.0,
    "settling_s": 2.0,
    "seed": 7,
    "policy": "walk.onnx",
    "policy_sha256": "45e6a8fc",
    "robot": "wildrobot",
    "randomization": {"name": "full", "friction": [0.4, 1.1]},
    "versions": {"mujoco": "4.0.0"},
    "network_sha256": None,
}
PUSH = {
    "command_m_s": 0.0,
    "low_n_s": 1.1,
    "high_n_s": 1.6,
    "survival": 0.4,
    "largest_n_s": 4.1,
    "robots": 96,
}


class Page(HTMLParser):
    """Text of every cell by table row, headings, and what the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[list[str]] = []
        self.headings: list[str] = []
        self.loaded: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.loaded += [f"{tag} {value}" for name, value in attrs if name in ("src", "href")]
        if tag in ("link", "iframe"):
            self.loaded.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._tag in ("td", "th"):
            self.cells[-1][-1] += data
        elif self._tag in ("h1", "h2"):
            self.headings.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def rows_under(self, *columns: str) -> list[dict[str, str]]:
        """Rows of the first table with these columns."""
        for at, head in enumerate(self.cells):
            if set(columns) <= set(head):
                rows = []
                for cells in self.cells[at + 1 :]:
                    if len(cells) != len(head):
                        break
                    rows.append(dict(zip(head, cells, strict=True)))
                return rows
        raise AssertionError(f"no table has {columns}: {self.cells}")


def chart_of(page: str, title: str) -> ET.Element:
    for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        svg = ET.fromstring(text)
        if svg.attrib["aria-label"] == title:
            return svg
    raise AssertionError(f"no chart {title}")


def points_of(svg: ET.Element, colour: int = 0) -> list[tuple[float, float]]:
    circles = [c.attrib for c in svg.iter("circle") if c.attrib["class"] == f"point c{colour}"]
    return [(float(c["cx"]), float(c["cy"])) for c in circles]


def with_(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT) | parts


def test_every_speed_is_a_column_with_its_figures_and_what_was_not_measured_is_a_dash() -> None:
    cells = Page(build_page(DOCUMENT)).cells
    for expected in (
        ["commanded (m/s)", "0.000", "0.300"],
        ["survival", "100.0%", "97.5%"],
        ["mean speed (m/s)", "0.001", "0.291"],
        ["at the voltage limit", "–", "0.4%"],
        ["style score", "–", "0.620"],
    ):
        assert expected in cells


def test_the_protocol_is_on_the_page() -> None:
    text = build_page(DOCUMENT)
    assert "100 episodes of 20 s per speed · randomization full · seed 7 · robot wildrobot" in text
    assert "After the first 2 s" in text
    facts = dict(cells for cells in Page(text).cells if len(cells) == 2)
    assert facts["friction"] == "0.4 to 1.1"
    assert facts["mujoco"] == "4.0.0"
    assert facts["policy sha256"] == "45e6a8fc"
    assert "network sha256" not in facts


def test_tiles_show_the_worst_speed() -> None:
    tiles = re.findall(r'class="tile"><b>([^<]*)</b><span>([^<]*)<', build_page(DOCUMENT))
    assert {name: value for value, name in tiles} == {
        "survival, lowest": "97.5%",
        "mean speed (m/s), highest": "0.291",
        "speed error (m/s), largest": "0.013",
        "lateral drift (m/s), largest": "0.020",
        "at the voltage limit, largest": "0.4%",
        "style score, lowest": "0.62",
    }


def test_charts_go_by_speed_whatever_order_the_speeds_were_given_in() -> None:
    rows = [
        {**ROW, "command_m_s": speed, "survival": share} for speed, share in ((0.5, 0.5), (0, 1.0), (0.25, 0))
    ]
    svg = chart_of(build_page(with_(rows=rows)), "Survival (share of episodes)")
    (x0, y0), (x1, y1), (x2, y2) = points_of(svg)
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y2 - y0 == pytest.approx(y1 - y2, abs=0.2), "1, 0 and a half: SVG counts downwards"


def test_a_chart_leaves_out_what_was_not_measured() -> None:
    text = build_page(DOCUMENT)
    assert len(points_of(chart_of(text, "Speed (m/s)"))) == 2
    assert len(points_of(chart_of(text, "Style score"))) == 1
    none = [{**row, "style_score": None} for row in DOCUMENT["rows"]]
    assert 'aria-label="Style score"' not in build_page(with_(rows=none))


def test_push_recovery_is_a_curve_over_the_direction() -> None:
    impulses = {"forward": 1.0, "left, forward": None, "left": 2.0, "backward": 3.0}
    rows = [{"direction": name, "impulse_n_s": value, **PUSH} for name, value in impulses.items()]
    text = build_page(with_(push_recovery=rows))
    points = points_of(chart_of(text, "Impulse at which half fall (N s)"))
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2), "forward, sideways, backward"
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    shown = Page(text).rows_under("pushed", "half fall at (N s)")
    assert [row["half fall at (N s)"] for row in shown] == ["1.000", "–", "2.000", "3.000"]
    assert shown[0]["95 % limit, low (N s)"] == "1.100"


def test_each_servo_and_supply_is_a_line_that_its_legend_names_inside_the_chart() -> None:
    kinds = [("XM430-W350-T", 11.1), ("XM430-W350-T", 12.0), ("XM430-W350-T", 14.8), ("XM430-W210-T", 12.0)]
    rows = [
        {"servo": servo, "supply_v": volts, **ROW, "command_m_s": speed, "mean_speed_m_s": speed - 0.01 * k}
        for k, (servo, volts) in enumerate(kinds)
        for speed in (0.15, 0.5)
    ]
    text = build_page(with_(servos=rows))
    shown = Page(text).rows_under("servo", "supply (V)")
    assert len(shown) == 8
    assert list(shown[0])[3:6] == ["mean speed (m/s)", "survival", "at the voltage limit"]
    svg = next(
        ET.fromstring(found)
        for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)
        if "XM430-W210-T" in found
    )
    for colour in range(4):
        assert len(points_of(svg, colour)) == 2
    heights = [points_of(svg, colour)[1][1] for colour in range(4)]
    assert heights == sorted(heights), "each is slower than the one before"
    names = {t.text: t.attrib for t in svg.iter("text") if t.text and t.text.startswith("XM430")}
    assert list(names) == [f"{servo}, {volts:g} V" for servo, volts in kinds]
    top = min(y for colour in range(4) for _, y in points_of(svg, colour))
    for name, at in names.items():
        assert float(at["x"]) + 5.9 * len(name) < WIDTH
        assert 17 < float(at["y"]) < top < HEIGHT


def test_a_comparison_says_which_policy_is_which() -> None:
    figure = {
        "first": 0.9,
        "second": 0.95,
        "difference": 0.05,
        "low": 0.01,
        "high": 0.09,
        "significant": True,
    }
    entries = [
        {"command_m_s": 0.3, "policy": "other.onnx", "figures": {"mean_speed_m_s": {**figure, "pairs": 88}}}
    ]
    text = build_page(with_(comparisons=entries))
    assert "First: walk.onnx; second: other.onnx." in text
    (row,) = Page(text).rows_under("figure", "difference", "low", "high")
    assert row == {
        "figure": "mean speed (m/s)",
        "commanded (m/s)": "0.300",
        "first": "0.900",
        "second": "0.950",
        "difference": "0.050",
        "low": "0.010",
        "high": "0.090",
        "significant": "yes",
        "pairs": "88",
    }


def test_what_is_not_known_here_is_shown_under_its_own_name() -> None:
    rows = [{**ROW, "heel_strikes": 12.5}]
    document = with_(rows=rows, terrain_m=0.01, stairs=[{"height_mm": 20.0, "climbed": 0.25}])
    page = Page(build_page(document))
    assert ["heel strikes", "12.500"] in page.cells
    assert page.rows_under("height mm", "climbed")[0] == {"height mm": "20.000", "climbed": "0.250"}
    assert "Stairs" in page.headings
    assert ["terrain m", "0.01"] in page.cells


def test_parts_that_were_not_measured_have_no_heading() -> None:
    assert Page(build_page(DOCUMENT)).headings == [
        "Evaluation · walk.onnx",
        "By commanded speed",
        "Protocol",
        "Randomization",
        "Versions",
    ]
    assert Page(build_page({"rows": []})).headings == ["Evaluation · policy"]


def test_the_page_loads_nothing_and_names_are_text() -> None:
    entries = [{"command_m_s": 0.3, "policy": "<b>.onnx", "figures": {}}]
    text = build_page(with_(policy='<img src="x">.onnx', comparisons=entries, **{"<i>": 1}))
    assert Page(text).loaded == []
    assert not LOADS.search(own(text))
    assert "<b>.onnx" not in text
    assert "&lt;b&gt;.onnx" in text
    assert "&lt;i&gt;" in text


def test_survival_has_its_count_and_wilsons_limits() -> None:
    """A limit is the share from which the one found lies 1.96 standard errors away."""
    for share in (0.975, 0.5, 0.1):
        for limit in wilson(share, 40):
            assert abs(share - limit) == pytest.approx(1.959964 * (limit * (1.0 - limit) / 40) ** 0.5)
    assert wilson(1.0, 40)[0] == pytest.approx(40 / (40 + 1.959964**2))
    assert wilson(1.0, 40)[1] == 1.0
    assert wilson(0.0, 40)[0] == 0.0
    cells = Page(build_page(with_(episodes=40))).cells
    assert ["episodes without a fall", "40/40", "39/40"] in cells
    assert ["95 % limit, low", "91.2%", "87.1%"] in cells
    assert "<polygon" in chart_text(build_page(with_(episodes=40)))


def chart_text(page: str) -> str:
    return ET.tostring(chart_of(page, "Survival (share of episodes)"), encoding="unicode").replace("ns0:", "")


def test_a_column_of_figures_that_has_none_stays_with_the_figures_and_a_count_is_not_below_0() -> None:
    shown = table([{"servo": "XM430", "turn": None}, {"servo": None, "turn": None}])
    assert "<th class=words>servo</th><th>turn</th>" in shown
    assert ends_of("self_collision") == (0.0, None)
    assert cells("supply_v", [11.1, 12.0]) == ["11.1", "12.0"]
