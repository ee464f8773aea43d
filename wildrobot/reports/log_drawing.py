"""Charts of a log: the whole time, and a few seconds in full detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.reports.elements.bars import bars
from wildrobot.reports.elements.charts import Series, line_chart, side_by_side
from wildrobot.reports.elements.html_tables import table
from wildrobot.runtime.logs.columns import Columns
from wildrobot.runtime.logs.decoding import ElementNames
from wildrobot.runtime.logs.playback import Recording, joint_figures

Array = NDArray[np.float64]

LINES = 4
"""In a chart: colours that it tells apart."""
LEAST_TICKS = 100
"""To say how a joint follows."""
TIME = "time (s)"
NOT_BELOW_0 = (0.0, None)
FIELDS = {
    "robot_state": (
        "tick", "joint_position", "joint_velocity", "imu_angular_velocity", "imu_acceleration", "foot_contact",
    ),
    "robot_command": ("tick", "joint_target_applied", "user_command", "torque_gain"),
    "policy_state": (
        "command", "linear_velocity", "projected_gravity", "yaw", "height", "features", "action", "style_score",
    ),
    "robot_health": (
        "tick_p50_ms", "tick_p99_ms", "tick_max_ms", "lateness_max_ms", "missed_ticks", "stage_p99_ms",
        "current_a", "temperature_c", "voltage_v",
    ),
}  # fmt: skip
"""What the charts need, by channel."""
FEATURES = {
    "velocity_direction": "Direction of the pelvis's velocity, heading frame",
    "angular_velocity": "Angular velocity of the pelvis, heading frame (rad/s)",
    "pelvis_height": "Pelvis height (m)",
}


class Window:
    """The rows of some columns that lie between two times."""

    def __init__(self, columns: Columns, begin_s: float, end_s: float) -> None:
        time = columns.time_s
        self._columns, self._keep = columns, (time >= begin_s) & (time <= end_s)
        self.time_s = time[self._keep]

    def __getitem__(self, name: str) -> Array:
        return self._columns[name][self._keep]


class Drawing:
    """The charts of one log."""

    def __init__(
        self,
        data: dict[str, Columns],
        names: ElementNames,
        begin_s: float,
        end_s: float,
        joint_limits: Mapping[str, tuple[float, float]],
    ) -> None:
        self._data, self._names, self._begin, self._end = data, names, begin_s, end_s
        self._joint_limits = joint_limits

    def detail(self, channel: str) -> Window:
        """What lies in the detail."""
        return Window(self._data[channel], self._begin, self._end)

    def walking(self) -> str:
        """Speed, turning, height and style over the whole time."""
        data = self._data["policy_state"]
        if len(data) == 0:
            return ""
        time, command, velocity = data.time_s, data["command"], data["linear_velocity"]
        rates = data["features"][:, self._feature("angular_velocity/z")]
        tilt = np.degrees(np.arccos(np.clip(-data["projected_gravity"][:, 2], -1.0, 1.0)))
        return side_by_side(
            [
                line_chart(
                    "Forward velocity (m/s)",
                    time,
                    [Series("asked", command[:, 0], asked=True), Series("estimated", velocity[:, 0])],
                    TIME,
                ),
                line_chart(
                    "Turning rate (rad/s)",
                    time,
                    [Series("asked", command[:, 1], asked=True), *(Series("measured", r) for r in rates.T)],
                    TIME,
                ),
                line_chart("Heading, unwrapped (rad)", time, [Series("", np.unwrap(data["yaw"]))], TIME),
                line_chart(
                    "Pelvis height, estimated (m)",
                    time,
                    [Series("", data["height"])],
                    TIME,
                    within=NOT_BELOW_0,
                ),
                line_chart("Tilt of the pelvis (degrees)", time, [Series("", tilt)], TIME, NOT_BELOW_0),
                line_chart("Style score", time, [Series("", data["style_score"])], TIME, (0.0, 1.0)),
            ]
        )

    def timing(self, stages: Sequence[str]) -> str:
        """What the loop took, once a second."""
        data = self._data["robot_health"]
        if len(data) == 0:
            return ""
        time = data.time_s
        by_stage = data["stage_p99_ms"]
        longest = np.argsort(-by_stage.mean(axis=0))[:LINES]
        work = [Series(label, data[f"tick_{label}_ms"]) for label in ("p50", "p99", "max")]
        return side_by_side(
            [
                line_chart("Work per tick, over a second (ms)", time, work, TIME, NOT_BELOW_0),
                line_chart(
                    "Longest stages, p99 (ms)",
                    time,
                    [Series(stages[i], by_stage[:, i]) for i in longest],
                    TIME,
                    NOT_BELOW_0,
                ),
                line_chart(
                    "Woken late, at most (ms)", time, [Series("", data["lateness_max_ms"])], TIME, NOT_BELOW_0
                ),
                line_chart(
                    "Missed ticks since the start",
                    time,
                    [Series("", data["missed_ticks"])],
                    TIME,
                    NOT_BELOW_0,
                ),
            ]
        )

    def servos(self) -> str:
        """Current, temperature and voltage, where they were measured: the joint furthest out, and the mean."""
        data = self._data["robot_health"]
        charts = []
        for field, title, worst in (
            ("current_a", "Current (A)", np.nanmax),
            ("temperature_c", "Temperature (°C)", np.nanmax),
            ("voltage_v", "Voltage (V)", np.nanmin),
        ):
            values = np.abs(data[field]) if len(data) else np.zeros((0, 1))
            measured = np.isfinite(values).any(axis=1)
            if measured.any():
                lines = [
                    Series("furthest out", worst(values[measured], axis=1)),
                    Series("mean", np.nanmean(values[measured], axis=1)),
                ]
                charts.append(line_chart(title, data.time_s[measured], lines, TIME, within=NOT_BELOW_0))
        return side_by_side(charts)

    def following(self) -> str:
        """Error, delay and noise of every joint while the servos had their full stiffness."""
        state, command = self._data["robot_state"], self._data["robot_command"]
        _, mine, theirs = np.intersect1d(state["tick"], command["tick"], return_indices=True)
        stiff = command["torque_gain"][theirs] >= 1.0
        mine, theirs = mine[stiff], theirs[stiff]
        if len(mine) < LEAST_TICKS:
            return ""
        time = state.time_s[mine]
        recording = Recording(
            time,
            command["joint_target_applied"][theirs],
            state["joint_position"][mine],
            state["joint_velocity"][mine],
        )
        names = self._names("joint_position", recording.position.shape[1])
        rows: list[dict[str, Any]] = []
        for figures in joint_figures(names, float(np.median(np.diff(time))), recording):
            rows.append(
                {
                    "joint": figures.joint,
                    "error rms (rad)": figures.error_rms_rad,
                    "delay (ms)": None if np.isnan(figures.delay_ms) else figures.delay_ms,
                    "velocity noise (rad/s)": figures.velocity_noise_rad_s,
                }
            )
        return table(rows)

    def joints(self) -> str:
        """A chart for each joint: what it was given, and where it was."""
        state, command = self.detail("robot_state"), self.detail("robot_command")
        position, target = state["joint_position"], command["joint_target_applied"]
        charts = []
        for j, name in enumerate(self._names("joint_position", position.shape[1])):
            lines = [Series("measured", position[:, j])]
            if command.time_s.size:
                lines.insert(0, Series("target", target[:, j], x=command.time_s, asked=True))
            charts.append(line_chart(name, state.time_s, lines, TIME, limits=self._joint_limits.get(name)))
        return side_by_side(charts)

    def by_joint(self, channel: str, field: str) -> str:
        """Values of all joints, a few in a chart."""
        data = self.detail(channel)
        if data.time_s.size == 0:
            return ""
        values = data[field]
        names = self._names(field, values.shape[1])
        sides = [[i for i, n in enumerate(names) if n.startswith(side)] for side in ("left", "right")]
        rest = [i for i in range(len(names)) if not any(i in side for side in sides)]
        charts = []
        for title, members in (("Left leg", sides[0]), ("Right leg", sides[1]), ("Other joints", rest)):
            for first in range(0, len(members), LINES):
                lines = [Series(names[i], values[:, i]) for i in members[first : first + LINES]]
                charts.append(line_chart(title, data.time_s, lines, TIME))
        return side_by_side(charts)

    def imu(self) -> str:
        """Rates and acceleration in the IMU's frame, gravity in the pelvis's."""
        state, policy = self.detail("robot_state"), self.detail("policy_state")
        charts = [
            self._axes("Angular velocity, IMU frame (rad/s)", state, "imu_angular_velocity"),
            self._axes("Specific force, IMU frame (m/s²)", state, "imu_acceleration"),
        ]
        if policy.time_s.size:
            charts.append(self._axes("Direction of gravity, pelvis frame", policy, "projected_gravity"))
        return side_by_side(charts)

    def contacts(self) -> str:
        """A row for each foot switch."""
        state = self.detail("robot_state")
        contact = state["foot_contact"] > 0.5
        rows = {
            name: _stretches(state.time_s, contact[:, i])
            for i, name in enumerate(self._names("foot_contact", contact.shape[1]))
        }
        return bars(rows, (self._begin, self._end), TIME)

    def features(self) -> str:
        """Those that are neither a joint's nor a contact."""
        data = self.detail("policy_state")
        if data.time_s.size == 0:
            return ""
        values = data["features"]
        names = self._names("features", values.shape[1])
        groups: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            group = name.split("/")[0]
            if group not in ("joint_position", "joint_velocity", "contact"):
                groups.setdefault(group, []).append(i)
        charts = []
        for group, members in groups.items():
            for first in range(0, len(members), LINES):
                lines = [
                    Series(names[i].partition("/")[2], values[:, i]) for i in members[first : first + LINES]
                ]
                charts.append(line_chart(FEATURES.get(group, group), data.time_s, lines, TIME))
        return side_by_side(charts)

    def _axes(self, title: str, data: Window, field: str) -> str:
        values = data[field]
        lines = [Series(name, values[:, i]) for i, name in enumerate(self._names(field, values.shape[1]))]
        return line_chart(title, data.time_s, lines, TIME)

    def _feature(self, name: str) -> list[int]:
        names = self._names("features", self._data["policy_state"]["features"].shape[1])
        return [i for i, own in enumerate(names) if own == name]


def _stretches(time: Array, on: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Where `on` (T,) is true: (begin, end) in `time`, the end at the next sample."""
    padded = np.concatenate([[False], on, [False]])
    begins, ends = np.flatnonzero(padded[1:] & ~padded[:-1]), np.flatnonzero(~padded[1:] & padded[:-1])
    last = len(time) - 1
    return [(float(time[a]), float(time[min(int(b), last)])) for a, b in zip(begins, ends, strict=True)]
