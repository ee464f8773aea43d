"""What the page knows of the robot: the track against the simulator's truth, histories, texts, and the drawn scene."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from feed_helpers import (
    AGAIN,
    BOB,
    Page,
    Robot,
    Walk,
    bus_event,
    configuration,
    health,
    simulated_walk,
)
from runtime_helpers import SPEC, frame_at

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.runtime.telemetry.lcm_types import (
    policy_state_t,
    robot_state_t,
)
from wildrobot.runtime.telemetry.neighbours import GONE_S
from wildrobot.view.feed import SILENT_S
from wildrobot.view.readout.status import feature_bars, stage_table


@pytest.fixture
def walk() -> Walk:
    return simulated_walk()


# ---------------------------------------------------------------------- feed


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    page = Page(monkeypatch)
    yield page
    page.feed.close()


@pytest.fixture
def robot(page: Page) -> Robot:
    robot = Robot(page)
    robot.join()
    return robot


def test_a_walk_arrives_row_by_row(robot: Robot, walk: Walk) -> None:
    for frame in walk.frames[:30]:
        robot.step(frame)
    robot.until(lambda: robot.feed.frames == 30 and "robot_command" in robot.feed.latest)
    robot.until(lambda: robot.feed.latest["robot_command"].tick == 30)
    history = robot.feed.history
    expected = np.array([frame.joint_position[0] for frame in walk.frames[:30]])
    assert np.allclose(history.part("joint_position")[-30:], expected)
    assert np.allclose(history.part("joint_target")[-1], 0.01 * np.arange(SPEC.num_joints))
    assert np.allclose(history.part("command")[-1], (0.3, 0.1))
    assert np.isnan(history.part("height")[:-30]).all()
    assert robot.feed.problem == ""
    text = robot.text()
    for part in ("WALKING", "lcm:view@&lt;host&gt;", "target rate", "0.30"):
        assert part in text


def test_a_lost_command_leaves_a_gap_and_not_another_tick_s_target(robot: Robot, walk: Walk) -> None:
    for tick in (1, 2):
        robot.state(walk.frames[tick])
    robot.step(walk.frames[3])
    robot.until(lambda: "robot_command" in robot.feed.latest)
    target = robot.feed.history.part("joint_target")
    assert np.isfinite(robot.feed.history.part("height")[-2:]).all()
    assert np.isnan(target[-2]).all()


def test_a_new_run_begins_with_an_empty_history(robot: Robot, walk: Walk) -> None:
    for frame in walk.frames[:10]:
        robot.step(frame)
    robot.send("robot_event", bus_event())
    robot.until(lambda: robot.feed.events.bus_errors == 1)
    assert "servo 3: no answer" in robot.text()
    again = Robot(robot.page, AGAIN)
    robot.page.wait(SILENT_S + 0.5)
    again.join()
    again.step(walk.frames[0])
    robot.until(lambda: robot.feed.frames == 11 and robot.feed.latest["robot_command"].tick == 1)
    assert np.isfinite(robot.feed.history.part("height")).sum() == 1
    assert robot.feed.events.bus_errors == 0
    assert "servo 3: no answer" not in robot.text()
    assert robot.page.banner() == ""


def test_a_log_that_is_played_once_more_begins_with_an_empty_history(robot: Robot, walk: Walk) -> None:
    robot.tick = 10_000_000
    for frame in walk.frames[:10]:
        robot.step(frame)
    robot.send("robot_event", bus_event())
    robot.until(lambda: robot.feed.events.bus_errors == 1)
    robot.page.wait(SILENT_S + 0.5)
    robot.tick = 0
    robot.step(walk.frames[0])
    robot.until(lambda: robot.feed.frames == 11 and "robot_command" in robot.feed.latest)
    robot.page.settle()
    assert np.isfinite(robot.feed.history.part("height")).sum() == 1
    assert robot.feed.events.bus_errors == 0


def test_garbage_and_other_robots_are_named_and_the_page_lives_on(robot: Robot, walk: Walk) -> None:
    robot.page.network.publish("alice/robot_state", b"\0" * 40)
    robot.until(lambda: "robot_state cannot be read" in robot.feed.problem)
    stranger = robot_state_t()
    stranger.num_joints, stranger.num_feet = 1, 0
    for name in ("joint_position", "joint_velocity", "joint_time_s"):
        setattr(stranger, name, [0.0])
    stranger.joint_valid = [True]
    robot.send("robot_state", stranger)
    robot.until(lambda: "--robot-file" in robot.feed.problem)
    assert "--robot-file" in robot.text()
    robot.send("run_configuration", configuration())
    robot.until(lambda: robot.feed.problem == "")
    robot.step(walk.frames[0])
    robot.until(lambda: robot.feed.frames == 1)


def test_the_calibration_of_the_robot_is_the_one_its_messages_carry(robot: Robot) -> None:
    turned = [math.cos(0.25), 0.0, 0.0, math.sin(0.25)]  # the IMU sits on the torso turned by 0.5 rad
    robot.send("run_configuration", configuration(calibration={"imu_mount": turned}))
    # Its world reads the torso at zero when the IMU reads 0.5.
    frame = frame_at(0.0, quaternion=turned)
    frame.imu_quaternion[0] = turned
    robot.step(frame)
    robot.until(lambda: robot.feed.frames == 1)
    assert robot.feed.pose is not None
    assert np.allclose(robot.feed.pose.estimate.yaw, 0.0, atol=1e-9)
    other = configuration()
    other.robot_hash = "another"
    other.json += " "
    robot.send("run_configuration", other)
    robot.until(lambda: "is not the one drawn here" in robot.feed.problem)


def test_a_played_log_s_configuration_comes_before_anything_tells_whose_it_is(page: Page, walk: Walk) -> None:
    for robot in (Robot(page), Robot(page, AGAIN)):  # the second log is played after the first
        other = Robot(page, BOB)
        other.send("run_configuration", configuration(policies=[{"path": "/x/other.onnx"}]))
        robot.tick = 10_000_000 - robot.identity.run_id
        robot.send("run_configuration", configuration(policies=[{"path": f"/x/{robot.identity.run}.onnx"}]))
        page.settle()
        robot.join()
        robot.step(walk.frames[0])
        page.settle()
        assert f"{robot.identity.run}.onnx" in page.text()
        assert not any(receiver.channels is None for receiver in page.network.receivers), (
            "it hears one robot only"
        )
        page.wait(GONE_S + 0.5)


def test_health_and_guards_are_judged(robot: Robot, walk: Walk) -> None:
    n = SPEC.num_joints
    robot.step(walk.frames[0])
    warm = [40.0] * n
    warm[4] = 66.0
    values = {
        "temperature_c": warm, "voltage_v": [10.6] * n, "tick_p99_ms": 25.0, "missed_ticks": 3, "messages_dropped": 2,
        "guard_name": ["current_a", "tilt_rad"], "guard_value": [1.0, 0.7], "guard_level": [0, 1],
        "stage_name": ["read"], "stage_p50_ms": [0.5], "stage_p99_ms": [0.75], "stage_max_ms": [1.25],
    }  # fmt: skip
    robot.send("robot_health", health(**values))
    robot.until(lambda: "robot_health" in robot.feed.latest)
    text = robot.text()
    for part in ("66 °C", "L ankle pitch", "10.6 V", "25.0 ms", "tilt_rad 0.7"):
        assert part in text
    assert "0.75" in stage_table(robot.feed.latest["robot_health"])
    robot.feed.announcement.simulated = False  # what nobody measures is modelled only in a simulation
    robot.send("robot_health", health(tick_p99_ms=2.0))
    robot.until(lambda: robot.feed.latest["robot_health"].tick_p99_ms == 2.0)
    assert robot.text().count("not measured") == 2
    assert len(robot.feed.tick_history) == 2


def test_silence_and_the_latched_emergency_stop_are_said(page: Page, walk: Walk) -> None:
    assert "no robot yet" in page.text().lower()
    robot = Robot(page)
    robot.join()
    robot.step(walk.frames[0], "estop")
    robot.until(lambda: robot.feed.frames == 1)
    assert "E-STOP latched" in robot.text()
    assert "silent" not in robot.text()
    page.time_s += 30.0
    assert "silent for 30 s" in robot.text()


def test_the_page_says_whom_it_follows_and_without_one_how_to_make_one(page: Page, walk: Walk) -> None:
    text = page.text()
    assert "wildrobot-run --robot sim --lcm-command" in text
    assert "wildrobot view --sim" in text
    page.network.problem = "messages from this computer do not arrive: there is no interface wlan0"
    assert page.network.problem in page.text()
    robot = Robot(page)
    robot.join()
    assert "alice is there and says nothing" in page.text()
    robot.step(walk.frames[0])
    page.until(lambda: page.feed.frames == 1)
    text = page.text()
    assert "alice, simulated, on desk" in text
    assert "wildrobot-run" not in text
    assert page.network.problem in text


def test_feature_bars_grow_from_the_middle() -> None:
    names = ("joint_position/left", "contact/toe", "angular_velocity/x")
    page = feature_bars(names, (-0.5, 1.0, math.nan))
    assert "left:25.0%;width:25.0%" in page
    assert "left:50.0%;width:50.0%" in page
    assert "joint position · left" in page


def test_policy_state_s_score_is_shown(robot: Robot, walk: Walk) -> None:
    policy = policy_state_t()
    policy.style_score = 0.83
    robot.step(walk.frames[0])
    robot.send("policy_state", policy)
    robot.until(lambda: "policy_state" in robot.feed.latest)
    assert "0.83" in robot.text()
