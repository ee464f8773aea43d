"""What the page knows of the robot: the track against the simulator's truth, histories, texts, and the drawn scene."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_network import MemoryNetwork
from runtime_helpers import SPEC, frame_at

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.core.rotations import quat_to_matrix
from wildrobot.robot_description.mujoco_model import compile_model
from wildrobot.runtime.control.skills import load_skill
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.sim import SimRobot
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of
from wildrobot.runtime.telemetry.lcm_types import (
    policy_state_t,
    robot_announcement_t,
    robot_command_t,
    robot_event_t,
    robot_health_t,
    robot_state_t,
    run_configuration_t,
)
from wildrobot.runtime.telemetry.messages import Stamp, frame_to_message
from wildrobot.runtime.telemetry.neighbours import ANNOUNCEMENT, GONE_S
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.view.feed import SILENT_S, Feed
from wildrobot.view.history import History
from wildrobot.view.scene import ARROW_M_PER_M_S, RobotScene
from wildrobot.view.server import GuardedServer
from wildrobot.view.status import feature_bars, headline, rivals_warning, stage_table, status
from wildrobot.view.track import AIRBORNE_S, PelvisTrack, Pose

POLICY = Path(__file__).resolve().parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"
TICKS = 200


@dataclass
class Walk:
    """A simulated walk, as it was measured and as it truly was; one entry a tick."""

    frames: list[SensorFrame]
    position: np.ndarray
    quaternion: np.ndarray


@pytest.fixture(scope="module")
def walk() -> Walk:
    """Two seconds straight on at 0.3 m/s, two in a left curve."""
    robot, skill = SimRobot(SPEC, RobotOptions()), load_skill(SPEC, POLICY, None)
    robot.set_stiffness(1.0)
    frames, positions, quaternions = [], [], []
    skill.path.reset(robot.read())
    for tick in range(TICKS):
        frame, truth = robot.read(), robot.truth()
        frames.append(frame.copy())
        positions.append(np.array(truth.pelvis_position[0]))
        quaternions.append(np.array(truth.pelvis_quaternion[0]))
        signal = skill.path.observe(frame, [[0.3, 0.3 if tick > TICKS // 2 else 0.0]])
        robot.write(skill.path.act(skill.policy(signal.observation)))
    return Walk(frames, np.array(positions), np.array(quaternions))


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


ALICE, AGAIN, BOB = RunIdentity("alice", 7), RunIdentity("alice", 8), RunIdentity("bob", 7)


class WatchedFeed(Feed):
    """Counts how often it has looked who is there."""

    looks = 0

    def _look(self, now_s: float) -> None:
        super()._look(now_s)
        self.looks += 1


class Page:
    """A feed, on a clock of its own, and what it said of whom it follows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, robot_name: str | None = None) -> None:
        self.time_s = 1000.0
        monkeypatch.setattr("wildrobot.view.feed.time", self)
        self.network = MemoryNetwork()
        self.followed: list[tuple[RunIdentity | None, int]] = []
        self.feed = WatchedFeed(SPEC, self.network, robot_name, lambda *said: self.followed.append(said))

    def monotonic(self) -> float:
        return self.time_s

    def settle(self) -> None:
        """Wait until all has been read and looked at."""
        self.until(lambda: not any(receiver.wait(0.0) for receiver in list(self.network.receivers)))
        looks = self.feed.looks
        for count in (1, 2):  # the one that is under way may not know the latest
            for receiver in list(self.network.receivers):
                receiver.wake()
            self.until(lambda count=count: self.feed.looks >= looks + count)

    def wait(self, seconds: float, *present: Robot) -> None:
        """Time goes by, in which those that are `present` announce themselves."""
        end = self.time_s + seconds
        while self.time_s < end:
            self.time_s = min(end, self.time_s + 0.5)
            for robot in present:
                robot.announce()
            self.settle()

    def text(self) -> str:
        with self.feed.lock:
            return headline(self.feed) + status(self.feed, "nobody drives")

    def banner(self) -> str:
        with self.feed.lock:
            return rivals_warning(self.feed)

    def until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.001)


class Robot:
    """Speaks as a robot does."""

    def __init__(self, page: Page, identity: RunIdentity = ALICE) -> None:
        self.page, self.identity = page, identity
        self.feed = page.feed
        self.tick = 0
        self.text, self.until = page.text, page.until

    def announce(self) -> None:
        message = robot_announcement_t()
        message.robot_name, message.run_id = self.identity
        message.robot, message.host, message.simulated = SPEC.name, "desk.example", True
        self.page.network.publish(ANNOUNCEMENT, message.encode())

    def join(self) -> None:
        """Announce itself, and be followed."""
        self.announce()
        self.until(lambda: self.feed.robot == self.identity)

    def send(self, channel: str, message: Any) -> None:
        message.robot_name, message.run_id = self.identity
        message.timestamp_us = message.timestamp_us or 1000 * self.tick
        self.page.network.publish(channel_of(self.identity.robot_name, channel), message.encode())

    def state(self, frame: SensorFrame, state: str = "walking") -> None:
        self.tick += 1
        stamp = Stamp(*self.identity, 1000 * self.tick, self.tick)
        self.send("robot_state", frame_to_message(frame, state, stamp))

    def step(
        self, frame: SensorFrame, state: str = "walking", command: tuple[float, float] = (0.3, 0.1)
    ) -> None:
        self.state(frame, state)
        message = robot_command_t()
        message.tick, message.state, message.user_command, message.torque_gain = (
            self.tick,
            state,
            command,
            1.0,
        )
        message.num_joints = SPEC.num_joints
        message.joint_target_requested = message.joint_target_applied = (
            0.01 * np.arange(SPEC.num_joints)
        ).tolist()
        message.limited_by = "target_rate"
        message.command_source = "lcm:view@<host>"
        self.send("robot_command", message)


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


def configuration(**content: Any) -> run_configuration_t:
    message = run_configuration_t()
    message.robot, message.robot_hash = SPEC.name, SPEC.robot_hash
    message.json = json.dumps({"policies": [{"path": "/x/walk.onnx"}], "options": {"robot": "sim"}} | content)
    return message


def health(**values: Any) -> robot_health_t:
    message = robot_health_t()
    n = SPEC.num_joints
    message.num_joints, message.current_a = n, [math.nan] * n
    message.temperature_c, message.voltage_v = [math.nan] * n, [math.nan] * n
    for name, value in values.items():
        setattr(message, name, value)
    message.num_guards, message.num_stages = len(message.guard_name), len(message.stage_name)
    return message


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


def bus_event() -> robot_event_t:
    event = robot_event_t()
    event.name, event.text, event.severity = "bus", "servo 3: no answer", robot_event_t.WARNING
    return event


def test_a_new_run_begins_with_an_empty_history(robot: Robot, walk: Walk) -> None:
    for frame in walk.frames[:10]:
        robot.step(frame)
    robot.send("robot_event", bus_event())
    robot.until(lambda: robot.feed.bus_errors == 1)
    assert "servo 3: no answer" in robot.text()
    again = Robot(robot.page, AGAIN)
    robot.page.wait(SILENT_S + 0.5)
    again.join()
    again.step(walk.frames[0])
    robot.until(lambda: robot.feed.frames == 11 and robot.feed.latest["robot_command"].tick == 1)
    assert np.isfinite(robot.feed.history.part("height")).sum() == 1
    assert robot.feed.bus_errors == 0
    assert "servo 3: no answer" not in robot.text()
    assert robot.page.banner() == ""


def test_a_log_that_is_played_once_more_begins_with_an_empty_history(robot: Robot, walk: Walk) -> None:
    robot.tick = 10_000_000
    for frame in walk.frames[:10]:
        robot.step(frame)
    robot.send("robot_event", bus_event())
    robot.until(lambda: robot.feed.bus_errors == 1)
    robot.page.wait(SILENT_S + 0.5)
    robot.tick = 0
    robot.step(walk.frames[0])
    robot.until(lambda: robot.feed.frames == 11 and "robot_command" in robot.feed.latest)
    robot.page.settle()
    assert np.isfinite(robot.feed.history.part("height")).sum() == 1
    assert robot.feed.bus_errors == 0


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
    for part in ("66 °C", SPEC.joint_names[4], "10.6 V", "25.0 ms", "tilt_rad 0.7"):
        assert part in text
    assert "0.75" in stage_table(robot.feed.latest["robot_health"])
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
    page.network.problem = "nobody hears this computer: there is no interface wlan0"
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


# ---------------------------------------------------------------------- which robot


def test_two_robots_beside_each_other_never_mix(robot: Robot, walk: Walk) -> None:
    page, bob = robot.page, Robot(robot.page, BOB)
    bob.announce()
    for mine, other in zip(walk.frames[:60], walk.frames[-60:], strict=True):
        robot.step(mine, "standing")
        bob.step(other, "walking", (0.7, 0.7))
        page.settle() if robot.tick % 20 == 0 else None
    bob.send("robot_event", bus_event())
    bob.send("robot_health", health(missed_ticks=77))
    page.settle()
    assert page.feed.frames == 60
    expected = np.array([frame.joint_position[0] for frame in walk.frames[:60]])
    assert np.array_equal(
        page.feed.history.part("joint_position")[-60:],
        expected.astype(page.feed.history.part("joint_position").dtype),
    )
    assert np.isnan(page.feed.history.part("height")[:-60]).all()
    assert page.feed.latest["robot_state"].robot_name == "alice"
    alone = PelvisTrack(SPEC)
    for frame in walk.frames[:60]:
        pose = alone.update(frame)
    assert page.feed.pose is not None
    assert np.array_equal(page.feed.pose.position, pose.position)
    assert "servo 3" not in page.text()
    assert "robot_health" not in page.feed.latest
    assert {who for who, _ in page.followed} == {ALICE}


def test_two_robots_that_answer_are_named_until_one_of_them_is_gone(robot: Robot, walk: Walk) -> None:
    page, bob = robot.page, Robot(robot.page, BOB)
    robot.step(walk.frames[0])
    page.wait(2.0, robot)
    assert page.banner() == ""
    page.wait(1.0, robot, bob)
    text = page.banner()
    for part in (
        "2 robots answer",
        "alice (a simulated",
        "bob (a simulated",
        "--name alice",
        "Nobody drives",
    ):
        assert part in text
    page.wait(4.0, bob, robot)
    assert page.feed.robot == ALICE, "the one that came first is the one that is shown"
    assert page.banner() == text
    page.wait(GONE_S + 1.0, robot)
    assert page.banner() == ""
    page.wait(1.0, robot, bob)
    assert page.banner() == text
    page.wait(GONE_S + 1.0, bob)
    assert page.banner() == ""
    assert page.feed.robot == BOB
    assert page.feed.pose is None, "of alice nothing is left"
    assert page.feed.latest == {}
    bob.step(walk.frames[150])
    page.until(lambda: page.feed.frames == 2)
    assert page.feed.pose.position[:2].tolist() == [0.0, 0.0]
    assert "bob, simulated, on desk" in page.text()


def test_a_third_robot_does_not_hide_two(robot: Robot) -> None:
    page, bob = robot.page, Robot(robot.page, BOB)
    page.wait(1.0, robot, bob)
    Robot(page, RunIdentity("carol", 1)).announce()
    page.settle()
    assert [rival.identity.robot_name for rival in page.feed.rivals][:2] == ["alice", "bob"]


def test_with_a_name_other_robots_are_nobody(monkeypatch: pytest.MonkeyPatch, walk: Walk) -> None:
    page = Page(monkeypatch, "bob")
    alice, bob = Robot(page), Robot(page, BOB)
    page.wait(1.0, alice)
    assert page.feed.robot is None
    assert "waiting for bob" in page.text()
    assert "--lcm-command --name bob" in page.text()
    page.wait(1.0, alice, bob)
    alice.step(walk.frames[0])
    bob.step(walk.frames[1])
    page.until(lambda: page.feed.frames == 1)
    page.settle()
    assert page.feed.latest["robot_state"].robot_name == "bob"
    assert page.banner() == ""
    page.wait(1.0, bob, Robot(page, RunIdentity("bob", 99)))
    assert "2 programs call themselves bob" in page.banner()
    page.feed.close()


def test_a_program_that_is_started_anew_is_no_second_robot(robot: Robot, walk: Walk) -> None:
    page, again = robot.page, Robot(robot.page, AGAIN)
    page.wait(1.0, robot)
    robot.step(walk.frames[0])
    page.wait(SILENT_S + 0.5)
    for _ in range(4):  # alice's last announcement is not so long ago
        page.wait(0.5, again)
        assert page.banner() == ""
        assert page.feed.robot == AGAIN, (
            page.time_s,
            page.feed._heard_s,
            page.feed._robots._known,
            page.feed.rivals,
        )


def test_a_played_log_of_the_same_robot_is_a_second_one(robot: Robot, walk: Walk) -> None:
    page, played = robot.page, Robot(robot.page, AGAIN)
    robot.tick = 10_000_000
    robot.step(walk.frames[0])
    page.wait(1.0, robot, played)
    assert "2 programs call themselves alice" in page.banner()
    played.step(walk.frames[1])
    played.send("robot_event", bus_event())
    page.settle()
    assert (page.feed.robot, page.feed.frames, page.feed.bus_errors) == (ALICE, 1, 0)


def test_what_a_run_said_long_ago_is_not_taken_for_its_present(robot: Robot, walk: Walk) -> None:
    page, played = robot.page, Robot(robot.page)  # a log of this very run
    robot.tick = 10_000_000
    for frame in walk.frames[:20]:
        robot.step(frame)
        played.step(walk.frames[100])
        played.announce()
        page.settle()
    assert page.feed.frames == 20
    expected = np.array([frame.joint_position[0] for frame in walk.frames[:20]])
    assert np.allclose(page.feed.history.part("joint_position")[-20:], expected)
    assert page.banner() == ""
    assert min(at for who, at in page.followed[1:]) >= 10_000_000_000, "commands answer the live robot only"


def test_a_robot_that_is_gone_is_no_longer_commanded(robot: Robot, walk: Walk) -> None:
    page = robot.page
    robot.step(walk.frames[0])
    page.settle()
    assert page.followed[-1][0] == ALICE
    page.wait(GONE_S + 1.0)
    assert page.followed[-1] == (None, 0)
    assert page.feed.robot == ALICE, "its last word stays on the screen"
    assert "silent for" in page.text()
    robot.step(walk.frames[1])
    page.settle()
    assert page.followed[-1][0] == ALICE


def test_a_robot_is_there_while_it_speaks_though_its_announcements_are_lost(robot: Robot, walk: Walk) -> None:
    page, bob = robot.page, Robot(robot.page, BOB)
    for frame in walk.frames[:12]:
        page.wait(0.5, bob)
        robot.step(frame)
    page.settle()
    assert page.feed.robot == ALICE
    assert len(page.feed.rivals) == 2


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
    lying = Pose(np.array([0.0, 0.0, 5.0]), side, 0.0, True, pose.estimate)
    scene.show(lying, SPEC.default_joint_pos, np.zeros(4), (0.0, 0.0))
    pelvis = dict(scene._bodies)[1].position
    assert 0.03 < pelvis[2] < 0.15
    assert not any(pad.visible for pad in scene._pads)
    assert not scene._arrows["commanded"][0].visible
