"""From planned clips to the executed reference: timing, repetition, acceptance, and what is written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from training_helpers import no_correction

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_yaw, quat_to_matrix
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference import build as build_module
from wildrobot.training.reference.build import BuildConfig, build
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.reference.execute.record import record
from wildrobot.training.reference.execute.track import Limits, TrackConfig, train_tracker
from wildrobot.training.reference.plan.gait import GaitLibraryConfig, RoutePlanner, steady_gait
from wildrobot.training.tasks.clip_library import ClipLibrary, unroll
from wildrobot.training.tasks.environment import AVERAGED_S, Environment, pelvis_motion
from wildrobot.training.tasks.rewards import feet_too_near
from wildrobot.training.tasks.tracking import TrackingTask, tracking_layout

QUICK = TrackConfig(
    episode_s=1.0, settle_s=0.2, rollouts_per_clip=2, noisy_rollouts_per_clip=0, student_rounds=0
)


@pytest.fixture(scope="module")
def gait(spec: RobotSpec) -> PlannedClip:
    """One stride, 36 ticks, at 0.3 m/s."""
    return steady_gait(RoutePlanner(spec, GaitLibraryConfig()), 0.3, 18, 0.03)


# ---------------------------------------------------------------------- frame k is at t = k dt


def check_frames_are_a_control_period_apart(spec: RobotSpec, clip: PlannedClip) -> None:
    """Phase, joint angles and root of a periodic clip as functions of t = k dt, over the seam, too."""
    dt, count = spec.control_dt, len(clip)
    np.testing.assert_allclose(clip.phase, 2 * np.pi * np.arange(count) / count, atol=1e-9)
    following = np.roll(clip.joint_position, -1, axis=0)
    before = np.roll(clip.joint_position, 1, axis=0)
    np.testing.assert_allclose((following - before) / (2 * dt), clip.joint_velocity, atol=0.15)
    forward = np.diff(clip.root_position[:, 0]) / dt
    middle = 0.5 * (clip.root_linear_velocity[1:, 0] + clip.root_linear_velocity[:-1, 0])
    np.testing.assert_allclose(forward, middle, atol=0.02)


def test_frame_k_of_a_gait_is_at_k_control_periods(spec: RobotSpec, gait: PlannedClip) -> None:
    assert len(gait) == 36
    check_frames_are_a_control_period_apart(spec, gait)


def test_a_stride_is_as_long_as_its_speed_says(spec: RobotSpec, gait: PlannedClip) -> None:
    three = unroll(gait, 3 * len(gait))
    stride = three.root_position[2 * 36] - three.root_position[36]
    np.testing.assert_allclose(stride, [0.3 * 36 * spec.control_dt, 0.0, 0.0], atol=2e-3)


def test_the_tracker_is_asked_for_frame_k_after_k_ticks(spec: RobotSpec, squat: PlannedClip) -> None:
    sim = Simulation(spec, 1, threads=1)
    task = TrackingTask(spec, ClipLibrary(spec, [squat], 50), sim, seed=0, from_start=True)
    env = Environment(spec, sim, task, tracking_layout(spec), 1, 1e6)
    step = env.reset()
    for k in range(30):
        plan = step.obs[0, -task.obs_size :][: spec.num_joints]
        np.testing.assert_allclose(
            plan, squat.joint_position[k + 1] - spec.default_joint_pos, atol=1e-6, err_msg=str(k)
        )
        # the target that the plan's own pose gives is that of the next frame: it has one tick to get there
        target = spec.default_joint_pos + spec.action_scale * task.process_action(np.zeros((1, 9)))[0]
        np.testing.assert_allclose(target, squat.joint_position[k + 1], atol=1e-12)
        step = env.step(np.zeros((1, spec.num_joints)))
    lag = np.abs(step.truth.joint_position[0] - squat.joint_position[30]).max()
    assert lag < np.abs(step.truth.joint_position[0] - squat.joint_position[36]).max()


def test_speed_is_judged_on_the_average_not_on_the_moment(spec: RobotSpec, squat: PlannedClip) -> None:
    """A robot that stays 0.1 m/s behind its plan loses the term as fast as the average forgets."""
    library = ClipLibrary(spec, [squat], 200)
    library.velocity_heading = library.velocity_heading + np.array([0.1, 0.0, 0.0])
    sim = Simulation(spec, 1, threads=1)
    task = TrackingTask(spec, library, sim, seed=0, from_start=True)
    env = Environment(spec, sim, task, tracking_layout(spec), 1, 1e6)
    env.reset()
    paid = [env.step(np.zeros((1, spec.num_joints))).rewards.terms["speed"][0] for _ in range(120)]
    most = task.config.weights.speed
    assert paid[0] > 0.95 * most
    assert 0.2 * most < paid[round(0.5 * AVERAGED_S * spec.control_hz)] < 0.9 * most
    assert paid[-1] == pytest.approx(most * np.exp(-((0.1 / 0.06) ** 2)), abs=0.05)


def test_feet_that_come_together_cost_all_of_it_when_they_touch(spec: RobotSpec, squat: PlannedClip) -> None:
    """Against the distance that the simulator finds between the feet."""
    rolls = np.linspace(0.0, 0.14, 15)
    sim = Simulation(spec, len(rolls), threads=1)
    task = TrackingTask(spec, ClipLibrary(spec, [squat], 50), sim, seed=0, from_start=True)
    qpos, qvel = sim.home(len(rolls))
    for name, sign in (("left_hip_roll", -1.0), ("right_hip_roll", 1.0)):
        qpos[:, sim.joint_qpos[spec.joint_names.index(name)]] += sign * rolls
    sim.reset(np.arange(len(rolls)), qpos, qvel)
    truth = sim.truth()
    apart = task.config.kernels.feet_apart_m
    share = feet_too_near(task._feet_gap(truth, pelvis_motion(truth)), apart)
    data, feet = mujoco.MjData(sim.model), [sim.model.geom(f"{side}_foot").id for side in ("left", "right")]
    distance = np.zeros(len(rolls))
    for row, pose in enumerate(qpos):
        data.qpos[:] = pose
        mujoco.mj_kinematics(sim.model, data)
        distance[row] = mujoco.mj_geomDistance(sim.model, data, *feet, 1.0, None)
    assert share[0] == 0.0
    assert np.all(np.diff(share) >= 0.0)
    assert np.all(share[distance <= 0.0] == 1.0)
    np.testing.assert_allclose(share, np.clip(1.0 - distance / apart, 0.0, 1.0), atol=0.4)  # tilted feet


def test_an_episode_begins_in_the_state_of_its_frame(spec: RobotSpec, gait: PlannedClip) -> None:
    sim = Simulation(spec, 6, threads=1)
    task = TrackingTask(spec, ClipLibrary(spec, [gait], 100), sim, seed=0)
    initial = task.reset(np.arange(6))
    clip = task.library.clips[0]
    assert len(set(task.frame.tolist())) > 1
    for row, frame in enumerate(task.frame):
        np.testing.assert_allclose(initial.qpos[row, :3], clip.root_position[frame])
        np.testing.assert_allclose(initial.qvel[row, :3], clip.root_linear_velocity[frame])
        rotation = quat_to_matrix(clip.root_quaternion[frame])
        np.testing.assert_allclose(initial.qvel[row, 3:6], rotation.T @ clip.root_angular_velocity[frame])
        joints = initial.qpos[row, sim.joint_qpos]
        assert np.abs(joints - clip.joint_position[frame]).max() < 0.06  # the noise of the start
        np.testing.assert_allclose(initial.qvel[row, sim.joint_qvel], clip.joint_velocity[frame])


# ---------------------------------------------------------------------- repetition


def circle(squat: PlannedClip, spec: RobotSpec, yaw: Any) -> PlannedClip:
    """A pelvis on a circle of 0.5 m radius, heading along it, at angles `yaw` (T,)."""
    rate = float(yaw[1] - yaw[0]) * spec.control_hz
    zero = np.zeros_like(yaw)
    count = len(yaw)
    return dataclasses.replace(
        squat,
        joint_position=np.tile(spec.default_joint_pos, (count, 1)),
        joint_velocity=np.zeros((count, spec.num_joints)),
        root_position=np.stack([0.5 * np.sin(yaw), 0.5 * (1.0 - np.cos(yaw)), zero + 0.4], axis=-1),
        root_quaternion=quat_from_yaw(yaw),
        root_linear_velocity=0.5 * rate * np.stack([np.cos(yaw), np.sin(yaw), zero], axis=-1),
        root_angular_velocity=np.stack([zero, zero, zero + rate], axis=-1),
        contact=np.ones((count, 4), dtype=bool),
        command=np.tile([0.5 * rate, rate], (count, 1)),
        phase=zero,
        moving=np.ones(count, dtype=bool),
    )


def test_a_repeated_clip_carries_its_root_on(spec: RobotSpec, squat: PlannedClip) -> None:
    step = 0.6 * spec.control_dt
    clip = circle(squat, spec, step * np.arange(40))
    truth = circle(squat, spec, step * np.arange(200))
    unrolled = unroll(clip, 170)
    assert len(unrolled) == 200
    assert not unrolled.loop
    np.testing.assert_allclose(unrolled.root_position, truth.root_position, atol=1e-3)
    alike = np.abs(np.sum(unrolled.root_quaternion * truth.root_quaternion, axis=-1))
    np.testing.assert_allclose(alike, 1.0, atol=1e-6)
    np.testing.assert_allclose(unrolled.root_linear_velocity, truth.root_linear_velocity, atol=1e-9)
    np.testing.assert_allclose(unrolled.root_angular_velocity, truth.root_angular_velocity, atol=1e-9)


def test_the_seam_is_a_step_like_any_other(spec: RobotSpec, gait: PlannedClip) -> None:
    unrolled = unroll(gait, 100)
    steps = np.linalg.norm(np.diff(unrolled.root_position, axis=0), axis=-1)
    assert steps.max() < 2.0 * np.median(steps)
    joints = np.abs(np.diff(unrolled.joint_position, axis=0)).max(axis=-1)
    assert joints[35] <= joints.max()
    np.testing.assert_allclose(unrolled.joint_position[36:72], gait.joint_position)


def test_a_clip_that_does_not_repeat_stays_as_it_is(squat: PlannedClip) -> None:
    once = dataclasses.replace(squat, loop=False)
    assert unroll(once, 1000) is once
    assert unroll(squat, 50) is squat


# ---------------------------------------------------------------------- clips that cannot be


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("joint_position", np.nan, "joint_position is not finite at frame 3"),
        ("root_linear_velocity", np.inf, "root_linear_velocity is not finite at frame 3"),
        ("joint_position", 9.0, r"waist_yaw is 9\.000 rad at frame 3, outside -0\.524 \.\. 0\.524"),
    ],
)
def test_an_impossible_plan_is_refused_and_the_place_named(
    spec: RobotSpec, squat: PlannedClip, field: str, value: float, message: str
) -> None:
    values = getattr(squat, field).copy()
    values[3, 0] = value
    with pytest.raises(UserError, match=f"clip 'squat': {message}"):
        ClipLibrary(spec, [dataclasses.replace(squat, **{field: values})], 10)


def test_a_plan_of_another_shape_is_refused(spec: RobotSpec, squat: PlannedClip) -> None:
    with pytest.raises(UserError, match=r"command is \(50, 3\), expected \(50, 2\)"):
        dataclasses.replace(squat, command=np.zeros((50, 3))).check(spec)


# ---------------------------------------------------------------------- acceptance


def falling(squat: PlannedClip) -> PlannedClip:
    """The same knee bends, begun with a lean of 0.7 rad: nobody can execute that."""
    lean = np.tile([np.cos(0.35), 0.0, np.sin(0.35), 0.0], (len(squat), 1))
    return dataclasses.replace(squat, name="falling", root_quaternion=lean)


def test_a_rejected_clip_names_the_figure_and_leaves_nothing(spec: RobotSpec, squat: PlannedClip) -> None:
    dataset = record(spec, [falling(squat), squat], no_correction, QUICK, seed=0)
    rejected, accepted = dataset.clips
    assert (rejected["name"], rejected["accepted"], accepted["accepted"]) == ("falling", False, True)
    assert "survival 0.00 < 0.5" in rejected["reason"]
    assert accepted["reason"] == ""
    assert set(dataset.meta["rollout_clip"]) == {1}


@pytest.mark.parametrize(
    "figure", ["joint_rmse_rad", "saturation", "sole_depth_m", "weight_error", "self_collision"]
)
def test_every_limit_rejects_by_its_name(spec: RobotSpec, squat: PlannedClip, figure: str) -> None:
    strict = dataclasses.replace(QUICK, limits=dataclasses.replace(Limits(), **{figure: -1.0}))
    with pytest.raises(UserError, match=rf"no clip was accepted: squat: {figure} .* > -1\.0"):
        record(spec, [squat], no_correction, strict, seed=0)


def test_a_clip_that_crosses_its_legs_touches_itself(spec: RobotSpec, squat: PlannedClip) -> None:
    crossed = squat.joint_position.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        crossed[:, spec.joint_names.index(f"{side}_hip_roll")] = -0.17 * sign
    feet = spec.kinematics.foot_points(crossed[0])
    assert feet[0, 1] - feet[2, 1] < 0.09  # narrower than a foot is wide
    clip = dataclasses.replace(squat, name="crossed", joint_position=crossed)
    with pytest.raises(UserError, match=r"crossed: .*self_collision"):
        record(spec, [clip], no_correction, QUICK, seed=0)


def test_another_plan_of_the_same_name_is_another_tracker_s(
    spec: RobotSpec, squat: PlannedClip, tmp_path: Path
) -> None:
    path = tmp_path / "tracker.pt"
    train_tracker(spec, [squat], TINY, seed=0, checkpoint=path)
    other = dataclasses.replace(squat, joint_position=0.99 * squat.joint_position)
    again = train_tracker(spec, [other], TINY, seed=0, checkpoint=path)
    fresh = train_tracker(spec, [other], TINY, seed=0)
    for name, value in fresh.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy(), err_msg=name)


def test_the_recorded_start_of_a_repeating_clip_is_left_out(spec: RobotSpec, squat: PlannedClip) -> None:
    looped = record(spec, [squat], no_correction, QUICK, seed=0)
    once = record(spec, [dataclasses.replace(squat, loop=False)], no_correction, QUICK, seed=0)
    assert np.diff(looped.begin).tolist() == [40, 40]
    assert np.diff(once.begin).tolist() == [50, 50]


def test_a_recording_is_reproducible(spec: RobotSpec, squat: PlannedClip) -> None:
    one, two, other = (record(spec, [squat], no_correction, QUICK, seed=seed) for seed in (0, 0, 1))
    for name, values in one.arrays.items():
        np.testing.assert_array_equal(values, two.arrays[name])
    assert not np.array_equal(one.features, other.features)


# ---------------------------------------------------------------------- the command


TINY = dataclasses.replace(QUICK, iterations=1, num_envs=4, steps=4, hidden=(8,))


def test_build_writes_the_reference_its_table_and_how_it_was_made(
    spec: RobotSpec, squat: PlannedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "build_gait_library", lambda spec, config: [squat, falling(squat)])
    config = BuildConfig(output=tmp_path / "out" / "reference.npz", track=TINY, seed=7)
    build(config)
    dataset = ReferenceDataset.load(config.output, spec)
    assert dataset.meta["provenance"]["seed"] == 7
    assert dataset.meta["provenance"]["config"]["track"]["iterations"] == 1
    summary = json.loads((tmp_path / "out" / "reference.json").read_text())
    assert (summary["clips"], summary["accepted"]) == (2, 1)
    reasons = {entry["name"]: entry["reason"] for entry in summary["table"]}
    assert reasons["squat"] == ""
    assert "survival" in reasons["falling"]


def test_an_unfinished_tracker_is_continued_to_the_bit(
    spec: RobotSpec, squat: PlannedClip, tmp_path: Path
) -> None:
    two, one = (dataclasses.replace(TINY, iterations=count) for count in (2, 1))
    whole = train_tracker(spec, [squat], two, seed=0)
    train_tracker(spec, [squat], one, seed=0, checkpoint=tmp_path / "tracker.pt")
    continued = train_tracker(spec, [squat], two, seed=0, checkpoint=tmp_path / "tracker.pt")
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), continued.state_dict()[name].numpy(), err_msg=name)


@pytest.mark.parametrize("change", [{"hidden": (4,)}, {"num_envs": 6}])
def test_a_tracker_of_another_configuration_is_trained_anew(
    spec: RobotSpec, squat: PlannedClip, tmp_path: Path, change: dict[str, Any]
) -> None:
    train_tracker(spec, [squat], TINY, seed=0, checkpoint=tmp_path / "tracker.pt")
    other = dataclasses.replace(TINY, **change)
    again = train_tracker(spec, [squat], other, seed=0, checkpoint=tmp_path / "tracker.pt")
    fresh = train_tracker(spec, [squat], other, seed=0)
    for name, value in fresh.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy(), err_msg=name)
