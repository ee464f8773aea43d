"""Switch every guard and every limiter of the runtime off, one at a time: some test must fail each time.

Each change of scripts/mutants.py is made in a copy of the tree, where a few fast tests are run until one fails. Prints
a table of what killed which mutant; ends with 1 if one survives.

python scripts/mutation_check.py
python scripts/mutation_check.py --only guard --only fall
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import io
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from mutants import MUTANTS, Mutant  # noqa: E402

COPIED = ("wildrobot", "tests", "benchmarks", "pyproject.toml")
NEEDS_FIXTURES = {"tests/test_policy.py", "tests/test_lcm.py", "tests/test_stops.py"}
"""Of conftest.py, which imports the training: the others start faster without it."""
TIMEOUT_S = 600
PRELOADED = ("hypothesis", "lcm", "mujoco", "numpy", "onnxruntime", "pytest", "serial", "tyro", "yaml")
"""Packages that the tests need: imported once, for all the processes that are forked from this one."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: the test that failed, or None."""

    mutant: Mutant
    killer: str | None
    seconds: float


def mutated(text: str, mutant: Mutant) -> str:
    """The file's text with the change made.

    Raises:
        ValueError: what is to be changed does not stand there once, or the result is no Python.
    """
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.what}: {mutant.old!r} stands {text.count(mutant.old)} times in {mutant.file}"
        )
    changed = text.replace(mutant.old, mutant.new)
    if mutant.file.endswith(".py"):
        ast.parse(changed)
    return changed


def run_tests(tests: Sequence[str]) -> str | None:
    """In the present folder: the first test that fails, None if all pass.

    Raises:
        RuntimeError: the tests could not be run.
    """
    import pytest
    from hypothesis import Phase, settings

    # which test fails is asked, not why
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutants")
    for fixtures in (False, True):
        chosen = [test for test in tests if (test in NEEDS_FIXTURES) == fixtures]
        if not chosen:
            continue
        flags = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", "-m", "not slow"]
        flags += [] if fixtures else ["--noconftest"]
        said = io.StringIO()
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(TIMEOUT_S)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = pytest.main([*flags, *chosen])
        signal.alarm(0)
        if code == pytest.ExitCode.INTERRUPTED and "KeyboardInterrupt" in said.getvalue():
            return f"{chosen[0]} and others: no end"
        failed = re.search(r"^FAILED (.+?)(?: - .*)?$", said.getvalue(), re.MULTILINE)
        if failed:
            return failed[1].removeprefix("tests/")
        if code != pytest.ExitCode.OK:
            raise RuntimeError(f"pytest {' '.join(chosen)} ended with {code}:\n{said.getvalue()[-2000:]}")
    return None


def judge(task: tuple[Mutant | None, tuple[str, ...]]) -> tuple[str | None, float]:
    """In a process of its own: the test that fails in a copy of the tree with the mutant (None: with no change)."""
    mutant, tests = task
    start = time.monotonic()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that starts this in the background ignores it
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder) / "tree")
        if mutant is not None:
            file = tree / mutant.file
            file.write_text(mutated(file.read_text(encoding="utf-8"), mutant), encoding="utf-8")
        os.chdir(tree)
        os.environ["PYTHONPATH"] = str(tree)  # for the programs that tests start
        sys.path.insert(0, str(tree))
        sys.dont_write_bytecode = True
        killer = run_tests(tests)
        os.chdir(ROOT)
    return killer, time.monotonic() - start


def check(mutants: Sequence[Mutant], workers: int) -> list[Verdict]:
    """Each mutant in a copy of the tree.

    Raises:
        RuntimeError: the tests fail without any change, too.
    """
    for name in PRELOADED:
        importlib.import_module(name)
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    tasks: list[Any] = [(None, (test,)) for test in tests] + [(mutant, mutant.tests) for mutant in mutants]
    verdicts = []
    with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        for (mutant, own), (killer, seconds) in zip(tasks, pool.imap(judge, tasks), strict=True):
            name = "nothing" if mutant is None else mutant.what
            fate = killer or ("passed" if mutant is None else "SURVIVED")
            print(f"{seconds:6.1f} s  {name}: {fate}", file=sys.stderr, flush=True)
            if mutant is not None:
                verdicts.append(Verdict(mutant, killer, seconds))
            elif killer is not None:
                raise RuntimeError(f"{own[0]} fails without any change, too: {killer}")
    return verdicts


def copy_tree(target: Path) -> Path:
    """What the tests need of the tree."""
    target.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def table(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    lines = ["| switched off | killed by |", "|---|---|"]
    return "\n".join(lines + [f"| {v.mutant.what} | {v.killer or '**survived**'} |" for v in verdicts])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", help="mutants whose name has this in it; default: all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if not arguments.only or any(part in m.what for part in arguments.only)]
    verdicts = check(chosen, arguments.workers)
    print(table(verdicts))
    survived = [verdict.mutant.what for verdict in verdicts if verdict.killer is None]
    print(f"\n{len(verdicts) - len(survived)} of {len(verdicts)} killed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
