"""What the driver reads out of the board's sample block, against the firmware core that wrote it."""

from __future__ import annotations

import numpy as np
import pytest

from wildrobot.firmware_bridge.board import control_table as table
from wildrobot.firmware_bridge.board import driver
from wildrobot.firmware_bridge.board.driver import BoardSample, BoardStatus, FreshnessTracker
from wildrobot.firmware_bridge.bus.protocol import Instruction, Parser, encode
from wildrobot.firmware_bridge.virtual import board_core as core_module
from wildrobot.firmware_bridge.virtual.board_core import BoardCore

needs_compiler = pytest.mark.skipif(core_module.compiler() is None, reason="no C++ compiler on this computer")


def sample(board: BoardCore, now_us: int) -> BoardSample:
    """One read over the wire."""
    request = table.SAMPLE_ADDRESS.to_bytes(2, "little") + table.SAMPLE_SIZE.to_bytes(2, "little")
    board.receive(encode(driver.DEVICE_ID, Instruction.READ, request), now_us)
    ((_, answer),) = board.poll(now_us)
    (packet,) = Parser().feed(answer)
    return BoardSample.decode(packet.parameters)


@needs_compiler
def test_every_value_is_within_half_a_count() -> None:
    rng, board = np.random.default_rng(1), BoardCore()
    for k in range(300):
        now_us = 20_000 * (k + 1)
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        gyro, acceleration = rng.uniform(-60, 60, 3), rng.uniform(-120, 120, 3)
        force, voltage, age_us = rng.uniform(0, 63.75, 4), rng.uniform(0, 25.5), int(rng.integers(40_000))
        board.set_imu(quaternion, gyro, acceleration, now_us - age_us)
        for ms in range(3):  # fills the median
            board.set_feet(force, now_us - 3000 + 1000 * ms)
        board.set_supply(voltage)
        got = sample(board, now_us)
        assert np.abs(got.quaternion - quaternion).max() <= driver.QUATERNION_BOUND
        assert np.abs(got.angular_velocity - gyro).max() <= driver.ANGULAR_VELOCITY_BOUND_RAD_S
        assert np.abs(got.acceleration - acceleration).max() <= driver.ACCELERATION_BOUND_M_S2
        assert np.abs(got.foot_force - force).max() <= driver.FORCE_BOUND_N
        assert abs(got.voltage_v - voltage) <= driver.VOLTAGE_BOUND_V
        assert abs(got.quaternion_norm - 1) < 6.2e-5
        assert got.age_s == pytest.approx(age_us * 1e-6)
        assert got.clock_us == now_us
        assert got.counter == k + 1
        assert got.status == BoardStatus.IMU_ALIVE | BoardStatus.IMU_CALIBRATED


@needs_compiler
def test_values_beyond_a_register_saturate() -> None:
    board = BoardCore()
    board.set_imu([3, -3, 0, 0], [100, -100, 0], [1000, -1000, 0], 0)
    board.set_feet([-1, 100, 0, 0], 0)
    board.set_supply(99)
    got = sample(board, 0)
    assert got.quaternion[:2] == pytest.approx([2, -2], abs=1e-4)
    assert got.angular_velocity[:2] == pytest.approx([64, -64], abs=2e-3)
    assert got.acceleration[:2] == pytest.approx([128, -128], abs=4e-3)
    assert got.foot_force[:2].tolist() == [0, 63.75]
    assert got.voltage_v == pytest.approx(25.5)


@needs_compiler
def test_a_quaternion_that_is_not_of_unit_length_arrives_as_such() -> None:
    board = BoardCore()
    board.set_imu([0.5, 0, 0, 0.1], [0, 0, 0], [0, 0, 9.81], 0)
    got = sample(board, 0)
    assert got.quaternion == pytest.approx([0.5, 0, 0, 0.1], abs=1e-4)
    assert got.quaternion_norm == pytest.approx(np.hypot(0.5, 0.1), abs=1e-4)


@needs_compiler
def test_a_silent_imu_shows_in_age_status_and_counter() -> None:
    board, tracker = BoardCore(), FreshnessTracker()
    board.set_imu([1, 0, 0, 0], [0, 0, 0], [0, 0, 9.81], 0)
    fresh = []
    for now_us in (10_000, 30_000, 60_000, 80_000):
        board.set_imu([np.nan, 0, 0, 0], [0, 0, 0], [0, 0, 9.81], now_us)  # no sample
        got = sample(board, now_us)
        fresh.append((tracker.update(got.counter, now_us * 1000), got.status, got.age_saturated))
    alive = BoardStatus.IMU_ALIVE | BoardStatus.IMU_CALIBRATED
    assert fresh == [
        (True, alive, False),
        (False, alive, False),
        (False, BoardStatus.IMU_SILENT, False),
        (False, BoardStatus.IMU_SILENT, True),
    ]
    assert tracker.stale_s(80_000_000) == pytest.approx(0.07)


@needs_compiler
def test_a_bounce_of_a_foot_switch_is_not_seen_and_a_broken_wire_is_reported() -> None:
    board = BoardCore()
    for now_us, force in ((0, 0.0), (1000, 20.0), (2000, 0.0), (3000, 0.0)):
        board.set_feet([force] * 4, now_us)
        assert sample(board, now_us).foot_force.tolist() == [0, 0, 0, 0]
    for now_us in (4000, 5000):
        board.set_feet([0, float("nan"), 8, 0], now_us)
    got = sample(board, 5000)
    assert BoardStatus.FOOT_OUT_OF_RANGE in got.status
    assert got.foot_force.tolist() == [0, 0, 8, 0]


def test_a_block_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="33 bytes, expected 34"):
        BoardSample.decode(bytes(33))


def test_a_repeated_counter_is_stale_for_as_long_as_it_repeats() -> None:
    tracker = FreshnessTracker()
    assert tracker.stale_s(0) == float("inf")
    assert tracker.update(7, 1_000_000_000)
    assert not tracker.update(7, 1_020_000_000)
    assert tracker.advanced == 0
    assert not tracker.update(7, 1_040_000_000)
    assert tracker.stale_s(1_040_000_000) == pytest.approx(0.04)
    assert tracker.update(15, 1_060_000_000)
    assert tracker.advanced == 8
    assert tracker.stale_s(1_060_000_000) == 0


def test_a_counter_that_wraps_goes_on_and_one_that_goes_back_is_a_restart() -> None:
    tracker = FreshnessTracker()
    tracker.update(65_530, 0)
    assert tracker.update(2, 1)
    assert (tracker.advanced, tracker.restarted) == (8, False)
    tracker.update(900, 2)
    assert tracker.update(3, 3)
    assert (tracker.advanced, tracker.restarted) == (0, True)
    assert tracker.update(11, 4)
    assert (tracker.advanced, tracker.restarted) == (8, False)
