"""What starts WildRobot on the robot's computer: units, udev rules, install script, LCM's route."""

from __future__ import annotations

import configparser
import inspect
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import tyro

from wildrobot.cli.run.options import RunOptions, check_options, person_commands
from wildrobot.core.errors import UserError
from wildrobot.core.lcm_network import MULTICAST_FIX
from wildrobot.runtime.control.realtime import realtime
from wildrobot.runtime.control.state_machine import Durations

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch"
UNITS = ("wildrobot.service", "wildrobot-lcm-network.service")
RULES = LAUNCH / "99-wildrobot.rules"
SCRIPTS = (
    LAUNCH / "install.sh",
    LAUNCH / "wheels.sh",
    LAUNCH / "lcm-network.sh",
    ROOT / "scripts" / "system_libraries.sh",
    ROOT / "scripts" / "lcm_spy_jar.sh",
    ROOT / "scripts" / "logged.sh",
)
MAX_EXPOSURE = 4.0


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"LC_ALL": "C"} | environment,
    )


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


def lcm_network(*flags: str) -> subprocess.CompletedProcess[str]:
    """In a network of its own, where nothing is set up yet."""
    script = shlex.join([str(LAUNCH / "lcm-network.sh"), *flags])
    return run("unshare", "--net", "sh", "-c", f"ip link set lo up && {script}")


@pytest.fixture(scope="module")
def own_network() -> None:
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if run("unshare", "--net", "true").returncode:
        pytest.skip("may not make a network of its own here")


@pytest.mark.usefixtures("own_network")
def test_the_script_s_commands_are_those_that_the_runtime_names() -> None:
    result = lcm_network("--dry-run")
    assert tuple(result.stdout.splitlines()) == MULTICAST_FIX, result.stderr


@pytest.mark.usefixtures("own_network")
def test_the_route_is_made_found_and_taken_away_again() -> None:
    script = shlex.quote(str(LAUNCH / "lcm-network.sh"))
    steps = f"""
        ip link set lo up; ip -o link > before; ip route >> before
        {script} --check; echo $?
        {script} && {script} && {script} --check; echo $?
        {script} --undo && {script} --undo; {script} --check; echo $?
        ip -o link > after; ip route >> after; cmp before after && echo as before
    """
    result = run("unshare", "--net", "sh", "-c", f"cd $(mktemp -d) && {steps}")
    said = result.stdout.splitlines()
    assert [said[i] for i in (1, 4, 6)] == ["1", "0", "1"], result.stdout + result.stderr
    assert said[0].startswith("LCM's messages go through no interface, expected lo.")
    assert said[2:4] == ["LCM's messages go through lo.", "A message to port 7667 comes back."]
    assert said[-1] == "as before"


@pytest.mark.usefixtures("own_network")
def test_the_check_sees_who_has_joined_elsewhere_and_a_firewall() -> None:
    script = shlex.quote(str(LAUNCH / "lcm-network.sh"))
    join = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
group, address = socket.inet_aton("239.255.76.67"), socket.inet_aton("10.1.1.1")
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + address)
print("joined", flush=True)
sys.stdin.read()
"""
    steps = f"""
        ip link set lo up; ip link add out0 type veth peer name out1
        ip link set out0 up; ip link set out1 up; ip address add 10.1.1.1/24 dev out0
        {script}; coproc {shlex.join([sys.executable, "-c", join])}
        read -r <&${{COPROC[0]}}
        {script} --check; echo $?; kill $COPROC_PID; wait
        {script} --check; echo $?
    """
    if shutil.which("nft") is not None:
        steps += f"""
        nft add table ip t; nft add chain ip t c '{{ type filter hook input priority 0; }}'
        nft add rule ip t c udp dport 7667 drop
        {script} --check; echo $?; LCM_DEFAULT_URL='udpm://239.1.1.1:7700?ttl=0' {script} --check; echo $?
        """
    said = run("unshare", "--net", "bash", "-c", steps).stdout
    assert "have joined the group 239.255.76.67 on out0, too" in said
    assert re.findall(r"^\d$", said, re.MULTILINE) == ["1", "0", "1", "0"][: 2 + 2 * said.count("firewall")]
    if shutil.which("nft") is not None:
        assert "A message to port 7667 does not come back" in said
        assert "A message to port 7700 comes back." in said


@pytest.mark.usefixtures("own_network")
def test_the_route_is_kept_where_the_interface_comes_late_and_goes() -> None:
    script = shlex.quote(str(LAUNCH / "lcm-network.sh"))
    steps = f"""
        ip link set lo up; {script} --keep --interface out0 & kept=$!
        until_route() {{ for _ in $(seq 100); do ip route | grep -q 224 && break; sleep 0.05; done; ip route; }}
        sleep 0.3; ip link add out0 type veth peer name out1; ip link set out0 up; ip link set out1 up; until_route
        ip link set out0 down; ip link set out0 up; ip route; echo --; until_route
        kill $kept; wait $kept; echo $?
    """
    result = run("unshare", "--net", "bash", "-c", steps)
    said = result.stdout
    assert said.startswith("waiting for the interface out0\n"), said + result.stderr
    assert said.count("224.0.0.0/4 dev out0") == 2, said
    assert said.endswith("0\n")


def test_the_route_s_unit_waits_for_its_interface_and_holds_nobody_up() -> None:
    unit = Unit("wildrobot-lcm-network.service")
    assert unit("Service", "ExecStart") == "/opt/wildrobot/lcm-network.sh --keep"
    assert unit("Service", "ExecStartPre") == "-/opt/wildrobot/lcm-network.sh", "a failure is no failure"
    assert unit("Service", "Restart") == "on-failure"


@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize(
    ("flags", "complaint"),
    [(["--interface", "wlan7"], "there is no interface wlan7"), (["--chek"], "unknown option --chek")],
)
def test_what_cannot_be_done_is_refused(flags: list[str], complaint: str) -> None:
    result = lcm_network(*flags)
    assert result.returncode == 2
    assert complaint in result.stderr


# ---------------------------------------------------------------------- install


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The root folder of a system with nothing in it."""
    if missing := [name for name in ("systemctl", "systemd-sysusers") if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text('ID=debian\nPRETTY_NAME="Debian in a test"\n')
    return tmp_path


@pytest.fixture
def install(system: Path) -> Callable[..., str]:
    """Run the script on that system; returns what it said."""

    def call(*flags: str, code: int = 0) -> str:
        result = run(LAUNCH / "install.sh", "--root", system, "--no-venv", *flags)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    return call


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder: time, mode, content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        if path.is_symlink():
            content = os.readlink(path).encode()
        else:
            content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (about.st_mtime_ns, about.st_mode, content)
    return found


def test_a_dry_run_names_every_command_and_touches_nothing(system: Path, install: Callable[..., str]) -> None:
    before = tree(system)
    said = install("--dry-run", "--enable")
    assert tree(system) == before
    assert "Nothing was changed." in said
    planned = [line.split() for line in said.splitlines() if line.startswith("    install ")]
    install("--enable")
    for *_, source, target in planned:
        assert Path(target).read_bytes() == Path(source).read_bytes()
    assert len(planned) == 8


def test_what_is_installed_and_where(system: Path, install: Callable[..., str]) -> None:
    install("--enable")
    shipped = {
        "etc/systemd/system/wildrobot.service": LAUNCH / "wildrobot.service",
        "etc/systemd/system/wildrobot-lcm-network.service": LAUNCH / "wildrobot-lcm-network.service",
        "etc/udev/rules.d/99-wildrobot.rules": RULES,
        "etc/security/limits.d/wildrobot.conf": LAUNCH / "examples" / "limits.conf",
        "etc/wildrobot/wildrobot.env": LAUNCH / "examples" / "wildrobot.env",
        "opt/wildrobot/lcm-network.sh": LAUNCH / "lcm-network.sh",
        "opt/wildrobot/policies/wildrobot_walk.onnx": ROOT / "wildrobot" / "policies" / "wildrobot_walk.onnx",
    }
    for place, source in shipped.items():
        assert (system / place).read_bytes() == source.read_bytes()
    assert os.access(system / "opt/wildrobot/lcm-network.sh", os.X_OK)
    wants = system / "etc/systemd/system/dev-wildrobot.device.wants/wildrobot.service"
    assert os.readlink(wants) == "/etc/systemd/system/wildrobot.service"
    groups = dict(line.split(":")[::3] for line in (system / "etc/group").read_text().splitlines())
    assert groups["dialout"] == groups["input"] == "wildrobot"
    (user,) = [line for line in (system / "etc/passwd").read_text().splitlines() if "wildrobot" in line]
    assert user.endswith("nologin")


def test_the_service_is_enabled_only_when_asked(system: Path, install: Callable[..., str]) -> None:
    install()
    assert not (system / "etc/systemd/system/dev-wildrobot.device.wants").exists()
    assert (system / "etc/systemd/system/multi-user.target.wants/wildrobot-lcm-network.service").is_symlink()


def test_a_second_run_changes_nothing_and_says_so(system: Path, install: Callable[..., str]) -> None:
    install()
    before = tree(system)
    said = install()
    assert tree(system) == before
    assert "Nothing to do: all of it was there." in said
    assert said.count("already so: ") == 10


def test_an_edited_file_stays_and_ours_comes_beside_it(system: Path, install: Callable[..., str]) -> None:
    install()
    edited = system / "etc/wildrobot/wildrobot.env"
    edited.write_text("WILDROBOT_FLAGS=--calibration mine.yaml\n")
    assert "is edited and stays" in install()
    assert edited.read_text() == "WILDROBOT_FLAGS=--calibration mine.yaml\n"
    beside = edited.with_name("wildrobot.env.new")
    assert beside.read_bytes() == (LAUNCH / "examples" / "wildrobot.env").read_bytes()
    before = tree(system)
    assert "Nothing to do" in install()
    assert tree(system) == before


def test_a_file_that_nobody_edited_is_brought_up_to_date(
    system: Path, install: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    install()
    newer = tmp_path_factory.mktemp("newer") / "wildrobot_walk.onnx"
    newer.write_bytes(b"a newer policy")
    install("--policy", str(newer))
    assert (system / "opt/wildrobot/policies/wildrobot_walk.onnx").read_bytes() == b"a newer policy"


def test_uninstall_leaves_what_people_made_and_says_so(system: Path, install: Callable[..., str]) -> None:
    install("--enable")
    own = {
        "etc/wildrobot/wildrobot.env": b"WILDROBOT_FLAGS=--seed 1\n",
        "etc/wildrobot/calibration.yaml": b"mine\n",
        "opt/wildrobot/policies/better.onnx": b"a policy\n",
        "var/log/wildrobot/run.lcmlog": b"a log\n",
    }
    for place, content in own.items():
        (system / place).parent.mkdir(parents=True, exist_ok=True)
        (system / place).write_bytes(content)
    assert "is edited" in install()  # leaves a .new, which is ours
    said = install("--uninstall")
    left = {
        str(path.relative_to(system)) for path in system.rglob("*") if path.is_file() or path.is_symlink()
    }
    accounts = {f"etc/{name}" for name in ("passwd", "group", "shadow", "gshadow", ".pwd.lock")}
    assert left - accounts - {"etc/os-release"} == set(own)
    assert "kept, because it is edited: " + str(system / "etc/wildrobot/wildrobot.env") in said
    assert "Kept: logs in " in said
    assert "nothing of WildRobot is installed" in install("--uninstall", code=2)


def test_uninstall_of_an_untouched_install_leaves_the_user_only(
    system: Path, install: Callable[..., str]
) -> None:
    install()
    install("--uninstall")
    files = {path.name for path in system.rglob("*") if not path.is_dir()}
    assert files <= {"os-release", "passwd", "group", "shadow", "gshadow", ".pwd.lock"}
    assert not (system / "opt/wildrobot").exists()


def test_another_folder_and_user_stand_in_every_file(system: Path, install: Callable[..., str]) -> None:
    install("--prefix", "/srv/walker", "--user", "walker")
    text = "".join(
        path.read_text()
        for path in system.rglob("*")
        if path.is_file() and path.suffix in (".service", ".conf", ".env")
    )
    assert "/opt/wildrobot" not in text
    assert "ExecStart=/srv/walker/venv/bin/wildrobot-run " in text
    assert "\nUser=walker\nGroup=walker\n" in text
    assert "\n@walker  -  rtprio   50\n" in text
    assert "walker:x:" in (system / "etc/passwd").read_text()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--prefix", "opt"], "--prefix is 'opt', expected an absolute folder"),
        (["--prefix", "/home/pi/wildrobot"], "which the service is not allowed to see"),
        (["--user", "root"], "expected the name of a user other than root"),
        (["--policy", "none.onnx"], "there is no policy none.onnx"),
        (["--wheel", "none.whl"], "expected a wheel"),
        (["--wheels", "none"], "--wheels is none, which is no folder"),
        (["--wheels", str(LAUNCH)], f"there is no wildrobot-*.whl in {LAUNCH}"),
        (["--policy"], "--policy needs a value"),
        (["--hlep"], "unknown option --hlep"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_done(
    system: Path, install: Callable[..., str], flags: list[str], complaint: str
) -> None:
    before = tree(system)
    assert complaint in install(*flags, code=2)
    assert tree(system) == before


def test_another_operating_system_is_refused(system: Path, install: Callable[..., str]) -> None:
    (system / "etc/os-release").write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 42"\n')
    assert "this is Fedora Linux 42, expected Raspberry Pi OS, Debian or Ubuntu" in install(code=2)


# ---------------------------------------------------------------------- what this computer can install

SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def dry_run() -> Callable[..., str]:
    """The script on the running system, where it changes nothing; returns what it said."""
    if "debian" not in Path("/etc/os-release").read_text():
        pytest.skip("needs Debian or Ubuntu")
    for program in ("systemctl", "systemd-sysusers", SYSTEM_PYTHON):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")

    def call(*flags: str | Path, python: str | Path = SYSTEM_PYTHON, code: int = 2) -> str:
        result = run(LAUNCH / "install.sh", "--dry-run", *flags, PYTHON=str(python))
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    return call


def other_python(path: Path, name: str = "cpython", size: int = 8, **variables: object) -> Path:
    """The system's Python, but to the script's questions it says what another one would."""
    path.write_text(f"""#!{SYSTEM_PYTHON}
import os, struct, sys, sysconfig
if sys.argv[1] != "-c":
    os.execv("{SYSTEM_PYTHON}", ["{SYSTEM_PYTHON}", *sys.argv[1:]])
known, sys.argv = sysconfig.get_config_var, sys.argv[1:]
sysconfig.get_config_var = lambda name: {variables}.get(name, known(name))
struct.calcsize, sys.implementation.name = lambda form: {size}, "{name}"
exec(sys.argv[1])
""")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"size": 4, "MULTIARCH": "arm-linux-gnueabihf"}, "cpython of 32 bits for arm-linux-gnueabihf"),
        ({"MULTIARCH": "aarch64-linux-musl"}, "cpython of 64 bits for aarch64-linux-musl"),
        ({"name": "pypy"}, "pypy of 64 bits for"),
        ({"Py_GIL_DISABLED": 1}, "free-threaded cpython of 64 bits for"),
    ],
    ids=["32 bits", "musl", "pypy", "free-threaded"],
)
def test_an_interpreter_without_wheels_is_refused_whatever_the_kernel_says(
    dry_run: Callable[..., str], tmp_path: Path, about: dict[str, Any], said: str
) -> None:
    told = dry_run(python=other_python(tmp_path / "python", **about))
    assert f"is {said}" in told
    assert f"(the kernel says {platform.machine()}), expected cpython of 64 bits" in told
    assert "User wildrobot" not in told


def test_a_64_bit_interpreter_is_not_refused(dry_run: Callable[..., str], tmp_path: Path) -> None:
    told = dry_run(python=other_python(tmp_path / "python", MULTIARCH="aarch64-linux-gnu"), code=0)
    assert "cpython of 64 bits for aarch64-linux-gnu" in told


def wheel(folder: Path, name: str, *requires: str) -> Path:
    """A wheel with nothing in it but what it needs."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    needs_lines = "".join(f"Requires-Dist: {need}\n" for need in requires)
    with zipfile.ZipFile(path, "w") as archive:
        about = f"{name}-1.0.dist-info/"
        archive.writestr(
            about + "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs_lines}"
        )
        archive.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(about + "RECORD", "")
    return path


def test_a_folder_of_wheels_is_looked_through_before_anything_is_changed(
    dry_run: Callable[..., str], tmp_path: Path
) -> None:
    if run(SYSTEM_PYTHON, "-c", "import ensurepip, venv").returncode:
        pytest.skip("needs python3-venv")
    wheel(tmp_path, "wildrobot", "left_foot", "right_foot>=1.0")
    wheel(tmp_path, "left_foot")
    told = dry_run("--wheels", tmp_path)
    assert re.search("No matching distribution found for right[-_]foot>=1.0", told), told
    assert re.search(r"launch/wheels\.sh --python 3\.\d+ --machine \w+ FOLDER", told)
    assert "User wildrobot" not in told
    wheel(tmp_path, "right_foot")
    before = set(Path("/tmp").glob("wildrobot-wheels.*"))
    told = dry_run("--wheels", tmp_path, code=0)
    assert re.search(r"pip .* install .*--no-index --find-links \S+ --only-binary=:all: ", told)
    assert set(Path("/tmp").glob("wildrobot-wheels.*")) == before
    wheel(tmp_path, "wildrobot").rename(tmp_path / "wildrobot-2.0-py3-none-any.whl")
    wheel(tmp_path, "wildrobot")
    assert "holds several packages" in dry_run("--wheels", tmp_path)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "which folder is to be filled?"),
        (["--python", "3.9", "wheels"], "--python is '3.9', expected 3.11 or newer"),
        (["--machine", "armv7l", "wheels"], "--machine is 'armv7l', expected aarch64 or x86_64"),
        (["--glibc", "2.5", "wheels"], "--glibc is '2.5', expected 2.17 or newer"),
        (["one", "two"], "one folder, but there are one and two"),
        (["--pyhton", "3.11", "wheels"], "unknown option --pyhton"),
        (["FILLED"], "holds wheels already"),
    ],
)
def test_wheels_for_no_robot_are_not_gathered(flags: list[str], complaint: str, tmp_path: Path) -> None:
    filled = wheel(tmp_path, "left_foot").parent
    result = run(
        LAUNCH / "wheels.sh", *(filled if flag == "FILLED" else flag for flag in flags), PYTHON=sys.executable
    )
    assert result.returncode == 2
    assert complaint in result.stderr
