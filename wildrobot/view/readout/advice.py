"""What to do next when the robot has stopped, by the name of what stopped it."""

from __future__ import annotations

TORQUE_OFF, SOFT_STOP = "asked for torque off at once", "asked to stop softly"
"""The runtime's words when a person stops the robot."""
_FALLEN = "Set it upright by hand, look for damage, then start its program again."

ADVICE = {
    "tilt_rad": _FALLEN,
    "falling_rad": _FALLEN,
    "fall": _FALLEN,
    "tracking_error_rad": "Look for what blocks the joint that did not follow: a cable, a screw, a jam.",
    "joint_limit_rad": "Compare every joint with its mark: one has slipped or lost its zero. Calibrate it again.",
    "joint_velocity_rad_s": "Look for a joint that was pushed, or whose position jumps; then start again.",
    "current_a": "Free what is jammed and let the servos cool.",
    "temperature_c": "Let the hottest servo cool below its warning level, and find out what it was holding.",
    "voltage_low_v": "Charge or change the battery first.",
    "voltage_high_v": "Cut the power and measure the supply: its voltage is too high for the servos.",
    "sample_age_s": "Check the cables to servos and sensor board: wildrobot doctor names what does not answer.",
    "quaternion_norm_error": "Check the IMU and its cable, then restart the sensor board.",
    "missed_ticks_in_a_row": "Free the robot's computer of other work: wildrobot doctor says what slows it down.",
    "hardware_errors": "Find the servo that blinks, remove the cause, then restart it: wildrobot servo reboot.",
    "policy_output_clips": "Do not walk with this policy: its output is far out of range. Try the one of the package.",
    "policy_input_not_finite": "Check the sensors: what the policy would have been given is not a number.",
    "policy_output_not_finite": "Do not walk with this policy: its output is not a number.",
    "policy_raised": "Do not walk with this policy: it failed with the error among the events.",
    TORQUE_OFF: "When the robot is safely held, start its program again.",
    SOFT_STOP: "Press Stand up when all hands are clear of the legs.",
}
"""One for every guard, every fault of a policy, a fall, and what a person asks for."""
UNKNOWN = "Read the events and the log before it stands up again."


def advice(name: str) -> str:
    """The next step after a stop by `name`."""
    return ADVICE.get(name, UNKNOWN)
