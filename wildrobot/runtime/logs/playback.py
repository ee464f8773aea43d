"""Joint targets played on a robot that hangs from its stand, and what came back of them, joint by joint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.control.guards import FALL
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.state_machine import blend
from wildrobot.runtime.control.timing import NS_PER_S, Clock, DeadlineClock
from wildrobot.runtime.logs.decoding import read_messages
from wildrobot.runtime.robots.base import RobotOptions, RobotView
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.signal_path.sensor_frame import SensorFrame

Array = NDArray[np.float64]
HOLD_S = 0.5
"""Over which the stiffness rises at the beginning and falls at the end."""
LONGEST_DELAY_TICKS = 12
STILL_RAD = 0.01
"""A joint whose target moves less than this (standard deviation) has no delay to speak of."""


@dataclass
class Recording:
    """What was asked and what was measured, tick by tick: (T, n) rad and rad/s, time (T,) s."""

    time_s: Array
    target: Array
    position: Array
    velocity: Array


@dataclass(frozen=True)
class JointFigures:
    """How one joint followed."""

    joint: str
    error_rms_rad: float
    """Target minus position, both of the same tick."""
    delay_ms: float
    """Shift at which the position is most like the target; NaN for a joint that hardly moved."""
    velocity_noise_rad_s: float
    """Standard deviation of the measured velocity about the change of position."""


def ease(start: Array, end: Array, ticks: int) -> Iterator[Array]:
    """From `start` to `end` with zero speed at both ends (minimum jerk)."""
    for i in range(1, ticks + 1):
        yield blend(start, end, i / ticks)


class Player:
    """Drives a hanging robot tick by tick, watched by the guards; lets go whatever happens.

    with Player(spec, safety, clock) as player:
        player.go_to(pose)
        recording = player.play(targets)
    """

    def __init__(self, spec: RobotSpec, safety: SafetySupervisor, clock: Clock) -> None:
        self.spec, self.clock = spec, clock
        self._safety = safety
        self.robot: RobotView = safety.view
        self._stiffness = 0.0

    @property
    def target(self) -> Array:
        """(n,) rad, given to the servos last."""
        return self._safety.target[0]

    def __enter__(self) -> Player:
        """Take hold of every joint where it is, softly first."""
        self._safety.reset(self.robot.read().joint_position)
        ticks = round(HOLD_S * self.spec.control_hz)
        for i in range(1, ticks + 1):
            self._stiffness = i / ticks
            self.tick(self.target)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Let go over half a second, at once when something went wrong."""
        ticks = round(HOLD_S * self.spec.control_hz)
        if kind is None:
            for i in range(ticks):
                self._stiffness = 1.0 - i / ticks
                self.tick(self.target)
        for _repeat in range(5):  # said more than once, since nobody acknowledges it
            self.clock.wait()
            self.robot.read()
            self._safety.write(0.0)

    def tick(self, target: Array) -> SensorFrame:
        """One control period with joint targets (n,); returns the frame it began with.

        Raises:
            UserError: a guard is at its stop level.
        """
        self.clock.wait()
        frame, health = self.robot.read(), self.robot.health()
        _, stopping = self._safety.check(frame, health, 0)
        # It hangs, and may be tilted by hand.
        stopping = [name for name in stopping if name not in FALL]
        if stopping:
            cause = f" ({'; '.join(health.problems)})" if health.problems else ""
            raise UserError(f"stopped: {', '.join(stopping)} at the stop level{cause}. The torque is off.")
        self._safety.bound(target[None])
        self._safety.write(self._stiffness)
        return frame

    def go_to(self, pose: Array, seconds: float = 1.5) -> None:
        """Move smoothly to a pose (n,), rad."""
        for target in ease(self.target, np.asarray(pose), round(seconds * self.spec.control_hz)):
            self.tick(target)

    def play(self, targets: Array, each: Callable[[int], None] = lambda tick: None) -> Recording:
        """Targets (T, n), rad, one per control period."""
        rows = []
        for i, target in enumerate(targets):
            frame = self.tick(target)
            rows.append((frame.time_s[0], self.target, frame.joint_position[0], frame.joint_velocity[0]))
            each(i)
        return Recording(*(np.array(column) for column in zip(*rows, strict=True)))


def joint_figures(joint_names: Sequence[str], dt: float, recording: Recording) -> list[JointFigures]:
    """Error, delay and noise of every joint; `dt`: control period, s."""
    slope = np.gradient(recording.position, dt, axis=0)
    figures = []
    for j, name in enumerate(joint_names):
        target, position = recording.target[:, j], recording.position[:, j]
        figures.append(
            JointFigures(
                joint=name,
                error_rms_rad=float(np.sqrt(np.mean((target - position) ** 2))),
                delay_ms=1e3 * dt * delay_ticks(target, position),
                velocity_noise_rad_s=float(np.std(recording.velocity[2:-2, j] - slope[2:-2, j])),
            )
        )
    return figures


def delay_ticks(target: Array, position: Array) -> float:
    """By how many ticks `position` (T,) lags `target` (T,): least squared difference, means apart, between ticks by a
    parabola. NaN when the target hardly moves."""
    if np.std(target) < STILL_RAD:
        return float("nan")
    cost = []
    for shift in range(LONGEST_DELAY_TICKS + 1):
        late, early = position[shift:], target[: len(target) - shift]
        cost.append(np.mean(((late - late.mean()) - (early - early.mean())) ** 2))
    best = int(np.argmin(cost))
    if best in (0, LONGEST_DELAY_TICKS):
        return float(best)
    left, middle, right = cost[best - 1 : best + 2]
    return best + 0.5 * (left - right) / (left - 2.0 * middle + right)


def logged_targets(path: Path, spec: RobotSpec) -> Array:
    """Targets (T, n) that the servos were given while the policy ran.

    Raises:
        UserError: the log has none, or of another robot.
    """
    rows = [
        message.joint_target_applied
        for _, message in read_messages(path, ("robot_command",))
        if message.state in ("standing", "walking")
    ]
    if not rows:
        raise UserError(f"{path} has no targets of a walk: give a log of `wildrobot-run --log`.")
    if len(rows[0]) != spec.num_joints:
        raise UserError(
            f"{path} is of a robot with {len(rows[0])} joints, {spec.name} has {spec.num_joints}."
        )
    return np.array(rows)


def play_targets(targets: Array, spec: RobotSpec, port: str) -> list[JointFigures]:
    """Play targets (T, n), rad, on the hanging robot at `port`: from where it is to the first one, and back at the end.

    Raises:
        UserError: the robot is not ready, or a guard stopped it.
    """
    safety = SafetySupervisor(spec, open_robot("dynamixel", spec, RobotOptions(port=port)))
    try:
        clock = DeadlineClock(round(spec.control_dt * NS_PER_S))
        with Player(spec, safety, clock) as player:
            start = player.target
            player.go_to(targets[0])
            recording = player.play(targets)
            player.go_to(start)
    finally:
        safety.close()
    return joint_figures(spec.joint_names, spec.control_dt, recording)
