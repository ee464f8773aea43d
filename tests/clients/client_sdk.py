"""dynamixel-sdk: the maker's own, every call of its packet handler and group classes that a servo knows."""

from __future__ import annotations

from typing import Any

import dynamixel_sdk as sdk
from steps import (
    BAUD,
    FIRMWARE,
    GOAL,
    GROUP,
    LED,
    ONE,
    P_GAIN,
    PORT,
    POSITION,
    PROFILE_VELOCITY,
    TEMPERATURE,
    TORQUE,
    VOLTAGE,
    settle,
    step,
)

port = sdk.PortHandler(PORT)
packets = sdk.PacketHandler(2.0)


def good(*answer: Any) -> Any:
    """The value of an answer without an error."""
    *values, result, error = answer
    if result != sdk.COMM_SUCCESS:
        raise OSError(packets.getTxRxResult(result))
    if error & 0x7F:
        raise ValueError(packets.getRxPacketError(error))
    return values[0] if values else True


def sent(result: int) -> bool:
    if result != sdk.COMM_SUCCESS:
        raise OSError(packets.getTxRxResult(result))
    return True


def sync_read(fast: bool = False) -> dict[int, int]:
    group = sdk.GroupSyncRead(port, packets, POSITION, 4)
    for device in GROUP:
        group.addParam(device)
    sent(group.fastSyncRead() if fast else group.txRxPacket())
    return {device: group.getData(device, POSITION, 4) for device in GROUP}


def bulk_read(fast: bool = False) -> list[int]:
    group = sdk.GroupBulkRead(port, packets)
    wanted = [(1, POSITION, 4), (2, VOLTAGE, 2), (3, TEMPERATURE, 1)]
    for device, address, size in wanted:
        group.addParam(device, address, size)
    sent(group.fastBulkRead() if fast else group.txRxPacket())
    return [group.getData(*item) for item in wanted]


def sync_write() -> bool:
    group = sdk.GroupSyncWrite(port, packets, P_GAIN, 2)
    for device in GROUP:
        group.addParam(device, [0x90, 0x01])
    return sent(group.txPacket())


def bulk_write() -> bool:
    group = sdk.GroupBulkWrite(port, packets)
    group.addParam(1, LED, 1, [1])
    group.addParam(2, P_GAIN, 2, [0xF4, 0x01])
    return sent(group.txPacket())


def indirect(addresses: int, data: int) -> int:
    for k in range(4):
        good(*packets.write2ByteTxRx(port, ONE, addresses + 2 * k, POSITION + k))
    return good(*packets.read4ByteTxRx(port, ONE, data))


step("open", lambda: port.openPort() and port.setBaudRate(BAUD))
step("ping", lambda: good(*packets.ping(port, ONE)))
step("scan", lambda: sorted(packets.broadcastPing(port)[0]))
step("read 1 byte", lambda: good(*packets.read1ByteTxRx(port, ONE, FIRMWARE)))
step("read 2 bytes", lambda: good(*packets.read2ByteTxRx(port, ONE, VOLTAGE)))
step("read 4 bytes", lambda: good(*packets.read4ByteTxRx(port, ONE, POSITION)))
step("write 1 byte", lambda: good(*packets.write1ByteTxRx(port, ONE, LED, 1)))
step("write 2 bytes", lambda: good(*packets.write2ByteTxRx(port, ONE, P_GAIN, 700)))
step("write 4 bytes", lambda: good(*packets.write4ByteTxRx(port, ONE, PROFILE_VELOCITY, 90)))
step(
    "read back",
    lambda: [
        good(*packets.read1ByteTxRx(port, ONE, LED)),
        good(*packets.read2ByteTxRx(port, ONE, P_GAIN)),
        good(*packets.read4ByteTxRx(port, ONE, PROFILE_VELOCITY)),
    ],
)
step("sync read", sync_read)
if hasattr(sdk.GroupSyncRead, "fastSyncRead"):
    step("fast sync read", lambda: sync_read(fast=True))
    step("fast bulk read", lambda: bulk_read(fast=True))
step("bulk read", bulk_read)
step("sync write", sync_write)
step("after sync write", lambda: [good(*packets.read2ByteTxRx(port, device, P_GAIN)) for device in GROUP])
step("bulk write", bulk_write)
step(
    "after bulk write",
    lambda: [good(*packets.read1ByteTxRx(port, 1, LED)), good(*packets.read2ByteTxRx(port, 2, P_GAIN))],
)
step("indirect 1", lambda: indirect(168, 224))
step("indirect 29", lambda: indirect(578, 634))
step("register write", lambda: good(*packets.regWriteTxRx(port, ONE, LED, 1, [0])))
step("before action", lambda: good(*packets.read1ByteTxRx(port, ONE, LED)))
step("action", lambda: packets.action(port, ONE) is not None)
step("after action", lambda: good(*packets.read1ByteTxRx(port, ONE, LED)))
step("torque on", lambda: good(*packets.write1ByteTxRx(port, ONE, TORQUE, 1)))
there = good(*packets.read4ByteTxRx(port, ONE, POSITION))
step("goal", lambda: good(*packets.write4ByteTxRx(port, ONE, GOAL, there - 100)))
settle(1.5)
step("moved", lambda: good(*packets.read4ByteTxRx(port, ONE, POSITION)) - there)
step("torque off", lambda: good(*packets.write1ByteTxRx(port, ONE, TORQUE, 0)))
if hasattr(packets, "clearMultiTurn"):
    settle(1.0)
    step("clear multi-turn", lambda: good(*packets.clearMultiTurn(port, ONE)))
step("reboot", lambda: good(*packets.reboot(port, ONE)))
settle()
step("after reboot", lambda: good(*packets.read2ByteTxRx(port, ONE, P_GAIN)))
step("factory reset", lambda: good(*packets.factoryReset(port, ONE, 2)))
settle()
step("after factory reset", lambda: good(*packets.read1ByteTxRx(port, ONE, 9)))
