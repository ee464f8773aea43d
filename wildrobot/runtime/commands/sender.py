"""Commanding a robot over LCM: the other end of `lcm_command` and `stops`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from wildrobot.core.lcm_network import Network
from wildrobot.runtime.commands.lcm_command import COMMAND
from wildrobot.runtime.commands.stops import STOP
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t, velocity_command_t

REPEATS, EVERY_S = 5, 0.02
"""What must not be lost is said so often: the network promises nothing."""


class CommandSender:
    """Sends velocities to one run of a robot, in answer to what it said last, and stops to it or to all.

    Args:
        network: where the robot is.
        source: name of who commands; the robot shows it.

    Any thread may call. A velocity before `hears` was called, or long after, is refused by the robot.
    """

    def __init__(self, network: Network, source: str) -> None:
        self._network, self.source = network, source
        self._lock = threading.Lock()
        self._robot: RunIdentity | None = None
        self._heard_us = self._stamp_us = 0

    @property
    def robot(self) -> RunIdentity | None:
        """Whom velocities are for; None: it has not been heard yet."""
        return self._robot

    def hears(self, robot: RunIdentity | None, timestamp_us: int) -> None:
        """The robot has said something, at `timestamp_us` by its own messages; None: there is none to command."""
        with self._lock:
            self._robot, self._heard_us = robot, timestamp_us

    def velocity(self, forward: float, left: float, stand: bool = False) -> bool:
        """m/s forward and rad/s to the left; `stand`: get up. Whether it was sent: not before the robot was heard."""
        message = velocity_command_t()
        message.linear_velocity_x, message.yaw_rate, message.source = forward, left, self.source
        message.request = velocity_command_t.STAND if stand else velocity_command_t.NONE
        with self._lock:
            if self._robot is None:
                return False
            # The robot takes a message that is not newer than the last one for a repetition.
            self._stamp_us = max(time.time_ns() // 1000, self._stamp_us + 1)
            message.timestamp_us, message.robot_timestamp_us = self._stamp_us, self._heard_us
            message.robot_name, message.run_id = self._robot
        return self._network.publish(channel_of(message.robot_name, COMMAND), message.encode())

    def stand(self) -> bool:
        """Get up, said a few times; whether there is a robot to say it to."""
        sent = self.velocity(0.0, 0.0, stand=True)
        if sent:
            _again(lambda: self.velocity(0.0, 0.0, stand=True))
        return sent

    def stop(self, robot_name: str | None, at_once: bool) -> None:
        """Stop one robot, or with None all that hear it: at once, or by crouching first. Said a few times."""
        message = robot_stop_t()
        message.robot_name, message.source = robot_name or "", self.source
        message.request = robot_stop_t.ESTOP if at_once else robot_stop_t.SOFT_STOP
        channel = channel_of(robot_name, STOP) if robot_name else STOP

        def send() -> None:
            message.timestamp_us = time.time_ns() // 1000
            self._network.publish(channel, message.encode())

        send()
        _again(send)


def _again(send: Callable[[], object]) -> None:
    def work() -> None:
        for _ in range(REPEATS - 1):
            time.sleep(EVERY_S)
            send()

    threading.Thread(target=work, name="repeat", daemon=True).start()
