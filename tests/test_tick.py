"""What one tick on the bus passes through: few enough files that a newcomer can read them in an evening."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dynamixel_helpers import Session
from test_publisher import configuration, run_time

from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.telemetry.publisher import Publisher
from wildrobot.runtime.telemetry.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[1] / "wildrobot"
MOST_FILES = 25
REAL_PORT = "firmware_bridge/bus/serial_transport.py"
"""In place of the virtual robot's transport."""


def test_a_walking_tick_passes_through_few_files_and_makes_no_messages(tmp_path: Path) -> None:
    session, passed = Session(), set[str]()
    telemetry = Telemetry(tmp_path / "log", None, "alice")
    session.controller.publisher = Publisher(telemetry.outbox, configuration(), run_time())
    session.until(State.WALKING)

    def look(frame: Any, event: str, _: object) -> None:
        if event == "call":
            passed.add(frame.f_code.co_filename)

    for _ in range(51):  # one of them tells of timing and health, too
        session.timer.start(*session.clock.wait())
        now_ns = session.clock.now_ns()
        sys.setprofile(look)
        session.controller.tick(now_ns)
        sys.setprofile(None)
        session.timer.finish()
    telemetry.close()
    ours = {Path(file).relative_to(ROOT) for file in passed if file.startswith(f"{ROOT}/")}
    own = {str(path) for path in ours if "virtual" not in path.parts}
    assert {"runtime/control/controller.py", "firmware_bridge/bus/servo_bus.py"} <= own
    assert len(own | {REAL_PORT}) <= MOST_FILES, sorted(own)
    assert not any("lcm_types" in path or "messages" in path for path in own)
