"""`wildrobot view`: the robot live in a browser, and a wheel to drive it with."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import lcm_url, open_network
from wildrobot.robot_description import load_robot
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.telemetry.identity import checked_name, new_identity
from wildrobot.signal_path.shipped import shipped_policy
from wildrobot.view.feed import Feed
from wildrobot.view.page import Page
from wildrobot.view.simulated_run import SimulatedRun

EXAMPLES = """Show a robot live in a browser and drive it: simulated, virtual, real, or a played log.

examples:
  wildrobot view --sim
  wildrobot view --sim runs/first/policy.onnx
  wildrobot view
  wildrobot view --name left-desk
  wildrobot view --lcm-url 'udpm://239.255.76.67:7667?ttl=1'

It listens to the robot on LCM: `wildrobot-run`, or `lcm-logplayer` with a log. To drive, the robot must run
with --lcm-command. Where two robots answer, nobody drives until --name says which one is meant. The address
that it prints holds a token: keep it to yourself. For a robot elsewhere: ssh -L 8080:127.0.0.1:8080 robot,
and open the printed address here. Ctrl-C ends it."""


@dataclass
class ViewOptions:
    """What to show, and where."""

    sim: Annotated[tuple[Path, ...] | None, tyro.conf.arg(metavar="[POLICY]")] = None
    """Also start a simulated robot, with this policy (.onnx) or that of the package; it ends with the page."""
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to serve at. The default is reached from this machine only."""
    port: Annotated[int, tyro.conf.arg(metavar="PORT")] = 8080
    """Port to serve at; the next free one if it is taken."""
    lcm_url: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """LCM network (LCM_DEFAULT_URL, else udpm://239.255.76.67:7667?ttl=0: this machine only)."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Robot to show and drive, where several are on the network; the only one there, unless told."""
    robot_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """robot.yaml of another robot."""
    plot_hz: float = 10.0
    """How often the plots are drawn anew. They hold every second tick whatever this is."""
    theme: Literal["auto", "dark", "light"] = "auto"
    """Colors: auto follows each viewer's browser. The switch on the page goes before it."""
    driver_timeout: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 1.0
    """A driver whose browser does not answer for so long is taken for gone. The robot stands still 0.5 s later."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_options(ViewOptions, argv, EXAMPLES)
    return view(options)


def view(options: ViewOptions) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UserError: no such network, no such address, no such policy.
    """
    if not 0.0 < options.plot_hz <= 50.0:
        raise UserError(
            f"--plot-hz is {options.plot_hz}, expected above 0, and at most 50: the robot's own rate."
        )
    if not options.driver_timeout > 0.0:
        raise UserError(f"--driver-timeout is {options.driver_timeout}, expected seconds above 0.")
    if options.sim is not None and len(options.sim) > 1:
        raise UserError(f"--sim takes one policy, but {len(options.sim)} were given.")
    spec = load_robot(options.robot_file)
    url = lcm_url(options.lcm_url)
    name = options.name
    if options.sim is not None and name is None:
        name = new_identity(None, simulated=True).robot_name
    network = open_network(url)
    sender = CommandSender(network, f"view@{socket.gethostname()}-{os.getpid()}")
    with contextlib.ExitStack() as stack:
        stack.callback(network.close)
        feed = Feed(spec, network, name if name is None else checked_name(name), sender.hears)
        stack.callback(feed.close)
        restart = None
        if options.sim is not None and name is not None:
            policy = options.sim[0] if options.sim else shipped_policy(spec)
            print(f"the simulated robot is called {name}", flush=True)
            simulation = SimulatedRun(policy, url, name, options.robot_file)
            stack.callback(simulation.close)
            restart = simulation.restart
        page = Page(
            feed,
            sender,
            options.host,
            options.port,
            options.plot_hz,
            options.driver_timeout,
            options.theme,
            restart,
        )
        stack.callback(page.close)
        print(f"open {page.server.url}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            page.run()
    return 0
