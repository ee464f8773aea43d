"""`--robot dynamixel`: taking hold and letting go, through noise and without a port; what each value and fault says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bus_helpers import BOARD, SPEC

from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus import startup
from wildrobot.firmware_bridge.bus.control_table import Register
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.servo_bus import ServoBus
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.faults.table import (
    BAD_QUATERNION,
    BROWN_OUT,
    CABLE_OUT,
    FLIPPED_BITS,
    FOOT_STUCK,
    FROZEN_IMU,
    OVERHEATING,
    OVERLOAD,
    SILENT,
    STUCK_IMU,
)
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport
from wildrobot.runtime.robots import dynamixel
from wildrobot.runtime.robots.dynamixel import DISTURBED_READS, DynamixelRobot
from wildrobot.signal_path.sensor_frame import SensorFrame

FULL_GAINS = [joint.p_gain for joint in SPEC.config.joints]


class Held:
    """A hanging robot as the runtime has it: one `tick` reads and gives the targets."""

    def __init__(self, *faults: Fault, seed: int = 0, suspended: bool = True) -> None:
        self.virtual = VirtualRobot(SPEC, seed=seed, suspended=suspended, faults=faults)
        self.port = VirtualTransport(self.virtual)
        self.said: list[str] = []
        self.robot = DynamixelRobot(SPEC, self.port, self.said.append)
        self.frame: SensorFrame = self.robot.read()
        self.target = self.frame.joint_position.copy()

    @property
    def time_s(self) -> float:
        return self.port.now_ns() * 1e-9

    def fail(self, *faults: Fault) -> None:
        for fault in faults:
            self.virtual.faults.add(fault)

    def tick(self, count: int = 1) -> SensorFrame:
        for _ in range(count):
            self.port.sleep(SPEC.control_dt - 0.003)
            self.frame = self.robot.read()
            self.robot.write(self.target)
        return self.frame

    def take_hold(self) -> None:
        """Full gain at once, where it is."""
        self.target = self.robot.read().joint_position.copy()
        self.robot.set_stiffness(1.0)
        self.tick(6)

    def of_servos(self, register: Register) -> list[int]:
        return [servo.get(register) for servo in self.virtual.servos]

    @property
    def torque(self) -> set[bool]:
        return {servo.torque_on for servo in self.virtual.servos}


# ---------------------------------------------------------------------- taking hold


def test_the_first_frame_says_what_is_true_and_moves_nothing() -> None:
    held = Held()
    truth = held.virtual.truth()
    assert np.abs(held.frame.joint_position[0] - truth.joint_position).max() < 2e-3
    assert held.frame.joint_valid.all()
    assert held.frame.imu_valid[0]
    assert held.frame.foot_valid[0]
    assert held.torque == {False}
    held.tick(5)
    assert held.torque == {False}
    assert set(held.of_servos(table.BUS_WATCHDOG)) == {0}


def test_taking_hold_arms_the_watchdog_and_letting_go_ends_limp() -> None:
    held = Held()
    held.take_hold()
    assert held.torque == {True}
    assert held.of_servos(table.POSITION_P_GAIN) == FULL_GAINS
    assert set(held.of_servos(table.BUS_WATCHDOG)) == {round(SPEC.config.bus.watchdog_s / table.WATCHDOG_S)}
    held.robot.set_stiffness(0.0)
    held.tick()
    assert held.torque == {False}


@pytest.mark.parametrize("forgets", [False, True], ids=["goal taken anew", "old goal kept"])
def test_taking_hold_does_not_jump(forgets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    for servo in held.virtual.servos:
        servo.put(table.GOAL_POSITION, table.CENTRE_COUNT + 400)
        servo._configure_motor()
        if forgets:  # the manual does not promise that a servo takes its place for its goal
            monkeypatch.setattr(servo, "_hold", lambda: None)
    held.port.sleep(4.0)  # it hangs, and hardly swings
    held.target = held.robot.read().joint_position.copy()
    before = held.virtual.truth().joint_position
    assert np.abs(before - SPEC.default_joint_pos).max() > 0.2, "an odd pose"
    held.robot.set_stiffness(1.0)
    moved = np.zeros(SPEC.num_joints)
    held.robot.write(held.target)
    assert held.torque == {True}
    for _ in range(50):
        held.port.sleep(0.001)
        moved = np.maximum(moved, np.abs(held.virtual.truth().joint_position - before))
    assert moved.max() < 0.01
    assert moved[SPEC.joint_names.index("waist_yaw")] < 5e-4, "nothing but the torque would turn it"


@pytest.mark.parametrize("seed", range(8))
def test_noise_while_taking_hold_ends_with_full_gains_and_torque_on_every_servo(seed: int) -> None:
    held = Held(seed=seed)
    held.fail(FLIPPED_BITS(at_s=held.time_s, for_s=3.5 * SPEC.control_dt, rate=3e-3))
    held.take_hold()
    assert held.torque == {True}
    assert held.of_servos(table.POSITION_P_GAIN) == FULL_GAINS
    assert min(held.of_servos(table.BUS_WATCHDOG)) > 0
    goals = held.robot.servos.counts_of(held.target[0]).tolist()
    held.tick()
    assert held.of_servos(table.GOAL_POSITION) == goals


@pytest.mark.parametrize("seed", range(8))
def test_noise_while_letting_go_ends_limp(seed: int) -> None:
    held = Held(seed=seed)
    held.take_hold()
    held.fail(FLIPPED_BITS(at_s=held.time_s, for_s=3.5 * SPEC.control_dt, rate=3e-3))
    held.robot.set_stiffness(0.0)
    held.tick(6)
    assert held.torque == {False}


def test_a_ramp_ends_at_its_last_gain() -> None:
    held = Held()
    for gain in np.linspace(0.05, 0.6, 12):
        held.robot.set_stiffness(float(gain))
        held.tick()
    held.tick(5)
    assert held.of_servos(table.POSITION_P_GAIN) == [round(0.6 * full) for full in FULL_GAINS]
    before = held.virtual.wire.instructions
    held.tick(10)
    assert held.virtual.wire.instructions - before == 2 * 10, (
        "and then nothing is sent but a read and the goals"
    )


def test_closing_lets_go_and_switches_the_watchdogs_off() -> None:
    held = Held()
    held.take_hold()
    held.robot.close()
    held.port.robot.advance(held.port.now_ns() + 1_000_000)
    assert held.torque == {False}
    assert set(held.of_servos(table.BUS_WATCHDOG)) == {0}
    assert held.port.closed


# ---------------------------------------------------------------------- the port


def test_without_a_port_nothing_raises_times_stand_still_and_it_opens_again() -> None:
    held = Held()
    held.take_hold()
    held.fail(CABLE_OUT(at_s=held.time_s + 0.001, for_s=0.5))
    held.tick()
    last = held.frame.copy()
    for gain in (1.0, 0.6, 0.3):
        held.robot.set_stiffness(gain)
        frame = held.tick(3)
        assert not frame.joint_valid.any()
        assert not frame.imu_valid[0]
        assert not frame.foot_valid[0]
        for name in ("joint_time_s", "imu_time_s", "foot_time_s", "joint_position", "imu_quaternion"):
            assert np.array_equal(getattr(frame, name), getattr(last, name)), name
        assert frame.time_s[0] > last.time_s[0] + 0.04
        assert held.robot.problems() == ("the port is gone: cable or adapter",)
    held.tick(40)
    assert held.frame.joint_valid.all()
    assert held.frame.imu_valid[0]
    assert (held.frame.joint_time_s > last.joint_time_s + 0.5).all()
    assert held.robot.problems() == ()


def test_a_cable_pulled_between_reading_and_writing_does_not_raise() -> None:
    held = Held()
    held.take_hold()
    held.robot.read()
    held.fail(CABLE_OUT(at_s=held.time_s, for_s=None))
    held.port.sleep(0.002)
    held.robot.write(held.target)
    assert held.robot.problems() == ("the port is gone: cable or adapter",)


def test_servos_that_their_watchdogs_stopped_stay_so_until_hold_is_taken_anew() -> None:
    held = Held()
    held.take_hold()
    held.fail(CABLE_OUT(at_s=held.time_s + 0.001, for_s=0.5))
    held.tick(60)
    assert held.frame.joint_valid.all()
    stopped = held.of_servos(table.GOAL_POSITION)
    held.target = held.target + 0.2
    held.tick(5)
    assert held.of_servos(table.GOAL_POSITION) == stopped
    held.robot.set_stiffness(0.0)
    held.tick(6)
    assert held.torque == {False}
    held.take_hold()
    held.target = held.target + 0.2
    held.tick(2)
    assert held.of_servos(table.GOAL_POSITION) == held.robot.servos.counts_of(held.target[0]).tolist()


def test_letting_go_without_a_port_is_made_up_for_when_it_is_back() -> None:
    held = Held()
    held.take_hold()
    held.fail(CABLE_OUT(at_s=held.time_s + 0.001, for_s=0.5))
    held.tick(2)
    held.robot.set_stiffness(0.0)
    held.tick(4)
    assert held.torque == {True}, "they hold: nobody could tell them"
    held.tick(40)
    assert held.torque == {False}


def test_closing_without_a_port_says_that_nobody_could_be_told() -> None:
    held = Held()
    held.take_hold()
    held.fail(CABLE_OUT(at_s=held.time_s + 0.001, for_s=None))
    held.tick(2)
    held.robot.close()
    assert held.said == [
        "the port is gone, so the torque could not be turned off: the servos hold where their watchdogs stopped "
        "them. Plug it in and start again, or cut the power."
    ]


def test_a_robot_that_does_not_answer_as_a_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    virtual = VirtualRobot(SPEC, suspended=True)

    def prepare_and_cut(bus: Bus, *args: Any) -> ServoBus:
        servos = startup.prepare(bus, *args)
        virtual.line(3).silent = True
        return servos

    monkeypatch.setattr(dynamixel, "prepare", prepare_and_cut)
    with pytest.raises(UserError, match=r"servo 3 \(left_hip_roll\): no answer.*wildrobot doctor"):
        DynamixelRobot(SPEC, VirtualTransport(virtual))


# ---------------------------------------------------------------------- the board


def test_contacts_close_above_one_force_and_open_below_a_lower_one() -> None:
    held = Held()
    on_n, off_n = SPEC.foot_switch.on_n, SPEC.foot_switch.off_n
    between = 0.5 * (on_n + off_n)
    foot = SPEC.foot_names[1]
    contacts = []
    for force in (0.0, between, on_n + 0.5, between, off_n - 0.5, between):
        held.fail(FOOT_STUCK(at_s=held.time_s, foot=foot, force_n=force))
        contacts.append(held.tick(2).foot_contact[0].tolist())
    assert [row[1] for row in contacts] == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    assert all(row[0] == row[2] == row[3] == 0.0 for row in contacts)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (FROZEN_IMU, "its IMU is frozen"),
        (lambda at_s: BAD_QUATERNION(at_s=at_s, norm=0.0), "its IMU gives no rotation (norm 0.00)"),
        (lambda at_s: BAD_QUATERNION(at_s=at_s, norm=0.8), "its IMU gives no rotation (norm 0.80)"),
        (lambda at_s: BAD_QUATERNION(at_s=at_s, norm=1.5), "its IMU gives no rotation (norm 1.50)"),
    ],
    ids=["frozen", "zero", "short", "long"],
)
def test_an_imu_that_gives_no_new_rotation_is_not_valid_and_named(
    fault: Callable[..., Fault], says: str
) -> None:
    held = Held()
    held.fail(fault(at_s=held.time_s))
    held.tick(2)
    old = held.frame.copy()
    for _ in range(3):
        frame = held.tick()
        assert not frame.imu_valid[0]
        for name in ("imu_time_s", "imu_quaternion", "imu_angular_velocity", "imu_acceleration"):
            assert np.array_equal(getattr(frame, name), getattr(old, name)), name
        assert frame.foot_valid[0], "the board itself lives"
        assert frame.joint_valid.all()
    assert held.robot.problems() == (f"sensor board {BOARD}: {says}",)


def test_an_imu_that_repeats_itself_is_named_while_its_samples_are_passed_on() -> None:
    held = Held()
    held.fail(STUCK_IMU(at_s=held.time_s))
    frame = held.tick(5)
    assert held.robot.problems() == (f"sensor board {BOARD}: its IMU repeats itself",)
    assert frame.imu_valid[0]


def test_the_imu_s_time_is_that_of_its_sample() -> None:
    held = Held()
    for _ in range(20):
        frame = held.tick()
        age = float(frame.foot_time_s[0] - frame.imu_time_s[0])
        assert 0.0 <= age <= 0.0045, (
            "samples come every 2.5 ms, and the board's turn 1.3 ms after the request"
        )


def test_the_imu_says_how_the_torso_hangs() -> None:
    held = Held()
    frame = held.tick(3)
    assert np.linalg.norm(frame.imu_acceleration[0]) == pytest.approx(9.81, abs=0.3)
    assert np.linalg.norm(frame.imu_quaternion[0]) == pytest.approx(1.0, abs=1e-3)


def test_a_silent_board_s_values_keep_their_times_and_it_is_named() -> None:
    held = Held()
    old = held.tick().copy()
    held.fail(SILENT(at_s=held.time_s, servo="board"))
    frame = held.tick(3)
    assert not frame.imu_valid[0]
    assert not frame.foot_valid[0]
    assert frame.imu_time_s[0] == old.imu_time_s[0]
    assert frame.foot_time_s[0] == old.foot_time_s[0]
    assert held.robot.problems() == (f"sensor board {BOARD}: no answer",)


# ---------------------------------------------------------------------- the servos


def test_a_silent_servo_s_values_keep_their_time_and_only_it_is_named() -> None:
    held = Held()
    held.take_hold()
    old = held.tick().copy()
    held.fail(SILENT(at_s=held.time_s, servo=3))
    frame = held.tick(4)
    i = SPEC.servo_ids.index(3)
    assert np.flatnonzero(~frame.joint_valid[0]).tolist() == [i]
    for name in ("joint_time_s", "joint_position", "joint_velocity"):
        assert getattr(frame, name)[0, i] == getattr(old, name)[0, i], name
    assert (np.delete(frame.joint_time_s - old.joint_time_s, i) > 0.07).all()
    assert held.robot.problems() == ("servo 3 (left_hip_roll): no answer",)


def test_a_single_lost_packet_is_not_worth_a_word() -> None:
    held = Held()
    held.tick()
    held.fail(SILENT(at_s=held.time_s, for_s=0.018, servo=3))
    for _ in range(4):
        held.tick()
        assert held.robot.problems() == ()


def test_a_line_that_noise_disturbs_is_named_itself() -> None:
    held = Held()
    held.tick(10)
    held.fail(FLIPPED_BITS(at_s=held.time_s, rate=6e-4))
    held.tick(10)
    (line, *_) = held.robot.problems()
    assert line.startswith("the line is disturbed: ")
    assert int(line.split()[4]) >= DISTURBED_READS


def test_a_servo_that_restarted_is_named_and_never_believed_again() -> None:
    held = Held()
    held.take_hold()
    i = SPEC.servo_ids.index(4)
    held.robot.bus.reboot(4)
    held.tick(20)
    old = held.frame.joint_position[0, i]
    assert abs(old - held.target[0, i]) < 0.3
    assert held.frame.joint_valid[0].sum() == 8
    assert held.robot.problems() == ("servo 4 (left_knee_pitch): its clock has jumped: it has restarted",)
    # its map of the indirect data is gone: what it shows there, for as long as it may, is nobody's position
    for _ in range(150):
        assert held.tick().joint_valid[0].sum() == 8
        (text,) = held.robot.problems()
        assert text.startswith("servo 4 (left_knee_pitch): ")
    assert held.frame.joint_position[0, i] == old


def test_positions_and_velocities_are_the_joints_own_whatever_the_servo_s_direction() -> None:
    held = Held()
    held.take_hold()
    held.target = held.target + 0.3 * np.array([[1, -1, 0.3, 1, -1, -1, 0.3, 1, -1]])
    velocity: list[Any] = []
    true: list[Any] = []
    for _ in range(8):
        frame = held.tick()
        velocity.append(frame.joint_velocity[0])
        true.append(held.virtual.truth().joint_velocity)
    slow = np.abs(np.array(true)) < 1.0
    assert np.abs(np.array(velocity) - np.array(true)).max(where=slow, initial=0.0) < 1.0
    moved = frame.joint_position[0] - held.virtual.truth().joint_position
    assert np.abs(moved).max() < 0.05


# ---------------------------------------------------------------------- slow registers


def test_every_servo_s_health_is_known_after_as_many_ticks_as_servos_in_si_units() -> None:
    held = Held(OVERHEATING(servo=5, temperature_c=51.0))
    held.take_hold()
    held.tick(SPEC.num_joints)
    health = held.robot.health()
    assert np.abs(health.voltage_v - held.virtual.supply_v).max() <= 0.2
    assert health.temperature_c[SPEC.servo_ids.index(5)] == 51.0
    assert (np.abs(np.delete(health.temperature_c, SPEC.servo_ids.index(5)) - 30.0) < 15.0).all()
    true = np.array([servo.motor.current_a for servo in held.virtual.servos])
    assert np.abs(true).max() > 0.05, "else a wrong unit would go unnoticed"
    assert np.abs(np.abs(health.current_a) - np.abs(true)).max() < 0.05 + 0.2 * np.abs(true).max()
    assert health.hardware_errors == 0
    assert health.problems == ()


def test_before_it_was_read_health_is_unknown_and_not_zero() -> None:
    health = Held().robot.health()
    assert np.isnan(health.current_a).sum() >= 7
    assert (np.isnan(health.voltage_v) == np.isnan(health.temperature_c)).all()


def test_a_voltage_that_drops_is_seen_in_volts() -> None:
    held = Held()
    held.fail(BROWN_OUT(at_s=held.time_s, for_s=None, voltage_v=9.0))
    held.tick(SPEC.num_joints)
    assert held.robot.health().voltage_v == pytest.approx(np.full(9, 9.0), abs=0.05)


def test_a_hardware_error_is_counted_at_once_and_its_cause_named_in_turn() -> None:
    held = Held()
    held.take_hold()
    held.fail(OVERLOAD(at_s=held.time_s, servo=7))
    held.tick()
    health = held.robot.health()
    assert health.hardware_errors == 1
    assert [text for text in health.problems if text.startswith("servo 7 (right_hip_roll): hardware error, ")]
    held.tick(SPEC.num_joints)
    assert held.robot.problems() == ("servo 7 (right_hip_roll): hardware error, overload",)
    assert held.robot.truth() is None  # type: ignore[func-returns-value]


# ---------------------------------------------------------------------- settings that somebody else changes


ROUND = SPEC.num_joints + 1
"""Ticks until every servo has shown its slow registers."""


@pytest.mark.parametrize("value", [0, 150])
@pytest.mark.parametrize("joint", [0, 3, 8])
def test_a_goal_pwm_that_is_changed_while_it_holds_is_named_and_put_right_within_a_round(
    value: int, joint: int
) -> None:
    held = Held()
    held.take_hold()
    held.tick(ROUND)
    assert held.robot.problems() == ()
    servo = held.virtual.servos[joint]
    servo.put(table.GOAL_PWM, value)
    servo._configure_motor()
    said = set()
    for _ in range(ROUND):
        held.tick()
        said |= set(held.robot.problems())
    name = SPEC.joint_names[joint]
    assert said == {
        f"servo {SPEC.servo_ids[joint]} ({name}): somebody else has changed its goal_pwm; 885 is written again"
    }
    assert servo.get(table.GOAL_PWM) == 885
    held.tick(ROUND)
    assert held.robot.problems() == ()
