"""dynamixel-api 1.0.3: registers by name, and futures. It names no XM430: its XL430 has the same addresses."""

from __future__ import annotations

from dynamixel_api import XL430W250TConnector
from steps import BAUD, ONE, PORT, settle, step

servo = XL430W250TConnector(PORT, BAUD, ONE)
step("open", lambda: servo.connect() or True)
step("read 1 byte", lambda: servo.read_field("firmware_version"))
step("read 2 bytes", lambda: servo.read_field("present_input_voltage"))
step("read 4 bytes", lambda: servo.read_field("present_position"))
step("write 1 byte", lambda: servo.write_field("led", 1) or True)
step("write 2 bytes", lambda: servo.write_field("position_p_gain", 700) or True)
step("write 4 bytes", lambda: servo.write_field("profile_velocity", 90) or True)
step("read back", lambda: [servo.read_field(name) for name in ("led", "position_p_gain", "profile_velocity")])
step("torque on", lambda: servo.write_field("torque_enable", 1) or True)
there = servo.read_field("present_position")
step("goal", lambda: servo.write_field("goal_position", there - 100) or True)
settle(1.5)
step("moved", lambda: servo.read_field("present_position") - there)
step("torque off", lambda: servo.write_field("torque_enable", 0) or True)
