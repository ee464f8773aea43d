"""`RobotSpec`: everything the other parts may know about the robot, from `robot.yaml` and the MJCF."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.config import from_dict, load_config, load_yaml, to_dict
from wildrobot.core.constants import (
    SERVO_CENTRE_COUNT,
    SERVO_COUNTS_PER_TURN,
    SERVO_FULL_PWM,
    SERVO_P_GAIN_UNIT,
)
from wildrobot.core.errors import UserError
from wildrobot.robot_description.body_checks import check_feet, check_places, check_sides
from wildrobot.robot_description.kinematics import Kinematics
from wildrobot.robot_description.legs import JointRole, LegGeometry, derive_roles, leg_geometry
from wildrobot.robot_description.mirror import MirrorMap, derive_mirror
from wildrobot.robot_description.mjcf import BodyTree, read_mjcf

Array = NDArray[np.float64]
DEFAULT_ROBOT = Path(__file__).parent / "robot.yaml"


@dataclass(frozen=True)
class ServoModel:
    """Figures of one servo type at its nominal supply voltage, from the maker's table."""

    model_number: int
    stall_torque_nm: float
    no_load_speed_rad_s: float
    nominal_voltage_v: float
    position_rad_per_count: float
    velocity_rad_s_per_count: float
    current_a_per_count: float
    stall_current_a: float
    """From the supply; for figures of energy only."""


@dataclass(frozen=True)
class JointConfig:
    """One line of `joints` in robot.yaml: joint position = direction * servo angle + offset_rad."""

    name: str
    servo: str
    id: int
    direction: int
    offset_rad: float
    home_rad: float
    action_scale: float
    p_gain: int


@dataclass(frozen=True)
class FootSwitch:
    """Hysteresis of the foot contacts: closes above `on_n`, opens below `off_n` (newtons)."""

    on_n: float
    off_n: float


@dataclass(frozen=True)
class GaitConfig:
    """Stride frequency of the gait clock and the command size from which the robot is to move.

    The frequency is `stride_hz` up to the first of `stride_speeds_m_s` (commanded forward speed), `fast_stride_hz` from
    the second on, and linear in the speed between.
    """

    stride_hz: float
    fast_stride_hz: float
    stride_speeds_m_s: tuple[float, float]
    moving_speed_m_s: float
    moving_yaw_rate_rad_s: float


@dataclass(frozen=True)
class CommandRanges:
    """What a policy may be commanded: m/s and rad/s, (low, high)."""

    linear_velocity_x: tuple[float, float]
    yaw_rate: tuple[float, float]


@dataclass(frozen=True)
class Guard:
    """Warning and stop level of one safety guard, in the unit of its name."""

    warn: float
    stop: float


@dataclass(frozen=True)
class BusConfig:
    """The servo bus; `servo_registers` maps names of the servo's control table to the values they must have."""

    baud: int
    sensor_board_id: int
    watchdog_s: float
    servo_registers: dict[str, int]


@dataclass(frozen=True)
class JointCalibration:
    """What one robot's joint has in place of the values of robot.yaml."""

    id: int | None = None
    direction: int | None = None
    offset_rad: float | None = None


@dataclass(frozen=True)
class Calibration:
    """One robot's own measures, kept apart from the description that all robots of its kind share."""

    joints: dict[str, Any] = field(default_factory=dict)
    imu_mount: tuple[float, ...] | None = None
    """torso <- IMU rotation, wxyz."""


@dataclass(frozen=True)
class RobotConfig:
    """robot.yaml as typed data."""

    name: str
    mjcf: str
    control_hz: float
    pelvis_body: str
    torso_body: str
    imu_site: str
    imu_mount: tuple[float, ...]
    feet: tuple[str, ...]
    foot_switch: FootSwitch
    servo_models: dict[str, Any]
    joints: list[JointConfig]
    bus: BusConfig
    action_clip: float
    gait: GaitConfig
    command: CommandRanges
    guards: dict[str, Any] = field(default_factory=dict)


class RobotSpec:
    """The robot as typed data. Arrays are (n,) in policy order, SI units."""

    def __init__(
        self, path: Path, calibration: Path | dict[str, Any] | None = None, servo: str | None = None
    ) -> None:
        self.path = path
        self.config = from_dict(RobotConfig, load_yaml(path), where=str(path))
        self._uncalibrated = self.config
        if calibration is not None:
            self.config = calibrated(self.config, calibration)
        if servo is not None:
            joints = [replace(joint, servo=servo) for joint in self.config.joints]
            self.config = replace(self.config, joints=joints)
        config = self.config
        self.mjcf_path = path.parent / config.mjcf
        self.tree: BodyTree = read_mjcf(self.mjcf_path)
        self.name = config.name
        self.joint_names = tuple(joint.name for joint in config.joints)
        self.num_joints = len(self.joint_names)
        """Actuated joints, n."""
        self.foot_names = config.feet
        self.num_feet = len(self.foot_names)
        """Foot switches."""
        hinges = {body.joint.name: body.joint for body in self.tree.bodies if body.joint is not None}
        if sorted(hinges) != sorted(self.joint_names):
            raise UserError(
                f"{path} lists the joints {sorted(self.joint_names)}, but {self.mjcf_path} has {sorted(hinges)}: "
                "both must name the same joints."
            )
        lacking = [name for name in (config.imu_site, *config.feet) if name not in self.tree.sites]
        if lacking:
            raise UserError(
                f"{path} names the sites {lacking}, but {self.mjcf_path} has {sorted(self.tree.sites)}: "
                "correct the names, or add the sites to the MJCF."
            )
        check_places(path, self.tree, config.pelvis_body, config.torso_body, config.imu_site)
        check_feet(path, self.kinematics)
        check_sides(path, self.kinematics, self.mirror)
        models = {
            key: from_dict(ServoModel, value, where=f"{path}.{key}")
            for key, value in config.servo_models.items()
        }
        unknown = sorted({joint.servo for joint in config.joints} - set(models))
        if unknown:
            raise UserError(f"{path}: servo models {unknown} are not in servo_models ({sorted(models)}).")
        self.servos = tuple(models[joint.servo] for joint in config.joints)
        self.servo_ids = tuple(joint.id for joint in config.joints)
        self.joint_direction = np.array([float(joint.direction) for joint in config.joints])
        self.joint_offset = np.array([joint.offset_rad for joint in config.joints])
        self.joint_lower = np.array([hinges[name].range[0] for name in self.joint_names])
        self.joint_upper = np.array([hinges[name].range[1] for name in self.joint_names])
        self._check_turns()
        self.default_joint_pos = np.array([joint.home_rad for joint in config.joints])
        self.stall_torque = np.array([servo.stall_torque_nm for servo in self.servos])
        self.no_load_speed = np.array([servo.no_load_speed_rad_s for servo in self.servos])
        self.joint_damping = self.stall_torque / self.no_load_speed
        gain = np.array([joint.p_gain for joint in config.joints]) / SERVO_P_GAIN_UNIT / SERVO_FULL_PWM
        self.joint_stiffness = (
            self.stall_torque * gain / np.array([s.position_rad_per_count for s in self.servos])
        )
        self.action_scale = np.array([joint.action_scale for joint in config.joints])
        self.action_clip = config.action_clip
        self.target_rate_limit = self.no_load_speed
        self.foot_switch = config.foot_switch
        self.gait = config.gait
        self.command = config.command
        self.control_hz = config.control_hz
        self.control_dt = 1.0 / self.control_hz
        """Control period, s."""
        self.guards = {
            key: from_dict(Guard, value, where=f"{path}.guards.{key}") for key, value in config.guards.items()
        }
        self.imu_mount = np.array(config.imu_mount) / np.linalg.norm(config.imu_mount)
        self.imu_position = self.tree.sites[config.imu_site].pos
        self.total_mass = sum(body.mass for body in self.tree.bodies)

    def _check_turns(self) -> None:
        """Refuse a joint whose range crosses the end of its servo's turn: there the position jumps from 4095 to 0."""
        count = np.array([servo.position_rad_per_count for servo in self.servos])
        last = SERVO_COUNTS_PER_TURN - 1
        for i, name in enumerate(self.joint_names):
            ends = np.array([self.joint_lower[i], self.joint_upper[i]])
            counts = self.joint_direction[i] * (ends - self.joint_offset[i]) / count[i] + SERVO_CENTRE_COUNT
            low, high = np.rint(np.sort(counts)).astype(int).tolist()
            if low < 0 or high > last:
                raise UserError(
                    f"{self.path}: {name} has offset_rad {self.joint_offset[i]:.3f}, so its range of {ends[0]:.2f} to "
                    f"{ends[1]:.2f} rad is {low} to {high} counts of its servo, which has 0 to {last}: where they end "
                    "its position jumps by a turn. Turn the horn on its shaft so that the offset is near 0, then "
                    "calibrate anew."
                )

    @cached_property
    def robot_hash(self) -> str:
        """SHA-256 (hex) over what a policy depends on: robot.yaml without bus, guards and stall currents, and the MJCF.

        A calibration does not make another robot of it.
        """
        kind = {
            key: value for key, value in to_dict(self._uncalibrated).items() if key not in ("bus", "guards")
        }
        for model in kind["servo_models"].values():
            del model["stall_current_a"]
        digest = hashlib.sha256(json.dumps(kind, sort_keys=True).encode())
        digest.update(self.mjcf_path.read_bytes())
        return digest.hexdigest()

    @cached_property
    def kinematics(self) -> Kinematics:
        """Forward kinematics and Jacobians, derived from the MJCF."""
        return Kinematics(self.tree, self.joint_names, self.foot_names, self.config.torso_body)

    @cached_property
    def mirror(self) -> MirrorMap:
        """The left-right mirror map, derived from the joint axes."""
        return derive_mirror(self.tree, self.joint_names, self.foot_names)

    @cached_property
    def waist_joints(self) -> tuple[int, ...]:
        """Indices of the joints between pelvis and torso."""
        return self.kinematics.torso_joints

    @cached_property
    def roles(self) -> tuple[JointRole, ...]:
        """(n) what each joint is for, by the place and direction of its axis."""
        return derive_roles(self.kinematics)

    def joints_of(self, role: str) -> NDArray[np.int64]:
        """(2,) indices of the left and the right joint of that role; (1,) of the waist's, (0,) without any."""
        found = [(own.side or 0, joint) for joint, own in enumerate(self.roles) if own.name == role]
        return np.array([joint for _, joint in sorted(found)], dtype=np.int64)

    @property
    def foot_side(self) -> NDArray[np.int64]:
        """(feet,) 0: the switch is on the left foot, 1: on the right one."""
        return self.kinematics.foot_of_point

    @cached_property
    def foot_pads(self) -> NDArray[np.int64]:
        """(2, k) indices of the left and of the right foot's switches."""
        return np.array(self.kinematics.foot_pads)

    @cached_property
    def standing_height(self) -> float:
        """Pelvis origin over the soles in the home pose, m."""
        return float(-np.min(self.kinematics.foot_points(self.default_joint_pos)[:, 2]))

    @cached_property
    def leg(self) -> LegGeometry:
        """Lengths of the left leg, from the MJCF."""
        return leg_geometry(self.name, self.kinematics, self.joint_names, self.roles)


def calibrated(config: RobotConfig, source: Path | dict[str, Any]) -> RobotConfig:
    """`config` with the values that a calibration (file, or its content) puts in their place.

    Raises:
        UserError: the file is missing or malformed, or names a joint that the robot does not have.
    """
    path = source if isinstance(source, Path) else "calibration"
    own = load_config(Calibration, source)
    names = [joint.name for joint in config.joints]
    unknown = sorted(set(own.joints) - set(names))
    if unknown:
        raise UserError(f"{path} calibrates the joints {unknown}, but {config.name} has {names}.")
    joints = []
    for joint in config.joints:
        change = from_dict(
            JointCalibration, own.joints.get(joint.name, {}), where=f"{path}.joints.{joint.name}"
        )
        changes = {key: value for key, value in vars(change).items() if value is not None}
        joints.append(replace(joint, **changes))
    taken = [joint.id for joint in joints]
    if len(set(taken)) < len(taken):
        raise UserError(f"{path}: two joints have the same servo id ({taken}). Give every joint its own.")
    if own.imu_mount is not None and len(own.imu_mount) != 4:
        raise UserError(
            f"{path}: imu_mount has {len(own.imu_mount)} numbers, expected a quaternion (w, x, y, z)."
        )
    return replace(config, joints=joints, imu_mount=own.imu_mount or config.imu_mount)


@lru_cache(maxsize=8)
def load_robot(
    path: str | Path | None = None, calibration: str | Path | None = None, servo: str | None = None
) -> RobotSpec:
    """The robot described by a robot.yaml (default: WildRobot's own), with one robot's calibration if there is one.

    `servo` puts another of its servo models into every joint, to see what that would do.

    Raises:
        UserError: a file is missing or malformed, a key unknown, or the files disagree.
    """
    return RobotSpec(Path(path) if path else DEFAULT_ROBOT, Path(calibration) if calibration else None, servo)
