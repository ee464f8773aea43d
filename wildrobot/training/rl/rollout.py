"""What one iteration collected, and its advantages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Rollout:
    """Storage (T, N, ...) of one iteration. `valid` is False for the tick that carried a reset.

    Rewards and values are (T, N, streams): each stream has its own advantage, and `weights` (streams,) says how much
    each of them counts.
    """

    def __init__(
        self,
        steps: int,
        num_envs: int,
        obs: int,
        critic_obs: int,
        actions: int,
        device: torch.device | str,
        streams: int = 1,
    ) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(steps, num_envs, *shape, device=device)

        self.obs, self.critic_obs = zeros(obs), zeros(critic_obs)
        self.actions, self.means, self.log_prob = zeros(actions), zeros(actions), zeros()
        self.rewards, self.values, self.next_values = zeros(streams), zeros(streams), zeros(streams)
        self.weights = torch.ones(streams, device=device)
        self.terminated, self.dones = zeros(), zeros()
        self.valid = zeros().bool()

    def compute_returns(self, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
        """Advantages (GAE, Schulman et al. 2016) and returns, (T, N, streams) each.

        An episode's end (terminated or timed out) cuts the chain.

        `next_values` hold V of the state that followed the action, before any reset: a time limit bootstraps from it,
        a fall does not.
        """
        advantage = torch.zeros_like(self.rewards)
        running = torch.zeros_like(self.rewards[0])
        stays, goes_on = 1.0 - self.terminated[..., None], 1.0 - self.dones[..., None]
        for t in reversed(range(len(self.rewards))):
            delta = self.rewards[t] + gamma * self.next_values[t] * stays[t] - self.values[t]
            running = delta + gamma * lam * goes_on[t] * running
            advantage[t] = running
        return advantage, advantage + self.values


class StepBuffer:
    """Nests (dataclasses, dicts) of arrays (N, ...), one a step, kept as one nest of arrays (T, N, ...).

    The room is made by the first one and used again by every rollout.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.steps: Any = None
        """The nest of all steps."""

    def store(self, t: int, item: Any) -> None:
        """Copy step t."""
        if self.steps is None:
            self.steps = self._room(item)
        _copy(self.steps, t, item)

    def _room(self, item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return np.zeros((self._count, *item.shape), dtype=item.dtype)
        parts = {name: self._room(value) for name, value in _parts(item).items()}
        return parts if isinstance(item, dict) else type(item)(**parts)


def _parts(nest: Any) -> dict[str, Any]:
    return nest if isinstance(nest, dict) else vars(nest)


def _copy(room: Any, t: int, item: Any) -> None:
    if isinstance(item, np.ndarray):
        room[t] = item
        return
    for name, value in _parts(item).items():
        _copy(_parts(room)[name], t, value)
