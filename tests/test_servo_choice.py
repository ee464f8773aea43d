"""Another servo or supply in every joint: the maker's figures, scaled as a DC motor's, are what the simulation does."""

from __future__ import annotations

from functools import cache
from typing import Any

import mujoco
import numpy as np
import pytest

from wildrobot.core.errors import UserError
from wildrobot.robot_description import load_robot
from wildrobot.simulation.randomization.config import Randomization
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.evaluation import SERVOS

HAND_COMPUTED = {
    ("XM430-W350-T", 11.1): (3.7925, 4.4585),
    ("XM430-W350-T", 12.0): (4.1, 4.82),
    ("XM430-W350-T", 14.8): (5.056667, 5.944667),
    ("XM430-W210-T", 12.0): (3.0, 8.06),
}
"""Stall torque (N m) and no-load speed (rad/s): those at 12 V times supply / 12 V."""
XM430_W350_TABLE = ((11.1, 3.8, 43.0), (14.8, 4.8, 57.0))
"""The maker's figures at other supplies (V): stall torque (N m), no-load speed (rev/min)."""
STALL_PER_RAD = 800 / 128 / 885 * 4096 / (2.0 * np.pi)
"""Share of the stall torque per radian: P gain 800 in 1/128 duty units per count, of 885 units and 4096 counts."""


@cache
def simulated(servo: str, volts: float) -> Simulation:
    """One robot with this servo in every joint, on this supply."""
    return Simulation(load_robot(servo=servo), 1, 0, Randomization(voltage_v=(volts, volts)), threads=1)


def torque_at(sim: Simulation, speed: float, ahead: float) -> Any:
    """Torque (n,) N m of the servos when every joint turns at `speed` rad/s and its goal is `ahead` rad away.

    What the motor gives less its back-EMF, by MuJoCo from the fields of the simulated robot; dry friction is apart.
    """
    model, data = sim.model, sim.batch.get_data(0)
    for name, values in sim.robots.field.items():
        if name.startswith(("actuator_", "dof_")):
            getattr(model, name)[:] = values[0]
    data.qvel[:] = 0.0
    data.qvel[sim.joint_qvel] = speed
    for name in sim.spec.joint_names:
        data.ctrl[model.actuator(name).id] = data.joint(name).qpos[0] + ahead
    mujoco.mj_forward(model, data)
    return data.qfrc_actuator[sim.joint_qvel] + data.qfrc_passive[sim.joint_qvel]


def test_every_servo_and_supply_that_is_evaluated_is_checked_here() -> None:
    assert set(HAND_COMPUTED) == set(SERVOS)


@pytest.mark.parametrize(("servo", "volts"), HAND_COMPUTED)
def test_the_simulated_line_goes_from_stall_torque_to_no_load_speed(servo: str, volts: float) -> None:
    sim, (stall, no_load) = simulated(servo, volts), HAND_COMPUTED[servo, volts]
    for share in (0.0, 0.25, 0.5, 1.0):
        np.testing.assert_allclose(
            torque_at(sim, share * no_load, ahead=1.0), stall * (1.0 - share), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_allclose(
            torque_at(sim, -share * no_load, ahead=1.0), stall * (1.0 + share), rtol=1e-6
        )  # driven backwards it brakes with more than it can pull


@pytest.mark.parametrize(("servo", "volts"), HAND_COMPUTED)
def test_short_of_the_limit_the_torque_per_radian_follows_the_supply(servo: str, volts: float) -> None:
    stall, _ = HAND_COMPUTED[servo, volts]
    torque = torque_at(simulated(servo, volts), 0.0, ahead=0.1)
    np.testing.assert_allclose(torque, 0.1 * STALL_PER_RAD * stall, rtol=1e-6)


@pytest.mark.parametrize(("servo", "volts"), HAND_COMPUTED)
def test_the_limit_that_counts_as_saturation_is_that_of_the_supply(servo: str, volts: float) -> None:
    sim, (stall, _) = simulated(servo, volts), HAND_COMPUTED[servo, volts]
    sim.reset()
    sim.step(sim.spec.joint_upper[None])
    truth = sim.truth()
    knee = sim.spec.joint_names.index("left_knee_pitch")
    assert truth.torque[0, knee] == pytest.approx(stall, rel=1e-6)
    assert truth.saturated[0, knee]
    np.testing.assert_array_equal(truth.saturated, np.abs(truth.torque) > 0.9985 * stall)


@pytest.mark.parametrize(("volts", "stall", "rev_per_min"), XM430_W350_TABLE)
def test_a_dc_motors_scaling_is_within_six_percent_of_the_makers_table(
    volts: float, stall: float, rev_per_min: float
) -> None:
    sim = simulated("XM430-W350-T", volts)
    at_rest = torque_at(sim, 0.0, ahead=1.0)
    assert at_rest == pytest.approx(stall, rel=0.06)
    back_emf = at_rest - torque_at(sim, 1.0, ahead=1.0)  # N m s/rad
    assert at_rest / back_emf == pytest.approx(rev_per_min * 2.0 * np.pi / 60.0, rel=0.015)


def test_a_servo_that_the_robot_does_not_know_is_refused_with_those_it_knows() -> None:
    with pytest.raises(UserError, match=r"XM540-W270.*XM430-W210-T.*XM430-W350-T"):
        load_robot(servo="XM540-W270")
