"""The table of faults: what each is called and needs, and what happens when it begins and ends.

    SILENT(at_s=2.0, for_s=0.5, servo=3)

`for_s` None lasts to the end. Servos are named by id or by joint, the sensor board as "board".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HardwareError
from wildrobot.firmware_bridge.virtual.faults.kinds import Act, FaultKind, Kind, Parameter, Values
from wildrobot.firmware_bridge.virtual.parts import RobotParts

Part = Callable[[RobotParts, Values], Any]


def _line(robot: RobotParts, values: Values) -> Any:
    return robot.line(values["servo"])


def _motor(robot: RobotParts, values: Values) -> Any:
    return robot.servo(values["servo"]).motor


def _sensors(robot: RobotParts, values: Values) -> Any:
    return robot.sensors


def _setting(part: Part, attribute: str, value: Callable[[Values], Any], normal: Any) -> tuple[Act, Act]:
    """Sets an attribute of a part, and back to what is normal."""
    return (
        lambda robot, values: setattr(part(robot, values), attribute, value(values)),
        lambda robot, values: setattr(part(robot, values), attribute, normal),
    )


def _foot_setting(attribute: str, value: str, normal: float) -> tuple[Act, Act]:
    """The same of one foot input, in an array of all."""

    def put(robot: RobotParts, values: Values, number: float) -> None:
        getattr(robot.sensors, attribute)[robot.foot(values["foot"])] = number

    return (
        lambda robot, values: put(robot, values, values[value]),
        lambda robot, values: put(robot, values, normal),
    )


def _swap_ids(robot: RobotParts, values: Values) -> None:
    one, two = robot.servo(values["servo"]), robot.servo(values["other"])
    first, second = one.id, two.id
    one.put(table.ID, second)
    two.put(table.ID, first)


def _duplicate_id(robot: RobotParts, values: Values) -> None:
    robot.servo(values["servo"]).put(table.ID, robot.servo(values["other"]).id)


def _own_id(robot: RobotParts, values: Values) -> None:
    servo = robot.servo(values["servo"])
    servo.put(table.ID, robot.spec.servo_ids[robot.servos.index(servo)])


def _unknown_baud(values: Values) -> str | None:
    if values["baud"] in table.BAUD_RATES.values():
        return None
    known = ", ".join(str(baud) for baud in table.BAUD_RATES.values())
    return f"baud is {values['baud']}, expected one of {known}."


def _no_register(values: Values) -> str | None:
    register = table.BY_NAME.get(values["register"])
    if register is None or not register.writable:
        return (
            f"register is '{values['register']}', expected a writable one of the control table, as goal_pwm."
        )
    try:
        register.encode(values["value"])
    except OverflowError:
        return f"value is {values['value']}, expected one that fits into {register.size} bytes."
    return None


def _no_rate(values: Values) -> str | None:
    return None if values["rate_hz"] > 0.0 else f"rate_hz is {values['rate_hz']}, expected more than 0."


# ---------------------------------------------------------------------- the table

_DEVICE, _SERVO = Parameter("servo", Kind.DEVICE), Parameter("servo", Kind.SERVO)
_OTHER, _FOOT = Parameter("other", Kind.SERVO), Parameter("foot", Kind.FOOT)


def _number(name: str, default: float) -> Parameter:
    return Parameter(name, Kind.NUMBER, default)


SILENT = FaultKind(
    "silent",
    "A device hears nothing and says nothing (its bus cable is off); a servo goes on with its last goal.",
    (_DEVICE,),
    *_setting(_line, "silent", lambda v: True, False),
)
LATE = FaultKind(
    "late",
    "A device answers so much later.",
    (_DEVICE, _number("delay_s", 0.004)),
    *_setting(_line, "delay_ns", lambda v: round(v["delay_s"] * 1e9), 0),
)
FLIPPED_BITS = FaultKind(
    "flip",
    "Noise on the line: every bit, of requests and answers, flips with this probability.",
    (_number("rate", 1e-4),),
    *_setting(lambda robot, v: robot.wire, "bit_error_rate", lambda v: v["rate"], 0.0),
)
TRUNCATED = FaultKind(
    "truncate",
    "A device's answers break off after so many bytes.",
    (_DEVICE, Parameter("bytes", Kind.WHOLE, 9)),
    *_setting(_line, "keep_bytes", lambda v: v["bytes"], None),
)
SHORT = FaultKind(
    "short",
    "A device's statuses carry one byte of data, with a true CRC, whatever was asked.",
    (_DEVICE,),
    *_setting(_line, "short", lambda v: True, False),
)
OVERHEATING = FaultKind(
    "overheat",
    "A servo is this hot; above its limit it reports that and lets go.",
    (_SERVO, _number("temperature_c", 85.0)),
    *_setting(_motor, "forced_temperature_c", lambda v: v["temperature_c"], None),
)
OVERLOAD = FaultKind(
    "overload",
    "A servo reports an overload and lets go, until it is rebooted.",
    (_SERVO,),
    lambda robot, v: robot.servo(v["servo"]).fail(HardwareError.OVERLOAD),
    None,
)
BROWN_OUT = FaultKind(
    "brown-out",
    "The supply dips: what needs more than this resets, and boots when the supply is back.",
    (_number("voltage_v", 5.5),),
    *_setting(lambda robot, v: robot, "forced_supply_v", lambda v: v["voltage_v"], None),
    for_s=0.1,
)
SWAPPED_IDS = FaultKind(
    "swap-ids", "Two servos have each other's id.", (_SERVO, _OTHER), _swap_ids, _swap_ids
)
DUPLICATE_ID = FaultKind(
    "duplicate-id", "A servo has the id of another one too.", (_SERVO, _OTHER), _duplicate_id, _own_id
)
WRONG_BAUD = FaultKind(
    "wrong-baud",
    "A servo talks at another rate, as one fresh from its box does.",
    (_SERVO, Parameter("baud", Kind.WHOLE, 57600)),
    lambda robot, v: robot.servo(v["servo"]).set_baud(v["baud"]),
    lambda robot, v: robot.servo(v["servo"]).set_baud(robot.spec.config.bus.baud),
    refuse=_unknown_baud,
)
LEFT_REGISTER = FaultKind(
    "register",
    "Another program has written a register of a servo, by its name (goal_pwm), past its checks.",
    (_SERVO, Parameter("register", Kind.REGISTER), Parameter("value", Kind.WHOLE)),
    lambda robot, v: robot.servo(v["servo"]).leave(table.BY_NAME[v["register"]], v["value"]),
    None,
    refuse=_no_register,
)
CRC_STATUS = FaultKind(
    "crc-status",
    "A servo hears broken requests only, and answers each read with a CRC error.",
    (_SERVO,),
    *_setting(lambda robot, v: robot.servo(v["servo"]), "mishears", lambda v: True, False),
)
ECHO = FaultKind(
    "echo",
    "The adapter hands the host's own bytes back to it, as one without echo suppression does.",
    (),
    *_setting(lambda robot, v: robot.wire, "echo", lambda v: True, False),
)
FROZEN_IMU = FaultKind(
    "imu-frozen",
    "The IMU chip gives nothing any more: the board's sample counter stands still.",
    (),
    *_setting(_sensors, "imu_silent", lambda v: True, False),
)
STUCK_IMU = FaultKind(
    "imu-stuck",
    "The IMU chip gives the same values over and over: the board's sample counter goes on.",
    (),
    *_setting(_sensors, "imu_stuck", lambda v: True, False),
)
BAD_QUATERNION = FaultKind(
    "quaternion",
    "The IMU's quaternion has this length: 0, nan, or something that is not 1.",
    (_number("norm", 0.0),),
    *_setting(_sensors, "quaternion_norm", lambda v: v["norm"], 1.0),
)
FOOT_STUCK = FaultKind(
    "foot-stuck",
    "A foot input, by the name of its site (left_toe), reads this force, whatever presses.",
    (_FOOT, _number("force_n", 20.0)),
    *_foot_setting("foot_stuck", "force_n", np.nan),
)
FOOT_BOUNCE = FaultKind(
    "foot-bounce",
    "A foot input jumps between nothing and a full press at this rate.",
    (_FOOT, _number("rate_hz", 100.0)),
    *_foot_setting("foot_bounce_hz", "rate_hz", 0.0),
    refuse=_no_rate,
)
CABLE_OUT = FaultKind(
    "cable-out",
    "The host's cable is pulled, and put back in.",
    (),
    lambda robot, v: robot.wire.disconnect(),
    lambda robot, v: setattr(robot.wire, "connected", True),
    for_s=2.0,
)
PUSH = FaultKind(
    "push",
    "Somebody pushes: the pelvis's velocity changes at once, m/s, forward x, left y, up z in the world.",
    (_number("x", 0.0), _number("y", 0.0), _number("z", 0.0)),
    lambda robot, v: robot.physics.push(np.array([v["x"], v["y"], v["z"]])),
    None,
)
FAULTS = (
    SILENT, LATE, FLIPPED_BITS, TRUNCATED, SHORT, OVERHEATING, OVERLOAD, BROWN_OUT, SWAPPED_IDS, DUPLICATE_ID,
    WRONG_BAUD, LEFT_REGISTER, CRC_STATUS, ECHO, FROZEN_IMU, STUCK_IMU, BAD_QUATERNION, FOOT_STUCK, FOOT_BOUNCE,
    CABLE_OUT, PUSH,
)  # fmt: skip
"""Every kind."""
