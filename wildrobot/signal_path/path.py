"""The one path from a SensorFrame to the policy's observation, and from its action to joint targets.

Training, evaluation, replay and the robot run these lines; a batch of one and a batch of thousands alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wildrobot.core.arrays import A, array_namespace
from wildrobot.core.rotations import quat_to_matrix
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import GaitClock, HeadingHold
from wildrobot.signal_path.estimator import Estimate, StateEstimator
from wildrobot.signal_path.features import compute_features
from wildrobot.signal_path.observation import Layout, ObservationBuilder, default_layout
from wildrobot.signal_path.sensor_frame import SensorFrame, hold_invalid, select_rows

Array = NDArray[np.float64]


@dataclass
class Signal:
    """What one tick produced: the frame used, the estimate, features (..., F) and observation (..., D) float32.

    `command` (..., 2) is the command in the observation.
    """

    frame: SensorFrame
    estimate: Estimate
    features: Array
    command: Array
    gait_clock: Array
    observation: NDArray[np.float32]


def joint_target(spec: RobotSpec, action: A, previous_target: A) -> A:
    """Joint position targets (..., n), rad: default + scale * clip(action), rate-limited, inside the joint limits.

    `action` (..., n) is the policy's raw answer, `previous_target` (..., n) the target of the tick before; the rate
    limit is `spec.target_rate_limit` (rad/s) times the control period.
    """
    xp = array_namespace(previous_target)

    def const(values: Any) -> Any:
        return xp.asarray(values, dtype=previous_target.dtype)

    def bounded(values: Any, low: Any, high: Any) -> Any:
        # numpy's clip takes twice as long for a single robot
        return xp.minimum(xp.maximum(values, low), high)

    clipped = xp.clip(xp.astype(action, previous_target.dtype), -spec.action_clip, spec.action_clip)
    target = const(spec.default_joint_pos) + const(spec.action_scale) * clipped
    step = const(spec.target_rate_limit * spec.control_dt)
    target = bounded(target, previous_target - step, previous_target + step)
    return bounded(target, const(spec.joint_lower), const(spec.joint_upper))


def _in_pelvis(estimate: Estimate, vector: Any) -> Array:
    """Heading frame to pelvis frame, (..., 3)."""
    return np.asarray(estimate.pelvis_rotation * vector[..., :, None]).sum(-2)


def _in_torso(spec: RobotSpec, vector: Any) -> Array:
    """The IMU's own frame to torso frame, (..., 3)."""
    return np.asarray(quat_to_matrix(spec.imu_mount) * vector[..., None, :]).sum(-1)


BodyTerm = Callable[[RobotSpec, SensorFrame, Estimate], Array]
BODY_TERMS: dict[str, BodyTerm] = {
    "pelvis_angular_velocity": lambda spec, frame, estimate: _in_pelvis(estimate, estimate.angular_velocity),
    "pelvis_linear_velocity": lambda spec, frame, estimate: _in_pelvis(estimate, estimate.linear_velocity),
    "torso_angular_velocity": lambda spec, frame, estimate: _in_torso(spec, frame.imu_angular_velocity),
}
"""Slices of the observation in a body's axes, made only where a layout asks for them."""


class SignalPath(Stateful):
    """SensorFrame -> estimate -> features -> observation, and action -> joint target, with their memories."""

    state_fields = (
        "estimator", "clock", "hold", "_builder", "previous_action", "previous_target", "_last", "_fresh",
    )  # fmt: skip

    def __init__(self, spec: RobotSpec, layout: Layout | None = None, heading_hold: bool = True) -> None:
        self.spec = spec
        self.layout = layout or default_layout(spec)
        self.estimator = StateEstimator(spec)
        self.clock = GaitClock(spec)
        self.hold = HeadingHold(spec) if heading_hold else None
        self._builder = ObservationBuilder(self.layout)
        names = {term.name for term in self.layout}
        self._body_terms = {name: term for name, term in BODY_TERMS.items() if name in names}
        self.previous_action: Any = None
        self.previous_target: Any = None
        self._last: SensorFrame | None = None
        self._fresh: Any = None

    def reset(
        self,
        frame: SensorFrame,
        mask: NDArray[np.bool_] | None = None,
        phase: Array | float = 0.0,
        heading_error: Array | float = 0.0,
    ) -> None:
        """Start rows (mask (...) bool; None: all) afresh from `frame`: nothing of their past survives.

        The previous target is the measured joint position, so that the first target cannot jump, and the previous
        action the one that asks for it. `phase` (rad) is where the gait clock starts, `heading_error` (rad) how far
        the held heading lies to the left of the present one.
        """
        shape = np.shape(frame.time_s)
        position = np.asarray(frame.joint_position, dtype=np.float64)
        if mask is None or self.previous_action is None:
            mask = None
            self.previous_action = self._action_of(position)
            self.previous_target = position.copy()
            self._fresh = np.ones(shape, dtype=bool)
            self._last = frame
        else:
            rows = np.asarray(mask)[..., None]
            self.previous_action = np.where(rows, self._action_of(position), self.previous_action)
            self.previous_target = np.where(rows, position, self.previous_target)
            self._fresh = self._fresh | mask
            assert self._last is not None
            self._last = select_rows(mask, frame, self._last)
        self.estimator.reset(frame, mask)
        self.clock.reset(shape, mask, phase)
        if self.hold is not None:
            self.hold.reset(shape, mask, heading_error)

    def _action_of(self, position: Array) -> Array:
        action = (position - self.spec.default_joint_pos) / self.spec.action_scale
        return np.clip(action, -self.spec.action_clip, self.spec.action_clip)

    def observe(self, frame: SensorFrame, command: ArrayLike) -> Signal:
        """One tick: `command` (..., 2) is the user's; what the policy sees is that after heading hold."""
        if self._last is None:
            self.reset(frame)
        assert self._last is not None
        frame = hold_invalid(frame, self._last)
        self._last = frame
        estimate = self.estimator.update(frame)
        features = np.asarray(compute_features(frame, estimate))
        command = np.asarray(command, dtype=np.float64)
        if self.hold is not None:
            command = self.hold.command(command, np.asarray(estimate.yaw))
        gait_clock = self.clock.tick(command)
        values = {
            "features": features,
            "projected_gravity": estimate.projected_gravity,
            "linear_velocity": estimate.linear_velocity,
            "command": command,
            "previous_action": self.previous_action,
            "gait_clock": gait_clock,
        }
        for name, term in self._body_terms.items():
            values[name] = term(self.spec, frame, estimate)
        observation = self._builder.push(values, self._fresh)
        self._fresh = np.zeros(np.shape(self._fresh), dtype=bool)
        return Signal(frame, estimate, features, command, gait_clock, observation)

    def act(self, action: ArrayLike) -> Array:
        """Joint targets (..., n) rad for the policy's action (..., n); remembers both for the next tick."""
        action = np.asarray(action, dtype=np.float64)
        self.previous_action = np.clip(action, -self.spec.action_clip, self.spec.action_clip)
        self.previous_target = joint_target(self.spec, action, self.previous_target)
        return self.previous_target
