"""Commands from the keyboard of a terminal."""

from __future__ import annotations

import math
import os
import select
import sys

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import COMMAND_TIMEOUT_NS, Note, OperatorCommand
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S


class KeyboardCommand:
    """From the terminal: keys are held down, and 0.5 s after letting go the robot stands still."""

    HELP = (
        "keys: u stand up · hold w walk · hold a / d turn left / right · + / - speed · "
        "1 … 9 policy, while standing · x stop and quit · e torque off now"
    )
    name = "keyboard"

    def __init__(self, spec: RobotSpec, speed: float, turn_rate: float) -> None:
        import termios
        import tty

        self._spec, self._speed, self._turn_rate = spec, speed, turn_rate
        self._termios = termios
        self._handle = sys.stdin.fileno()
        self._saved = termios.tcgetattr(self._handle)
        tty.setcbreak(self._handle)
        self._walk_ns = self._turn_ns = -COMMAND_TIMEOUT_NS - 1
        self._heard_ns: int | None = None
        self._turn = 0.0
        self._ended = False

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        stand = estop = False
        policy = 0
        notes: tuple[Note, ...] = ()
        while select.select([self._handle], [], [], 0)[0]:
            keys = os.read(self._handle, 64).decode(errors="ignore").lower()
            if not keys:
                if not self._ended:
                    notes = (Note("the terminal is gone: stopping softly", warning=True),)
                self._ended = True
                break
            self._heard_ns = now_ns
            for key in keys:
                if key == "w":
                    self._walk_ns = now_ns
                elif key in "ad":
                    self._turn, self._turn_ns = (self._turn_rate if key == "a" else -self._turn_rate), now_ns
                elif key in "+-":
                    low, high = self._spec.command.linear_velocity_x
                    self._speed = min(max(self._speed + (0.05 if key == "+" else -0.05), low), high)
                elif key in "123456789":
                    policy = int(key)
                stand, estop = stand or key == "u", estop or key == "e"
                self._ended = self._ended or key == "x"
        walking = now_ns - self._walk_ns <= COMMAND_TIMEOUT_NS
        turning = now_ns - self._turn_ns <= COMMAND_TIMEOUT_NS
        held = walking or turning
        command = OperatorCommand(
            self._speed if walking else 0.0,
            self._turn if turning else 0.0,
            stand=stand,
            stop=self._ended,
            estop=estop,
            end=self._ended,
            policy=policy,
            source=self.name if held else "",
            age_s=math.nan if self._heard_ns is None else (now_ns - self._heard_ns) / NS_PER_S,
            lost="" if held else "no key held",
            notes=notes,
        )
        return command.clipped(self._spec)

    def close(self) -> None:
        self._termios.tcsetattr(self._handle, self._termios.TCSADRAIN, self._saved)
