"""State of running objects as plain data, so that a run can be saved and continued to the bit."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

import numpy as np


class Stateful:
    """Names its state in `state_fields`: arrays, numbers, dataclasses of arrays, generators or Stateful objects."""

    state_fields: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """Plain data (numpy arrays, numbers, strings, None, dicts)."""
        return {name: _pack(getattr(self, name)) for name in self.state_fields}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put `state_dict`'s data back; `KeyError` when a field is missing."""
        for name in self.state_fields:
            setattr(self, name, _unpack(getattr(self, name), state[name]))


def _pack(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state_dict()
    if isinstance(value, np.random.Generator):
        return json.dumps(value.bit_generator.state)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _pack(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"dataclass": f"{type(value).__module__}:{type(value).__name__}", **fields}
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _unpack(current: Any, packed: Any) -> Any:
    if isinstance(current, Stateful):
        current.load_state_dict(packed)
        return current
    if isinstance(current, np.random.Generator):
        current.bit_generator.state = json.loads(packed)
        return current
    if isinstance(packed, dict) and "dataclass" in packed:
        kind = _STATE_TYPES[packed["dataclass"].split(":")[1]]
        return kind(**{key: _unpack(None, item) for key, item in packed.items() if key != "dataclass"})
    if isinstance(packed, dict):
        known = current if isinstance(current, dict) else {}
        return {key: _unpack(known.get(key), item) for key, item in packed.items()}
    return packed


_STATE_TYPES: dict[str, type[Any]] = {}


def state_type(cls: type[Any]) -> type[Any]:
    """Class decorator: this dataclass may stand in a saved state."""
    _STATE_TYPES[cls.__name__] = cls
    return cls
