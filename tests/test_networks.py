"""Robots, senders and networks as they meet: computers of their own (network namespaces), cables, other programs."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lcm
import pytest
from computers import (
    GROUP,
    PORT,
    WIRE,
    WIRE_URL,
    Computer,
    Sniffer,
    connect,
    local_route,
    plug_in,
    wait_for,
    wait_for_link,
    why_not,
)
from robot_loop import Driver, RobotLoop, drive_command

from wildrobot.core.lcm_network import DEFAULT_LCM_URL, Network, open_network
from wildrobot.runtime.commands.lcm_command import COMMAND
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.doctor import check_network
from wildrobot.runtime.logs.eventlog import read_events
from wildrobot.runtime.telemetry.identity import channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

LIBRARY_URL = DEFAULT_LCM_URL
STOPPED_WITHIN_S = 0.1
LCM_PROGRAMS = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
FLOOD = ROOT / "benchmarks" / "flood.py"


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
            self._library = lcm.LCM(LIBRARY_URL.replace("ttl=0", "ttl=1"))
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
            while self._heard.handle_timeout(0):
                pass
            time.sleep(0.02)

    def close(self) -> None:
        self.sniffer.close()
        self._network.close()


@pytest.mark.parametrize("what", ["plugged in", "plugged in later", "joined by another program"])
def test_the_default_stays_on_this_machine(robot: Computer, desk: Computer, what: str) -> None:
    connect(robot, desk, up=False)
    plug_in(desk)
    if what != "plugged in later":
        plug_in(robot)
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
            if what == "joined by another program":
                assert wait_for(lambda: loop.news) < 1.0
        outside = Outside(desk, loop)
        stack.callback(outside.close)
        if what == "plugged in later":
            outside.send(0.1)
            plug_in(robot)
            wait_for_link(robot, desk)
        outside.send(0.6)
        passed = outside.sniffer.udp(PORT)
        assert any(b"alice/" + COMMAND.encode() in packet for _, packet in passed), (
            "what was sent did not pass"
        )
        assert {sender for sender, _ in passed} == {desk.address}, "something of the robot's left it"
        assert not {"alice/robot_state", "robot_announcement"} & set(outside.heard)
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


# ---------------------------------------------------------------------- several robots


@pytest.fixture
def wired(robot: Computer, desk: Computer) -> None:
    """A cable between the two."""
    connect(robot, desk)
    wait_for_link(robot, desk)


@pytest.mark.usefixtures("wired")
def test_commands_reach_the_robot_and_the_run_that_they_are_for(robot: Computer, desk: Computer) -> None:
    with contextlib.ExitStack() as stack:
        with robot.inside():
            alice = stack.enter_context(RobotLoop(WIRE_URL, "alice"))
        with desk.inside():
            bob = stack.enter_context(RobotLoop(WIRE_URL, "bob"))
            twin = stack.enter_context(RobotLoop(WIRE_URL, "alice"))
            network = open_network(WIRE_URL)
            stack.callback(network.close)
        sender = CommandSender(network, "desk")
        for _ in range(20):
            sender.hears(alice.identity, alice.now_us() - 10_000)
            assert sender.velocity(0.3, 0.0, stand=True)
            # the twin takes commands for its own run only, whatever their channel; bob has a channel of his own
            network.publish(channel_of("bob", COMMAND), drive_command(alice, "desk"))
            time.sleep(0.02)
        assert alice.commanders() == {"lcm:desk"}
        assert alice.moved()
        for other, reason in ((bob, "other_robot"), (twin, "other_run")):
            assert other.commanders() == set()
            assert not other.moved()
            assert other.refused().get(reason, 0) >= 15, other.refused()
        assert any("it commands alice" in note for note in bob.notes())
        assert any(f"it commands run {alice.identity.run} of alice" in note for note in twin.notes())

        def news(loop: RobotLoop, words: str) -> bool:
            return any(words in text for text in loop.news)

        assert wait_for(lambda: news(alice, "bob (a wildrobot on test, run ")) < 1.0
        assert wait_for(lambda: news(bob, f"alice (a wildrobot on test, run {alice.identity.run})")) < 1.0
        for one, other in ((alice, twin), (twin, alice)):
            said = f"another robot has this one's name: alice (a wildrobot on test, run {other.identity.run})"
            assert wait_for(lambda one=one, said=said: news(one, said)) < 1.0
        sender.stop("bob", at_once=True)
        assert wait_for(bob.stopped) < 1.0
        assert alice.stopped() == twin.stopped() == []
        sender.stop(None, at_once=True)
        assert wait_for(lambda: alice.stopped() and twin.stopped()) < 1.0


def test_the_sender_of_the_docs_drives_and_stops(robot: Computer, loop: RobotLoop) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "running.md").read_text(), re.M | re.S)
    assert "monotonic() + 5.0" in code
    program = robot.start(sys.executable, "-c", code.replace("monotonic() + 5.0", "monotonic() + 0.5"))
    assert program.wait(20.0) == 0
    assert loop.commanders() == {"lcm:my-program"}
    assert loop.moved()
    assert {command.estop for _, command in loop.polled if command.stop} == {False}


# ---------------------------------------------------------------------- floods


@contextlib.contextmanager
def flooded(computer: Computer, loop: RobotLoop) -> Iterator[list[int]]:
    """Another program on this computer sends telemetry, garbage and valid commands without end; gives how many it has
    sent a second, once it has ended."""
    name, run = loop.identity
    rates: list[int] = []
    program = computer.start(sys.executable, FLOOD, name, run, stdout=subprocess.PIPE)
    try:
        yield rates
    finally:
        program.terminate()
        said, _ = program.communicate()
        rates.extend(int(line) for line in said.split())


@pytest.fixture
def loop(robot: Computer) -> Iterator[RobotLoop]:
    """A robot's loop on a computer of its own."""
    with robot.inside(), RobotLoop(DEFAULT_LCM_URL, "alice") as loop:
        yield loop


@pytest.fixture
def network(loop: RobotLoop) -> Iterator[Network]:
    """Another program's network on the robot's computer."""
    network = open_network(loop.network.url)
    yield network
    network.close()


def test_one_estop_among_fifty_thousand_other_messages_a_second_is_obeyed(
    robot: Computer, loop: RobotLoop, network: Network
) -> None:
    with Driver(network, "alice", "friend"):
        assert wait_for(lambda: loop.commanders() == {"lcm:friend"}) < 1.0
        with flooded(robot, loop):
            assert wait_for(lambda: loop.refused().get("flood", 0) > 1000) < 3.0
            late = []
            for _ in range(20):
                before, sent = len(loop.stopped()), time.monotonic()
                network.publish("robot_stop", estop())
                assert wait_for(lambda before=before: len(loop.stopped()) > before, 1.0) < 1.0
                late.append(loop.stopped()[before] - sent)
            assert max(late) < STOPPED_WITHIN_S
        # Its messages found no room: the robot stood still, and nobody else had it.
        assert loop.commanders() == {"lcm:friend"}
        assert any("lcm:flooder is refused: it sends more than" in note for note in loop.notes())
        assert wait_for(lambda: loop.polled[-1][1].source == "lcm:friend") < 1.0


def test_a_flood_does_not_take_the_wheel_whenever_it_begins(loop: RobotLoop, network: Network) -> None:
    phase = random.Random(0)
    for seed in range(20):
        commands = [drive_command(loop, f"flooder{seed}", number=number) for number in range(1500)]
        time.sleep(phase.uniform(0.0, 0.02))
        for command in commands:
            network.publish(channel_of("alice", COMMAND), command)
        time.sleep(0.03)
    assert loop.refused()["flood"] > 1000
    assert loop.commanders() == set()
    assert not loop.moved()


# ---------------------------------------------------------------------- played logs


@contextlib.contextmanager
def logger(computer: Computer, path: Path) -> Iterator[None]:
    """lcm-logger writes everything while the block runs."""
    program = computer.start(LCM_PROGRAMS / "lcm-logger", "--quiet", "--flush-interval=10", path)
    try:
        assert wait_for(lambda: path.exists() and path.stat().st_size > 0) < 3.0
        yield
    finally:
        time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        program.wait(10.0)


def test_a_log_that_is_played_leaves_a_limp_robot_limp(robot: Computer, tmp_path: Path) -> None:
    local_route(robot)
    log = tmp_path / "driven.lcmlog"

    def play(speed: float) -> None:
        robot.do(f"{LCM_PROGRAMS / 'lcm-logplayer'} --speed={speed} {log}")

    with contextlib.ExitStack() as stack:
        with robot.inside():
            recorded = stack.enter_context(RobotLoop(DEFAULT_LCM_URL, "alice"))
            network = open_network(DEFAULT_LCM_URL)
            stack.callback(network.close)
            with logger(robot, log), Driver(network, "alice", "friend") as driver:
                assert wait_for(lambda: driver.sender.robot) < 1.0
                driver.sender.stand()
                assert wait_for(recorded.moved) < 1.0
                time.sleep(0.5)
            live = stack.enter_context(RobotLoop(DEFAULT_LCM_URL, "alice"))
        events = list(read_events(log))
        assert sum(event.channel == "alice/velocity_command" for event in events) >= 10
        # Into the very run that it is of, once its driver has let go:
        assert wait_for(lambda: recorded.polled[-1][1].source == "") < 1.0
        recorded.polled.clear()
        play(1.0)
        assert recorded.refused().keys() <= {"old", "repeated"}
        assert sum(recorded.refused().values()) >= 10
        assert not recorded.moved()
        # And into another run of the same robot, at any speed and any moment:
        chance = random.Random(0)
        for _ in range(20):
            time.sleep(chance.uniform(0.0, 0.02))
            play(10.0 ** chance.uniform(0.5, 2.0))
        for loop in (recorded, live):
            assert loop.commanders() == set()
            assert not loop.moved()
            assert loop.stopped() == []
        assert live.refused().keys() <= {"other_run", "flood"}
        assert sum(live.refused().values()) >= 20 * 5
        said = f"lcm:friend is refused: it commands run {recorded.identity.run} of alice"
        assert any(said in note and "Is a log played" in note for note in live.notes())
