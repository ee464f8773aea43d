"""The page's wheel: one driver, a dead man's handle, and words to the robot that everybody may say."""

from __future__ import annotations

import time
from typing import Any

import pytest
from memory_network import MemoryNetwork
from runtime_helpers import SPEC

from wildrobot.runtime.commands.sender import REPEATS, CommandSender
from wildrobot.runtime.telemetry.identity import RunIdentity
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t, velocity_command_t
from wildrobot.view.driving import HOLD_S, IDLE_S, LAPSE_S, Driving, Word
from wildrobot.view.readout.wheel import offer, who

SEND_S = 0.05
ALICE, AGAIN, BOB = RunIdentity("alice", 7), RunIdentity("alice", 8), RunIdentity("bob", 9)


class Wheel:
    """A `Driving` on a clock of its own, with what it has sent to robots of which alice has been heard."""

    def __init__(self, robot_name: str | None = None, heard: RunIdentity | None = ALICE) -> None:
        self.time_s = 100.0
        self.gone: set[int] = set()
        self.plain = True
        self.network = MemoryNetwork()
        self.sender = CommandSender(self.network, "view@test")
        self.sender.hears(heard, 5)
        self.driving = Driving(
            SPEC,
            self.sender,
            lambda viewer: viewer not in self.gone,
            lambda: self.time_s,
            robot_name,
            lambda: self.plain,
        )

    @property
    def sent(self) -> list[Any]:
        """Velocities that alice was sent, and none was sent to others."""
        commands = [message for message in self.network.sent if message.channel.endswith("velocity_command")]
        assert {message.channel for message in commands} <= {"alice/velocity_command"}
        return [velocity_command_t.decode(message.data) for message in commands]

    @property
    def stops(self) -> list[tuple[str, int]]:
        """Channels and requests of the stops."""
        stops = [message for message in self.network.sent if message.channel.endswith("robot_stop")]
        return [(message.channel, robot_stop_t.decode(message.data).request) for message in stops]

    def wait(self, seconds: float) -> list[Any]:
        """What is sent during `seconds`."""
        before = len(self.sent)
        for _ in range(round(seconds / SEND_S)):
            self.time_s += SEND_S
            self.driving.pulse()
        return self.sent[before:]


@pytest.fixture
def wheel() -> Wheel:
    return Wheel()


def test_a_velocity_that_was_set_is_sent_more_than_ten_times_a_second(wheel: Wheel) -> None:
    assert wheel.driving.set_velocity(1, 0.3, -0.1)
    sent = wheel.wait(2.0)
    assert len(sent) >= 20
    assert {(message.linear_velocity_x, message.yaw_rate) for message in sent} == {(0.3, -0.1)}
    assert {message.source for message in sent} == {"view@test"}
    assert {(message.robot_name, message.run_id, message.robot_timestamp_us) for message in sent} == {
        (*ALICE, 5)
    }
    stamps = [message.timestamp_us for message in wheel.sent]
    assert stamps == sorted(set(stamps))


def test_velocities_are_kept_inside_the_ranges_of_the_robot(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 99.0, -99.0)
    assert wheel.driving.velocity == (SPEC.command.linear_velocity_x[1], SPEC.command.yaw_rate[0])


def test_a_held_button_counts_until_shortly_after_its_last_word(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.1, 0.0)
    wheel.driving.hold_velocity(1, 0.4, 0.2)
    assert wheel.driving.velocity == (0.4, 0.2)
    wheel.time_s += HOLD_S - 0.01
    assert wheel.driving.velocity == (0.4, 0.2)
    wheel.time_s += 0.02
    assert wheel.driving.velocity == (0.1, 0.0)


def test_a_second_viewer_cannot_drive_but_can_stop(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    assert not wheel.driving.set_velocity(2, 0.6, 0.0)
    assert not wheel.driving.hold_velocity(2, 0.6, 0.0)
    assert not wheel.driving.stand(2)
    assert wheel.driving.velocity == (0.3, 0.0)
    wheel.driving.stop()
    assert wheel.driving.velocity == (0.0, 0.0)
    assert wheel.stops[0] == ("alice/robot_stop", robot_stop_t.SOFT_STOP)


@pytest.mark.parametrize("how", ["leaves", "no answer"])
def test_a_driver_who_is_gone_is_no_longer_spoken_for(wheel: Wheel, how: str) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.wait(0.5)
    before = len(wheel.sent)
    if how == "leaves":
        wheel.driving.leave(1)
    else:
        wheel.gone.add(1)
    wheel.wait(1.0)
    said = wheel.sent[before:]
    assert len(said) == 1, "one word to stand still, and then none: the robot's own limit does the rest"
    assert (said[0].linear_velocity_x, said[0].yaw_rate) == (0.0, 0.0)
    assert wheel.driving.driver is None
    wheel.gone.clear()
    assert wheel.wait(1.0) == [], "a browser that answers again must not walk on by itself"


def test_the_wheel_is_free_when_its_driver_does_not_answer(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.gone.add(1)
    assert wheel.driving.set_velocity(2, 0.1, 0.0)
    assert wheel.driving.driver == 2


def test_a_driver_who_commands_nothing_gives_the_wheel_back(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.0, 0.0)
    wheel.wait(IDLE_S - 0.5)
    assert wheel.driving.driver == 1
    wheel.wait(1.0)
    assert wheel.driving.driver is None
    assert wheel.wait(1.0) == [], "another source may command now"


def test_leaving_without_the_wheel_changes_nothing(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.driving.leave(2)
    assert wheel.driving.driver == 1


def test_anybody_may_make_the_robot_stand_still(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.1)
    resets = wheel.driving.resets
    wheel.driving.stand_still()
    assert wheel.driving.velocity == wheel.driving.set_point == (0.0, 0.0)
    assert wheel.driving.resets > resets
    assert wheel.sent[-1].linear_velocity_x == 0.0


@pytest.mark.parametrize(
    ("say", "request_"), [("stop", robot_stop_t.SOFT_STOP), ("estop", robot_stop_t.ESTOP)]
)
def test_what_is_urgent_is_said_at_once_and_again(wheel: Wheel, say: str, request_: int) -> None:
    getattr(wheel.driving, say)()
    assert wheel.stops[0] == ("alice/robot_stop", request_)
    give_up = time.monotonic() + 10.0
    while len(wheel.stops) < REPEATS and time.monotonic() < give_up:
        time.sleep(0.01)
    assert wheel.stops == [("alice/robot_stop", request_)] * REPEATS


# ---------------------------------------------------------------------- which robot


@pytest.mark.parametrize(
    ("name", "heard", "plain", "channel"),
    [
        (None, ALICE, True, "alice/robot_stop"),
        (None, ALICE, False, "robot_stop"),  # two answer: all of them
        (None, None, True, "robot_stop"),  # none has been heard: whoever hears this one
        ("alice", None, True, "alice/robot_stop"),  # a simulation that is about to start
        ("alice", ALICE, False, "alice/robot_stop"),  # two of that name
    ],
)
def test_a_stop_reaches_the_robot_that_is_meant_or_all_where_that_is_not_plain(
    name: str | None, heard: RunIdentity | None, plain: bool, channel: str
) -> None:
    wheel = Wheel(name, heard)
    wheel.plain = plain
    wheel.driving.estop()
    wheel.driving.stop()
    assert wheel.stops[:1] == [(channel, robot_stop_t.ESTOP)]
    assert {at for at, _ in wheel.stops} == {channel}
    assert {request for _, request in wheel.stops} == {robot_stop_t.ESTOP, robot_stop_t.SOFT_STOP}


def test_nobody_drives_while_two_robots_answer(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.plain = False
    wheel.wait(SEND_S)
    assert wheel.driving.driver is None
    assert wheel.sent[-1].linear_velocity_x == 0.0, "the robot that was driven is told to stand still"
    before = len(wheel.sent)
    for obeyed in (
        wheel.driving.set_velocity(1, 0.3, 0.0),
        wheel.driving.hold_velocity(1, 0.3, 0.0),
        wheel.driving.stand(1),
    ):
        assert not obeyed
    assert wheel.wait(1.0) == []
    assert len(wheel.sent) == before
    wheel.plain = True
    assert wheel.wait(1.0) == [], "it does not walk on by itself when one of them has gone"
    assert wheel.driving.set_velocity(1, 0.2, 0.0)
    assert wheel.sent[-1].linear_velocity_x == 0.2


def test_a_button_that_was_refused_does_nothing_until_it_is_pressed_again(wheel: Wheel) -> None:
    wheel.plain = False
    for tick in range(20):
        wheel.plain = tick >= 10
        assert not wheel.driving.hold_velocity(1, 0.3, 0.0)
        wheel.wait(0.1)
    assert wheel.sent == []
    wheel.wait(HOLD_S + 0.1)  # let go
    assert wheel.driving.hold_velocity(1, 0.3, 0.0)
    assert wheel.sent[-1].linear_velocity_x == 0.3


@pytest.mark.parametrize("other", [BOB, AGAIN, None])
def test_what_was_meant_for_one_robot_is_not_said_to_the_next(
    wheel: Wheel, other: RunIdentity | None
) -> None:
    assert wheel.driving.set_velocity(1, 0.3, 0.0)
    before = len(wheel.sent)
    wheel.sender.hears(other, 6)
    assert wheel.wait(1.0) == []
    assert wheel.driving.driver is None
    assert wheel.driving.velocity == (0.0, 0.0)
    wheel.sender.hears(ALICE, 7)
    assert wheel.wait(1.0) == [], "nor to the same one when it comes back"
    assert len(wheel.sent) == before


def test_without_a_robot_nobody_drives() -> None:
    wheel = Wheel(heard=None)
    assert not wheel.driving.set_velocity(1, 0.3, 0.0)
    assert not wheel.driving.hold_velocity(1, 0.3, 0.0)
    assert not wheel.driving.stand(1)
    assert wheel.driving.driver is None
    assert wheel.network.sent == []


# ---------------------------------------------------------------------- words about what is held


def test_words_that_were_overtaken_change_nothing_and_a_press_ends_once(wheel: Wheel) -> None:
    driving = wheel.driving
    assert driving.follows(1, Word(7, 1, 1))
    assert driving.hold_velocity(1, 0.4, 0.0)
    assert driving.follows(1, Word(7, 1, 3))
    assert driving.follows(1, Word(7, 1, 2)) is None
    driving.let_go(1, Word(7, 1, 4))
    assert driving.velocity == (0.0, 0.0)
    assert wheel.sent[-1].linear_velocity_x == 0.0, "told at once"
    assert driving.follows(1, Word(7, 1, 5)) is False, "on its way when the key was let go"
    assert driving.follows(1, Word(7, 2, 6))
    driving.hold_velocity(1, 0.4, 0.0)
    driving.let_go(1, Word(7, 1, 7))
    assert driving.velocity == (0.4, 0.0), "the end of another press"
    assert driving.follows(1, Word(8, 1, 1)), "the page was loaded again"
    assert driving.follows(2, Word(9, 1, 1)), "another viewer's words are counted apart"


def test_a_press_that_was_not_heard_of_for_long_does_not_go_on(wheel: Wheel) -> None:
    assert wheel.driving.follows(1, Word(7, 1, 1))
    wheel.time_s += LAPSE_S - 0.01
    assert wheel.driving.follows(1, Word(7, 1, 2))
    wheel.time_s += LAPSE_S + 0.01
    assert wheel.driving.follows(1, Word(7, 1, 3)) is False
    assert wheel.driving.follows(1, Word(7, 1, 4)) is False
    assert wheel.driving.follows(1, Word(7, 2, 5))


def test_what_one_held_is_not_let_go_by_another(wheel: Wheel) -> None:
    assert wheel.driving.hold_velocity(1, 0.4, 0.0)
    wheel.driving.let_go(2, Word(3, 1, 1))
    assert wheel.driving.velocity == (0.4, 0.0)


# ---------------------------------------------------------------------- handing over


def test_the_wheel_is_handed_to_who_asked_and_the_robot_stands_still(wheel: Wheel) -> None:
    driving = wheel.driving
    assert not driving.ask(2), "nobody drives: it can be taken"
    driving.set_velocity(1, 0.3, 0.1)
    assert not driving.hand_over(1), "nobody has asked"
    assert not driving.ask(1), "drives already"
    assert driving.ask(2)
    assert not driving.ask(3), "another one was first"
    assert driving.asker == 2
    wheel.wait(2 * IDLE_S)
    assert driving.driver == 1, "who drives is only asked"
    assert driving.velocity == (0.3, 0.1)
    assert not driving.hand_over(2)
    assert not driving.hand_over(3)
    resets = driving.resets
    assert driving.hand_over(1)
    assert (driving.driver, driving.asker) == (2, None)
    assert driving.resets > resets, "the sliders return to zero"
    assert (wheel.sent[-1].linear_velocity_x, wheel.sent[-1].yaw_rate) == (0.0, 0.0)
    assert not driving.set_velocity(1, 0.3, 0.0)
    assert driving.set_velocity(2, 0.2, 0.0)
    assert not driving.hand_over(1)


def test_what_is_held_through_a_handover_must_be_pressed_again(wheel: Wheel) -> None:
    driving = wheel.driving
    driving.hold_velocity(1, 0.3, 0.0)
    assert not driving.hold_velocity(2, 0.4, 0.0)
    driving.ask(2)
    driving.hand_over(1)
    assert not driving.hold_velocity(1, 0.3, 0.0)
    assert not driving.hold_velocity(2, 0.4, 0.0), "held since before"
    assert driving.velocity == (0.0, 0.0)
    wheel.time_s += HOLD_S + 0.01
    assert driving.hold_velocity(2, 0.4, 0.0)


def test_a_driver_who_is_asked_and_commands_nothing_is_released(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.0, 0.0)
    wheel.driving.ask(2)
    wheel.wait(IDLE_S + 0.5)
    assert (wheel.driving.driver, wheel.driving.asker) == (None, None)
    assert wheel.driving.set_velocity(2, 0.2, 0.0)


@pytest.mark.parametrize("how", ["leaves", "no answer"])
def test_the_wheel_is_not_handed_to_who_is_gone(wheel: Wheel, how: str) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.driving.ask(2)
    if how == "leaves":
        wheel.driving.leave(2)
    else:
        wheel.gone.add(2)
    assert not wheel.driving.hand_over(1)
    assert (wheel.driving.driver, wheel.driving.asker) == (1, None)
    assert wheel.driving.velocity == (0.3, 0.0)


def test_the_wheel_of_one_robot_is_not_handed_over_for_the_next(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.driving.ask(2)
    wheel.sender.hears(BOB, 6)
    before = len(wheel.network.sent)
    assert not wheel.driving.hand_over(1)
    assert len(wheel.network.sent) == before


def test_who_takes_a_wheel_that_was_lost_is_asked_by_nobody(wheel: Wheel) -> None:
    wheel.driving.set_velocity(1, 0.3, 0.0)
    wheel.driving.ask(2)
    wheel.gone.add(1)
    assert wheel.driving.set_velocity(2, 0.1, 0.0)
    assert (wheel.driving.driver, wheel.driving.asker) == (2, None)


def test_each_viewer_is_offered_what_helps() -> None:
    assert offer(0, None, None) == ("", False)
    assert offer(0, 0, None) == ("", False)
    assert offer(1, 0, None) == ("Ask viewer 1 to drive", True)
    assert offer(0, 0, 1) == ("Hand over to viewer 2", True)
    assert offer(1, 0, 1) == ("You have asked viewer 1", False)
    assert offer(2, 0, 1) == ("viewer 2 has asked", False)
    assert who(None, None) == "nobody drives"
    assert who(0, 1) == "viewer 1 drives, viewer 2 asks"
