"""Which extra of the package brings which optional import, and what to say where one is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from wildrobot.core.errors import UserError

EXTRA_OF = {
    "mujoco": "sim",
    "av": "sim",
    "viser": "view",
    "mjviser": "view",
    "websockets": "view",
    "torch": "train",
    "tensorboard": "train",
    "onnx": "train",
    "onnxscript": "train",
    "mcap": "log",
    "protobuf": "log",
    "pyarrow": "log",
}
"""Package -> extra; tests/test_extras.py holds it against pyproject.toml."""
INSTALLED_AS = {"google": "protobuf"}
"""Packages that are imported by another name than they are installed by."""
CONTAINED = {"view": ("sim",), "train": ("sim",)}
"""Extras that bring others along."""


def missing_extra(package: str, preferred: str = "") -> str | None:
    """The extra that brings an import: `preferred`, if it does; None if no extra does."""
    name = package.partition(".")[0]
    extra = EXTRA_OF.get(INSTALLED_AS.get(name, name))
    return preferred if extra in CONTAINED.get(preferred, ()) else extra


def not_installed(program: str, package: str, extra: str) -> UserError:
    """The one line that says what to install."""
    return UserError(
        f"'{program}' needs the Python package '{INSTALLED_AS.get(package, package)}', which is not installed. "
        f"Install it with: pip install 'wildrobot[{extra}]'"
    )


def require_packages(program: str, packages: Iterable[str], extra: str) -> None:
    """Look for packages without importing them, before work begins that needs them in the end.

    Raises:
        UserError: one is not installed.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise not_installed(program, package, extra)
