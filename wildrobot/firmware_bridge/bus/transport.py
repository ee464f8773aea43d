"""Bytes out, bytes in, with a clock: what the bus driver needs of a serial line."""

from __future__ import annotations

from typing import Protocol


class PortLost(Exception):
    """The port is gone: cable pulled, adapter unplugged."""


class Transport(Protocol):
    """A half-duplex line. Times are nanoseconds on the transport's own monotonic clock.

    `SerialTransport` is a real port (or pty) in real time; `VirtualTransport` is the virtual robot in this process, in
    simulated time that passes only while somebody waits.
    """

    baud: int
    """Bits per second, 10 bits a byte."""

    def write(self, data: bytes) -> None:
        """Send everything.

        Raises:
            PortLost: the port is gone.
        """
        ...

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, at least one byte; waits in the kernel, and returns b"" after `timeout_s` without any.

        Raises:
            PortLost: the port is gone.
        """
        ...

    def discard_input(self) -> int:
        """Throw away what has arrived unread; returns how many bytes that were."""
        ...

    def now_ns(self) -> int:
        """The clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def reopen(self) -> bool:
        """Try once to open a lost port again; True when it is there."""
        ...

    def close(self) -> None:
        """Release the port."""
        ...
