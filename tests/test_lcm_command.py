"""Commands over LCM: for which run they are, how fresh, one source at a time; what is refused is counted and told."""

from __future__ import annotations

import math
from typing import Any

import pytest
from command_helpers import ALICE, NONE, SKEW_S, STAND, Network, texts
from hypothesis import given
from hypothesis import strategies as st
from runtime_helpers import SPEC

from wildrobot.runtime.commands.source import MAX_SOURCES
from wildrobot.runtime.telemetry.identity import RunIdentity

# ---------------------------------------------------------------------- age


def test_every_poll_drains_what_waits_and_takes_the_newest() -> None:
    network = Network()
    for i in range(10):
        network.send(1.0 + 0.001 * i, 0.01 * i)
    assert network.speed(1.01) == pytest.approx(0.09)
    network.send(1.02, 0.3)
    assert network.speed(1.02) == pytest.approx(0.3)


def test_a_command_older_than_half_a_second_is_nobody_s() -> None:
    network = Network()
    network.send(1.0, 0.3)
    fresh, due, late = (network.poll(t) for t in (1.0, 1.5, 1.52))
    assert [c.linear_velocity_x for c in (fresh, due, late)] == pytest.approx([0.3, 0.3, 0.0])
    assert [c.source for c in (fresh, due, late)] == ["lcm:a", "lcm:a", ""]
    assert [c.age_s for c in (fresh, due, late)] == pytest.approx([0.0, 0.5, 0.52])
    assert late.lost == "sent nothing for 0.5 s"


def test_before_the_first_message_the_age_is_unknown() -> None:
    command = Network().poll(1.0)
    assert math.isnan(command.age_s)
    assert command.source == ""


def test_a_source_without_a_name_commands_too() -> None:
    network = Network()
    network.send(1.0, 0.3, source="")
    assert (network.poll(1.0).source, network.speed(1.1)) == ("lcm", pytest.approx(0.3))


def test_a_repeated_message_does_not_keep_a_command_alive_and_is_counted() -> None:
    network = Network()
    network.send(1.0, 0.3)
    network.poll(1.0)
    network.send(1.0, 0.3)
    assert network.poll(1.4).refused == {"repeated": 1}
    assert network.speed(1.52) == 0.0


def test_messages_that_overtake_each_other_do_not_turn_the_clock_back() -> None:
    network = Network()
    network.send(1.2, 0.3, heard_s=1.18)
    network.send(1.1, 0.1, heard_s=1.08)
    command = network.poll(1.22)
    assert (command.linear_velocity_x, command.refused) == (pytest.approx(0.3), {"repeated": 1})


# ---------------------------------------------------------------------- freshness


def test_a_backlog_that_comes_late_is_refused_and_what_follows_in_time_is_not() -> None:
    network = Network()
    for i in range(10):
        network.send(1.0 + 0.1 * i, 0.3, source="b")
        network.poll(1.0 + 0.1 * i)
    # for 3 s nothing comes through, then what was sent in the first 2 s of it does, at once
    for i in range(20):
        network.send(2.0 + 0.1 * i, 0.3, source="b")
    command = network.poll(5.0)
    assert command.refused == {"old": 20}
    assert (command.linear_velocity_x, command.source) == (0.0, "")
    (text,) = texts(command)
    assert text.startswith("lcm:b is refused: it answers what the robot said 3.0 s ago")
    network.send(5.02, 0.2, source="b")
    assert network.speed(5.02) == pytest.approx(0.2)


@given(
    skew_s=st.floats(-1e9, 1e9),
    drift=st.floats(-5e-2, 5e-2),
    jumps_s=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    lag_s=st.floats(0.501, 100.0),
)
def test_the_sender_s_clock_may_be_and_do_what_it_likes_but_what_it_heard_must_be_new(
    skew_s: float, drift: float, jumps_s: list[float], lag_s: float
) -> None:
    network, stamp = Network(), 0.0
    for i, jump in enumerate(jumps_s):
        at = 1.0 + 0.1 * i
        stamp = at * (1.0 + drift) + skew_s + jump
        SKEW_S["a"] = stamp - at
        try:
            network.send(at, 0.3, heard_s=at - 0.02)
        finally:
            SKEW_S["a"] = 0.0
        assert network.speed(at) == pytest.approx(0.3)
    end = 1000.0
    network.send(end, 0.3, heard_s=end - lag_s)
    command = network.poll(end)
    assert (command.linear_velocity_x, command.source, command.refused) == (0.0, "", {"old": 1})


@pytest.mark.parametrize("ahead_s", [0.001, 1e6])
def test_what_the_robot_has_not_said_yet_cannot_be_answered(ahead_s: float) -> None:
    network = Network()
    network.send(1.0, 0.3, STAND, heard_s=1.0 + ahead_s)
    command = network.poll(1.0)
    assert (command.source, command.stand, command.refused) == ("", False, {"old": 1})


@pytest.mark.parametrize(
    ("robot", "reason", "text"),
    [
        (RunIdentity("bob", 77), "other_robot", "it commands bob"),
        (RunIdentity("", 77), "other_robot", "it commands no robot"),
        (
            RunIdentity("alice", 78),
            "other_run",
            "it commands run 0000004e of alice, this is 0000004d. Is a log played",
        ),
    ],
)
def test_a_command_for_another_robot_or_another_run_of_it_is_refused_and_named(
    robot: RunIdentity, reason: str, text: str
) -> None:
    network = Network()
    network.send(1.0, 0.3, STAND, robot=robot)
    command = network.poll(1.0)
    assert (command.source, command.stand, command.linear_velocity_x) == ("", False, 0.0)
    assert command.refused == {reason: 1}
    assert text in texts(command)[0]


# ---------------------------------------------------------------------- two sources


def test_the_first_source_holds_the_robot_until_it_has_been_silent() -> None:
    network = Network()
    network.send(1.0, 0.3, source="a")
    network.poll(1.0)
    for t in (1.1, 1.2):
        network.send(t, 0.3, source="a")
        network.send(t, 0.1, source="b")
        command = network.poll(t)
        assert (command.source, command.linear_velocity_x) == ("lcm:a", pytest.approx(0.3))
        assert command.refused == {"other_source": 1}
        assert texts(command) == (["lcm:b is refused while lcm:a commands"] if t == 1.1 else [])
    network.send(1.72, 0.1, source="b")
    command = network.poll(1.72)
    assert (command.source, command.linear_velocity_x) == ("lcm:b", pytest.approx(0.1))
    network.send(1.8, 0.3, source="a")
    assert network.poll(1.8).source == "lcm:b"
    network.send(2.4, 0.3, source="a")
    assert network.poll(2.4).source == "lcm:a"
    network.send(2.5, 0.1, source="b")  # it was obeyed in between, so it is told again
    assert texts(network.poll(2.5)) == ["lcm:b is refused while lcm:a commands"]


def test_a_stranger_cannot_make_the_robot_stand_up() -> None:
    network = Network("a")
    network.send(1.0, 0.3, STAND, source="b")
    command = network.poll(1.0)
    assert not command.stand
    assert command.source == ""
    assert command.refused == {"unknown_source": 1}
    assert texts(command) == ["lcm:b is refused: --lcm-source does not name it"]
    network.send(1.1, 0.3, STAND, source="a")
    assert network.poll(1.1).stand


messages = st.tuples(
    st.sampled_from(["b", "c", ""]),
    st.floats(-1e4, 1e4),
    st.floats(-1.0, 1.0),
    st.floats(allow_nan=True),
    st.sampled_from([NONE, STAND]),
    st.sampled_from([ALICE, RunIdentity("alice", 3), RunIdentity("bob", 77)]),
)


@given(others=st.lists(st.lists(messages, max_size=4), min_size=1, max_size=20))
def test_whatever_others_send_the_one_who_commands_is_obeyed(others: Any) -> None:
    network = Network()
    network.send(100.0, 0.3, source="a")
    network.poll(100.0)
    for i, burst in enumerate(others, start=1):
        now = 100.0 + 0.1 * i
        for source, stamp, heard, speed, request, robot in burst:
            network.send(stamp, speed, request, source, now + heard, robot)
        network.send(now, 0.3, source="a")
        command = network.poll(now)
        assert (command.source, command.linear_velocity_x, command.yaw_rate) == (
            "lcm:a",
            pytest.approx(0.3),
            0.0,
        )
        assert not command.stand
        assert sum(command.refused.values()) == len(burst)


def test_names_from_the_network_are_made_fit_for_a_terminal_and_few() -> None:
    network = Network()
    network.send(1.0, 0.3, source="\x1b[31mred\n" + "x" * 100)
    assert network.poll(1.0).source == "lcm:[31mred" + "x" * 33
    for i in range(1000):
        network.send(1.0, source=f"name {i}")
        network.poll(1.0)
    assert len(network.source._senders) == MAX_SOURCES


# ---------------------------------------------------------------------- content


def test_requests_count_once() -> None:
    network = Network()
    network.send(0.0, request=STAND)
    assert network.poll(0.0).stand
    assert not network.poll(0.02).stand


@pytest.mark.parametrize("speed", [math.nan, math.inf])
def test_a_command_that_is_not_finite_is_zero_and_counted(speed: float) -> None:
    network = Network()
    network.send(0.9, 0.3)
    network.send(1.0, speed)
    command = network.poll(1.0)
    assert command.linear_velocity_x == 0.0
    assert command.refused == {"not_finite": 1}


def test_commands_stay_in_the_robot_s_range_and_foreign_packets_do_no_harm() -> None:
    network = Network()
    network.receiver.put(b"something else")
    network.send(1.0, 9.0)
    command = network.poll(1.0)
    assert command.linear_velocity_x == SPEC.command.linear_velocity_x[1]
    assert command.refused == {"unreadable": 1}
    assert "another version" in texts(command)[0]


def test_the_receiver_is_closed_with_the_source() -> None:
    network = Network()
    network.source.close()
    assert network.receiver.closed
