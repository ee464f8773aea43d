"""A fault of the bus in real time: `wildrobot-run` against `wildrobot virtual-robot`, two programs and a pty."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from process_helpers import Runtime, VirtualServer, read_figures

from faults.case import FALLS, STOPS, WALKS, Case
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault

FAULT_S = 8.0
"""After the virtual robot's start: the runtime walks by then."""


def schedule(fault: Fault) -> str:
    """The fault as `wildrobot virtual-robot --faults` reads it."""
    values = {"at": fault.at_s, **fault.values}
    if fault.for_s is not None and not fault.kind.momentary:
        values["for"] = fault.for_s
    return yaml.safe_dump({"faults": [{"fault": fault.kind.name, **values}]})


def run_over_pty(case: Case, folder: Path) -> dict[str, Any]:
    """One run; what became of it and every rule that it broke."""
    link, faults, figures = folder / "port", folder / "faults.yaml", folder / "run.json"
    faults.write_text(schedule(case.fault(FAULT_S)), encoding="utf-8")
    figures.unlink(missing_ok=True)
    flags = [
        "--robot",
        "dynamixel",
        "--port",
        str(link),
        "--duration",
        "8",
        "--no-lcm",
        "--json",
        str(figures),
        "--yes",
        "--countdown",
        "1",
    ]
    with VirtualServer(link, "--faults", str(faults)), Runtime(*flags) as run:
        code = run.finish()
    said, measured = "".join(run.said), read_figures(figures)
    outcome = WALKS if code == 0 else FALLS if measured.get("falls") else STOPS
    broken = []
    if outcome not in case.outcomes:
        broken.append(f"{outcome}, expected: {' or '.join(case.outcomes)}")
    if case.named is not None and not re.search(case.named, said):
        broken.append("not reported")
    if not measured:
        broken.append(f"no figures: {said[-500:]}")
    tick = measured.get("tick", {})
    return {"case": case.name, "outcome": outcome, "missed": tick.get("missed"), "ticks": tick.get("count"),
            "broken": broken}  # fmt: skip
