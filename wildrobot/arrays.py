"""The array library of some arrays, by the names of the Python array API standard."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace as _standard

_NUMPY = np if hasattr(np, "astype") else None
"""NumPy from 2.1 on has the standard's names itself; before, and for other libraries, wrappers have them."""


def array_namespace(*arrays: Any) -> Any:
    """The library's namespace; NumPy's own without wrappers, which would cost a control tick of one robot a tenth."""
    if _NUMPY is not None and all(type(array) is np.ndarray for array in arrays):
        return _NUMPY
    return _standard(*arrays)
