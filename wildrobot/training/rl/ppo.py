"""Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation, on CPU or GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from wildrobot.core.config import check_least
from wildrobot.core.errors import UserError
from wildrobot.training.rl.distributed import Distributed
from wildrobot.training.rl.gaussian import gaussian_entropy, kl_divergence, log_prob
from wildrobot.training.rl.networks import Actor, Critic
from wildrobot.training.rl.rollout import Rollout
from wildrobot.training.rl.workers import Workers, spawn_generator

DEMONSTRATION_SHARE = 0.25
"""Demonstrated actions of each minibatch, against its own number of rows."""

Update = Callable[[], dict[str, Any]]
"""One network's update from one rollout, ready to run; returns figures."""


@dataclass(frozen=True)
class PPOConfig:
    """Hyperparameters of one update."""

    gamma: float = 0.98
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.0
    value_weight: float = 1.0
    epochs: int = 2
    minibatches: int = 6
    """Of each epoch: it is the number of steps that counts, and smaller ones cost less than more epochs."""
    learning_rate: float = 5e-5
    """The actor's, at the start; then it follows the KL divergence."""
    critic_learning_rate: float = 5e-4
    learning_rate_range: tuple[float, float] = (1e-5, 3e-4)
    target_kl: float = 0.01
    max_grad_norm: float = 1.0
    init_std: float = 0.08
    min_std: float = 0.03
    critic_warmup: int = 30
    """First iterations in which only the critic learns, for a policy that can do something already."""
    demonstration_weight: float = 0.1
    """Weight of the squared distance to demonstrated actions, if there are any (as in DAPG, Rajeswaran et al. 2018)."""
    bound_weight: float = 0.001
    """Penalty on mean actions beyond +-3, where the clip would hide the gradient."""

    def __post_init__(self) -> None:
        check_least(self, epochs=1, minibatches=1, critic_warmup=0)


def combine_advantages(advantages: Tensor, weights: Tensor, distributed: Distributed) -> Tensor:
    """Advantages (k, streams) as one (k,): each stream normalised by itself, weighted, and the sum normalised again.

    So a stream's weight says what it counts whatever the scale and spread of its rewards. Means and deviations are
    those of all processes.
    """
    mean, var, _ = distributed.moments(advantages)
    normalized = (advantages - mean) / (var.sqrt() + 1e-8)
    if advantages.shape[1] == 1:
        return normalized[:, 0]
    total = normalized @ weights
    return total / (distributed.moments(total[:, None])[1].sqrt() + 1e-8)


class PPO:
    """Actor, critic and their optimisers, on `device`. Random numbers are drawn on the CPU, whatever the device."""

    def __init__(
        self,
        actor: Actor,
        critic: Critic,
        config: PPOConfig,
        demonstration: tuple[Tensor, Tensor] | None = None,
        distributed: Distributed | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.actor, self.critic, self.config = actor.to(device), critic.to(device), config
        self.device = torch.device(device)
        self.demonstration = None
        if demonstration is not None:
            self.demonstration = demonstration[0].to(device), demonstration[1].to(device)
        self.distributed = distributed or Distributed()
        self.workers = Workers()
        self.updates = 0
        self.actor_optimizer = torch.optim.Adam(actor.parameters(), lr=config.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            critic.parameters(), lr=config.critic_learning_rate, fused=True
        )

    @property
    def learning_rate(self) -> float:
        """The actor's, at present."""
        return float(self.actor_optimizer.param_groups[0]["lr"])

    @property
    def warming_up(self) -> bool:
        """Only the critic learns."""
        return self.updates < self.config.critic_warmup

    @torch.no_grad()
    def act(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Sampled action, its mean and log density for obs (N, D)."""
        mean = self.workers.infer(self.actor, obs)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        action = mean + torch.exp(self.actor.log_std) * noise
        return action, mean, log_prob(mean, self.actor.log_std, action)

    def values(self, critic_obs: Tensor) -> Tensor:
        """The critic's values (b, streams), without gradients."""
        return self.workers.infer(self.critic, critic_obs)

    def update(
        self, rollout: Rollout, generator: torch.Generator, alongside: Sequence[Update] = ()
    ) -> dict[str, Any]:
        """Learn from a rollout; returns figures, means over all minibatches.

        Actor and critic have nothing in common, neither loss nor minibatches nor optimiser: each is updated by itself,
        side by side with the other one and with the updates of further networks (`alongside`).
        """
        # returns and advantages
        advantages, returns = rollout.compute_returns(self.config.gamma, self.config.lam)
        valid = rollout.valid.flatten().nonzero()[:, 0]
        advantages, returns = (x.flatten(0, 1)[valid] for x in (advantages, returns))
        advantages = combine_advantages(advantages, rollout.weights, self.distributed)

        # both networks, and who learns alongside
        updates: list[Update] = [
            partial(self._update_actor, rollout, valid, advantages, spawn_generator(generator)),
            partial(self._update_critic, rollout, valid, returns, spawn_generator(generator)),
            *alongside,
        ]
        # several processes talk while they learn: in the same order everywhere
        side_by_side = self.distributed.world_size == 1 and self.device.type == "cpu"
        figures = self.workers.run(updates) if side_by_side else [update() for update in updates]
        self.updates += 1
        return {name: value for part in figures for name, value in part.items()}

    def _update_actor(
        self, rollout: Rollout, valid: Tensor, advantages: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        """Epochs of minibatches of the `valid` rows (k,), of which `advantages` (k,) are, then the normaliser.

        It learns last, so that all densities are of one policy.
        """
        obs = rollout.obs.flatten(0, 1)[valid]
        if self.warming_up:
            policy_loss, kl = -float(advantages.mean()), 0.0
            entropy = float(gaussian_entropy(self.actor.log_std.detach()))
        else:
            policy_loss, kl, entropy = self._actor_epochs(obs, rollout, valid, advantages, generator)
        self.actor.normalizer.update(obs, self.distributed)
        return {
            "policy_loss": policy_loss,
            "kl": kl,
            "entropy": entropy,
            "learning_rate": self.learning_rate,
            "action_std": torch.exp(self.actor.log_std).mean().item(),
        }

    def _actor_epochs(
        self, obs: Tensor, rollout: Rollout, valid: Tensor, advantages: Tensor, generator: torch.Generator
    ) -> list[float]:
        """Means of policy loss, KL divergence and entropy over all minibatches."""
        config, log_std = self.config, self.actor.log_std
        actions, means, old_log_prob = (
            x.flatten(0, 1)[valid] for x in (rollout.actions, rollout.means, rollout.log_prob)
        )
        inputs, old_log_std = self.actor.inputs(obs), log_std.detach().clone()
        demonstrated = max(1, round(DEMONSTRATION_SHARE * rollout.valid.numel() / config.minibatches))
        figures = []
        for rows in self._minibatches(len(valid), generator):
            # the present policy
            mean = self.actor.mean(inputs.index_select(0, rows))
            new_log_prob = log_prob(mean, log_std, actions.index_select(0, rows))

            # learning rate from the KL divergence
            old_mean = means.index_select(0, rows)
            kl = kl_divergence(old_mean, old_log_std, mean.detach(), log_std.detach())
            self._adapt_learning_rate(float(self.distributed.mean(kl)))

            # surrogate loss
            ratio, advantage = torch.exp(new_log_prob - old_log_prob[rows]), advantages[rows]
            clipped_ratio = torch.clamp(ratio, 1.0 - config.clip, 1.0 + config.clip)
            policy_loss = -torch.minimum(ratio * advantage, clipped_ratio * advantage).mean()

            # entropy, bounds, demonstration
            entropy = gaussian_entropy(log_std)
            bound_loss = (mean.abs() - 3.0).clamp(min=0.0).square().sum(dim=-1).mean()
            loss = policy_loss - config.entropy * entropy + config.bound_weight * bound_loss
            if self.demonstration is not None and config.demonstration_weight > 0.0:
                loss = loss + config.demonstration_weight * self._demonstration_loss(demonstrated, generator)

            # gradient step
            self._gradient_step(self.actor_optimizer, loss)
            with torch.no_grad():
                log_std.clamp_(min=math.log(config.min_std))
            figures.append(torch.stack([policy_loss, kl, entropy]).detach())
        return torch.stack(figures).mean(dim=0).tolist()

    def _update_critic(
        self, rollout: Rollout, valid: Tensor, returns: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        """Epochs of minibatches of the `valid` rows (k,), of which `returns` (k, streams) are, then the normaliser."""
        critic_obs = rollout.critic_obs.flatten(0, 1)[valid]
        inputs = self.critic.inputs(critic_obs)
        losses = []
        for rows in self._minibatches(len(valid), generator):
            # value loss
            values = self.critic.value(inputs.index_select(0, rows))
            value_loss = (values - returns.index_select(0, rows)).square().sum(dim=-1).mean()

            # gradient step
            self._gradient_step(self.critic_optimizer, self.config.value_weight * value_loss)
            losses.append(value_loss.detach())
        self.critic.normalizer.update(critic_obs, self.distributed)
        return {"value_loss": torch.stack(losses).mean().item()}

    def _minibatches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Indices below `count`, every one once in each epoch. Take rows by `index_select`: it copies whole ones."""
        for _ in range(self.config.epochs):
            order = torch.randperm(count, generator=generator).to(self.device)
            yield from order.chunk(self.config.minibatches)

    def _gradient_step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        parameters = optimizer.param_groups[0]["params"]
        optimizer.zero_grad()
        loss.backward()
        self.distributed.average_gradients(parameters)
        # each network by itself: the critic's gradient must not shrink the actor's
        nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        optimizer.step()

    def _demonstration_loss(self, count: int, generator: torch.Generator) -> Tensor:
        """Mean squared distance of the actor's mean actions to `count` demonstrated ones."""
        assert self.demonstration is not None
        obs, actions = self.demonstration
        rows = torch.randint(len(obs), (count,), generator=generator).to(obs.device)
        return (self.actor(obs.index_select(0, rows)) - actions.index_select(0, rows)).square().mean()

    def _adapt_learning_rate(self, kl: float) -> None:
        """The actor's, from the KL divergence between old and new policy, as in RSL-RL's adaptive schedule."""
        low, high = self.config.learning_rate_range
        rate = self.learning_rate
        if kl > 2.0 * self.config.target_kl:
            rate = max(low, rate / 1.5)
        elif 0.0 < kl < 0.5 * self.config.target_kl:
            rate = min(high, rate * 1.5)
        self.actor_optimizer.param_groups[0]["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimisers."""
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`.

        Raises:
            UserError: the state is of a version that had one optimiser for both networks.
        """
        if "actor_optimizer" not in state:
            raise UserError(
                "the checkpoint is of an older version of wildrobot, which had one optimiser for actor and critic. "
                "Continue that run with the version it was begun with, or choose another --run-dir."
            )
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.updates = state["updates"]
