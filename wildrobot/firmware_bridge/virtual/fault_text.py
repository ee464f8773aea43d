"""Faults from text: `--fault "2.0s silent servo=3 for=0.5s"`, and YAML files with a list under `faults`.

faults:
  - {fault: silent, at: 2.0, for: 0.5, servo: 3}
  - {fault: push, at: 4.0, y: 0.4}
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wildrobot.core.config import load_yaml
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.virtual.faults import FAULTS, Fault, Target

BY_NAME = {kind.name: kind for kind in FAULTS}
_TIMES = {"at": "at_s", "for": "for_s"}
_FORM = "expected TIME NAME [KEY=VALUE ...], for example '2.0s silent servo=3 for=0.5s'."


def parse_fault(text: str) -> Fault:
    """One fault from its line: time, name, then what it needs.

    Raises:
        UserError: an unknown name or key (the nearest is named), or a value that is none.
    """
    words = text.split()
    if len(words) < 2:
        raise UserError(f"fault '{text}': {_FORM}")
    values: dict[str, Any] = {"at": words[0]}
    for word in words[2:]:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"fault '{text}': '{word}' has no '='; {_FORM}")
        values[key] = value
    return make_fault(words[1], values, where=f"fault '{text}'")


def load_faults(path: Path) -> list[Fault]:
    """Faults of a YAML schedule.

    Raises:
        UserError: the file cannot be read, or a fault in it is wrong.
    """
    content = load_yaml(path)
    listed = content.pop("faults", None)
    if not isinstance(listed, list) or content:
        raise UserError(
            f"{path}: expected one key 'faults' with a list of mappings, found {sorted(content)}."
        )
    found = []
    for i, item in enumerate(listed):
        where = f"{path}: faults[{i}]"
        if not isinstance(item, dict) or "fault" not in item:
            raise UserError(
                f"{where} is {item!r}, expected a mapping with 'fault', 'at' and what the fault needs."
            )
        values = dict(item)
        found.append(make_fault(str(values.pop("fault")), values, where))
    return found


def make_fault(name: str, values: dict[str, Any], where: str) -> Fault:
    """A fault by its name with its values, text or numbers.

    Raises:
        UserError: see `parse_fault`.
    """
    if name not in BY_NAME:
        raise UserError(f"{where}: there is no fault '{name}'; {_near(name, BY_NAME)}")
    kind = BY_NAME[name]
    hints = typing.get_type_hints(kind)
    fields = list(dataclasses.fields(kind))
    keys = {_key(field.name): field.name for field in fields}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in keys:
            raise UserError(f"{where}: '{name}' has no '{key}'; {_near(key, keys)}")
        arguments[keys[key]] = _convert(hints[keys[key]], value, f"{where}: {key}")
    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    if lacking := [_key(field) for field in needed if field not in arguments]:
        raise UserError(f"{where}: '{name}' needs {', '.join(lacking)}. Give it as KEY=VALUE.")
    fault = kind(**arguments)
    fault.check()
    return fault


def describe_faults() -> str:
    """Every fault with its keys and what it does, for --help and the documentation."""
    lines = []
    for kind in FAULTS:
        keys = []
        for field in dataclasses.fields(kind):
            if field.name == "at_s" or (field.name == "for_s" and kind.momentary):
                continue
            if field.default is dataclasses.MISSING:
                keys.append(f"{_key(field.name)}=...")
            elif field.default is not None:
                keys.append(f"[{_key(field.name)}={field.default:g}]")
        lines.append(f"  {kind.name} {' '.join(keys)}".rstrip())
        lines.append(f"      {' '.join((kind.__doc__ or '').split())}")
    return "\n".join(lines)


def _key(field: str) -> str:
    return next((key for key, name in _TIMES.items() if name == field), field)


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}."


def _convert(hint: Any, value: Any, where: str) -> Any:
    text = str(value)
    if hint == Target:
        return int(text) if text.isdigit() else text
    if hint is str:
        return text
    number = text.removesuffix("s") if where.endswith(("at", "for", "_s")) or hint == float | None else text
    try:
        return int(number) if hint is int else float(number)
    except ValueError:
        kind = "whole number" if hint is int else "number"
        raise UserError(f"{where} is '{text}', expected a {kind}.") from None
