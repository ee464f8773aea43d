"""The tick's transaction: its time on the wire, what a missing or late device costs, and how old a value may be."""

from __future__ import annotations

import numpy as np
import pytest
from bus_helpers import BOARD, SPEC, Rig, lost, with_bus

from wildrobot.firmware_bridge.board.driver import BoardSample
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.control_table import HardwareError
from wildrobot.firmware_bridge.bus.driver import BEHIND, BusError
from wildrobot.firmware_bridge.bus.protocol import ALERT
from wildrobot.firmware_bridge.bus.servo_bus import wire_time
from wildrobot.firmware_bridge.virtual.faults.table import (
    FLIPPED_BITS,
    LATE,
    OVERLOAD,
    SHORT,
    SILENT,
    TRUNCATED,
)

PLAIN = pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
NOTE_READ_MS = {1_000_000: (1.57, 2.12), 2_000_000: (0.79, 1.06), 4_000_000: (0.39, 0.53)}
"""The design note's table: fast sync read, sync read."""
NOTE_WRITE_MS = {1_000_000: 0.59, 2_000_000: 0.30, 4_000_000: 0.15}
ALLOWED = 1.3
MISSING_S = 0.003
"""What a missing servo may cost of a tick."""


def seconds(samples: object) -> float:
    return (samples.end_ns - samples.start_ns) * 1e-9  # type: ignore[attr-defined, no-any-return]


# ---------------------------------------------------------------------- time on the wire


@pytest.mark.parametrize("baud", NOTE_READ_MS)
def test_the_tick_s_time_is_within_the_design_note_s_bound(baud: int) -> None:
    fast, plain = wire_time(SPEC, baud, fast=True), wire_time(SPEC, baud, fast=False)
    assert fast.read_s <= ALLOWED * 1e-3 * NOTE_READ_MS[baud][0]
    assert plain.read_s <= ALLOWED * 1e-3 * NOTE_READ_MS[baud][1]
    assert fast.write_s == plain.write_s <= ALLOWED * 1e-3 * NOTE_WRITE_MS[baud]
    assert fast.read_s < plain.read_s


@PLAIN
@pytest.mark.parametrize("baud", NOTE_READ_MS)
def test_the_model_is_what_the_virtual_wire_measures(baud: int, plain: bool) -> None:
    rig = Rig(plain, spec=with_bus(baud=baud))
    samples = rig.tick()
    model = wire_time(SPEC, baud, fast=not plain)
    assert not samples.failures
    assert seconds(samples) == pytest.approx(model.read_s, rel=0.02)
    start = rig.port.now_ns()
    rig.servos.write_goals(rig.goals())
    assert (rig.port.now_ns() - start) * 1e-9 == pytest.approx(model.write_s, rel=0.02)


@PLAIN
def test_the_model_knows_the_return_delay(plain: bool) -> None:
    delay_us = 100
    registers = SPEC.config.bus.servo_registers | {"return_delay_time": delay_us // 2}
    rig = Rig(plain, spec=with_bus(servo_registers=registers))
    from_board = rig.bus.read(BOARD, table.RETURN_DELAY_TIME)
    assert from_board == 0
    taken = seconds(rig.tick())
    model = wire_time(SPEC, rig.port.baud, fast=not plain, return_delay_s=delay_us * 1e-6)
    # the model lets the board wait as long as the servos; its own delay is 0
    assert taken == pytest.approx(model.read_s, abs=1.01e-6 * delay_us * plain + 0.02 * model.read_s)


@PLAIN
def test_a_tick_is_one_read_request_and_one_goal_write(plain: bool) -> None:
    rig = Rig(plain)
    rig.swing()
    before = rig.virtual.wire.instructions
    rig.ticks(50)
    assert rig.virtual.wire.instructions - before == 2 * 50


# ---------------------------------------------------------------------- missing devices


@PLAIN
@pytest.mark.parametrize("latency_ms", [0.0, 1.0])
@pytest.mark.parametrize("missing", [1, 5, 9, "board"])
def test_a_missing_device_costs_three_milliseconds_and_takes_others_with_it_for_one_tick_only(
    missing: int | str, latency_ms: float, plain: bool
) -> None:
    rig = Rig(plain, latency_timer_ms=latency_ms)
    usual = max(seconds(samples) for samples in rig.ticks(9))
    device = BOARD if missing == "board" else missing
    behind = set(rig.servos._order[rig.servos._order.index(device) + 1 :])
    rig.fail(SILENT(at_s=rig.time_s, servo=missing))
    first = rig.tick()
    assert lost(first) == {device} | behind
    assert first.failures[device] != BEHIND
    assert {first.failures[other] for other in behind} <= {BEHIND}
    assert seconds(first) <= usual + MISSING_S
    for samples in rig.ticks(20):
        assert lost(samples) == {device}
        assert seconds(samples) <= usual + MISSING_S


@PLAIN
def test_a_device_that_comes_back_is_read_at_once(plain: bool) -> None:
    rig = Rig(plain)
    rig.fail(SILENT(at_s=rig.time_s + 0.02, for_s=0.2, servo=3))
    counts = [len(lost(samples)) for samples in rig.ticks(15)]
    assert counts[1:-4].count(1) >= 7
    assert counts[-4:] == [0, 0, 0, 0]


@PLAIN
def test_two_silent_servos_take_turns_at_the_end_and_the_others_are_read(plain: bool) -> None:
    rig = Rig(plain)
    rig.fail(SILENT(at_s=rig.time_s, servo=3), SILENT(at_s=rig.time_s, servo=7))
    rig.ticks(2)
    asked_last = []
    for _ in range(6):
        asked_last.append(rig.servos._order[-1])
        samples = rig.tick()
        assert lost(samples) == {3, 7}
        assert seconds(samples) <= wire_time(SPEC, rig.port.baud, fast=not plain).read_s + MISSING_S
    assert asked_last == [3, 7] * 3 or asked_last == [7, 3] * 3


# ---------------------------------------------------------------------- whose value, of when


@PLAIN
@pytest.mark.parametrize("latency_ms", [0.0, 1.0])
def test_a_moving_joint_is_told_as_it_was_between_the_sample_s_time_and_its_arrival(
    latency_ms: float, plain: bool
) -> None:
    rig = Rig(plain, latency_timer_ms=latency_ms)
    rig.swing()
    fastest = 0.0
    for _ in range(50):
        samples = rig.tick()
        assert samples.valid.all()
        assert list(rig.misfits(samples)) == []
        assert (samples.start_ns <= samples.time_ns).all()
        assert (samples.time_ns <= samples.end_ns).all()
        assert samples.start_ns <= samples.board_time_ns <= samples.end_ns
        fastest = max(fastest, float(np.abs(rig.servos.joint_motion(samples)[1]).max()))
    assert fastest > 3.0, "else an old value would go unnoticed"


DELAYS_MS = [0.3, 1.9, 2.5, 5.0, 12.0, 17.0, 18.0, 18.5, 19.0, 19.5, 19.9, 20.0, 20.1, 20.5, 21.0, 22.0]
DELAYS_MS += [38.0, 39.5, 40.0, 40.3, 41.0, 59.5, 60.0, 60.4, 79.8, 80.0, 81.0, 120.0, 140.2]
FOR_TICKS = 14


@PLAIN
@pytest.mark.parametrize(("device", "delays_ms"), [(i, DELAYS_MS[k::3]) for k, i in enumerate((4, 9, 1))])
def test_a_late_answer_is_never_taken_for_this_tick_s(
    device: int, delays_ms: list[float], plain: bool
) -> None:
    rig = Rig(plain)
    rig.swing()
    for delay_ms in delays_ms:
        for_s = FOR_TICKS * SPEC.control_dt
        rig.fail(LATE(at_s=rig.time_s + 0.004, for_s=for_s, servo=device, delay_s=1e-3 * delay_ms))
        for tick in range(FOR_TICKS + round(delay_ms / 20) + 2):
            assert list(rig.misfits(rig.tick())) == [], f"{delay_ms} ms late, tick {tick}"
        assert rig.tick().valid.all(), f"{delay_ms} ms late, after it"


@PLAIN
def test_a_late_board_s_sample_is_never_taken_for_this_tick_s(plain: bool) -> None:
    rig = Rig(plain)
    first = BoardSample.decode(rig.tick().board or b"")
    start_us = rig.port.now_ns() // 1000 - first.clock_us
    for delay_ms in DELAYS_MS[3::2]:
        for_s = FOR_TICKS * SPEC.control_dt
        rig.fail(LATE(at_s=rig.time_s + 0.004, for_s=for_s, servo="board", delay_s=1e-3 * delay_ms))
        for samples in rig.ticks(FOR_TICKS + round(delay_ms / 20) + 2):
            if samples.board is not None:
                clock_us = start_us + BoardSample.decode(samples.board).clock_us
                assert samples.start_ns / 1000 - 5000 <= clock_us <= samples.end_ns / 1000, f"{delay_ms} ms"
        assert rig.tick().board is not None, f"{delay_ms} ms late, after it"


# ---------------------------------------------------------------------- what the answers say


@PLAIN
def test_an_alert_arrives_with_the_servo_s_sample_and_its_cause_with_its_slow_registers(plain: bool) -> None:
    rig = Rig(plain)
    rig.fail(OVERLOAD(at_s=rig.time_s, servo=6))
    samples = rig.ticks(10)
    i = SPEC.servo_ids.index(6)
    for one in samples[1:]:
        assert one.valid.all()
        assert np.flatnonzero(one.error).tolist() == [i]
        assert one.error[i] == ALERT
    errors = {one.health[0]: one.health[1].hardware_error for one in samples[1:] if one.health is not None}
    assert errors == {j: HardwareError.OVERLOAD if j == i else 0 for j in range(SPEC.num_joints)}


@PLAIN
def test_a_short_status_is_no_sample_and_says_why(plain: bool) -> None:
    rig = Rig(plain)
    rig.fail(SHORT(at_s=rig.time_s, servo=5))
    for samples in rig.ticks(3):
        assert 5 in lost(samples)
        assert not samples.valid[SPEC.servo_ids.index(5)]
    # a status says what it is; a fast answer has no room for it, and what is missing never comes
    assert ("1 bytes in place of" if plain else "no answer") in samples.failures[5]


@PLAIN
def test_a_truncated_answer_loses_its_sender_and_in_the_first_tick_those_behind_it(plain: bool) -> None:
    rig = Rig(plain)
    rig.fail(TRUNCATED(at_s=rig.time_s, servo=5, bytes=6))
    assert {5, BOARD} <= lost(rig.tick())
    assert all(lost(samples) == {5} for samples in rig.ticks(5)[1:])


@PLAIN
def test_through_noise_values_get_fewer_but_never_wrong(plain: bool) -> None:
    rig = Rig(plain, seed=3)
    rig.swing()
    rig.fail(FLIPPED_BITS(at_s=rig.time_s, rate=3e-4))
    good = 0
    for samples in rig.ticks(100):
        assert list(rig.misfits(samples)) == []
        good += int(samples.valid.sum())
    assert 0.2 * 900 < good < 0.95 * 900
    assert plain is (rig.bus.crc_errors > 0)


@PLAIN
def test_slow_registers_of_every_servo_are_read_within_as_many_ticks_as_there_are_servos(plain: bool) -> None:
    rig = Rig(plain)
    rig.ticks(4)
    seen = {samples.health[0] for samples in rig.ticks(SPEC.num_joints) if samples.health is not None}
    assert seen == set(range(SPEC.num_joints))


# ---------------------------------------------------------------------- counts


def test_a_joint_position_goes_out_and_comes_back_the_same_but_for_half_a_count() -> None:
    rig = Rig()
    for angle in (SPEC.default_joint_pos, SPEC.joint_lower, SPEC.joint_upper):
        samples = rig.tick()
        samples.position = rig.servos.counts_of(angle)
        back, _ = rig.servos.joint_motion(samples)
        assert np.abs(back - angle).max() <= 0.5001 * SPEC.servos[0].position_rad_per_count


def test_goals_stay_inside_the_servo_s_turn() -> None:
    counts = Rig().servos.counts_of(np.full(SPEC.num_joints, 100.0))
    assert set(counts.tolist()) <= {0, table.COUNTS_PER_TURN - 1}


def test_the_gain_is_a_share_of_robot_yaml_s() -> None:
    rig = Rig()
    for gain, share in ((0.5, 0.5), (1.7, 1.0), (-0.2, 0.0)):
        rig.servos.write_stiffness(gain)
        rig.tick()
        expected = [round(share * joint.p_gain) for joint in SPEC.config.joints]
        assert [servo.get(table.POSITION_P_GAIN) for servo in rig.virtual.servos] == expected


# ---------------------------------------------------------------------- the watchdog


def watchdogs(rig: Rig) -> set[int]:
    return {servo.get(table.BUS_WATCHDOG) for servo in rig.virtual.servos}


def test_the_watchdog_is_off_until_it_is_armed_and_the_loop_feeds_it() -> None:
    rig = Rig()
    rig.swing(0.1)
    assert watchdogs(rig) == {0}
    rig.servos.arm_watchdog(0.08)
    rig.ticks(30)
    assert watchdogs(rig) == {4}


@pytest.mark.parametrize("watchdog_s", [0.02, 0.08, 0.2])
def test_a_host_that_falls_silent_is_followed_no_longer_than_the_watchdog_s_time(watchdog_s: float) -> None:
    rig = Rig()
    rig.swing()
    rig.servos.arm_watchdog(watchdog_s)
    rig.port.sleep(watchdog_s - 0.003)
    assert watchdogs(rig) == {round(watchdog_s / table.WATCHDOG_S)}
    rig.port.sleep(0.006)
    assert watchdogs(rig) == {-1}


def test_servos_that_stopped_hold_where_they_are_refuse_goals_and_obey_again_when_armed_anew() -> None:
    rig = Rig()
    rig.swing()
    rig.servos.arm_watchdog(0.08)
    rig.port.sleep(0.09)
    stopped = [servo.motor.goal_count for servo in rig.virtual.servos]
    rig.port.sleep(0.5)
    angle, _ = rig.servos.joint_motion(rig.tick())
    held = rig.virtual.truth().goal_position
    assert np.abs(angle - held).max() < 0.15, "they hold against their weight"
    rig.ticks(5)
    assert [servo.motor.goal_count for servo in rig.virtual.servos] == stopped
    with pytest.raises(BusError, match="data range"):
        rig.bus.write(2, table.GOAL_POSITION, 2048)
    rig.servos.arm_watchdog(0.08)
    rig.ticks(5)
    assert [servo.motor.goal_count for servo in rig.virtual.servos] != stopped
    assert watchdogs(rig) == {4}
