"""A policy's short videos, scene by scene, through the same loop as `wildrobot-run`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import rotate_heading
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import OperatorCommand, StopSignals
from wildrobot.runtime.control.controller import Controller
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.session import RunParts, SessionConfig, assemble, drive
from wildrobot.runtime.control.skills import Skill
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.control.timing import RunTime
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.runtime.telemetry.identity import new_identity
from wildrobot.runtime.telemetry.telemetry import Telemetry
from wildrobot.simulation.gait_figures import HeadingDrift, heading_and_speed
from wildrobot.simulation.reel import Reel
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.scenes import Scene, ScenePush

PUSH_SHOWN_S = 0.6
WIDTH, HEIGHT = 640, 360


class Director:
    """The scene as a command source: asks to stand up, counts from standing on, commands, pushes, ends."""

    def __init__(self, spec: RobotSpec, scene: Scene, simulation: Simulation) -> None:
        self._spec, self._scene, self._simulation = spec, scene, simulation
        self._length = round(scene.duration_s * spec.control_hz)
        self._due = sorted(scene.pushes, key=lambda push: push.time_s)
        self.tick = -1
        """Of the scene; -1 before it begins."""

    @property
    def time_s(self) -> float:
        """Since the scene's beginning."""
        return self.tick * self._spec.control_dt

    @property
    def filming(self) -> bool:
        """Whether this tick belongs to the scene."""
        return 0 <= self.tick < self._length

    def poll(self, now_ns: int, state: State) -> OperatorCommand:
        if self.tick >= 0 or state is State.STANDING:
            self.tick += 1
        if self.tick >= self._length:
            return OperatorCommand(estop=True, end=True)
        if self.tick < 0:
            return OperatorCommand(stand=True)
        while self._due and self._due[0].time_s <= self.time_s + 1e-9:
            self._push(self._due.pop(0))
        speed, turn = self._scene.command(self.time_s)
        return OperatorCommand(speed, turn, stand=True)

    def _push(self, push: ScenePush) -> None:
        yaw, _ = heading_and_speed(self._simulation.truth())
        change = np.array([[push.forward_m_s, push.left_m_s, 0.0]])
        self._simulation.push([0], rotate_heading(yaw, change))

    def close(self) -> None:
        """Nothing to release."""


class SceneReel(Reel):
    """Takes the scene's frames with their captions, and its figures from the simulator's truth."""

    def __init__(self, simulation: Simulation, spec: RobotSpec, scene: Scene, director: Director) -> None:
        super().__init__(simulation)
        self._spec, self._scene, self._director = spec, scene, director
        self._recent: deque[float] = deque(maxlen=round(spec.control_hz))
        self._measured: list[tuple[float, float]] = []
        self._heading = HeadingDrift(1)
        self._asked_turn = 0.0
        self._ground: list[NDArray[np.float64]] = []
        self._fell_at: float | None = None

    def after_tick(self, tick: int, controller: Controller) -> None:
        """Of the loop: measure, and take a frame if one is due."""
        director, scene, spec = self._director, self._scene, self._spec
        if not director.filming:
            return
        time_s, truth = director.time_s, self._simulation.truth()
        yaw, velocity = heading_and_speed(truth)
        speed, turn = scene.command(time_s)
        self._recent.append(float(velocity[0, 0]))
        if controller.outcome.fell and self._fell_at is None:
            self._fell_at = time_s
        if self._fell_at is None:
            self._heading.update(yaw)
            self._asked_turn += turn * spec.control_dt
            self._ground.append(truth.pelvis_position[0, :2])
            if scene.measured(spec, time_s):
                self._measured.append((speed, float(velocity[0, 0])))
        if director.tick % self.every == 0:
            self.take(self._caption(time_s, speed, turn))

    def _caption(self, time_s: float, speed: float, turn: float) -> str:
        command = f"asked {speed:.2f} m/s" + (f", {turn:+.2f} rad/s" if turn else "")
        first = f"{self._scene.title}   {time_s:.1f} s"
        for push in self._scene.pushes:
            if 0.0 <= time_s - push.time_s < PUSH_SHOWN_S:
                first += f"   pushed {push.words(self._spec)}"
        if self._fell_at is not None:
            return f"{first}   fell"
        return f"{first}\n{command}   measured {np.mean(self._recent):.2f} m/s (last second)"

    def figures(self, controller: Controller) -> dict[str, Any]:
        """Plain data in SI units; None where nothing was measured. A fallen robot counts until its fall."""
        asked, speed = np.mean(self._measured, axis=0) if self._measured else (None, None)
        own = controller.figures.summary()
        moved = np.linalg.norm(self._ground[-1] - self._ground[0]) if self._ground else 0.0
        return {
            "asked_speed_m_s": None if asked is None else float(asked),
            "mean_speed_m_s": None if speed is None else float(speed),
            "asked_turn_rad": self._asked_turn,
            "turn_rad": float(self._heading.drift[0]),
            "moved_m": float(moved),
            "swings": own["swings"],
            "swing_clearance_m": own["swing_clearance_m"],
            "fell_at_s": self._fell_at,
            "fault": controller.outcome.fault,
        }


def play(
    spec: RobotSpec, skill: Skill, scene: Scene, options: RobotOptions
) -> tuple[SceneReel, dict[str, Any]]:
    """Simulate one scene with the robot that `options` describe; returns its frames, not rendered yet, and its figures.

    Raises:
        UserError: the robot did not get up.
    """
    session = SessionConfig((skill.file,), robot_options=options, fast=True, publish=False)
    robot = open_robot("sim", spec, options)
    safety = SafetySupervisor(spec, robot)
    identity = new_identity(None, simulated=True)
    telemetry = Telemetry(None, None, identity.robot_name, lossless=True, quiet=True)
    try:
        simulation: Simulation = robot.simulation  # type: ignore[attr-defined]
        director = Director(spec, scene, simulation)
        reel = SceneReel(simulation, spec, scene, director)
        # Ctrl-C ends the program here, not the walk.
        run = RunParts(identity, RunTime(), telemetry, StopSignals())
        controller, clock = assemble(spec, [skill], safety, director, session, run)
        drive(controller, clock, session, reel.after_tick)
    finally:
        telemetry.close()
        safety.close()
    if not reel.frames:
        why = controller.outcome.fault or "it fell"
        raise UserError(
            f"scene {scene.name}: the robot did not stand up ({why}), so there is nothing to film."
        )
    return reel, reel.figures(controller)


def film(
    spec: RobotSpec,
    skill: Skill,
    scenes: Sequence[Scene],
    folder: Path,
    options: RobotOptions,
    advance: Callable[[str, int], None] = lambda note, count: None,
) -> dict[str, Any]:
    """Film `scenes` into `folder`; returns what film.json holds. `advance` gets a scene's title and frames done.

    Raises:
        UserError: a robot did not stand up, or the folder cannot be written to.
    """
    rows = []
    for scene in scenes:
        reel, figures = play(spec, skill, scene, options)
        path = folder / f"{scene.name}.mp4"
        reel.write(path, WIDTH, HEIGHT, lambda title=scene.title: advance(title, 1))  # type: ignore[misc]
        if missing := frames_of(spec, scene) - reel.frames:  # a fall ends a scene early
            advance(scene.title, missing)
        rows.append(
            {
                "scene": scene.name,
                "title": scene.title,
                "file": path.name,
                "bytes": path.stat().st_size,
                "duration_s": float(reel.frames / reel.fps),
                "pushes": [f"{push.words(spec)}, at {push.time_s:g} s" for push in scene.pushes],
                **figures,
            }
        )
    return {
        "policy": skill.file.name,
        "policy_sha256": skill.sha256,
        "robot": spec.name,
        "robot_hash": spec.robot_hash,
        "randomize": options.randomize,
        "seed": options.seed,
        "scenes": rows,
    }


def frames_of(spec: RobotSpec, scene: Scene) -> int:
    """Of a scene's video, when nobody falls."""
    return -(-round(scene.duration_s * spec.control_hz) // Reel.ticks_per_frame(spec.control_hz))
