"""The motion prior by hand: reward, loss, order of reward and update, replay, and what its figures say."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from amp_helpers import SMALL, generator, paid_by, small_amp, updated
from torch import Tensor, nn
from training_helpers import tiny_config, tiny_runner

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import mirror_features
from wildrobot.training.rl.amp import AMP, ReplayBuffer, style_reward
from wildrobot.training.rl.networks import Discriminator
from wildrobot.training.rl.normalizer import Normalizer

# ---------------------------------------------------------------------- reward


@pytest.mark.parametrize(("logit", "reward"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0), (-1.0, 0.0), (1.7, 1.0)])
def test_the_reward_is_the_clipped_logit(logit: float, reward: float) -> None:
    assert style_reward(torch.tensor([logit]), "clip").item() == reward


def test_the_former_quadratic_reward_pays_three_quarters_for_nothing() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 3.0])
    assert style_reward(logits, "quadratic").tolist() == [1.0, 0.75, 0.0, 0.0]


def test_the_sigmoid_reward_is_selectable() -> None:
    assert style_reward(torch.tensor([0.0, 100.0, -100.0]), "sigmoid").tolist() == [0.5, 1.0, 0.0]


def test_the_reward_sees_raw_windows() -> None:
    amp = small_amp()
    windows = torch.randn(5, 4)
    with torch.no_grad():
        logit = amp.discriminator.logit(amp.discriminator.normalizer(windows))
    assert torch.equal(paid_by(amp, windows), logit.clamp(0.0, 1.0))


# ---------------------------------------------------------------------- loss


class Linear(nn.Module):
    """D(x) = w . x + b on inputs normalised by a known mean and deviation."""

    def __init__(self, weight: list[float], bias: float, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(weight)), nn.Parameter(torch.tensor(bias))
        self.normalizer = Normalizer(len(weight), floor=1e-6, clip=1e6)
        self.normalizer.mean.copy_(torch.tensor(mean))
        self.normalizer.var.copy_(torch.tensor(std).square())

    def logit(self, normal: Tensor) -> Tensor:
        return normal @ self.weight + self.bias

    def forward(self, window: Tensor) -> Tensor:
        return self.logit(self.normalizer(window))


def linear_amp() -> AMP:
    amp = small_amp(dataclasses.replace(SMALL, input_noise=0.0, r1=5.0), size=2)
    amp.discriminator = Linear([2.0, -1.0], 0.5, mean=[1.0, 2.0], std=[10.0, 0.1])  # type: ignore[assignment]
    return amp


def check_loss_by_hand(amp: AMP) -> None:
    """1/2 (mean (D(real)-1)^2 + mean D(fake)^2) + 5/2 |w|^2, with |w| the slope in normalised inputs."""
    real, fake = torch.tensor([[11.0, 2.0], [1.0, 2.1]]), torch.tensor([[1.0, 2.0]])
    d_real, d_fake = [2.0 + 0.5, -1.0 + 0.5], [0.5]  # normalised: (1, 0), (0, 1); (0, 0)
    lsgan = 0.5 * (np.mean([(d - 1.0) ** 2 for d in d_real]) + np.mean([d**2 for d in d_fake]))
    loss, penalty = amp.loss(real, fake, generator())
    assert penalty.item() == pytest.approx(2.0**2 + 1.0**2)
    assert loss.item() == pytest.approx(lsgan + 2.5 * 5.0)


def test_the_loss_is_least_squares_plus_r1_on_normalised_inputs() -> None:
    check_loss_by_hand(linear_amp())


def test_the_penalty_trains_the_discriminator() -> None:
    amp = linear_amp()
    _, penalty = amp.loss(torch.randn(4, 2), torch.randn(4, 2), generator())
    penalty.backward()
    gradient: Any = amp.discriminator.weight.grad
    torch.testing.assert_close(gradient, torch.tensor([4.0, -2.0]))


def test_the_penalty_is_taken_at_real_samples_only() -> None:
    amp = small_amp(dataclasses.replace(SMALL, input_noise=0.0))
    real, fake = torch.randn(4, 4), torch.randn(4, 4)
    penalties = [amp.loss(real, other, generator())[1].item() for other in (fake, 5.0 * fake)]
    assert penalties[0] == penalties[1]
    assert amp.loss(5.0 * real, fake, generator())[1].item() != penalties[0]


def test_input_noise_is_there_while_training_and_not_in_the_reward() -> None:
    amp, real, fake = small_amp(), torch.randn(4, 4), torch.randn(4, 4)
    assert amp.loss(real, fake, generator(1))[0].item() != amp.loss(real, fake, generator(2))[0].item()
    assert torch.equal(paid_by(amp, fake), paid_by(amp, fake))


def test_the_input_noise_is_on_the_scale_of_normalised_inputs() -> None:
    amp = small_amp(dataclasses.replace(SMALL, input_noise=0.02), size=2)
    seen: list[Tensor] = []

    class Watch(Linear):
        def logit(self, normal: Tensor) -> Tensor:
            seen.append(normal.detach())
            return super().logit(normal)

    amp.discriminator = Watch([1.0, 1.0], 0.0, mean=[0.0, 0.0], std=[100.0, 0.01])  # type: ignore[assignment]
    amp.loss(torch.zeros(4000, 2), torch.zeros(4000, 2), generator())
    for normal in seen:
        torch.testing.assert_close(normal.std(dim=0), torch.tensor([0.02, 0.02]), atol=2e-3, rtol=0)


# ---------------------------------------------------------------------- training


def test_the_normaliser_knows_the_reference_and_is_not_changed_by_training() -> None:
    amp = small_amp()
    torch.testing.assert_close(amp.discriminator.normalizer.mean, amp.reference.mean(dim=0))
    before = amp.discriminator.normalizer.mean.clone()
    updated(amp, 10.0 * torch.randn(50, 4), generator())
    assert torch.equal(amp.discriminator.normalizer.mean, before)


def test_updates_tell_the_two_sides_apart() -> None:
    amp = small_amp(dataclasses.replace(SMALL, learning_rate=3e-3, r1=0.1))
    fake = torch.randn(80, 4) - 1.0
    for i in range(60):
        figures = updated(amp, fake, generator(i))
    assert figures["disc_acc"] > 0.85
    assert figures["disc_real_mean"] > figures["disc_fake_mean"] + 0.3


def test_the_number_of_updates_and_their_batches_are_as_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    amp, sizes = small_amp(dataclasses.replace(SMALL, updates=5)), []
    real_loss = amp.loss

    def loss(real: Tensor, fake: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        sizes.append((len(real), len(fake)))
        return real_loss(real, fake, g)

    monkeypatch.setattr(amp, "loss", loss)
    updated(amp, torch.randn(50, 4), generator())
    assert sizes == [(32, 32)] * 5


def test_half_of_the_policy_windows_are_remembered_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    amp, fakes = small_amp(), []
    updated(amp, torch.full((50, 4), 1.0), generator())
    real_loss = amp.loss

    def loss(real: Tensor, fake: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        fakes.append(fake)
        return real_loss(real, fake, g)

    monkeypatch.setattr(amp, "loss", loss)
    updated(amp, torch.full((50, 4), 2.0), generator())
    for fake in fakes:
        assert fake[:, 0].tolist() == [2.0] * 16 + [1.0] * 16


def test_the_held_out_reference_is_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    amp = small_amp()
    amp.reference = torch.full((60, 4), 1.0)
    amp.held_out = torch.full((20, 4), 7.0)
    seen = []
    real_loss = amp.loss

    def loss(real: Tensor, fake: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        seen.append(real)
        return real_loss(real, fake, g)

    monkeypatch.setattr(amp, "loss", loss)
    updated(amp, torch.randn(50, 4), generator())
    assert torch.equal(torch.cat(seen), torch.ones(3 * 32, 4))


def test_held_out_windows_change_neither_the_normaliser_nor_the_weights() -> None:
    results = []
    for held in (torch.randn(20, 4), 100.0 * torch.ones(20, 4)):
        torch.manual_seed(0)
        amp = AMP(torch.randn(60, 4, generator=generator(5)), held, SMALL)
        updated(amp, torch.randn(50, 4, generator=generator(6)), generator())
        results.append(amp.discriminator.state_dict())
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


def check_reward_is_of_the_discriminator_before_its_update(runner: Any) -> None:
    before = copy.deepcopy(runner.amp)
    windows, ok = torch.randn(3, 8, before.reference.shape[1]), torch.ones(3, 8, dtype=torch.bool)
    paid, updates = runner._style(windows, ok, {})
    for update in updates:
        update()
    torch.testing.assert_close(paid, paid_by(before, windows.flatten(0, 1)).reshape(3, 8), rtol=0, atol=0)
    changed = runner.amp.discriminator.state_dict()
    assert not all(torch.equal(v, changed[k]) for k, v in before.discriminator.state_dict().items())


def test_the_reward_is_of_the_discriminator_before_its_update(
    spec: RobotSpec, walking_reference: Any
) -> None:
    fast = dataclasses.replace(tiny_config().amp, learning_rate=0.1)
    check_reward_is_of_the_discriminator_before_its_update(tiny_runner(spec, walking_reference, amp=fast))
    late = dataclasses.replace(fast, reward_before_update=False)
    with pytest.raises(AssertionError):
        check_reward_is_of_the_discriminator_before_its_update(tiny_runner(spec, walking_reference, amp=late))


def test_windows_that_do_not_count_are_paid_the_mean(spec: RobotSpec, walking_reference: Any) -> None:
    runner, metrics = tiny_runner(spec, walking_reference), {}
    windows, ok = torch.randn(3, 8, runner.amp.reference.shape[1]), torch.rand(3, 8) > 0.5
    paid, _ = runner._style(windows, ok, metrics)
    assert torch.all(paid[~ok] == metrics["style_reward_mean"])
    assert not torch.any(paid[ok] == metrics["style_reward_mean"])


def test_the_motion_prior_has_its_own_optimiser_and_rate() -> None:
    amp = small_amp(dataclasses.replace(SMALL, learning_rate=2e-4))
    own = {id(p) for p in amp.discriminator.parameters()}
    assert {id(p) for group in amp.optimizer.param_groups for p in group["params"]} == own
    assert [group["lr"] for group in amp.optimizer.param_groups] == [2e-4]


def test_a_saved_motion_prior_goes_on_to_the_bit() -> None:
    one, two = small_amp(), small_amp()
    windows = [torch.randn(50, 4) for _ in range(4)]
    for i, batch in enumerate(windows[:2]):
        updated(one, batch, generator(i))
    two.load_state_dict(copy.deepcopy(one.state_dict()))  # as from a file: no shared tensors
    two.replay.load_state_dict(one.replay.state_dict())
    for i, batch in enumerate(windows[2:]):
        assert updated(one, batch, generator(i)) == updated(two, batch, generator(i))
    for name, value in one.discriminator.state_dict().items():
        assert torch.equal(value, two.discriminator.state_dict()[name]), name


# ---------------------------------------------------------------------- figures


def test_figures_are_counts_of_what_the_discriminator_says() -> None:
    amp = small_amp(size=1)
    amp.discriminator = Linear([1.0], 0.0, mean=[0.0], std=[1.0])  # type: ignore[assignment]
    amp.reference = torch.tensor([[0.6], [0.9]])
    amp.held_out = torch.tensor([[0.1]])
    figures = amp.figures(amp.logits(torch.tensor([[-0.5]])), generator())
    assert figures["disc_acc"] == 1.0
    assert figures["disc_acc_heldout"] == 0.5
    assert figures["disc_real_mean"] == pytest.approx(0.75, abs=0.02)
    assert figures["disc_real_std"] == pytest.approx(0.15, abs=0.01)
    assert figures["disc_fake_mean"] == -0.5
    assert figures["disc_fake_std"] == 0.0
    assert figures["style_reward_mean"] == 0.0
    assert (figures["style_clipped_low"], figures["style_clipped_high"]) == (1.0, 0.0)
    assert amp.figures(amp.logits(torch.tensor([[1.5]])), generator())["style_clipped_high"] == 1.0


def test_figures_are_of_before_the_update() -> None:
    amp, windows = small_amp(), torch.randn(50, 4)
    before = amp.figures(amp.logits(windows), generator())
    reported = updated(amp, windows, generator())
    assert {name: reported[name] for name in before} == before
    assert amp.figures(amp.logits(windows), generator()) != before


# ---------------------------------------------------------------------- replay


def slots(buffer: ReplayBuffer) -> list[float]:
    return [float(slot[0, 0]) for slot in buffer.windows]


def test_the_replay_buffer_is_a_ring_of_rollouts() -> None:
    buffer = ReplayBuffer(rollouts=3, share=4, size=1)
    for value in (1.0, 2.0, 3.0, 4.0):
        buffer.add(torch.full((10, 1), value), generator())
    assert slots(buffer) == [4.0, 2.0, 3.0]
    assert (buffer.filled, buffer.next) == (3, 1)
    assert set(buffer.sample(200, generator()).flatten().tolist()) == {2.0, 3.0, 4.0}


def test_empty_slots_are_never_sampled() -> None:
    buffer = ReplayBuffer(rollouts=5, share=4, size=1)
    buffer.add(torch.full((2, 1), 1.0), generator())
    assert set(buffer.sample(100, generator()).flatten().tolist()) == {1.0}


def test_a_rollout_is_remembered_by_a_share_of_it() -> None:
    buffer, windows = ReplayBuffer(rollouts=1, share=8, size=1), torch.arange(100.0)[:, None]
    buffer.add(windows, generator())
    kept = buffer.windows[0, :, 0].tolist()
    assert len(kept) == 8
    assert set(kept) <= set(range(100))
    assert len(set(kept)) > 4


def test_all_policy_windows_can_be_fresh_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {}
    for fresh in (0.0, 0.25, 1.0):
        amp = small_amp(dataclasses.replace(SMALL, fresh=fresh))
        amp.replay.add(torch.full((50, 4), 7.0), generator())
        seen = []

        def spy(real: Any, fake: torch.Tensor, noise: Any, amp: AMP = amp, seen: list[Any] = seen) -> Any:
            seen.append((fake == 7.0).all(dim=1).float().mean().item())
            return AMP.loss(amp, real, fake, noise)

        monkeypatch.setattr(amp, "loss", spy)
        updated(amp, torch.randn(50, 4), generator())
        shares[fresh] = seen[0]
    assert shares == pytest.approx({0.0: 1.0, 0.25: 0.75, 1.0: 0.0}, abs=0.5 / SMALL.batch)


# ---------------------------------------------------------------------- mirror


def mirrored_amp(**changes: Any) -> AMP:
    """Windows of two frames of three features: the first two change places, the third changes its sign."""
    torch.manual_seed(0)
    mirror = torch.tensor([1, 0, 2, 4, 3, 5]), torch.tensor([1.0, 1.0, -1.0] * 2)
    config = dataclasses.replace(SMALL, **({"symmetry": True} | changes))
    return AMP(torch.randn(60, 6), torch.randn(20, 6), config, mirror)


def test_half_of_the_windows_are_seen_in_the_mirror() -> None:
    amp, windows = mirrored_amp(), torch.arange(6.0).repeat(4000, 1)
    seen = amp._reflect(windows, generator())
    mirrored = torch.tensor([1.0, 0.0, -2.0, 4.0, 3.0, -5.0])
    is_mirrored = (seen == mirrored).all(dim=1)
    assert torch.all(is_mirrored | (seen == windows[0]).all(dim=1))
    assert is_mirrored.float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_without_symmetry_windows_stay_as_they_are() -> None:
    windows = torch.randn(50, 6)
    assert torch.equal(mirrored_amp(symmetry=False)._reflect(windows, generator()), windows)


def test_the_mirror_of_windows_is_that_of_every_frame(spec: RobotSpec, walking_reference: Any) -> None:
    runner = tiny_runner(spec, walking_reference, amp=dataclasses.replace(tiny_config().amp, symmetry=True))
    amp, frames = runner.amp, runner.env.window.frames
    index, sign = amp.mirror
    windows = amp.reference[:50]
    expected = [mirror_features(spec, frame.numpy()) for frame in windows.chunk(frames, dim=1)]
    np.testing.assert_array_equal((windows[:, index] * sign).numpy(), np.concatenate(expected, axis=1))


# ---------------------------------------------------------------------- network


def test_the_discriminator_has_one_raw_logit_layer_norm_and_orthogonal_weights() -> None:
    d = Discriminator(58)
    kinds = [type(layer).__name__ for layer in d.net]
    assert kinds == ["Linear", "LayerNorm", "ELU", "Linear", "LayerNorm", "ELU", "Linear"]
    first, last = d.net[0], d.net[-1]
    assert [layer.out_features for layer in d.net if isinstance(layer, nn.Linear)] == [256, 128, 1]
    torch.testing.assert_close(first.weight.T @ first.weight, 2.0 * torch.eye(58), atol=1e-4, rtol=0)
    assert last.weight.norm().item() == pytest.approx(0.01, rel=1e-4)
    assert d(torch.randn(7, 58)).shape == (7,)


def test_spectral_norm_bounds_what_a_hidden_layer_can_stretch() -> None:
    amp = small_amp(dataclasses.replace(SMALL, norm="spectral", learning_rate=3e-3))
    for i in range(40):
        updated(amp, torch.randn(50, 4) - 1.0, generator(i))
    hidden = [layer for layer in amp.discriminator.net if isinstance(layer, nn.Linear)][:-1]
    largest = [torch.linalg.matrix_norm(layer.weight, ord=2).item() for layer in hidden]
    assert largest == pytest.approx([1.0, 1.0], abs=0.05)


def test_looking_at_a_spectrally_normalised_discriminator_does_not_change_it() -> None:
    amp = small_amp(dataclasses.replace(SMALL, norm="spectral"))
    updated(amp, torch.randn(50, 4), generator())
    windows = torch.randn(5, 4)
    assert torch.equal(paid_by(amp, windows), paid_by(amp, windows))
    amp.figures(amp.logits(windows), generator())
    assert torch.equal(paid_by(amp, windows), paid_by(amp, windows))
