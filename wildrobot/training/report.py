"""`wildrobot report RUN`: one HTML page about a training run that loads nothing from a network."""

from __future__ import annotations

import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from wildrobot.config import load_yaml
from wildrobot.errors import UserError
from wildrobot.files import write_text
from wildrobot.training.film_page import film_grid
from wildrobot.training.html_tables import (
    embedded_video,
    facts_table,
    find_rows,
    page,
    section,
    table,
    tiles,
)
from wildrobot.training.report_charts import training_charts

Array = NDArray[np.float64]


@dataclass
class ReportConfig:
    """Write one HTML page about a run: training curves, evaluation, configuration, versions, video.

    Everything is taken from the run's folder; what is not there yet is left out.

    Example: wildrobot report runs/first
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, of `wildrobot train`; evaluation.json, walk.json, walk.mp4 and film/ are taken up if there."""

    out: Path | None = None
    """Page to write. Default: RUN/report.html."""

    ablation: Path | None = None
    """Ablation table (JSON). Default: RUN/ablation.json, else policies/ablation.json here."""


def main(argv: Sequence[str]) -> int:
    config = tyro.cli(ReportConfig, args=list(argv))
    out = config.out or config.run / "report.html"
    write_text(out, build_page(config.run, config.ablation))
    print(f"report: {out}")
    return 0


def read_metrics(path: Path) -> dict[str, Any]:
    """Columns of a metrics.jsonl: name -> (T,) array, NaN where a line has no number; of other values the
    last one there is stays under its name. A last line cut short by a crash is ignored.

    Raises:
        UserError: the file is missing, empty, or broken elsewhere than at its end.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}. "
            "Give the folder of a run made by `wildrobot train`."
        ) from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(
                    f"{path}, line {number} is not JSON ({error.msg}). Remove that line."
                ) from error
    if not rows:
        raise UserError(f"{path} holds no complete iteration yet. Train for at least one.")
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        if all(value is None for value in values):
            continue
        if any(_is_number(value) for value in values):
            columns[name] = np.array(
                [value if _is_number(value) else math.nan for value in values], dtype=float
            )
        else:
            columns[name] = next(value for value in reversed(values) if value is not None)
    return columns


def build_page(run: Path, ablation: Path | None = None) -> str:
    """The page's HTML.

    Raises:
        UserError: `run` has no readable metrics.jsonl, or a JSON beside it is broken.
    """
    metrics = read_metrics(run / "metrics.jsonl")
    environment = _read_json(run / "environment.json") or {}
    evaluation = _read_json(run / "evaluation.json")
    walk = _read_json(run / "walk.json")
    candidates = [ablation] if ablation else [run / "ablation.json", Path("policies/ablation.json")]
    ablations = next((table for path in candidates if (table := _read_json(path)) is not None), None)
    config = run / "config.yaml"
    settings = load_yaml(config) if config.exists() else {}
    body = [
        f"<h1>WildRobot · {html.escape(run.resolve().name)}</h1>",
        f'<p class="faint">{_subtitle(metrics, {**settings, **environment})}</p>',
        f'<div class="top">{_video(run / "walk.mp4")}<div>{_walk_table(walk)}{_tiles(metrics)}</div></div>',
        section("The policy on film", _film(run)),
        section("Evaluation of the exported policy", _evaluation(evaluation)),
        section("Training", training_charts(metrics)),
        section("Reward terms at the end, per step", _reward_terms(metrics)),
        section("What the discriminator sees at the end", _discriminator(metrics)),
        section("Ablation", _ablation(ablations)),
        section("Versions", facts_table(environment)),
    ]
    if config.exists():
        text = html.escape(config.read_text(encoding="utf-8"))
        body.append(
            f"<h2>Configuration</h2><details><summary>config.yaml</summary><pre>{text}</pre></details>"
        )
    return page(f"WildRobot · {run.resolve().name}", "".join(body))


def _subtitle(metrics: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    parts = []
    steps, seconds = _last(metrics, "steps"), _last(metrics, "time_s")
    if steps is not None:
        parts.append(f"{steps / 1e6:.2f} million steps")
    if seconds is not None:
        parts.append(f"{seconds / 60:.1f} min of training")
    for key in ("preset", "seed", "commit"):
        if environment.get(key) not in (None, ""):
            parts.append(f"{key} {html.escape(str(environment[key])[:12])}")
    return " · ".join(parts)


def _tiles(metrics: Mapping[str, Any]) -> str:
    shown: list[tuple[str, str]] = []
    for key, label, form in (
        ("survival", "survival in training", "{:.1%}"),
        ("speed_error", "speed error in training (m/s)", "{:.3f}"),
        ("style_reward_mean", "style reward", "{:.2f}"),
        ("disc_acc", "discriminator accuracy", "{:.2f}"),
        ("disc_real_mean", "D(real)", "{:.2f}"),
        ("disc_fake_mean", "D(fake)", "{:.2f}"),
        ("steps_per_s", "environment steps/s", "{:,.0f}"),
    ):
        value = _recent(metrics, key)
        if value is not None:
            shown.append((form.format(value), label))
    return tiles(shown)


def _walk_table(walk: Any) -> str:
    if not isinstance(walk, Mapping) or not isinstance(walk.get("verdict"), list):
        return ""
    rows = []
    for row in walk["verdict"]:
        word = '<td class="pass">pass</td>' if row["ok"] else '<td class="fail">fail</td>'
        cells = "".join(f"<td>{html.escape(str(row[key]))}</td>" for key in ("check", "found", "wanted"))
        rows.append(f"<tr>{cells}{word}</tr>")
    head = "<tr><th>walk through wildrobot-run</th><th>found</th><th>wanted</th><th></th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _evaluation(evaluation: Any) -> str:
    rows = find_rows(evaluation)
    if not rows:
        return ""
    protocol = ""
    if isinstance(evaluation, Mapping):
        facts = [f"{key.replace('_', ' ')} {value}" for key, value in evaluation.items() if _is_number(value)]
        protocol = f'<p class="faint">{html.escape(" · ".join(facts[:8]))}</p>'
    return protocol + table(rows)


def _ablation(ablation: Any) -> str:
    rows = find_rows(ablation)
    if not rows:
        return ""
    note = str(ablation.get("note", "")) if isinstance(ablation, Mapping) else ""
    return (f"<p>{html.escape(note)}</p>" if note else "") + table(rows)


def _discriminator(metrics: Mapping[str, Any]) -> str:
    tables = []
    for key, title in (
        ("auc_top", "AUC of one feature alone, policy against reference (0.5: no difference)"),
        ("std_ratio_top", "Ratio of standard deviations, policy to reference (1: alike)"),
    ):
        pairs = metrics.get(key)
        if isinstance(pairs, list) and pairs and all(isinstance(p, list) and len(p) == 2 for p in pairs):
            rows = table([{"feature": name, "value": value} for name, value in pairs])
            tables.append(f'<div><p class="faint">{title}</p>{rows}</div>')
    return f'<div class="two">{"".join(tables)}</div>' if tables else ""


def _reward_terms(metrics: Mapping[str, Any]) -> str:
    prefix = "reward/"
    terms = {key.removeprefix(prefix): _recent(metrics, key) for key in metrics if key.startswith(prefix)}
    rows = [{"term": name, "value": value} for name, value in terms.items() if value is not None]
    return f'<div class="two">{table(rows)}</div>' if rows else ""


def _video(path: Path) -> str:
    if not path.exists():
        return '<p class="faint">No video of this run.</p>'
    return f'<video controls loop muted autoplay playsinline src="{embedded_video(path)}"></video>'


def _film(run: Path) -> str:
    folder = run / "film"
    document = _read_json(folder / "film.json")
    if not isinstance(document, Mapping):
        command = f"wildrobot film {run / 'policy.onnx'} --out {folder}"
        return (
            '<p class="faint">Not filmed yet. For short videos of standing, walking, pushes, stops and turns: '
            f"<code>{html.escape(command)}</code>, then this report again.</p>"
        )
    policy, note = run / "policy.onnx", ""
    if policy.exists() and hashlib.sha256(policy.read_bytes()).hexdigest() != document.get("policy_sha256"):
        note = '<p class="fail">These films are of another policy than the one in this folder.</p>'

    def source(file: str) -> str | None:
        path = folder / Path(file).name
        return embedded_video(path) if path.is_file() else None

    return note + film_grid(document, source)


def _read_json(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable JSON ({error}). Delete it or write it again.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _last(metrics: Mapping[str, Any], key: str) -> float | None:
    values = metrics.get(key)
    if not isinstance(values, np.ndarray) or not np.isfinite(values).any():
        return None
    return float(values[np.isfinite(values)][-1])


def _recent(metrics: Mapping[str, Any], key: str) -> float | None:
    """Mean of the last 20 values there are."""
    values = metrics.get(key)
    if not isinstance(values, np.ndarray) or not np.isfinite(values).any():
        return None
    return float(values[np.isfinite(values)][-20:].mean())
