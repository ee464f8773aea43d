"""A recorded human motion as the importers give it: named joints, their parents, poses in one world frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HumanMotion:
    """T frames of J joints. Frame k is at t = k / fps.

    The unit of length and the up axis are the file's until `scaled` and `z_up` have been applied.
    """

    fps: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 at the root; a parent comes before its children."""
    positions: Array
    """(T, J, 3) joint positions, world."""
    rotations: Array
    """(T, J, 3, 3) world <- joint."""
    source: str
    """File that it comes from."""
    up: int | None = None
    """Axis that points upward, where the format says it; None: found by `z_up`."""

    def __len__(self) -> int:
        return len(self.positions)

    def check(self) -> None:
        """Raise `UserError` when there is too little to work with or a value is not finite."""
        if len(self) < 2:
            raise UserError(f"{self.source} has {len(self)} frames; a motion needs at least 2.")
        if not (np.isfinite(self.fps) and self.fps > 0.0):
            raise UserError(
                f"{self.source}: the frame rate is {self.fps}; expected a positive number per second."
            )
        bad = np.argwhere(~np.isfinite(self.positions))
        if len(bad):
            frame, joint = int(bad[0][0]), int(bad[0][1])
            raise UserError(
                f"{self.source}: the position of '{self.joint_names[joint]}' is not finite at frame {frame}; "
                "cut the frame out or export the motion again."
            )

    def scaled(self, factor: float) -> HumanMotion:
        """The same motion with all lengths multiplied by `factor`."""
        return replace(self, positions=self.positions * factor)

    def turned(self, rotation: Array) -> HumanMotion:
        """The same motion in another world frame: `rotation` (3, 3) new <- old."""
        return replace(self, positions=self.positions @ rotation.T, rotations=rotation @ self.rotations)

    def z_up(self) -> HumanMotion:
        """The same motion with z up.

        A body is longest along the vertical, and its lowest point stays on the floor while the others move,
        so the vertical is the axis with a large extent and a steady lowest point. Files count upwards.
        """
        if self.up is not None:
            return self._with_up(self.up)
        extent = np.mean(np.ptp(self.positions, axis=1), axis=0)
        floor_wander = np.std(np.min(self.positions, axis=1), axis=0)
        score = extent - 2.0 * floor_wander
        return self._with_up(int(np.argmax(score)))

    def _with_up(self, axis: int) -> HumanMotion:
        if axis == 2:
            return replace(self, up=2)
        # A cyclic change of names keeps the frame right-handed: y up -> (z, x, y), x up -> (y, z, x).
        order = [2, 0, 1] if axis == 1 else [1, 2, 0]
        return replace(self.turned(np.eye(3)[order]), up=2)


def unreadable(path: Path, error: OSError, kind: str) -> UserError:
    """What to say of a file that cannot be opened; `kind` is what it should be."""
    return UserError(f"cannot read {path}: {error.strerror or error}. Give {kind} that exists.")


def forward_kinematics(
    parents: tuple[int, ...], offsets: Array, local: Array, translation: Array
) -> tuple[Array, Array]:
    """World positions (T, J, 3) and rotations (T, J, 3, 3) of a skeleton.

    Args:
        parents: parent index per joint, -1 at the root.
        offsets: (J, 3) from the parent's origin, parent frame; or (T, J, 3) where they change over time.
        local: (T, J, 3, 3) parent <- joint.
        translation: (T, 3) added to the root's offset.
    """
    frames, joints = local.shape[:2]
    positions, rotations = np.empty((frames, joints, 3)), np.empty((frames, joints, 3, 3))
    offsets = np.broadcast_to(offsets, (frames, joints, 3))
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint] = offsets[:, joint] + translation
            rotations[:, joint] = local[:, joint]
        else:
            positions[:, joint] = (
                positions[:, parent] + (rotations[:, parent] @ offsets[:, joint, :, None])[..., 0]
            )
            rotations[:, joint] = rotations[:, parent] @ local[:, joint]
    return positions, rotations
