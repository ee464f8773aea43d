"""A real serial port (or a pty) as a `Transport`: opened by the SDK's port handler, read by the kernel's poll."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from pathlib import Path
from typing import Any

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus.transport import PortLost

_PTY_MASTERS = {"/dev/ptmx", "/dev/pts/ptmx"}
_PTY_MAJORS = range(136, 144)  # of the other ends


class SerialTransport:
    """Exclusive use of one port at one speed."""

    def __init__(self, port: str, baud: int) -> None:
        """Open `port`.

        Raises:
            UserError: the port is missing, not permitted, or in use.
        """
        self.port, self._baud = port, baud
        self._serial: Any = None
        self._fd = -1
        self._poll = select.poll()
        self._open()

    @property
    def baud(self) -> int:
        """Bits per second; may be changed while the port is open."""
        return self._baud

    @baud.setter
    def baud(self, value: int) -> None:
        self._baud = value
        if self._serial is not None:
            self._serial.baudrate = value

    def _open(self) -> None:
        import serial
        from dynamixel_sdk import PortHandler

        if not Path(self.port).exists():
            raise UserError(f"there is no port {self.port}. {list_ports()} Give the robot's with --port.")
        if not os.access(self.port, os.R_OK | os.W_OK):
            raise UserError(
                f"no permission to use {self.port}. Add yourself to its group (sudo usermod -aG dialout $USER) "
                "and log in again."
            )
        handler = PortHandler(self.port)
        handler.baudrate = self.baud
        try:
            handler.setupPort(self.baud)
            handler.ser.exclusive = True
            handler.ser.reset_input_buffer()
        except (serial.SerialException, OSError) as error:
            holder = port_holder(self.port)
            reason = f"{holder} uses it" if holder else str(error)
            raise UserError(
                f"cannot open {self.port} at {self.baud} bit/s: {reason}. Only one program may drive the bus."
            ) from error
        self._handler, self._serial = handler, handler.ser
        self._serial.timeout = 0
        self._fd = self._serial.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def write(self, data: bytes) -> None:
        try:
            if (sent := os.write(self._fd, data)) == len(data):
                return
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise PortLost(str(error)) from error
        view = memoryview(data)[sent:]
        try:
            while view:
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError:
                    select.select([], [self._fd], [], 0.01)
        except OSError as error:
            raise PortLost(str(error)) from error

    def read(self, timeout_s: float) -> bytes:
        # poll counts whole milliseconds; select sleeps as exactly as the kernel can
        try:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, timeout_s))
            if not ready:
                if self._poll.poll(0) and not self._bytes_waiting():
                    raise PortLost("hung up")
                return b""
            data = os.read(self._fd, 4096)
        except (OSError, ValueError) as error:
            raise PortLost(str(error)) from error
        if not data:
            raise PortLost("hung up")
        return data

    def _bytes_waiting(self) -> bool:
        return bool(self._serial.in_waiting)

    def discard_input(self) -> int:
        count = 0
        try:
            while self._poll.poll(0):
                data = os.read(self._fd, 4096)
                if not data:
                    raise PortLost("hung up")
                count += len(data)
        except (OSError, ValueError) as error:
            raise PortLost(str(error)) from error
        return count

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def reopen(self) -> bool:
        self.close()
        try:
            self._open()
        except UserError:
            return False
        return True

    def close(self) -> None:
        if self._serial is not None:
            with contextlib.suppress(OSError):  # the port may have gone first
                self._handler.closePort()
            # the number may soon be that of another file
            self._serial, self._fd = None, -1


def choose_port(port: str | None) -> str:
    """The port as given.

    Raises:
        UserError: none was given; those of this computer are named.
    """
    if port is None:
        raise UserError(f"no --port was given. {list_ports()} Give the robot's with --port.")
    return port


def latency_timer_ms(port: str) -> int | None:
    """Latency timer of a USB serial adapter, ms; None where the port has none (a pty, a UART)."""
    name = Path(os.path.realpath(port)).name
    try:
        return int(Path(f"/sys/bus/usb-serial/devices/{name}/latency_timer").read_text())
    except (OSError, ValueError):
        return None


def list_ports() -> str:
    from serial.tools.list_ports import comports

    found = ", ".join(sorted(port.device for port in comports())) or "none"
    return f"Serial ports of this computer: {found}."


def _device(path: str | Path) -> tuple[int, int, int]:
    """Number of a device, and for a pseudo-terminal its file system: containers have their own /dev/pts/0. What is no
    device is itself alone."""
    status = os.stat(path)
    if not stat.S_ISCHR(status.st_mode):
        return 0, status.st_dev, status.st_ino
    return status.st_rdev, status.st_dev if os.major(status.st_rdev) in _PTY_MAJORS else 0, 0


def port_holder(port: str) -> str | None:
    """Name and pid of another process that has the port open, as far as /proc shows it."""
    try:
        wanted = _device(port)
    except OSError:
        return None
    pseudo = os.major(wanted[0]) in _PTY_MAJORS
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            links = list((folder / "fd").iterdir())
            # who made a pseudo-terminal has both of its ends: that is the robot, not its user
            makes = pseudo and bool({os.path.realpath(link) for link in links} & _PTY_MASTERS)
            if not makes and any(_device(link) == wanted for link in links):
                return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue
    return None
