"""Every fault x 20 seeds while walking, in simulated time over bytes: what docs/faults.md says, safely."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fault_matrix  # noqa: E402
from fault_matrix import CASES, Case, Result  # noqa: E402

from wildrobot.firmware_bridge.virtual.faults import FAULTS  # noqa: E402

SEEDS = 20


@pytest.fixture(scope="module")
def results() -> Sequence[Result]:
    return fault_matrix.run_matrix(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_ends_as_documented_and_breaks_no_rule(case: Case, results: Sequence[Result]) -> None:
    own = [result for result in results if result.case == case.name]
    assert len(own) == SEEDS
    assert [result for result in own if result.broken] == []


def test_every_kind_of_fault_is_in_the_matrix() -> None:
    assert {type(case.fault(1.0)) for case in CASES} == set(FAULTS)


def test_the_page_has_a_row_for_every_fault() -> None:
    page = fault_matrix.DOCUMENT.read_text(encoding="utf-8")
    assert [case.name for case in CASES if f"| {case.name} | " not in page] == []
    assert [case.what for case in CASES if case.what not in page] == []
