"""The IMU's mount rotation (torso <- IMU): from gravity, from the waist's turning, and from pitching the robot.

Turning the waist shows the torso's z axis in the IMU's frame by the gyro, whether or not the stand is level; gravity
shows it by a level stand, and both must agree. A robot without a waist has gravity alone. What is left, the turn about
z, comes from pitching the robot nose-down about the torso's y axis; without that it stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_conjugate, quat_multiply, quat_to_matrix, rotvec_between
from wildrobot.firmware_bridge.board.driver import BoardSample
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.calibration.endstops import EndStops
from wildrobot.firmware_bridge.calibration.hands import Hands, PitchNoseDown
from wildrobot.firmware_bridge.calibration.sampling import Sample
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]
AGREE_RAD = math.radians(1.0)
WAIST_RAD = 0.3
WAIST_PERIOD_S = 2.0
WAIST_TURNS = 2
PITCH_RAD = 0.35
LEAST_PITCH_RAD = 0.14
REST_S = 1.0
_TRIES = 3


class NotMeasured(Exception):
    """The samples do not show what was to be measured; the message is for people."""


# ---------------------------------------------------------------------- mathematics


def angle_between(a: Array, b: Array) -> float:
    """Between two vectors (3,), rad."""
    return math.atan2(float(np.linalg.norm(np.cross(a, b))), float(np.dot(a, b)))


def mean_quaternion(quaternions: Array) -> Array:
    """Mean of nearly equal rotations (T, 4): the sign of each is that of the first."""
    signs = np.where(quaternions @ quaternions[0] < 0.0, -1.0, 1.0)
    mean = (quaternions * signs[:, None]).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def up_axis(quaternion: Array) -> Array:
    """The world's z axis (3,) in the frame of a chip whose orientation is (4,) world <- chip."""
    return np.asarray(quat_to_matrix(quaternion)[2])


def turning_axis(angular_velocity: Array, rate: Array) -> Array:
    """The axis (3,), unit, about which a frame turns at `rate` (T,) rad/s, from its gyro (T, 3), by least squares.

    Raises:
        NotMeasured: the gyro and the rate do not belong together.
    """
    gyro, rate = angular_velocity - angular_velocity.mean(axis=0), rate - rate.mean()
    power = float(rate @ rate)
    if power < 1e-3 * len(rate):
        raise NotMeasured("the waist did not turn")
    slope = rate @ gyro / power
    length = float(np.linalg.norm(slope))
    if not 0.6 < length < 1.4:
        raise NotMeasured(
            f"the gyro turns at {length:.2f} of the waist's rate, expected 1: the IMU is loose, or the waist's servo "
            "is another's"
        )
    return np.asarray(slope / length)


def pitch_axis(before: Array, after: Array) -> Array:
    """The axis (3,), unit, in the chip's frame, about which the chip was turned between two orientations (4,).

    Raises:
        NotMeasured: it was turned by less than `LEAST_PITCH_RAD`.
    """
    rotvec = rotvec_between(before, after)
    angle = float(np.linalg.norm(rotvec))
    if angle < LEAST_PITCH_RAD:
        raise NotMeasured(
            f"the robot was turned by {math.degrees(angle):.1f} degrees, expected about "
            f"{math.degrees(PITCH_RAD):.0f}"
        )
    return np.asarray(rotvec / angle)


def mount_from_axes(z_imu: Array, y_imu: Array) -> Array:
    """torso <- IMU (4,) wxyz, from the torso's z and (about) y axis in the IMU's frame; z is believed.

    Raises:
        NotMeasured: they are nearly parallel.
    """
    across = y_imu - np.dot(y_imu, z_imu) * z_imu
    if np.linalg.norm(across) < 0.7:
        raise NotMeasured("the robot was not turned nose-down, but about its upright axis")
    y = across / np.linalg.norm(across)
    return quaternion_of(np.stack([np.cross(y, z_imu), y, z_imu]))


def tilt_mount(mount: Array, z_imu: Array) -> Array:
    """`mount` (4,) turned the short way so that it takes `z_imu` to the torso's z axis."""
    seen = quat_to_matrix(mount) @ z_imu
    turn = np.concatenate([[1.0 + seen[2]], np.cross(seen, [0.0, 0.0, 1.0])])
    if np.linalg.norm(turn) < 1e-9:  # upside down: any horizontal axis is as short
        turn = np.array([0.0, 1.0, 0.0, 0.0])
    return quat_multiply(turn / np.linalg.norm(turn), mount)


def quaternion_of(matrix: Array) -> Array:
    """(4,) wxyz, w >= 0, of a rotation matrix (3, 3): the eigenvector of Bar-Itzhack's symmetric matrix (2000)."""
    m = matrix
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0.0, 0.0, 0.0],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], 0.0, 0.0],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], 0.0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], np.trace(m)],
        ]
    )
    x, y, z, w = np.linalg.eigh(k, UPLO="L")[1][:, -1]
    return np.array([w, x, y, z]) * (-1.0 if w < 0.0 else 1.0)


def rotation_between(a: Array, b: Array) -> tuple[float, Array]:
    """Angle, rad, and unit axis (in the common parent frame) of the rotation that takes mount a to mount b."""
    turn = quat_multiply(b, quat_conjugate(a))
    turn = -turn if turn[0] < 0.0 else turn
    sine = float(np.linalg.norm(turn[1:]))
    axis = turn[1:] / sine if sine > 1e-12 else np.array([0.0, 0.0, 1.0])
    return 2.0 * math.atan2(sine, float(turn[0])), axis


# ---------------------------------------------------------------------- at the robot


@dataclass(frozen=True)
class Mount:
    """What was found of the IMU's mount."""

    quaternion: Array
    """torso <- IMU, (4,) wxyz."""
    disagreement_rad: float
    """Between gravity and the waist's axis; 0 without a waist."""
    yaw_measured: bool
    """The turn about z was measured too, not kept."""


def find_mount(bus: Bus, spec: RobotSpec, hands: Hands) -> Mount:
    """Measure the mount rotation. Turns the waist: the robot must hang or stand free, and somebody have agreed.

    Without a waist the stand must be level: gravity is all that shows the upright axis.

    Raises:
        UserError: the IMU gives nothing, or what it gives fits no mount; the waist has been let go.
    """
    waist = spec.joints_of("waist_yaw")
    if len(spec.waist_joints) > 1 or len(waist) != len(spec.waist_joints):
        raise UserError(
            f"{spec.name}'s IMU is beyond the joints {', '.join(spec.joint_names[i] for i in spec.waist_joints)}; "
            "this measurement knows one upright waist joint, or none. Measure imu_mount by other means."
        )
    with EndStops(bus, spec, hands.say) as stops:
        straight = spec.default_joint_pos.copy()
        straight[list(spec.waist_joints)] = 0.0
        stops.take_pose(straight)
        rest = _boards(stops.sampler.record(REST_S))
        quaternion = mean_quaternion(np.array([board.quaternion for board in rest]))
        up = up_axis(quaternion)
        _check_gravity(rest, up, hands.say)
        z_imu = _waist_axis(spec, stops, int(waist[0])) if len(waist) else up
        disagreement = angle_between(up, z_imu)
        if not len(waist):
            hands.say("there is no waist to turn: the upright axis is gravity's, as level as the stand is")
        elif disagreement > math.pi / 2:
            raise UserError(
                f"the waist turns the wrong way, or the IMU is not the one described: its axis and gravity are "
                f"{math.degrees(disagreement):.0f} degrees apart, and no stand leans so. Measure the directions first: "
                "wildrobot calibrate --only identify imu"
            )
        elif disagreement > AGREE_RAD:
            hands.say(
                f"gravity and the waist's axis differ by {math.degrees(disagreement):.1f} degrees, expected at most "
                f"{math.degrees(AGREE_RAD):.0f}: the stand is not level, or the waist has play. The "
                "waist's axis is used."
            )
        else:
            hands.say(f"gravity and the waist's axis agree within {math.degrees(disagreement):.2f} degrees")
        y_imu = _pitch_by_hand(stops, hands, quaternion)
    try:
        mount = tilt_mount(spec.imu_mount, z_imu) if y_imu is None else mount_from_axes(z_imu, y_imu)
    except NotMeasured as error:
        raise UserError(f"{error}. Begin again.") from error
    return Mount(mount, disagreement, y_imu is not None)


def _boards(samples: Sequence[Sample]) -> list[BoardSample]:
    boards = [sample.board for sample in samples if sample.board is not None]
    good = [board for board in boards if abs(board.quaternion_norm - 1.0) < 0.01]
    if len(good) < 5 or len({board.counter for board in good}) < 3:
        raise UserError(
            f"the IMU gave {len(good)} orientations in {len(samples)} reads. Run `wildrobot doctor`, it "
            "names the cause."
        )
    return good


def _check_gravity(rest: Sequence[BoardSample], up: Array, say: Callable[[str], None]) -> None:
    force = np.mean([board.acceleration for board in rest], axis=0)
    if (off := angle_between(force, up)) > 2.0 * AGREE_RAD:
        say(
            f"the IMU's accelerometer and its orientation differ by {math.degrees(off):.1f} degrees at rest: let it "
            "calibrate itself (turn the robot slowly in all directions), then measure again"
        )


def _waist_axis(spec: RobotSpec, stops: EndStops, waist: int) -> Array:
    samples: list[Sample] = []
    stops.swing(waist, WAIST_RAD, WAIST_PERIOD_S, WAIST_TURNS, samples.append)
    both = [sample for sample in samples if sample.board is not None and not np.isnan(sample.count[waist])]
    _boards(both)
    rate = np.array([sample.velocity_count[waist] for sample in both])
    rate = (
        spec.roles[waist].sign
        * spec.joint_direction[waist]
        * rate
        * spec.servos[waist].velocity_rad_s_per_count
    )
    gyro = np.array([sample.board.angular_velocity for sample in both if sample.board is not None])
    try:
        return turning_axis(gyro, rate)
    except NotMeasured as error:
        raise UserError(f"{error}. Run `wildrobot calibrate --only identify`, or look at the IMU.") from error


def _pitch_by_hand(stops: EndStops, hands: Hands, upright: Array) -> Array | None:
    """The torso's y axis in the IMU's frame; None when that was skipped."""
    text = (
        f"NOSE DOWN: pitch the whole robot forwards by about {math.degrees(PITCH_RAD):.0f} degrees, straight ahead, "
        f"and keep it there ({PITCH_RAD:+.2f} rad)."
    )
    for _ in range(_TRIES):
        if not hands.perform(PitchNoseDown(text, PITCH_RAD), stops.keep):
            hands.say("the IMU's turn about the upright axis stays as it was")
            return None
        now = _boards(stops.hold(0.5))
        hands.perform(PitchNoseDown("UPRIGHT again.", 0.0), stops.keep)
        try:
            return pitch_axis(upright, mean_quaternion(np.array([board.quaternion for board in now])))
        except NotMeasured as error:
            hands.say(f"{error}. Once more, please.")
    raise UserError(f"the robot was not pitched nose-down in {_TRIES} tries. Begin again, or skip it with s.")
