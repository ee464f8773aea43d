"""Distributed training: several processes (ranks), on one machine or more, and what they tell each other.

Every rank steps robots of its own and learns from their samples; gradients, the normalisers' statistics and all
figures that decide something are averaged, so that the networks stay the same in all of them. One rank takes the
same way through the code: its averages are its own.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wildrobot.core.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, UserError
from wildrobot.training.rl.checkpoint import from_bytes, to_bytes

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for another: the main one clones the tracker while the rest wait."""
SEED_STRIDE = 1_000_000
"""Between the seeds of two ranks."""


class Distributed:
    """This rank among those that train together; alone by default. All methods are called by all of them at once."""

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank, self.world_size = rank, world_size

    @property
    def is_main(self) -> bool:
        """The one that writes and speaks."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """This rank's own seed."""
        return seed + SEED_STRIDE * self.rank

    @torch.no_grad()
    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all ranks."""
        if self.world_size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.world_size

    def average_metrics(self, values: dict[str, Any]) -> dict[str, Any]:
        """Numbers averaged over the ranks that know them (not NaN); everything else is the main rank's own."""
        if self.world_size == 1:
            return values
        names = sorted(name for name, value in values.items() if isinstance(value, float))
        own = torch.tensor([values[name] for name in names], dtype=torch.float64)
        known = torch.isfinite(own)
        both = torch.stack([torch.where(known, own, 0.0), known.double()])
        dist.all_reduce(both)
        found = (both[0] / both[1]).tolist()  # 0 / 0 is NaN again
        return values | dict(zip(names, found, strict=True))

    def all_ranks(self, yes: bool) -> bool:
        """Whether it is so in all ranks."""
        return bool(self.mean(torch.tensor(float(yes))) == 1.0)

    @torch.no_grad()
    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, float]:
        """Mean (size,), variance (size,) and number of rows of x (b, size) over all ranks; b may differ.

        Parallel mean and variance of Chan et al. 1979.
        """
        count, mean = float(len(x)), x.mean(dim=0)
        var = (x - mean).square().mean(dim=0)  # torch.var takes ten times as long along rows
        if self.world_size == 1:
            return mean, var, count
        share = torch.tensor(count, device=x.device)
        dist.all_reduce(share)
        total = float(share)
        everywhere = mean * (count / total)
        dist.all_reduce(everywhere)
        spread = (var + (mean - everywhere).square()) * (count / total)
        dist.all_reduce(spread)
        return everywhere, spread, total

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the ranks."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.world_size == 1 or not gradients:  # an actor whose critic warms up has none
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def broadcast_parameters(self, *modules: nn.Module) -> None:
        """Make parameters and buffers those of the main rank."""
        if self.world_size == 1:
            return
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor, src=0)

    def gather_states(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """The other ranks' states (as a checkpoint holds them), on the main one; [] elsewhere."""
        if self.world_size == 1:
            return []
        data = torch.frombuffer(bytearray(to_bytes(state)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world_size)]
        dist.all_gather(sizes, torch.tensor([len(data)]))
        longest = int(max(size.item() for size in sizes))
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(data)] = data
        parts = [torch.zeros_like(padded) for _ in range(self.world_size)] if self.is_main else None
        dist.gather(padded, parts)
        if parts is None:
            return []
        return [
            from_bytes(part[: int(size)].numpy().tobytes())
            for part, size in list(zip(parts, sizes, strict=True))[1:]
        ]


@contextmanager
def init_distributed() -> Iterator[Distributed]:
    """The ranks that torchrun has started (by RANK and WORLD_SIZE in the environment), or this process alone.

    Raises:
        UserError: another process ended while this one waited for it.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Distributed()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    code = 1
    try:
        yield Distributed(dist.get_rank(), count)
        code = 0
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        code = EXIT_BAD_INPUT
        raise UserError(
            f"process {os.environ['RANK']} of {count} lost another one, which ended or cannot be reached "
            f"({str(error).splitlines()[0][:120]}). The same command continues from the last checkpoint."
        ) from error
    except UserError:
        code = EXIT_BAD_INPUT
        raise
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
        raise
    finally:
        atexit.register(_leave_at_once, code)
        dist.destroy_process_group()


def _leave_at_once(code: int) -> None:
    """End with `code`, that of `run_main`, before the libraries are taken down: gloo's threads, when another process
    has gone first, now and then abort this one then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or int(hasattr(sys, "last_value")))


def threads_per_rank() -> int:
    """CPUs that each of this machine's ranks may use."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
