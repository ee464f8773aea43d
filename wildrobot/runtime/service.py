"""What the service manager (systemd) is told: ready, alive as long as the control loop ticks, its state, stopping.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Without that
variable nobody asked, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping

from wildrobot.core.errors import UserError
from wildrobot.runtime.control.controller import Controller

PINGS_PER_TIMEOUT = 4
STATUS_EVERY_S = 1.0
_FIRST_TICK_POLL_S = 0.02


class ServiceNotifier:
    """Speaks for a control loop, from a thread of its own: it reads the loop's tick counter and never calls into it.

    READY goes out after the first tick. A watchdog ping attests that the loop has ticked since the last one: when the
    loop hangs, the pings end, however well this thread is.
    """

    def __init__(self, controller: Controller, environment: Mapping[str, str]) -> None:
        """Raises UserError: the environment names a socket or a timeout that cannot be used."""
        self._controller = controller
        self._address = notify_address(environment["NOTIFY_SOCKET"])
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # a service manager that does not read must not hold up the end
        self._period_s = ping_period_s(environment)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="service", daemon=True)

    def start(self) -> None:
        """Begin to watch the loop."""
        self._thread.start()

    def stop(self) -> None:
        """The loop has ended: no more pings, and what became of the run."""
        self._ended.set()
        self._thread.join()
        self._send(f"STOPPING=1\nSTATUS={self._describe()}")
        self._socket.close()

    def _watch(self) -> None:
        timer, ticks, since_status_s = self._controller.timer, 0, STATUS_EVERY_S
        while not timer.ticks or not self._send("READY=1"):
            if self._ended.wait(_FIRST_TICK_POLL_S):
                return
        while True:
            before, ticks = ticks, timer.ticks
            due = since_status_s >= STATUS_EVERY_S
            if ticks != before:
                status = f"\nSTATUS={self._describe()}" if due else ""
                self._send(f"WATCHDOG=1{status}")
                since_status_s = 0.0 if due else since_status_s
            if self._ended.wait(self._period_s):
                return
            since_status_s += self._period_s

    def _describe(self) -> str:
        controller, timer = self._controller, self._controller.timer
        outcome = controller.outcome
        fault = f", stopped by {outcome.fault}" if outcome.fault else ""
        fell = ", fell" if outcome.fell else ""
        by = f", commanded by {controller.watch.source}" if controller.watch.source else ""
        deaf = f"; {controller.publisher.problem}" if controller.publisher.problem else ""
        return f"{controller.state.value}{fell}{fault}{by}; {timer.ticks} ticks, {timer.missed} missed{deaf}"

    def _send(self, text: str) -> bool:
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:  # it restarts, or its queue is full: the next message may get through
            return False
        return True


@contextlib.contextmanager
def supervised(controller: Controller, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """The block runs the controller's loop: the service manager, if there is one, is kept informed.

    Raises:
        UserError: the environment names a socket or a timeout that cannot be used.
    """
    environment = os.environ if environment is None else environment
    if not environment.get("NOTIFY_SOCKET"):
        yield
        return
    notifier = ServiceNotifier(controller, environment)
    notifier.start()
    try:
        yield
    finally:
        notifier.stop()


def notify_address(name: str) -> str:
    """The socket's address: a path, or `@name` in the abstract name space.

    Raises:
        UserError: it is neither.
    """
    if name[0] == "@":
        return "\0" + name[1:]
    if name[0] == "/":
        return name
    raise UserError(
        f"NOTIFY_SOCKET is '{name}', expected a path or @name of a Unix socket. Unset it to run without a supervisor."
    )


def ping_period_s(environment: Mapping[str, str]) -> float:
    """Seconds between looks at the loop: a quarter of the watchdog's timeout, if it is for this process; at most 1.

    Raises:
        UserError: `WATCHDOG_USEC` is no positive number of microseconds.
    """
    asked, pid = environment.get("WATCHDOG_USEC"), environment.get("WATCHDOG_PID")
    if asked is None or (pid is not None and pid != str(os.getpid())):
        return STATUS_EVERY_S
    if not asked.isdecimal() or int(asked) == 0:
        raise UserError(f"WATCHDOG_USEC is '{asked}', expected a whole number of microseconds above 0.")
    return min(STATUS_EVERY_S, int(asked) * 1e-6 / PINGS_PER_TIMEOUT)
