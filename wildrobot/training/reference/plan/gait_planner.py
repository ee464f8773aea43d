"""The gait planner: from feet and posture tick by tick to a motion of the whole robot that the laws of motion allow.

The zero-moment point (ZMP) dwells on the stance foot, travels along it from heel to toe, and passes over to the other
foot in double support. The centre of mass (CoM) follows as a linear inverted pendulum (`lipm.py`), the legs reach from
the pelvis to the feet, and inverse dynamics gives the ZMP that the whole robot then really has. What is missing is
given to the pendulum again as a ZMP of its own, until the two agree: the two stages of S. Kajita et al., "Biped walking
pattern generation by using preview control of zero-moment point", ICRA 2003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.rotations import (
    quat_conjugate,
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
)
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.curves import rotation_2d
from wildrobot.training.reference.plan.footsteps import LEFT, RIGHT, SIDE, Feet
from wildrobot.training.reference.plan.leg_ik import LegIK
from wildrobot.training.reference.plan.lipm import Carry, pendulum_motion
from wildrobot.training.reference.plan.whole_body import WholeBody

Array = NDArray[np.float64]
_PAD = 2  # ticks planned beyond both ends of a periodic motion, for the derivatives
_ITERATIONS = 20
_CONVERGED_M = 3e-4  # largest distance between the wanted ZMP and that of the planned motion
_PELVIS_GAIN = 1.2  # the pelvis must move further than the centre of mass: a third of the mass is in the legs
_BEARING_STEP = 0.4  # relaxation of the bearing point, which depends on the sway that it causes
_ANKLE_MARGIN = 0.03  # rad kept from the end of the ankle's range by a swing foot


@dataclass(frozen=True)
class Posture:
    """Pelvis and torso, (N,) each."""

    yaw: Array
    """Heading of the pelvis, rad, not wrapped. Legs that cannot turn their feet have them turn with the pelvis."""
    height: Array
    """Pelvis origin over the floor, m."""
    roll: Array
    """Lean of the pelvis about its forward axis, rad."""
    waist: Array
    """Torso yaw against the pelvis, rad, where the robot has such a joint."""

    def part(self, ticks: slice) -> Posture:
        """Some of the ticks."""
        return Posture(**{name: values[ticks] for name, values in vars(self).items()})


@dataclass(frozen=True)
class EdgeBearing:
    """Soles lean sideways with legs that have no ankle roll, and bear on their lower edge."""

    tilt_rad: float
    """Lean at which a sole bears on its edge only."""
    share: Array
    """(N,) 1: so; 0: it bears in its middle, as while standing on both feet."""


@dataclass(frozen=True)
class Sways:
    """Load that swings to and fro: the body starts swaying from side to side before the first step, and stops after
    the last one.

    As much of each shape is taken that the body rests at both ends and sways evenly between: at the first lift as far
    to the side as at a later one, at the last landing as at an earlier one.
    """

    shapes: Array
    """(3, N, 2) added to the feet's share of the weight."""
    lifts: tuple[int, int]
    """Ticks of lifting between which the sway is even."""
    lands: tuple[int, int]
    """The same of landing."""


@dataclass(frozen=True)
class GaitPlan:
    """What feet and pelvis shall do, tick by tick, and what the clip says about it."""

    name: str
    feet: Feet
    posture: Posture
    path: Array
    """(N, 2) m, world: an endless walk moves on by as much as this does in a period."""
    command: Array
    """(N, 2) m/s and rad/s."""
    phase: Array
    """(N,) rad of the stride."""
    moving: NDArray[np.bool_]
    """(N,)."""
    period: tuple[int, int] | None = None
    """Ticks [begin, end) of an endless walk that become the clip, a loop; None: all ticks, at rest at both ends."""
    inset_m: float = 0.0
    """From the middle of a sole towards the other foot: where it bears, or what `edges` begins with."""
    edges: EdgeBearing | None = None
    sways: Sways | None = None
    spare_ankles: bool = False
    """A swing foot points its toes down further than asked, as far as the ankle's range demands."""

    def part(self, ticks: slice) -> GaitPlan:
        """Some of the ticks of an endless walk."""
        names = ("path", "command", "phase", "moving")
        edges = self.edges and replace(self.edges, share=self.edges.share[ticks])
        parts = {name: getattr(self, name)[ticks] for name in names}
        return replace(
            self, feet=self.feet.part(ticks), posture=self.posture.part(ticks), edges=edges, **parts
        )


class GaitPlanner:
    """Plans clips for one robot."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec, self.dt = spec, spec.control_dt
        self.ik, self.body = LegIK(spec), WholeBody(spec)
        self.home_soles: Array = self.ik.soles(spec.default_joint_pos)[:, :2]
        """(2, 2) m, sole points of the home pose under the pelvis: left, right."""
        self.home_forward_m = self.body.com_forward - float(self.home_soles[LEFT, 0])
        """How far before the sole points the CoM of the home pose is."""
        self._omega = math.sqrt(GRAVITY_M_S2 / self.body.com_height)

    def plan(self, plan: GaitPlan, draft: bool = False) -> PlannedClip:
        """The motion, as a clip without a source.

        Args:
            plan: what feet and pelvis shall do.
            draft: leave out the correction by inverse dynamics, which takes most of the time.

        Raises:
            UserError: a foothold is out of the leg's reach.
        """
        carry, inside = None, slice(None)
        if plan.period is not None:
            first, last = plan.period
            turn = rotation_2d(plan.posture.yaw[last] - plan.posture.yaw[first])
            carry = Carry(turn, plan.path[last] - turn @ plan.path[first])
            plan = plan.part(slice(first - _PAD, last + _PAD + 1))
            inside = slice(_PAD, -_PAD - 1)
        posture, dt = plan.posture, self.dt
        lean = quat_from_rotvec(posture.roll[:, None] * np.array([1.0, 0.0, 0.0]))
        quat = quat_multiply(quat_from_yaw(posture.yaw), lean)
        position, q = self._body_over(plan, carry, quat, draft)
        return PlannedClip(
            name=plan.name,
            joint_position=q[inside],
            joint_velocity=_central(q, dt)[inside],
            root_position=position[inside],
            root_quaternion=quat[inside],
            root_linear_velocity=_central(position, dt)[inside],
            root_angular_velocity=angular_velocity(quat, dt)[inside],
            contact=(~plan.feet.airborne)[:, self.spec.foot_side][inside],
            command=plan.command[inside],
            phase=np.remainder(plan.phase, 2.0 * np.pi)[inside],
            moving=plan.moving[inside],
            loop=carry is not None,
            source="",
        )

    def _body_over(
        self, plan: GaitPlan, carry: Carry | None, quat: Array, draft: bool
    ) -> tuple[Array, Array]:
        """Pelvis position (N, 3) and joints (N, n) whose ZMP is where the feet bear."""
        feet, rotation = plan.feet, quat_to_matrix(quat)
        inside = slice(None) if carry is None else slice(_PAD, -_PAD)
        still = None if carry is None else Carry(carry.rotation, np.zeros(2))
        load, bearing = feet.load, np.full_like(feet.load, plan.inset_m)
        zmp = self._zmp(plan, bearing, load)[inside]
        pelvis, _ = pendulum_motion(zmp, self._omega, self.dt, carry)
        q, pitch = None, feet.pitch
        for _ in range(_ITERATIONS):
            plane = pelvis if carry is None else carry.pad(pelvis, _PAD)
            position = np.concatenate([plane, plan.posture.height[:, None]], axis=-1)
            q, pitch = self._joints(plan, position, rotation, q, pitch)
            if draft:
                break
            if plan.edges is not None:
                edge = plan.edges.share[:, None] * self.body.bearing(rotation, q, plan.edges.tilt_rad)
                bearing += _BEARING_STEP * (edge - bearing)
            if plan.sways is not None:
                load = self._swayed_load(plan, plan.sways, bearing)
            error = (self._zmp(plan, bearing, load) - self.body.zmp(position, quat, q))[inside]
            if np.max(np.abs(error)) < _CONVERGED_M:
                break
            pelvis = pelvis + _PELVIS_GAIN * pendulum_motion(error, self._omega, self.dt, still)[0]
        assert q is not None
        return position, q

    def _zmp(self, plan: GaitPlan, bearing: Array, load: Array) -> Array:
        """ZMP (N, 2): each foot's bearing point, `bearing` (N, 2) inward of its middle, by the load it carries."""
        feet = plan.feet
        point = feet.sole[..., :2].copy()
        for foot in (LEFT, RIGHT):
            yaw = feet.heading[:, foot] if self.ik.turns else plan.posture.yaw
            cos, sin = np.cos(yaw), np.sin(yaw)
            forward, left = feet.forward[:, foot], -SIDE[foot] * bearing[:, foot]
            point[:, foot] += np.stack([cos * forward - sin * left, sin * forward + cos * left], axis=-1)
        return np.sum(load[..., None] * point, axis=1)

    def _swayed_load(self, plan: GaitPlan, sways: Sways, bearing: Array) -> Array:
        """The load (N, 2) with as much of the sways as they ask for, all of the weight on one foot at most.

        The body rests before them while its divergent component of motion (DCM) does, which is a mean of the future
        ZMP that fades as exp(-omega t) (J. Englsberger et al., T-RO 2015).
        """
        fading = np.exp(-self._omega * self.dt * np.arange(len(plan.posture.yaw)))
        conditions = []
        for load in (plan.feet.load, *sways.shapes):
            zmp = self._zmp(plan, bearing, load)[:, 1:]
            sway = pendulum_motion(zmp, self._omega, self.dt)[0][:, 0]
            conditions.append(
                [
                    np.sum(fading * (zmp[:, 0] - zmp[0, 0])),
                    sway[sways.lifts[0]] - sway[sways.lifts[1]],
                    sway[sways.lands[0]] - sway[sways.lands[1]],
                ]
            )
        amount = np.linalg.solve(np.array(conditions[1:]).T, -np.array(conditions[0]))
        return np.asarray(plan.feet.load + np.tensordot(np.clip(amount, 0.0, 0.5), sways.shapes, 1))

    def _joints(
        self, plan: GaitPlan, position: Array, rotation: Array, q: Array | None, pitch: Array
    ) -> tuple[Array, Array]:
        """Joint positions (N, n) with each foot's lowest point at the height asked for, and sole pitches (N, 2).

        `q` and `pitch` are those of a pelvis nearby; without `q` the legs' closed form begins.
        """
        feet, waist = plan.feet, self.spec.joints_of("waist_yaw")
        target = feet.sole.copy()
        ankles, sign = self.ik.role["ankle_pitch"], self.ik.sign["ankle_pitch"]
        lowest_angle = np.minimum(sign * self.spec.joint_lower[ankles], sign * self.spec.joint_upper[ankles])
        # The pitch that spares an ankle settles more slowly than the height of the sole.
        for _ in range(4 if plan.spare_ankles else 3 if q is None else 2):
            if q is not None:
                soles = self.ik.soles(q, position, rotation)
                lowest = self.body.lowest_points(position, rotation, q)
                target[..., 2] = feet.sole[..., 2] + soles[..., 2] - lowest
                if plan.spare_ankles:
                    spared = pitch + (lowest_angle + _ANKLE_MARGIN - sign * q[:, ankles])
                    pitch = np.where(feet.airborne, np.maximum(feet.pitch, spared), feet.pitch)
            q = self.ik.solve(position, rotation, target, pitch, plan.name, q, feet.heading)
        assert q is not None
        q[:, waist] = np.array([self.spec.roles[joint].sign for joint in waist]) * plan.posture.waist[:, None]
        return q, pitch


def _central(values: Array, dt: float) -> Array:
    """Derivative of samples (N, k): central differences; the motion stands still beyond its ends."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[2:] - padded[:-2]) / (2.0 * dt)


def angular_velocity(quat: Array, dt: float) -> Array:
    """World angular velocity (N, 3) rad/s of quaternions (N, 4) wxyz, between the neighbours of each sample.

    The short way from one to the other; half a turn is as long either way, and is not nothing.
    """
    padded = np.concatenate([quat[:1], quat, quat[-1:]])
    turn = quat_multiply(padded[2:], quat_conjugate(padded[:-2]))
    turn = np.where(turn[:, :1] < 0.0, -turn, turn)
    sine = np.linalg.norm(turn[:, 1:], axis=-1, keepdims=True)
    rate = 2.0 * np.arctan2(sine, turn[:, :1]) / (2.0 * dt)
    return np.asarray(np.where(sine > 1e-12, turn[:, 1:] / np.maximum(sine, 1e-12), 0.0) * rate)
