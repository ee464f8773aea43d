"""WildRobot's own training: PPO with the motion prior, as `wildrobot train` runs it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.setup import TrainConfig, make_runner

OURS, PPO_ALONE = "wildrobot", "wildrobot_ppo"


class Ours:
    """`Runner.iterate`: PPO and AMP on `mujoco.batch`, or the same PPO on the task reward alone."""

    def __init__(
        self, spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset, amp: bool = True
    ) -> None:
        self.name = OURS if amp else PPO_ALONE
        if not amp:
            config = dataclasses.replace(config, mix=dataclasses.replace(config.mix, streams="sum"))
        self._runner = make_runner(spec, config, dataset)
        if not amp:
            self._runner.amp = None
        self._runner.start()
        self.extra: dict[str, Any] = {}

    def iterate(self) -> tuple[int, float]:
        """One rollout and update: control steps, and task reward per control tick."""
        before = self._runner.total_steps
        metrics = self._runner.iterate()
        return self._runner.total_steps - before, float(metrics["task_reward_mean"])

    def cpu_seconds(self) -> float:
        """CPU time of this process, s."""
        return time.process_time()

    def close(self) -> None:
        """Nothing to end."""
