"""`wildrobot film`: a policy's short videos, scene by scene, through the same loop as `wildrobot-run`."""

from __future__ import annotations

import inspect
import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import write_text
from wildrobot.core.progress import Bar
from wildrobot.core.rotations import rotate_heading
from wildrobot.reports.film_page import build_page, outcome
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.commands.source import OperatorCommand, StopSignals
from wildrobot.runtime.control.controller import Controller
from wildrobot.runtime.control.safety import SafetySupervisor
from wildrobot.runtime.control.session import SessionConfig, assemble, drive
from wildrobot.runtime.control.skills import Skill, load_skill
from wildrobot.runtime.control.state_machine import State
from wildrobot.runtime.robots.base import RobotOptions
from wildrobot.runtime.robots.choice import open_robot
from wildrobot.runtime.telemetry.telemetry import Telemetry
from wildrobot.signal_path.command import is_moving
from wildrobot.signal_path.shipped import shipped_policy
from wildrobot.simulation.gait_figures import HeadingDrift, heading_and_speed
from wildrobot.simulation.reel import Reel
from wildrobot.simulation.simulation import Simulation
from wildrobot.simulation.video import video_available

SETTLE_S = 1.5
"""After a change of the command its speed is not measured for so long."""
PUSH_SHOWN_S = 0.6
WIDTH, HEIGHT = 640, 360


@dataclass(frozen=True)
class Push:
    """A sudden change of the whole robot's velocity."""

    time_s: float
    """From the scene's beginning."""
    forward_m_s: float = 0.0
    left_m_s: float = 0.0
    """In the robot's heading frame at that moment."""

    def words(self, spec: RobotSpec) -> str:
        """Direction and impulse, for a person."""
        forward, left = self.forward_m_s, self.left_m_s
        names = ["forward" if forward > 0 else "backward"] if forward else []
        names += ["to the left" if left > 0 else "to the right"] if left else []
        return f"{' and '.join(names)}, {spec.total_mass * np.hypot(forward, left):.1f} N s"


@dataclass(frozen=True)
class Scene:
    """What one video shows. Time counts from when the robot first stands."""

    name: str
    """Of its file, without .mp4."""
    title: str
    commands: tuple[tuple[float, float, float], ...]
    """From when (s, the first one 0), forward speed (m/s), turning rate (rad/s, positive left)."""
    duration_s: float = 7.0
    pushes: tuple[Push, ...] = ()

    def command(self, time_s: float) -> tuple[float, float]:
        """Forward speed (m/s) and turning rate (rad/s) asked for at a time."""
        return self._since(time_s)[1:]

    def measured(self, spec: RobotSpec, time_s: float) -> bool:
        """Whether the speed counts: the command is `SETTLE_S` old, and to move if any of the scene's is."""
        begin, *command = self._since(time_s)
        any_moves = any(is_moving(spec, np.array(entry[1:])) for entry in self.commands)
        return time_s - begin >= SETTLE_S - 1e-9 and (
            not any_moves or bool(is_moving(spec, np.array(command)))
        )

    def _since(self, time_s: float) -> tuple[float, float, float]:
        return next(entry for entry in reversed(self.commands) if entry[0] <= time_s + 1e-9)


STILL = (0.0, 0.0, 0.0)
SCENES = (
    Scene("stand", "Standing", (STILL,), 6.0),
    Scene("walk_015", "Walking at 0.15 m/s", (STILL, (1.0, 0.15, 0.0))),
    Scene("walk_030", "Walking at 0.30 m/s", (STILL, (1.0, 0.3, 0.0))),
    Scene("walk_050", "Walking at 0.50 m/s", (STILL, (1.0, 0.5, 0.0))),
    Scene(
        "push",
        "Pushed while walking",
        (STILL, (1.0, 0.3, 0.0)),
        8.0,
        (Push(3.0, left_m_s=0.4), Push(5.5, forward_m_s=-0.4)),
    ),
    Scene(
        "start_stop",
        "Starting and stopping",
        (STILL, (1.0, 0.3, 0.0), (3.6, 0.0, 0.0), (5.0, 0.3, 0.0), (7.0, 0.0, 0.0)),
        8.0,
    ),
    Scene("turn", "Turning while walking", (STILL, (1.0, 0.2, 0.4)), 8.0),
    Scene("turn_on_the_spot", "Turning on the spot", (STILL, (1.0, 0.0, -0.4))),
)
"""What a person wants to see of a policy."""


@dataclass(frozen=True)
class FilmConfig:
    """Render a policy's short videos, one for each scene, and a page that shows them all.

    The simulated robot stands, walks at three speeds, is pushed, starts and stops, and turns, through the loop of
    `wildrobot-run`. FOLDER gets an .mp4 for each scene, index.html, and film.json with the figures; `wildrobot report
    RUN` takes up RUN/film. The same seed gives the same motion. Exit code: 0 filmed, whether it fell or not; 2 bad
    input, or no video on this machine.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder for the videos and their page."""
    policy: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[POLICY]")] = None
    """Exported policy (.onnx); without one: that which comes with WildRobot."""
    scenes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """Only these scenes. Default: all that the robot's command ranges allow."""
    randomize: bool = False
    """Another robot than the described one: friction, masses, servo gains, sensor noise drawn as in wildrobot-run."""
    seed: int = 0
    """Of what --randomize draws, and of the sensors' noise."""
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
    """robot.yaml of another robot."""


EXAMPLES = f"""examples:
  wildrobot film --out runs/film
  wildrobot film runs/first/policy.onnx --out runs/first/film     # then: wildrobot report runs/first
  wildrobot film runs/first/policy.onnx --out /tmp/film --scenes walk_030 push --randomize --seed 3

scenes: {", ".join(scene.name for scene in SCENES)}"""


def choose(names: Sequence[str], spec: RobotSpec) -> list[Scene]:
    """Scenes by name, in the order of `SCENES`; without a name all that the robot is meant to do.

    Raises:
        UserError: a name is unknown, or the robot is not meant to do what its scene asks for.
    """
    known = [scene.name for scene in SCENES]
    for name in names:
        if name not in known:
            raise UserError(f"there is no scene '{name}'. Known: {', '.join(known)}.")
    wanted = [scene for scene in SCENES if not names or scene.name in names]
    able = [s for s in wanted if all(takes(spec, speed, turn) for _, speed, turn in s.commands)]
    if able == wanted or (able and not names):
        return able
    scene = next(scene for scene in wanted if scene not in able)
    speed, turn = next(command[1:] for command in scene.commands if not takes(spec, *command[1:]))
    ranges = spec.command
    raise UserError(
        f"scene {scene.name} asks for {speed:g} m/s and {turn:g} rad/s, but {spec.name} takes "
        f"{ranges.linear_velocity_x} m/s and {ranges.yaw_rate} rad/s. Choose others with --scenes."
    )


def takes(spec: RobotSpec, speed: float, turn: float) -> bool:
    """Whether a command lies in the ranges of robot.yaml."""
    asked = OperatorCommand(speed, turn)
    return asked == asked.clipped(spec)


class Director:
    """The scene as a command source: asks to stand up, counts from standing on, commands, pushes, ends."""

    def __init__(self, spec: RobotSpec, scene: Scene, simulation: Any) -> None:
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

    def _push(self, push: Push) -> None:
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
        self._ground: list[Any] = []
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


def play(spec: RobotSpec, skill: Skill, scene: Scene, config: FilmConfig) -> tuple[SceneReel, dict[str, Any]]:
    """Simulate one scene; returns its frames, not rendered yet, and its figures.

    Raises:
        UserError: the robot did not get up.
    """
    options = RobotOptions(config.seed, randomize=config.randomize)
    session = SessionConfig((skill.file,), robot_options=options, fast=True, publish=False)
    robot = open_robot("sim", spec, options)
    safety = SafetySupervisor(spec, robot)
    telemetry = Telemetry(None, None, lossless=True, quiet=True)
    try:
        simulation: Simulation = robot.simulation  # type: ignore[attr-defined]
        director = Director(spec, scene, simulation)
        reel = SceneReel(simulation, spec, scene, director)
        # Ctrl-C ends the program here, not the walk.
        controller, clock = assemble(spec, [skill], safety, director, telemetry, StopSignals(), session)
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
    config: FilmConfig,
    advance: Callable[[str, int], None] = lambda note, count: None,
) -> dict[str, Any]:
    """Film `scenes` into the folder; returns what film.json holds. `advance` gets a scene's title and frames done.

    Raises:
        UserError: a robot did not stand up, or the folder cannot be written to.
    """
    rows = []
    for scene in scenes:
        reel, figures = play(spec, skill, scene, config)
        path = config.out / f"{scene.name}.mp4"
        reel.write(path, WIDTH, HEIGHT, lambda title=scene.title: advance(title, 1))  # type: ignore[misc]
        if missing := _frames(spec, scene) - reel.frames:  # a fall ends a scene early
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
        "randomize": config.randomize,
        "seed": config.seed,
        "scenes": rows,
    }


def _frames(spec: RobotSpec, scene: Scene) -> int:
    return -(-round(scene.duration_s * spec.control_hz) // Reel.ticks_per_frame(spec.control_hz))


def prepare(folder: Path) -> None:
    """Make the folder; take away the page and figures of earlier films, which no longer tell of all that is there.

    Raises:
        UserError: it is a file, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("index.html", "film.json"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write --out {folder}: {error.strerror}. Choose a folder to write to."
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write --out {folder}: no permission. Choose a folder to write to.")


def _main(argv: Sequence[str]) -> int:
    config = tyro.cli(
        FilmConfig,
        prog="wildrobot film",
        args=list(argv),
        description=f"{inspect.cleandoc(FilmConfig.__doc__ or '')}\n\n{EXAMPLES}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    spec = load_robot(config.robot)
    scenes = choose(config.scenes, spec)
    skill = load_skill(spec, config.policy or shipped_policy(spec))
    available, reason = video_available()
    if not available:
        raise UserError(f"cannot film: {reason}")
    prepare(config.out)
    with Bar("filming", sum(_frames(spec, scene) for scene in scenes)) as bar:
        document = film(spec, skill, scenes, config, bar.advance)
    write_text(config.out / "film.json", json.dumps(document, indent=1) + "\n")
    write_text(config.out / "index.html", build_page(document))
    for row in document["scenes"]:
        size = f"{row['bytes'] / 1000:.0f} kB"
        print(f"  {row['file']:<22} {size:>7}   {outcome(row)}")
    print(f"page: {config.out / 'index.html'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `wildrobot film`."""
    return run_main(_main, argv)
