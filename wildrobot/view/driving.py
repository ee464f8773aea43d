"""Who drives, and what is sent to the robot: one driver at a time, and a dead man's handle on the connection."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.sender import CommandSender
from wildrobot.runtime.telemetry.identity import RunIdentity

SEND_HZ = 20.0
"""Twice what the robot needs before its own time limit stops it."""
HOLD_S = 0.3
"""A button that is held down says so ten times a second; after this long without a word it was let go."""
LAPSE_S = 1.0
"""A key or stick that was not heard of for so long must be let go and pressed again: nobody knows when it would begin
to count."""
IDLE_S = 5.0
"""A driver who commands nothing for so long gives the wheel back, to other viewers and other sources."""


class Word(NamedTuple):
    """Which word of a browser about what is held: words may be late, lost, or overtake each other."""

    visit: int
    """One loading of the page."""
    press: int
    number: int


class Driving:
    """The wheel and the words to the robot. All methods may be called from any thread.

    Velocities are sent only while a driver holds the wheel and `alive(driver)` says that the driver's browser
    still answers. The robot stands still by itself 0.5 s after the last of them.
    """

    def __init__(
        self,
        spec: RobotSpec,
        sender: CommandSender,
        alive: Callable[[int], bool],
        now: Callable[[], float] = time.monotonic,
        robot_name: str | None = None,
        plain: Callable[[], bool] = lambda: True,
    ) -> None:
        """`robot_name`: the robot that is meant, whatever answers; None: the one that is there. `plain`: whether it is
        plain which one that is; while it is not, nobody drives, and stops are for all."""
        self._ranges, self._sender, self._alive, self._now = spec.command, sender, alive, now
        self._robot_name, self._plain = robot_name, plain
        self._lock = threading.RLock()
        self._driver: int | None = None
        self._asker: int | None = None
        """Would like to drive; only while somebody else does."""
        self._set = (0.0, 0.0)
        self._held: tuple[float, float] | None = None
        self._held_s = self._touched_s = -1e9
        self._robot: RunIdentity | None = None
        """That the driver took the wheel of."""
        self._refused_s: dict[int, float] = {}
        """When a viewer's held button last was refused."""
        self._words: dict[int, tuple[Word, float]] = {}
        """The last word of each viewer about what is held, and when it came; -inf: its press has ended."""
        self.resets = 0
        """How often the velocity was set to zero by anything but the sliders."""
        self.losses = 0
        """How often a driver was lost: the browser went away with the wheel in its hands."""

    @property
    def driver(self) -> int | None:
        """The viewer at the wheel."""
        return self._driver

    @property
    def asker(self) -> int | None:
        """The viewer who has asked the driver for the wheel."""
        return self._asker

    @property
    def velocity(self) -> tuple[float, float]:
        """What is asked for now: m/s forward, rad/s to the left."""
        with self._lock:
            if self._held is not None and self._now() - self._held_s <= HOLD_S:
                return self._held
            return self._set

    @property
    def set_point(self) -> tuple[float, float]:
        """The velocity that stays, without what a held button adds."""
        return self._set

    # ------------------------------------------------------------------ the driver

    def set_velocity(self, viewer: int, forward: float, left: float) -> bool:
        """A velocity that stays; false if another viewer drives, or nobody may."""
        with self._lock:
            if not self._take(viewer):
                return False
            self._set, self._held = self._clipped(forward, left), None
            self._send()
            return True

    def hold_velocity(self, viewer: int, forward: float, left: float) -> bool:
        """A velocity for as long as this is said again within 0.3 s; false if another viewer drives, or nobody may. A
        button that was refused must be let go and pressed again: nobody knows when it would begin to count."""
        with self._lock:
            still_held = self._now() - self._refused_s.get(viewer, -math.inf) <= HOLD_S
            if still_held or not self._take(viewer):
                self._refused_s[viewer] = self._now()
                return False
            self._held, self._held_s = self._clipped(forward, left), self._now()
            self._send()
            return True

    def follows(self, viewer: int, word: Word) -> bool | None:
        """Whether a word about what is held counts: None if another has overtaken it, false if its press has ended or
        was not heard of for too long."""
        with self._lock:
            last, heard_s = self._words.get(viewer, (None, -math.inf))
            if last is not None and last.visit == word.visit:
                if word <= last:
                    return None
                if word.press == last.press and self._now() - heard_s > LAPSE_S:
                    return False
            self._words[viewer] = word, self._now()
            return True

    def let_go(self, viewer: int, word: Word) -> None:
        """What this viewer held is held no more; no word of that press counts from now on."""
        with self._lock:
            last, _ = self._words.get(viewer, (word, 0.0))
            if last.visit == word.visit and last.press > word.press:
                return
            self._words[viewer] = (max(word, last) if last.visit == word.visit else word), -math.inf
            self._refused_s.pop(viewer, None)
            if viewer == self._driver and self._held is not None:
                self._held = None
                self._send()

    def stand(self, viewer: int) -> bool:
        """Get up; false if another viewer drives, or nobody may."""
        with self._lock:
            if not self._take(viewer):
                return False
            self._reset()
        self._sender.stand()
        return True

    def ask(self, viewer: int) -> bool:
        """Ask the driver for the wheel; false if there is nobody to ask, or another viewer has asked before."""
        with self._lock:
            if self._driver in (None, viewer) or self._asker not in (None, viewer):
                return False
            self._asker = viewer
            return True

    def hand_over(self, viewer: int) -> bool:
        """The driver gives the wheel to the viewer who has asked, with the robot standing still; false if this one
        does not drive, nobody has asked, or who has asked is gone. What is held must be pressed again."""
        with self._lock:
            asker = self._asker
            if viewer != self._driver or asker is None:
                return False
            self._asker = None
            if not self._alive(asker) or not self._plain() or self._sender.robot != self._robot:
                return False
            self._driver, self._touched_s = asker, self._now()
            self._reset()
            self._send()
            return True

    def leave(self, viewer: int) -> None:
        """The viewer has gone, or lets go of the wheel: the robot is told to stand still."""
        with self._lock:
            self._refused_s.pop(viewer, None)
            self._words.pop(viewer, None)
            if viewer == self._asker:
                self._asker = None
            if viewer == self._driver:
                moving = self.velocity != (0.0, 0.0)
                self._driver = self._asker = None
                self._reset()
                if moving:
                    self._send()

    # ------------------------------------------------------------------ everybody

    def stand_still(self) -> None:
        """Velocity zero, whoever drives."""
        with self._lock:
            self._reset()
            if self._driver is not None:
                self._send()

    def stop(self) -> None:
        """Soft stop: crouch and let go."""
        self._urgent(at_once=False)

    def estop(self) -> None:
        """Let go at once; the robot latches it."""
        self._urgent(at_once=True)

    def _urgent(self, at_once: bool) -> None:
        with self._lock:
            self._reset()
        robot = self._sender.robot if self._plain() else None
        self._sender.stop(self._robot_name or (robot.robot_name if robot is not None else None), at_once)

    # ------------------------------------------------------------------ sending

    def pulse(self) -> None:
        """Call it `SEND_HZ` times a second: repeats the driver's velocity, and notices when the driver is gone."""
        with self._lock:
            driver = self._driver
            if driver is None:
                return
            if self._sender.robot != self._robot:  # what was meant for one is not said to another
                self._driver = self._asker = None
                self._reset()
            elif not self._plain():
                self.leave(driver)
            elif not self._alive(driver):
                self.losses += 1
                self.leave(driver)
            elif self.velocity != (0.0, 0.0):
                self._touched_s = self._now()
                self._send()
            elif self._now() - self._touched_s > IDLE_S:
                self.leave(driver)
            else:
                self._send()

    def _take(self, viewer: int) -> bool:
        robot = self._sender.robot
        if (
            robot is None
            or not self._plain()
            or (self._driver not in (None, viewer) and self._alive(self._driver))
        ):
            return False
        if viewer != self._driver:
            self._asker = None
        self._robot, self._driver, self._touched_s = robot, viewer, self._now()
        return True

    def _reset(self) -> None:
        self._set, self._held = (0.0, 0.0), None
        self.resets += 1

    def _clipped(self, forward: float, left: float) -> tuple[float, float]:
        (slow, fast), (right, most) = self._ranges.linear_velocity_x, self._ranges.yaw_rate
        return min(max(forward, slow), fast), min(max(left, right), most)

    def _send(self) -> None:
        self._sender.velocity(*self.velocity)
