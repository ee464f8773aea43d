"""The log on the disk: parts that can be read alone, room that is left, syncs that nobody waits for."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wildrobot.runtime.logs import recorder
from wildrobot.runtime.logs.eventlog import Event, find_parts, read_events
from wildrobot.runtime.logs.recorder import Recorder, Rotation

MB = 1_000_000


def tick(number: int, size: int = 300) -> list[Event]:
    """The messages of a tick: they share its time."""
    return [Event(20_000 * number, channel, bytes(size)) for channel in ("robot_state", "robot_command")]


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread does nothing: a test calls `keep` itself."""
    monkeypatch.setattr(Recorder, "_keep", lambda self: None)


def disk(
    monkeypatch: pytest.MonkeyPatch, free: int, folder: Path | None = None, size: int = 100_000 * MB
) -> None:
    """A disk of `size` bytes with `free` bytes left; with `folder`, one that its files fill."""

    def statvfs(path: Any) -> Any:
        used = sum(file.stat().st_size for file in folder.iterdir()) if folder else 0
        return SimpleNamespace(f_bavail=free - used, f_frsize=1, f_blocks=size)

    monkeypatch.setattr(recorder.os, "statvfs", statvfs)


# ---------------------------------------------------------------------- parts


@pytest.mark.usefixtures("by_hand")
def test_every_part_begins_with_the_configuration_and_a_whole_tick(tmp_path: Path) -> None:
    log = Recorder(tmp_path / "run.lcmlog", Rotation(2000, 10 * MB))
    log.write([Event(0, "run_configuration", b"first")])
    for number in range(1, 11):
        # as telemetry hands them over: in batches that end anywhere
        state, command = tick(number)
        log.write([state])
        log.write([command])
        if number == 5:
            log.write([Event(20_000 * number, "run_configuration", b"second")])
    log.close()
    parts = [list(read_events(path)) for _, _, path in find_parts(tmp_path / "run.lcmlog")]
    assert len(parts) > 2
    for events in parts:
        assert [event.channel for event in events[:3]] == [
            "run_configuration",
            "robot_state",
            "robot_command",
        ]
        assert events[0].timestamp_us <= events[1].timestamp_us
    assert {events[0].data for events in parts[2:]} == {b"second"}
    joined = [event for events in parts for event in events if event.channel != "run_configuration"]
    assert joined == [event for number in range(1, 11) for event in tick(number)]
    assert list(read_events(tmp_path / "run.lcmlog"))[-1] == joined[-1]


@pytest.mark.usefixtures("by_hand")
def test_a_later_run_writes_over_nothing(tmp_path: Path) -> None:
    for run in (1, 2):
        log = Recorder(tmp_path / "run.lcmlog", Rotation(MB, 10 * MB))
        log.write(tick(run))
        log.close()
    found = find_parts(tmp_path / "run.lcmlog")
    assert [(run, part) for run, part, _ in found] == [(1, 0), (2, 0)]
    assert next(iter(read_events(found[0][2]))).timestamp_us == 20_000


@pytest.mark.usefixtures("by_hand")
def test_two_at_once_do_not_share_a_part(tmp_path: Path) -> None:
    first = Recorder(tmp_path / "run.lcmlog", Rotation(MB, 10 * MB))
    runs = []
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recorder, "find_parts", lambda path: [])  # looked before the other one wrote
            runs.append(Recorder(tmp_path / "run.lcmlog", Rotation(MB, 10 * MB)))
    assert len({log.path for log in (first, *runs)}) == 3
    for log in (first, *runs):
        log.close()


@pytest.mark.usefixtures("by_hand")
def test_what_is_kept_is_bounded_over_all_runs_and_the_oldest_goes_first(tmp_path: Path) -> None:
    for run in range(3):
        log = Recorder(tmp_path / "run.lcmlog", Rotation(2000, 6000))
        for number in range(40):
            log.write(tick(number))
            log.keep()
            log._make_room()
            kept = sum(path.stat().st_size for _, _, path in find_parts(tmp_path / "run.lcmlog"))
            assert kept <= 6000 + 2700, "the open part comes on top"
        log.close()
        runs = {entry[0] for entry in find_parts(tmp_path / "run.lcmlog")}
        assert run + 1 in runs
    assert runs == {3}


# ---------------------------------------------------------------------- room


@pytest.mark.usefixtures("by_hand")
def test_with_little_room_old_parts_go_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, 260 * MB, tmp_path)
    log = Recorder(tmp_path / "run.lcmlog", Rotation(MB, 1000 * MB))
    for number in range(100):
        log.write(tick(number, 50_000))
        log.keep()
        log._make_room()
    log.close()
    assert log.ended is None
    left = sum(path.stat().st_size for _, _, path in find_parts(tmp_path / "run.lcmlog"))
    assert 2 * MB < left <= 4 * MB
    assert next(reversed(list(read_events(tmp_path / "run.lcmlog")))).timestamp_us == 99 * 20_000


@pytest.mark.usefixtures("by_hand")
def test_without_room_the_log_ends_whole_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk(monkeypatch, 257 * MB, tmp_path)
    log = Recorder(tmp_path / "log")
    for number in range(40):
        log.write(tick(number, 50_000))
        log._make_room()
    log.close()
    assert log.ended is not None
    assert "a log leaves 256 MB alone" in log.ended
    assert capsys.readouterr().err.count("warning: logging ended") == 1
    damages: list[Any] = []
    events = list(read_events(tmp_path / "log", damages))
    assert not damages
    assert 5 < len(events) < 25


@pytest.mark.usefixtures("by_hand")
def test_a_small_disk_is_left_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, ends in ((6 * MB, False), (4 * MB, True)):
        disk(monkeypatch, free, size=100 * MB)
        log = Recorder(tmp_path / "log")
        log.close()
        assert (log.ended is not None) == ends


@pytest.mark.usefixtures("by_hand")
def test_a_write_that_fails_in_the_middle_leaves_whole_messages(tmp_path: Path) -> None:
    log = Recorder(tmp_path / "log")
    log.write(tick(1))
    real, budget = log._writer._file, 100

    class Full:
        """Takes a hundred bytes more, as a disk may that is nearly full."""

        def write(self, block: Any) -> int:
            nonlocal budget
            if budget == 0:
                raise OSError(28, "No space left on device")
            taken, budget = real.write(block[:budget]), 0
            return taken or 0

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    log._writer._file = Full()  # type: ignore[assignment]
    log.write(tick(2))
    log.write(tick(3))
    log.close()
    assert log.ended is not None
    assert "No space left" in log.ended
    damages: list[Any] = []
    assert list(read_events(tmp_path / "log", damages)) == tick(1)
    assert not damages


@pytest.mark.usefixtures("by_hand")
def test_a_part_that_cannot_be_made_ends_the_log_and_not_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Recorder(tmp_path / "run.lcmlog", Rotation(1000, MB))
    honest = Path.open

    def refuse(path: Path, mode: str = "r", **more: Any) -> Any:
        if mode == "xb":
            raise OSError(24, "Too many open files")
        return honest(path, mode, **more)

    monkeypatch.setattr(Path, "open", refuse)
    for number in range(10):
        log.write(tick(number))
    log.close()
    assert log.ended is not None
    assert "Too many open files" in log.ended
    assert capsys.readouterr().err.count("the run goes on") == 1
    assert list(read_events(tmp_path / "run.lcmlog")) == [*tick(0), *tick(1)]


# ---------------------------------------------------------------------- durability


def test_what_is_written_is_synced_within_half_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[float, int]] = []
    honest = os.fdatasync

    def fdatasync(handle: int) -> None:
        synced.append((time.monotonic(), os.fstat(handle).st_size))
        honest(handle)

    monkeypatch.setattr(recorder.os, "fdatasync", fdatasync)
    log = Recorder(tmp_path / "log")
    written: list[tuple[float, int]] = []
    for number in range(60):
        log.write(tick(number))
        written.append((time.monotonic(), log._writer.size))
        time.sleep(0.02)
    log.close()
    waits = [
        min(at for at, size in synced if size >= wanted and at >= when - 0.001) - when
        for when, wanted in written
    ]
    assert sorted(waits)[len(waits) // 2] < 0.5  # most: a busy machine may hold the thread up
    assert 2 <= len(synced) <= 12


def test_a_sync_that_hangs_holds_no_write_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def fdatasync(handle: int) -> None:
        hanging.set()
        go_on.wait(30.0)

    monkeypatch.setattr(recorder.os, "fdatasync", fdatasync)
    log = Recorder(tmp_path / "run.lcmlog", Rotation(2000, 10 * MB))
    log.write(tick(0))
    assert hanging.wait(30.0)
    for number in range(1, 200):
        log.write(tick(number))  # over many parts: closing the old ones is the thread's business
    assert len(list(read_events(tmp_path / "run.lcmlog"))) == 400
    go_on.set()
    log.close()
    assert log.ended is None


def test_a_disk_that_fails_ends_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fdatasync(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(recorder.os, "fdatasync", fdatasync)
    log = Recorder(tmp_path / "log")
    log.write(tick(0))
    log.close()
    assert log.ended is not None
    assert "Input/output error" in log.ended
    assert "the run goes on" in capsys.readouterr().err
