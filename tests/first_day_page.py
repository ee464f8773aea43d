"""docs/first_day.md as somebody follows it who has nothing else: its commands in order, and what the page says to do at
the virtual robot when the page or a program asks for something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "first_day.md"
_BLOCK = re.compile(r"^(#+ .*?)$|^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
TILTS = {
    "nose down": "tilt pitch 0.35",
    "nose up": "tilt pitch -0.35",
    "to its left side": "tilt roll -0.35",
    "to its right side": "tilt roll 0.35",
}
ACTIONS = {
    "pull the USB cable": "fault cable-out",
    "switch the power off": "fault brown-out voltage_v=0 for=3s",
}
"""What hands do while a program runs, and the line for it."""


@dataclass(frozen=True)
class PageCommand:
    """One line of a block."""

    section: str
    text: str
    note: str

    @property
    def before(self) -> str:
        """What must be done first, in the page's words."""
        return self._noted(r"first ([^;]+)")

    @property
    def while_it_stands(self) -> str:
        """What is to be done while it runs."""
        return self._noted(r"while it stands: ([^;]+)")

    @property
    def code(self) -> int:
        """The exit code that the page promises."""
        return int(self._noted(r"ends with (\d+)") or 0)

    def _noted(self, pattern: str) -> str:
        found = re.search(pattern, self.note)
        return found[1].strip() if found else ""


def page_commands(page: Path = PAGE) -> Iterator[PageCommand]:
    """All commands in their order."""
    section = ""
    for heading, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        section = heading.lstrip("# ") or section
        for line in block.splitlines():
            text, _, note = line.partition(" #")
            if text.strip():
                yield PageCommand(section, text.strip(), note.strip())


def rows(page: Path = PAGE) -> dict[str, str]:
    """The page's table of lines for the virtual robot: what is said, what to type."""
    table = page.read_text(encoding="utf-8").partition("| this page or the program says | type |")[2]
    lines = table.strip().splitlines()
    found = (re.fullmatch(r"\| (.*) \| (.*) \|", line) for line in lines[1:] if line.startswith("|"))
    return {match[1]: match[2] for match in found if match is not None}


def line_to_type(said: str) -> str | None:
    """The line for the virtual robot that answers what was said, by the page's table; None: nothing is asked of
    hands."""
    if found := re.search(r"this joint alone \((\w+) ([-+]\d+\.\d+) rad\)", said):
        return f"move {found[1]} {float(found[2]):g}"
    if "NOSE DOWN" in said:
        return "tilt pitch 0.35"
    if re.search("upright again", said, re.IGNORECASE):
        return "tilt pitch 0"
    if found := re.search(r"(?:^|\n)([A-Z ]+): press this pad|Press the ([a-z ]+) pad", said):
        return f"press {(found[1] or found[2]).lower().replace(' ', '_')}"
    if "POSE: legs straight" in said:
        return "pose zero"
    if re.search("let go\\.|Let go of the pad", said, re.IGNORECASE):
        return "free"
    if found := re.search(r"connect the servo of (\w+)", said):
        return f"plug {found[1]}"
    return next((line for words, line in TILTS.items() if f"Tilt the whole robot {words}" in said), None)
