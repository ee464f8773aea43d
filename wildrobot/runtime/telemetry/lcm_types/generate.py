"""Generate the Python package from the `.lcm` files: `python -m wildrobot.runtime.telemetry.lcm_types.generate`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from wildrobot.core.errors import UserError

SOURCES = Path(__file__).parent
PACKAGE = "wildrobot_lcm"


def find_lcm_tool(name: str) -> str:
    """Path of a program of the `lcm` wheel: beside this Python first, then on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise UserError(f"{name} was not found; it comes with the Python package lcm: pip install lcm")
    return found


def generate(folder: Path) -> Path:
    """Write the generated package into `folder`; returns the package's path."""
    files = [str(path) for path in sorted(SOURCES.glob("*.lcm"))]
    subprocess.run([find_lcm_tool("lcm-gen"), "--python", "--ppath", str(folder), *files], check=True)
    return folder / PACKAGE


if __name__ == "__main__":
    shutil.rmtree(SOURCES / PACKAGE, ignore_errors=True)
    print(f"wrote {generate(SOURCES)}")
