"""A small motion prior, and one iteration of it, for the tests of motion prior and governor."""

from __future__ import annotations

from typing import Any

import torch

from wildrobot.training.rl.amp import AMP, AMPConfig, style_reward
from wildrobot.training.rl.discriminator_governor import GovernorConfig

FREE = GovernorConfig(enabled=False)
SMALL = AMPConfig(hidden=(16, 8), batch=32, replay_rollouts=3, replay_share=20, governor=FREE, symmetry=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def updated(amp: AMP, windows: torch.Tensor, draws: torch.Generator, warmup: bool = False) -> Any:
    """One iteration's look at fresh policy windows, and what is learned from them; the figures."""
    figures = amp.distributed.average_metrics(amp.figures(amp.logits(windows), draws))
    return figures | amp.update(windows, figures["disc_acc_heldout"], draws, warmup)


def paid_by(amp: AMP, windows: torch.Tensor) -> torch.Tensor:
    """Style reward of raw windows (b, size)."""
    return style_reward(amp.logits(windows), amp.config.reward)


def small_amp(config: AMPConfig = SMALL, size: int = 4) -> AMP:
    torch.manual_seed(0)
    return AMP(torch.randn(60, size) + 1.0, torch.randn(20, size) + 1.0, config)
