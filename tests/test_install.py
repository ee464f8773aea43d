"""launch/install.sh: what goes where, what a second run changes, and what this computer can install."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launch_helpers import LAUNCH, ROOT, RULES, run


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
