"""What befalls the program itself: signals, a full disk, no network, a clock that is set. Real programs, real time.

Signals, disk, network and clock over the simulated robot, whose time waits for the program; a program that is stopped
or killed over the virtual robot, whose servos do not wait.
"""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from process_helpers import (
    PROGRAM,
    STATES_EVERY_S,
    STOPPED_WITHIN_S,
    NeverWalkedError,
    Runtime,
    VirtualServer,
    kill_while_it_walks,
    read_figures,
)

from faults.case import FALLS, STOPS, WALKS, Case, Result
from wildrobot.runtime.logs.robots import read_log

LETS_GO, HOLDS = "torque off at once", "holds where it is"
TRIES = 3
"""A machine that others keep busy holds the virtual robot up, too: nothing can be said of the runtime then."""
LOG_BYTES = 300_000
CLOCK_STEP_S = 3600
_SET_CLOCK = f"""
import signal, sys, time
real, real_ns, step, way = time.time, time.time_ns, [0], int(sys.argv[1])
time.time, time.time_ns = lambda: real() + step[0], lambda: real_ns() + step[0] * 10**9
signal.signal(signal.SIGUSR2, lambda *_: step.__setitem__(0, way * {CLOCK_STEP_S}))
from wildrobot.cli.main import wildrobot_script
sys.argv[:2] = ["wildrobot"]
sys.exit(wildrobot_script())
"""
"""A program whose wall clock jumps on SIGUSR2: to set the computer's own would disturb whatever else runs on it."""

Act = Callable[[Runtime, int], None]


@dataclass(frozen=True)
class Program:
    """How it is run, and what is done to it once it walks. `{folder}` in flags is a folder of its own."""

    flags: tuple[str, ...] = ("--no-lcm",)
    act: Act = lambda run, seed: None
    virtual: bool = False
    before: Callable[[int], list[str]] = lambda seed: PROGRAM
    """The program's first words."""
    limit: bool = False
    """No file may grow beyond `LOG_BYTES`, as on a full disk."""
    check: Callable[[Path, str], str | None] = lambda folder, said: None
    """Looks at what it left behind and said; what is wrong with it."""


def _send(*kinds: signal.Signals, pause_s: float = 0.2) -> Act:
    def act(run: Runtime, seed: int) -> None:
        for kind in kinds:
            run.process.send_signal(kind)
            time.sleep(pause_s)

    return act


def _any_stop(run: Runtime, seed: int) -> None:
    run.process.send_signal((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[seed % 3])


def _log_was_cut(folder: Path, said: str) -> str | None:
    events = list(read_log(folder / "log"))
    if len(events) < 50 or (folder / "log").stat().st_size > LOG_BYTES:
        return f"a log of {len(events)} events"
    return None


def _stamps_go_on(folder: Path, said: str) -> str | None:
    stamps = [event.timestamp_us for event in read_log(folder / "log") if event.channel == "robot_command"]
    longest = float(np.max(np.abs(np.diff(stamps)))) * 1e-6
    return None if longest < 0.5 * CLOCK_STEP_S else f"timestamps jump by {longest:.0f} s"


def _program(**values: Any) -> Callable[[float], Program]:
    program = Program(**values)
    return lambda at: program


CASES = (
    Case("SIGTERM, Ctrl-C or the terminal gone", _program(act=_any_stop), (STOPS,), "-> soft_stop",
         "halts, crouches, torque off; ends with 0"),
    Case("a second Ctrl-C", _program(act=_send(signal.SIGINT, signal.SIGINT)), (LETS_GO,), "-> estop",
         "the torque is off within 0.1 s, whatever the robot is doing"),
    Case("disk full", _program(flags=("--no-lcm", "--log", "{folder}/log"), limit=True, check=_log_was_cut), (WALKS,),
         "logging ended", "logging ends, and says so; what was written can be read"),
    Case("no network", _program(flags=(), before=lambda seed: ["unshare", "-rn", *PROGRAM]), (WALKS,),
         "messages from this computer do not arrive", "no messages, and reports that no messages get through"),
    Case("wall clock set by an hour, either way", _program(
        flags=("--no-lcm", "--log", "{folder}/log"), act=_send(signal.SIGUSR2), check=_stamps_go_on,
        before=lambda seed: [sys.executable, "-c", _SET_CLOCK, str(1 if seed % 2 else -1)]), (WALKS,), None,
         "the loop, the age of commands and the log's timestamps go by the monotonic clock"),
    Case("SIGSTOP for 1 s", _program(virtual=True, act=_send(signal.SIGSTOP, signal.SIGCONT, pause_s=1.0)),
         (STOPS, FALLS), "missed_ticks_in_a_row|sample_age_s|falls|tilts",
         "the servos' watchdogs stop them meanwhile; afterwards a soft stop"),
    Case("kill -9", _program(virtual=True), (HOLDS,), None,
         "the servos' watchdogs stop them within 0.1 s, and they hold"),
)  # fmt: skip


def begin() -> None:
    """Nothing is shared between these runs."""


def run_case(task: tuple[int, int]) -> Result:
    """One run."""
    index, seed = task
    case = CASES[index]
    run = _killed if case.outcomes == (HOLDS,) else _run
    for left in reversed(range(TRIES)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                return run(case, seed, Path(folder))
            except (NeverWalkedError, HeldUpError) as error:
                if left == 0:
                    return Result(case.name, seed, "never walked", None, False, False, [str(error)[-500:]])
    raise AssertionError("unreachable")


class HeldUpError(Exception):
    """The virtual robot did not keep time, so that nothing can be said of the runtime."""


def _killed(case: Case, seed: int, folder: Path) -> Result:
    found = kill_while_it_walks(folder / "port", f"udpm://239.255.76.67:{21000 + seed}?ttl=0")
    if not 0.0 < found.stopped_after_s < STOPPED_WITHIN_S + STATES_EVERY_S:
        raise HeldUpError(f"goals changed until {found.stopped_after_s:.3f} s after the kill")
    broken = [] if all(found.last.torque_on) else ["it does not hold"]
    return Result(case.name, seed, HOLDS, None, True, True, broken)


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES, LOG_BYTES))


def _run(case: Case, seed: int, folder: Path) -> Result:
    program: Program = case.fault(0.0)
    flags = [flag.format(folder=folder) for flag in program.flags]
    figures = folder / "run.json"
    duration = "60" if case.outcomes != (WALKS,) else "2.5"
    flags += ["--duration", duration, "--json", str(figures)]
    popen = {"preexec_fn": _limit_files} if program.limit else {}
    if program.virtual:
        with VirtualServer(folder / "port"):
            flags += ["--robot", "dynamixel", "--port", str(folder / "port"), "--yes", "--countdown", "1"]
            code, said = _finish(Runtime(*flags, program=program.before(seed), **popen), program, seed)
    else:
        code, said = _finish(Runtime(*flags, program=program.before(seed), **popen), program, seed)
    measured = read_figures(figures)
    walked_out = measured.get("walked_s", 0.0) > 2.4 and "-> estop" not in said and not measured.get("fault")
    if measured.get("falls"):
        outcome = FALLS
    elif "-> estop" in said:
        outcome = LETS_GO
    elif duration == "2.5" and walked_out:
        outcome = WALKS
    else:
        outcome = STOPS if "soft_stop -> limp" in said else "ends otherwise"
    broken = [] if outcome in case.outcomes else [f"{outcome}, expected: {' or '.join(case.outcomes)}"]
    if not measured:
        broken.append(f"no figures: {said[-500:]}")
    if code != int(bool(measured.get("falls") or measured.get("fault"))):
        broken.append(f"exit code {code}")
    if case.named is not None and not any(word in said for word in case.named.split("|")):
        broken.append(f"not reported: {said[-500:]}")
    wrong = program.check(folder, said)
    return Result(
        case.name, seed, outcome, None, False, outcome != FALLS, broken + ([wrong] if wrong else [])
    )


def _finish(runtime: Runtime, program: Program, seed: int) -> tuple[int, str]:
    with runtime as run:
        run.until("-> walking")
        time.sleep(0.3 + 0.04 * (seed % 20))
        program.act(run, seed)
        code = run.finish()
    return code, "".join(run.said)
