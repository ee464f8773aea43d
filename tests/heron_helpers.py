"""Heron, the second robot of the tests, and its description with changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERON = Path(__file__).parent / "robots" / "heron" / "robot.yaml"
PRESET = str(HERON.with_name("preset.yaml"))


def changed(folder: Path, yaml_change: Any = None, xml_change: Any = None) -> Path:
    """Heron's description after `yaml_change(data)` and `xml_change(text)`."""
    data, text = yaml.safe_load(HERON.read_text()), HERON.with_name("heron.xml").read_text()
    if yaml_change is not None:
        yaml_change(data)
    changed_text = xml_change(text) if xml_change is not None else text
    assert xml_change is None or changed_text != text
    (folder / "heron.xml").write_text(changed_text)
    (folder / "robot.yaml").write_text(yaml.safe_dump(data))
    return folder / "robot.yaml"


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)
