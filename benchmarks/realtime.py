"""Minutes of walking in real time, with other work on the machine: missed ticks, lateness, tick compute, memory.

Runs `wildrobot-run --robot sim` for --minutes, once as it is (SCHED_FIFO where this user may have it) and, with
--plain, once more without the right to it, while --busy processes keep that many CPUs busy. Memory and CPU time are
read from /proc every ten seconds; the slope of memory is that of a straight line through the samples after the first
minute.

"compute" is the work of a tick without reading and writing, which are the bus on a robot and the physics here.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.signal_path.shipped import POLICIES

EVERY_S = 10.0
SETTLED_S = 60.0
PR_CAPBSET_DROP, CAP_IPC_LOCK, CAP_SYS_NICE = 24, 14, 23


def without_rights() -> None:
    """In the child: no real-time priority and no locked memory, even for root."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_SYS_NICE, CAP_IPC_LOCK):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def sample(pid: int) -> tuple[float, float]:
    """Memory in RAM (MB) and CPU time so far (s) of a process."""
    root = Path(f"/proc/{pid}")
    pages = int((root / "statm").read_text().split()[1])
    fields = (root / "stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    return pages * os.sysconf("SC_PAGE_SIZE") * 1e-6, ticks / os.sysconf("SC_CLK_TCK")


def run(policy: Path, seconds: float, plain: bool, folder: Path) -> dict[str, Any]:
    """One run; its own figures with what /proc said of it meanwhile."""
    figures = folder / "figures.json"
    command = [
        *(sys.executable, "-m", "wildrobot", "run", str(policy), "--robot", "sim", "--speed", "0.3"),
        *("--duration", str(seconds), "--json", str(figures), "--log", str(folder / "walk.lcmlog")),
    ]
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=without_rights if plain else None)
    times, memory, cpu = [], [], []
    while child.poll() is None:
        try:
            at, (ram, spent) = time.monotonic() - began, sample(child.pid)
        except (OSError, IndexError):
            break
        times.append(at)
        memory.append(ram)
        cpu.append(spent)
        minutes = f"{at / 60:.1f} of {seconds / 60:.1f} min, {ram:.0f} MB"
        print(f"{'plain' if plain else 'as it is'}: {minutes}", file=sys.stderr, flush=True)
        try:
            child.wait(EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    code = child.wait()
    own = json.loads(figures.read_text())
    settled = np.array(times) > SETTLED_S
    slope = float("nan")
    if settled.sum() > 2:
        slope = float(np.polyfit(np.array(times)[settled], np.array(memory)[settled], 1)[0]) * 3600.0
    chosen = (
        "walked_s",
        "mean_speed_m_s",
        "falls",
        "fault",
        "tick",
        "compute",
        "lateness",
        "messages_dropped",
    )
    return {name: own[name] for name in chosen} | {
        "exit": code,
        "cpu_share": (cpu[-1] - cpu[0]) / (times[-1] - times[0]) if len(times) > 1 else float("nan"),
        "memory_mb": memory[-1],
        "memory_max_mb": max(memory),
        "memory_slope_mb_per_hour": slope,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--policy", type=Path, default=POLICIES / "wildrobot_walk.onnx")
    parser.add_argument("--minutes", type=float, default=1.0, help="(default: %(default)g)")
    parser.add_argument("--busy", type=int, default=1, help="CPUs to keep busy (default: %(default)s)")
    parser.add_argument("--plain", action="store_true", help="once more without real-time rights")
    arguments = parser.parse_args()
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(arguments.busy)]
    result: dict[str, Any] = {"cpus": os.cpu_count(), "busy": arguments.busy, "minutes": arguments.minutes}
    try:
        for name, plain in (("as_it_is", False), *((("plain", True),) if arguments.plain else ())):
            with tempfile.TemporaryDirectory() as folder:
                result[name] = run(arguments.policy, 60.0 * arguments.minutes, plain, Path(folder))
    finally:
        for one in load:
            one.kill()
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
