"""What the live page costs the robot: lateness of the control loop with and without it, and the page's share of a CPU.

Starts `wildrobot-run --robot sim` in real time, walking, for --seconds, --rounds times each without a page and with
the page open in a headless browser, in turn. The scene is drawn at 50 Hz, every plot at --plot-hz; the default makes
as many updates as five plots at 50 Hz.

The browser draws without a GPU here, on the same CPUs. A person's browser takes nothing from the robot, so it is told
to draw few pixels, and it runs with the lowest priority. At the end E-STOP is clicked --clicks times without a robot,
from the click in the browser to the message on the network; and once for each of --robots robots that stand, from the
click to the robot's own word that it has let go.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from realtime import sample  # noqa: E402
from view_helpers import NAME, Listener, Program, Rig, browser, until  # noqa: E402

FEW_PIXELS = "&fixedDpr=0.1"


def walk(
    policy: Path, seconds: float, url: str, folder: Path, listener: Listener, page: Any
) -> dict[str, Any]:
    """One run of the robot; with `page` (a process) what that used while the robot walked."""
    figures = folder / "figures.json"
    command = ["run", str(policy), "--robot", "sim", "--speed", "0.3", "--lcm-url", url, "--name", NAME]
    robot = Program(folder / "robot.log", *command, "--duration", str(seconds), "--json", str(figures))
    until(lambda: listener.state == "walking", "walking", 120.0)
    began, used = time.monotonic(), 0.0 if page is None else sample(page.process.pid)[1]
    time.sleep(0.8 * seconds)
    share = 0.0 if page is None else (sample(page.process.pid)[1] - used) / (time.monotonic() - began)
    robot.process.wait()
    own = json.loads(figures.read_text())
    chosen: dict[str, Any] = {name: own[name] for name in ("falls", "fault", "messages_dropped")}
    chosen |= {"missed": own["tick"]["missed"], "lateness": own["lateness"], "compute": own["compute"]}
    return chosen | {"page_cpu_share": share, "load_average": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--policy", type=Path, default=ROOT / "wildrobot" / "policies" / "wildrobot_walk.onnx"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="(default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--plot-hz", type=float, default=20.0, help="(default: %(default)g)")
    parser.add_argument("--clicks", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--robots", type=int, default=5, help="(default: %(default)s)")
    arguments = parser.parse_args()
    url = f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0"
    rounds: dict[str, list[dict[str, Any]]] = {"without": [], "with_page": []}
    with tempfile.TemporaryDirectory() as name, browser(prefix=("nice", "-n", "19")) as launched:
        folder = Path(name)
        rig = Rig(
            folder, url, launched, "--plot-hz", str(arguments.plot_hz), query=FEW_PIXELS, patience_s=300.0,
            drawn=True,
        )  # fmt: skip
        try:
            for index in range(arguments.rounds):
                for kind, runs in rounds.items():
                    if kind == "with_page":
                        rig.page  # noqa: B018  opens it
                    page = rig.view if kind == "with_page" else None
                    runs.append(walk(arguments.policy, arguments.seconds, url, folder, rig.listener, page))
                    if kind == "with_page":
                        rig.close_page()
                    print(f"round {index + 1} {kind}: {runs[-1]}", file=sys.stderr, flush=True)
            rig.page  # noqa: B018  opens it
            clicks = rig.time_estop_clicks(arguments.clicks)
            stops = []
            for _ in range(arguments.robots):
                rig.stand()
                stops.append(rig.time_estop())
                rig.robot_process.process.wait()
        finally:
            rig.close()
    late = {
        kind: float(np.median([run["lateness"]["p99_ms"] for run in runs])) for kind, runs in rounds.items()
    }
    result = {
        "cpus": os.cpu_count(),
        "lateness_p99_ms": late | {"difference": late["with_page"] - late["without"]},
        "missed_ticks": {kind: sum(run["missed"] for run in runs) for kind, runs in rounds.items()},
        "page_cpu_share": float(np.median([run["page_cpu_share"] for run in rounds["with_page"]])),
        "estop_click_to_network_ms": {
            "p50": float(np.median(clicks)), "p99": float(np.quantile(clicks, 0.99)), "max": max(clicks),
        },
        "estop_click_to_robot_ms": {"p50": float(np.median(stops)), "max": max(stops)},
        "rounds": rounds,
    }  # fmt: skip
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
