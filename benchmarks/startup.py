"""From `wildrobot-run` to its first tick: the whole, its stages, and what its imports cost.

Each run is a new process; its times count from the moment before it is started, on the clock that all processes
share. Without `--port` a virtual robot answers. `--python` measures another installation, such as the robot's own
(base install: no mujoco, so only with `--robot dynamixel`).
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY = Path(__file__).resolve().parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"

# Runs in the process that is measured: notes when each part of the start is over, and ends the run after one tick.
CHILD = """
import sys, time
marks = [("interpreter", time.monotonic_ns())]
def mark(name):
    marks.append((name, time.monotonic_ns()))
def marked(module, name, label):
    inner = getattr(module, name)
    def outer(*args, **kwargs):
        result = inner(*args, **kwargs)
        mark(label)
        return result
    setattr(module, name, outer)
import wildrobot.runtime.control.controller, wildrobot.robot_description
import wildrobot.signal_path.policy
from wildrobot.cli.run import run
from wildrobot.runtime.control import session
mark("imports")
marked(run, "check_options", "options")
marked(wildrobot.robot_description, "load_robot", "robot.yaml")
marked(session, "load_skills", "policy")
marked(session, "open_robot", "robot")
marked(session, "assemble", "loop")
Controller = wildrobot.runtime.control.controller.Controller
tick = Controller.tick
def first_tick(controller, now_ns):
    tick(controller, now_ns)
    mark("first tick")
    controller.ended = True
Controller.tick = first_tick
import contextlib, io, json
with contextlib.redirect_stdout(io.StringIO()):
    code = run.main(sys.argv[1:])
print(json.dumps([time.process_time(), marks]))
sys.exit(code)
"""


@contextmanager
def virtual_robot() -> Iterator[str]:
    """The port of a virtual robot in real time."""
    with tempfile.TemporaryDirectory() as folder:
        link = f"{folder}/robot"
        program = [sys.executable, "-m", "wildrobot", "virtual-robot", "--link", link]
        server = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            if not server.stdout.readline():
                sys.exit("the virtual robot did not start")
            yield link
        finally:
            server.terminate()
            server.wait(10.0)


@dataclass
class Start:
    """One start of the runtime."""

    began_ns: int
    cpu_s: float
    """Of the process: hardly longer on a machine that others keep busy."""
    marks: list[tuple[str, int]]
    """Each part and its end, ns."""
    stderr: str

    @property
    def whole_ms(self) -> float:
        return (self.marks[-1][1] - self.began_ns) * 1e-6

    def stages_ms(self) -> dict[str, float]:
        """Each part, in order."""
        ends = [self.began_ns, *(at for _, at in self.marks)]
        return {name: (end - before) * 1e-6 for (name, end), before in zip(self.marks, ends, strict=False)}


def start(python: str, flags: list[str], *switches: str) -> Start:
    """Start it until its first tick.

    A machine that others keep busy holds up the virtual robot, which then seems not to answer: five tries.
    """
    for _ in range(5):
        began = time.monotonic_ns()
        command = [python, *switches, "-c", CHILD, str(POLICY), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            cpu, marks = json.loads(done.stdout.splitlines()[-1])
            return Start(began, cpu, marks, done.stderr)
    sys.exit(f"the run failed:\n{done.stderr[-3000:]}")


def imports_ms(importtime: str) -> dict[str, float]:
    """Milliseconds that Python spent in each package's own modules, from `-X importtime`; slowest first."""
    total: collections.Counter[str] = collections.Counter()
    for line in importtime.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and fields[0].strip().isdecimal():
            total[fields[2].strip().split(".")[0]] += int(fields[0])
    return {name: 1e-3 * spent for name, spent in total.most_common()}


def measure(python: str, flags: list[str], runs: int) -> dict[str, Any]:
    """Medians over `runs` starts after one that fills the disk's cache; imports as the least of three others."""
    start(python, flags)
    starts = [start(python, flags) for _ in range(runs)]
    stages = [one.stages_ms() for one in starts]
    timed = [imports_ms(start(python, flags, "-X", "importtime").stderr) for _ in range(3)]
    least = {name: min(one.get(name, math.inf) for one in timed) for name in timed[0]}
    imports = dict(sorted(least.items(), key=lambda item: -item[1]))
    return {
        "start_to_first_tick_ms": statistics.median(one.whole_ms for one in starts),
        "fastest_ms": min(one.whole_ms for one in starts),
        "slowest_ms": max(one.whole_ms for one in starts),
        "cpu_ms": statistics.median(1e3 * one.cpu_s for one in starts),
        "stages_ms": {name: statistics.median(stage[name] for stage in stages) for name in stages[0]},
        "imports_ms": dict(list(imports.items())[:10]),
        "imports_total_ms": sum(imports.values()),
        "packages_imported": len(imports),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", choices=("sim", "dynamixel", "both"), default="both")
    parser.add_argument("--port", help="a robot's serial port; default: a virtual robot")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the installation to measure")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "runs": arguments.runs,
    }
    if arguments.robot != "dynamixel":
        result["sim"] = measure(arguments.python, ["--robot", "sim", "--no-lcm"], arguments.runs)
    if arguments.robot != "sim":
        with virtual_robot() if arguments.port is None else nullcontext(arguments.port) as port:
            flags = ["--robot", "dynamixel", "--port", port, "--no-lcm", "--yes"]
            result["dynamixel"] = measure(arguments.python, flags, arguments.runs)
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
