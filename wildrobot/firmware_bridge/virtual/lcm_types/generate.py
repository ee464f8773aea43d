"""Generate the Python package: `python -m wildrobot.firmware_bridge.virtual.lcm_types.generate`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from wildrobot.core.errors import UserError

SOURCES = Path(__file__).parent
PACKAGE = "wildrobot_lcm"


def generate(folder: Path) -> Path:
    """Write the generated package into `folder`; returns the package's path.

    Raises:
        UserError: lcm-gen is not installed.
    """
    beside = Path(sys.executable).parent / "lcm-gen"
    tool = str(beside) if beside.exists() else shutil.which("lcm-gen")
    if tool is None:
        raise UserError("lcm-gen was not found; it comes with the Python package lcm: pip install lcm")
    files = [str(path) for path in sorted(SOURCES.glob("*.lcm"))]
    subprocess.run([tool, "--python", "--ppath", str(folder), *files], check=True)
    return folder / PACKAGE


if __name__ == "__main__":
    shutil.rmtree(SOURCES / PACKAGE, ignore_errors=True)
    print(f"wrote {generate(SOURCES)}")
