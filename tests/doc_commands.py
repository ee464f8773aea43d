"""The commands of README and docs: every line of a fenced shell block."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^ *```(?:sh|bash|shell|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """One command a line, continued lines joined, comments and prompts taken off."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield (
                    " ".join(shlex.split(line, comments=True, posix=False))
                    .removeprefix("$ ")
                    .removesuffix(" &")
                )


def all_commands() -> dict[str, str]:
    """Every command and the first page that names it."""
    found: dict[str, str] = {}
    for page in PAGES:
        for command in commands(page):
            found.setdefault(command, page.relative_to(ROOT).as_posix())
    return found
