"""Every fault, many times while the robot walks: what the runtime does, and whether it does it safely.

Three levels: `bus` (wire and devices, by the virtual robot), `signals` (what the runtime reads and what the policy
answers, by the simulated robot; both in simulated time) and `processes` (signals, disk and network of real programs in
real time). `--write` puts the tables into docs/faults.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from faults import bus, processes, pty, signals  # noqa: E402
from faults.case import Case, Result  # noqa: E402

from wildrobot.core.files import write_text  # noqa: E402

DOCUMENT = ROOT / "docs" / "faults.md"
LEVELS: dict[str, ModuleType] = {"bus": bus, "signals": signals, "processes": processes}


def run_matrix(level: str, seeds: int, cases: Sequence[int] | None = None, workers: int = 0) -> list[Result]:
    """All cases of a level with `seeds` runs each."""
    module = LEVELS[level]
    module.begin()
    chosen = range(len(module.CASES)) if cases is None else cases
    tasks = [(index, seed) for index in chosen for seed in range(seeds)]
    context = multiprocessing.get_context("fork")
    with context.Pool(workers or os.cpu_count() or 1, maxtasksperchild=1) as pool:
        return pool.map(module.run_case, tasks, chunksize=1)


def markdown(level: str, results: Sequence[Result]) -> str:
    """A table of docs/faults.md. Of whole programs nobody knows more than how they ended."""
    cases: Sequence[Case] = LEVELS[level].CASES
    inside = level != "processes"
    columns = [
        "the robot",
        *(["on its feet", "held its targets", "reported after (s, worst)"] if inside else []),
        "why",
    ]
    lines = [f"| fault, while walking at 0.3 m/s | {' | '.join(columns)} |", f"|---{'|---' * len(columns)}|"]
    for case in cases:
        own = [result for result in results if result.case == case.name]
        if not own:
            continue
        counts = Counter(result.outcome for result in own)
        robot = ", ".join(f"{outcome} {count}/{len(own)}" for outcome, count in counts.most_common())
        held = sum(result.held for result in own)
        named = [result.named_after_s for result in own if result.named_after_s is not None]
        when = f"{max(named):.2f}" if named else "not reported"
        feet = sum(result.upright for result in own)
        seen = [f"{feet}/{len(own)}", f"{held}/{len(own)}", when] if inside else []
        lines.append(f"| {' | '.join([case.name, robot, *seen, case.what])} |")
    return "\n".join(lines)


def write_table(level: str, table: str) -> None:
    """Put a level's table between its marks in docs/faults.md."""
    begin, end = f"<!-- {level}: begin -->", f"<!-- {level}: end -->"
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    write_text(DOCUMENT, f"{before}{begin}\n{table}\n{end}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--level", choices=[*LEVELS], default="bus")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--case", action="append", help="part of a case's name; default: all")
    parser.add_argument(
        "--pty",
        action="store_true",
        help="each fault of the bus once in real time over a pty, as two programs",
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    arguments = parser.parse_args()
    cases = LEVELS[arguments.level].CASES
    chosen = [
        i
        for i, case in enumerate(cases)
        if not arguments.case or any(part in case.name for part in arguments.case)
    ]
    if arguments.pty:
        with tempfile.TemporaryDirectory() as folder:
            rows = []
            for i in chosen:
                if isinstance(bus.CASES[i].fault(0.0), bus.HeldUp):
                    continue  # the host is a program of its own
                rows.append(pty.run_over_pty(bus.CASES[i], Path(folder)))
                print(rows[-1], file=sys.stderr, flush=True)
        json.dump({"load_average": os.getloadavg()[0], "runs": rows}, sys.stdout, indent=1)
        print()
        return 1 if any(row["broken"] for row in rows) else 0
    results = run_matrix(arguments.level, arguments.seeds, chosen)
    text = markdown(arguments.level, results)
    if arguments.write:
        write_table(arguments.level, text)
    print(text, file=sys.stderr)
    wrong = [asdict(result) for result in results if result.broken]
    json.dump({"runs": len(results), "broken": wrong}, sys.stdout, indent=1)
    print()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
