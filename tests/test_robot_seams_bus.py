"""Servos, pads and calibration of a robot unlike WildRobot, over the bus of its virtual robot."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from heron_helpers import HERON, changed

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.inspection import check
from wildrobot.firmware_bridge.calibration.endstops import find_offsets, pose_for
from wildrobot.firmware_bridge.calibration.feet import check_feet
from wildrobot.firmware_bridge.calibration.identify import describe_motion
from wildrobot.firmware_bridge.calibration.imu_mount import find_mount, rotation_between
from wildrobot.firmware_bridge.calibration.sampling import Sampler
from wildrobot.firmware_bridge.virtual.hands import VirtualHands
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.robot_description import RobotSpec, load_robot


@pytest.fixture(scope="module")
def heron() -> RobotSpec:
    return load_robot(HERON)


def suspended(spec: RobotSpec, hidden: Hidden | None = None) -> tuple[VirtualRobot, Bus, VirtualHands]:
    robot = VirtualRobot(spec, suspended=True, hidden=hidden)
    return robot, Bus(VirtualTransport(robot, spec.config.bus.baud)), VirtualHands(robot)


def test_words_for_a_joint_come_from_its_axis(heron: RobotSpec) -> None:
    left, right = heron.joints_of("knee_pitch")
    assert describe_motion(heron, right, 1) == describe_motion(heron, left, -1) == "bend the knee"
    left, right = heron.joints_of("ankle_roll")
    assert (
        describe_motion(heron, left, 1) == describe_motion(heron, right, -1) == "lift the sole's outer edge"
    )
    assert all("axis" not in describe_motion(heron, joint, 1) for joint in range(12))


def test_while_a_joint_is_measured_the_feet_stay_apart(heron: RobotSpec) -> None:
    for joint in range(heron.num_joints):
        for angle in np.linspace(heron.joint_lower[joint], heron.joint_upper[joint], 9):
            pose = pose_for(heron, joint)
            pose[joint] = angle
            left, right = heron.kinematics.foot_points(pose)[heron.foot_pads[:, 0]]
            assert np.linalg.norm(left - right) > 0.09, (heron.joint_names[joint], angle)


def test_a_knee_s_zero_is_found_though_it_turns_the_other_way(heron: RobotSpec) -> None:
    _, bus, _ = suspended(heron, Hidden(offset_rad={"l_bend": 0.12}))
    knee = heron.joint_names.index("l_bend")
    found = find_offsets(bus, heron, [knee], lambda text: None)
    assert found["l_bend"] == pytest.approx(heron.joint_offset[knee] + 0.12, abs=0.005)


def test_without_a_waist_gravity_and_a_pitch_by_hand_give_the_mount(heron: RobotSpec) -> None:
    tilt = (0.1, -0.08, 0.15)
    _, bus, hands = suspended(heron, Hidden(imu_tilt_rad=tilt))
    mount = find_mount(bus, heron, hands)
    true = quat_multiply(quat_from_rotvec(np.array(tilt)), heron.imu_mount)
    assert math.degrees(rotation_between(mount.quaternion, true)[0]) < 1.0
    assert mount.yaw_measured
    assert any("no waist" in text for text in hands.said)


def test_pads_are_the_board_s_first_inputs_in_the_order_of_the_description(heron: RobotSpec) -> None:
    _, bus, hands = suspended(heron)
    sampler = Sampler(bus, heron.servo_ids, heron.config.bus.sensor_board_id)
    assert check_feet(heron, sampler, hands) == []
    assert hands.said == ["r_sole answers", "l_sole answers"]


def test_more_contacts_than_the_board_has_inputs_are_refused(tmp_path: Path, heron: RobotSpec) -> None:
    sites = "".join(
        f'<site name="{{side}}_{i}" pos="{0.02 * i:g} 0 -0.04"/>' for i in range(3)
    )  # three under each foot

    def more(text: str) -> str:
        for side in "rl":
            text = text.replace(
                f'<site name="{side}_sole"', f'{sites.format(side=side)}<site name="{side}_sole"'
            )
        return text

    names = [f"{side}_{i}" for side in "rl" for i in range(3)]
    spec = load_robot(changed(tmp_path, lambda d: d.update(feet=names), more))
    with pytest.raises(UserError, match="6 foot switches, its sensor board 4 inputs"):
        VirtualRobot(spec)
    _, bus, _ = suspended(heron)
    wrong = [str(finding) for finding in check(bus, spec) if finding.level == "error"]
    assert len(wrong) == 1
    assert "4 foot inputs, but heron has the feet r_0, r_1, r_2, l_0, l_1, l_2" in wrong[0]
