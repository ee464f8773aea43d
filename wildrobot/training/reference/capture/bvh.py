"""Motion capture from Biovision Hierarchy (BVH) files.

The format has no standard; this follows M. Meredith and S. Maddock, "Motion Capture File Formats Explained"
(2001). Rotations are in degrees and are applied in the order in which the channels are listed, v' = R_1 R_2
R_3 v.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.training.reference.capture.human_motion import HumanMotion, forward_kinematics, unreadable

Array = NDArray[np.float64]
_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass
class _Joint:
    name: str
    parent: int
    offset: Array
    channels: list[str] = field(default_factory=list)
    """Lower case, in the file's order, for example "zrotation"."""


class _Lines:
    """The file's lines that are not empty, with their numbers for the errors."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        numbered = [(i, line.split()) for i, line in enumerate(text.splitlines(), start=1)]
        self._lines = [(i, words) for i, words in numbered if words]
        self._next = 0
        self.number = 0

    def peek(self) -> list[str]:
        """Words of the next line; empty at the end of the file."""
        return self._lines[self._next][1] if self._next < len(self._lines) else []

    def take(self, expected: str) -> list[str]:
        """Words of the next line; an error that says what was `expected` at the end of the file."""
        if self._next >= len(self._lines):
            raise UserError(
                f"{self.path} ends after line {self.number}, expected {expected}; the file is truncated."
            )
        self.number, words = self._lines[self._next]
        self._next += 1
        return words

    def fail(self, expected: str, words: list[str]) -> UserError:
        found = " ".join(words)[:60]
        return UserError(
            f"{self.path}, line {self.number}: found '{found}', expected {expected}. Mend or export it again."
        )

    def numbers(self, words: list[str], count: int, expected: str) -> list[float]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.fail(expected, words) from None
        if len(values) != count or not np.all(np.isfinite(values)):
            raise self.fail(f"{expected} ({count} finite numbers, here are {len(words)} words)", words)
        return values


def load_bvh(path: str | Path) -> HumanMotion:
    """Read a BVH file. Length unit and up axis stay the file's; end sites become joints named `<parent>_end`.

    Raises:
        UserError: the file cannot be read, or a line (named) is not what the format asks for.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise unreadable(path, error, "a BVH file") from error
    lines = _Lines(path, text)
    words = lines.take("the word HIERARCHY")
    if words[0].upper() != "HIERARCHY":
        raise lines.fail("the word HIERARCHY, with which a BVH file begins", words)
    joints: list[_Joint] = []
    words = lines.take("ROOT")
    if words[0].upper() != "ROOT":
        raise lines.fail("ROOT and a name", words)
    _read_joint(lines, joints, " ".join(words[1:]) or "root", -1)
    fps, channels = _read_motion(lines, sum(len(joint.channels) for joint in joints))
    motion = _pose(joints, channels, fps, str(path))
    motion.check()
    return motion


def _read_joint(lines: _Lines, joints: list[_Joint], name: str, parent: int) -> None:
    """Read one `{ … }` block and, by recursion, what hangs below it."""
    words = lines.take("an opening brace")
    if words != ["{"]:
        raise lines.fail(f"'{{' after the name '{name}'", words)
    index = len(joints)
    joints.append(_Joint(name, parent, np.zeros(3)))
    while True:
        words = lines.take(f"the closing brace of '{name}'")
        key = words[0].upper()
        if key == "}":
            return
        if key == "OFFSET":
            joints[index].offset = np.array(lines.numbers(words[1:], 3, "OFFSET and x, y, z"))
        elif key == "CHANNELS":
            joints[index].channels = _channels(lines, words)
        elif key == "JOINT":
            _read_joint(lines, joints, " ".join(words[1:]) or f"joint{len(joints)}", index)
        elif key == "END":
            _read_joint(lines, joints, f"{name}_end", index)
        else:
            raise lines.fail("OFFSET, CHANNELS, JOINT, End Site or '}'", words)


def _channels(lines: _Lines, words: list[str]) -> list[str]:
    names = [word.lower() for word in words[2:]]
    known = [n for n in names if n[:1] in _AXES and n[1:] in ("position", "rotation")]
    if len(words) < 2 or not words[1].isdigit() or int(words[1]) != len(names) or known != names:
        raise lines.fail("CHANNELS, their count, and that many names like Xposition or Zrotation", words)
    if len(set(names)) != len(names):
        raise lines.fail("CHANNELS without a repeated name", words)
    return names


def _read_motion(lines: _Lines, channel_count: int) -> tuple[float, Array]:
    """Frame rate and channel values (T, channels)."""
    words = lines.take("the word MOTION")
    if words[0].upper() != "MOTION":
        raise lines.fail("the word MOTION", words)
    words = lines.take("Frames:")
    if words[0].upper() != "FRAMES:" or len(words) != 2 or not words[1].isdigit():
        raise lines.fail("'Frames:' and their number", words)
    count = int(words[1])
    words = lines.take("Frame Time:")
    if [word.upper() for word in words[:2]] != ["FRAME", "TIME:"]:
        raise lines.fail("'Frame Time:' and seconds", words)
    (frame_time,) = lines.numbers(words[2:], 1, "'Frame Time:' and seconds")
    if frame_time <= 0.0:
        raise lines.fail("a positive frame time", words)
    values = np.empty((count, channel_count))
    for k in range(count):
        words = lines.take(f"{count} frames (it has {k})")
        values[k] = lines.numbers(words, channel_count, f"the {channel_count} channels of frame {k}")
    if lines.peek():
        words = lines.take("the end")
        raise lines.fail(f"the end of the file after {count} frames", words)
    return 1.0 / frame_time, values


def _pose(joints: list[_Joint], channels: Array, fps: float, source: str) -> HumanMotion:
    frames = len(channels)
    local = np.tile(np.eye(3), (frames, len(joints), 1, 1))
    offsets = np.tile(np.array([joint.offset for joint in joints]), (frames, 1, 1))
    column = 0
    for index, joint in enumerate(joints):
        positioned = {name[0] for name in joint.channels if name.endswith("position")}
        for axis in positioned:
            # Position channels of the root move its offset; below it exporters mean them to replace the
            # offset.
            if joint.parent >= 0:
                offsets[:, index, _AXES[axis]] = 0.0
        for name in joint.channels:
            axis_index, values = _AXES[name[0]], channels[:, column]
            if name.endswith("position"):
                offsets[:, index, axis_index] += values
            else:
                local[:, index] = local[:, index] @ _axis_rotation(axis_index, np.radians(values))
            column += 1
    parents = tuple(joint.parent for joint in joints)
    positions, rotations = forward_kinematics(parents, offsets, local, np.zeros((frames, 3)))
    return HumanMotion(fps, tuple(joint.name for joint in joints), parents, positions, rotations, source)


def _axis_rotation(axis: int, angle: Array) -> Array:
    """Rotations (T, 3, 3) about coordinate axis 0, 1 or 2 by angles (T,), rad."""
    matrix = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -np.sin(angle)
    return matrix
