"""What commands write: whether they can, asked before their work begins, and notes about that work."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from wildrobot.core.errors import UserError


def note(text: str) -> None:
    """Say what is being done, on stderr."""
    Console(stderr=True).print(text, soft_wrap=True, markup=False)


def check_file(flag: str, file: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        UserError: it is a folder, or it or the folder it goes to may not be written to.
    """
    if file.is_dir() or not _can_be_made(file.absolute().parent):
        raise UserError(f"cannot write {flag} {file}. Choose a file where you may write.")


def _can_be_made(folder: Path) -> bool:
    """Whether the folder is there, or can be made, and can be written to."""
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)
