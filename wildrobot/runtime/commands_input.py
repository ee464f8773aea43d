"""Where velocity commands come from: flags, the keyboard, or LCM; and what happens when they stop coming."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
from dataclasses import dataclass, replace
from typing import Any, Protocol

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.lcm_types import velocity_command_t
from wildrobot.runtime.loop import NS_PER_S
from wildrobot.runtime.state_machine import State

COMMAND_TIMEOUT_NS = NS_PER_S // 2
"""A person's command older than this asks for standing still."""


@dataclass(frozen=True)
class Command:
    """What the person asks for now."""

    linear_velocity_x: float = 0.0
    """m/s, forward."""
    yaw_rate: float = 0.0
    """rad/s, positive turns left."""
    stand: bool = False
    """Get up, if limp."""
    stop: bool = False
    """Soft stop: crouch and let go."""
    estop: bool = False
    end: bool = False
    """Leave the program once limp."""
    policy: int = 0
    """Number (from 1) of the policy to put in charge; 0: leave it."""

    def clipped(self, spec: RobotSpec) -> Command:
        """Inside the ranges of robot.yaml."""
        ranges = spec.command
        return replace(
            self,
            linear_velocity_x=min(
                max(self.linear_velocity_x, ranges.linear_velocity_x[0]), ranges.linear_velocity_x[1]
            ),
            yaw_rate=min(max(self.yaw_rate, ranges.yaw_rate[0]), ranges.yaw_rate[1]),
        )


class CommandSource(Protocol):
    """Polled once per tick; never blocks."""

    def poll(self, now_ns: int, state: State) -> Command: ...

    def close(self) -> None: ...


class FixedCommand:
    """From flags: stand up, follow one velocity for `duration_s`, then stop softly and end.

    The time counts from the first step, or from standing when the velocity is zero.
    """

    def __init__(self, spec: RobotSpec, speed: float, yaw_rate: float, duration_s: float) -> None:
        gait = spec.gait
        moves = abs(speed) > gait.moving_speed_m_s or abs(yaw_rate) > gait.moving_yaw_rate_rad_s
        self._counts_from = State.WALKING if moves else State.STANDING
        self._command = Command(speed, yaw_rate, stand=True)
        # In ticks, so that the length of a run does not hang on the clock.
        self._ticks_left = round(duration_s * spec.control_hz)
        self._counting = False

    def poll(self, now_ns: int, state: State) -> Command:
        self._counting = self._counting or state is self._counts_from
        if self._counting:
            self._ticks_left -= 1
            if self._ticks_left <= 0:
                return Command(stop=True, end=True)
        return self._command

    def close(self) -> None:
        """Nothing to release."""


class LcmCommand:
    """From LCM channel `velocity_command`. Every tick drains the queue: LCM keeps the oldest.

    The age of a command is the time since it arrived, so that clocks of two machines need not agree; a
    message that is no newer than the last one by its own timestamp is a repetition and does not count as
    having arrived.
    """

    def __init__(self, spec: RobotSpec, connection: Any) -> None:
        self._spec, self._lcm = spec, connection
        self._subscription = connection.subscribe("velocity_command", self._receive)
        self._latest: velocity_command_t | None = None
        self._arrived_ns = 0
        self._now_ns = 0
        self._request = velocity_command_t.NONE
        self.undecodable = 0

    def _receive(self, channel: str, data: bytes) -> None:
        try:
            message = velocity_command_t.decode(data)
        except Exception:
            # Whatever is in a foreign packet must not end the loop.
            self.undecodable += 1
            return
        alive = self._latest is not None and self._now_ns - self._arrived_ns <= COMMAND_TIMEOUT_NS
        if alive and self._latest is not None and message.timestamp_us <= self._latest.timestamp_us:
            # The sender's clock may have been set back: to stop twice harms nobody, not to stop does.
            if message.request >= velocity_command_t.STOP:
                self._request = max(self._request, message.request)
            return
        self._latest, self._arrived_ns = message, self._now_ns
        self._request = max(self._request, message.request)

    def poll(self, now_ns: int, state: State) -> Command:
        self._now_ns, self._request = now_ns, velocity_command_t.NONE
        for _ in range(100):  # bounded: a flood must not hold up the tick
            if self._lcm.handle_timeout(0) <= 0:
                break
        request = self._request
        command = Command(
            stand=request == velocity_command_t.STAND,
            stop=request == velocity_command_t.STOP,
            estop=request >= velocity_command_t.ESTOP,
        )
        latest = self._latest
        if latest is None or now_ns - self._arrived_ns > COMMAND_TIMEOUT_NS:
            return command
        velocity = (latest.linear_velocity_x, latest.yaw_rate)
        if not all(map(math.isfinite, velocity)):
            return command
        return replace(command, linear_velocity_x=velocity[0], yaw_rate=velocity[1]).clipped(self._spec)

    def close(self) -> None:
        self._lcm.unsubscribe(self._subscription)


class KeyboardCommand:
    """From the terminal: keys are held down, and 0.5 s after letting go the robot stands still."""

    HELP = (
        "keys: u stand up · hold w walk · hold a / d turn left / right · + / - speed · "
        "1 … 9 policy, while standing · x stop and quit · e let go now"
    )

    def __init__(self, spec: RobotSpec, speed: float, turn_rate: float) -> None:
        import termios
        import tty

        self._spec, self._speed, self._turn_rate = spec, speed, turn_rate
        self._termios = termios
        self._handle = sys.stdin.fileno()
        self._saved = termios.tcgetattr(self._handle)
        tty.setcbreak(self._handle)
        self._walk_ns = self._turn_ns = -COMMAND_TIMEOUT_NS - 1
        self._turn = 0.0
        self._ended = False

    def poll(self, now_ns: int, state: State) -> Command:
        stand = estop = False
        policy = 0
        while select.select([self._handle], [], [], 0)[0]:
            keys = os.read(self._handle, 64).decode(errors="ignore").lower()
            if not keys:
                self._ended = True  # the terminal is gone
                break
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
        command = Command(
            self._speed if walking else 0.0,
            self._turn if turning else 0.0,
            stand=stand,
            stop=self._ended,
            estop=estop,
            end=self._ended,
            policy=policy,
        )
        return command.clipped(self._spec)

    def close(self) -> None:
        self._termios.tcsetattr(self._handle, self._termios.TCSADRAIN, self._saved)


class StopSignals:
    """SIGTERM, Ctrl-C and a lost terminal ask for a soft stop, a second one lets go at once. A context manager."""

    KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> StopSignals:
        self._saved = {kind: signal.signal(kind, self._on_signal) for kind in self.KINDS}
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._saved.items():
            signal.signal(kind, handler)

    def _on_signal(self, number: int, stack: object) -> None:
        self.count += 1

    def applied_to(self, command: Command) -> Command:
        """The command after the signals received so far."""
        if self.count == 0:
            return command
        return Command(stop=True, end=True, estop=self.count > 1)
