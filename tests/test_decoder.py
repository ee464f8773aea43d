"""A program of somebody else's, in C, from the .lcm files alone: it reads our logs, and its values are ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import lcm
import numpy as np
import pytest
from lcm_helpers import RUNTIME, find_lcm_tool
from runtime_helpers import run_small_policy

from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES

LCM = Path(lcm.__file__).resolve().parents[1]
"""Where the wheel has LCM's C headers and library."""
SOURCE = Path(__file__).parent / "decoder" / "print_log.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc or gcc) on this machine")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program; its types are generated here, by lcm-gen, and no file of ours is used."""
    folder = tmp_path_factory.mktemp("decoder")
    types = [str(path) for path in sorted(RUNTIME.glob("*.lcm"))]
    flags = ["--c", "--c-no-pubsub", "--c-cpath", str(folder), "--c-hpath", str(folder)]
    subprocess.run([find_lcm_tool("lcm-gen"), *flags, *types], check=True)
    program = folder / "print_log"
    assert COMPILER is not None
    command = [
        COMPILER, "-std=gnu99", "-Wall", "-o", str(program), str(SOURCE), *map(str, sorted(folder.glob("*.c"))),
        f"-I{LCM / 'include'}", f"-I{folder}", f"-L{LCM / 'lib'}", f"-Wl,-rpath,{LCM / 'lib'}",
        "-Wl,--allow-shlib-undefined", "-llcm",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return program


def expected(channel: str, message: Any) -> list[Any]:
    """What the program prints after channel and tick, from Python's decoding."""
    if channel == "robot_state":
        values = [*message.joint_position, *message.imu_quaternion, *message.foot_contact]
        return [message.state, *values, message.imu_valid]
    if channel == "policy_state":
        return [message.reset, *message.features, *message.action]
    if channel == "robot_command":
        return [message.state, *message.joint_target_applied, message.torque_gain]
    raise KeyError(channel)


def test_a_decoder_generated_from_the_lcm_files_reads_a_run_s_values_to_the_last_bit(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    flags = ("--speed", "0.2", "--duration", "0.5", "--randomize", "--log", str(log))
    assert run_small_policy(monkeypatch, tmp_path, *flags) == 0
    done = subprocess.run([str(decoder), str(log)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    events = [event for event in read_log(log) if event.channel != "robot_announcement"]
    assert len(lines) == len(events)
    seen = dict.fromkeys(CHANNEL_TYPES, 0)
    for line, event in zip(lines, events, strict=True):
        channel, tick, *rest = line.split(" ")
        message = CHANNEL_TYPES[event.channel].decode(event.data)
        assert channel == event.channel
        assert int(tick) == getattr(message, "tick", 0)
        seen[channel] += 1
        if channel == "robot_event":
            assert " ".join(rest) == f"{message.severity} {message.name}: {message.text}"
        elif channel == "robot_health":
            guards = zip(message.guard_name, message.guard_value, strict=True)
            found = [entry.split("=") for entry in rest[1:]]
            assert int(rest[0]) == message.num_guards
            np.testing.assert_array_equal(
                [float(value) for _, value in found], [value for _, value in guards]
            )
            assert [name for name, _ in found] == message.guard_name
        elif channel == "run_configuration":
            assert rest == [message.robot, message.robot_hash, str(len(message.json.encode()))]
        else:
            for mine, theirs in zip(expected(channel, message), rest, strict=True):
                assert theirs == mine if isinstance(mine, str) else float(theirs) == float(mine)
    assert all(seen[channel] for channel in ("robot_state", "policy_state", "robot_command", "robot_health"))
    assert seen["robot_state"] > 100


def test_the_decoder_refuses_a_message_of_another_type(decoder: Path, tmp_path: Path) -> None:
    from wildrobot.runtime.logs.eventlog import Event, LogWriter
    from wildrobot.runtime.telemetry.lcm_types import robot_event_t

    writer = LogWriter(tmp_path / "log")
    writer.write([Event(1, "robot_state", robot_event_t().encode())])
    writer.close()
    done = subprocess.run([str(decoder), str(tmp_path / "log")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "not a wildrobot_lcm_robot_state_t" in done.stderr
