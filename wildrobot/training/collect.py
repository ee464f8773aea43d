"""Collecting a rollout: robots in groups, each with a simulator, an environment and a thread of its own.

While Python works on the readings of one group the physics of another one goes on, and no core waits for the other.
How the robots are grouped depends on their number alone, and so do the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildrobot.training.environment import Environment, Step
from wildrobot.training.ppo import PPO
from wildrobot.training.processes import threads_of_each
from wildrobot.training.rollout import Rollout

SMALLEST_GROUP = 128
"""Fewer robots than two of these stay together."""
SEED_STRIDE = 500_000
"""Between the seeds of two groups; those of two processes are twice as far apart."""


def groups_of(num_envs: int, seed: int, threads: int) -> list[tuple[int, int, int]]:
    """Number of robots, seed and physics threads (of `threads`; 0: all CPUs) of each group."""
    count = 2 if num_envs >= 2 * SMALLEST_GROUP else 1
    each = max(1, (threads or threads_of_each()) // count)
    return [((num_envs + i) // count, seed + SEED_STRIDE * i, each) for i in range(count)]


@dataclass
class Collected:
    """What the ticks of an iteration said, beside the rollout."""

    windows: Tensor
    """(T, N, size) of features."""
    window_ok: Tensor
    """(T, N) style is judged there."""
    features: Any
    """(k, F) of those ticks."""
    sums: dict[str, float] = field(default_factory=dict)
    """Reward terms, added up."""
    tallies: dict[str, tuple[float, int]] = field(default_factory=dict)
    """The task's figures, added up, and how many there were."""
    falls: int = 0
    ends: int = 0
    lengths: list[int] = field(default_factory=list)
    """Of the episodes that ended, ticks."""


class Group:
    """Robots that act and step together: columns `rows` of a rollout, and of the present observations."""

    def __init__(
        self, env: Environment, rows: slice, rollout: Rollout, obs: Tensor, critic_obs: Tensor, reward: Tensor
    ) -> None:
        self.env, self.rollout = env, rollout.part(rows)
        self.obs, self.critic_obs, self.task_reward = obs[rows], critic_obs[rows], reward[:, rows]

    def start(self, age: Any) -> None:
        """Reset all rows; `age` (N,) ticks spreads the time-outs."""
        self._remember(self.env.start(age))

    def _remember(self, step: Step) -> None:
        self.obs.copy_(torch.from_numpy(step.obs))
        self.critic_obs.copy_(torch.from_numpy(step.critic_obs))

    def collect(self, ppo: PPO, generator: torch.Generator) -> Collected:
        """Act and step for the length of the rollout, and fill it in."""
        env, rollout = self.env, self.rollout
        features, windows, window_ok = [], [], []
        out = Collected(torch.empty(0), torch.empty(0), None)
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
                out.sums[name] = out.sums.get(name, 0.0) + float(value.sum())
            for name, value in env.task.figures.items():
                known = value[step.valid & np.isfinite(value)]
                seen = out.tallies.get(name, (0.0, 0))
                out.tallies[name] = (seen[0] + float(known.sum()), seen[1] + len(known))
            out.falls += int(step.terminated.sum())
            out.ends += int(step.ended.sum())
            out.lengths.extend(env.age[step.ended].tolist())
        out.features = np.concatenate(features)
        out.windows, out.window_ok = torch.stack(windows), torch.stack(window_ok)
        return out


def together(parts: Sequence[Collected]) -> Collected:
    """What all groups collected, in their order."""
    out = Collected(
        torch.cat([part.windows for part in parts], dim=1),
        torch.cat([part.window_ok for part in parts], dim=1),
        np.concatenate([part.features for part in parts]),
    )
    for part in parts:
        for name, value in part.sums.items():
            out.sums[name] = out.sums.get(name, 0.0) + value
        for name, (value, count) in part.tallies.items():
            seen = out.tallies.get(name, (0.0, 0))
            out.tallies[name] = (seen[0] + value, seen[1] + count)
        out.falls += part.falls
        out.ends += part.ends
        out.lengths += part.lengths
    return out
