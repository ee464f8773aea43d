"""Calibration: the mathematics on synthetic data, each step on the virtual robot, and all of it at once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from calibration_helpers import ALL_WRONG, SPEC, TILT, Bench, offset_errors

from wildrobot.cli.robot import calibrate as calibrate_cli
from wildrobot.cli.robot.person import PersonHands
from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_multiply, quat_to_matrix
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.calibration.endstops import (
    Ends,
    EndStops,
    find_offsets,
    offset_from_ends,
    pose_for,
)
from wildrobot.firmware_bridge.calibration.feet import check_feet, pressed_pad
from wildrobot.firmware_bridge.calibration.hands import MoveJoint, Request
from wildrobot.firmware_bridge.calibration.identify import (
    NotClear,
    asked_direction,
    describe_motion,
    find_excursion,
    identify,
)
from wildrobot.firmware_bridge.calibration.imu_mount import (
    NotMeasured,
    angle_between,
    find_mount,
    mean_quaternion,
    mount_from_axes,
    pitch_axis,
    quaternion_of,
    rotation_between,
    tilt_mount,
    turning_axis,
    up_axis,
)
from wildrobot.firmware_bridge.calibration.measures import (
    STEPS,
    Refused,
    as_calibration,
    ask_and_write,
    changed,
    comparison,
    measure,
    servos_present,
    write_calibration,
)
from wildrobot.firmware_bridge.calibration.sampling import Sampler
from wildrobot.firmware_bridge.virtual.faults.table import FOOT_STUCK, SILENT, WRONG_BAUD
from wildrobot.firmware_bridge.virtual.hands import TypedLines, VirtualHands
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.robot_description import RobotSpec, load_robot


def bump(size: float, n: int = 3, servo: int = 1, overshoot: float = 0.0) -> np.ndarray:
    """(T, n) angles: one servo goes out by `size` and back, and beyond by `overshoot`."""
    time = np.linspace(0.0, 1.0, 60)
    angle = np.zeros((60, n))
    angle[:, servo] = size * np.sin(np.pi * time) ** 2
    angle[45:, servo] -= overshoot * np.sin(np.linspace(0.0, np.pi, 15))
    return angle


# ---------------------------------------------------------------------- which servo


@pytest.mark.parametrize("size", [0.35, -0.35])
def test_the_servo_that_goes_furthest_moved_and_its_first_way_is_its_sign(size: float) -> None:
    found = find_excursion(bump(size))
    assert (found.servo, found.sign) == (1, 1 if size > 0 else -1)
    assert found.size_rad == pytest.approx(0.35, abs=0.01)


def test_a_swing_back_beyond_the_start_does_not_change_the_sign() -> None:
    assert find_excursion(bump(0.3, overshoot=0.4)).sign == 1


def test_a_servo_that_was_not_heard_for_a_while_is_found_all_the_same() -> None:
    angle = bump(0.35)
    angle[10:20] = np.nan
    assert find_excursion(angle).servo == 1


def test_nothing_moved_and_two_moved_alike_are_told_apart() -> None:
    with pytest.raises(NotClear, match="nothing moved"):
        find_excursion(bump(0.05))
    with pytest.raises(NotClear, match="two joints moved alike"):
        find_excursion(bump(0.35) + bump(0.3, servo=2))


@pytest.mark.parametrize("joint", range(SPEC.num_joints), ids=SPEC.joint_names)
def test_the_words_for_a_joint_s_positive_direction_are_what_the_body_does(joint: int) -> None:
    """By the rotation itself: what is below (or in front of) the joint goes where the words say."""
    name = SPEC.joint_names[joint]
    axis = next(
        body.joint.axis for body in SPEC.tree.bodies if body.joint is not None and body.joint.name == name
    )
    turn = quat_to_matrix(quat_from_rotvec(0.1 * np.asarray(axis)))
    part = np.array([1.0, 0.0, 0.0]) if name.endswith(("yaw", "ankle_pitch")) else np.array([0.0, 0.0, -1.0])
    goes = turn @ part - part
    outwards = 1.0 if name.startswith("left") else -1.0
    truth = {
        "left": goes[1] > 0.01,
        "backwards": goes[0] < -0.01,
        "outwards": goes[1] * outwards > 0.01,
        "inwards": goes[1] * outwards < -0.01,
        "bend": goes[0] < -0.01,
        "down": goes[2] < -0.01,
    }
    words = describe_motion(SPEC, joint, 1)
    said = [key for key in ("backwards", "outwards", "inwards", "bend", "down") if key in words.split(",")[0]]
    said = said or ["left"]
    assert all(truth[key] for key in said)
    assert describe_motion(SPEC, joint, -1) != words


def test_every_joint_has_words_and_is_asked_the_way_it_has_room() -> None:
    for joint, name in enumerate(SPEC.joint_names):
        assert "axis" not in describe_motion(SPEC, joint, 1), name
        way = asked_direction(SPEC, joint)
        room = SPEC.joint_upper[joint] if way > 0 else -SPEC.joint_lower[joint]
        assert room > math.radians(20)


def test_identify_finds_swapped_ids_and_flipped_directions() -> None:
    bench = Bench(Hidden(ids=ALL_WRONG.ids, flipped=ALL_WRONG.flipped))
    found = identify(SPEC, Sampler(bench.bus, SPEC.servo_ids, 200), bench.hands)
    for i, name in enumerate(SPEC.joint_names):
        sign = -1 if name in ALL_WRONG.flipped else 1
        assert found[name].id == ALL_WRONG.ids.get(name, SPEC.servo_ids[i])
        assert found[name].direction == sign * int(SPEC.joint_direction[i])


class Clumsy(VirtualHands):
    """Moves the wrong joint at the first request."""

    def __init__(self, bench: Bench, joint: str, times: int) -> None:
        super().__init__(bench.robot)
        self._joint, self._times = joint, times

    def _begin(self, request: Request) -> None:
        if isinstance(request, MoveJoint) and request.joint != "waist_yaw" and self._times:
            self._times -= 1
            request = MoveJoint(request.text, self._joint, 0.3)
        super()._begin(request)


def test_a_joint_that_is_another_s_already_is_asked_for_again() -> None:
    bench = Bench()
    hands = Clumsy(bench, "waist_yaw", times=1)
    found = identify(SPEC, Sampler(bench.bus, SPEC.servo_ids, 200), hands)
    assert found["left_hip_pitch"].id == 2
    assert any("waist_yaw's. Once more" in text for text in hands.said)


def test_a_joint_that_stays_unclear_is_given_up_with_what_to_do() -> None:
    bench = Bench()
    with pytest.raises(UserError, match=r"left_hip_pitch could not be told.*one joint at a time"):
        identify(SPEC, Sampler(bench.bus, SPEC.servo_ids, 200), Clumsy(bench, "waist_yaw", times=9))


def test_a_servo_with_a_strange_id_is_taken_for_the_one_that_lacks() -> None:
    bench = Bench(Hidden(ids={"left_knee_pitch": 42}))
    assert sorted(servos_present(bench.bus, SPEC)) == [1, 2, 3, 5, 6, 7, 8, 9, 42]


def test_a_servo_that_is_nowhere_at_this_speed_is_refused_with_the_way_to_find_it() -> None:
    bench = Bench(faults=(WRONG_BAUD(servo=4),))
    with pytest.raises(UserError, match=r"\[4\] do not answer.*wildrobot doctor"):
        servos_present(bench.bus, SPEC)


# ---------------------------------------------------------------------- zeros


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("give_rad", [0.0, 0.02])
def test_the_middle_of_the_stops_gives_the_offset_whatever_they_give_way(
    direction: int, give_rad: float
) -> None:
    lower, upper, offset, scale = -1.57, 0.09, 0.12, 2 * math.pi / 4096

    def count(joint_rad: float) -> float:
        return 2048 + direction * (joint_rad - offset) / scale

    ends = Ends(count(lower - give_rad), count(upper + give_rad), 0.2)
    assert offset_from_ends(ends, lower, upper, direction, scale) == pytest.approx(offset, abs=1e-9)
    assert ends.width_rad(scale) == pytest.approx(upper - lower + 2 * give_rad)


@pytest.mark.parametrize("joint", range(SPEC.num_joints), ids=SPEC.joint_names)
def test_in_the_pose_of_a_measurement_the_feet_stay_apart_over_the_whole_sweep(joint: int) -> None:
    for angle in np.linspace(SPEC.joint_lower[joint], SPEC.joint_upper[joint], 25):
        for wrong in (-0.15, 0.15):  # the others' zeros may be this wrong
            pose = pose_for(SPEC, joint)
            rolls = [i for i, name in enumerate(SPEC.joint_names) if name.endswith("hip_roll")]
            pose[rolls] += wrong * np.array([1.0, -1.0]) * 0.5
            pose[joint] = angle
            points = SPEC.kinematics.foot_points(pose)
            left, right = points[:2], points[2:]
            gap = np.linalg.norm(left[:, None] - right[None], axis=-1).min()
            assert gap > 0.09, (angle, gap)  # a foot is 0.09 wide


@pytest.mark.parametrize("joint", ["left_ankle_pitch", "waist_yaw"])
def test_a_zero_is_found_by_the_end_stops_within_a_hundredth(joint: str) -> None:
    bench = Bench(Hidden(offset_rad={joint: 0.15}))
    i = SPEC.joint_names.index(joint)
    found = find_offsets(bench.bus, SPEC, [i], lambda text: None)
    assert found[joint] == pytest.approx(0.15, abs=0.003)


def limits_of(bench: Bench) -> list[tuple[int, int]]:
    registers = (table.MIN_POSITION_LIMIT, table.MAX_POSITION_LIMIT)
    return [(servo.get(registers[0]), servo.get(registers[1])) for servo in bench.robot.servos]


def test_after_a_measurement_all_servos_are_limp_and_set_up_as_before() -> None:
    bench = Bench()
    before = limits_of(bench)
    find_offsets(bench.bus, SPEC, [SPEC.joint_names.index("left_ankle_pitch")], lambda text: None)
    assert limits_of(bench) == before
    for servo, joint in zip(bench.robot.servos, SPEC.config.joints, strict=True):
        assert not servo.torque_on
        assert servo.get(table.GOAL_PWM) == table.FULL_PWM
        assert servo.get(table.POSITION_P_GAIN) == joint.p_gain
        assert servo.get(table.BUS_WATCHDOG) == 0


def test_ctrl_c_in_the_middle_lets_go_and_puts_the_limits_back() -> None:
    bench = Bench()
    before = limits_of(bench)

    def interrupted() -> None:
        with EndStops(bench.bus, SPEC) as stops:
            stops.hold(0.2)
            assert all(servo.torque_on for servo in bench.robot.servos)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert limits_of(bench) == before
    assert not any(servo.torque_on for servo in bench.robot.servos)


def test_a_joint_that_cannot_reach_its_stop_is_refused_with_the_figures() -> None:
    bench = Bench()
    joint = SPEC.joint_names.index("left_ankle_pitch")
    model = bench.robot.physics.model
    model.jnt_range[model.joint("left_ankle_pitch").id] = [-0.3, 0.7854]  # something is in its way
    with pytest.raises(UserError, match=r"left_ankle_pitch went 1\.0.*expected 1\.571"):
        find_offsets(bench.bus, SPEC, [joint], lambda text: None)
    assert not any(servo.torque_on for servo in bench.robot.servos)


def test_a_servo_that_falls_silent_ends_the_measurement_and_the_rest_let_go() -> None:
    bench = Bench(faults=(SILENT(at_s=3.0, servo=4),))
    with pytest.raises(UserError, match="device 4 does not answer any more"):
        find_offsets(bench.bus, SPEC, [SPEC.joint_names.index("waist_yaw")], bench.hands.say)
    torque = [servo.torque_on for servo in bench.robot.servos]
    assert torque.count(True) <= 1  # the silent one hears nothing; its own watchdog holds it still
    assert any("could not be put back" in text for text in bench.hands.said)


def test_the_program_killed_in_the_middle_leaves_servos_that_stop() -> None:
    bench = Bench()
    with EndStops(bench.bus, SPEC) as stops:
        stops.hold(0.1)
        bench.transport.sleep(0.8)  # nobody speaks any more
        assert {servo.get(table.BUS_WATCHDOG) for servo in bench.robot.servos} == {-1}


# ---------------------------------------------------------------------- mount of the IMU


def random_mounts(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [quat_from_rotvec(rng.uniform(-1.2, 1.2, 3)) for _ in range(count)]


@pytest.mark.parametrize("mount", random_mounts(5))
def test_a_mount_follows_from_the_torso_s_two_axes_in_the_chip_s_frame(mount: np.ndarray) -> None:
    matrix = quat_to_matrix(mount)
    crooked = matrix[1] + 0.3 * matrix[2]  # what is not across z is not believed
    found = mount_from_axes(matrix[2], crooked / np.linalg.norm(crooked))
    assert rotation_between(found, mount)[0] < 1e-6


@pytest.mark.parametrize("mount", random_mounts(5))
def test_a_quaternion_of_a_matrix_gives_the_matrix_back(mount: np.ndarray) -> None:
    np.testing.assert_allclose(
        quat_to_matrix(quaternion_of(quat_to_matrix(mount))), quat_to_matrix(mount), atol=1e-12
    )


@pytest.mark.parametrize("mount", random_mounts(5))
def test_without_pitching_the_tilt_is_mended_by_the_shortest_turn(mount: np.ndarray) -> None:
    z_imu = np.array([0.1, -0.15, 0.98]) / np.linalg.norm([0.1, -0.15, 0.98])
    found = tilt_mount(mount, z_imu)
    np.testing.assert_allclose(quat_to_matrix(found) @ z_imu, [0, 0, 1], atol=1e-9)
    assert rotation_between(mount, found)[0] == pytest.approx(
        angle_between(quat_to_matrix(mount) @ z_imu, np.array([0.0, 0.0, 1.0]))
    )


def test_an_upside_down_mount_is_turned_over() -> None:
    found = tilt_mount(np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose(quat_to_matrix(found) @ [0, 0, -1], [0, 0, 1], atol=1e-9)


def test_the_waist_s_axis_comes_from_a_noisy_gyro_with_a_bias() -> None:
    rng = np.random.default_rng(0)
    rate = 0.9 * np.cos(np.linspace(0, 12, 200))
    axis = np.array([0.17, -0.1, 0.98]) / np.linalg.norm([0.17, -0.1, 0.98])
    gyro = rate[:, None] * axis + [0.02, -0.01, 0.03] + 0.01 * rng.standard_normal((200, 3))
    assert math.degrees(angle_between(turning_axis(gyro, rate), axis)) < 0.3


def test_a_gyro_that_does_not_follow_the_waist_is_no_measurement() -> None:
    rate = 0.9 * np.cos(np.linspace(0, 12, 200))
    with pytest.raises(NotMeasured, match="expected 1"):
        turning_axis(0.2 * rate[:, None] * np.array([0.0, 0.0, 1.0]), rate)
    with pytest.raises(NotMeasured, match="did not turn"):
        turning_axis(np.zeros((50, 3)), np.zeros(50))


def test_the_pitch_axis_is_that_of_the_turn_in_the_chip_s_frame() -> None:
    mount, yaw = random_mounts(1)[0], quat_from_rotvec(np.array([0.0, 0.0, 1.1]))
    upright = quat_multiply(yaw, mount)
    nose_down = quat_multiply(quat_multiply(yaw, quat_from_rotvec(np.array([0.0, 0.35, 0.0]))), mount)
    np.testing.assert_allclose(pitch_axis(upright, nose_down), quat_to_matrix(mount)[1], atol=1e-9)
    with pytest.raises(NotMeasured, match=r"0\.0 degrees"):
        pitch_axis(upright, upright)


def test_a_turn_about_the_upright_axis_is_no_pitch() -> None:
    with pytest.raises(NotMeasured, match="upright axis"):
        mount_from_axes(np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.0, 0.99]))


def test_the_mean_of_quaternions_does_not_mind_their_sign() -> None:
    q = quat_from_rotvec(np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(mean_quaternion(np.array([q, -q, q])), q)
    np.testing.assert_allclose(up_axis(np.array([1.0, 0.0, 0.0, 0.0])), [0, 0, 1])


def test_a_tilted_imu_s_mount_is_found_within_a_fifth_of_a_degree() -> None:
    bench = Bench(Hidden(imu_tilt_rad=TILT))  # type: ignore[arg-type]
    found = find_mount(bench.bus, SPEC, bench.hands)
    assert found.yaw_measured
    assert math.degrees(rotation_between(found.quaternion, bench.true_mount)[0]) < 0.2
    assert any("agree within" in text for text in bench.hands.said)


def test_a_stand_that_is_not_level_is_told_and_costs_nothing() -> None:
    bench = Bench(Hidden(imu_tilt_rad=TILT))  # type: ignore[arg-type]
    crooked = quat_from_rotvec(np.array([math.radians(3.0), 0.0, 0.0]))
    bench.robot.physics.tilt(crooked)
    bench.transport.sleep(1.0)
    hands = bench.hands

    class OnCrookedStand(VirtualHands):
        def _begin(self, request: Request) -> None:
            angle = getattr(request, "angle_rad", 0.0)
            turn = quat_from_rotvec(np.array([0.0, angle, 0.0]))
            self.hands.robot.physics.tilt(quat_multiply(crooked, turn))
            self.hands._begin(lambda time_s: time_s > 1.0)

    hands = OnCrookedStand(bench.robot)
    found = find_mount(bench.bus, SPEC, hands)
    assert any("differ by 3.0 degrees" in text for text in hands.said)
    assert math.degrees(rotation_between(found.quaternion, bench.true_mount)[0]) < 0.2


def test_a_waist_that_turns_the_wrong_way_does_not_put_the_imu_upside_down() -> None:
    bench = Bench(Hidden(flipped=("waist_yaw",)))
    with pytest.raises(UserError, match=r"180 degrees apart.*--only identify imu"):
        find_mount(bench.bus, SPEC, bench.hands)


class NoPitch(VirtualHands):
    """Skips what it is asked to do by hand."""

    def perform(self, request: Request, each: object) -> bool:
        self.asked.append(request.text)
        return False


def test_skipping_the_pitch_keeps_the_turn_about_z() -> None:
    tilt = (0.12, 0.0, 0.0)
    bench = Bench(Hidden(imu_tilt_rad=tilt))
    found = find_mount(bench.bus, SPEC, NoPitch(bench.robot))
    assert not found.yaw_measured
    assert math.degrees(rotation_between(found.quaternion, bench.true_mount)[0]) < 0.2


# ---------------------------------------------------------------------- feet


def test_the_pad_that_rises_most_is_the_one_that_was_pressed() -> None:
    during = np.zeros((40, 4))
    during[:, 0] = 30.0  # heavy, but it was so before
    during[5:35, 2] = 8.0
    assert pressed_pad(np.array([30.0, 0.0, 0.0, 0.0]), during, 2.0) == 2
    assert pressed_pad(np.zeros(4), np.zeros((40, 4)), 2.0) is None
    spike = np.zeros((40, 4))
    spike[7, 1] = 60.0
    assert pressed_pad(np.zeros(4), spike, 2.0) is None


def test_all_pads_answer_and_one_that_does_not_is_named() -> None:
    good = Bench()
    assert check_feet(SPEC, Sampler(good.bus, SPEC.servo_ids, 200), good.hands) == []
    dead = Bench(faults=(FOOT_STUCK(foot="left_heel", force_n=0.0),))
    wrong = check_feet(SPEC, Sampler(dead.bus, SPEC.servo_ids, 200), dead.hands)
    assert wrong == ["left_heel: no input rose when it was pressed. Check the sensor and its wire"]


class CrossedWires(VirtualHands):
    """Presses the left heel when asked for the left toe, as crossed wires would show it."""

    def _begin(self, request: Request) -> None:
        self.hands.press({"left_toe": "left_heel", "left_heel": "left_toe"}.get(request.foot, request.foot))  # type: ignore[attr-defined]


def test_crossed_wires_are_named() -> None:
    bench = Bench()
    wrong = check_feet(SPEC, Sampler(bench.bus, SPEC.servo_ids, 200), CrossedWires(bench.robot))
    assert [text.split(":")[0] for text in wrong] == ["left_toe", "left_heel"]
    assert "left_heel rose" in wrong[0]


# ---------------------------------------------------------------------- the command


def test_a_calibration_that_is_written_and_read_again_is_the_same_robot(tmp_path: Path) -> None:
    found = changed(
        SPEC, {"waist_yaw": {"direction": -1, "offset_rad": 0.123}}, quat_from_rotvec(np.array(TILT))
    )
    write_calibration(tmp_path / "calibration.yaml", found)
    again = load_robot(None, tmp_path / "calibration.yaml")
    assert as_calibration(again) == as_calibration(found)
    assert again.config.joints[0].offset_rad == 0.123
    assert again.robot_hash == SPEC.robot_hash


def test_the_table_shows_old_new_and_difference() -> None:
    found = changed(SPEC, {"left_knee_pitch": {"id": 5, "direction": -1, "offset_rad": 0.12},
                           "left_ankle_pitch": {"id": 4}}, quat_from_rotvec(np.array(TILT)))  # fmt: skip
    lines = comparison(SPEC, found).splitlines()
    knee = next(line for line in lines if line.startswith("left_knee_pitch"))
    assert knee.split() == [
        "left_knee_pitch",
        "4",
        ">",
        "5",
        "+1",
        ">",
        "-1",
        "+0.0000",
        ">",
        "+0.1200",
        "+0.1200",
    ]
    assert "turned by 10.0 degrees about (+0.60, -0.80, +0.00)" in lines[-1]


class Unwilling(VirtualHands):
    """Agrees to nothing."""

    def agree(self, question: str, moves: bool = False) -> bool:
        self.asked.append(question)
        return False


def test_without_agreement_nothing_moves_and_nothing_is_written(tmp_path: Path) -> None:
    bench = Bench()
    hands = Unwilling(bench.robot)
    with pytest.raises(Refused, match="before 'offsets'"):
        measure(bench.bus, SPEC, ["offsets"], hands)
    assert "THE ROBOT MOVES" in hands.asked[0]
    assert not any(servo.torque_on for servo in bench.robot.servos)


def test_a_robot_that_is_not_set_up_is_not_moved() -> None:
    bench = Bench(Hidden(registers={"waist_yaw": {"operating_mode": 4}}))
    with pytest.raises(UserError, match=r"operating_mode is 4, expected 3.*\n.*doctor --fix"):
        measure(bench.bus, SPEC, ["imu"], bench.hands)


def test_the_command_says_where_a_person_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench = Bench()
    monkeypatch.setattr("sys.stdin", (tmp_path / "empty").open("w+"))
    options = calibrate_cli.CalibrateOptions(output=tmp_path / "calibration.yaml")
    with pytest.raises(UserError, match="nobody is at the terminal"):
        calibrate_cli.run(options, bench.transport)
    assert not options.output.exists()
    assert bench.transport.closed


def test_yes_agrees_to_questions_but_not_to_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert PersonHands(yes=True).agree("Go on?")
    assert "Go on? yes" in capsys.readouterr().out


def test_a_cable_pulled_during_the_command_is_told(tmp_path: Path) -> None:
    from wildrobot.firmware_bridge.virtual.faults.table import CABLE_OUT

    bench = Bench(faults=(CABLE_OUT(at_s=2.0, for_s=None),))
    options = calibrate_cli.CalibrateOptions(
        output=tmp_path / "c.yaml", only=("offsets",), yes=True, countdown=1.0
    )
    with pytest.raises(UserError, match=r"the bus was lost.*Nothing was written"):
        calibrate_cli.run(options, bench.transport)
    assert not options.output.exists()


def test_lines_typed_at_the_virtual_robot_do_what_hands_do(tmp_path: Path) -> None:
    bench = Bench()
    lines = tmp_path / "lines"
    lines.write_text("move left_knee_pitch 0.3\npress left_toe\nfly\nfault silent servo=3\n")
    said: list[str] = []
    with lines.open() as source:
        typed = TypedLines(bench.hands.hands, source, said.append)
        typed.update()
        assert bench.hands.hands.busy
        for _ in range(10):
            bench.transport.sleep(0.02)
            typed.update()
    assert bench.robot.physics.hand_force[0] == 15.0
    assert said == [
        "'fly' is not understood. Known: move, pose, free, press, tilt, push, plug, unplug, fault; --help shows how."
    ]
    assert bench.bus.ping(3) is None


@pytest.mark.slow
def test_calibrate_finds_every_hidden_error_and_the_policy_walks_on_what_it_wrote(tmp_path: Path) -> None:
    from dynamixel_helpers import Session, up

    bench = Bench(ALL_WRONG)
    findings = measure(bench.bus, SPEC, STEPS, bench.hands)
    path = tmp_path / "calibration.yaml"
    assert ask_and_write(path, findings, bench.hands, bench.hands.say)
    found = load_robot(None, path)
    errors = offset_errors(found, ALL_WRONG)
    assert max(map(abs, errors.values())) < 0.003, errors
    assert math.degrees(rotation_between(found.imu_mount, bench.true_mount)[0]) < 0.2
    for joint in found.config.joints:
        i = SPEC.joint_names.index(joint.name)
        assert joint.id == ALL_WRONG.ids.get(joint.name, SPEC.servo_ids[i])
        sign = -1 if joint.name in ALL_WRONG.flipped else 1
        assert joint.direction == sign * SPEC.config.joints[i].direction
    assert findings.notes == []
    assert walks(Session, up, found)


def walks(session_kind: type, up: object, spec: RobotSpec) -> bool:
    """A robot with all the errors walks for ten seconds when the runtime knows them."""
    session = session_kind(spec=spec, hidden=ALL_WRONG, duration_s=20.0)
    session.run(12.0)
    truth = session.virtual.truth()
    distance = float(np.linalg.norm(truth.pelvis_position[:2]))
    return up(session.virtual) and distance > 1.0  # type: ignore[operator]
