"""The figures of one run: how far and how straight it walked, how high the feet went, whether it fell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.legs import SIDES
from wildrobot.signal_path.estimator import Estimate
from wildrobot.simulation.gait_figures import HeadingDrift, SwingFigures, heading_and_speed

if TYPE_CHECKING:
    from wildrobot.simulation.simulation import Truth  # MuJoCo is there for `sim` only


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
        command: NDArray[np.float64],
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
