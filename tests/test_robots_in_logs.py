"""Logs of lcm-logger hold whatever was on the network: robots and runs in them are never mixed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from runtime_helpers import frame_at

from wildrobot.cli.log import diff, info, plot, split
from wildrobot.core.errors import UserError
from wildrobot.runtime.logs.columns import read_columns
from wildrobot.runtime.logs.decoding import read_messages
from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t
from wildrobot.runtime.telemetry.messages import Stamp, frame_to_message


def state(name: str, run: int, tick: int) -> Event:
    time_us = 1_000_000 + 20_000 * tick
    message = frame_to_message(frame_at(0.02 * tick), "walking", Stamp(name, run, time_us, tick))
    return Event(time_us, f"{name}/robot_state", message.encode())


def command(name: str, tick: int) -> Event:
    return Event(1_000_000 + 20_000 * tick, f"{name}/velocity_command", velocity_command_t().encode())


def write(path: Path, events: Iterable[Event]) -> Path:
    writer = LogWriter(path)
    writer.write(events)
    writer.close()
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Two robots beside each other, one of which was started again."""
    events = [Event(999_000, "weather", b"rain")]
    for tick in range(20):
        events += [state("left", 1, tick), command("left", tick), state("right", 2 if tick < 10 else 3, tick)]
    return write(tmp_path / "lab.lcmlog", events)


def test_one_robot_s_log_is_read_with_the_kinds_of_its_channels_also_over_a_restart(tmp_path: Path) -> None:
    path = write(tmp_path / "log", [state("left", 1 + (tick > 5), tick) for tick in range(10)])
    assert {event.channel for event in read_log(path)} == {"robot_state"}
    assert [message.tick for _, message in read_messages(path, ("robot_state",))] == list(range(10))


@pytest.mark.parametrize("command", ["info", "plot", "columns", "diff"])
def test_a_log_of_two_robots_is_refused_and_told_how_to_take_it_apart(lab: Path, command: str) -> None:
    runs = {
        "info": lambda: info.main([str(lab)]),
        "plot": lambda: plot.main([str(lab), "--out", str(lab.with_suffix(".html"))]),
        "columns": lambda: read_columns(lab, {"robot_state": ("tick",)}),
        "diff": lambda: diff.main([str(lab), str(lab)]),
    }
    with pytest.raises(UserError, match=r"holds the robots left, right; .* wildrobot log split .*lab.lcmlog"):
        runs[command]()
    assert not lab.with_suffix(".html").exists()


def test_two_runs_under_one_name_at_once_are_refused(tmp_path: Path) -> None:
    events = [state("left", run, tick) for tick in range(5) for run in (1, 2)]
    path = write(tmp_path / "log", events)
    with pytest.raises(
        UserError, match="holds runs 00000002 and 00000001 of the robot left at the same time"
    ):
        list(read_log(path))


def test_a_log_taken_apart_is_one_log_for_each_robot_and_run(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert split.main([str(lab)]) == 0
    assert capsys.readouterr().out.count("wrote ") == 3
    found = {
        path.name: [(event.channel, event.timestamp_us) for event in read_log(path)]
        for path in sorted(lab.parent.glob("lab.*.*.lcmlog"))
    }
    assert list(found) == [
        "lab.left.00000001.lcmlog",
        "lab.right.00000002.lcmlog",
        "lab.right.00000003.lcmlog",
    ]
    assert len(found["lab.left.00000001.lcmlog"]) == 40
    assert [channel for channel, _ in found["lab.right.00000003.lcmlog"]] == ["robot_state"] * 10


def test_a_log_without_robots_cannot_be_taken_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "log", [Event(1, "weather", b"rain")])
    with pytest.raises(UserError, match="no messages of a robot"):
        split.main([str(path)])
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]
