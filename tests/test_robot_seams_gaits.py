"""Gaits for legs unlike WildRobot's: what the planner computes from the description."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heron_helpers import HERON, PRESET, changed, swap
from synthetic_walker import Walker, write_bvh

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_to_matrix
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.preset import apply_preset
from wildrobot.training.reference.build import BuildConfig, plan_clips
from wildrobot.training.reference.capture.bvh import load_bvh
from wildrobot.training.reference.capture.limbs import LimbFigure
from wildrobot.training.reference.capture.scaling import Ease, scale_walk
from wildrobot.training.reference.capture.segment import find_bouts
from wildrobot.training.reference.capture.skeleton import find_body
from wildrobot.training.reference.capture.walk_plan import WalkPlanner
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.plan.leg_ik import LegIK
from wildrobot.training.reference.plan.whole_body import WholeBody
from wildrobot.training.tasks.tracking import _feet_width


@pytest.fixture(scope="module")
def heron() -> RobotSpec:
    return load_robot(HERON)


@pytest.fixture(scope="module")
def plans(heron: RobotSpec) -> dict[str, PlannedClip]:
    clips, rejected = plan_clips(heron, apply_preset(BuildConfig(), PRESET, "reference"))
    assert not rejected
    return {clip.name: clip for clip in clips}


def test_leg_ik_gives_place_pitch_level_and_heading_of_both_soles(heron: RobotSpec) -> None:
    rng, ik, count = np.random.default_rng(3), LegIK(heron), 200
    sole = np.zeros((count, 2, 3))
    sole[..., 0] = rng.uniform(-0.07, 0.07, (count, 2))
    sole[..., 1] = np.array([0.06, -0.06]) + rng.uniform(-0.02, 0.02, (count, 2))
    sole[..., 2] = rng.uniform(0.0, 0.03, (count, 2))
    pitch, heading = rng.uniform(-0.2, 0.3, (count, 2)), rng.uniform(-0.3, 0.3, (count, 2))
    lean = quat_to_matrix(quat_from_rotvec(rng.normal(0.0, 0.05, (count, 3))))
    position = np.array([0.0, 0.0, 0.40]) + rng.normal(0.0, 0.005, (count, 3))
    q = ik.solve(position, lean, sole, pitch, heading=heading)
    assert np.abs(ik.soles(q, position, lean) - sole).max() < 1e-9
    _, foot = heron.kinematics.sole_frames(q)
    turned = lean[:, None] @ foot
    np.testing.assert_allclose(np.arcsin(-turned[..., 2, 0]), pitch, atol=1e-8)
    np.testing.assert_allclose(turned[..., 2, 1], 0.0, atol=1e-8)
    np.testing.assert_allclose(np.arctan2(turned[..., 1, 0], turned[..., 0, 0]), heading, atol=1e-8)
    knees = heron.joints_of("knee_pitch")
    assert np.all(q[:, knees[0]] < 0.0)  # bent, on either side
    assert np.all(q[:, knees[1]] > 0.0)


def check_standing_feet(heron: RobotSpec, clip: PlannedClip) -> None:
    """They neither slip nor turn nor lean, and are on the floor."""
    ik, body = LegIK(heron), WholeBody(heron)
    rotation = quat_to_matrix(clip.root_quaternion)
    soles = ik.soles(clip.joint_position, clip.root_position, rotation)
    turned = rotation[:, None] @ heron.kinematics.sole_frames(clip.joint_position)[1]
    heading = np.unwrap(np.arctan2(turned[..., 1, 0], turned[..., 0, 0]), axis=0)
    lowest = body.lowest_points(clip.root_position, rotation, clip.joint_position)
    assert lowest.min() > -1e-4, clip.name
    for switch, foot in enumerate(heron.foot_side):
        down = clip.contact[1:, switch] & clip.contact[:-1, switch]
        assert np.abs(np.diff(soles[:, foot, :2], axis=0))[down].max() < 1e-3, clip.name
        assert np.abs(np.diff(heading[:, foot]))[down].max() < 1e-6, clip.name
        assert np.abs(turned[:, foot, 2, 1]).max() < 1e-6, clip.name
        assert np.abs(lowest[clip.contact[:, switch], foot]).max() < 1e-4, clip.name


def test_standing_feet_of_a_plan_neither_slip_nor_turn_nor_lean(
    heron: RobotSpec, plans: dict[str, PlannedClip]
) -> None:
    for clip in plans.values():
        check_standing_feet(heron, clip)


def test_standing_feet_of_a_captured_turn_neither_slip_nor_turn_nor_lean(
    heron: RobotSpec, tmp_path: Path
) -> None:
    """The pelvis turns over a foot that has a hip yaw, as it does in a generated turn."""
    body = find_body(load_bvh(write_bvh(tmp_path / "walk.bvh", Walker(step_length=0.2))))
    config = apply_preset(BuildConfig(), PRESET, "reference").retarget
    (bout,), _ = find_bouts(body, config.segment, "walk")
    walk = scale_walk(LimbFigure(heron, body), bout, config)
    walk = replace(walk, turn_rad=np.linspace(0.0, 0.8, len(walk.feet)))
    clip = WalkPlanner(heron, config).bout("turn", walk, Ease.times(0, config)).clip
    yaw = np.unwrap(2.0 * np.arctan2(clip.root_quaternion[:, 3], clip.root_quaternion[:, 0]))
    assert yaw[-1] - yaw[0] == pytest.approx(0.8, abs=0.01)
    check_standing_feet(heron, clip)


def test_the_phase_begins_with_the_left_swing_though_the_right_foot_is_named_first(
    plans: dict[str, PlannedClip],
) -> None:
    clip = plans["walk_v0.20_t14_c25"]
    right, left = clip.contact.T
    lifts = np.flatnonzero(left[:-1] & ~left[1:])
    assert lifts.size
    assert np.allclose(np.cos(clip.phase[lifts]), 1.0)
    assert np.all(left | right)


def test_a_person_s_walk_becomes_its_own(heron: RobotSpec, tmp_path: Path) -> None:
    path = write_bvh(tmp_path / "walk.bvh", Walker(step_length=0.3))
    config = replace(apply_preset(BuildConfig(), PRESET, "reference"), bvh=(path,))
    clips, _ = plan_clips(heron, config)
    assert {clip.name.removeprefix("walk_").split("_")[0] for clip in clips} >= {
        "stand",
        "start",
        "stop",
        "cycle",
    }
    for clip in clips:
        clip.check(heron)
        assert clip.contact.shape[1] == 2


def without_joints(text: str, *names: str) -> str:
    """The MJCF with these joints' bodies (light ones) taken out and what hung on them hung on their parents."""
    root = ElementTree.fromstring(text)
    for name in names:
        parent, body = next(
            (parent, body)
            for parent in root.iter("body")
            for body in parent.findall("body")
            for joint in body.findall("joint")
            if joint.get("name") == name
        )
        parent.remove(body)
        for child in body.findall("body"):
            places = [
                np.array([float(x) for x in part.get("pos", "0 0 0").split()]) for part in (body, child)
            ]
            child.set("pos", " ".join(f"{x:.12g}" for x in places[0] + places[1]))
            parent.append(child)
        actuators = root.find("actuator")
        assert actuators is not None
        actuators.remove(next(item for item in actuators if item.get("name") == name))
    return ElementTree.tostring(root, encoding="unicode")


def bend_backwards(text: str) -> str:
    return text.replace('axis="0 1 0" range="0 1.9"', 'axis="0 1 0" range="-1.9 0"').replace(
        'axis="0 -1 0" range="-1.9 0"', 'axis="0 -1 0" range="0 1.9"'
    )


@pytest.mark.parametrize("kind", ["no hip yaw", "no hip yaw, no ankle roll", "bird's knees"])
def test_gaits_are_planned_for_other_legs_too(kind: str, tmp_path: Path) -> None:
    stiff, birdlike = "no ankle roll" in kind, kind == "bird's knees"
    lost = [f"{side}_swivel" for side in "rl" if "yaw" in kind]
    lost += [f"{side}_toe" for side in "rl" if stiff]  # the foot's joint becomes the ankle's pitch then

    def description(data: dict[str, Any]) -> None:
        data["joints"] = [joint for joint in data["joints"] if joint["name"] not in lost]
        for joint in data["joints"]:
            joint["home_rad"] *= -1.0 if birdlike else 1.0
            if stiff and joint["name"].endswith("tilt"):
                joint["home_rad"] = -0.45

    def body(text: str) -> str:
        if birdlike:
            return bend_backwards(text).replace('range="-1.4 0.6"', 'range="-0.6 1.4"')
        text = without_joints(text, *lost)
        pitch = '_tilt" axis="0 1 0" range="-0.9 0.8"'
        return text.replace('_tilt" axis="1 0 0" range="-0.4 0.4"', pitch) if stiff else text

    spec = load_robot(changed(tmp_path, description, body))
    preset = apply_preset(BuildConfig(), PRESET, "reference")
    gaits = replace(
        preset.gaits,
        speeds_m_s=(0.2,),
        turn_speeds_m_s=(0.1,),
        turn_rates_rad_s=(0.2,),
        start_speeds_m_s=(0.2,),
    )
    clips, _ = plan_clips(spec, replace(preset, gaits=gaits))
    walk = next(clip for clip in clips if clip.name.startswith("walk"))
    knees = walk.joint_position[:, spec.joints_of("knee_pitch")] * [-1.0, 1.0]
    assert np.all(knees < 0.0) if birdlike else np.all(knees > 0.0)
    for clip in clips:
        rotation = quat_to_matrix(clip.root_quaternion)
        soles = LegIK(spec).soles(clip.joint_position, clip.root_position, rotation)
        for switch, foot in enumerate(spec.foot_side):
            down = clip.contact[1:, switch] & clip.contact[:-1, switch]
            assert np.abs(np.diff(soles[:, foot, :2], axis=0))[down].max() < 1e-3, clip.name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda text: swap('name="l_toe" axis="0 1 0"', 'name="l_toe" axis="0 0.7 -0.7"')(
                swap('name="r_toe" axis="0 1 0"', 'name="r_toe" axis="0 0.7 0.7"')(text)
            ),
            r"l_toe about \[0\.0, 0\.71, -0\.71\] .no role.",
        ),
        (
            swap('_toe" axis="0 1 0" range="-0.9 0.8"', '_toe" axis="1 0 0" range="-0.8 0.8"'),
            r"hip roll, hip pitch, knee and ankle pitch.*heron's left leg has l_swivel",
        ),
    ],
)
def test_legs_that_cannot_be_planned_for_are_named(
    change: Callable[[str], str], words: str, tmp_path: Path
) -> None:
    spec = load_robot(changed(tmp_path, None, change))
    with pytest.raises(UserError, match=words):
        LegIK(spec)


def test_the_feet_s_width_is_that_of_the_boxes_that_may_touch(heron: RobotSpec) -> None:
    assert _feet_width(Simulation(heron, 1, threads=1)) == pytest.approx(2 * 0.038)
