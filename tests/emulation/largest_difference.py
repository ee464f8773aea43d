"""`python largest_difference.py LOG POLICY`: by how much a replay differs from its recording at most."""

from __future__ import annotations

import sys
from pathlib import Path

from wildrobot.runtime.logs.replay import replay


def largest_difference(log: Path, policy: Path) -> float:
    """Of features, observations, actions and targets; each replay ends at the first larger than those before."""
    largest = 0.0
    while (found := replay(log, (policy,), largest).difference) is not None:
        largest = abs(found.replayed - found.recorded)
    return largest


if __name__ == "__main__":
    print(f"{largest_difference(Path(sys.argv[1]), Path(sys.argv[2])):.3g}")
