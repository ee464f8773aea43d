"""Faults from text: `--fault "2.0s silent servo=3 for=0.5s"`, and YAML files with a list under `faults`.

faults:
  - {fault: silent, at: 2.0, for: 0.5, servo: 3}
  - {fault: push, at: 4.0, y: 0.4}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wildrobot.core.config import load_yaml
from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault, Kind
from wildrobot.firmware_bridge.virtual.faults.table import FAULTS

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
        raise UserError(f"{where}: there is no fault '{name}'; {did_you_mean(name, BY_NAME)}")
    kind = BY_NAME[name]
    kinds = dict.fromkeys(_TIMES, Kind.NUMBER) | {each.name: each.kind for each in kind.parameters}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in kinds:
            raise UserError(f"{where}: '{name}' has no '{key}'; {did_you_mean(key, kinds)}")
        arguments[_TIMES.get(key, key)] = _convert(kinds[key], key, value, f"{where}: {key}")
    needed = [each.name for each in kind.parameters if each.default is None]
    if lacking := [key for key in needed if key not in arguments]:
        raise UserError(f"{where}: '{name}' needs {', '.join(lacking)}. Give it as KEY=VALUE.")
    fault = kind(**arguments)
    fault.check()
    return fault


def describe_faults() -> str:
    """Every fault with its keys and what it does, for --help and the documentation."""
    lines = []
    for kind in FAULTS:
        keys = [] if kind.for_s is None else [f"[for={kind.for_s:g}]"]
        for each in kind.parameters:
            keys.append(f"{each.name}=..." if each.default is None else f"[{each.name}={each.default:g}]")
        lines.append(f"  {kind.name} {' '.join(keys)}".rstrip())
        lines.append(f"      {kind.what}")
    return "\n".join(lines)


def _convert(kind: Kind, key: str, value: Any, where: str) -> Any:
    text = str(value)
    if kind in (Kind.DEVICE, Kind.SERVO):
        return int(text) if text.isdigit() else text
    if kind in (Kind.FOOT, Kind.REGISTER):
        return text
    number = text.removesuffix("s") if key in _TIMES or key.endswith("_s") else text
    try:
        return int(number) if kind is Kind.WHOLE else float(number)
    except ValueError:
        raise UserError(f"{where} is '{text}', expected a {kind.value}.") from None
