"""The safety supervisor: what it sees, when it stops, and what it lets through to the servos."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from heron_helpers import HERON
from kinematics_helpers import torso_rotation
from runtime_helpers import SPEC, WrittenRobot, frame_at, no_health

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply, quat_to_matrix
from wildrobot.robot_description import load_robot
from wildrobot.robot_description.kinematics import Kinematics
from wildrobot.robot_description.mjcf import read_mjcf
from wildrobot.runtime.control.guards import DEBOUNCE_TICKS, POLICY_UNTRUSTED, Guards, Level, PelvisTilt
from wildrobot.runtime.control.safety import COAST_TICKS, SafetySupervisor
from wildrobot.runtime.robots.base import Health

HOME = SPEC.default_joint_pos[None]


def tilted(angle_rad: float, axis: int, waist: float = 0.0, **kwargs: Any) -> Any:
    """A frame of the robot whose pelvis is turned about one axis, with the torso twisted by `waist`."""
    vector = np.zeros(3)
    vector[axis] = angle_rad
    position = SPEC.default_joint_pos.copy()
    position[SPEC.waist_joints[0]] = waist
    torso = quat_multiply(quat_from_rotvec(vector), quat_from_rotvec(np.array([0.0, 0.0, waist])))
    return frame_at(position=position, quaternion=quat_multiply(torso, SPEC.imu_mount), **kwargs)


def watch(frames: list[Any], health: Health | None = None, missed: int = 0) -> list[list[str]]:
    """Names at their stop level, tick by tick."""
    guards = Guards(SPEC)
    return [guards.check(frame, health or no_health(), missed, True, HOME)[1] for frame in frames]


def still(ticks: int) -> list[Any]:
    return [frame_at(0.02 * i, jitter=i) for i in range(ticks)]


@pytest.mark.parametrize("waist", [-0.5, 0.0, 0.4])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("angle", [0.0, 0.3, -0.7, 1.4, -2.6])
def test_tilt_is_the_angle_of_the_pelvis_whatever_the_waist_does(
    angle: float, axis: int, waist: float
) -> None:
    assert PelvisTilt(SPEC)(tilted(angle, axis, waist)) == pytest.approx(abs(angle), abs=1e-9)


def test_tilt_does_not_depend_on_north() -> None:
    assert PelvisTilt(SPEC)(tilted(2.0, axis=2)) == pytest.approx(0.0, abs=1e-7)


def test_tilt_does_not_depend_on_how_the_imu_is_mounted() -> None:
    spec = copy.copy(SPEC)
    spec.imu_mount = quat_from_rotvec(np.array([1.0, -0.5, 2.0]))
    leaning = quat_from_rotvec(np.array([0.7, 0.0, 0.0]))
    frame = frame_at(quaternion=quat_multiply(leaning, spec.imu_mount))
    assert PelvisTilt(spec)(frame) == pytest.approx(0.7, abs=1e-9)


THREE_HINGES = """<mujoco><compiler angle="radian"/><worldbody><body name="base"><freejoint/>
<inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>
<body name="belly" quat="0.8 0.1 -0.5 0.3"><inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>
  <joint name="a" axis="1 2 -1"/>
  <body name="chest" quat="0.9 -0.3 0.1 0.2"><inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>
    <joint name="b" axis="0 1 0.5"/>
    <body name="torso" quat="0.6 0.2 0.7 -0.1"><inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>
      <joint name="c" axis="-1 0.2 0"/><site name="imu"/></body></body></body>
<body name="foot"><inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/><joint name="d" axis="0 1 0"/>
  <site name="toe"/></body></body></worldbody></mujoco>"""


@pytest.mark.parametrize("robot", ["wildrobot", "heron", "three hinges"])
def test_tilt_equals_that_of_all_rotations_multiplied(robot: str, tmp_path: Path) -> None:
    spec: Any = load_robot(HERON) if robot == "heron" else SPEC
    if robot == "three hinges":
        path = tmp_path / "robot.xml"
        path.write_text(THREE_HINGES)
        tree, mount = read_mjcf(path), np.array([0.5, -0.5, 0.1, 0.7])
        kinematics = Kinematics(tree, ("c", "d", "a", "b"), ("toe",), "torso")
        spec = SimpleNamespace(kinematics=kinematics, num_joints=4, imu_mount=mount)
    assert len(spec.kinematics.torso_joints) == {"wildrobot": 1, "heron": 0, "three hinges": 3}[robot]
    rng, measure = np.random.default_rng(0), PelvisTilt(spec)
    for _ in range(200):
        q, quaternion = rng.uniform(-3.0, 3.0, spec.num_joints), rng.normal(size=4)
        frame = frame_at(position=q, quaternion=quaternion)  # of any length
        world_imu = quat_to_matrix(quaternion / np.linalg.norm(quaternion))
        torso = torso_rotation(spec.kinematics, q)
        up = (world_imu @ quat_to_matrix(spec.imu_mount).T @ torso.T)[2, 2]
        assert np.cos(measure(frame)) == pytest.approx(up, abs=1e-12)


@pytest.mark.parametrize("joint", [np.nan, np.inf])
def test_the_tilt_of_a_waist_that_is_nowhere_is_not_known(joint: float) -> None:
    frame = tilted(0.3, 1)
    frame.joint_position[0, SPEC.waist_joints[0]] = joint
    assert np.isnan(PelvisTilt(SPEC)(frame))


@pytest.mark.parametrize("quaternion", [[np.nan, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
def test_the_tilt_of_an_imu_without_a_rotation_is_not_known(quaternion: list[float]) -> None:
    assert np.isnan(PelvisTilt(SPEC)(frame_at(quaternion=quaternion)))


def test_upside_down_is_a_fall() -> None:
    frames = [tilted(np.pi, 0, time_s=0.02 * i, jitter=i) for i in range(DEBOUNCE_TICKS)]
    assert watch(frames)[-1] == ["tilt_rad", "falling_rad"]


def test_a_fall_needs_several_ticks_in_a_row() -> None:
    down = [tilted(1.3, 1, time_s=0.02 * i, jitter=i) for i in range(DEBOUNCE_TICKS)]
    assert [bool(names) for names in watch(down)] == [False] * (DEBOUNCE_TICKS - 1) + [True]
    broken = [*down[:-1], frame_at(0.08, jitter=50), tilted(1.3, 1, time_s=0.1, jitter=51)]
    assert not any(watch(broken))


def test_a_robot_at_rest_trips_nothing() -> None:
    guards = Guards(SPEC)
    for frame in still(20):
        readings, stopping = guards.check(frame, no_health(), 0, True, HOME)
        assert stopping == []
        assert {reading.level for reading in readings} == {Level.FINE}


def test_a_stale_joint_stops_the_robot_and_distrusts_the_policy() -> None:
    frames = still(12)
    for frame in frames[3:]:
        frame.joint_time_s[0, 4] = 0.04  # the value of tick 2, with its own time
        frame.joint_valid[0, 4] = False
    stops = watch(frames)
    assert stops[2] == []
    assert stops[-1] == ["sample_age_s"]
    assert "sample_age_s" in POLICY_UNTRUSTED


def test_a_frozen_imu_is_stale_although_its_time_goes_on() -> None:
    assert watch([frame_at(0.02 * i, jitter=0) for i in range(10)])[-1] == ["sample_age_s"]


@pytest.mark.parametrize("quaternion", [[0.9, 0.0, 0.0, 0.0], [np.nan, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
def test_a_quaternion_that_is_not_one_stops_the_robot(quaternion: list[float]) -> None:
    frames = [frame_at(0.02 * i, quaternion=quaternion, jitter=i) for i in range(DEBOUNCE_TICKS)]
    assert watch(frames)[-1] == ["quaternion_norm_error"]


def test_a_joint_velocity_that_is_not_a_number_stops_the_robot() -> None:
    frames = still(DEBOUNCE_TICKS)
    for frame in frames:
        frame.joint_velocity[0, 1] = np.nan
    assert watch(frames)[-1] == ["joint_velocity_rad_s"]


@pytest.mark.parametrize(
    ("field", "value", "guard"),
    [
        ("voltage_v", 9.0, "voltage_low_v"),
        ("voltage_v", 15.5, "voltage_high_v"),
        ("temperature_c", 90.0, "temperature_c"),
        ("current_a", -2.9, "current_a"),
    ],
)
def test_servo_health_stops_the_robot(field: str, value: float, guard: str) -> None:
    values = np.full(SPEC.num_joints, np.nan)
    values[3] = value
    health = dataclasses.replace(no_health(), **{field: values})
    assert watch(still(DEBOUNCE_TICKS), health)[-1] == [guard]


def test_missed_ticks_in_a_row_stop_the_robot() -> None:
    assert watch(still(1), missed=3) == [[]]
    assert watch(still(1), missed=6) == [["missed_ticks_in_a_row"]]


def test_a_tracking_error_counts_only_under_torque() -> None:
    safety = supervisor(np.zeros_like(HOME))
    far = np.clip(SPEC.default_joint_pos + 1.0, SPEC.joint_lower, SPEC.joint_upper)
    found = []
    for i in range(3 * DEBOUNCE_TICKS):
        found.append(safety.check(frame_at(0.02 * i, position=far, jitter=i), no_health(), 0)[1])
        safety.write(0.0 if i < DEBOUNCE_TICKS else 0.999 if i < 2 * DEBOUNCE_TICKS - 1 else 1.0)
    assert found == [[]] * (3 * DEBOUNCE_TICKS - 1) + [["tracking_error_rad"]]


def test_an_unknown_guard_is_refused() -> None:
    wrong: Any = SimpleNamespace(guards={"tilt_degrees": None}, path="robot.yaml")
    with pytest.raises(UserError, match="tilt_degrees"):
        Guards(wrong)


def supervisor(position: Any = HOME) -> SafetySupervisor:
    safety = SafetySupervisor(SPEC, WrittenRobot())
    safety.reset(position)
    return safety


def test_a_target_within_reach_passes_untouched() -> None:
    wanted = HOME + 0.01
    applied = supervisor().bound(wanted)
    np.testing.assert_array_equal(applied.target, wanted)
    assert applied.limited_by == ()


def test_the_first_target_is_inside_the_limits_and_where_nothing_is_known_the_last_one() -> None:
    safety = supervisor()
    position = HOME + 0.1
    position[0, 0], position[0, 1], position[0, 3] = np.nan, 9.0, -np.inf
    wanted = HOME + 0.1
    wanted[0, [0, 1, 3]] = HOME[0, 0], SPEC.joint_upper[1], HOME[0, 3]
    np.testing.assert_array_equal(safety.reset(position), wanted)


def test_a_jump_is_limited_to_the_servo_s_speed() -> None:
    applied = supervisor().bound(HOME + 0.5)
    np.testing.assert_allclose(applied.target - HOME, [SPEC.target_rate_limit * SPEC.control_dt])
    np.testing.assert_array_equal(applied.requested, HOME + 0.5)
    assert applied.limited_by == ("target_rate",)


def test_targets_stay_inside_the_joint_limits() -> None:
    safety = supervisor()
    for _ in range(100):
        applied = safety.bound(np.full_like(HOME, 5.0))
        safety.write(1.0)
    np.testing.assert_array_equal(applied.target, [SPEC.joint_upper])
    assert applied.limited_by == ("target_rate", "joint_limits")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_target_that_is_not_finite_holds_the_last_one(value: float) -> None:
    safety = supervisor()
    last = safety.bound(HOME + 0.02).target
    safety.write(1.0)
    wanted = HOME.copy()
    wanted[0, 2] = value
    applied = safety.bound(wanted)
    np.testing.assert_array_equal(applied.target, last)
    assert applied.limited_by == ("not_finite",)


def test_dropped_reads_are_bridged_and_then_the_target_is_held() -> None:
    safety = supervisor()
    moved = []
    for i in range(COAST_TICKS + 2):
        frame = frame_at(0.02 * i, jitter=i)
        frame.joint_valid[:] = False
        safety.check(frame, no_health(), 0)
        moved.append(safety.bound(HOME + 0.01 * (i + 1)).limited_by)
        safety.write(1.0)
    assert moved == [()] * COAST_TICKS + [("stale_samples",)] * 2


@pytest.mark.parametrize("part", ["imu", "foot"])
def test_a_sensor_that_keeps_silent_is_coasted_over_then_the_target_is_held(part: str) -> None:
    safety, held = supervisor(), []
    for i, frame in enumerate(still(COAST_TICKS + 2)):
        silent = dataclasses.replace(frame, **{f"{part}_valid": np.zeros(1, dtype=bool)})
        safety.check(silent, no_health(), 0)
        held.append("stale_samples" in safety.bound(HOME + 0.01 * (i + 1)).limited_by)
        safety.write(1.0)
    assert held == [False] * COAST_TICKS + [True] * 2


def test_feet_that_have_not_been_heard_of_are_stale() -> None:
    frames = [dataclasses.replace(frame, foot_time_s=np.zeros(1)) for frame in still(9)]
    assert watch(frames)[-1] == ["sample_age_s"]


def test_a_servo_that_shut_itself_down_stops_the_robot_at_once() -> None:
    ill = dataclasses.replace(no_health(), hardware_errors=1)
    assert watch(still(1), ill) == [["hardware_errors"]]


def test_a_target_goes_to_the_robot_only_as_it_was_bounded() -> None:
    robot = WrittenRobot()
    safety = SafetySupervisor(SPEC, robot)
    safety.reset(HOME)
    for request in (HOME + 0.5, HOME - 0.5):  # the last word counts, and from the same place
        applied = safety.bound(request)
    assert robot.written == []
    safety.write(7.0)
    np.testing.assert_array_equal(robot.written[0].target, applied.target)
    np.testing.assert_array_equal(applied.target, HOME - SPEC.target_rate_limit * SPEC.control_dt)
    assert robot.written[0].stiffness == safety.stiffness == 1.0


def test_joints_that_are_said_to_be_elsewhere_under_torque_are_let_go_first() -> None:
    robot = WrittenRobot()
    safety = SafetySupervisor(SPEC, robot)
    safety.reset(HOME)
    safety.write(1.0)
    safety.reset(HOME + 0.3)
    safety.write(1.0)
    safety.write(1.0)
    assert [written.stiffness for written in robot.written] == [1.0, 0.0, 1.0]


def test_nothing_is_written_before_there_is_a_target() -> None:
    with pytest.raises(RuntimeError, match="no target yet"):
        SafetySupervisor(SPEC, WrittenRobot()).write(1.0)


def test_a_robot_whose_guards_are_refused_is_closed() -> None:
    wrong, robot = copy.copy(SPEC), WrittenRobot()
    wrong.guards = {}
    with pytest.raises(UserError, match="no levels for tilt_rad"):
        SafetySupervisor(wrong, robot)
    assert robot.closed == 1


def test_who_has_the_view_of_a_robot_can_read_it_and_no_more() -> None:
    view = SafetySupervisor(SPEC, WrittenRobot()).view
    assert sorted(vars(view)) == ["health", "lockstep", "read", "truth"]
    assert not [name for name in ("write", "set_stiffness", "close") if hasattr(view, name)]
