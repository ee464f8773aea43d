"""The list of scripts/mutation_check.py is of this code, and each guard of it is worth its test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import mutation_check  # noqa: E402
from mutants import MUTANTS, Mutant  # noqa: E402

from wildrobot.runtime.control.guards import GUARDS  # noqa: E402


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_changes_one_place_that_is_there(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutation_check.mutated(text, mutant) != text
    assert all((ROOT / test).is_file() for test in mutant.tests)


def test_every_guard_has_a_mutant() -> None:
    assert {mutant.what for mutant in MUTANTS} >= {f"guard {name}" for name in GUARDS}
