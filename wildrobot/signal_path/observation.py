"""The policy's observation: named slices with scales and history, and its mirror image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.state import Stateful
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import AXIAL, POLAR, Mirror, joined
from wildrobot.signal_path.command import COMMAND_NAMES
from wildrobot.signal_path.features import feature_mirror, num_features


@dataclass(frozen=True)
class ObservationTerm:
    """One slice: `frames` ticks of `size` values each (oldest first), multiplied by `scale`."""

    name: str
    size: int
    frames: int
    scale: float


Layout = tuple[ObservationTerm, ...]
DEFAULT_FRAMES = {
    "features": 2, "projected_gravity": 1, "linear_velocity": 1, "command": 1, "previous_action": 2, "gait_clock": 1,
}  # fmt: skip
"""Slices and their number of history frames that policies are trained with unless told."""


def term_sizes(spec: RobotSpec) -> dict[str, int]:
    """Every slice that an observation may contain, and how many values one tick of it has.

    features: see features.py · projected_gravity: unit vector, pelvis frame · linear_velocity: m/s, heading frame,
    estimated · command: m/s and rad/s · previous_action: the policy's raw answers · gait_clock: (sin, cos), zeros
    when the command is to stand.

    Axes of a body instead of the heading frame, as other frameworks' policies read them: pelvis_angular_velocity: rad/s
    · pelvis_linear_velocity: m/s, estimated · torso_angular_velocity: rad/s, the gyroscope's.
    """
    return {
        "features": num_features(spec),
        "projected_gravity": 3,
        "linear_velocity": 3,
        "command": len(COMMAND_NAMES),
        "previous_action": spec.num_joints,
        "gait_clock": 2,
        "pelvis_angular_velocity": 3,
        "pelvis_linear_velocity": 3,
        "torso_angular_velocity": 3,
    }


def make_layout(spec: RobotSpec, frames: dict[str, int]) -> Layout:
    """A layout from slice names and their number of history frames; `UserError` for an unknown name."""
    sizes = term_sizes(spec)
    unknown = sorted(set(frames) - set(sizes))
    if unknown:
        raise UserError(f"unknown observation slices {unknown}; known: {', '.join(sizes)}.")
    return tuple(ObservationTerm(name, sizes[name], count, 1.0) for name, count in frames.items())


def default_layout(spec: RobotSpec) -> Layout:
    """The layout that the shipped presets train with."""
    return make_layout(spec, DEFAULT_FRAMES)


def layout_size(layout: Layout) -> int:
    """Length of the observation."""
    return sum(term.size * term.frames for term in layout)


def layout_to_dicts(layout: Layout) -> list[dict[str, Any]]:
    """Plain data for the contract."""
    return [asdict(term) for term in layout]


def layout_from_dicts(terms: list[dict[str, Any]]) -> Layout:
    """Inverse of `layout_to_dicts`."""
    return tuple(
        ObservationTerm(str(t["name"]), int(t["size"]), int(t["frames"]), float(t["scale"])) for t in terms
    )


def observation_mirror(spec: RobotSpec, layout: Layout) -> Mirror:
    """Index and sign (D,) of the mirrored observation: mirrored[i] = sign[i] * observation[index[i]]."""
    parts = {
        "features": feature_mirror(spec),
        "projected_gravity": POLAR,
        "linear_velocity": POLAR,
        "command": (np.arange(2), np.array([1.0, -1.0])),
        "previous_action": spec.mirror.joints,
        # half a stride later: left and right change places
        "gait_clock": (np.arange(2), np.array([-1.0, -1.0])),
        "pelvis_angular_velocity": AXIAL,
        "pelvis_linear_velocity": POLAR,
        "torso_angular_velocity": AXIAL,
    }
    return joined([parts[term.name] for term in layout for _ in range(term.frames)])


class ObservationBuilder(Stateful):
    """Keeps each slice's history and writes the observation (..., D) float32.

    slice memory   [oldest | ... | newest]  <- push() moves left by one tick and writes at the end
    """

    state_fields = ("_memory",)

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.size = layout_size(layout)
        self._scale = np.concatenate([np.full(term.size, term.scale) for term in layout])
        # where a value of the next memory stands in [memory, newest], and in newest alone
        self._moved, self._newest = _places(layout)
        self._memory: NDArray[np.float32] | None = None

    def push(self, values: dict[str, NDArray[np.float64]], fresh: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Add one tick and return the observation.

        `values` maps slice names to (..., size) arrays. Rows where `fresh` (...) is True have no past: their whole
        history is filled with this tick, so that it never spans a reset.
        """
        shape = np.shape(fresh)
        if self._memory is None or self._memory.shape[:-1] != shape:
            self._memory = np.zeros((*shape, self.size), dtype=np.float32)
            fresh = np.ones(shape, dtype=bool)
        newest = np.concatenate([values[term.name] for term in self.layout], axis=-1) * self._scale
        newest = newest.astype(np.float32)
        self._memory = np.concatenate([self._memory, newest], axis=-1).take(self._moved, axis=-1)
        if fresh.any():
            filled = newest.take(self._newest, axis=-1)
            self._memory = np.where(np.asarray(fresh)[..., None], filled, self._memory)
        return self._memory


def _places(layout: Layout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(D,) indices into [memory (D), newest] that move every slice on by one tick, and into newest alone."""
    size = layout_size(layout)
    moved, newest, start, first = [], [], 0, 0
    for term in layout:
        own = first + np.arange(term.size)
        moved += [start + term.size + np.arange((term.frames - 1) * term.size), size + own]
        newest += [own] * term.frames
        start, first = start + term.frames * term.size, first + term.size
    return np.concatenate(moved), np.concatenate(newest)
