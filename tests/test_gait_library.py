"""The planned gaits keep what the robot, the floor and the command ask of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply, quat_to_matrix
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.gait import GaitLibraryConfig, build_gait_library, mirror_clip
from wildrobot.training.reference.plan.route import RoutePlanner

SMALL = GaitLibraryConfig(
    speeds_m_s=(0.06, 0.20, 0.30, 0.50),
    step_ticks=(18, 20),
    clearances_m=(0.030,),
    turn_speeds_m_s=(0.0, 0.30),
    turn_rates_rad_s=(0.30,),
    start_speeds_m_s=(0.30,),
    fast_speeds_m_s=(0.50,),
    fast_step_ticks=(14,),
    fast_clearances_m=(0.030,),
    fast_turn_speeds_m_s=(0.45,),
)
ARRAYS = (
    "joint_position", "joint_velocity", "root_position", "root_quaternion", "root_linear_velocity",
    "root_angular_velocity", "contact", "command", "phase", "moving",
)  # fmt: skip


@pytest.fixture(scope="module")
def library(spec: RobotSpec) -> dict[str, PlannedClip]:
    return {clip.name: clip for clip in build_gait_library(spec, SMALL)}


@pytest.fixture(scope="module")
def planner(spec: RobotSpec) -> RoutePlanner:
    return RoutePlanner(spec, SMALL)


def feet_in_world(spec: RobotSpec, clip: PlannedClip) -> np.ndarray:
    """Foot sites (T, 4, 3), world."""
    points = spec.kinematics.foot_points(clip.joint_position)
    return clip.root_position[:, None] + points @ np.swapaxes(quat_to_matrix(clip.root_quaternion), -1, -2)


def stances(values: np.ndarray, contact: np.ndarray) -> list[np.ndarray]:
    """The pieces of `values` (T, ...) between two changes of `contact` (T,) while it is closed."""
    edges = np.flatnonzero(np.diff(contact.astype(int))) + 1
    return [
        piece for piece, on in zip(np.split(values, edges), np.split(contact, edges), strict=True) if on[0]
    ]


def test_the_library_has_what_it_is_asked_for_under_unique_names(
    library: dict[str, PlannedClip], spec: RobotSpec
) -> None:
    kinds = [name.split("_")[0] for name in library]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "stand": 2,
        "walk": 8,
        "turn": 6,
        "start": 2,
        "stop": 2,
    }
    for clip in library.values():
        clip.check(spec)  # shapes, finite, inside the joint limits


def test_stance_feet_stay_where_they_are_and_no_sole_is_below_the_floor(
    library: dict[str, PlannedClip], spec: RobotSpec, planner: RoutePlanner
) -> None:
    """The sole point slips by less than 1 mm, and the foot twists about it by what the legs cannot avoid.

    There is no hip yaw: hip roll and pitch together turn the foot, which moves its toe, 0.09 m away, by up to 11 mm;
    in a turn the pelvis yaws over the stance foot besides, 0.45 s at 0.3 rad/s.
    """
    for clip in library.values():
        points = feet_in_world(spec, clip)
        rotation = quat_to_matrix(clip.root_quaternion)
        soles = planner.gait.ik.soles(clip.joint_position, clip.root_position, rotation)
        for foot in range(2):
            for stance in stances(soles[:, foot, :2], clip.contact[:, 2 * foot]):
                assert np.max(np.abs(stance - stance[0])) < 1e-3, clip.name
            toes = stances(points[:, 2 * foot, :2], clip.contact[:, 2 * foot])
            slip = max(float(np.ptp(stance, axis=0).max()) for stance in toes)
            assert slip < (0.016 if clip.name.startswith("turn") else 0.011), clip.name
        rotation = quat_to_matrix(clip.root_quaternion)
        lowest = planner.gait.body.lowest_points(clip.root_position, rotation, clip.joint_position)
        assert lowest.min() > -1e-4, clip.name
        assert np.abs(lowest[clip.contact[:, ::2]]).max() < 1e-4, clip.name


def test_swing_feet_rise_to_the_configured_clearance(
    library: dict[str, PlannedClip], spec: RobotSpec, planner: RoutePlanner
) -> None:
    for clip in library.values():
        if clip.loop and clip.moving.any():
            rotation = quat_to_matrix(clip.root_quaternion)
            height = planner.gait.body.lowest_points(clip.root_position, rotation, clip.joint_position)
            assert np.allclose(height.max(axis=0), SMALL.clearances_m[0], atol=1e-3), clip.name


def test_feet_alternate_and_phase_zero_is_the_left_lift_off(library: dict[str, PlannedClip]) -> None:
    for clip in library.values():
        left, right = clip.contact[:, 0], clip.contact[:, 2]
        assert np.all(left | right), f"{clip.name}: no flight"
        for foot, phase in ((left, 0.0), (right, np.pi)):
            lifts = np.flatnonzero(foot[:-1] & ~foot[1:])
            assert np.allclose(np.cos(clip.phase[lifts] - phase), 1.0), clip.name
        changes = np.flatnonzero((left[:-1] != left[1:]) | (right[:-1] != right[1:]))
        swings = [
            side for k in changes for side, foot in (("L", left), ("R", right)) if foot[k] and not foot[k + 1]
        ]
        assert all(a != b for a, b in pairwise(swings)), clip.name


def test_double_support_lasts_as_long_as_configured(library: dict[str, PlannedClip]) -> None:
    clip = library["walk_v0.30_t18_c30"]
    both = np.sum(clip.contact[:, 0] & clip.contact[:, 2])
    # A foot that lifts or lands within a tick is counted as on the floor at that tick.
    assert both == 2 * (round(SMALL.double_support * 18) + 1)


def test_mean_speed_and_turning_are_those_of_the_command(
    library: dict[str, PlannedClip], spec: RobotSpec
) -> None:
    for clip in library.values():
        if not clip.loop:
            continue
        rotation = quat_to_matrix(clip.root_quaternion)
        forward = np.sum(rotation[:, :, 0] * clip.root_linear_velocity, axis=-1)
        yaw = np.unwrap(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]))
        assert np.mean(forward) == pytest.approx(clip.command[0, 0], abs=3e-3), clip.name
        rate = (yaw[-1] - yaw[0]) / ((len(clip) - 1) * spec.control_dt)
        assert rate == pytest.approx(clip.command[0, 1], abs=1e-6), clip.name


def test_frame_k_is_at_time_k_dt(library: dict[str, PlannedClip], spec: RobotSpec) -> None:
    """Phase, step duration and way walked per frame agree with the control period."""
    clip = library["walk_v0.20_t20_c30"]
    assert len(clip) == 40
    assert np.allclose(clip.phase, 2 * np.pi * np.arange(40) / 40)
    foot = feet_in_world(spec, clip)[:, 2, 0]  # the right foot lands one stride ahead of where it lifted
    assert np.ptp(foot) == pytest.approx(0.20 * 40 * spec.control_dt, abs=2e-3)


def test_velocities_are_the_derivatives_of_the_positions(
    library: dict[str, PlannedClip], spec: RobotSpec
) -> None:
    dt = spec.control_dt
    for clip in library.values():
        inner = slice(1, -1)
        joints = (clip.joint_position[2:] - clip.joint_position[:-2]) / (2 * dt)
        root = (clip.root_position[2:] - clip.root_position[:-2]) / (2 * dt)
        assert np.allclose(clip.joint_velocity[inner], joints, atol=1e-9), clip.name
        tolerance = 1e-9 if clip.name != "stand_sway" else 1e-3  # there the root's is exact, not a difference
        assert np.allclose(clip.root_linear_velocity[inner], root, atol=tolerance), clip.name
        turned = quat_multiply(
            quat_from_rotvec(clip.root_angular_velocity[inner] * 2 * dt), clip.root_quaternion[:-2]
        )
        assert np.allclose(np.abs(np.sum(turned * clip.root_quaternion[2:], axis=-1)), 1.0, atol=1e-9), (
            clip.name
        )


def test_a_looping_clip_goes_on_smoothly(library: dict[str, PlannedClip], spec: RobotSpec) -> None:
    for clip in library.values():
        if clip.loop:
            across = (clip.joint_position[0] - clip.joint_position[-2]) / (2 * spec.control_dt)
            assert np.allclose(across, clip.joint_velocity[-1], atol=1e-4), clip.name


def test_a_straight_gait_mirrored_is_itself_half_a_stride_later(
    library: dict[str, PlannedClip], spec: RobotSpec
) -> None:
    for name in ("walk_v0.30_t18_c30", "walk_v0.06_t20_c30"):
        clip = library[name]
        mirrored = mirror_clip(spec, clip, name)
        half = len(clip) // 2
        for array in ARRAYS:
            if array == "root_position":
                continue
            shifted = np.roll(getattr(clip, array), -half, axis=0)
            value = getattr(mirrored, array)
            if array == "phase":
                assert np.allclose(np.cos(value - shifted), 1.0)
            else:
                assert np.allclose(value, shifted, atol=2e-3), f"{name} {array}"
        sideways = np.roll(clip.root_position[:, 1], -half)
        assert np.allclose(mirrored.root_position[:, 1], sideways, atol=1e-4)


def test_the_library_is_closed_under_the_mirror(library: dict[str, PlannedClip], spec: RobotSpec) -> None:
    twins = {"turn": ("w+", "w-"), "start": ("left", "right"), "stop": ("left", "right")}
    seen = 0
    for name, clip in library.items():
        for kind, (one, other) in twins.items():
            if name.startswith(kind) and one in name:
                twin = library[name.replace(one, other)]
                for array in ARRAYS:
                    assert np.allclose(getattr(mirror_clip(spec, clip, ""), array), getattr(twin, array)), (
                        name
                    )
                assert np.allclose(twin.command[:, 1], -clip.command[:, 1])
                seen += 1
    assert seen == 5


def test_a_mirrored_clip_is_the_mirror_image_in_the_world(
    library: dict[str, PlannedClip], spec: RobotSpec
) -> None:
    clip = library["turn_v0.30_w+0.30_t18_c30"]
    twin = mirror_clip(spec, clip, "")
    expected = feet_in_world(spec, clip)[:, spec.mirror.foot_index] * [1.0, -1.0, 1.0]
    assert np.allclose(feet_in_world(spec, twin), expected, atol=1e-9)


def test_starts_and_stops_join_standing_to_walking(library: dict[str, PlannedClip], spec: RobotSpec) -> None:
    for foot, lift_phase in (("left", 0.0), ("right", np.pi)):
        start, stop = library[f"start_v0.30_t18_{foot}"], library[f"stop_v0.30_t18_{foot}"]
        assert np.allclose(start.joint_position[0], spec.default_joint_pos, atol=2e-3)
        assert np.allclose(stop.joint_position[-1], spec.default_joint_pos, atol=2e-3)
        assert np.abs(start.joint_velocity[0]).max() < 0.1
        assert np.abs(stop.joint_velocity[-1]).max() < 0.02
        assert set(np.unique(start.command[:, 0])) == {0.0, 0.30}
        assert np.array_equal(start.moving, start.command[:, 0] > 0)
        assert np.array_equal(stop.moving, stop.command[:, 0] > 0)
        first_lift = np.flatnonzero(~start.contact.all(axis=1))[0]
        assert np.cos(start.phase[first_lift - 1] - lift_phase) == pytest.approx(1.0)
        # One stride before its end the start walks at speed, and the stop begins where the start ended.
        assert np.mean(start.root_linear_velocity[-36:, 0]) == pytest.approx(0.30, abs=0.02)
        assert np.allclose(
            start.joint_position[-1] + start.joint_velocity[-1] * spec.control_dt,
            stop.joint_position[0],
            atol=0.02,
        )


def test_the_planned_motion_has_its_zmp_on_the_soles(
    library: dict[str, PlannedClip], spec: RobotSpec, planner: RoutePlanner
) -> None:
    clip = library["walk_v0.30_t18_c30"]
    two = [clip, clip]
    advance = np.array([0.30 * len(clip) * spec.control_dt, 0.0, 0.0])
    position = np.concatenate([c.root_position + i * advance for i, c in enumerate(two)])
    quat = np.concatenate([clip.root_quaternion] * 2)
    q = np.concatenate([clip.joint_position] * 2)
    zmp = planner.gait.body.zmp(position, quat, q)[18:54]
    points = np.concatenate([feet_in_world(spec, clip) + i * advance for i in range(2)])[18:54]
    contact = np.concatenate([clip.contact] * 2)[18:54]
    for k in range(len(zmp)):
        touching = points[k, contact[k], :2]
        edge = np.array([0.005, 0.045])  # from the site to the rim of its pad
        low, high = touching.min(axis=0) - edge, touching.max(axis=0) + edge
        assert np.all(zmp[k] > low), k
        assert np.all(zmp[k] < high), k


def test_joint_rates_stay_below_the_servos_no_load_speed_up_to_0_3_m_s(
    library: dict[str, PlannedClip], spec: RobotSpec
) -> None:
    for name in ("walk_v0.06_t18_c30", "walk_v0.20_t18_c30", "walk_v0.30_t18_c30"):
        assert np.all(np.abs(library[name].joint_velocity).max(axis=0) < 0.97 * spec.no_load_speed), name


def test_a_configuration_out_of_reach_is_refused_with_the_clip_s_name(spec: RobotSpec) -> None:
    with pytest.raises(UserError, match=r"walk_v0\.90"):
        build_gait_library(spec, replace(SMALL, speeds_m_s=(0.90,), longest_step_m=1.0))
