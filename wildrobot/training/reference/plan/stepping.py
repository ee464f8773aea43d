"""From footholds in time to a motion of the whole robot that the laws of motion allow.

The zero-moment point dwells on the stance foot and moves over while both feet carry; the pendulum above it
gives the pelvis; leg inverse kinematics gives the joints; inverse dynamics of the full model corrects the
pelvis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.rotations import (
    quat_conjugate,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
)
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.plan.leg_ik import LegIK
from wildrobot.training.reference.plan.lipm import Carry, pendulum_motion
from wildrobot.training.reference.plan.whole_body import WholeBody

Array = NDArray[np.float64]
SIDE = (1.0, -1.0)
"""Left, right."""
_DYNAMICS_ITERATIONS = 16
_CONVERGED_M = 3e-4  # largest distance between the wanted ZMP and that of the planned motion
# The pelvis must move further than the centre of mass: a third of the mass is in the legs.
_LEG_MASS_FACTOR = 1.2
_PAD = 2  # ticks planned beyond both ends of a periodic motion, for the derivatives
_FLOOR_ITERATIONS = 4
_ANKLE_MARGIN = 0.03  # rad kept from the end of the ankle's range by a swing foot
_PUSH_S = (0.08, 0.26, 0.34)
"""Times before the first lifting at which the load has left for the stance foot, has come, and begins to
come."""
_PUSH_SHARE = 0.45
"""Share of the weight that the foot about to swing carries beyond its half."""


@dataclass(frozen=True)
class PlannedStep:
    """One swing of `foot` (0 left, 1 right) from tick `lift` to tick `land`, with its course over (land -
    lift + 1) ticks."""

    foot: int
    lift: int
    land: int
    target: Array
    """(2,) m, world: sole point of the new foothold."""
    progress: Array
    """Share of the way, 0 .. 1."""
    rise: Array
    """Height of the foot's lowest point over the floor, m; 0 at both ends."""
    pitch: Array
    """Elevation of the sole's heel-to-toe line, rad, positive with the toes down; 0 at both ends."""


@dataclass(frozen=True)
class ZmpShape:
    """Where the zero-moment point lies under the stance foot."""

    forward_m: float
    """Before the sole point, in the middle of a stance."""
    travel: float
    """Way from heel to toe during a stance, as a share of the step length."""
    longest_travel_m: float
    """Limit of that way, so that the point stays on the sole."""
    inset_m: float
    """From the middle of the sole towards the other foot, while walking."""


@dataclass(frozen=True)
class Posture:
    """Pelvis and torso of a motion, (N,) each."""

    yaw: Array
    """Heading of the pelvis, which is also that of the feet, rad."""
    height: Array
    """Pelvis origin over the floor, m."""
    waist: Array
    """Torso yaw against the pelvis, rad."""

    def part(self, ticks: slice) -> Posture:
        """Some of the ticks."""
        return Posture(self.yaw[ticks], self.height[ticks], self.waist[ticks])


@dataclass(frozen=True)
class _Feet:
    """Planned feet, (N, 2) each: sole points (N, 2, 3) with z the height of the lowest point, pitch rad,
    share of the weight, where along the foot it bears (m before the sole point), and whether the foot is in
    the air."""

    sole: Array
    pitch: Array
    load: Array
    forward: Array
    airborne: NDArray[np.bool_]

    def part(self, ticks: slice) -> _Feet:
        """Some of the ticks."""
        return _Feet(
            self.sole[ticks], self.pitch[ticks], self.load[ticks], self.forward[ticks], self.airborne[ticks]
        )


@dataclass(frozen=True)
class Frames:
    """N planned frames at the control rate, in the terms of `PlannedClip`."""

    joint_position: Array
    joint_velocity: Array
    root_position: Array
    root_quaternion: Array
    root_linear_velocity: Array
    root_angular_velocity: Array
    contact: NDArray[np.bool_]


class StepPlanner:
    """Plans frames for one robot."""

    def __init__(self, spec: RobotSpec, zmp: ZmpShape) -> None:
        self.spec, self.zmp = spec, zmp
        self.ik, self.body = LegIK(spec), WholeBody(spec)

    def plan(
        self,
        name: str,
        steps: list[PlannedStep],
        places: Array,
        posture: Posture,
        period: tuple[int, int] | None = None,
        draft: bool = False,
    ) -> Frames:
        """Frames of a motion that begins and ends at rest, or of the ticks [begin, end) of one `period`.

        Args:
            name: what to call the motion in an error.
            steps: in the order of their lifting.
            places: (2, 2) m, sole points of left and right at the beginning.
            posture: (N,) ticks of pelvis and torso.
            period: the motion must repeat itself after these ticks, turned by the change of yaw.
            draft: leave out the correction by inverse dynamics, which takes most of the time.

        Raises:
            UserError: a foothold is out of the leg's reach.
        """
        dt = self.spec.control_dt
        feet = self._feet(steps, places, len(posture.yaw))
        carry, still = None, None
        if period is not None:
            first, last = period
            turn = rotation_2d(posture.yaw[last] - posture.yaw[first])
            middle = np.mean(feet.sole[[first, last], :, :2], axis=1)
            carry, still = Carry(turn, middle[1] - turn @ middle[0]), Carry(turn, np.zeros(2))
            around = slice(first - _PAD, last + _PAD + 1)
            feet, posture = feet.part(around), posture.part(around)
        inside = slice(None) if period is None else slice(_PAD, -_PAD)
        quat = quat_from_yaw(posture.yaw)
        rotation = quat_to_matrix(quat)
        omega = math.sqrt(GRAVITY_M_S2 / self.body.com_height)
        wanted = self._wanted(feet, posture.yaw)
        centre, _ = pendulum_motion(wanted[inside], omega, dt, carry)
        legs = None
        for iteration in range(_DYNAMICS_ITERATIONS):
            flat = centre if carry is None else carry.pad(centre, _PAD)
            position = np.concatenate([flat, posture.height[:, None]], axis=-1)
            legs = self._joints(name, position, rotation, feet, legs)
            q = legs.copy()
            for joint in self.spec.joints_of("waist_yaw"):
                q[:, joint] = self.spec.roles[joint].sign * posture.waist
            if draft or iteration == _DYNAMICS_ITERATIONS - 1:
                break
            error = (wanted - self.body.zmp(position, quat, q))[inside]
            if np.max(np.abs(error)) < _CONVERGED_M:
                break
            centre = centre + _LEG_MASS_FACTOR * pendulum_motion(error, omega, dt, still)[0]
        inside = slice(None) if period is None else slice(_PAD, -_PAD - 1)
        return Frames(
            joint_position=q[inside],
            joint_velocity=_central(q, dt)[inside],
            root_position=position[inside],
            root_quaternion=quat[inside],
            root_linear_velocity=_central(position, dt)[inside],
            root_angular_velocity=_angular_velocity(quat, dt)[inside],
            contact=(~feet.airborne)[:, self.spec.foot_side][inside],
        )

    def _feet(self, steps: list[PlannedStep], places: Array, count: int) -> _Feet:
        sole, pitch = np.zeros((count, 2, 3)), np.zeros((count, 2))
        sole[:, :, :2] = places
        airborne = np.zeros((count, 2), dtype=bool)
        # Knots (tick, value) of the right swings, which load the left foot, and of the bearing point along
        # each foot.
        swings: list[tuple[float, float]] = []
        along: tuple[list[tuple[float, float]], ...] = (
            [(0.0, self.zmp.forward_m)],
            [(0.0, self.zmp.forward_m)],
        )
        for step in steps:
            start = sole[step.lift, step.foot, :2].copy()
            span = slice(step.lift, step.land + 1)
            sole[span, step.foot, :2] = start + step.progress[:, None] * (step.target - start)
            sole[span, step.foot, 2] = step.rise
            sole[step.land + 1 :, step.foot, :2] = step.target
            pitch[span, step.foot] = step.pitch
            airborne[step.lift + 1 : step.land, step.foot] = True
            swings += [(step.lift, float(step.foot)), (step.land, float(step.foot))]
            way = 0.5 * float(np.linalg.norm(step.target - start))
            travel = 0.5 * min(self.zmp.travel * way, self.zmp.longest_travel_m)
            knots = along[1 - step.foot]
            knots += [(step.lift, self.zmp.forward_m - travel), (step.land, self.zmp.forward_m + travel)]
        if steps:
            swings = [
                *self._shift(steps[0], steps[0].lift, -1),
                *swings,
                *self._shift(steps[-1], steps[-1].land, 1),
            ]
        ticks = np.arange(count)
        right = np.interp(ticks, *np.array(swings or [(0.0, 0.5)]).T)
        forward = np.stack([np.interp(ticks, *np.array(knots).T) for knots in along], axis=-1)
        return _Feet(sole, pitch, np.stack([right, 1.0 - right], axis=-1), forward, airborne)

    def _shift(self, step: PlannedStep, tick: int, sign: int) -> list[tuple[float, float]]:
        """Knots of the load between rest and the `tick` at which the first foot lifts (sign -1) or the last
        one lands (1).

        The foot that will swing is loaded first: that throws the body towards the other one, which then need
        not carry it for long (anticipatory adjustment, Y. Breniere and M. C. Do, J. Biomechanics 1986).
        Stopping is the same backward in time.
        """
        loaded = 0.5 - _PUSH_SHARE if step.foot == 1 else 0.5 + _PUSH_SHARE
        at = [float(tick + sign * round(s / self.spec.control_dt)) for s in _PUSH_S]
        knots = list(zip(at, (loaded, loaded, 0.5), strict=True))
        return knots if sign > 0 else knots[::-1]

    def _wanted(self, feet: _Feet, yaw: Array) -> Array:
        """Zero-moment point (N, 2): each foot's bearing point by the load that the foot carries."""
        cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
        forward, left = feet.forward, -np.array(SIDE) * self.zmp.inset_m
        offset = np.stack([cos * forward - sin * left, sin * forward + cos * left], axis=-1)
        return np.sum(feet.load[..., None] * (feet.sole[..., :2] + offset), axis=1)

    def _joints(self, name: str, position: Array, rotation: Array, feet: _Feet, guess: Array | None) -> Array:
        """Joint positions (N, n) of the legs with each foot's lowest point at the height sole[..., 2].

        A swing foot points its toes down as far as the ankle's range demands.
        """
        target, pitch = feet.sole.copy(), feet.pitch.copy()
        ankles, sign = self.ik.role["ankle_pitch"], self.ik.sign["ankle_pitch"]
        lowest_angle = np.minimum(sign * self.spec.joint_lower[ankles], sign * self.spec.joint_upper[ankles])
        lowest_angle = lowest_angle + _ANKLE_MARGIN
        for _ in range(_FLOOR_ITERATIONS):
            guess = q = self.ik.solve(position, rotation, target, pitch, name, guess)
            target[..., 2] += feet.sole[..., 2] - self.body.lowest_points(position, rotation, q)
            pitch += np.where(feet.airborne, np.maximum(lowest_angle - sign * q[:, ankles], 0.0), 0.0)
        return q


def rotation_2d(angle: float) -> Array:
    """(2, 2) rotation by `angle`, rad."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _central(values: Array, dt: float) -> Array:
    """Derivative of samples (N, k): central differences; the motion stands still beyond its ends."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[2:] - padded[:-2]) / (2.0 * dt)


def _angular_velocity(quat: Array, dt: float) -> Array:
    """World angular velocity (N, 3) of quaternions (N, 4), between the neighbours of each sample."""
    padded = np.concatenate([quat[:1], quat, quat[-1:]])
    delta = quat_multiply(padded[2:], quat_conjugate(padded[:-2]))
    delta = delta * np.where(delta[:, :1] < 0.0, -1.0, 1.0)
    sine = np.linalg.norm(delta[:, 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, delta[:, :1])
    return np.where(sine > 1e-12, delta[:, 1:] / np.maximum(sine, 1e-12), 0.0) * angle / (2.0 * dt)
