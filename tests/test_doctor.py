"""`wildrobot doctor`: each fault is named with its repair, hidden errors by hand, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calibration_helpers import ALL_WRONG, SPEC, Bench

from wildrobot.cli.robot import doctor
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.bus import checks as bus_checks
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.checks import check_bus, check_port
from wildrobot.firmware_bridge.bus.inspection import Finding
from wildrobot.firmware_bridge.calibration.diagnosis import diagnose, name_offsets
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault
from wildrobot.firmware_bridge.virtual.faults.table import (
    BAD_QUATERNION,
    DUPLICATE_ID,
    FROZEN_IMU,
    SILENT,
    STUCK_IMU,
    WRONG_BAUD,
)
from wildrobot.firmware_bridge.virtual.parts import Hidden
from wildrobot.runtime.doctor import check_network

POLICY = Path(__file__).resolve().parents[1] / "wildrobot" / "policies" / "wildrobot_walk.onnx"


def looked_at(*faults: Fault, hidden: Hidden | None = None) -> list[Finding]:
    bench = Bench(hidden or Hidden(), faults)
    bench.transport.sleep(0.2)
    return check_bus(bench.bus, SPEC)


def wrong(findings: list[Finding]) -> list[str]:
    return [str(finding) for finding in findings if finding.level != "ok"]


# ---------------------------------------------------------------------- the bus


def test_a_sound_robot_has_no_warning_and_no_error() -> None:
    findings = looked_at()
    assert wrong(findings) == []
    told = [str(finding) for finding in findings]
    assert any(
        re.match(r"servo 4 \(left_knee_pitch\): firmware 48, 1\d\.\d V, \d+ °C", text) for text in told
    )
    assert any(text.startswith("IMU: 9.8") for text in told)
    assert any(text.startswith("feet: left_toe 0.0 N") for text in told)


def test_a_servo_with_another_id_is_found_there() -> None:
    text = "\n".join(wrong(looked_at(hidden=Hidden(ids={"left_knee_pitch": 42}))))
    assert "servo 4 (left_knee_pitch): no answer" in text
    assert "XM430-W350 with id 42 at 1000000 bit/s" in text
    assert "wildrobot servo adopt left_knee_pitch" in text


def test_a_servo_at_another_speed_is_found_there_and_the_bus_s_speed_set_back() -> None:
    bench = Bench(faults=(WRONG_BAUD(servo=4, baud=57600),))
    text = "\n".join(wrong(check_bus(bench.bus, SPEC)))
    assert "id 4 at 57600 bit/s. If it is left_knee_pitch's: wildrobot servo adopt left_knee_pitch" in text
    assert bench.transport.baud == SPEC.config.bus.baud


def test_two_servos_with_one_id_are_named_with_what_was_seen() -> None:
    text = "\n".join(wrong(looked_at(DUPLICATE_ID(servo=4, other=5))))
    assert "servo 4 (left_knee_pitch): no answer" in text
    assert "id 5: reads of this id bring bytes that are no packet" in text
    assert "the one that lacks (4)" in text or "two devices have it" in text


def test_a_silent_servo_is_not_called_garbled() -> None:
    text = "\n".join(wrong(looked_at(SILENT(servo=4))))
    assert "no answer" in text
    assert "no packet" not in text


def test_a_servo_of_old_firmware_is_a_warning() -> None:
    found = [f for f in looked_at(hidden=Hidden(firmware={"waist_yaw": 40})) if f.level != "ok"]
    assert [f.level for f in found] == ["warning"]
    assert "knows no fast reads" in found[0].what


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (FROZEN_IMU(), "gives no samples"),
        (STUCK_IMU(), "repeats one sample"),
        (BAD_QUATERNION(norm=0.5), "length is off by 0.5"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_imu_that_does_not_measure_is_an_error(fault: Fault, message: str) -> None:
    found = [finding for finding in looked_at(fault) if finding.level == "error"]
    assert [finding.who for finding in found] == ["IMU"]
    assert message in found[0].what


def test_a_robot_that_is_moved_is_told_to_be_kept_still() -> None:
    bench = Bench()
    bench.robot.physics.tilt(np.array([np.cos(0.4), 0.0, np.sin(0.4), 0.0]), duration_s=1.0)
    found = wrong(bus_checks.check_board(bench.bus, SPEC))
    assert any("Keep the robot still" in text for text in found)


def test_fix_shows_what_it_repairs_and_looks_again(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(Hidden(registers={"waist_yaw": {"return_delay_time": 250}}))
    report = doctor.Report()
    options = doctor.DoctorOptions(fix=True)
    doctor.examine(bench.transport, SPEC, options, bench.hands, report)
    out = capsys.readouterr().out
    assert "servo 1 (waist_yaw): return_delay_time is 250, expected 0" in out
    assert "return_delay_time set to 0" in out
    assert out.index("expected 0") < out.index("set to 0")
    assert report.errors == 0
    assert bench.robot.servo(1).get(table.RETURN_DELAY_TIME) == 0


def test_without_fix_nothing_is_changed() -> None:
    bench = Bench(Hidden(registers={"waist_yaw": {"return_delay_time": 250}}))
    report = doctor.Report()
    doctor.examine(bench.transport, SPEC, doctor.DoctorOptions(), bench.hands, report)
    assert report.errors == 1
    assert bench.robot.servo(1).get(table.RETURN_DELAY_TIME) == 250


# ---------------------------------------------------------------------- hidden errors


def test_every_hidden_error_is_named() -> None:
    bench = Bench(ALL_WRONG)
    findings = diagnose(bench.bus, SPEC, bench.hands, identify=True, pose="zero")
    text = "\n".join(wrong(findings))
    assert (
        "left_knee_pitch: servo 5 moves left_knee_pitch, robot.yaml says left_ankle_pitch: ids swapped"
        in text
    )
    assert "left_ankle_pitch: servo 4 moves left_ankle_pitch, robot.yaml says left_knee_pitch: ids" in text
    turned = re.findall(r"^(\w+): turns the other way", text, re.MULTILINE)
    assert sorted(turned) == sorted(ALL_WRONG.flipped)
    off = {
        name: float(value) for name, value in re.findall(r"^(\w+): is off by ([+-][\d.]+) rad", text, re.M)
    }
    assert off.keys() == ALL_WRONG.offset_rad.keys()
    for name, value in ALL_WRONG.offset_rad.items():
        assert off[name] == pytest.approx(value, abs=0.03)
    tilt = re.search(
        r"^IMU: is turned by ([\d.]+) degrees about \(\+0\.6\d?, -0\.(?:8|79)", text, re.MULTILINE
    )
    assert tilt is not None, text
    assert float(tilt[1]) == pytest.approx(10.0, abs=0.5)
    assert not any(servo.torque_on for servo in bench.robot.servos)


def test_a_sound_robot_has_nothing_to_name() -> None:
    bench = Bench()
    findings = diagnose(bench.bus, SPEC, bench.hands, identify=True, pose="home")
    assert wrong(findings) == []
    assert [finding.who for finding in findings] == ["wiring", "zeros", "IMU", "feet"]


def test_an_offset_below_the_tolerance_is_not_named_and_one_above_is() -> None:
    pose = np.zeros(SPEC.num_joints)
    reading = pose.copy()
    reading[3] = -0.12
    reading[4] = 0.02
    named = name_offsets(SPEC, reading, pose)
    assert [finding.who for finding in named] == ["left_knee_pitch"]
    assert "is off by +0.120 rad: it reads -0.120 where it stands at +0.000" in named[0].what


# ---------------------------------------------------------------------- port, computer, policy


def test_without_a_port_the_candidates_are_listed(tmp_path: Path) -> None:
    (tmp_path / "usb-FTDI_X-if00").write_text("")
    (finding,) = check_port(None, by_id=tmp_path)
    assert finding.level == "warning"
    assert f"{tmp_path}/usb-FTDI_X-if00" in finding.what
    assert "--port" in finding.repair


def test_a_port_that_is_not_there_is_an_error() -> None:
    (finding,) = check_port("/dev/no-such-port")
    assert (finding.level, finding.who) == ("error", "port")


def test_a_port_with_a_lasting_name_is_better(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.write_text("")
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-FTDI").symlink_to(port)
    (finding,) = check_port(str(port), by_id=tmp_path / "by-id")
    assert finding.level == "warning"
    assert "by-id/usb-FTDI" in finding.repair
    (named,) = check_port(str(tmp_path / "by-id" / "usb-FTDI"), by_id=tmp_path / "by-id")
    assert named.level == "ok"


def test_a_slow_latency_timer_is_a_warning_with_the_line_that_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = tmp_path / "ttyUSB7"
    port.write_text("")
    monkeypatch.setattr(bus_checks, "latency_timer_ms", lambda port: 16)
    (finding,) = check_port(str(port), by_id=tmp_path / "none")
    assert "latency timer 16 ms" in finding.what
    assert "echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB7/latency_timer" in finding.repair


def test_who_holds_the_port_is_named_but_not_the_maker_of_a_pty() -> None:
    master, slave = pty.openpty()
    port = os.ttyname(slave)
    holds = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with open(port) as held, subprocess.Popen(holds, stdin=subprocess.PIPE, stdout=held) as other:
        (finding,) = check_port(port)
        assert finding.level == "error"
        assert f"(pid {other.pid}) uses {port}" in finding.what
        other.communicate(b"")
    assert check_port(port)[0].level == "ok"
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root for a file system"
)
def test_a_container_s_terminal_of_the_same_name_does_not_hold_the_port() -> None:
    master, slave = pty.openpty()
    port = os.ttyname(slave)
    script = (
        "import os, pty, subprocess, sys\nname, ends = '', []\n"
        "while name != sys.argv[1]:\n    ends.append(pty.openpty()); name = os.ttyname(ends[-1][1])\n"
        "held = subprocess.Popen(['sleep', '60'], stdin=ends[-1][1])\n"
        "print(held.pid, flush=True)\nsys.stdin.read()\nheld.kill()\n"
    )
    inside = 'mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", inside, "sh", sys.executable, "-c", script, port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        started = other.stdout.readline()
        finding = check_port(port)[0]
        other.communicate("")
    os.close(master)
    os.close(slave)
    if not started:
        pytest.skip("no right to mount a file system of pseudo-terminals")
    assert finding.level == "ok", finding.what


def test_missing_rights_and_routes_are_warnings_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    findings = doctor.check_computer("udpm://239.255.76.67:7667?ttl=1&interface=wlan77")
    priority = next(finding for finding in findings if "priority" in finding.what)
    assert priority.level == "warning"
    assert "rtprio 50" in priority.repair
    lcm = next(finding for finding in findings if finding.who == "LCM")
    assert (lcm.level, "there is no interface wlan77" in lcm.what) == ("warning", True)
    assert "--no-lcm" in lcm.repair


def test_the_network_is_looked_at_by_sending_a_message_to_itself(multicast: str) -> None:
    findings = check_network(multicast)
    assert findings[0].level == "ok"
    assert "this machine only; a message sent to itself came back" in findings[0].what
    (refused,) = check_network("nonsense://x")
    assert (refused.level, "use a URL that LCM knows" in refused.what) == ("warning", True)


def test_the_shipped_policy_fits_and_a_broken_one_does_not(tmp_path: Path) -> None:
    (finding,) = doctor.check_policy(POLICY, SPEC)
    assert finding.level == "ok"
    broken = tmp_path / "policy.onnx"
    broken.write_bytes(POLICY.read_bytes()[:1000])
    (finding,) = doctor.check_policy(broken, SPEC)
    assert finding.level == "error"
    assert "not a whole ONNX file" in finding.what


# ---------------------------------------------------------------------- the command


def test_errors_end_with_one_and_warnings_with_zero(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "check_computer", lambda url: [Finding("warning", 0, "LCM", "none")])
    assert doctor.run(doctor.DoctorOptions()) == 0
    assert doctor.run(doctor.DoctorOptions(port="/dev/no-such-port")) == 1
    assert "\x1b" not in capsys.readouterr().out  # colours are for terminals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (doctor.DoctorOptions(policy=Path("none.onnx")), "there is no file none.onnx"),
        (doctor.DoctorOptions(fix=True), "--fix works on the bus"),
        (doctor.DoctorOptions(port="/dev/null", yes=True), "--yes answers what --fix asks"),
        (doctor.DoctorOptions(port="/dev/null", identify=True, json=True), "--json prints for programs"),
    ],
)
def test_bad_input_is_refused(options: doctor.DoctorOptions, message: str) -> None:
    with pytest.raises(UserError, match=message):
        doctor.run(options)


def test_json_is_one_list_of_findings(capsys: pytest.CaptureFixture[str]) -> None:
    report = doctor.Report(quiet=True)
    report.say("a note")
    report.add([Finding("error", 4, "servo 4", "no answer", "Check", (table.ID, 4))])
    report.close()
    assert json.loads(capsys.readouterr().out) == [
        {
            "level": "error",
            "device": 4,
            "who": "servo 4",
            "what": "no answer",
            "repair": "Check",
            "fixable": True,
        }
    ]
