"""Whatever sensors, policy and people do: the servos get what is safe, stops end, and ESTOP stays."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runtime_helpers import SPEC, WrittenRobot, frame_at, no_health
from wild_helpers import QUICK, Wild, wild_session, wild_tick

from wildrobot.core.rotations import quat_from_rotvec, quat_multiply
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.guards import DEBOUNCE_TICKS, Guards
from wildrobot.runtime.control.safety import COAST_TICKS, Applied, SafetySupervisor
from wildrobot.runtime.control.state_machine import Demand, Durations, State, StateMachine
from wildrobot.signal_path.sensor_frame import SensorFrame

thorough = settings(max_examples=60, deadline=None, derandomize=True)
few = settings(max_examples=20, deadline=None, derandomize=True)

N = SPEC.num_joints
HOME = SPEC.default_joint_pos[None]
STEP = SPEC.target_rate_limit * SPEC.control_dt
FOLLOWS = {
    State.LIMP: {State.STANDING_UP, State.ESTOP},
    State.STANDING_UP: {State.STANDING, State.SOFT_STOP, State.ESTOP},
    State.STANDING: {State.WALKING, State.SOFT_STOP, State.ESTOP},
    State.WALKING: {State.STANDING, State.SOFT_STOP, State.ESTOP},
    State.SOFT_STOP: {State.LIMP, State.ESTOP},
    State.ESTOP: set(),
}
anything = st.one_of(
    st.floats(-3.0, 3.0),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308, -1e308, 1e-308]),
)
joints = st.lists(anything, min_size=N, max_size=N).map(lambda values: np.array([values]))
demands = st.builds(Demand, *[st.booleans()] * 5)


def assert_safe(target: Any, last: Any) -> None:
    """A target for servos under torque, after the `last` one."""
    assert np.all(np.isfinite(target))
    assert np.all((target >= SPEC.joint_lower) & (target <= SPEC.joint_upper))
    if last is not None:
        assert np.all(np.abs(target - last) <= STEP * (1 + 1e-12) + 1e-12)


def assert_consistent(applied: Applied) -> None:
    same = np.array_equal(applied.target, applied.requested)
    assert same == (applied.limited_by == ()), applied


# ---------------------------------------------------------------------- the state machine


def ticks(seconds: float) -> int:
    return math.ceil(seconds * SPEC.control_hz - 1e-9)


class Machine:
    """A state machine that is looked at on every tick."""

    def __init__(self, durations: Durations) -> None:
        self.durations, self.machine = durations, StateMachine(SPEC, durations)
        self.gain, self.ticks_in_estop = 0.0, 0
        self.target: Any = SPEC.default_joint_pos[None]
        self.held: Any = None

    def step(self, demand: Demand, measured: Any) -> None:
        before = self.machine.state
        directive = self.machine.step(demand, measured, self.target)
        after, gain = directive.state, directive.stiffness
        assert after is before or after in FOLLOWS[before]
        assert after is State.ESTOP or not demand.estop
        if before is State.LIMP and after is State.STANDING_UP:
            assert demand.stand
            assert not demand.stop
        if demand.stop and before in (State.STANDING_UP, State.STANDING, State.WALKING):
            assert after in (State.SOFT_STOP, State.ESTOP)
        assert 0.0 <= gain <= 1.0
        assert gain - self.gain <= SPEC.control_dt / self.durations.torque_ramp + 1e-9, "torque comes slowly"
        assert after is not State.LIMP or gain == 0.0
        if after is State.ESTOP:
            self.held = self.target if self.held is None else self.held
            np.testing.assert_array_equal(directive.pose, self.held)
            self.ticks_in_estop += 1
            assert gain <= self.gain
            assert gain == 0.0 or self.ticks_in_estop <= ticks(self.durations.estop_release)
        halts = after is State.SOFT_STOP and not demand.distrust_policy
        assert not directive.policy or halts or after in (State.STANDING, State.WALKING)
        assert not directive.policy_starts or directive.policy
        self.gain = gain
        if not directive.policy and np.all(np.isfinite(directive.pose)):
            self.target = directive.pose


@pytest.mark.parametrize("durations", [QUICK, Durations()], ids=["quick", "default"])
@given(st.lists(st.tuples(demands, st.integers(1, 40), joints), max_size=12))
@thorough
def test_states_and_torque_follow_the_rules_whatever_is_demanded(
    durations: Durations, steps: list[tuple[Demand, int, Any]]
) -> None:
    machine = Machine(durations)
    for demand, count, measured in steps:
        for _ in range(count):
            machine.step(demand, measured)


@given(
    st.lists(st.tuples(demands, st.integers(1, 80)), max_size=10),
    st.lists(st.builds(Demand, st.booleans(), st.booleans(), st.just(True), st.just(False), st.booleans())),
)
@thorough
def test_a_stop_always_ends_limp_within_its_time(
    steps: list[tuple[Demand, int]], stops: list[Demand]
) -> None:
    machine = StateMachine(SPEC)
    home = SPEC.default_joint_pos[None]
    for demand, count in steps:
        for _ in range(count):
            machine.step(demand, home, home)
    time, directive = Durations(), None
    stops = stops or [Demand(stop=True)]
    for i in range(ticks(time.halt + time.crouch + time.release) + 2):
        directive = machine.step(stops[i % len(stops)], home, home)
    assert directive is not None
    assert directive.state in (State.LIMP, State.ESTOP)
    assert directive.stiffness == 0.0
    assert directive.state is State.LIMP or any(demand.estop for demand, _ in steps)


# ---------------------------------------------------------------------- the supervisor's bounds


@given(
    joints,
    st.lists(st.tuples(joints, st.booleans(), st.booleans(), st.sampled_from([0.0, 0.02])), max_size=20),
)
@thorough
def test_what_the_servos_get_is_inside_limits_and_rates_and_says_what_limited_it(
    start: Any, requests: list[tuple[Any, bool, bool, float]]
) -> None:
    robot, unheard, time = WrittenRobot(), 0, 0.0
    safety = SafetySupervisor(SPEC, robot)
    last = safety.reset(start)
    assert_safe(last, None)
    for i, (requested, valid, blind, elapsed) in enumerate(requests):
        time += elapsed
        frame = frame_at(time, jitter=i)
        frame.imu_valid[:] = valid
        safety.check(frame, no_health(), 0)
        unheard = 0 if valid and (elapsed or i == 0) else unheard + 1
        applied = safety.bound(requested, blind=blind)
        safety.write(1.0)
        np.testing.assert_array_equal(robot.written[-1].target, applied.target)
        assert_safe(applied.target, last)
        assert_consistent(applied)
        if not np.all(np.isfinite(requested)):
            assert applied.limited_by == ("not_finite",)
        elif unheard > COAST_TICKS and not blind:
            assert applied.limited_by in ((), ("stale_samples",))
        else:
            assert set(applied.limited_by) <= {"target_rate", "joint_limits"}
            if np.any(np.abs(requested - last) > STEP + 1e-9):
                assert "target_rate" in applied.limited_by
        if {"not_finite", "stale_samples"} & set(applied.limited_by):
            np.testing.assert_array_equal(applied.target, last)
        last = applied.target


calls = st.one_of(
    st.tuples(st.just("reset"), joints),
    st.tuples(st.just("bound"), joints),
    st.tuples(st.just("write"), st.one_of(st.sampled_from([0.0, 0.5, 1.0]), anything)),
)


@given(st.lists(calls, max_size=30))
@thorough
def test_in_whatever_order_it_is_called_no_servo_under_torque_is_given_a_jump(
    order: list[tuple[str, Any]],
) -> None:
    robot = WrittenRobot()
    safety = SafetySupervisor(SPEC, robot)
    safety.reset(HOME)
    for name, value in order:
        getattr(safety, name)(value)
    for written in robot.written:
        assert 0.0 <= written.stiffness <= 1.0
        assert_safe(written.target, None)
    for before, after in itertools.pairwise(robot.written):
        if before.stiffness > 0.0 and after.stiffness > 0.0:
            assert_safe(after.target, before.target)


angles = st.floats(-math.pi, math.pi)


def turned(spec: Any, tilt: float, side: float, yaw: float, north: float, waist: float, tick: int) -> Any:
    """The pelvis leans by `tilt` to `side`, after it has turned by `yaw`; the torso is twisted by `waist` on it."""
    lean = quat_from_rotvec(tilt * np.array([math.cos(side), math.sin(side), 0.0]))
    about_z = lambda angle: quat_from_rotvec(np.array([0.0, 0.0, angle]))  # noqa: E731
    pelvis = quat_multiply(about_z(north), quat_multiply(lean, about_z(yaw)))
    position = SPEC.default_joint_pos.copy()
    position[SPEC.waist_joints[0]] = waist
    quaternion = quat_multiply(quat_multiply(pelvis, about_z(waist)), spec.imu_mount)
    return frame_at(0.02 * tick, position=position, quaternion=quaternion, jitter=tick)


@given(
    st.floats(0.0, math.pi),
    angles,
    angles,
    angles,
    st.floats(SPEC.joint_lower[SPEC.waist_joints[0]], SPEC.joint_upper[SPEC.waist_joints[0]]),
    st.tuples(angles, angles, angles),
)
@example(math.pi, 0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
@thorough
def test_a_fall_is_seen_in_every_orientation_and_only_then(
    tilt: float, side: float, yaw: float, north: float, waist: float, mount: tuple[float, float, float]
) -> None:
    spec = copy.copy(SPEC)
    spec.imu_mount = quat_from_rotvec(np.array(mount))
    guards = Guards(spec)
    stopping: list[list[str]] = [
        guards.check(turned(spec, tilt, side, yaw, north, waist, i), no_health(), 0, driven=True)[1]
        for i in range(DEBOUNCE_TICKS)
    ]
    level = spec.guards["tilt_rad"].stop
    assert not any("tilt_rad" in names for names in stopping[:-1])
    if abs(tilt - level) > 1e-6:
        assert ("tilt_rad" in stopping[-1]) == (tilt > level)


@given(st.floats(0.0, 0.5), st.floats(0.0, 3.0), angles, angles, st.floats(-0.5, 0.5))
@thorough
def test_a_robot_that_tilts_fast_is_known_to_fall_before_it_lies(
    tilt: float, rate: float, side: float, north: float, waist: float
) -> None:
    guards, level = Guards(SPEC), SPEC.guards["falling_rad"].stop
    for i in range(DEBOUNCE_TICKS + 1):
        frame = turned(SPEC, tilt + 0.02 * i * rate, side, 0.0, north, waist, i)
        stopping = guards.check(frame, no_health(), 0, driven=True)[1]
    first, last = (tilt + 0.25 * rate + 0.02 * i * rate for i in (1, DEBOUNCE_TICKS))
    if first > level + 1e-6:
        assert "falling_rad" in stopping
    elif last < level - 1e-6:
        assert "falling_rad" not in stopping


# ---------------------------------------------------------------------- the whole tick


FIELDS = [field.name for field in dataclasses.fields(SensorFrame)]


commands = st.builds(
    OperatorCommand,
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
    stand=st.sampled_from([True, True, True, False]),
    stop=st.sampled_from([False] * 7 + [True]),
    estop=st.sampled_from([False] * 15 + [True]),
    policy=st.integers(0, 2),
)
rarely = st.sampled_from([False] * 7 + [True])
stretches = st.builds(
    Wild,
    st.integers(1, 25),
    st.lists(st.tuples(st.sampled_from(FIELDS), st.integers(0, 8), anything), max_size=3),
    rarely,
    st.one_of(st.none(), st.none(), anything),
    rarely,
    st.one_of(st.just(math.nan), anything),
    st.sampled_from([0, 0, 0, 1, 9]),
    commands,
)


@given(st.lists(stretches, min_size=1, max_size=8), st.integers(0, 50))
@few
def test_no_input_of_any_kind_moves_the_robot_in_an_unsafe_way(steps: list[Wild], calm: int) -> None:
    session, wild = wild_session()
    before, last_gain, last = State.LIMP, 0.0, None
    wild.now = Wild()
    ending = dataclasses.replace(steps[-1], command=OperatorCommand(stop=True))
    bound = ticks(QUICK.halt + QUICK.crouch + QUICK.release) + 3
    plan = [(wild.now, calm), *((step, step.count) for step in steps), (ending, bound)]
    for wild.now, count in plan:
        for _ in range(count):
            wild_tick(session, wild)
            gain, target = wild.written[-1]
            state, applied = session.state, session.told.applied
            assert applied is not None
            assert state is before or state in FOLLOWS[before]
            assert np.all(np.isfinite(target))
            assert 0.0 <= gain <= 1.0
            assert gain - last_gain <= SPEC.control_dt / QUICK.torque_ramp + 1e-9
            assert state is not State.LIMP or gain == 0.0
            if state is State.ESTOP:
                assert gain <= last_gain
            if gain > 0.0:
                assert_safe(target, last)
            assert_consistent(applied)
            np.testing.assert_array_equal(applied.target, target)
            before, last_gain, last = state, gain, target
    assert session.state in (State.LIMP, State.ESTOP)
    assert wild.gain == 0.0


@given(st.lists(stretches, min_size=1, max_size=3))
@settings(few, max_examples=10)
def test_estop_is_for_good(steps: list[Wild]) -> None:
    session, wild = wild_session()
    wild.now = Wild()
    session.run(0.9)
    assert session.state is State.WALKING
    wild.now = dataclasses.replace(wild.now, command=OperatorCommand(estop=True))
    session.tick()
    held = wild.written[-1][1]
    for wild.now in steps:
        for _ in range(wild.now.count):
            wild_tick(session, wild)
            assert session.state is State.ESTOP
            np.testing.assert_array_equal(wild.written[-1][1], held)
    assert (
        wild.gain <= 1.0 - SPEC.control_dt / QUICK.estop_release * min(3, sum(s.count for s in steps)) + 1e-9
    )
