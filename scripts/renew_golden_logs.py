"""Record anew the golden log that tests/test_golden_logs.py replays: features or actions were changed on purpose.

python scripts/renew_golden_logs.py

A second of standing and two of walking with the shipped policy, in simulation with noisy sensors and randomized
dynamics. Only what replay reads is kept.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from wildrobot.cli.run import run  # noqa: E402
from wildrobot.core.files import atomic_write  # noqa: E402
from wildrobot.runtime.logs.comparison import policy_ticks  # noqa: E402
from wildrobot.runtime.logs.eventlog import Event, LogWriter  # noqa: E402
from wildrobot.runtime.logs.robots import read_log  # noqa: E402
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES, run_configuration_t  # noqa: E402

GOLDEN = ROOT / "tests" / "data" / "standing_and_walking.lcmlog"
POLICY = "policies/wildrobot_walk.onnx"
"""How the log names the shipped policy: by its place in the package, which every machine has."""
FLAGS = (
    "--robot",
    "sim",
    "--fast",
    "--no-lcm",
    "--randomize",
    "--seed",
    "1",
    "--speed",
    "0.3",
    "--duration",
    "2",
)


def record(log: Path) -> None:
    """The run."""
    if run.main([*FLAGS, "--log", str(log)]) != 0:
        raise SystemExit("the robot fell or was stopped by a guard: no golden log is made of such a run")


def without_this_machine(data: bytes) -> bytes:
    """A run_configuration without paths that only this machine has."""
    message = run_configuration_t.decode(data)
    content = json.loads(message.json)
    content["options"] |= {"log": None, "json": None}
    for policy in content["policies"]:
        policy["path"] = POLICY
    message.policy_path, message.json = POLICY, json.dumps(content)
    return bytes(message.encode())


def shorten(source: Path, target: Path) -> None:
    """Copy the configuration and the ticks on which the policy ran."""
    ticks = {tick.number for tick in policy_ticks(source)}
    kept = []
    for event in read_log(source):
        if event.channel == "run_configuration":
            kept.append(Event(event.timestamp_us, event.channel, without_this_machine(event.data)))
        elif event.channel not in ("robot_state", "policy_state"):
            continue
        elif CHANNEL_TYPES[event.channel].decode(event.data).tick in ticks:
            kept.append(event)
    writer = LogWriter(target)
    writer.write(kept)
    writer.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "run.lcmlog"
        record(log)
        with atomic_write(GOLDEN) as temporary:
            shorten(log, temporary)
    print(f"wrote {GOLDEN} ({GOLDEN.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
