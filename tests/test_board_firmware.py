"""The firmware's own tests: C++ unit tests and a short fuzz run under sanitizers, the sketch on fakes, coverage."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wildrobot.firmware_bridge.virtual.board_core import FIRMWARE, compiler

if compiler() is None or shutil.which("make") is None:
    pytest.skip("no C++ compiler or no make on this computer", allow_module_level=True)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("firmware")


def make(target: str, build: Path, *variables: str) -> str:
    command = ["make", "-C", str(FIRMWARE), f"CXX={compiler()}", f"BUILD={build}", *variables, target]
    # a make above this one must not hand its options down
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_unit_tests_of_core_and_sketch_pass_under_the_sanitizers(build: Path) -> None:
    results = re.findall(r"(\d+) tests, (\d+) failed", make("test", build))
    assert len(results) == 2
    assert all(int(count) >= 10 and failed == "0" for count, failed in results)


def test_a_hundred_thousand_fuzzed_strings_break_nothing(build: Path) -> None:
    out = make("fuzz", build, "COUNT=100000", "SEED=7")
    found = re.search(r"100000 strings, (\d+) packets accepted, (\d+) answers, (\d+) of them blocks", out)
    assert found is not None
    # A fuzzer that never gets past the CRC would find nothing.
    assert all(int(count) > 1000 for count in found.groups())


@pytest.mark.skipif(shutil.which("gcov") is None, reason="no gcov on this computer")
def test_the_packet_code_is_covered(build: Path) -> None:
    if "g++" not in Path(str(compiler())).name:
        pytest.skip("gcov reads what g++ writes")
    covered = dict(re.findall(r"File 'core/(\w+)\.cpp'\nLines executed:([\d.]+)%", make("coverage", build)))
    assert {"packet", "crc", "chain", "board"} <= set(covered)
    assert {name: figure for name, figure in covered.items() if float(figure) < 95} == {}


def test_the_sketch_folder_holds_everything_that_it_includes(build: Path) -> None:
    make("sketch", build)
    folder = build / "wildrobot_sensor_board"
    for path in (*folder.rglob("*.ino"), *folder.rglob("*.hpp"), *folder.rglob("*.cpp")):
        for name in re.findall(r'#include "(.+)"', path.read_text(encoding="utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} includes {name}"
    assert not (folder / "src" / "core" / "host.cpp").exists()
