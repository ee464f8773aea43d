"""Written by `python -m wildrobot.firmware_bridge.board.generate` from control_table.yaml; change that file."""

from __future__ import annotations

from wildrobot.firmware_bridge.bus.control_table import Register

MODEL_NUMBER = Register("model_number", 0, 2, writable=False)
MODEL_INFORMATION = Register("model_information", 2, 4, writable=False)
FIRMWARE_VERSION = Register("firmware_version", 6, 1, writable=False)
ID = Register("id", 7, 1)
BAUD_RATE = Register("baud_rate", 8, 1)
RETURN_DELAY_TIME = Register("return_delay_time", 9, 1)
STATUS_RETURN_LEVEL = Register("status_return_level", 68, 1)
REGISTERED_INSTRUCTION = Register("registered_instruction", 69, 1, writable=False)
HARDWARE_ERROR_STATUS = Register("hardware_error_status", 70, 1, writable=False)
QUATERNION_W = Register("quaternion_w", 128, 2, signed=True, writable=False)
QUATERNION_X = Register("quaternion_x", 130, 2, signed=True, writable=False)
QUATERNION_Y = Register("quaternion_y", 132, 2, signed=True, writable=False)
QUATERNION_Z = Register("quaternion_z", 134, 2, signed=True, writable=False)
ANGULAR_VELOCITY_X = Register("angular_velocity_x", 136, 2, signed=True, writable=False)
ANGULAR_VELOCITY_Y = Register("angular_velocity_y", 138, 2, signed=True, writable=False)
ANGULAR_VELOCITY_Z = Register("angular_velocity_z", 140, 2, signed=True, writable=False)
ACCELERATION_X = Register("acceleration_x", 142, 2, signed=True, writable=False)
ACCELERATION_Y = Register("acceleration_y", 144, 2, signed=True, writable=False)
ACCELERATION_Z = Register("acceleration_z", 146, 2, signed=True, writable=False)
FOOT_FORCE_LEFT_TOE = Register("foot_force_left_toe", 148, 1, writable=False)
FOOT_FORCE_LEFT_HEEL = Register("foot_force_left_heel", 149, 1, writable=False)
FOOT_FORCE_RIGHT_TOE = Register("foot_force_right_toe", 150, 1, writable=False)
FOOT_FORCE_RIGHT_HEEL = Register("foot_force_right_heel", 151, 1, writable=False)
SAMPLE_COUNTER = Register("sample_counter", 152, 2, writable=False)
SAMPLE_AGE = Register("sample_age", 154, 2, writable=False)
CLOCK = Register("clock", 156, 4, writable=False)
STATUS = Register("status", 160, 1, writable=False)
SUPPLY_VOLTAGE = Register("supply_voltage", 161, 1, writable=False)

REGISTERS = tuple(value for value in list(globals().values()) if isinstance(value, Register))
BY_NAME = {register.name: register for register in REGISTERS}

DEFAULTS = {
    "model_number": 22354,
    "firmware_version": 1,
    "id": 200,
    "baud_rate": 3,
    "return_delay_time": 0,
    "status_return_level": 2,
}
EEPROM = (
    ID,
    BAUD_RATE,
    RETURN_DELAY_TIME,
)
SIZE = 162
"""Bytes of the whole table."""
SAMPLE_ADDRESS = 128
SAMPLE_SIZE = 34
SAMPLE_FORMAT = "<4h3h3h4BHHIBB"
"""The sample block for `struct`, value by value in the order of the registers."""

RETURN_DELAY_TIME_SCALE = 2
"""µs per count."""
QUATERNION_SCALE = 1 / 16384
"""One per count."""
ANGULAR_VELOCITY_SCALE = 1 / 512
"""rad/s per count."""
ACCELERATION_SCALE = 1 / 256
"""m/s² per count."""
FOOT_FORCE_SCALE = 1 / 4
"""N per count."""
SAMPLE_AGE_SCALE = 1
"""µs per count."""
CLOCK_SCALE = 1
"""µs per count."""
SUPPLY_VOLTAGE_SCALE = 1 / 10
"""V per count."""
