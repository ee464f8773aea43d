"""What starts WildRobot on the robot's computer: units, udev rules, install script, LCM's route."""

from __future__ import annotations

import configparser
import inspect
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest
import tyro
from launch_helpers import LAUNCH, ROOT, RULES, needs, run

from wildrobot.cli.run.options import RunOptions, check_options, person_commands
from wildrobot.core.errors import UserError
from wildrobot.runtime.control.realtime import realtime
from wildrobot.runtime.control.state_machine import Durations

UNITS = ("wildrobot.service", "wildrobot-lcm-network.service")
SCRIPTS = (
    LAUNCH / "install.sh",
    LAUNCH / "wheels.sh",
    LAUNCH / "lcm-network.sh",
    ROOT / "scripts" / "system_libraries.sh",
    ROOT / "scripts" / "lcm_spy_jar.sh",
    ROOT / "scripts" / "logged.sh",
)
MAX_EXPOSURE = 4.0


# ---------------------------------------------------------------------- units


class Unit:
    """A unit file; a name may come more than once, and an empty value forgets the earlier ones."""

    def __init__(self, name: str) -> None:
        self.values: dict[str, dict[str, list[str]]] = {}
        section = ""
        for line in (LAUNCH / name).read_text().splitlines():
            if not line or line.startswith(("#", ";")):
                continue
            if line.startswith("["):
                section = line.strip("[]")
                continue
            key, value = line.split("=", 1)
            self.values.setdefault(section, {}).setdefault(key, []).append(value)

    def __call__(self, section: str, key: str) -> str:
        (value,) = self.values[section][key]
        return value


@pytest.fixture(scope="module")
def unit() -> Unit:
    return Unit("wildrobot.service")


def seconds(text: str) -> float:
    assert re.fullmatch(r"\d+(\.\d+)?", text), f"{text} is not in plain seconds"
    return float(text)


def test_the_unit_starts_a_runtime_that_waits_to_be_commanded(unit: Unit) -> None:
    (start,) = unit.values["Service"]["ExecStart"]
    program, policy, *flags = shlex.split(start)
    assert (program, policy) == ("/opt/wildrobot/venv/bin/wildrobot-run", "${WILDROBOT_POLICY}")
    assert flags == [
        "--robot",
        "dynamixel",
        "--port",
        "${WILDROBOT_PORT}",
        "--lcm-command",
        "$WILDROBOT_FLAGS",
    ]
    known = {f"--{field.name.replace('_', '-')}" for field in fields(RunOptions)}
    assert {flag for flag in flags if flag.startswith("--")} <= known


@pytest.mark.parametrize("file", ["wildrobot.service", "examples/gamepad.conf"])
def test_no_flag_makes_the_service_s_robot_stand_up(file: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.onnx"
    policy.write_bytes(b"")
    start = Unit(LAUNCH / file).values["Service"]["ExecStart"][-1]
    words = [policy.name if word.startswith("${") else word for word in shlex.split(start)[1:]]
    flags = [word for word in words[1:] if word != "$WILDROBOT_FLAGS"]
    options = tyro.cli(RunOptions, args=[str(policy), *flags])
    check_options(options)
    assert person_commands(options)
    with pytest.raises(UserError, match="--yes is for a robot that flags command"):
        check_options(replace(options, yes=True))
    with pytest.raises(UserError, match="no terminal to ask at"):
        check_options(replace(options, lcm_command=False, gamepad=None))


def test_the_drop_in_for_a_gamepad_changes_who_commands_and_nothing_else(unit: Unit) -> None:
    drop_in = Unit(LAUNCH / "examples" / "gamepad.conf")
    before, (cleared, start) = unit.values["Service"]["ExecStart"], drop_in.values["Service"]["ExecStart"]
    assert cleared == "", "without it, systemd refuses a second ExecStart"
    assert [start.replace("--gamepad", "--lcm-command")] == before
    assert list(drop_in.values) == ["Service"]
    assert list(drop_in.values["Service"]) == ["ExecStart"]
    assert "char-input r" in unit.values["Service"]["DeviceAllow"]
    assert "input" in unit("Service", "SupplementaryGroups").split()


def test_the_unit_is_supervised_and_its_end_leaves_time_for_a_soft_stop(unit: Unit) -> None:
    assert unit("Service", "Type") == "notify"
    assert unit("Service", "NotifyAccess") == "main"
    assert 1.0 <= seconds(unit("Service", "WatchdogSec")) <= 5.0
    assert unit("Service", "KillSignal") == "SIGTERM"
    time = Durations()
    soft_stop_s = time.halt + time.crouch + time.release
    assert seconds(unit("Service", "TimeoutStopSec")) > 2.0 * soft_stop_s


def test_a_restart_follows_failures_but_not_bad_input_and_not_for_ever(unit: Unit) -> None:
    assert unit("Service", "Restart") == "on-failure"
    assert unit("Service", "RestartPreventExitStatus") == "2"
    assert int(unit("Unit", "StartLimitBurst")) <= 5
    retries_s = int(unit("Unit", "StartLimitBurst")) * seconds(unit("Service", "RestartSec"))
    assert seconds(unit("Unit", "StartLimitIntervalSec")) > retries_s, "or the limit is never met"


def test_real_time_is_allowed_by_limits_to_a_user_without_capabilities(unit: Unit) -> None:
    priority = inspect.signature(realtime).parameters["priority"].default
    assert int(unit("Service", "LimitRTPRIO")) >= priority
    assert unit("Service", "LimitMEMLOCK") == "infinity"
    assert unit("Service", "RestrictRealtime") == "no"
    assert unit("Service", "CapabilityBoundingSet") == ""
    assert unit("Service", "User") not in ("", "root")
    assert unit("Service", "NoNewPrivileges") == "yes"


def test_only_logs_can_be_written_and_only_the_robot_s_devices_opened(unit: Unit) -> None:
    assert unit("Service", "ProtectSystem") == "strict"
    assert unit("Service", "ProtectHome") == "yes"
    assert unit("Service", "PrivateTmp") == "yes"
    assert unit("Service", "LogsDirectory") == "wildrobot"
    assert "ReadWritePaths" not in unit.values["Service"]
    assert unit("Service", "DevicePolicy") == "closed"
    assert set(unit.values["Service"]["DeviceAllow"]) == {
        "char-ttyUSB rw",
        "char-ttyACM rw",
        "char-ttyAMA rw",
        "char-input r",
    }


def test_the_service_logs_in_parts_where_it_may_write(unit: Unit) -> None:
    (line,) = re.findall(
        r"^WILDROBOT_FLAGS=(.*)$", (LAUNCH / "examples" / "wildrobot.env").read_text(), re.MULTILINE
    )
    options = tyro.cli(
        RunOptions, args=["walk.onnx", *shlex.split(line)], config=(tyro.conf.FlagCreatePairsOff,)
    )
    assert options.log is not None
    assert options.log.parent == Path("/var/log") / unit("Service", "LogsDirectory")
    assert options.log_rotate is not None
    assert 10 * options.log_rotate <= options.log_keep


def test_the_service_starts_when_the_name_appears_that_the_rules_give(unit: Unit) -> None:
    assert unit("Install", "WantedBy") == "dev-wildrobot.device"
    rules = [line for line in RULES.read_text().splitlines() if not line.startswith("#")]
    (u2d2,) = [line for line in rules if 'SYMLINK+="wildrobot"' in line]
    assert 'ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6014"' in u2d2
    assert 'TAG+="systemd"' in u2d2
    assert environment_file()["WILDROBOT_PORT"] == "/dev/wildrobot"


def environment_file() -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string("[all]\n" + (LAUNCH / "examples" / "wildrobot.env").read_text())
    return dict(parser["all"])


def test_every_variable_of_the_units_is_in_the_environment_file() -> None:
    used = set()
    for name in UNITS:
        used |= set(re.findall(r"\$\{?([A-Z_]+)\}?", (LAUNCH / name).read_text()))
    script = (LAUNCH / "lcm-network.sh").read_text()
    used |= {name for name in re.findall(r"\$\{([A-Z_]+)", script) if name.startswith("WILDROBOT_")}
    assert used == set(environment_file())


def with_a_program(folder: Path, name: str) -> Path:
    """The unit with programs that exist on this computer: systemd-analyze looks for them."""
    text = re.sub(r"/opt/wildrobot/\S+", "/bin/true", (LAUNCH / name).read_text())
    (folder / name).write_text(text)
    return folder / name


@needs("systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    units = [with_a_program(tmp_path, name) for name in UNITS]
    result = run("systemd-analyze", "verify", "--man=no", *units)
    about_ours = [line for line in (result.stdout + result.stderr).splitlines() if "wildrobot" in line]
    assert about_ours == []


@needs("systemd-analyze")
def test_systemd_would_complain_about_a_line_that_it_does_not_know(tmp_path: Path) -> None:
    unit = with_a_program(tmp_path, UNITS[0])
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHome=perhaps"))
    assert "perhaps" in run("systemd-analyze", "verify", "--man=no", unit).stderr


@needs("systemd-analyze")
@pytest.mark.parametrize("name", UNITS)
def test_the_exposure_that_systemd_sees_is_small(name: str) -> None:
    result = run("systemd-analyze", "security", "--offline=true", "--no-pager", LAUNCH / name)
    if "--offline" in result.stderr:
        pytest.skip("this systemd-analyze reads no unit files")
    (exposure,) = re.findall(rf"exposure level for {name}: ([0-9.]+)", result.stdout)
    assert float(exposure) <= MAX_EXPOSURE


def test_the_route_s_unit_waits_for_its_interface_and_holds_nobody_up() -> None:
    unit = Unit("wildrobot-lcm-network.service")
    assert unit("Service", "ExecStart") == "/opt/wildrobot/lcm-network.sh --keep"
    assert unit("Service", "ExecStartPre") == "-/opt/wildrobot/lcm-network.sh", "a failure is no failure"
    assert unit("Service", "Restart") == "on-failure"


# ---------------------------------------------------------------------- udev rules


@needs("udevadm")
def test_udev_understands_the_rules() -> None:
    if "verify" not in run("udevadm", "--help").stdout:
        pytest.skip("this udevadm has no verify (systemd 254 brought it)")
    result = run("udevadm", "verify", "--no-summary", RULES)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_is_made_of_matches_and_assignments_and_every_jump_lands() -> None:
    term = r'[A-Z]+(\{[A-Za-z_/]+\})?(==|!=|\+=|:=|=)"[^"]*"'
    lines = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    commented = [line[1:] for line in RULES.read_text().splitlines() if re.match(r"#[A-Z]+[{=]", line)]
    assert commented, "the examples for other adapters"
    for line in lines + commented:
        assert re.fullmatch(rf"{term}(, {term})*", line), line
    jumps = re.findall(r'GOTO="(\w+)"', "\n".join(lines))
    assert set(jumps) == set(re.findall(r'LABEL="(\w+)"', "\n".join(lines)))


def test_every_ftdi_adapter_answers_after_one_millisecond() -> None:
    (rule,) = [line for line in RULES.read_text().splitlines() if "latency_timer}=" in line]
    assert rule.startswith('DRIVERS=="ftdi_sio", ATTR{device/latency_timer}="1"')
    assert 'GROUP="dialout"' in rule


# ---------------------------------------------------------------------- scripts


@needs("shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    result = run("shellcheck", script)
    assert result.returncode == 0, result.stdout
