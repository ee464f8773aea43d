"""The networks: normaliser, mirror-symmetric actor, critic and discriminator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.observation import Layout, layout_size, observation_mirror
from wildrobot.training.processes import Processes

ALONE = Processes()


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
    def update(self, x: Tensor, processes: Processes = ALONE) -> None:
        """Learn from raw samples x (b, size), those of all processes."""
        count = float(self.count)
        if count >= self.until or len(x) == 0:
            return
        mean, var, size = processes.moments(x)
        total = count + size
        delta = mean - self.mean
        self.mean += delta * (size / total)
        between = delta.square() * (count * size / total)
        self.var.copy_((self.var * count + var * size + between) / total)
        self.count.fill_(total)


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


class SymmetricActor(nn.Module):
    """Mean action (b, n): the network's answer averaged with the mirrored answer to the mirrored observation.

    Exact left-right symmetry; `extra` gives index and sign of inputs that follow the layout's slices.
    """

    obs_index: Tensor
    obs_sign: Tensor
    act_index: Tensor
    act_sign: Tensor

    def __init__(
        self,
        spec: RobotSpec,
        layout: Layout,
        hidden: Sequence[int],
        init_std: float = 0.12,
        extra: tuple[Any, Any] | None = None,
        until: float = 1e12,
    ) -> None:
        super().__init__()
        index, sign = (torch.as_tensor(part.copy()) for part in observation_mirror(spec, layout))
        if extra is not None:
            index = torch.cat([index, torch.as_tensor(extra[0]) + layout_size(layout)])
            sign = torch.cat([sign, torch.as_tensor(extra[1])])
        n = spec.num_joints
        self.normalizer = Normalizer(len(index), until=until)
        self.net = mlp([len(index), *hidden, n])
        self.log_std = nn.Parameter(torch.full((n,), math.log(init_std)))
        self.register_buffer("obs_index", index, persistent=False)
        self.register_buffer("obs_sign", sign.float(), persistent=False)
        self.register_buffer("act_index", torch.as_tensor(spec.mirror.joint_index.copy()), persistent=False)
        self.register_buffer(
            "act_sign", torch.as_tensor(spec.mirror.joint_sign.copy()).float(), persistent=False
        )

    def forward(self, obs: Tensor) -> Tensor:
        """Mean action (b, n) for raw observations (b, D)."""
        return self.answer(self.inputs(obs))

    def inputs(self, obs: Tensor) -> Tensor:
        """What the network sees of raw observations (b, D): them and their mirror images, normalised, (b, 2, D)."""
        mirrored = torch.index_select(obs, 1, self.obs_index) * self.obs_sign
        return self.normalizer(torch.stack([obs, mirrored], dim=1))

    def answer(self, inputs: Tensor) -> Tensor:
        """Mean action (b, n) for `inputs` (b, 2, D)."""
        both = self.net(inputs.flatten(0, 1))
        answer, reflected = both.unflatten(0, (-1, 2)).unbind(1)
        return 0.5 * (answer + torch.index_select(reflected, 1, self.act_index) * self.act_sign)


class Critic(nn.Module):
    """State values (b, streams) from the asymmetric observation, one for each stream of rewards."""

    def __init__(self, size: int, hidden: Sequence[int], streams: int = 1) -> None:
        super().__init__()
        self.streams = streams
        self.normalizer = Normalizer(size)
        self.net = mlp([size, *hidden, streams], output_gain=1.0)

    def forward(self, obs: Tensor) -> Tensor:
        """Values (b, streams) of raw observations (b, size)."""
        return self.answer(self.inputs(obs))

    def inputs(self, obs: Tensor) -> Tensor:
        """Raw observations (b, size), normalised."""
        inputs: Tensor = self.normalizer(obs)
        return inputs

    def answer(self, inputs: Tensor) -> Tensor:
        """Values (b, streams) for `inputs` (b, size)."""
        value: Tensor = self.net(inputs)
        return value


class Discriminator(nn.Module):
    """One raw logit D (b,) per window of features; the normaliser is its own and fixed by the reference."""

    def __init__(self, size: int, hidden: Sequence[int] = (512, 256), norm: Norm = "layer") -> None:
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
