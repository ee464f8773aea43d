"""Plots of the last seconds, in tabs: joints, IMU, contacts, features, timing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import viser
from numpy.typing import NDArray
from viser import uplot

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names
from wildrobot.view.feed import Feed
from wildrobot.view.readout.status import feature_bars, plot_title, stage_table
from wildrobot.view.theme import ASKED_LINE, AXIS, ESTIMATED_LINE, GRID, LINES

Array = NDArray[np.float64]

PLOTS, SHAPE = 4, 3.05
"""How many a tab holds, and a plot's width over its height: `looks` makes the panel as wide as fits them all."""
EVERY = 2
"""Every second row is drawn: a plot 400 pixels wide shows no more."""


class Plot:
    """One uPlot chart of lines over the last seconds, with a line of HTML above: title, unit, what each color is."""

    def __init__(
        self,
        gui: viser.GuiApi,
        title: str,
        names: Sequence[str],
        time_s: Array,
        y_range: tuple[float, float],
        styles: Sequence[dict[str, Any]] | None = None,
        shape: float = SHAPE,
        ticks: bool = True,
    ) -> None:
        """`styles`, one for each line, may be more than `names`: lines without a name are explained by the title."""
        self._time = np.ascontiguousarray(time_s)
        self._start = self._time[0]
        styles = styles or [{"stroke": color} for color in LINES[: len(names)]]
        gui.add_html(
            plot_title(title, [(name, style["stroke"]) for name, style in zip(names, styles, strict=False)])
        )
        line: dict[str, Any] = {"width": 1.5, "points": {"show": False}, "spanGaps": False}
        axis: dict[str, Any] = {"stroke": AXIS, "font": "11px system-ui", "ticks": {"show": False}}
        axis["grid"] = {"stroke": GRID, "width": 1}
        self._handle = gui.add_uplot(
            data=(self._time, *(np.full(len(self._time), np.nan) for _ in styles)),
            series=cast(Any, ({}, *(line | style for style in styles))),
            scales={
                "x": uplot.Scale(time=False),
                "y": uplot.Scale(auto=False, range=y_range),
            },
            axes=cast(Any, (axis | {"size": 24}, axis | {"size": 38} | ({} if ticks else {"values": []}))),
            legend=uplot.Legend(show=False),
            cursor=uplot.Cursor(show=False),
            aspect=shape,
            padding=(8, 12, 0, 0),
        )

    def draw(self, values: Array) -> None:
        """Rows (rows, lines), oldest first."""
        # viser's chart is made before it has a width, and lays out its time axis only when the ends of time change.
        self._time = self._time.copy()
        self._time[0] = self._start - (1e-6 if self._time[0] == self._start else 0.0)
        self._handle.data = (self._time, *np.ascontiguousarray(values.T))


class Plots:
    """The panel of tabs."""

    def __init__(self, server: viser.ViserServer, feed: Feed) -> None:
        gui, spec = server.gui, feed.spec
        self._feed, self._spec = feed, spec
        self._time = feed.history.time_s[::EVERY]
        self.panel = gui.add_panel()
        with self.panel.add_tab("Joints"):
            self._joints = [self._joint_plot(gui, title, rows) for title, rows in joint_groups(spec)]
            everywhere = [{"stroke": LINES[i % len(LINES)] + "cc"} for i in range(spec.num_joints)]
            self._error = self._plot(gui, "target − position, every joint, rad", (), (-0.5, 0.5), everywhere)
        with self.panel.add_tab("IMU"):
            self._gyro = self._plot(gui, "angular velocity, IMU frame, rad/s", "xyz", (-4.0, 4.0))
            self._acceleration = self._plot(gui, "specific force, IMU frame, m/s²", "xyz", (-10.0, 20.0))
            self._tilt = self._plot(gui, "pelvis tilt, rad", ("to the right", "forward"), (-0.4, 0.4))
            self._heading = self._plot(gui, "heading, rad (left is up)", ("estimated",), (-3.2, 3.2))
        with self.panel.add_tab("Contacts"):
            names = [name.replace("_", " ") for name in spec.foot_names]
            filled = [{"stroke": color, "fill": color + "55"} for color in LINES]
            self._contacts = self._plot(
                gui, "foot switches", names, (-0.2, len(names)), filled[: len(names)], ticks=False
            )
            asked = [{"stroke": ASKED_LINE, "dash": [6, 4]}, {"stroke": ESTIMATED_LINE}]
            self._speed = self._plot(gui, "forward velocity, m/s", ("asked", "estimated"), (-0.2, 0.8), asked)
            self._height = self._plot(gui, "pelvis over the stance sole, m", ("estimated",), (0.2, 0.6))
            self._turning = self._plot(gui, "turning rate, rad/s", ("asked", "estimated"), (-1.2, 1.2), asked)
        with self.panel.add_tab("Features"):
            self._features = gui.add_html("")
        with self.panel.add_tab("Timing"):
            seconds = np.arange(-59.0, 1.0)
            self._tick = Plot(
                gui, "work per tick over a minute, ms", ("p50", "p99", "largest", "late"), seconds,
                (0.0, 22.0), shape=SHAPE / 2.5,
            )  # fmt: skip
            self._stages = gui.add_html("")
        self._names = feature_names(spec)

    def _plot(
        self, gui: Any, title: str, names: Sequence[str], y: tuple[float, float], *rest: Any, **more: Any
    ) -> Plot:
        return Plot(gui, title, list(names), self._time, y, *rest, **more)

    def _joint_plot(self, gui: Any, title: str, rows: list[int]) -> tuple[Plot, list[int]]:
        names = [self._spec.joint_names[row].removeprefix("left_").removeprefix("right_") for row in rows]
        styles: list[dict[str, Any]] = [{"stroke": LINES[i]} for i in range(len(rows))]
        styles += [{"stroke": LINES[i] + "bb", "dash": [4, 3]} for i in range(len(rows))]
        home = self._spec.default_joint_pos[rows]
        span = (-0.3, 0.3) if len(rows) == 1 else (float(home.min()) - 0.85, float(home.max()) + 0.85)
        return Plot(gui, title, [name.replace("_", " ") for name in names], self._time, span, styles), rows

    def draw(self) -> None:
        """What moves with every tick."""
        feed = self._feed
        with feed.lock:
            history = feed.history
            part = {name: history.part(name)[::EVERY] for name in PARTS}
        for plot, rows in self._joints:
            plot.draw(
                np.concatenate([part["joint_position"][:, rows], part["joint_target"][:, rows]], axis=1)
            )
        self._gyro.draw(part["gyro"])
        self._acceleration.draw(part["acceleration"])
        self._tilt.draw(part["tilt"])
        self._heading.draw(part["heading"])
        self._error.draw(part["joint_target"] - part["joint_position"])
        feet = part["contact"].shape[1]
        self._contacts.draw(0.8 * part["contact"] + np.arange(feet)[::-1])
        for column, plot in enumerate((self._speed, self._turning)):
            plot.draw(np.stack([part["command"][:, column], part["velocity"][:, column]], axis=1))
        self._height.draw(part["height"])

    def draw_slow(self) -> None:
        """Tables, and what comes once a second."""
        feed = self._feed
        with feed.lock:
            policy, health = feed.latest.get("policy_state"), feed.latest.get("robot_health")
            ticks = list(feed.tick_history)
        if policy is not None:
            self._features.content = feature_bars(self._names, policy.features)
        values = np.full((60, 4), np.nan)
        if ticks:
            values[-len(ticks) :] = ticks
        self._tick.draw(values)
        if health is not None:
            self._stages.content = stage_table(health)


PARTS = (
    "joint_position", "joint_target", "gyro", "acceleration", "contact", "velocity", "command", "height", "tilt",
    "heading",
)  # fmt: skip


def joint_groups(spec: RobotSpec) -> list[tuple[str, list[int]]]:
    """Title and joint indices of each plot: left leg, right leg, and what belongs to neither."""
    sides = {"left leg": "left_", "right leg": "right_"}
    groups = [
        (f"{side}, rad", [i for i, name in enumerate(spec.joint_names) if name.startswith(prefix)])
        for side, prefix in sides.items()
    ]
    taken = {row for _, rows in groups for row in rows}
    rest = [i for i in range(spec.num_joints) if i not in taken]
    return [*groups, ("body, rad (dashed: target)", rest)]
