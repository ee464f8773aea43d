"""Adversarial motion prior (Peng et al. 2021): a discriminator between reference and policy windows of features.

LSGAN with the gradient penalty R1 at real samples (Mescheder et al. 2018), on normalised inputs. The style reward of a
rollout is computed with the discriminator as it was when the samples were collected, before its update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from wildrobot.core.config import check_least
from wildrobot.training.rl.discriminator_governor import Governor, GovernorConfig
from wildrobot.training.rl.distributed import Distributed
from wildrobot.training.rl.networks import Discriminator, Norm
from wildrobot.training.rl.workers import Workers

FIGURE_WINDOWS = 2048
"""Reference windows that accuracies are counted on."""


@dataclass(frozen=True)
class AMPConfig:
    """Hyperparameters of the motion prior."""

    frames: int = 2
    """Window length, 1 to 3 frames."""
    hidden: tuple[int, ...] = (256, 128)
    norm: Norm = "spectral"
    """Of the hidden layers: spectral norm, LayerNorm ("layer"), or none. A discriminator whose slope is bounded stays
    beatable: with LayerNorm the accuracy settles at the upper end of what is wanted."""
    symmetry: bool = True
    """Show each window of either side as often in the mirror that swaps left and right."""
    learning_rate: float = 1e-4
    updates: int = 3
    warmup_updates: int = 40
    """Updates per iteration while only the critic learns: style is judged by a discriminator that has settled."""
    batch: int = 256
    r1: float = 5.0
    """Weight gamma of the gradient penalty."""
    input_noise: float = 0.02
    """Standard deviation added to normalised inputs while the discriminator trains, and only then."""
    replay_rollouts: int = 30
    """How many past rollouts the replay buffer remembers."""
    fresh: float = 0.5
    """Share of each batch of policy windows that comes from the newest rollout; the rest is from the buffer."""
    replay_share: int = 2048
    """Windows kept of each rollout."""
    reward: Literal["clip", "sigmoid", "quadratic"] = "clip"
    """clip(D, 0, 1); sigmoid(D); the former max(0, 1 - (D-1)^2 / 4), which pays 0.75 for D = 0."""
    reward_before_update: bool = True
    """Reward from the discriminator that the samples were collected under; off is for ablation."""
    balance: bool = True
    """Show slow and fast reference windows as often as the policy is commanded to walk so fast; the library has more
    slow ones, and speed alone would tell the sides apart."""
    held_out: float = 0.1
    """Share of the reference rollouts kept away from training, for `disc_acc_heldout`."""
    governor: GovernorConfig = GovernorConfig()
    diagnostics_every: int = 10
    """Iterations between two looks at single features (`auc_top`, `std_ratio_top`)."""

    def __post_init__(self) -> None:
        check_least(
            self, frames=1, hidden=1, updates=0, warmup_updates=0, batch=2, replay_rollouts=1, replay_share=1,
            diagnostics_every=1,
        )  # fmt: skip


def style_reward(logit: Tensor, kind: str) -> Tensor:
    """Reward (b,) of logits D (b,)."""
    if kind == "clip":
        return logit.clamp(0.0, 1.0)
    if kind == "sigmoid":
        return torch.sigmoid(logit)
    return (1.0 - 0.25 * (logit - 1.0).square()).clamp(min=0.0)


def drawn(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows (b, ...), with repetition. The draw is the CPU's, and so the same on every device."""
    chosen = torch.randint(len(rows), (count,), generator=generator)
    return rows.index_select(0, chosen.to(rows.device))


class ReplayBuffer:
    """Windows of the last `rollouts` rollouts, `share` of each: a ring of equal slots."""

    def __init__(self, rollouts: int, share: int, size: int, device: torch.device | str = "cpu") -> None:
        self.windows = torch.zeros(rollouts, share, size, device=device)
        self.filled = 0
        self.next = 0

    def add(self, windows: Tensor, generator: torch.Generator) -> None:
        """Remember `share` windows drawn (with repetition when there are fewer) from (b, size)."""
        self.windows[self.next] = drawn(windows, self.windows.shape[1], generator)
        self.next = (self.next + 1) % len(self.windows)
        self.filled = min(self.filled + 1, len(self.windows))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, size) windows from all remembered rollouts."""
        return drawn(self.windows[: self.filled].flatten(0, 1), count, generator)

    def state_dict(self) -> dict[str, Any]:
        """The windows and where the next ones go."""
        return {"windows": self.windows.clone(), "filled": self.filled, "next": self.next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.windows.copy_(state["windows"])
        self.filled, self.next = state["filled"], state["next"]


class AMP:
    """Discriminator, its own optimiser and replay buffer. The runner knows it as logits, figures and `update`.

    `reference` and `held_out` are windows (k, frames * F) of executed reference motion; `mirror` are index and sign
    (frames * F,) of a window's mirror image, needed for `config.symmetry`. The normaliser is fitted to `reference` and
    then stays as it is.
    """

    def __init__(
        self,
        reference: Tensor,
        held_out: Tensor,
        config: AMPConfig,
        mirror: tuple[Tensor, Tensor] | None = None,
        device: torch.device | str = "cpu",
        distributed: Distributed | None = None,
    ) -> None:
        self.config, self.distributed = config, distributed or Distributed()
        self.mirror = None if mirror is None else (mirror[0].to(device), mirror[1].to(device))
        self.reference, self.held_out = reference.to(device), held_out.to(device)
        size = reference.shape[1]
        # in training mode for its updates only: spectral norm would move on with every look at it
        self.discriminator = Discriminator(size, config.hidden, config.norm).to(device).eval()
        self.discriminator.normalizer.update(self.reference)
        self.governor = Governor(config.governor)
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.learning_rate, fused=True
        )
        self.replay = ReplayBuffer(config.replay_rollouts, config.replay_share, size, device)

    @torch.no_grad()
    def logits(self, windows: Tensor) -> Tensor:
        """What the present discriminator says to raw windows (b, size), (b,)."""
        logits: Tensor = self.discriminator(windows)
        return logits

    def update(
        self, windows: Tensor, accuracy: float, generator: torch.Generator, warmup: bool = False
    ) -> dict[str, Any]:
        """Train on fresh policy windows (b, size) against the reference; returns figures of it.

        `accuracy`, that on the held-out part before this update, decides how many gradient steps it gets.
        """
        config, d = self.config, self.discriminator
        if self.replay.filled == 0:
            self.replay.add(windows, generator)
        count, why = config.warmup_updates, "warms up"
        if not warmup:
            count, why = self.governor.updates(accuracy, config.updates)
        loss = torch.tensor(float("nan"))
        d.train()
        for _ in range(count):
            real = self._reflect(drawn(self.reference, config.batch, generator), generator)
            fresh = int(config.batch * config.fresh)
            fake = torch.cat(
                [drawn(windows, fresh, generator), self.replay.sample(config.batch - fresh, generator)]
            )
            loss, _ = self.loss(real, self._reflect(fake, generator), generator)
            self.optimizer.zero_grad()
            loss.backward()
            self.distributed.average_gradients(d.parameters())
            self.optimizer.step()
        d.eval()
        self.replay.add(windows, generator)
        return {
            "disc_loss": float(loss.detach()),
            "disc_norm": _norm(d),
            "disc_updates": count,
            "disc_governor": why,
        }

    def loss(self, real: Tensor, fake: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """LSGAN + R1 loss and the penalty alone, of raw windows (b, size) each.

        1/2 (mean (D(real) - 1)^2 + mean D(fake)^2) + r1/2 mean |dD/dx|^2 at normalised real samples x.
        """
        d = self.discriminator
        real, fake = d.normalizer(real), d.normalizer(fake)
        if self.config.input_noise > 0.0:
            real = real + self.config.input_noise * torch.randn(real.shape, generator=generator).to(
                real.device
            )
            fake = fake + self.config.input_noise * torch.randn(fake.shape, generator=generator).to(
                real.device
            )
        real = real.detach().requires_grad_(True)
        d_real, d_fake = d.logit(real), d.logit(fake)
        (gradient,) = torch.autograd.grad(d_real.sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=-1).mean()
        lsgan = 0.5 * ((d_real - 1.0).square().mean() + d_fake.square().mean())
        return lsgan + 0.5 * self.config.r1 * penalty, penalty

    def figures(
        self, fake: Tensor, generator: torch.Generator, workers: Workers | None = None
    ) -> dict[str, float]:
        """Accuracy (threshold midway, 1/2), means, deviations and clipped shares.

        Of the logits `fake` (b,) of policy windows, and of `FIGURE_WINDOWS` windows of either part of the reference.
        """
        parts = [self.reference, self.held_out if len(self.held_out) else self.reference]
        shown = torch.cat([drawn(part, FIGURE_WINDOWS, generator) for part in parts])
        real, unseen = (workers or Workers()).infer(self.logits, shown).split(FIGURE_WINDOWS)
        reward = style_reward(fake, self.config.reward)
        right_fake = float((fake < 0.5).float().mean())
        return {
            "disc_acc": 0.5 * (float((real > 0.5).float().mean()) + right_fake),
            "disc_acc_heldout": 0.5 * (float((unseen > 0.5).float().mean()) + right_fake),
            "disc_real_mean": float(real.mean()),
            "disc_fake_mean": float(fake.mean()),
            "disc_real_std": float(real.std(correction=0)),
            "disc_fake_std": float(fake.std(correction=0)),
            "style_reward_mean": float(reward.mean()),
            "style_reward_std": float(reward.std(correction=0)),
            "style_clipped_low": float((fake <= 0.0).float().mean()),
            "style_clipped_high": float((fake >= 1.0).float().mean()),
        }

    def _reflect(self, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Windows (b, size), each by even chance its own mirror image."""
        if not self.config.symmetry:
            return windows
        assert self.mirror is not None
        index, sign = self.mirror
        chosen = (torch.rand(len(windows), 1, generator=generator) < 0.5).to(windows.device)
        return torch.where(chosen, windows[:, index] * sign, windows)

    def state_dict(self) -> dict[str, Any]:
        """Discriminator with its normaliser, optimiser and governor; the replay buffer is saved by itself."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "governor": self.governor.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.governor.load_state_dict(state["governor"])


def _norm(module: torch.nn.Module) -> float:
    return float(sum(p.detach().square().sum() for p in module.parameters()) ** 0.5)
