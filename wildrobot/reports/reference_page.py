"""A reference's clips, figures, joints and features as one HTML page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.reports.elements.charts import Series, line_chart, side_by_side
from wildrobot.reports.elements.html_tables import ends_of, facts_table, label, page, section, table, tiles
from wildrobot.reports.elements.page_videos import PageVideos
from wildrobot.reports.randomization_page import randomization_table
from wildrobot.reports.run_record import flat
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names
from wildrobot.training.reference.dataset import ReferenceDataset

SHOWN_S = 3.0
"""Of a recording, in the charts of joints."""
LINES = 4
"""Joints in a chart."""


def build_page(
    name: str,
    spec: RobotSpec,
    dataset: ReferenceDataset,
    shown: Sequence[tuple[str, int]],
    video: Path | None,
    videos: PageVideos,
) -> str:
    """The page's HTML.

    Args:
        name: what the reference is called.
        spec: its robot.
        dataset: the reference.
        shown: clip names and their rollouts; joints are drawn of the fastest.
        video: recorded clips, as `reference show --video` renders them; None: no video.
        videos: what carries it.
    """
    clips = dataset.clips
    accepted = [clip for clip in clips if clip["accepted"]]
    frames = len(dataset.features)
    body = [
        f"<h1>Reference · {html.escape(name)}</h1>",
        f'<p class="faint">{html.escape(_said(dataset))}</p>',
        tiles(
            [
                (f"{len(accepted)} of {len(clips)}", "clips accepted"),
                (str(dataset.num_rollouts), "recorded rollouts"),
                (f"{frames / spec.control_hz / 60:.1f}", "minutes of motion"),
                (str(frames), f"frames at {spec.control_hz:g} Hz"),
            ]
        ),
        section("Recorded", videos.player(video, "") if video else ""),
        section("Steady clips by speed: mean [lowest, highest], n clips", _by_speed(accepted)),
        section("Joints", _joints(spec, dataset, shown)),
        section("Clips", _clips(clips, spec.control_dt)),
        section("What the features are", _features(spec, dataset)),
        section("Randomization", randomization_table(_randomization(dataset))),
        section("Provenance", facts_table(_facts(dataset))),
    ]
    return page(f"Reference · {name}", "".join(body))


def _facts(dataset: ReferenceDataset) -> dict[str, Any]:
    """Where it comes from, without what has a table of its own."""
    facts = flat(dataset.meta.get("provenance") or {})
    return {key: value for key, value in facts.items() if not key.startswith("config.track.randomization.")}


def _randomization(dataset: ReferenceDataset) -> dict[str, Any]:
    """That of the robots which executed the plans."""
    track = (dataset.meta.get("provenance") or {}).get("config", {}).get("track", {})
    return dict(track.get("randomization", {}))


def _said(dataset: ReferenceDataset) -> str:
    known = ((key, dataset.meta.get(key)) for key in ("robot", "robot_hash"))
    return " · ".join(f"{label(key)} {str(value)[:12]}" for key, value in known if value)


def _figures(clips: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for clip in clips for name in clip.get("figures", {})))


def _clips(clips: Sequence[dict[str, Any]], dt: float) -> str:
    names, rows = _figures(clips), []
    for clip in clips:
        forward, turn = (*clip.get("command", ()), 0.0, 0.0)[:2]
        rows.append(
            {
                "clip": clip["name"],
                "accepted": bool(clip["accepted"]),
                "length (s)": clip.get("frames", 0) * dt,
                "forward (m/s)": float(forward),
                "turn (rad/s)": float(turn),
                **{name: clip.get("figures", {}).get(name) for name in names},
            }
        )
    rejected = [
        {"rejected": clip["name"], "reason": clip.get("reason", "")} for clip in clips if not clip["accepted"]
    ]
    return table(rows) + (f"<p></p>{table(rejected)}" if rejected else "")


def _by_speed(accepted: Sequence[dict[str, Any]]) -> str:
    """A chart for each figure over the commanded forward speed; starts and stops have none."""
    accepted = [clip for clip in accepted if clip.get("loop")]
    speeds = np.array(sorted({round(float((*clip.get("command", ()), 0.0)[0]), 3) for clip in accepted}))
    charts = []
    for name in _figures(accepted):
        middle, low, high, count = np.full((4, len(speeds)), np.nan)
        for index, speed in enumerate(speeds):
            own = [
                clip["figures"][name]
                for clip in accepted
                if name in clip.get("figures", {})
                and round(float((*clip.get("command", ()), 0.0)[0]), 3) == speed
            ]
            if own:
                middle[index], low[index], high[index], count[index] = (
                    np.mean(own),
                    min(own),
                    max(own),
                    len(own),
                )
        line = Series("", middle, low, high, n=count)
        charts.append(
            line_chart(label(name), speeds, [line], "forward speed (m/s)", points=True, within=ends_of(name))
        )
    return side_by_side(charts)


def _joints(spec: RobotSpec, dataset: ReferenceDataset, shown: Sequence[tuple[str, int]]) -> str:
    """Joint angles of the fastest of `shown` over time, a few joints in a chart."""
    if not shown:
        return ""
    name, rollout = max(shown, key=lambda one: float(np.mean(dataset.rollout(one[1], "command")[:, 0])))
    angles = dataset.rollout(rollout, "joint_position")[: round(SHOWN_S / spec.control_dt)]
    seconds = spec.control_dt * np.arange(len(angles), dtype=np.float64)
    sides = {side: [i for i, role in enumerate(spec.roles) if role.side == side] for side in (0, 1, None)}
    charts = []
    for title, members in (
        ("Left leg (rad)", sides[0]),
        ("Right leg (rad)", sides[1]),
        ("Other joints (rad)", sides[None]),
    ):
        for begin in range(0, len(members), LINES):
            chosen = members[begin : begin + LINES]
            lines = [Series(spec.joint_names[i], angles[:, i].astype(np.float64)) for i in chosen]
            charts.append(line_chart(title, seconds, lines, "time (s)", limits=_limits(spec, chosen)))
    return f'<p class="faint">{html.escape(name)}, as measured by its servos.</p>{side_by_side(charts)}'


def _limits(spec: RobotSpec, joints: Sequence[int]) -> tuple[float, float]:
    """Beyond which none of `joints` goes, rad."""
    return float(spec.joint_lower[joints].min()), float(spec.joint_upper[joints].max())


def _features(spec: RobotSpec, dataset: ReferenceDataset) -> str:
    """Percentiles of every feature over all frames."""
    low, middle, high = np.percentile(dataset.features, [1.0, 50.0, 99.0], axis=0)
    return table(
        [
            {"feature": name, "1 %": float(a), "median": float(b), "99 %": float(c)}
            for name, a, b, c in zip(feature_names(spec), low, middle, high, strict=True)
        ]
    )
