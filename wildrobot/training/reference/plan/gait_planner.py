"""Plans a walk along a route: footholds beside the path, the body above them, the legs between.

The zero-moment point (ZMP) dwells on the stance foot, travels along it from heel to toe, and passes over to
the other foot in double support. The body follows as a pendulum (`lipm.py`), corrected by the inverse
dynamics of the whole robot until the planned motion really has that ZMP. Without an ankle roll a sole leans
sideways with its leg, and the ZMP is put where such a sole bears on the floor. With a hip yaw a foot keeps its
heading while it stands.
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
from wildrobot.signal_path.command import is_moving
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.footsteps import (
    LEFT,
    RIGHT,
    SIDE,
    Feet,
    GaitStyle,
    HomeStance,
    Route,
    Step,
    plan_feet,
    rotation_2d,
)
from wildrobot.training.reference.plan.leg_ik import LegIK
from wildrobot.training.reference.plan.lipm import Carry, pendulum_motion
from wildrobot.training.reference.plan.whole_body import WholeBody

Array = NDArray[np.float64]
_PAD = 2  # ticks planned beyond both ends of a periodic motion, for the derivatives
_ITERATIONS = 20
_CONVERGED_M = 3e-4  # largest distance between the wanted ZMP and that of the planned motion
_PELVIS_GAIN = 1.2  # the pelvis must move further than the centre of mass: a third of the mass is in the legs
_BEARING_STEP = 0.4  # relaxation of the bearing point, which depends on the sway that it causes
_ONTO_EDGE_TICKS = 6  # for the wide stance foot of the first step to lean onto its edge


@dataclass
class _Track:
    """What the body has to follow, tick by tick."""

    feet: Feet
    yaw: Array
    walking: Array
    on_edges: Array
    """(N,) 1: a leaning sole bears on its lower edge; 0: in its middle, as while standing on both feet."""
    phase: Array
    command: Array
    carry: Carry | None = None
    """How an endless walk goes on after the period; None for one that begins and ends standing."""

    def period(self, first: int, last: int, path: Array) -> _Track:
        """The ticks first .. last, padded, as a period of an endless walk along `path` (N, 2)."""
        turn = rotation_2d(self.yaw[last] - self.yaw[first])
        around = slice(first - _PAD, last + _PAD + 1)
        names = ("yaw", "walking", "on_edges", "phase", "command")
        return replace(
            self,
            feet=self.feet.part(around),
            carry=Carry(turn, path[last] - turn @ path[first]),
            **{name: getattr(self, name)[around] for name in names},
        )


class GaitPlanner:
    """Plans clips for one robot and style."""

    def __init__(self, spec: RobotSpec, style: GaitStyle) -> None:
        self.spec, self.style = spec, style
        self.ik = LegIK(spec)
        self.body = WholeBody(spec)
        self.dt = spec.control_dt
        left = self.ik.soles(spec.default_joint_pos)[LEFT]
        self.home = HomeStance(float(left[1]), self.body.com_forward - float(left[0]))
        self._omega = math.sqrt(GRAVITY_M_S2 / self.body.com_height)

    def plan(self, route: Route) -> PlannedClip:
        """The motion along a route, as a clip. World: the path begins (or its period does) at x = y = 0.

        Raises:
            UserError: a step is out of the legs' reach, or a joint outside its limits.
        """
        dt = self.dt
        yaw = _integrate(route.yaw_rate, dt)
        path = np.stack(
            [_integrate(route.speed * np.cos(yaw), dt), _integrate(route.speed * np.sin(yaw), dt)], axis=-1
        )
        feet = plan_feet(route, path, yaw, self.style, self.home, dt)
        on_edges, origin, inside = np.ones(len(path)), path[0], slice(None)
        if route.period is None:
            begin, end = route.steps[0].lift, route.steps[-1].land
            knots = [begin, begin + _ONTO_EDGE_TICKS, end, end + 1]
            on_edges = np.interp(np.arange(len(path)), knots, [0.0, 1.0, 1.0, 0.0])
        track = _Track(feet, yaw, route.walking, on_edges, route.phase, route.command)
        if route.period is not None:
            track = track.period(*route.period, path)
            origin, inside = path[route.period[0]], slice(_PAD, -_PAD - 1)
        quat, height = self._posture(route, track)
        position, q = self._body_over(route, track, quat, height)
        clip = PlannedClip(
            name=route.name,
            joint_position=q[inside],
            joint_velocity=_central(q, dt)[inside],
            root_position=(position - np.append(origin, 0.0))[inside],
            root_quaternion=quat[inside],
            root_linear_velocity=_central(position, dt)[inside],
            root_angular_velocity=_angular_velocity(quat, dt)[inside],
            contact=(~track.feet.airborne)[:, self.spec.foot_side][inside],
            command=track.command[inside],
            phase=np.remainder(track.phase, 2.0 * np.pi)[inside],
            moving=np.asarray(is_moving(self.spec, track.command))[inside],
            loop=route.period is not None,
            source=f"gait library: {route.name}",
        )
        clip.check(self.spec)
        return clip

    def _posture(self, route: Route, track: _Track) -> tuple[Array, Array]:
        """Pelvis orientation (N, 4) and height (N,): upright but for a lean towards the stance foot."""
        step = route.steps[0]
        mid_swing = 0.5 * np.pi * (step.land - step.lift) / (route.steps[1].lift - step.lift)
        roll = self.style.roll_amplitude_rad * np.cos(track.phase - mid_swing) * track.walking
        lean = quat_from_rotvec(roll[:, None] * np.array([1.0, 0.0, 0.0]))
        high, low = self.spec.standing_height, self.style.hip_height_m + self.spec.leg.hip_drop
        return quat_multiply(quat_from_yaw(track.yaw), lean), high + track.walking * (low - high)

    def _body_over(self, route: Route, track: _Track, quat: Array, height: Array) -> tuple[Array, Array]:
        """Pelvis position (N, 3) and joints (N, n) whose ZMP is where the feet bear."""
        feet, carry, rotation = track.feet, track.carry, quat_to_matrix(quat)
        inside = slice(None) if carry is None else slice(_PAD, -_PAD)
        still = None if carry is None else Carry(carry.rotation, np.zeros(2))
        load, bearing = feet.load, np.zeros_like(feet.load)
        zmp = self._zmp(track, bearing, load)[inside]
        centre, _ = pendulum_motion(zmp, self._omega, self.dt, carry)
        q: Array | None = None
        for _ in range(_ITERATIONS):
            plane = centre if carry is None else carry.pad(centre, _PAD)
            position = np.concatenate([plane, height[:, None]], axis=-1)
            q = self._joints(route.name, position, rotation, feet, q)
            edge = track.on_edges[:, None] * self.body.bearing(rotation, q, self.style.edge_tilt_rad)
            bearing += _BEARING_STEP * (edge - bearing)
            if carry is None:
                load = self._swayed_load(track, bearing, route.steps)
            error = (self._zmp(track, bearing, load) - self.body.zmp(position, quat, q))[inside]
            if np.max(np.abs(error)) < _CONVERGED_M:
                break
            centre = centre + _PELVIS_GAIN * pendulum_motion(error, self._omega, self.dt, still)[0]
        assert q is not None
        return position, q

    def _zmp(self, track: _Track, bearing: Array, load: Array) -> Array:
        """ZMP (N, 2): each foot's bearing point, `bearing` (N, 2) inward of its middle, by the load it carries."""
        point = track.feet.sole[..., :2].copy()
        for foot in (LEFT, RIGHT):
            yaw = track.feet.heading[:, foot] if self.ik.turns else track.yaw
            cos, sin = np.cos(yaw), np.sin(yaw)
            forward, left = track.feet.forward[:, foot], -SIDE[foot] * bearing[:, foot]
            point[:, foot] += np.stack([cos * forward - sin * left, sin * forward + cos * left], axis=-1)
        return np.sum(load[..., None] * point, axis=1)

    def _swayed_load(self, track: _Track, bearing: Array, steps: list[Step]) -> Array:
        """The load (N, 2) with as much of the `sways` that the body rests at both ends and sways evenly between.

        It rests before while its divergent component does, a mean of the future ZMP that fades as exp(-omega
        t). At the first lift it shall be as far to the side as at the third, at the last landing as at the
        last but two.
        """
        fading = np.exp(-self._omega * self.dt * np.arange(len(track.yaw)))
        conditions = []
        for load in (track.feet.load, *track.feet.sways):
            zmp = self._zmp(track, bearing, load)[:, 1:]
            sway = pendulum_motion(zmp, self._omega, self.dt)[0][:, 0]
            at_lift = sway[steps[0].lift] - sway[steps[2].lift]
            at_landing = sway[steps[-1].land] - sway[steps[-3].land]
            conditions.append([np.sum(fading * (zmp[:, 0] - zmp[0, 0])), at_lift, at_landing])
        amount = np.linalg.solve(np.array(conditions[1:]).T, -np.array(conditions[0]))
        # No more than all of the weight on one foot.
        return np.asarray(track.feet.load + np.tensordot(np.clip(amount, 0.0, 0.5), track.feet.sways, 1))

    def _joints(self, name: str, position: Array, rotation: Array, feet: Feet, guess: Array | None) -> Array:
        """Joint positions (N, n) with each foot's lowest point at the height asked for."""
        target, q = feet.sole.copy(), guess
        for _ in range(3 if guess is None else 2):
            if q is not None:
                soles = self.ik.soles(q, position, rotation)
                lowest = self.body.lowest_points(position, rotation, q)
                target[..., 2] = feet.sole[..., 2] + soles[..., 2] - lowest
            q = self.ik.solve(position, rotation, target, feet.pitch, name, q, feet.heading)
        assert q is not None
        return q


def _integrate(rate: Array, dt: float) -> Array:
    return np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1])) * dt])


def _central(values: Array, dt: float) -> Array:
    """Derivative of samples (N, k): central differences; the motion stands still beyond its ends."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[2:] - padded[:-2]) / (2.0 * dt)


def _angular_velocity(quat: Array, dt: float) -> Array:
    """World angular velocity (N, 3) of quaternions (N, 4), between the neighbours of each sample."""
    padded = np.concatenate([quat[:1], quat, quat[-1:]])
    delta = quat_multiply(padded[2:], quat_conjugate(padded[:-2]))
    delta = delta * np.sign(delta[:, :1])
    sine = np.linalg.norm(delta[:, 1:], axis=-1, keepdims=True)
    rate = 2.0 * np.arctan2(sine, delta[:, :1]) / (2.0 * dt)
    return np.asarray(np.where(sine > 1e-12, delta[:, 1:] / np.maximum(sine, 1e-12), 0.0) * rate)
