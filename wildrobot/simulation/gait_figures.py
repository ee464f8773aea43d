"""Figures of walking from tick to tick: heading and speed, how high the feet swing, how far the heading drifts.

Of many simulated robots, and of the one that a run drives: without MuJoCo, which a robot's own computer has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import heading_split, quat_to_matrix, rotate_heading, wrap_angle
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.legs import SIDES
from wildrobot.signal_path.estimator import Estimate

if TYPE_CHECKING:
    from wildrobot.simulation.simulation import Truth

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FOOT_DOWN_N = 1.0
"""A sole switch under less than this is off the floor."""
MIN_SWING_TICKS = 3
"""Shorter ones are a foot that twitches, and no swing."""


def heading_and_speed(truth: Truth) -> tuple[Array, Array]:
    """Yaw of the pelvis (N,) rad, world, and its velocity (N, 3) m/s in the heading frame."""
    heading, _ = heading_split(quat_to_matrix(truth.pelvis_quaternion))
    return heading, rotate_heading(heading, truth.pelvis_linear_velocity, inverse=True)


class SwingFigures:
    """Swings of the left and the right foot, (N, 2): how many, and how high the sole's lower point went."""

    def __init__(self, rows: int) -> None:
        self.count = np.zeros((rows, 2), dtype=np.int64)
        """Swings seen from lift-off to touchdown."""
        self.height_sum = np.zeros((rows, 2))
        """m, sum over swings of the largest height of the foot's lower sole point."""
        self._ticks = np.full((rows, 2), -1)  # a swing whose beginning was not seen does not count
        self._peak = np.zeros((rows, 2))

    def update(self, down: Mask, height: Array, active: Mask | bool = True) -> None:
        """One tick: feet on the floor and heights of their lower sole points (N, 2), rows that count."""
        ticks = self._ticks
        done = down & (ticks >= MIN_SWING_TICKS) & np.asarray(active)[..., None]
        self.count += done
        self.height_sum += np.where(done, self._peak, 0.0)
        aloft = ~down & (ticks >= 0)
        self._peak = np.where(aloft, np.maximum(self._peak, height), 0.0)
        self._ticks = np.where(down, 0, np.where(aloft, ticks + 1, ticks))

    def take(self, spec: RobotSpec, truth: Truth, active: Mask | bool = True) -> None:
        """`update` from the simulator's truth."""
        pads = spec.foot_pads
        down: Mask = np.any(truth.foot_force[:, pads] > FOOT_DOWN_N, axis=-1)
        self.update(down, truth.foot_position[:, pads, 2].min(axis=-1), active)

    def restart(self) -> None:
        """What comes next does not follow from what came last."""
        self._ticks[:], self._peak[:] = -1, 0.0


class HeadingDrift:
    """How far rows (N,) have turned from the heading asked for, rad, counted over full turns."""

    def __init__(self, rows: int) -> None:
        self.drift = np.zeros(rows)
        self.largest = np.zeros(rows)
        self._yaw: Array | None = None

    def update(self, yaw: Array, turned: Array | float = 0.0, active: Mask | bool = True) -> None:
        """One tick: heading `yaw` (N,) rad, and by how much the command `turned` it since the last one."""
        if self._yaw is not None:
            self.drift = self.drift + np.where(active, wrap_angle(yaw - self._yaw) - turned, 0.0)
            self.largest = np.maximum(self.largest, np.abs(self.drift))
        self._yaw = np.asarray(yaw, dtype=np.float64)

    def restart(self) -> None:
        """Go on from the next heading as if it were the last one."""
        self._yaw = None


class WalkFigures:
    """Collects while the robot walks: from a simulator's truth where there is one, else from the estimate."""

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        self._swings = SwingFigures(1)
        self._heading = HeadingDrift(1)
        self.from_truth = False
        self.ticks = 0
        self.falls = 0
        self._speed = self._asked_speed = self._style = 0.0
        self._style_ticks = 0

    def pause(self) -> None:
        """The robot is not walking on this tick."""
        self._heading.restart()
        self._swings.restart()

    def walking(
        self,
        command: Array,
        estimate: Estimate,
        truth: Truth | None,
        style: float = float("nan"),
    ) -> None:
        """One tick of walking under the user's `command` (2,): speed, turning, swings and style are taken up."""
        self.from_truth = truth is not None
        if truth is None:
            yaw, velocity = np.asarray(estimate.yaw), estimate.linear_velocity
        else:
            yaw, velocity = heading_and_speed(truth)
            self._swings.take(self._spec, truth)
        self._heading.update(yaw, float(command[1]) * self._spec.control_dt)
        self._speed += float(velocity[0, 0])
        self._asked_speed += float(command[0])
        if np.isfinite(style):
            self._style += style
            self._style_ticks += 1
        self.ticks += 1

    def summary(self) -> dict[str, Any]:
        """Plain data in SI units; None where nothing was measured."""
        walked = max(self.ticks, 1)
        figures = zip(self._swings.count[0], self._swings.height_sum[0], strict=True)
        swings = dict(zip(SIDES, figures, strict=True))
        return {
            "walked_s": self.ticks * self._spec.control_dt,
            "commanded_speed_m_s": self._asked_speed / walked if self.ticks else None,
            "mean_speed_m_s": self._speed / walked if self.ticks else None,
            "heading_drift_rad": float(self._heading.drift[0]),
            "heading_drift_max_rad": float(self._heading.largest[0]),
            "style_score": self._style / self._style_ticks if self._style_ticks else None,
            "falls": self.falls,
            "measured_by": "simulator" if self.from_truth else "estimator",
            "swings": {side: int(count) for side, (count, _) in swings.items()},
            "swing_clearance_m": {
                side: float(total / count) if count else None for side, (count, total) in swings.items()
            },
        }
