"""The last seconds of everything that is plotted, one row a tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec

SECONDS = 6.0


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

    def part(self, name: str) -> NDArray[np.float64]:
        """(rows, width), oldest first."""
        data = self._data[:, self._slices[name]]
        return np.concatenate([data[self._next :], data[: self._next]])
