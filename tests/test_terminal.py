"""What stands on the terminal while something works: a status, the log of a set-up, figures that mean something."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calibration_helpers import Bench

from wildrobot.cli.robot.servo import Adopt, Scan, run
from wildrobot.cli.run.figures import print_figures
from wildrobot.core.activity import ActivityLine
from wildrobot.firmware_bridge.virtual.hands import RobotHands
from wildrobot.firmware_bridge.virtual.parts import Hidden

LOGGED = Path(__file__).parents[1] / "scripts" / "logged.sh"
NEW = "\r\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> Terminal:
    """Standard error from now on; a fixture would come before pytest's own."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    where = Terminal()
    monkeypatch.setattr(sys, "stderr", where)
    return where


def test_a_status_is_one_line_that_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    where = terminal(monkeypatch, 30)
    with ActivityLine() as say:
        say("id 4")
        say("x" * 100)
    assert where.getvalue() == f"{NEW}id 4{NEW}{'x' * 29}{NEW}"


def test_a_status_is_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with ActivityLine() as say:
        say("id 4")
    assert capsys.readouterr() == ("", "")


def test_a_scan_says_which_speed_and_id_it_looks_at_and_how_many_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = terminal(monkeypatch, 100)
    bench = Bench()
    bench.transport.sleep(0.1)
    assert run(Scan(), bench.transport) == 0
    said = where.getvalue().split(NEW)
    assert "looking at 1000000 bit/s, id 0; 0 found" in said
    assert "looking at 1000000 bit/s, id 252; 10 found" in said
    assert said[-1] == ""
    assert NEW not in capsys.readouterr().out


def test_adopting_says_at_which_speed_it_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = terminal(monkeypatch, 100)
    bench = Bench(Hidden(new=frozenset({"left_knee_pitch"})))
    RobotHands(bench.robot).command("plug left_knee_pitch")
    assert run(Adopt("left_knee_pitch", yes=True), bench.transport) == 0
    assert "looking at 57600 bit/s" in where.getvalue()
    assert "looking" not in capsys.readouterr().out


def figures(**own: Any) -> dict[str, Any]:
    tick = {
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "max_ms": 3.0,
        "missed": 0,
        "count": 10,
        "histogram": {"1 to 2 ms": 10},
    }
    return {
        "walked_s": 2.0, "mean_speed_m_s": None, "commanded_speed_m_s": 0.3, "heading_drift_rad": None,
        "heading_drift_max_rad": None, "style_score": None, "falls": 0, "fault": None, "measured_by": "robot",
        "tick": tick, "real_time": False, "messages_dropped": 0, "commands": {"lost": 0, "refused": {}},
        "usage": {"cpu_share": 0.1, "memory_mb": 80.0},
    } | own  # fmt: skip


def test_a_run_s_figures_leave_out_what_a_robot_cannot_measure(capsys: pytest.CaptureFixture[str]) -> None:
    print_figures(figures())
    page = capsys.readouterr().out
    assert "not measured" not in page
    assert "mean speed" not in page
    assert re.search(r"falls +0\n", page)
    swings = {"swing_clearance_m": {"left": None, "right": 0.02}, "swings": {"left": 0, "right": 3}}
    print_figures(figures(mean_speed_m_s=0.25, measured_by="simulator", **swings))
    page = capsys.readouterr().out
    assert "mean speed" in page
    assert re.search(r"left +no swing seen\n", page)
    assert re.search(r"right +20\.0 mm \(mean of 3 swings\)", page)


def test_a_set_up_s_output_is_kept_in_a_file(tmp_path: Path) -> None:
    log = tmp_path / "set-up.log"
    done = subprocess.run(
        ["sh", LOGGED, "set-up: packages", log, "sh", "-c", "echo collecting; echo a warning >&2"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"set-up: packages (log: {log})\n", "")
    assert log.read_text().splitlines()[-2:] == ["collecting", "a warning"]


def test_a_set_up_that_fails_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "set-up.log"
    done = subprocess.run(
        ["sh", LOGGED, "set-up: packages", log, "sh", "-c", "seq 100; echo no such package; exit 3"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == f"set-up: packages failed with exit code 3. The end of {log}:"
    assert done.stderr.splitlines()[-1].strip() == "no such package"
    assert len(done.stderr.splitlines()) == 21
