"""A suspended virtual robot with hidden errors, the bus to it, and hands beside it, in simulated time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wildrobot.core.rotations import quat_from_rotvec, quat_multiply
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.hands import VirtualHands
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec, load_robot

SPEC = load_robot()
TILT_DEG = 10.0
TILT = tuple((np.deg2rad(TILT_DEG) * np.array([0.6, -0.8, 0.0])).tolist())
ALL_WRONG = Hidden(
    offset_rad={name: 0.15 * (-1.0) ** i for i, name in enumerate(SPEC.joint_names)},
    flipped=("waist_yaw", "left_hip_pitch", "right_hip_roll"),
    ids={"left_knee_pitch": 5, "left_ankle_pitch": 4},
    imu_tilt_rad=TILT,  # type: ignore[arg-type]
)


@dataclass
class Bench:
    """Everything that a measurement needs."""

    hidden: Hidden = field(default_factory=Hidden)
    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        self.robot = VirtualRobot(
            SPEC, seed=self.seed, suspended=True, hidden=self.hidden, faults=self.faults
        )
        self.transport = VirtualTransport(self.robot)
        self.bus = Bus(self.transport)
        self.hands = VirtualHands(self.robot)

    @property
    def true_mount(self) -> np.ndarray:
        """torso <- IMU as it really is."""
        return quat_multiply(quat_from_rotvec(np.array(self.hidden.imu_tilt_rad)), SPEC.imu_mount)


def offset_errors(found: RobotSpec, hidden: Hidden) -> dict[str, float]:
    """By joint, rad: what was found less what is true."""
    return {
        name: float(found.joint_offset[i] - SPEC.joint_offset[i] - hidden.offset_rad.get(name, 0.0))
        for i, name in enumerate(SPEC.joint_names)
    }
