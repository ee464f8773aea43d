"""Typed dataclass configurations with YAML files: strict, so that no key is ever dropped silently."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml

from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean

T = TypeVar("T")


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; `UserError` when the file is missing, broken or something else than a mapping."""
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}. Give a YAML file that exists."
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}. Mend the line it names.") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(f"{path} holds a {type(data).__name__}, expected a mapping of keys to values.")
    return data


def from_dict(cls: type[T], data: dict[str, Any], base: T | None = None, where: str = "configuration") -> T:
    """Build dataclass `cls` from a mapping; fields not named keep their value in `base` or their default.

    Raises:
        UserError: an unknown key (the nearest known one is named), a missing one, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    if base is not None:
        values = {name: getattr(base, name) for name in names}
    for key, value in data.items():
        if key not in names:
            hint = did_you_mean(str(key), names, "known keys")
            raise UserError(f"unknown key '{key}' in {where} ({cls.__name__}); {hint}")
        values[key] = _convert(hints[key], value, values.get(key), f"{where}.{key}")
    missing = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{where} ({cls.__name__}) lacks {', '.join(missing)}; add what is missing.")
    return cls(**values)


def load_config(cls: type[T], source: str | Path | dict[str, Any], base: T | None = None) -> T:
    """`from_dict` from a YAML file or a mapping."""
    if isinstance(source, dict):
        return from_dict(cls, source, base)
    return from_dict(cls, load_yaml(source), base, where=str(source))


def check_least(config: Any, **least: float) -> None:
    """Fields of a configuration, numbers or tuples of them, must be as large as named.

    Raises:
        UserError: one is smaller, or no number.
    """
    for name, bound in least.items():
        value = getattr(config, name)
        if not all(one >= bound for one in (value if isinstance(value, tuple) else (value,))):
            raise UserError(f"{name} is {value}, expected {bound:g} or more.")


def to_dict(config: Any) -> dict[str, Any]:
    """Plain mapping (lists instead of tuples) of a dataclass configuration, for YAML and checkpoints."""
    return typing.cast("dict[str, Any]", _plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _convert(hint: Any, value: Any, current: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        options = [option for option in get_args(hint) if option is not type(None)]
        for option in options[:-1]:
            try:
                return _convert(option, value, current, where)
            except UserError:
                continue
        return _convert(options[-1], value, current, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if dataclasses.is_dataclass(value):
            return value
        if not isinstance(value, dict):
            raise UserError(f"{where} is {value!r}, expected a mapping of {hint.__name__} fields.")
        return from_dict(hint, value, current, where)
    if origin is typing.Literal:
        if value not in get_args(hint):
            raise UserError(f"{where} is {value!r}, expected one of {', '.join(map(repr, get_args(hint)))}.")
        return value
    if origin is tuple:
        arguments = get_args(hint)
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where} is {value!r}, expected a list.")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(arguments[0], item, None, where) for item in value)
        if len(arguments) != len(value):
            raise UserError(f"{where} has {len(value)} values, expected {len(arguments)}.")
        return tuple(_convert(kind, item, None, where) for kind, item in zip(arguments, value, strict=True))
    if origin is list:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where} is {value!r}, expected a list.")
        return [_convert(get_args(hint)[0], item, None, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise UserError(f"{where} is {value!r}, expected a mapping.")
        return {key: _convert(get_args(hint)[1], item, None, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise UserError(f"{where} is {value!r} ({type(value).__name__}), expected {expected}.")
