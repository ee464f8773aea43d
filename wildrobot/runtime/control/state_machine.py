"""What the robot is doing: limp, standing up, standing, walking, stopping softly, or stopped at once.

    LIMP -> STANDING_UP -> STANDING <-> WALKING -> SOFT_STOP -> LIMP          ESTOP, latched, from anywhere

Nothing moves until somebody asks the robot to stand. Standing up is a ramp of the joint targets from where
the joints are to the home pose, under rising torque. From then on the policy runs: in STANDING with a zero
command, so that its history is warm when the first steps are asked for. A soft stop lets the policy come to a
halt, lowers the body into a crouch, and lets go. A fall takes the torque away at once, before the impact.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]


class State(enum.Enum):
    """States by the name they have in messages."""

    LIMP = "limp"
    STANDING_UP = "standing_up"
    STANDING = "standing"
    WALKING = "walking"
    SOFT_STOP = "soft_stop"
    ESTOP = "estop"


@dataclass(frozen=True)
class Demand:
    """What the person (and the safety supervisor) want on this tick."""

    stand: bool = False
    moving: bool = False
    stop: bool = False
    estop: bool = False
    distrust_policy: bool = False
    """With `stop`: do not let the policy bring the robot to a halt; its inputs or outputs are wrong."""


@dataclass(frozen=True)
class Durations:
    """Seconds of each phase."""

    limp: float = 0.2
    """Before standing up: every guard has the time to see what is wrong, those that wait for several ticks, too."""
    stand_up: float = 1.0
    torque_ramp: float = 0.5
    settle: float = 1.0
    """Standing before the first step."""
    halt: float = 1.0
    """Of a soft stop that the policy spends with a zero command, to finish its step."""
    crouch: float = 1.0
    release: float = 0.5
    estop_release: float = 0.1


@dataclass(frozen=True)
class Directive:
    """What the loop shall do on this tick."""

    state: State
    policy: bool
    """Run the policy; otherwise drive to `pose` (1, n)."""
    policy_starts: bool
    pose: Array
    stiffness: float


CROUCH_DEPTH = 1.8
"""The crouch before letting go, as a multiple of the home pose: the same shape, deeper, feet still flat."""


class StateMachine:
    """Holds the state; `step` once per control tick. Time is counted in ticks, not read from a clock."""

    def __init__(self, spec: RobotSpec, durations: Durations | None = None) -> None:
        self._spec = spec
        self._durations = durations or Durations()
        self._home = np.asarray(spec.default_joint_pos)[None]
        self._crouch = np.clip(CROUCH_DEPTH * self._home, spec.joint_lower, spec.joint_upper)
        self.state = State.LIMP
        self._ticks = 0
        self._start: Array = self._home
        self._pose: Array = self._home
        self._stiffness = 0.0
        self._stiffness_at_entry = 0.0
        self._policy = False
        self._settled = False
        self._halting = False

    def step(self, demand: Demand, joint_position: Array, last_target: Array) -> Directive:
        """One tick. `joint_position` (measured) and `last_target` (given to the servos) are (1, n), rad."""
        previous_policy = self._policy
        self._transition(demand, joint_position, last_target)
        self._act(joint_position)
        self._ticks += 1
        return Directive(
            self.state, self._policy, self._policy and not previous_policy, self._pose, self._stiffness
        )

    @property
    def seconds(self) -> float:
        """Time in the present state, s."""
        return self._ticks * self._spec.control_dt

    @property
    def rested(self) -> bool:
        """The robot has been limp for long enough to be stood up."""
        return self.state is State.LIMP and self.seconds >= self._durations.limp

    @property
    def releasing(self) -> bool:
        """The robot is in its crouch and is being let go: what its pelvis does now is no fall."""
        return self.state is State.SOFT_STOP and not self._halting and self.seconds >= self._durations.crouch

    def _enter(self, state: State, start: Array) -> None:
        self.state, self._ticks = state, 0
        self._start, self._stiffness_at_entry = np.array(start, dtype=np.float64), self._stiffness

    def _transition(self, demand: Demand, measured: Array, last_target: Array) -> None:
        state, time = self.state, self._durations
        if state is State.ESTOP:
            return
        if demand.estop:
            self._enter(State.ESTOP, last_target)
        elif state is State.LIMP:
            if demand.stand and not demand.stop and self.rested:
                self._settled = False
                self._enter(State.STANDING_UP, np.where(np.isfinite(measured), measured, last_target))
        elif state is State.SOFT_STOP:
            if self._halting and (demand.distrust_policy or self.seconds >= time.halt):
                self._halting = False
                self._enter(State.SOFT_STOP, last_target)
            elif not self._halting and self.seconds >= time.crouch + time.release:
                self._enter(State.LIMP, measured)
        elif demand.stop:
            self._halting = self._policy and not demand.distrust_policy
            self._enter(State.SOFT_STOP, last_target)
        elif state is State.STANDING_UP:
            if self.seconds >= time.stand_up:
                self._enter(State.STANDING, last_target)
        elif state is State.STANDING:
            self._settled = self._settled or self.seconds >= time.settle
            if demand.moving and self._settled:
                self._enter(State.WALKING, last_target)
        elif state is State.WALKING and not demand.moving:
            self._enter(State.STANDING, last_target)

    def _act(self, measured: Array) -> None:
        state, time, seconds = self.state, self._durations, self.seconds
        self._policy = state in (State.STANDING, State.WALKING) or (
            state is State.SOFT_STOP and self._halting
        )
        if state is State.LIMP:
            self._pose, self._stiffness = np.array(measured), 0.0
        elif state is State.STANDING_UP:
            self._pose = blend(self._start, self._home, seconds / time.stand_up)
            self._stiffness = min(1.0, seconds / time.torque_ramp)
        elif state is State.ESTOP:
            self._pose = self._start
            self._stiffness = self._stiffness_at_entry * max(0.0, 1.0 - seconds / time.estop_release)
        elif state is State.SOFT_STOP and not self._halting:
            self._pose = blend(self._start, self._crouch, seconds / time.crouch)
            released = (seconds - time.crouch) / time.release
            self._stiffness = self._stiffness_at_entry * float(np.clip(1.0 - released, 0.0, 1.0))
        else:
            self._stiffness = 1.0


def blend(start: Array, end: Array, progress: float) -> Array:
    """From `start` to `end` with zero speed at both ends (minimum jerk); `progress` 0 to 1."""
    x = float(np.clip(progress, 0.0, 1.0))
    return start + (end - start) * (x * x * x * (10.0 + x * (6.0 * x - 15.0)))


class Handover:
    """Leads the joint target from where one policy left it to what the next one asks for, by `blend`.

    Each policy has its own idea of how to stand: taken at once, the difference would be driven at the limit of the
    target's rate.
    """

    def __init__(self, spec: RobotSpec, seconds: float = 0.4) -> None:
        self._ticks = round(seconds * spec.control_hz)
        self._start: Array | None = None
        self._done = 0

    def begin(self, target: Array) -> None:
        """From `target` (1, n) rad, given to the servos last."""
        self._start, self._done = np.array(target), 0

    def end(self) -> None:
        """Nothing is left to be led."""
        self._start = None

    def __call__(self, requested: Array) -> Array:
        """What to ask for on this tick (1, n) rad, when the policy in charge asks for `requested`."""
        if self._start is None:
            return requested
        self._done += 1
        target = blend(self._start, requested, self._done / self._ticks)
        if self._done >= self._ticks:
            self._start = None
        return target
