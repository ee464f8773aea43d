"""`wildrobot log export`: what the libraries read back is what was logged."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from mcap.reader import make_reader
from runtime_helpers import SPEC, run_small_policy

from wildrobot.cli import main as cli
from wildrobot.cli.log import export
from wildrobot.core.errors import UserError
from wildrobot.runtime.logs import parquet
from wildrobot.runtime.logs.eventlog import Event, LogWriter, read_log
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        flags = ("--speed", "0.2", "--duration", "1", "--randomize", "--log", str(folder / "log"))
        assert run_small_policy(patch, folder, *flags) == 0
    return folder / "log"


def logged(log: Path, channel: str) -> list[tuple[int, Any]]:
    return [
        (event.timestamp_us, CHANNEL_TYPES[channel].decode(event.data))
        for event in read_log(log)
        if event.channel == channel
    ]


def test_parquet_has_a_column_for_every_named_value(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 50)  # several row groups
    assert export.main([str(log), "--out", str(tmp_path / "out")]) == 0
    written = {path.stem for path in (tmp_path / "out").iterdir()}
    assert written == {event.channel for event in read_log(log)}
    for channel in written:
        table = pyarrow.parquet.read_table(tmp_path / "out" / f"{channel}.parquet")
        messages = logged(log, channel)
        assert table.num_rows == len(messages)
        assert table["log_time"].cast("int64").to_pylist() == [time for time, _ in messages]
        if channel != "run_configuration":
            assert table["tick"].to_pylist() == [message.tick for _, message in messages]
    states = pyarrow.parquet.ParquetFile(tmp_path / "out" / "robot_state.parquet")
    assert states.num_row_groups > 3
    table, messages = states.read(), logged(log, "robot_state")
    for j, name in enumerate(SPEC.joint_names):
        values = np.array(table[f"joint_position.{name}"])
        assert values.tobytes() == np.array([m.joint_position[j] for _, m in messages]).tobytes()
    assert table["state"].to_pylist() == [m.state for _, m in messages]
    policy = pyarrow.parquet.read_table(tmp_path / "out" / "policy_state.parquet")
    assert policy.schema.field("action.left_knee_pitch").type == pyarrow.float32()
    assert "features.joint_velocity.left_knee_pitch" in policy.column_names
    assert policy["observation"].to_pylist()[0] == list(logged(log, "policy_state")[0][1].observation)
    configuration = json.loads(policy.schema.metadata[b"wildrobot"])
    assert tuple(configuration["joint_names"]) == SPEC.joint_names


def test_mcap_has_json_with_a_schema_for_every_channel(log: Path, tmp_path: Path) -> None:
    assert export.main([str(log), "--out", str(tmp_path / "log.mcap")]) == 0
    counts = dict.fromkeys({event.channel for event in read_log(log)}, 0)
    everything = {channel: logged(log, channel) for channel in counts}
    with (tmp_path / "log.mcap").open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        assert {channel.topic for channel in summary.channels.values()} == set(counts)
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
            time, original = everything[channel.topic][counts[channel.topic]]
            counts[channel.topic] += 1
            assert message.log_time == 1000 * time
            document = json.loads(message.data, parse_constant=pytest.fail)
            check(document, json.loads(schema.data))
            if channel.topic == "robot_state":
                assert document["joint_position"] == dict(
                    zip(SPEC.joint_names, original.joint_position, strict=True)
                )
            elif channel.topic == "policy_state":
                assert document["features"]["pelvis_height"] == original.features[24]
                assert document["features"]["joint_position"]["waist_yaw"] == original.features[0]
                assert document["observation"] == list(original.observation)
            elif channel.topic == "robot_health":
                assert document["current_a"]["waist_yaw"] is None  # a simulated servo measures none
    assert counts == {channel: len(messages) for channel, messages in everything.items()}


def check(value: Any, schema: Any) -> None:
    """A document against the words of JSON schema that we use; NaN became null."""
    kinds: dict[str, Any] = {"integer": int, "number": (int, float), "string": str, "boolean": bool}
    if schema["type"] == "object":
        assert set(value) == set(schema["properties"])
        for name, entry in value.items():
            check(entry, schema["properties"][name])
    elif schema["type"] == "array":
        for entry in value:
            check(entry, schema["items"])
    elif not (value is None and schema["type"] == "number"):
        assert isinstance(value, kinds[schema["type"]])
        assert not isinstance(value, float) or math.isfinite(value)


def test_only_the_channels_asked_for_are_written(log: Path, tmp_path: Path) -> None:
    assert export.main([str(log), "--out", str(tmp_path / "out"), "--channels", "robot_command"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["robot_command.parquet"]
    table = pyarrow.parquet.read_table(tmp_path / "out" / "robot_command.parquet")
    assert f"joint_target_applied.{SPEC.joint_names[0]}" in table.column_names


def test_messages_of_another_layout_are_left_out_and_told(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.write(read_log(log))
    writer.write([Event(9, "robot_state", b"another layout"), Event(9, "robot_state", b"another layout")])
    writer.close()
    assert export.main([str(tmp_path / "log"), "--out", str(tmp_path / "x.mcap")]) == 0
    assert capsys.readouterr().err.count("left out") == 1


def test_nothing_half_written_is_left(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no channel camera"):
        export.main([str(log), "--out", str(tmp_path / "a"), "--channels", "camera"])
    for out in ("a", "a.mcap"):
        with pytest.raises(UserError, match="Give a log that exists"):
            export.main([str(tmp_path / "missing"), "--out", str(tmp_path / out)])
        with pytest.raises(UserError, match="no message on velocity_command"):
            export.main([str(log), "--out", str(tmp_path / out), "--channels", "velocity_command"])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        export.main([str(log), "--out", str(tmp_path / "file")])
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


@pytest.mark.parametrize(("package", "out"), [("mcap", "x.mcap"), ("pyarrow", "x")])
def test_without_its_library_the_extra_is_named(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, out: str
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == package or name.startswith(
            ("wildrobot.runtime.logs.parquet", "wildrobot.runtime.logs.mcap")
        ):
            monkeypatch.delitem(sys.modules, name)

    class Blocked:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"no {name}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Blocked(), *sys.meta_path])
    with pytest.raises(UserError, match=r"pip install 'wildrobot\[log\]'"):
        cli.main(["log", "export", str(log), "--out", str(tmp_path / out)])
