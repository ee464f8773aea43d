"""Several runs on one page, and what differs between them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wildrobot.reports.elements.charts import Series, line_chart, side_by_side
from wildrobot.reports.elements.html_tables import cells, label, page, section
from wildrobot.reports.elements.page_videos import PageVideos
from wildrobot.reports.run_charts import CURVES, abscissa
from wildrobot.reports.run_page import TILES, subtitle
from wildrobot.reports.run_record import RunRecord, flat


def compare_page(runs: Sequence[RunRecord], videos: PageVideos) -> str:
    """The page's HTML about up to four runs, in the order given."""
    names = run_names(runs)
    said = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(subtitle(run))}</td></tr>"
        for name, run in zip(names, runs, strict=True)
    )
    title = f"WildRobot · {len(runs)} runs"
    body = [
        f'<h1>{title}</h1><div class="scroll"><table class="plain">{said}</table></div>',
        section("Walking", _walks(names, runs, videos)),
        section("At the end of training", _columns("mean of the last 20 iterations", names, _figures(runs))),
        section("Training", overlaid_charts(names, runs)),
        section("Evaluation of the exported policy", _evaluations(names, runs)),
        section("What differs", _differences(names, runs)),
    ]
    return page(title, "".join(body))


def run_names(runs: Sequence[RunRecord]) -> list[str]:
    """Names of the folders; with the folder above where two are called alike."""
    names = [run.name for run in runs]
    return [
        name if names.count(name) == 1 else "/".join(run.folder.resolve().parts[-2:])
        for name, run in zip(names, runs, strict=True)
    ]


def overlaid_charts(names: Sequence[str], runs: Sequence[RunRecord]) -> str:
    """One chart for each curve of a run's page with a line for each run, over the steps where all count them."""
    axes = [abscissa(run.metrics) for run in runs]
    in_steps = all(label == axes[0][1] for _, label in axes)
    found = [axis[0] if in_steps else np.arange(1.0, len(axis[0]) + 1) for axis in axes]
    x_label = axes[0][1] if in_steps else "iteration"
    charts = []
    for curve in CURVES:
        key = curve.lines[0][0]
        if key == "disc_real_mean":  # two lines of one chart are two charts of several runs
            keys = [(key, "D on reference"), ("disc_fake_mean", "D on policy")]
        else:
            keys = [(key, curve.title.removesuffix(", mean ± std"))]
        for one, title in keys:
            lines = [
                Series(name, run.metrics[one] * curve.factor, x=x)
                for name, run, x in zip(names, runs, found, strict=True)
                if isinstance(run.metrics.get(one), np.ndarray)
            ]
            charts.append(line_chart(title, found[0], lines, x_label, curve.ends, curve.zone))
    return side_by_side(charts)


def _figures(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    shown = {}
    for key, name, form in TILES:
        values = [run.recent(key) for run in runs]
        shown[name] = ["–" if value is None else form.format(value) for value in values]
    return shown


def _evaluations(names: Sequence[str], runs: Sequence[RunRecord]) -> str:
    """Every figure at every speed that more than one policy was measured at, a column for each run."""
    rows: dict[str, list[str]] = {}
    by_run = [{row["command_m_s"]: row for row in run.evaluation.get("rows", ())} for run in runs]
    speeds = sorted({speed for own in by_run for speed in own})
    keys = list(
        dict.fromkeys(key for own in by_run for row in own.values() for key in row if key != "command_m_s")
    )
    for key in keys:
        for speed in speeds:
            values = [own.get(speed, {}).get(key) for own in by_run]
            if any(value is not None and not isinstance(value, (list, dict)) for value in values):
                rows[f"{label(key)}, at {speed:g} m/s"] = cells(key, values)
    protocols = {
        key: [plain(run.evaluation.get(key)) for run in runs] for key in ("episodes", "duration_s", "seed")
    }
    note = ""
    if any(len({value for value in values if value != "–"}) > 1 for values in protocols.values()):
        note = (
            '<p class="fail">The evaluations were made differently, '
            "so not every difference comes from the policies.</p>"
        )
        rows = {**{label(key): values for key, values in protocols.items()}, **rows}
    return note + _columns("evaluation.json", names, rows)


def _differences(names: Sequence[str], runs: Sequence[RunRecord]) -> str:
    settings = [flat(run.settings) for run in runs]
    rows = _unlike(settings, ignored=("run_dir",))
    machines = _unlike([flat(run.environment) for run in runs], ignored=())
    if not rows and not machines:
        return '<p class="faint">Configurations and versions are the same.</p>'
    same = '<p class="faint">Configurations are the same.</p>'
    made = _columns("versions and machine", names, machines)
    return (_columns("configuration", names, rows) or same) + (f"<p></p>{made}" if made else "")


def _unlike(values: Sequence[Mapping[str, Any]], ignored: Sequence[str]) -> dict[str, list[str]]:
    """Keys on which the mappings do not agree, with what each of them says."""
    keys = dict.fromkeys(key for mapping in values for key in mapping if key not in ignored)
    shown = {key: [plain(mapping.get(key)) for mapping in values] for key in keys}
    return {key: said for key, said in shown.items() if len(set(said)) > 1}


def plain(value: Any) -> str:
    """A setting as a person reads it (plain text)."""
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(first: str, names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A table with a column for each run; nothing where there are no rows."""
    if not rows:
        return ""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = "".join(
        f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{html.escape(value)}</td>' for value in values)}</tr>"
        for name, values in rows.items()
    )
    return f'<div class="scroll"><table class="runs"><tr><th>{html.escape(first)}</th>{heads}</tr>{lines}</table></div>'


def _walks(names: Sequence[str], runs: Sequence[RunRecord], videos: PageVideos) -> str:
    figures = "".join(
        f"<figure>{videos.player(run.folder / 'walk.mp4', '')}<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, run in zip(names, runs, strict=True)
        if (run.folder / "walk.mp4").is_file()
    )
    return f'<div class="films">{figures}</div>' if figures else ""
