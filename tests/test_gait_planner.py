"""What gaits are planned with: pendulum, turning rates, inverse kinematics of the legs."""

from __future__ import annotations

import numpy as np
import pytest

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_from_yaw, quat_to_matrix
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.plan.gait_planner import angular_velocity
from wildrobot.training.reference.plan.leg_ik import LegIK
from wildrobot.training.reference.plan.lipm import Carry, pendulum_motion


def test_the_pendulum_follows_the_closed_form_of_a_steady_walk() -> None:
    omega, step, dt, length = 6.0, 0.36, 1e-4, 0.1
    ticks = round(step / dt)
    feet = np.repeat([0.0, length], ticks)
    zmp = np.append(feet, 2 * length)[:, None]
    x, velocity = pendulum_motion(zmp, omega, dt, Carry(np.eye(1), np.array([2 * length])))
    tau = np.arange(ticks) * dt - 0.5 * step
    expected = 0.5 * length * np.sinh(omega * tau) / np.sinh(0.5 * omega * step)
    assert np.allclose(x[:ticks, 0], expected, atol=length * omega * dt)
    speed = 0.5 * length * omega * np.cosh(omega * tau) / np.sinh(0.5 * omega * step)
    assert np.allclose(velocity[:ticks, 0], speed, atol=length * omega**2 * dt)


def test_the_pendulum_solves_its_equation_and_rests_at_both_ends() -> None:
    omega, dt = 5.0, 0.02
    zmp = np.interp(np.arange(300) * dt, [2.0, 2.1, 2.5, 2.8, 3.4], [0.0, -0.1, 0.2, 0.2, 0.05])[:, None]
    x, velocity = pendulum_motion(zmp, omega, dt)
    acceleration = (x[2:] - 2 * x[1:-1] + x[:-2]) / dt**2
    smooth = np.abs(np.diff(zmp, n=2, axis=0)) < 1e-12  # a kink of the ZMP is a jump of the jerk
    assert np.max(np.abs(acceleration - omega**2 * (x - zmp)[1:-1])[smooth]) < 5e-3 * np.max(
        np.abs(acceleration)
    )
    assert abs(velocity[0, 0]) < 1e-4
    assert abs(velocity[-1, 0]) < 1e-4


def test_a_period_of_a_turn_carries_on_into_the_next() -> None:
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    carry = Carry(turn, np.array([0.2, 0.05]))
    zmp = np.random.default_rng(0).normal(0.0, 0.05, (37, 2))
    zmp[-1] = carry.forth(zmp[0])
    x, velocity = pendulum_motion(zmp, 6.0, 0.02, carry)
    assert np.allclose(x[-1], carry.forth(x[0]), atol=1e-12)
    assert np.allclose(velocity[-1], velocity[0] @ turn.T, atol=1e-12)
    assert np.allclose(carry.back(carry.forth(x)), x, atol=1e-12)


@pytest.mark.parametrize("rad_per_tick", [0.1, 0.5 * np.pi, -1.5, 1e-9])
def test_a_heading_turns_on_through_any_angle(rad_per_tick: float) -> None:
    """Half a turn from one neighbour to the other is half a turn, not nothing, also beyond the full circle."""
    dt, ticks = 0.02, np.arange(30)
    quat = quat_from_yaw(rad_per_tick * ticks)
    rate = angular_velocity(quat, dt)
    assert np.allclose(rate[:, :2], 0.0)
    turn = np.abs(rate[1:-1, 2]) if rad_per_tick == 0.5 * np.pi else np.sign(rad_per_tick) * rate[1:-1, 2]
    assert np.allclose(turn, np.abs(rad_per_tick) / dt, rtol=1e-6)
    # Exactly half a turn, where the quaternion between has no real part and either way round is as short.
    flip = angular_velocity(np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]), dt)
    assert np.allclose(np.abs(flip), [0.0, 0.0, 0.5 * np.pi / dt])


def test_leg_ik_inverts_forward_kinematics_at_a_tilted_pelvis(spec: RobotSpec) -> None:
    rng = np.random.default_rng(1)
    ik, count = LegIK(spec), 500
    q = np.zeros((count, spec.num_joints))
    for leg in ik.joints:
        q[:, leg] = rng.uniform([-0.9, -0.17, 0.3, -0.6], [0.08, 0.30, 1.3, 0.6], (count, 4))
        q[:, leg[3]] -= q[:, leg[0]] + q[:, leg[2]]  # the sole within 0.6 rad of level
    rotation = quat_to_matrix(quat_from_rotvec(rng.normal(0.0, 0.15, (count, 3))))
    position = rng.normal(0.0, 1.0, (count, 3))
    points = position[:, None] + spec.kinematics.foot_points(q) @ np.swapaxes(rotation, -1, -2)
    span = points.reshape(count, 2, 2, 3)[:, :, 0] - points.reshape(count, 2, 2, 3)[:, :, 1]
    pitch = -np.arcsin(span[..., 2] / np.linalg.norm(span, axis=-1))
    soles = ik.soles(q, position, rotation)
    found = ik.solve(position, rotation, soles, pitch)
    again = position[:, None] + spec.kinematics.foot_points(found) @ np.swapaxes(rotation, -1, -2)
    assert np.max(np.abs(ik.soles(found, position, rotation) - soles)) < 1e-9
    assert np.max(np.abs(again[..., 2] - points[..., 2])) < 1e-9  # so the pitch is right too
    assert np.max(np.abs(found - q)) < 1e-6


def test_leg_ik_names_what_is_out_of_reach(spec: RobotSpec) -> None:
    sole = np.array([[0.0, 0.09, 0.0], [0.0, -0.09, 0.0]])
    with pytest.raises(UserError, match="out of the leg's reach"):
        LegIK(spec).solve(np.array([0.0, 0.0, 0.60]), np.eye(3), sole, np.zeros(2), "too high")
