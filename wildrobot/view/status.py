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

GOOD, FAIR, BAD, QUIET = "#51cf66", "#ffb020", "#ff6b6b", "#868e96"
IS, ASKED = "#409cff", "#ffb020"
STATE_COLORS = {
    "limp": QUIET, "standing_up": FAIR, "standing": "#4dabf7", "walking": GOOD, "soft_stop": FAIR, "estop": BAD,
}  # fmt: skip
STYLE = """<style>
.wr{font:12.5px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#dee2e6;padding:0 .8em .4em}
.wr b{font-weight:600}.wr .state{font-size:19px;font-weight:700;letter-spacing:.04em}
.wr .dim{color:#909296}.wr table{width:100%;border-collapse:collapse}
.wr td{padding:1px 0;vertical-align:top;white-space:nowrap}
.wr td:last-child{text-align:right;font-variant-numeric:tabular-nums}
@media(max-width:576px){.wr td{white-space:normal}}
.wr .events{margin-top:5px;border-top:1px solid #ffffff1c;padding-top:4px;font-size:11.5px;line-height:1.35}
.wr .row{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.wr .bar{position:relative;height:9px;background:#ffffff12;border-radius:2px;margin-top:4px}
.wr .bar i{position:absolute;top:0;bottom:0;border-radius:2px}
</style>"""


def status(feed: Feed, driver: str) -> str:
    """Health at a glance. Call it, and `headline`, with the feed's lock held."""
    latest = feed.latest
    command, health, policy = (latest.get(name) for name in ("robot_command", "robot_health", "policy_state"))
    rows = [
        *_velocity(feed, command),
        ("commanded by", _commander(command)),
        ("page", escape(driver)),
        ("limited by", _limits(command)),
        ("style score", _style(policy)),
        *_health(feed, health),
    ]
    table = "".join(f"<tr><td class=dim>{name}</td><td>{value}</td></tr>" for name, value in rows)
    return f"{STYLE}<div class=wr>{_warnings(feed)}<table>{table}</table>{_events(feed)}</div>"


def headline(feed: Feed) -> str:
    """State of the robot, or why it is not known; always two lines, so that nothing below it moves."""
    state = feed.latest.get("robot_state")
    name = "" if state is None else state.state
    if state is None:
        text, color = "no robot yet", QUIET
    else:
        text, color = name.replace("_", " "), STATE_COLORS.get(name, QUIET)
    if name == "estop":
        text, note = "E-STOP latched", "torque is off; start the robot's program again"
    elif state is None:
        note = "waiting for messages of wildrobot-run on LCM"
    else:
        note = _run(feed)
    return (
        f"{STYLE}<div class=wr>"
        f"<div class=state style='color:{color}'>{escape(text).upper() if name != 'estop' else text}</div>"
        f"<div class='dim row'>{escape(note) or '&nbsp;'}</div></div>"
    )


def _warnings(feed: Feed) -> str:
    text = ""
    if "robot_state" in feed.latest and feed.silent_s > SILENT_S:
        text = (
            f"<div style='color:{BAD}'><b>silent for {feed.silent_s:.0f} s</b>: this is its last word</div>"
        )
    if feed.problem:
        text += f"<div style='color:{FAIR}'>{escape(feed.problem)}</div>"
    return text


def _run(feed: Feed) -> str:
    configuration = feed.latest.get("run_configuration")
    if configuration is None:
        return ""
    policy = feed.latest.get("policy_state")
    content = json.loads(configuration.json)
    listed = content.get("policies") or [{"path": configuration.policy_path}]
    index = min(policy.policy, len(listed) - 1) if policy is not None else 0
    where = content.get("options", {}).get("robot", "")
    return f"{PurePath(listed[index]['path']).name} on {where or configuration.robot}"


def _velocity(feed: Feed, command: Any) -> Iterable[tuple[str, str]]:
    """Estimated, the mean of half a second, and asked for; in the colors of the arrows."""
    if feed.pose is None or command is None:
        return
    recent = feed.history.part("velocity")[-round(0.5 * feed.spec.control_hz) :]
    recent = recent[np.isfinite(recent).all(axis=1)]
    mean = recent.mean(axis=0) if len(recent) else np.full(2, np.nan)
    units = (("forward", "m/s"), ("left turn", "rad/s"))
    for (name, unit), found, asked in zip(units, mean, command.user_command, strict=True):
        shown = colored(f"{round(found, 2) + 0.0:.2f}", IS)
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
        color = GOOD if value < levels.warn else FAIR if value < levels.stop else BAD
        yield (
            "hottest servo",
            f"{colored(f'{value:.0f} °C', color)} <span class=dim>{feed.spec.joint_names[index]}</span>",
        )
    else:
        yield "hottest servo", "<span class=dim>not measured</span>"


def _events(feed: Feed) -> str:
    lines = []
    for event in list(feed.events)[-5:][::-1]:
        color = ("#ced4da", FAIR, BAD)[min(max(event.severity, 0), 2)]
        lines.append(
            f"<div class=row style='color:{color}' title='{escape(event.text)}'>{escape(event.text)}</div>"
        )
    return f"<div class=events>{''.join(lines) or '<span class=dim>no events</span>'}</div>"


def plot_title(title: str, lines: Sequence[tuple[str, str]]) -> str:
    """What a plot shows, and the color of each of its lines."""
    named = "".join(
        f"<span style='white-space:nowrap;margin-left:7px'><span style='color:{color}'>■</span> {escape(name)}</span>"
        for name, color in lines
    )
    style = "padding:3px .8em 0;line-height:17px;font-size:11.5px"
    return f"{STYLE}<div class=wr style='{style}'><b>{escape(title)}</b>{named}</div>"


def feature_bars(names: Sequence[str], values: Sequence[float]) -> str:
    """The feature vector: name, bar from the middle, value."""
    rows = []
    for name, value in zip(names, values, strict=False):
        scale = 8.0 if name.startswith("joint_velocity") else 4.0 if name.startswith("angular") else 1.0
        share = 50.0 * max(-1.0, min(1.0, value / scale)) if math.isfinite(value) else 0.0
        left, width = (50.0, share) if share >= 0 else (50.0 + share, -share)
        label = escape(name.replace("/", " · ").replace("_", " "))
        rows.append(
            f"<tr><td class=dim style='font-size:11.5px'>{label}</td><td style='width:42%'><div class=bar>"
            f"<i style='left:{left:.1f}%;width:{width:.1f}%;background:#4dabf7'></i></div></td>"
            f"<td style='width:4.2em'>{value:+.3f}</td></tr>"
        )
    return f"{STYLE}<div class=wr style='line-height:1.28'><table>{''.join(rows)}</table></div>"


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
    style = "<style>.wr.t td{text-align:right;padding:3px 0}.wr.t td:first-child{text-align:left}</style>"
    return f"{STYLE}{style}<div class='wr t'><table>{head}{rows}<tr><td><b>tick</b></td>{cells}</tr></table></div>"


def colored(text: str, color: str) -> str:
    """A value with its judgement."""
    return f"<b style='color:{color}'>{escape(text)}</b>"


def count(number: int) -> str:
    """A number that should be zero."""
    return colored(str(number), FAIR) if number else "0"
