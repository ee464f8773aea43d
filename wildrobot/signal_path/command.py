"""Velocity commands, the gait clock that goes with them, and the heading hold that steers them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import wrap_angle
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]
COMMAND_NAMES = ("linear_velocity_x", "yaw_rate")
"""A command is (..., 2): forward speed in m/s and turning rate about up in rad/s, heading frame."""


def is_moving(spec: RobotSpec, command: Array) -> NDArray[np.bool_]:
    """(...) bool: does this command ask for steps, or for standing still?"""
    gait = spec.gait
    return (np.abs(command[..., 0]) > gait.moving_speed_m_s) | (
        np.abs(command[..., 1]) > gait.moving_yaw_rate_rad_s
    )


def stride_hz(spec: RobotSpec, command: Array) -> Array:
    """Stride frequency (...) of the gait clock at a command (..., 2), Hz."""
    gait = spec.gait
    return np.interp(np.abs(command[..., 0]), gait.stride_speeds_m_s, (gait.stride_hz, gait.fast_stride_hz))


class GaitClock(Stateful):
    """Phase of the stride, rad in [0, 2 pi): 0 begins the left swing, pi the right one.

    The phase advances while the command asks for steps and rests at zero otherwise; the clock then reads (0, 0), so
    that a policy can tell standing from stepping.
    """

    state_fields = ("phase", "moving")

    def __init__(self, spec: RobotSpec) -> None:
        self._spec = spec
        self.phase: Array = np.zeros(())
        self.moving: NDArray[np.bool_] = np.zeros((), dtype=bool)

    def reset(
        self, shape: tuple[int, ...], mask: NDArray[np.bool_] | None = None, phase: Array | float = 0.0
    ) -> None:
        """Start rows afresh at `phase` (rad), not moving."""
        if mask is None:
            self.phase = np.zeros(shape) + phase
            self.moving = np.zeros(shape, dtype=bool)
        else:
            self.phase = np.where(mask, phase, self.phase)
            self.moving = np.where(mask, False, self.moving)

    def tick(self, command: Array) -> Array:
        """Clock reading (..., 2) = (sin, cos) for this tick, then advance by one tick."""
        moving = is_moving(self._spec, command)
        reading = np.empty((*np.shape(moving), 2))
        reading[..., 0], reading[..., 1] = np.sin(self.phase) * moving, np.cos(self.phase) * moving
        advance = 2.0 * math.pi * stride_hz(self._spec, command) * self._spec.control_dt
        self.phase = np.where(moving, np.remainder(self.phase + advance, 2.0 * math.pi), 0.0)
        self.moving = moving
        return reading


class HeadingHold(Stateful):
    """Yaw-rate command that keeps the heading at which the user last turned (proportional, clipped).

    While the user commands a yaw rate, that is what the policy gets and the held heading follows the robot; so it
    does while the robot is to stand. Only differences of yaw enter: nothing depends on where north is.
    """

    state_fields = ("_target", "_offset")

    def __init__(self, spec: RobotSpec, gain_per_s: float = 2.0, limit_rad_s: float = 0.4) -> None:
        self._spec, self._gain, self._limit = spec, gain_per_s, limit_rad_s
        self._target: Array = np.asarray(math.nan)
        self._offset: Array = np.zeros(())

    def reset(
        self,
        shape: tuple[int, ...],
        mask: NDArray[np.bool_] | None = None,
        heading_error: Array | float = 0.0,
    ) -> None:
        """Hold, from the next command on, the heading of that instant plus `heading_error` (rad)."""
        if mask is None:
            self._target = np.full(shape, math.nan)
            self._offset = np.zeros(shape) + heading_error
        else:
            self._target = np.where(mask, math.nan, self._target)
            self._offset = np.where(mask, heading_error, self._offset)

    def command(self, user: Array, yaw: Array) -> Array:
        """Command (..., 2) for the policy from the user's (..., 2) and the present yaw (...) rad."""
        user = np.asarray(user, dtype=np.float64)
        turning = np.abs(user[..., 1]) > 1e-6
        standing = ~is_moving(self._spec, user)
        target = np.where(np.isnan(self._target), yaw + self._offset, self._target)
        self._target = np.where(turning | standing, yaw, target)
        correction = self._gain * wrap_angle(self._target - yaw)
        correction = np.minimum(np.maximum(correction, -self._limit), self._limit)
        command = user.copy()
        command[..., 1] = np.where(turning, user[..., 1], np.where(standing, 0.0, correction))
        return command
