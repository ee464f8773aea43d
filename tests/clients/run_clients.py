"""Other people's Dynamixel programs on the virtual robot: `make clients`, or `python tests/clients/run_clients.py`.

Each client runs a fixed programme of its own calls in an environment of its own (kept in build/clients; 2 GB with
LeRobot's) against a hanging virtual robot over a pty. Every call that the e-Manual allows must work, and bring what the
robot truly is. Prints the table of docs/bus.md; `--write` puts it there. Ends with 1 where something fails.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildrobot.core.files import write_text
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "clients"
DOCUMENT = ROOT / "docs" / "bus.md"
BEGIN, END = "<!-- clients: begin -->", "<!-- clients: end -->"


@dataclass(frozen=True)
class Client:
    """A program, where it comes from, and which of its answers are known to be its own fault."""

    title: str
    script: str
    packages: tuple[str, ...]
    plain: tuple[str, ...] = ()
    """Packages installed without what they depend on."""
    own_faults: tuple[tuple[str, str], ...] = ()
    """(step, what it does there) where it goes wrong by itself."""


NO_WAIT = (
    ("after action", "no: its `action` does not wait for the status, and the next request collides with it"),
)
CLIENTS = {
    "sdk38": Client("dynamixel-sdk 3.8.4", "client_sdk.py", ("dynamixel-sdk==3.8.4",), own_faults=NO_WAIT),
    "sdk41": Client("dynamixel-sdk 4.1.0", "client_sdk.py", ("dynamixel-sdk==4.1.0",), own_faults=NO_WAIT),
    "rustypot": Client("rustypot 1.13.1", "client_rustypot.py", ("rustypot==1.13.1",)),
    "dynamixel_python": Client(
        "dynamixel-python 0.0.8", "client_dynamixel_python.py", ("dynamixel-python==0.0.8",),
        own_faults=(("scan", "all but the board: it listens 0.1 s after an answer, and id 200 answers after 0.6 s"),),
    ),
    "dynamixel_api": Client(
        "dynamixel-api 1.0.3", "client_dynamixel_api.py", ("dynamixel-api==1.0.3", "dynamixel-sdk==4.1.0")
    ),
    "ros2_interface": Client(
        "ROS 2 hardware interface's calls", "client_ros2_interface.py", ("dynamixel-sdk==4.1.0",)
    ),
    "lerobot": Client(
        "LeRobot 0.4.4", "client_lerobot.py",
        ("torch==2.13.0", "dynamixel-sdk==3.8.4", "accelerate", "datasets", "deepdiff", "draccus", "einops",
         "gymnasium", "huggingface_hub", "numpy", "packaging", "pyserial", "tqdm"),
        plain=("lerobot==0.4.4",),
    ),
}  # fmt: skip
IDS = list(range(1, 10))
RAD = 2 * math.pi / 4096
SLACK = 100
"""Counts that a limp knee may still creep, 9 degrees; no other register has anything near."""
RUNS = 3
"""At most, of a client that failed somewhere: a busy computer holds the virtual robot up beyond a client's patience.
What is wrong is wrong in all of them."""
SETTLE_S = 4.0
"""Until the limp joints hang still."""
rest: dict[int, int] = {}
"""Counts at which they hang, by this project's own driver."""
EXPECTED: dict[str, Any] = {
    "scan": [*IDS, 200],
    "read 1 byte": 48,
    "read back": [1, 700, 90],
    "after sync write": [400, 400, 400],
    "after bulk write": [1, 500],
    "before action": 1,
    "after action": 0,
    "after reboot": 800,
    "after factory reset": 250,
}


def near(value: Any, wanted: float, by: float) -> bool:
    return isinstance(value, int | float) and abs(value - wanted) <= by


CHECKS: dict[str, Callable[[Any], bool]] = {
    "ping": lambda v: v in (1020, True) or (isinstance(v, dict) and 1020 in v.values()),
    "read 2 bytes": lambda v: near(v, 120, 3) or near(v, 12.0, 0.3),
    "read 4 bytes": lambda v: near(v, rest[4], SLACK) or near(v, (rest[4] - 2048) * RAD, 0.1),
    "sync read": lambda v: _at_rest(v),
    "fast sync read": lambda v: _at_rest(v),
    "bulk read": lambda v: near(v[0], rest[1], SLACK) and near(v[1], 120, 3) and near(v[2], 30, 5),
    "fast bulk read": lambda v: near(v[0], rest[1], SLACK) and near(v[1], 120, 3) and near(v[2], 30, 5),
    "indirect 1": lambda v: near(v, rest[4], SLACK),
    "indirect 29": lambda v: near(v, rest[4], SLACK),
    "after homing": lambda v: near(v, 2047, 10),
    "moved": lambda v: near(v, -100, 30) or near(v, -100 * RAD, 0.1),
}


def _at_rest(values: Any) -> bool:
    """Of servos 1 to 3, as a list or by id."""
    listed = list(values.values()) if isinstance(values, dict) else values
    return all(
        near(value, rest[i], SLACK) or near(value, (rest[i] - 2048) * RAD, 0.1)
        for i, value in enumerate(listed, 1)
    )


def environment(name: str, client: Client) -> Path:
    """Python of the client's own environment, made when it is not there."""
    python = BUILD / name / "bin" / "python"
    ready = BUILD / name / "ready"
    if not ready.exists():
        print(f"setting up {client.title}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", BUILD / name], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *client.packages], check=True)
        if client.plain:
            subprocess.run([*pip, "--no-deps", *client.plain], check=True)
        ready.touch()
    return python


def run_client(name: str, client: Client) -> dict[str, str]:
    """Step to what was wrong with it, "" if nothing was."""
    python = environment(name, client)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "robot"
        command = [sys.executable, "-m", "wildrobot", "virtual-robot", "--suspended", "--link", str(link)]
        robot = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            assert robot.stdout is not None
            robot.stdout.readline()
            time.sleep(SETTLE_S)
            transport = SerialTransport(str(link), 1_000_000)
            rest.update((i, Bus(transport).read(i, table.PRESENT_POSITION)) for i in IDS)
            transport.close()
            run = subprocess.run(
                [python, HERE / client.script, link], capture_output=True, text=True, timeout=180, cwd=folder
            )
        finally:
            robot.terminate()
            robot.wait(20)
    found: dict[str, str] = {}
    for line in run.stdout.splitlines():
        if line.startswith("{"):
            answer = json.loads(line)
            found[answer["step"]] = answer.get("error") or judge(answer["step"], answer["value"])
    if run.returncode:
        found["the programme"] = run.stderr.strip().splitlines()[-1]
    return found


def best_of_runs(name: str, client: Client) -> dict[str, str]:
    """As `run_client`: what is wrong in every one of up to `RUNS`."""
    found = run_client(name, client)
    for _ in range(RUNS - 1):
        if not any(found[step] for step in found if step not in dict(client.own_faults)):
            break
        again = run_client(name, client)
        found = {step: found.get(step, why) and why for step, why in again.items()}
    return found


def judge(step: str, value: Any) -> str:
    """What is wrong with an answer."""
    good = CHECKS[step](value) if step in CHECKS else value == EXPECTED.get(step, value)
    return "" if good else f"brought {value}"


def as_table(results: dict[str, dict[str, str]]) -> str:
    """Rows are steps, columns are clients."""
    steps = list(dict.fromkeys(step for found in results.values() for step in found))
    lines = [
        f"| | {' | '.join(CLIENTS[name].title for name in results)} |",
        f"|---{'|---' * len(results)}|",
    ]
    for step in steps:
        cells = []
        for name, found in results.items():
            known = dict(CLIENTS[name].own_faults)
            wrong = found.get(step)
            cells.append("" if wrong is None else "yes" if not wrong else known.get(step, f"**no**: {wrong}"))
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--client", action="append", choices=[*CLIENTS], help="only this one; default: all")
    parser.add_argument("--write", action="store_true", help="put the table into docs/bus.md")
    arguments = parser.parse_args()
    results = {name: best_of_runs(name, CLIENTS[name]) for name in arguments.client or CLIENTS}
    text = as_table(results)
    print(text)
    if arguments.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        write_text(DOCUMENT, f"{before}{BEGIN}\n{text}\n{END}{after}")
    wrong = [
        f"{CLIENTS[name].title}: {step}: {why}"
        for name, found in results.items()
        for step, why in found.items()
        if why and step not in dict(CLIENTS[name].own_faults)
    ]
    print(
        "\n".join(wrong) or f"all {sum(map(len, results.values()))} steps of {len(results)} clients work",
        file=sys.stderr,
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
