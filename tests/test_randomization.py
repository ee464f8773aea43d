"""Each term of the randomization does to the robot what its name says, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import numpy as np
import pytest
from test_simulation import equal_frames, shuffle

from wildrobot.core.config import from_dict
from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_to_matrix, rotate
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.simulation.randomization.config import BASIC, FULL, NOMINAL, PRESETS, Randomization
from wildrobot.simulation.randomization.terms import MORE_ROBOT_TERMS, ROBOT_TERMS, TICK_TERMS
from wildrobot.simulation.simulation import Simulation

STILL = dataclasses.replace(NOMINAL, random_yaw_zero=False)
WILD = dataclasses.replace(
    FULL, push_interval_s=(0.05, 0.1), joint_loss_rate=0.2, contact_loss_rate=0.2, imu_drift_rad=0.1
)


def sim_with(spec: RobotSpec, rows: int = 1, seed: int = 0, **changes: Any) -> Simulation:
    """Nominal robots but for `changes`."""
    return Simulation(spec, rows, seed, dataclasses.replace(STILL, **changes), threads=1)


def hang(sim: Simulation, height: float = 50.0) -> Simulation:
    """Start in free fall: nothing touches the robot and no joint carries a load."""
    qpos, qvel = sim.home(sim.num_envs)
    qpos[:, 2] = height
    sim.reset(None, qpos, qvel)
    return sim


def stand(sim: Simulation, ticks: int = 60) -> Simulation:
    for _ in range(ticks):
        sim.step(np.tile(sim.spec.default_joint_pos, (sim.num_envs, 1)))
    return sim


def waist_to(sim: Simulation, angle: float, ticks: int) -> Simulation:
    target = np.tile(sim.spec.default_joint_pos, (sim.num_envs, 1))
    target[:, 0] = angle
    for _ in range(ticks):
        sim.step(target)
    return sim


# ---------------------------------------------------------------------- the body


def test_a_heavier_robot_presses_more(spec: RobotSpec) -> None:
    force = [stand(sim_with(spec, mass_factor=(f, f))).truth().foot_force.sum() for f in (1.0, 1.08)]
    assert force[1] / force[0] == pytest.approx(1.08, rel=2e-3)


def test_a_robot_that_leans_forward_by_its_mass_presses_its_toes(spec: RobotSpec) -> None:
    share = []
    for shift in (0.0, 0.015):
        sim = sim_with(spec)
        sim.robots.field["body_ipos"][:, sim.robots.torso, 0] += shift
        force = stand(sim, 20).truth().foot_force[0]
        share.append((force[0] + force[2]) / force.sum())
    assert share[1] > share[0] + 0.01


def top_speed_and_torque(sim: Simulation) -> tuple[float, float]:
    """Of the waist on its way from one end to the other, rad/s, and its first pull, N m."""
    waist_to(hang(sim), -0.5, 40)
    waist_to(sim, 3.0, 1)
    torque, speed = sim.truth().torque[0, 0], 0.0
    for _ in range(6):
        waist_to(sim, 3.0, 1)
        speed = max(speed, sim.truth().joint_velocity[0, 0])
    return speed, torque


def test_ten_percent_less_voltage_is_ten_percent_less_torque_and_speed(spec: RobotSpec) -> None:
    speed, torque = top_speed_and_torque(sim_with(spec))
    less_speed, less_torque = top_speed_and_torque(sim_with(spec, voltage_v=(10.8, 10.8)))
    assert torque == pytest.approx(spec.stall_torque[0])
    assert less_torque == pytest.approx(0.9 * torque)
    # dry friction takes the same off both
    lost = 0.05 / spec.joint_damping[0]
    assert speed == pytest.approx(spec.no_load_speed[0] - lost, rel=0.03)
    assert less_speed + lost == pytest.approx(0.9 * (speed + lost), rel=0.01)


def test_twenty_percent_more_back_emf_is_a_sixth_less_speed_at_the_same_torque(spec: RobotSpec) -> None:
    speed, torque = top_speed_and_torque(sim_with(spec))
    less, same = top_speed_and_torque(sim_with(spec, damping_factor=(1.2, 1.2)))
    assert same == torque
    assert less == pytest.approx(speed / 1.2, rel=0.02)


def lost_motion(sim: Simulation) -> tuple[float, float]:
    """Difference of the waist at 0 rad reached from above and from below: of the link, and as its encoder says."""
    link, encoder = [], []
    for side in (0.1, -0.1):
        waist_to(waist_to(hang(sim), side, 30), 0.0, 60)
        link.append(sim.truth().joint_position[0, 0])
        encoder.append(sim.frame().joint_position[0, 0])
    return link[0] - link[1], encoder[0] - encoder[1]


def test_backlash_is_motion_that_the_link_loses_and_the_encoder_does_not_see(spec: RobotSpec) -> None:
    width = 0.02
    tight, tight_seen = lost_motion(sim_with(spec))
    loose, loose_seen = lost_motion(sim_with(spec, backlash_rad=(width, width)))
    assert loose - tight == pytest.approx(width, rel=0.1)
    assert loose_seen - tight_seen == pytest.approx(0.0, abs=0.1 * width)


def test_a_loaded_joint_lies_at_the_end_of_its_play(spec: RobotSpec) -> None:
    width = 0.01
    sim = stand(sim_with(spec, backlash_rad=(width, width)))
    knee = spec.joint_names.index("left_knee_pitch")
    assert sim.truth().torque[0, knee] != pytest.approx(0.0, abs=0.2)
    play = sim.frame().joint_position[0, knee] - sim._sensors.joint_position[0, knee]
    assert play == pytest.approx(np.sign(sim.truth().torque[0, knee]) * width / 2)


# ---------------------------------------------------------------------- the servo bus


def raw_waist(spec: RobotSpec, late_steps: int, steps: int) -> tuple[Any, Any]:
    """Position and velocity (steps + 1,) of the waist in plain MuJoCo, its target stepping after `late_steps`."""
    model = compile_model(spec)
    sim = hang(sim_with(spec))
    data = sim.batch.get_data(0)
    trace = [(data.qpos[sim.joint_qpos[0]], data.qvel[sim.joint_qvel[0]])]
    for step in range(steps):
        data.ctrl[model.actuator("waist_yaw").id] = 0.2 if step >= late_steps else 0.0
        mujoco.mj_step(model, data)
        trace.append((data.qpos[sim.joint_qpos[0]], data.qvel[sim.joint_qvel[0]]))
    position, velocity = zip(*trace, strict=True)
    return np.array(position), np.array(velocity)


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.015, 0.03, 0.04])
def test_a_step_response_comes_by_the_action_delay_later(spec: RobotSpec, delay: float) -> None:
    sim = waist_to(hang(sim_with(spec, action_delay_s=(delay, delay))), 0.2, 3)
    expected, _ = raw_waist(spec, round(delay / 0.005), 12)
    assert sim.truth().joint_position[0, 0] == pytest.approx(expected[-1], abs=1e-9)
    assert expected[-1] > 1e-3


def test_jitter_adds_one_physics_step_to_the_delay_now_and_then(spec: RobotSpec) -> None:
    sim = sim_with(spec, 20, action_delay_s=(0.01, 0.02), action_jitter_s=0.005)
    base = sim.robots.field["actuator_delay"][:, 0].copy()
    added = []
    for _ in range(30):
        stand(sim, 1)
        assert np.ptp(sim.robots.field["actuator_delay"], axis=1).max() == 0.0  # one packet for all servos
        added.append(sim.robots.field["actuator_delay"][:, 0] - base)
    np.testing.assert_allclose(np.unique(np.round(added, 6)), [0.0, 0.005])
    assert 0.4 < np.mean(added) / 0.005 < 0.6


def test_a_lagging_velocity_is_the_older_one_and_the_position_is_not(spec: RobotSpec) -> None:
    position, velocity = raw_waist(spec, 0, 4)
    for lag, expected in ((0.0, velocity[3]), (0.005, velocity[2]), (0.01, velocity[1])):
        frame = waist_to(hang(sim_with(spec, velocity_lag_s=(lag, lag))), 0.2, 1).frame()
        assert frame.joint_velocity[0, 0] == pytest.approx(expected, abs=1e-9), lag
        assert frame.joint_position[0, 0] == pytest.approx(position[3], abs=1e-9)


def test_a_lost_sample_keeps_its_old_value_and_time(spec: RobotSpec) -> None:
    sim = sim_with(spec, 30, joint_loss_rate=0.1)
    last = sim.frame()
    assert last.joint_valid.all()
    lost = 0
    for targets in shuffle(spec, 60, 30):
        sim.step(targets)
        frame = sim.frame()
        valid = frame.joint_valid
        for name in ("joint_position", "joint_velocity", "joint_time_s"):
            now, before = getattr(frame, name), getattr(last, name)
            np.testing.assert_array_equal(now[~valid], before[~valid])
        np.testing.assert_array_equal(
            frame.joint_time_s[valid], np.repeat(frame.time_s[:, None], spec.num_joints, 1)[valid]
        )
        np.testing.assert_array_equal(frame.joint_position[valid], sim._sensors.joint_position[valid])
        lost += np.sum(~valid)
        last = frame
    assert lost / (60 * 30 * spec.num_joints) == pytest.approx(0.1, abs=0.01)


def test_the_first_sample_after_a_reset_is_never_an_old_robot_s(spec: RobotSpec) -> None:
    sim = sim_with(spec, 2, joint_loss_rate=1.0)
    for targets in shuffle(spec, 5, 2):
        sim.step(targets)
    sim.frame()
    sim.reset()
    np.testing.assert_array_equal(sim.frame().joint_position, np.tile(spec.default_joint_pos, (2, 1)))
    assert sim.frame().joint_time_s == pytest.approx(-0.005)
    sim.reset()
    stand(sim, 1)  # nobody looked in between
    np.testing.assert_array_equal(sim.frame().joint_position, sim._sensors.joint_position)


# ---------------------------------------------------------------------- IMU and feet


def test_an_old_imu_sample_is_the_motion_of_then_and_says_so(spec: RobotSpec) -> None:
    new, old = (hang(sim_with(spec, imu_age_s=(age, age))) for age in (0.0, 0.01))
    for sim in (new, old):
        waist_to(sim, 0.3, 3)
    frame, now = old.frame(), new.frame()
    assert now.imu_time_s - frame.imu_time_s == pytest.approx(0.01)
    assert frame.imu_valid.all()
    before = hang(sim_with(spec))
    waist_to(before, 0.3, 2)
    before.batch.step(nstep=2)  # 10 ms before the third tick's end
    before._collect(slice(None))
    np.testing.assert_allclose(frame.imu_angular_velocity, before.frame().imu_angular_velocity, atol=1e-12)
    np.testing.assert_allclose(frame.imu_quaternion, before.frame().imu_quaternion, atol=1e-12)
    assert np.abs(frame.imu_angular_velocity - now.imu_angular_velocity).max() > 1e-3


def test_the_imu_s_age_differs_from_tick_to_tick_and_robot_to_robot(spec: RobotSpec) -> None:
    sim = sim_with(spec, 40, imu_age_s=(0.0, 0.01))
    ages = []
    for _ in range(20):
        frame = stand(sim, 1).frame()
        ages.append(frame.time_s - frame.imu_time_s)
    np.testing.assert_allclose(np.unique(np.round(ages, 6)), [0.0, 0.005, 0.01])
    assert np.mean(ages) == pytest.approx(0.005, abs=5e-4)


def imu_up(sim: Simulation) -> Any:
    """Where the IMU's own accelerometer says up is, in the world of its own quaternion, (N, 3)."""
    frame = sim.frame()
    up = rotate(quat_to_matrix(frame.imu_quaternion), frame.imu_acceleration)
    return up / np.linalg.norm(up, axis=-1, keepdims=True)


def test_a_crooked_mount_turns_all_that_the_chip_measures(spec: RobotSpec) -> None:
    straight, crooked = (stand(sim_with(spec, imu_mount_rad=(a, a))) for a in (0.0, 0.05))
    np.testing.assert_allclose(imu_up(crooked), imu_up(straight), atol=1e-9)
    a, b = straight.frame(), crooked.frame()
    turn = np.arccos(np.sum(a.imu_acceleration * b.imu_acceleration) / np.sum(a.imu_acceleration**2))
    assert turn == pytest.approx(np.hypot(0.05, 0.05), rel=0.05)
    torso_axes = quat_to_matrix(a.imu_quaternion).swapaxes(-1, -2) @ quat_to_matrix(b.imu_quaternion)
    angle = np.arccos((np.trace(torso_axes[0]) - 1.0) / 2.0)
    assert angle == pytest.approx(np.hypot(0.05, 0.05), rel=1e-6)


def test_a_fused_tilt_error_contradicts_the_accelerometer(spec: RobotSpec) -> None:
    sim = stand(sim_with(spec, imu_tilt_rad=(0.02, 0.02)))
    assert np.arccos(imu_up(sim)[0, 2]) == pytest.approx(np.hypot(0.02, 0.02), rel=0.05)


def test_the_fusion_s_tilt_wanders_from_zero_and_stays_bounded(spec: RobotSpec) -> None:
    sim = sim_with(spec, 60, imu_drift_rad=0.01)
    assert not sim.robots.imu_drift.any()
    deviation = []
    for _ in range(40):
        for _ in range(125):  # 2.5 s: the term alone, the physics has no part in it
            TICK_TERMS[[t.name for t in TICK_TERMS].index("imu_drift_rad")].apply(
                sim.robots, 0.01, sim._tick_rng
            )
        deviation.append(sim.robots.imu_drift.std())
    assert deviation[0] == pytest.approx(0.01 * np.sqrt(1.0 - np.exp(-2.0 * 2.5 / 20.0)), rel=0.25)
    assert np.mean(deviation[-16:]) == pytest.approx(0.01, rel=0.15)
    sim.reset()
    assert not sim.robots.imu_drift.any()


def test_a_tilted_floor_is_what_the_imu_feels_and_heights_stay_over_the_floor(spec: RobotSpec) -> None:
    slope = 0.035
    sim = stand(sim_with(spec, 6, floor_tilt_rad=(slope, slope)))
    up = sim.robots.field["opt.gravity"] / -9.81
    np.testing.assert_allclose(np.arccos(up[:, 2]), slope, rtol=1e-6)
    assert np.ptp(np.arctan2(up[:, 1], up[:, 0])) > 1.0  # it rises towards any side
    np.testing.assert_allclose(imu_up(sim)[:, 2], 1.0, atol=2e-3)
    np.testing.assert_allclose(sim.truth().foot_position[..., 2], 0.0, atol=3e-3)
    sim.reset()  # upright against the floor: the IMU leans against the true vertical as the floor does
    np.testing.assert_allclose(
        np.arccos(quat_to_matrix(sim.frame().imu_quaternion)[:, 2, 2]), slope, rtol=1e-6
    )


def test_on_a_tilted_floor_a_robot_falls_downhill(spec: RobotSpec) -> None:
    sim = hang(sim_with(spec, 4, floor_tilt_rad=(0.035, 0.035)))
    gravity = sim.robots.field["opt.gravity"]
    stand(sim, 5)
    np.testing.assert_allclose(sim.truth().pelvis_linear_velocity, 0.1 * gravity, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(gravity[:, :2], axis=-1), 9.81 * np.sin(0.035))


def test_a_bump_lifts_the_sole_that_comes_down_on_it(spec: RobotSpec) -> None:
    height = []
    for bump in (0.0, 0.004):
        sim = hang(sim_with(spec, floor_bump_m=(bump, bump)), spec.standing_height + 0.01)
        height.append(stand(sim, 50).truth().foot_position[0, :, 2])
    np.testing.assert_allclose(height[1] - height[0], 0.004, atol=3e-4)


def test_a_bump_is_anew_for_every_step_and_stays_under_a_foot_that_stands(spec: RobotSpec) -> None:
    sim = sim_with(spec, 3, floor_bump_m=(0.0, 0.004))
    corners = sim.robots.foot_geoms

    def bumps() -> Any:
        down = sim.robots.nominal["geom_pos"] - sim.robots.field["geom_pos"]
        return down[:, corners, 2].copy()

    stand(sim, 20)
    assert not bumps().any()  # it started on flat ground
    seen = []
    for _ in range(3):
        sim.qpos[:, 2] += 0.03  # every foot is lifted once
        stand(sim, 2)
        drawn = bumps()
        stand(sim, 20)
        np.testing.assert_array_equal(bumps(), drawn)
        assert drawn.min() >= 0.0
        assert drawn.max() <= 0.004
        seen.append(drawn)
    assert np.all(seen[0] != seen[1])
    assert np.all(seen[1] != seen[2])


def test_closed_foot_switches_read_open_at_the_rate_asked(spec: RobotSpec) -> None:
    sim = stand(sim_with(spec, 40, contact_loss_rate=0.1), 20)
    read = []
    for _ in range(40):
        read.append(stand(sim, 1).frame().foot_contact)
        assert sim._sensors.switches.closed.all()
    assert 1.0 - np.mean(read) == pytest.approx(0.1, abs=0.015)


# ---------------------------------------------------------------------- all of it together


def test_every_range_of_the_configuration_is_a_term_or_noise() -> None:
    terms = {term.name for term in (*ROBOT_TERMS, *MORE_ROBOT_TERMS, *TICK_TERMS)}
    elsewhere = {
        "joint_position_noise_rad", "joint_velocity_noise_rad_s", "quantise_joints", "gyro_noise_rad_s",
        "acceleration_noise_m_s2", "floor_bump_m", "push_speed_m_s", "push_interval_s",
    }  # fmt: skip
    assert terms | elsewhere == {field.name for field in dataclasses.fields(Randomization)}
    assert not terms & elsewhere


def test_a_preset_contains_the_nominal_robot_and_full_contains_basic() -> None:
    for field in dataclasses.fields(Randomization):
        nominal, basic, full = (getattr(r, field.name) for r in (NOMINAL, BASIC, FULL))
        if isinstance(full, tuple) and field.name != "push_interval_s":
            assert full[0] <= basic[0] <= nominal[0] <= nominal[1] <= basic[1] <= full[1], field.name
    assert PRESETS["full"] is FULL


def test_another_term_leaves_the_other_draws_and_the_old_runs_alone(spec: RobotSpec) -> None:
    new = {term.name for term in (*MORE_ROBOT_TERMS, *TICK_TERMS)} | {"floor_bump_m"}
    wide = dataclasses.replace(BASIC, **{name: getattr(FULL, name) for name in new})
    plain, more = (Simulation(spec, 4, 5, r, threads=1) for r in (BASIC, wide))
    for sim in (plain, more):
        stand(sim, 3)
        sim.reset(np.array([1, 3]))
    changed = {"dof_damping", "sensor_delay", "opt.gravity", "geom_pos", "actuator_delay"}
    for name, values in plain.robots.field.items():
        assert np.array_equal(values, more.robots.field[name]) is (name not in changed - {"geom_pos"}), name
    np.testing.assert_array_equal(plain.robots.encoder_offset, more.robots.encoder_offset)
    assert plain._rng.bit_generator.state == more._rng.bit_generator.state


def test_full_randomization_does_not_depend_on_the_number_of_threads(spec: RobotSpec) -> None:
    sims = [Simulation(spec, 5, seed=2, randomization=WILD, threads=threads) for threads in (1, 2)]
    for targets in shuffle(spec, 30, 5):
        for sim in sims:
            sim.step(targets)
        assert equal_frames(sims[0].frame(), sims[1].frame())
        np.testing.assert_array_equal(sims[0].qpos, sims[1].qpos)


def test_one_seed_gives_one_run_under_full_randomization_and_another_seed_another(spec: RobotSpec) -> None:
    sims = [Simulation(spec, 3, seed=seed, randomization=WILD, threads=1) for seed in (2, 2, 3)]
    for targets in shuffle(spec, 10, 3):
        for sim in sims:
            sim.step(targets)
    frames = [sim.frame() for sim in sims]
    assert equal_frames(frames[0], frames[1])
    assert not np.array_equal(frames[0].joint_position, frames[2].joint_position)


def test_a_fully_randomized_simulation_that_was_saved_goes_on_to_the_bit(spec: RobotSpec) -> None:
    one = Simulation(spec, 6, seed=4, randomization=WILD, threads=1)
    one.qpos[:3, 2] += 0.03  # some stand on bumps
    targets = shuffle(spec, 60, 6)
    one.set_level(0.7)
    one.reset(np.array([5]))
    for target in targets[:40]:
        one.step(target)
        one.frame()
    assert one.robots.field["geom_pos"][:, one.robots.foot_geoms, 2].std(axis=0).min() > 0.0
    two = Simulation(spec, 6, seed=77, randomization=WILD, threads=1)
    two.load_state_dict(one.state_dict())
    assert two.level == 0.7
    for target in targets[40:]:
        for sim in (one, two):
            sim.step(target)
        assert equal_frames(one.frame(), two.frame())
        np.testing.assert_array_equal(one.qpos, two.qpos)
    for sim in (one, two):
        sim.reset(np.array([0, 2]))
    assert equal_frames(one.frame(), two.frame())


def test_a_reset_robot_has_nothing_of_the_last_one(spec: RobotSpec) -> None:
    """Level 0 after a full draw: the nominal robot again, in every field of the model and every error."""
    sim = Simulation(
        spec, 3, seed=4, randomization=dataclasses.replace(WILD, random_yaw_zero=False), threads=1
    )
    for targets in shuffle(spec, 20, 3):
        sim.step(targets)
    sim.set_level(0.0)
    sim.reset()
    plain = sim_with(spec, 3)
    for name, values in plain.robots.field.items():
        np.testing.assert_array_equal(sim.robots.field[name], values, err_msg=name)
    for name in plain.robots.state_fields:
        if name != "level":
            np.testing.assert_array_equal(
                getattr(sim.robots, name), getattr(plain.robots, name), err_msg=name
            )


# ---------------------------------------------------------------------- the curriculum's level


def test_a_level_scales_every_range_about_its_nominal_value() -> None:
    half = FULL.at_level(0.5)
    assert half.friction == pytest.approx((0.6, 0.95))
    assert half.mass_factor == pytest.approx((0.96, 1.04))
    assert half.voltage_v == pytest.approx((11.55, 12.3))
    assert half.backlash_rad == pytest.approx((0.0, 0.00435))
    assert half.joint_loss_rate == pytest.approx(0.001)
    assert half.push_speed_m_s == pytest.approx(0.15)
    assert half.push_interval_s == FULL.push_interval_s
    assert FULL.at_level(1.0) is FULL
    assert FULL.at_level(0.0) == dataclasses.replace(
        NOMINAL, quantise_joints=True, push_interval_s=FULL.push_interval_s
    )


def test_a_level_counts_from_a_robot_s_next_reset_on(spec: RobotSpec) -> None:
    sim = Simulation(spec, 40, seed=1, randomization=FULL, threads=1)
    sim.set_level(0.1)
    stand(sim, 2)
    assert np.ptp(sim.robots.field["geom_friction"][:, sim.robots.foot_geoms[0], 0]) > 0.5
    sim.reset(np.arange(20))
    friction = sim.robots.field["geom_friction"][:, sim.robots.foot_geoms[0], 0]
    assert np.all(np.abs(friction[:20] - 0.8) <= 0.04 + 1e-12)
    assert np.ptp(friction[20:]) > 0.4
    np.testing.assert_array_equal(sim.robots.level, np.repeat([0.1, 1.0], 20))
    stand(sim, 1)
    late = []
    for _ in range(40):
        stand(sim, 1)
        late.append(sim.robots.field["actuator_delay"][:, 0] - sim.robots.action_delay[:, 0])
    assert np.mean(np.array(late)[:, :20]) == pytest.approx(0.1 * 0.0025, rel=0.5)
    assert np.mean(np.array(late)[:, 20:]) == pytest.approx(0.0025, rel=0.1)
    spread = np.std([sim.frame().imu_acceleration for _ in range(30)], axis=0)
    assert np.mean(spread[:20]) == pytest.approx(0.1 * np.mean(spread[20:]), rel=0.1)


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_a_level_out_of_range_is_refused(spec: RobotSpec, level: float) -> None:
    with pytest.raises(UserError, match="expected 0 to 1"):
        sim_with(spec).set_level(level)


# ---------------------------------------------------------------------- bad configurations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"friction": [1.0, 0.5]}, r"friction is \(1.0, 0.5\), expected \(low, high\)"),
        ({"gyro_noise_rad_s": -0.1}, "gyro_noise_rad_s is -0.1, expected zero or more"),
        ({"joint_loss_rate": 1.5}, "joint_loss_rate is 1.5, expected a probability"),
        ({"voltage_v": [11.0, float("inf")]}, "voltage_v is"),
        ({"backlash": 0.1}, "did you mean 'backlash_rad'"),
    ],
)
def test_a_range_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dict(Randomization, change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action_delay_s": (0.0, 0.06)}, "up to 0.06 s, expected at most 0.05 s"),
        ({"action_delay_s": (0.0, 0.05), "action_jitter_s": 0.005}, "up to 0.055 s"),
        ({"imu_age_s": (0.0, 0.02)}, "imu_age_s is up to 0.02 s, expected at most 0.01 s"),
        ({"velocity_lag_s": (0.0, 0.02)}, "velocity_lag_s is up to 0.02 s"),
    ],
)
def test_a_delay_beyond_the_delay_lines_is_refused(
    spec: RobotSpec, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sim_with(spec, **change)
