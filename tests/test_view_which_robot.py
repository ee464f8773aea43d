"""Which robot the page follows: one run of one robot, never two at a time; and what it says where two answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from feed_helpers import (
    AGAIN,
    ALICE,
    BOB,
    Page,
    Robot,
    Walk,
    bus_event,
    health,
    simulated_walk,
)
from runtime_helpers import SPEC

pytest.importorskip("viser", reason="needs the extra 'view'")

from wildrobot.runtime.telemetry.identity import RunIdentity
from wildrobot.runtime.telemetry.neighbours import GONE_S
from wildrobot.view.feed import SILENT_S
from wildrobot.view.track import PelvisTrack


@pytest.fixture
def walk() -> Walk:
    return simulated_walk()


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
    assert (page.feed.robot, page.feed.frames, page.feed.events.bus_errors) == (ALICE, 1, 0)


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
