"""Robots on the network know of each other: who is there, who has the same name, who is gone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import open_network
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.telemetry import identity
from wildrobot.runtime.telemetry.identity import RunIdentity, checked_name, new_identity, split_channel
from wildrobot.runtime.telemetry.messages import Stamp, announcement_message
from wildrobot.runtime.telemetry.neighbours import GONE_S, MOST, Neighbours, Robots, find_robots

ALICE = RunIdentity("alice", 1)


def announcement(robot: RunIdentity, simulated: bool = False) -> bytes:
    return bytes(
        announcement_message("heron", "pi", simulated, "standing", "keyboard", Stamp(*robot, 5, 0)).encode()
    )


def test_robots_come_and_go() -> None:
    robots = Robots()
    first = robots.take(announcement(ALICE), 10.0)
    assert str(first) == "alice (a heron on pi, run 00000001)"
    assert robots.take(announcement(ALICE), 11.0) is None
    robots.take(announcement(RunIdentity("alice", 2), simulated=True), 11.5)
    assert [str(robot) for robot in robots.present()] == [
        "alice (a heron on pi, run 00000001)",
        "alice (a simulated heron on pi, run 00000002)",
    ]
    assert [robot.identity.run_id for robot in robots.forget(11.0 + GONE_S + 0.1)] == [1]
    assert [robot.identity.run_id for robot in robots.present()] == [2]


def test_the_network_cannot_fill_the_memory_or_break_it() -> None:
    robots = Robots()
    for i in range(1000):
        robots.take(announcement(RunIdentity("x", i)), 0.0)
    assert robots.take(b"nonsense", 0.0) is None
    assert len(robots.present()) == MOST


def test_another_robot_and_one_of_the_same_name_are_news(multicast: str) -> None:
    network = open_network(multicast)
    with Neighbours(network, ALICE) as neighbours:
        for robot in (ALICE, RunIdentity("bob", 2), RunIdentity("alice", 3)):
            network.publish("robot_announcement", announcement(robot))
        end = time.monotonic() + 3.0
        while len(neighbours.news) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        told = [text for text in neighbours.news if "has joined the group" not in text]
    network.close()
    assert told[0] == "bob (a heron on pi, run 00000002) is on this network, too"
    assert told[1].startswith("another robot has this one's name: alice (a heron on pi, run 00000003).")
    assert "another --name" in told[1]
    assert len(told) == 2


def test_whoever_is_there_is_found(multicast: str) -> None:
    network, other = open_network(multicast), open_network(multicast)
    receiver_ready = find_robots(network, 0.05)
    assert receiver_ready == []
    found: list[Any] = []

    import threading

    search = threading.Thread(target=lambda: found.extend(find_robots(network, 0.6)))
    search.start()
    time.sleep(0.2)
    other.publish("robot_announcement", announcement(ALICE))
    search.join()
    assert [robot.identity for robot in found] == [ALICE]
    network.close()
    other.close()


# ---------------------------------------------------------------------- names


def test_a_simulation_has_a_name_of_its_own_and_a_robot_that_of_its_computer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WILDROBOT_NAME", raising=False)
    monkeypatch.setattr(identity.socket, "gethostname", lambda: "Lab_Pi 5.local")
    first, second = new_identity(None, simulated=True), new_identity(None, simulated=True)
    assert first.robot_name.startswith("sim-")
    assert first.robot_name != second.robot_name
    assert first.run_id != second.run_id
    assert new_identity(None, simulated=False).robot_name == "lab_pi-5"
    monkeypatch.setenv("WILDROBOT_NAME", "left-desk")
    assert new_identity(None, simulated=False).robot_name == "left-desk"
    assert new_identity("right", simulated=False).robot_name == "right"
    assert new_identity(None, simulated=True).robot_name.startswith("sim-")


@pytest.mark.parametrize("name", ["", "Alice", "a/b", "a b", "-a", "a" * 33, "é", ".*"])
def test_a_name_that_a_channel_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="a robot cannot be called"):
        checked_name(name)


def test_channels_come_apart_again() -> None:
    assert split_channel("alice/robot_state") == ("alice", "robot_state")
    assert split_channel("robot_stop") == ("", "robot_stop")


def test_a_run_s_time_is_set_once_and_goes_with_the_loop_s_clock() -> None:
    run = RunTime()
    run.begin(5_000_000)
    assert run.timestamp_us(5_000_000) == run.start_us
    assert run.timestamp_us(25_000_000) == run.start_us + 20_000
