"""`wildrobot log export`: what the libraries read back is what was logged."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, make_reader
from runtime_helpers import SPEC, run_small_policy

from wildrobot.cli import main as cli
from wildrobot.cli.log import export
from wildrobot.core.errors import UserError
from wildrobot.runtime.logs import parquet
from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.robots import read_log
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


def joined(log: Path, tmp_path: Path, events: list[Event]) -> Path:
    """The log with other events."""
    writer = LogWriter(tmp_path / "joined")
    writer.write(events)
    writer.close()
    return tmp_path / "joined"


def plain(document: Any) -> Any:
    """A Protobuf message as dictionaries of plain values."""
    return {
        field.name: [*value]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else plain(value)
        if hasattr(value, "DESCRIPTOR")
        else value
        for field in document.DESCRIPTOR.fields
        for value in [getattr(document, field.name)]
    }


def read_mcap(path: Path) -> Iterator[tuple[Any, Any, Any, dict[str, Any]]]:
    """(schema, channel, message, what it says): MCAP's and Protobuf's own readers know nothing but the file."""
    kinds: dict[int, Any] = {}
    with path.open("rb") as file:
        for schema, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
            assert schema is not None
            assert (schema.encoding, channel.message_encoding) == ("protobuf", "protobuf")
            if schema.id not in kinds:
                pool = descriptor_pool.DescriptorPool()
                for proto in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
                    pool.Add(proto)
                kinds[schema.id] = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))
            yield schema, channel, message, plain(kinds[schema.id].FromString(message.data))


def same(value: Any, expected: Any) -> bool:
    return value == expected or (math.isnan(value) and math.isnan(expected))


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
        published = [message.timestamp_us for _, message in messages]
        assert table["publish_time"].cast("int64").to_pylist() == published
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
    messages = logged(log, "policy_state")
    observed = [name for name in policy.column_names if name.startswith("observation.")]
    assert np.array_equal(
        np.stack([np.array(policy[name]) for name in observed], axis=1),
        np.array([m.observation for _, m in messages], dtype=np.float32),
    )
    now, before = "observation.features", "observation.features_1_ticks_ago"
    knee = np.array(policy[f"{now}.joint_position.left_knee_pitch"])
    assert np.array_equal(knee[:-1], np.array(policy[f"{before}.joint_position.left_knee_pitch"])[1:])
    configuration = json.loads(policy.schema.metadata[b"wildrobot"])
    assert tuple(configuration["joint_names"]) == SPEC.joint_names


def test_parquet_has_units_where_its_readers_look(log: Path, tmp_path: Path) -> None:
    assert export.main([str(log), "--out", str(tmp_path / "out")]) == 0
    schema = pyarrow.parquet.read_schema(tmp_path / "out" / "policy_state.parquet")
    expected = {
        "joint_target.left_knee_pitch": "rad",
        "command.linear_velocity_x": "m/s",
        "command.yaw_rate": "rad/s",
        "features.pelvis_height": "m",
        "observation.features_1_ticks_ago.joint_velocity.waist_yaw": "rad/s",
        "observation.command.linear_velocity_x": "m/s",
    }
    units = json.loads(schema.metadata[b"units"])
    for column, unit in expected.items():
        assert schema.field(column).metadata[b"unit"] == unit.encode()
        assert units[column] == unit
    assert b"unit" not in (schema.field("action.left_knee_pitch").metadata or {})
    assert b"heading frame" in schema.field("linear_velocity.x").metadata[b"comment"]
    assert json.loads(schema.metadata[b"PANDAS_ATTRS"]) == {"units": units}
    health = pyarrow.parquet.read_schema(tmp_path / "out" / "robot_health.parquet")
    assert health.field("guard_value.joint_velocity_rad_s").metadata[b"unit"] == b"rad/s"
    assert health.field("stage_p99_ms.policy").metadata[b"unit"] == b"ms"


def test_an_observation_s_scale_stands_in_its_unit(log: Path, tmp_path: Path) -> None:
    events = list(read_log(log))
    (_, scaled), *_ = logged(log, "run_configuration")
    content = json.loads(scaled.json)
    (term,) = (term for term in content["observation"] if term["name"] == "features")
    term["scale"] = 0.25
    scaled.json = json.dumps(content)
    path = joined(
        log, tmp_path, [Event(events[0].timestamp_us, "run_configuration", scaled.encode()), *events[1:]]
    )
    assert export.main([str(path), "--out", str(tmp_path / "out")]) == 0
    schema = pyarrow.parquet.read_schema(tmp_path / "out" / "policy_state.parquet")
    units = json.loads(schema.metadata[b"units"])
    assert units["observation.features.joint_velocity.waist_yaw"] == "rad/s * 0.25"
    assert units["observation.linear_velocity.x"] == "m/s"
    assert units["features.joint_velocity.waist_yaw"] == "rad/s"


def test_mcap_has_protobuf_messages_with_everything_that_was_logged(log: Path, tmp_path: Path) -> None:
    assert export.main([str(log), "--out", str(tmp_path / "log.mcap")]) == 0
    counts = dict.fromkeys({event.channel for event in read_log(log)}, 0)
    everything = {channel: logged(log, channel) for channel in counts}
    for schema, channel, message, document in read_mcap(tmp_path / "log.mcap"):
        time, original = everything[channel.topic][counts[channel.topic]]
        counts[channel.topic] += 1
        assert schema.name == f"wildrobot.{CHANNEL_TYPES[channel.topic].__name__}"
        assert (message.log_time, message.publish_time) == (1000 * time, 1000 * original.timestamp_us)
        for name in CHANNEL_TYPES[channel.topic].__slots__:
            value = getattr(original, name)
            value = list(value) if isinstance(value, tuple) else value
            if name.startswith("num_") or name in ("guard_name", "stage_name", "refusal_name"):
                assert name not in document  # they are names now
            elif name not in document:
                assert (name, value) == ("refusal_count", [])  # nothing was refused in the whole log
            elif isinstance(document[name], dict):
                flat = list(leaves(document[name]))
                assert len(flat) == len(value)
                assert all(map(same, flat, value)), name
            else:
                assert same(document[name], value) if isinstance(value, float) else document[name] == value
        if channel.topic == "robot_state":
            assert tuple(document["joint_position"]) == SPEC.joint_names
            assert tuple(document["foot_contact"]) == SPEC.foot_names
        elif channel.topic == "policy_state":
            assert document["features"]["joint_position"]["waist_yaw"] == original.features[0]
            assert document["observation"]["gait_clock"]["cos"] == original.observation[-1]
        elif channel.topic == "robot_health":
            assert math.isnan(document["current_a"]["waist_yaw"])  # a simulated servo measures none
            assert (
                document["guard_level"].keys() == document["guard_value"].keys() == set(original.guard_name)
            )
            assert document["stage_p50_ms"].keys() == set(original.stage_name)
    assert counts == {channel: len(messages) for channel, messages in everything.items()}


def leaves(document: Any) -> Iterator[Any]:
    for value in document.values():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield value


def test_mcap_has_units_in_its_schemas_and_metadata(log: Path, tmp_path: Path) -> None:
    assert export.main([str(log), "--out", str(tmp_path / "log.mcap")]) == 0
    with (tmp_path / "log.mcap").open("rb") as file:
        reader = make_reader(file)
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
        summary = reader.get_summary()
    assert summary is not None
    assert metadata["units robot_state"]["joint_position.left_knee_pitch"] == "rad"
    assert metadata["units policy_state"]["observation.features.joint_velocity.waist_yaw"] == "rad/s"
    assert metadata["units robot_health"]["guard_value.temperature_c"] == "degC"
    configuration = json.loads(metadata["run_configuration"]["json"])
    assert tuple(configuration["joint_names"]) == SPEC.joint_names
    schema = next(s for s in summary.schemas.values() if s.name == "wildrobot.robot_state_t")
    (proto,) = descriptor_pb2.FileDescriptorSet.FromString(schema.data).file
    comments = {
        said_of(proto, list(location.path)): location.trailing_comments.strip()
        for location in proto.source_code_info.location
    }
    assert comments["joint_position_t.left_knee_pitch"] == "[rad]"
    assert comments["joint_position"] == "rad"
    assert comments["imu_quaternion"] == "wxyz, world <- IMU"
    assert comments["time_s"].startswith("[s] the robot's own monotonic clock")


def said_of(proto: Any, path: list[int]) -> str:
    """What the place of a comment is the place of: joint_position_t.left_knee_pitch."""
    message, names = proto.message_type[path[1]], []
    for kind, index in zip(path[2::2], path[3::2], strict=True):
        message = message.nested_type[index] if kind == 3 else message.field[index]
        names.append(message.name)
    return ".".join(names)


def test_a_log_that_begins_before_its_configuration_has_names_from_the_start(
    log: Path, tmp_path: Path
) -> None:
    events = list(read_log(log))
    first = next(i for i, event in enumerate(events) if event.channel == "run_configuration")
    late = joined(log, tmp_path, [*events[:first], *events[first + 1 : 400], events[first], *events[400:]])
    for out in ("late", "late.mcap"):
        assert export.main([str(late), "--out", str(tmp_path / out)]) == 0
    assert {path.stem for path in (tmp_path / "late").iterdir()} == {event.channel for event in events}
    states = pyarrow.parquet.read_table(tmp_path / "late" / "robot_state.parquet")
    assert states["joint_position.waist_yaw"].null_count == 0
    assert states.num_rows == len(logged(log, "robot_state"))
    assert json.loads(states.schema.metadata[b"wildrobot"])["joint_names"] == list(SPEC.joint_names)
    topics: dict[str, set[str]] = {}
    for schema, channel, _, _ in read_mcap(tmp_path / "late.mcap"):
        topics.setdefault(channel.topic, set()).add(schema.name)
    assert all(len(names) == 1 for names in topics.values())


def test_a_second_run_s_messages_have_its_own_names_before_its_configuration_comes(
    log: Path, tmp_path: Path
) -> None:
    again = []
    for event in read_log(log):
        message = CHANNEL_TYPES[event.channel].decode(event.data)
        message.run_id += 1
        if event.channel == "run_configuration":
            message.json = message.json.replace('"waist_yaw"', '"waist"')
        again.append(Event(event.timestamp_us + 60_000_000, event.channel, message.encode()))
    assert again[0].channel == "run_configuration"
    two = joined(log, tmp_path, [*read_log(log), *again[1:100], again[0], *again[100:]])
    assert export.main([str(two), "--out", str(tmp_path / "two")]) == 0
    states = [pyarrow.parquet.read_table(tmp_path / "two" / f"robot_state{n}.parquet") for n in ("", "_2")]
    assert states[0].num_rows == states[1].num_rows == len(logged(log, "robot_state"))
    assert states[0]["joint_position.waist_yaw"].equals(states[1]["joint_position.waist"])


def test_without_a_configuration_joints_have_numbers_and_it_is_said(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [event for event in read_log(log) if event.channel != "run_configuration"]
    bare = joined(log, tmp_path, events)
    assert export.main([str(bare), "--out", str(tmp_path / "bare.mcap")]) == 0
    assert "joints have numbers instead of names" in capsys.readouterr().err
    documents = {channel.topic: document for _, channel, _, document in read_mcap(tmp_path / "bare.mcap")}
    assert documents["robot_state"]["joint_position"] == [*logged(log, "robot_state")[-1][1].joint_position]


def test_messages_of_another_robot_have_a_schema_and_a_file_of_their_own(log: Path, tmp_path: Path) -> None:
    events = list(read_log(log))
    (_, other), *_ = logged(log, "run_configuration")
    content = json.loads(other.json)
    content["joint_names"] = [f"heron_{name}" for name in content["joint_names"]]
    other.robot, other.json = "heron", json.dumps(content)
    later = [Event(event.timestamp_us + 60_000_000, event.channel, event.data) for event in events]
    later = [
        Event(event.timestamp_us, event.channel, other.encode())
        if event.channel == "run_configuration"
        else event
        for event in later
    ]
    two = joined(log, tmp_path, [*events, *later])
    for out in ("two", "two.mcap"):
        assert export.main([str(two), "--out", str(tmp_path / out)]) == 0
    states = [pyarrow.parquet.read_table(tmp_path / "two" / f"robot_state{n}.parquet") for n in ("", "_2")]
    assert states[0].num_rows == states[1].num_rows == len(logged(log, "robot_state"))
    assert states[0]["joint_position.waist_yaw"].equals(states[1]["joint_position.heron_waist_yaw"])
    found = [
        (schema.name, next(iter(document["joint_position"])))
        for schema, channel, _, document in read_mcap(tmp_path / "two.mcap")
        if channel.topic == "robot_state"
    ]
    assert list(dict.fromkeys(found)) == [
        ("wildrobot.robot_state_t", "waist_yaw"),
        ("wildrobot.robot_state_t_2", "heron_waist_yaw"),
    ]


def test_a_log_of_two_robots_is_refused_and_nothing_is_written(log: Path, tmp_path: Path) -> None:
    both = [Event(event.timestamp_us, f"{name}/{event.channel}", event.data)
            for event in read_log(log) for name in ("left", "right")]  # fmt: skip
    path = joined(log, tmp_path, both)
    for out in ("both", "both.mcap"):
        with pytest.raises(UserError, match="wildrobot log split"):
            export.main([str(path), "--out", str(tmp_path / out)])
    assert [file.name for file in tmp_path.iterdir()] == ["joined"]


def test_what_is_refused_for_the_first_time_later_has_its_column_from_the_start(
    log: Path, tmp_path: Path
) -> None:
    events = list(read_log(log))
    (time, last) = logged(log, "robot_health")[-1]
    last.num_refusals, last.refusal_name, last.refusal_count = 1, ["other_source"], [3]
    more = joined(log, tmp_path, [*events, Event(time + 1, "robot_health", last.encode())])
    for out in ("more", "more.mcap"):
        assert export.main([str(more), "--out", str(tmp_path / out)]) == 0
    health = pyarrow.parquet.read_table(tmp_path / "more" / "robot_health.parquet")
    assert health["refusal_count.other_source"].to_pylist() == [0] * (health.num_rows - 1) + [3]
    counts = [
        document["refusal_count"]["other_source"]
        for _, channel, _, document in read_mcap(tmp_path / "more.mcap")
        if channel.topic == "robot_health"
    ]
    assert counts == [0] * (health.num_rows - 1) + [3]


def test_names_that_protobuf_cannot_have_stay_apart(log: Path, tmp_path: Path) -> None:
    events = list(read_log(log))
    (_, odd), *_ = logged(log, "run_configuration")
    content = json.loads(odd.json)
    names = [
        "2nd-toe",
        "2nd_toe",
        "_2nd_toe",
        "Größe",
        "leftKnee",
        "left_knee",
        "LEFT_KNEE",
        "class",
        "joint_1",
    ]
    content["joint_names"] = names
    odd.json = json.dumps(content)
    events[0] = Event(events[0].timestamp_us, events[0].channel, odd.encode())
    assert events[0].channel == "run_configuration"
    path = joined(log, tmp_path, events)
    assert export.main([str(path), "--out", str(tmp_path / "odd.mcap"), "--channels", "robot_state"]) == 0
    _, original = logged(log, "robot_state")[0]
    *_, document = next(read_mcap(tmp_path / "odd.mcap"))
    assert tuple(document["joint_position"].values()) == original.joint_position
    assert list(document["joint_position"])[4:] == names[4:]


def test_a_clock_before_1970_is_written_as_1970(log: Path, tmp_path: Path) -> None:
    command = CHANNEL_TYPES["velocity_command"]()
    command.timestamp_us, command.source = -5, "old"
    path = joined(log, tmp_path, [Event(7, "velocity_command", command.encode())])
    assert export.main([str(path), "--out", str(tmp_path / "x.mcap")]) == 0
    ((_, _, message, document),) = read_mcap(tmp_path / "x.mcap")
    assert (message.log_time, message.publish_time, document["timestamp_us"]) == (7000, 0, -5)


def test_a_file_that_was_cut_has_everything_but_its_last_chunk(log: Path, tmp_path: Path) -> None:
    events = [event for event in read_log(log) if event.channel == "policy_state"] * 8
    long = joined(log, tmp_path, [next(iter(read_log(log))), *events])
    assert export.main([str(long), "--out", str(tmp_path / "whole.mcap")]) == 0
    data = (tmp_path / "whole.mcap").read_bytes()
    with (tmp_path / "whole.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    chunks = summary.chunk_indexes
    assert len(chunks) > 3
    (tmp_path / "cut.mcap").write_bytes(data[: chunks[-2].chunk_start_offset + chunks[-2].chunk_length - 1])
    found, messages = 0, read_mcap(tmp_path / "cut.mcap")
    with contextlib.suppress(EndOfFile):
        for _ in messages:
            found += 1
    whole = len(events) + 1
    assert 0 < whole - found < 3 * whole / len(chunks)


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


@pytest.mark.parametrize(("package", "out"), [("mcap", "x.mcap"), ("google", "x.mcap"), ("pyarrow", "x")])
def test_without_its_library_the_extra_is_named(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, out: str
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == package or name.startswith(
            ("wildrobot.runtime.logs.parquet", "wildrobot.runtime.logs.mcap", "wildrobot.runtime.logs.proto")
        ):
            monkeypatch.delitem(sys.modules, name)

    class Blocked:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"no {name}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Blocked(), *sys.meta_path])
    with pytest.raises(UserError, match=r"pip install 'wildrobot\[log\]'"):
        cli.main(["log", "export", str(log), "--out", str(tmp_path / out)])
