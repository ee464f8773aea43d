"""What commands write: whether they can, asked before their work begins, and notes about that work."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from wildrobot.core.errors import UserError


def note(text: str) -> None:
    """Say what is being done, on stderr."""
    Console(stderr=True).print(text, soft_wrap=True, markup=False)


def check_file(flag: str, file: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        UserError: it is a folder, or the folder it goes to cannot be written to.
    """
    if file.is_dir() or _refusal(file.absolute().parent):
        raise UserError(f"cannot write {flag} {file}. Choose a file where you may write.")


def check_folder(flag: str, folder: Path) -> None:
    """Refuse a folder that files could not be written into.

    Raises:
        UserError: it is a file, or cannot be made or written to.
    """
    if reason := _refusal(folder.absolute()):
        raise UserError(f"cannot write {flag} {folder}: {reason}. Choose a folder to write to.")


def _refusal(folder: Path) -> str:
    """Why no file can be made in a folder, or where it would be made; empty if one can.

    One is made to see that: rights do not tell of a full disk, or of what is no file system to write to.
    """
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return error.strerror or str(error)
