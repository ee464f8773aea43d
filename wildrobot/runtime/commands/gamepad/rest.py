"""Sticks that are away from their centre when a pad is taken up: held, broken, or no sticks at all."""

from __future__ import annotations

from collections.abc import Iterable

from wildrobot.runtime.commands.gamepad.evdev import EV_ABS, AxisRange, InputEvent
from wildrobot.runtime.commands.gamepad.finder import Pad

NEAR_CENTRE = 0.3
"""Of a stick's way from its centre: as far as one that nobody touches may rest."""


def near_centre(span: AxisRange, value: int) -> bool:
    """Whether a stick that nobody touches may be there."""
    return abs(span.normalized(value)) <= NEAR_CENTRE


class RestWatch:
    """Which of a pad's sticks have not been seen near their centre yet.

    A trigger rests at its end, as does a broken stick; and an axis of which the pad has told nothing yet counts as
    zero to the kernel, which is one end of most.
    """

    def __init__(self, pad: Pad) -> None:
        self._pad = pad
        self._unseen = {
            stick.axis: name
            for stick, name in zip((pad.layout.speed, pad.layout.turn), pad.layout.sticks, strict=True)
            if not near_centre(pad.device.axes[stick.axis], pad.device.values[stick.axis])
        }

    @property
    def unsure(self) -> str:
        """The sticks that do not count yet; empty: all do."""
        return " and the ".join(dict.fromkeys(self._unseen.values()))

    def warnings(self) -> list[str]:
        """A sentence about every stick that is away from its centre."""
        axes = self._pad.device.axes
        return [
            f"the {name} (axis {axis}) rests at {axes[axis].normalized(self._pad.device.values[axis]):+.0%} of its "
            "way: nothing walks until it was seen near its centre. Move it once and let it go; if it still does not "
            "count, it is broken, or this axis is no stick"
            for axis, name in self._unseen.items()
        ]

    def see(self, events: Iterable[InputEvent]) -> None:
        """Take note of where the sticks have been."""
        for event in events if self._unseen else ():
            seen = event.kind == EV_ABS and event.code in self._unseen
            if seen and near_centre(self._pad.device.axes[event.code], event.value):
                del self._unseen[event.code]
