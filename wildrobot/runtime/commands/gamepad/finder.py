"""Finds a gamepad among the event devices, and finds it again after it was unplugged."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad.evdev import InputDevice
from wildrobot.runtime.commands.gamepad.layouts import Layout, choose_layout, is_pad

FOLDER = Path("/dev/input")
LOOK_EVERY_S = 0.5
_PERMISSION = "Let the user read gamepads: sudo usermod -aG input USER, then log in anew."


@dataclass(frozen=True)
class Pad:
    """A gamepad that is open, and what its buttons mean."""

    device: InputDevice
    layout: Layout

    def __str__(self) -> str:
        identity = self.device.identity
        return f"{self.device.name} ({identity.vendor:04x}:{identity.product:04x}, as {self.layout.name})"


class PadFinder:
    """Looks for the first gamepad, or for the one called `path`; never in the control loop's own thread but once."""

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._folder = path, FOLDER
        self._thread: threading.Thread | None = None
        self._found: Pad | None = None
        self._ended = threading.Event()

    def look(self) -> Pad | None:
        """A gamepad, opened; None if there is none.

        Raises:
            UserError: the device asked for is no gamepad, or cannot be used; or none of the devices may be read.
        """
        if self._path is not None:
            return self._open_asked(self._path) if self._path.exists() else None
        refused: list[str] = []
        seen = 0
        for path in sorted(self._folder.glob("event*"), key=_number):
            seen += 1
            try:
                device = InputDevice(path)
            except PermissionError:
                refused.append(path.name)
                continue
            except OSError:  # no event device, or gone by now
                continue
            if is_pad(device):
                return self._with_layout(device)
            device.close()
        if seen and len(refused) == seen:
            raise UserError(f"none of the {seen} devices in {self._folder} may be read. {_PERMISSION}")
        return None

    def _open_asked(self, path: Path) -> Pad:
        try:
            device = InputDevice(path)
        except PermissionError as error:
            raise UserError(f"{path} may not be read. {_PERMISSION}") from error
        except OSError as error:
            raise UserError(
                f"{path} is no event device ({error.strerror}). Give one from /dev/input, best by its name in "
                "/dev/input/by-id; or leave the name out, and the first gamepad is taken."
            ) from error
        if not is_pad(device):
            device.close()
            raise UserError(f"{path} is {device.name}, which has no stick or no gamepad's buttons.")
        return self._with_layout(device)

    @staticmethod
    def _with_layout(device: InputDevice) -> Pad:
        try:
            return Pad(device, choose_layout(device))
        except ValueError as error:
            device.close()
            raise UserError(
                f"the gamepad {device.name} cannot be used: {error}. Give its mapping in SDL_GAMECONTROLLERCONFIG."
            ) from error

    def start(self) -> None:
        """Go on looking in a thread, until one is found."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="gamepad", daemon=True)
            self._thread.start()

    def take(self) -> Pad | None:
        """What the thread has found, once. Never waits."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread, found, self._found = None, self._found, None
        return found

    def close(self) -> None:
        """Stop looking."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            if (found := self.take()) is not None:
                found.device.close()

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                self._found = self.look()
            except (UserError, OSError):  # its rights may come a moment after the device itself
                self._found = None
            if self._found is not None or self._ended.wait(LOOK_EVERY_S):
                return


def _number(path: Path) -> int:
    digits = re.search(r"\d+$", path.name)
    return int(digits[0]) if digits else -1
