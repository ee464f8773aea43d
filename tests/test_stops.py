"""Stops over LCM: heard whoever commands and whatever else is on the network, latched for one tick, told once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from wildrobot.core.lcm_network import Network, open_network
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.commands.source import MAX_SOURCES, OperatorCommand, StopSignals
from wildrobot.runtime.commands.stops import StopListener
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t

WALKING = OperatorCommand(0.3, 0.1, stand=True, source="flags", age_s=0.0)


@pytest.fixture
def network(multicast: str) -> Iterator[Network]:
    found = open_network(multicast)
    yield found
    found.close()


def next_stop(signals: StopSignals, wait_s: float = 2.0) -> OperatorCommand | None:
    """The first command that is not that of who commands; None: there is none in time."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        command = signals.applied_to(WALKING)
        if command is not WALKING:
            return command
        time.sleep(0.001)
    return None


def stop_message(request: int, source: str = "page") -> bytes:
    message = robot_stop_t()
    message.source, message.request = source, request
    return bytes(message.encode())


@pytest.mark.parametrize(
    ("request_", "estop", "text"),
    [
        (robot_stop_t.SOFT_STOP, False, "page asks for a soft stop"),
        (robot_stop_t.ESTOP, True, "page asks for torque off at once"),
        (99, True, "page asks for torque off at once"),
    ],
)
@pytest.mark.parametrize("channel", ["alice/robot_stop", "robot_stop"])
def test_a_stop_counts_for_one_tick_and_is_told_once(
    network: Network, channel: str, request_: int, estop: bool, text: str
) -> None:
    signals = StopSignals()
    with StopListener(network, "alice", signals):
        for repeat in range(2):
            network.publish(channel, stop_message(request_))
            command = next_stop(signals)
            assert command is not None
            assert (command.stop, command.estop, command.stand, command.end) == (True, estop, False, False)
            assert (command.linear_velocity_x, command.yaw_rate) == (0.0, 0.0)
            assert [note.text for note in command.notes] == ([text] if repeat == 0 else [])
        assert signals.applied_to(WALKING) is WALKING


def test_what_cannot_be_read_on_the_channel_of_stops_lets_go(network: Network) -> None:
    signals = StopSignals()
    with StopListener(network, "alice", signals):
        network.publish("robot_stop", b"of another version")
        command = next_stop(signals)
    assert command is not None
    assert command.estop
    assert [note.text for note in command.notes] == [
        "a message that cannot be read asks for torque off at once"
    ]


def test_stops_of_other_robots_are_not_heard(network: Network) -> None:
    signals = StopSignals()
    with StopListener(network, "alice", signals):
        for name in ("bob", "alic", "alice2", "xalice"):
            network.publish(f"{name}/robot_stop", stop_message(robot_stop_t.ESTOP))
        assert next_stop(signals, 0.3) is None


def test_the_harder_of_two_stops_counts() -> None:
    signals = StopSignals()
    signals.ask("a", at_once=False)
    signals.ask("b", at_once=True)
    signals.ask("c", at_once=False)
    command = signals.applied_to(WALKING)
    assert command.estop
    assert len(command.notes) == 3


def test_names_of_who_stops_are_not_remembered_without_end() -> None:
    signals = StopSignals()
    for i in range(10 * MAX_SOURCES):
        signals.ask(f"s{i}", at_once=False)
        assert signals.applied_to(WALKING).stop
    assert len(signals._told) <= MAX_SOURCES


def test_a_sender_stops_one_robot_or_all_and_says_it_several_times(network: Network) -> None:
    signals = {name: StopSignals() for name in ("alice", "bob")}
    sender = CommandSender(network, "me")
    with StopListener(network, "alice", signals["alice"]), StopListener(network, "bob", signals["bob"]):
        sender.stop("alice", at_once=True)
        assert next_stop(signals["alice"]) is not None
        assert next_stop(signals["bob"], 0.3) is None
        time.sleep(0.2)
        signals["alice"].applied_to(WALKING)
        sender.stop(None, at_once=False)
        for each in signals.values():
            command = next_stop(each)
            assert command is not None
            assert not command.estop
        time.sleep(0.2)
        assert len(signals["bob"]._asked) == 4


def test_velocities_are_sent_only_in_answer_to_a_robot(network: Network) -> None:
    assert not CommandSender(network, "me").velocity(0.3, 0.0)
