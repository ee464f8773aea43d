"""Robots, senders and networks as they meet: computers of their own (network namespaces), cables, other programs."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import lcm
import pytest
from computers import WIRE, Computer, Sniffer, connect, local_route, plug_in, wait_for, wait_for_link, why_not
from robot_loop import Driver, RobotLoop, drive_command

from wildrobot.core.lcm_network import DEFAULT_LCM_URL, open_network
from wildrobot.core.lcm_udp import encode_packet
from wildrobot.runtime.commands.lcm_command import COMMAND
from wildrobot.runtime.doctor import check_network
from wildrobot.runtime.telemetry.identity import Identity, channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

GROUP, PORT = "239.255.76.67", 7667
LIBRARY_URL = DEFAULT_LCM_URL
WIRE_URL = f"udpm://{GROUP}:{PORT}?ttl=1&interface={WIRE}"
STOPPED_WITHIN_S = 0.1


@pytest.fixture
def robot() -> Iterator[Computer]:
    with Computer(1) as computer:
        yield computer


@pytest.fixture
def desk() -> Iterator[Computer]:
    with Computer(2) as computer:
        yield computer


def estop() -> bytes:
    message = robot_stop_t()
    message.source, message.request = "somebody", robot_stop_t.ESTOP
    return message.encode()


def joined(interface: str) -> socket.socket:
    """A program that has joined the group on an interface of this computer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    index = socket.if_nametoindex(interface)
    request = struct.pack("@4s4si", socket.inet_aton(GROUP), b"\0" * 4, index)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


# ---------------------------------------------------------------------- this machine only


class Outside:
    """Whoever is on the other computer: knows all about the robot, and sends what would move or stop it."""

    def __init__(self, desk: Computer, loop: RobotLoop) -> None:
        self._loop = loop
        with desk.inside():
            self._network = open_network(WIRE_URL)
            self._library = lcm.LCM(LIBRARY_URL)  # ttl=0: it leaves the computer all the same
            self._heard = lcm.LCM(LIBRARY_URL)
            self.heard: list[str] = []
            self._heard.subscribe(".*", lambda channel, data: self.heard.append(channel))
        self.sniffer = Sniffer(desk)

    def send(self, seconds: float) -> None:
        name = self._loop.identity.robot_name
        for _ in range(round(seconds / 0.02)):
            command = drive_command(self._loop, "outside")
            for channel, data in (
                (channel_of(name, COMMAND), command),
                (channel_of(name, "robot_stop"), estop()),
                ("robot_stop", estop()),
            ):
                self._network.publish(channel, data)
                self._library.publish(channel, data)
            self._heard.handle_timeout(20)

    def close(self) -> None:
        self.sniffer.close()
        self._network.close()


@pytest.mark.parametrize("what", ["plugged in", "plugged in later", "joined by another program"])
def test_the_default_stays_on_this_machine(robot: Computer, desk: Computer, what: str) -> None:
    connect(robot, desk, up=what != "plugged in later")
    if what != "plugged in later":
        wait_for_link(robot, desk)
    got: list[str] = []
    with contextlib.ExitStack() as stack:
        with robot.inside():
            if what == "joined by another program":
                stack.enter_context(joined(WIRE))
            trapped = lcm.LCM(LIBRARY_URL) if what != "plugged in later" else None
            if trapped is not None:
                trapped.subscribe(".*", lambda channel, data: got.append(channel))
            loop = stack.enter_context(RobotLoop(DEFAULT_LCM_URL, "alice"))
        outside = Outside(desk, loop)
        stack.callback(outside.close)
        if what == "plugged in later":
            plug_in(desk, robot)
            wait_for_link(robot, desk)
        outside.send(0.6)
        passed = outside.sniffer.udp(PORT)
        assert any(b"alice/" + COMMAND.encode() in packet for packet in passed), "what was sent did not pass"
        assert not any(b"robot_state" in packet or b"announcement" in packet for packet in passed)
        assert set(outside.heard) <= {"alice/velocity_command", "alice/robot_stop", "robot_stop"}
        if trapped is not None:
            trapped.handle_timeout(100)
            assert got, "a program on LCM's own library on the robot hears the outside"
        assert loop.commanders() == set()
        assert not loop.moved()
        assert loop.stopped() == []
        assert loop.refused() == {}
        if what == "joined by another program":
            (told,) = loop.news
            assert f"has joined the group {GROUP} on {WIRE}" in told
            with robot.inside():
                assert any(f"on {WIRE}" in finding.what for finding in check_network(DEFAULT_LCM_URL))
        with robot.inside():  # and a program on the robot itself still drives it
            here = open_network(DEFAULT_LCM_URL)
            stack.callback(here.close)
            stack.enter_context(Driver(here, "alice", "here"))
        assert wait_for(lambda: loop.commanders() == {"lcm:here"}) < 1.0
