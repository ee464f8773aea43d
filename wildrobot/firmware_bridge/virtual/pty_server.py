"""The virtual robot on a pseudo-terminal, in real time: any program that opens a serial port can talk to it.

One thread, absolute deadlines: it sleeps until the next millisecond of physics, the next byte for the host, or the
host's next write, and never waits for the host. After it was held up it runs to catch up, as the clocks of real servos
never stand still: to a host whose answers carry such a clock, all later ones would seem old. Only after more than
`BEHIND_NS` the robot's clock leaves the missed time out, and counts it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot

BEHIND_NS = 150_000_000
NAP_NS = 4_000_000
"""Longest sleep: so many physics steps are done in one go while the bus is quiet."""
PRIORITY = 49
"""One below the control loop's: a robot must not keep its own computer from thinking."""
_TCGETS2 = 0x802C542A
_TERMIOS2 = struct.Struct("4I20s2I")


@dataclass
class ServerFigures:
    """What happened while serving."""

    seconds: float = 0.0
    instructions: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_dropped: int = 0
    """Answers that the host did not read in time."""
    skips: int = 0
    skipped_s: float = 0.0
    """Time left out because this process was held up."""
    late_max_ms: float = 0.0
    cpu_s: float = 0.0

    def __str__(self) -> str:
        share = 100.0 * self.cpu_s / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.seconds:.1f} s, {self.instructions} instructions, {self.bytes_in} bytes in, {self.bytes_out} out, "
            f"{self.bytes_dropped} dropped, {share:.0f} % of one core",
            f"late by at most {self.late_max_ms:.1f} ms; {self.skips} skips of {self.skipped_s:.3f} s in all",
        ]
        return "\n".join(lines)


class Pty:
    """A raw pseudo-terminal with an optional symbolic link to the host's end."""

    def __init__(self, link: Path | None) -> None:
        """Opens it.

        Raises:
            UserError: the link's place is taken by something else, or cannot be written to.
        """
        self.link = link
        self._check_link()
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._slave)
        if link is not None:
            try:
                temporary = link.with_name(f".{link.name}-{os.getpid()}")
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(self.path)
                os.replace(temporary, link)
            except OSError as error:
                self.close()
                raise UserError(
                    f"cannot make the link {link}: {error.strerror}. Choose a folder that you may write to."
                ) from error

    def _check_link(self) -> None:
        if self.link is not None and self.link.exists() and not self.link.is_symlink():
            raise UserError(f"{self.link} is there and is no symbolic link. Choose another name for --link.")

    def baud(self) -> int:
        """Bits per second that the host has set."""
        raw = fcntl.ioctl(self.master, _TCGETS2, bytes(_TERMIOS2.size))
        return int(_TERMIOS2.unpack(raw)[-1])

    def read(self) -> bytes:
        """What the host has written."""
        try:
            return os.read(self.master, 4096)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EIO):
                return b""
            raise

    def write(self, data: bytes) -> int:
        """Bytes that the host's buffer took."""
        try:
            return os.write(self.master, data)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EIO):
                return 0
            raise

    def close(self) -> None:
        """Hang up: the host's reads and writes fail from now on."""
        if self.link is not None and self.link.is_symlink():
            with contextlib.suppress(OSError):
                if os.readlink(self.link) == self.path:
                    self.link.unlink()
        for descriptor in (self.master, self._slave):
            os.close(descriptor)


class PtyServer:
    """Serves one robot until `stop`."""

    def __init__(
        self,
        robot: VirtualRobot,
        link: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.robot, self.figures = robot, ServerFigures()
        self._link, self._say = link, say
        self._tick: Callable[[VirtualRobot], None] = lambda robot: None
        self.pty: Pty | None = Pty(link)
        self._stopped = False
        self._epoch_ns = 0

    @property
    def path(self) -> str:
        """The host's end, empty while the cable is out."""
        return self.pty.path if self.pty is not None else ""

    def set_tick(self, tick: Callable[[VirtualRobot], None]) -> None:
        """Call `tick` with the robot after every wake-up."""
        self._tick = tick

    def stop(self) -> None:
        """End `serve` soon; may be called from a signal handler or another thread."""
        self._stopped = True

    def serve(self) -> None:
        """Run until `stop`."""
        started, cpu = time.monotonic(), time.thread_time()
        self._epoch_ns = time.monotonic_ns() - self.robot.now_ns
        try:
            while not self._stopped:
                self._once()
        finally:
            self.figures.seconds = time.monotonic() - started
            self.figures.cpu_s = time.thread_time() - cpu
            self.figures.instructions = self.robot.wire.instructions
            if self.pty is not None:
                self.pty.close()
                self.pty = None

    def _once(self) -> None:
        robot = self.robot
        # Physics that nobody looks at can wait a little and be done together; it is up to date whenever a packet ends.
        wire_ns = robot.next_event_ns(physics=False)
        due_ns = robot.now_ns + NAP_NS if wire_ns is None else min(wire_ns, robot.now_ns + NAP_NS)
        wait_ns = due_ns - (time.monotonic_ns() - self._epoch_ns)
        listening = [self.pty.master] if self.pty is not None else []
        select.select(listening, [], [], max(0.0, wait_ns * 1e-9))
        now_ns = self._now(due_ns)
        if self.pty is not None and (data := self.pty.read()):
            self.figures.bytes_in += len(data)
            robot.set_baud(self.pty.baud())
            robot.receive(data, now_ns)
        answer = robot.output(now_ns)
        if answer and self.pty is not None:
            taken = self.pty.write(answer)
            self.figures.bytes_out += taken
            self.figures.bytes_dropped += len(answer) - taken
        self._follow_cable()
        self._tick(robot)

    def _now(self, due_ns: int) -> int:
        """The robot's time; leaves out what cannot be made up for."""
        now_ns = time.monotonic_ns() - self._epoch_ns
        late_ns = now_ns - due_ns
        if late_ns > 0:
            self.figures.late_max_ms = max(self.figures.late_max_ms, late_ns * 1e-6)
        if late_ns > BEHIND_NS:
            self.figures.skips += 1
            self.figures.skipped_s += late_ns * 1e-9
            self._epoch_ns += late_ns
            now_ns -= late_ns
        return now_ns

    def _follow_cable(self) -> None:
        if self.pty is not None and not self.robot.connected:
            self.pty.close()
            self.pty = None
            self._say("cable out")
        elif self.pty is None and self.robot.connected:
            self.pty = Pty(self._link)
            self._say(f"cable in: {self._link or self.path}")


@contextlib.contextmanager
def realtime_if_allowed() -> Iterator[None]:
    """SCHED_FIFO for this thread where the rights exist."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except (OSError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
