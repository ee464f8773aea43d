"""One control tick: read, judge, decide, ask the policy, bound, write, and only then tell the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import CommandSource, CommandWatch, OperatorCommand, StopSignals
from wildrobot.runtime.control.guards import FALL, POLICY_UNTRUSTED, GuardReading, Level
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.skills import Reloader, Skill
from wildrobot.runtime.control.state_machine import Demand, Directive, Handover, State, StateMachine
from wildrobot.runtime.control.timing import TickTimer
from wildrobot.runtime.telemetry.publisher import Publisher
from wildrobot.signal_path.command import is_moving
from wildrobot.signal_path.path import Signal
from wildrobot.signal_path.sensor_frame import SensorFrame, drop_not_finite
from wildrobot.simulation.gait_figures import WalkFigures

if TYPE_CHECKING:
    from wildrobot.simulation.simulation import Truth  # MuJoCo is there for `sim` only

STAGES = ("read", "judge", "observe", "policy", "bound", "write", "style", "publish")
STATUS_HZ = 5.0
"""How often the line on the screen is renewed."""
ANNOUNCE_HZ = 2.0
"""How often the robot says that it is there."""
REFUSAL_S = 2.0
"""How long a robot asked to stand waits for a guard at its stop level to recover before it gives up."""


@dataclass
class Outcome:
    """How the run has gone so far."""

    fell: bool = False
    fault: str | None = None


@dataclass(frozen=True)
class Decision:
    """The joint target asked for; `signal` and `action` are None while a pose is driven and not the policy."""

    requested: NDArray[np.float64]
    signal: Signal | None = None
    action: NDArray[Any] | None = None
    reset: bool = False
    """Estimator and history began afresh on this tick."""


class Controller:
    """Owns every part of the loop but its pace; `tick` once per control period."""

    def __init__(
        self,
        spec: RobotSpec,
        safety: SafetySupervisor,
        skills: Sequence[Skill],
        source: CommandSource,
        signals: StopSignals,
        publisher: Publisher,
        timer: TickTimer,
        reloader: Reloader | None = None,
    ) -> None:
        self.spec, self.safety, self.skills, self.active = spec, safety, list(skills), 0
        self.source, self.signals, self.publisher, self.timer = source, signals, publisher, timer
        self.machine = StateMachine(spec)
        self.robot = safety.view
        self.figures = WalkFigures(spec)
        self.outcome = Outcome()
        self.watch = CommandWatch()
        self.ended = False
        self._reloader = reloader
        self._policy_is_new = False
        self._handover = Handover(spec)
        self._frame: SensorFrame | None = None
        self._action: NDArray[Any] | None = None
        self._policy_fault: str | None = None
        self._asked_to_stand = False
        self._refused_ticks = 0
        self._refused_walk = False
        self._levels: dict[str, Level] = {}
        self._limits: tuple[str, ...] = ()
        self._problems: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """What the robot is doing."""
        return self.machine.state

    def tick(self, now_ns: int) -> None:
        """One control period, at `now_ns` on the loop's clock."""
        timer, spec, safety = self.timer, self.spec, self.safety
        first = self._frame is None
        frame = self._frame = drop_not_finite(self.robot.read(), self._frame)
        if first:
            safety.reset(frame.joint_position)
        timer.mark("read")

        command = self.signals.applied_to(self.source.poll(now_ns, self.state))
        health = self.robot.health()
        missed = 0 if self.robot.lockstep else timer.missed_in_a_row
        readings, stopping = safety.check(frame, health, missed, self._action)
        user = np.array([command.linear_velocity_x, command.yaw_rate])
        before = self.state
        self._problems, last = health.problems, self._problems
        demand = self._demand(command, user, stopping, before)
        self._choose_policy(command.policy)
        directive = self.machine.step(demand, frame.joint_position, safety.target)
        given_user = user if directive.state is State.WALKING else np.zeros(2)
        timer.mark("judge")

        decision = self._decide(directive, frame, given_user)
        if directive.state is State.LIMP:
            safety.reset(frame.joint_position)
        going_down = directive.state is State.SOFT_STOP and not directive.policy
        applied = safety.bound(self._handover(decision.requested), blind=going_down)
        self._action = decision.action
        timer.mark("bound")
        safety.write(directive.stiffness)
        truth = self.robot.truth() if directive.state is State.WALKING else None
        timer.mark("write")
        style = self._style(decision, given_user)
        timer.mark("style")

        publish = self.publisher
        publish.begin(now_ns, timer.ticks, directive.state.value)
        self.watch.take(command, before, publish)
        if directive.state is not before:
            publish.event("state", f"{before.value} -> {directive.state.value}")
        # The pose of a limp robot may lie outside the limits; nothing drives it there.
        self._report_problems(last)
        for text in health.pushes:
            publish.event("push", text)
        self._report(readings, applied.limited_by if safety.stiffness > 0.0 else ())
        publish.state(frame)
        if decision.signal is not None and decision.action is not None:
            publish.policy(
                decision.signal, decision.action, decision.requested, decision.reset, self.active, style
            )
        publish.command(given_user, safety.stiffness, applied, self.watch)
        if timer.ticks % round(spec.control_hz) == 0:
            publish.health(timer, health, readings, self.watch)
        if timer.ticks % round(spec.control_hz / ANNOUNCE_HZ) == 0:
            publish.announce(self.watch.source)
        if timer.ticks % round(spec.control_hz / STATUS_HZ) == 0:
            publish.status(lambda: self.watch.line(directive.state.value, given_user))
        self._count(directive.state, given_user, decision.signal, truth, style)
        publish.end()
        timer.mark("publish")
        over = command.end or self.outcome.fault is not None
        self.ended = (over and directive.state is State.LIMP) or (
            directive.state is State.ESTOP and self.machine.seconds >= 1.0
        )

    def _demand(
        self, command: OperatorCommand, user: NDArray[np.float64], stopping: list[str], state: State
    ) -> Demand:
        """Merge what the person wants with what the guards demand. A limp robot cannot fall or fault."""
        if state in (State.LIMP, State.ESTOP):
            # A person asks once, perhaps before the guards have seen enough: it counts as soon as they have.
            asked = (command.stand or self._asked_to_stand) and not command.stop
            rested = self.machine.rested
            self._asked_to_stand = asked and state is State.LIMP and not rested
            refused = asked and rested and bool(stopping)
            if refused and not self._refused_ticks:
                text = f"not standing up: {', '.join(stopping)} at the stop level"
                self.publisher.event("refused", text, severity=1)
            self._refused_ticks = self._refused_ticks + 1 if refused else 0
            self._refuse_to_walk(bool(is_moving(self.spec, user)) and not asked and not command.stop)
            if self._refused_ticks * self.spec.control_dt > REFUSAL_S:
                self._take_fault(False, stopping, "not standing up")
            stand = asked and not stopping and self.outcome.fault is None
            return Demand(stand=stand, stop=command.stop, estop=command.estop)
        fell = any(name in FALL for name in stopping) and not self.machine.releasing
        faults = [] if self._policy_fault is None else [self._policy_fault]
        faults += [name for name in stopping if name not in FALL]
        self._take_fault(fell, faults)
        return Demand(
            moving=bool(is_moving(self.spec, user)),
            stop=command.stop or bool(faults),
            estop=command.estop or fell,
            distrust_policy=self._policy_fault is not None
            or any(name in POLICY_UNTRUSTED for name in faults),
        )

    def _refuse_to_walk(self, refused: bool) -> None:
        if refused and not self._refused_walk and self.state is State.LIMP and self.outcome.fault is None:
            self.publisher.event(
                "refused", "not walking: the torque is off; stand the robot up first", severity=1
            )
        self._refused_walk = refused

    def _take_fault(self, fell: bool, faults: list[str], consequence: str = "stopping softly") -> None:
        if fell and not self.outcome.fell:
            self.outcome.fell = True
            self.figures.falls += 1
            self.publisher.event("fall", "the pelvis tilts past its stop level: torque off", severity=2)
        if faults and self.outcome.fault is None:
            self.outcome.fault = faults[0]
            cause = f" ({'; '.join(self._problems)})" if self._problems else ""
            text = f"{', '.join(faults)} at the stop level{cause}: {consequence}"
            self.publisher.event("fault", text, severity=2)

    def _decide(self, directive: Directive, frame: SensorFrame, user: NDArray[np.float64]) -> Decision:
        if not directive.policy:
            self._handover.end()
            return Decision(directive.pose)
        skill = self.skills[self.active]
        starts = directive.policy_starts or self._policy_is_new
        if starts:
            skill.path.reset(frame)
            if not directive.policy_starts:
                self._handover.begin(self.safety.target)
            self._policy_fault, self._policy_is_new = None, False
        signal = skill.path.observe(frame, user[None])
        self.timer.mark("observe")
        action, self._policy_fault = self._ask(skill, signal.observation)
        self.timer.mark("policy")
        if self._policy_fault is not None:
            return Decision(np.full_like(self.safety.target, np.nan), signal, action, starts)
        return Decision(skill.path.act(action), signal, action, starts)

    def _ask(self, skill: Skill, observation: NDArray[np.float32]) -> tuple[NDArray[Any], str | None]:
        """The policy's action (1, n) and None, or the name of what is wrong with it, or with what it would be asked."""
        nothing = np.full_like(self.safety.target, np.nan)
        # Networks answer finite nonsense where a clip or a ReLU swallows what is no number.
        if not np.isfinite(observation).all():
            return nothing, "policy_input_not_finite"
        try:
            action = skill.policy(observation)
        except Exception as error:  # whatever it is, a robot that walks must not be dropped for it
            self.publisher.event("policy", f"{type(error).__name__}: {error}", severity=2)
            return nothing, "policy_raised"
        if np.shape(action) != nothing.shape or not np.isfinite(action).all():
            return action if np.shape(action) == nothing.shape else nothing, "policy_output_not_finite"
        return action, None

    def _style(self, decision: Decision, user: NDArray[np.float64]) -> float:
        meter, signal = self.skills[self.active].style, decision.signal
        if meter is None or signal is None:
            return float("nan")
        return meter.score(signal.features, bool(is_moving(self.spec, user)), decision.reset)

    # ------------------------------------------------------------------ policies

    def _choose_policy(self, number: int) -> None:
        """Put the policy `number` (from 1; 0: leave it) in charge, and take in those that were loaded anew.

        Only while the robot stands or is limp: another policy begins with an empty history.
        """
        at_rest = self.machine.state in (State.LIMP, State.STANDING)
        if number and number - 1 != self.active:
            if number > len(self.skills):
                self._refuse(f"there is no policy {number}, only {len(self.skills)}")
            elif not at_rest:
                self._refuse(
                    f"policy {number} can take over only while the robot stands or its torque is off"
                )
            else:
                self.active, self._policy_is_new = number - 1, True
                self.publisher.event("policy", f"{number}: {self.skills[self.active].file} in charge")
        if self._reloader is not None:
            self._reload(self._reloader, at_rest)

    def _reload(self, reloader: Reloader, at_rest: bool) -> None:
        if reloader.asked():
            if at_rest:
                reloader.start()
            else:
                self._refuse("policies are reloaded only while the robot stands or its torque is off")
        skills, refusal = reloader.take()
        if refusal is not None:
            self._refuse(f"the policies in use stay: {refusal}")
        elif skills is not None and not at_rest:
            self._refuse("the policies were loaded anew, but the robot walks by now: those in use stay")
        elif skills is not None:
            self.skills, self._policy_is_new = list(skills), True
            self.publisher.reconfigure([(skill.file, skill.sha256) for skill in skills])
            self.publisher.event("policy", "loaded anew: " + ", ".join(str(skill.file) for skill in skills))

    def _refuse(self, why: str) -> None:
        self.publisher.event("policy", why, severity=1)

    # ------------------------------------------------------------------ telling

    def _report(self, readings: list[GuardReading], limits: tuple[str, ...]) -> None:
        """Events where a guard changes its level or the supervisor begins to limit; not on every tick."""
        for reading in readings:
            last = self._levels.get(reading.name, Level.FINE)
            if reading.level is not last:
                self._levels[reading.name] = reading.level
                guard = self.spec.guards[reading.name]
                limits_of = f"warns at {guard.warn:g}, stops at {guard.stop:g}"
                text = f"{reading.name} = {reading.value:.4g}: {reading.level.name.lower()} ({limits_of})"
                self.publisher.event("guard", text, severity=int(reading.level))
        if limits and limits != self._limits:
            self.publisher.event("limited", ", ".join(limits), severity=1)
        self._limits = limits

    def _report_problems(self, last: tuple[str, ...]) -> None:
        """Events where something goes wrong on the bus, and where it is over."""
        for text in self._problems:
            if text not in last:
                self.publisher.event("bus", text, severity=1)
        for text in last:
            if text not in self._problems:
                self.publisher.event("bus", f"over: {text}")

    def _count(
        self,
        state: State,
        user: NDArray[np.float64],
        signal: Signal | None,
        truth: Truth | None,
        style: float,
    ) -> None:
        if state is State.WALKING and signal is not None:
            self.figures.walking(user, signal.estimate, truth, style)
        else:
            self.figures.pause()
