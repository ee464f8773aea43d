"""Figures of a batch of episodes at one commanded speed, from the simulator's truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.figures import FOOT_DOWN_N, HeadingDrift, SwingFigures, fallen, heading_and_speed
from wildrobot.runtime.simulation import Truth

Array = NDArray[np.float64]


class EpisodeFigures:
    """Rows are episodes. `step` once per control tick; a row stops counting with the tick of its fall.

    The heading counts from the tick `begin` was called, everything else only while measuring.
    """

    def __init__(self, spec: RobotSpec, episodes: int, command: float, min_measured_s: float = 1.0) -> None:
        self.spec, self.command = spec, command
        self.alive = np.ones(episodes, dtype=bool)
        """Has not fallen yet."""
        self.measured = np.zeros(episodes, dtype=np.int64)
        """Ticks measured."""
        self._enough = round(min_measured_s * spec.control_hz)
        self._swings = SwingFigures(episodes)
        self._heading = HeadingDrift(episodes)
        self._forward = np.array([1.0, 0.0]) + np.zeros((episodes, 2))
        self._origin: Array | None = None
        self._position = np.zeros((episodes, 2))
        self._speed = np.zeros(episodes)
        self._saturated = 0.0
        self._slip, self._slip_ticks = 0.0, 0
        self._style, self._style_ticks = 0.0, 0
        self._soles: Array | None = None
        self._down: NDArray[np.bool_] | None = None

    def begin(self, truth: Truth) -> None:
        """The speed is commanded from here: this is the heading to keep, and across it drift is measured."""
        yaw, _ = heading_and_speed(truth)
        self._heading = HeadingDrift(len(yaw))
        self._heading.update(yaw)
        self._forward = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)

    def step(self, truth: Truth, measuring: bool) -> None:
        """One tick's truth, taken after the step."""
        self.alive &= ~fallen(self.spec, truth)
        yaw, velocity = heading_and_speed(truth)
        self._heading.update(yaw, active=self.alive)
        down = truth.foot_force > FOOT_DOWN_N
        place = truth.pelvis_position[:, :2]
        if measuring:
            alive = self.alive
            self.measured += alive
            self._origin = place.copy() if self._origin is None else self._origin
            self._position = np.where(alive[:, None], place, self._position)
            self._speed += np.where(alive, velocity[:, 0], 0.0)
            self._saturated += float(np.sum(truth.saturated[alive]))
            self._swings.take(self.spec, truth, alive)
            if self._soles is not None and self._down is not None:
                moved = np.linalg.norm(truth.foot_position[..., :2] - self._soles[..., :2], axis=-1)
                resting = down & self._down & alive[:, None]
                self._slip += float(np.sum(moved[resting])) / self.spec.control_dt
                self._slip_ticks += int(np.sum(resting))
        self._soles, self._down = truth.foot_position, down

    def add_style(self, score: Array, rows: NDArray[np.bool_]) -> None:
        """Style scores (N,) of this tick's windows, those of `rows` (N,) that have not fallen count."""
        rows = rows & self.alive
        self._style += float(np.sum(score[rows]))
        self._style_ticks += int(np.sum(rows))

    def summary(self) -> dict[str, Any]:
        """One row of the table: plain data, None where nothing was measured."""
        dt, enough = self.spec.control_dt, self.measured >= self._enough
        ticks = np.maximum(self.measured, 1)
        speed = (self._speed / ticks)[enough]
        start = self._position if self._origin is None else self._origin
        across = np.stack([-self._forward[:, 1], self._forward[:, 0]], axis=-1)
        lateral = np.abs(np.sum((self._position - start) * across, axis=-1) / (ticks * dt))[enough]
        drift, total = self._heading.largest[enough], int(self.measured.sum())
        count, height = self._swings.count.sum(axis=0), self._swings.height_sum.sum(axis=0)
        clearance = [_share(1000.0 * height[side], count[side]) for side in range(2)]
        return {
            "command_m_s": self.command,
            "survival": float(np.mean(self.alive)),
            "mean_speed_m_s": _mean(speed),
            "speed_error_m_s": _mean(np.abs(speed - self.command)),
            "lateral_drift_m_s": _mean(lateral),
            "yaw_drift_rad": _mean(drift),
            "yaw_drift_worst_rad": float(np.max(drift)) if len(drift) else None,
            "saturation": _share(self._saturated, total * self.spec.num_joints),
            "foot_slip_m_s": _share(self._slip, self._slip_ticks),
            "clearance_left_mm": clearance[0],
            "clearance_right_mm": clearance[1],
            "steps_per_s": _share(float(count.sum()), total * dt),
            "style_score": _share(self._style, self._style_ticks),
        }


def _mean(values: Array) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _share(total: float, count: float) -> float | None:
    return float(total / count) if count else None
