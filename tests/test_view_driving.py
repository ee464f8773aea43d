"""The page's wheel: one driver, a dead man's handle, and words to the robot that everybody may say."""

from __future__ import annotations

import time
from typing import Any

import pytest
from runtime_helpers import SPEC

from wildrobot.runtime.telemetry.lcm_types import velocity_command_t
from wildrobot.view.driving import HOLD_S, IDLE_S, URGENT_REPEATS, Driving

SEND_S = 0.05


class Wheel:
    """A `Driving` on a clock of its own, with what it has sent."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self.gone: set[int] = set()
        self.sent: list[Any] = []
        self.driving = Driving(
            SPEC, self._publish, lambda viewer: viewer not in self.gone, lambda: self.time_s
        )

    def _publish(self, channel: str, data: bytes) -> None:
        assert channel == "velocity_command"
        self.sent.append(velocity_command_t.decode(data))

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
    assert {message.source for message in sent} == {wheel.driving.source}
    assert wheel.driving.source.startswith("view@")
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
    assert wheel.sent[-1].request == velocity_command_t.STOP


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
    ("say", "request_"), [("stop", velocity_command_t.STOP), ("estop", velocity_command_t.ESTOP)]
)
def test_what_is_urgent_is_said_at_once_and_again(wheel: Wheel, say: str, request_: int) -> None:
    getattr(wheel.driving, say)()
    assert wheel.sent[0].request == request_
    give_up = time.monotonic() + 10.0
    while len(wheel.sent) < URGENT_REPEATS and time.monotonic() < give_up:
        time.sleep(0.01)
    assert [message.request for message in wheel.sent] == [request_] * URGENT_REPEATS
