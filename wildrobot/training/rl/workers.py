"""Worker threads: tasks that do not depend on each other, side by side on the CPUs.

Layers as small as these gain little from several threads on one product of matrices, and the idle ones spin on cores
that others want. So each task has a thread to itself, and results do not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

CHUNK = 2048
"""Rows that `Workers.infer` gives to a task."""


class Workers:
    """Runs tasks on this process's threads. Without `open` it runs them one after the other."""

    def __init__(self) -> None:
        self._threads = 1
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """While it is open PyTorch's threads are workers, and the caller computes on one of them."""
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        if self._threads > 1 and (self._pool is None or self._pool._max_workers != self._threads):
            self._pool = ThreadPoolExecutor(self._threads, "worker")
        try:
            yield
        finally:
            torch.set_num_threads(self._threads)
            self._threads = 1

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Results of the tasks, which begin in their order: the longest one is best the first.

        Fewer tasks than threads compute on several threads each. An exception of a task is raised here, when all have
        ended.
        """
        workers = min(self._threads, len(tasks))
        if workers <= 1 or self._pool is None:
            return [task() for task in tasks]
        try:
            # the number of threads is each thread's own
            waiting = [self._pool.submit(_run_on, self._threads // workers, task) for task in tasks]
            for one in waiting:
                one.exception()
            return [one.result() for one in waiting]
        finally:
            torch.set_num_threads(1)

    @torch.no_grad()
    def infer(self, network: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """The network's output for rows (b, ...), without gradients; on the CPU in chunks of fixed size."""
        if rows.is_cuda or len(rows) <= CHUNK:
            return network(rows)
        return torch.cat(self.run([partial(_infer, network, chunk) for chunk in rows.split(CHUNK)]))


def _run_on(threads: int, task: Callable[[], T]) -> T:
    torch.set_num_threads(threads)
    return task()


@torch.no_grad()
def _infer(network: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return network(rows)


def spawn_generator(generator: torch.Generator) -> torch.Generator:
    """A generator for one task: seeded from the run's, so that what it draws does not depend on other tasks."""
    seed = torch.randint(2**62, (1,), generator=generator)
    return torch.Generator().manual_seed(int(seed))
