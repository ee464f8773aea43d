"""Diagonal Gaussians: the distribution of actions."""

from __future__ import annotations

import torch
from torch import Tensor

LOG_2PI = 1.8378770664093453


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density (b,) of a diagonal Gaussian."""
    scaled = (action - mean) * torch.exp(-log_std)
    return (-0.5 * scaled.square() - log_std - 0.5 * LOG_2PI).sum(dim=-1)


def kl_divergence(mean: Tensor, log_std: Tensor, new_mean: Tensor, new_log_std: Tensor) -> Tensor:
    """Mean KL divergence of diagonal Gaussians from means (b, n) to new ones, deviations (n,)."""
    precision = torch.exp(-2.0 * new_log_std)
    spread = (torch.exp(2.0 * log_std) + (mean - new_mean).square().mean(dim=0)) * precision
    return (new_log_std - log_std + 0.5 * (spread - 1.0)).sum()


def gaussian_entropy(log_std: Tensor) -> Tensor:
    """Entropy of a diagonal Gaussian, deviations (n,)."""
    return (log_std + 0.5 * (LOG_2PI + 1.0)).sum()
