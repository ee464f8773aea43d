"""Planned clips as the tracking task reads them: unrolled, and laid end to end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.rotations import (
    heading_split,
    quat_from_yaw,
    quat_multiply,
    quat_to_matrix,
    rotate_heading,
    rotate_inverse,
    wrap_angle,
)
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.clip import PlannedClip


def unroll(clip: PlannedClip, frames: int) -> PlannedClip:
    """A periodic clip repeated to at least `frames` frames, the root carried on by its motion over a period."""
    if not clip.loop or len(clip) >= frames:
        return clip
    count = -(-frames // len(clip))
    yaw = heading_split(quat_to_matrix(clip.root_quaternion))[0]
    # net motion over one period: from frame 0 to the frame that would follow the last
    net = 2.0 * clip.root_position[-1] - clip.root_position[-2] - clip.root_position[0]
    net_yaw = float(wrap_angle(2.0 * yaw[-1] - yaw[-2] - yaw[0]))
    net[2] = 0.0
    positions, quaternions, linear, angular = [], [], [], []
    origin, turn = np.zeros(3), 0.0
    for _ in range(count):
        angle = np.full(len(clip), turn)
        positions.append(
            origin + rotate_heading(angle, clip.root_position - clip.root_position[0] * [1, 1, 0])
        )
        quaternions.append(quat_multiply(quat_from_yaw(angle), clip.root_quaternion))
        linear.append(rotate_heading(angle, clip.root_linear_velocity))
        angular.append(rotate_heading(angle, clip.root_angular_velocity))
        origin = origin + rotate_heading(np.asarray(turn), net)
        turn += net_yaw

    def repeat(values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values] * count)

    return PlannedClip(
        name=clip.name,
        joint_position=repeat(clip.joint_position),
        joint_velocity=repeat(clip.joint_velocity),
        root_position=np.concatenate(positions),
        root_quaternion=np.concatenate(quaternions),
        root_linear_velocity=np.concatenate(linear),
        root_angular_velocity=np.concatenate(angular),
        contact=repeat(clip.contact),
        command=repeat(clip.command),
        phase=repeat(clip.phase),
        moving=repeat(clip.moving),
        loop=False,
        source=clip.source,
    )


class ClipLibrary:
    """Clips laid end to end: arrays (total, ...), first frame `begin` (c,) and length `length` (c,)."""

    def __init__(self, spec: RobotSpec, clips: list[PlannedClip], min_frames: int) -> None:
        for clip in clips:
            clip.check(spec)
        self.clips = [unroll(clip, min_frames) for clip in clips]
        self.length = np.array([len(clip) for clip in self.clips])
        self.begin = np.concatenate([[0], np.cumsum(self.length)[:-1]])

        def stack(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(clip, name) for clip in self.clips])

        self.joint_position, self.joint_velocity = stack("joint_position"), stack("joint_velocity")
        self.root_position, self.root_quaternion = stack("root_position"), stack("root_quaternion")
        self.contact, self.command = stack("contact").astype(np.float64), stack("command")
        self.phase, self.moving = stack("phase"), stack("moving")
        rotation = quat_to_matrix(self.root_quaternion)
        self.yaw, _ = heading_split(rotation)
        self.up = rotation[:, 2, :]
        velocity, rate = stack("root_linear_velocity"), stack("root_angular_velocity")
        self.root_velocity = velocity
        self.root_rate_pelvis = rotate_inverse(rotation, rate)
        self.velocity_heading = rotate_heading(self.yaw, velocity, inverse=True)
        self.yaw_rate = rate[:, 2]
        self.clock = np.stack([np.sin(self.phase), np.cos(self.phase)], axis=-1) * self.moving[:, None]
