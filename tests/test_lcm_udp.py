"""Our own LCM transport against LCM's library, and what it promises: loopback, one channel's room, no waiting."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import threading
import time
from typing import Any

import lcm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildrobot.core import lcm_network, lcm_udp
from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import DEFAULT_LCM_URL, open_network
from wildrobot.core.lcm_udp import (
    LARGEST_BYTES,
    UdpAddress,
    UdpReceiver,
    UdpSender,
    channel_filter,
    decode_packet,
    encode_packet,
)

GROUP = "239.255.76.67"
_PORTS = itertools.count(40_000 + os.getpid() % 10_000)


@pytest.fixture
def address() -> UdpAddress:
    return UdpAddress(port=next(_PORTS))


def url_of(address: UdpAddress) -> str:
    return f"udpm://{address.group}:{address.port}?ttl={address.ttl}"


def read_all(receiver: Any, wait_s: float = 0.5) -> list[tuple[str, bytes]]:
    found = []
    while receiver.wait(wait_s):
        message = receiver.read()
        if message is not None:
            found.append((message.channel, message.data))
        wait_s = 0.05
    return found


# ---------------------------------------------------------------------- against LCM's library


def test_the_library_hears_us_and_we_hear_the_library(address: UdpAddress) -> None:
    network, library, heard = open_network(url_of(address)), lcm.LCM(url_of(address)), list[Any]()
    library.subscribe(".*/state", lambda channel, data: heard.append((channel, data)))
    receiver = network.receiver(("alice/state", "short"))
    sizes = (0, 1, 7, 8, 100, 1400, 9000, 60_000)
    try:
        for size in sizes:
            assert network.publish("alice/state", bytes(size))
            library.handle_timeout(1000)
        assert [(channel, len(data)) for channel, data in heard] == [("alice/state", size) for size in sizes]
        # A packet of the library leaves through its own route: what counts here is that it is read alike.
        packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        packets.bind(("", address.port))
        packets.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + struct.pack("=I", 0)
        )
        packets.settimeout(2.0)
        for size in sizes:
            library.publish("short", b"x" * size)
            packet = packets.recv(65_536)
            while decode_packet(memoryview(packet)) != ("short", b"x" * size):  # our own echo is among them
                packet = packets.recv(65_536)
        packets.close()
    finally:
        receiver.close()
        network.close()


@given(
    channel=st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=63),
    data=st.binary(max_size=300),
    number=st.integers(0, 2**32 - 1),
)
def test_a_packet_comes_back_as_it_was(channel: str, data: bytes, number: int) -> None:
    assert decode_packet(memoryview(encode_packet(channel, data, number))) == (channel, data)


@given(st.binary(max_size=100))
def test_no_packet_however_broken_raises(packet: bytes) -> None:
    decode_packet(memoryview(packet))
    decode_packet(memoryview(struct.pack(">II", 0x4C433032, 0) + packet))


@pytest.mark.parametrize("kind", ["udpm", "memq"])
def test_a_receiver_of_all_channels_gets_each_message_once_beside_those_of_some(
    address: UdpAddress, kind: str
) -> None:
    network = open_network(url_of(address) if kind == "udpm" else "memq://")
    every, some = network.receiver(None), network.receiver(("a",))
    time.sleep(0.1)  # the library subscribes on a thread of its own
    for channel in ("a", "b/c", "a"):
        network.publish(channel, b"12345678")
    time.sleep(0.1)
    heard = [(channel, data) for channel, data in read_all(every) if data == b"12345678"]
    assert heard == [(channel, b"12345678") for channel in ("a", "b/c", "a")]
    assert read_all(some) == [("a", b"12345678")] * 2
    network.close()


def test_what_does_not_fit_one_datagram_is_lost_and_nothing_else(address: UdpAddress) -> None:
    network = open_network(url_of(address))
    receiver = network.receiver(("a",))
    assert not network.publish("a", bytes(LARGEST_BYTES + 1))
    assert not network.publish("a" * 64, b"")
    assert network.publish("a", b"12345678")
    assert read_all(receiver) == [("a", b"12345678")]
    network.close()


# ---------------------------------------------------------------------- the kernel's filter


def run_filter(program: list[tuple[int, int, int, int]], packet: bytes) -> int:
    """Classic BPF as the kernel's documentation describes it, for the instructions used."""
    packet, accumulator, at = bytes(8) + packet, 0, 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        if code == 0x06:
            return operand
        if code == 0x15:
            at += yes if accumulator == operand else no
        else:
            size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
            if operand + size > len(packet):
                return 0
            accumulator = int.from_bytes(packet[operand : operand + size], "big")


NAMES = st.text("ab/_", min_size=1, max_size=9)


@given(channels=st.sets(NAMES, min_size=1, max_size=5), sent=NAMES, data=st.binary(min_size=8, max_size=12))
def test_the_filter_lets_exactly_its_channels_through(channels: set[str], sent: str, data: bytes) -> None:
    assert (run_filter(channel_filter(channels), encode_packet(sent, data, 5)) > 0) == (sent in channels)


def test_a_flood_of_other_channels_takes_no_room_from_one(address: UdpAddress) -> None:
    receiver, sender = UdpReceiver(address, ("alice/robot_stop",)), UdpSender(address)
    receiver.join()
    for _ in range(20_000):  # many times what a buffer holds
        sender.send("alice/robot_state", bytes(500))
    sender.send("alice/robot_stop", b"12345678")
    assert read_all(receiver) == [("alice/robot_stop", b"12345678")]
    receiver.close()
    sender.close()


# ---------------------------------------------------------------------- this machine only


def test_sockets_of_ttl_0_send_through_lo_and_take_from_nowhere_else(address: UdpAddress) -> None:
    sender, receiver = UdpSender(address), UdpReceiver(address, ("a",))
    sender.join()
    receiver.join()
    own = sender._socket.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4)
    assert own == socket.inet_aton("127.0.0.1")
    assert sender._socket.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 0
    assert receiver._socket.getsockopt(socket.IPPROTO_IP, 49) == 0  # IP_MULTICAST_ALL
    assert "lo" in lcm_udp.joined_interfaces(GROUP)
    sender.close()
    receiver.close()


def test_the_default_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    address = UdpAddress.parse(DEFAULT_LCM_URL)
    assert (address.local, address.interface, address.ttl) == (True, "lo", 0)
    assert UdpAddress.parse("udpm://") == UdpAddress()
    assert not UdpAddress.parse("udpm://239.255.76.67:7667?ttl=1").local


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("udpm://10.0.0.1:7667", "GROUP in 224.0.0.0/4"),
        ("udpm://239.255.76.67:7667?ttl=x", "no LCM address"),
        ("udpm://239.255.76.67:7667?ttl=-1", "no LCM address"),
        ("udpm://239.255.76.67:99999", "no LCM address"),
        ("udpm://nowhere:7667", "no LCM address"),
        ("udpm://239.255.76.67:7667?tll=1", "tll means nothing"),
        ("udpm://239.255.76.67:7667?ttl=0&interface=eth0", "interface=eth0 leaves it"),
        ("nonsense://x", "use a URL that LCM knows"),
    ],
)
def test_a_url_that_cannot_be_is_refused_with_what_would_be_right(
    url: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=words):
        open_network(url)
    assert capfd.readouterr() == ("", "")  # LCM's library has long texts of its own


# ---------------------------------------------------------------------- whether anybody hears


def wait_for(condition: Any, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def test_a_network_that_hears_itself_has_no_problem_and_one_that_does_not_says_so_within_a_second(
    address: UdpAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = open_network(url_of(address))
    time.sleep(1.0)
    assert network.problem == ""
    # as a firewall does it: sending goes well, nothing comes back
    monkeypatch.setattr(UdpSender, "send", lambda self, channel, data: None)
    began = time.monotonic()
    assert wait_for(lambda: network.problem)
    assert time.monotonic() - began < 1.2
    assert f"port {address.port} on lo does not come back" in network.problem
    monkeypatch.undo()
    assert wait_for(lambda: not network.problem)
    network.close()


def test_an_interface_that_is_not_there_is_a_problem_and_no_error(address: UdpAddress) -> None:
    network = open_network(f"udpm://{GROUP}:{address.port}?ttl=1&interface=wlan77")
    assert network.problem == "messages from this computer do not arrive: there is no interface wlan77"
    assert not network.publish("a", b"")
    network.close()


def test_a_server_that_is_not_there_is_a_problem_and_no_error() -> None:
    began = time.monotonic()
    network = open_network("tcpq://127.0.0.1:9")
    assert wait_for(lambda: network.problem)
    network.publish("a", b"")
    assert network.receiver(("a",)).read() is None
    network.close()
    assert time.monotonic() - began < 5.0


def test_memory_takes_messages_from_thread_to_thread() -> None:
    network = open_network("memq://")
    receiver, other = network.receiver(("a.b",)), network.receiver(("axb",))
    threading.Thread(target=lambda: network.publish("a.b", b"1")).start()
    assert receiver.wait(2.0)
    assert receiver.read() == ("a.b", b"1", "memq://")
    assert other.read() is None
    network.close()


def test_a_program_that_has_joined_elsewhere_is_seen(
    address: UdpAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = open_network(url_of(address))
    monkeypatch.setattr(lcm_network, "joined_interfaces", lambda group: {"lo", "eth7"})
    odd = network.joined_elsewhere()
    assert odd is not None
    assert "has joined the group 239.255.76.67 on eth7" in odd.found
    assert all(command in odd.advice for command in lcm_network.MULTICAST_FIX)
    monkeypatch.setattr(lcm_network, "joined_interfaces", lambda group: {"lo"})
    assert network.joined_elsewhere() is None
    monkeypatch.setattr(lcm_network, "route_interface", lambda group: "eth7")
    odd = network.library_elsewhere()
    assert odd is not None
    assert "send through eth7, not lo" in odd.found
    network.close()


def test_the_route_s_interface_is_that_of_the_longest_prefix(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
        "wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0",
        "lo\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\t0\t0\t0",
        "eth1\t000000E0\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0",  # a reject route
    ]
    table = tmp_path / "route"
    monkeypatch.setattr(lcm_udp, "_ROUTES", table)
    for kept, expected in ((4, "lo"), (2, "eth0"), (0, None)):
        table.write_text("\n".join(["Iface ...", *rows[:kept]]) + "\n")
        assert lcm_udp.route_interface(GROUP) == expected
