"""dynamixel-python 0.0.8 (dxl2): a driver in Python alone, with every instruction of the protocol."""

from __future__ import annotations

from typing import Any

from dxl2 import v2
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

bus = v2.MotorBus(PORT, BAUD)


def good(answer: Any, empty: Any = True) -> Any:
    """The data of an answer without an error."""
    if not answer.ok:
        raise OSError(str(answer))
    return empty if answer.data is None else answer.data


def sync(address: int, size: int) -> Any:
    params = v2.SyncParams(address, size)
    for device in GROUP:
        params.add_motor(device)
    return params


def bulk() -> Any:
    params = v2.BulkParams()
    for device, address, size in ((1, POSITION, 4), (2, VOLTAGE, 2), (3, TEMPERATURE, 1)):
        params.add_address(device, address, size)
    return params


def sync_write() -> bool:
    params = v2.SyncParams(P_GAIN, 2)
    for device in GROUP:
        params.add_value(device, 400)
    bus.sync_write(params)
    return True


def bulk_write() -> bool:
    params = v2.BulkParams()
    params.add_value(1, LED, 1, 1)
    params.add_value(2, P_GAIN, 2, 500)
    bus.bulk_write(params)
    return True


def read(device: int, address: int, size: int) -> int:
    return good(bus.read(device, address, size))


def indirect(addresses: int, data: int) -> int:
    for k in range(4):
        good(bus.write(ONE, addresses + 2 * k, 2, POSITION + k))
    return read(ONE, data, 4)


step("open", lambda: bus.connect() or True)
step("ping", lambda: good(bus.ping(ONE)))
step("scan", lambda: sorted(good(bus.broadcast_ping())))
step("read 1 byte", lambda: read(ONE, FIRMWARE, 1))
step("read 2 bytes", lambda: read(ONE, VOLTAGE, 2))
step("read 4 bytes", lambda: read(ONE, POSITION, 4))
step("write 1 byte", lambda: good(bus.write(ONE, LED, 1, 1)))
step("write 2 bytes", lambda: good(bus.write(ONE, P_GAIN, 2, 700)))
step("write 4 bytes", lambda: good(bus.write(ONE, PROFILE_VELOCITY, 4, 90)))
step("read back", lambda: [read(ONE, LED, 1), read(ONE, P_GAIN, 2), read(ONE, PROFILE_VELOCITY, 4)])
step("sync read", lambda: dict(zip(GROUP, good(bus.sync_read(sync(POSITION, 4))), strict=False)))
step("fast sync read", lambda: dict(zip(GROUP, good(bus.fast_sync_read(sync(POSITION, 4))), strict=False)))
step("bulk read", lambda: good(bus.bulk_read(bulk())))
step("fast bulk read", lambda: good(bus.fast_bulk_read(bulk())))
step("sync write", sync_write)
step("after sync write", lambda: [read(device, P_GAIN, 2) for device in GROUP])
step("bulk write", bulk_write)
step("after bulk write", lambda: [read(1, LED, 1), read(2, P_GAIN, 2)])
step("indirect 1", lambda: indirect(168, 224))
step("indirect 29", lambda: indirect(578, 634))
step("register write", lambda: good(bus.reg_write(ONE, LED, 1, 0)))
step("before action", lambda: read(ONE, LED, 1))
step("action", lambda: good(bus.action(ONE)))
step("after action", lambda: read(ONE, LED, 1))
step("torque on", lambda: good(bus.write(ONE, TORQUE, 1, 1)))
there = read(ONE, POSITION, 4)
step("goal", lambda: good(bus.write(ONE, GOAL, 4, there - 100)))
settle(1.5)
step("moved", lambda: read(ONE, POSITION, 4) - there)
step("torque off", lambda: good(bus.write(ONE, TORQUE, 1, 0)))
settle(1.0)
step("clear multi-turn", lambda: good(bus.clear_position(ONE)))
step("backup", lambda: good(bus.control_table_backup(ONE)))
step("restore", lambda: good(bus.control_table_restore(ONE)))
settle()
step("reboot", lambda: good(bus.reboot(ONE)))
settle()
step("after reboot", lambda: read(ONE, P_GAIN, 2))
step("factory reset", lambda: good(bus.factory_reset_except_id_baudrate(ONE)))
settle()
step("after factory reset", lambda: read(ONE, 9, 1))
