"""Presets: YAML files with a section for each command that reads them, in presets/ or of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from wildrobot.core.config import from_dict, load_yaml
from wildrobot.core.errors import UserError
from wildrobot.core.nearest import nearest

T = TypeVar("T")
PRESETS = Path(__file__).parent / "presets"


def preset_path(name: str) -> Path:
    """The file of a preset: NAME of presets/NAME.yaml, or the path of a file that ends in .yaml.

    Raises:
        UserError: no such preset (the known ones are named).
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else PRESETS / f"{name}.yaml"
    if not path.exists():
        known = sorted(p.stem for p in PRESETS.glob("*.yaml"))
        near = nearest(name, known)
        hint = f" Did you mean '{near}'?" if near else ""
        raise UserError(
            f"no preset '{name}'; known presets: {', '.join(known)}, or the path of a .yaml file.{hint}"
        )
    return path


def apply_preset(base: T, name: str, section: str, **extra: Any) -> T:
    """`base` with the values of one section of a preset, and `extra` where that section is silent.

    Raises:
        UserError: no such preset, or a key that the configuration does not know.
    """
    path = preset_path(name)
    return from_dict(type(base), extra | load_yaml(path).get(section, {}), base, str(path))
