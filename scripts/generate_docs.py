"""Write what of the documentation follows from the code: docs/cli.md's tables, the servo's registers in docs/bus.md,
docs/images/architecture.svg.

python scripts/generate_docs.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from test_architecture import ROOMS, imports_of, name_of, room_of, sources  # noqa: E402

from wildrobot.cli import main as cli  # noqa: E402
from wildrobot.firmware_bridge.bus import control_table as table  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "architecture.svg"
TABLE = ROOT / "docs" / "cli.md"
REGISTERS = ROOT / "docs" / "bus.md"
EVERYWHERE = "core"
"""Every room imports from it; it imports nothing above."""
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


def edges() -> dict[tuple[str, str], bool]:
    """Which room imports which: (importer, imported) -> whether only inside functions."""
    found: dict[tuple[str, str], bool] = {}
    for path in sources():
        room = room_of(name_of(path))
        for top_level in (False, True):
            for other in {room_of(name) for name in imports_of(path, top_level, typing=False)} - {room, ""}:
                if room:
                    found[room, other] = found.get((room, other), True) and not top_level
    return found


def picture() -> str:
    """SVG: a staircase of rooms. An arrow goes down from who imports and left to what is imported."""
    found = {pair: lazy for pair, lazy in edges().items() if EVERYWHERE not in pair}
    placed = [room for room in ROOMS if room != EVERYWHERE]
    count = len(placed)
    width, height = COLUMN * count + 40, ROW * (count + 1) + 30

    def corner(room: str) -> tuple[float, float]:
        index = placed.index(room)
        return 20 + COLUMN * index, 20 + ROW * (count - 1 - index)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Which room of wildrobot imports which">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#5b6774"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    for room in placed:
        targets = sorted((b for a, b in found if a == room), key=placed.index, reverse=True)
        for index, other in enumerate(targets):
            x = corner(room)[0] + BOX_WIDTH * (len(targets) - index) / (len(targets) + 1)
            sources_of = [a for a in placed if (a, other) in found]
            share = (sources_of.index(room) + 1) / (len(sources_of) + 1)
            y = corner(other)[1] + BOX_HEIGHT * share
            start, end = corner(room)[1] + BOX_HEIGHT, corner(other)[0] + BOX_WIDTH
            kind = "import lazy" if found[room, other] else "import"
            path = f"M{x:.1f} {start:.1f} V{y:.1f} H{end + 1:.1f}"
            lines.append(f'<path class="{kind}" d="{path}" marker-end="url(#tip)"/>')
    for room in placed:
        x, y = corner(room)
        lines.append(f'<rect class="box" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>')
        lines.append(f'<text x="{x + BOX_WIDTH / 2}" y="{y + 24}" text-anchor="middle">{room}</text>')
    y = 20 + ROW * count
    lines.append(f'<rect class="box base" x="20" y="{y}" width="{width - 40}" height="{BOX_HEIGHT}" rx="6"/>')
    said = f"{EVERYWHERE}: used by all, imports nothing above"
    lines.append(f'<text x="{width / 2}" y="{y + 24}" text-anchor="middle">{said}</text>')
    return "\n".join([*lines, "</svg>\n"])


def command_table() -> str:
    """Markdown: every command, in groups, with what it needs, what it does, and an example."""
    rows = []
    for title, commands in cli.grouped().items():
        rows += [f"### {title.capitalize()}", ""]
        rows += ["| command | needs | does | for example |", "|---|---|---|---|"]
        for command in commands:
            needs = f"`wildrobot[{command.extra}]`" if command.extra else "the base install"
            rows.append(f"| `{command.name}` | {needs} | {command.summary} | `{command.example}` |")
        rows.append("")
    return "\n".join(rows)


def register_table() -> str:
    """Markdown: every register of a servo, and what the start does about it."""
    lines = [
        "| address | bytes | register | access | initial | range | at the start |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = [*table.REGISTERS, *(r for r in table.INDIRECT_ADDRESSES if r.name.endswith(("_1", "_29")))]
    for register in shown:
        initial = "–" if register.initial is None else str(register.initial)
        limits = "–" if register.limits is None else "{} … {}".format(*register.limits)
        if register.expected is not None:
            start = f"must be {register.expected}, else it is written"
        else:
            start = register.why or "read only"
        since = f" (firmware {register.since} on)" if register.since else ""
        more = ", and 27 more behind it" if register in table.INDIRECT_ADDRESSES else ""
        access = "RW" if register.writable else "R"
        name = f"`{register.name}`{since}{more}"
        lines.append(
            f"| {register.address} | {register.size} | {name} | {access} | {initial} | {limits} | {start} |"
        )
    return "\n".join([*lines, ""])


def page_with_registers(text: str) -> str:
    """docs/bus.md with the table between its marks."""
    begin, end = "<!-- registers: begin -->\n", "<!-- registers: end -->"
    head, _, rest = text.partition(begin)
    return head + begin + register_table() + end + rest.partition(end)[2]


def page_with_table(text: str) -> str:
    """docs/cli.md with the table between its marks."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + command_table() + END + rest.partition(END)[2]


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    TABLE.write_text(page_with_table(TABLE.read_text(encoding="utf-8")), encoding="utf-8")
    REGISTERS.write_text(page_with_registers(REGISTERS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
