"""One run of policies on a robot: its parts opened and put together, the loop that drives them, its figures."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wildrobot.core.consent import COUNTDOWN_S, require_somebody
from wildrobot.core.lcm_network import Network, lcm_url, open_network
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.consent import Countdown, EnterKey
from wildrobot.runtime.commands.gamepad.command import GamepadCommand
from wildrobot.runtime.commands.gamepad.finder import PadFinder
from wildrobot.runtime.commands.keyboard import KeyboardCommand
from wildrobot.runtime.commands.lcm_command import COMMAND, LcmCommand
from wildrobot.runtime.commands.source import (
    ANNOUNCED_S,
    CommandSource,
    Consent,
    FixedCommand,
    StopSignals,
    announcement,
)
from wildrobot.runtime.commands.stops import StopListener
from wildrobot.runtime.control.controller import STAGES, Controller
from wildrobot.runtime.control.guards import Guards
from wildrobot.runtime.control.realtime import Usage, control_cpu, gc_outside_the_tick, realtime
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.skills import Reloader, Skill, load_skill
from wildrobot.runtime.control.timing import NS_PER_S, Clock, DeadlineClock, RunTime, SteppedClock, TickTimer
from wildrobot.runtime.logs.recorder import Rotation
from wildrobot.runtime.robots.base import RobotOptions, RobotView
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.runtime.service import supervised
from wildrobot.runtime.telemetry.configuration_message import describe
from wildrobot.runtime.telemetry.identity import RunIdentity, channel_of, new_identity
from wildrobot.runtime.telemetry.neighbours import Neighbours
from wildrobot.runtime.telemetry.publisher import Publisher
from wildrobot.runtime.telemetry.telemetry import Telemetry
from wildrobot.signal_path.path import SignalPath

DEFAULT_DURATION_S = 20.0
"""Of walking by flags."""
COLLECT_SLACK_NS = 5_000_000
"""Of a tick's period that must be left for the garbage collector to run."""


@dataclass(frozen=True)
class CommandConfig:
    """Who commands, and how fast."""

    by: Literal["flags", "keyboard", "gamepad", "lcm"] = "flags"
    """flags: `speed` and `yaw_rate` all the time; otherwise a person, now and then."""
    speed: float = 0.0
    """Forward, m/s; of a person: at full deflection."""
    yaw_rate: float = 0.0
    """rad/s, positive left. 0 turns a person's robot at half of what it can."""
    duration_s: float | None = None
    """Of the run; by flags: of walking. None: until stopped, by flags 20 s."""
    gamepad: Path | None = None
    """Its device; None: the first one that is there."""
    lcm_sources: tuple[str, ...] = ()
    """Whom velocity_command obeys; empty: anybody."""
    yes: bool = False
    """A real robot that flags command is not asked for at the terminal, but counted down to."""
    countdown_s: float = COUNTDOWN_S
    """How long."""


@dataclass(frozen=True)
class SessionConfig:
    """What to run, on what, how, and at which paths."""

    policies: tuple[Path, ...]
    robot: str = "sim"
    robot_options: RobotOptions = field(default_factory=RobotOptions)
    command: CommandConfig = field(default_factory=CommandConfig)
    style: Path | None = None
    """Discriminator; None: style.onnx beside the policy, if it is there."""
    fast: bool = False
    """Do not wait for real time."""
    cpu: int | None = None
    """To pin the control thread to; None: the last one of four or more."""
    publish: bool = True
    """On LCM."""
    lcm_url: str | None = None
    name: str | None = None
    """Of this one robot, on the network and in logs; None: as `new_identity` says."""
    log: Path | None = None
    rotation: Rotation | None = None
    """When the log's parts begin and end; None: it has one part."""
    robot_file: Path | None = None
    calibration: Path | None = None
    recorded: Mapping[str, Any] = field(default_factory=dict)
    """What the user asked for, by name: the log keeps it under `options`."""


def load_skills(spec: RobotSpec, config: SessionConfig) -> list[Skill]:
    """All policies, each refused when its contract differs from the robot or its golden vectors do not reproduce."""
    return [load_skill(spec, file, config.style) for file in config.policies]


@dataclass
class Session:
    """A run whose parts are open and warmed up."""

    config: SessionConfig
    controller: Controller
    clock: Clock
    simulation: Any
    """Of a simulated robot, its `Simulation`; else None."""
    telemetry: Telemetry
    usage: Usage

    def drive(
        self,
        after_tick: Callable[[int, Controller], None] = lambda tick, controller: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`drive`, and the service manager is kept informed."""
        with supervised(self.controller):
            drive(self.controller, self.clock, self.config, after_tick, note)

    def summary(self) -> dict[str, Any]:
        """The final figures as plain data."""
        return summary(self.controller, self.usage, self.telemetry.dropped, self.config)


@contextlib.contextmanager
def open_session(spec: RobotSpec, skills: Sequence[Skill], config: SessionConfig) -> Iterator[Session]:
    """Open robot, log, LCM and the source of commands; all are closed at the end, the robot last.

    Raises:
        UserError: one of them is not there or not ready.
    """
    with contextlib.ExitStack() as stack:
        identity, time = new_identity(config.name, config.robot == "sim"), RunTime()
        network = open_network(lcm_url(config.lcm_url)) if config.publish else None
        if network is not None:
            stack.callback(network.close)
        robot = open_robot(config.robot, spec, config.robot_options)
        safety = SafetySupervisor(spec, robot)
        stack.callback(safety.close)
        telemetry = Telemetry(
            config.log,
            network,
            identity.robot_name,
            lossless=config.fast,
            rotation=config.rotation,
            status=sys.stderr.isatty() and not config.fast,
        )
        stack.callback(telemetry.close)
        source = open_source(spec, config, network, identity, time)
        stack.callback(source.close)
        signals, neighbours = StopSignals(), None
        if network is not None and not config.fast:
            stack.enter_context(StopListener(network, identity.robot_name, signals))
            neighbours = stack.enter_context(Neighbours(network, identity))
        reloader = stack.enter_context(Reloader(lambda: load_skills(spec, config)))
        run = RunParts(identity, time, telemetry, signals, reloader, neighbours)
        controller, clock = assemble(spec, skills, safety, source, config, run)
        stack.enter_context(signals)
        simulation = robot.simulation if config.robot == "sim" else None  # type: ignore[attr-defined]
        yield Session(config, controller, clock, simulation, telemetry, Usage())


@dataclass
class RunParts:
    """What a run has beside robot, policies and who commands."""

    identity: RunIdentity
    time: RunTime
    telemetry: Telemetry
    signals: StopSignals
    reloader: Reloader | None = None
    neighbours: Neighbours | None = None


def assemble(
    spec: RobotSpec,
    skills: Sequence[Skill],
    safety: SafetySupervisor,
    source: CommandSource,
    config: SessionConfig,
    run: RunParts,
) -> tuple[Controller, Clock]:
    """The loop's parts put together and warmed up, and the clock that paces them."""
    for skill in skills:
        warm_up(spec, skill, safety.view)
    period_ns = round(spec.control_dt * NS_PER_S)
    clock: Clock = SteppedClock(period_ns) if config.fast else DeadlineClock(period_ns)
    timer = TickTimer(STAGES, window=round(spec.control_hz))
    configuration = describe(
        run.identity, spec, skills, config.recorded, config.robot_file, config.calibration
    )
    run.time.begin(clock.now_ns())
    publisher = Publisher(
        run.telemetry.outbox, configuration, run.time, config.robot == "sim", run.neighbours
    )
    parts = (spec, safety, skills, source, run.signals, publisher, timer, run.reloader)
    return Controller(*parts), clock


def drive(
    controller: Controller,
    clock: Clock,
    config: SessionConfig,
    after_tick: Callable[[int, Controller], None] = lambda tick, controller: None,
    note: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """The loop: wait for the deadline, tick, and use what is left of the period for the garbage collector.

    `after_tick` gets the number of ticks so far. Returns the rights that the operating system refused; `note` is told
    of each before the first tick.
    """
    timer, command = controller.timer, config.command
    with contextlib.ExitStack() as stack:
        collect = stack.enter_context(gc_outside_the_tick())
        refused: list[str] = []
        if not config.fast:
            refused = stack.enter_context(realtime(cpu=control_cpu(config.cpu)))
            for right in refused:
                note(f"no {right}; going on without")
        every, start = round(controller.spec.control_hz), clock.now_ns()
        limit_s = command.duration_s if command.by != "flags" else None
        announce_s = None if limit_s is None or config.robot == "sim" else max(0.0, limit_s - ANNOUNCED_S)
        while not controller.ended:
            skipped, late_ns = clock.wait()
            timer.start(skipped, late_ns)
            controller.tick(clock.now_ns())
            timer.finish()
            after_tick(timer.ticks, controller)
            if timer.ticks % every == 0 and clock.slack_ns() > COLLECT_SLACK_NS:
                collect()
            if announce_s is not None and clock.now_ns() - start > announce_s * NS_PER_S:
                controller.publisher.event("command", announcement(min(ANNOUNCED_S, limit_s or 0.0)))
                announce_s = None
            if limit_s is not None and clock.now_ns() - start > limit_s * NS_PER_S:
                controller.signals.stop("--duration")
    return refused


def open_source(
    spec: RobotSpec, config: SessionConfig, network: Network | None, identity: RunIdentity, time: RunTime
) -> CommandSource:
    """Where commands come from; those over LCM need the `network`.

    Raises:
        UserError: there is no such gamepad, or nobody who could say that a real robot may move.
    """
    command = config.command
    turn_rate = abs(command.yaw_rate) or 0.5 * spec.command.yaw_rate[1]
    if command.by == "keyboard":
        return KeyboardCommand(spec, command.speed, turn_rate)
    if command.by == "gamepad":
        return GamepadCommand(spec, PadFinder(command.gamepad), command.speed, turn_rate)
    if command.by == "lcm" and network is not None:
        receiver = network.receiver((channel_of(identity.robot_name, COMMAND),))
        return LcmCommand(spec, receiver, identity, time, command.lcm_sources)
    duration_s = command.duration_s or DEFAULT_DURATION_S
    consent = None if config.robot == "sim" else ask_for_consent(command, duration_s)
    return FixedCommand(spec, command.speed, command.yaw_rate, duration_s, consent)


def ask_for_consent(command: CommandConfig, duration_s: float) -> Consent:
    """What is said and asked beside a real robot before flags move it.

    Raises:
        UserError: nobody is at the terminal, nor was it said that nobody need be.
    """
    require_somebody(command.yes)
    moves = " and ".join(
        text
        for text, value in (
            (f"walks at {command.speed:g} m/s", command.speed),
            (f"turns at {command.yaw_rate:g} rad/s", command.yaw_rate),
        )
        if value
    )
    plan = (
        f"it stands up, {moves or 'stays standing'} for {duration_s:g} s, crouches and turns the torque off"
    )
    return Countdown(plan, command.countdown_s) if command.yes else EnterKey(plan)


def warm_up(spec: RobotSpec, skill: Skill, robot: RobotView) -> None:
    """Call everything once on memories that are thrown away: first calls are slow."""
    frame, path = robot.read(), SignalPath(spec, skill.policy.layout)
    Guards(spec).check(frame, robot.health(), 0, driven=False)
    path.reset(frame)
    signal = path.observe(frame, [[0.0, 0.0]])
    path.act(skill.policy(signal.observation))
    if skill.style is not None:
        skill.style.warm_up(signal.features)


def summary(controller: Controller, usage: Usage, dropped: int, config: SessionConfig) -> dict[str, Any]:
    """The final figures as plain data."""
    timer = controller.timer
    return {
        **controller.figures.summary(),
        "commands": controller.watch.summary(),
        "fault": controller.outcome.fault,
        "robot": config.robot,
        "policy": str(config.policies[0]),
        "seed": config.robot_options.seed,
        "real_time": not config.fast,
        "tick": {"count": timer.ticks, "missed": timer.missed} | timer.work.summary(),
        "compute": timer.compute.summary(),
        "stages": {name: histogram.summary() for name, histogram in timer.by_stage.items()},
        "lateness": timer.lateness.summary(),
        "usage": usage.summary(),
        "messages_dropped": dropped,
    }
