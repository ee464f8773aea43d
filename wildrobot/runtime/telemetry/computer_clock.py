"""Whether this computer knows the date: one without a clock chip begins with a wrong one at every start."""

from __future__ import annotations

import ctypes
from pathlib import Path

TIMESYNC = Path("/run/systemd/timesync")
"""systemd-timesyncd's; it puts an empty file `synchronized` here once it has set the clock."""
_LARGEST_ERROR_US = 16_000_000
"""The kernel's bound on its clock's error grows to this and stays there while nobody sets the clock."""


class _Timex(ctypes.Structure):
    """The beginning of the kernel's `struct timex`, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


def clock_synchronized() -> bool | None:
    """Whether something (NTP, GPS) has set the clock lately; None where neither kernel nor systemd tells.

    Judged as `timedatectl` does, by the kernel's bound on the error, not by its flag `STA_UNSYNC`, which some clients
    leave set. False does not say that the date is wrong: a battery may have kept it.
    """
    bound = _error_bound_us()
    if bound is not None:
        return bound < _LARGEST_ERROR_US
    if (TIMESYNC / "synchronized").exists():
        return True
    return False if TIMESYNC.exists() else None


def _error_bound_us() -> int | None:
    """The kernel's bound on the clock's error; None where asking is forbidden, as a container's filter may do."""
    asked = _Timex()
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.byref(asked))
    except (AttributeError, OSError):
        return None
    return None if answer < 0 else int(asked.maxerror)
