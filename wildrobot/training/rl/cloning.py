"""Warm start: clone the recorded tracker into the policy, which has the gait clock to know the phase by.

The observations are computed anew from the recording's SensorFrames by the signal path of the robot; only the labels
come from the tracker. Rollouts with action noise show the way back (disturbances as in DART, Laskey et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wildrobot.core.config import check_least
from wildrobot.core.progress import Bar
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import is_moving
from wildrobot.signal_path.observation import Layout
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.training.reference.dataset import SENSOR_FIELDS, ReferenceDataset
from wildrobot.training.rl.networks import Actor


@dataclass(frozen=True)
class CloningConfig:
    """Supervised warm start of the actor."""

    updates: int = 4000
    """0 starts from random weights."""
    batch: int = 1024
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        check_least(self, updates=0, batch=1)


def observations(
    spec: RobotSpec, dataset: ReferenceDataset, layout: Layout
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Observations (k, D) float32 of every recorded frame and the tracker's actions (k, n) float32."""
    sizes = np.diff(dataset.begin)
    ticks, rows = int(sizes.max()), dataset.num_rollouts
    index = dataset.begin[:-1, None] + np.minimum(np.arange(ticks)[None, :], sizes[:, None] - 1)
    path = SignalPath(spec, layout, heading_hold=False)
    inputs, labels = [], []
    arrays = {name: dataset.arrays[name] for name in SENSOR_FIELDS}
    for t in range(ticks):
        at = index[:, t]
        now = np.full(rows, t * spec.control_dt)
        frame = SensorFrame.measured(
            now, **{name: values[at].astype(np.float64) for name, values in arrays.items()}
        )
        if t == 0:
            path.reset(frame)
        path.previous_action = dataset.arrays["previous_action"][at].astype(np.float64)
        path.clock.phase = dataset.arrays["phase"][at].astype(np.float64)
        command = dataset.arrays["command"][at].astype(np.float64)
        command = np.where(is_moving(spec, command)[:, None], command, 0.0)
        alive = t < sizes
        inputs.append(path.observe(frame, command).observation[alive])
        labels.append(dataset.arrays["action"][at][alive])
    return np.concatenate(inputs), np.concatenate(labels)


def clone(
    spec: RobotSpec,
    dataset: ReferenceDataset,
    actor: Actor,
    layout: Layout,
    config: CloningConfig,
    seed: int,
) -> str:
    """Fit the actor's mean to the tracker's actions; a sentence for the log, with the error on held-out frames."""
    return fit(actor, *demonstration(spec, dataset, layout), config, seed)


def demonstration(
    spec: RobotSpec, dataset: ReferenceDataset, layout: Layout
) -> tuple[torch.Tensor, torch.Tensor]:
    """Observations (k, D) and actions (k, n) of the tracker."""
    inputs, labels = observations(spec, dataset, layout)
    return torch.from_numpy(inputs), torch.from_numpy(labels)


def fit(actor: Actor, inputs: torch.Tensor, labels: torch.Tensor, config: CloningConfig, seed: int) -> str:
    """Supervised learning of `labels` (k, n) from `inputs` (k, D); a sentence for the log."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=generator)
    held, rest = order[: len(order) // 20], order[len(order) // 20 :]
    actor.normalizer.update(inputs)
    parameters = [value for name, value in actor.named_parameters() if name != "log_std"]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.updates)
    with Bar("cloning", config.updates) as bar:
        for _ in range(config.updates):
            rows = rest[torch.randint(len(rest), (config.batch,), generator=generator)]
            loss = (actor(inputs[rows]) - labels[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.advance(f"rms error {loss.item() ** 0.5:.3f}")
    with torch.no_grad():
        error = (actor(inputs[held]) - labels[held]).square().mean().item() ** 0.5
    return f"cloned {len(inputs)} frames of the tracker; rms action error on held-out frames {error:.3f}"
