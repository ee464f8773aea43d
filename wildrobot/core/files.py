"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it onto `path` if the block ends without an error.

    The temporary file keeps the suffix of `path`, for writers that look at it.

    Raises:
        UserError: the folder cannot be made or written to, or `path` itself is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: a folder has this name. Choose another name for the file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_with(path: str | os.PathLike[str]) -> Iterator[None]:
    """For the block, no other process of this machine may make the file or folder `path` under this lock.

    The lock is a hidden file beside `path`; it falls with the process, however that ends. Without locks (Windows)
    nobody is kept out.

    Raises:
        UserError: another process is at it, or the folder cannot be written to.
    """
    path = Path(path)
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock = path.parent / f".{path.name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write {lock}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise UserError(
                f"process {file.read().strip() or '?'} has {path} already. Wait for it or stop it, or choose "
                "another place."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The JSON document in a file, NaN and infinities as None; None where there is no file.

    Raises:
        UserError: it is there and broken.
    """
    import json

    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable JSON ({error}). Delete it or write it again.") from error


def read_json_object(path: Path) -> dict[str, Any] | None:
    """`read_json` of a document that is an object.

    Raises:
        UserError: it is there, and broken or something else.
    """
    document = read_json(path)
    if document is not None and not isinstance(document, dict):
        raise UserError(
            f"{path} holds a {type(document).__name__}, expected an object. Delete it or write it again."
        )
    return document


def json_document(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinities as None, tuples as lists, paths as text."""
    if isinstance(value, dict):
        return {key: json_document(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_document(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """Write a document as a JSON file, atomically; `-` prints it."""
    import json

    text = json.dumps(json_document(document), indent=1, allow_nan=False) + "\n"
    if is_stdout(path):
        print(text, end="")
    else:
        write_text(path, text)


def is_stdout(path: str | os.PathLike[str] | None) -> bool:
    """Whether a file argument is `-`: what is printed then is that document and nothing else."""
    return path is not None and os.fspath(path) == "-"
