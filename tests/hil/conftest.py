"""The robot of the hardware-in-the-loop tests: the virtual one in simulated time, or a real one on its stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from wildrobot.cli.robot.person import PersonHands
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport
from wildrobot.firmware_bridge.bus.transport import Transport
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.timing import NS_PER_S, DeadlineClock
from wildrobot.runtime.logs.playback import Player
from wildrobot.runtime.robots.dynamixel import DynamixelRobot


@dataclass
class Rig:
    """A robot that hangs, and what drives it."""

    spec: RobotSpec
    transport: Transport
    robot: DynamixelRobot
    virtual: VirtualRobot | None
    tell: Callable[[str], None]
    """Tells the person what to do, and waits; nothing on the virtual robot."""

    @property
    def bus(self) -> Bus:
        """For single requests, between ticks."""
        return self.robot.bus

    def clock(self) -> DeadlineClock:
        """Ticks at the control rate on the robot's own time."""
        period = round(self.spec.control_dt * NS_PER_S)
        return DeadlineClock(period, now_ns=self.transport.now_ns, sleep=self.transport.sleep)

    def player(self) -> Player:
        """Takes hold when entered, lets go when left."""
        return Player(self.spec, SafetySupervisor(self.spec, self.robot), self.clock())


@pytest.fixture(scope="session")
def rig(pytestconfig: pytest.Config) -> Iterator[Rig]:
    port = pytestconfig.getoption("--port")
    spec = load_robot(pytestconfig.getoption("--robot-file"), pytestconfig.getoption("--calibration"))
    virtual: VirtualRobot | None = None
    transport: Transport
    if port is None:
        virtual = VirtualRobot(spec, suspended=True)
        transport = VirtualTransport(virtual)
    else:
        _confirm(pytestconfig, port)
        transport = SerialTransport(port, spec.config.bus.baud)
    robot = DynamixelRobot(spec, transport, say=lambda text: None)
    try:
        yield Rig(spec, transport, robot, virtual, _teller(pytestconfig, real=port is not None))
    finally:
        robot.close()


def _uncaptured(config: pytest.Config) -> Any:
    return config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled()


def _confirm(config: pytest.Config, port: str) -> None:
    person = PersonHands(config.getoption("--yes"), float(config.getoption("--countdown")))
    with _uncaptured(config):
        person.say(
            f"\nThese tests will move the robot at {port}: every joint to its home pose, steps of 0.1 rad, swaying by "
            "0.05 rad,\nand 5 s of a recorded walk. It must hang from its stand, feet off the floor, hands off. Ctrl-C "
            "lets go."
        )
        try:
            agreed = person.agree("Does it hang?", moves=True)
        except UserError as error:
            pytest.exit(f"{error} Nothing was moved.", returncode=2)
    if not agreed:
        pytest.exit("not confirmed: nothing was moved", returncode=2)


def _teller(config: pytest.Config, real: bool) -> Callable[[str], None]:
    def tell(text: str) -> None:
        if real:
            with _uncaptured(config):
                input(f"\n{text}, then press Enter ")

    return tell
