"""Commands over LCM: for which run they are, how fresh, one source at a time; what is refused is counted and told."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_helpers import HandReceiver
from runtime_helpers import SPEC

from wildrobot.runtime.commands import lcm_command
from wildrobot.runtime.commands.lcm_command import FLOOD, MOST_NOTES, LcmCommand
from wildrobot.runtime.commands.source import MAX_SOURCES, OperatorCommand
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.telemetry.identity import RunIdentity
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t

NS = 1_000_000_000
NONE, STAND = velocity_command_t.NONE, velocity_command_t.STAND
ALICE = RunIdentity("alice", 77)
SKEW_S = {"a": 0.0, "b": 1.7e9, "c": -3e8}
"""How far the clocks of senders are ahead of the robot's."""


class Network:
    """Senders with clocks of their own, and the runtime that polls."""

    def __init__(self, *allowed: str) -> None:
        self.receiver, self.time = HandReceiver(), RunTime()
        self.time.begin(0)
        self.told: list[str] = []
        self.source = LcmCommand(SPEC, self.receiver, ALICE, self.time, allowed)

    def send(
        self,
        at_s: float,
        speed: float = 0.0,
        request: int = NONE,
        source: str = "a",
        heard_s: float | None = None,
        robot: RunIdentity = ALICE,
    ) -> None:
        """A message of the robot's time `at_s`, in answer to what the robot said at `heard_s`: at that time, too."""
        message = velocity_command_t()
        message.timestamp_us = round((at_s + SKEW_S.get(source, 0.0)) * 1e6)
        message.robot_name, message.run_id = robot
        message.robot_timestamp_us = self.time.timestamp_us(
            round((at_s if heard_s is None else heard_s) * NS)
        )
        message.source, message.linear_velocity_x, message.request = source, speed, request
        self.receiver.put(message.encode())

    def tick(self, at_s: float) -> OperatorCommand:
        command = self.source.poll(round(at_s * NS), State.WALKING)
        self.told += texts(command)
        return command

    def poll(self, at_s: float) -> OperatorCommand:
        """A tick, and where somebody new has spoken, the next one, with which he takes the wheel."""
        first = self.tick(at_s)
        if self.source._next is None:
            return first
        second = self.tick(at_s)
        refused = Counter(first.refused)
        refused.update(second.refused)
        return replace(
            second, stand=first.stand or second.stand, refused=refused, notes=first.notes + second.notes
        )

    def speed(self, at_s: float) -> float:
        return self.poll(at_s).linear_velocity_x


def texts(command: OperatorCommand) -> list[str]:
    return [note.text for note in command.notes]


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
    assert late.lost == "silent for 0.5 s"


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


# ---------------------------------------------------------------------- floods


def test_who_floods_loses_the_wheel_at_once_and_gets_it_back_when_it_has_calmed_down() -> None:
    network = Network()
    network.send(1.0, 0.3)
    assert network.speed(1.0) == pytest.approx(0.3)
    for i in range(2 * FLOOD):
        network.send(1.01 + 1e-5 * i, 0.5, STAND)
    command = network.poll(1.02)
    assert (command.linear_velocity_x, command.source, command.stand) == (0.0, "", False)
    assert command.refused["flood"] > FLOOD
    assert "lcm:a is refused: it sends more than 100 commands a second" in texts(command)[0]
    network.send(2.5, 0.2)
    assert network.speed(2.5) == pytest.approx(0.2)


def test_a_flood_of_another_source_takes_nothing_from_who_commands() -> None:
    network = Network()
    network.send(0.9, 0.3)
    network.poll(0.9)
    for tick in range(50):
        at = 1.0 + 0.02 * tick
        network.send(at, 0.3)
        for i in range(50):
            network.send(at + 1e-5 * i, 0.5, STAND, source="b")
        command = network.poll(at + 0.001)
        assert (command.source, command.linear_velocity_x) == ("lcm:a", pytest.approx(0.3))
        assert not command.stand


def test_a_few_commands_are_read_however_slow_the_computer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lcm_command, "DRAIN_S", -1.0)
    network = Network()
    for i in range(10):
        network.send(1.0 + 0.001 * i, 0.01 * i)
    command = network.poll(1.01)
    assert (command.linear_velocity_x, dict(command.refused)) == (pytest.approx(0.09), {})


def test_who_is_new_takes_the_wheel_a_tick_later_and_what_he_asked_for_counts() -> None:
    network = Network()
    network.send(1.0, 0.3, STAND)
    first = network.tick(1.0)
    assert (first.source, first.stand, first.linear_velocity_x, first.refused) == ("", False, 0.0, {})
    second = network.tick(1.02)
    assert (second.source, second.stand, second.linear_velocity_x) == ("lcm:a", True, pytest.approx(0.3))
    assert second.age_s == pytest.approx(0.02)
    assert not network.tick(1.04).stand


@pytest.mark.parametrize("names", [1, 1000])
@pytest.mark.parametrize("first", [1, 5, 50])
def test_the_first_messages_of_a_flood_do_not_take_the_wheel(first: int, names: int) -> None:
    network, sent = Network(), 0
    for tick in range(20):
        at = 1.0 + 0.02 * tick
        for _ in range(50 if tick else first):
            network.send(at + 1e-6 * sent, 0.5, STAND, source=f"s{sent % names}")
            sent += 1
        command = network.tick(at + 0.001)
        assert (command.source, command.stand, command.linear_velocity_x) == ("", False, 0.0)
    assert any("nobody takes the wheel while that goes on" in text for text in network.told) or names == 1


def test_what_the_person_is_told_of_refusals_has_an_end() -> None:
    network = Network()
    for tick in range(50):
        for i in range(20):
            network.send(
                1.0 + 0.02 * tick + 1e-6 * i, 0.5, source=f"s{tick} {i}", robot=RunIdentity("bob", 1)
            )
        network.tick(1.0 + 0.02 * tick + 0.001)
    assert len(network.told) == MOST_NOTES


def test_more_than_a_tick_has_time_for_is_thrown_away_so_that_what_comes_next_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lcm_command, "DRAIN_S", 1e-4)
    network = Network()
    for i in range(5000):
        network.send(1.0 + 1e-7 * i, 0.5, source=f"s{i % 7}")
    began = time.perf_counter()
    command = network.poll(1.0)
    took = time.perf_counter() - began
    assert not network.receiver.waiting
    assert sum(command.refused.values()) > 4000
    assert took < 0.5
    network.send(1.6, 0.2)
    assert network.speed(1.6) == pytest.approx(0.2)


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
