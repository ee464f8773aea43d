"""The walking task: where episodes begin, what is commanded, and what is paid."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from training_helpers import walking_environment

from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.simulation import Truth
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.tasks.environment import StepData, pelvis_motion
from wildrobot.training.tasks.rewards import planned_contact
from wildrobot.training.tasks.walking import WalkingKernels


@pytest.mark.parametrize("speed", [0.0, 0.2])
def test_episodes_begin_in_the_reference_s_states_with_its_command_and_phase(
    spec: RobotSpec, walking_reference: ReferenceDataset, speed: float
) -> None:
    reference = copy.deepcopy(walking_reference)
    reference.arrays["command"][:, 0] = speed
    env = walking_environment(spec, reference, rows=8, reference_resets=1.0)
    step = env.reset()
    states = reference.qpos[:, 7:]
    for row in range(8):
        distance = np.abs(states - env.sim.qpos[row, 7:]).max(axis=1)
        frame = int(np.argmin(distance))
        assert distance[frame] < 1e-6
        assert step.signal.command[row, 0] == pytest.approx(speed)
        phase = float(reference.phase[frame])
        clock = [np.sin(phase), np.cos(phase)] if speed else [0.0, 0.0]
        np.testing.assert_allclose(step.signal.gait_clock[row], clock, atol=1e-5)


def test_the_other_episodes_stand_at_home_commanded_to_stand(
    spec: RobotSpec, small_reference: ReferenceDataset
) -> None:
    env = walking_environment(spec, small_reference, reference_resets=0.0)
    step = env.reset()
    np.testing.assert_array_equal(step.signal.command, 0.0)
    np.testing.assert_array_equal(step.signal.gait_clock, 0.0)
    assert np.abs(env.sim.qpos[:, env.sim.joint_qpos] - spec.default_joint_pos).max() < 0.1


def test_commands_change_and_are_exactly_zero_or_within_their_ranges(
    spec: RobotSpec, small_reference: ReferenceDataset
) -> None:
    env = walking_environment(
        spec,
        small_reference,
        rows=64,
        command_s=(0.02, 0.06),
        stand_share=0.3,
        turn_share=0.5,
        speed=(0.1, 0.5),
        yaw_rate=(-0.3, 0.3),
    )
    env.reset()
    env.task._change_at[:] = 0.0
    commands = []
    for _ in range(60):
        env.task._time += spec.control_dt  # commands alone, without the physics
        commands.append(env.task.command())
    late = np.concatenate(commands[-20:])
    standing = np.all(late == 0.0, axis=-1)
    assert standing.mean() == pytest.approx(0.3, abs=0.06)
    walking = late[~standing]
    assert walking[:, 0].min() >= 0.1
    assert walking[:, 0].max() <= 0.5
    assert np.mean(walking[:, 1] != 0.0) == pytest.approx(0.5, abs=0.08)
    assert np.abs(walking[:, 1]).max() <= 0.3


def test_rewards_know_no_left_and_right(spec: RobotSpec, small_reference: ReferenceDataset) -> None:
    env = walking_environment(spec, small_reference, rows=1)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(5):
        step = env.step(rng.normal(0.0, 0.5, (1, spec.num_joints)))
    task = env.task
    reflect, n = np.array([1.0, -1.0, 1.0]), spec.num_joints
    truth = step.truth
    mirror, feet = spec.mirror, spec.mirror.foot_index

    def flip_joints(values: Any) -> Any:
        return values[:, mirror.joint_index] * mirror.joint_sign

    mirrored_truth = dataclasses.replace(
        truth,
        pelvis_position=truth.pelvis_position * reflect,
        pelvis_quaternion=truth.pelvis_quaternion * [1.0, -1.0, 1.0, -1.0],
        pelvis_linear_velocity=truth.pelvis_linear_velocity * reflect,
        pelvis_angular_velocity=truth.pelvis_angular_velocity * -reflect,
        joint_position=flip_joints(truth.joint_position),
        joint_velocity=flip_joints(truth.joint_velocity),
        foot_force=truth.foot_force[:, feet],
        foot_position=truth.foot_position[:, feet] * reflect,
        saturated=truth.saturated[:, mirror.joint_index],
    )
    command, clock = np.array([[0.3, 0.2]]), np.array([[0.9, np.sqrt(0.19)]])
    action, reset = rng.normal(0.0, 0.5, (1, n)), np.zeros(1, dtype=bool)
    task._filtered = np.array([[0.2, 0.1, 0.1]])
    saved = task.state_dict()

    def paid(seen: Truth, asked: Any, reading: Any, done: Any) -> Any:
        motion = pelvis_motion(seen)
        *_, kept = task.step(seen, motion, done, reset)
        return task.compute_rewards(StepData(done, asked, reading, seen, motion, ~reset, kept))[0]

    plain = paid(truth, command, clock, action)
    task.load_state_dict(saved)
    task._filtered = task._filtered * [1.0, -1.0, -1.0]
    task._last_action = flip_joints(task._last_action)
    task._last_soles = task._last_soles[:, feet] * reflect
    mirrored = paid(mirrored_truth, command * [1.0, -1.0], -clock, flip_joints(action))
    for name, value in plain.items():
        np.testing.assert_allclose(mirrored[name], value, atol=1e-9, err_msg=name)


def test_the_planned_contacts_lift_the_left_foot_in_the_first_half_stride(
    spec: RobotSpec, small_reference: ReferenceDataset
) -> None:
    walking = np.array([True, True, True, False])
    clock = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    planned = planned_contact(clock, walking, spec.foot_side == 0, WalkingKernels().swing_sine)
    np.testing.assert_array_equal(planned[0], [0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(planned[1], [1.0, 1.0, 0.0, 0.0])
    assert np.isnan(planned[2]).all()
    np.testing.assert_array_equal(planned[3], 1.0)
