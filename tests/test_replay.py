"""Replay: a recorded run gives the same answers again, and where it does not, the first place is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, SmallPolicy, rewrite, run_small_policy, write_small_onnx

from wildrobot.cli import replay
from wildrobot.cli.run import run
from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.runtime.control import session
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.logs import comparison
from wildrobot.runtime.logs import replay as log_replay
from wildrobot.runtime.logs.comparison import policy_ticks
from wildrobot.runtime.logs.eventlog import LogWriter, log_parts
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry import publisher

# An environment with the base install only: importing what the extras bring fails.
BASE_INSTALL = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "mujoco"):
            raise ModuleNotFoundError(f"{name} is not part of the base install", name=name)

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with noisy sensors, so that no two ticks are alike."""
    folder = tmp_path_factory.mktemp("recording")
    with pytest.MonkeyPatch.context() as patch:
        flags = ("--speed", "0.2", "--duration", "1.5", "--randomize", "--log", str(folder / "log"))
        run_small_policy(patch, folder, *flags)
    return folder / "log"


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`wildrobot replay` with the small policy, behind the same check of its SHA-256."""
    monkeypatch.setattr(log_replay, "OnnxPolicy", lambda path, spec: SmallPolicy(spec))
    return lambda *argv: replay.main([str(value) for value in argv])


def test_a_recorded_run_replays_to_the_last_bit(
    recording: Path, replayed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(recording) == 0
    ticks = sum(event.channel == "policy_state" for event in read_log(recording))
    assert ticks > 100
    assert f"{ticks} ticks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "index", "name"),
    [
        ("features", 10, "joint_velocity/left_hip_pitch"),
        ("action", 3, "left_knee_pitch"),
        ("joint_target", 0, "waist_yaw"),
    ],
)
def test_one_changed_bit_is_found_and_named(
    recording: Path,
    replayed: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    field: str,
    index: int,
    name: str,
) -> None:
    ticks: list[int] = []

    def change(channel: str, message: Any) -> None:
        if channel == "policy_state":
            ticks.append(message.tick)
            if len(ticks) == 41:
                values = list(getattr(message, field))
                kind = np.float32 if field == "action" else np.float64
                values[index] = float(np.nextafter(kind(values[index]), kind(9.0)))
                setattr(message, field, values)

    log = rewrite(recording, tmp_path / "changed", change)
    assert replayed(log) == 1
    printed = capsys.readouterr().out
    assert f"tick {ticks[40]}, {field}, {name}:" in printed
    assert "40 ticks the same" in printed
    assert replayed(log, "--tolerance", "1e-6") == 0


def test_a_changed_sensor_value_shows_in_the_features(
    recording: Path, replayed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(channel: str, message: Any) -> None:
        if channel == "robot_state" and message.tick == 100:
            message.joint_position = [message.joint_position[0] + 1e-3, *message.joint_position[1:]]

    assert replayed(rewrite(recording, tmp_path / "changed", change)) == 1
    assert "tick 100, features" in capsys.readouterr().out


def policy_tick_numbers(log: Path) -> list[int]:
    return [tick.number for tick in policy_ticks(log)]


@pytest.mark.parametrize("lost", [("robot_state",), ("robot_state", "policy_state")])
def test_after_a_lost_tick_the_actions_alone_are_compared_and_it_is_said_for_which(
    recording: Path,
    replayed: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lost: tuple[str, ...],
) -> None:
    log = rewrite(recording, tmp_path / "lost", lambda channel, m: not (channel in lost and m.tick == 120))
    first, last = policy_tick_numbers(recording)[0], policy_tick_numbers(recording)[-1]
    assert replayed(log, "--json", tmp_path / "found.json") == 0
    printed = capsys.readouterr().out
    again = 120 if len(lost) == 1 else 121
    assert f"{120 - first} ticks, features, observations, actions and targets the same" in printed
    assert (
        f"only the actions, from the recorded observations: {last - again + 1} ticks ({again} to {last})"
        in printed
    )
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["whole"], found["outputs"]) == ([[first, 119]], [[again, last]])


def test_an_action_that_differs_after_a_gap_is_found_and_a_feature_is_not(
    recording: Path, replayed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(channel: str, message: Any, field: str) -> bool:
        if channel == "policy_state" and message.tick == 140:
            values = list(getattr(message, field))
            values[2] += 1e-3
            setattr(message, field, values)
        return not (channel == "robot_state" and message.tick == 120)

    log = rewrite(recording, tmp_path / "action", lambda c, m: change(c, m, "action"))
    assert replayed(log) == 1
    assert "tick 140, action, left_hip_roll" in capsys.readouterr().out
    assert replayed(rewrite(recording, tmp_path / "feature", lambda c, m: change(c, m, "features"))) == 0


def test_damage_costs_its_ticks_and_the_policy_s_next_start_ends_it(
    recording: Path, replayed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(recording.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 8192] = bytes(8192)
    # the same run once more behind it: its policy starts again
    (tmp_path / "damaged").write_bytes(data + recording.read_bytes())
    assert replayed(tmp_path / "damaged", "--json", tmp_path / "found.json") == 0
    said = capsys.readouterr()
    assert "cannot be read" in said.err
    assert "s lost" in said.err
    found, numbers = json.loads((tmp_path / "found.json").read_text()), policy_tick_numbers(recording)
    (before, again), (after,) = found["whole"], found["outputs"]
    assert again == [numbers[0], numbers[-1]]
    assert before[0] == numbers[0]
    assert after[1] == numbers[-1]
    assert 3 < after[0] - before[1] < 20
    assert found["difference"] is None


def test_a_part_from_the_middle_of_a_run_is_replayed_from_its_observations(
    recording: Path, replayed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = rewrite(recording, tmp_path / "part", lambda c, m: c == "run_configuration" or m.tick >= 100)
    assert replayed(log) == 0
    assert "no start of the policy" in (printed := capsys.readouterr().out)
    assert f"{sum(number >= 100 for number in policy_tick_numbers(recording))} ticks (100 to" in printed


def test_ticks_before_any_configuration_are_left_out(
    recording: Path, replayed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = list(read_log(recording))
    (configuration,) = [i for i, event in enumerate(events) if event.channel == "run_configuration"]
    late = next(i for i, e in enumerate(events) if e.channel == "policy_state") + 40
    writer = LogWriter(tmp_path / "late")
    writer.write([*events[configuration + 1 : late], events[configuration], *events[late:]])
    writer.close()
    assert replayed(tmp_path / "late") == 0
    assert "with no run_configuration before them" in capsys.readouterr().out


def test_the_parts_of_a_run_replay_as_one_log_and_each_alone(
    recording: Path,
    replayed: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--speed", "0.2", "--duration", "1.5", "--randomize", "--log-rotate", "0.05")
    for _ in range(2):
        run_small_policy(monkeypatch, tmp_path, *flags, "--log", str(tmp_path / "run"))
    capsys.readouterr()
    assert replayed(tmp_path / "run") == 0
    assert f"{len(policy_tick_numbers(recording))} ticks, features" in capsys.readouterr().out
    parts = log_parts(tmp_path / "run")
    assert len(parts) > 4
    assert all(part.name.startswith("run.0002.") for part in parts)
    for part in parts:
        channels = [event.channel for event in read_log(part)]
        assert channels[0] == "run_configuration"
        if "policy_state" in channels:
            assert replayed(part) == 0
    assert sum(len(policy_tick_numbers(part)) for part in parts) == len(policy_tick_numbers(recording))


def test_the_configuration_comes_again_now_and_then_for_a_log_without_its_head(
    replayed: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CONFIGURATION_EVERY_US", 2_000_000)
    run_small_policy(monkeypatch, tmp_path, "--duration", "1.5", "--log", str(tmp_path / "log"))
    data = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(data[500:])
    found = [event.channel for event in read_log(tmp_path / "log", [])]
    assert found.count("run_configuration") == 3  # of six seconds
    assert replayed(tmp_path / "log") == 0


def test_a_log_killed_in_the_middle_replays_as_far_as_it_goes(
    recording: Path, replayed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = recording.read_bytes()
    (tmp_path / "cut").write_bytes(data[: 2 * len(data) // 3])
    assert replayed(tmp_path / "cut") == 0
    assert "the end is lost" in capsys.readouterr().err


def test_the_policy_must_be_the_recorded_one(
    recording: Path, replayed: Callable[..., int], tmp_path: Path
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"another policy")
    with pytest.raises(UserError, match="is not the policy of this log"):
        replayed(recording, "--policy", other)
    with pytest.raises(UserError, match="Say where it is with --policy"):
        replayed(recording, "--policy", tmp_path / "missing.onnx")
    other.write_bytes(b"small policy")
    assert replayed(recording, "--policy", other) == 0


def test_another_robot_is_refused(recording: Path, replayed: Callable[..., int], tmp_path: Path) -> None:
    def change(channel: str, message: Any) -> None:
        if channel == "run_configuration":
            message.robot_hash = "0" * 64

    with pytest.raises(UserError, match="another robot description"):
        replayed(rewrite(recording, tmp_path / "changed", change))


def test_logs_that_say_too_little_are_refused(
    recording: Path, replayed: Callable[..., int], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="Give a log that exists"):
        replayed(tmp_path / "missing")
    log = rewrite(recording, tmp_path / "log", lambda channel, _: channel != "run_configuration")
    with pytest.raises(UserError, match="no message on channel run_configuration"):
        replayed(log)
    log = rewrite(recording, tmp_path / "log", lambda channel, _: channel != "policy_state")
    with pytest.raises(UserError, match="nothing to compare"):
        replayed(log)


def test_replay_needs_neither_torch_nor_mujoco(recording: Path) -> None:
    script = f"""{BASE_INSTALL}
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from wildrobot.robot_description import load_robot
from wildrobot.runtime.logs.comparison import compare
from wildrobot.signal_path.observation import default_layout
from runtime_helpers import SmallPolicy
found = compare(Path({str(recording)!r}), load_robot(), lambda _: [SmallPolicy(load_robot())], 0.0)
assert found.count > 100 and found.difference is None, found.difference
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_names_cover_every_value(recording: Path) -> None:
    layout = replay_layout()
    names = comparison.field_names(SPEC, layout)
    first = next(policy_ticks(recording)).policy
    for field, list_of_names in names.items():
        assert len(list_of_names) == len(getattr(first, field)), field


def replay_layout() -> Any:
    from wildrobot.signal_path.observation import default_layout

    return default_layout(SPEC)


def test_a_real_policy_file_runs_and_replays_without_torch_and_mujoco(tmp_path: Path) -> None:
    policy, log = write_small_onnx(tmp_path / "policy.onnx"), tmp_path / "log"
    flags = ("--fast", "--no-lcm", "--speed", "0.2", "--duration", "1", "--log", str(log))
    assert run.main([str(policy), "--robot", "sim", *flags]) == 0
    script = f"""{BASE_INSTALL}
from wildrobot.cli.replay import main
sys.exit(main([{str(log)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the same to the last bit" in done.stdout


def test_a_policy_for_another_joint_order_is_refused(tmp_path: Path) -> None:
    policy = write_small_onnx(tmp_path / "policy.onnx")
    names = [name.encode() for name in SPEC.joint_names]
    swapped = policy.read_bytes().replace(names[1], b"@" * len(names[1])).replace(names[2], names[1])
    policy.write_bytes(swapped.replace(b"@" * len(names[1]), names[2]))
    with pytest.raises(UserError, match="joint_names"):
        run.main([str(policy), "--no-lcm"])


def test_a_run_in_which_another_policy_took_over_replays_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, log = write_small_onnx(tmp_path / "first.onnx"), tmp_path / "log"
    second = write_small_onnx(tmp_path / "second.onnx", gain=0.004)

    class Director:
        """Stands, changes the policy after a second, and ends after two."""

        ticks = 0

        def poll(self, now_ns: int, state: State) -> OperatorCommand:
            self.ticks += state is State.STANDING
            return OperatorCommand(
                stand=True, policy=2 if self.ticks == 50 else 0, stop=self.ticks > 100, end=self.ticks > 100
            )

        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "open_source", lambda *_: Director())
        assert (
            run.main([str(first), str(second), "--fast", "--no-lcm", "--randomize", "--log", str(log)]) == 0
        )
    in_charge = [tick.policy.policy for tick in policy_ticks(log)]
    assert in_charge.count(0) > 40
    assert in_charge.count(1) > 40
    assert replay.main([str(log)]) == 0
    assert f"{len(in_charge)} ticks" in capsys.readouterr().out
    moved = [path.rename(tmp_path / f"moved_{path.name}") for path in (first, second)]
    assert replay.main([str(log), "--policy", *map(str, reversed(moved))]) == 0
    with pytest.raises(UserError, match="is not the policy of this log"):
        replay.main([str(log), "--policy", str(moved[0])])
