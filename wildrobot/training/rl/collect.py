"""Collecting a rollout: the robots act and step, and what the ticks said is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildrobot.training.rl.ppo import PPO
from wildrobot.training.rl.rollout import Rollout, Ticks
from wildrobot.training.tasks.environment import Environment

KEPT = ("moment", "terminated", "ended", "features", "window", "window_valid")
"""Of every `Step` until the rollout is whole."""


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
        self._ticks = Ticks(len(rollout.obs))

    def start(self, age: Any) -> None:
        """Reset all rows; `age` (N,) ticks spreads the time-outs."""
        step = self.env.start(age)
        self.obs.copy_(torch.from_numpy(step.obs))
        self.critic_obs.copy_(torch.from_numpy(step.judged.critic_obs))

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
            self._ticks.put(t, {name: getattr(step, name) for name in KEPT})
            lengths.extend(env.age[step.ended].tolist())
        # what was not needed to act is worked out for all ticks at once
        seen = self._ticks.all
        judged, valid = env.judge(seen["moment"]), seen["moment"].valid
        critic_obs = torch.from_numpy(judged.critic_obs)
        rollout.critic_obs[0], rollout.critic_obs[1:] = self.critic_obs, critic_obs[:-1]
        self.critic_obs.copy_(critic_obs[-1])
        self.task_reward.copy_(torch.from_numpy(judged.reward))
        rollout.terminated.copy_(torch.from_numpy(seen["terminated"]))
        # a tick that carried the reset cuts the chain too: it is nobody's next state
        rollout.ended.copy_(torch.from_numpy(seen["ended"] | ~valid))
        rollout.valid.copy_(torch.from_numpy(valid))
        tallies = {}
        for name, value in judged.figures.items():
            known = value[valid & np.isfinite(value)]
            tallies[name] = float(known.sum()), len(known)
        return Collected(
            windows=torch.from_numpy(seen["window"]).float(),
            window_ok=torch.from_numpy(valid & seen["window_valid"]),
            features=seen["features"][seen["window_valid"]],
            sums={name: float(value.sum()) for name, value in judged.terms.items()},
            tallies=tallies,
            falls=int(seen["terminated"].sum()),
            ends=int(seen["ended"].sum()),
            lengths=lengths,
        )
