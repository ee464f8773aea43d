"""Plots of the last seconds, in tabs: joints, IMU, contacts, features, timing."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from html import escape
from typing import Any, cast

import numpy as np
import viser
from numpy.typing import NDArray
from viser import uplot

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import feature_names
from wildrobot.view.feed import Feed
from wildrobot.view.history import SHOWN_S, History
from wildrobot.view.readout.status import feature_bars, stage_table
from wildrobot.view.recall.pause import Pause
from wildrobot.view.server import GuardedServer
from wildrobot.view.theme import ASKED_LINE, AXIS, ESTIMATED_LINE, GRID, LINES

Array = NDArray[np.float64]

PLOTS, SHAPE = 4, 3.05
"""How many a tab holds, and a plot's width over its height: `looks` makes the panel as wide as fits them all."""
EVERY = 2
"""Every second row is drawn: a plot 400 pixels wide shows no more."""
STALE = "<div class='wr dim'>The robot says nothing more.</div>"


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
        keys: Sequence[str] = (),
    ) -> None:
        """`styles`, one for each line, may be more than `names`: lines without a name are explained by the title.
        `keys`, one for each line: what it is called when it is hidden; without them all lines stay."""
        self._time = np.ascontiguousarray(time_s)
        self._start = self._time[0]
        styles = styles or [{"stroke": color} for color in LINES[: len(names)]]
        self.keys, self._title = list(keys), title
        self._named = [(name, style["stroke"]) for name, style in zip(names, styles, strict=False)]
        self._legend = gui.add_html(legend(title, self._named, self.keys, set()))
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

    def rescale(self, y_range: tuple[float, float]) -> None:
        """Another range of values."""
        self._handle.scales = {"x": uplot.Scale(time=False), "y": uplot.Scale(auto=False, range=y_range)}

    def draw(self, values: Array, hidden: AbstractSet[str] = frozenset(), shift_s: float = 0.0) -> None:
        """Rows (rows, lines), oldest first; lines of a key in `hidden` are left out; time ends at `shift_s`."""
        # viser's chart is made before it has a width, and lays out its time axis only when the ends of time change.
        odd = self._time[0] == self._start
        shown = self._time.copy()
        shown[0] = self._start - (1e-6 if odd else 0.0)
        self._time = shown
        values = np.array(values.T)
        for line, key in enumerate(self.keys):
            if key in hidden:
                values[line] = np.nan
        self._handle.data = (shown + shift_s, *np.ascontiguousarray(values))

    def mark(self, hidden: AbstractSet[str]) -> None:
        """Show above the plot which lines are left out."""
        self._legend.content = legend(self._title, self._named, self.keys, hidden)


class Plots:
    """The panel of tabs. What is not seen by anybody is not drawn: tabs behind others, pages behind others."""

    def __init__(self, server: GuardedServer, feed: Feed, pause: Pause | None = None) -> None:
        gui, spec = server.gui, feed.spec
        self._server, self._feed, self._spec, self._pause = server, feed, spec, pause
        self.rows = round(SHOWN_S * spec.control_hz)
        self.time_s = feed.history.time_s[-self.rows :][::EVERY]
        self._hidden: set[str] = set()
        self._seen: dict[int, str] = {}
        """Viewer to the tab that it sees."""
        self._drawn: Any = None
        self._note = gui.add_html("")
        self._noted = ""
        self.panel = gui.add_panel()
        everyone = [f"joint_{i}" for i in range(spec.num_joints)]
        with self.panel.add_tab("Joints"):
            self._joints = [self._joint_plot(gui, title, rows) for title, rows in joint_groups(spec)]
            everywhere = [{"stroke": LINES[i % len(LINES)] + "cc"} for i in range(spec.num_joints)]
            self._error = self._plot(
                gui, "target − position, every joint, rad", (), (-0.5, 0.5), everywhere, keys=everyone
            )
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
                (0.0, 22.0), shape=SHAPE / 2.5, keys=[f"tick_{i}" for i in range(4)],
            )  # fmt: skip
            self._stages = gui.add_html("")
        self._names = feature_names(spec)
        self._told, server.on_told = server.on_told, self._hear
        server.on_client_disconnect(self._forget)

    def _forget(self, client: viser.ClientHandle) -> None:
        self._seen.pop(client.client_id, None)

    @property
    def _all(self) -> list[Plot]:
        return [
            *(plot for plot, _ in self._joints), self._error, self._gyro, self._acceleration, self._tilt,
            self._heading, self._contacts, self._speed, self._height, self._turning, self._tick,
        ]  # fmt: skip

    def _plot(
        self, gui: Any, title: str, names: Sequence[str], y: tuple[float, float], *rest: Any, **more: Any
    ) -> Plot:
        word = "".join(filter(str.isalnum, title.partition(",")[0]))
        more = {"keys": [f"{word}_{i}" for i in range(len(names))]} | more
        return Plot(gui, title, list(names), self.time_s, y, *rest, **more)

    def _joint_plot(self, gui: Any, title: str, rows: list[int]) -> tuple[Plot, list[int]]:
        names = [self._spec.joint_names[row].removeprefix("left_").removeprefix("right_") for row in rows]
        styles: list[dict[str, Any]] = [{"stroke": LINES[i]} for i in range(len(rows))]
        styles += [{"stroke": LINES[i] + "bb", "dash": [4, 3]} for i in range(len(rows))]
        if len(rows) == 1:
            styles = [{"stroke": ESTIMATED_LINE}, {"stroke": ASKED_LINE, "dash": [6, 4]}]
        home = self._spec.default_joint_pos[rows]
        span = (-0.3, 0.3) if len(rows) == 1 else (float(home.min()) - 0.85, float(home.max()) + 0.85)
        keys = 2 * [f"joint_{row}" for row in rows]
        words = [name.replace("_", " ") for name in names]
        return Plot(gui, title, words, self.time_s, span, styles, keys=keys), rows

    # ------------------------------------------------------------------ what is shown

    def toggle(self, key: str) -> None:
        """Hide a line, or show it again."""
        if any(key in plot.keys for plot in self._all):
            self._hide(self._hidden ^ {key})

    def _hide(self, hidden: set[str]) -> None:
        changed, self._hidden = self._hidden ^ hidden, hidden
        for plot in self._all:
            if changed & set(plot.keys):
                plot.mark(hidden)

    def _hear(self, viewer: int, what: str, word: str) -> None:
        """What a viewer's page says: the line that was clicked, the tab that is seen."""
        if what == "line":
            self.toggle(word)
        elif what == "tab":
            self._seen[viewer] = word
        else:
            self._told(viewer, what, word)

    def _tabs(self) -> set[str]:
        """That somebody sees; a page that has not said which one sees all."""
        seen = [self._seen.get(viewer, "all") for viewer in self._server.get_clients()]
        return set(TABS) if "all" in seen else set(seen)

    def sees(self, tab: str) -> bool:
        """Somebody has this tab in front."""
        return tab in self._tabs()

    def held(self) -> tuple[History | None, int]:
        """The history that is held, None while plots are live, and how many rows before its end they end."""
        pause = self._pause
        if pause is None or pause.history is None:
            return None, 0
        return pause.history, pause.before

    # ------------------------------------------------------------------ drawing

    def draw(self) -> None:
        """What moves with every tick."""
        feed, tabs = self._feed, self._tabs()
        held, before = self.held()
        drawn = (tabs, self._hidden, before, feed.frames if held is None else id(held), id(feed.history))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        with feed.lock:
            history = held or feed.history
            part = {
                name: history.part(name, self.rows, before, EVERY)
                for tab, names in PARTS.items()
                if tab in tabs
                for name in names
            }
        shift_s = -before * self._spec.control_dt
        lines: list[tuple[Plot, Array]] = []
        if "Joints" in tabs:
            position, target = part["joint_position"], part["joint_target"]
            for plot, rows in self._joints:
                lines.append((plot, np.concatenate([position[:, rows], target[:, rows]], axis=1)))
            lines.append((self._error, target - position))
        if "IMU" in tabs:
            for plot, name in (
                (self._gyro, "gyro"), (self._acceleration, "acceleration"), (self._tilt, "tilt"),
                (self._heading, "heading"),
            ):  # fmt: skip
                lines.append((plot, part[name]))
        if "Contacts" in tabs:
            feet = part["contact"].shape[1]
            lines.append((self._contacts, 0.8 * part["contact"] + np.arange(feet)[::-1]))
            for column, plot in enumerate((self._speed, self._turning)):
                asked_found = [part["command"][:, column], part["velocity"][:, column]]
                lines.append((plot, np.stack(asked_found, axis=1)))
            lines.append((self._height, part["height"]))
        for plot, values in lines:
            plot.draw(values, self._hidden, shift_s)

    def draw_slow(self) -> None:
        """Tables, and what comes once a second; and whether what is shown is live."""
        feed = self._feed
        with feed.lock:
            policy, health = feed.latest.get("policy_state"), feed.latest.get("robot_health")
            ticks, silent = list(feed.tick_history), feed.silent
        note = self._pause.note if self._pause is not None else ""
        self._show_note(note or ("SILENT: this is its last word" if silent else ""))
        if note:
            return
        if silent:  # old numbers would pass for those of now
            self._features.content = self._stages.content = STALE
            return
        tabs = self._tabs()
        if policy is not None and "Features" in tabs:
            self._features.content = feature_bars(self._names, policy.features)
        if "Timing" in tabs:
            values = np.full((60, 4), np.nan)
            if ticks:
                values[-len(ticks) :] = ticks
            self._tick.draw(values, self._hidden)
            if health is not None:
                self._stages.content = stage_table(health)

    def _show_note(self, note: str) -> None:
        """Over every plot, and everything in the tabs gray; with an empty note, neither."""
        if note == self._noted:
            return
        self._noted = note
        self._note.content = f"<style>{NOTE.replace('NOTE', note)}</style>" if note else ""


TABS = ("Joints", "IMU", "Contacts", "Features", "Timing", "Servos")
NOTE = """.u-wrap::after,.wr.features::before,.wr.stages::before{content:"NOTE";font:600 12px/1.5 system-ui,sans-serif;
color:var(--fair)}.u-wrap::after{position:absolute;left:46px;top:9px;padding:0 6px;background:var(--panel);
pointer-events:none;white-space:nowrap}.uplot canvas{filter:grayscale(1) brightness(.75)}
.wr.features table,.wr.stages table{filter:grayscale(1)}
"""


def legend(
    title: str, lines: Sequence[tuple[str, str]], keys: Sequence[str], hidden: AbstractSet[str]
) -> str:
    """What a plot shows, and the name and color of each of its lines: a button that hides it."""
    text = ""
    for i, (name, stroke) in enumerate(lines):
        shown = f"<span class=key style='color:{stroke}'>■</span> {escape(name)}"
        if keys:
            off = keys[i] in hidden
            text += (
                f"<button type=button aria-pressed={str(not off).lower()} title='show or hide' "
                f"onclick=\"fetch('/told/0/line/{keys[i]}')\">{shown}</button>"
            )
        else:
            text += f"<span>{shown}</span>"
    return f"<div class='wr plot'><b>{escape(title)}</b>{text}</div>"


PARTS = {
    "Joints": ("joint_position", "joint_target"),
    "IMU": ("gyro", "acceleration", "tilt", "heading"),
    "Contacts": ("contact", "command", "velocity", "height"),
}
"""Parts of the history that a tab shows."""


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
