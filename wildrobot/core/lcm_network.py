"""The LCM network: which one, sending and receiving on it without ever waiting, and whether anybody can hear."""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import NamedTuple, Protocol, Self

from wildrobot.core.lcm_library import LibraryNetwork
from wildrobot.core.lcm_udp import (
    DEAF_S,
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
"""Between looks whether what is sent comes back, and of who listens at the time."""
_ECHO = "network_echo"


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


class Listener:
    """Hears some channels on a thread of its own; a subclass says what comes of a message. A context manager."""

    def __init__(self, network: Network, channels: Collection[str], name: str) -> None:
        """`name`: of the thread."""
        self._network, self._channels = network, channels
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._receiver = self._network.receiver(self._channels)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._receiver.close()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._receiver.wait(LOOK_EVERY_S)
            while (message := self._receiver.read()) is not None:
                self._hear(message.data)
            self._look()

    def _hear(self, data: bytes) -> None:
        """A message has come."""
        raise NotImplementedError

    def _look(self) -> None:
        """Some time has gone by, `LOOK_EVERY_S` at most."""


class UdpNetwork:
    """UDP multicast. A thread joins the group again where interfaces come and go, and listens for its own messages."""

    def __init__(self, address: UdpAddress, url: str) -> None:
        self.url, self.address = url, address
        self._sender = UdpSender(address)
        self._receivers: list[UdpReceiver] = []
        self._lock = threading.Lock()
        self._token = secrets.token_bytes(8)
        self._echo = UdpReceiver(address, (_ECHO,))
        self._problem = ""
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
        return f"every computer on the network at {self._where()} receives the robot's messages and can command it"

    def publish(self, channel: str, data: bytes) -> bool:
        return not _failure(lambda: self._sender.send(channel, data))

    def receiver(self, channels: Collection[str] | None) -> UdpReceiver:
        found = UdpReceiver(self.address, channels, self._forget)
        with self._lock:
            self._receivers.append(found)
        _failure(found.join)  # until it can, it is tried at every look
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
        with self._lock:
            ends: list[UdpSender | UdpReceiver] = [self._sender, self._echo, *self._receivers]
        failures = [_failure(end.join) for end in ends]
        now = time.monotonic()
        while (message := self._echo.read()) is not None:
            if message.data == self._token:
                self._heard_s = now
        failures.append(_failure(lambda: self._sender.send(_ECHO, self._token)))
        if any(failures):
            first = next(filter(None, failures))
            self._problem, self._failed_s = f"messages from this computer do not arrive: {first}", now
        elif now - max(self._heard_s, self._failed_s) > DEAF_S:
            self._problem = (
                f"messages from this computer do not arrive: what it sends to port {self.address.port} "
                f"on {self._where()} does not "
                "come back; does a firewall drop it?"
            )
        elif self._heard_s > self._failed_s:
            self._problem = ""

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


def _failure(attempt: Callable[[], None]) -> str:
    """Why the operating system refuses it; empty: it does not."""
    try:
        attempt()
    except OSError as error:
        return error.strerror or str(error)
    return ""
