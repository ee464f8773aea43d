"""Computers of their own for a test: network namespaces, joined by cables that can be plugged in and pulled out.

They need Linux, root, and the programs `unshare`, `nsenter` and `ip`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

WIRE = "wire"
"""Name of a computer's interface to the cable."""
GROUP, PORT = "239.255.76.67", 7667
WIRE_URL = f"udpm://{GROUP}:{PORT}?ttl=1&interface={WIRE}"
"""LCM's network over the cable."""
_CLONE_NEWNET = 0x40000000
_ETHERNET, _EVERY_PROTOCOL, _IP, _UDP = 14, 0x0003, 0x0800, 17


@functools.cache
def why_not() -> str:
    """Why no such computer can be made here; empty: it can."""
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            return f"needs {program}"
    probe = "ip link set lo up && ip link add a0 type veth peer name b0"
    made = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", probe], capture_output=True, text=True)
    return "" if made.returncode == 0 else f"may not make networks of its own here: {made.stderr.strip()}"


class Computer:
    """One without a network yet, apart from lo; gone at the end of the block. `number` makes its address."""

    def __init__(self, number: int) -> None:
        self.address = f"10.21.0.{number}"

    def __enter__(self) -> Self:
        keep = "mount -t sysfs sysfs /sys; ip link set lo up && echo up && exec sleep 600"
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", keep], stdout=subprocess.PIPE, text=True
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "up\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.kill()
        self._keeper.wait()
        assert self._keeper.stdout is not None
        self._keeper.stdout.close()

    @property
    def pid(self) -> int:
        """A process inside."""
        return self._keeper.pid

    def command(self, *words: object) -> list[str]:
        """The command that runs `words` inside."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--", *(str(word) for word in words)]

    def do(self, script: str) -> str:
        """Run lines of shell inside; what they said."""
        done = subprocess.run(self.command("sh", "-ec", script), capture_output=True, text=True, timeout=30.0)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words: object, **popen: Any) -> subprocess.Popen[str]:
        """Start a program inside."""
        return subprocess.Popen(self.command(*words), text=True, **popen)

    def python(self, code: str, *arguments: object) -> subprocess.Popen[str]:
        """Start Python code inside that prints a line once it is ready; wait for that."""
        program = self.start(sys.executable, "-c", code, *arguments, stdout=subprocess.PIPE)
        assert program.stdout is not None
        assert program.stdout.readline(), f"it ended at once: {shlex.quote(code)}"
        return program

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and threads that it starts, are on this computer's network; only a main thread may."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net", "rb") as before, open(f"/proc/{self.pid}/ns/net", "rb") as there:
            if libc.setns(there.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                libc.setns(before.fileno(), _CLONE_NEWNET)


def connect(one: Computer, other: Computer, up: bool = True) -> None:
    """A cable between two; plugged in at once, or with `plug_in`."""
    ends = f"ip link add {WIRE} netns {one.pid} type veth peer name {WIRE} netns {other.pid}"
    subprocess.run(shlex.split(ends), check=True)
    for computer in (one, other):
        computer.do(f"ip address add {computer.address}/24 dev {WIRE}")
    if up:
        plug_in(one, other)


def plug_in(*computers: Computer) -> None:
    """The interfaces come up, and the routes lead there, as on a desk."""
    for computer in computers:
        up = f"ip link set {WIRE} up; ip route replace default dev {WIRE}; ip route replace 224.0.0.0/4 dev {WIRE}"
        computer.do(up)


def wait_for_link(*computers: Computer) -> None:
    """Wait until packets pass: the kernel looks at cables once a second."""
    for computer in computers:
        shown = functools.partial(computer.do, f"ip -o link show dev {WIRE}")
        assert wait_for(lambda shown=shown: " state UP " in shown()) < 2.0


def local_route(computer: Computer) -> None:
    """Programs on LCM's own library speak and listen on lo, as `lcm-network.sh` has it."""
    computer.do("ip link set lo multicast on; ip route replace 224.0.0.0/4 dev lo")


def wait_for(happened: Any, limit_s: float = 3.0) -> float:
    """Seconds until `happened()` is true, at most `limit_s`: then it is infinite."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        if happened():
            return time.monotonic() - began
        time.sleep(0.01)
    return float("inf")


class Sniffer:
    """Every IP packet that passes a computer's interface, in or out, whoever has joined what."""

    def __init__(self, computer: Computer, interface: str = WIRE) -> None:
        with computer.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
            self._socket.bind((interface, _EVERY_PROTOCOL))
        self._socket.setblocking(False)

    def udp(self, port: int) -> list[tuple[str, bytes]]:
        """Sender's address and content of the UDP packets to that port since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self._socket.recv(65_536)
                if struct.unpack_from(">H", frame, _ETHERNET - 2)[0] != _IP:
                    continue
                packet = frame[_ETHERNET:]
                start = 4 * (packet[0] & 0x0F)
                if packet[9] == _UDP and struct.unpack_from(">H", packet, start + 2)[0] == port:
                    found.append((socket.inet_ntoa(packet[12:16]), packet[start + 8 :]))
        return found

    def close(self) -> None:
        self._socket.close()
