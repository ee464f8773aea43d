"""Generate the Python packages of the LCM types from their `.lcm` files: `python scripts/generate_lcm_types.py`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "wildrobot"
RUNTIME = ROOT / "runtime" / "telemetry" / "lcm_types"
VIRTUAL = ROOT / "firmware_bridge" / "virtual" / "lcm_types"
PACKAGE = "wildrobot_lcm"


def find_lcm_tool(name: str) -> str:
    """Path of a program of the `lcm` wheel: beside this Python first, then on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        sys.exit(f"{name} was not found; it comes with the Python package lcm: pip install lcm")
    return found


def generate(sources: Path, folder: Path) -> Path:
    """Write the package of the `.lcm` files in `sources` into `folder`; returns the package's path."""
    files = [str(path) for path in sorted(sources.glob("*.lcm"))]
    subprocess.run([find_lcm_tool("lcm-gen"), "--python", "--ppath", str(folder), *files], check=True)
    return folder / PACKAGE


if __name__ == "__main__":
    for sources in (RUNTIME, VIRTUAL):
        shutil.rmtree(sources / PACKAGE, ignore_errors=True)
        print(f"wrote {generate(sources, sources)}")
