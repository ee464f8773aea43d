"""What is wrong with a robot's own measures, in words: each hidden error by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.inspection import Finding
from wildrobot.firmware_bridge.calibration.feet import check_feet
from wildrobot.firmware_bridge.calibration.hands import Hands, LetGo, TakePose
from wildrobot.firmware_bridge.calibration.imu_mount import AGREE_RAD, find_mount, rotation_between
from wildrobot.firmware_bridge.calibration.measures import (
    QUESTIONS,
    changed,
    describe_tilt,
    identify_step,
    require_ready,
)
from wildrobot.firmware_bridge.calibration.sampling import Sampler, resting_counts
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]
OFFSET_TOLERANCE_RAD = 0.03
REPAIR = "`wildrobot calibrate` measures it"


def name_wiring(described: RobotSpec, found: RobotSpec) -> list[Finding]:
    """Ids and directions that differ from the description."""
    owner = {joint.id: joint.name for joint in described.config.joints}
    source = described.path.name
    findings = []
    for old, new in zip(described.config.joints, found.config.joints, strict=True):
        if new.id != old.id:
            what = f"servo {new.id} moves it, {source} says {old.id}"
            if new.id in owner:
                what = f"servo {new.id} moves {old.name}, {source} says {owner[new.id]}: ids swapped"
            findings.append(Finding("error", new.id, old.name, what, REPAIR))
        if new.direction != old.direction:
            what = f"turns the other way: direction is {new.direction:+d}, {source} says {old.direction:+d}"
            findings.append(Finding("error", new.id, old.name, what, REPAIR))
    return findings or [Finding("ok", 0, "wiring", "every servo moves its joint, the right way")]


def name_offsets(spec: RobotSpec, reading: Array, pose: Array) -> list[Finding]:
    """Joints whose reading (n,) rad differs from the pose (n,) rad in which they stand."""
    findings = []
    for i, name in enumerate(spec.joint_names):
        off = float(pose[i] - reading[i])
        if abs(off) > OFFSET_TOLERANCE_RAD:
            what = (
                f"is off by {off:+.3f} rad: it reads {reading[i]:+.3f} where it stands at {pose[i]:+.3f}, so its "
                f"offset_rad is about {spec.joint_offset[i] + off:+.3f}"
            )
            findings.append(Finding("error", spec.servo_ids[i], name, what, REPAIR))
    return findings or [Finding("ok", 0, "zeros", f"all joints within {OFFSET_TOLERANCE_RAD:g} rad")]


def name_mount(spec: RobotSpec, mount: Any, yaw_measured: bool) -> list[Finding]:
    """How the IMU's mount differs from the description."""
    angle, axis = rotation_between(spec.imu_mount, mount)
    device = spec.config.bus.sensor_board_id
    part = "" if yaw_measured else " (its turn about the upright axis was not measured)"
    if angle > AGREE_RAD:
        return [Finding("error", device, "IMU", f"is {describe_tilt(angle, axis)}{part}", REPAIR)]
    return [Finding("ok", device, "IMU", f"its mount is right within {np.degrees(angle):.2f} degrees{part}")]


def read_joints(spec: RobotSpec, sampler: Sampler) -> Array:
    """Joint positions (n,) rad at rest, as the description has ids, directions and zeros."""
    counts = resting_counts(sampler.record(0.3))
    scale = np.array([servo.position_rad_per_count for servo in spec.servos])
    return np.asarray(spec.joint_direction * (counts - table.CENTRE_COUNT) * scale + spec.joint_offset)


def _compare_pose(bus: Bus, spec: RobotSpec, hands: Hands, name: str) -> tuple[RobotSpec, list[Finding]]:
    """Zeros by a pose that somebody holds; also the description with them corrected."""
    pose = np.zeros(spec.num_joints) if name == "zero" else spec.default_joint_pos
    words = "legs straight, soles level, torso straight ahead" if name == "zero" else "the home pose"
    bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(spec.servo_ids, 0))
    sampler = Sampler(bus, spec.servo_ids, spec.config.bus.sensor_board_id)

    def each() -> None:
        sampler.read()
        sampler.wait()

    wanted: Mapping[str, float] = dict(zip(spec.joint_names, pose.tolist(), strict=True))
    if not hands.perform(TakePose(f"POSE: {words}; hold it (or use the jig).", wanted), each):
        return spec, [Finding("warning", 0, "zeros", "not looked at")]
    reading = read_joints(spec, sampler)
    hands.perform(LetGo("Let go."), each)
    findings = name_offsets(spec, reading, pose)
    offsets = spec.joint_offset + (pose - reading)
    joints = {n: {"offset_rad": float(value)} for n, value in zip(spec.joint_names, offsets, strict=True)}
    return changed(spec, joints), findings


def diagnose(bus: Bus, spec: RobotSpec, hands: Hands, identify: bool, pose: str | None) -> list[Finding]:
    """Ask, look and name: wiring, zeros (with a pose), mount, feet. Only the waist is driven, after asking.

    Raises:
        UserError: something stays unclear.
    """
    findings: list[Finding] = []
    now = spec
    if identify:
        if not hands.agree(QUESTIONS["identify"]):
            return [Finding("warning", 0, "wiring", "not looked at")]
        now = identify_step(bus, spec, hands)
        findings += name_wiring(spec, now)
    if pose is not None:
        now, found = _compare_pose(bus, now, hands, pose)
        findings += found
    if identify:
        if hands.agree(QUESTIONS["imu"], moves=True):
            require_ready(bus, now)
            mount = find_mount(bus, now, hands)
            findings += name_mount(spec, mount.quaternion, mount.yaw_measured)
        if hands.agree(QUESTIONS["feet"]):
            sampler = Sampler(bus, now.servo_ids, now.config.bus.sensor_board_id)
            wrong = check_feet(now, sampler, hands)
            device = now.config.bus.sensor_board_id
            findings += [Finding("error", device, "feet", text) for text in wrong]
            if not wrong:
                findings.append(Finding("ok", device, "feet", "every pad is its own"))
    return findings
