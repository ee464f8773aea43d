"""What the short videos of a policy show: commands over time, and pushes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.nearest import did_you_mean
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.commands.source import OperatorCommand
from wildrobot.signal_path.command import is_moving

SETTLE_S = 1.5
"""After a change of the command its speed is not measured for so long."""


@dataclass(frozen=True)
class ScenePush:
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
    pushes: tuple[ScenePush, ...] = ()

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
        (ScenePush(3.0, left_m_s=0.4), ScenePush(5.5, forward_m_s=-0.4)),
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


def choose(names: Sequence[str], spec: RobotSpec) -> list[Scene]:
    """Scenes by name, in the order of `SCENES`; without a name all that the robot is meant to do.

    Raises:
        UserError: a name is unknown, or the robot is not meant to do what its scene asks for.
    """
    known = [scene.name for scene in SCENES]
    for name in names:
        if name not in known:
            raise UserError(f"there is no scene '{name}'; {did_you_mean(name, known)}")
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
