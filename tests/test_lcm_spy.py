"""The jar of the message types: what lcm-spy itself finds in it, and decodes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import lcm
import pytest
from lcm_helpers import RUNTIME, VIRTUAL, find_lcm_tool

from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / "scripts" / "lcm_spy_jar.sh"
SPY = TESTS / "decoder" / "SpyTypes.java"
GOLDEN = TESTS / "data" / "standing_and_walking.lcmlog"
JARS = Path(lcm.__file__).resolve().parents[1] / "share" / "java"
"""Where the wheel has lcm-spy and what it needs."""

pytestmark = pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK (javac) on this machine")


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jar") / "share" / "java" / "types.jar"
    python = Path(find_lcm_tool("lcm-gen")).with_name("python")
    done = subprocess.run(
        ["sh", str(SCRIPT), str(python), str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    types = sorted(file.stem for folder in (RUNTIME, VIRTUAL) for file in folder.glob("*.lcm"))
    assert done.stdout == f"{path}: {len(types)} message types\n"
    return path


def test_lcm_spy_finds_the_type_of_every_message_and_decodes_it(jar: Path, tmp_path: Path) -> None:
    events = list(read_log(GOLDEN))
    health = CHANNEL_TYPES["robot_health"]()
    health.num_guards, health.guard_name = 2, ["tilt_rad", "current_a"]
    health.guard_value, health.guard_level = [0.25, 1.5], [0, 1]
    unknown = Event(events[-1].timestamp_us, "somebody_else", bytes(16))
    events += [Event(events[-1].timestamp_us, "robot_health", health.encode()), unknown]
    writer = LogWriter(tmp_path / "log")
    writer.write(events)
    writer.close()
    found = os.pathsep.join(map(str, [*sorted(JARS.glob("*.jar")), jar]))
    done = subprocess.run(
        ["java", "-cp", found, str(SPY), str(tmp_path / "log")],
        capture_output=True, text=True, timeout=120, env={**os.environ, "CLASSPATH": str(jar)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = done.stdout.index("run_configuration wildrobot_lcm.run_configuration_t")
    lines = done.stdout[first:].splitlines()
    assert len(lines) == len(events)
    for line, event in zip(lines[:-1], events[:-1], strict=True):
        kind = CHANNEL_TYPES[event.channel]
        message = kind.decode(event.data)
        channel, name, *fields = line.split(" ")
        assert (channel, name) == (event.channel, f"wildrobot_lcm.{kind.__name__}")
        values = dict(field.split("=", 1) for field in fields)
        assert values["timestamp_us"] == str(message.timestamp_us)
        if channel == "robot_state":
            assert [float(text) for text in values["joint_position"].split(",")] == list(
                message.joint_position
            )
    assert "guard_name=tilt_rad,current_a" in lines[-2]
    assert lines[-1] == "somebody_else unknown"


def test_without_a_jdk_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname", "mktemp", "rm", "mkdir"):
        program = shutil.which(name)
        assert program is not None
        (tmp_path / "bin" / name).symlink_to(program)
    done = subprocess.run(
        ["sh", str(SCRIPT), "python3", str(tmp_path / "x.jar")],
        capture_output=True, text=True, timeout=60, env={"PATH": str(tmp_path / "bin")},
    )  # fmt: skip
    assert done.returncode == 2
    assert "apt-get install -y default-jdk" in done.stderr
    assert not (tmp_path / "x.jar").exists()
