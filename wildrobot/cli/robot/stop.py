"""`wildrobot stop`: the emergency stop from a terminal, over LCM."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.lcm_network import Network, lcm_url, open_network
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.telemetry.identity import checked_name
from wildrobot.runtime.telemetry.neighbours import find_robots

DESCRIPTION = """Let go of a robot at once: E-STOP over LCM, whoever drives it. Without a name: of all that hear it.

examples:
  wildrobot stop
  wildrobot stop left-desk
  wildrobot stop left-desk --soft
  wildrobot stop --list

It says what the robots that answer do then. The switch at the battery is faster, and needs no network.

Exit code: 0 all that answer are limp (--list: some robot answers), 1 not, 2 bad input."""
LISTEN_S = 1.2
LIMP = ("limp", "estop", "soft_stop")


@dataclass
class StopOptions:
    """Whom to stop, and how."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME]")] = None
    """Robot to stop; all that hear it, unless told."""
    soft: bool = False
    """Crouch first, then let go."""
    list: bool = False
    """Stop nobody; say who is there."""
    lcm_url: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """LCM network (LCM_DEFAULT_URL, else udpm://239.255.76.67:7667?ttl=0: this machine only)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(StopOptions, argv, DESCRIPTION)
    if options.name is not None:
        checked_name(options.name)
    network = open_network(lcm_url(options.lcm_url))
    try:
        if not options.list:
            sender = CommandSender(network, f"stop@{socket.gethostname()}")
            sender.stop(options.name, at_once=not options.soft)
            time.sleep(0.2)
        return report(network, options)
    finally:
        network.close()


def report(network: Network, options: StopOptions) -> int:
    """Say who answers, and in which state; returns the exit code."""
    robots = find_robots(network, LISTEN_S)
    if options.name is not None:
        robots = [robot for robot in robots if robot.identity.robot_name == options.name]
    for robot in robots:
        said = robot.announcement
        print(f"{robot}: {said.state.replace('_', ' ')}, commanded by {said.command_source or 'nobody'}")
    if not robots:
        whom = "no robot answers" if options.name is None else f"no robot called {options.name} answers"
        print(f"{whom} on {network.url}{'; ' + network.problem if network.problem else ''}", file=sys.stderr)
        return 1
    return 0 if options.list or all(robot.announcement.state in LIMP for robot in robots) else 1
