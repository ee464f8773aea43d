"""Switch every guard and every limiter of the runtime off, one at a time: some test must fail each time.

Each change of scripts/mutants.py is made in a copy of the tree, where a few fast tests are run until one fails. Prints
a table of what killed which mutant; ends with 1 if one survives.

python scripts/mutation_check.py
python scripts/mutation_check.py --only guard --only fall
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from mutants import MUTANTS, Mutant  # noqa: E402

COPIED = ("wildrobot", "tests", "policies", "benchmarks", "pyproject.toml")
NEEDS_FIXTURES = {"tests/test_policy.py", "tests/test_lcm.py"}
"""Of conftest.py, which imports the training: the others start faster without it."""
TIMEOUT_S = 300.0


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


def run_tests(tree: Path, tests: Sequence[str]) -> str | None:
    """The first test that fails, None if all pass.

    Raises:
        RuntimeError: the tests could not be run.
    """
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    for fixtures in (False, True):
        chosen = [test for test in tests if (test in NEEDS_FIXTURES) == fixtures]
        if not chosen:
            continue
        flags = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", "-m", "not slow", "--durations=0"]
        flags += [] if fixtures else ["--noconftest"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *flags, *chosen],
                cwd=tree,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return f"{chosen[0]} and others: no end"
        failed = re.search(r"^FAILED (\S+(?:\[.*?\])?)", done.stdout, re.MULTILINE)
        if failed:
            return failed[1].removeprefix("tests/")
        if done.returncode != 0:
            raise RuntimeError(
                f"pytest {' '.join(chosen)} ended with {done.returncode}:\n{done.stdout[-2000:]}"
            )
    return None


def check(mutants: Sequence[Mutant], workers: int) -> list[Verdict]:
    """Each mutant in a copy of the tree.

    Raises:
        RuntimeError: the tests fail without any change, too.
    """
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for i in range(workers):
            trees.put(copy_tree(Path(folder) / str(i)))

        @contextmanager
        def a_tree():  # type: ignore[no-untyped-def]
            tree = trees.get()
            try:
                yield tree
            finally:
                trees.put(tree)

        def sound(test: str) -> str | None:
            with a_tree() as tree:
                return run_tests(tree, [test])

        def judge(mutant: Mutant) -> Verdict:
            start = time.monotonic()
            with a_tree() as tree:
                file = tree / mutant.file
                text = file.read_text(encoding="utf-8")
                try:
                    file.write_text(mutated(text, mutant), encoding="utf-8")
                    killer = run_tests(tree, mutant.tests)
                finally:
                    file.write_text(text, encoding="utf-8")
            verdict = Verdict(mutant, killer, time.monotonic() - start)
            print(
                f"{verdict.seconds:6.1f} s  {mutant.what}: {killer or 'SURVIVED'}",
                file=sys.stderr,
                flush=True,
            )
            return verdict

        with ThreadPoolExecutor(workers) as pool:
            broken = [
                failed for failed in pool.map(sound, sorted({t for m in mutants for t in m.tests})) if failed
            ]
            if broken:
                raise RuntimeError(f"without any change these fail: {', '.join(broken)}")
            return list(pool.map(judge, mutants))


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
