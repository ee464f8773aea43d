"""The page's texts: what the robot does and how it is, as small pieces of HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np

from wildrobot.view.feed import Feed
from wildrobot.view.readout.events import EventGroup, clock
from wildrobot.view.readout.marks import (
    BAD,
    FAIR,
    GOOD,
    QUIET,
    battery_text,
    colored,
    count,
    shade,
    short_name,
)
from wildrobot.view.theme import color

SHOWN = 4
"""Robots that are named at most when too many answer."""
LINE = 40
"""Characters in a line of the column."""
ESTIMATED, ASKED = map(color, ("estimated", "asked"))
STALE = "<style>.wr .state:not(.estop){opacity:.45}canvas[data-engine]{filter:grayscale(1) brightness(.7)}</style>"
"""The state and the picture of a robot that says nothing more. An E-STOP stays latched."""
DRIVEN = ("standing_up", "standing", "walking", "soft_stop")
"""States in which servos have torque."""
LATE_S = 0.15
"""Messages that arrive so late make driving by the picture unsafe."""
CLOCKS_S = 5.0
"""Messages seem older than this when the clocks of both computers differ, or a log is played."""
COLUMN_EVENTS = 14
"""Groups of events at most in the column."""
STATE_COLORS = {
    "limp": QUIET, "standing_up": FAIR, "standing": ESTIMATED, "walking": GOOD, "soft_stop": FAIR, "estop": BAD,
}  # fmt: skip


def status(feed: Feed, driver: str) -> str:
    """Health at a glance. Call it, and `headline`, with the feed's lock held."""
    latest = feed.latest
    if "robot_state" not in latest:
        return f"<div class=wr>{_warnings(feed)}{_how_to_make_one(feed)}</div>"
    command, health, policy = (latest.get(name) for name in ("robot_command", "robot_health", "policy_state"))
    rows: list[tuple[str, str]] = [("policy", escape(_policy(feed)) or "–")]
    if feed.latest["robot_state"].state in DRIVEN:
        rows += [
            *_velocity(feed, command),
            ("limited by", _limits(command)),
            ("style score", _style(policy)),
        ]
    rows += [
        ("commanded by", _commander(command)),
        ("page", escape(driver)),
        ("link", _link(feed)),
        *_health(feed, health),
    ]
    silent = feed.silent
    if silent:
        rows = [(name, value if name == "page" else "–") for name, value in rows]
    table = "".join(f"<tr><td class=dim>{name}</td><td>{value}</td></tr>" for name, value in rows)
    return (
        f"<div class=wr>{STALE if silent else ''}{_warnings(feed)}{_cause(feed)}"
        f"<table>{table}</table>{_events(feed)}</div>"
    )


def headline(feed: Feed) -> str:
    """Which robot, and its state, or why that is not known; always two lines, so that nothing below it moves."""
    state = feed.latest.get("robot_state")
    name = "" if state is None else state.state
    text, shade = (name.replace("_", " "), STATE_COLORS.get(name, QUIET)) if name else ("no robot yet", QUIET)
    text = text.upper()
    if name == "estop":
        text = "E-STOP latched"
    if state is not None:
        note = _who(feed)
    elif feed.robot is not None:
        note = f"{feed.robot.robot_name} is there and says nothing"
    else:
        note = f"waiting for {feed.robot_name or 'one'}"
    return (
        f"<div class=wr><div class='state {name}' style='color:{shade}'>{escape(text)}</div>"
        f"<div class='dim line' title='{escape(note)}'>{escape(shortened(note)) or '&nbsp;'}</div></div>"
    )


def rivals_warning(feed: Feed) -> str:
    """What is wrong when it is not plain which robot is meant, and what to do; empty: it is."""
    if not feed.rivals:
        return ""
    names = sorted({robot.identity.robot_name for robot in feed.rivals})
    if len(names) == 1:
        what = f"{len(feed.rivals)} programs call themselves {names[0]}:"
        advice = "End one of them, or the log that is played, or start one again with another --name."
    else:
        what = f"{len(feed.rivals)} robots answer:"
        commands = " or ".join(f"<code>wildrobot view --name {escape(name)}</code>" for name in names[:SHOWN])
        advice = f"Start this page again for the one that you mean: {commands}"
    listed = "; ".join(escape(str(robot)) for robot in feed.rivals[:SHOWN])
    more = f"; and {len(feed.rivals) - SHOWN} more" if len(feed.rivals) > SHOWN else ""
    return (
        f"<p><b>{what}</b> {listed}{more}.</p>"
        f"<p><b>Nobody drives until one is left. E-STOP and Stop are for all of them.</b></p><p>{advice}</p>"
    )


def _warnings(feed: Feed) -> str:
    text = ""
    if feed.silent:
        text = (
            f"<div style='color:{BAD}'><b>silent for {feed.silent_s:.0f} s</b>: this is its last word</div>"
        )
    state = feed.latest.get("robot_state")
    if state is not None and state.state == "estop" and feed.events.cause is None:
        text += f"<div style='color:{BAD}'>torque is off; start its program again</div>"
    if feed.network.problem:
        text += f"<div style='color:{BAD}'>{escape(feed.network.problem)}</div>"
    if feed.problem:
        text += f"<div style='color:{FAIR}'>{escape(feed.problem)}</div>"
    return text


def _how_to_make_one(feed: Feed) -> str:
    """What to do where no robot is to be seen."""
    name = f" --name {feed.robot_name}" if feed.robot_name else ""
    odd = feed.network.library_elsewhere()
    parts = [
        "Start one in another terminal:",
        f"<code>wildrobot-run --robot sim --lcm-command{escape(name)}</code>",
        "Robot and page together: end this page, and",
        "<code>wildrobot view --sim</code>",
    ]
    if odd is not None:
        parts += ["", escape(f"A log that lcm-logplayer plays is not heard here. {odd.advice}")]
    return "<br>".join(parts)


def _who(feed: Feed) -> str:
    """Name of the robot that is followed, whether it is simulated, and where it runs."""
    if feed.robot is None or feed.announcement is None:
        return ""
    said = feed.announcement
    return f"{said.robot_name}, {'simulated, ' if said.simulated else ''}on {said.host.partition('.')[0]}"


def _policy(feed: Feed) -> str:
    configuration = feed.latest.get("run_configuration")
    if configuration is None:
        return ""
    policy = feed.latest.get("policy_state")
    content = json.loads(configuration.json)
    listed = content.get("policies") or [{"path": configuration.policy_path}]
    index = min(policy.policy, len(listed) - 1) if policy is not None else 0
    return PurePath(listed[index]["path"]).name


def _velocity(feed: Feed, command: Any) -> Iterable[tuple[str, str]]:
    """Estimated, the mean of half a second, and asked for; in the colors of the arrows."""
    if feed.pose is None or command is None:
        return
    recent = feed.history.part("velocity")[-round(0.5 * feed.spec.control_hz) :]
    recent = recent[np.isfinite(recent).all(axis=1)]
    mean = recent.mean(axis=0) if len(recent) else np.full(2, np.nan)
    units = (("forward", "m/s"), ("left turn", "rad/s"))
    for (name, unit), found, asked in zip(units, mean, command.user_command, strict=True):
        shown = colored(f"{round(found, 2) + 0.0:.2f}", ESTIMATED)
        yield name, f"{shown} of {colored(f'{asked:.2f}', ASKED)} <span class=dim>{unit}</span>"


def _commander(command: Any) -> str:
    if command is None or not command.command_source:
        return "nobody"
    return escape(command.command_source)


def _limits(command: Any) -> str:
    if command is None or not command.limited_by or not command.torque_gain:
        return "nothing"
    return colored(command.limited_by.replace(",", ", ").replace("_", " "), FAIR)


def _style(policy: Any) -> str:
    if policy is None or math.isnan(policy.style_score):
        return "–"
    score = policy.style_score
    return colored(f"{score:.2f}", GOOD if score > 0.5 else FAIR if score > 0.2 else BAD)


def _link(feed: Feed) -> str:
    """How late messages arrive, by both computers' clocks, and the longest pause between two."""
    latency, gap = feed.link.latency_s, feed.link.gap_s
    if math.isnan(latency) or math.isnan(gap):
        return "–"
    pause = colored(f"{1e3 * gap:.0f} ms", GOOD if gap < LATE_S else FAIR)
    if not -0.005 < latency < CLOCKS_S:
        return f"<span class=dim title='or a log is played'>clocks differ</span>, pause {pause}"
    late = colored(f"{1e3 * max(latency, 0.0):.0f} ms", GOOD if latency < LATE_S else BAD)
    return f"{late} late, pause {pause}"


def _health(feed: Feed, health: Any) -> Iterable[tuple[str, str]]:
    if health is not None:
        period = 1e3 * feed.spec.control_dt
        p99 = health.tick_p99_ms
        missed = f"{count(health.missed_ticks)} missed"
        loop = colored(f"{p99:.1f} ms", GOOD if p99 < 0.5 * period else FAIR if p99 < period else BAD)
        yield "loop time p99", f"{loop} <span class=dim>of {period:.0f}</span>, {missed}"
        yield "bus errors · drops", f"{count(feed.events.bus_errors)} · {count(health.messages_dropped)}"
        warned = [
            (name, value, level)
            for name, value, level in zip(
                health.guard_name, health.guard_value, health.guard_level, strict=True
            )
            if level
        ]
        if warned:
            name, value, level = max(warned, key=lambda entry: entry[2])
            yield "guard", colored(f"{name} {value:.3g}", (GOOD, FAIR, BAD)[min(level, 2)])
    _, warm, _, modelled = feed.servos.figures(health, feed.simulated)
    if modelled:
        yield "battery", "<span class=dim>not simulated</span>"
    else:
        yield "battery", battery_text(feed, health, levels_too=False)
    if not np.isfinite(warm).any():
        yield "hottest servo", "<span class=dim>not measured</span>"
        return
    index = int(np.nanargmax(warm))
    levels = feed.spec.guards["temperature_c"]
    value = colored(f"{warm[index]:.0f} °C", shade(warm[index], levels.warn, levels.stop))
    label = "hottest (modelled)" if modelled else "hottest servo"
    yield label, f"{value} <span class=dim>{escape(short_name(feed.spec.joint_names[index]))}</span>"


def _cause(feed: Feed) -> str:
    """Why it stopped last, and what to do; above everything else."""
    cause = feed.events.cause
    if cause is None:
        return ""
    what = "stopped" if cause.stopped else "refused"
    return (
        f"<div class=cause><b>{clock(cause.timestamp_us)} {what}: {escape(cause.text)}</b>"
        f"<div>→ {escape(cause.next_step)}</div></div>"
    )


def _events(feed: Feed) -> str:
    lines = "".join(event_line(group) for group in islice(feed.events, COLUMN_EVENTS))
    return f"<div class=events>{lines or '<span class=dim>no events</span>'}</div>"


def event_line(group: EventGroup) -> str:
    """When it was last, what, and how often."""
    tint = ("inherit", FAIR, BAD)[min(max(group.severity, 0), 2)]
    if group.over:
        tint = "inherit"
    often = f" <b>×{group.count}</b> in {group.seconds:.0f} s" if group.count > 1 else ""
    over = " <span class=dim>(over)</span>" if group.over else ""
    return (
        f"<div style='color:{tint}'><span class=dim>{clock(group.last_us)}</span> "
        f"{escape(group.text)}{often}{over}</div>"
    )


def feature_bars(names: Sequence[str], values: Sequence[float]) -> str:
    """The feature vector: name, bar from the middle, value."""
    rows = []
    for name, value in zip(names, values, strict=False):
        scale = 8.0 if name.startswith("joint_velocity") else 4.0 if name.startswith("angular") else 1.0
        share = 50.0 * max(-1.0, min(1.0, value / scale)) if math.isfinite(value) else 0.0
        left, width = (50.0, share) if share >= 0 else (50.0 + share, -share)
        label = escape(name.replace("/", " · ").replace("_", " "))
        rows.append(
            f"<tr><td class=dim>{label}</td><td style='width:42%'><div class=bar>"
            f"<i style='left:{left:.1f}%;width:{width:.1f}%'></i></div></td>"
            f"<td style='width:4.2em'>{value:+.3f}</td></tr>"
        )
    return f"<div class='wr features' style='--rows:{len(rows)}'><table>{''.join(rows)}</table></div>"


def stage_table(health: Any) -> str:
    """Where the time of a tick goes."""
    rows = "".join(
        f"<tr><td class=dim>{escape(name)}</td><td>{p50:.2f}</td><td>{p99:.2f}</td><td>{most:.2f}</td></tr>"
        for name, p50, p99, most in zip(
            health.stage_name, health.stage_p50_ms, health.stage_p99_ms, health.stage_max_ms, strict=True
        )
    )
    total = (health.tick_p50_ms, health.tick_p99_ms, health.tick_max_ms)
    cells = "".join(f"<td><b>{value:.2f}</b></td>" for value in total)
    head = "<tr class=dim><td>stage, ms</td><td>p50</td><td>p99</td><td>largest</td></tr>"
    return f"<div class='wr stages'><table>{head}{rows}<tr><td><b>tick</b></td>{cells}</tr></table></div>"


def shortened(text: str) -> str:
    """A text that fits a line of the column."""
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"
