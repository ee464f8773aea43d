"""The doctor does what a run does: what makes a robot fall and used to pass is named with its cause."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_helpers import SPEC, Bench

from wildrobot.cli.robot import doctor
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus import tick_trial
from wildrobot.firmware_bridge.bus.checks import check_bus
from wildrobot.firmware_bridge.bus.control_table import INDIRECT_ADDRESSES, REGISTERS, Register
from wildrobot.firmware_bridge.bus.driver import Bus
from wildrobot.firmware_bridge.bus.inspection import Finding, check, expected_registers
from wildrobot.firmware_bridge.bus.startup import prepare
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.faults.table import BROWN_OUT, FLIPPED_BITS, SILENT
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.firmware_bridge.virtual.transport import VirtualTransport


def looked_at(
    *faults: Fault, hidden: Hidden | None = None, latency_timer_ms: float = 0.0, seed: int = 0
) -> list[Finding]:
    robot = VirtualRobot(
        SPEC, seed=seed, suspended=True, hidden=hidden, faults=faults, latency_timer_ms=latency_timer_ms
    )
    transport = VirtualTransport(robot)
    transport.sleep(0.2)
    # as patient as `wildrobot doctor` is on a port that shows no latency timer
    return check_bus(Bus(transport, 0.01), SPEC)


def wrong(findings: list[Finding]) -> list[str]:
    return [f"{finding.level}: {finding}" for finding in findings if finding.level != "ok"]


def test_a_sound_bus_says_how_long_its_reads_take() -> None:
    (line,) = [str(finding) for finding in looked_at() if finding.who == "bus"]
    assert line.startswith("bus: 100 reads at 50 Hz (fast bulk reads): all 1000 answers whole, 2.")
    assert line.endswith("the wire takes 2.0")


# ---------------------------------------------------------------------- what other programs left


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (table.GOAL_PWM, 0), (table.GOAL_PWM, 150), (table.SECONDARY_ID, 3), (table.TEMPERATURE_LIMIT, 60),
        (table.MIN_VOLTAGE_LIMIT, 120), (table.STARTUP_CONFIGURATION, 1), (table.VELOCITY_P_GAIN, 3),
        (table.FEEDFORWARD_2ND_GAIN, 40), (table.DRIVE_MODE, 4), (table.PROFILE_VELOCITY, 20),
    ],
    ids=lambda item: getattr(item, "name", str(item)),
)  # fmt: skip
def test_what_another_program_left_is_named(register: Register, value: int) -> None:
    joints = ("left_knee_pitch", "right_hip_roll")
    hidden = Hidden(registers={joint: {register.name: value} for joint in joints})
    lines = wrong(looked_at(hidden=hidden))
    named = [line for line in lines if f"{register.name} is {value}, expected" in line]
    assert len(named) == len(joints)
    assert all("`wildrobot doctor --fix` writes it" in line for line in named)


ALL = [register for register in REGISTERS if register.writable]


@pytest.mark.parametrize("register", ALL, ids=lambda register: register.name)
def test_every_register_is_put_right_by_the_start_or_does_no_harm(register: Register) -> None:
    """Whatever can be written is wrong; afterwards it is as expected, or the robot still takes its pose."""
    robot = VirtualRobot(SPEC, suspended=True)
    servo = robot.servo("left_knee_pitch")
    joint = SPEC.joint_names.index("left_knee_pitch")
    low, high = register.limits or (0, 300)
    value = high if servo.get(register) != high else low
    if register in (table.ID, table.BAUD_RATE, table.STATUS_RETURN_LEVEL):
        return  # a servo that is somewhere else, or silent, has tests of its own
    others = {
        table.OPERATING_MODE: table.OperatingMode.PWM,
        table.MAX_VOLTAGE_LIMIT: 130,
        table.MIN_VOLTAGE_LIMIT: 110,
    }
    value = others.get(register, value)  # the supply must not shut it down
    servo.put(register, value)
    servo._configure_motor()
    transport = VirtualTransport(robot)
    transport.sleep(0.05)
    said: list[str] = []
    servos = prepare(Bus(transport), SPEC, said.append)
    wanted = expected_registers(SPEC, joint).get(register)
    if wanted is not None:
        assert servo.get(register) == wanted
        assert any(register.name in line for line in said)
    assert not robot.truth().torque_on.any()
    servos.write_stiffness(1.0)
    servos.enable_torque(True)
    for _ in range(50):
        servos.write_goals(SPEC.default_joint_pos)
        transport.sleep(SPEC.control_dt)
    off = np.abs(robot.truth().joint_position - SPEC.default_joint_pos)
    assert off[joint] < 0.05


def test_no_register_is_forgotten() -> None:
    expected = expected_registers(SPEC, 0)
    for register in (*ALL, *INDIRECT_ADDRESSES):
        assert register in expected or register.why


# ---------------------------------------------------------------------- the reads of a run


def test_noise_is_named_as_noise() -> None:
    for seed in range(5):
        lines = wrong(looked_at(FLIPPED_BITS(rate=5e-4), seed=seed))
        assert len(lines) == 1
        assert "the line itself is disturbed" in lines[0] or "its answers break off" in lines[0]


def test_losses_at_one_device_are_laid_to_it() -> None:
    bursts = tuple(SILENT(at_s=at_s, for_s=0.03, servo=4) for at_s in np.arange(0.4, 6.0, 0.2))
    lines = [line for line in wrong(looked_at(*bursts)) if "broke off" in line]
    assert len(lines) == 1
    assert "at device 4 (left_knee_pitch)" in lines[0]


@pytest.mark.parametrize("latency_timer_ms", [4, 16])
def test_an_adapter_that_holds_bytes_back_is_named_without_a_latency_timer_file(
    latency_timer_ms: int,
) -> None:
    lines = [line for line in wrong(looked_at(latency_timer_ms=latency_timer_ms)) if "bus:" in line]
    assert len(lines) == 1
    assert "keeps them back (no latency_timer file shows it)" in lines[0]
    assert "Set the adapter's latency timer to 1 ms" in lines[0]


def test_a_latency_timer_of_1_ms_is_well() -> None:
    assert wrong(looked_at(latency_timer_ms=1)) == []


def test_a_joint_far_past_its_limit_is_an_error() -> None:
    lines = wrong(looked_at(hidden=Hidden(offset_rad={"left_knee_pitch": -1.9})))
    assert len(lines) == 1
    assert "servo 4 (left_knee_pitch): reads +" in lines[0]
    assert "past its range" in lines[0]
    assert "wildrobot calibrate" in lines[0]


def test_a_layout_that_shows_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    servo = bench.robot.servo("left_knee_pitch")
    target = servo.registers.target
    monkeypatch.setattr(
        servo.registers, "target", lambda at: target(at - 1 if at % 2 else at + 1)
    )  # bytes swapped in pairs
    bench.transport.sleep(0.1)
    lines = wrong(check_bus(bench.bus, SPEC))
    assert any("device 4: its indirect data do not show" in line for line in lines)


def test_a_robot_that_holds_is_not_tried() -> None:
    bench = Bench()
    bench.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(SPEC.servo_ids, 1))
    text = "\n".join(wrong(check_bus(bench.bus, SPEC)))
    assert "holds, so the reads of a run were not tried" in text


# ---------------------------------------------------------------------- true causes


def test_broken_answers_are_not_called_a_status_return_level() -> None:
    told: list[str] = []
    for seed in range(6):
        robot = VirtualRobot(SPEC, seed=seed, suspended=True, faults=[FLIPPED_BITS(rate=2e-3)])
        told += [
            str(finding) for finding in check(Bus(VirtualTransport(robot)), SPEC) if finding.level == "error"
        ]
    assert any("its answers break off" in text for text in told)
    assert not any("status return level" in text for text in told)


@pytest.mark.parametrize(
    "hidden",
    [Hidden(strict_addresses=True), Hidden(strict_addresses=True, firmware={"left_knee_pitch": 44})],
    ids=["new", "old"],
)
def test_start_up_reads_nothing_that_the_table_does_not_define(hidden: Hidden) -> None:
    bench = Bench(hidden)
    bench.transport.sleep(0.1)
    assert [finding for finding in check(bench.bus, SPEC) if finding.level == "error"] == []
    prepare(bench.bus, SPEC)


# ---------------------------------------------------------------------- after a brown-out


def test_fix_restarts_what_a_brown_out_left_and_puts_the_ram_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(faults=(BROWN_OUT(for_s=0.05, voltage_v=9.2),))
    bench.transport.sleep(0.2)
    lines = wrong(check_bus(bench.bus, SPEC))
    assert sum("hardware error: input voltage" in line for line in lines) == 9
    assert all("wildrobot servo reboot --all" in line for line in lines)
    report = doctor.Report()
    doctor.examine(bench.transport, SPEC, doctor.DoctorOptions(fix=True), bench.hands, report)
    out = capsys.readouterr().out
    assert out.count(": restarted\n") == 9
    assert report.errors == 0
    assert wrong(report.findings) == []


def test_fix_lets_go_of_no_servo_that_holds_without_asking(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(Hidden(registers={"waist_yaw": {"return_delay_time": 250}}))
    bench.bus.sync_write(table.TORQUE_ENABLE, dict.fromkeys(SPEC.servo_ids, 1))
    bench.robot.faults.add(BROWN_OUT(voltage_v=9.2, for_s=0.05))
    bench.transport.sleep(0.2)
    options = doctor.DoctorOptions(fix=True)
    with monkeypatch.context() as no:
        no.setattr(bench.hands, "agree", lambda question, moves=False: False)
        doctor.examine(bench.transport, SPEC, options, bench.hands, doctor.Report())
    assert "nothing was changed" in capsys.readouterr().out
    assert all(servo.torque_on and servo.alert for servo in bench.robot.servos)
    report = doctor.Report()
    doctor.examine(bench.transport, SPEC, options, bench.hands, report)
    (question,) = bench.hands.asked
    assert "Servo 1, 2, 3, 4, 5, 6, 7, 8, 9 holds: WHAT IT CARRIES DROPS" in question
    assert report.errors == 0
    assert not any(servo.torque_on or servo.alert for servo in bench.robot.servos)
    assert bench.robot.servo(1).get(table.RETURN_DELAY_TIME) == 0


def test_a_trial_takes_the_run_s_own_time_and_no_more() -> None:
    bench = Bench()
    bench.transport.sleep(0.1)
    began = bench.transport.now_ns()
    trial = tick_trial.run_trial(bench.bus, SPEC, 1.0)
    assert trial.ticks == 50
    assert 1.0 <= (bench.transport.now_ns() - began) * 1e-9 < 1.2


def test_a_servo_that_speaks_protocol_1_is_named() -> None:
    lines = wrong(looked_at(hidden=Hidden(registers={"left_knee_pitch": {"protocol_type": 1}})))
    assert any("servo 4 (left_knee_pitch): no answer" in line for line in lines)
    assert any("servo 4 (left_knee_pitch): speaks Protocol 1.0" in line for line in lines)
    assert any("Set protocol_type to 2 with the maker's tool" in line for line in lines)
    assert not any("Protocol 1.0" in line for line in wrong(looked_at(SILENT(servo=4))))


def test_position_limits_that_wait_for_the_calibration_do_not_keep_the_reads_from_being_tried() -> None:
    hidden = Hidden(registers={"left_knee_pitch": {"min_position_limit": 0, "max_position_limit": 4095}})
    findings = looked_at(hidden=hidden)
    assert len(wrong(findings)) == 2
    assert any("reads at 50 Hz" in str(finding) for finding in findings)
