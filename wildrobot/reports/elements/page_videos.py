"""Videos carried inside a page, as long as the page stays small enough to send to somebody."""

from __future__ import annotations

import html
from pathlib import Path

from wildrobot.reports.elements.html_tables import embedded_video

LARGEST_PAGE_BYTES = 20_000_000
FOR_THE_REST_BYTES = 4_000_000
"""Of a page, for what is not video: charts and tables take about 0.5 MB."""


class PageVideos:
    """The videos of one page: each is carried whole, in the order in which they are asked for, while there is room."""

    def __init__(self, room_bytes: int = LARGEST_PAGE_BYTES - FOR_THE_REST_BYTES) -> None:
        self._room = room_bytes
        self.left_out: list[Path] = []

    def source(self, path: Path) -> str | None:
        """Address to show a video under; None where it is missing or there is no room for it."""
        if not path.is_file():
            return None
        length = -(-path.stat().st_size // 3) * 4  # base64
        if length > self._room:
            self.left_out.append(path)
            return None
        self._room -= length
        return embedded_video(path)

    def player(self, path: Path, missing: str) -> str:
        """HTML that plays a video; a line of text where it cannot be carried or is `missing`."""
        source = self.source(path)
        if source is not None:
            return f'<video controls loop muted autoplay playsinline src="{source}"></video>'
        said = f"{path.name} is too large for this page: it is beside it." if path.is_file() else missing
        return f'<p class="faint">{html.escape(said)}</p>'

    def warning(self) -> str:
        """What a person should know of what was left out; empty where all is there."""
        if not self.left_out:
            return ""
        names = ", ".join(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" for path in self.left_out)
        return (
            f"left out, so that the page stays under {LARGEST_PAGE_BYTES / 1e6:.0f} MB: {names}. "
            "Film shorter scenes to have all of them on it."
        )
