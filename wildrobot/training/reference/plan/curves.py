"""Curves from 0 to 1, and the plane rotation: what plans of feet and pelvis are drawn with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation_2d(angle: float) -> Array:
    """Rotation (2, 2) in the plane by `angle` rad."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def trapezoidal_progress(u: Array, ramp: float) -> Array:
    """Way 0 .. 1 over time u = 0 .. 1: speed rises and falls as sin^2 within `ramp` of the time, constant between."""
    peak = 1.0 / (1.0 - ramp)

    def rise(v: Array) -> Array:
        return peak * (0.5 * v - ramp / (2.0 * np.pi) * np.sin(np.pi * v / ramp))

    middle = peak * (u - 0.5 * ramp)
    return np.where(u < ramp, rise(u), np.where(u > 1.0 - ramp, 1.0 - rise(1.0 - u), middle))


def smoothstep(u: NDArray[np.floating]) -> Array:
    """0 below u = 0, 1 above u = 1, between them the cubic (Hermite) whose speed is 0 at both ends."""
    u = np.clip(u, 0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)


def smootherstep(u: NDArray[np.floating]) -> Array:
    """0 below u = 0, 1 above u = 1, between them the quintic whose speed and acceleration are 0 at both ends.

    K. Perlin, "Improving noise", SIGGRAPH 2002.
    """
    u = np.clip(u, 0.0, 1.0)
    return u * u * u * (u * (6.0 * u - 15.0) + 10.0)
