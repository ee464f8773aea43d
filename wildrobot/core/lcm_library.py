"""LCM's own library, for what it has beside UDP: memq:// in one process, tcpq:// over a server, file:// for a log."""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from wildrobot.core.errors import UserError
from wildrobot.core.lcm_udp import DEAF_S, Received

_ALL = ".*"
_QUEUE_PORT, _GREETING = 7700, struct.pack(">II", 0x287617FB, 0x0100)
"""What tcpq:// takes without a port, and says first."""
_KEPT = 1000
"""Messages that wait for a reader at most; the newest stay."""


class Mailbox:
    """Messages of some channels that LCM's library gave, until they are read."""

    def __init__(self, channels: Collection[str] | None, forget: Callable[[Mailbox], None]) -> None:
        self.channels, self._forget = None if channels is None else frozenset(channels), forget
        self.waiting: deque[Received] = deque(maxlen=_KEPT)
        self.arrived = threading.Event()

    def read(self) -> Received | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def wait(self, timeout_s: float) -> bool:
        self.arrived.clear()
        return bool(self.waiting) or (self.arrived.wait(timeout_s) and bool(self.waiting))

    def close(self) -> None:
        self._forget(self)


class LibraryNetwork:
    """What LCM's library has beside UDP: memq:// in one process, tcpq:// over a server, file:// for a log.

    Its own thread talks to the library, whose calls may block or fail when a server goes away; the thread connects
    again every second.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._outgoing: deque[tuple[str, bytes]] = deque(maxlen=_KEPT)
        self._boxes: list[Mailbox] = []
        self._lock = threading.Lock()
        self._problem = ""
        self._subscribed: set[str] = set()
        self._answered_s = time.monotonic()
        self._lcm = _create(url)
        if self._lcm is None and not url.startswith("tcpq:"):
            raise UserError(
                f"LCM is not available at {url}: use a URL that LCM knows: udpm://, tcpq://, memq:// or file://."
            )
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        if not self._problem and time.monotonic() - self._answered_s > DEAF_S:
            return f"messages from this computer do not arrive: {self.url} takes no more messages"
        return self._problem

    @property
    def reach(self) -> str:
        return "this process" if self.url.startswith("memq:") else "whoever uses it"

    def publish(self, channel: str, data: bytes) -> bool:
        room = len(self._outgoing) < _KEPT
        self._outgoing.append((channel, data))
        return room

    def receiver(self, channels: Collection[str] | None) -> Mailbox:
        box = Mailbox(channels, self._forget)
        with self._lock:
            self._boxes.append(box)
        return box

    def _forget(self, box: Mailbox) -> None:
        with self._lock, suppress(ValueError):
            self._boxes.remove(box)

    def joined_elsewhere(self) -> None:
        return None

    def library_elsewhere(self) -> None:
        return None

    def close(self) -> None:
        self._closed.set()
        self._thread.join(2.0)
        self._lcm = None  # closes a log file

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                self._exchange()
                self._problem, self._answered_s = "", time.monotonic()
            except Exception as error:  # whatever the library raises for a server that is gone
                why = error or type(error).__name__
                self._problem = f"messages from this computer do not arrive: {self.url}: {why}"
                self._lcm = None
                self._closed.wait(1.0)
                with self._lock:
                    self._subscribed.clear()
        with suppress(Exception):  # the server is gone by now
            self._send(len(self._outgoing))

    def _exchange(self) -> None:
        if self._lcm is None:
            self._lcm = _create(self.url)
            if self._lcm is None:
                raise OSError("there is no connection")
        count = len(self._outgoing)  # who listens now hears whatever is published later
        with self._lock:
            wanted = {
                pattern
                for box in self._boxes
                for pattern in ([_ALL] if box.channels is None else map(re.escape, box.channels))
            }
        for pattern in sorted(wanted - self._subscribed):
            take = partial(self._take, whole=pattern == _ALL)
            self._lcm.subscribe(pattern, take).set_queue_capacity(_KEPT)
            self._subscribed.add(pattern)
        self._send(count)
        if wanted:
            self._lcm.handle_timeout(5)
        else:
            self._closed.wait(0.005)

    def _send(self, count: int) -> None:
        for _ in range(count):
            if self._lcm is not None and self._outgoing:
                self._lcm.publish(*self._outgoing.popleft())

    def _take(self, channel: str, data: bytes, whole: bool) -> None:
        """A message of the subscription to all channels (`whole`), or of one's own: it comes once by each."""
        with self._lock:
            boxes = list(self._boxes)
        for box in boxes:
            if whole if box.channels is None else channel in box.channels and not whole:
                box.waiting.append(Received(channel, data, self.url))
                box.arrived.set()


def _create(url: str) -> Any | None:
    """An `lcm.LCM`; None: the library refuses.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        import lcm
    except ImportError as error:  # its C library lacks a system library, most often GLib
        cause = error.__context__ or error
        raise UserError(f"{cause}. On Debian and Ubuntu: sudo apt-get install -y libglib2.0-0") from error
    if url.startswith("tcpq:") and not _server_answers(url):
        return None
    try:
        # LCM's C library prints long texts of its own.
        with _silenced_stderr():
            return lcm.LCM(url)
    except RuntimeError:
        return None


def _server_answers(url: str) -> bool:
    """Whether a server of tcpq:// is there and greets: LCM's library would wait for it with Python's lock in its hand,
    and the whole program with it."""
    parts = urlsplit(url)
    try:
        with socket.create_connection(
            (parts.hostname or "127.0.0.1", parts.port or _QUEUE_PORT), 1.0
        ) as server:
            server.sendall(_GREETING)
            return len(server.recv(8, socket.MSG_WAITALL)) == 8
    except (OSError, ValueError):
        return False


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
