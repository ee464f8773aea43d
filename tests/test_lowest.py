"""tests/lowest.txt: the lower bounds of pyproject.toml, as versions to install and test with (`make test-lowest`)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOWEST = ROOT / "tests" / "lowest.txt"
NOT_INSTALLED = ("bench",)
"""Extras that the tests do without."""
LINTERS = ("mypy", "ruff", "types-PyYAML")


def lowest() -> list[str]:
    """A line `NAME==LOWEST` for every requirement of pyproject.toml, in alphabetical order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        needs += more if extra not in NOT_INSTALLED else []
    found = set()
    for need in needs:
        if need.startswith("wildrobot["):
            continue
        if need.startswith(LINTERS):
            continue
        match = re.match(r"([\w-]+)>=([\d.]+)", need)
        assert match, f"pyproject.toml: {need} has no lower bound"
        found.add(f"{match[1]}=={match[2]}")
    return sorted(found, key=str.lower)


def test_the_versions_are_pyproject_s_lower_bounds() -> None:
    lines = [line for line in LOWEST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines == lowest(), "write it anew: python tests/test_lowest.py"


if __name__ == "__main__":
    comment = "# The lower bounds of pyproject.toml, made by: python tests/test_lowest.py\n"
    LOWEST.write_text(comment + "\n".join(lowest()) + "\n", encoding="utf-8")
