"""Makes the runtime's table of gamepads from SDL's own: `python scripts/generate_pads.py`.

SDL's library itself is asked for its table, so that what it says on Linux is what is taken. It needs
`pip install pysdl2==0.9.17 pysdl2-dll==2.32.10`, in an environment of its own if you like.

Left out: what commands no robot (triggers, further buttons); mappings by what is printed on the buttons, since a place
is what is asked for; pads that lack one of four buttons and a stick; those of `DISPUTED`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "wildrobot/runtime/commands/gamepad/sdl_pads.txt"
KEPT = ("a", "b", "leftshoulder", "start", "leftx", "lefty", "rightx", "crc")
D_PAD = ("dpup", "dpleft")  # where there is no stick
DISPUTED = {
    "050000007e0500000920000001000000": "Switch Pro Controller without its driver: SDL has the lower button as the "
    "second one, but for a licensed copy that sends the same reports ('Lic Pro Controller') as the first",
}
ADDED = (
    # a common one that SDL lacks, as in github.com/mdqinc/SDL_GameControllerDB (zlib licence, too)
    "05000000c82d00000161000000010000,8BitDo SN30 Pro,a:b1,b:b0,leftshoulder:b6,start:b11,leftx:a0,lefty:a1,rightx:a2",
)
LABELS_HINT = b"SDL_GAMECONTROLLER_USE_BUTTON_LABELS"
NOTICE = """# Gamepads on Linux: buttons and sticks by SDL's numbers, from SDL {version} ({revision}).
# Made by scripts/generate_pads.py, which says what is left out: an altered version of SDL_gamecontrollerdb.h.
#
# Simple DirectMedia Layer
# Copyright (C) 1997-2025 Sam Lantinga <slouken@libsdl.org>
#
# This software is provided 'as-is', without any express or implied warranty. In no event will the authors be held
# liable for any damages arising from the use of this software.
#
# Permission is granted to anyone to use this software for any purpose, including commercial applications, and to alter
# it and redistribute it freely, subject to the following restrictions:
#
# 1. The origin of this software must not be misrepresented; you must not claim that you wrote the original software.
#    If you use this software in a product, an acknowledgment in the product documentation would be appreciated but is
#    not required.
# 2. Altered source versions must be plainly marked as such, and must not be misrepresented as being the original
#    software.
# 3. This notice may not be removed or altered from any source distribution.
#
"""


def trimmed(line: str) -> str | None:
    """A line of SDL's table with what the runtime needs; None: it does not have it all, or is disputed."""
    number, name, *fields = line.split(",")
    if not re.fullmatch("[0-9a-f]{32}", number) or name == "*" or number in DISPUTED:
        return None
    if number[4:12] != "00000000" and number[12:16] == "0000" and number[28:] != "0000":
        return None  # of a driver of SDL's own
    bound = dict(field.split(":", 1) for field in fields if ":" in field)
    if not all(re.fullmatch(r"b\d+", bound.get(button, "")) for button in KEPT[:4]):
        return None
    stick = all(re.fullmatch(r"a\d+~?", bound.get(axis, "")) for axis in ("leftx", "lefty"))
    pad = all(re.fullmatch(r"-a\d+", bound.get(axis, "")) for axis in D_PAD)
    if not stick and not pad:
        return None
    kept = [field for field in KEPT if bound.get(field)] + list(() if stick else D_PAD)
    return ",".join((number, name.strip(), *(f"{field}:{bound[field]}" for field in kept)))


def asked() -> tuple[str, str, list[str]]:
    """SDL's version, its revision and the lines of its table on this platform."""
    import sdl2

    assert sys.platform == "linux", "the table differs between platforms"
    sdl2.SDL_SetHint(LABELS_HINT, b"0")
    if sdl2.SDL_Init(sdl2.SDL_INIT_GAMECONTROLLER):
        raise SystemExit(f"SDL does not start: {sdl2.SDL_GetError().decode()}")
    version = sdl2.SDL_version()
    sdl2.SDL_GetVersion(version)
    lines = [
        sdl2.SDL_GameControllerMappingForIndex(index).decode()
        for index in range(sdl2.SDL_GameControllerNumMappings())
    ]
    revision = sdl2.SDL_GetRevision().decode()
    return f"{version.major}.{version.minor}.{version.patch}", revision, lines


def main() -> None:
    """Write the table."""
    version, revision, lines = asked()
    kept = sorted([*ADDED, *filter(None, map(trimmed, lines))])
    OUT.write_text(
        NOTICE.format(version=version, revision=revision) + "\n".join(kept) + "\n", encoding="utf-8"
    )
    print(f"{OUT}: {len(kept)} of {len(lines)} pads")


if __name__ == "__main__":
    main()
