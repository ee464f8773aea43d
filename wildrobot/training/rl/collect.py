"""Collecting a rollout: the robots act and step, and what the steps gave is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wildrobot.training.rl.ppo import PPO
from wildrobot.training.rl.rollout import Rollout, StepBuffer
from wildrobot.training.tasks.environment import Environment

Array = NDArray[np.float64]

KEPT = ("data", "terminated", "done", "features", "window", "window_valid")
"""Of every `StepResult` until the rollout is whole."""


@dataclass
class Collected:
    """What the steps of an iteration gave, beside the rollout."""

    windows: Tensor
    """(T, N, size) of features."""
    window_valid: Tensor
    """(T, N) style is judged there."""
    features: Array
    """(k, F) of those ticks."""
    reward_sums: dict[str, float]
    """Of each term."""
    figure_sums: dict[str, tuple[float, int]]
    """Of each of the task's figures, and how many there were."""
    falls: int
    dones: int
    lengths: list[int]
    """Of the episodes that ended, ticks."""


class Collector:
    """The robots' present observations, and how a rollout is filled from there."""

    def __init__(self, env: Environment, ppo: PPO, rollout: Rollout, task_reward: Tensor) -> None:
        self.env, self.ppo, self.rollout, self.task_reward = env, ppo, rollout, task_reward
        self.obs, self.critic_obs = torch.zeros_like(rollout.obs[0]), torch.zeros_like(rollout.critic_obs[0])
        self._buffer = StepBuffer(len(rollout.obs))

    def reset(self, age: NDArray[np.int64]) -> None:
        """Reset all rows; `age` (N,) ticks spreads the time-outs."""
        step = self.env.reset(age)
        self.obs.copy_(torch.from_numpy(step.obs))
        self.critic_obs.copy_(torch.from_numpy(step.critic_obs))

    def collect(self, generator: torch.Generator) -> Collected:
        """Act and step for the length of the rollout, and fill it in."""
        env, ppo, rollout = self.env, self.ppo, self.rollout
        lengths: list[int] = []
        for t in range(len(rollout.obs)):
            action, mean, log_prob = ppo.act(self.obs, generator)
            rollout.obs[t] = self.obs
            rollout.actions[t], rollout.means[t], rollout.log_prob[t] = action, mean, log_prob
            step = env.step(action.cpu().numpy())
            self.obs.copy_(torch.from_numpy(step.obs))
            self._buffer.store(t, {name: getattr(step, name) for name in KEPT})
            lengths.extend(env.age[step.done].tolist())
        # what was not needed to act is computed for all steps at once
        steps = self._buffer.steps
        data, valid = steps["data"], steps["data"].valid
        rewards, critic_obs = env.compute_rewards(data), torch.from_numpy(env.critic_observation(data))
        rollout.critic_obs[0], rollout.critic_obs[1:] = self.critic_obs, critic_obs[:-1]
        self.critic_obs.copy_(critic_obs[-1])
        self.task_reward.copy_(torch.from_numpy(rewards.total))
        rollout.terminated.copy_(torch.from_numpy(steps["terminated"]))
        # a tick that carried the reset cuts the chain too: it is nobody's next state
        rollout.dones.copy_(torch.from_numpy(steps["done"] | ~valid))
        rollout.valid.copy_(torch.from_numpy(valid))
        figure_sums = {}
        for name, value in rewards.figures.items():
            known = value[valid & np.isfinite(value)]
            figure_sums[name] = float(known.sum()), len(known)
        return Collected(
            windows=torch.from_numpy(steps["window"]).float(),
            window_valid=torch.from_numpy(valid & steps["window_valid"]),
            features=steps["features"][steps["window_valid"]],
            reward_sums={name: float(value.sum()) for name, value in rewards.terms.items()},
            figure_sums=figure_sums,
            falls=int(steps["terminated"].sum()),
            dones=int(steps["done"].sum()),
            lengths=lengths,
        )
