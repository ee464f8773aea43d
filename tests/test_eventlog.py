"""Damaged logs: what can be read is read, and what is lost is named in bytes, messages and seconds."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.eventlog import (
    SYNC,
    Damage,
    Event,
    LogWriter,
    find_parts,
    log_parts,
    part_path,
    read_events,
)

EVENTS = [Event(1_000_000 + 20_000 * i, f"channel_{i % 3}", bytes([i]) * (20 + i % 7)) for i in range(40)]


def write(path: Path, events: list[Event] = EVENTS) -> list[tuple[int, int]]:
    """Write a log; returns (first byte, first byte after) of every event."""
    writer, spans = LogWriter(path), []
    for event in events:
        begin = writer.size
        writer.write([event])
        spans.append((begin, writer.size))
    writer.close()
    return spans


def read(path: Path) -> tuple[list[Event], list[Damage]]:
    damages: list[Damage] = []
    return list(read_events(path, damages)), damages


def test_a_whole_log_has_no_damage(tmp_path: Path) -> None:
    write(tmp_path / "log")
    assert read(tmp_path / "log") == (EVENTS, [])


def test_zeros_in_the_middle_cost_the_messages_they_touch_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    spans = write(path)
    data = bytearray(path.read_bytes())
    begin, end = spans[10][0] + 30, spans[13][0] + 5  # the data of 10, all of 11 and 12, the head of 13
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    events, (damage,) = read(path)
    assert events == EVENTS[:10] + EVENTS[14:]
    assert (damage.begin, damage.end) == (spans[10][0], spans[14][0])
    assert damage.messages == 4
    assert damage.seconds == pytest.approx(5 * 0.02)
    list(read_events(path))
    assert capsys.readouterr().err == (
        f"warning: {path}: bytes {damage.begin} to {damage.end} cannot be read; 4 messages, 0.10 s lost\n"
    )


def test_a_log_whose_beginning_is_gone_is_read_from_its_first_whole_message(tmp_path: Path) -> None:
    path = tmp_path / "log"
    spans = write(path)
    path.write_bytes(path.read_bytes()[spans[5][0] + 3 :])
    events, (damage,) = read(path)
    assert events == EVENTS[6:]
    assert damage.before_us is None
    assert "the beginning is lost" in str(damage)


def test_a_log_cut_short_says_that_its_end_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "log"
    spans = write(path)
    whole = path.read_bytes()
    for size in (spans[20][1] + 7, spans[20][1] + 30):
        path.write_bytes(whole[:size])
        events, (damage,) = read(path)
        assert events == EVENTS[:21]
        assert (damage.begin, damage.end, damage.after_us) == (spans[20][1], size, None)
        assert "the end is lost" in str(damage)


def test_a_sync_word_in_the_data_is_no_message(tmp_path: Path) -> None:
    path = tmp_path / "log"
    word = struct.pack(">I", SYNC)
    false = word + struct.pack(">qqII", 7, 7, 3, 10) + b"abc" + bytes(10)
    events = [
        Event(1, "a", false + b"more"),
        Event(2, "a", b"x"),
        Event(3, "b", word * 20),
        Event(4, "b", b"y"),
    ]
    spans = write(path, events)
    data = bytearray(path.read_bytes())
    data[0] ^= 1  # now the search for the next message passes the false ones
    path.write_bytes(data)
    found, (damage,) = read(path)
    assert found == events[1:]
    assert damage.end == spans[1][0]


def test_a_length_out_of_all_proportion_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    spans = write(path)
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, spans[3][0] + 24, 0xFFFFFFF0)
    path.write_bytes(data)
    events, (damage,) = read(path)
    # the message before it is whole, and ends where a sync word stands
    assert events == EVENTS[:3] + EVENTS[4:]
    assert (damage.begin, damage.end) == spans[3]


def test_messages_that_somebody_took_out_are_missed_by_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log"
    spans = write(path)
    data = path.read_bytes()
    path.write_bytes(data[: spans[7][0]] + data[spans[9][1] :])
    events, (damage,) = read(path)
    assert events == EVENTS[:7] + EVENTS[10:]
    assert damage.messages == 3
    assert "messages are missing" in str(damage)


def test_logs_joined_end_to_end_are_one_log_without_damage(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", EVENTS[:5])
    (tmp_path / "c").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert read(tmp_path / "c") == (EVENTS + EVENTS[:5], [])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_overwritten_all_else_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "overwritten"
    spans = write(path)
    whole = bytearray(path.read_bytes())
    begin = data.draw(st.integers(0, len(whole) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=200))
    whole[begin : begin + len(junk)] = junk
    path.write_bytes(whole)
    end = begin + len(junk)
    touched = [i for i, (a, b) in enumerate(spans) if a < end and begin < b]
    # the one before the damage cannot be trusted either, if what follows it is no sync word any more
    doubtful = {touched[0] - 1, *touched}
    events, _ = read(path)
    own = {event.timestamp_us: event for event in events}
    for i, event in enumerate(EVENTS):
        if i not in doubtful:
            assert own.get(event.timestamp_us) == event


@pytest.mark.parametrize("content", [b"", b"\0" * 4096])
def test_empty_and_foreign_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    if content:
        with pytest.raises(UserError, match="not an LCM event log"):
            read(tmp_path / "log")
    else:
        assert read(tmp_path / "log") == ([], [])


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Give a log that exists"):
        read(tmp_path)


# ---------------------------------------------------------------------- parts


def test_a_name_stands_for_its_file_for_a_run_or_for_the_last_run(tmp_path: Path) -> None:
    name = tmp_path / "run.lcmlog"
    for run, part in ((1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (12, 0)):
        write(part_path(name, run, part), EVENTS[part : part + 1])
    (tmp_path / "other.0001.000.lcmlog").write_bytes(b"")
    assert [entry[:2] for entry in find_parts(name)] == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (12, 0)]
    assert [path.name for path in log_parts(name)] == ["run.0012.000.lcmlog"]
    assert [path.name for path in log_parts(tmp_path / "run.0001.lcmlog")] == [
        "run.0001.000.lcmlog", "run.0001.001.lcmlog",
    ]  # fmt: skip
    assert read(tmp_path / "run.0002.lcmlog") == (EVENTS[:3], [])
    assert read(tmp_path / "run.0002.001.lcmlog") == (EVENTS[1:2], [])
    write(name, EVENTS[:2])
    assert log_parts(name) == [name]
    for missing in ("run.0003.lcmlog", "nothing.lcmlog"):
        with pytest.raises(UserError, match="Give a log that exists"):
            log_parts(tmp_path / missing)
