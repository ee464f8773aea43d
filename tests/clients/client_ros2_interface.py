"""What ROBOTIS's hardware interface for ROS 2 does with a servo, by the SDK: it maps what it reads to indirect data 29
and up, what it writes to those from 1 on, reads all servos by one fast sync read and writes them by one sync write."""

from __future__ import annotations

from typing import Any

import dynamixel_sdk as sdk
from steps import BAUD, GOAL, GROUP, PORT, settle, step

port, packets = sdk.PortHandler(PORT), sdk.PacketHandler(2.0)
READS = [*range(126, 128), *range(128, 132), *range(132, 136)]
WRITES = list(range(GOAL, GOAL + 4))


def good(result: int, error: int) -> None:
    if result != sdk.COMM_SUCCESS or error & 0x7F:
        raise OSError(f"{packets.getTxRxResult(result)} {packets.getRxPacketError(error)}")


def map_all() -> bool:
    for device in GROUP:
        good(*packets.write1ByteTxRx(port, device, 64, 0))
        for k, address in enumerate(WRITES):
            good(*packets.write2ByteTxRx(port, device, 168 + 2 * k, address))
        for k, address in enumerate(READS):
            good(*packets.write2ByteTxRx(port, device, 578 + 2 * k, address))
    return True


def joints(fast: bool) -> dict[int, int]:
    group: Any = sdk.GroupSyncRead(port, packets, 634, len(READS))
    for device in GROUP:
        group.addParam(device)
    result = group.fastSyncRead() if fast else group.txRxPacket()
    if result != sdk.COMM_SUCCESS:
        raise OSError(packets.getTxRxResult(result))
    return {device: group.getData(device, 640, 4) for device in GROUP}


def goals(offset: int) -> bool:
    group = sdk.GroupSyncWrite(port, packets, 224, 4)
    for device, count in joints(False).items():
        group.addParam(device, list((count + offset).to_bytes(4, "little")))
    return group.txPacket() == sdk.COMM_SUCCESS


step("open", lambda: port.openPort() and port.setBaudRate(BAUD))
step("map reads and writes", map_all)
step("sync read", lambda: joints(False))
step("fast sync read", lambda: joints(True))
step("torque on", lambda: good(*packets.write1ByteTxRx(port, 1, 64, 1)) or True)
there = joints(False)[1]
step("goal", lambda: goals(-100))
settle(1.5)
step("moved", lambda: joints(False)[1] - there)
step("torque off", lambda: good(*packets.write1ByteTxRx(port, 1, 64, 0)) or True)
