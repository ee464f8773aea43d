"""What differs from one simulated robot to the next: ranges of the physics, the sensors and the disturbances.

Every range is absolute or a factor on the model's own value, drawn anew at each reset, never on top of the last draw.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Randomization:
    """Uniform ranges; a range of one value switches a term off. All zeros / ones: the nominal robot."""

    friction: Range = (0.8, 0.8)
    """Sliding friction of the soles on the floor."""
    mass_factor: Range = (1.0, 1.0)
    """Mass and inertia of every link, drawn per link."""
    torso_com_m: Range = (0.0, 0.0)
    """Shift of the torso's centre of mass along each axis."""
    gain_factor: Range = (1.0, 1.0)
    """Servo position gain, per joint."""
    voltage_v: Range = (12.0, 12.0)
    """Supply: scales the servos' stall torque and with it the position gain; the back-EMF stays."""
    joint_friction_factor: Range = (1.0, 1.0)
    armature_factor: Range = (1.0, 1.0)
    encoder_offset_rad: Range = (0.0, 0.0)
    """Constant error of each joint's zero."""
    action_delay_s: Range = (0.0, 0.0)
    """From the written target to the servo that follows it; at most one control period."""
    joint_position_noise_rad: float = 0.0
    joint_velocity_noise_rad_s: float = 0.0
    quantise_joints: bool = False
    """Round joint readings to the servo registers' counts."""
    gyro_noise_rad_s: float = 0.0
    gyro_bias_rad_s: Range = (0.0, 0.0)
    acceleration_noise_m_s2: float = 0.0
    imu_tilt_rad: Range = (0.0, 0.0)
    """Constant error of the IMU's roll and pitch (mount and fusion)."""
    random_yaw_zero: bool = True
    """The IMU's yaw zero is arbitrary."""
    foot_switch_factor: Range = (1.0, 1.0)
    """On and off force of each foot switch."""
    push_speed_m_s: float = 0.0
    """Largest sudden change of the pelvis's horizontal velocity."""
    push_interval_s: Range = (4.0, 8.0)


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
"""Sensor noise, one control step of delay and moderate physics: training's and evaluation's default."""
