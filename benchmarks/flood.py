"""Floods this computer's LCM network: a third telemetry of another robot, a third garbage, a third velocity commands.

The commands are in order in every respect (right robot, right run, fresh, STAND among them) but for their number. It
goes on until it is ended, and says twice a second how many messages it has sent per second.
"""

from __future__ import annotations

import argparse
import socket
import struct
import time

from wildrobot.core.lcm_udp import UdpAddress, encode_packet
from wildrobot.runtime.telemetry.lcm_types import velocity_command_t

HEARD_US = 5_000
"""So old is what the commands answer."""
BATCH_S, TOLD_EVERY_S = 0.0005, 0.5


def command(robot_name: str, run_id: int, source: str) -> velocity_command_t:
    """One that the robot would obey, without its times."""
    message = velocity_command_t()
    message.robot_name, message.run_id, message.source = robot_name, run_id, source
    message.linear_velocity_x, message.request = 0.3, velocity_command_t.STAND
    return message


def out_through_lo(address: UdpAddress) -> socket.socket:
    """A socket whose messages stay on this machine."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = struct.pack("@4s4si", socket.inet_aton(address.group), b"\0" * 4, address.interface_index())
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
    return sock


def flood(robot_name: str, run_id: int, rate: float, source: str) -> None:
    """Send `rate` messages a second, without end."""
    address = UdpAddress()
    sock, to = out_through_lo(address), (address.group, address.port)
    channel, message = f"{robot_name}/velocity_command", command(robot_name, run_id, source)
    others = (encode_packet("somebody/robot_state", bytes(700), 0), b"robot_stop" * 60)
    began, sent, told_s = time.monotonic(), 0, 0.0
    while True:
        message.robot_timestamp_us = time.time_ns() // 1000 - HEARD_US
        elapsed_s = time.monotonic() - began
        for _ in range(int(elapsed_s * rate - sent) // 3):
            message.timestamp_us += 1
            sock.sendto(encode_packet(channel, message.encode(), 0), to)
            for other in others:
                sock.sendto(other, to)
            sent += 3
        if elapsed_s - told_s >= TOLD_EVERY_S:
            print(round(sent / elapsed_s), flush=True)
            told_s = elapsed_s
        time.sleep(BATCH_S)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("robot_name")
    parser.add_argument("run_id", type=int)
    parser.add_argument("--rate", type=float, default=60_000.0, help="messages a second")
    parser.add_argument("--source", default="flooder", help="who commands")
    options = parser.parse_args()
    flood(options.robot_name, options.run_id, options.rate, options.source)


if __name__ == "__main__":
    main()
