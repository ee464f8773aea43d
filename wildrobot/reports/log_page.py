"""The page of a log: the whole time at a glance, a few seconds in full detail."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.reports.elements.bars import bars
from wildrobot.reports.elements.html_tables import embedded_data, facts_table, page, section, table, tiles
from wildrobot.reports.log_drawing import FIELDS, TIME, Drawing
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.logs.columns import read_columns
from wildrobot.runtime.logs.decoding import ElementNames, read_messages
from wildrobot.runtime.logs.summary import SEVERITIES, Summary, summarize

DETAIL_S = 4.0
SETTLED_S = 2.0
"""Of walking, before the detail begins."""
AFTER_S = 0.5
"""Of what follows a fall or a fault, in the detail."""
HOW_TO = (
    "Move the mouse over a chart to see its values, drag to zoom, double-click to see all again; on a touch screen, "
    "one finger shows values and two zoom. Charts over the same time move together. Vertical lines are events: "
    "info grey, warnings amber, faults red. In long logs, charts of the whole time keep the smallest and largest "
    "values; <code>--begin</code> and <code>--end</code> choose the part shown in full detail."
)
UNREADABLE = "cannot be read"
STATES = ("limp", "standing_up", "standing", "walking", "soft_stop", "estop")


def build_page(
    path: Path, begin_s: float | None = None, end_s: float | None = None, spec: RobotSpec | None = None
) -> str:
    """The page's HTML; the detail lies between `begin_s` and `end_s`, s since the log's first message.

    Joint limits are those of `spec`, if it is the robot of the log.

    Raises:
        UserError: the log cannot be read, or has nothing in that time.
    """
    summary = summarize(path)
    begin, end = detail(summary, begin_s, end_s)
    data = read_columns(path, FIELDS)
    if len(data["robot_state"]) == 0:
        raise UserError(f"{path} has no message on robot_state. Give a log of `wildrobot-run --log`.")
    configuration = next((m for _, m in read_messages(path, ("run_configuration",), damages=[])), None)
    drawing = Drawing(data, ElementNames(configuration), begin, end, joint_limits(summary, spec))
    if drawing.detail("robot_state").time_s.size == 0:
        raise UserError(
            f"{path} has nothing between {begin:g} and {end:g} s, only from 0 to {summary.duration_s:.2f} s. "
            "Choose other ends with --begin and --end."
        )
    spans = {
        state: [(s.begin_s, s.end_s) for s in summary.states if s.state == state]
        for state in dict.fromkeys([*STATES, *(s.state for s in summary.states)])
    }
    spans[UNREADABLE] = [
        (1e-6 * (d.before_us - summary.begin_us), 1e-6 * (d.after_us - summary.begin_us))
        for d in summary.damages
        if d.before_us is not None and d.after_us is not None
    ]
    said = [
        summary.begins(),
        *(f"{p['path']} {p['sha256'][:12]}" for p in summary.policies),
    ]
    body = [
        f"<h1>Log · {html.escape(path.name)}</h1>",
        f'<p class="faint">{html.escape(" · ".join(said))}</p>',
        _damages(summary),
        tiles(_tiles(summary)),
        f'<p class="faint">{HOW_TO}</p>',
        section(
            "States",
            bars(
                {name: found for name, found in spans.items() if found},
                (0.0, summary.duration_s),
                TIME,
                bad=("estop", UNREADABLE),
            ),
        ),
        section("Events", _events(summary)),
        section("Walking", drawing.walking()),
        section("Timing", drawing.timing(_stages(path))),
        section("Servos", drawing.servos()),
        section("How joints follow", drawing.following()),
        f'<div data-cursor="detail"><h2>In detail: {begin:.2f} to {end:.2f} s</h2>',
        section("Joints against targets (rad)", drawing.joints()),
        section("Joint velocities (rad/s)", drawing.by_joint("robot_state", "joint_velocity")),
        section("IMU", drawing.imu()),
        section("Feet on the floor", drawing.contacts()),
        section("Other features", drawing.features()),
        section("Actions", drawing.by_joint("policy_state", "action")),
        "</div>",
        section("Channels", table(_channels(summary))),
        section("Versions", facts_table(_facts(summary))),
    ]
    return page(f"Log · {path.name}", "".join(body))


def detail(summary: Summary, begin_s: float | None, end_s: float | None) -> tuple[float, float]:
    """The seconds to draw in detail: as asked; else before the first fall or fault; else of steady walking."""
    if begin_s is not None or end_s is not None:
        begin = begin_s if begin_s is not None else max(0.0, (end_s or 0.0) - DETAIL_S)
        return begin, end_s if end_s is not None else begin + DETAIL_S
    bad = next((e.time_s for e in summary.events if e.name in ("fall", "fault")), None)
    if bad is not None:
        return max(0.0, bad + AFTER_S - DETAIL_S), bad + AFTER_S
    for wanted in ("walking", "standing"):
        for stretch in summary.states:
            if stretch.state == wanted:
                begin = max(stretch.begin_s, min(stretch.begin_s + SETTLED_S, stretch.end_s - DETAIL_S))
                return begin, begin + DETAIL_S
    return 0.0, DETAIL_S


def _stages(path: Path) -> list[str]:
    return next((list(m.stage_name) for _, m in read_messages(path, ("robot_health",), damages=[])), [])


def _tiles(summary: Summary) -> list[tuple[str, str]]:
    shown = [
        (f"{summary.duration_s:.1f} s", "logged"),
        (f"{summary.seconds_in('walking'):.1f} s", "walking"),
        (str(summary.falls), "falls"),
        (str(summary.faults), "faults"),
        (str(sum(e.severity == "warning" for e in summary.events)), "warnings"),
    ]
    if summary.timing is not None:
        shown += [
            (str(summary.timing.missed_ticks), "missed ticks"),
            (f"{summary.timing.work_max_ms:.1f} ms", "longest tick"),
            (f"{summary.timing.late_max_ms:.1f} ms", "largest wake-up delay"),
        ]
    return shown


def _damages(summary: Summary) -> str:
    lines = [html.escape(str(damage)) for damage in summary.damages]
    lines += [
        f"{name}: {channel.missing_ticks} ticks missing"
        for name, channel in summary.channels.items()
        if channel.missing_ticks
    ]
    return f'<p class="fail">{"<br>".join(lines)}</p>' if lines else ""


def _events(summary: Summary) -> str:
    """All of them as a table, faults and warnings first; and for the charts, which mark them."""
    if not summary.events:
        return ""
    order = sorted(summary.events, key=lambda event: -SEVERITIES.index(event.severity))
    rows = [
        {"time (s)": e.time_s, "tick": e.tick, "severity": e.severity, "event": e.name, "text": e.text}
        for e in order
    ]
    told = sum(summary.event_counts.values())
    note = (
        f'<p class="faint">The first {len(rows)} of {told}; <code>wildrobot log info</code> counts them all.</p>'
        if told > len(rows)
        else ""
    )
    marks = [
        {"time": round(e.time_s, 3), "severity": e.severity, "name": e.name, "text": e.text}
        for e in summary.events
    ]
    return f"{note}{table(rows, 'events')}{embedded_data('events', marks)}"


def joint_limits(summary: Summary, spec: RobotSpec | None) -> dict[str, tuple[float, float]]:
    """Lower and upper limit of each joint, rad; none where `spec` is not the robot of the log."""
    if spec is None or spec.robot_hash != summary.robot_hash:
        return {}
    ends = zip(spec.joint_lower, spec.joint_upper, strict=True)
    return {name: (float(low), float(high)) for name, (low, high) in zip(spec.joint_names, ends, strict=True)}


def _channels(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "channel": name,
            "messages": channel.messages,
            "rate (Hz)": channel.rate_hz,
            "longest gap (s)": channel.longest_gap_s,
            "missing ticks": channel.missing_ticks,
            "kB": channel.bytes / 1e3,
        }
        for name, channel in summary.channels.items()
    ]


def _facts(summary: Summary) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "robot": f"{summary.robot} {summary.robot_hash[:12]}",
        "versions": summary.versions,
    }
    facts["machine"] = summary.machine
    facts["options"] = {k: v for k, v in summary.options.items() if v not in (None, False)}
    return {key: value for key, value in facts.items() if value}
