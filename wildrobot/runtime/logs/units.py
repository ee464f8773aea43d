"""Units of the messages' fields, as the `.lcm` files state them.

They stand there once: first in a field's comment ("rad/s, heading frame"), or at the end of its name (`age_s`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from wildrobot.runtime.telemetry import lcm_types

_UNIT = r"(?:rad/s|rad|m/s\^2|m/s|m)"
_FIELD = re.compile(r"\s*\w+\s+(?P<name>\w+)(?:\[\w+\])*\s*;\s*$")
_COMMENT_UNITS = re.compile(rf"(?P<units>{_UNIT}(?:, {_UNIT})*)(?=[,:;]|\s|$)")
_SUFFIXES = {
    "_rad_s": "rad/s", "_rad": "rad", "_us": "us", "_ms": "ms", "_s": "s", "_m": "m", "_hz": "Hz",
    "_a": "A", "_v": "V", "_c": "degC",
}  # fmt: skip
"""Ends of names, the longer one first where one ends like another."""


class FieldNote(NamedTuple):
    """What the `.lcm` file says of a field."""

    units: tuple[str, ...]
    """One for the whole field, or one for each of its values; none: a number without a dimension, or a text."""
    text: str
    """The comment."""

    def unit(self, index: int) -> str:
        """Unit of the value with this index."""
        return self.units[index if len(self.units) > 1 else 0] if self.units else ""


def unit_of_name(name: str) -> str:
    """The unit that a name ends with; nothing where it names none."""
    return next((unit for end, unit in _SUFFIXES.items() if name.endswith(end)), "")


def parse_notes(text: str) -> dict[str, FieldNote]:
    """Notes of the fields in the text of an `.lcm` file, each from the comment above it: `lcm-gen` gives a field the
    comment before it, in every language, and that at the end of a line to the field after."""
    notes, above = {}, list[str]()
    for line in text.splitlines():
        if line.lstrip().startswith("//"):
            above.append(line.strip().lstrip("/ "))
            continue
        comment, above = " ".join(above), []
        match = _FIELD.match(line)
        if match is None or line.startswith("package"):
            continue
        name = match["name"]
        said = _COMMENT_UNITS.match(comment)
        units = tuple(said["units"].split(", ")) if said else tuple(filter(None, (unit_of_name(name),)))
        notes[name] = FieldNote(units, comment)
    return notes


@cache
def field_notes(kind: Any) -> Mapping[str, FieldNote]:
    """Notes of every field of a message class of `CHANNEL_TYPES`."""
    file = Path(lcm_types.__file__).with_name(f"{kind.__name__}.lcm")
    return parse_notes(file.read_text(encoding="utf-8"))
