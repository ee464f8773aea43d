"""How well two sets of feature vectors can be told apart: what leaks, feature by feature and all together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.floating]


def feature_auc(reference: Array, policy: Array) -> NDArray[np.float64]:
    """Area under the ROC curve (F,) of each feature alone, folded to 0.5 .. 1: 0.5 cannot tell the two sides apart.

    Rank statistic of Mann and Whitney, ties averaged. reference (a, F), policy (b, F).
    """
    both = np.concatenate([reference, policy])
    area = np.empty(both.shape[1])
    for i in range(both.shape[1]):
        _, inverse, counts = np.unique(both[:, i], return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranks = (ends - 0.5 * (counts - 1))[inverse]
        a, b = len(reference), len(policy)
        u = ranks[:a].sum() - a * (a + 1) / 2.0
        area[i] = u / (a * b)
    return np.maximum(area, 1.0 - area)


def logistic_auc(reference: Array, policy: Array, seed: int = 0) -> float:
    """AUC on unseen halves of a logistic classifier of standardised features (a, F) against (b, F)."""
    # one shuffle for both sides: a pair of equal rows lands in the same half, and cannot look like a difference
    sides = [
        side[np.random.default_rng(seed).permutation(len(side))]
        for side in map(np.asarray, (reference, policy))
    ]
    train = [side[: len(side) // 2] for side in sides]
    test = [side[len(side) // 2 :] for side in sides]
    mean, std = np.mean(np.concatenate(train), axis=0), np.std(np.concatenate(train), axis=0) + 1e-6
    x = torch.as_tensor((np.concatenate(train) - mean) / std)
    y = torch.cat([torch.ones(len(train[0])), torch.zeros(len(train[1]))]).double()
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (
            torch.nn.functional.binary_cross_entropy_with_logits(x @ weight + bias, y)
            + 1e-3 * weight.square().sum()
        )
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    direction = weight.detach().numpy()
    scores = [((side - mean) / std @ direction)[:, None] for side in test]
    return float(feature_auc(scores[0], scores[1])[0])
