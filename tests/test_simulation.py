"""Many robots on one batch: independent, reproducible, randomized anew at each reset, honest about time."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import mujoco
import numpy as np
import pytest

from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.randomization.config import BASIC, NOMINAL, Randomization
from wildrobot.simulation.simulation import Simulation, fallen

LOUD = dataclasses.replace(BASIC, push_speed_m_s=0.3, push_interval_s=(0.05, 0.1))


def shuffle(spec: RobotSpec, ticks: int, rows: int, seed: int = 0) -> Any:
    """Joint targets (ticks, rows, n) around home, the same for all rows."""
    rng = np.random.default_rng(seed)
    return (
        np.repeat(rng.normal(0.0, 0.15, (ticks, 1, spec.num_joints)), rows, axis=1) + spec.default_joint_pos
    )


def equal_frames(a: SensorFrame, b: SensorFrame) -> bool:
    names = [f.name for f in dataclasses.fields(SensorFrame)]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_the_number_of_threads_changes_nothing(spec: RobotSpec) -> None:
    sims = [Simulation(spec, 5, seed=2, randomization=LOUD, threads=threads) for threads in (1, 2)]
    for targets in shuffle(spec, 20, 5):
        for sim in sims:
            sim.step(targets)
        assert equal_frames(sims[0].frame(), sims[1].frame())
        np.testing.assert_array_equal(sims[0].qpos, sims[1].qpos)


def test_one_seed_gives_one_run_and_another_seed_another(spec: RobotSpec) -> None:
    sims = [Simulation(spec, 2, seed=seed, randomization=LOUD, threads=1) for seed in (2, 2, 3)]
    for targets in shuffle(spec, 5, 2):
        for sim in sims:
            sim.step(targets)
    assert equal_frames(sims[0].frame(), sims[1].frame())
    assert not np.array_equal(sims[0].qpos, sims[2].qpos)


def test_resetting_one_robot_leaves_the_others(spec: RobotSpec) -> None:
    plain, other = (Simulation(spec, 3, threads=1) for _ in range(2))
    for tick, targets in enumerate(shuffle(spec, 12, 3)):
        for sim in (plain, other):
            sim.step(targets)
        if tick == 5:
            other.reset(np.array([1]))
    np.testing.assert_array_equal(plain.qpos[[0, 2]], other.qpos[[0, 2]])
    assert not np.array_equal(plain.qpos[1], other.qpos[1])


def test_a_reset_robot_is_like_a_new_one(spec: RobotSpec) -> None:
    new, used = (Simulation(spec, 1, threads=1) for _ in range(2))
    for targets in shuffle(spec, 10, 1, seed=9):
        used.step(targets)
    used.push(np.array([0]), np.array([[0.5, 0.0, 0.0]]))
    used.reset()
    for targets in shuffle(spec, 10, 1):
        for sim in (new, used):
            sim.step(targets)
        np.testing.assert_array_equal(new.qpos, used.qpos)
        np.testing.assert_array_equal(new.truth().foot_force, used.truth().foot_force)


def test_the_robot_stands_at_home(spec: RobotSpec) -> None:
    sim = Simulation(spec, 1, threads=1)
    for _ in range(100):
        sim.step(spec.default_joint_pos[None])
    truth = sim.truth()
    assert truth.pelvis_position[0, 2] == pytest.approx(spec.standing_height, abs=0.01)
    assert truth.foot_force.sum() == pytest.approx(9.81 * spec.total_mass, rel=0.02)
    assert sim.frame().foot_contact.tolist() == [[1.0, 1.0, 1.0, 1.0]]
    assert not truth.saturated.any()


def test_a_robot_that_lies_or_leans_by_more_than_sixty_degrees_has_fallen(spec: RobotSpec) -> None:
    sim = Simulation(spec, 4, threads=1)
    qpos, qvel = sim.home(4)
    lean = np.deg2rad([0.0, 59.0, 61.0, 0.0])
    qpos[:, 3], qpos[:, 5] = np.cos(0.5 * lean), np.sin(0.5 * lean)
    qpos[3, 2] = 0.59 * spec.standing_height
    sim.reset(None, qpos, qvel)
    np.testing.assert_array_equal(fallen(spec, sim.truth()), [False, False, True, True])


def test_a_tick_is_one_control_period(spec: RobotSpec) -> None:
    sim = Simulation(spec, 1, threads=1)
    before = sim.frame().time_s
    sim.step(spec.default_joint_pos[None])
    assert sim.frame().time_s - before == pytest.approx(spec.control_dt)
    assert sim.batch.bind("time")[0] == pytest.approx(spec.control_dt)


def test_targets_reach_the_joint_of_their_name(spec: RobotSpec) -> None:
    for i, name in enumerate(spec.joint_names):
        sim = Simulation(spec, 1, threads=1)
        qpos, qvel = sim.home(1)
        qpos[0, 2] = 2.0
        sim.reset(None, qpos, qvel)
        target = spec.default_joint_pos.copy()
        target[i] = 0.5 * (target[i] + spec.joint_upper[i])
        for _ in range(8):
            sim.step(target[None])
        moved = sim.truth().joint_position[0] - spec.default_joint_pos
        assert np.argmax(np.abs(moved)) == i, name
        assert moved[i] > 0.5 * (target[i] - spec.default_joint_pos[i]), name


def test_a_push_changes_the_velocity_at_once(spec: RobotSpec) -> None:
    sim = Simulation(spec, 2, threads=1)
    before = sim.truth().pelvis_linear_velocity
    sim.push(np.array([1]), np.array([[0.2, -0.1, 0.0]]))
    change = sim.truth().pelvis_linear_velocity - before
    np.testing.assert_allclose(change, [[0, 0, 0], [0.2, -0.1, 0.0]], atol=1e-15)


def test_a_servo_at_its_voltage_limit_is_counted_as_saturated(spec: RobotSpec) -> None:
    sim = Simulation(spec, 2, threads=1)
    targets = np.stack([spec.default_joint_pos, spec.joint_upper])
    sim.step(targets)
    saturated = sim.truth().saturated
    assert not saturated[0].any()
    assert saturated[1, spec.joint_names.index("left_knee_pitch")]


# ---------------------------------------------------------------------- randomization


def fields_of(sim: Simulation) -> dict[str, Any]:
    return {name: np.array(values) for name, values in sim.robots.field.items()}


EFFECTS: dict[str, Any] = {
    "geom_friction": {"friction": (0.4, 0.5)},
    "body_mass": {"mass_factor": (1.1, 1.2)},
    "body_inertia": {"mass_factor": (1.1, 1.2)},
    "body_ipos": {"torso_com_m": (0.005, 0.01)},
    "actuator_gainprm": {"gain_factor": (1.1, 1.2)},
    "actuator_biasprm": {"gain_factor": (1.1, 1.2)},
    "actuator_forcerange": {"voltage_v": (11.0, 11.5)},
    "dof_frictionloss": {"joint_friction_factor": (1.1, 1.2)},
    "dof_armature": {"armature_factor": (1.1, 1.2)},
    "actuator_delay": {"action_delay_s": (0.01, 0.02)},
}


@pytest.mark.parametrize("field", EFFECTS)
def test_every_range_changes_its_field_of_the_model_and_the_motion(spec: RobotSpec, field: str) -> None:
    still = dataclasses.replace(NOMINAL, random_yaw_zero=False)
    plain = Simulation(spec, 2, randomization=still, threads=1)
    other = Simulation(spec, 2, randomization=dataclasses.replace(still, **EFFECTS[field]), threads=1)
    assert not np.array_equal(fields_of(plain)[field], fields_of(other)[field])
    for targets in shuffle(spec, 10, 2):
        plain.step(targets)
        other.step(targets)
    assert np.abs(plain.qpos - other.qpos).max() > 1e-6
    assert np.abs(other.qpos[0] - other.qpos[1]).max() > 1e-6  # each robot has its own


def test_a_randomized_robot_moves_as_a_model_with_its_values(spec: RobotSpec) -> None:
    still = dataclasses.replace(
        BASIC, encoder_offset_rad=(0.0, 0.0), action_delay_s=(0.0, 0.0), push_speed_m_s=0.0
    )
    sim = Simulation(spec, 2, seed=8, randomization=still, threads=1)
    model = compile_model(spec)
    for name, values in fields_of(sim).items():
        operator.attrgetter(name)(model)[:] = values[1]
    data = mujoco.MjData(model)
    mujoco.mj_setConst(
        model, data
    )  # masses decide more than gravity: contacts, and the servos' reflected inertia
    mujoco.mj_resetData(model, data)
    data.qpos[:], data.qvel[:] = sim.qpos[1], sim.qvel[1]
    for targets in shuffle(spec, 25, 2):
        sim.step(targets)
        for i, name in enumerate(spec.joint_names):
            data.ctrl[model.actuator(name).id] = targets[1, i]
        for _ in range(4):
            mujoco.mj_step(model, data)
    np.testing.assert_allclose(sim.qpos[1], data.qpos, atol=1e-9)


SENSOR_EFFECTS: dict[str, Any] = {
    "joint_position": [
        {"encoder_offset_rad": (0.01, 0.02)},
        {"joint_position_noise_rad": 0.01},
        {"quantise_joints": True},
    ],
    "joint_velocity": [{"joint_velocity_noise_rad_s": 0.1}, {"quantise_joints": True}],
    "imu_angular_velocity": [{"gyro_noise_rad_s": 0.1}, {"gyro_bias_rad_s": (0.01, 0.02)}],
    "imu_acceleration": [{"acceleration_noise_m_s2": 0.1}],
    "imu_quaternion": [{"imu_tilt_rad": (0.02, 0.03)}, {"random_yaw_zero": True}],
}


@pytest.mark.parametrize(
    ("field", "change"), [(field, change) for field, changes in SENSOR_EFFECTS.items() for change in changes]
)
def test_every_sensor_error_reaches_its_measurement_and_no_other(
    spec: RobotSpec, field: str, change: dict[str, Any]
) -> None:
    still = dataclasses.replace(NOMINAL, random_yaw_zero=False)
    qpos, qvel = Simulation(spec, 2, threads=1).home(2)
    qvel[:, 3:] = 0.3
    frames = []
    for randomization in (still, dataclasses.replace(still, **change)):
        sim = Simulation(spec, 2, randomization=randomization, threads=1)
        sim.reset(None, qpos, qvel)
        frames.append(sim.frame())
    for name in SENSOR_EFFECTS:
        same = np.array_equal(getattr(frames[0], name), getattr(frames[1], name))
        quantised = "quantise_joints" in change and name.startswith("joint")
        assert same is not (name == field or quantised), name


def check_randomization_is_drawn_afresh(spec: RobotSpec, simulation: type[Simulation] = Simulation) -> None:
    """After many resets every field is still within its range, and differs from draw to draw."""
    wide = Randomization(
        friction=(0.5, 1.0), mass_factor=(0.9, 1.1), torso_com_m=(-0.01, 0.01), gain_factor=(0.9, 1.1),
        joint_friction_factor=(0.8, 1.2), armature_factor=(0.8, 1.2),
    )  # fmt: skip
    sim = simulation(spec, 4, randomization=wide, threads=1)
    nominal = fields_of(Simulation(spec, 1, threads=1))
    last = fields_of(sim)
    for _ in range(20):
        sim.reset()
        now = fields_of(sim)
        changed = (
            "geom_friction",
            "body_mass",
            "body_inertia",
            "body_ipos",
            "actuator_gainprm",
            "dof_armature",
        )
        for name in changed:
            assert not np.array_equal(now[name], last[name]), f"{name} is not drawn anew"
        for name, (low, high) in {
            "body_mass": (0.9, 1.1),
            "actuator_gainprm": (0.9, 1.1),
            "dof_armature": (0.8, 1.2),
        }.items():
            base = nominal[name]
            assert np.all(now[name] >= np.minimum(low * base, high * base) - 1e-12), name
            assert np.all(now[name] <= np.maximum(low * base, high * base) + 1e-12), name
        assert np.all(np.abs(now["body_ipos"] - nominal["body_ipos"]) <= 0.01 + 1e-12)
        last = now


def test_randomization_is_drawn_afresh_at_every_reset(spec: RobotSpec) -> None:
    check_randomization_is_drawn_afresh(spec)


def test_a_reset_of_one_robot_draws_for_that_robot_only(spec: RobotSpec) -> None:
    sim = Simulation(spec, 3, randomization=BASIC, threads=1)
    before = fields_of(sim)
    sim.reset(np.array([1]))
    for name, values in fields_of(sim).items():
        np.testing.assert_array_equal(values[[0, 2]], before[name][[0, 2]], err_msg=name)
        if name in EFFECTS and name != "actuator_delay":  # whole physics steps: the same one may come again
            assert not np.array_equal(values[1], before[name][1]), name


def test_the_nominal_robot_is_the_model(spec: RobotSpec) -> None:
    sim = Simulation(spec, 2, randomization=NOMINAL, threads=1)
    for name, values in fields_of(sim).items():
        nominal = operator.attrgetter(name)(sim.model)
        np.testing.assert_allclose(values, np.broadcast_to(nominal, values.shape), atol=1e-15, err_msg=name)


def test_an_action_delay_is_that_long(spec: RobotSpec) -> None:
    def moved_after(delay_s: float, ticks: int) -> float:
        late = dataclasses.replace(NOMINAL, action_delay_s=(delay_s, delay_s))
        sim = Simulation(spec, 1, randomization=late, threads=1)
        qpos, qvel = sim.home(1)
        qpos[0, 2] = 2.0
        sim.reset(None, qpos, qvel)
        for _ in range(ticks):
            sim.step(spec.default_joint_pos[None] + 0.2 * (np.arange(spec.num_joints) == 0))
        return float(sim.truth().joint_position[0, 0])

    assert moved_after(0.0, 1) > 1e-3
    assert moved_after(0.02, 1) == pytest.approx(0.0, abs=1e-6)
    assert moved_after(0.02, 2) == pytest.approx(moved_after(0.0, 1), rel=0.05)


def test_a_delayed_servo_keeps_its_pose_until_the_first_target_arrives(spec: RobotSpec) -> None:
    late = dataclasses.replace(NOMINAL, action_delay_s=(0.02, 0.02))
    sim = Simulation(spec, 1, randomization=late, threads=1)
    for targets in shuffle(spec, 5, 1):
        sim.step(targets)
    qpos, qvel = sim.home(1)
    qpos[0, 2] = 2.0  # in free fall nothing pulls at the joints
    sim.reset(None, qpos, qvel)
    sim.step(spec.default_joint_pos[None] + 0.3)
    np.testing.assert_allclose(sim.truth().joint_position[0], spec.default_joint_pos, atol=1e-4)


def test_an_encoder_offset_is_measured_and_commanded_in_the_servo_s_own_zero(spec: RobotSpec) -> None:
    offset = 0.015
    shifted = dataclasses.replace(NOMINAL, encoder_offset_rad=(offset, offset))
    sims = [Simulation(spec, 1, randomization=r, threads=1) for r in (NOMINAL, shifted)]
    for _ in range(20):
        sims[0].step(spec.default_joint_pos[None])
        sims[1].step(spec.default_joint_pos[None] + offset)
    np.testing.assert_allclose(sims[0].truth().joint_position, sims[1].truth().joint_position, atol=1e-9)
    np.testing.assert_allclose(
        sims[1].frame().joint_position - offset, sims[0].frame().joint_position, atol=1e-9
    )


def test_a_foot_switch_has_hysteresis() -> None:
    from wildrobot.signal_path.sensor_frame import FootSwitches

    switch = FootSwitches(on_n=2.0, off_n=1.0, shape=(1,))
    readings = [float(switch.update(np.array([force]))[0]) for force in (0.0, 1.5, 2.1, 1.5, 0.9, 1.5)]
    assert readings == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_a_saved_simulation_goes_on_to_the_bit(spec: RobotSpec) -> None:
    one = Simulation(spec, 3, seed=4, randomization=LOUD, threads=1)
    targets = shuffle(spec, 20, 3)
    for target in targets[:10]:
        one.step(target)
        one.frame()
    two = Simulation(spec, 3, seed=77, randomization=LOUD, threads=1)
    two.load_state_dict(one.state_dict())
    for target in targets[10:]:
        for sim in (one, two):
            sim.step(target)
        assert equal_frames(one.frame(), two.frame())
        np.testing.assert_array_equal(one.qpos, two.qpos)
    for sim in (one, two):
        sim.reset(np.array([0, 2]))
    assert equal_frames(one.frame(), two.frame())
