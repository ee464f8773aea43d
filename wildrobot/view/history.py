"""The last minute of everything that is plotted or drawn, one row a tick."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec

SECONDS = 60.0
"""That are kept."""
SHOWN_S = 6.0
"""That a plot shows at once."""


def columns(spec: RobotSpec) -> dict[str, int]:
    """Names and widths of a row's parts, in order."""
    return {
        "joint_position": spec.num_joints,
        "joint_target": spec.num_joints,
        "gyro": 3,
        "acceleration": 3,
        "contact": spec.num_feet,
        "velocity": 2,  # m/s forward, rad/s left: estimated
        "command": 2,  # the same: what the person asked for
        "height": 1,
        "tilt": 2,  # rad, to the right and forward
        "heading": 1,  # rad, positive left
        "side_velocity": 1,  # m/s left: estimated
        "position": 3,  # m: of the pelvis in the page's world
        "rotation": 9,  # world <- pelvis, row after row
        "airborne": 1,  # 1: nothing measures the height
    }


class History:
    """A ring of rows of the parts in `columns`; what has not come yet is NaN.

    oldest                      newest
    [ . . . . . ] [ . . . . . ] [ . . . . . ]      (rows, width), read in this order by `part`
    """

    def __init__(self, spec: RobotSpec, seconds: float = SECONDS) -> None:
        self.rows = round(seconds * spec.control_hz)
        widths = columns(spec)
        ends = np.cumsum(list(widths.values()))
        self._slices = {
            name: slice(int(end - width), int(end))
            for (name, width), end in zip(widths.items(), ends, strict=True)
        }
        self._data = np.full((self.rows, int(ends[-1])), np.nan)
        self._next = 0
        self.time_s = np.asarray((np.arange(self.rows) - self.rows + 1) * spec.control_dt, dtype=np.float64)
        """(rows,) s before now, as every part has it."""

    def append(self, **parts: object) -> None:
        """One tick's values, by part; a part that is left out is NaN."""
        row = self._data[self._next]
        row[:] = np.nan
        for name, values in parts.items():
            row[self._slices[name]] = values
        self._next = (self._next + 1) % self.rows

    def part(
        self, name: str, rows: int | None = None, before: int = 0, every: int = 1
    ) -> NDArray[np.float64]:
        """(rows, width), oldest first.

        Args:
            name: of the part.
            rows: how many; None: all.
            before: how many ticks before the newest row the last one lies; what is older than the ring is NaN.
            every: take every so manieth row, the last one among them only if `rows` is a multiple of it plus one.
        """
        rows = self.rows if rows is None else rows
        ages = np.arange(rows - 1, -1, -1)[::every] + before
        picked = self._data[(self._next - 1 - ages) % self.rows, self._slices[name]]
        picked[ages >= self.rows] = np.nan
        return np.asarray(picked)

    def frozen(self) -> History:
        """A copy that stays as it is."""
        other = copy.copy(self)
        other._data = self._data.copy()
        return other
