"""How a help names values and defaults: `--duration SECONDS`, and nothing where the default says nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import tyro

UNITS = {
    "_m_s2": "M/S2",
    "_rad_s": "RAD/S",
    "_m_s": "M/S",
    "_rad": "RAD",
    "_deg": "DEG",
    "_hz": "HZ",
    "_ms": "MS",
    "_s": "SECONDS",
    "_m": "M",
    "_v": "VOLTS",
    "_dir": "FOLDER",
}
"""What the end of an option's name says of its value."""
KINDS = {int: "N", float: "NUMBER", str: "NAME", Path: "FILE"}

_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _whole_number(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[int] | None:
    """What becomes a flag for each key of a mapping has no annotation of its own."""
    if info.type is not int:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=KINDS[int],
        instance_from_str=lambda words: int(words[0]),
        is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


@contextlib.contextmanager
def worded(options: Any, switches: bool) -> Iterator[None]:
    """Annotate the fields of a dataclass, and of those inside it, for as long as tyro reads them.

    tyro takes such wording from annotations only, one by one. `switches`: a truth value has no flag that turns it off.
    """
    with contextlib.ExitStack() as stack, _registry:
        for cls in _dataclasses(options, {}):
            own = inspect.get_annotations(cls)
            hints = typing.get_type_hints(cls, include_extras=True)
            stack.callback(setattr, cls, "__annotations__", own)
            cls.__annotations__ = own | {name: _annotated(name, hints[name], switches) for name in own}
        yield


def metavar(name: str, hint: Any) -> str | None:
    """What stands for an option's value in its help; None: what tyro makes of it, or it has none."""
    kinds = [kind for kind in get_args(hint) if kind is not types.NoneType]
    if get_origin(hint) in (Union, types.UnionType):
        return metavar(name, kinds[0]) if len(kinds) == 1 else None
    if get_origin(hint) is Annotated:
        return metavar(name, kinds[0])
    if get_origin(hint) is typing.Literal:
        return "{" + ",".join(str(choice) for choice in kinds) + "}"
    if get_origin(hint) is tuple:
        one = metavar(name, kinds[0])
        return f"{one} [{one} ...]" if kinds[1:] == [...] else " ".join(filter(None, [one] * len(kinds)))
    if hint not in KINDS:
        return None
    return next((unit for end, unit in UNITS.items() if f"_{name}".endswith(end)), KINDS[hint])


def _annotated(name: str, hint: Any, switches: bool) -> Any:
    base, given = (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())
    shown = metavar(name, base)
    if shown is None and base is not bool:
        return hint

    def default(label: str) -> str:
        if base is bool:
            return {"True": "(default: on)", "False": "" if switches else "(default: off)"}[str(label)]
        return "" if str(label) in ("", "None") else f"(default: {label})"

    return Annotated[(base, tyro.conf.arg(metavar=shown, help_behavior_hint=default), *given)]


def _dataclasses(hint: Any, found: dict[type, None]) -> dict[type, None]:
    """All dataclasses that a type is made of, and their bases."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in found:
        found |= dict.fromkeys(cls for cls in hint.__mro__ if dataclasses.is_dataclass(cls))
        for part in typing.get_type_hints(hint, include_extras=True).values():
            _dataclasses(part, found)
    for part in get_args(hint):
        _dataclasses(part, found)
    return found
