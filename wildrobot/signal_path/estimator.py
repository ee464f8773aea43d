"""State estimation: velocity and height of the pelvis from legs, IMU and foot switches, batched.

A Kalman filter (Simon, Optimal State Estimation, 2006, chapter 5) whose state x is the velocity (3,) m/s of the IMU's
own point in the IMU's world frame; its covariance P stays diagonal, for the axes' noises are independent and alike.

- Prediction: the accelerometer carries x from tick to tick (`_predict`).
- Measurement: leg odometry. A foot in contact is at rest, so that the joints tell how fast the IMU moves over it: by
  joint velocities, which a servo may report late, and by the way since the last tick, which is an average but on time
  (`_with_displacement`). Bloesch et al. (State estimation for legged robots, RSS 2012) fuse leg kinematics and IMU
  with the footholds in the state; a measured velocity needs none.
- Correction: both feet are weighed against one prediction, so that left and right are exchangeable. A foot that has
  just landed, or contradicts the rest because it slips, counts for less: its noise grows at touchdown and with the
  Student-t weight of its innovation (`_correct`).

The state is the IMU's velocity and not the pelvis's, because the accelerometer's own acceleration needs no derivative
of the gyroscope. Inside, vectors are (3, ...) and matrices (3, 3, ...), batch last: that makes large batches cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wildrobot.core.arrays import Array, array_namespace
from wildrobot.core.constants import GRAVITY_M_S2
from wildrobot.core.rotations import heading_split, quat_to_matrix
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.kinematics import PointMotion, times
from wildrobot.signal_path.sensor_frame import SensorFrame


@dataclass(frozen=True)
class EstimatorConfig:
    """Noise figures of the filter."""

    acceleration_noise_m_s2: float = 1.5
    """Standard deviation of the mean acceleration over one tick, from two samples that agree."""
    acceleration_change: float = 0.5
    """What two samples that differ add to it, as a share of the difference: an impact hides between them."""
    blind_acceleration_m_s2: float = 10.0
    """The same while the IMU gives no sample and the velocity is merely held."""
    leg_noise_m_s: float = 0.045
    """Standard deviation of one foot's odometry, settled in stance."""
    displacement_share: float = 0.5
    """Weight of the way that a foot came since the last tick against its joint velocities."""
    landing_factor: float = 5.0
    """How much larger that standard deviation is at the moment of touchdown."""
    landing_time_s: float = 0.04
    """Time constant with which the landing noise decays."""
    outlier_freedom: float = 2.0
    """Degrees of freedom of the Student-t distribution of a foot's odometry: fewer distrust outliers more."""
    initial_speed_m_s: float = 5.0
    """Standard deviation of the velocity before the first measurement."""
    height_gain: float = 0.6
    """Share of the difference to the measured height that one tick in contact takes over."""
    max_gap_s: float = 0.1
    """Longest time that one prediction bridges."""


@dataclass
class Estimate:
    """What the estimator knows after a tick.

    Heading frame: origin at the pelvis, z against gravity, x the pelvis's forward axis on the ground.
    """

    linear_velocity: Array
    """(..., 3) m/s, of the pelvis origin, heading frame."""
    angular_velocity: Array
    """(..., 3) rad/s, of the pelvis, heading frame."""
    projected_gravity: Array
    """(..., 3) unit vector of gravity in the pelvis frame: (0, 0, -1) upright."""
    pelvis_rotation: Array
    """(..., 3, 3) heading <- pelvis."""
    yaw: Array
    """(...) rad, heading of the pelvis in the IMU's own world: only differences mean something."""
    height: Array
    """(...) m, pelvis origin over the lowest stance sole."""
    contacts: Array
    """(..., feet) 0 or 1, as in the frame."""


class StateEstimator(Stateful):
    """Batched filter; a full `reset` fixes the batch shape, rows are independent of each other.

    Values marked invalid in a frame must be the last valid ones (`sensor_frame.hold_invalid`). They still
    give the pose, but measure neither velocity nor height: those are carried on.
    """

    state_fields = (
        "_velocity", "_variance", "_acceleration", "_stance_time", "_reach", "_stood", "_height", "_time",
        "_fresh",
    )  # fmt: skip

    def __init__(self, spec: RobotSpec, config: EstimatorConfig | None = None) -> None:
        self.spec = spec
        self.config = config or EstimatorConfig()
        tree = spec.tree
        sites = [tree.sites[name] for name in spec.foot_names]
        bodies = list(dict.fromkeys(site.body for site in sites))
        # foot switches by foot, (feet, points)
        self._switches = np.array([[i for i, s in enumerate(sites) if s.body == body] for body in bodies])
        points = np.array([[sites[i].pos for i in row] for row in self._switches])
        self._legs = PointMotion(tree, spec.joint_names, bodies, points)
        imu = tree.sites[spec.config.imu_site]
        # the IMU's axes travel with its point: together they are the rotation pelvis <- IMU
        axes = np.array(quat_to_matrix(spec.imu_mount)).T
        self._torso = PointMotion(tree, spec.joint_names, [imu.body], [[imu.pos]], axes[None])
        self._velocity: Any = None
        self._variance: Any = None
        self._acceleration: Any = None
        self._stance_time: Any = None
        self._reach: Any = None
        self._stood: Any = None
        self._height: Any = None
        self._time: Any = None
        self._fresh: Any = None

    def reset(self, frame: SensorFrame, mask: Array | None = None) -> None:
        """Start rows where `mask` (...) bool (None: all) afresh; the others stay as they are, bit for bit.

        The next `update` of a fresh row takes its velocity from the feet in contact, or zero where there is
        none, and its height from the soles: nothing of what was before enters.
        """
        like = frame.joint_position
        xp = array_namespace(like)
        if mask is not None and self._fresh is not None:
            self._fresh = self._fresh | mask
            return
        shape = tuple(like.shape[:-1])
        zero = xp.zeros((3, *shape), dtype=like.dtype)
        self._velocity, self._variance, self._acceleration = zero, zero, zero
        self._stood = xp.zeros((*self._switches.shape, *shape), dtype=like.dtype)
        self._stance_time = self._stood[:, 0]
        self._reach = xp.zeros((3, *self._switches.shape, *shape), dtype=like.dtype)
        self._height, self._time = xp.zeros(shape, dtype=like.dtype), xp.zeros(shape, dtype=like.dtype)
        self._fresh = xp.ones(shape, dtype=xp.bool)

    def update(self, frame: SensorFrame) -> Estimate:
        """One control tick; `frame` has the batch shape of the last full `reset`."""
        if self._fresh is None:
            self.reset(frame)
        xp = array_namespace(frame.joint_position)
        joints = _batch_last(xp, frame.joint_position), _batch_last(xp, frame.joint_velocity)
        points, point_velocity = self._legs(*joints)
        torso, torso_velocity = self._torso(*joints)
        imu_point, imu_velocity = torso[:, 0, 0], torso_velocity[:, 0, 0]
        pelvis_from_imu = torso[:, 0, 1:]
        world_from_imu = _batch_last(xp, quat_to_matrix(frame.imu_quaternion), 2)
        world_from_pelvis = _times_transposed(world_from_imu, pelvis_from_imu)
        gyro = _batch_last(xp, frame.imu_angular_velocity)
        rate = times(pelvis_from_imu, gyro) - _spin(xp, pelvis_from_imu, torso_velocity[:, 0, 1:])
        acceleration = times(world_from_imu, _batch_last(xp, frame.imu_acceleration))
        acceleration[2] -= GRAVITY_M_S2  # of the specific force
        # by how much the IMU's point is faster than the pelvis's origin, pelvis frame
        lead = _cross(xp, rate, imu_point) + imu_velocity
        point_velocity = _cross(xp, rate[:, None, None], points) + point_velocity
        contact = _batch_last(xp, frame.foot_contact)[self._switches]
        soles = times(world_from_pelvis[:, :, None, None], points)
        reach = times(world_from_pelvis, imu_point)[:, None, None] - soles
        trusted = frame.joint_valid.all(-1) & frame.imu_valid & frame.foot_valid

        if self._fresh.any():
            self._start(xp, frame, acceleration, reach, -xp.min(soles[2], axis=(0, 1)))
        elapsed = frame.time_s - self._time
        dt = xp.clip(elapsed, 0.0, self.config.max_gap_s)
        velocity_change = self._predict(xp, acceleration, frame.imu_valid, dt)
        # by joint velocities: the mean of each foot's points in contact
        share, standing = _shares(contact)
        odometry = lead[:, None] - (share * point_velocity).sum(2)
        measured = times(world_from_pelvis[:, :, None], odometry)
        step = xp.where(dt == elapsed, dt, 0.0)
        measured = self._with_displacement(xp, measured, reach, contact * trusted, velocity_change, step)
        self._correct(xp, measured, standing & trusted, dt)
        velocity = self._velocity - times(world_from_pelvis, lead)
        self._update_height(xp, -soles[2], contact > 0.0, trusted, velocity[2], dt)
        self._time = frame.time_s + 0.0
        self._fresh = xp.zeros_like(self._fresh)

        columns = xp.concat([world_from_pelvis, velocity[:, None]], axis=1)
        yaw, turned = heading_split(_batch_first(xp, columns, 2))
        tilt = turned[..., :3]
        return Estimate(
            linear_velocity=turned[..., 3],
            angular_velocity=_batch_first(xp, times(_batch_last(xp, tilt, 2), rate)),
            projected_gravity=_batch_first(xp, -world_from_pelvis[2]),
            pelvis_rotation=tilt,
            yaw=yaw,
            height=self._height,
            contacts=frame.foot_contact,
        )

    def _start(self, xp: Any, frame: SensorFrame, acceleration: Array, reach: Array, depth: Array) -> None:
        """Fresh rows: x = 0 and P = initial_speed_m_s^2, which feet in contact replace; they have stood for long."""
        fresh = self._fresh
        self._velocity = xp.where(fresh, 0.0, self._velocity)
        self._variance = xp.where(fresh, self.config.initial_speed_m_s**2, self._variance)
        self._acceleration = xp.where(fresh, acceleration, self._acceleration)
        self._stance_time = xp.where(fresh, 1.0, self._stance_time)
        self._reach = xp.where(fresh, reach, self._reach)
        self._stood = xp.where(fresh, 0.0, self._stood)
        self._height = xp.where(fresh, depth, self._height)
        self._time = xp.where(fresh, frame.time_s + 0.0, self._time)

    def _predict(self, xp: Any, acceleration: Array, seen: Array, dt: Array) -> Array:
        """Prediction over `dt` s (...): x- = x + dv, P- = P + Q.

            dv = dt (a_last + a) / 2                      a (3, ...) m/s^2, world, without gravity
            Q  = dt^2 (sigma^2 + (c (a - a_last))^2)      sigma = acceleration_noise_m_s2, c = acceleration_change

        dv is the integral by the trapezoidal rule; between samples that differ much an impact hides. Where the IMU
        gave no sample (`seen` (...) False), dv = 0 and Q = dt^2 sigma^2 with sigma = blind_acceleration_m_s2.

        Returns:
            dv (3, ...) m/s
        """
        config = self.config
        change = config.acceleration_change * (acceleration - self._acceleration)
        variance = change * change + config.acceleration_noise_m_s2**2
        velocity_change = xp.where(seen, 0.5 * dt * (self._acceleration + acceleration), 0.0)
        self._velocity = self._velocity + velocity_change
        variance = xp.where(seen, variance, config.blind_acceleration_m_s2**2)
        self._variance = self._variance + dt * dt * variance
        self._acceleration = xp.where(seen, acceleration, self._acceleration)
        return velocity_change

    def _with_displacement(
        self, xp: Any, measured: Array, reach: Array, standing: Array, velocity_change: Array, dt: Array
    ) -> Array:
        """The feet's measurements z (3, feet, ...) m/s of x, from joint velocities (`measured`) and displacement.

            z = (1 - s) z_velocity + s z_displacement             s = displacement_share
            z_displacement = (r - r_last) / dt + dv / 2

        `reach` r (3, feet, points, ...) m leads from the points to the IMU, world; its change over `dt` s gives the
        mean velocity of the tick, and half of the predicted dv brings that to the tick's end. Only points count that
        were `standing` (feet, points, ...) at both ends; a foot without such keeps z_velocity.
        """
        share, stood = _shares(standing * self._stood)
        moving = dt > 0.0
        way = (share * (reach - self._reach)).sum(2)
        moved = way / xp.where(moving, dt, 1.0) + 0.5 * velocity_change[:, None]
        self._reach, self._stood = reach, standing
        return measured + self.config.displacement_share * (stood & moving) * (moved - measured)

    def _correct(self, xp: Any, measured: Array, used: Array, dt: Array) -> None:
        """Correction by the measurements z (3, feet, ...) m/s, world, of the feet `used` (feet, ...) bool.

            y_f = z_f - x-                                        innovation
            R_f = (sigma (1 + (l - 1) exp(-t_f / tau)))^2         sigma = leg_noise_m_s, l = landing_factor,
                                                                  tau = landing_time_s, t_f s since touchdown
            d_f^2 = sum_i y_fi^2 / (P-_i + R_f)                   squared Mahalanobis distance, 3 axes
            w_f = (nu + 3) / (nu + d_f^2)                         nu = outlier_freedom
            P^-1 = (P-)^-1 + sum_f w_f / R_f                      information form
            x = x- + P sum_f (w_f / R_f) y_f

        w is the weight of an innovation under a Student-t distribution of nu degrees of freedom (Roth, Ozkan and
        Gustafsson, A Student's t filter for heavy tailed process and measurement noise, ICASSP 2013): here it divides
        R. Information form: Simon 2006, section 6.2.
        """
        config = self.config
        self._stance_time = xp.where(used, self._stance_time + dt, 0.0)
        landing = 1.0 + (config.landing_factor - 1.0) * xp.exp(
            self._stance_time * (-1.0 / config.landing_time_s)
        )
        noise = (config.leg_noise_m_s * landing) ** 2
        innovation = measured - self._velocity[:, None]
        distance = (innovation * innovation / (self._variance[:, None] + noise)).sum(0)  # squared
        freedom = config.outlier_freedom
        information = xp.where(used, (freedom + 3.0) / ((freedom + distance) * noise), 0.0)
        total = 1.0 / self._variance + information.sum(0)
        self._velocity = self._velocity + (information * innovation).sum(1) / total
        self._variance = 1.0 / total

    def _update_height(
        self, xp: Any, depth: Array, contact: Array, trusted: Array, climb: Array, dt: Array
    ) -> None:
        """An observer of fixed gain: h- = h + v_z dt, h = h- + k (z - h-) with k = height_gain.

        z is the `depth` (feet, points, ...) m of the lowest sole in contact under the pelvis, v_z m/s its `climb`. With
        no sole in contact, or joints, IMU or switches not `trusted`, h = h-.
        """
        lowest = xp.max(xp.where(contact, depth, -xp.inf), axis=(0, 1))
        measured = (lowest > -xp.inf) & trusted
        carried = self._height + climb * dt
        self._height = xp.where(measured, carried + self.config.height_gain * (lowest - carried), carried)


def _shares(contact: Array) -> tuple[Array, Array]:
    """Weights (feet, points, ...) of the mean over each foot's points in contact, and whether it has any.

    The points of one foot share the errors of its joints, so they count once.
    """
    count = contact.sum(1)
    some = count > 0.0
    return contact / (count + ~some)[:, None], some


def _batch_last(xp: Any, array: Array, count: int = 1) -> Array:
    """(..., 3) to (3, ...), or with `count` 2 (..., 3, 3) to (3, 3, ...)."""
    if array.ndim == count:
        return array
    lead = array.ndim - count
    return xp.permute_dims(array, (*range(lead, array.ndim), *range(lead)))


def _batch_first(xp: Any, array: Array, count: int = 1) -> Array:
    """Inverse of `_batch_last`."""
    if array.ndim == count:
        return array
    return xp.permute_dims(array, (*range(count, array.ndim), *range(count)))


def _times_transposed(a: Array, b: Array) -> Array:
    """(3, 3, ...) times the transpose of (3, 3, ...)."""
    return a[:, None, 0] * b[None, :, 0] + a[:, None, 1] * b[None, :, 1] + a[:, None, 2] * b[None, :, 2]


def _cross(xp: Any, a: Array, b: Array) -> Array:
    """Cross product of (3, ...) and (3, ...)."""
    a, b = xp.concat([a, a[:2]]), xp.concat([b, b[:2]])  # x y z x y
    return a[1:4] * b[2:5] - a[2:5] * b[1:4]


def _spin(xp: Any, axes: Array, velocity: Array) -> Array:
    """Angular velocity (3, ...) of a frame with the given axes (its columns) and their velocities."""
    return 0.5 * _cross(xp, axes, velocity).sum(1)
