"""Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation, on CPU or GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wildrobot.core.config import check_least
from wildrobot.core.errors import UserError
from wildrobot.training.rl.distributed import Processes
from wildrobot.training.rl.lanes import Lanes, own_generator
from wildrobot.training.rl.networks import Critic
from wildrobot.training.rl.rollout import Rollout

LOG_2PI = 1.8378770664093453
DEMONSTRATION_SHARE = 0.25
"""Demonstrated actions of each minibatch, against its own number of rows."""

Lesson = Callable[[], dict[str, Any]]
"""One network's learning from one rollout; returns figures."""


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


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density (b,) of a diagonal Gaussian."""
    scaled = (action - mean) * torch.exp(-log_std)
    return (-0.5 * scaled.square() - log_std - 0.5 * LOG_2PI).sum(dim=-1)


def divergence(mean: Tensor, log_std: Tensor, new_mean: Tensor, new_log_std: Tensor) -> Tensor:
    """Mean KL divergence of diagonal Gaussians from means (b, n) to new ones, deviations (n,)."""
    precision = torch.exp(-2.0 * new_log_std)
    spread = (torch.exp(2.0 * log_std) + (mean - new_mean).square().mean(dim=0)) * precision
    return (new_log_std - log_std + 0.5 * (spread - 1.0)).sum()


def entropy_of(log_std: Tensor) -> Tensor:
    """Entropy of a diagonal Gaussian, deviations (n,)."""
    return (log_std + 0.5 * (LOG_2PI + 1.0)).sum()


def combined(advantage: Tensor, weights: Tensor, processes: Processes) -> Tensor:
    """Advantages (k, streams) as one (k,): each stream normalised by itself, weighted, and the sum normalised again.

    So a stream's weight says what it counts whatever the scale and spread of its rewards. Means and deviations are
    those of all processes.
    """
    mean, var, _ = processes.moments(advantage)
    apart = (advantage - mean) / (var.sqrt() + 1e-8)
    if advantage.shape[1] == 1:
        return apart[:, 0]
    total = apart @ weights
    return total / (processes.moments(total[:, None])[1].sqrt() + 1e-8)


class PPO:
    """Actor, critic and their optimisers, on `device`. Random numbers are drawn on the CPU, whatever the device."""

    def __init__(
        self,
        actor: Any,
        critic: Critic,
        config: PPOConfig,
        demonstration: tuple[Tensor, Tensor] | None = None,
        processes: Processes | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.actor, self.critic, self.config = actor.to(device), critic.to(device), config
        self.device = torch.device(device)
        self.demonstration = None
        if demonstration is not None:
            self.demonstration = demonstration[0].to(device), demonstration[1].to(device)
        self.processes = processes or Processes()
        self.lanes = Lanes()
        self.updates = 0
        self.actor_optimizer = torch.optim.Adam(actor.parameters(), lr=config.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            critic.parameters(), lr=config.critic_learning_rate, fused=True
        )

    @property
    def learning_rate(self) -> float:
        """The actor's present step size."""
        return float(self.actor_optimizer.param_groups[0]["lr"])

    @property
    def warming_up(self) -> bool:
        """Only the critic learns."""
        return self.updates < self.config.critic_warmup

    @torch.no_grad()
    def act(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Sampled action, its mean and log density for obs (N, D)."""
        mean = self.lanes.answers(self.actor, obs)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        action = mean + torch.exp(self.actor.log_std) * noise
        return action, mean, log_prob(mean, self.actor.log_std, action)

    def values(self, critic_obs: Tensor) -> Tensor:
        """The critic's values (b, streams), without gradients."""
        return self.lanes.answers(self.critic, critic_obs)

    def lessons(self, rollout: Rollout, generator: torch.Generator) -> tuple[Lesson, Lesson]:
        """One iteration's learning as two tasks, the actor's and the critic's, which may run side by side.

        Each draws minibatches of its own and returns figures (means over all minibatches). Afterwards its normaliser
        learns the observations, so that old and new densities are of one policy.
        """
        config = self.config
        advantage, returns = rollout.advantages(config.gamma, config.lam)
        keep = rollout.valid.flatten().nonzero()[:, 0]
        gains = combined(advantage.flatten(0, 1)[keep], rollout.weights, self.processes)
        one, other = own_generator(generator), own_generator(generator)
        learn = self._actor_keeps_still if self.warming_up else self._actor_learns
        self.updates += 1
        return (
            lambda: learn(rollout, keep, gains, one),
            lambda: self._critic_learns(rollout, keep, returns, other),
        )

    def _minibatches(self, keep: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        """Places in `keep` (k,), every one once in each epoch."""
        for _ in range(self.config.epochs):
            order = torch.randperm(len(keep), generator=generator).to(keep.device)
            yield from order.chunk(self.config.minibatches)

    def _critic_learns(
        self, rollout: Rollout, keep: Tensor, returns: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        critic_obs, returns = (x.flatten(0, 1)[keep] for x in (rollout.critic_obs, returns))
        # statistics change only between iterations: what the network sees is the same in all epochs
        inputs = self.critic.inputs(critic_obs)
        losses = []
        for rows in self._minibatches(keep, generator):
            # whole rows at a time: indexing would go element by element
            seen, target = inputs.index_select(0, rows), returns.index_select(0, rows)
            loss = (self.critic.answer(seen) - target).square().sum(dim=-1).mean()
            self._step(self.critic_optimizer, self.config.value_weight * loss)
            losses.append(loss.detach())
        self.critic.normalizer.update(critic_obs, self.processes)
        return {"value_loss": torch.stack(losses).mean().item()}

    def _actor_learns(
        self, rollout: Rollout, keep: Tensor, gains: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        config, log_std = self.config, self.actor.log_std
        obs, actions, means, old_log_prob = (
            x.flatten(0, 1)[keep] for x in (rollout.obs, rollout.actions, rollout.means, rollout.log_prob)
        )
        inputs = self.actor.inputs(obs)
        old_log_std = log_std.detach().clone()
        shown = max(1, round(DEMONSTRATION_SHARE * rollout.valid.numel() / config.minibatches))
        seen_figures = []
        for rows in self._minibatches(keep, generator):
            seen, taken, meant = (x.index_select(0, rows) for x in (inputs, actions, means))
            mean = self.actor.answer(seen)
            new_log_prob = log_prob(mean, log_std, taken)
            kl = divergence(meant, old_log_std, mean.detach(), log_std.detach())
            self._adapt(float(self.processes.mean(kl)))

            # clipped surrogate
            ratio = torch.exp(new_log_prob - old_log_prob[rows])
            gain = gains[rows]
            clipped = torch.clamp(ratio, 1.0 - config.clip, 1.0 + config.clip)
            policy_loss = -torch.minimum(ratio * gain, clipped * gain).mean()

            entropy = entropy_of(log_std)
            beyond = (mean.abs() - 3.0).clamp(min=0.0).square().sum(dim=-1).mean()
            loss = policy_loss - config.entropy * entropy + config.bound_weight * beyond
            if self.demonstration is not None and config.demonstration_weight > 0.0:
                loss = loss + config.demonstration_weight * self._distance(shown, generator)
            self._step(self.actor_optimizer, loss)
            with torch.no_grad():
                log_std.clamp_(min=math.log(config.min_std))
            seen_figures.append(torch.stack([policy_loss, kl, entropy]).detach())
        policy_loss, kl, entropy = torch.stack(seen_figures).mean(dim=0).tolist()
        return self._actor_figures(obs, policy_loss, kl, entropy)

    def _actor_keeps_still(
        self, rollout: Rollout, keep: Tensor, gains: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        obs = rollout.obs.flatten(0, 1)[keep]
        return self._actor_figures(
            obs, -float(gains.mean()), 0.0, float(entropy_of(self.actor.log_std.detach()))
        )

    def _actor_figures(self, obs: Tensor, policy_loss: float, kl: float, entropy: float) -> dict[str, float]:
        self.actor.normalizer.update(obs, self.processes)
        return {
            "policy_loss": policy_loss,
            "kl": kl,
            "entropy": entropy,
            "learning_rate": self.learning_rate,
            "action_std": torch.exp(self.actor.log_std).mean().item(),
        }

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        parameters = optimizer.param_groups[0]["params"]
        optimizer.zero_grad()
        loss.backward()
        self.processes.average_gradients(parameters)
        # each network by itself: the critic's gradient must not shrink the actor's
        nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        optimizer.step()

    def _distance(self, count: int, generator: torch.Generator) -> Tensor:
        """Mean squared distance of the actor's answers to `count` demonstrated actions."""
        assert self.demonstration is not None
        obs, actions = self.demonstration
        rows = torch.randint(len(obs), (count,), generator=generator).to(obs.device)
        return (self.actor(obs.index_select(0, rows)) - actions.index_select(0, rows)).square().mean()

    def _adapt(self, kl: float) -> None:
        """Step size from the KL divergence between old and new policy, as in the adaptive schedule of RSL-RL."""
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
