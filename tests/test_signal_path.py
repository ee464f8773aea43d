"""The one path from sensor frame to observation and from action to joint target."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import GaitClock, HeadingHold, is_moving
from wildrobot.signal_path.features import compute_features, feature_names, num_features
from wildrobot.signal_path.observation import default_layout, layout_from_dicts, layout_to_dicts, make_layout
from wildrobot.signal_path.path import Signal, SignalPath, joint_target
from wildrobot.signal_path.sensor_frame import SensorFrame, hold_invalid
from wildrobot.simulation.randomization.config import BASIC
from wildrobot.simulation.simulation import Simulation

WALK = np.array([0.3, 0.0])


@pytest.fixture(scope="module")
def frames(spec: RobotSpec) -> list[SensorFrame]:
    """Fifteen ticks of three different robots that shuffle about, with noise."""
    sim, rng = Simulation(spec, 3, seed=3, randomization=BASIC, threads=1), np.random.default_rng(3)
    result = [sim.frame()]
    for _ in range(14):
        sim.step(spec.default_joint_pos + rng.normal(0.0, 0.15, (3, spec.num_joints)))
        result.append(sim.frame())
    return result


def one_row(frame: SensorFrame, row: int) -> SensorFrame:
    """Row `row` as a batch of one."""
    values = {f.name: getattr(frame, f.name)[row : row + 1] for f in dataclasses.fields(frame)}
    return SensorFrame(**values)


def run(
    spec: RobotSpec, frames: list[SensorFrame], path: SignalPath | None = None, seed: int = 1
) -> list[tuple[Signal, Any]]:
    """(signal, target) of every tick, with random actions, the same for every row."""
    path, rng, result = path or SignalPath(spec), np.random.default_rng(seed), []
    for frame in frames:
        signal = path.observe(frame, np.tile(WALK, (len(frame.time_s), 1)))
        action = np.tile(rng.normal(0.0, 1.0, spec.num_joints), (len(frame.time_s), 1))
        result.append((signal, path.act(action)))
    return result


def slices(spec: RobotSpec, name: str) -> list[slice]:
    """Where each frame of slice `name` stands in the observation, oldest first."""
    start = 0
    for term in default_layout(spec):
        if term.name == name:
            return [slice(start + i * term.size, start + (i + 1) * term.size) for i in range(term.frames)]
        start += term.size * term.frames
    raise KeyError(name)


# ---------------------------------------------------------------------- batches


def test_a_robot_alone_and_in_a_batch_get_the_same_bits(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    batch = run(spec, frames)
    for row in range(3):
        alone = run(spec, [one_row(frame, row) for frame in frames])
        for (a, target_a), (b, target_b) in zip(batch, alone, strict=True):
            np.testing.assert_array_equal(a.features[row], b.features[0])
            np.testing.assert_array_equal(a.observation[row], b.observation[0])
            np.testing.assert_array_equal(target_a[row], target_b[0])


def test_resetting_one_row_leaves_the_others_bit_for_bit(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    untouched, path = run(spec, frames), SignalPath(spec)
    first = run(spec, frames[:7], path)
    path.reset(frames[7], np.array([False, True, False]))
    rest = run(spec, frames, path=None)[:7]  # only to show that the first ticks agree
    for (a, _), (b, _) in zip(first, rest, strict=True):
        np.testing.assert_array_equal(a.observation, b.observation)
    rng = np.random.default_rng(1)
    for _ in range(7):
        rng.normal(0.0, 1.0, spec.num_joints)
    for tick in range(7, len(frames)):
        signal = path.observe(frames[tick], np.tile(WALK, (3, 1)))
        path.act(np.tile(rng.normal(0.0, 1.0, spec.num_joints), (3, 1)))
        for row in (0, 2):
            np.testing.assert_array_equal(signal.observation[row], untouched[tick][0].observation[row])


def check_a_reset_row_is_like_a_new_robot(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    path = SignalPath(spec)
    run(spec, frames[:7], path)
    path.reset(frames[7], np.array([False, True, False]))
    late = run(spec, frames[7:], path, seed=5)
    new = run(spec, [one_row(frame, 1) for frame in frames[7:]], seed=5)
    for (a, target_a), (b, target_b) in zip(late, new, strict=True):
        np.testing.assert_array_equal(a.features[1], b.features[0])
        np.testing.assert_array_equal(a.observation[1], b.observation[0])
        np.testing.assert_array_equal(target_a[1], target_b[0])


def test_nothing_of_the_past_survives_a_reset(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    check_a_reset_row_is_like_a_new_robot(spec, frames)


@pytest.mark.parametrize("forgotten", ["estimator", "clock", "hold"])
def test_a_part_that_forgets_its_reset_is_seen(
    spec: RobotSpec, frames: list[SensorFrame], forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(getattr(SignalPath(spec), forgotten))
    real = kind.reset

    def only_when_new(self: Any, *args: Any, **kwargs: Any) -> None:
        if not any(isinstance(value, np.ndarray) and value.dtype.kind == "b" for value in args):  # no mask
            real(self, *args, **kwargs)

    monkeypatch.setattr(kind, "reset", only_when_new)
    with pytest.raises(AssertionError):
        check_a_reset_row_is_like_a_new_robot(spec, frames)


# ---------------------------------------------------------------------- what the policy sees


def test_the_features_are_those_of_the_frame_and_of_the_estimate(
    spec: RobotSpec, frames: list[SensorFrame]
) -> None:
    signal = run(spec, frames)[-1][0]
    np.testing.assert_array_equal(signal.features, compute_features(frames[-1], signal.estimate))
    assert len(feature_names(spec)) == num_features(spec) == signal.features.shape[1] == 29
    names = feature_names(spec)
    np.testing.assert_array_equal(
        signal.features[:, names.index("joint_velocity/left_knee_pitch")],
        frames[-1].joint_velocity[:, spec.joint_names.index("left_knee_pitch")],
    )


def test_the_direction_of_the_velocity_is_a_unit_vector_or_zero(spec: RobotSpec) -> None:
    frame = Simulation(spec, 3, threads=1).frame()
    estimate = SignalPath(spec).observe(frame, np.zeros((3, 2))).estimate
    estimate.linear_velocity = np.array([[0.3, 0.4, 0.0], [0.06, 0.0, -0.079], [0.06, 0.0, -0.081]])
    direction = compute_features(frame, estimate)[:, 18:21]
    length = np.hypot(0.06, 0.081)
    np.testing.assert_allclose(direction[0], [0.6, 0.8, 0.0])
    np.testing.assert_array_equal(direction[1], 0.0)
    np.testing.assert_allclose(direction[2], [0.06 / length, 0.0, -0.081 / length])


def test_history_is_oldest_first(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    signals = [signal for signal, _ in run(spec, frames)]
    older, newer = slices(spec, "features")
    for last, signal in pairwise(signals):
        np.testing.assert_array_equal(signal.observation[:, newer], signal.features.astype(np.float32))
        np.testing.assert_array_equal(signal.observation[:, older], last.features.astype(np.float32))


def test_the_first_tick_fills_the_whole_history(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    signal = run(spec, frames[:1])[0][0]
    for name in ("features", "previous_action"):
        older, newer = slices(spec, name)
        np.testing.assert_array_equal(signal.observation[:, older], signal.observation[:, newer])


def test_the_previous_action_is_that_of_the_tick_before_clipped(
    spec: RobotSpec, frames: list[SensorFrame]
) -> None:
    path = SignalPath(spec)
    path.observe(frames[0], np.zeros((3, 2)))
    path.act(np.full((3, spec.num_joints), 99.0))
    observation = path.observe(frames[1], np.zeros((3, 2))).observation
    np.testing.assert_array_equal(observation[:, slices(spec, "previous_action")[-1]], spec.action_clip)


def test_the_first_previous_action_asks_for_the_measured_pose(
    spec: RobotSpec, frames: list[SensorFrame]
) -> None:
    path = SignalPath(spec)
    path.observe(frames[5], np.zeros((3, 2)))
    np.testing.assert_allclose(path.act(path.previous_action), frames[5].joint_position, atol=1e-12)


def test_the_first_target_cannot_jump(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    path = SignalPath(spec)
    path.observe(frames[0], np.zeros((3, 2)))
    target = path.act(np.full((3, spec.num_joints), spec.action_clip))
    step = spec.target_rate_limit * spec.control_dt
    assert np.all(np.abs(target - frames[0].joint_position) <= step + 1e-12)


def test_the_command_in_the_observation_is_the_one_after_heading_hold(
    spec: RobotSpec, frames: list[SensorFrame]
) -> None:
    path = SignalPath(spec)
    path.reset(frames[0], heading_error=0.1)
    signal = path.observe(frames[0], np.tile(WALK, (3, 1)))
    np.testing.assert_allclose(signal.command, np.tile([0.3, 0.2], (3, 1)))  # 2 rad/s for each rad
    np.testing.assert_allclose(signal.observation[:, slices(spec, "command")[0]], signal.command, atol=1e-7)


def test_a_sample_that_is_not_valid_is_held(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    path = SignalPath(spec)
    path.observe(frames[0], np.zeros((3, 2)))
    valid = np.ones((3, spec.num_joints), dtype=bool)
    valid[1, 4] = False
    broken = dataclasses.replace(
        frames[1], joint_position=np.where(valid, frames[1].joint_position, np.nan), joint_valid=valid
    )
    used = path.observe(broken, np.zeros((3, 2))).frame
    assert used.joint_position[1, 4] == frames[0].joint_position[1, 4]
    assert used.joint_time_s[1, 4] == frames[0].joint_time_s[1, 4]
    np.testing.assert_array_equal(used.joint_position[valid], frames[1].joint_position[valid])


def test_each_sample_that_is_not_valid_is_the_last_valid_one_with_its_time_whatever_was_read(
    frames: list[SensorFrame],
) -> None:
    last, read = frames[0], frames[1].copy()
    read.joint_valid[0, 3] = read.imu_valid[1] = read.foot_valid[2] = False
    read.joint_position[0, 3] = read.imu_quaternion[1] = read.imu_time_s[1] = read.foot_contact[2] = np.nan
    held = hold_invalid(read, last)
    for row, group in ((1, "imu_"), (2, "foot_")):
        for name in (f.name for f in dataclasses.fields(SensorFrame) if f.name.startswith(group)):
            if not name.endswith("valid"):
                np.testing.assert_array_equal(getattr(held, name)[row], getattr(last, name)[row])
                np.testing.assert_array_equal(getattr(held, name)[0], getattr(read, name)[0])
    for name in ("joint_position", "joint_velocity", "joint_time_s"):
        assert getattr(held, name)[0, 3] == getattr(last, name)[0, 3]
        np.testing.assert_array_equal(
            np.delete(getattr(held, name), 3, 1), np.delete(getattr(read, name), 3, 1)
        )
    np.testing.assert_array_equal(held.joint_valid, read.joint_valid)
    np.testing.assert_array_equal(held.time_s, read.time_s)


def test_samples_that_age_are_the_same_ones_and_none_is_fresh(frames: list[SensorFrame]) -> None:
    aged = frames[0].aged(frames[1].time_s)
    assert not np.concatenate([aged.joint_valid.ravel(), aged.imu_valid, aged.foot_valid]).any()
    np.testing.assert_array_equal(aged.time_s, frames[1].time_s)
    np.testing.assert_array_equal(aged.joint_time_s, frames[0].joint_time_s)
    assert hold_invalid(aged, frames[0]).imu_quaternion.tolist() == frames[0].imu_quaternion.tolist()


def test_a_reset_row_never_holds_a_sample_from_before(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    path = SignalPath(spec)
    path.observe(frames[0], np.zeros((3, 2)))
    path.reset(frames[8], np.array([False, True, False]))
    lost = dataclasses.replace(frames[8], joint_valid=np.zeros((3, spec.num_joints), dtype=bool))
    used = path.observe(lost, np.zeros((3, 2))).frame
    np.testing.assert_array_equal(used.joint_position[1], frames[8].joint_position[1])
    np.testing.assert_array_equal(used.joint_position[[0, 2]], frames[0].joint_position[[0, 2]])


def test_an_unknown_slice_is_refused(spec: RobotSpec) -> None:
    with pytest.raises(UserError, match=r"\['truth'\]; known: features"):
        make_layout(spec, {"truth": 1})


def test_a_layout_survives_the_way_into_the_contract(spec: RobotSpec) -> None:
    assert layout_from_dicts(layout_to_dicts(default_layout(spec))) == default_layout(spec)


def test_a_saved_path_goes_on_to_the_bit(spec: RobotSpec, frames: list[SensorFrame]) -> None:
    one, two = SignalPath(spec), SignalPath(spec)
    run(spec, frames[:7], one)
    two.load_state_dict(one.state_dict())
    for (a, target_a), (b, target_b) in zip(
        run(spec, frames[7:], one), run(spec, frames[7:], two), strict=True
    ):
        np.testing.assert_array_equal(a.observation, b.observation)
        np.testing.assert_array_equal(target_a, target_b)


# ---------------------------------------------------------------------- action to target


def test_the_zero_action_is_the_home_pose(spec: RobotSpec) -> None:
    home = spec.default_joint_pos
    np.testing.assert_array_equal(joint_target(spec, np.zeros(spec.num_joints), home), home)


def test_a_target_is_scaled_then_rate_limited_then_inside_the_limits(spec: RobotSpec) -> None:
    home, n = spec.default_joint_pos, spec.num_joints
    small = np.full(n, 0.1)
    np.testing.assert_allclose(joint_target(spec, small, home), home + 0.1 * spec.action_scale)
    target, step = home, spec.target_rate_limit * spec.control_dt
    for _ in range(60):
        following = joint_target(spec, np.full(n, 1e6), target)
        assert np.all(np.abs(following - target) <= step + 1e-12)
        target = following
    reach = home + spec.action_scale * spec.action_clip
    np.testing.assert_allclose(target, np.minimum(reach, spec.joint_upper))


# ---------------------------------------------------------------------- gait clock and heading hold


def test_the_clock_rests_at_zero_while_standing_and_starts_with_the_left_swing(spec: RobotSpec) -> None:
    clock = GaitClock(spec)
    np.testing.assert_array_equal(clock.tick(np.array([[0.0, 0.0]])), [[0.0, 0.0]])
    np.testing.assert_array_equal(clock.tick(np.array([[0.3, 0.0]])), [[0.0, 1.0]])
    advance = 2 * np.pi * spec.gait.stride_hz * spec.control_dt
    np.testing.assert_allclose(clock.tick(np.array([[0.3, 0.0]])), [[np.sin(advance), np.cos(advance)]])
    clock.tick(np.array([[0.0, 0.0]]))
    np.testing.assert_array_equal(clock.phase, [0.0])


def test_a_whole_stride_returns_the_clock(spec: RobotSpec) -> None:
    clock, ticks = GaitClock(spec), round(spec.control_hz / spec.gait.stride_hz)
    clock.reset((1,))
    readings = [clock.tick(np.array([WALK])) for _ in range(ticks + 1)]
    np.testing.assert_allclose(readings[-1], readings[0], atol=1e-9)
    np.testing.assert_allclose(readings[ticks // 2], -readings[0], atol=1e-9)


def test_the_clock_runs_faster_at_higher_speeds(spec: RobotSpec) -> None:
    gait = spec.gait
    low, high = gait.stride_speeds_m_s
    commands = np.array([[0.0, 0.2], [low, 0.0], [0.5 * (low + high), 0.0], [high, 0.0], [high + 0.1, 0.0]])
    between = 0.5 * (gait.stride_hz + gait.fast_stride_hz)
    expected = [gait.stride_hz, gait.stride_hz, between, gait.fast_stride_hz, gait.fast_stride_hz]
    clock = GaitClock(spec)
    clock.reset((5,))
    clock.tick(commands)
    np.testing.assert_allclose(clock.phase / (2 * np.pi * spec.control_dt), expected)


@pytest.mark.parametrize(
    ("command", "moving"),
    [([0.05, 0.0], False), ([0.06, 0.0], True), ([-0.06, 0.0], True), ([0.0, -0.06], True)],
)
def test_small_commands_ask_to_stand(spec: RobotSpec, command: list[float], moving: bool) -> None:
    assert bool(is_moving(spec, np.array(command))) is moving


def held(spec: RobotSpec, user: Any, yaws: list[float]) -> list[float]:
    hold = HeadingHold(spec, gain_per_s=1.0, limit_rad_s=0.3)
    hold.reset((1,))
    return [float(hold.command(np.array([user]), np.array([yaw]))[0, 1]) for yaw in yaws]


def test_the_hold_steers_back_and_not_too_hard(spec: RobotSpec) -> None:
    assert held(spec, [0.3, 0.0], [1.0, 1.1, 0.8, 2.5]) == pytest.approx([0.0, -0.1, 0.2, -0.3])


def test_the_hold_takes_the_short_way_round(spec: RobotSpec) -> None:
    assert held(spec, [0.3, 0.0], [3.1, -3.1]) == pytest.approx([0.0, 3.1 - (2 * np.pi - 3.1)])


def test_the_hold_stays_away_while_the_user_turns_or_stands(spec: RobotSpec) -> None:
    assert held(spec, [0.3, 0.2], [0.0, 1.0]) == [0.2, 0.2]
    assert held(spec, [0.0, 0.0], [0.0, 1.0]) == [0.0, 0.0]


def test_after_a_turn_the_new_heading_is_held(spec: RobotSpec) -> None:
    hold = HeadingHold(spec, gain_per_s=1.0)
    hold.reset((1,))
    yaw = np.array([0.0])
    hold.command(np.array([[0.3, 0.0]]), yaw)
    hold.command(np.array([[0.3, 0.4]]), yaw + 0.5)
    assert hold.command(np.array([[0.3, 0.0]]), yaw + 0.6)[0, 1] == pytest.approx(-0.1)


# ---------------------------------------------------------------------- in the axes of a body


def test_velocities_in_the_axes_of_pelvis_and_torso_are_the_simulator_s(spec: RobotSpec) -> None:
    """A robot that stands on nothing and turns about every axis, its waist turned and turning."""
    sim = Simulation(spec, 2, seed=5, threads=1)
    names = ("pelvis_angular_velocity", "torso_angular_velocity", "pelvis_linear_velocity", "linear_velocity")
    path = SignalPath(spec, make_layout(spec, dict.fromkeys(names, 1)))
    rng = np.random.default_rng(2)
    for _ in range(25):
        sim.step(spec.default_joint_pos + rng.normal(0.0, 0.3, (2, spec.num_joints)))
    frame = sim.frame()
    signal = path.observe(frame, np.tile(WALK, (2, 1)))
    pelvis, torso, linear, heading = np.split(signal.observation.astype(np.float64), 4, axis=1)
    for row in range(2):
        waist, rate = frame.joint_position[row, 0], frame.joint_velocity[row, 0]
        c, s = np.cos(waist), np.sin(waist)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])  # pelvis <- torso
        np.testing.assert_allclose(torso[row], frame.imu_angular_velocity[row], atol=1e-6)  # mounted straight
        np.testing.assert_allclose(pelvis[row], turn @ torso[row] - [0.0, 0.0, rate], atol=1e-5)
        tilt = signal.estimate.pelvis_rotation[row]
        np.testing.assert_allclose(tilt @ linear[row], heading[row], atol=1e-6)
        np.testing.assert_allclose(tilt @ pelvis[row], signal.estimate.angular_velocity[row], atol=1e-6)
        assert np.abs(tilt - np.eye(3)).max() > 0.05  # or nothing was proved
