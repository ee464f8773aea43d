"""The safety supervisor: it alone writes to a robot, and only what it has bounded itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.control.guards import GuardReading, Guards
from wildrobot.runtime.robots.base import Health, Robot, RobotView
from wildrobot.signal_path.sensor_frame import SensorFrame

COAST_TICKS = 3
"""Ticks without a fresh sample of every sensor that the policy may bridge; after that the target is held."""


@dataclass(frozen=True)
class Applied:
    """A joint target (1, n) as asked and as given to the servos, and what made the difference."""

    requested: NDArray[np.float64]
    target: NDArray[np.float64]
    limited_by: tuple[str, ...]


class SafetySupervisor:
    """Holds the robot: everybody else reads it through `view`, and asks here for a target.

    On every tick: `check` what was read, `bound` what is wanted, `write` what came of it. This is the one place that
    limits rate and range of what the servos get, and holds their last target. The signal path clips an action to the
    same limits because its policy was trained so and sees what it was given; nothing relies on that here.
    """

    def __init__(self, spec: RobotSpec, robot: Robot) -> None:
        """Take the robot over.

        Raises:
            UserError: the guards' levels make no sense; the robot is closed then.
        """
        try:
            self._guards = Guards(spec)
        except UserError:
            robot.close()
            raise
        self._spec, self._robot = spec, robot
        self.view = RobotView(robot)
        self._step = spec.target_rate_limit * spec.control_dt
        self._target: NDArray[np.float64] | None = None
        self._next: NDArray[np.float64] | None = None
        """What `write` gives the servos."""
        self._let_go_first = False
        self.stiffness = 0.0
        """As last written: 0 limp, 1 full."""

    @property
    def target(self) -> NDArray[np.float64]:
        """(1, n) rad, given to the servos last; the home pose before there was one."""
        return self._spec.default_joint_pos[None] if self._target is None else self._target

    def check(
        self, frame: SensorFrame, health: Health, missed_in_a_row: int, action: NDArray[Any] | None = None
    ) -> tuple[list[GuardReading], list[str]]:
        """Readings of every guard, and the names of those at their stop level; see `Guards.check`."""
        return self._guards.check(frame, health, missed_in_a_row, self.stiffness >= 1.0, self._target, action)

    def reset(self, joint_position: ArrayLike) -> NDArray[np.float64]:
        """Take (1, n) as the target that the next one may differ from by one tick's rate; it, inside the limits.

        Where a joint's position is no number, its last target stays (the home pose, before there was one). That is for
        limp joints, whose target has to follow them: under torque the next `write` lets go.
        """
        position = np.asarray(joint_position, dtype=np.float64)
        known = np.where(np.isfinite(position), position, self.target)
        self._target = self._next = np.clip(known, self._spec.joint_lower, self._spec.joint_upper)
        self._let_go_first = self.stiffness > 0.0
        return self._target

    def bound(self, requested: ArrayLike, blind: bool = False) -> Applied:
        """What the next `write` gives the servos for a requested target (1, n), rad.

        Holds the last target when the request is not finite, or when a sensor has not been heard of for
        more than `COAST_TICKS` (unless `blind`: the request does not follow from what was measured); bounds
        its rate and its range otherwise. `limited_by` is empty if, and only if, the request passed unchanged.
        """
        last = self.reset(requested) if self._target is None else self._target
        requested = np.asarray(requested, dtype=np.float64)
        applied = self._bounded(requested, last, blind)
        self._next = applied.target
        return applied

    def _bounded(self, requested: NDArray[np.float64], last: NDArray[np.float64], blind: bool) -> Applied:
        if not np.isfinite(requested).all():
            return Applied(requested, last, ("not_finite",))
        if self._guards.stale_ticks > COAST_TICKS and not blind:
            same = np.array_equal(requested, last)
            return Applied(requested, last, () if same else ("stale_samples",))
        limited = []
        target = requested.clip(last - self._step, last + self._step)
        if (target != requested).any():
            limited.append("target_rate")
        inside = target.clip(self._spec.joint_lower, self._spec.joint_upper)
        if (inside != target).any():
            limited.append("joint_limits")
        return Applied(requested, inside, tuple(limited))

    def write(self, stiffness: float) -> None:
        """Give the servos what was bounded last, with `stiffness` from 0 (limp) to 1 (full).

        Raises:
            RuntimeError: nothing was bounded yet.
        """
        if self._next is None:
            raise RuntimeError("there is no target yet: call `reset` or `bound` first")
        self.stiffness = 0.0 if self._let_go_first or not stiffness > 0.0 else min(float(stiffness), 1.0)
        self._target, self._let_go_first = self._next, False
        self._robot.set_stiffness(self.stiffness)
        self._robot.write(self._target)

    def close(self) -> None:
        """Torque off, and the robot is released."""
        self._robot.close()
