"""`wildrobot servo adopt`: the one new servo, wherever it is, becomes a joint's; two are refused. `torque-off`."""

from __future__ import annotations

import io
from typing import Any

import pytest
from calibration_helpers import SPEC, Bench

from wildrobot.cli.robot.servo import Adopt, TorqueOff, _Common, run
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.checks import check_bus
from wildrobot.firmware_bridge.virtual.faults.table import DUPLICATE_ID, SILENT
from wildrobot.firmware_bridge.virtual.hands import RobotHands
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.registers import FACTORY

KNEE, ANKLE = "left_knee_pitch", "left_ankle_pitch"
NEW = Hidden(new=(KNEE,))


def plugged(hidden: Hidden = NEW, *joints: str) -> Bench:
    bench = Bench(hidden)
    for joint in joints or hidden.new:
        RobotHands(bench.robot).command(f"plug {joint}")
    return bench


def do(bench: Bench, order: Any, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    bench.transport.closed = False
    assert run(order, bench.transport) == code
    return capsys.readouterr().out


def test_a_servo_from_its_box_has_id_1_at_57600_and_is_not_connected_until_plugged() -> None:
    bench = Bench(NEW)
    servo = bench.robot.servo(KNEE)
    assert {register: servo.get(register) for register in FACTORY} == FACTORY
    assert (servo.id, servo.baud) == (1, 57600)
    bench.bus.transport.baud = 57600
    assert bench.bus.ping(1) is None
    RobotHands(bench.robot).command(f"plug {KNEE}")
    assert bench.bus.ping(1) is not None
    RobotHands(bench.robot).command(f"unplug {KNEE}")
    assert bench.bus.ping(1) is None


def test_a_new_servo_becomes_a_joint_s(capsys: pytest.CaptureFixture[str]) -> None:
    bench = plugged()
    said = do(bench, Adopt(KNEE, yes=True), capsys)
    assert "found one new device: XM430-W350 with id 1 at 57600 bit/s, firmware 48" in said
    steps = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert steps[:2] == ["id", "baud_rate"]
    assert {"return_delay_time"} <= set(steps)
    servo = bench.robot.servo(KNEE)
    assert (servo.id, servo.baud) == (4, SPEC.config.bus.baud)
    assert all(
        servo.get(table.BY_NAME[name]) == value for name, value in SPEC.config.bus.servo_registers.items()
    )
    limits = [servo.get(register) for register in (table.MIN_POSITION_LIMIT, table.MAX_POSITION_LIMIT)]
    assert limits == [0, 4095], "which way the joint turns is not known yet"
    bench.transport.closed = False
    wrong = {finding.what.split()[0] for finding in check_bus(bench.bus, SPEC) if finding.level == "error"}
    assert wrong == {"min_position_limit", "max_position_limit"}


def test_the_id_is_set_before_the_speed_since_id_1_is_taken_at_the_bus_s(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = plugged()
    do(bench, Adopt(KNEE, yes=True), capsys)
    assert bench.robot.servo("waist_yaw").id == 1
    bench.transport.closed = False
    assert bench.bus.read(1, table.PRESENT_POSITION) == bench.robot.servo("waist_yaw").get(
        table.PRESENT_POSITION
    )


@pytest.mark.parametrize("baud", sorted(table.BAUD_RATES.values()))
def test_a_used_servo_is_found_at_any_id_and_speed(baud: int, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(Hidden(ids={KNEE: 77}, bauds={KNEE: baud}))
    assert f"id 77 at {baud} bit/s" in do(bench, Adopt(KNEE, yes=True), capsys)
    assert (bench.robot.servo(KNEE).id, bench.robot.servo(KNEE).baud) == (4, SPEC.config.bus.baud)
    assert bench.transport.baud == SPEC.config.bus.baud


def test_one_that_was_interrupted_between_id_and_speed_is_finished(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(Hidden(bauds={KNEE: 57600}))
    assert "id 4 at 57600" in do(bench, Adopt(KNEE, yes=True), capsys)
    assert bench.robot.servo(KNEE).baud == SPEC.config.bus.baud


def test_it_asks_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench = plugged()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "nothing was changed" in do(bench, Adopt(KNEE), capsys, code=1)
    assert bench.robot.servo(KNEE).get(table.ID) == 1


@pytest.mark.parametrize(
    ("hidden", "faults", "joint", "message"),
    [
        (Hidden(), (SILENT(servo=4),), KNEE, "there is no new device on the bus, at any of 8 speeds"),
        (
            Hidden(ids={KNEE: 42, ANKLE: 43}),
            (),
            KNEE,
            "there are 2 new devices: .*id 42 .*id 43 .*Connect one alone",
        ),
        (Hidden(bauds={KNEE: 57600, ANKLE: 9600}), (), KNEE, "there are 2 new devices"),
        (
            Hidden(ids={KNEE: 42}, bauds={KNEE: 57600}),
            (),
            ANKLE,
            "has its servo already: id 5.*also a .*id 42",
        ),
        (Hidden(), (DUPLICATE_ID(servo=4, other=5),), ANKLE, "two devices answer as 5"),
        (Hidden(), (), "left_knee", "Did you mean 'left_knee_pitch'"),
    ],
)
def test_anything_else_than_one_new_servo_is_refused(
    hidden: Hidden, faults: Any, joint: str, message: str
) -> None:
    bench = Bench(hidden, faults=faults)
    bench.transport.sleep(0.01)
    before = [bytes(servo.registers.bytes) for servo in bench.robot.servos]
    with pytest.raises(UserError, match=message):
        run(Adopt(joint, yes=True), bench.transport)
    eeprom = [data[: table.EEPROM_END] for data in before]
    assert [bytes(servo.registers.bytes)[: table.EEPROM_END] for servo in bench.robot.servos] == eeprom
    assert bench.transport.baud == SPEC.config.bus.baud


def test_two_from_their_boxes_at_once_are_refused() -> None:
    bench = plugged(Hidden(new=(KNEE, ANKLE)))
    with pytest.raises(UserError, match="two devices answer as 1 at 57600 bit/s"):
        run(Adopt(KNEE, yes=True), bench.transport)
    assert [bench.robot.servo(name).get(table.ID) for name in (KNEE, ANKLE)] == [1, 1]


def test_a_servo_of_another_kind_and_a_speed_of_one_s_own_are_refused() -> None:
    bench = Bench(Hidden(ids={KNEE: 42}, registers={KNEE: {"model_number": 1030}}))
    with pytest.raises(UserError, match=r"XM430-W210 with id 42 .*needs a XM430-W350"):
        run(Adopt(KNEE, yes=True), bench.transport)
    bench.transport.closed = False
    with pytest.raises(UserError, match="Leave --baud out"):
        run(Adopt(KNEE, yes=True, common=_Common(baud=57600)), bench.transport)


def test_nine_stiff_servos_are_let_go_with_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    for device in SPEC.servo_ids:  # what a program leaves that was killed
        bench.bus.write(device, table.TORQUE_ENABLE, 1)
        bench.bus.write(device, table.BUS_WATCHDOG, 4)
    bench.transport.sleep(1.0)
    assert all(servo.torque_on and servo.get(table.BUS_WATCHDOG) == -1 for servo in bench.robot.servos)
    assert "torque off on all 9 servos" in do(bench, TorqueOff(), capsys)
    assert not any(servo.torque_on for servo in bench.robot.servos)


def test_a_servo_that_cannot_be_let_go_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(faults=(SILENT(servo=4),))
    bench.transport.sleep(0.01)
    said = do(bench, TorqueOff(), capsys, code=1)
    assert "servo 4 (left_knee_pitch): does not answer, so nobody knows whether it is limp" in said
    assert "switch the power off" in said
