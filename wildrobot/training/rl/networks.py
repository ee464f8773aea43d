"""The networks: mirror-symmetric actor and critic, and the discriminator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.robot_description.mirror import Mirror, joined
from wildrobot.signal_path.observation import Layout, observation_mirror
from wildrobot.training.rl.normalizer import MirrorNormalizer, Normalizer

Norm = Literal["layer", "spectral", "none"]


def mlp(sizes: Sequence[int], norm: Norm = "none", output_gain: float = 0.01) -> nn.Sequential:
    """ELU perceptron, orthogonal weights: gain sqrt(2) in hidden layers, `output_gain` at the output, zero biases.

    `norm` "layer" normalises each hidden layer's answer, "spectral" divides each hidden layer's weight by its largest
    singular value (Miyato et al. 2018); the output layer keeps its small start.
    """
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        last = i == len(sizes) - 2
        linear = nn.Linear(sizes[i], sizes[i + 1])
        nn.init.orthogonal_(linear.weight, output_gain if last else math.sqrt(2.0))
        nn.init.zeros_(linear.bias)
        layers.append(spectral_norm(linear) if norm == "spectral" and not last else linear)
        if not last:
            if norm == "layer":
                layers.append(nn.LayerNorm(sizes[i + 1]))
            layers.append(nn.ELU())
    return nn.Sequential(*layers)


ROOT = math.sqrt(0.5)


class Actor(nn.Module):
    """What PPO needs of a policy network: the mean and log deviation of actions, and a normaliser of observations."""

    normalizer: Normalizer
    log_std: nn.Parameter

    def forward(self, obs: Tensor) -> Tensor:
        """Mean action (b, n) for raw observations (b, D)."""
        return self.mean(self.inputs(obs))

    def inputs(self, obs: Tensor) -> Tensor:
        """What the network sees of raw observations (b, D)."""
        raise NotImplementedError

    def mean(self, inputs: Tensor) -> Tensor:
        """Mean action (b, n) for `inputs` (b, D)."""
        raise NotImplementedError


class Parts(nn.Module):
    """The even part of vectors (b, n) under a mirror, which it leaves alone, and the odd one, which it turns round.

    The mirror image of x is sign * x[index]. A pair (x_i, x_j) of mirror partners becomes its sum and its difference
    (over sqrt 2, so that lengths stay); a value that is its own partner is even or, with a negative sign, odd.
    """

    first: Tensor
    second: Tensor
    weight: Tensor

    def __init__(self, mirror: Mirror) -> None:
        super().__init__()
        even: list[tuple[int, int, float, float]] = []
        odd: list[tuple[int, int, float, float]] = []
        for i, (j, s) in enumerate(zip(mirror[0].tolist(), mirror[1].tolist(), strict=True)):
            if i == j:
                (even if s > 0 else odd).append((i, i, 1.0, 0.0))
            elif i < j:
                even.append((i, j, ROOT, s * ROOT))
                odd.append((i, j, ROOT, -s * ROOT))
        self.size, self.even, self.odd = len(mirror[0]), len(even), len(odd)
        rows = even + odd
        self.register_buffer("first", torch.tensor([r[0] for r in rows]), persistent=False)
        self.register_buffer("second", torch.tensor([r[1] for r in rows]), persistent=False)
        self.register_buffer("weight", torch.tensor([r[2:] for r in rows]).T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Even parts of vectors x (b, n), then the odd ones: (b, n)."""
        return (
            x.index_select(1, self.first) * self.weight[0] + x.index_select(1, self.second) * self.weight[1]
        )

    def matrix(self) -> Tensor:
        """The orthogonal matrix P (n, n) of `forward`, x P^T in rows; rows y of parts lead back by y P."""
        return self.forward(torch.eye(self.size)).T


class PairedLinear(nn.Module):
    """Linear map from even parts (b, i) to even parts (b, k) and from odd ones to odd ones: it and a mirror commute.

    `sizes` are those of the even and odd input and of the even and odd output. An odd part has no bias.
    """

    def __init__(self, sizes: tuple[int, int, int, int], gain: float) -> None:
        super().__init__()
        self.even, self.odd = nn.Linear(sizes[0], sizes[2]), nn.Linear(sizes[1], sizes[3], bias=False)
        for part in (self.even, self.odd):
            nn.init.orthogonal_(part.weight, gain)
        nn.init.zeros_(self.even.bias)

    def forward(self, even: Tensor, odd: Tensor) -> tuple[Tensor, Tensor]:
        """Even part (b, k) and odd part (b, m)."""
        return self.even(even), self.odd(odd)


class MirrorNet(nn.Module):
    """ELU layers that a mirror goes through: group-equivariant ones (Cohen and Welling 2016) of the two-element group.

    Every layer maps even parts to even and odd parts to odd ones, each half as wide: half the work of a plain layer.
    Hidden units are pairs of mirror partners, made of sum and difference of both parts, so that the activation keeps
    the symmetry. Weights begin such that the units' inputs have the variance that a gain of sqrt(2) gives them.

    Args:
        parts: even and odd part of the input.
        hidden: widths, both of a pair counted.

    Raises:
        UserError: an odd width.
    """

    def __init__(self, parts: Parts, hidden: Sequence[int]) -> None:
        super().__init__()
        if any(size % 2 for size in hidden):
            raise UserError(f"hidden layers {tuple(hidden)} hold pairs of mirror partners: give even numbers")
        self.even = parts.even
        sizes = [(parts.even, parts.odd), *((size // 2, size // 2) for size in hidden)]
        self.layers = nn.ModuleList(
            PairedLinear(below + above, 1.0 if i == 0 else ROOT)
            for i, (below, above) in enumerate(pairwise(sizes))
        )
        self.width = sizes[-1][0]
        """Of each part of the last layer."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Even and odd part of the last layer, (b, width) each, for even and odd part of the input (b, D)."""
        even, odd = inputs[:, : self.even], inputs[:, self.even :]
        for layer in self.layers:
            even, odd = layer(even, odd)
            left, right = nn.functional.elu(even + odd), nn.functional.elu(even - odd)
            even, odd = left + right, left - right
        return even, odd


class SymmetricActor(Actor):
    """Mean action (b, n), exactly equivariant: to the mirrored observation it gives the mirrored action.

    `task_mirror` gives index and sign of inputs that follow the layout's slices.
    """

    to_joints: Tensor

    def __init__(
        self,
        spec: RobotSpec,
        layout: Layout,
        hidden: Sequence[int],
        init_std: float = 0.12,
        task_mirror: Mirror | None = None,
        until: float = 1e12,
    ) -> None:
        super().__init__()
        mirror = observation_mirror(spec, layout)
        if task_mirror is not None:
            mirror = joined([mirror, task_mirror])
        self.normalizer = MirrorNormalizer(mirror, until)
        self.parts, actions = Parts(mirror), Parts(spec.mirror.joints)
        self.register_buffer("to_joints", actions.matrix(), persistent=False)
        self.net = MirrorNet(self.parts, hidden)
        self.head = PairedLinear((self.net.width, self.net.width, actions.even, actions.odd), 0.01 * ROOT)
        self.log_std = nn.Parameter(torch.full((spec.num_joints,), math.log(init_std)))

    def inputs(self, obs: Tensor) -> Tensor:
        """What the network sees of raw observations (b, D): normalised, even part and odd part, (b, D)."""
        parts: Tensor = self.parts(self.normalizer(obs))
        return parts

    def mean(self, inputs: Tensor) -> Tensor:
        """Mean action (b, n) for `inputs` (b, D)."""
        mean: Tensor = torch.cat(self.head(*self.net(inputs)), dim=1) @ self.to_joints
        return mean


class Critic(nn.Module):
    """State values (b, streams) from the asymmetric observation, one for each stream of rewards.

    A state and its mirror image are worth the same. `mirror` are index and sign of the observation's mirror image.
    """

    def __init__(self, mirror: Mirror, hidden: Sequence[int], streams: int = 1) -> None:
        super().__init__()
        self.streams = streams
        self.normalizer = MirrorNormalizer(mirror)
        self.parts = Parts(mirror)
        self.net = MirrorNet(self.parts, hidden)
        self.head = nn.Linear(self.net.width, streams)
        nn.init.orthogonal_(self.head.weight, ROOT)
        nn.init.zeros_(self.head.bias)

    def forward(self, obs: Tensor) -> Tensor:
        """Values (b, streams) of raw observations (b, size)."""
        return self.value(self.inputs(obs))

    def inputs(self, obs: Tensor) -> Tensor:
        """Raw observations (b, size), normalised: even part, odd part."""
        parts: Tensor = self.parts(self.normalizer(obs))
        return parts

    def value(self, inputs: Tensor) -> Tensor:
        """Values (b, streams) for `inputs` (b, size)."""
        value: Tensor = self.head(self.net(inputs)[0])
        return value


class Discriminator(nn.Module):
    """One raw logit D (b,) per window of features; the normaliser is its own and fixed by the reference."""

    def __init__(self, size: int, hidden: Sequence[int] = (256, 128), norm: Norm = "layer") -> None:
        super().__init__()
        self.normalizer = Normalizer(size, floor=0.05, clip=8.0)
        self.net = mlp([size, *hidden, 1], norm)

    def forward(self, window: Tensor) -> Tensor:
        """Logit (b,) of raw windows (b, frames * F)."""
        return self.logit(self.normalizer(window))

    def logit(self, normal: Tensor) -> Tensor:
        """Logit (b,) of windows that are normalised already."""
        value: Tensor = self.net(normal)[:, 0]
        return value
