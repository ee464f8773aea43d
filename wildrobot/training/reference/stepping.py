"""From footholds in time to a motion of the whole robot that the laws of motion allow.

The zero-moment point dwells on the stance foot and moves over while both feet carry; the pendulum above it gives the
pelvis; leg inverse kinematics gives the joints; inverse dynamics of the full model corrects the pelvis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.rotations import quat_conjugate, quat_from_yaw, quat_multiply, quat_to_matrix
from wildrobot.training.reference.leg_ik import LegIK
from wildrobot.training.reference.lipm import GRAVITY, Carry, pendulum_motion
from wildrobot.training.reference.whole_body import WholeBody

Array = NDArray[np.float64]
SIDE = (1.0, -1.0)
"""Left, right."""
_DYNAMICS_ITERATIONS = 6
_LEG_MASS_FACTOR = (
    1.2  # the pelvis must move further than the centre of mass: a third of the mass is in the legs
)
_PAD = 2  # ticks planned beyond both ends of a periodic motion, for the derivatives
_FLOOR_ITERATIONS = 4
_REST_TRANSITION = 0.3
"""Time in which the zero-moment point leaves or reaches its place between the feet, as a share of a swing."""


@dataclass(frozen=True)
class PlannedStep:
    """One swing of `foot` (0 left, 1 right) from tick `lift` to tick `land`, with its course over (land - lift + 1) ticks."""

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

    inset_m: float
    """From the sole point towards the other foot."""
    forward_m: float
    """Before the sole point."""


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
    floor_gap: Array
    """(N, 2) height of each foot's lowest point over the floor, m."""


class StepPlanner:
    """Plans frames for one robot."""

    def __init__(self, spec: RobotSpec, zmp: ZmpShape) -> None:
        self.spec, self.zmp = spec, zmp
        self.ik, self.body = LegIK(spec), WholeBody(spec)

    def plan(
        self, name: str, steps: list[PlannedStep], places: Array, yaw: Array, height: Array, waist: Array,
        period: tuple[int, int] | None = None,
    ) -> Frames:  # fmt: skip
        """Frames of a motion that begins and ends at rest, or of the ticks [begin, end) of one `period`.

        Args:
            name: what to call the motion in an error.
            steps: in the order of their lifting.
            places: (2, 2) m, sole points of left and right at the beginning.
            yaw: (N,) rad, heading of the pelvis, which is also that of the feet.
            height: (N,) m, pelvis origin over the floor.
            waist: (N,) rad, torso yaw against the pelvis.
            period: the motion must repeat itself after these ticks, turned by the change of yaw.

        Raises:
            UserError: a foothold is out of the leg's reach.
        """
        dt = self.spec.control_dt
        sole, pitch, zmp, airborne = self._feet(steps, places, yaw)
        carry, still = None, None
        if period is not None:
            first, last = period
            turn = rotation_2d(yaw[last] - yaw[first])
            middle = np.mean(sole[[first, last], :, :2], axis=1)
            carry, still = Carry(turn, middle[1] - turn @ middle[0]), Carry(turn, np.zeros(2))
            zmp = zmp[first : last + 1]
            around = slice(first - _PAD, last + _PAD + 1)
            sole, pitch, yaw, height, waist, airborne = (
                x[around] for x in (sole, pitch, yaw, height, waist, airborne)
            )
        quat = quat_from_yaw(yaw)
        rotation = quat_to_matrix(quat)
        omega = math.sqrt(GRAVITY / self.body.com_height)
        centre, _ = pendulum_motion(zmp, omega, dt, carry)
        for _ in range(_DYNAMICS_ITERATIONS):
            flat = centre if carry is None else carry.pad(centre, _PAD)
            position = np.concatenate([flat, height[:, None]], axis=-1)
            q = self._joints(name, position, rotation, sole, pitch, waist)
            actual = self.body.zmp(position, quat, q)
            error = zmp - (actual if carry is None else actual[_PAD:-_PAD])
            centre = centre + _LEG_MASS_FACTOR * pendulum_motion(error, omega, dt, still)[0]
        inside = slice(None) if period is None else slice(_PAD, -_PAD - 1)
        return Frames(
            joint_position=q[inside],
            joint_velocity=_central(q, dt)[inside],
            root_position=position[inside],
            root_quaternion=quat[inside],
            root_linear_velocity=_central(position, dt)[inside],
            root_angular_velocity=_angular_velocity(quat, dt)[inside],
            contact=np.repeat(~airborne, self.spec.num_feet // 2, axis=1)[inside],
            floor_gap=self.body.lowest_points(position, rotation, q)[inside],
        )

    def _feet(
        self, steps: list[PlannedStep], places: Array, yaw: Array
    ) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
        """Sole points (N, 2, 3) with z the height of the lowest point, pitch (N, 2), ZMP (N, 2), airborne (N, 2)."""
        count = len(yaw)
        sole, pitch = np.zeros((count, 2, 3)), np.zeros((count, 2))
        sole[:, :, :2] = places
        airborne = np.zeros((count, 2), dtype=bool)
        ticks, points = [0], [places.mean(axis=0)]
        for step in steps:
            start = sole[step.lift, step.foot, :2].copy()
            span = slice(step.lift, step.land + 1)
            sole[span, step.foot, :2] = start + step.progress[:, None] * (step.target - start)
            sole[span, step.foot, 2] = step.rise
            sole[step.land + 1 :, step.foot, :2] = step.target
            pitch[span, step.foot] = step.pitch
            airborne[step.lift + 1 : step.land, step.foot] = True
            stance = 1 - step.foot
            angle = yaw[(step.lift + step.land) // 2]
            inset = rotation_2d(angle) @ np.array([self.zmp.forward_m, -SIDE[stance] * self.zmp.inset_m])
            ticks += [step.lift, step.land]
            points += [sole[step.lift, stance, :2] + inset] * 2
        if steps:
            # At rest the ZMP lies between the feet. It leaves there late: the longer it dwells, the wider the sway.
            settle = max(round(_REST_TRANSITION * (steps[-1].land - steps[-1].lift)), 2)
            ticks.insert(1, max(steps[0].lift - settle, 1))
            points.insert(1, points[0])
            ticks.append(steps[-1].land + settle)
            points.append(sole[-1, :, :2].mean(axis=0))
        clock = np.arange(count)
        zmp = np.stack([np.interp(clock, ticks, np.array(points)[:, i]) for i in range(2)], axis=-1)
        return sole, pitch, zmp, airborne

    def _joints(
        self, name: str, position: Array, rotation: Array, sole: Array, pitch: Array, waist: Array
    ) -> Array:
        """Joint positions (N, n) with each foot's lowest point at the height sole[..., 2]."""
        target = sole.copy()
        for _ in range(_FLOOR_ITERATIONS):
            q = self.ik.solve(position, rotation, target, pitch, name)
            target[..., 2] += sole[..., 2] - self.body.lowest_points(position, rotation, q)
        q[:, list(self.spec.waist_joints)] = waist[:, None]
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
