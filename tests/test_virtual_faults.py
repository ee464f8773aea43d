"""Every fault does on the wire what it says, from its time to its end, whichever way it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from virtual_helpers import BOARD, SPEC, Host, bulk, host_with, sync_read, u16, who

from wildrobot.firmware_bridge.board import control_table as board_table
from wildrobot.firmware_bridge.board.driver import BoardSample
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HardwareError
from wildrobot.firmware_bridge.bus.protocol import ALERT, BROADCAST_ID, Instruction, Packet, Parser, encode
from wildrobot.firmware_bridge.bus.transport import PortLost
from wildrobot.firmware_bridge.virtual.faults import table as f

IDS = SPEC.servo_ids


def sample(host: Host) -> tuple[int, BoardSample]:
    """Sample counter and sample of the board."""
    (status,) = host.ask(BOARD, Instruction.READ, u16(128) + u16(34))
    at = board_table.SAMPLE_COUNTER.address - 128
    return board_table.SAMPLE_COUNTER.decode(status.parameters[at:]), BoardSample.decode(status.parameters)


# ---------------------------------------------------------------------- answers


def test_a_silent_servo_says_nothing_from_its_time_to_its_end_and_silences_those_behind_it() -> None:
    host = host_with(f.SILENT(at_s=0.1, for_s=0.2, servo=3))
    everybody = [*IDS, BOARD]
    assert who(host) == everybody
    host.port.sleep(0.1)
    assert who(host) == [1, 2, BOARD]
    host.port.sleep(0.2)
    assert who(host) == everybody


def test_a_silent_servo_hears_nothing_so_its_watchdog_trips() -> None:
    host = host_with(f.SILENT(at_s=0.2, for_s=0.2, servo=3))
    goals = host.stand()
    host.sync_write(table.BUS_WATCHDOG, dict.fromkeys(IDS, 4))
    for _ in range(25):
        host.sync_write(table.GOAL_POSITION, goals)
        host.port.sleep(0.02)
    assert [servo.get(table.BUS_WATCHDOG) for servo in host.robot.servos] == [4, 4, -1, 4, 4, 4, 4, 4, 4]


def test_the_board_can_be_silent_too() -> None:
    host = host_with(f.SILENT(servo="board"))
    assert who(host) == list(IDS)


def test_a_late_answer_comes_late_even_into_the_next_transaction() -> None:
    host = host_with(f.LATE(servo=2, delay_s=0.004))
    host.port.write(encode(2, Instruction.PING))
    assert host.port.read(0.0039) == b""
    host.port.write(encode(5, Instruction.PING))
    statuses = Parser().feed(host.port.read(0.002) + host.port.read(0.002))
    assert sorted(status.device for status in statuses) in ([2, 5], [2], [5], [])
    host.port.sleep(0.05)
    host.port.discard_input()
    host.port.write(encode(2, Instruction.PING))
    host.port.sleep(0.001)
    host.port.write(encode(5, Instruction.PING))
    heard = Parser().feed(host.port.read(0.001))
    heard += Parser().feed(host.port.read(0.005))
    assert [status.device for status in heard] == [5, 2]


def test_flipped_bits_cost_packets_and_none_is_accepted_wrong() -> None:
    host = host_with(f.FLIPPED_BITS(rate=3e-3))
    good = 0
    for _ in range(100):
        for status in host.ask(1, Instruction.PING):
            good += 1
            assert status == Packet(1, 0x55, u16(1020) + bytes((48,)))
    assert 10 < good < 90


def test_a_truncated_answer_breaks_off() -> None:
    host = host_with(f.TRUNCATED(servo=2, bytes=7))
    host.port.write(encode(2, Instruction.READ, u16(132) + u16(4)))
    assert len(host.port.read(0.002)) == 7
    assert who(host)[:2] == [1, BOARD]


def test_a_short_status_has_one_byte_of_data_and_a_true_crc() -> None:
    host = host_with(f.SHORT(servo=2))
    (status,) = host.ask(2, Instruction.READ, u16(0) + u16(4))
    assert status.parameters == u16(1020)[:1]
    statuses = host.ask(*sync_read(Instruction.SYNC_READ, 132, 4))
    assert [len(status.parameters) for status in statuses] == [4, 1, *[4] * 7]
    host.port.write(encode(BROADCAST_ID, Instruction.FAST_BULK_READ, bulk((1, 0, 4), (2, 0, 4))))
    raw = b""
    while data := host.port.read(0.001):
        raw += data
    assert len(raw) == 8 + 8 + 5


# ---------------------------------------------------------------------- servos


def test_an_overheated_servo_reports_it_lets_go_and_needs_a_reboot_when_it_has_cooled() -> None:
    host = host_with(f.OVERHEATING(at_s=0.3, for_s=0.5, servo="left_knee_pitch", temperature_c=90.0))
    host.stand()
    host.port.sleep(0.35)
    assert host.read(4, table.PRESENT_TEMPERATURE) == 90
    (status,) = host.ask(4, Instruction.READ, u16(70) + u16(1))
    assert (status.error, status.parameters[0]) == (ALERT, HardwareError.OVERHEATING)
    assert [host.read(i, table.TORQUE_ENABLE) for i in IDS] == [1, 1, 1, 0, 1, 1, 1, 1, 1]
    host.ask(4, Instruction.REBOOT)
    host.port.sleep(0.3)
    assert host.read(4, table.HARDWARE_ERROR_STATUS) == HardwareError.OVERHEATING
    host.port.sleep(0.5)
    host.robot.servo(4).motor.temperature_c = 50.0
    host.ask(4, Instruction.REBOOT)
    host.port.sleep(0.3)
    assert host.read(4, table.HARDWARE_ERROR_STATUS) == 0


def test_an_overload_lets_go_until_a_reboot() -> None:
    host = host_with(f.OVERLOAD(at_s=0.1, servo=8))
    host.stand()
    host.port.sleep(0.15)
    assert host.read(8, table.TORQUE_ENABLE) == 0
    (status,) = host.ask(8, Instruction.PING)
    assert status.error == ALERT
    assert host.read(8, table.HARDWARE_ERROR_STATUS) == HardwareError.OVERLOAD


def test_a_brown_out_resets_the_servos_but_not_the_board_and_a_deeper_one_both() -> None:
    for voltage, board_answers in ((5.5, True), (4.0, False)):
        host = host_with(f.BROWN_OUT(at_s=0.1, for_s=0.05, voltage_v=voltage))
        host.stand()
        host.port.sleep(0.12)
        assert who(host) == [BOARD] * board_answers
        host.port.sleep(0.1)
        assert who(host) == [BOARD] * board_answers  # booting
        host.port.sleep(0.3)
        assert who(host) == [*IDS, BOARD]
        assert [host.read(i, table.TORQUE_ENABLE) for i in IDS] == [0] * 9


def test_swapped_ids_answer_with_each_other_s_joint() -> None:
    host = host_with(f.SWAPPED_IDS(servo=4, other=8))
    host.port.sleep(0.2)
    knees = {i: host.read(i, table.PRESENT_POSITION) for i in (4, 8)}
    assert knees[4] < 2048 < knees[8]  # the right knee turns the other way


def test_two_with_one_id_are_not_understood() -> None:
    host = host_with(f.DUPLICATE_ID(at_s=0.1, for_s=0.1, servo=5, other=4))
    host.port.sleep(0.12)
    assert host.ask(4, Instruction.PING) == host.ask(5, Instruction.PING) == []
    host.port.sleep(0.1)
    assert who(host) == [*IDS, BOARD]


def test_a_servo_at_another_rate_is_found_there() -> None:
    host = host_with(f.WRONG_BAUD(servo=6))
    assert host.ask(6, Instruction.PING) == []
    host.port.baud = 57600
    assert len(host.ask(6, Instruction.PING)) == 1


# ---------------------------------------------------------------------- board


def test_a_frozen_imu_s_counter_stands_still_and_its_sample_grows_old() -> None:
    host = host_with(f.FROZEN_IMU(at_s=0.1, for_s=0.3))
    host.port.sleep(0.15)
    first, old = sample(host)
    host.port.sleep(0.1)
    second, older = sample(host)
    assert first == second
    assert older.age_s > 0.06
    assert np.array_equal(old.quaternion, older.quaternion)
    host.port.sleep(0.3)
    assert sample(host)[0] != first


def test_a_stuck_imu_repeats_its_values_while_its_counter_goes_on() -> None:
    host = host_with(f.STUCK_IMU(at_s=0.05), suspended=True)
    host.port.sleep(0.1)
    first, before = sample(host)
    host.robot.physics.tilt(np.array([0.9, 0.0, 0.4, 0.0]), duration_s=0.1)
    host.port.sleep(0.15)
    second, after = sample(host)
    assert first != second
    assert np.array_equal(before.quaternion, after.quaternion)
    assert np.array_equal(before.acceleration, after.acceleration)


@pytest.mark.parametrize("norm", [0.0, 0.7, 1.3])
def test_a_quaternion_can_have_any_length(norm: float) -> None:
    host = host_with(f.BAD_QUATERNION(at_s=0.1, norm=norm))
    host.port.sleep(0.05)
    assert np.linalg.norm(sample(host)[1].quaternion) == pytest.approx(1.0, abs=1e-3)
    host.port.sleep(0.1)
    assert np.linalg.norm(sample(host)[1].quaternion) == pytest.approx(norm, abs=1e-3)


def test_a_quaternion_that_is_no_number_is_no_sample_to_the_firmware() -> None:
    host = host_with(f.BAD_QUATERNION(at_s=0.1, norm=float("nan")))
    host.port.sleep(0.15)
    first, _ = sample(host)
    host.port.sleep(0.1)
    second, bad = sample(host)
    assert first == second
    assert np.isfinite(bad.quaternion).all()


def test_a_stuck_foot_reads_its_force_whatever_presses() -> None:
    host = host_with(f.FOOT_STUCK(at_s=0.1, for_s=0.1, foot="left_heel", force_n=30.0), suspended=True)
    host.port.sleep(0.15)
    assert sample(host)[1].foot_force.tolist() == [0.0, 30.0, 0.0, 0.0]
    host.port.sleep(0.1)
    assert sample(host)[1].foot_force.tolist() == [0.0] * 4


def test_a_bouncing_foot_jumps_between_nothing_and_a_press() -> None:
    host = host_with(f.FOOT_BOUNCE(foot="right_toe", rate_hz=50.0), suspended=True)
    read = set()
    for _ in range(20):
        host.port.sleep(0.007)
        read.add(float(sample(host)[1].foot_force[2]))
    assert read == {0.0, 20.0}


# ---------------------------------------------------------------------- cable and body


def test_a_pulled_cable_is_a_lost_port_until_it_is_in_again_and_opened() -> None:
    host = host_with(f.CABLE_OUT(at_s=0.1, for_s=2.0))
    host.port.sleep(0.2)
    for call in (lambda: host.port.write(b"x"), lambda: host.port.read(0.01), host.port.discard_input):
        with pytest.raises(PortLost):
            call()
    assert not host.port.reopen()
    host.port.sleep(2.0)
    with pytest.raises(PortLost):
        host.port.write(b"x")
    assert host.port.reopen()
    assert who(host) == [*IDS, BOARD]


def test_a_cable_pulled_while_the_host_waits_ends_the_wait() -> None:
    host = host_with(f.CABLE_OUT(at_s=0.1, for_s=2.0))
    with pytest.raises(PortLost):
        host.port.read(1.0)
    assert host.port.now_ns() == pytest.approx(100_000_000, abs=1_000_000)


def test_without_its_cable_the_robot_s_watchdogs_stop_it() -> None:
    host = host_with(f.CABLE_OUT(at_s=0.1, for_s=0.5))
    host.stand()
    host.sync_write(table.BUS_WATCHDOG, dict.fromkeys(IDS, 4))
    host.port.sleep(0.7)
    assert {servo.get(table.BUS_WATCHDOG) for servo in host.robot.servos} == {-1}


def test_a_push_changes_the_pelvis_s_velocity() -> None:
    host = host_with(f.PUSH(at_s=0.2, y=0.4))
    host.stand()
    host.port.sleep(0.199)
    assert abs(host.robot.truth().pelvis_linear_velocity[1]) < 0.02
    host.port.sleep(0.002)
    assert host.robot.truth().pelvis_linear_velocity[1] > 0.25
