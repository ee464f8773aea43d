"""Finds a gamepad among the event devices, and finds it again after it was unplugged."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad.evdev import InputDevice
from wildrobot.runtime.commands.gamepad.layouts import Layout, choose_layout, is_pad

FOLDER = Path("/dev/input")
LOOK_EVERY_S = 0.5
REFUSED_LOOKS = 4
"""A pad that is refused so often on end is told of: its rights may come a moment after the pad itself."""
_PERMISSION = "Let the user read gamepads: sudo usermod -aG input USER, then log in anew."


@dataclass(frozen=True)
class Pad:
    """A gamepad that is open, and what its buttons mean."""

    device: InputDevice
    layout: Layout

    def __str__(self) -> str:
        identity = self.device.identity
        name = f"{self.device.name} ({identity.vendor:04x}:{identity.product:04x})"
        return f"{name}, buttons by {self.layout.origin}"


def open_pads(folder: Path | None = None) -> Iterator[InputDevice]:
    """Every gamepad in the folder, opened; whoever takes one closes it.

    Raises:
        UserError: none of the devices there may be read.
    """
    folder = FOLDER if folder is None else folder
    refused = seen = 0
    for path in sorted(folder.glob("event*"), key=_number):
        seen += 1
        try:
            device = InputDevice(path)
        except PermissionError:
            refused += 1
            continue
        except OSError:  # no event device, or gone by now
            continue
        if is_pad(device):
            yield device
        else:
            device.close()
    if seen and refused == seen:
        raise UserError(f"none of the {seen} devices in {folder} may be read. {_PERMISSION}")


def open_pad(path: Path) -> InputDevice:
    """The gamepad at `path`.

    Raises:
        UserError: it may not be read, or is no gamepad.
    """
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
    return device


class PadFinder:
    """Looks for the first gamepad, or for the one called `path`; never in the control loop's own thread but once."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._thread: threading.Thread | None = None
        self._found: Pad | None = None
        self._ended = threading.Event()
        self.refused = ""
        """Why the thread does not take the pad that is there; empty: there is none, or its rights may still come."""

    def look(self) -> Pad | None:
        """The first gamepad that can be used, opened; None if there is none.

        Raises:
            UserError: the device asked for is no gamepad, or cannot be used; or none of those there can.
        """
        if self._path is not None:
            return _with_layout(open_pad(self._path)) if self._path.exists() else None
        refusal: UserError | None = None
        for device in open_pads():
            try:
                return _with_layout(device)
            except UserError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        return None

    def start(self) -> None:
        """Go on looking in a thread, until one is found."""
        if self._thread is None:
            self.refused = ""
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
        why, looks = "", 0
        while not self._ended.is_set():
            refusal = ""
            try:
                self._found = self.look()
            except UserError as error:
                self._found, refusal = None, str(error)
            except OSError:
                self._found = None
            why, looks = refusal, looks + 1 if refusal == why else 1
            self.refused = why if looks >= REFUSED_LOOKS else ""
            if self._found is not None or self._ended.wait(LOOK_EVERY_S):
                return


def _with_layout(device: InputDevice) -> Pad:
    try:
        return Pad(device, choose_layout(device))
    except ValueError as error:
        device.close()
        raise UserError(
            f"the gamepad {device.name} cannot be used: {error}. Show once which button is which: wildrobot gamepad "
            f"learn {device.path}; or give its mapping in SDL_GAMECONTROLLERCONFIG."
        ) from error
    except UserError:
        device.close()
        raise


def _number(path: Path) -> int:
    digits = re.search(r"\d+$", path.name)
    return int(digits[0]) if digits else -1
