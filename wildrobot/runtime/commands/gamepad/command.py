"""Commands from a gamepad: sticks for velocity, a deadman to hold, buttons to stand up and to stop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.gamepad.evdev import (
    ABS_HAT0X,
    ABS_HAT0Y,
    BTN_DPAD_DOWN,
    BTN_DPAD_LEFT,
    BTN_DPAD_RIGHT,
    BTN_DPAD_UP,
    BUS_BLUETOOTH,
    EV_ABS,
    EV_KEY,
    DeviceGone,
    InputEvent,
)
from wildrobot.runtime.commands.gamepad.finder import Pad, PadFinder
from wildrobot.runtime.commands.gamepad.layouts import Stick
from wildrobot.runtime.commands.gamepad.rest import RestWatch
from wildrobot.runtime.commands.source import Note, OperatorCommand
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import NS_PER_S

DEAD_ZONE = 0.15
"""Of a stick's way from the centre, that counts as its centre."""
UNPLUGGED_STOP_NS = 5 * NS_PER_S
"""After so long without a pad the robot, standing still all the while, is stopped softly."""
RADIO_SILENCE_NS = 3 * NS_PER_S
"""A pad on Bluetooth that is out of reach says nothing, and the kernel takes up to 20 s to notice: after so long
without any event its deadman does not count."""
_DPAD_BUTTONS = {BTN_DPAD_UP: 1, BTN_DPAD_RIGHT: 2, BTN_DPAD_DOWN: 3, BTN_DPAD_LEFT: 4}
_DPAD_HATS = {(ABS_HAT0Y, -1): 1, (ABS_HAT0X, 1): 2, (ABS_HAT0Y, 1): 3, (ABS_HAT0X, -1): 4}


class GamepadCommand:
    """From a gamepad. Its velocity counts only while the deadman is held; unplugged, the robot stands still.

    A deadman that is down when the pad appears must be let go first: nobody may have a hand on it. A stick that is at
    its end then must have been near its centre first: it may be none, or broken.
    """

    name = "gamepad"

    def __init__(self, spec: RobotSpec, finder: PadFinder, speed: float, turn_rate: float) -> None:
        """`speed` (m/s) and `turn_rate` (rad/s) are those of a stick at its end.

        Raises:
            UserError: there is a gamepad, but it cannot be used.
        """
        self._spec, self._finder, self._speed, self._turn_rate = spec, finder, speed, turn_rate
        self._pad: Pad | None = None
        self._armed = False
        self._rest: RestWatch | None = None
        self._told = ""
        self._lost_ns: int | None = None
        self._heard_ns: int | None = None
        self._connect_next = finder.look()
        if self._connect_next is None:
            finder.start()

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        notes: list[Note] = []
        pad = self._pad or self._connect(now_ns, notes)
        events: list[InputEvent] = []
        if pad is not None:
            try:
                events = pad.device.read()
            except DeviceGone:
                pad.device.close()
                self._pad = pad = None
                self._lost_ns = now_ns
                self._finder.start()
                notes.append(Note("the gamepad is gone: standing still", warning=True))
        if events:
            self._heard_ns = now_ns
        age_s = math.nan if self._heard_ns is None else (now_ns - self._heard_ns) / NS_PER_S
        if pad is None:
            overdue = self._lost_ns is not None and now_ns - self._lost_ns > UNPLUGGED_STOP_NS
            stop = overdue and state is not State.LIMP
            return OperatorCommand(stop=stop, age_s=age_s, lost="no gamepad", notes=tuple(notes))
        return replace(self._asked(pad, events, now_ns), age_s=age_s, notes=tuple(notes))

    def _connect(self, now_ns: int, notes: list[Note]) -> Pad | None:
        pad = self._connect_next or self._finder.take()
        self._connect_next = None
        if pad is None:
            if self._lost_ns is None:
                self._lost_ns = now_ns
                notes.append(Note("no gamepad yet: it is taken up as soon as it is connected", warning=True))
            if (refused := self._finder.refused) != self._told:
                self._told = refused
                notes += [Note(refused, warning=True)] if refused else []
            self._finder.start()
            return None
        self._pad, self._lost_ns, self._heard_ns, self._told = pad, None, now_ns, ""
        self._armed = pad.layout.deadman not in pad.device.down
        self._rest = RestWatch(pad)
        notes += [Note(f"gamepad: {pad}"), Note(pad.layout.help())]
        notes += [Note(text, warning=True) for text in self._rest.warnings()]
        return pad

    def _asked(self, pad: Pad, events: Iterable[InputEvent], now_ns: int) -> OperatorCommand:
        layout, device = pad.layout, pad.device
        pressed = {event.code for event in events if event.kind == EV_KEY and event.value == 1}
        assert self._rest is not None  # since the pad was taken up
        self._rest.see(events)
        held = layout.deadman in device.down
        self._armed = self._armed or not held or layout.deadman in pressed
        command = OperatorCommand(
            stand=layout.stand in pressed,
            stop=layout.soft_stop in pressed,
            estop=layout.estop in pressed,
            policy=_policy(pad, events),
        )
        if not held or not self._armed:
            return replace(
                command,
                lost="deadman not held" if not held else "deadman was held from the start: let it go first",
            )
        heard_ns = now_ns if self._heard_ns is None else self._heard_ns
        if device.identity.bus == BUS_BLUETOOTH and now_ns - heard_ns > RADIO_SILENCE_NS:
            return replace(command, lost="the gamepad sends nothing: move a stick")
        if self._rest.unsure:
            return replace(command, lost=f"bring the {self._rest.unsure} to its centre first")
        return replace(
            command,
            source=self.name,
            linear_velocity_x=0.0 - self._stick(pad, layout.speed) * self._speed,
            yaw_rate=0.0 - self._stick(pad, layout.turn) * self._turn_rate,
        ).clipped(self._spec)

    @staticmethod
    def _stick(pad: Pad, stick: Stick) -> float:
        """-1 (forward, left) to 1 without the dead zone; beyond it from 0 on, so that nothing jumps."""
        span = pad.device.axes[stick.axis]
        value = span.normalized(pad.device.values[stick.axis])
        value = -value if stick.inverted else value
        half = (span.maximum - span.minimum) / 2.0
        dead = min(max(DEAD_ZONE, span.flat / half if half > 0 else 0.0), 0.9)
        return math.copysign(max(0.0, (abs(value) - dead) / (1.0 - dead)), value)

    def close(self) -> None:
        """Close the pad, stop looking for one."""
        for pad in (self._pad, self._connect_next):
            if pad is not None:
                pad.device.close()
        self._pad = self._connect_next = None
        self._finder.close()


def _policy(pad: Pad, events: Iterable[InputEvent]) -> int:
    """The policy asked for: up, right, down and left of the d-pad are 1 to 4; 0: none."""
    asked = 0
    for event in events:
        if event.kind == EV_KEY and event.value == 1:
            asked = _DPAD_BUTTONS.get(event.code, asked)
        elif event.kind == EV_ABS and (event.code, event.value) in _DPAD_HATS:
            # some pads have a touch surface at these codes, which counts further
            span = pad.device.axes.get(event.code)
            if span is not None and (span.minimum, span.maximum) == (-1, 1):
                asked = _DPAD_HATS[event.code, event.value]
    return asked
