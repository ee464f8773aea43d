"""Which button does what on pads that somebody was asked about: a file of the person's own, or of the machine's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from wildrobot.core.config import from_dict, load_yaml, to_dict
from wildrobot.core.errors import UserError
from wildrobot.core.files import alone_with, atomic_write

_FILE = Path("wildrobot") / "gamepads.yaml"
_HEADER = """# Which button of which gamepad does what, by its number in SDL: written by `wildrobot gamepad learn`.
# Codes are those of Linux's input-event-codes.h. Delete an entry, and its pad is asked about again.
"""


@dataclass(frozen=True)
class LearnedPad:
    """What somebody pressed and pushed."""

    name: str
    deadman: int
    stand: int
    soft_stop: int
    estop: int
    speed_axis: int
    speed_inverted: bool
    """Forward is this axis' maximum; with most pads it is its minimum."""
    turn_axis: int
    turn_inverted: bool
    """Right is this axis' minimum; with most pads it is its maximum."""


def own_file(environment: Mapping[str, str]) -> Path | None:
    """$XDG_CONFIG_HOME/wildrobot/gamepads.yaml, or ~/.config/...; None for a user without a home."""
    if os.path.isabs(base := environment.get("XDG_CONFIG_HOME", "")):
        return Path(base) / _FILE
    home = environment.get("HOME", "")
    return Path(home) / ".config" / _FILE if os.path.isabs(home) else None


def all_files(environment: Mapping[str, str]) -> list[Path]:
    """The person's own file, then those of $XDG_CONFIG_DIRS (/etc/xdg), which services read, too."""
    folders = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    own = own_file(environment)
    machine = [Path(folder) / _FILE for folder in folders.split(":") if os.path.isabs(folder)]
    return [*([own] if own is not None else []), *machine]


def read(path: Path) -> dict[str, LearnedPad]:
    """The pads in a file, by their GUID; none if there is no such file or it may not be read at all.

    Raises:
        UserError: it is not such a file.
    """
    try:
        if not path.is_file():
            return {}
    except PermissionError:  # a service may not look into homes
        return {}
    return {str(number): _pad(number, entry, path) for number, entry in load_yaml(path).items()}


def _pad(number: object, entry: object, path: Path) -> LearnedPad:
    if not isinstance(entry, dict):
        raise UserError(
            f"{path} has {entry!r} for the gamepad {number}, expected its buttons. Delete the entry."
        )
    return from_dict(LearnedPad, entry, where=f"{path}: {number}")


def find(number: str, environment: Mapping[str, str]) -> tuple[LearnedPad, Path] | None:
    """What was learned about the pad with this GUID, and where that stands.

    Raises:
        UserError: a file of learned pads is broken.
    """
    for path in all_files(environment):
        pad = read(path).get(number)
        if pad is not None:
            return pad, path
    return None


def write(path: Path, number: str, pad: LearnedPad) -> None:
    """Put a pad into the file, in place of what it holds about it; the others stay.

    Raises:
        UserError: it cannot be written, or what is there is broken.
    """
    with alone_with(path):
        entries = {other: to_dict(known) for other, known in read(path).items()} | {number: to_dict(pad)}
        with atomic_write(path) as temporary:
            temporary.write_text(_HEADER + yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")
