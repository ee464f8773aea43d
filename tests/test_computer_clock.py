"""Whether the computer's clock has been set, and what a log says when it has not."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from runtime_helpers import run_small_policy

from wildrobot.cli.log import info
from wildrobot.cli.run import execute
from wildrobot.runtime.logs.decoding import read_configuration
from wildrobot.runtime.telemetry import computer_clock, configuration_message
from wildrobot.runtime.telemetry.computer_clock import clock_synchronized

PROGRAM = """
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
int main(void) {
  struct timex asked;
  memset(&asked, 0, sizeof asked);
  int answer = adjtimex(&asked);
  printf("%d %ld\\n", answer, asked.maxerror);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this computer")
def test_the_kernel_s_bound_is_read_as_c_reads_it(tmp_path: Path) -> None:
    (tmp_path / "clock.c").write_text(PROGRAM)
    subprocess.run(["cc", "-o", tmp_path / "clock", tmp_path / "clock.c"], check=True)

    def by_c() -> int:
        return int(subprocess.run([tmp_path / "clock"], capture_output=True, text=True).stdout.split()[1])

    before, read, after = by_c(), computer_clock._error_bound_us(), by_c()
    if before <= after:  # nobody set the clock meanwhile
        assert read is not None
        assert before <= read <= after


def kernel(monkeypatch: pytest.MonkeyPatch, bound_us: int | None) -> None:
    """The kernel says this, or refuses."""

    def adjtimex(asked: ctypes._CArgObject) -> int:
        if bound_us is None:
            return -1
        asked._obj.maxerror = bound_us
        return 5  # TIME_ERROR, which clients that set the clock may leave

    monkeypatch.setattr(computer_clock.ctypes, "CDLL", lambda name: SimpleNamespace(adjtimex=adjtimex))


@pytest.mark.parametrize(("bound_us", "known"), [(0, True), (15_999_999, True), (16_000_000, False)])
def test_a_small_bound_on_the_error_is_a_clock_that_was_set(
    monkeypatch: pytest.MonkeyPatch, bound_us: int, known: bool
) -> None:
    kernel(monkeypatch, bound_us)
    assert clock_synchronized() is known


def test_where_the_kernel_may_not_be_asked_systemd_s_file_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel(monkeypatch, None)
    monkeypatch.setattr(computer_clock, "TIMESYNC", tmp_path / "timesync")
    assert clock_synchronized() is None
    (tmp_path / "timesync").mkdir()
    assert clock_synchronized() is False
    (tmp_path / "timesync" / "synchronized").touch()
    assert clock_synchronized() is True


@pytest.mark.parametrize("known", [False, True, None])
def test_run_and_log_say_that_the_clock_was_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], known: bool | None
) -> None:
    for module in (execute, configuration_message):
        monkeypatch.setattr(module, "clock_synchronized", lambda: known)
    log = tmp_path / "run.lcmlog"
    assert run_small_policy(monkeypatch, tmp_path, "--duration", "0.1", "--log", str(log)) == 0
    note = "note: this computer's clock was not set since its start (no NTP): the log's date may be wrong"
    assert (note in capsys.readouterr().err) is (known is False)
    assert json.loads(read_configuration(log).json)["clock_synchronized"] is known
    assert info.main([str(log), "--json", str(tmp_path / "info.json")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[0] == "begins"]
    assert line.endswith(" UTC (the robot's clock was not set: may be wrong)" if known is False else " UTC")
    assert json.loads((tmp_path / "info.json").read_text())["clock_synchronized"] is known


def test_a_run_without_a_log_has_no_date_to_doubt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execute, "clock_synchronized", lambda: False)
    assert run_small_policy(monkeypatch, tmp_path, "--duration", "0.1") == 0
    assert "clock" not in capsys.readouterr().err
