"""One HTML page about a training run that loads nothing from a network."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildrobot.core.files import file_sha256, read_json
from wildrobot.reports.elements.html_tables import facts_table, find_rows, page, section, table, tiles
from wildrobot.reports.elements.page_videos import PageVideos
from wildrobot.reports.evaluation_page import by_speed, protocol, push_figures, servo_figures
from wildrobot.reports.film_page import film_grid
from wildrobot.reports.randomization_page import randomization_table
from wildrobot.reports.run_charts import feature_areas, training_charts
from wildrobot.reports.run_record import RunRecord, read_run

TILES = (
    ("survival", "survival in training", "{:.1%}"),
    ("speed_error", "speed error in training (m/s)", "{:.3f}"),
    ("return_mean", "reward per step", "{:.3f}"),
    ("style_reward_mean", "style reward", "{:.2f}"),
    ("disc_acc", "discriminator accuracy", "{:.2f}"),
    ("disc_real_mean", "D(real)", "{:.2f}"),
    ("disc_fake_mean", "D(fake)", "{:.2f}"),
    ("steps_per_s", "environment steps/s", "{:,.0f}"),
)
"""Column, what it is, form: means of the last 20 iterations that know it."""


def build_page(run: Path, ablation: Path | None = None, videos: PageVideos | None = None) -> str:
    """The page's HTML.

    Raises:
        UserError: `run` has no readable metrics.jsonl, or a JSON beside it is broken.
    """
    record, videos = read_run(run), videos or PageVideos()
    candidates = (
        [ablation] if ablation else [run / "ablation.json", Path(__file__).with_name("ablation.json")]
    )
    ablations = next((table for path in candidates if (table := read_json(path)) is not None), None)
    walk = videos.player(run / "walk.mp4", "No video of this run.")
    body = [
        f"<h1>WildRobot · {html.escape(record.name)}</h1>",
        f'<p class="faint">{html.escape(subtitle(record))}<br>{html.escape(versions(record))}</p>',
        f'<div class="top">{walk}<div>{_walk_table(record.walk)}{_tiles(record)}</div></div>',
        section("The policy on film", _film(run, videos)),
        section("Evaluation of the exported policy", evaluation(record.evaluation)),
        section("Training", training_charts(record.metrics)),
        section("What the discriminator sees", feature_areas(record.metrics) + _ratios(record)),
        section("Reward terms at the end, per step", _reward_terms(record)),
        section("Randomization", randomization_table(record.settings.get("randomization") or {})),
        section("Ablation", _ablation(ablations)),
        section("Versions", facts_table(record.environment)),
        section("Configuration", _configuration(run / "config.yaml")),
    ]
    return page(f"WildRobot · {record.name}", "".join(body))


def subtitle(record: RunRecord) -> str:
    """How long a run was, from what seed and which commit."""
    parts = []
    steps, seconds, iteration = record.last("steps"), record.last("time_s"), record.last("iteration")
    if iteration is not None:
        parts.append(f"{iteration:.0f} iterations")
    if steps is not None:
        parts.append(f"{steps / 1e6:.2f} million steps")
    if seconds is not None:
        parts.append(f"{seconds / 60:.1f} min of training")
    facts = {**record.settings, **record.environment}
    known = [key for key in ("preset", "seed", "commit") if facts.get(key) not in (None, "")]
    parts += [f"{key} {str(facts[key])[:12]}" for key in known]
    return " · ".join(parts)


def versions(record: RunRecord) -> str:
    """What a run was made with, in one line."""
    known = record.environment
    parts = [f"{key} {known[key]}" for key in ("python", "machine", "cpus") if key in known]
    return " · ".join(
        [*(f"{name} {version}" for name, version in (known.get("packages") or {}).items()), *parts]
    )


def evaluation(document: Mapping[str, Any]) -> str:
    """HTML of an evaluation.json, as `wildrobot eval --html` draws it."""
    rows = find_rows(document.get("rows"))
    if not rows:
        return ""
    parts = [
        f'<p class="faint">{html.escape(protocol(document))}</p>',
        by_speed(rows, document.get("settling_s"), document.get("episodes")),
    ]
    for title, drawn in (
        ("Push recovery", push_figures(document.get("push_recovery") or [])),
        ("Servos and supplies", servo_figures(document.get("servos") or [])),
    ):
        parts.append(section(title, drawn))
    return "".join(parts)


def _tiles(record: RunRecord) -> str:
    values = ((record.recent(key), name, form) for key, name, form in TILES)
    return tiles((form.format(value), name) for value, name, form in values if value is not None)


def _walk_table(walk: Mapping[str, Any]) -> str:
    if not isinstance(walk.get("verdict"), list):
        return ""
    rows = []
    for row in walk["verdict"]:
        word = '<td class="pass">pass</td>' if row["ok"] else '<td class="fail">fail</td>'
        cells = "".join(f"<td>{html.escape(str(row[key]))}</td>" for key in ("check", "found", "wanted"))
        rows.append(f"<tr>{cells}{word}</tr>")
    head = "<tr><th>walk through wildrobot-run</th><th>found</th><th>wanted</th><th></th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _ablation(ablation: Any) -> str:
    rows = find_rows(ablation)
    if not rows:
        return ""
    note = str(ablation.get("note", "")) if isinstance(ablation, Mapping) else ""
    return (f"<p>{html.escape(note)}</p>" if note else "") + table(rows)


def _ratios(record: RunRecord) -> str:
    pairs = record.metrics.get("std_ratio_top")
    if not (isinstance(pairs, list) and pairs and all(isinstance(p, list) and len(p) == 2 for p in pairs)):
        return ""
    title = "Ratio of standard deviations at the end, policy to reference. 1: the same; furthest from 1 first"
    rows = table([{"feature": name, "value": value} for name, value in pairs])
    return f'<p class="faint">{title}</p><div class="two">{rows}</div>'


def _reward_terms(record: RunRecord) -> str:
    prefix = "reward/"
    terms = {key.removeprefix(prefix): record.recent(key) for key in record.metrics if key.startswith(prefix)}
    rows = [{"term": name, "value": value} for name, value in terms.items() if value is not None]
    return f'<div class="two">{table(rows)}</div>' if rows else ""


def _configuration(path: Path) -> str:
    if not path.exists():
        return ""
    text = html.escape(path.read_text(encoding="utf-8"))
    return f"<details><summary>config.yaml</summary><pre>{text}</pre></details>"


def _film(run: Path, videos: PageVideos) -> str:
    folder = run / "film"
    document = read_json(folder / "film.json")
    if not isinstance(document, Mapping):
        command = f"wildrobot film {run / 'policy.onnx'} --out {folder}"
        return (
            '<p class="faint">Not filmed yet. For short videos of standing, walking, pushes, stops and turns: '
            f"<code>{html.escape(command)}</code>, then this report again.</p>"
        )
    policy, note = run / "policy.onnx", ""
    if policy.exists() and file_sha256(policy) != document.get("policy_sha256"):
        note = '<p class="fail">These films are of another policy than the one in this folder.</p>'
    return note + film_grid(document, lambda file: videos.source(folder / Path(file).name))
