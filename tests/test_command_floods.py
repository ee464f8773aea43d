"""More commands than anybody sends: who floods does not get the wheel, and a tick does not wait for it."""

from __future__ import annotations

import time

import pytest
from command_helpers import STAND, Network, texts

from wildrobot.runtime.commands import lcm_command
from wildrobot.runtime.commands.lcm_command import FLOOD, MOST_NOTES
from wildrobot.runtime.telemetry.identity import RunIdentity


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
    assert any("no new source gets control while that goes on" in text for text in network.told) or names == 1


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
