"""Reward terms: plain functions, unweighted, of arrays (..., k) of robots (N,) or of ticks and robots (T, N)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def weighted(terms: dict[str, Array], weights: object) -> dict[str, Array]:
    """Each term times the field of its name in the dataclass `weights`."""
    return {name: getattr(weights, name) * value for name, value in terms.items()}


def gaussian(error: Array, width: float) -> Array:
    """exp(-(error / width)^2): 1 without an error, 0.37 at `width`."""
    return np.exp(-((error / width) ** 2))


def two_gaussians(error: Array, narrow: float, wide: float) -> Array:
    """Half of a narrow kernel, which is exact, and half of a wide one, which leads there from far away."""
    return 0.5 * gaussian(error, narrow) + 0.5 * gaussian(error, wide)


def squared_distance(error: Array, sharpness: float) -> Array:
    """exp(-sharpness |error|^2) of vectors (..., k)."""
    return np.exp(-sharpness * np.sum(error**2, axis=-1))


def upright(up: Array, width: float) -> Array:
    """exp(-(1 - cos tilt) / width), of the world's `up` (..., 3) in the pelvis frame."""
    tilt = 1.0 - up[..., 2]
    return np.exp(-tilt / width)


def planned_contact(gait_clock: Array, moving: Mask, left: Mask, swing_sine: float) -> Array:
    """What the gait clock asks of each foot switch: 1 stance, 0 swing, NaN where it leaves that open, (..., feet).

    A foot swings where its phase's sine is above `swing_sine` and stands where it is negative; all stand while the
    robot is not `moving` (...). `left` (feet,) says whose side a switch is on.
    """
    sine = gait_clock[..., :1] * np.where(left, 1.0, -1.0)
    planned = np.where(sine > swing_sine, 0.0, np.where(sine < 0.0, 1.0, np.nan))
    return np.where(moving[..., None], planned, 1.0)


def contact_as_planned(contact: Mask, planned: Array) -> Array:
    """Share of foot switches (..., feet) that are as `planned`; where that is NaN, both are right."""
    return np.mean(np.where(np.isnan(planned), 1.0, contact == (planned > 0.5)), axis=-1)


def swing_clearance(
    gait_clock: Array, sole_height: Array, moving: Mask, mid_swing_sine: float, height_m: float
) -> Array:
    """Height of the foot in mid-swing as a share of `height_m`, up to 1; 1 between swings and while standing.

    `sole_height` (..., 2) is that of the left and right foot's lower sole point, m.
    """
    sine = gait_clock[..., :1] * np.array([1.0, -1.0])
    share = np.clip(sole_height / height_m, 0.0, 1.0)
    return np.where(moving, np.min(np.where(sine > mid_swing_sine, share, 1.0), axis=-1), 1.0)


def stand_still(
    joint_offset: Array, joint_velocity: Array, moving: Mask, speed_weight: float, most: float
) -> Array:
    """Squared distance from home plus `speed_weight` times squared joint speed, up to `most`; 0 while `moving`."""
    away, speed = np.sum(joint_offset**2, axis=-1), np.sum(joint_velocity**2, axis=-1)
    return np.where(moving, 0.0, np.minimum(away + speed_weight * speed, most))


def action_rate(action_step: Array) -> Array:
    """Squared change of the action (..., n) since the last tick."""
    return np.sum(action_step**2, axis=-1)


def saturation(saturated: Mask) -> Array:
    """Share of servos (..., n) at their voltage limit."""
    return np.mean(saturated, axis=-1)


def slip(contact: Mask, sole_step: Array, dt: float, most_m_s: float) -> Array:
    """Mean horizontal speed, up to `most_m_s`, of soles in contact that moved `sole_step` (..., feet, 3) m in `dt`."""
    speed = np.linalg.norm(sole_step[..., :2], axis=-1) / dt
    return np.mean(contact * np.minimum(speed, most_m_s), axis=-1)


def root_velocity(
    velocity_error: Array, yaw_rate_error: Array, sharpness: float, yaw_sharpness: float
) -> Array:
    """One kernel of the pelvis's velocity (..., 3) and yaw rate (...) against the plan's."""
    linear = np.sum(velocity_error**2, axis=-1)
    return np.exp(-sharpness * linear - yaw_sharpness * yaw_rate_error**2)


def root_position(
    drift: Array, yaw_error: Array, sharpness: float, height_sharpness: float, yaw_sharpness: float
) -> Array:
    """One kernel of the pelvis's distance to the plan, on the floor, in height (`drift` (..., 3)) and in heading."""
    ground = np.sum(drift[..., :2] ** 2, axis=-1)
    return np.exp(-sharpness * ground - height_sharpness * drift[..., 2] ** 2 - yaw_sharpness * yaw_error**2)


def same_contact(contact: Mask, planned: Mask) -> Array:
    """Share of foot switches (..., feet) that are as the plan's."""
    return np.mean(contact == planned, axis=-1)


def feet_too_near(gap: Array, apart_m: float) -> Array:
    """0 where the `gap` (...) between the feet's inner edges is at least `apart_m`, 1 where they touch."""
    return np.clip(1.0 - gap / apart_m, 0.0, 1.0)
