"""`wildrobot servo`: scan, read, write, set-id, reboot on the virtual robot."""

from __future__ import annotations

import io
from typing import Any

import pytest
from calibration_helpers import SPEC, Bench

from wildrobot.cli.robot.person import PersonHands
from wildrobot.cli.robot.servo import Read, Reboot, Scan, SetId, Write, main, run
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import adoption
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.presence import answers_garbled
from wildrobot.firmware_bridge.bus.servo_tools import describe, units_of
from wildrobot.firmware_bridge.virtual.faults.table import (
    BROWN_OUT,
    DUPLICATE_ID,
    OVERLOAD,
    SILENT,
    WRONG_BAUD,
)
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport

BOARD = SPEC.config.bus.sensor_board_id


def told(bench: Bench, order: Any, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    bench.transport.sleep(0.1)
    assert run(order, bench.transport) == code
    assert bench.transport.closed
    return capsys.readouterr().out


def test_scan_lists_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(Bench(), Scan(), capsys).splitlines()
    assert len(lines) == 10
    assert lines[0].split() == ["1000000", "bit/s", "id", "1", "XM430-W350,", "firmware", "48"]
    assert "sensor board" in lines[-1]


def test_scan_finds_other_speeds_only_when_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert "57600" not in told(Bench(faults=(WRONG_BAUD(servo=4),)), Scan(), capsys)
    assert "   57600 bit/s  id   4" in told(
        Bench(faults=(WRONG_BAUD(servo=4),)), Scan(all_bauds=True), capsys
    )


@pytest.mark.parametrize("baud", sorted(table.BAUD_RATES.values()))
def test_a_servo_at_any_speed_and_id_is_found_quickly(baud: int, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(Hidden(ids={"left_knee_pitch": 77}, bauds={"left_knee_pitch": baud}))
    out = told(bench, Scan(all_bauds=True), capsys)
    assert f"{baud:>8} bit/s  id  77" in out
    assert len(out.splitlines()) == 10
    assert bench.transport.now_ns() < 9e9, "robots' time for all speeds"
    assert bench.transport.baud == SPEC.config.bus.baud


def test_a_speed_that_the_adapter_does_not_do_is_said_and_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Slow(VirtualTransport):
        @property
        def baud(self) -> int:
            return super().baud

        @baud.setter
        def baud(self, value: int) -> None:
            if value > 3_000_000:
                raise ValueError("Failed to set custom baud rate")
            VirtualTransport.baud.fset(self, value)  # type: ignore[attr-defined]

    bench = Bench()
    bench.transport = Slow(bench.robot)
    out = told(bench, Scan(all_bauds=True), capsys)
    assert out.count("the adapter does not do 4") == 2
    assert out.count("1000000 bit/s  id") == 10
    bench = Bench(Hidden(ids={"left_knee_pitch": 42}))
    assert adoption.find_new(Bus(Slow(bench.robot)), SPEC, 3).device.id == 42


def test_read_prints_registers_with_their_units(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(Bench(), Read(4, ("present_input_voltage", "baud_rate", "present_position")), capsys)
    lines = out.splitlines()
    assert lines[0].split() == ["present_input_voltage", "120", "(12", "V)"]
    assert "(1000000 bit/s)" in lines[1]
    assert "degrees)" in lines[2]


def test_read_without_names_prints_the_whole_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(told(Bench(), Read(4), capsys).splitlines()) == len(table.REGISTERS)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("return_delay_time", 250, "250 (500 us)"),
        ("present_current", -100, "-100 (-0.269 A)"),
        ("hardware_error_status", 0x24, "36 (overheating, overload)"),
        ("bus_watchdog", -1, "-1 (tripped)"),
        ("bus_watchdog", 4, "4 (80 ms)"),
        ("goal_position", 3072, "3072 (+90.0 degrees)"),
        ("pwm_limit", 885, "885 (100 %)"),
        ("led", 1, "1"),
        ("realtime_tick", 19595, "19595 (19595 ms)"),
    ],
)
def test_a_count_is_shown_in_its_unit(name: str, value: int, text: str) -> None:
    assert describe(table.BY_NAME[name], value, units_of(SPEC.servos[0])) == text


def test_write_changes_a_register_and_shows_both_values(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    out = told(bench, Write(4, "position_p_gain", 640), capsys)
    assert out == "servo 4: position_p_gain 800 > 640\n"
    assert bench.robot.servo(4).get(table.POSITION_P_GAIN) == 640


def test_the_eeprom_is_not_written_with_the_torque_on_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.bus.write(4, table.TORQUE_ENABLE, 1)
    with pytest.raises(UserError, match=r"EEPROM.*--torque-off"):
        run(Write(4, "return_delay_time", 10), bench.transport)
    assert bench.robot.servo(4).get(table.RETURN_DELAY_TIME) == 0
    assert bench.robot.servo(4).torque_on
    bench.transport.closed = False
    told(bench, Write(4, "return_delay_time", 10, torque_off=True), capsys)
    assert bench.robot.servo(4).get(table.RETURN_DELAY_TIME) == 10
    assert not bench.robot.servo(4).torque_on


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Write(4, "pwm_limi", 1), "did you mean 'pwm_limit'"),
        (Write(4, "present_position", 1), "read-only"),
        (Write(4, "id", 7), "set-id"),
        (Write(4, "led", 300), "not in 0 to 255"),
        (Write(4, "goal_pwm", 40000), "not in -32768 to 32767"),
        (Write(4, "operating_mode", 9), "refused.*data range"),
        (Read(77, ("id",)), "device 77 does not answer.*servo scan"),
        (Read(4, ("colour",)), "no register 'colour'"),
        (SetId(4, 5, yes=True), "id 5 is taken"),
        (SetId(77, 10, yes=True), "nobody answers as 77"),
        (SetId(4, 253, yes=True), "ids go from 0 to 252"),
        (SetId(4, 4, yes=True), "has this id already"),
        (Reboot((77,)), "device 77 does not answer"),
    ],
)
def test_what_cannot_be_done_is_said(order: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(order, Bench().transport)


def test_set_id_asks_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "nothing was changed" in told(bench, SetId(4, 42), capsys, code=1)
    assert bench.robot.servo(4).id == 4
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    bench.transport.closed = False
    assert "servo 4 is 42 now" in told(bench, SetId(4, 42), capsys)
    assert bench.robot.servo(4).id == 42


def test_a_factory_fresh_servo_gets_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(Hidden(ids={"left_knee_pitch": 42}))
    told(bench, SetId(42, 4, yes=True), capsys)
    assert bench.robot.servo("left_knee_pitch").id == 4


def test_of_two_with_one_id_none_is_given_another() -> None:
    bench = Bench(faults=(DUPLICATE_ID(servo=4, other=5),))
    bench.transport.sleep(0.01)
    with pytest.raises(UserError, match="two devices answer as 5"):
        run(SetId(5, 42, yes=True), bench.transport)


def test_garbled_is_neither_one_that_answers_nor_one_that_is_silent() -> None:
    bench = Bench(faults=(DUPLICATE_ID(servo=4, other=5), SILENT(servo=6)))
    bench.transport.sleep(0.01)
    assert [answers_garbled(bench.bus, device) for device in (3, 4, 5, 6)] == [False, False, True, False]


def test_reboot_clears_a_shutdown_and_waits_for_the_servo(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(faults=(OVERLOAD(servo=4),))
    assert told(bench, Reboot((4,)), capsys) == "servo 4 is up again; hardware error: none\n"
    assert bench.robot.servo(4).get(table.HARDWARE_ERROR_STATUS) == 0


def browned_out() -> Bench:
    """50 ms at 9.2 V: every servo reports its supply until it restarts."""
    bench = Bench(faults=(BROWN_OUT(for_s=0.05, voltage_v=9.2),))
    bench.transport.sleep(0.2)
    assert all(servo.get(table.HARDWARE_ERROR_STATUS) for servo in bench.robot.servos)
    return bench


def test_all_servos_that_a_brown_out_left_with_an_error_restart_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = browned_out()
    out = told(bench, Reboot(all=True), capsys)
    assert out.count("input voltage\n") == 9
    assert out.count("is up again; hardware error: none") == 9
    assert not any(servo.get(table.HARDWARE_ERROR_STATUS) for servo in bench.robot.servos)
    assert (
        told(Bench(), Reboot(all=True), capsys)
        == "no servo that answers reports a hardware error: nothing to restart\n"
    )


@pytest.mark.parametrize("agreed", [False, True])
def test_a_restart_of_a_robot_that_holds_asks_first(
    agreed: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = browned_out()
    bench.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(SPEC.servo_ids, 1))
    bench.transport.sleep(0.05)
    monkeypatch.setattr("wildrobot.core.consent.somebody_can_type", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n" if agreed else "n\n"))
    out = told(bench, Reboot(all=True), capsys, code=0 if agreed else 1)
    assert "WHAT IT CARRIES DROPS" in out
    assert ("is up again" in out) == agreed
    assert all(servo.torque_on != agreed for servo in bench.robot.servos)


def test_one_servo_that_holds_is_not_restarted_without_asking_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench()
    bench.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(SPEC.servo_ids, 1))
    bench.transport.sleep(0.1)
    with pytest.raises(UserError, match="no terminal to ask at"):
        run(Reboot((4,)), bench.transport)
    assert bench.robot.servo(4).torque_on
    bench.transport.closed = False
    monkeypatch.setattr(PersonHands, "_count_down", lambda self: print("counted down"))
    assert "counted down" in told(bench, Reboot((4,), yes=True), capsys)
    assert [bench.robot.servo(device).torque_on for device in (4, 5)] == [False, True]
    bench.transport.closed = False
    assert "servo 200 is up again" in told(bench, Reboot((BOARD,)), capsys), "the board holds nothing"


def test_a_servo_that_does_not_answer_and_a_cause_that_is_still_there_do_not_keep_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(faults=(BROWN_OUT(for_s=0.05, voltage_v=9.2), SILENT(servo=4, at_s=0.1)))
    bench.robot.servo(5).put(table.MIN_VOLTAGE_LIMIT, 130)
    out = told(bench, Reboot(all=True), capsys, code=1)
    assert out.count("is up again; hardware error: none") == 7
    assert "servo 5 is up again; hardware error: input voltage" in out
    assert "servo 4 " not in out


@pytest.mark.parametrize("order", [Reboot(), Reboot((4,), all=True)])
def test_a_restart_needs_names_or_all(order: Reboot) -> None:
    with pytest.raises(UserError, match="name the servos that are to restart"):
        run(order, Bench().transport)


@pytest.mark.parametrize("word", ["scan", "read", "write", "set-id", "reboot"])
def test_every_order_s_help_has_an_example(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word, "--help"])
    assert ended.value.code == 0
    assert f"example: wildrobot servo {word}" in capsys.readouterr().out


def test_the_words_of_the_command_line_reach_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("wildrobot.cli.robot.servo.run", lambda order: seen.append(order) or 0)
    assert main(["write", "4", "led", "1", "--port", "/dev/x", "--torque-off"]) == 0
    (order,) = seen
    assert (order.id, order.register, order.value, order.torque_off) == (4, "led", 1, True)
    assert order.common.port == "/dev/x"
