"""LCM's UDP multicast on sockets of our own, because LCM's library leaves three things to chance that a robot cannot.

The interface is the kernel's choice there: a time to live of 0 does not keep a message on this machine where the
route to the group leads elsewhere and the sender has not joined the group, and a socket hears a group on every
interface on which any program of the computer has joined it (`ip(7)`, IP_MULTICAST_ALL). Its queues keep the oldest
messages. And its first subscription waits for ten seconds where a firewall swallows the group's packets.

Here, with `ttl=0` packets go out through the loopback interface and are taken from nowhere else. A `UdpReceiver` has
the kernel throw away every other channel before it takes up room (`socket(7)`, SO_ATTACH_FILTER). The packets are
LCM's own ("UDP Multicast Protocol Description" in its documentation), of one datagram; lcm-spy, lcm-logger and
programs in other languages read and write the same.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from wildrobot.core.errors import UserError

LOOPBACK = "lo"
LARGEST_BYTES = 65_499
"""Name and data of a message that fits one datagram (LCM_SHORT_MESSAGE_MAX_SIZE)."""
LONGEST_CHANNEL = 63
DEAF_S = 0.5
"""So long without hearing itself, a network counts as broken."""
_MAGIC = 0x4C433032  # "LC02"
_HEADER = struct.Struct(">II")
_IP_MULTICAST_ALL, _SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 49, 26, 33  # Linux, not in `socket`
_ROUTES = Path("/proc/net/route")
_ROUTE_UP, _ROUTE_REJECTS = 0x1, 0x200
_SIOCGIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8913, 0x1, 0x40
_URL_FORM = "udpm://GROUP:PORT?ttl=N, with &interface=NAME for a ttl above 0"


class Received(NamedTuple):
    """A message as it came."""

    channel: str
    data: bytes
    sender: str
    """ADDRESS:PORT of the socket that it came from."""


@dataclass(frozen=True)
class UdpAddress:
    """What an LCM URL udpm://GROUP:PORT?ttl=N says."""

    group: str = "239.255.76.67"
    port: int = 7667
    ttl: int = 0
    interface: str | None = LOOPBACK
    """Name; None: the one to which the kernel's route for the group leads."""
    receive_bytes: int | None = None
    """Of a receiver's buffer; None: the system's default."""

    @classmethod
    def parse(cls, url: str) -> UdpAddress:
        """The address in a URL.

        Raises:
            UserError: the URL is none, or asks for a ttl of 0 on another interface than the loopback's.
        """
        parts = urlsplit(url)
        try:
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            group, port = parts.hostname or cls.group, parts.port or cls.port
            ttl, size = int(options.pop("ttl", 0)), options.pop("recv_buf_size", None)
            if not 224 <= socket.inet_aton(group)[0] < 240 or not 0 <= ttl < 256:
                raise ValueError
            receive_bytes = None if size is None else int(size)
        except (ValueError, OSError) as error:
            raise UserError(
                f"{url} is no LCM address, expected {_URL_FORM}, with GROUP in 224.0.0.0/4."
            ) from error
        interface = options.pop("interface", LOOPBACK if ttl == 0 else None)
        if options:
            raise UserError(f"{url}: {', '.join(options)} means nothing, expected {_URL_FORM}.")
        if ttl == 0 and interface != LOOPBACK:
            raise UserError(
                f"{url}: a ttl of 0 stays on this machine, and interface={interface} leaves it. Take ttl=1 for the "
                "network there, or leave the interface out."
            )
        return cls(group, port, ttl, interface, receive_bytes)

    @property
    def local(self) -> bool:
        """Whether nothing leaves this machine, and nothing from elsewhere is heard."""
        return self.ttl == 0

    def interface_index(self) -> int:
        """Number of the interface to use now.

        Raises:
            OSError: there is none of that name, or no route to the group.
        """
        name = self.interface or route_interface(self.group)
        if name is None:
            raise OSError("no route leads to the group")
        try:
            index = socket.if_nametoindex(name)
        except OSError as error:
            raise OSError(f"there is no interface {name}") from error
        if name != LOOPBACK and not _has_carrier(name):
            raise OSError(f"the interface {name} is down, or nothing is plugged in")
        return index


class UdpReceiver:
    """Messages of some channels, oldest first; nothing else takes up room in its buffer.

    `read` never blocks. One thread reads; `join` may be called by another.
    """

    def __init__(
        self,
        address: UdpAddress,
        channels: Collection[str] | None,
        forget: Callable[[UdpReceiver], None] = lambda receiver: None,
    ) -> None:
        """`channels`: None for all. `forget` is told when it is closed."""
        self._address, self._forget = address, forget
        self._channels = None if channels is None else frozenset(channels)
        self._membership: bytes | None = None
        self._buffer = bytearray(65_536)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            _attach(self._socket, channel_filter(channels))
        if address.receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, address.receive_bytes)
            with suppress(OSError):  # beyond the system's limit only with the right to
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, address.receive_bytes)
        self._socket.bind((address.group, address.port))

    def join(self) -> None:
        """Join the group on the interface that is right now; it does no harm to do so again and again.

        Raises:
            OSError: that interface is not there, or has no address.
        """
        index = self._address.interface_index()
        wanted = _mreqn(self._address.group, index)
        if wanted != self._membership:
            if self._membership is not None:
                with suppress(OSError):  # it went with its interface
                    self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, self._membership)
                self._membership = None
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
            self._membership = wanted

    def read(self) -> Received | None:
        """The oldest message that waits; None: there is none."""
        while True:
            try:
                size, sender = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return None
            except OSError:  # a report about the network, or closed: the next look will tell
                return None
            found = decode_packet(memoryview(self._buffer)[:size])
            if found is not None and (self._channels is None or found[0] in self._channels):
                return Received(found[0], found[1], f"{sender[0]}:{sender[1]}")

    def wait(self, timeout_s: float) -> bool:
        """Wait for a message; whether there is one."""
        try:
            return bool(select.select([self._socket], [], [], timeout_s)[0])
        except (OSError, ValueError):  # closed meanwhile
            return False

    def close(self) -> None:
        """Hear nothing more."""
        self._forget(self)
        self._socket.close()


class UdpSender:
    """Sends messages; any thread may."""

    def __init__(self, address: UdpAddress) -> None:
        self._address = address
        self._numbers = itertools.count()
        self._index: int | None = None
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, address.ttl)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def join(self) -> None:
        """Send through the interface that is right now.

        Raises:
            OSError: it is not there.
        """
        index = self._address.interface_index()
        with self._lock:
            if index != self._index:
                self._socket.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _mreqn(self._address.group, index)
                )
                self._index = index

    def send(self, channel: str, data: bytes) -> None:
        """Send a message now, or not at all: it never blocks.

        Raises:
            OSError: it cannot be sent.
        """
        if self._index is None:  # never through an interface of the kernel's choice
            self.join()
        packet = encode_packet(channel, data, next(self._numbers) & 0xFFFFFFFF)
        self._socket.sendto(packet, (self._address.group, self._address.port))

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()


def encode_packet(channel: str, data: bytes, number: int) -> bytes:
    """The datagram of a message.

    Raises:
        OSError: it does not fit into one.
    """
    name = channel.encode()
    if len(name) > LONGEST_CHANNEL or len(name) + len(data) > LARGEST_BYTES:
        raise OSError(f"a message of {len(data)} bytes on {channel} is too large for one datagram")
    return _HEADER.pack(_MAGIC, number) + name + b"\0" + data


def decode_packet(packet: memoryview) -> tuple[str, bytes] | None:
    """Channel and data of a datagram; None: it holds no whole message."""
    if len(packet) < _HEADER.size + 2 or _HEADER.unpack_from(packet)[0] != _MAGIC:
        return None
    name, end, data = bytes(packet[_HEADER.size :]).partition(b"\0")
    if not end or len(name) > LONGEST_CHANNEL:
        return None
    try:
        return name.decode(), data
    except UnicodeDecodeError:
        return None


# ---------------------------------------------------------------------- the kernel's filter

_LOAD = {4: 0x20, 2: 0x28, 1: 0x30}  # BPF_LD | BPF_W, BPF_H, BPF_B | BPF_ABS
_JUMP_IF_EQUAL, _RETURN = 0x15, 0x06
_UDP_HEADER_BYTES = 8


def channel_filter(channels: Collection[str] | None) -> list[tuple[int, int, int, int]]:
    """Instructions (code, jump if true, jump if false, operand) of a classic BPF program that lets whole messages of
    these channels through (None: all), and nothing else. It sees a packet from its UDP header on."""
    if channels is None:
        return [(_RETURN, 0, 0, 0xFFFFFFFF)]
    tests = []
    for channel in sorted(channels):
        name, at, test = channel.encode() + b"\0", _UDP_HEADER_BYTES + _HEADER.size, []
        while name:
            size = 4 if len(name) >= 4 else 2 if len(name) >= 2 else 1
            test.append((size, at, int.from_bytes(name[:size], "big")))
            name, at = name[size:], at + size
        tests.append(test)
    program = [
        (_LOAD[4], 0, 0, _UDP_HEADER_BYTES),
        (_JUMP_IF_EQUAL, 1, 0, _MAGIC),
        (_RETURN, 0, 0, 0),
    ]
    for test in tests:
        for i, (size, at, value) in enumerate(test):
            program.append((_LOAD[size], 0, 0, at))
            program.append((_JUMP_IF_EQUAL, 0, 2 * (len(test) - 1 - i) + 1, value))
        program.append((_RETURN, 0, 0, 0xFFFFFFFF))
    return [*program, (_RETURN, 0, 0, 0)]


def _attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(memory))
    )


# ---------------------------------------------------------------------- what the kernel knows


def _mreqn(group: str, index: int) -> bytes:
    """`struct ip_mreqn`: group, own address (the loopback's; else the kernel's choice), interface."""
    own = "127.0.0.1" if socket.if_indextoname(index) == LOOPBACK else "0.0.0.0"
    return struct.pack("@4s4si", socket.inet_aton(group), socket.inet_aton(own), index)


def route_interface(group: str) -> str | None:
    """Name of the interface to which the kernel's route for `group` leads (`/proc/net/route`): programs on LCM's own
    library use it. None: there is no such route."""
    wanted = struct.unpack("=I", socket.inet_aton(group))[0]
    best: tuple[int, int, str] | None = None
    with suppress(OSError):
        for line in _ROUTES.read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            target, mask, flags = int(words[1], 16), int(words[7], 16), int(words[3], 16)
            if wanted & mask == target and flags & _ROUTE_UP and not flags & _ROUTE_REJECTS:
                # the longest prefix goes first, then the smallest metric
                found = (-mask.bit_count(), int(words[6]), words[0])
                best = found if best is None else min(best, found)
    return best[2] if best is not None else None


def _has_carrier(interface: str) -> bool:
    """Whether an interface is up and something is at its other end (`netdevice(7)`)."""
    if sys.platform != "linux":
        return True
    request = struct.pack("@16s24x", interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
    wanted = _IFF_UP | _IFF_RUNNING
    return bool(struct.unpack_from("@H", answer, 16)[0] & wanted == wanted)


def joined_interfaces(group: str) -> set[str]:
    """Names of the interfaces on which programs of this computer have joined `group` (`/proc/net/igmp`)."""
    wanted = f"{struct.unpack('=I', socket.inet_aton(group))[0]:08X}"
    found, name = set(), ""
    with suppress(OSError):
        for line in Path("/proc/net/igmp").read_text(encoding="ascii").splitlines():
            words = line.split()
            if line[:1].isdigit():
                name = words[1].rstrip(":")
            elif words and words[0].upper() == wanted:
                found.add(name)
    return found
