"""The LCM network: which one, sending and receiving on it without ever waiting, and whether anybody can hear."""

from __future__ import annotations

import math
import os
import re
import secrets
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from wildrobot.core.errors import UserError
from wildrobot.core.lcm_udp import (
    Received,
    UdpAddress,
    UdpReceiver,
    UdpSender,
    joined_interfaces,
    route_interface,
)

DEFAULT_LCM_URL = "udpm://239.255.76.67:7667?ttl=0"
MULTICAST_FIX = ("sudo ip link set lo multicast on", "sudo ip route replace 224.0.0.0/4 dev lo")
"""With these, programs on LCM's own library hear and speak on the loopback interface, too."""
LOOK_EVERY_S = 0.2
"""Between looks whether what is sent comes back."""
DEAF_S = 0.5
"""So long without hearing itself, a network counts as broken."""
_ECHO = "network_echo"
_ALL = ".*"
_QUEUE_PORT, _GREETING = 7700, struct.pack(">II", 0x287617FB, 0x0100)
"""What tcpq:// takes without a port, and says first."""
_KEPT = 1000
"""Messages that wait for a reader of LCM's library at most; the newest stay."""


class Oddity(NamedTuple):
    """What is odd about this computer's network though messages pass, and what to do."""

    found: str
    advice: str


class Receiver(Protocol):
    """Messages of some channels, oldest first."""

    def read(self) -> Received | None:
        """The oldest message that waits, None without one; never blocks."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for a message; whether there is one."""

    def close(self) -> None:
        """Hear nothing more."""


class Network(Protocol):
    """An LCM network that is open. It stays open when its transport fails, and mends itself."""

    url: str

    @property
    def problem(self) -> str:
        """Why nobody hears what is sent now; empty: nothing is known to be wrong."""

    @property
    def reach(self) -> str:
        """Who can hear and command, for a person."""

    def publish(self, channel: str, data: bytes) -> bool:
        """Send a message now, or lose it: false. Never blocks, never raises; any thread may."""

    def receiver(self, channels: Collection[str] | None) -> Receiver:
        """Messages of these channels, or with None of all, from now on."""

    def joined_elsewhere(self) -> Oddity | None:
        """A program on this computer listens to the same group through another interface."""

    def library_elsewhere(self) -> Oddity | None:
        """Programs on LCM's own library send through another interface."""

    def close(self) -> None:
        """Send and hear nothing more."""


def lcm_url(asked: str | None) -> str:
    """The URL to use: what was asked, else LCM_DEFAULT_URL, else this machine only (time to live 0)."""
    return asked or os.environ.get("LCM_DEFAULT_URL") or DEFAULT_LCM_URL


def open_network(url: str) -> Network:
    """The network of a URL. Without an interface or a server it is open all the same, and says what is wrong.

    Raises:
        UserError: LCM knows no such URL, or its library cannot be loaded.
    """
    if url.startswith("udpm:"):
        return UdpNetwork(UdpAddress.parse(url), url)
    return LibraryNetwork(url)


class UdpNetwork:
    """UDP multicast. A thread joins the group again where interfaces come and go, and listens for its own messages."""

    def __init__(self, address: UdpAddress, url: str) -> None:
        self.url, self.address = url, address
        self._sender = UdpSender(address)
        self._receivers: list[UdpReceiver] = []
        self._lock = threading.Lock()
        self._token = secrets.token_bytes(8)
        self._echo = UdpReceiver(address, (_ECHO,))
        self._problem, self._failure = "", ""
        self._failed_s = -math.inf
        self._heard_s, self._closed = time.monotonic(), threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        return self._problem

    @property
    def reach(self) -> str:
        if self.address.local:
            return "this machine only"
        return f"whoever is on the network at {self._where()} hears the robot and can command it"

    def publish(self, channel: str, data: bytes) -> bool:
        try:
            self._sender.send(channel, data)
        except OSError as error:
            self._failure = self._failure or _why(error)
            return False
        return True

    def receiver(self, channels: Collection[str] | None) -> UdpReceiver:
        found = UdpReceiver(self.address, channels, self._forget)
        with self._lock:
            self._receivers.append(found)
        self._join(found)
        return found

    def _forget(self, receiver: UdpReceiver) -> None:
        with self._lock, suppress(ValueError):
            self._receivers.remove(receiver)

    def joined_elsewhere(self) -> Oddity | None:
        mine = self._where()
        elsewhere = sorted(joined_interfaces(self.address.group) - {mine})
        if not elsewhere:
            return None
        found = (
            f"a program on this computer has joined the group {self.address.group} on {', '.join(elsewhere)}: what it "
            f"sends goes there and not through {mine}, and whoever is on that network can talk to it"
        )
        return Oddity(found, self._library_advice())

    def library_elsewhere(self) -> Oddity | None:
        mine, theirs = self._where(), route_interface(self.address.group)
        if theirs == mine:
            return None
        found = (
            f"lcm-spy, lcm-logger and other programs on LCM's own library send through {theirs or 'no interface'}, "
            f"not {mine}: the robot does not hear them"
        )
        return Oddity(found, self._library_advice())

    def _library_advice(self) -> str:
        if self.address.local:
            return f"To keep all of them on this machine: {'; '.join(MULTICAST_FIX)}"
        return f"To send all of them there: sudo ip route replace 224.0.0.0/4 dev {self._where()}"

    def look(self) -> None:
        """Join where it is due and send the next message to itself; what came back of the last ones counts now."""
        self._failure = ""
        self._join(self._sender)
        self._join(self._echo)
        with self._lock:
            receivers = list(self._receivers)
        for receiver in receivers:
            self._join(receiver)
        now = time.monotonic()
        while (message := self._echo.read()) is not None:
            if message.data == self._token:
                self._heard_s = now
        self.publish(_ECHO, self._token)
        if self._failure:
            self._problem, self._failed_s = f"nobody hears this computer: {self._failure}", now
        elif now - max(self._heard_s, self._failed_s) > DEAF_S:
            self._problem = (
                f"nobody hears this computer: what it sends to port {self.address.port} on {self._where()} does not "
                "come back; does a firewall drop it?"
            )
        elif self._heard_s > self._failed_s:
            self._problem = ""

    def _join(self, end: UdpSender | UdpReceiver) -> None:
        try:
            end.join()
        except OSError as error:
            self._failure = self._failure or _why(error)

    def _where(self) -> str:
        return self.address.interface or route_interface(self.address.group) or "no interface"

    def _work(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.look()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        for receiver in (*self._receivers, self._echo):
            receiver.close()
        self._sender.close()


class _Mailbox:
    """Messages of some channels that LCM's library gave, until they are read."""

    def __init__(self, channels: Collection[str] | None, forget: Callable[[_Mailbox], None]) -> None:
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
        self._boxes: list[_Mailbox] = []
        self._lock = threading.Lock()
        self._problem = ""
        self._subscribed: set[str] = set()
        self._answered_s = time.monotonic()
        self._lcm = _create(url)
        if self._lcm is None and not url.startswith("tcpq:"):
            raise UserError(
                f"LCM is not available at {url}: use a URL that LCM knows, {DEFAULT_LCM_URL}, tcpq://, memq:// or "
                "file://."
            )
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        if not self._problem and time.monotonic() - self._answered_s > DEAF_S:
            return f"nobody hears this computer: {self.url} takes no more messages"
        return self._problem

    @property
    def reach(self) -> str:
        return "this process" if self.url.startswith("memq:") else "whoever uses it"

    def publish(self, channel: str, data: bytes) -> bool:
        room = len(self._outgoing) < _KEPT
        self._outgoing.append((channel, data))
        return room

    def receiver(self, channels: Collection[str] | None) -> Receiver:
        box = _Mailbox(channels, self._forget)
        with self._lock:
            self._boxes.append(box)
        return box

    def _forget(self, box: _Mailbox) -> None:
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
                self._problem = f"nobody hears this computer: {self.url}: {error or type(error).__name__}"
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


def _why(error: OSError) -> str:
    return error.strerror or str(error)


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
