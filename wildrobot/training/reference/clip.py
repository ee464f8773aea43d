"""A planned motion: what a reference is before a simulated robot has executed it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec

Array = NDArray[np.float64]


@dataclass
class PlannedClip:
    """Frames at the control rate; frame k is at t = k * dt. World: z up, floor at 0.

    phase: rad of the stride, 0 when the left swing begins, pi when the right one does; meaningful where `moving`.
    loop: frame T-1 is followed by frame 0, carried on by the root's net motion over T frames.
    """

    name: str
    joint_position: Array
    """(T, n) rad."""
    joint_velocity: Array
    """(T, n) rad/s."""
    root_position: Array
    """(T, 3) m, pelvis origin, world."""
    root_quaternion: Array
    """(T, 4) wxyz, world <- pelvis."""
    root_linear_velocity: Array
    """(T, 3) m/s, world."""
    root_angular_velocity: Array
    """(T, 3) rad/s, world."""
    contact: NDArray[np.bool_]
    """(T, feet) planned contacts, in `spec.foot_names` order."""
    command: Array
    """(T, 2) forward speed m/s and yaw rate rad/s that this motion answers."""
    phase: Array
    """(T,) rad."""
    moving: NDArray[np.bool_]
    """(T,) stepping, not standing."""
    loop: bool
    source: str
    """Where it comes from: generator and parameters, or file and segment."""

    def __len__(self) -> int:
        return len(self.joint_position)

    def part(self, ticks: slice, name: str, source: str, origin: Array) -> PlannedClip:
        """The frames `ticks` under another name, in a world whose origin is at `origin` (2,) m of this one."""
        arrays = {
            field.name: getattr(self, field.name)[ticks]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        arrays["root_position"] = arrays["root_position"] - np.append(origin, 0.0)
        return replace(self, name=name, source=source, **arrays)

    def check(self, spec: RobotSpec) -> None:
        """Raise `UserError` naming the first array that is non-finite, of a wrong shape or outside the joint limits."""
        n = spec.num_joints
        shapes = {
            "joint_position": (n,), "joint_velocity": (n,), "root_position": (3,), "root_quaternion": (4,),
            "root_linear_velocity": (3,), "root_angular_velocity": (3,), "contact": (spec.num_feet,), "command": (2,),
            "phase": (), "moving": (),
        }  # fmt: skip
        for field in fields(self):
            if field.name not in shapes:
                continue
            values = np.asarray(getattr(self, field.name))
            expected = (len(self), *shapes[field.name])
            if values.shape != expected:
                raise UserError(f"clip '{self.name}': {field.name} is {values.shape}, expected {expected}.")
            if not np.all(np.isfinite(values)):
                frame = int(np.argwhere(~np.isfinite(values))[0][0])
                raise UserError(
                    f"clip '{self.name}': {field.name} is not finite at frame {frame}; mend or leave out this motion."
                )
        outside = np.argwhere(
            (self.joint_position < spec.joint_lower - 1e-6) | (self.joint_position > spec.joint_upper + 1e-6)
        )
        if len(outside):
            frame, joint = outside[0]
            raise UserError(
                f"clip '{self.name}': {spec.joint_names[joint]} is {self.joint_position[frame, joint]:.3f} rad at "
                f"frame {frame}, outside {spec.joint_lower[joint]:.3f} .. {spec.joint_upper[joint]:.3f}."
            )
