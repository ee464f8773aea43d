"""PPO by hand: advantages at ends of episodes, which ticks count, and the learning rate."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wildrobot.training.rl.distributed import Distributed
from wildrobot.training.rl.gaussian import log_prob
from wildrobot.training.rl.networks import Actor, Critic, mlp
from wildrobot.training.rl.normalizer import Normalizer
from wildrobot.training.rl.ppo import PPO, PPOConfig, combine_advantages
from wildrobot.training.rl.rollout import Rollout

GAMMA, LAM = 0.9, 0.8


class SmallActor(Actor):
    """The parts of an actor that PPO uses."""

    def __init__(self, obs: int = 3, actions: int = 2, std: float = 0.3) -> None:
        super().__init__()
        self.normalizer = Normalizer(obs)
        self.net = mlp([obs, 8, actions])
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std)))

    def inputs(self, obs: torch.Tensor) -> torch.Tensor:
        inputs: torch.Tensor = self.normalizer(obs)
        return inputs

    def mean(self, inputs: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor = self.net(inputs)
        return mean


def small_ppo(**config: Any) -> PPO:
    torch.manual_seed(0)
    config = {"critic_warmup": 0, "epochs": 4} | config
    return PPO(
        SmallActor(), Critic((np.arange(4), np.array([1.0, 1.0, -1.0, -1.0])), (8,)), PPOConfig(**config)
    )


def one_episode(rewards: list[float], values: list[float], next_values: list[float]) -> Rollout:
    """A rollout (T, 1) without ends."""
    rollout = Rollout(len(rewards), 1, 3, 4, 2, "cpu")
    rollout.rewards[:, 0, 0] = torch.tensor(rewards)
    rollout.values[:, 0, 0] = torch.tensor(values)
    rollout.next_values[:, 0, 0] = torch.tensor(next_values)
    rollout.valid[:] = True
    return rollout


def test_advantages_are_the_discounted_sums_of_one_step_errors() -> None:
    rollout = one_episode([1.0, 2.0, 3.0], [0.5, 0.6, 0.7], [0.6, 0.7, 0.8])
    errors = [1.0 + GAMMA * 0.6 - 0.5, 2.0 + GAMMA * 0.7 - 0.6, 3.0 + GAMMA * 0.8 - 0.7]
    expected = [
        errors[0] + GAMMA * LAM * errors[1] + (GAMMA * LAM) ** 2 * errors[2],
        errors[1] + GAMMA * LAM * errors[2],
        errors[2],
    ]
    advantage, returns = rollout.compute_returns(GAMMA, LAM)
    assert advantage[:, 0, 0].tolist() == pytest.approx(expected)
    assert returns[:, 0, 0].tolist() == pytest.approx(
        [a + v for a, v in zip(expected, [0.5, 0.6, 0.7], strict=True)]
    )


def test_nothing_comes_after_a_fall() -> None:
    rollout = one_episode([1.0, 2.0, 3.0], [0.5, 0.6, 0.7], [0.6, 99.0, 0.8])
    rollout.terminated[1, 0] = rollout.dones[1, 0] = 1.0
    advantage, _ = rollout.compute_returns(GAMMA, LAM)
    fall = 2.0 - 0.6  # neither the next value nor tick 2
    assert advantage[:2, 0, 0].tolist() == pytest.approx([1.0 + GAMMA * 0.6 - 0.5 + GAMMA * LAM * fall, fall])


def test_a_time_limit_is_no_end_of_the_world() -> None:
    rollout = one_episode([1.0, 2.0, 3.0], [0.5, 0.6, 0.7], [0.6, 5.0, 0.8])
    rollout.dones[1, 0] = 1.0
    advantage, _ = rollout.compute_returns(GAMMA, LAM)
    limit = 2.0 + GAMMA * 5.0 - 0.6  # the value of the last state counts, tick 2 does not
    assert advantage[:2, 0, 0].tolist() == pytest.approx(
        [1.0 + GAMMA * 0.6 - 0.5 + GAMMA * LAM * limit, limit]
    )


def test_rows_do_not_mix() -> None:
    two = Rollout(2, 2, 3, 4, 2, "cpu")
    two.rewards[..., 0] = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    alone = one_episode([1.0, 2.0], [0.0, 0.0], [0.0, 0.0])
    assert torch.equal(two.compute_returns(GAMMA, LAM)[0][:, :1], alone.compute_returns(GAMMA, LAM)[0])


def test_streams_have_advantages_of_their_own() -> None:
    two = Rollout(3, 1, 3, 4, 2, "cpu", streams=2)
    alone = [
        one_episode([1.0, 2.0, 3.0], [0.5, 0.6, 0.7], [0.6, 0.7, 0.8]),
        one_episode([-3.0, 0.0, 9.0], [5.0, 0.1, 0.2], [0.1, 0.2, 0.3]),
    ]
    for stream, rollout in enumerate(alone):
        for name in ("rewards", "values", "next_values"):
            getattr(two, name)[..., stream] = getattr(rollout, name)[..., 0]
        rollout.terminated[1, 0] = rollout.dones[1, 0] = 1.0
    two.terminated[1, 0] = two.dones[1, 0] = 1.0
    both = two.compute_returns(GAMMA, LAM)
    for stream, rollout in enumerate(alone):
        for one, all_ in zip(rollout.compute_returns(GAMMA, LAM), both, strict=True):
            assert torch.equal(all_[..., stream], one[..., 0])


def test_streams_are_normalised_apart_before_their_weights_apply() -> None:
    generator = torch.Generator().manual_seed(0)
    task, style = torch.randn(20_000, generator=generator), torch.randn(20_000, generator=generator)
    # a stream of a hundredth of the size and far from zero counts as its weight says
    total = combine_advantages(
        torch.stack([100.0 * task, 0.01 * style + 7.0], dim=-1), torch.tensor([1.0, 2.0]), Distributed()
    )
    assert total.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert total.std().item() == pytest.approx(1.0, abs=1e-4)
    expected = [1.0 / 5.0**0.5, 2.0 / 5.0**0.5]
    found = [torch.corrcoef(torch.stack([total, stream]))[0, 1].item() for stream in (task, style)]
    assert found == pytest.approx(expected, abs=0.03)


def test_one_stream_is_normalised_and_no_more() -> None:
    advantage = torch.tensor([[1.0], [2.0], [6.0]])
    expected = (advantage[:, 0] - 3.0) / advantage[:, 0].std(unbiased=False)
    torch.testing.assert_close(combine_advantages(advantage, torch.tensor([0.3]), Distributed()), expected)


def test_log_density_is_that_of_a_gaussian() -> None:
    mean, log_std, action = torch.randn(5, 2), torch.tensor([-0.3, 0.4]), torch.randn(5, 2)
    expected = torch.distributions.Normal(mean, torch.exp(log_std)).log_prob(action).sum(dim=-1)
    torch.testing.assert_close(log_prob(mean, log_std, action), expected)


def test_actions_are_the_mean_plus_noise_of_the_given_deviation() -> None:
    ppo = small_ppo()
    action, mean, density = ppo.act(torch.randn(20_000, 3), torch.Generator().manual_seed(1))
    deviation = (action - mean).std(dim=0)
    torch.testing.assert_close(deviation, torch.tensor([0.3, 0.3]), atol=0.01, rtol=0)
    torch.testing.assert_close(density, log_prob(mean, ppo.actor.log_std.detach(), action))


def collected(ppo: PPO, steps: int = 6, rows: int = 4) -> Rollout:
    """A rollout of random observations in which action 0 is paid for."""
    rollout, generator = Rollout(steps, rows, 3, 4, 2, "cpu"), torch.Generator().manual_seed(2)
    rollout.obs[:] = torch.randn(steps, rows, 3, generator=generator)
    rollout.critic_obs[:] = torch.randn(steps, rows, 4, generator=generator)
    for t in range(steps):
        rollout.actions[t], rollout.means[t], rollout.log_prob[t] = ppo.act(rollout.obs[t], generator)
    rollout.rewards[..., 0] = rollout.actions[..., 0]
    rollout.dones[:] = 1.0
    rollout.valid[:] = True
    return rollout


def weights(ppo: PPO) -> dict[str, torch.Tensor]:
    parts = {f"actor.{k}": v for k, v in ppo.actor.state_dict().items()}
    return parts | {f"critic.{k}": v for k, v in ppo.critic.state_dict().items()}


def update(ppo: PPO, rollout: Rollout) -> dict[str, Any]:
    return ppo.update(rollout, torch.Generator().manual_seed(3))


def test_what_is_paid_becomes_more_likely() -> None:
    ppo = small_ppo(learning_rate=1e-3, learning_rate_range=(1e-6, 1e-3))
    rollout = collected(ppo, 64, 16)
    before = ppo.actor(rollout.obs[0]).detach()
    update(ppo, rollout)
    with torch.no_grad():
        change = ppo.actor(rollout.obs[0]) - before
    assert change[:, 0].mean() > 0.01
    assert change[:, 0].mean() > 3.0 * change[:, 1].mean().abs()


def check_invalid_ticks_are_ignored() -> None:
    """Whatever stands in invalid ticks, the same networks come out, normalisers included."""
    results = []
    for nonsense in (0.0, 1e3):
        ppo = small_ppo()
        rollout = collected(ppo)
        rollout.valid[2, 1] = rollout.valid[5, 3] = False
        for t, row in ((2, 1), (5, 3)):
            for values in (rollout.obs, rollout.critic_obs, rollout.actions, rollout.rewards, rollout.means):
                values[t, row] = nonsense
        update(ppo, rollout)
        results.append(weights(ppo))
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


def test_invalid_ticks_are_ignored() -> None:
    check_invalid_ticks_are_ignored()


def test_the_normalisers_learn_raw_observations() -> None:
    ppo = small_ppo()
    rollout = collected(ppo)
    rollout.obs *= 5.0
    rollout.obs += 7.0
    update(ppo, rollout)
    flat = rollout.obs.flatten(0, 1)
    torch.testing.assert_close(ppo.actor.normalizer.mean, flat.mean(dim=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        ppo.actor.normalizer.var, flat.var(dim=0, unbiased=False), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("kl", "factor"), [(0.021, 1 / 1.5), (0.02, 1.0), (0.01, 1.0), (0.005, 1.0), (0.004, 1.5), (0.0, 1.0)]
)
def test_the_learning_rate_follows_the_kl_divergence(kl: float, factor: float) -> None:
    ppo = small_ppo(learning_rate=1e-4, target_kl=0.01)
    ppo._adapt_learning_rate(kl)
    assert ppo.learning_rate == pytest.approx(1e-4 * factor)


def test_the_learning_rate_stays_in_its_range() -> None:
    ppo = small_ppo(learning_rate=1e-4, learning_rate_range=(1e-5, 1e-3))
    for kl, bound in ((1.0, 1e-5), (1e-6, 1e-3)):
        for _ in range(30):
            ppo._adapt_learning_rate(kl)
        assert ppo.learning_rate == pytest.approx(bound)


def test_the_deviation_never_falls_below_its_floor() -> None:
    ppo = small_ppo(min_std=0.29, learning_rate=1e-2, learning_rate_range=(1e-2, 1e-2))
    rollout = collected(ppo)
    rollout.rewards[..., 0] = -(rollout.actions - rollout.means).square().sum(dim=-1)  # noise costs
    for _ in range(3):
        figures = update(ppo, rollout)
    assert figures["action_std"] == pytest.approx(0.29, abs=1e-6)


def test_other_networks_updates_run_alongside_and_their_figures_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ppo, together = small_ppo(), []

    def run(updates: list[Any]) -> list[Any]:
        together.append(len(updates))
        return [one() for one in updates]

    monkeypatch.setattr(ppo.workers, "run", run)
    figures = ppo.update(collected(ppo), torch.Generator().manual_seed(3), [lambda: {"disc_loss": 0.25}])
    alone = update(small_ppo(), collected(small_ppo()))
    assert together == [3]
    assert figures == alone | {"disc_loss": 0.25}


def test_while_the_critic_warms_up_the_policy_keeps_still() -> None:
    ppo = small_ppo(critic_warmup=1)
    before = {name: value.clone() for name, value in weights(ppo).items()}
    update(ppo, collected(ppo))
    after = weights(ppo)
    assert torch.equal(after["actor.net.0.weight"], before["actor.net.0.weight"])
    assert torch.equal(after["actor.log_std"], before["actor.log_std"])
    assert not torch.equal(after["critic.head.weight"], before["critic.head.weight"])
    update(ppo, collected(ppo))
    assert not torch.equal(weights(ppo)["actor.net.0.weight"], before["actor.net.0.weight"])


def test_a_saved_learner_goes_on_to_the_bit() -> None:
    one, two = small_ppo(critic_warmup=2), small_ppo(critic_warmup=2)
    update(one, collected(one))
    two.load_state_dict(copy.deepcopy(one.state_dict()))  # as from a file: no shared tensors
    for _ in range(2):
        assert update(one, collected(one)) == update(two, collected(two))
    for name, value in weights(one).items():
        assert torch.equal(value, weights(two)[name]), name
