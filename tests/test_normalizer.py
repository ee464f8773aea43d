"""The normaliser learns raw statistics once and applies them; learning and applying are apart."""

from __future__ import annotations

import torch

from wildrobot.training.rl.normalizer import Normalizer


def test_statistics_of_pieces_are_those_of_the_whole() -> None:
    data = 3.0 * torch.randn(100, 4) + torch.tensor([1.0, -2.0, 0.0, 50.0])
    normalizer = Normalizer(4)
    for piece in data.split([1, 9, 30, 60]):
        normalizer.update(piece)
    torch.testing.assert_close(normalizer.mean, data.mean(dim=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(normalizer.var, data.var(dim=0, unbiased=False), atol=1e-3, rtol=1e-3)
    assert float(normalizer.count) == 100.0


def test_forward_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    normalizer = Normalizer(1)
    normalizer.update(torch.tensor([[1.0], [3.0]]))  # mean 2, deviation 1
    torch.testing.assert_close(normalizer(torch.tensor([[2.0], [3.5]])), torch.tensor([[0.0], [1.5]]))


def test_forward_learns_nothing() -> None:
    normalizer = Normalizer(2).train()
    before = {name: value.clone() for name, value in normalizer.state_dict().items()}
    normalizer(torch.randn(10, 2))
    for name, value in normalizer.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_constant_input_is_not_blown_up() -> None:
    normalizer = Normalizer(1, floor=0.01)
    normalizer.update(torch.full((10, 1), 5.0))
    torch.testing.assert_close(normalizer(torch.tensor([[5.001]])), torch.tensor([[0.1]]), atol=1e-3, rtol=0)


def test_outliers_are_clipped() -> None:
    normalizer = Normalizer(1, clip=10.0)
    assert normalizer(torch.tensor([[1e6], [-1e6]])).tolist() == [[10.0], [-10.0]]


def test_statistics_stop_changing_after_the_given_count() -> None:
    normalizer = Normalizer(1, until=10)
    normalizer.update(torch.ones(10, 1))
    normalizer.update(torch.full((10, 1), 9.0))
    assert float(normalizer.mean) == 1.0
    assert float(normalizer.count) == 10.0


def test_no_samples_change_nothing() -> None:
    normalizer = Normalizer(1)
    normalizer.update(torch.zeros(0, 1))
    assert float(normalizer.mean) == 0.0
    assert float(normalizer.var) == 1.0


def test_saved_statistics_come_back_equal_and_go_on_learning() -> None:
    one, two, more = Normalizer(3), Normalizer(3), torch.randn(5, 3)
    one.update(torch.randn(7, 3) * 4.0)
    two.load_state_dict(one.state_dict())
    for normalizer in (one, two):
        normalizer.update(more)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
