"""Every fault of the virtual robot, many times while it walks: what the runtime does, and whether it does it safely.

Everything is simulated time over bytes: the runtime drives the virtual robot through its bus as it would a real one.
One walk is begun; each run branches off from it (a fork), with its fault at another point of the stride and other
noise. `--write` puts the table into docs/faults.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from dynamixel_helpers import POLICY, SPEC, Session, up  # noqa: E402

from wildrobot.files import write_text  # noqa: E402
from wildrobot.firmware_bridge import control_table as table  # noqa: E402
from wildrobot.firmware_bridge.virtual import faults as f  # noqa: E402
from wildrobot.firmware_bridge.virtual.faults import Fault  # noqa: E402
from wildrobot.runtime.state_machine import State  # noqa: E402

DOCUMENT = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
NAMED_WITHIN_S = 0.2
STRIDE_S = 0.72
PTY_FAULT_S = 8.0
"""Over a pty, after the virtual robot's start: the runtime walks by then."""
CALM_S = 1.2
"""Walking on for so long after a fault is over counts as having got over it."""
PATIENCE_S = 5.0
NOTICED_S = 0.5
"""A robot that is just falling when it is looked at must know so within this time."""
WALKS, STOPS, FALLS = "walks on", "stops softly", "falls, lets go"


@dataclass(frozen=True)
class Case:
    """A kind of fault, what the runtime may do about it, and how it names it (None: it need not)."""

    name: str
    fault: Callable[[float], Fault]
    outcomes: tuple[str, ...]
    named: str | None
    what: str
    """What happens, for docs/faults.md."""


def _knee(kind: type[Fault], **values: Any) -> Callable[[float], Fault]:
    return lambda at: kind(at_s=at, servo="left_knee_pitch", **values)


def _any(kind: type[Fault], **values: Any) -> Callable[[float], Fault]:
    return lambda at: kind(at_s=at, **values)


_KNEE = r"servo 4 \(left_knee_pitch\)"
_LINE = rf"{_KNEE}|line is disturbed"
CASES = (
    Case("servo silent for 40 ms", _knee(f.Silent, for_s=0.04), (WALKS,), None,
         "its last sample is coasted on; it is asked last so that the others go on answering"),
    Case("servo silent", _knee(f.Silent), (STOPS, FALLS), _KNEE,
         "coasts 3 ticks, holds the targets, stops softly without the policy; the servo's own watchdog stops it"),
    Case("sensor board silent", _any(f.Silent, servo="board"), (STOPS, FALLS), "sensor board 200",
         "coasts 3 ticks, holds the targets, stops softly without the policy"),
    Case("replies 4 ms late", _knee(f.Late, for_s=1.0), (STOPS, FALLS), _LINE,
         "a late answer is never taken for the next one; as a silent servo"),
    Case("bits flipped, 1 in 10 000", _any(f.FlippedBits, for_s=2.0, rate=1e-4), (WALKS,), None,
         "broken packets are dropped, single lost samples coasted over"),
    Case("bits flipped, 1 in 1000", _any(f.FlippedBits, for_s=2.0, rate=1e-3), (STOPS, FALLS),
         "line is disturbed|servo|board",
         "more samples are lost than can be coasted over: stops softly"),
    Case("truncated packets", _knee(f.Truncated, for_s=1.0, bytes=5), (STOPS, FALLS), _LINE, "as a silent servo"),
    Case("one-byte statuses", _knee(f.Short, for_s=1.0), (STOPS, FALLS), _LINE,
         "refused by their length; as a silent servo"),
    Case("overheating", _knee(f.Overheating), (STOPS, FALLS), rf"{_KNEE}: hardware error",
         "the servo lets go by itself and says so in every answer: the robot finishes its step and stops softly, if "
         "the other joints can hold it"),
    Case("overload shutdown", _knee(f.Overload), (STOPS, FALLS), rf"{_KNEE}: hardware error", "as overheating"),
    Case("brown-out, 0.1 s", _any(f.BrownOut), (STOPS, FALLS), "line is disturbed|no answer|cannot be",
         "everything restarts limp and without its registers: nothing it says is believed, the robot sinks down"),
    Case("swapped ids", _knee(f.SwappedIds, other="left_ankle_pitch"), (STOPS, FALLS), "cannot be|tracking_error",
         "readings outside the joints' ranges are not believed; it cannot happen while walking, but shows what does"),
    Case("duplicate id", _knee(f.DuplicateId, other="left_ankle_pitch"), (STOPS, FALLS), _LINE + "|left_ankle_pitch",
         "both answer at once, which nobody can read: as two silent servos"),
    Case("servo at 57600", _knee(f.WrongBaud), (STOPS, FALLS), _LINE, "as a silent servo"),
    Case("IMU frozen", _any(f.FrozenImu), (STOPS, FALLS), "IMU is frozen",
         "the sample counter stands still: old, however valid its packet"),
    Case("IMU repeats itself", _any(f.StuckImu), (STOPS, FALLS), "IMU repeats itself",
         "the counter goes on, the values do not: old since their last change"),
    Case("quaternion zero", _any(f.BadQuaternion, norm=0.0), (STOPS, FALLS), "no rotation", "not a sample"),
    Case("quaternion NaN", _any(f.BadQuaternion, norm=float("nan")), (STOPS, FALLS), "IMU is frozen",
         "the board's firmware takes no such sample: as a frozen IMU"),
    Case("quaternion of length 0.9", _any(f.BadQuaternion, norm=0.9), (STOPS, FALLS), "no rotation", "not a sample"),
    Case("foot switch stuck", _any(f.FootStuck, for_s=3.0, foot="left_toe"), (WALKS,), None,
         "the estimator weighs a foot that contradicts the rest less; not named"),
    Case("foot switch bouncing", _any(f.FootBounce, for_s=3.0, foot="left_toe"), (WALKS,), None,
         "as a stuck one; the firmware's median of three takes out single samples"),
    Case("cable out, 2 s", _any(f.CableOut), (STOPS, FALLS), "port is gone",
         "the servos' watchdogs stop them after 80 ms; when the port is back the robot is let go, and can be started "
         "again"),
    Case("push, 0.3 m/s", _any(f.Push, y=0.3), (WALKS, STOPS, FALLS), None, "the policy's business"),
)  # fmt: skip


@dataclass
class Result:
    """One run, and every rule that it broke."""

    case: str
    seed: int
    outcome: str
    named_after_s: float | None
    held: bool
    upright: bool
    """On its feet when it was let go, or at the end."""
    broken: list[str] = field(default_factory=list)


class Watch:
    """Looks at every tick of a run for what must never be."""

    def __init__(self, session: Session) -> None:
        self.session, self.broken = session, []
        self._count = np.array([servo.position_rad_per_count for servo in SPEC.servos])
        self._last: Any = None
        self._limp_ticks = 0
        self._goal_at_rest: Any = None
        self.held = False

    def look(self) -> None:
        """After a tick."""
        frame, virtual = self.session.robot._frame, self.session.virtual
        truth = virtual.truth()
        target = self.session.controller._target[0]
        state = self.session.state
        driven = self.session.robot._gain > 0.0
        if driven and (np.any(target < SPEC.joint_lower - 1e-9) or np.any(target > SPEC.joint_upper + 1e-9)):
            self._say("a target outside the joint's limits")
        goal = truth.goal_position
        outside = (goal < SPEC.joint_lower - 2 * self._count) | (goal > SPEC.joint_upper + 2 * self._count)
        # one that its watchdog has stopped took its own place for its goal
        stopped = np.array([servo.get(table.BUS_WATCHDOG) == -1 for servo in virtual.servos])
        if np.any(outside & truth.torque_on & ~stopped) and not _misplaced(virtual):
            self._say("a servo's goal outside the joint's limits")
        if self._last is not None:
            self._times(frame, self._last)
        self._values(frame, truth)
        self._at_rest(state, truth)
        self._last = frame

    def _times(self, frame: Any, last: Any) -> None:
        valid = frame.joint_valid[0]
        newer = frame.joint_time_s[0] > last.joint_time_s[0]
        if np.any(valid != newer):
            self._say("a joint's time that does not go with its validity")
        if np.any(~valid & (frame.joint_position[0] != last.joint_position[0])):
            self._say("a value that changed without a sample")
        if bool(frame.imu_valid[0]) != bool(frame.imu_time_s[0] > last.imu_time_s[0]):
            self._say("an IMU time that does not go with its validity")

    def _values(self, frame: Any, truth: Any) -> None:
        """A fresh joint sample is where the joint is, within the way it goes in the time of a read."""
        if _misplaced(self.session.virtual):
            return
        way = 0.006 * (1.0 + np.abs(truth.joint_velocity)) + 2 * self._count
        off = np.abs(frame.joint_position[0] - truth.joint_position) > way
        if np.any(off & frame.joint_valid[0]):
            self._say("a fresh sample that is not where the joint is")

    def _at_rest(self, state: State, truth: Any) -> None:
        """No motion is asked for any more, once the runtime has let go."""
        resting = state in (State.LIMP, State.ESTOP) and not self.session.robot._lost_ticks
        self._limp_ticks = self._limp_ticks + 1 if resting else 0
        reached = np.array([not line.silent for line in self.session.virtual.wire.lines[:-1]])
        if self._limp_ticks == 10:
            self._goal_at_rest = truth.goal_position
        if self._limp_ticks > 10:
            if np.any(truth.torque_on & reached) and not _unreachable(self.session.virtual):
                self._say("torque after a stop")
            if np.any(np.abs(truth.goal_position - self._goal_at_rest)[truth.torque_on] > 1e-9):
                self._say("a goal that moves after a stop")

    def _say(self, text: str) -> None:
        if text not in self.broken:
            self.broken.append(text)


def _misplaced(virtual: Any) -> bool:
    """Servos do not have the ids of their joints: what is asked of one is done by another."""
    return [servo.id for servo in virtual.servos] != list(SPEC.servo_ids)


def _unreachable(virtual: Any) -> bool:
    return _misplaced(virtual) or any(servo.baud != SPEC.config.bus.baud for servo in virtual.servos)


_walk: Session | None = None


def begin() -> None:
    """Start the walk that all runs branch off from."""
    global _walk
    _walk = Session(duration_s=600.0)
    _walk.until(State.WALKING)
    _walk.run(0.5)


def run_case(task: tuple[int, int]) -> Result:
    """One run, in a process of its own that was forked from the walk."""
    index, seed = task
    case, session = CASES[index], _walk
    assert session is not None
    virtual = session.virtual
    virtual.wire._random.seed(seed)
    virtual._rng = np.random.default_rng(seed)
    at = session.time_s + 0.06 + STRIDE_S * (seed % 20) / 20.0
    fault = case.fault(at)
    virtual.faults.add(fault)
    over = at + (0.0 if fault.momentary else fault.for_s or 0.0)
    watch = Watch(session)
    limp_since: float | None = None
    upright: bool | None = None
    while session.time_s < over + PATIENCE_S:
        if session.controller.ended and limp_since is None:
            limp_since = session.time_s
        session.tick()
        watch.look()
        if (
            session.state is State.WALKING
            and session.time_s > over + CALM_S
            and (up(virtual) or session.time_s > over + CALM_S + NOTICED_S)
            and (fault.for_s or fault.momentary)
        ):
            break
        if limp_since is not None and session.time_s > max(limp_since, over) + 0.5:
            break
    if session.state is State.ESTOP:
        outcome = FALLS
    elif session.state is State.WALKING:
        outcome = WALKS if up(virtual) else "is down and does not know"
    else:
        outcome = STOPS if session.state is State.LIMP else f"hangs in {session.state.value}"
    named = None
    if case.named is not None:
        times = [
            told.time_s - at
            for told in session.told.events
            if told.severity and told.time_s >= at - 0.02 and re.search(case.named, told.text)
        ]
        named = max(0.0, times[0]) if times else None
        if named is None or named > NAMED_WITHIN_S:
            watch.broken.append(f"not named within {NAMED_WITHIN_S} s ({named})")
    if outcome not in case.outcomes:
        watch.broken.append(f"{outcome}, expected: {' or '.join(case.outcomes)}")
    held = any("stale_samples" in told.text for told in session.told.events if told.name == "limited")
    upright = up(virtual) if upright is None else upright
    return Result(case.name, seed, outcome, named, held, upright, watch.broken)


def run_matrix(seeds: int, cases: Sequence[int] | None = None, processes: int = 0) -> list[Result]:
    """All cases with `seeds` runs each."""
    begin()
    tasks = [(index, seed) for index in (cases or range(len(CASES))) for seed in range(seeds)]
    context = multiprocessing.get_context("fork")
    with context.Pool(processes or os.cpu_count() or 1, maxtasksperchild=1) as pool:
        return pool.map(run_case, tasks, chunksize=1)


def schedule(fault: Fault) -> str:
    """The fault as `wildrobot virtual-robot --faults` reads it."""
    names = {"at_s": "at", "for_s": "for"}
    values = {names.get(key, key): value for key, value in asdict(fault).items() if value is not None}
    if fault.momentary:
        values.pop("for", None)
    return yaml.safe_dump({"faults": [{"fault": fault.name, **values}]})


def run_over_pty(case: Case, folder: Path) -> dict[str, Any]:
    """One run in real time: `wildrobot-run` against `wildrobot virtual-robot`, two programs and a pty."""
    link, faults, figures = folder / "port", folder / "faults.yaml", folder / "run.json"
    faults.write_text(schedule(case.fault(PTY_FAULT_S)), encoding="utf-8")
    figures.unlink(missing_ok=True)
    program = [sys.executable, "-m", "wildrobot"]
    flags = ["--duration", "8", "--no-lcm", "--json", str(figures)]
    server = subprocess.Popen(
        [*program, "virtual-robot", "--link", str(link), "--faults", str(faults)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    server.stdout.readline()  # it says where it is once it answers in time
    try:
        done = subprocess.run(
            [*program, "run", str(POLICY), "--robot", "dynamixel", "--port", str(link), *flags],
            capture_output=True,
            text=True,
            timeout=60.0,
            check=False,
        )
    finally:
        server.terminate()
        server.wait(20.0)
    said = done.stdout + done.stderr
    measured = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    outcome = WALKS if done.returncode == 0 else FALLS if measured.get("falls") else STOPS
    broken = []
    if outcome not in case.outcomes:
        broken.append(f"{outcome}, expected: {' or '.join(case.outcomes)}")
    if case.named is not None and not re.search(case.named, said):
        broken.append("not named")
    if not measured:
        broken.append(f"no figures: {said[-500:]}")
    tick = measured.get("tick", {})
    return {"case": case.name, "outcome": outcome, "missed": tick.get("missed"), "ticks": tick.get("count"),
            "broken": broken}  # fmt: skip


def markdown(results: Sequence[Result]) -> str:
    """The table of docs/faults.md."""
    lines = [
        "| fault, while walking at 0.3 m/s | the robot | on its feet | held its targets | named after (s, worst) "
        "| why |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        own = [result for result in results if result.case == case.name]
        if not own:
            continue
        counts = Counter(result.outcome for result in own)
        robot = ", ".join(f"{outcome} {count}/{len(own)}" for outcome, count in counts.most_common())
        held = sum(result.held for result in own)
        named = [result.named_after_s for result in own if result.named_after_s is not None]
        when = f"{max(named):.2f}" if named else "need not be"
        feet = sum(result.upright for result in own)
        lines.append(
            f"| {case.name} | {robot} | {feet}/{len(own)} | {held}/{len(own)} | {when} | {case.what} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--case", action="append", help="part of a case's name; default: all")
    parser.add_argument(
        "--pty", action="store_true", help="each fault once in real time over a pty, as two programs"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    arguments = parser.parse_args()
    chosen = [
        i
        for i, case in enumerate(CASES)
        if not arguments.case or any(part in case.name for part in arguments.case)
    ]
    if arguments.pty:
        with tempfile.TemporaryDirectory() as folder:
            rows = []
            for i in chosen:
                rows.append(run_over_pty(CASES[i], Path(folder)))
                print(rows[-1], file=sys.stderr, flush=True)
        json.dump({"load_average": os.getloadavg()[0], "runs": rows}, sys.stdout, indent=1)
        print()
        return 1 if any(row["broken"] for row in rows) else 0
    results = run_matrix(arguments.seeds, chosen)
    text = markdown(results)
    if arguments.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        write_text(DOCUMENT, f"{before}{BEGIN}\n{text}\n{END}{after}")
    print(text, file=sys.stderr)
    wrong = [asdict(result) for result in results if result.broken]
    json.dump({"runs": len(results), "broken": wrong}, sys.stdout, indent=1)
    print()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
