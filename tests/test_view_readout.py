"""What the page says of a robot: events in groups, the cause of a stop and its next step, servos, battery, link."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from feed_helpers import Page, Robot, Walk, health, simulated_walk
from runtime_helpers import SPEC

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.firmware_bridge.virtual.motor import DT_S, Motor
from wildrobot.runtime.commands.source import CommandWatch, OperatorCommand
from wildrobot.runtime.control.guards import GUARDS
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.telemetry.lcm_types import robot_event_t
from wildrobot.view.feed import SILENT_S
from wildrobot.view.readout.advice import ADVICE, SOFT_STOP, TORQUE_OFF, UNKNOWN, advice
from wildrobot.view.readout.battery import BatteryTrend
from wildrobot.view.readout.events import GROUPS, TOGETHER_US, Events
from wildrobot.view.readout.link import Link
from wildrobot.view.readout.marks import judged
from wildrobot.view.readout.servo_panel import servo_table
from wildrobot.view.readout.servos import START_C, ModelledServos, ServoRecord


def event(name: str, text: str, at_s: float = 0.0, severity: int = 1) -> robot_event_t:
    message = robot_event_t()
    message.name, message.text, message.severity = name, text, severity
    message.timestamp_us = round(1e6 * at_s)
    return message


# ---------------------------------------------------------------------- events


def test_a_disturbed_bus_is_a_few_lines_and_not_thousands() -> None:
    events = Events()
    for i in range(1540):
        servo, at_s = 11 + i % 3, 0.01 * i
        text = f"servo {servo} (joint): no answer for {i} ticks, last {0.02 * i:.2f} s ago"
        events.take(event("bus", text, at_s))
        events.take(event("bus", f"over: {text}", at_s))
    events.take(event("bus", "the line is disturbed: 7 of the last 50 reads broke off", 15.4))
    events.take(event("bus", "the line is disturbed: 9 of the last 50 reads broke off", 15.5))
    groups = list(events)
    assert [group.count for group in groups] == [2, 514, 513, 513]
    assert groups[0].text.endswith("9 of the last 50 reads broke off")
    assert groups[1].text.startswith("servo 11 ")
    assert groups[1].over
    assert groups[1].seconds == pytest.approx(15.39)
    assert events.bus_errors == 1542 + 1540  # as the bus says them


def test_events_that_are_far_apart_or_differ_in_more_than_figures_stay_apart() -> None:
    events = Events()
    events.take(event("guard", "tilt_rad = 0.61: warn (warns at 0.6, stops at 1)", 0.0))
    events.take(event("guard", "tilt_rad = 0.2: fine (warns at 0.6, stops at 1)", 1.0, severity=0))
    events.take(event("guard", "current_a = 2.1: warn (warns at 2, stops at 2.3)", 2.0))
    late = 2.0 + 1e-6 * TOGETHER_US
    events.take(event("guard", "tilt_rad = 0.7: warn (warns at 0.6, stops at 1)", late))
    found = [(group.text.partition(":")[0], group.count) for group in events]
    assert found == [("tilt_rad = 0.7", 1), ("current_a = 2.1", 1), ("tilt_rad = 0.2", 2)]
    for i in range(2 * GROUPS):
        events.take(event(f"name{i}", "text", late))
    assert len(events) == GROUPS


def test_the_first_cause_stays_until_the_robot_stands_up_again() -> None:
    events = Events()
    events.take(event("state", "limp -> standing_up", 1.0, severity=0))
    assert events.cause is None
    events.take(event("fault", "temperature_c, current_a at the stop level: stopping softly", 5.0, 2))
    events.take(event("command", SOFT_STOP, 5.5, 0))
    assert events.cause is not None
    assert (events.cause.name, events.cause.timestamp_us) == ("temperature_c", 5_000_000)
    events.take(event("fall", "the pelvis tilts past its stop level: torque off", 6.0, 2))
    assert events.cause.name == "fall"
    events.take(event("refused", "not standing up: voltage_low_v at the stop level", 7.0))
    assert events.cause.name == "fall"
    events.take(event("state", "limp -> standing_up", 8.0, severity=0))
    assert events.cause is None
    events.take(event("refused", "not standing up: voltage_low_v at the stop level", 9.0))
    assert events.cause.name == "voltage_low_v"
    assert not events.cause.stopped
    events.take(event("command", "commanded by keyboard", 9.0, 0))
    assert events.cause.name == "voltage_low_v"


def test_every_guard_and_what_a_person_asks_has_a_next_step() -> None:
    for name in (*GUARDS, "fall"):
        assert advice(name) != UNKNOWN, name
    assert advice("something else") == UNKNOWN
    policy = ("policy_input_not_finite", "policy_output_not_finite", "policy_raised")
    assert set(ADVICE) == {*GUARDS, *policy, "fall", TORQUE_OFF, SOFT_STOP}
    told: list[str] = []
    teller = SimpleNamespace(event=lambda name, text, severity=0: told.append(text))
    for command in (OperatorCommand(estop=True), OperatorCommand(stop=True)):
        CommandWatch().take(command, State.WALKING, teller)
    assert told == [TORQUE_OFF, SOFT_STOP], "the runtime says it in these words"


# ---------------------------------------------------------------------- servos


def test_the_modelled_servo_is_the_virtual_one_s_motor() -> None:
    """Held by an outer force one degree from its target, for a minute."""
    model, motors = ModelledServos(SPEC), [Motor(servo, 1) for servo in SPEC.servos]
    error = np.radians(4.0)
    target, state = np.full(SPEC.num_joints, error), SimpleNamespace()
    state.joint_position = state.joint_velocity = np.zeros(SPEC.num_joints)
    for tick in range(500):
        state.time_s = SPEC.control_dt * tick
        model.take(state, target, 1.0)
    gains = SPEC.joint_stiffness / SPEC.stall_torque * error
    for i, motor in enumerate(motors):
        motor.torque_on = True
        motor._wanted_duty = lambda count, duty=gains[i]: min(1.0, duty)  # type: ignore[method-assign]
        for _ in range(round(499 * SPEC.control_dt / DT_S)):
            motor.control(0.0, 0.0, motor.model.nominal_voltage_v)
        assert motor.current_a == pytest.approx(model.current_a[i], rel=1e-6)
        assert motor.temperature_c == pytest.approx(model.temperature_c[i], abs=0.01)
    assert model.temperature_c.max() > START_C + 0.1
    model.take(state, None, 0.0)
    assert not model.current_a.any()


def test_lost_answers_are_counted_over_a_minute() -> None:
    record = ServoRecord(SPEC)

    def lost(second: int) -> list[int]:
        state = SimpleNamespace(timestamp_us=1_000_000 * second, joint_position=np.zeros(SPEC.num_joints))
        state.joint_valid = [second >= 5, *[True] * (SPEC.num_joints - 1)]
        record.take_state(state, simulated=False)
        rows, _ = record.rows(state, None, None, simulated=False)
        return [row.lost for row in sorted(rows, key=lambda row: row.joint)]

    counts = [lost(second) for second in range(70)]
    assert counts[4][0] == counts[59][0] == 5
    assert counts[62][0] == 2
    assert counts[69][0] == 0
    assert not any(any(row[1:]) for row in counts)
    record.take_event(event("bus", f"servo {SPEC.servo_ids[2]} (x): no answer"))
    record.take_event(event("bus", f"over: servo {SPEC.servo_ids[2]} (x): no answer", severity=0))
    state = SimpleNamespace(joint_position=np.zeros(SPEC.num_joints))
    rows, _ = record.rows(state, None, None, simulated=False)
    assert [row.errors for row in rows] == [0, 0, 1, *[0] * (SPEC.num_joints - 3)]


@pytest.fixture
def walk() -> Walk:
    return simulated_walk()


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Robot]:
    page = Page(monkeypatch)
    robot = Robot(page)
    robot.join()
    yield robot
    page.feed.close()


def table(robot: Robot, picked: int = 0) -> str:
    with robot.feed.lock:
        return servo_table(robot.feed, picked)


def test_the_table_begins_with_the_hottest_and_is_blank_when_the_robot_is_silent(
    robot: Robot, walk: Walk
) -> None:
    assert "no robot yet" in table(robot)
    n = SPEC.num_joints
    warm = [40.0 + i for i in range(n)]
    warm[4], warm[2] = 66.0, 76.0
    robot.step(walk.frames[0])
    robot.send("robot_health", health(temperature_c=warm, voltage_v=[10.6] * n, current_a=[-2.1] * n))
    robot.until(lambda: "robot_health" in robot.feed.latest)
    text = table(robot, picked=4)
    order = [int(part.partition(">")[0].split()[0]) for part in text.split("data-pick=")[1:]]
    assert order[:2] == [2, 4]
    assert order == sorted(range(n), key=lambda i: -warm[i])
    for part in ("76!!", "66!", "10.6!", "-2.10!", "data-pick=4 class=picked"):
        assert part in text
    assert f"{math.degrees(walk.frames[0].joint_position[0, 3]):.1f}" in text
    assert "modelled" not in text
    assert "Minutes left are not shown" in text
    robot.page.time_s += SILENT_S + 0.5
    text = table(robot)
    assert "76" not in text
    assert "10.6" not in text
    assert text.count("<td><span class=dim>–</span></td>") == 7 * n


def test_a_simulation_s_servos_are_modelled_and_said_to_be(robot: Robot, walk: Walk) -> None:
    for frame in walk.frames[:100]:
        robot.step(frame)
    robot.send("robot_health", health())
    robot.until(lambda: "robot_health" in robot.feed.latest)
    text = table(robot)
    assert "modelled" in text
    assert "12.0" in text
    assert "modelled" in robot.text()
    assert robot.feed.servos.model.temperature_c.max() > START_C
    robot.send("robot_health", health(temperature_c=[41.0] * SPEC.num_joints))
    robot.until(lambda: not math.isnan(robot.feed.latest["robot_health"].temperature_c[0]))
    assert "modelled" not in table(robot), "a virtual robot measures"


def test_a_stop_is_pinned_with_its_next_step_and_driving_figures_go(robot: Robot, walk: Walk) -> None:
    robot.step(walk.frames[0])
    robot.until(lambda: robot.feed.frames == 1 and "robot_command" in robot.feed.latest)
    assert "limited by" in robot.text()
    robot.send("robot_event", event("fault", "voltage_low_v at the stop level: stopping softly", 3.0, 2))
    for i in range(50):
        robot.send("robot_event", event("bus", "servo 3 (x): no answer", 3.0 + 0.1 * i))
    robot.tick = 8000
    robot.step(walk.frames[1], "limp")
    robot.until(lambda: robot.feed.frames == 2)
    text = robot.text()
    assert "stopped: voltage_low_v at the stop level" in text
    assert ADVICE["voltage_low_v"] in text
    assert "×50" in text
    assert text.count("servo 3 (x): no answer") == 1
    assert "limited by" not in text
    assert text.index(ADVICE["voltage_low_v"]) < text.index("commanded by")


# ---------------------------------------------------------------------- battery and link


def test_the_battery_s_trend_needs_a_minute_and_is_that_of_medians() -> None:
    trend = BatteryTrend()
    for second in range(400):
        sag = 0.8 if second % 7 == 0 else 0.0
        message = health(voltage_v=[12.0 - 0.001 * second - sag, math.nan, 12.5])
        message.timestamp_us = 1_000_000 * second
        trend.take(message)
        if second < 60:
            assert trend.change() is None
    change = trend.change()
    assert change is not None
    assert change == (pytest.approx(-0.28, abs=0.01), pytest.approx(300.0))


def test_link_latency_and_pauses() -> None:
    clock: dict[str, Any] = {"now": 0.0}
    link = Link(now=lambda: clock["now"], wall=lambda: 1000.0 + clock["now"])
    assert math.isnan(link.latency_s)
    for tick in range(200):
        clock["now"] = 0.02 * tick + (0.1 if tick == 190 else 0.0)
        link.take(round(1e6 * (1000.0 + 0.02 * tick - 0.012)))
    assert link.latency_s == pytest.approx(0.012, abs=1e-5)
    assert link.gap_s == pytest.approx(0.12)


def test_values_are_judged_by_the_guards_levels() -> None:
    assert judged(math.nan, "{:.0f}", 1.0, 2.0) == ""
    assert judged(0.5, "{:.1f}", 1.0, 2.0) == "0.5"
    assert "1.5!<" in judged(1.5, "{:.1f}", 1.0, 2.0)
    assert "-2.5!!<" in judged(-2.5, "{:.1f}", 1.0, 2.0, magnitude=True)
    assert "10.6!<" in judged(10.6, "{:.1f}", 11.0, 10.2, below=True)
