"""Linear inverted pendulum: the motion of the centre of mass that a zero-moment-point (ZMP) plan asks for.

The pendulum x'' = omega^2 (x - p) (S. Kajita et al., "The 3D linear inverted pendulum mode", IROS 2001) splits into the
divergent component of motion (DCM) xi = x + x'/omega, which must be solved backward in time from where it has to end,
and x itself, which follows xi and is solved forward (T. Takenaka et al., IROS 2009; J. Englsberger et al., T-RO 2015).
Preview control (S. Kajita et al., ICRA 2003) approximates that with a finite horizon; a plan made in advance knows its
whole future, so the answer here is exact for a piecewise linear ZMP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Carry:
    """How an endless motion goes on after a period: turned by `rotation` (k, k), then moved by `shift` (k,) m."""

    rotation: Array
    shift: Array

    def forth(self, points: Array) -> Array:
        """Points (..., k) one period later."""
        return points @ self.rotation.T + self.shift

    def back(self, points: Array) -> Array:
        """Points (..., k) one period earlier."""
        return (points - self.shift) @ self.rotation

    def pad(self, samples: Array, count: int) -> Array:
        """One period of samples (N + 1, k), both ends included, with `count` more before and after."""
        return np.concatenate(
            [self.back(samples[-1 - count : -1]), samples, self.forth(samples[1 : 1 + count])]
        )


def pendulum_motion(zmp: Array, omega: float, dt: float, carry: Carry | None = None) -> tuple[Array, Array]:
    """Centre of mass position and velocity, each (N, k), for a ZMP linear between its samples (N, k), m.

    omega is sqrt(gravity / height), 1/s. Without `carry` the motion begins at rest over the first ZMP and
    ends at rest over the last one; with it, the N samples are one period, both ends included, of an endless
    motion.
    """
    slope = np.diff(zmp, axis=0) / (dt * omega)
    decay, growth = np.exp(-omega * dt), np.exp(omega * dt)

    def backward(final: Array) -> Array:
        xi = np.empty_like(zmp)
        xi[-1] = final
        for k in range(len(zmp) - 2, -1, -1):
            xi[k] = zmp[k] + slope[k] + decay * (xi[k + 1] - zmp[k + 1] - slope[k])
        return xi

    def forward(first: Array, xi: Array) -> Array:
        x = np.empty_like(zmp)
        x[0] = first
        for k in range(len(zmp) - 1):
            rising = 0.5 * (xi[k] - zmp[k] - slope[k])
            falling = x[k] - zmp[k] - rising
            x[k + 1] = zmp[k + 1] + rising * growth + falling * decay
        return x

    if carry is None:
        xi = backward(zmp[-1])
        x = forward(zmp[0], xi)
    else:
        # Each pass is affine in its boundary value, with the factor exp(-omega * period).
        shrink = np.exp(-omega * dt * (len(zmp) - 1))
        identity, zero = np.eye(zmp.shape[1]), np.zeros(zmp.shape[1])
        first = np.linalg.solve(identity - shrink * carry.rotation, backward(zero)[0] + shrink * carry.shift)
        xi = backward(carry.forth(first))
        last = np.linalg.solve(
            identity - shrink * carry.rotation.T,
            forward(zero, xi)[-1] - shrink * carry.rotation.T @ carry.shift,
        )
        x = forward(carry.back(last), xi)
    return x, omega * (xi - x)
