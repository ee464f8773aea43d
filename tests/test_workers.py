"""Tasks side by side: results in their order, threads shared out, and training that knows nothing of either."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from training_helpers import assert_same_state, comparable, tiny_runner

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.workers import CHUNK, Workers, spawn_generator


@pytest.fixture
def threads() -> Iterator[Any]:
    """Sets PyTorch's number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_tasks_run_side_by_side_and_their_results_are_in_order(threads: Any) -> None:
    threads(2)
    workers, meet = Workers(), threading.Barrier(2, timeout=10.0)

    def task(number: int) -> tuple[int, str]:
        meet.wait()  # breaks, unless the other one runs meanwhile
        return number, threading.current_thread().name

    with workers.open():
        results = workers.run([lambda: task(0), lambda: task(1)])
    assert [number for number, _ in results] == [0, 1]
    assert len({name for _, name in results}) == 2


@pytest.mark.parametrize(("given", "tasks", "each"), [(1, 3, 1), (2, 2, 1), (2, 5, 1), (4, 2, 2), (6, 1, 1)])
def test_threads_are_shared_out_among_the_tasks(threads: Any, given: int, tasks: int, each: int) -> None:
    threads(given)
    workers = Workers()
    with workers.open():
        assert torch.get_num_threads() == 1
        assert workers.run([torch.get_num_threads] * tasks) == [each] * tasks
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == given


def test_outside_tasks_run_one_after_the_other(threads: Any) -> None:
    threads(2)
    here = threading.current_thread().name
    assert Workers().run([lambda: threading.current_thread().name] * 2) == [here, here]


def test_a_task_that_fails_is_heard_of_when_all_have_ended(threads: Any) -> None:
    threads(2)
    workers, ended = Workers(), threading.Event()
    failed = threading.Event()

    def fails() -> None:
        failed.set()
        raise ValueError("a task")

    def goes_on() -> None:
        failed.wait(10.0)
        ended.set()

    with pytest.raises(ValueError, match="a task"), workers.open():
        workers.run([fails, goes_on])
    assert ended.is_set()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("rows", [1, CHUNK, 2 * CHUNK + 3])
def test_inference_does_not_depend_on_the_threads(threads: Any, rows: int) -> None:
    torch.manual_seed(0)
    network, x, found = torch.nn.Linear(40, 8), torch.randn(rows, 40), []
    for count in (1, 2, 3):
        threads(count)
        workers = Workers()
        with workers.open():
            found.append(workers.infer(network, x))
        assert not found[-1].requires_grad
        assert torch.equal(found[-1], found[0])
    torch.testing.assert_close(found[0], network(x).detach())


def test_a_task_draws_the_same_whatever_the_others_draw() -> None:
    drawn = []
    for greed in (1, 1000):
        generator = torch.Generator().manual_seed(5)
        one, other = spawn_generator(generator), spawn_generator(generator)
        torch.rand(greed, generator=one)
        drawn.append(torch.rand(3, generator=other))
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_training_is_the_same_at_any_number_of_threads(
    spec: RobotSpec, walking_reference: ReferenceDataset, threads: Any
) -> None:
    states, figures = [], []
    for count in (1, 2):
        threads(count)
        runner = tiny_runner(spec, walking_reference, num_envs=7, threads=count)
        figures.append([runner.iterate() for _ in range(4)])
        states.append(runner.state_dict())
    assert_same_state(*states)
    for one, other in zip(*figures, strict=True):
        assert repr(comparable(one)) == repr(comparable(other))
