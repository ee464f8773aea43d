"""`wildrobot gamepad learn`: asks once which button of an unknown gamepad shall do what."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wildrobot.cli.common.arguments import parse_options
from wildrobot.core.errors import UserError
from wildrobot.runtime.commands.gamepad import learned, sdl
from wildrobot.runtime.commands.gamepad.evdev import InputDevice
from wildrobot.runtime.commands.gamepad.finder import open_pad, open_pads
from wildrobot.runtime.commands.gamepad.layouts import choose_layout
from wildrobot.runtime.commands.gamepad.learn import Teacher

EXAMPLES = """Ask which button of a gamepad shall be E-STOP, soft stop, stand up and deadman, and which sticks drive:
for pads that neither SDL's table nor the kernel's rules know, or whose buttons you want elsewhere. The answers are
kept for all pads of this kind, and used by run and doctor from then on.

examples:
  wildrobot gamepad learn
  wildrobot gamepad learn /dev/input/by-id/usb-...-event-joystick
  sudo wildrobot gamepad learn --output /etc/xdg/wildrobot/gamepads.yaml    # for the service, too

Exit code: 0 learned; 2 bad input, or nobody answered: nothing is written then."""


@dataclass
class LearnOptions:
    """Which pad, and where its answers go."""

    device: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DEVICE]")] = None
    """The pad, best by its name in /dev/input/by-id; needed only if there are several."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the answers instead of ~/.config/wildrobot/gamepads.yaml; one in /etc/xdg/wildrobot holds for everybody,
    the service, too."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(parse_options(LearnOptions, argv, EXAMPLES))


def run(options: LearnOptions) -> int:
    """Ask, write, and say what the pad's buttons do now; returns the exit code.

    Raises:
        UserError: there is no pad, or several; nobody answers; the answers cannot be written.
    """
    path = options.output or learned.own_file(os.environ)
    if path is None:
        raise UserError("this user has no home for the answers: name a file with --output.")
    learned.read(
        path
    )  # before the questions, not after them: broken files, and folders that may not be written to
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder} may not be written to. Use sudo, or name another file with --output.")
    device = open_pad(options.device) if options.device is not None else _only_pad()
    try:
        pad = Teacher(device, lambda text: print(text, flush=True)).ask()
        number = sdl.guid(device.identity, device.name)
        learned.write(path, number, pad)
        print(f"\nkept in {path} for pads with the number {number}.")
        if path in learned.all_files(os.environ):
            print(choose_layout(device).help())
        else:
            print(
                f"run and doctor read {' and '.join(map(str, learned.all_files(os.environ)))}: put it there."
            )
    finally:
        device.close()
    return 0


def _only_pad() -> InputDevice:
    pads = list(open_pads())
    if len(pads) == 1:
        return pads[0]
    for pad in pads:
        pad.close()
    if not pads:
        raise UserError("there is no gamepad in /dev/input. Connect it; on Bluetooth, pair it first.")
    names = "; ".join(f"{pad.path} ({pad.name})" for pad in pads)
    raise UserError(f"there are {len(pads)} gamepads: {names}. Name the one to learn.")
