"""The page's texts: what the robot does and how it is, as small pieces of HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

import numpy as np

from wildrobot.view.feed import SILENT_S, Feed
from wildrobot.view.theme import color

SHOWN = 4
"""Robots that are named at most when too many answer."""
LINE = 40
"""Characters in a line of the column."""
GOOD, FAIR, BAD, QUIET = map(color, ("good", "fair", "bad", "quiet"))
ESTIMATED, ASKED = map(color, ("estimated", "asked"))
STALE = "<style>.wr .state:not(.estop){opacity:.45}canvas[data-engine]{filter:grayscale(1) brightness(.7)}</style>"
"""The state and the picture of a robot that says nothing more. An E-STOP stays latched."""
STATE_COLORS = {
    "limp": QUIET, "standing_up": FAIR, "standing": ESTIMATED, "walking": GOOD, "soft_stop": FAIR, "estop": BAD,
}  # fmt: skip


def status(feed: Feed, driver: str) -> str:
    """Health at a glance. Call it, and `headline`, with the feed's lock held."""
    latest = feed.latest
    if "robot_state" not in latest:
        return f"<div class=wr>{_warnings(feed)}{_how_to_make_one(feed)}</div>"
    command, health, policy = (latest.get(name) for name in ("robot_command", "robot_health", "policy_state"))
    rows = [
        ("policy", escape(_policy(feed)) or "–"),
        *_velocity(feed, command),
        ("commanded by", _commander(command)),
        ("page", escape(driver)),
        ("limited by", _limits(command)),
        ("style score", _style(policy)),
        *_health(feed, health),
    ]
    silent = "robot_state" in latest and feed.silent_s > SILENT_S
    if silent:
        rows = [(name, value if name == "page" else "–") for name, value in rows]
    table = "".join(f"<tr><td class=dim>{name}</td><td>{value}</td></tr>" for name, value in rows)
    return (
        f"<div class=wr>{STALE if silent else ''}{_warnings(feed)}<table>{table}</table>{_events(feed)}</div>"
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
    if "robot_state" in feed.latest and feed.silent_s > SILENT_S:
        text = (
            f"<div style='color:{BAD}'><b>silent for {feed.silent_s:.0f} s</b>: this is its last word</div>"
        )
    if feed.latest.get("robot_state") is not None and feed.latest["robot_state"].state == "estop":
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


def _health(feed: Feed, health: Any) -> Iterable[tuple[str, str]]:
    if health is None:
        return
    period = 1e3 * feed.spec.control_dt
    p99 = health.tick_p99_ms
    yield "tick p99", colored(f"{p99:.1f} ms", GOOD if p99 < 0.5 * period else FAIR if p99 < period else BAD)
    yield "missed ticks", count(health.missed_ticks)
    yield "bus errors · drops", f"{count(feed.bus_errors)} · {count(health.messages_dropped)}"
    warned = [
        (name, value, level)
        for name, value, level in zip(health.guard_name, health.guard_value, health.guard_level, strict=True)
        if level
    ]
    if warned:
        name, value, level = max(warned, key=lambda entry: entry[2])
        yield "guard", colored(f"{name} {value:.3g}", (GOOD, FAIR, BAD)[min(level, 2)])
    guards = feed.spec.guards
    volts = [value for value in health.voltage_v if math.isfinite(value)]
    if volts:
        low = min(volts)
        levels = guards["voltage_low_v"]
        yield (
            "battery",
            colored(f"{low:.1f} V", GOOD if low > levels.warn else FAIR if low > levels.stop else BAD),
        )
    else:
        yield "battery", "<span class=dim>not measured</span>"
    warm = [(value, i) for i, value in enumerate(health.temperature_c) if math.isfinite(value)]
    if warm:
        value, index = max(warm)
        levels = guards["temperature_c"]
        shade = GOOD if value < levels.warn else FAIR if value < levels.stop else BAD
        yield (
            "hottest servo",
            f"{colored(f'{value:.0f} °C', shade)} <span class=dim>{feed.spec.joint_names[index]}</span>",
        )
    else:
        yield "hottest servo", "<span class=dim>not measured</span>"


def _events(feed: Feed) -> str:
    lines = []
    for event in list(feed.events)[::-1]:
        shade = ("inherit", FAIR, BAD)[min(max(event.severity, 0), 2)]
        lines.append(f"<div style='color:{shade}'>{escape(event.text)}</div>")
    return f"<div class=events>{''.join(lines) or '<span class=dim>no events</span>'}</div>"


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


def colored(text: str, shade: str) -> str:
    """A value with its judgement."""
    return f"<b style='color:{shade}'>{escape(text)}</b>"


def shortened(text: str) -> str:
    """A text that fits a line of the column."""
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def count(number: int) -> str:
    """A number that should be zero."""
    return colored(str(number), FAIR) if number else "0"
