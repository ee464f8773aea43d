"""Checkpoints: tensors and plain data only, written atomically, read with `weights_only=True`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write

_NUMPY = "__numpy__"


def _to_torch(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {_NUMPY: torch.from_numpy(np.ascontiguousarray(value)).clone()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _to_torch(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_torch(item) for item in value)
    return value


def _from_torch(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_NUMPY}:
            return value[_NUMPY].numpy().copy()
        return {key: _from_torch(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_from_torch(item) for item in value)
    return value


def to_bytes(state: dict[str, Any]) -> bytes:
    """Nested dicts of tensors, numpy arrays, numbers and strings as bytes, for another process."""
    buffer = io.BytesIO()
    torch.save(_to_torch(state), buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """Inverse of `to_bytes`."""
    state: dict[str, Any] = _from_torch(torch.load(io.BytesIO(data), weights_only=True))
    return state


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write nested dicts of tensors, numpy arrays, numbers and strings."""
    with atomic_write(path) as temporary:
        torch.save(_to_torch(state), temporary)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        UserError: the file is missing, truncated or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}. Give a run folder that `wildrobot train` has written to.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a broken file
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:140]
        raise UserError(
            f"{path} is not a whole checkpoint ({reason}). "
            "It may be truncated; use an older copy or train again."
        ) from error
    if not isinstance(state, dict) or "iteration" not in state:
        raise UserError(f"{path} is not a checkpoint of this project: it has no 'iteration'.")
    result: dict[str, Any] = _from_torch(state)
    return result
