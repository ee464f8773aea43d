"""Reward terms by hand, and that every weight has its term."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from training_helpers import walking_environment

from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.tasks import rewards
from wildrobot.training.tasks.clip_library import ClipLibrary
from wildrobot.training.tasks.environment import Environment
from wildrobot.training.tasks.tracking import TrackingTask, tracking_layout

E = float(np.exp(-1.0))


def test_a_kernel_pays_all_without_an_error_and_a_share_of_e_at_its_width() -> None:
    np.testing.assert_allclose(rewards.gaussian(np.array([0.0, 0.1, -0.1, 9.0]), 0.1), [1.0, E, E, 0.0])
    both = rewards.two_gaussians(np.array([0.0, 0.1]), 0.1, 0.2)
    np.testing.assert_allclose(both, [1.0, 0.5 * (E + np.exp(-0.25))])


def test_vectors_are_paid_by_their_squared_length() -> None:
    error = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(rewards.squared_distance(error, 0.04), [E, 1.0])


def test_upright_is_paid_by_the_cosine_of_the_tilt() -> None:
    up = np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8]])
    np.testing.assert_allclose(rewards.upright(up, 0.2), [1.0, E])


def test_contacts_are_right_where_the_plan_leaves_them_open() -> None:
    planned = np.array([[1.0, 0.0, np.nan, 1.0]])
    contact = np.array([[True, True, False, False]])
    np.testing.assert_array_equal(rewards.contact_as_planned(contact, planned), [0.5])
    np.testing.assert_array_equal(rewards.same_contact(contact, np.array([[True] * 4])), [0.5])


def test_only_the_foot_in_mid_swing_is_asked_for_height() -> None:
    clock = np.array([[0.9, 0.4], [-0.9, 0.4], [0.5, 0.9], [0.9, 0.4]])
    height = np.array([[0.01, 0.0], [0.01, 0.05], [0.0, 0.0], [0.0, 0.0]])
    moving = np.array([True, True, True, False])
    found = rewards.swing_clearance(clock, height, moving, 0.8, 0.04)
    np.testing.assert_allclose(found, [0.25, 1.0, 1.0, 1.0])


def test_standing_still_is_asked_of_those_who_stand_up_to_a_bound() -> None:
    offset, velocity = np.array([[0.1, 0.2], [0.1, 0.2], [2.0, 0.0]]), np.array([[1.0, 1.0]] * 3)
    moving = np.array([True, False, False])
    np.testing.assert_allclose(rewards.stand_still(offset, velocity, moving, 0.05, 1.0), [0.0, 0.15, 1.0])


def test_only_soles_that_carry_slip_and_only_sideways_up_to_a_bound() -> None:
    step = np.array([[[0.003, 0.004, 0.1], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    contact = np.array([[True, True, False, True]])
    np.testing.assert_allclose(rewards.slip(contact, step, 0.02, 1.0), [(0.25 + 1.0) / 4.0])


def test_the_pelvis_is_paid_for_where_it_is_and_how_it_moves() -> None:
    error, turn = np.array([[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([0.0, 0.5])
    np.testing.assert_allclose(rewards.root_velocity(error, turn, 100.0, 4.0), [E, E])
    drift, yaw = np.array([[0.3, 0.4, 0.0], [0.0, 0.0, 0.1], [0.0, 0.0, 0.0]]), np.array([0.0, 0.0, 0.5])
    np.testing.assert_allclose(rewards.root_position(drift, yaw, 4.0, 100.0, 4.0), [E, E, E])


def test_feet_that_touch_are_too_near() -> None:
    np.testing.assert_allclose(
        rewards.feet_too_near(np.array([-0.01, 0.0, 0.01, 0.04, 9.0]), 0.04), [1.0, 1.0, 0.75, 0.0, 0.0]
    )


def test_terms_are_counted_as_their_weights_say() -> None:
    @dataclasses.dataclass
    class Weights:
        one: float = 2.0
        other: float = -1.0

    found = rewards.weighted({"one": np.array([3.0]), "other": np.array([0.5])}, Weights())
    assert {name: value.tolist() for name, value in found.items()} == {"one": [6.0], "other": [-0.5]}
    with pytest.raises(AttributeError, match="third"):
        rewards.weighted({"third": np.array([1.0])}, Weights())


def test_every_weight_of_a_task_has_its_term(
    spec: RobotSpec, small_reference: ReferenceDataset, squat: PlannedClip
) -> None:
    sim = Simulation(spec, 2, threads=1)
    tracking = TrackingTask(spec, ClipLibrary(spec, [squat], 50), sim, seed=0)
    for env in (
        walking_environment(spec, small_reference),
        Environment(spec, sim, tracking, tracking_layout(spec), 1),
    ):
        terms = env.reset().rewards.terms
        assert list(terms) == [field.name for field in dataclasses.fields(env.task.config.weights)]
