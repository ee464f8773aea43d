"""Collecting a rollout: the robots act and step, and what the ticks said is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildrobot.training.environment import Environment, Step, stacked
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
        step = self.env.start(age)
        self.obs.copy_(torch.from_numpy(step.obs))
        self.critic_obs.copy_(torch.from_numpy(step.judged.critic_obs))

    def collect(self, generator: torch.Generator) -> Collected:
        """Act and step for the length of the rollout, and fill it in."""
        env, ppo, rollout = self.env, self.ppo, self.rollout
        steps: list[Step] = []
        lengths: list[int] = []
        for t in range(len(rollout.obs)):
            action, mean, log_prob = ppo.act(self.obs, generator)
            rollout.obs[t] = self.obs
            rollout.actions[t], rollout.means[t], rollout.log_prob[t] = action, mean, log_prob
            step = env.step(action.cpu().numpy())
            self.obs.copy_(torch.from_numpy(step.obs))
            steps.append(step)
            lengths.extend(env.age[step.ended].tolist())
        # what was not needed to act is worked out for all ticks at once
        moment = stacked([step.moment for step in steps])
        judged = env.judge(moment)
        seen = torch.from_numpy(judged.critic_obs)
        rollout.critic_obs[0], rollout.critic_obs[1:] = self.critic_obs, seen[:-1]
        self.critic_obs.copy_(seen[-1])
        self.task_reward.copy_(torch.from_numpy(judged.reward))
        terminated, ended = (np.stack([getattr(s, name) for s in steps]) for name in ("terminated", "ended"))
        rollout.terminated.copy_(torch.from_numpy(terminated))
        # a tick that carried the reset cuts the chain too: it is nobody's next state
        rollout.ended.copy_(torch.from_numpy(ended | ~moment.valid))
        rollout.valid.copy_(torch.from_numpy(moment.valid))
        tallies = {}
        for name, value in judged.figures.items():
            known = value[moment.valid & np.isfinite(value)]
            tallies[name] = float(known.sum()), len(known)
        window_ok = np.stack([step.window_valid for step in steps])
        windows = np.stack([step.window for step in steps], dtype=np.float32, casting="same_kind")
        return Collected(
            windows=torch.from_numpy(windows),
            window_ok=torch.from_numpy(moment.valid & window_ok),
            features=np.stack([step.features for step in steps])[window_ok],
            sums={name: float(value.sum()) for name, value in judged.terms.items()},
            tallies=tallies,
            falls=int(terminated.sum()),
            ends=int(ended.sum()),
            lengths=lengths,
        )
