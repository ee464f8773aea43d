"""Figures of a batch of episodes at one commanded speed, from the simulator's truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.gait_figures import (
    FOOT_DOWN_N,
    HeadingDrift,
    SwingFigures,
    heading_and_speed,
)
from wildrobot.simulation.simulation import Truth, fallen

Array = NDArray[np.float64]
YAW_WINDOW_S = 10.0


def electrical_power(spec: RobotSpec, truth: Truth) -> Array:
    """Power (N,) W that the servos draw from the supply.

    A servo at the share u of its nominal voltage V0 that turns at w carries I0 (u - w / w0), with stall current I0
    and no-load speed w0 of the maker's table (a DC motor's current falls with its back-EMF), and draws u V0 times that;
    what a driven servo gives back is not counted, for the supply need not take it. `truth.torque` / stall torque is u.
    """
    servos = spec.servos
    volts = np.array([servo.nominal_voltage_v for servo in servos])
    amperes = np.array([servo.stall_current_a for servo in servos])
    share = truth.torque / spec.stall_torque
    speed = truth.joint_velocity / np.array([servo.no_load_speed_rad_s for servo in servos])
    power: Array = np.sum(np.maximum(volts * share * amperes * (share - speed), 0.0), axis=-1)
    return power


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
        self._energy = np.zeros(episodes)
        self._saturated = np.zeros(episodes)
        self._ticks = 0
        self._window = round(YAW_WINDOW_S * spec.control_hz)
        self._turned = np.zeros(episodes)
        self._turns = np.zeros(episodes)
        self._turn_count = np.zeros(episodes)
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
        self._ticks = 0
        self._turned = np.zeros(len(yaw))

    def step(self, truth: Truth, measuring: bool) -> None:
        """One tick's truth, taken after the step."""
        self.alive &= ~fallen(self.spec, truth)
        yaw, velocity = heading_and_speed(truth)
        self._heading.update(yaw, active=self.alive)
        self._ticks += 1
        if self._ticks % self._window == 0:
            self._turns += np.where(self.alive, np.abs(self._heading.drift - self._turned), 0.0)
            self._turn_count += self.alive
            self._turned = self._heading.drift.copy()
        down = truth.foot_force > FOOT_DOWN_N
        place = truth.pelvis_position[:, :2]
        if measuring:
            alive = self.alive
            self.measured += alive
            self._origin = place.copy() if self._origin is None else self._origin
            self._position = np.where(alive[:, None], place, self._position)
            self._speed += np.where(alive, velocity[:, 0], 0.0)
            self._energy += np.where(alive, electrical_power(self.spec, truth) * self.spec.control_dt, 0.0)
            self._saturated += np.where(alive, np.mean(truth.saturated, axis=-1), 0.0)
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

    def episodes(self) -> dict[str, Array]:
        """Figures (N,) of every episode; NaN where too little was measured before the fall."""
        ticks = np.maximum(self.measured, 1)
        seconds = ticks * self.spec.control_dt
        speed = self._speed / ticks
        start = self._position if self._origin is None else self._origin
        way = self._position - start
        across = np.sum(way * np.stack([-self._forward[:, 1], self._forward[:, 0]], axis=-1), axis=-1)
        along = np.abs(np.sum(way * self._forward, axis=-1))
        figures = {
            "mean_speed_m_s": speed,
            "speed_error_m_s": np.abs(speed - self.command),
            "lateral_drift_m_s": np.abs(across / seconds),
            "yaw_drift_rad": self._heading.largest,
            "saturation": self._saturated / ticks,
            "power_w": self._energy / seconds,
            "energy_j_per_m": np.where(along > 0.5, self._energy / np.maximum(along, 0.5), np.nan),
            "moved_cm": 100.0 * np.linalg.norm(way, axis=-1),
        }
        enough = self.measured >= self._enough
        result = {name: np.where(enough, values, np.nan) for name, values in figures.items()}
        with np.errstate(invalid="ignore"):
            turns = self._turns / self._turn_count
        return result | {"survival": self.alive.astype(np.float64), "yaw_drift_rad_per_10_s": turns}

    def summary(self) -> dict[str, Any]:
        """One row of the table: plain data, None where nothing was measured."""
        each, total = self.episodes(), int(self.measured.sum())
        count, height = self._swings.count.sum(axis=0), self._swings.height_sum.sum(axis=0)
        clearance = [_share(1000.0 * height[side], count[side]) for side in range(2)]
        drift = each["yaw_drift_rad"][np.isfinite(each["yaw_drift_rad"])]
        energy = _mean(each["energy_j_per_m"]) if self.command else None
        return {
            "command_m_s": self.command,
            "survival": float(np.mean(self.alive)),
            "mean_speed_m_s": _mean(each["mean_speed_m_s"]),
            "speed_error_m_s": _mean(each["speed_error_m_s"]),
            "lateral_drift_m_s": _mean(each["lateral_drift_m_s"]),
            "yaw_drift_rad": _mean(drift),
            "yaw_drift_worst_rad": float(np.max(drift)) if len(drift) else None,
            "yaw_drift_rad_per_10_s": _mean(each["yaw_drift_rad_per_10_s"]),
            "saturation": _share(float(np.sum(self._saturated)), total),
            "power_w": _share(float(np.sum(self._energy)), total * self.spec.control_dt),
            "energy_j_per_m": energy,
            "cost_of_transport": energy / (self.spec.total_mass * GRAVITY_M_S2) if energy else None,
            "foot_slip_m_s": _share(self._slip, self._slip_ticks),
            "clearance_left_mm": clearance[0],
            "clearance_right_mm": clearance[1],
            "steps_per_s": _share(float(count.sum()), total * self.spec.control_dt),
            "style_score": _share(self._style, self._style_ticks),
        }


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.mean(known)) if len(known) else None


def _share(total: float, count: float) -> float | None:
    return float(total / count) if count else None
