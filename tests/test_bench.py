"""`wildrobot-run --bench`: it measures whole ticks without a robot and judges by the figures."""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from runtime_helpers import SPEC, run_small_policy

from wildrobot.core.errors import UserError
from wildrobot.runtime import bench
from wildrobot.runtime.control.realtime import Usage, control_cpu
from wildrobot.runtime.control.timing import Histogram

FINE = {
    "tick": {"count": 1000, "missed": 0, "p99_ms": 2.0, "max_ms": 3.0},
    "lateness": {"p99_ms": 0.1, "max_ms": 0.3},
    "usage": {"cpu_share": 0.1, "memory_mb": 120.0},
}


def failing(**changes: Any) -> set[str]:
    """Names of what makes a computer unfit."""
    figures = {name: dict(values) | changes.get(name, {}) for name, values in FINE.items()}
    verdicts = bench.judge(SPEC, figures, changes.get("refused", ()), changes.get("has_lcm", True), 1.0)
    assert all(verdict.advice for verdict in verdicts if not verdict.well)
    return {verdict.name for verdict in verdicts if verdict.needed and not verdict.well}


def test_the_verdict_follows_the_figures() -> None:
    assert failing() == set()
    assert failing(tick={"missed": 1}) == {"missed ticks"}
    assert failing(tick={"p99_ms": 12.1}) == {"loop time"}
    assert failing(lateness={"p99_ms": 1.1}) == {"wake-up delay"}


def test_what_a_robot_can_do_without_is_only_told() -> None:
    assert failing(refused=["real-time priority (give the user `rtprio 50`)"], has_lcm=False) == set()
    assert failing(usage={"cpu_share": 0.9, "memory_mb": 900.0}) == set()


def test_a_short_bench_runs_the_whole_loop_and_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    code = run_small_policy(
        monkeypatch, tmp_path, "--bench", "--duration", "0.3", "--json", str(file), fast=False
    )
    figures, said = json.loads(file.read_text()), capsys.readouterr().out
    assert code == (0 if figures["fit"] else 1)
    assert ("this computer is fit" in said) == figures["fit"]
    assert figures["tick"]["count"] + figures["tick"]["missed"] > 50
    assert set(figures["stages"]) >= {"read", "observe", "policy", "write"}
    assert figures["falls"] == 0
    assert figures["fault"] is None or "missed" in figures["fault"]  # a starved machine is allowed to say so
    assert {"missed ticks", "wake-up delay", "loop time"} <= {v["name"] for v in figures["verdicts"]}
    assert sum(figures["tick"]["histogram"].values()) == figures["tick"]["count"]


def test_a_bench_takes_no_robot_s_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--bench drives no robot: --push"):
        run_small_policy(monkeypatch, tmp_path, "--bench", "--push", "0.3", fast=False)


def test_the_control_thread_s_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert control_cpu(None) == 3
    assert control_cpu(1) == 1
    with pytest.raises(UserError, match="--cpu is 7, but this process may use the CPUs 0, 1, 2, 3 only"):
        control_cpu(7)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2})  # as taskset or a service unit says
    assert control_cpu(None) is None
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert control_cpu(None) is None


def test_a_histogram_of_nothing_is_empty_and_long_durations_end_in_its_last_bin() -> None:
    histogram = Histogram()
    assert histogram.summary() == {"p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0, "histogram": {}}
    for ns in (-5, 150_000, 70_000_000):
        histogram.add(ns)
    assert histogram.shown()[0] == ("0 to 0.1 ms", 1)
    assert histogram.shown()[-1] == ("20 ms or more", 1)
    assert histogram.percentile_ms(100) == 50.0
    assert histogram.max_ns == 70_000_000


def test_usage_sees_memory_that_is_taken() -> None:
    usage = Usage()
    block = bytearray(os.urandom(1 << 20) * 30)
    assert usage.summary()["memory_growth_mb"] > 20.0
    assert usage.summary()["cpu_share"] > 0.0
    del block


def test_the_start_is_measured_at_functions_that_are_there() -> None:
    source = (Path(__file__).resolve().parents[1] / "benchmarks" / "startup.py").read_text(encoding="utf-8")
    marked = re.findall(r'^marked\(([\w.]+), "(\w+)"', source, re.MULTILINE)
    assert len(marked) >= 5
    for module, name in marked:
        full = {"run": "wildrobot.cli.run.run", "session": "wildrobot.runtime.control.session"}.get(
            module, module
        )
        assert callable(getattr(importlib.import_module(full), name)), f"{full}.{name}"
