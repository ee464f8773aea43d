"""What a page carries beside its own text: the charts' library, whole and unchanged."""

from __future__ import annotations

import re
from pathlib import Path

ELEMENTS = Path(__file__).resolve().parents[1] / "wildrobot" / "reports" / "elements"
LIBRARY = (ELEMENTS / "uplot" / "uPlot.iife.min.js").read_text(encoding="utf-8")
LOADS = re.compile(
    r"url\(|@import|import\(|fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|new Worker|\beval\(|"
    r"https?://(?!www\.w3\.org/)"
)
"""How a page or a script would ask a network for something."""


def own(page: str) -> str:
    """The page without the library, whose one address is that of its home page, in a comment."""
    return page.replace(LIBRARY, "")
