"""Faults of the wire and of devices: the runtime drives the virtual robot through its bus as it would a real one.

Everything is simulated time over bytes. One walk is begun; each run branches off from it (a fork), with its fault at
another point of the stride and other noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from dynamixel_helpers import SPEC, Session, up

from faults.case import FALLS, STOPS, STRIDE_S, WALKS, Case, Result, Watch, follow
from wildrobot.firmware_bridge.bus import control_table as table
from wildrobot.firmware_bridge.bus.protocol import Instruction
from wildrobot.firmware_bridge.virtual.faults import table as f
from wildrobot.firmware_bridge.virtual.faults.kinds import Fault, FaultKind
from wildrobot.runtime.control.state_machine import State


@dataclass(frozen=True)
class HeldUp:
    """The host gets no time for so long, between sending a request and looking for the answer, on every tick."""

    at_s: float
    for_s: float
    seconds: float

    def begin(self, session: Session) -> None:
        """From now on, at its own time."""
        port = session.transport
        write = port.write

        def held(data: bytes) -> None:
            write(data)
            if self.at_s <= session.time_s < self.at_s + self.for_s and data[7] == Instruction.FAST_BULK_READ:
                port.sleep(self.seconds)

        port.write = held  # type: ignore[method-assign]


def _knee(kind: FaultKind, **values: Any) -> Callable[[float], Fault]:
    return lambda at: kind(at_s=at, servo="left_knee_pitch", **values)


def _any(kind: FaultKind, **values: Any) -> Callable[[float], Fault]:
    return lambda at: kind(at_s=at, **values)


_KNEE = r"servo 4 \(left_knee_pitch\)"
_LINE = rf"{_KNEE}|line is disturbed"
CASES = (
    Case("servo silent for 40 ms", _knee(f.SILENT, for_s=0.04), (WALKS,), None,
         "its last sample is used; it is asked last so that the others go on answering"),
    Case("servo silent", _knee(f.SILENT), (STOPS, FALLS), _KNEE,
         "bridges 3 ticks, holds the targets, stops softly without the policy; the servo's own watchdog stops it"),
    Case("sensor board silent", _any(f.SILENT, servo="board"), (STOPS, FALLS), "sensor board 200",
         "bridges 3 ticks, holds the targets, stops softly without the policy"),
    Case("replies 4 ms late", _knee(f.LATE, for_s=1.0), (STOPS, FALLS), _LINE,
         "a late answer is never taken for the next one; then as a servo that is silent"),
    Case("bits flipped, 1 in 10 000", _any(f.FLIPPED_BITS, for_s=2.0, rate=1e-4), (WALKS,), None,
         "broken packets are dropped, single lost samples bridged"),
    Case("bits flipped, 1 in 1000", _any(f.FLIPPED_BITS, for_s=2.0, rate=1e-3), (STOPS, FALLS),
         "line is disturbed|servo|board",
         "more samples are lost than can be bridged: stops softly"),
    Case("truncated packets", _knee(f.TRUNCATED, for_s=1.0, bytes=5), (STOPS, FALLS), _LINE, "as a silent servo"),
    Case("one-byte statuses", _knee(f.SHORT, for_s=1.0), (STOPS, FALLS), _LINE,
         "refused by their length; as a silent servo"),
    Case("overheating", _knee(f.OVERHEATING), (STOPS, FALLS), rf"{_KNEE}: hardware error",
         "the servo turns its torque off and says so in every answer: the robot finishes its step and stops softly, if "
         "the other joints can hold it"),
    Case("overload shutdown", _knee(f.OVERLOAD), (STOPS, FALLS), rf"{_KNEE}: hardware error", "as overheating"),
    Case("brown-out, 0.1 s", _any(f.BROWN_OUT), (STOPS, FALLS), "line is disturbed|no answer|cannot be",
         "everything restarts limp and without its registers: its readings are refused, the robot sinks down"),
    Case("swapped ids", _knee(f.SWAPPED_IDS, other="left_ankle_pitch"), (STOPS, FALLS), "cannot be|tracking_error",
         "readings outside the joints' ranges are refused; it cannot happen while walking, but shows what does"),
    Case("duplicate id", _knee(f.DUPLICATE_ID, other="left_ankle_pitch"), (STOPS, FALLS), _LINE + "|left_ankle_pitch",
         "both answer at once, which cannot be read: as two silent servos"),
    Case("servo at 57600", _knee(f.WRONG_BAUD), (STOPS, FALLS), _LINE, "as a silent servo"),
    Case("IMU frozen", _any(f.FROZEN_IMU), (STOPS, FALLS), "IMU is frozen",
         "the sample counter stands still: old, however valid its packet"),
    Case("IMU repeats itself", _any(f.STUCK_IMU), (STOPS, FALLS), "IMU repeats itself",
         "the counter goes on, the values do not: old since their last change"),
    Case("quaternion zero", _any(f.BAD_QUATERNION, norm=0.0), (STOPS, FALLS), "no rotation", "not a sample"),
    Case("quaternion NaN", _any(f.BAD_QUATERNION, norm=float("nan")), (STOPS, FALLS), "IMU is frozen",
         "the board's firmware takes no such sample: as a frozen IMU"),
    Case("quaternion of length 0.9", _any(f.BAD_QUATERNION, norm=0.9), (STOPS, FALLS), "no rotation", "not a sample"),
    Case("foot switch stuck", _any(f.FOOT_STUCK, for_s=3.0, foot="left_toe"), (WALKS,), None,
         "the estimator weighs a foot that contradicts the rest less; not reported"),
    Case("foot switch bouncing", _any(f.FOOT_BOUNCE, for_s=3.0, foot="left_toe"), (WALKS,), None,
         "as a stuck one; the firmware's median of three takes out single samples"),
    Case("cable out, 2 s", _any(f.CABLE_OUT), (STOPS, FALLS), "port is gone",
         "the servos' watchdogs stop them after 80 ms; when the port is back the torque goes off, and it can be "
         "started again"),
    Case("goal PWM of a knee set to 150 of 885", _knee(f.LEFT_REGISTER, register="goal_pwm", value=150),
         (WALKS, STOPS, FALLS), rf"{_KNEE}: somebody else has changed its goal_pwm",
         "seen when the servo shows its slow registers, and written again"),
    Case("statuses with a CRC error", _knee(f.CRC_STATUS, for_s=1.0), (STOPS, FALLS), _LINE, "as a silent servo"),
    Case("adapter with echo, 2 s", _any(f.ECHO, for_s=2.0), (WALKS,), None,
         "the host's own packets are no answers"),
    Case("supply at 9.2 V for 50 ms", _any(f.BROWN_OUT, voltage_v=9.2, for_s=0.05), (STOPS, FALLS),
         "hardware error, input voltage|hardware error, being asked",
         "every servo goes on reporting it until it is restarted, and holds meanwhile: stops softly"),
    Case("host held up for 4 ms on every tick, 1 s", lambda at: HeldUp(at, 1.0, 0.004), (WALKS,), None,
         "what has arrived meanwhile is looked at before it is given up"),
    Case("push, 0.3 m/s", _any(f.PUSH, y=0.3), (WALKS, STOPS, FALLS), None, "left to the policy"),
)  # fmt: skip


class BusWatch(Watch):
    """What must never be, as the virtual robot's true state shows it."""

    session: Session

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._count = np.array([servo.position_rad_per_count for servo in SPEC.servos])
        self._last: Any = None
        self._limp_ticks = 0
        self._goal_at_rest: Any = None

    def look(self) -> None:
        super().look()
        frame, virtual = self.session.robot._frame, self.session.virtual
        truth = virtual.truth()
        state = self.session.state
        goal = truth.goal_position
        outside = (goal < SPEC.joint_lower - 2 * self._count) | (goal > SPEC.joint_upper + 2 * self._count)
        # one that its watchdog has stopped took its own place for its goal
        stopped = np.array([servo.get(table.BUS_WATCHDOG) == -1 for servo in virtual.servos])
        if np.any(outside & truth.torque_on & ~stopped) and not _misplaced(virtual):
            self.say("a servo's goal outside the joint's limits")
        if self._last is not None:
            self._times(frame, self._last)
        self._values(frame, truth)
        self._at_rest(state, truth)
        self._last = frame

    def _times(self, frame: Any, last: Any) -> None:
        valid = frame.joint_valid[0]
        newer = frame.joint_time_s[0] > last.joint_time_s[0]
        if np.any(valid != newer):
            self.say("a joint's time that does not go with its validity")
        if np.any(~valid & (frame.joint_position[0] != last.joint_position[0])):
            self.say("a value that changed without a sample")
        if bool(frame.imu_valid[0]) != bool(frame.imu_time_s[0] > last.imu_time_s[0]):
            self.say("an IMU time that does not go with its validity")

    def _values(self, frame: Any, truth: Any) -> None:
        """A fresh joint sample is where the joint is, within the way it goes in the time of a read."""
        if _misplaced(self.session.virtual):
            return
        way = 0.006 * (1.0 + np.abs(truth.joint_velocity)) + 2 * self._count
        off = np.abs(frame.joint_position[0] - truth.joint_position) > way
        if np.any(off & frame.joint_valid[0]):
            self.say("a fresh sample that is not where the joint is")

    def _at_rest(self, state: State, truth: Any) -> None:
        """No motion is asked for any more, once the runtime has let go."""
        resting = state in (State.LIMP, State.ESTOP) and not self.session.robot._lost_ticks
        self._limp_ticks = self._limp_ticks + 1 if resting else 0
        reached = np.array([not line.silent for line in self.session.virtual.wire.lines[:-1]])
        if self._limp_ticks == 10:
            self._goal_at_rest = truth.goal_position
        if self._limp_ticks > 10:
            if np.any(truth.torque_on & reached) and not _unreachable(self.session.virtual):
                self.say("torque after a stop")
            if np.any(np.abs(truth.goal_position - self._goal_at_rest)[truth.torque_on] > 1e-9):
                self.say("a goal that moves after a stop")


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
    if isinstance(fault, HeldUp):
        fault.begin(session)
        lasts_s: float | None = fault.for_s
    else:
        virtual.faults.add(fault)
        lasts_s = 0.0 if fault.kind.momentary else fault.for_s
    return follow(session, case, seed, at, lasts_s, BusWatch(session), lambda: up(virtual))
