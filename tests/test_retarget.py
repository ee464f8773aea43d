"""Retargeted motion: the person's walk with the robot's legs, balance and servos."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_walker import Walker, amass_arrays, write_bvh

from wildrobot.core.rotations import quat_to_matrix, rotate
from wildrobot.robot_description import load_robot
from wildrobot.training.reference.capture.amass import load_amass
from wildrobot.training.reference.capture.bvh import load_bvh
from wildrobot.training.reference.capture.human_motion import HumanMotion
from wildrobot.training.reference.capture.retarget import Rejection, RetargetConfig, retarget
from wildrobot.training.reference.capture.skeleton import find_body
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.leg_ik import LegIK
from wildrobot.training.reference.plan.whole_body import WholeBody

SPEC = load_robot()
CALM = Walker(steps=12, step_length=0.16)
"""A slow walk, within what the robot can do without easing."""
CLIP = Path(os.environ.get("WILDROBOT_MOCAP", Path(__file__).parents[2] / "shared" / "mocap" / "131_02.bvh"))
Result = tuple[dict[str, PlannedClip], list[Rejection]]


def by_name(found: tuple[list[PlannedClip], list[Rejection]]) -> Result:
    return {clip.name.split("_", 1)[-1]: clip for clip in found[0]}, found[1]


def retarget_walker(
    folder: Path, walker: Walker, config: RetargetConfig | None = None, **keywords: object
) -> Result:
    path = write_bvh(folder / "walk.bvh", walker, **keywords)
    return by_name(retarget(SPEC, load_bvh(path), config or RetargetConfig(cycle_speeds_m_s=())))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return retarget_walker(tmp_path_factory.mktemp("calm"), CALM, RetargetConfig(cycle_speeds_m_s=(0.3,)))


@pytest.fixture(scope="module")
def clips(calm: Result) -> dict[str, PlannedClip]:
    return calm[0]


def soles(clip: PlannedClip) -> np.ndarray:
    """World positions (T, 4, 3) of the foot points, by forward kinematics."""
    points = SPEC.kinematics.foot_points(clip.joint_position)
    return clip.root_position[:, None] + rotate(quat_to_matrix(clip.root_quaternion)[:, None], points)


def test_a_walk_gives_standing_start_walk_stop_and_a_loop(calm: Result) -> None:
    clips, rejected = calm
    assert set(clips) == {"stand", "start", "walk", "stop", "cycle", "cycle_v0.30"}
    assert rejected == []
    assert {name for name, clip in clips.items() if clip.loop} == {"cycle", "cycle_v0.30"}


def test_frames_are_at_multiples_of_the_control_period(clips: dict[str, PlannedClip]) -> None:
    """Velocities are the differences of the positions at k * 0.02 s: no frame is early, late or doubled."""
    for clip in clips.values():
        difference = (clip.joint_position[2:] - clip.joint_position[:-2]) / (2 * SPEC.control_dt)
        np.testing.assert_allclose(clip.joint_velocity[1:-1], difference, atol=1e-9)
        travel = (clip.root_position[2:] - clip.root_position[:-2]) / (2 * SPEC.control_dt)
        np.testing.assert_allclose(clip.root_linear_velocity[1:-1], travel, atol=1e-9)


def test_time_is_froude_scaled_and_steps_are_as_long_as_the_legs_make_them(
    clips: dict[str, PlannedClip],
) -> None:
    ratio = SPEC.leg.length / 0.811
    stride_s = len(clips["cycle"]) * SPEC.control_dt
    assert stride_s == pytest.approx(2 * CALM.step_s * np.sqrt(ratio), abs=0.03)
    person = CALM.step_length / CALM.step_s
    assert clips["cycle"].command[0, 0] == pytest.approx(person * np.sqrt(ratio), rel=0.06)
    assert clips["cycle_v0.30"].command[0, 0] == pytest.approx(0.30)
    for name in ("cycle", "cycle_v0.30", "walk"):
        clip = clips[name]
        speed = (clip.root_position[-1, 0] - clip.root_position[0, 0]) / ((len(clip) - 1) * SPEC.control_dt)
        assert speed == pytest.approx(float(clip.command[:, 0].mean()), rel=0.08)


def test_phase_is_zero_where_the_left_swing_begins_and_pi_where_the_right_one_does(
    clips: dict[str, PlannedClip],
) -> None:
    for name in ("start", "walk", "stop", "cycle"):
        clip = clips[name]
        for foot, phase in ((0, 0.0), (1, np.pi)):
            down = clip.contact[:, 2 * foot]
            lifted = np.flatnonzero(
                down[:-1] & ~down[1:]
            )  # the last tick on the floor is the tick of lifting
            lifted = lifted[clip.moving[lifted]]
            assert len(lifted) >= (1 if name == "cycle" and foot else 0)
            error = np.angle(np.exp(1j * (clip.phase[lifted] - phase)))
            np.testing.assert_allclose(error, 0.0, atol=1e-6)
        advance = np.angle(np.exp(1j * np.diff(clip.phase[clip.moving])))
        assert np.all(advance > 0.0)


def test_standing_feet_neither_slip_nor_sink(clips: dict[str, PlannedClip]) -> None:
    body = WholeBody(SPEC)
    for clip in clips.values():
        rotation = quat_to_matrix(clip.root_quaternion)
        lowest = body.lowest_points(clip.root_position, rotation, clip.joint_position)
        assert lowest.min() > -1e-4, clip.name
        for foot in range(2):
            down = clip.contact[1:, 2 * foot] & clip.contact[:-1, 2 * foot]
            # The sole point, on the line from heel to toe; the ends of a leaning sole move a little.
            sole = LegIK(SPEC).soles(clip.joint_position, clip.root_position, rotation)[:, foot, :2]
            slip = np.linalg.norm(np.diff(sole, axis=0), axis=-1)[down]
            assert slip.max(initial=0.0) < 1e-3, clip.name
            assert np.abs(lowest[clip.contact[:, 2 * foot], foot]).max() < 1e-3, clip.name


def test_the_motion_is_within_the_servos_and_the_robots_posture(clips: dict[str, PlannedClip]) -> None:
    for clip in clips.values():
        clip.check(SPEC)
        assert np.all(np.abs(clip.joint_velocity) <= 0.9 * SPEC.no_load_speed)
        hip = clip.root_position[:, 2] - SPEC.leg.hip_drop
        assert hip.min() > 0.37
        assert hip.max() < 0.44
        if clip.moving.all():
            gap = WholeBody(SPEC).lowest_points(
                clip.root_position, quat_to_matrix(clip.root_quaternion), clip.joint_position
            )
            assert np.all(gap.max(axis=0) > 0.02), "both feet leave the floor"
            assert gap.max() < 0.035


def test_a_loop_closes(clips: dict[str, PlannedClip]) -> None:
    for name in ("cycle", "cycle_v0.30"):
        clip = clips[name]
        following = clip.joint_position[-1] + SPEC.control_dt * clip.joint_velocity[-1]
        np.testing.assert_allclose(following, clip.joint_position[0], atol=0.02)
        np.testing.assert_allclose(clip.joint_velocity[-1], clip.joint_velocity[0], atol=0.9)
        assert abs(clip.root_position[-1, 1] + SPEC.control_dt * clip.root_linear_velocity[-1, 1]) < 1e-3


def test_starts_and_stops_begin_and_end_at_rest_with_a_zero_command(clips: dict[str, PlannedClip]) -> None:
    start, stop = clips["start"], clips["stop"]
    for clip, at in ((start, 0), (stop, -1)):
        assert not clip.moving[at]
        np.testing.assert_array_equal(clip.command[at], 0.0)
        assert np.abs(clip.joint_velocity[at]).max() < 0.1
        assert clip.contact[at].all()
    assert start.moving[-1]
    assert stop.moving[0]
    assert start.command[-1, 0] > 0.1


def test_the_robot_stands_before_and_after_a_walk_as_it_does_at_home(clips: dict[str, PlannedClip]) -> None:
    """With the pelvis as far before the soles: it neither leans forward after the last step nor elsewhere."""
    ik = LegIK(SPEC)
    home = float(ik.soles(SPEC.default_joint_pos)[:, 0].mean())
    for name, at in (("start", 0), ("stop", -1), ("stand", 0), ("stand", -1)):
        clip = clips[name]
        rotation = quat_to_matrix(clip.root_quaternion[at])
        soles = ik.soles(clip.joint_position[at], clip.root_position[at], rotation)
        assert soles[:, 0].mean() - clip.root_position[at, 0] == pytest.approx(home, abs=2e-3), name
    legs = [joint for joint in range(SPEC.num_joints) if joint not in SPEC.joints_of("waist_yaw")]
    np.testing.assert_allclose(
        clips["stand"].joint_position[:, legs],
        np.tile(SPEC.default_joint_pos[legs], (len(clips["stand"]), 1)),
        atol=2e-3,
    )


def test_a_swing_foot_spares_its_ankle(tmp_path: Path) -> None:
    """Toes down as far as the ankle needs, to stay 0.03 rad from the end of its range, and no sole below the floor."""
    clips, _ = retarget_walker(tmp_path, Walker(steps=12, step_length=0.55))
    ankles, sign = LegIK(SPEC).role["ankle_pitch"], LegIK(SPEC).sign["ankle_pitch"]
    lower = np.minimum(sign * SPEC.joint_lower[ankles], sign * SPEC.joint_upper[ankles])
    nearest = np.inf
    for clip in clips.values():
        airborne = ~clip.contact[:, [0, 2]]
        margin = (sign * clip.joint_position[:, ankles] - lower)[airborne]
        nearest = min(nearest, margin.min(initial=np.inf))
        lowest = WholeBody(SPEC).lowest_points(
            clip.root_position, quat_to_matrix(clip.root_quaternion), clip.joint_position
        )
        assert np.abs(lowest[~airborne]).max() < 1e-8, clip.name
    assert nearest == pytest.approx(0.03, abs=1e-4)


def test_the_torso_turns_with_the_shoulders(clips: dict[str, PlannedClip]) -> None:
    waist = clips["cycle"].joint_position[:, 0]
    expected = CALM.twist * np.sin(clips["cycle"].phase)
    assert np.corrcoef(waist, expected)[0, 1] > 0.9, "to the left while the left foot swings"
    assert np.ptp(waist) == pytest.approx(2 * CALM.twist, rel=0.1)


def turned(motion: HumanMotion, yaw: float) -> HumanMotion:
    cos, sin = np.cos(yaw), np.sin(yaw)
    motion = motion.z_up()
    return motion.turned(np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("yaw_deg", [90.0, 180.0, -37.0])
def test_the_direction_a_person_faces_changes_nothing(
    tmp_path: Path, clips: dict[str, PlannedClip], yaw_deg: float
) -> None:
    other, _ = by_name(
        retarget(
            SPEC,
            turned(load_bvh(write_bvh(tmp_path / "walk.bvh", CALM)), np.radians(yaw_deg)),
            RetargetConfig(),
        )
    )
    for name, clip in clips.items():
        np.testing.assert_allclose(other[name].joint_position, clip.joint_position, atol=1e-6)
        np.testing.assert_allclose(other[name].root_position, clip.root_position, atol=1e-6)
        np.testing.assert_allclose(other[name].command, clip.command, atol=1e-6)


def test_forward_is_plus_x_in_the_clip(tmp_path: Path) -> None:
    """Also for a file that faces and walks towards its own -x."""
    clips, _ = retarget_walker(tmp_path, CALM, yaw=-np.pi / 2)
    assert clips["walk"].root_position[-1, 0] > 0.2
    np.testing.assert_allclose(
        clips["walk"].root_quaternion, [[1.0, 0.0, 0.0, 0.0]] * len(clips["walk"]), atol=1e-6
    )


def test_a_mirrored_person_gives_the_mirrored_clip(tmp_path: Path, clips: dict[str, PlannedClip]) -> None:
    motion = find_body(load_bvh(write_bvh(tmp_path / "walk.bvh", CALM))).motion
    mirror = motion.positions * [1.0, -1.0, 1.0]  # facing -y or not: any vertical plane will do
    other, _ = by_name(retarget(SPEC, replace(motion, positions=mirror), RetargetConfig(cycle_speeds_m_s=())))
    index, sign = SPEC.mirror.joint_index, SPEC.mirror.joint_sign
    for name in ("start", "walk", "stop"):
        np.testing.assert_allclose(
            other[name].joint_position, sign * clips[name].joint_position[:, index], atol=1e-4
        )
        np.testing.assert_array_equal(other[name].contact, clips[name].contact[:, SPEC.mirror.foot_index])
        turns = np.angle(np.exp(1j * (other[name].phase - clips[name].phase - np.pi)))
        np.testing.assert_allclose(turns[clips[name].moving], 0.0, atol=1e-6)


def test_a_brisk_walk_is_eased_until_the_servos_can_follow(tmp_path: Path) -> None:
    clips, _ = retarget_walker(tmp_path, Walker(steps=12, step_length=0.55))
    cycle = clips["cycle"]
    assert np.all(np.abs(cycle.joint_velocity) <= 0.9 * SPEC.no_load_speed)
    assert 0.2 < cycle.command[0, 0] <= 0.5
    assert "servos 1.00" not in cycle.source
    assert "steps x 1.00" not in cycle.source


def test_what_the_servos_cannot_do_is_rejected_with_the_joint_and_its_rate(tmp_path: Path) -> None:
    config = RetargetConfig(cycle_speeds_m_s=(), rate_share=0.3, eases=2)
    clips, rejected = retarget_walker(tmp_path, CALM, config)
    assert set(clips) == {"stand"}
    assert {item.name for item in rejected} == {"walk_walk", "walk_cycle"}
    for item in rejected:
        assert "knee_pitch" in item.figure
        assert item.limit == pytest.approx(0.3 * SPEC.no_load_speed[0])
        assert item.value > item.limit


def test_a_kick_ends_the_walk_and_is_named(tmp_path: Path) -> None:
    clips, rejected = retarget_walker(tmp_path, replace(CALM, kick_step=6))
    (kick,) = [item for item in rejected if "foot lift" in item.figure]
    assert "left swing at 4." in kick.name
    assert kick.value > kick.limit
    assert {name.split("_")[0] for name in clips} == {"1", "2", "stand"}, "a bout before it, a bout after it"


def test_too_few_steps_are_rejected_by_their_number(tmp_path: Path) -> None:
    clips, rejected = retarget_walker(tmp_path, Walker(steps=2, step_length=0.3))
    assert set(clips) == {"stand"}
    assert [(item.figure, item.value, item.limit) for item in rejected] == [("strides", 1.0, 2.0)]


def test_amass_and_bvh_of_one_person_give_nearly_the_same_walk(
    tmp_path: Path, clips: dict[str, PlannedClip]
) -> None:
    np.savez(tmp_path / "walk.npz", **amass_arrays(CALM))
    other, _ = by_name(retarget(SPEC, load_amass(tmp_path / "walk.npz"), RetargetConfig(cycle_speeds_m_s=())))
    assert other["cycle"].command[0, 0] == pytest.approx(clips["cycle"].command[0, 0], rel=0.1)
    assert len(other["cycle"]) == len(clips["cycle"])


@pytest.mark.skipif(
    not CLIP.exists(), reason="the recording is not part of the project; WILDROBOT_MOCAP names it"
)
def test_a_recorded_walk_gives_walking_clips_and_named_rejections() -> None:
    clips, rejected = by_name(retarget(SPEC, load_bvh(CLIP), RetargetConfig()))
    walking = [clip for clip in clips.values() if clip.moving.all()]
    assert len(walking) >= 2
    assert any(clip.loop for clip in walking)
    for clip in walking:
        assert 0.1 < clip.command[:, 0].mean() <= 0.5
    assert all(np.isfinite(item.value) and item.figure for item in rejected)
    assert any("foot lift" in item.figure for item in rejected), "the clip has two kicks"
