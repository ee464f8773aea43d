"""The host's side of the bus, this checkout against another one, in pairs in one run: CPU time per tick, lost samples.

cpu     what reading and writing all devices takes of the processor, per tick at 50 Hz over a pseudo-terminal
losses  device samples that did not arrive during a walk, while --busy threads keep that many cores busy

Both checkouts speak to this one's virtual robot. They take turns, --pairs times, and each begins every other pair.

    git worktree add --detach /tmp/base COMMIT
    python benchmarks/bus_host.py --against /tmp/base --minutes 10

With --plain the host has no real-time rights: it shows what a driver does when it is held up. A walk may end early
then, as too many ticks are missed; --paced reads and writes at the run's rate without one, and never ends early.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from realtime import without_rights

HERE = Path(__file__).resolve().parents[1]
POLICY = HERE / "wildrobot" / "policies" / "wildrobot_walk.onnx"


# ---------------------------------------------------------------------- in the checkout that is measured


def measure_cpu(port: str, ticks: int) -> dict[str, Any]:
    """Milliseconds of CPU time per tick: mean of the read with its conversion, and of the goal write."""
    from wildrobot.firmware_bridge.bus.driver import Bus
    from wildrobot.firmware_bridge.bus.serial_transport import SerialTransport
    from wildrobot.firmware_bridge.bus.startup import prepare
    from wildrobot.robot_description import load_robot

    spec = load_robot()
    transport = SerialTransport(port, spec.config.bus.baud)
    servos = prepare(Bus(transport), spec)
    gc.collect()
    gc.freeze()
    gc.disable()
    read = write = 0.0
    lost = with_losses = 0
    reasons: Counter[str] = Counter()
    deadline = time.monotonic()
    for _ in range(ticks):
        deadline += spec.control_dt
        time.sleep(max(0.0, deadline - time.monotonic()))
        start = time.thread_time()
        samples = servos.read_tick()
        servos.joint_motion(samples)
        middle = time.thread_time()
        servos.write_goals(spec.default_joint_pos)
        end = time.thread_time()
        read, write = read + middle - start, write + end - middle
        lost, with_losses = lost + len(samples.failures), with_losses + bool(samples.failures)
        reasons.update(_kind(why) for why in samples.failures.values())
    transport.close()
    return {
        "ticks": ticks,
        "ticks_with_losses": with_losses,
        "lost": lost,
        "reasons": dict(reasons),
        "read_ms": 1e3 * read / ticks,
        "write_ms": 1e3 * write / ticks,
    }


def _kind(why: str) -> str:
    return "an old answer" if "ms ago" in why else why


def count_losses(port: str, seconds: float, folder: Path) -> dict[str, Any]:
    """A walk by the command that people use, with every sample that was lost counted by its reason."""
    from wildrobot.firmware_bridge.bus.servo_bus import ServoBus

    reasons: Counter[str] = Counter()
    ticks = [0, 0]
    read_tick = ServoBus.read_tick

    def counted(self: ServoBus) -> Any:
        samples = read_tick(self)
        ticks[0] += 1
        ticks[1] += bool(samples.failures)
        reasons.update(_kind(why) for why in samples.failures.values())
        return samples

    ServoBus.read_tick = counted  # type: ignore[method-assign]
    figures = folder / "figures.json"
    sys.argv = [
        *("wildrobot", "run", str(POLICY), "--robot", "dynamixel", "--port", port, "--speed", "0.2"),
        *("--duration", str(seconds), "--yes", "--countdown", "1", "--json", str(figures)),
    ]
    code: Any = 0
    with contextlib.redirect_stdout(sys.stderr):
        try:
            runpy.run_module("wildrobot", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    own = json.loads(figures.read_text()) if figures.exists() else {}
    kept = {name: own.get(name) for name in ("walked_s", "falls", "fault")}
    return {
        "ticks": ticks[0],
        "ticks_with_losses": ticks[1],
        "lost": sum(reasons.values()),
        "reasons": dict(reasons.most_common()),
        "missed": own.get("tick", {}).get("missed"),
        "exit": code,
    } | kept


# ---------------------------------------------------------------------- around it


@contextlib.contextmanager
def virtual_robot(folder: Path, *options: str) -> Iterator[str]:
    """Path of this checkout's virtual robot."""
    link = folder / "robot"
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "wildrobot", "virtual-robot", "--link", str(link), *options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment, cwd=folder)
    try:
        end = time.monotonic() + 60.0
        while not link.exists():
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit("the virtual robot did not start")
            time.sleep(0.1)
        time.sleep(0.5)
        yield str(link)
    finally:
        child.terminate()
        child.wait()


def worker(tree: Path, what: str, port: str, amount: float, plain: bool) -> dict[str, Any]:
    """One measurement in `tree`."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", what, port, str(amount)]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    out = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True,
        preexec_fn=without_rights if plain else None,
    ).stdout  # fmt: skip
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    if not str(result.pop("wildrobot")).startswith(str(tree)):
        raise SystemExit(f"the measured package is not that of {tree}")
    return result


def turns(pair: int, trees: dict[str, Path]) -> list[tuple[str, Path]]:
    """Who is measured first in this pair."""
    order = list(trees.items())
    return order if pair % 2 == 0 else order[::-1]


def compare_cpu(trees: dict[str, Path], pairs: int, ticks: int) -> dict[str, Any]:
    """Medians over the pairs, ms per tick."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as folder, virtual_robot(Path(folder), "--suspended") as port:
        for pair in range(pairs):
            for name, tree in turns(pair, trees):
                found[name].append(worker(tree, "cpu", port, ticks, plain=False))
                print(f"cpu, pair {pair + 1}: {name} {found[name][-1]}", file=sys.stderr, flush=True)
    total = {name: [one["read_ms"] + one["write_ms"] for one in all_] for name, all_ in found.items()}
    ratios = np.divide(total["this"], total["other"])
    return {
        **{f"{name}_ms": float(np.median(values)) for name, values in total.items()},
        "ratio": float(np.median(ratios)),
        "ratios": ratios.tolist(),
        "runs": found,
    }


def compare_losses(
    trees: dict[str, Path], pairs: int, seconds: float, busy: int, plain: bool, paced: bool
) -> dict[str, Any]:
    """Sums over the pairs."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        for pair in range(pairs):
            for name, tree in turns(pair, trees):
                options = ["--suspended"] * paced
                what, amount = ("cpu", 50.0 * seconds / pairs) if paced else ("losses", seconds / pairs)
                with tempfile.TemporaryDirectory() as folder, virtual_robot(Path(folder), *options) as port:
                    found[name].append(worker(tree, what, port, amount, plain))
                print(f"losses, pair {pair + 1}: {name} {found[name][-1]}", file=sys.stderr, flush=True)
    finally:
        for one in load:
            one.kill()
    sums = {
        name: {key: sum(one[key] for one in all_) for key in ("ticks", "ticks_with_losses", "lost")}
        for name, all_ in found.items()
    }
    lost = {name: one["lost"] / max(1, one["ticks"]) for name, one in sums.items()}
    return sums | {"ratio": lost["this"] / lost["other"] if lost["other"] else None, "runs": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--only", choices=("cpu", "losses"), help="(default: both)")
    parser.add_argument("--pairs", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--ticks", type=int, default=500, help="of one cpu run (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="walk of each side in all (default: %(default)g)"
    )
    parser.add_argument("--busy", type=int, default=2, help="cores to keep busy (default: %(default)s)")
    parser.add_argument("--plain", action="store_true", help="the walking host has no real-time rights")
    parser.add_argument(
        "--paced", action="store_true", help="the bus's part of each tick alone, without a walk"
    )
    parser.add_argument("--worker", nargs=3, metavar=("WHAT", "PORT", "AMOUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        import wildrobot

        what, port, amount = arguments.worker
        with tempfile.TemporaryDirectory() as folder:
            result: dict[str, Any] = (
                measure_cpu(port, round(float(amount)))
                if what == "cpu"
                else count_losses(port, float(amount), Path(folder))
            )
        print(json.dumps(result | {"wildrobot": str(wildrobot.__file__)}))
        return
    if arguments.against is None or not (arguments.against / "wildrobot").is_dir():
        parser.error("--against needs a checkout of this repository, as `git worktree add` makes one")
    trees = {"other": arguments.against.resolve(), "this": HERE}
    document: dict[str, Any] = {"cpus": os.cpu_count(), "load_before": os.getloadavg()[0]}
    if arguments.only != "losses":
        document["cpu"] = compare_cpu(trees, arguments.pairs, arguments.ticks)
    if arguments.only != "cpu":
        document["losses"] = {"busy": arguments.busy, "plain": arguments.plain} | compare_losses(
            trees, arguments.pairs, 60.0 * arguments.minutes, arguments.busy, arguments.plain, arguments.paced
        )
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
