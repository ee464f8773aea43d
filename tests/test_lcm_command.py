"""Commands over LCM: they age, one source at a time is obeyed, the late and the foreign are refused and counted."""

from __future__ import annotations

import math
from typing import Any

import lcm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_helpers import SPEC

from wildrobot.runtime.commands.lcm_command import MAX_SOURCES, LcmCommand, SenderClock
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t

NS = 1_000_000_000
NONE, STAND, STOP, ESTOP = (
    velocity_command_t.NONE,
    velocity_command_t.STAND,
    velocity_command_t.STOP,
    velocity_command_t.ESTOP,
)
SKEW_S = {"a": 0.0, "b": 1.7e9}
"""How far the clocks of senders are ahead of the robot's."""


class Network:
    """Senders with clocks of their own, and the runtime that polls, over memq."""

    def __init__(self, *allowed: str) -> None:
        self.connection = lcm.LCM("memq://")
        self.source = LcmCommand(SPEC, self.connection, allowed)

    def send(self, at_s: float, speed: float = 0.0, request: int = NONE, source: str = "a") -> None:
        """A message that its sender stamps at the robot's time `at_s`."""
        message = velocity_command_t()
        message.timestamp_us = round((at_s + SKEW_S.get(source, 0.0)) * 1e6)
        message.source, message.linear_velocity_x, message.request = source, speed, request
        self.connection.publish("velocity_command", message.encode())

    def poll(self, at_s: float) -> OperatorCommand:
        return self.source.poll(round(at_s * NS), State.WALKING)

    def speed(self, at_s: float) -> float:
        return self.poll(at_s).linear_velocity_x


def texts(command: OperatorCommand) -> list[str]:
    return [note.text for note in command.notes]


# ---------------------------------------------------------------------- age


def test_every_poll_drains_the_queue_and_takes_the_newest() -> None:
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


# ---------------------------------------------------------------------- late messages


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
    assert texts(command) == ["lcm:b is refused: its commands come 3.0 s late by its clock"]
    network.send(5.02, 0.2, source="b")
    assert network.speed(5.02) == pytest.approx(0.2)


def test_a_sender_whose_clock_was_set_back_is_believed_after_two_steady_seconds() -> None:
    network = Network()
    network.send(10.0, 0.3)
    network.poll(10.0)
    seen = []
    for i in range(1, 60):
        network.send(10.0 + 0.05 * i - 7.0, 0.3)
        seen.append(network.speed(10.0 + 0.05 * i))
    assert seen[:10] == pytest.approx([0.3] * 10)  # still the message from before
    assert set(seen[10:40]) == {0.0}
    assert seen[42:] == pytest.approx([0.3] * 17)


def test_a_clock_that_jumps_ahead_changes_nothing() -> None:
    network = Network()
    for i in range(40):
        network.send(1.0 + 0.1 * i + (500.0 if i > 20 else 0.0), 0.3)
        assert network.speed(1.0 + 0.1 * i) == pytest.approx(0.3)


def test_a_clock_that_goes_slower_for_an_hour_is_no_delay() -> None:
    clock = SenderClock()
    for s in range(0, 3600, 10):
        assert clock.delay_ns(round(s * (1.0 - 5e-4) * 1e6), s * NS) <= 0.01 * NS


def test_lateness_that_changes_is_a_backlog_and_never_believed() -> None:
    clock = SenderClock()
    clock.delay_ns(0, 0)
    # what was sent in 20 s comes through from 20 s on, at three times the speed
    delays = [
        clock.delay_ns(round(0.1 * i * 1e6), round((20.0 + 0.1 * i / 3.0) * NS)) / NS for i in range(1, 200)
    ]
    assert min(delays) > 6.0


@given(
    skew_s=st.floats(-1e9, 1e9),
    drift=st.floats(-5e-4, 5e-4),
    delays_s=st.lists(st.floats(0.0, 0.45), min_size=1, max_size=200),
    lag_s=st.floats(1.1, 100.0),
)
def test_a_clock_of_its_own_and_a_trembling_network_are_no_delay_but_a_lag_is(
    skew_s: float, drift: float, delays_s: list[float], lag_s: float
) -> None:
    clock = SenderClock()

    def delay_s(sent_s: float, after_s: float) -> float:
        return (
            clock.delay_ns(round((sent_s * (1.0 + drift) + skew_s) * 1e6), round((sent_s + after_s) * NS))
            / NS
        )

    for i, delay in enumerate(delays_s):
        assert 0.0 <= delay_s(100.0 + 0.5 * i, delay) <= 0.5
    last_s = 100.0 + 0.5 * len(delays_s)
    assert delay_s(last_s, lag_s) > 0.5


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


@pytest.mark.parametrize(("request_", "field"), [(STOP, "stop"), (ESTOP, "estop"), (99, "estop")])
def test_anybody_may_stop_the_robot_and_is_named(request_: int, field: str) -> None:
    network = Network("a")
    network.send(1.0, 0.3, source="a")
    network.poll(1.0)
    network.send(1.1, 0.1, request_, source="stranger")
    command = network.poll(1.1)
    assert getattr(command, field)
    assert command.linear_velocity_x == pytest.approx(0.3)  # the state machine stops; nobody took over
    assert command.refused == {}
    assert texts(command)[0].startswith("lcm:stranger asks to ")
    network.send(1.1, 0.1, request_, source="stranger")  # the same again counts again, and is not told again
    command = network.poll(1.12)
    assert getattr(command, field)
    assert command.notes == ()


def test_a_stop_counts_however_old_it_is() -> None:
    network = Network()
    network.send(100.0, 0.3)
    network.poll(100.0)
    network.send(1.0, request=STOP)
    assert network.poll(100.1).stop


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
    st.floats(allow_nan=True),
    st.sampled_from([NONE, STAND]),
)


@given(others=st.lists(st.lists(messages, max_size=4), min_size=1, max_size=20), stop=st.booleans())
def test_whatever_others_send_the_one_who_commands_is_obeyed(others: Any, stop: bool) -> None:
    network = Network()
    network.send(100.0, 0.3, source="a")
    network.poll(100.0)
    for i, burst in enumerate(others, start=1):
        now = 100.0 + 0.1 * i
        for source, stamp, speed, request in burst:
            network.send(stamp, speed, request, source)
        network.send(now, 0.3, source="a")
        command = network.poll(now)
        assert (command.source, command.linear_velocity_x, command.yaw_rate) == (
            "lcm:a",
            pytest.approx(0.3),
            0.0,
        )
        assert not command.stand
        assert sum(command.refused.values()) == len(burst)
    if stop:
        network.send(0.0, math.nan, STOP, source="c")
        assert network.poll(now).stop


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
    network.send(0.03, request=ESTOP)
    network.send(0.04, request=STAND)
    assert network.poll(0.04).estop


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
    network.connection.publish("velocity_command", b"something else")
    network.send(1.0, 9.0)
    command = network.poll(1.0)
    assert command.linear_velocity_x == SPEC.command.linear_velocity_x[1]
    assert command.refused == {"unreadable": 1}
    assert "another version" in texts(command)[0]
