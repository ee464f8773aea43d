"""The array library of some arrays, by the names of the Python array API standard."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from array_api_compat import array_namespace as _standard


class Array(Protocol):
    """An array of any library that follows the Python array API standard, NumPy's and torch's among them."""

    @property
    def shape(self) -> Any: ...

    @property
    def ndim(self) -> int: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __add__(self, other: Any, /) -> Any: ...

    def __sub__(self, other: Any, /) -> Any: ...

    def __mul__(self, other: Any, /) -> Any: ...

    def __rmul__(self, other: Any, /) -> Any: ...

    def __truediv__(self, other: Any, /) -> Any: ...

    def __matmul__(self, other: Any, /) -> Any: ...

    def __lt__(self, other: Any, /) -> Any: ...

    def __gt__(self, other: Any, /) -> Any: ...

    def __and__(self, other: Any, /) -> Any: ...

    def __rand__(self, other: Any, /) -> Any: ...

    def __neg__(self) -> Any: ...

    def sum(self, axis: Any, /) -> Any: ...


A = TypeVar("A", bound=Array)
"""What a function gives is of the library of what it gets."""

_NUMPY = np if hasattr(np, "astype") else None
"""NumPy from 2.1 on has the standard's names itself; before, and for other libraries, wrappers have them."""


def array_namespace(*arrays: Any) -> Any:
    """The library's namespace; NumPy's own without wrappers, which would cost a control tick of one robot a tenth."""
    if _NUMPY is not None and all(type(array) is np.ndarray for array in arrays):
        return _NUMPY
    return _standard(*arrays)


class Constants:
    """Arrays that are converted once to each library, type and device they are needed in; whole numbers keep theirs."""

    def __init__(self, *values: Any) -> None:
        self._values = values
        self._known: dict[Any, tuple[Any, ...]] = {}

    def like(self, array: Any) -> tuple[Any, ...]:
        """The constants, to be used with `array`."""
        key = (type(array), array.dtype, getattr(array, "device", None))
        if key not in self._known:
            xp, device = array_namespace(array), key[2]
            self._known[key] = tuple(
                xp.asarray(value, dtype=None if value.dtype.kind in "iu" else array.dtype, device=device)
                for value in self._values
            )
        return self._known[key]
