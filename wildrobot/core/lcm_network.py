"""The LCM network: which one, and what to do where this machine cannot have it."""

from __future__ import annotations

import os
import sys
from typing import Any

from wildrobot.core.errors import UserError

DEFAULT_LCM_URL = "udpm://239.255.76.67:7667?ttl=0"
MULTICAST_FIX = ("sudo ip link set lo multicast on", "sudo ip route add 224.0.0.0/4 dev lo")


def lcm_url(asked: str | None) -> str:
    """The URL to use: what was asked, else LCM_DEFAULT_URL, else this machine only (time to live 0)."""
    return asked or os.environ.get("LCM_DEFAULT_URL") or DEFAULT_LCM_URL


def open_lcm(url: str) -> Any | None:
    """An `lcm.LCM`, or None (with a warning that says what to do) when this machine cannot have one."""
    found, why = try_lcm(url)
    if found is None:
        print(f"warning: LCM is not available at {url}: {why}", file=sys.stderr)
        print("Going on without LCM messages.", file=sys.stderr)
    return found


def try_lcm(url: str) -> tuple[Any | None, str]:
    """An `lcm.LCM`, or None and what to do about it."""
    try:
        import lcm
    except ImportError as error:  # its C library lacks a system library, most often GLib
        cause = error.__context__ or error
        return None, f"{cause}. On Debian and Ubuntu: sudo apt-get install -y libglib2.0-0"
    try:
        # LCM's C library prints a long text of its own about routes; ours follows.
        with _silenced_stderr():
            return lcm.LCM(url), ""
    except RuntimeError:
        pass
    if url.startswith("udpm:"):
        fix = "\n".join(f"    {command}" for command in MULTICAST_FIX)
        return None, f"it needs a multicast route; these two commands make one:\n{fix}"
    return None, "use a URL that LCM knows: udpm://, memq:// or file://."


def require_lcm(url: str) -> Any:
    """An `lcm.LCM` for reading commands; without one there is nobody to obey, so that is an error."""
    found = open_lcm(url)
    if found is None:
        raise UserError(
            f"commands were to come over LCM at {url}, which is not available (see the warning above). "
            "Mend the route, or command with --speed, --keyboard or --gamepad."
        )
    return found


class _silenced_stderr:
    """Points file descriptor 2 at /dev/null for the block, for C libraries that print there."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._saved = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)
