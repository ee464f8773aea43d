"""The tab of servos: a table sorted by the hottest, and a plot of the one that was picked in it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import viser

from wildrobot.robot_description import RobotSpec
from wildrobot.view.feed import Feed
from wildrobot.view.plots import EVERY, SHAPE, Plot, Plots
from wildrobot.view.readout.marks import BAD, FAIR, battery_text, colored, count, judged, short_name
from wildrobot.view.readout.servos import ServoRow
from wildrobot.view.theme import ASKED_LINE, ESTIMATED_LINE

TABLE_S = 0.25
"""So often at most the table is made anew."""
NONE = "<span class=dim>–</span>"
HEAD = (
    ("servo", "joint and servo id"), ("target", "target, degrees"), ("actual", "position, degrees"),
    ("A", "current, ampere"), ("°C", "temperature"), ("V", "voltage"),
    ("err", "times that the bus complained of this servo"),
    ("lost", "answers lost in the last minute: ticks without a new sample"),
)  # fmt: skip


class ServoPanel:
    """The tab's content. The picked joint is everybody's, as the plots are."""

    def __init__(self, gui: viser.GuiApi, feed: Feed, plots: Plots) -> None:
        self._feed, self._plots, self.joint = feed, plots, 0
        """`joint`: the one in the plot."""
        self._table = gui.add_html("")
        spec = feed.spec
        lines: list[dict[str, Any]] = [{"stroke": ASKED_LINE, "dash": [6, 4]}, {"stroke": ESTIMATED_LINE}]
        self._plot = Plot(
            gui,
            "servo marked above, °",
            ("target", "position"),
            plots.time_s,
            joint_range(spec, 0),
            lines,
        )
        self._error = Plot(gui, "target − position, °", (), plots.time_s, (-15.0, 15.0), lines[1:], SHAPE)
        self._due_s = 0.0
        self._drawn: object = None

    def pick(self, joint: int) -> None:
        """Plot another joint."""
        if joint < self._feed.spec.num_joints:
            self.joint, self._due_s = joint, 0.0
            self._plot.rescale(joint_range(self._feed.spec, joint))

    def draw(self) -> None:
        """The plot."""
        held, before = self._plots.held()
        if not self._plots.sees("Servos"):
            return
        with self._feed.lock:
            history, joint, rows = held or self._feed.history, self.joint, self._plots.rows
            drawn = (id(history), before, joint, self._feed.frames if held is None else 0)
            if drawn == self._drawn:
                return
            self._drawn = drawn
            target, actual = (
                np.degrees(history.part(name, rows, before, EVERY)[:, joint])
                for name in ("joint_target", "joint_position")
            )
        shift_s = -before * self._feed.spec.control_dt
        self._plot.draw(np.stack([target, actual], axis=1), shift_s=shift_s)
        self._error.draw((target - actual)[:, None], shift_s=shift_s)

    def draw_slow(self) -> None:
        """The table."""
        now = time.monotonic()
        if now < self._due_s or not self._plots.sees("Servos"):
            return
        self._due_s = now + TABLE_S
        with self._feed.lock:
            self._table.content = servo_table(self._feed, self.joint)


def joint_range(spec: RobotSpec, joint: int) -> tuple[float, float]:
    """Degrees that a joint can have, and a little more."""
    return float(np.degrees(spec.joint_lower[joint])) - 5.0, float(np.degrees(spec.joint_upper[joint])) + 5.0


def servo_table(feed: Feed, picked: int) -> str:
    """HTML of all servos, with the feed's lock held: blank while the robot says nothing. A press on a row picks it."""
    state = feed.latest.get("robot_state")
    if state is None or state.num_joints != feed.spec.num_joints:
        return "<div class='wr servos dim'>no robot yet</div>"
    health = feed.latest.get("robot_health")
    rows, modelled = feed.servos.rows(state, feed.latest.get("robot_command"), health, feed.simulated)
    silent = feed.silent
    heads = "".join(f"<td title='{why}'>{name}</td>" for name, why in HEAD)
    lines = "".join(_line(feed.spec, row, row.joint == picked, silent) for row in rows)
    if silent:
        note = "The robot says nothing more."
    elif modelled:
        note = "<b>modelled</b>: current and °C by the servo's model, from 30 °C when the page began; V is nominal."
    else:
        note = (
            f"battery {battery_text(feed, health)}. Minutes left are not shown: nobody measures its charge."
        )
    return (
        f"<div class='wr servos'><table><tr class=dim>{heads}</tr>{lines}</table>"
        f"<div class='dim note'>{note}</div></div>"
    )


def _line(spec: RobotSpec, row: ServoRow, picked: bool, silent: bool) -> str:
    guards = spec.guards
    warm, volts, current = guards["temperature_c"], guards["voltage_low_v"], guards["current_a"]
    cells: Sequence[str] = (
        _number(math.degrees(row.target_rad), "{:.1f}"),
        _number(math.degrees(row.actual_rad), "{:.1f}"),
        judged(row.current_a, "{:.2f}", current.warn, current.stop, magnitude=True) or NONE,
        judged(row.temperature_c, "{:.0f}", warm.warn, warm.stop) or NONE,
        judged(row.voltage_v, "{:.1f}", volts.warn, volts.stop, below=True) or NONE,
        count(row.errors),
        colored(str(row.lost), BAD if row.lost > 60 else FAIR) if row.lost else "0",
    )
    if silent:
        cells = [NONE] * len(cells)
    values = "".join(f"<td>{cell}</td>" for cell in cells)
    name = escape(short_name(row.name))
    chosen = " class=picked" if picked else ""
    return f"<tr data-pick={row.joint}{chosen}><td>{name} <span class=dim>{row.servo_id}</span></td>{values}</tr>"


def _number(value: float, form: str) -> str:
    return form.format(round(value, 1) + 0.0) if math.isfinite(value) else NONE
