"""Write what of the documentation follows from the code: docs/cli.md's table, docs/images/architecture.svg.

python scripts/generate_docs.py
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from test_architecture import BASE, imported, our_parts, part_of, sources  # noqa: E402

from wildrobot import cli  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "architecture.svg"
TABLE = ROOT / "docs" / "cli.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->"
COLUMN, ROW, BOX_WIDTH, BOX_HEIGHT = 128, 64, 118, 38
STYLE = """
  text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1c2530; }
  .box { fill: #ffffff; stroke: #1f6fb8; stroke-width: 1.5; }
  .base { fill: #f1f3f6; stroke: #8b97a5; }
  .import { fill: none; stroke: #5b6774; stroke-width: 1.4; }
  .lazy { stroke-dasharray: 4 4; }
  .page { fill: #f6f7f9; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaef; } .page { fill: #14181d; }
    .box { fill: #1c2229; stroke: #5aa9f0; } .base { fill: #20272f; stroke: #75828f; }
    .import { stroke: #98a4b1; }
  }
"""


def edges() -> tuple[dict[tuple[str, str], bool], list[str]]:
    """Who imports whom: (importer, imported) -> whether only inside functions; and the helpers that all may use."""
    found: dict[tuple[str, str], bool] = {}
    parts = {part_of(path) for path in sources()} - {"__init__", "__main__"}
    for path in sources():
        tree, part = ast.parse(path.read_text(encoding="utf-8")), part_of(path)
        for top_level in (False, True):
            for other in our_parts(imported(tree, path, top_level)) - {part, "__init__"}:
                if part in parts - BASE and other in parts - BASE:
                    found[part, other] = found.get((part, other), True) and not top_level
    return found, sorted(parts & BASE)


def order(parts: set[str], found: dict[tuple[str, str], bool]) -> list[str]:
    """Every part after all that it imports; among equals by name."""
    placed: list[str] = []
    while left := sorted(parts - set(placed)):
        ready = [part for part in left if all(b in placed for a, b in found if a == part)]
        if not ready:
            raise SystemExit(f"these parts import each other in a circle: {', '.join(left)}")
        placed.append(ready[0])
    return placed


def picture() -> str:
    """SVG: a staircase of parts. An arrow goes down from who imports and left to what is imported."""
    found, base = edges()
    parts = {part_of(path) for path in sources()} - {"__init__", "__main__"} - set(base)
    placed = order(parts, found)
    count = len(placed)
    width, height = COLUMN * count + 40, ROW * (count + 1) + 30

    def corner(part: str) -> tuple[float, float]:
        index = placed.index(part)
        return 20 + COLUMN * index, 20 + ROW * (count - 1 - index)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Which part of wildrobot imports which">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#5b6774"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    for part in placed:
        targets = sorted((b for a, b in found if a == part), key=placed.index, reverse=True)
        for index, other in enumerate(targets):
            x = corner(part)[0] + BOX_WIDTH * (len(targets) - index) / (len(targets) + 1)
            sources_of = [a for a in placed if (a, other) in found]
            share = (sources_of.index(part) + 1) / (len(sources_of) + 1)
            y = corner(other)[1] + BOX_HEIGHT * share
            start, end = corner(part)[1] + BOX_HEIGHT, corner(other)[0] + BOX_WIDTH
            kind = "import lazy" if found[part, other] else "import"
            path = f"M{x:.1f} {start:.1f} V{y:.1f} H{end + 1:.1f}"
            lines.append(f'<path class="{kind}" d="{path}" marker-end="url(#tip)"/>')
    for part in placed:
        x, y = corner(part)
        lines.append(f'<rect class="box" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>')
        lines.append(f'<text x="{x + BOX_WIDTH / 2}" y="{y + 24}" text-anchor="middle">{part}</text>')
    y = 20 + ROW * count
    lines.append(f'<rect class="box base" x="20" y="{y}" width="{width - 40}" height="{BOX_HEIGHT}" rx="6"/>')
    said = f"used by all, imports nothing above: {', '.join(base)}"
    lines.append(f'<text x="{width / 2}" y="{y + 24}" text-anchor="middle">{said}</text>')
    return "\n".join([*lines, "</svg>\n"])


def command_table() -> str:
    """Markdown: every command with what it needs, what it does, and an example."""
    rows = ["| command | needs | does | for example |", "|---|---|---|---|"]
    for command in cli.COMMANDS:
        needs = f"`wildrobot[{command.extra}]`" if command.extra else "the base install"
        rows.append(f"| `{command.name}` | {needs} | {command.summary} | `{command.example}` |")
    return "\n".join(rows) + "\n"


def page_with_table(text: str) -> str:
    """docs/cli.md with the table between its marks."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + command_table() + END + rest.partition(END)[2]


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    TABLE.write_text(page_with_table(TABLE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
