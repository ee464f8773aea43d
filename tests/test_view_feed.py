"""What the page knows of the robot: the track against the simulator's truth, histories, texts, and the drawn scene."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

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

from wildrobot.core.rotations import quat_to_matrix
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.runtime.telemetry.lcm_types import (
    policy_state_t,
    robot_state_t,
)
from wildrobot.runtime.telemetry.neighbours import GONE_S
from wildrobot.view.feed import SILENT_S
from wildrobot.view.history import History
from wildrobot.view.readout.status import feature_bars, stage_table
from wildrobot.view.scene import ARROW_M_PER_M_S, RobotScene
from wildrobot.view.server import GuardedServer
from wildrobot.view.track import AIRBORNE_S, PelvisTrack, Placement


@pytest.fixture
def walk() -> Walk:
    return simulated_walk()


# ---------------------------------------------------------------------- track


def test_the_track_follows_the_simulated_robot(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    poses = [track.update(frame) for frame in walk.frames]
    way = np.linalg.norm(np.diff(walk.position[:, :2], axis=0), axis=1).sum()
    assert way > 0.8
    found = np.array([pose.position for pose in poses])
    error = np.linalg.norm(found[:, :2] - (walk.position - walk.position[0])[:, :2], axis=1)
    assert error.max() < 0.1 * way
    assert np.abs(found[20:, 2] - walk.position[20:, 2]).max() < 0.02
    truth = quat_to_matrix(walk.quaternion)
    yaw = np.arctan2(truth[:, 1, 0], truth[:, 0, 0])
    heading = np.array([pose.heading for pose in poses])
    assert np.abs(heading - (yaw - yaw[0])).max() < 0.02
    assert heading[-1] > 0.2, "the curve went to the left"
    # The whole attitude, not only the heading.
    assert np.abs(np.array([pose.rotation for pose in poses]) - truth).max() < 0.05
    assert not any(pose.airborne for pose in poses)


def test_another_run_begins_at_the_origin(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    for frame in walk.frames:
        last = track.update(frame)
    assert np.linalg.norm(last.position[:2]) > 0.5
    later = replace(walk.frames[0], time_s=walk.frames[0].time_s + 1000.0)
    for first in (later, walk.frames[0]):  # a gap, and a step back
        pose = track.update(first)
        assert pose.position[:2].tolist() == [0.0, 0.0]
        assert pose.heading == 0.0


def test_a_robot_that_touches_nothing_does_not_wander_off(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    for frame in walk.frames[:100]:
        before = track.update(frame)
    place = []
    for tick in range(100):
        frame = frame_at(float(walk.frames[99].time_s[0]) + 0.02 * (tick + 1))
        frame.foot_contact[:] = 0.0
        frame.imu_acceleration[:] = (3.0, 0.0, 9.81)  # carried about
        pose = track.update(frame)
        place.append(pose.position[:2])
    assert pose.airborne
    late = np.array(place[round(AIRBORNE_S / 0.02) + 1 :])
    assert np.ptp(late, axis=0).max() == 0.0
    assert np.linalg.norm(late[-1] - before.position[:2]) < 0.5


def test_invalid_samples_keep_the_last_pose(walk: Walk) -> None:
    track = PelvisTrack(SPEC)
    for frame in walk.frames[:50]:
        before = track.update(frame)
    broken = walk.frames[50].copy()
    broken.imu_quaternion[:], broken.joint_position[:] = np.nan, np.nan
    broken.imu_valid[:], broken.joint_valid[:] = False, False
    after = track.update(broken)
    assert np.all(np.isfinite(after.rotation))
    assert np.linalg.norm(after.position - before.position) < 0.05


# ---------------------------------------------------------------------- history


def test_the_history_is_read_oldest_first_and_forgets() -> None:
    history = History(SPEC, seconds=0.06)
    assert history.rows == 3
    assert np.isnan(history.part("height")).all()
    for value in range(5):
        history.append(height=float(value), gyro=(1.0, 2.0, 3.0))
    assert history.part("height")[:, 0].tolist() == [2.0, 3.0, 4.0]
    assert history.part("gyro")[-1].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(history.part("tilt")).all()
    assert history.time_s[-1] == 0.0


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


# ---------------------------------------------------------------------- scene


@pytest.fixture(scope="module")
def scene() -> Iterator[RobotScene]:
    server = GuardedServer("127.0.0.1", 0, "test")
    yield RobotScene(server, SPEC)
    server.stop()


def test_every_body_is_drawn_where_mujoco_has_it(
    scene: RobotScene, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mujoco

    model = compile_model(SPEC)
    data = mujoco.MjData(model)
    track, now_s = PelvisTrack(SPEC), iter(np.arange(0.0, 1000.0, SPEC.control_dt))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now_s)))
    for frame in walk.frames:
        pose = track.update(frame)
        scene.show(pose, frame.joint_position[0], frame.foot_contact[0], (0.3, 0.0))
    data.qpos[:3], data.qpos[3:7] = walk.position[-1], walk.quaternion[-1]
    data.qpos[[model.joint(name).qposadr[0] for name in SPEC.joint_names]] = frame.joint_position[0]
    mujoco.mj_kinematics(model, data)
    frames = {model.body(body).name: handle for body, handle in scene._bodies}
    assert set(frames) == {model.body(body).name for body in range(1, model.nbody)}
    pelvis = frames["pelvis"].position
    for name, handle in frames.items():
        true = data.body(name).xpos - data.body("pelvis").xpos
        assert np.allclose(handle.position - pelvis, true, atol=0.02), name
    # The view follows: however far it walked, the robot stays near the middle.
    assert np.linalg.norm(pelvis[:2]) < 0.1
    assert np.linalg.norm(walk.position[-1, :2]) > 0.5
    assert [pad.visible for pad in scene._pads] == [bool(value > 0.5) for value in frame.foot_contact[0]]
    assert scene._arrows["commanded"][0].visible
    assert scene._lengths["commanded"] == pytest.approx(0.3 * ARROW_M_PER_M_S)


def test_a_robot_that_lies_is_drawn_on_the_floor(scene: RobotScene) -> None:
    track = PelvisTrack(SPEC)
    pose = track.update(frame_at(0.0))
    side = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    lying = Placement(np.array([0.0, 0.0, 5.0]), side, 0.0, True, pose.velocity)
    scene.show(lying, SPEC.default_joint_pos, np.zeros(4), (0.0, 0.0))
    pelvis = dict(scene._bodies)[1].position
    assert 0.03 < pelvis[2] < 0.15
    assert not any(pad.visible for pad in scene._pads)
    assert not scene._arrows["commanded"][0].visible
