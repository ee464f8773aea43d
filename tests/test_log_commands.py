"""`wildrobot log info`, `diff` and `plot` on logs of simulated runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_helpers import SPEC, SmallPolicy, rewrite, run_small_policy

from wildrobot.cli.log import diff, info, plot
from wildrobot.core.errors import UserError
from wildrobot.core.files import file_sha256
from wildrobot.reports.log_page import detail
from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.logs.summary import Stretch, Summary, Told, summarize
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.simulation.simulation import Simulation


class Toppler(SmallPolicy):
    """Stands on its toes until it falls."""

    def __call__(self, observation: Any) -> Any:
        ankles = [i for i, name in enumerate(SPEC.joint_names) if "ankle" in name]
        action = np.zeros((1, SPEC.num_joints), dtype=np.float32)
        action[:, ankles] = 2.0
        return action


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("walk"), "--seed", "1")


@pytest.fixture(scope="module")
def fall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("fall"), policy=Toppler(SPEC), code=1)


def record(folder: Path, *flags: str, policy: SmallPolicy | None = None, code: int = 0) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        known = ("--speed", "0.2", "--duration", "1.5", "--randomize", "--log", str(folder / "run.lcmlog"))
        assert run_small_policy(patch, folder, *known, *flags, policy=policy) == code
    return folder / "run.lcmlog"


# ---------------------------------------------------------------------- info


def test_info_says_what_a_log_holds(walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([str(walk), "--json", str(tmp_path / "info.json")]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "info.json").read_text())
    states = [message for channel, message in messages(walk) if channel == "robot_state"]
    assert found["channels"]["robot_state"]["messages"] == len(states)
    assert found["channels"]["robot_state"]["rate_hz"] == pytest.approx(50.0)
    assert found["channels"]["robot_state"]["longest_gap_s"] == pytest.approx(0.02)
    assert found["policies"] == [
        {"path": str(walk.parent / "policy.onnx"), "sha256": file_sha256(walk.parent / "policy.onnx")}
    ]
    assert found["robot_hash"] == SPEC.robot_hash
    assert found["options"]["speed"] == 0.2
    assert [stretch["state"] for stretch in found["states"]] == [
        "limp", "standing_up", "standing", "walking", "soft_stop", "limp",
    ]  # fmt: skip
    assert summarize(walk).seconds_in("walking") == pytest.approx(1.5, abs=0.03)
    assert (found["falls"], found["faults"], found["damages"]) == (0, 0, [])
    assert found["timing"]["missed_ticks"] == 0
    assert sum(found["timing"]["histogram"].values()) > 100
    assert {event["name"] for event in found["events"]} >= {"state"}
    for text in ("robot_state", "walking", "missed ticks", "versions", "numpy"):
        assert text in printed
    assert max(map(len, printed.splitlines())) <= 100 + len(str(walk))


def test_info_as_json_prints_nothing_else(walk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([str(walk), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["robot"] == "wildrobot"


def test_info_of_a_fall(fall: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarize(fall)
    assert summary.falls == 1
    assert summary.guards["tilt_rad"].level == "stop" or "tilt_rad" in str(summary.events)
    assert summary.states[-1].state == "estop"
    info.main([str(fall)])
    printed = capsys.readouterr().out
    assert re.search(r"falls +1\n", printed)
    assert "fault   fall: the pelvis tilts" in printed


def test_info_of_a_damaged_log_names_what_is_missing(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(walk.read_bytes())
    data[100_000:110_000] = bytes(10_000)
    (tmp_path / "log").write_bytes(data)
    assert info.main([str(tmp_path / "log")]) == 0
    summary = summarize(tmp_path / "log")
    lost = summarize(walk).channels["robot_state"].messages - summary.channels["robot_state"].messages
    assert summary.channels["robot_state"].missing_ticks == lost > 3
    assert f"{lost} ticks missing" in (printed := capsys.readouterr().out)
    assert "damaged" in printed
    assert "cannot be read" in printed
    assert json.dumps(summary.document())


def test_info_counts_what_it_does_not_know(walk: Path, tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.write(read_log(walk))
    writer.write([Event(9_000_000_000_000_000, "camera", b"x" * 10)])
    writer.write([Event(9_000_000_000_000_001, "robot_state", b"of another release")])
    writer.close()
    summary = summarize(tmp_path / "log")
    assert summary.channels["camera"].messages == 1
    assert summary.channels["robot_state"].undecodable == 1


def test_an_empty_log_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(UserError, match="no message was logged"):
        info.main([str(tmp_path / "log")])


# ---------------------------------------------------------------------- diff


def messages(log: Path) -> list[tuple[str, Any]]:
    return [(event.channel, CHANNEL_TYPES[event.channel].decode(event.data)) for event in read_log(log)]


def test_two_runs_with_the_same_seed_are_the_same(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = record(tmp_path, "--seed", "1")
    assert diff.main([str(walk), str(again)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("the same: ")
    other = record(tmp_path, "--seed", "2")
    assert diff.main([str(walk), str(other)]) == 1


def test_the_first_tick_and_field_are_named_and_every_field_is_measured(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(channel: str, message: Any) -> None:
        if channel == "policy_state" and message.tick in (100, 110):
            message.action = [*message.action[:4], message.action[4] + 0.25, *message.action[5:]]
        if channel == "robot_command" and message.tick == 100:
            message.joint_target_applied = [
                message.joint_target_applied[0] + 3.0,
                *message.joint_target_applied[1:],
            ]
        if channel == "robot_state" and message.tick == 120:
            message.state = "limp"

    other = rewrite(walk, tmp_path / "other", change)
    assert diff.main([str(walk), str(other), "--json", str(tmp_path / "diff.json")]) == 1
    printed = capsys.readouterr().out
    assert "first difference: tick 100, policy_state, action, left_ankle_pitch: " in printed
    assert "difference 2.500e-01" in printed
    found = json.loads((tmp_path / "diff.json").read_text())
    entry = found["fields"]["policy_state.action"]
    ticks = sum(channel == "policy_state" for channel, _ in messages(walk))
    assert (entry["differ"], entry["ticks"]) == (2, ticks)
    assert entry["largest"] == pytest.approx(0.25, abs=1e-6)
    assert entry["rms"] == pytest.approx(0.25 * np.sqrt(2 / (ticks * SPEC.num_joints)), rel=1e-4)
    assert found["fields"]["robot_state.state"]["differ"] == 1
    assert found["fields"]["robot_command.joint_target_applied"]["largest"] == pytest.approx(3.0)
    assert sum(entry["differ"] for entry in found["fields"].values()) == 4
    assert diff.main([str(walk), str(other), "--channels", "policy_state", "--tolerance", "0.3"]) == 0
    assert (
        diff.main([str(walk), str(other), "--channels", "robot_state", "--ignore", "timestamp_us", "state"])
        == 0
    )


def test_ticks_that_one_log_lacks_are_a_difference(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = rewrite(
        walk, tmp_path / "lacking", lambda channel, m: not (channel == "robot_state" and m.tick > 200)
    )
    missing = sum(channel == "robot_state" and m.tick > 200 for channel, m in messages(walk))
    assert diff.main([str(walk), str(lacking)]) == 1
    assert f"robot_state: {missing} messages only in {walk}, 0 only in" in capsys.readouterr().out


def test_nan_is_the_same_as_nan_and_different_from_a_number(walk: Path, tmp_path: Path) -> None:
    def change(channel: str, message: Any) -> None:
        if channel == "policy_state":
            message.style_score = 0.5 if message.tick == 90 else float("nan")

    assert diff.main([str(walk), str(rewrite(walk, tmp_path / "a", lambda *_: None))]) == 0
    assert diff.main([str(walk), str(rewrite(walk, tmp_path / "b", change))]) == 1


def test_diff_refuses_what_makes_no_sense(walk: Path, tmp_path: Path) -> None:
    for flags, message in (
        (("--channels", "camera"), "no channel camera"),
        (("--ignore", "mood"), "no field mood"),
        (("--tolerance", "nan"), "--tolerance is nan"),
        (("--channels", "velocity_command"), "no tick in common"),
    ):
        with pytest.raises(UserError, match=message):
            diff.main([str(walk), str(walk), *flags])


# ---------------------------------------------------------------------- plot


def test_the_page_shows_states_joints_and_feet_and_loads_nothing(walk: Path, tmp_path: Path) -> None:
    assert plot.main([str(walk), "--out", str(tmp_path / "walk.html")]) == 0
    text = (tmp_path / "walk.html").read_text()
    for part in (
        *SPEC.joint_names,
        *SPEC.foot_names,
        "soft_stop",
        "Specific force",
        "Missed ticks",
        "pelvis",
    ):
        assert part in text
    assert not re.search(r"(src|href)=[\"']?https?:", text)
    assert len(re.findall(r"<svg", text)) >= SPEC.num_joints + 15
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", text.lower())
    assert len(text) < 1_500_000


def test_the_page_of_a_fall_shows_the_seconds_before_it(fall: Path, tmp_path: Path) -> None:
    assert plot.main([str(fall), "--out", str(tmp_path / "fall.html")]) == 0
    text = (tmp_path / "fall.html").read_text()
    (fell,) = [event.time_s for event in summarize(fall).events if event.name == "fall"]
    assert f"{max(0.0, fell - 3.5):.2f} to {fell + 0.5:.2f} s" in text
    assert "bar bad" in text
    assert "the pelvis tilts" in text


def test_the_detail_is_what_was_asked_for(walk: Path, tmp_path: Path) -> None:
    assert plot.main([str(walk), "--out", str(tmp_path / "a.html"), "--begin", "1", "--end", "2.5"]) == 0
    assert "1.00 to 2.50 s" in (tmp_path / "a.html").read_text()
    with pytest.raises(UserError, match="nothing between 900 and 904 s"):
        plot.main([str(walk), "--out", str(tmp_path / "b.html"), "--begin", "900"])
    with pytest.raises(UserError, match="a later end"):
        plot.main([str(walk), "--begin", "3", "--end", "2"])
    assert not (tmp_path / "b.html").exists()


def test_where_the_detail_lies_when_nobody_says() -> None:
    summary = Summary([], 0, states=[Stretch("standing", 1.0, 3.0), Stretch("walking", 3.0, 20.0)])
    assert detail(summary, None, None) == (5.0, 9.0)
    summary.events = [Told(12.0, 600, "fault", "fall", "")]
    assert detail(summary, None, None) == (8.5, 12.5)
    assert detail(summary, 2.0, None) == (2.0, 6.0)
    assert detail(summary, None, 3.0) == (0.0, 3.0)


def test_a_damaged_log_s_page_says_so(walk: Path, tmp_path: Path) -> None:
    data = bytearray(walk.read_bytes())
    data[100_000:110_000] = bytes(10_000)
    (tmp_path / "log").write_bytes(data)
    assert plot.main([str(tmp_path / "log")]) == 0
    text = (tmp_path / "log.html").read_text()
    assert "cannot be read; " in text
    assert "bar bad" in text


def test_a_log_without_configuration_is_looked_at_all_the_same(walk: Path, tmp_path: Path) -> None:
    bare = rewrite(
        walk, tmp_path / "bare", lambda channel, _: channel not in ("run_configuration", "robot_health")
    )
    assert info.main([str(bare)]) == 0
    assert plot.main([str(bare)]) == 0
    assert diff.main([str(bare), str(walk)]) == 0
    assert summarize(bare).robot == ""


def test_every_push_of_a_simulation_is_an_event_that_the_page_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, push = [], Simulation.push

    def noted(self: Simulation, ids: Any, change: Any) -> None:
        given.append(change[0])
        push(self, ids, change)

    monkeypatch.setattr(Simulation, "push", noted)
    flags = ("--duration", "9", "--push", "0.05", "--log", str(tmp_path / "log"))
    run_small_policy(monkeypatch, tmp_path, *flags)
    told = [event.text for event in summarize(tmp_path / "log").events if event.name == "push"]
    assert given
    assert told == [f"pelvis pushed by {x:+.2f}, {y:+.2f}, {z:+.2f} m/s (world x, y, z)" for x, y, z in given]
    assert plot.main([str(tmp_path / "log"), "--out", str(tmp_path / "log.html")]) == 0
    assert told[0] in (tmp_path / "log.html").read_text(encoding="utf-8").split('id="events"')[1]


@pytest.mark.parametrize(("columns", "beside"), [(60, False), (100, True)])
def test_a_narrow_terminal_shows_where_logs_differ_below_by_how_much(
    columns: int, beside: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    figures, where = f"  {'observation':<25}{249:>7}{3.019e-01:>11.3e}{3.785:>11.3e}", "273 right_knee_pitch"
    diff._print_line(figures, where)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ([f"{figures}  {where}"] if beside else [figures, f"      {where}"])
