"""The frame of an HTML page that stands alone: its style is inside, and it loads nothing from a network."""

from __future__ import annotations

import html
from pathlib import Path


def page(title: str, body: str) -> str:
    """A whole document; `title` is plain text, `body` is HTML."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def section(title: str, content: str) -> str:
    """`content` (HTML) under a heading (plain text); nothing where there is no content."""
    return f"<h2>{html.escape(title)}</h2>{content}" if content else ""


def tile(value: str, label: str) -> str:
    """One figure that is read first."""
    return f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>'


def charts(drawn: list[str]) -> str:
    """Charts (SVG) side by side; empty ones are left out."""
    figures = "".join(f"<figure>{chart}</figure>" for chart in drawn if chart)
    return f'<div class="charts">{figures}</div>' if figures else ""
