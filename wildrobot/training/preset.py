"""Presets: YAML files in presets/, with a section for each command that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from wildrobot.config import from_dict, load_yaml
from wildrobot.errors import UserError

T = TypeVar("T")
PRESETS = Path(__file__).parent / "presets"


def apply_preset(base: T, name: str, section: str, **extra: Any) -> T:
    """`base` with the values of one section of presets/NAME.yaml, and `extra` where that section is silent.

    Raises:
        UserError: no such preset (the known ones are named), or a key that the configuration does not know.
    """
    path = PRESETS / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.yaml")))
        raise UserError(f"no preset '{name}'; known presets: {known}.")
    return from_dict(type(base), extra | load_yaml(path).get(section, {}), base, str(path))
