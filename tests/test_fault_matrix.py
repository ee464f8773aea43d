"""Every fault while walking, as docs/faults.md says and safely: 8 runs each in simulated time, one in real time."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fault_matrix  # noqa: E402
from fault_matrix import LEVELS  # noqa: E402
from faults import bus, signal_faults, signals  # noqa: E402
from faults.case import Case, Result  # noqa: E402

from wildrobot.firmware_bridge.virtual.faults.kinds import Fault  # noqa: E402
from wildrobot.firmware_bridge.virtual.faults.table import FAULTS  # noqa: E402

SEEDS = {"bus": 8, "signals": 8, "processes": 1}
"""`python benchmarks/fault_matrix.py --level LEVEL` runs each 20 times, as docs/faults.md has them; the last level then
takes a quarter of an hour."""
CASES = [
    pytest.param(level, case, id=f"{level}: {case.name}") for level in LEVELS for case in LEVELS[level].CASES
]
_ran: dict[str, Sequence[Result]] = {}


def results(level: str) -> Sequence[Result]:
    if level not in _ran:
        _ran[level] = fault_matrix.run_matrix(level, SEEDS[level])
    return _ran[level]


@pytest.mark.slow
@pytest.mark.parametrize(("level", "case"), CASES)
def test_a_fault_ends_as_documented_and_breaks_no_rule(level: str, case: Case) -> None:
    own = [result for result in results(level) if result.case == case.name]
    assert len(own) == SEEDS[level]
    assert [result for result in own if result.broken] == []


def test_every_kind_of_fault_is_in_the_matrix() -> None:
    faults = [case.fault(1.0) for case in LEVELS["bus"].CASES]
    assert {fault.kind.name for fault in faults if isinstance(fault, Fault)} == {kind.name for kind in FAULTS}
    assert any(isinstance(fault, bus.HeldUp) for fault in faults)
    assert {type(case.fault(1.0)) for case in signals.CASES} == set(signal_faults.Fault.__subclasses__())


@pytest.mark.parametrize("level", LEVELS)
def test_the_page_has_a_row_for_every_fault_with_nothing_that_may_not_be(level: str) -> None:
    page = fault_matrix.DOCUMENT.read_text(encoding="utf-8")
    table = page.partition(f"<!-- {level}: begin -->")[2].partition(f"<!-- {level}: end -->")[0]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()[3:]}
    assert list(rows) == [case.name for case in LEVELS[level].CASES]
    for case in LEVELS[level].CASES:
        assert rows[case.name].endswith(f"| {case.what} |")
        ended = re.findall(r"([a-z][a-z, 0-9]*?) \d+/\d+", rows[case.name].split(" | ")[1])
        assert ended
        assert set(ended) <= set(case.outcomes)
