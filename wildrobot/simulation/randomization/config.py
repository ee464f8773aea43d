"""What differs from one simulated robot to the next: ranges of the physics, the sensors and the disturbances.

Every range is absolute or a factor on the model's own value, drawn anew at each reset, never on top of the last draw.
What each range does to a simulation stands in `terms.py`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from wildrobot.core.errors import UserError

Range = tuple[float, float]


@dataclass(frozen=True)
class Randomization:
    """Uniform ranges; a range of one value switches a term off. All defaults: the nominal robot."""

    friction: Range = (0.8, 0.8)
    """Sliding friction of the soles on the floor."""
    mass_factor: Range = (1.0, 1.0)
    """Mass and inertia of every link, drawn per link."""
    torso_com_m: Range = (0.0, 0.0)
    """Shift of the torso's centre of mass along each axis."""
    gain_factor: Range = (1.0, 1.0)
    """Servo position gain, per joint."""
    voltage_v: Range = (12.0, 12.0)
    """Supply: scales the servos' stall torque and with it the position gain and the no-load speed; the slope of
    the back-EMF stays."""
    joint_friction_factor: Range = (1.0, 1.0)
    """Dry friction of the gear trains, per joint."""
    damping_factor: Range = (1.0, 1.0)
    """Slope of the back-EMF (torque lost per speed), per joint."""
    armature_factor: Range = (1.0, 1.0)
    """Reflected inertia of the gear trains, per joint."""
    backlash_rad: Range = (0.0, 0.0)
    """Play between a servo's encoder and its link, whole width, per joint."""
    encoder_offset_rad: Range = (0.0, 0.0)
    """Constant error of each joint's zero."""
    action_delay_s: Range = (0.0, 0.0)
    """From the written target to the servo that follows it, per robot, in whole physics steps."""
    action_jitter_s: float = 0.0
    """Largest additional delay of the targets, drawn every tick in whole physics steps."""
    joint_loss_rate: float = 0.0
    """Probability per tick and servo that its sample is lost: not valid, old value, old time."""
    velocity_lag_s: Range = (0.0, 0.0)
    """How much older a servo's velocity is than its position, per joint, in whole physics steps."""
    joint_position_noise_rad: float = 0.0
    """Standard deviation."""
    joint_velocity_noise_rad_s: float = 0.0
    """Standard deviation."""
    quantise_joints: bool = False
    """Round joint readings to the servo registers' counts."""
    gyro_noise_rad_s: float = 0.0
    """Standard deviation."""
    gyro_bias_rad_s: Range = (0.0, 0.0)
    """Constant error of each axis."""
    acceleration_noise_m_s2: float = 0.0
    """Standard deviation."""
    imu_tilt_rad: Range = (0.0, 0.0)
    """Constant error of the fused roll and pitch."""
    imu_drift_rad: float = 0.0
    """Standard deviation of the fused roll's and pitch's wandering, which starts from zero (time constant 20 s)."""
    imu_mount_rad: Range = (0.0, 0.0)
    """Roll and pitch by which the chip sits otherwise than robot.yaml says: all that it measures turns with it."""
    imu_age_s: Range = (0.0, 0.0)
    """Age of the IMU's sample, drawn every tick in whole physics steps."""
    random_yaw_zero: bool = True
    """The IMU's yaw zero is arbitrary."""
    foot_switch_factor: Range = (1.0, 1.0)
    """On and off force of each foot switch."""
    contact_loss_rate: float = 0.0
    """Probability per tick that a closed foot switch reads open."""
    floor_tilt_rad: Range = (0.0, 0.0)
    """Slope of the floor; it rises towards any side."""
    floor_bump_m: Range = (0.0, 0.0)
    """Height of the floor under each corner of a sole, anew for each step that the foot takes."""
    push_speed_m_s: float = 0.0
    """Largest sudden change of the pelvis's horizontal velocity."""
    push_interval_s: Range = (4.0, 8.0)
    """Time from one push to the next."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool):
                continue
            ends = value if isinstance(value, (tuple, list)) else (0.0, value)
            if not (all(math.isfinite(end) for end in ends) and ends[0] <= ends[1]):
                raise UserError(
                    f"randomization {field.name} is {value}, expected "
                    + ("(low, high)." if value is ends else "zero or more.")
                )
            if field.name.endswith("_rate") and value > 1.0:
                raise UserError(f"randomization {field.name} is {value}, expected a probability, 0 to 1.")

    def at_level(self, level: float) -> Randomization:
        """The same with every range and amplitude scaled about its nominal value by `level`, 0 to 1.

        Level 0 is the nominal robot, but for what has no size: rounding, the yaw's zero, the pushes' times.
        """
        if level == 1.0:
            return self
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or field.name == "push_interval_s":
                continue
            if isinstance(value, float):
                values[field.name] = level * value
            else:
                values[field.name] = tuple(
                    nominal + level * (end - nominal)
                    for end, nominal in zip(value, getattr(Randomization, field.name), strict=True)
                )
        return dataclasses.replace(self, **values)


NOMINAL = Randomization()

BASIC = Randomization(
    friction=(0.5, 1.0),
    mass_factor=(0.92, 1.08),
    torso_com_m=(-0.008, 0.008),
    gain_factor=(0.9, 1.1),
    voltage_v=(11.1, 12.6),
    joint_friction_factor=(0.8, 1.2),
    armature_factor=(0.8, 1.2),
    encoder_offset_rad=(-0.015, 0.015),
    action_delay_s=(0.0, 0.02),
    joint_position_noise_rad=0.001,
    joint_velocity_noise_rad_s=0.05,
    quantise_joints=True,
    gyro_noise_rad_s=0.02,
    gyro_bias_rad_s=(-0.01, 0.01),
    acceleration_noise_m_s2=0.2,
    imu_tilt_rad=(-0.01, 0.01),
    foot_switch_factor=(0.7, 1.5),
    push_speed_m_s=0.3,
)
"""Sensor noise, one control step of delay and moderate physics: a first step towards the full one."""

FULL = dataclasses.replace(
    BASIC,
    friction=(0.4, 1.1),
    torso_com_m=(-0.015, 0.015),
    damping_factor=(0.8, 1.2),
    backlash_rad=(0.0, 0.0087),  # none to twice the 0.25 degrees that the servo's maker names
    action_delay_s=(0.0, 0.04),
    action_jitter_s=0.005,
    joint_loss_rate=0.002,
    velocity_lag_s=(0.0, 0.01),
    imu_drift_rad=0.005,
    imu_mount_rad=(-0.052, 0.052),
    imu_age_s=(0.0, 0.01),
    contact_loss_rate=0.01,
    floor_tilt_rad=(0.0, 0.035),
    floor_bump_m=(0.0, 0.004),
)
"""All that a real robot may differ in: wider physics, an uneven floor, and sensors as the bus delivers them. Reference,
training, evaluation and `--randomize` use it."""

PRESETS = {"nominal": NOMINAL, "basic": BASIC, "full": FULL}
