"""The control loop on networks as they are: lateness and missed ticks with a dropped port, an interface that comes and
goes and a flood, beside a quiet network; and how soon one E-STOP among the flood's messages is obeyed.

Needs Linux, root, `unshare`, `ip` and `nft`: every run has a network of its own. The simulated robot stays limp, the
loop is the whole one. The conditions take turns, so that other work on the machine meets them all.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.lcm_network import DEFAULT_LCM_URL, open_network
from wildrobot.robot_description import load_robot
from wildrobot.runtime.commands.lcm_command import COMMAND, LcmCommand
from wildrobot.runtime.commands.source import StopSignals
from wildrobot.runtime.commands.stops import STOP, StopListener
from wildrobot.runtime.control.realtime import realtime
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of
from wildrobot.runtime.telemetry.lcm_types import robot_stop_t

FLOOD = Path(__file__).with_name("flood.py")
WIRE = "ip link add w0 type veth peer name w1; ip link set w1 up; ip link set w0 up; ip address add 10.9.0.1/24 dev w0"
DROP = """sleep 3; nft add table ip t; nft add chain ip t c '{ type filter hook input priority 0; }'
nft add rule ip t c udp dport 7667 drop"""
COME_AND_GO = "while sleep 1; do ip link set w0 down; sleep 1; ip link set w0 up; done"
CONDITIONS = {
    "quiet": "",
    "dropped port": f"({DROP}) &",
    "interface comes and goes": f"{WIRE}; ({COME_AND_GO}) & other=$!",
    "flood": f"{shlex.quote(sys.executable)} {shlex.quote(str(FLOOD))} alice 1 > $OUT/rates & other=$!",
}
ROBOT, TICK_S = RunIdentity("alice", 1), 0.02


def run(condition: str, seconds: float, folder: Path) -> dict[str, Any]:
    """One run of the whole program; its figures."""
    url = "udpm://239.255.76.67:7667?ttl=1&interface=w0" if "interface" in condition else DEFAULT_LCM_URL
    figures = folder / "figures.json"
    program = [
        *(sys.executable, "-m", "wildrobot", "run", "--robot", "sim", "--lcm-command", "--name", "alice"),
        *(
            "--lcm-url",
            url,
            "--duration",
            str(seconds),
            "--json",
            str(figures),
            "--log",
            str(folder / "run.lcmlog"),
        ),
    ]
    script = (
        f"ip link set lo up; other=; {CONDITIONS[condition]}\n{shlex.join(program)}; kill $other 2>/dev/null"
    )
    environment = os.environ | {"OUT": str(folder)}
    subprocess.run(
        ["unshare", "--net", "bash", "-c", script], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    own = json.loads(figures.read_text())
    rates = [int(line) for line in (folder / "rates").read_text().split()] if condition == "flood" else []
    return {
        "condition": condition,
        "ticks": own["tick"]["count"],
        "missed": own["tick"]["missed"],
        "lateness_p50_ms": own["lateness"]["p50_ms"],
        "lateness_p99_ms": own["lateness"]["p99_ms"],
        "lateness_max_ms": own["lateness"]["max_ms"],
        "work_p99_ms": own["tick"]["p99_ms"],
        "refused": own["commands"]["refused"],
        "flood_messages_a_second": rates[-1] if rates else None,
        "load": os.getloadavg()[0],
    }


def estops(count: int) -> dict[str, Any]:
    """On a network of this process's own: from sending one E-STOP to the tick that obeys it, among a flood."""
    network, time_of_run, signals = open_network(DEFAULT_LCM_URL), RunTime(), StopSignals()
    source = LcmCommand(load_robot(), network.receiver((channel_of("alice", COMMAND),)), ROBOT, time_of_run)
    message = robot_stop_t()
    message.source, message.request = "benchmark", robot_stop_t.ESTOP
    random, took, commanded = np.random.default_rng(0), list[float](), set[str]()
    obeyed, ended = threading.Event(), threading.Event()

    def somebody() -> None:
        for _ in range(count):
            time.sleep(random.uniform(0.05, 0.15))
            obeyed.clear()
            sent = time.monotonic()
            network.publish(STOP, message.encode())
            if obeyed.wait(1.0):
                took.append(time.monotonic() - sent)
        ended.set()

    flood = subprocess.Popen([sys.executable, FLOOD, "alice", "1"], stdout=subprocess.PIPE, text=True)
    time.sleep(2.0)
    time_of_run.begin(time.monotonic_ns())
    threading.Thread(target=somebody, daemon=True).start()
    with StopListener(network, "alice", signals), realtime():
        due = time.monotonic()
        while not ended.is_set():
            command = signals.applied_to(source.poll(time.monotonic_ns(), State.LIMP))
            commanded |= {command.source} - {""}
            if command.estop:
                obeyed.set()
            due = max(due + TICK_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
    flood.terminate()
    rates = [int(line) for line in flood.communicate()[0].split()]
    source.close()
    network.close()
    return {
        "sent": count,
        "obeyed": len(took),
        "within_100_ms": int(np.sum(np.array(took) < 0.1)),
        "p50_ms": 1e3 * float(np.median(took)),
        "max_ms": 1e3 * max(took),
        "commanded_by": sorted(commanded),
        "flood_messages_a_second": rates[-1],
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each condition")
    parser.add_argument("--estops", type=int, default=100)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(estops(options.estops)))
        return
    runs = []
    for _ in range(options.rounds):
        for condition in CONDITIONS:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run(condition, options.seconds, Path(folder)))
                print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    again = shlex.join([sys.executable, __file__, "--inside", "--estops", str(options.estops)])
    said = subprocess.check_output(["unshare", "--net", "sh", "-c", f"ip link set lo up; {again}"], text=True)
    print(json.dumps({"runs": runs, "estops": json.loads(said)}, indent=2))


if __name__ == "__main__":
    main()
