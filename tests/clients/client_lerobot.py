"""LeRobot 0.4.4: its bus of Dynamixel motors, as its arms use it."""

from __future__ import annotations

from lerobot.motors import Motor, MotorNormMode
from lerobot.motors.dynamixel import DynamixelMotorsBus
from steps import GROUP, ONE, PORT, SERVOS, settle, step

motors = {f"servo_{i}": Motor(i, "xm430-w350", MotorNormMode.DEGREES) for i in SERVOS}
bus = DynamixelMotorsBus(PORT, motors)
one, group = f"servo_{ONE}", [f"servo_{i}" for i in GROUP]


def raw(name: str, motor: str = one) -> int:
    return int(bus.read(name, motor, normalize=False))


step("open", lambda: bus.connect() or True)
step("ping", lambda: bus.ping(one))
step("scan", lambda: sorted(bus.broadcast_ping()))
step("read 1 byte", lambda: raw("Firmware_Version"))
step("read 2 bytes", lambda: raw("Present_Input_Voltage"))
step("read 4 bytes", lambda: raw("Present_Position"))
step("write 1 byte", lambda: bus.write("LED", one, 1, normalize=False) or True)
step("write 2 bytes", lambda: bus.write("Position_P_Gain", one, 700, normalize=False) or True)
step("write 4 bytes", lambda: bus.write("Profile_Velocity", one, 90, normalize=False) or True)
step("read back", lambda: [raw("LED"), raw("Position_P_Gain"), raw("Profile_Velocity")])
step("sync read", lambda: [bus.sync_read("Present_Position", group, normalize=False)[m] for m in group])
step(
    "sync write",
    lambda: bus.sync_write("Position_P_Gain", dict.fromkeys(group, 400), normalize=False) or True,
)
step("after sync write", lambda: [raw("Position_P_Gain", motor) for motor in group])
step("configure motors", lambda: bus.configure_motors() or True)
step("half-turn homing", lambda: bool(bus.set_half_turn_homings(one)))
step("after homing", lambda: raw("Present_Position"))
step("homing reset", lambda: bus.reset_calibration(one) or True)
step("torque on", lambda: bus.enable_torque(one) or True)
there = raw("Present_Position")
step("goal", lambda: bus.write("Goal_Position", one, there - 100, normalize=False) or True)
settle(1.5)
step("moved", lambda: raw("Present_Position") - there)
step("torque off", lambda: bus.disable_torque(one) or True)
