"""Asks somebody with a pad in hand which button shall do what: for pads of which nobody else knows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad import sdl
from wildrobot.runtime.commands.gamepad.evdev import (
    BTN_DPAD_DOWN,
    BTN_DPAD_LEFT,
    BTN_DPAD_RIGHT,
    BTN_DPAD_UP,
    EV_ABS,
    EV_KEY,
    DeviceGone,
    InputDevice,
    InputEvent,
)
from wildrobot.runtime.commands.gamepad.learned import LearnedPad
from wildrobot.runtime.commands.gamepad.rest import near_centre

PATIENCE_S = 60.0
POLL_S = 0.01
PUSHED = 0.8
"""Of a stick's way: a push that is meant."""
_D_PAD = (BTN_DPAD_UP, BTN_DPAD_DOWN, BTN_DPAD_LEFT, BTN_DPAD_RIGHT)
_NOTHING = "Nothing was written."


class Teacher:
    """One pad, and the questions about it."""

    def __init__(self, device: InputDevice, say: Callable[[str], None]) -> None:
        self._device, self._say = device, say
        self._buttons: dict[int, str] = {}
        self._heard: deque[InputEvent] = deque()

    def ask(self) -> LearnedPad:
        """All questions, the most important button first and once more at the end.

        Raises:
            UserError: nobody answers, the pad is gone, or the last press is another button.
        """
        self._say(
            f"The pad: {self._device.name}. Hold it as you will when you drive; release all buttons and sticks."
        )
        self._until_let_go()
        estop = self._button(
            "E-STOP", "turns the torque off at once (E-STOP); most take the right one of the four"
        )
        soft_stop = self._button(
            "the soft stop", "shall stop it softly: it crouches, then torque off; most: the lower one"
        )
        stand = self._button("stand up", "shall make it stand up; most: start")
        deadman = self._button("the deadman", "you will hold to walk (the deadman); most: the left shoulder")
        speed, forward = self._push("Push the stick for the speed all the way FORWARD, then let it go.", ())
        turn, right = self._push(
            "Push the stick that turns all the way to the RIGHT, then let it go.", (speed,)
        )
        self._say("Once more, to be sure: press the button for E-STOP.")
        again = self._press()
        if again != estop:
            raise UserError(f"that was {again:#x}, but E-STOP was {estop:#x} before. {_NOTHING} Begin anew.")
        return LearnedPad(
            self._device.name, deadman, stand, soft_stop, estop, speed, forward > 0, turn, right < 0
        )

    def _events(self, waiting_for: str) -> Iterator[InputEvent]:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                self._heard.extend(self._device.read())
            except DeviceGone as error:
                raise UserError(f"the gamepad is gone. {_NOTHING} Connect it and begin anew.") from error
            while self._heard:
                yield self._heard.popleft()
            time.sleep(POLL_S)
        raise UserError(f"{PATIENCE_S:.0f} s without {waiting_for}. {_NOTHING}")

    def _until_let_go(self) -> None:
        if self._device.down:
            for _ in self._events("all buttons released: one is stuck, or held"):
                if not self._device.down:
                    return

    def _press(self) -> int:
        for event in self._events("a button pressed"):
            if event.kind == EV_KEY and event.value == 1:
                self._until_let_go()
                return event.code
        raise AssertionError("the events end with an error only")

    def _button(self, role: str, what: str) -> int:
        self._say(f"Press the button that {what}.")
        while True:
            code = self._press()
            if code in self._buttons:
                self._say(f"  That one is {self._buttons[code]} already. Press another.")
            elif code in _D_PAD:
                self._say("  The d-pad chooses policies. Press another.")
            else:
                self._buttons[code] = role
                self._say(f"  {role}: {code:#x}")
                return code

    def _push(self, what: str, taken: tuple[int, ...]) -> tuple[int, float]:
        """The axis that was pushed and let go, and to which end (-1 or 1)."""
        device = self._device
        spans = {axis: span for axis, span in device.axes.items() if axis not in sdl.HATS and span.moves}
        centred = {axis for axis, span in spans.items() if near_centre(span, device.values[axis])}
        if not centred - set(taken):
            raise UserError(
                f"no stick of this pad rests near its centre: it is broken, or has none. {_NOTHING}"
            )
        self._say(what)
        pushed: tuple[int, float] | None = None
        for event in self._events("a stick pushed and released"):
            if event.kind != EV_ABS or event.code not in spans or event.code in taken:
                continue
            at = spans[event.code].normalized(event.value)
            if pushed is None and event.code in centred and abs(at) >= PUSHED:
                pushed = event.code, 1.0 if at > 0 else -1.0
            elif pushed is None and event.code not in centred and near_centre(spans[event.code], event.value):
                centred.add(event.code)
            elif (
                pushed is not None and event.code == pushed[0] and near_centre(spans[event.code], event.value)
            ):
                self._say(f"  axis {pushed[0]}")
                return pushed
        raise AssertionError("the events end with an error only")
