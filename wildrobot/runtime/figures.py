"""The figures of one run: how far and how straight it walked, how high the feet went, whether it fell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.estimator import Estimate
from wildrobot.runtime.rotations import heading_split, quat_to_matrix, rotate_heading, wrap_angle

FOOT_DOWN_N = 1.0
MIN_SWING_TICKS = 3


@dataclass
class _Swing:
    """One foot's swings: peak of the sole's lower point, from the tick it lifts until the tick it lands."""

    ticks: int = -1
    peak: float = 0.0
    clearances: list[float] = field(default_factory=list)

    def update(self, down: bool, height: float) -> None:
        if down:
            if self.ticks >= MIN_SWING_TICKS:
                self.clearances.append(self.peak)
            self.ticks, self.peak = 0, 0.0
        elif self.ticks >= 0:  # a swing whose beginning was not seen does not count
            self.ticks, self.peak = self.ticks + 1, max(self.peak, height)

    def restart(self) -> None:
        self.ticks, self.peak = -1, 0.0


class WalkFigures:
    """Collects while the robot walks: from a simulator's truth where there is one, else from the estimate."""

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        self._swings = {"left": _Swing(), "right": _Swing()}
        self.from_truth = False
        self.ticks = 0
        self.falls = 0
        self._speed = self._asked_speed = 0.0
        self._yaw: float | None = None
        self.heading_drift = self.heading_drift_max = 0.0

    def pause(self) -> None:
        """The robot is not walking on this tick."""
        self._yaw = None
        for swing in self._swings.values():
            swing.restart()

    def walking(self, command: Any, estimate: Estimate, truth: Any | None) -> None:
        """One tick of walking under the user's `command` (2,): speed, turning and swings are taken up."""
        self.from_truth = truth is not None
        if truth is None:
            yaw, speed = float(estimate.yaw[0]), float(estimate.linear_velocity[0, 0])
        else:
            heading, _ = heading_split(quat_to_matrix(truth.pelvis_quaternion))
            yaw = float(heading[0])
            speed = float(rotate_heading(heading, truth.pelvis_linear_velocity, inverse=True)[0, 0])
            self._take_swings(truth)
        if self._yaw is not None:
            turned = float(wrap_angle(np.float64(yaw - self._yaw)))
            self.heading_drift += turned - float(command[1]) * self._spec.control_dt
            self.heading_drift_max = max(self.heading_drift_max, abs(self.heading_drift))
        self._yaw = yaw
        self._speed += speed
        self._asked_speed += float(command[0])
        self.ticks += 1

    def _take_swings(self, truth: Any) -> None:
        for side, swing in self._swings.items():
            pads = [i for i, name in enumerate(self._spec.foot_names) if name.startswith(side)]
            down = bool(np.any(truth.foot_force[0, pads] > FOOT_DOWN_N))
            swing.update(down, float(np.min(truth.foot_position[0, pads, 2])))

    def summary(self) -> dict[str, Any]:
        """Plain data in SI units; None where nothing was measured."""
        walked = max(self.ticks, 1)
        swings = {side: swing.clearances for side, swing in self._swings.items()}
        return {
            "walked_s": self.ticks * self._spec.control_dt,
            "commanded_speed_m_s": self._asked_speed / walked if self.ticks else None,
            "mean_speed_m_s": self._speed / walked if self.ticks else None,
            "heading_drift_rad": self.heading_drift,
            "heading_drift_max_rad": self.heading_drift_max,
            "falls": self.falls,
            "measured_by": "simulator" if self.from_truth else "estimator",
            "swings": {side: len(values) for side, values in swings.items()},
            "swing_clearance_m": {
                side: float(np.mean(values)) if values else None for side, values in swings.items()
            },
        }


def print_figures(figures: dict[str, Any]) -> None:
    """The final figures for a person."""

    def shown(value: float | None, unit: str, scale: float = 1.0, digits: int = 3) -> str:
        return "not measured" if value is None else f"{value * scale:.{digits}f} {unit}"

    tick = figures["tick"]
    rows = [
        ("time walked", shown(figures["walked_s"], "s", digits=2)),
        ("mean speed", shown(figures["mean_speed_m_s"], "m/s")),
        ("commanded", shown(figures["commanded_speed_m_s"], "m/s")),
        ("heading drift", shown(figures["heading_drift_rad"], "rad at the end")),
        ("", shown(figures["heading_drift_max_rad"], "rad at most")),
        ("falls", str(figures["falls"])),
        ("stopped by", figures["fault"] or ("a fall" if figures["falls"] else "its command")),
    ]
    if figures["measured_by"] == "simulator":
        for side, clearance in figures["swing_clearance_m"].items():
            count = figures["swings"][side]
            rows.append(
                (f"swing clearance, {side}", f"{shown(clearance, 'mm', 1e3, 1)} (mean of {count} swings)")
            )
    rows += [
        ("work per tick", f"p50 {tick['p50_ms']:.2f}, p99 {tick['p99_ms']:.2f}, max {tick['max_ms']:.2f} ms"),
        ("missed ticks", f"{tick['missed']} of {tick['count']}"),
    ]
    if figures["real_time"]:
        rows.append(("latest wake-up", f"{tick['lateness_max_ms']:.2f} ms after its deadline"))
    if figures["messages_dropped"]:
        rows.append(("messages dropped", str(figures["messages_dropped"])))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"  {name:<{width}}  {value}" for name, value in rows))
