"""The generator of the LCM types, from the repository's scripts."""

from __future__ import annotations

import filecmp
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from generate_lcm_types import PACKAGE, RUNTIME, VIRTUAL, find_lcm_tool, generate

__all__ = ["RUNTIME", "VIRTUAL", "check_generated", "find_lcm_tool"]


def check_generated(sources: Path, folder: Path) -> None:
    """The package beside `sources` is what they generate, file by file; `folder` is empty."""
    fresh = generate(sources, folder)
    names = sorted(path.name for path in fresh.glob("*.py"))
    assert names == sorted(path.name for path in (sources / PACKAGE).glob("*.py"))
    _, different, missing = filecmp.cmpfiles(fresh, sources / PACKAGE, names, shallow=False)
    assert different == missing == [], "run: python scripts/generate_lcm_types.py"
