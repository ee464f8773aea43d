"""`make firmware-emulated`: the sensor board's core, compiled for a Cortex-M0+, in QEMU beside the core built here.

The bridge's own tests of the board and the shipped policy on the virtual robot's bus are the questions; both cores must
give the same bytes at the same times. Prints a table of what was compared, sizes and stack.

Exit code: 0 the same, 1 a difference or a fault, 2 a tool is missing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from emulated_board import FIGURES, MACHINE, PROGRAM, Emulator, ProcessorFault

from wildrobot.core.errors import UserError, run_main
from wildrobot.firmware_bridge.virtual.board_core import FIRMWARE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CXX = "arm-none-eabi-g++"
TOOLS = {
    CXX: "gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
FLAGS = (
    *("-mcpu=cortex-m0plus", "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections", "-fno-exceptions"),
    *("-fno-rtti", "-fno-threadsafe-statics", "-Wall", "-Wextra", "-Werror", "-Wshadow"),
)
"""As the OpenRB-150's board package compiles (GCC 7 there), with the warnings of the core's own Makefile."""
CORE_STANDARD, CALLER_STANDARD = "-std=gnu++11", "-std=gnu++17"
QUESTIONS = {
    "protocol, 100,000 mutated strings among it": ["tests/test_board_core.py"],
    "sample block against the driver": ["tests/test_board_driver.py"],
    "the shipped policy walks over the bus": [
        "tests/test_walk_over_bus.py::test_it_walks_at_the_speed_asked_with_one_read_and_one_write_per_tick",
        "tests/test_walk_over_bus.py::test_old_firmware_walks_on_plain_bulk_reads",
    ],
}
NOT_OF_THE_CORE = "not two_processes"
"""Tests that ask about the library's file on this computer."""
FLASH, RAM = 256 * 1024, 32 * 1024
"""The board's SAMD21G18."""


def main() -> int:
    """Build, ask, compare, print; returns the exit code."""
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise UserError(
                f"there is no {tool}. This check installs nothing; on Debian and Ubuntu: "
                f"sudo apt-get install -y --no-install-recommends {' '.join(TOOLS.values())}"
            )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        program = build(work)
        idle, board_size = look(program)
        rows, failed = [], False
        for what, tests in QUESTIONS.items():
            print(f"{what} ...", flush=True)
            figures, ended = ask(program, work / "figures.json", tests)
            failed |= ended != 0 or figures["differences"] != 0
            rows.append((what, figures))
        text, data, bss = core_size(work)
        bound, library = stack_bound(work)
    painted = max(figures["stack"] for _, figures in rows)
    print(f"\n{first_line(CXX)}; {first_line('qemu-system-arm')}, machine {MACHINE}\n")
    print(
        "| asked of both | boards | calls | bytes received | answers | differences |\n|---|---|---|---|---|---|"
    )
    for what, figures in rows:
        shown = [f"{figures[key]:,}" for key in ("boards", "calls", "bytes_in", "answers", "differences")]
        print(f"| {what} | {' | '.join(shown)} |")
    print("\n| of the core | bytes | of the SAMD21G18's |\n|---|---|---|")
    print(f"| text (code and tables) | {text:,} | {100 * text / FLASH:.1f} % of 256 KB |")
    print(f"| data, bss | {data + bss} | |")
    print(f"| one `Board` | {board_size:,} | {100 * board_size / RAM:.1f} % of 32 KB |")
    print(f"| stack, deepest seen | {painted} | {100 * painted / RAM:.1f} %; {idle} of it the caller's |")
    print(f"| stack, longest path of calls | {bound} | beside {', '.join(library)} |")
    print("\nNOT the same" if failed else "\nthe same to the last bit")
    return 1 if failed else 0


def build(work: Path) -> Path:
    """The program, its objects beside it."""
    includes = f"-I{FIRMWARE / 'core'}"
    objects = []
    for source in sorted((FIRMWARE / "core").glob("*.cpp")):
        if source.name != "host.cpp":
            objects.append(work / f"{source.stem}.o")
            flags = [CORE_STANDARD, "-Wconversion", "-fcallgraph-info=su"]
            run(CXX, *FLAGS, *flags, "-c", source, "-o", objects[-1])
    caller, program = work / "caller.o", work / "sensor_board.elf"
    run(CXX, *FLAGS, CALLER_STANDARD, includes, "-c", HERE / "sensor_board.cpp", "-o", caller)
    link = [
        "-nostartfiles",
        "--specs=nano.specs",
        "--specs=nosys.specs",
        "-Wl,--gc-sections,--fatal-warnings",
    ]
    run(CXX, *FLAGS, *link, "-T", HERE / "sensor_board.ld", "-o", program, caller, *objects)
    return program


def run(*command: str | Path) -> str:
    """Its standard output; ends the program with what it said if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def first_line(program: str) -> str:
    """What it is and of which version."""
    return run(program, "--version").splitlines()[0]


def look(program: Path) -> tuple[int, int]:
    """Stack that the caller of the core uses alone and the size of a board; a fault must be one."""
    emulator = Emulator(program)
    try:
        board_size = emulator.number("board_size")
        idle = emulator.number("stack")
        try:
            emulator.call("unaligned")
        except ProcessorFault:
            return idle, board_size
        raise UserError(
            "the emulator lets a Cortex-M0 read a word from an odd address: it would hide such faults."
        )
    finally:
        emulator.close()


def ask(program: Path, figures: Path, tests: list[str]) -> tuple[dict[str, int], int]:
    """What was counted while these tests ran, and how they ended."""
    path = os.pathsep.join((str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")))
    environment = os.environ | {"PYTHONPATH": path, PROGRAM: str(program), FIGURES: str(figures)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--durations-min=1000",
        "-p",
        "emulated_board",
        "-k",
        NOT_OF_THE_CORE,
    ]
    ended = subprocess.run([*command, *tests], cwd=ROOT, env=environment, check=False).returncode
    counted: dict[str, int] = json.loads(figures.read_text())
    return counted, ended


def core_size(work: Path) -> tuple[int, int, int]:
    """Text, data and bss of the core's objects."""
    objects = [path for path in sorted(work.glob("*.o")) if path.name != "caller.o"]
    total = run("arm-none-eabi-size", "-t", *objects).splitlines()[-1].split()
    return int(total[0]), int(total[1]), int(total[2])


def stack_bound(work: Path) -> tuple[int, list[str]]:
    """The most stack that any path of calls through the core takes, and the functions of libraries that it calls.

    Raises:
        UserError: a call by pointer, a recursion or a frame of variable size: there would be no bound.
    """
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for path in sorted(work.glob("*.ci")):
        text = path.read_text()
        for name, size, kind in re.findall(r'title: "([^"]+)" label: "[^"]*?(\d+) bytes \((\w+)\)"', text):
            if kind != "static":
                raise UserError(f"{name} has a stack frame of {kind} size: no bound for the whole.")
            frames[name] = int(size)
        for caller, called in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', text):
            calls.setdefault(caller, set()).add(called)

    def deepest(name: str, above: tuple[str, ...]) -> int:
        if name in above or name == "__indirect_call":
            raise UserError(f"a recursion or a call by pointer at {name}: no bound for the stack.")
        below = [deepest(called, (*above, name)) for called in calls.get(name, ())]
        return frames.get(name, 0) + max(below, default=0)

    everything = frames.keys() | {name for called in calls.values() for name in called}
    return max(deepest(name, ()) for name in frames), sorted(everything - frames.keys())


if __name__ == "__main__":
    sys.exit(run_main(lambda arguments: main(), sys.argv[1:]))
