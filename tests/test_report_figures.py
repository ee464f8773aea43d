"""The pages' figures equal the files', pages open without a network, and stay small."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from page_helpers import LOADS, own
from test_report import write_run

from wildrobot.cli.report import main
from wildrobot.core.errors import UserError
from wildrobot.reports import compare_page
from wildrobot.reports.elements import page_videos
from wildrobot.reports.elements.html_tables import label
from wildrobot.reports.elements.page_videos import PageVideos
from wildrobot.reports.randomization_page import meanings, preset_name, randomization_table, unit
from wildrobot.reports.run_charts import feature_areas
from wildrobot.reports.run_page import build_page
from wildrobot.reports.run_record import read_metrics, read_run
from wildrobot.simulation.randomization.config import FULL, Randomization

SPEEDS = (0.0, 0.15, 0.3)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Rows of cells of every table, tiles by label, and every address that the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tiles: dict[str, str] = {}
        self.addresses: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            str(v) for k, v in attrs if k in ("src", "href", "srcset", "poster", "data", "action")
        ]
        assert tag not in ("link", "iframe", "object", "embed", "base")
        self._open.append((tag, dict(attrs).get("class") or ""))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] in ("td", "th"):
            self.rows[-1][-1] += data
        if len(self._open) > 1 and self._open[-2][1] == "tile":
            if self._open[-1][0] == "b":
                self._value = data
            else:
                self.tiles[data] = self._value

    def row(self, name: str) -> list[str]:
        return next(row[1:] for row in self.rows if row and row[0] == name)


def number(text: str) -> tuple[float, float]:
    """A figure as it is shown, and half a unit of its last digit."""
    plain = text.replace(",", "").removesuffix("%")
    scale = 0.01 if text.endswith("%") else 1.0
    digits = len(plain.partition(".")[2])
    return float(plain) * scale, 0.5000001 * scale * 10.0**-digits


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with an evaluation whose every figure is another."""
    folder = write_run(tmp_path / "first")
    rng = np.random.default_rng(4)
    names = (
        "survival",
        "mean_speed_m_s",
        "speed_error_m_s",
        "saturation",
        "power_w",
        "energy_j_per_m",
        "style_score",
    )
    rows = [{"command_m_s": speed, **{name: float(rng.uniform()) for name in names}} for speed in SPEEDS]
    rows[0]["style_score"] = None
    rows[1]["energy_j_per_m"] = 1234.5
    rows[2]["mean_speed_m_s"] = -1e-5
    (folder / "evaluation.json").write_text(json.dumps({"rows": rows, "episodes": 20, "seed": 3}))
    return folder


def check_row(shown: list[str], values: list[float | None]) -> None:
    for text, value in zip(shown, values, strict=True):
        if value is None:
            assert text == "–"
        else:
            figure, half = number(text)
            assert abs(figure - value) <= half


def test_every_figure_of_the_evaluation_is_that_of_evaluation_json(run: Path) -> None:
    page = Page(build_page(run))
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert [number(text)[0] for text in page.row(label("command_m_s"))] == list(SPEEDS)
    for name in rows[0]:
        if name != "command_m_s":
            check_row(page.row(label(name)), [row[name] for row in rows])
    assert "-0.000" not in [cell for row in page.rows for cell in row]


def test_the_tiles_and_reward_terms_are_the_means_of_the_last_twenty_lines_of_metrics_jsonl(
    run: Path,
) -> None:
    page = Page(build_page(run))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for name, key in (
        ("speed error in training (m/s)", "speed_error"),
        ("reward per step", "return_mean"),
        ("style reward", "style_reward_mean"),
        ("discriminator accuracy", "disc_acc"),
        ("D(real)", "disc_real_mean"),
        ("D(fake)", "disc_fake_mean"),
    ):
        figure, half = number(page.tiles[name])
        assert abs(figure - np.mean([line[key] for line in lines[-20:]])) <= half
    check_row(page.row("upright"), [0.125])


def test_seed_and_versions_stand_at_the_top(run: Path) -> None:
    top = build_page(run).partition('class="top"')[0]
    assert "seed 7" in top
    assert "torch 2.13.0" in top


# ---------------------------------------------------------------------- features


def test_all_features_areas_are_kept_over_the_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"iteration": 1, "auc/pelvis_height": 0.75, "auc/contact": 0.5, "auc_top": [["pelvis_height", 0.7]]}\n'
        '{"iteration": 2}\n{"iteration": 3, "auc/pelvis_height": 0.625, "auc/contact": 0.51}\n'
    )
    columns = read_metrics(path)
    np.testing.assert_array_equal(columns["auc/pelvis_height"], [0.75, np.nan, 0.625])
    page = feature_areas(columns)
    assert page.index("pelvis_height") < page.index("contact")
    assert "Empty places" not in page
    assert len(re.findall('class="cell"', page)) == 4


def test_runs_that_kept_only_the_largest_areas_have_their_gaps_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"iteration": 1, "auc_top": [["a", 0.75]]}\n{"iteration": 2, "auc_top": [["a", 0.5], ["b", 0.625]]}\n'
    )
    columns = read_metrics(path)
    np.testing.assert_array_equal(columns["auc/b"], [np.nan, 0.625])
    page = feature_areas(columns)
    assert "Empty places" in page
    assert len(re.findall('class="unknown"', page)) == 1
    assert 'fill-opacity="1.00"' in page  # 0.75 is beyond the scale


# ---------------------------------------------------------------------- randomization


def test_every_term_has_its_unit_and_a_meaning() -> None:
    pytest.importorskip("mujoco")
    from wildrobot.simulation.randomization.probe import READ_BACKS

    told = {term.name: term.unit for term in READ_BACKS}
    assert {name: "" if name == "random_yaw_zero" else u for name, u in told.items()} == {
        name: unit(name) for name in told
    }
    assert set(meanings()) == set(told)


def test_the_randomization_table_shows_ranges_and_what_is_off() -> None:
    from wildrobot.core.config import to_dict

    terms = to_dict(FULL)
    assert preset_name(terms) == "full"
    page = Page(randomization_table(terms))
    assert page.row("friction")[:3] == ["0.4 … 1.1", "", "0.8"]
    assert page.row("push_speed_m_s")[:2] == ["0.3", "m/s"]
    assert 'class="faint"><td>' not in randomization_table(terms)
    nominal = randomization_table(to_dict(Randomization()))
    assert '<tr class="faint"><td>push_interval_s' in nominal
    assert '<tr class="faint"><td>friction' in nominal
    assert "No preset" in randomization_table(terms | {"friction": [0.1, 0.2]})


# ---------------------------------------------------------------------- several runs


@pytest.fixture
def two(run: Path, tmp_path: Path) -> tuple[Path, Path]:
    other = tmp_path / "other" / "first"
    other.parent.mkdir()
    shutil.copytree(run, other)
    (other / "config.yaml").write_text('preset: quick\nseed: 8\nwhat: "<&>"\nppo: {gamma: 0.9}\n')
    lines = (other / "metrics.jsonl").read_text().splitlines()
    (other / "metrics.jsonl").write_text(
        "\n".join(lines[:20]).replace('"disc_acc": 0.9', '"disc_acc": 0.625') + "\n"
    )
    document = json.loads((other / "evaluation.json").read_text())
    document["rows"][0]["survival"] = 0.125
    (other / "evaluation.json").write_text(json.dumps(document))
    return run, other


def test_runs_are_compared_figure_by_figure_and_setting_by_setting(two: tuple[Path, Path]) -> None:
    text = compare_page.compare_page([read_run(folder) for folder in two], PageVideos())
    page = Page(text)
    assert page.row("discriminator accuracy") == ["0.90", "0.62"]
    assert page.row("survival, at 0 m/s")[1] == "12.5%"
    assert page.row("seed") == ["7", "8"]
    assert page.row("ppo.gamma") == ["–", "0.9"]
    assert not [row for row in page.rows if row[0] in ("what", "preset")]
    assert "other/first" in text  # two folders of one name
    assert "were made differently" not in text
    chart = text[text.index("Discriminator accuracy") :].partition("</svg>")[0]
    ends = [line.split()[-1] for line in re.findall(r'<polyline class="line c\d" points="([^"]*)"', chart)]
    assert len(ends) == 2
    assert float(ends[0].split(",")[0]) > float(ends[1].split(",")[0])  # the shorter run ends earlier


def test_evaluations_of_other_length_are_said_to_be_unlike(two: tuple[Path, Path]) -> None:
    document = json.loads((two[1] / "evaluation.json").read_text())
    (two[1] / "evaluation.json").write_text(json.dumps(document | {"episodes": 100}))
    text = compare_page.compare_page([read_run(folder) for folder in two], PageVideos())
    assert "were made differently" in text


def test_five_runs_are_too_many(run: Path) -> None:
    with pytest.raises(UserError, match="up to 3"):
        main([str(run), "--compare", *[str(run)] * 4])


def test_the_comparison_has_a_file_of_its_own(two: tuple[Path, Path]) -> None:
    assert main([str(two[0]), "--compare", str(two[1]), "--quiet"]) == 0
    assert "2 runs" in (two[0] / "compare.html").read_text()
    assert not (two[0] / "report.html").exists()


# ---------------------------------------------------------------------- size, network


def test_a_video_that_makes_the_page_too_large_is_left_out_and_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "walk.mp4").write_bytes(bytes(3_000))
    (run / "film").mkdir()
    (run / "film" / "film.json").write_text(
        json.dumps(
            {"scenes": [{"file": "push.mp4", "title": "push"}, {"file": "stand.mp4", "title": "stand"}]}
        )
    )
    (run / "film" / "push.mp4").write_bytes(bytes(17_000))
    (run / "film" / "stand.mp4").write_bytes(bytes(6_000))
    monkeypatch.setattr(PageVideos.__init__, "__defaults__", (20_000,))
    assert main([str(run)]) == 0
    said = capsys.readouterr()
    assert "push.mp4 (0.0 MB)" in said.err
    assert "stand.mp4" not in said.err
    page = (run / "report.html").read_text()
    assert "Not on this page: push.mp4" in page
    assert page.count("data:video/mp4") == 2


def test_with_as_much_video_as_is_carried_a_page_is_under_twenty_megabytes(run: Path) -> None:
    (run / "film").mkdir()
    files = [f"{index}.mp4" for index in range(3)]
    for file in files:
        (run / "film" / file).write_bytes(bytes(5_900_000))
    (run / "film" / "film.json").write_text(json.dumps({"scenes": [{"file": file} for file in files]}))
    videos = PageVideos()
    page = build_page(run, videos=videos)
    assert videos.left_out
    assert 12e6 < len(page.encode()) < page_videos.LARGEST_PAGE_BYTES


def test_no_page_names_an_address_to_load(two: tuple[Path, Path]) -> None:
    (two[0] / "walk.mp4").write_bytes(b"video")
    for text in (build_page(two[0]), compare_page.compare_page([read_run(one) for one in two], PageVideos())):
        assert {address.partition(":")[0] for address in Page(text).addresses} <= {"data"}
        assert not LOADS.search(own(text))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_that_opens_the_page_asks_for_no_address(run: Path, tmp_path: Path) -> None:
    (run / "walk.mp4").write_bytes(b"video")
    # an image of the test's own shows that the browser would tell of what a page asks for
    told = "onload = () => { document.title = JSON.stringify(performance.getEntries().map(e => e.name)) }"
    own = f'<img src="http://127.0.0.1:9/own.png"><script>{told}</script></body>'
    page = tmp_path / "page.html"
    page.write_text(build_page(run).replace("</body>", own))
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--proxy-server=127.0.0.1:9",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert "seed 7" in done.stdout
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    names = [name for name in json.loads(html.unescape(title[1])) if re.match(r"\w+://", name)]
    assert set(names) - {page.as_uri()} == {"http://127.0.0.1:9/own.png"}
