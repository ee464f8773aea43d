"""Write what follows from control_table.yaml: the C++ header, the Python module, the table in docs/sensor_board.md.

python -m wildrobot.firmware_bridge.board.generate            write them
python -m wildrobot.firmware_bridge.board.generate --check    exit 1 when one of them is stale
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import write_text

FOLDER = Path(__file__).resolve().parent
SOURCE = FOLDER / "control_table.yaml"
HEADER = FOLDER / "firmware" / "core" / "control_table.hpp"
MODULE = FOLDER / "control_table.py"
DOCUMENT = FOLDER.parents[2] / "docs" / "sensor_board.md"
BEGIN, END = "<!-- generated: control table -->", "<!-- end of the generated part -->"
COMMAND = "python -m wildrobot.firmware_bridge.board.generate"

TYPES = {"u8": (1, False, "B"), "u16": (2, False, "H"), "u32": (4, False, "I"), "i16": (2, True, "h")}
"""Bytes of one value, whether it is signed, and its letter in a struct format."""


@dataclass(frozen=True)
class Entry:
    """One register or array of the control table."""

    name: str
    address: int
    type: str
    access: str
    description: str
    eeprom: bool = False
    default: int = 0
    range: tuple[int, int] | None = None
    scale: Fraction | None = None
    unit: str = ""
    elements: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Values it holds."""
        return max(1, len(self.elements))

    @property
    def size(self) -> int:
        """Bytes of all its values."""
        return TYPES[self.type][0] * self.count

    @property
    def end(self) -> int:
        """Address behind its last byte."""
        return self.address + self.size


def _entry(raw: dict[str, Any]) -> Entry:
    known = set(Entry.__dataclass_fields__)
    if unknown := set(raw) - known:
        raise UserError(
            f"{SOURCE.name}: {raw.get('name')}: unknown key {sorted(unknown)[0]}; known: {sorted(known)}."
        )
    raw = dict(raw)
    if "scale" in raw:
        raw["scale"] = Fraction(str(raw["scale"]))
    if "range" in raw:
        raw["range"] = (int(raw["range"][0]), int(raw["range"][1]))
    entry = Entry(**raw)
    if entry.type not in TYPES or entry.access not in ("r", "rw"):
        raise UserError(f"{SOURCE.name}: {entry.name}: type must be one of {sorted(TYPES)}, access r or rw.")
    if entry.access == "rw" and (
        entry.range is None or not entry.range[0] <= entry.default <= entry.range[1]
    ):
        raise UserError(
            f"{SOURCE.name}: {entry.name}: a writable register needs a range that holds its default."
        )
    if entry.access == "rw" and entry.size != 1:
        raise UserError(
            f"{SOURCE.name}: {entry.name}: the firmware core knows writable registers of one byte only."
        )
    return entry


def load(path: Path = SOURCE) -> tuple[list[Entry], tuple[int, int]]:
    """Entries in the order of their addresses, and first and end address of the sample block.

    Raises:
        UserError: an unknown key, an unknown type, two registers at one address, or a gap in the sample block.
    """
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = [_entry(item) for item in raw["registers"]]
    by_name = {entry.name: entry for entry in entries}
    first, last = (by_name[name] for name in raw["sample_block"])
    for before, after in itertools.pairwise(entries):
        gap = after.address - before.end
        if gap < 0 or (gap > 0 and first.address <= before.address < last.address):
            raise UserError(
                f"{path.name}: {after.name} at {after.address} overlaps {before.name} or leaves a gap."
            )
    return entries, (first.address, last.end)


def _camel(name: str) -> str:
    return "k" + "".join(part.capitalize() for part in name.split("_"))


def header(entries: Sequence[Entry], sample: tuple[int, int]) -> str:
    """Text of control_table.hpp."""
    lines = [
        f"// Written by {COMMAND} from control_table.yaml; change that file.",
        "#pragma once",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        "namespace wildrobot {",
        "namespace table {",
        "",
        f"constexpr std::size_t kSize = {entries[-1].end};",
        f"constexpr std::size_t kSampleBegin = {sample[0]};",
        f"constexpr std::size_t kSampleEnd = {sample[1]};",
        "",
    ]
    for entry in entries:
        lines.append(f"constexpr std::size_t {_camel(entry.name)} = {entry.address};")
        if entry.elements:
            lines.append(f"constexpr std::size_t {_camel(entry.name)}Count = {entry.count};")
        if entry.scale is not None and entry.scale.denominator > 1:
            per_unit = 1 / entry.scale
            lines.append(f"constexpr float {_camel(entry.name)}CountsPerUnit = {float(per_unit)}f;")
    lines += [
        "",
        "struct Register {",
        "  std::uint16_t address;",
        "  std::uint8_t size;",
        "  bool writable;",
        "  bool eeprom;",
        "  std::uint32_t initial;",
        "  std::uint8_t min;  // of a writable one, which is one byte",
        "  std::uint8_t max;",
        "};",
        "",
        "constexpr Register kRegisters[] = {",
    ]
    for e in entries:
        low, high = e.range or (0, 0)
        flags = f"{str(e.access == 'rw').lower()}, {str(e.eeprom).lower()}"
        lines.append(f"    {{{e.address}, {e.size}, {flags}, {e.default}u, {low}, {high}}},  // {e.name}")
    lines += ["};", "", "}  // namespace table", "}  // namespace wildrobot", ""]
    return "\n".join(lines)


def _scalars(entry: Entry) -> list[tuple[str, int]]:
    if not entry.elements:
        return [(entry.name, entry.address)]
    size = TYPES[entry.type][0]
    return [(f"{entry.name}_{name}", entry.address + i * size) for i, name in enumerate(entry.elements)]


def module(entries: Sequence[Entry], sample: tuple[int, int]) -> str:
    """Text of control_table.py."""
    lines = [
        f'"""Written by `{COMMAND}` from control_table.yaml; change that file."""',
        "",
        "from __future__ import annotations",
        "",
        "from wildrobot.firmware_bridge.bus.control_table import Register",
        "",
    ]
    for entry in entries:
        size, signed, _ = TYPES[entry.type]
        for name, address in _scalars(entry):
            options = (", signed=True" if signed else "") + (
                "" if entry.access == "rw" else ", writable=False"
            )
            lines.append(f'{name.upper()} = Register("{name}", {address}, {size}{options})')
    lines += [
        "",
        "REGISTERS = tuple(value for value in list(globals().values()) if isinstance(value, Register))",
        "BY_NAME = {register.name: register for register in REGISTERS}",
        "",
        "DEFAULTS = {",
    ]
    for entry in entries:
        if entry.access == "rw" or entry.default:
            lines.append(f'    "{entry.name}": {entry.default},')
    lines += ["}", "EEPROM = ("]
    lines += [f"    {entry.name.upper()}," for entry in entries if entry.eeprom]
    block = [entry for entry in entries if sample[0] <= entry.address < sample[1]]
    pattern = "<" + "".join(
        f"{entry.count if entry.elements else ''}{TYPES[entry.type][2]}" for entry in block
    )
    lines += [
        ")",
        f"SIZE = {entries[-1].end}",
        '"""Bytes of the whole table."""',
        f"SAMPLE_ADDRESS = {sample[0]}",
        f"SAMPLE_SIZE = {sample[1] - sample[0]}",
        f'SAMPLE_FORMAT = "{pattern}"',
        '"""The sample block for `struct`, value by value in the order of the registers."""',
        "",
    ]
    for entry in entries:
        if entry.scale is not None:
            lines.append(f"{entry.name.upper()}_SCALE = {_number(entry.scale)}")
            lines.append(f'"""{entry.unit or "One"} per count."""')
    return "\n".join(lines) + "\n"


def _number(scale: Fraction) -> str:
    return str(scale.numerator) if scale.denominator == 1 else f"{scale.numerator} / {scale.denominator}"


def document(entries: Sequence[Entry]) -> str:
    """The control table as a Markdown table."""
    lines = [
        "| address | register | type | access | default | one count | range | largest error of a value | meaning |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for e in entries:
        size, signed, _ = TYPES[e.type]
        kind = e.type + (f" × {e.count}" if e.elements else "")
        access = e.access + (", EEPROM" if e.eeprom else "")
        default = str(e.default) if e.access == "rw" or e.default else ""
        count = span = error = ""
        if e.scale is not None:
            top = 2 ** (8 * size - signed) - 1
            count = f"{_number(e.scale).replace(' ', '')} {e.unit}".strip()
            span = f"{'±' if signed else '0…'}{float(top * e.scale):.6g} {e.unit}".strip()
            if e.scale.denominator > 1:
                error = f"±{float(e.scale / 2):.3g} {e.unit}".strip()
        if e.range is not None and not span:
            span = f"{e.range[0]}…{e.range[1]}"
        meaning = e.description + (f" ({', '.join(e.elements)})" if e.elements else "")
        cells = (e.address, f"`{e.name}`", kind, access, default, count, span, error, meaning)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _with_table(text: str, table: str) -> str:
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UserError(
            f"{DOCUMENT.name} has no place for the table: expected {BEGIN} and {END}. Put them back."
        )
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def outputs() -> dict[Path, str]:
    """What every generated file should hold. The document is left out where it is not (an installed wheel)."""
    entries, sample = load()
    texts = {HEADER: header(entries, sample), MODULE: module(entries, sample)}
    if DOCUMENT.is_file():
        texts[DOCUMENT] = _with_table(DOCUMENT.read_text(encoding="utf-8"), document(entries))
    return texts


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the command."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write what follows from control_table.yaml.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args(argv).check
    stale = [
        path
        for path, text in outputs().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if check:
            print(f"stale: {path}. Run: {COMMAND}")
        else:
            write_text(path, outputs()[path])
            print(f"wrote {path}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(run_main(main))
