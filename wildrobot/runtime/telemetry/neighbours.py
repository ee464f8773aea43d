"""Who else is on the network: robots that announce themselves, and one that calls itself as this one does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wildrobot.core.lcm_network import Listener, Network, Oddity
from wildrobot.runtime.telemetry.identity import RunIdentity, run_text
from wildrobot.runtime.telemetry.lcm_types import robot_announcement_t

ANNOUNCEMENT = "robot_announcement"
GONE_S = 2.0
"""A robot that has not announced itself for so long, four times in a row, is gone."""
ODD_EVERY_S = 5.0
"""Between looks whether a program of this computer has joined the group elsewhere."""
MOST = 32
"""Robots that are remembered at most; the network is not to be trusted."""


@dataclass
class NetworkRobot:
    """A robot on the network."""

    announcement: robot_announcement_t
    since_s: float
    heard_s: float
    """When it was heard first and last, on `time.monotonic`."""

    @property
    def identity(self) -> RunIdentity:
        """Name and run."""
        return RunIdentity(self.announcement.robot_name, self.announcement.run_id)

    def __str__(self) -> str:
        said = self.announcement
        kind = "a simulated" if said.simulated else "a"
        return f"{said.robot_name} ({kind} {said.robot} on {said.host}, run {run_text(said.run_id)})"


class Robots:
    """Robots that announce themselves. Give it every announcement; `present` are those heard of lately."""

    def __init__(self) -> None:
        self._known: dict[RunIdentity, NetworkRobot] = {}

    def take(self, data: bytes, now_s: float) -> NetworkRobot | None:
        """A message of the channel robot_announcement; the robot, if it was not there before."""
        try:
            said = robot_announcement_t.decode(data)
        except Exception:  # whatever is in a foreign packet
            return None
        identity = RunIdentity(said.robot_name, said.run_id)
        known = self._known.get(identity)
        if known is None and len(self._known) >= MOST:
            return None
        robot = NetworkRobot(said, now_s if known is None else known.since_s, now_s)
        self._known[identity] = robot
        return robot if known is None else None

    def heard(self, identity: RunIdentity, now_s: float) -> None:
        """Another message of a robot: it is there."""
        if (robot := self._known.get(identity)) is not None:
            robot.heard_s = now_s

    def forget(self, now_s: float) -> list[NetworkRobot]:
        """Forget those that fell silent, and return them."""
        gone = [robot for robot in self._known.values() if now_s - robot.heard_s > GONE_S]
        for robot in gone:
            del self._known[robot.identity]
        return gone

    def present(self) -> list[NetworkRobot]:
        """Those that are there, by name."""
        return sorted(self._known.values(), key=lambda robot: robot.identity)


def side_by_side(robots: Sequence[NetworkRobot]) -> list[NetworkRobot]:
    """Those of them that are there at the same time as another one: each was heard after the other had come. A program
    that has just ended is not beside the one that was started in its place."""
    return [
        one
        for one in robots
        if any(
            one.heard_s >= other.since_s and other.heard_s >= one.since_s
            for other in robots
            if other is not one
        )
    ]


def find_robots(network: Network, seconds: float, enough: int = MOST) -> list[NetworkRobot]:
    """Robots that announce themselves within some seconds, or until there are `enough`."""
    robots, receiver, end = Robots(), network.receiver((ANNOUNCEMENT,)), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and len(robots.present()) < enough:
        if receiver.wait(left):
            while (message := receiver.read()) is not None:
                robots.take(message.data, time.monotonic())
    receiver.close()
    return robots.present()


class Neighbours(Listener):
    """Watches the network; `news` are sentences for person and log."""

    def __init__(self, network: Network, identity: RunIdentity) -> None:
        super().__init__(network, (ANNOUNCEMENT,), "neighbours")
        self._identity = identity
        self.news: deque[str] = deque(maxlen=100)
        self._robots = Robots()
        self._odd: Oddity | None = None
        self._odd_due_s = 0.0

    @property
    def problem(self) -> str:
        """Why nobody hears this run; empty: nothing is known to be wrong."""
        return self._network.problem

    def _hear(self, data: bytes) -> None:
        robot = self._robots.take(data, time.monotonic())
        if robot is None or robot.identity == self._identity:
            return
        if robot.identity.robot_name == self._identity.robot_name:
            self.news.append(
                f"another robot has this one's name: {robot}. Commands still reach the run they are meant for, stops "
                "reach both; give one of them another --name"
            )
        else:
            self.news.append(f"{robot} is on this network, too")

    def _look(self) -> None:
        now_s = time.monotonic()
        for robot in self._robots.forget(now_s):
            if robot.identity != self._identity:
                self.news.append(f"{robot} is gone from the network")
        if now_s < self._odd_due_s:
            return
        self._odd_due_s = now_s + ODD_EVERY_S
        odd = self._network.joined_elsewhere()
        if odd is not None and odd != self._odd:
            self.news.append(f"{odd.found}. {odd.advice}")
        self._odd = odd
