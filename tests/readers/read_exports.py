"""Exports of a log, read by what people plot with: `make readers`, or `python tests/readers/read_exports.py`.

Walks for three seconds in simulation, delays the log's configuration as a logger that began late does, exports it,
and gives it to each reader's own loader, in environments of their own (1.5 GB, kept in build/readers). What they read
must be what was logged: names, units, times to the nanosecond, values to the last bit. A file that was cut must be
read up to there. Prints a table; ends with 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mcap.reader import make_reader

from wildrobot.cli.log import export
from wildrobot.cli.run.run import main as run
from wildrobot.runtime.logs.eventlog import LogWriter
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "readers"
JOINT, TERM = "left_knee_pitch", "observation.features_1_ticks_ago.joint_velocity"
UNITS = {
    f"robot_state/joint_position.{JOINT}": "rad",
    f"robot_command/joint_target_applied.{JOINT}": "rad",
    f"policy_state/{TERM}.{JOINT}": "rad/s",
    "policy_state/features.pelvis_height": "m",
    "robot_health/guard_value.tilt_rad": "rad",
    "robot_health/stage_p99_ms.policy": "ms",
    "robot_health/current_a.waist_yaw": "A",
}
"""Curve -> unit."""


def logged(log: Path) -> dict[str, tuple[list[int], list[Any]]]:
    """Times (ns) and values of the curves, as LCM's own messages have them."""
    configuration = next(e for e in read_log(log) if e.channel == "run_configuration")
    names = json.loads(CHANNEL_TYPES["run_configuration"].decode(configuration.data).json)
    joints, features = names["joint_names"], names["feature_names"]
    places: dict[str, Any] = {
        f"robot_state/joint_position.{JOINT}": lambda m: m.joint_position[joints.index(JOINT)],
        f"robot_command/joint_target_applied.{JOINT}": lambda m: m.joint_target_applied[joints.index(JOINT)],
        f"policy_state/{TERM}.{JOINT}": lambda m: m.observation[features.index(f"joint_velocity/{JOINT}")],
        "policy_state/features.pelvis_height": lambda m: m.features[features.index("pelvis_height")],
        "robot_health/guard_value.tilt_rad": lambda m: m.guard_value[m.guard_name.index("tilt_rad")],
        "robot_health/stage_p99_ms.policy": lambda m: m.stage_p99_ms[m.stage_name.index("policy")],
        "robot_health/current_a.waist_yaw": lambda m: m.current_a[joints.index("waist_yaw")],
    }
    found: dict[str, tuple[list[int], list[Any]]] = {curve: ([], []) for curve in UNITS}
    for event in read_log(log):
        for curve, place in places.items():
            if curve.startswith(f"{event.channel}/"):
                found[curve][0].append(1000 * event.timestamp_us)
                found[curve][1].append(place(CHANNEL_TYPES[event.channel].decode(event.data)))
    return found


def make_log(folder: Path) -> Path:
    """A walk whose configuration comes half a second after the first message."""
    log = folder / "walk.lcmlog"
    flags = ["--robot", "sim", "--fast", "--speed", "0.2", "--duration", "3"]
    assert run([*flags, "--log", str(folder / "whole.lcmlog")]) == 0
    events = list(read_log(folder / "whole.lcmlog"))
    first = next(i for i, event in enumerate(events) if event.channel == "run_configuration")
    writer = LogWriter(log)
    writer.write([*events[:first], *events[first + 1 : 50], events[first], *events[50:]])
    writer.close()
    return log


# ---------------------------------------------------------------------- readers


def environment(name: str) -> Path:
    """Python of an environment with the packages of NAME.txt."""
    folder, needs = BUILD / name, HERE / f"{name}.txt"
    ready = folder / "ready.txt"
    if not ready.exists() or ready.read_text() != needs.read_text():
        print(f"installing {', '.join(needs.read_text().split())}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(needs)], check=True)
        shutil.copy(needs, ready)
    return folder / "bin" / "python"


def read_by(command: Sequence[object], *arguments: object) -> list[Any]:
    """What a reader prints, a line of JSON for each."""
    done = subprocess.run(
        [str(part) for part in (*command, *arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def rerun_command() -> list[object]:
    return [environment("rerun"), HERE / "rerun_reader.py"]


def lichtblick_command() -> list[object] | None:
    """Foxglove's and Lichtblick's parsers; None: no node here."""
    if shutil.which("npm") is None:
        print("Lichtblick's parsers: left out, they need node and npm")
        return None
    folder = BUILD / "lichtblick"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "lichtblick_reader.mjs"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return ["node", folder / "lichtblick_reader.mjs"]


def read_by_libprotobuf(mcap: Path, flags: Sequence[str]) -> list[Any]:
    """By libprotobuf's pool and reflection, as PlotJuggler does it."""
    program, messages = BUILD / "protobuf_series", BUILD / "messages.bin"
    compiler = shutil.which("c++") or shutil.which("g++")
    if not flags:
        found = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "protobuf"], capture_output=True, text=True
        )
        flags = found.stdout.split()
    if compiler is None or not flags:
        print("libprotobuf, PlotJuggler's parser: left out, it needs g++, pkg-config and libprotobuf-dev")
        return []
    subprocess.run([compiler, "-o", str(program), str(HERE / "protobuf_series.cpp"), *flags], check=True)
    times: dict[str, list[int]] = {}
    with mcap.open("rb") as file, messages.open("wb") as out:
        reader = make_reader(file)
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            times.setdefault(channel.topic, []).append(message.log_time)
            for block in (channel.topic.encode(), schema.name.encode(), schema.data, message.data):
                out.write(struct.pack("=I", len(block)) + block)
        units = {entry.name: entry.metadata for entry in reader.iter_metadata()}
    done = subprocess.run([str(program), str(messages)], stdout=subprocess.PIPE, text=True, check=True)
    version, *lines = done.stdout.splitlines()
    read: dict[str, Any] = {}
    for curve in UNITS:
        topic, field = curve.split("/", 1)
        series = f"{topic}/{field.replace('.', '/')}"
        values = [float(line.split()[1]) for line in lines if line.split()[0] == series]
        read[curve] = {
            "time_ns": times[topic], "value": values, "unit": units[f"units {topic}"].get(field, "")
        }  # fmt: skip
    return [{"reader": f"PlotJuggler's parser ({version})", "curves": read}]


# ---------------------------------------------------------------------- comparison


def differences(read: Any, expected: dict[str, tuple[list[int], list[Any]]]) -> Iterator[str]:
    """What a reader has otherwise than the log."""
    for curve, (times, values) in expected.items():
        found = read["curves"][curve]
        if [int(time) for time in found["time_ns"]] != times:
            yield f"{curve}: other times"
        if found["unit"] != UNITS[curve]:
            yield f"{curve}: unit {found['unit']!r}, not {UNITS[curve]!r}"
        theirs = [math.nan if value is None else float(value) for value in found["value"]]
        if struct.pack(f"{len(theirs)}d", *theirs) != struct.pack(f"{len(values)}d", *values):
            yield f"{curve}: other values"


def table(read: Any) -> None:
    """Print what a reader has."""
    print(f"\n{read['reader']}")
    for curve, found in read["curves"].items():
        first, last = found["value"][0], found["value"][-1]
        seconds = 1e-9 * (int(found["time_ns"][-1]) - int(found["time_ns"][0]))
        said = " .. ".join(
            "NaN" if value is None or math.isnan(value) else f"{value:.6g}" for value in (first, last)
        )
        print(f"  {curve:<75}{len(found['value']):>4} in {seconds:.2f} s  [{found['unit']}]  {said}")


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--protobuf", default="", help="compiler flags for libprotobuf instead of pkg-config's"
    )
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    log, mcap, folder = make_log(BUILD), BUILD / "walk.mcap", BUILD / "walk_parquet"
    for out in (mcap, folder):
        assert export.main([str(log), "--out", str(out)]) == 0
    expected, curves = logged(log), list(UNITS)
    rerun, lichtblick = rerun_command(), lichtblick_command()
    found = read_by(rerun, mcap, *curves)
    found += read_by(lichtblick, mcap, *curves) if lichtblick else []
    found += read_by_libprotobuf(mcap, shlex.split(options.protobuf))
    found += read_by([environment("tables"), HERE / "table_readers.py"], folder, *curves)
    wrong = []
    for read in found:
        table(read)
        wrong += [f"{read['reader']}: {text}" for text in differences(read, expected)]
    cut = BUILD / "cut.mcap"
    with mcap.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    last = summary.chunk_indexes[-1]
    cut.write_bytes(mcap.read_bytes()[: last.chunk_start_offset + last.chunk_length // 2])
    print("\ncut in the middle of its last chunk")
    curve = curves[0]
    for command in filter(None, (rerun, lichtblick)):
        (read,) = read_by(command, cut, curve)
        count, whole = len(read["curves"][curve]["value"]), len(expected[curve][0])
        print(f"  {read['reader']:<75}{count:>4} of {whole}")
        if not 0 < count < whole:
            wrong.append(f"{read['reader']}: {count} messages of the file that was cut")
    print("\n" + ("\n".join(wrong) or f"{len(found)} readers: all as logged"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
