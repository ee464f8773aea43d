"""State estimation: velocity and height of the pelvis from legs, IMU and foot switches. One robot or thousands.

A Kalman filter on the velocity of the IMU's own point in the IMU's world frame. The accelerometer carries it from tick
to tick; every foot in contact says how fast the IMU moves over a point at rest (leg odometry). A foot that has just
landed, or contradicts the rest (it slips), counts for less: its noise is scaled by a Student-t weight of its innovation.
Both feet are weighed against the same prediction, so that left and right are exchangeable. The IMU's point, because an
accelerometer knows its own acceleration, and not the pelvis's, without differentiating the gyroscope.

Inside, vectors are (3, ...) and matrices (3, 3, ...), batch last: that is what makes large batches cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.point_motion import PointMotion
from wildrobot.runtime.rotations import heading_split, quat_to_matrix
from wildrobot.runtime.sensor_frame import SensorFrame
from wildrobot.state import Stateful

GRAVITY = 9.81


@dataclass(frozen=True)
class EstimatorConfig:
    """Noise figures of the filter."""

    acceleration_noise_m_s2: float = 4.0
    """Standard deviation of what the sampled accelerometer says of the mean acceleration over one tick."""
    blind_acceleration_m_s2: float = 10.0
    """The same while the IMU gives no sample and the velocity is merely held."""
    leg_noise_m_s: float = 0.06
    """Standard deviation of one foot's odometry, settled in stance."""
    landing_factor: float = 3.0
    """How much larger that standard deviation is at the moment of touchdown."""
    landing_time_s: float = 0.03
    """Time constant with which the landing noise decays."""
    outlier_freedom: float = 4.0
    """Degrees of freedom of the Student-t distribution of a foot's odometry: fewer distrust outliers more."""
    initial_speed_m_s: float = 2.0
    """Standard deviation of the velocity before the first measurement."""
    height_gain: float = 0.6
    """Share of the difference to the measured height that one tick in contact takes over."""
    max_gap_s: float = 0.1
    """Longest time that one prediction bridges."""


@dataclass
class Estimate:
    """What the estimator knows after a tick. Heading frame: origin at the pelvis, z up, x its forward axis on the ground."""

    linear_velocity: Any
    """(..., 3) m/s, of the pelvis origin, heading frame."""
    angular_velocity: Any
    """(..., 3) rad/s, of the pelvis, heading frame."""
    projected_gravity: Any
    """(..., 3) unit vector of gravity in the pelvis frame: (0, 0, -1) upright."""
    pelvis_rotation: Any
    """(..., 3, 3) heading <- pelvis."""
    yaw: Any
    """(...) rad, heading of the pelvis in the IMU's own world: only differences mean something."""
    height: Any
    """(...) m, pelvis origin over the lowest stance sole."""
    contacts: Any
    """(..., 4) 0 or 1, as in the frame."""


class StateEstimator(Stateful):
    """Batched filter; `reset` fixes the batch shape, rows are independent of each other.

    Values marked invalid in a frame must be the last valid ones (`sensor_frame.hold_invalid`): they are used for the
    pose, but neither as a measurement of the velocity nor of the height.
    """

    state_fields = ("_velocity", "_variance", "_acceleration", "_stance_time", "_height", "_time", "_fresh")

    def __init__(self, spec: RobotSpec, config: EstimatorConfig | None = None) -> None:
        self.spec = spec
        self.config = config or EstimatorConfig()
        tree = spec.tree
        sites = [tree.sites[name] for name in spec.foot_names]
        feet = list(dict.fromkeys(site.body for site in sites))
        self._members = [[i for i, site in enumerate(sites) if site.body == foot] for foot in feet]
        points = np.array([[sites[i].pos for i in members] for members in self._members])
        self._feet = PointMotion(tree, spec.joint_names, feet, points)
        imu = tree.sites[spec.config.imu_site]
        # the torso's axes travel with the IMU point: they are the rotation pelvis <- torso
        self._torso = PointMotion(tree, spec.joint_names, [imu.body], [[imu.pos]], np.eye(3)[None])
        self._mount = quat_to_matrix(spec.imu_mount)
        self._velocity: Any = None
        self._variance: Any = None
        self._acceleration: Any = None
        self._stance_time: Any = None
        self._height: Any = None
        self._time: Any = None
        self._fresh: Any = None

    def reset(self, frame: SensorFrame, mask: Any = None) -> None:
        """Start rows where `mask` (...) bool (None: all) afresh; the other rows stay as they are, bit for bit.

        The next `update` of a fresh row takes its velocity from the legs in contact, or zero without contact, and its
        height from the soles: nothing of what was before enters.
        """
        like = frame.joint_position
        xp = array_namespace(like)
        shape = tuple(frame.time_s.shape) if hasattr(frame.time_s, "shape") else ()
        if mask is None or self._fresh is None:
            self._velocity = xp.zeros((3, *shape), dtype=like.dtype)
            self._variance = xp.ones((3, *shape), dtype=like.dtype)
            self._acceleration = xp.zeros((3, *shape), dtype=like.dtype)
            self._stance_time = xp.zeros((len(self._members), *shape), dtype=like.dtype)
            self._height = xp.zeros(shape, dtype=like.dtype)
            self._time = xp.asarray(frame.time_s, dtype=like.dtype)
            self._fresh = xp.ones(shape, dtype=xp.bool)
        else:
            self._fresh = self._fresh | xp.asarray(mask)

    def update(self, frame: SensorFrame) -> Estimate:
        """One control tick: `frame` has the batch shape of the last full `reset`."""
        if self._fresh is None:
            self.reset(frame)
        xp = array_namespace(frame.joint_position)
        q, qd = _first(xp, frame.joint_position), _first(xp, frame.joint_velocity)
        points, point_velocity, _ = self._feet(q, qd)
        torso, torso_velocity, waist_rate = self._torso(q, qd)
        pelvis_from_imu = _times_constant(torso[:, 0, 1:], self._mount)
        world_from_imu = _matrix(xp, _first(xp, frame.imu_quaternion))
        world_from_pelvis = _times_transposed(world_from_imu, pelvis_from_imu)
        rate = _apply(pelvis_from_imu, _first(xp, frame.imu_angular_velocity)) - waist_rate[:, 0]
        # what the IMU point moves faster than the pelvis origin, pelvis frame
        lead = _cross(xp, rate, torso[:, 0, 0]) + torso_velocity[:, 0, 0]

        now = xp.asarray(frame.time_s, dtype=q.dtype)
        dt = xp.where(self._fresh, xp.zeros_like(now), xp.clip(now - self._time, 0.0, self.config.max_gap_s))
        switches = _first(xp, frame.foot_contact)
        contact = xp.stack([xp.stack([switches[i] for i in members]) for members in self._members])
        trusted = xp.all(frame.joint_valid, axis=-1) & frame.imu_valid & frame.foot_valid

        self._predict(xp, frame, world_from_imu, dt)
        # odometry of each foot: the mean of its points in contact, (3, feet, ...)
        count = xp.sum(contact, axis=1)
        share = contact / xp.clip(count, 1.0, None)[:, None]
        relative = point_velocity + _cross(xp, rate[:, None, None], points)
        odometry = lead[:, None] - xp.sum(share * relative, axis=2)
        self._correct(xp, _apply(world_from_pelvis[:, :, None], odometry), (count > 0.0) & trusted, dt)

        velocity = self._velocity - _apply(world_from_pelvis, lead)
        depth = -_apply(world_from_pelvis[2:, :, None, None], points)[0]
        self._update_height(xp, depth, contact > 0.0, trusted, velocity[2], dt)
        self._time = now
        self._fresh = xp.zeros_like(self._fresh)

        yaw, tilt = heading_split(_last(xp, world_from_pelvis, 2))
        cos, sin = xp.cos(yaw), xp.sin(yaw)
        tilted = _first(xp, tilt, 2)
        return Estimate(
            linear_velocity=xp.stack(
                [cos * velocity[0] + sin * velocity[1], cos * velocity[1] - sin * velocity[0], velocity[2]],
                axis=-1,
            ),
            angular_velocity=_last(xp, _apply(tilted, rate)),
            projected_gravity=_last(xp, -world_from_pelvis[2]),
            pelvis_rotation=tilt,
            yaw=yaw,
            height=self._height,
            contacts=frame.foot_contact,
        )

    def _predict(self, xp: Any, frame: SensorFrame, world_from_imu: Any, dt: Any) -> None:
        """Carry the velocity over dt with the mean of the accelerations at its two ends."""
        config, fresh, seen = self.config, self._fresh, frame.imu_valid
        acceleration = _apply(world_from_imu, _first(xp, frame.imu_acceleration))
        acceleration = xp.stack([acceleration[0], acceleration[1], acceleration[2] - GRAVITY])
        mean = 0.5 * (acceleration + xp.where(fresh, acceleration, self._acceleration))
        velocity = xp.where(fresh, 0.0 * mean, self._velocity) + xp.where(seen, dt, 0.0 * dt) * mean
        noise = (
            xp.where(
                seen, 0.0 * dt + config.acceleration_noise_m_s2, 0.0 * dt + config.blind_acceleration_m_s2
            )
            * dt
        )
        initial = 0.0 * mean + config.initial_speed_m_s**2
        self._velocity = velocity
        self._variance = xp.where(fresh, initial, self._variance + noise * noise)
        self._acceleration = xp.where(seen, acceleration, self._acceleration)

    def _correct(self, xp: Any, measured: Any, used: Any, dt: Any) -> None:
        """Weigh each foot's odometry (3, feet, ...) m/s, world, against the prediction; feet `used` (feet, ...) only."""
        config = self.config
        # a foot that stands when a row starts has stood for long
        settled = 0.0 * self._stance_time + 1.0
        stance = xp.where(self._fresh, settled, self._stance_time + dt)
        self._stance_time = xp.where(used, stance, 0.0 * stance)
        landing = 1.0 + (config.landing_factor - 1.0) * xp.exp(-self._stance_time / config.landing_time_s)
        noise = (config.leg_noise_m_s * landing) ** 2
        innovation = measured - self._velocity[:, None]
        surprise = xp.sum(innovation**2 / (self._variance[:, None] + noise), axis=0)
        freedom = config.outlier_freedom
        information = xp.where(used, (freedom + 3.0) / (freedom + surprise) / noise, 0.0 * noise)
        prior = 1.0 / self._variance
        total = prior + xp.sum(information, axis=0)
        self._velocity = self._velocity + xp.sum(information * innovation, axis=1) / total
        self._variance = 1.0 / total

    def _update_height(self, xp: Any, depth: Any, contact: Any, trusted: Any, climb: Any, dt: Any) -> None:
        """Height from `depth` (feet, points, ...) m below the pelvis of the lowest sole in contact; else carried on."""
        any_contact = xp.any(xp.any(contact, axis=0), axis=0)
        lowest = xp.max(xp.max(depth, axis=0), axis=0)
        stance = xp.max(xp.max(xp.where(contact, depth, -xp.ones_like(depth)), axis=0), axis=0)
        carried = self._height + climb * dt
        followed = carried + self.config.height_gain * (stance - carried)
        height = xp.where(any_contact & trusted, followed, carried)
        self._height = xp.where(self._fresh, xp.where(any_contact, stance, lowest), height)


def _first(xp: Any, array: Any, count: int = 1) -> Any:
    """(..., 3) to (3, ...), and (..., 3, 3) to (3, 3, ...) with `count` 2."""
    if array.ndim == count:
        return array
    return xp.moveaxis(array, tuple(range(-count, 0)), tuple(range(count)))


def _last(xp: Any, array: Any, count: int = 1) -> Any:
    """Inverse of `_first`."""
    if array.ndim == count:
        return array
    return xp.moveaxis(array, tuple(range(count)), tuple(range(-count, 0)))


def _matrix(xp: Any, quat: Any) -> Any:
    return _first(xp, quat_to_matrix(_last(xp, quat)), 2)


def _apply(matrix: Any, vector: Any) -> Any:
    """(r, 3, ...) times (3, ...)."""
    return matrix[:, 0] * vector[0] + matrix[:, 1] * vector[1] + matrix[:, 2] * vector[2]


def _times_constant(matrix: Any, constant: Any) -> Any:
    """(3, 3, ...) times a constant (3, 3)."""
    if np.array_equal(constant, np.eye(3)):
        return matrix
    shape = (1, 3) + (1,) * (matrix.ndim - 2)
    xp = array_namespace(matrix)
    rows = [xp.reshape(xp.asarray(constant[j], dtype=matrix.dtype), shape) for j in range(3)]
    return matrix[:, 0:1] * rows[0] + matrix[:, 1:2] * rows[1] + matrix[:, 2:3] * rows[2]


def _times_transposed(a: Any, b: Any) -> Any:
    """(3, 3, ...) times the transpose of (3, 3, ...)."""
    return a[:, None, 0] * b[None, :, 0] + a[:, None, 1] * b[None, :, 1] + a[:, None, 2] * b[None, :, 2]


def _cross(xp: Any, a: Any, b: Any) -> Any:
    """Cross product along the first dimension."""
    return xp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
