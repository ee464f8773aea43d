"""The governor: when the discriminator learns, hurries or rests, and what it says of it."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from amp_helpers import FREE, SMALL, generator, small_amp, updated

from wildrobot.training.rl.discriminator_governor import Governor, GovernorConfig

GOVERNED = GovernorConfig(band=(0.55, 0.80))


@pytest.mark.parametrize(
    ("accuracy", "updates", "why"),
    [
        (0.54, 6, "hurries: accuracy 0.54 is below 0.55"),
        (0.55, 3, "learns"),
        (0.80, 3, "learns"),
        (0.81, 0, "rests: accuracy 0.81 is above 0.80"),
    ],
)
def test_the_governor_keeps_the_discriminator_a_fair_opponent(
    accuracy: float, updates: int, why: str
) -> None:
    assert Governor(GOVERNED).updates(accuracy, 3) == (updates, why)


def test_the_governor_goes_by_a_running_accuracy() -> None:
    governor = Governor(GovernorConfig(memory=0.8, band=(0.55, 0.80)))
    decisions = [governor.updates(accuracy, 3)[0] for accuracy in (0.7, 1.0, 1.0, 1.0, 0.7, 0.3, 0.3, 0.3)]
    running = [0.7, 0.76, 0.808, 0.8464, 0.81712, 0.713696, 0.6309568, 0.56476544]
    assert decisions == [3, 3, 0, 0, 0, 3, 3, 3]
    assert governor.accuracy == pytest.approx(running[-1])


def test_a_discriminator_that_stays_too_strong_learns_ever_more_rarely() -> None:
    governor = Governor(GovernorConfig(memory=0.0))
    decisions = [governor.updates(0.9, 3)[0] for _ in range(28)]
    assert [i + 1 for i, count in enumerate(decisions) if count] == [4, 4 + 8, 4 + 8 + 16]
    assert [governor.updates(accuracy, 3)[0] for accuracy in (0.7, 0.9, 0.9, 0.9, 0.9)] == [3, 0, 0, 0, 3]


def test_no_rest_is_longer_than_the_longest() -> None:
    governor = Governor(GovernorConfig(memory=0.0, rest_iterations=2, longest_rest=3))
    assert [governor.updates(0.9, 3)[0] for _ in range(8)] == [0, 3, 0, 0, 3, 0, 0, 3]


def test_without_a_governor_the_discriminator_always_learns() -> None:
    governor = Governor(FREE)
    assert [governor.updates(accuracy, 3) for accuracy in (0.1, 1.0)] == [(3, "learns")] * 2


def test_a_discriminator_at_rest_stays_as_it_is_and_goes_on_remembering() -> None:
    amp = small_amp(dataclasses.replace(SMALL, governor=GOVERNED))
    amp.governor.accuracy = 1.0
    before = copy.deepcopy(amp.discriminator.state_dict())
    figures = updated(amp, torch.randn(50, 4), generator())
    assert figures["disc_updates"] == 0
    assert figures["disc_governor"].startswith("rests")
    assert all(torch.equal(v, before[k]) for k, v in amp.discriminator.state_dict().items())
    assert amp.replay.filled == 2


def test_the_governor_keeps_out_of_the_warm_up() -> None:
    amp = small_amp(dataclasses.replace(SMALL, warmup_updates=7, governor=GOVERNED))
    amp.governor.accuracy = 1.0
    assert updated(amp, torch.randn(50, 4), generator(), warmup=True)["disc_updates"] == 7
