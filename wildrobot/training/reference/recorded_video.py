"""A video of recorded clips: their poses, no simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mujoco

from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.picture import picture_model
from wildrobot.simulation.video import VideoWriter
from wildrobot.training.reference.dataset import ReferenceDataset

FPS = 25


def render(
    spec: RobotSpec,
    dataset: ReferenceDataset,
    rollouts: Sequence[tuple[str, int]],
    path: Path,
    seconds: float | None = None,
) -> None:
    """Write the video of rollouts (name of the clip, index of the rollout), one after the other, as an .mp4.

    `seconds` of each are shown; None: all.

    Raises:
        UserError: rendering does not work here, or the folder cannot be written to.
    """
    model = picture_model(spec)
    data = mujoco.MjData(model)
    with VideoWriter(path, model, fps=FPS) as writer:
        elapsed = 0.0
        for name, rollout in rollouts:
            poses = dataset.rollout(rollout, "qpos")
            commands = dataset.rollout(rollout, "command")
            limit = len(poses) if seconds is None else min(len(poses), round(seconds / spec.control_dt))
            for k in range(limit):
                if writer.due(elapsed + k * spec.control_dt):
                    data.qpos[:] = poses[k]
                    mujoco.mj_forward(model, data)
                    writer.add(data, f"{name}   {commands[k, 0]:.2f} m/s   {commands[k, 1]:+.2f} rad/s")
            elapsed += limit * spec.control_dt
