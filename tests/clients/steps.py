"""What every client's programme shares: the steps by name, each done with the client's own call, printed as JSON lines.

Standard library only: it runs in each client's own environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

PORT, BAUD = sys.argv[1], 1_000_000
SERVOS = list(range(1, 10))
ONE, GROUP = 4, [1, 2, 3]
"""The servo that is asked alone, and some that are asked together."""
LED, P_GAIN, PROFILE_VELOCITY, GOAL, TORQUE = 65, 84, 112, 116, 64
POSITION, VOLTAGE, TEMPERATURE, FIRMWARE = 132, 144, 146, 6


def step(name: str, action: Callable[[], Any]) -> Any:
    """Do one step and print what it brought; a failure is printed and does not stop the rest."""
    try:
        value = action()
    except Exception as error:  # whatever a client raises is its answer
        print(json.dumps({"step": name, "error": f"{type(error).__name__}: {error}"}), flush=True)
        return None
    print(json.dumps({"step": name, "value": value}), flush=True)
    return value


def settle(seconds: float = 0.5) -> None:
    """Let the robot move, or a servo start."""
    time.sleep(seconds)
