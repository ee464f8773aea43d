"""Normalisers of what the networks see, which learn its statistics and are saved and exported with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wildrobot.robot_description.mirror import Mirror
from wildrobot.training.rl.distributed import Distributed

SINGLE = Distributed()


class Normalizer(nn.Module):
    """(x - mean) / std with statistics of all data seen by `update` (merged as by Chan et al. 1979).

    Statistics stop changing once `until` samples were seen. `floor` bounds the standard deviation from below.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, floor: float = 1e-2, until: float = 1e12, clip: float = 10.0) -> None:
        super().__init__()
        self.floor, self.until, self.clip = floor, until, clip
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.tensor(0.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x (..., size), clipped to +-clip."""
        normal = (x - self.mean) / torch.clamp(torch.sqrt(self.var), min=self.floor)
        return torch.clamp(normal, -self.clip, self.clip)

    @torch.no_grad()
    def update(self, x: Tensor, distributed: Distributed = SINGLE) -> None:
        """Learn from raw samples x (b, size), those of all processes."""
        count = float(self.count)
        if count >= self.until or len(x) == 0:
            return
        mean, var, size = self._moments(x, distributed)
        total = count + size
        delta = mean - self.mean
        self.mean += delta * (size / total)
        between = delta.square() * (count * size / total)
        self.var.copy_((self.var * count + var * size + between) / total)
        self.count.fill_(total)

    def _moments(self, x: Tensor, distributed: Distributed) -> tuple[Tensor, Tensor, float]:
        return distributed.moments(x)


def mirror_tensors(mirror: Mirror) -> tuple[Tensor, Tensor]:
    """Index and sign (k,) as tensors."""
    return torch.from_numpy(mirror[0].copy()), torch.from_numpy(mirror[1].copy()).float()


class MirrorNormalizer(Normalizer):
    """Statistics of the samples and of their mirror images, so that normalising and mirroring change places."""

    index: Tensor
    sign: Tensor

    def __init__(self, mirror: Mirror, until: float = 1e12) -> None:
        super().__init__(len(mirror[0]), until=until)
        index, sign = mirror_tensors(mirror)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("sign", sign, persistent=False)

    def _moments(self, x: Tensor, distributed: Distributed) -> tuple[Tensor, Tensor, float]:
        """Those of x and its mirror images, from those of x alone."""
        mean, var, size = distributed.moments(x)
        image = mean[self.index] * self.sign
        both = 0.5 * (mean + image)
        return both, 0.5 * (var + var[self.index]) + (0.5 * (mean - image)).square(), 2.0 * size
