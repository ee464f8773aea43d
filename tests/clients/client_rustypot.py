"""rustypot 1.13: a Rust driver with a Python interface. It names no XM430: its definition of the XL430 has the same
addresses for all that is asked here."""

from __future__ import annotations

from rustypot import Xl430PyController
from steps import BAUD, GROUP, ONE, PORT, settle, step

bus = Xl430PyController(PORT, BAUD, 0.1)
step("open", lambda: bus.is_open() if callable(bus.is_open) else bus.is_open)
step("ping", lambda: bus.ping(ONE))
step("scan", lambda: sorted(bus.broadcast_scan()))
step("read 1 byte", lambda: bus.read_firmware_version(ONE)[0])
step("read 2 bytes", lambda: bus.read_present_input_voltage(ONE)[0])
step("read 4 bytes", lambda: bus.read_present_position(ONE)[0])
step("write 1 byte", lambda: bus.write_led(ONE, 1) or True)
step("write 2 bytes", lambda: bus.write_position_p_gain(ONE, 700) or True)
step("write 4 bytes", lambda: bus.write_profile_velocity(ONE, 90) or True)
step(
    "read back",
    lambda: [int(bus.read_led(ONE)[0]), bus.read_position_p_gain(ONE)[0], bus.read_profile_velocity(ONE)[0]],
)
step("sync read", lambda: dict(zip(GROUP, bus.sync_read_present_position(GROUP), strict=False)))


def fast() -> dict[int, int]:
    bus.set_fast_sync_read(True)
    try:
        return dict(zip(GROUP, bus.sync_read_present_position(GROUP), strict=False))
    finally:
        bus.set_fast_sync_read(False)


step("fast sync read", fast)
step("sync write", lambda: bus.sync_write_position_p_gain(GROUP, [400, 400, 400]) or True)
step("after sync write", lambda: [bus.read_position_p_gain(device)[0] for device in GROUP])
step("torque on", lambda: bus.write_torque_enable(ONE, True) or True)
there = bus.read_present_position(ONE)[0]
step("goal", lambda: bus.write_goal_position(ONE, there - 100) or True)
settle(1.5)
step("moved", lambda: bus.read_present_position(ONE)[0] - there)
step("torque off", lambda: bus.write_torque_enable(ONE, False) or True)
step("reboot", lambda: bus.reboot(ONE) or True)
settle()
step("after reboot", lambda: bus.read_position_p_gain(ONE)[0])
step("factory reset", lambda: bus.factory_reset(ONE, False, True) or True)
settle()
step("after factory reset", lambda: bus.read_return_delay_time(ONE)[0])
