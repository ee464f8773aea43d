"""Random and mutated byte strings into everything that reads packets: none may crash, hang, or take a corrupt packet.

The Python parser and fast reply against an independent reading of the bytes; the sensor board's firmware core in C++
under the address and undefined-behaviour sanitizers; the whole virtual robot, which must still answer afterwards.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from test_protocol import accepts_only_what_has_a_right_crc  # noqa: E402
from test_virtual_robot import feed_nonsense  # noqa: E402

from wildrobot.firmware_bridge.virtual.board_core import FIRMWARE  # noqa: E402

ROBOT_STRINGS = 10_000
"""Fed into one virtual robot; then comes a new one, since nonsense may well change its ids and rates."""


def firmware(count: int, seed: int) -> str:
    """What the firmware's fuzzer says at its end."""
    done = subprocess.run(
        ["make", "-s", "-C", str(FIRMWARE), "fuzz", f"COUNT={count}", f"SEED={seed}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the firmware's fuzzer failed:\n{done.stdout}{done.stderr}")
    return re.sub(r"\s+", " ", done.stdout).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    count, seed = arguments.count, arguments.seed
    result: dict[str, object] = {"strings": count, "seed": seed}
    began = time.perf_counter()
    result["parser_accepted"] = accepts_only_what_has_a_right_crc(count, seed)
    result["parser_s"] = time.perf_counter() - began
    began = time.perf_counter()
    result["firmware"] = firmware(count, seed)
    result["firmware_s"] = time.perf_counter() - began
    began = time.perf_counter()
    for part in range(-(-count // ROBOT_STRINGS)):
        feed_nonsense(min(ROBOT_STRINGS, count - part * ROBOT_STRINGS), seed + part)
    result["virtual_robot_s"] = time.perf_counter() - began
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
