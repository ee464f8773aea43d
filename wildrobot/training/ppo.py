"""Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation, on CPU or GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wildrobot.training.networks import Critic
from wildrobot.training.processes import Processes

LOG_2PI = 1.8378770664093453


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
        device: Any,
        streams: int = 1,
    ) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(steps, num_envs, *shape, device=device)

        self.obs, self.critic_obs = zeros(obs), zeros(critic_obs)
        self.actions, self.means, self.log_prob = zeros(actions), zeros(actions), zeros()
        self.rewards, self.values, self.next_values = zeros(streams), zeros(streams), zeros(streams)
        self.weights = torch.ones(streams, device=device)
        self.terminated, self.ended = zeros(), zeros()
        self.valid = zeros().bool()

    def advantages(self, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
        """GAE and returns, (T, N, streams) each; an episode's end (terminated or timed out) cuts the chain.

        `next_values` hold V of the state that followed the action, before any reset: a time limit bootstraps from it,
        a fall does not.
        """
        advantage = torch.zeros_like(self.rewards)
        running = torch.zeros_like(self.rewards[0])
        stays, goes_on = 1.0 - self.terminated[..., None], 1.0 - self.ended[..., None]
        for t in reversed(range(len(self.rewards))):
            delta = self.rewards[t] + gamma * self.next_values[t] * stays[t] - self.values[t]
            running = delta + gamma * lam * goes_on[t] * running
            advantage[t] = running
        return advantage, advantage + self.values


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density (b,) of a diagonal Gaussian."""
    scaled = (action - mean) * torch.exp(-log_std)
    return (-0.5 * scaled.square() - log_std - 0.5 * LOG_2PI).sum(dim=-1)


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
    """Actor, critic and their optimiser, on `device`. Random numbers are drawn on the CPU, whatever the device."""

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
        self.updates = 0
        groups = [
            {"params": list(actor.parameters()), "lr": config.learning_rate},
            {"params": list(critic.parameters()), "lr": config.critic_learning_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)

    @property
    def learning_rate(self) -> float:
        """The actor's present step size."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def warming_up(self) -> bool:
        """Only the critic learns."""
        return self.updates < self.config.critic_warmup

    @torch.no_grad()
    def act(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Sampled action, its mean and log density for obs (N, D)."""
        mean = self.actor(obs)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        action = mean + torch.exp(self.actor.log_std) * noise
        return action, mean, log_prob(mean, self.actor.log_std, action)

    def update(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """One iteration's learning; returns figures (means over all minibatches)."""
        config = self.config
        advantage, returns = rollout.advantages(config.gamma, config.lam)
        keep = rollout.valid.flatten().nonzero()[:, 0]

        def flat(x: Tensor) -> Tensor:
            return x.flatten(0, 1)[keep]

        obs, critic_obs, actions, means = map(
            flat, (rollout.obs, rollout.critic_obs, rollout.actions, rollout.means)
        )
        old_log_prob, returns, advantage = map(flat, (rollout.log_prob, returns, advantage))
        gains = combined(advantage, rollout.weights, self.processes)
        # statistics change only between iterations: what the networks see is the same in all epochs
        actor_inputs, critic_inputs = self.actor.inputs(obs), self.critic.inputs(critic_obs)
        old_std = torch.exp(self.actor.log_std.detach()).clone()
        totals = torch.zeros(4, device=obs.device)
        count = 0
        for _ in range(config.epochs):
            order = torch.randperm(len(keep), generator=generator).to(keep.device)
            for rows in order.chunk(config.minibatches):
                # whole rows at a time: indexing would go element by element
                seen, seen_by_critic, taken, meant, target = (
                    x.index_select(0, rows) for x in (actor_inputs, critic_inputs, actions, means, returns)
                )
                mean = self.actor.answer(seen)
                log_std = self.actor.log_std
                new_log_prob = log_prob(mean, log_std, taken)

                # step size from the KL divergence between old and new policy, as in the adaptive schedule of RSL-RL
                with torch.no_grad():
                    std = torch.exp(log_std)
                    kl = (
                        (
                            torch.log(std / old_std)
                            + (old_std.square() + (meant - mean).square()) / (2.0 * std.square())
                            - 0.5
                        )
                        .sum(dim=-1)
                        .mean()
                    )
                if not self.warming_up:
                    self._adapt(float(self.processes.mean(kl)))

                # clipped surrogate
                ratio = torch.exp(new_log_prob - old_log_prob[rows])
                gain = gains[rows]
                clipped = torch.clamp(ratio, 1.0 - config.clip, 1.0 + config.clip)
                policy_loss = -torch.minimum(ratio * gain, clipped * gain).mean()

                value_loss = (self.critic.answer(seen_by_critic) - target).square().sum(dim=-1).mean()

                entropy = (log_std + 0.5 * (LOG_2PI + 1.0)).sum()
                beyond = (mean.abs() - 3.0).clamp(min=0.0).square().sum(dim=-1).mean()
                loss = config.value_weight * value_loss
                if not self.warming_up:
                    loss = loss + policy_loss - config.entropy * entropy + config.bound_weight * beyond
                    if self.demonstration is not None and config.demonstration_weight > 0.0:
                        loss = loss + config.demonstration_weight * self._distance(generator)
                self.optimizer.zero_grad()
                loss.backward()
                for group in self.optimizer.param_groups:
                    self.processes.average_gradients(group["params"])
                    # each group by itself: the critic's must not shrink the actor's
                    nn.utils.clip_grad_norm_(group["params"], config.max_grad_norm)
                self.optimizer.step()
                with torch.no_grad():
                    self.actor.log_std.clamp_(min=float(torch.log(torch.tensor(config.min_std))))
                totals += torch.stack([policy_loss, value_loss, kl, entropy]).detach()
                count += 1
        self.updates += 1
        # so that old and new densities are of one policy
        self.actor.normalizer.update(obs, self.processes)
        self.critic.normalizer.update(critic_obs, self.processes)
        figures = (totals / count).tolist()
        names = ("policy_loss", "value_loss", "kl", "entropy")
        return dict(zip(names, figures, strict=True)) | {
            "learning_rate": self.learning_rate,
            "action_std": torch.exp(self.actor.log_std).mean().item(),
        }

    def _distance(self, generator: torch.Generator, batch: int = 512) -> Tensor:
        """Mean squared distance of the actor's answers to demonstrated actions."""
        assert self.demonstration is not None
        obs, actions = self.demonstration
        rows = torch.randint(len(obs), (batch,), generator=generator).to(obs.device)
        return (self.actor(obs.index_select(0, rows)) - actions.index_select(0, rows)).square().mean()

    def _adapt(self, kl: float) -> None:
        low, high = self.config.learning_rate_range
        rate = self.learning_rate
        if kl > 2.0 * self.config.target_kl:
            rate = max(low, rate / 1.5)
        elif 0.0 < kl < 0.5 * self.config.target_kl:
            rate = min(high, rate * 1.5)
        self.optimizer.param_groups[0]["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimiser."""
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]
