"""Somebody beside the virtual robot: moves limp joints, presses feet, tilts the stand, pushes; in the robot's time.

`RobotHands.command` takes the words that `wildrobot virtual-robot` reads from its terminal. `VirtualHands` is the same
person for measurements that run in this process.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable
from typing import IO

import numpy as np

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec
from wildrobot.firmware_bridge.calibration.hands import (
    LetGo,
    MoveJoint,
    PitchNoseDown,
    PressFoot,
    Request,
    TakePose,
)
from wildrobot.firmware_bridge.virtual.faults.text import parse_fault
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot

MOVE_S = 1.2
"""There and back."""
PRESS_S = 1.5
PRESS_N = 15.0
TILT_S = 0.8
_AXES = {"roll": 0, "pitch": 1}


class RobotHands:
    """Does one thing at a time. Call `update` often: hands move with it."""

    def __init__(self, robot: VirtualRobot) -> None:
        self.robot = robot
        self._update: Callable[[float], bool] | None = None
        self._start_ns = 0

    @property
    def busy(self) -> bool:
        """Something is being done."""
        return self._update is not None

    def command(self, line: str) -> None:
        """Begin what a line asks for.

        Raises:
            UserError: it is not understood, or names what the robot does not have.
        """
        words = line.split()
        if not words:
            return
        verb, rest = words[0], words[1:]
        actions: dict[str, Callable[[list[str]], None]] = {
            "move": lambda w: self.move(w[0], float(w[1])),
            "pose": lambda w: self.pose(self._named_pose(w[0])),
            "free": lambda w: self.free(),
            "press": lambda w: self.press(w[0], float(w[1]) if len(w) > 1 else PRESS_N),
            "tilt": lambda w: self.tilt(_AXES[w[0]], float(w[1])),
            "push": lambda w: self.robot.physics.push(np.array([float(w[0]), float(w[1]), 0.0])),
            "plug": lambda w: setattr(self.robot.line(w[0]), "silent", False),
            "unplug": lambda w: setattr(self.robot.line(w[0]), "silent", True),
            "fault": lambda w: self.fault(" ".join(w)),
        }
        try:
            action = actions[verb]
            action(rest)
        except (KeyError, IndexError, ValueError):
            raise UserError(
                f"'{line.strip()}' is not understood. Known: {', '.join(actions)}; --help shows how."
            ) from None

    def _named_pose(self, name: str) -> dict[str, float]:
        spec = self.robot.spec
        angles = {"zero": np.zeros(spec.num_joints), "home": spec.default_joint_pos}[name]
        return dict(zip(spec.joint_names, angles.tolist(), strict=True))

    def update(self) -> None:
        """Let the hands follow the robot's time."""
        if self._update is not None and self._update((self.robot.now_ns - self._start_ns) * 1e-9):
            self._update = None

    def _begin(self, update: Callable[[float], bool]) -> None:
        self._start_ns, self._update = self.robot.now_ns, update

    # ------------------------------------------------------------------ what hands do

    def move(self, joint: str, angle_rad: float) -> None:
        """Move a joint by `angle_rad` from where it is, and back."""
        physics, i = self.robot.physics, self.robot._joint(joint)
        start = float(physics.joint_position[i])

        def update(time_s: float) -> bool:
            if time_s >= MOVE_S:
                physics.hold(None)
                return True
            held = np.full(self.robot.spec.num_joints, np.nan)
            held[i] = start + angle_rad * 0.5 * (1.0 - np.cos(2.0 * np.pi * time_s / MOVE_S))
            physics.hold(held)
            return False

        self._begin(update)

    def pose(self, joint_position: dict[str, float]) -> None:
        """Hold joints at these angles, rad."""
        held = np.full(self.robot.spec.num_joints, np.nan)
        for name, angle in joint_position.items():
            held[self.robot._joint(name)] = angle
        self.robot.physics.hold(held)
        self._begin(lambda time_s: time_s >= MOVE_S)

    def free(self) -> None:
        """Let go."""
        self.robot.physics.hold(None)
        self.robot.physics.hand_force[:] = 0.0
        self._update = None

    def press(self, foot: str, force_n: float = PRESS_N) -> None:
        """Press a pad for a while."""
        pad, force = self.robot.foot(foot), self.robot.physics.hand_force

        def update(time_s: float) -> bool:
            force[pad] = force_n if time_s < PRESS_S else 0.0
            return time_s >= PRESS_S

        self._begin(update)

    def tilt(self, axis: int, angle_rad: float) -> None:
        """Turn the stand about the pelvis's forward (0) or left (1) axis, from upright."""
        rotvec = np.zeros(3)
        rotvec[axis] = angle_rad
        self.robot.physics.tilt(quat_from_rotvec(rotvec), TILT_S)
        self._begin(lambda time_s: time_s >= TILT_S + 0.3)

    def fault(self, text: str) -> None:
        """Schedule a fault for now."""
        self.robot.faults.add(parse_fault(f"{self.robot.now_ns * 1e-9:.3f}s {text}"))


class TypedLines:
    """Commands from a terminal (or a pipe), for a robot that must never wait for one."""

    def __init__(self, hands: RobotHands, source: IO[str], say: Callable[[str], None]) -> None:
        self._hands, self._say = hands, say
        self._fd: int | None = None
        self._rest = b""
        with contextlib.suppress(OSError, ValueError):  # no standard input at all
            self._fd = source.fileno()

    def update(self) -> None:
        """Do what was typed, and let the hands move."""
        self._hands.update()
        if self._fd is None or not self._readable(self._fd):
            return
        data = os.read(self._fd, 4096)
        if not data:
            self._fd = None
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                self._hands.command(line.decode(errors="replace"))
            except UserError as error:
                self._say(str(error))

    @staticmethod
    def _readable(descriptor: int) -> bool:
        # a background job of a shell would be stopped by the kernel if it read the terminal
        with contextlib.suppress(OSError):
            if os.isatty(descriptor) and os.tcgetpgrp(descriptor) != os.getpgrp():
                return False
        return bool(select.select([descriptor], [], [], 0.0)[0])


class VirtualHands:
    """`calibration.hands.Hands` on a virtual robot in this process: does what is asked, agrees to everything."""

    def __init__(self, robot: VirtualRobot) -> None:
        self.hands = RobotHands(robot)
        self.said: list[str] = []
        self.asked: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def agree(self, question: str, moves: bool = False) -> bool:
        self.asked.append(question)
        return True

    def perform(self, request: Request, each: Callable[[], None]) -> bool:
        self.asked.append(request.text)
        self._begin(request)
        while self.hands.busy:
            each()
            self.hands.update()
        return True

    def _begin(self, request: Request) -> None:
        hands = self.hands
        if isinstance(request, MoveJoint):
            hands.move(request.joint, request.angle_rad)
        elif isinstance(request, PressFoot):
            hands.press(request.foot)
        elif isinstance(request, PitchNoseDown):
            hands.tilt(1, request.angle_rad)
        elif isinstance(request, TakePose):
            hands.pose(dict(request.joint_position))
        elif isinstance(request, LetGo):
            hands.free()
