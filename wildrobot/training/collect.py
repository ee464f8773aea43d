"""Collecting a rollout: the robots act and step, and what the ticks said is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildrobot.training.environment import Environment, Step
from wildrobot.training.ppo import PPO
from wildrobot.training.rollout import Rollout


@dataclass
class Collected:
    """What the ticks of an iteration said, beside the rollout."""

    windows: Tensor
    """(T, N, size) of features."""
    window_ok: Tensor
    """(T, N) style is judged there."""
    features: Any
    """(k, F) of those ticks."""
    sums: dict[str, float]
    """Reward terms, added up."""
    tallies: dict[str, tuple[float, int]]
    """The task's figures, added up, and how many there were."""
    falls: int
    ends: int
    lengths: list[int]
    """Of the episodes that ended, ticks."""


class Collector:
    """The robots' present observations, and how a rollout is filled from there."""

    def __init__(self, env: Environment, ppo: PPO, rollout: Rollout, task_reward: Tensor) -> None:
        self.env, self.ppo, self.rollout, self.task_reward = env, ppo, rollout, task_reward
        self.obs, self.critic_obs = torch.zeros_like(rollout.obs[0]), torch.zeros_like(rollout.critic_obs[0])

    def start(self, age: Any) -> None:
        """Reset all rows; `age` (N,) ticks spreads the time-outs."""
        self._remember(self.env.start(age))

    def _remember(self, step: Step) -> None:
        self.obs.copy_(torch.from_numpy(step.obs))
        self.critic_obs.copy_(torch.from_numpy(step.critic_obs))

    def collect(self, generator: torch.Generator) -> Collected:
        """Act and step for the length of the rollout, and fill it in."""
        env, ppo, rollout = self.env, self.ppo, self.rollout
        features, windows, window_ok = [], [], []
        sums: dict[str, float] = {}
        tallies: dict[str, tuple[float, int]] = {}
        falls = ends = 0
        lengths: list[int] = []
        for t in range(len(rollout.obs)):
            action, mean, log_prob = ppo.act(self.obs, generator)
            rollout.obs[t], rollout.critic_obs[t] = self.obs, self.critic_obs
            rollout.actions[t], rollout.means[t], rollout.log_prob[t] = action, mean, log_prob
            step = env.step(action.cpu().numpy())
            self._remember(step)
            self.task_reward[t] = torch.from_numpy(step.reward)
            rollout.terminated[t] = torch.from_numpy(step.terminated)
            # a tick that carried the reset cuts the chain too: it is nobody's next state
            rollout.ended[t] = torch.from_numpy(step.ended | ~step.valid)
            rollout.valid[t] = torch.from_numpy(step.valid)
            features.append(step.features[step.window_valid])
            windows.append(torch.from_numpy(step.window).float())
            window_ok.append(torch.from_numpy(step.valid & step.window_valid))
            for name, value in step.terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.sum())
            for name, value in env.task.figures.items():
                known = value[step.valid & np.isfinite(value)]
                seen = tallies.get(name, (0.0, 0))
                tallies[name] = (seen[0] + float(known.sum()), seen[1] + len(known))
            falls += int(step.terminated.sum())
            ends += int(step.ended.sum())
            lengths.extend(env.age[step.ended].tolist())
        seen_windows = torch.stack(windows), torch.stack(window_ok), np.concatenate(features)
        return Collected(*seen_windows, sums, tallies, falls, ends, lengths)
