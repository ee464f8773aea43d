"""Values with their judgement: colors by the levels at which the robot's own guards warn and stop."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from wildrobot.view.feed import Feed
from wildrobot.view.theme import color

GOOD, FAIR, BAD, QUIET = map(color, ("good", "fair", "bad", "quiet"))


def colored(text: str, shade: str) -> str:
    """A value with its judgement."""
    return f"<b style='color:{shade}'>{escape(text)}</b>"


def count(number: int) -> str:
    """A number that should be zero."""
    return colored(str(number), FAIR) if number else "0"


def shade(value: float, warn: float, stop: float, below: bool = False) -> str:
    """Color of a value whose guard warns and stops above these levels, or below them."""
    sign = -1.0 if below else 1.0
    return BAD if sign * value >= sign * stop else FAIR if sign * value >= sign * warn else GOOD


def judged(
    value: float, form: str, warn: float, stop: float, below: bool = False, magnitude: bool = False
) -> str:
    """A value in its color, "!" and "!!" beside those that are past a level; empty: not measured."""
    if not math.isfinite(value):
        return ""
    tint = shade(abs(value) if magnitude else value, warn, stop, below)
    mark = {FAIR: "!", BAD: "!!"}.get(tint, "")
    return colored(form.format(value) + mark, tint) if mark else form.format(value)


def battery_text(feed: Feed, health: Any, levels_too: bool = True) -> str:
    """The lowest voltage that a servo measures, its trend, and the levels; for people."""
    volts = [] if health is None else [value for value in health.voltage_v if math.isfinite(value)]
    if not volts:
        return "<span class=dim>not measured</span>"
    levels, low = feed.spec.guards["voltage_low_v"], min(volts)
    text = colored(f"{low:.1f} V", shade(low, levels.warn, levels.stop, below=True))
    change = feed.battery.change()
    if change is not None:
        text += f" {change[0] + 0.0:+.2f} V in {change[1] / 60.0:.0f} min"
    if not levels_too:
        return text
    return f"{text} <span class=dim>(low {levels.warn:g}, stops {levels.stop:g})</span>"


def short_name(joint: str) -> str:
    """A joint's name that leaves room for its figures: "L hip pitch"."""
    side, _, rest = joint.partition("_")
    short = {"left": "L", "right": "R"}.get(side)
    return f"{short} {rest.replace('_', ' ')}" if short and rest else joint.replace("_", " ")
