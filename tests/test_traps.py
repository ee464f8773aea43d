"""Ten traps that others fell into. Each check passes on our code and fails on the same code with the trap put back."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from amp_helpers import small_amp
from test_amp import check_loss_by_hand, linear_amp
from test_environment import (
    check_history_is_refilled,
    check_terminal_window_is_of_the_fallen_robot,
    check_terms_do_not_vanish_at_a_reset,
    check_the_tick_after_a_fall,
    fell,
    logged_and_expected,
    still,
)
from test_ppo import collected, small_ppo, update
from test_reference_build import check_frames_are_a_control_period_apart
from test_resume import Interrupted, check_resume, interrupted, set_from
from test_simulation import check_randomization_is_drawn_afresh
from training_helpers import tiny_runner, walking_environment

from wildrobot.core.config import from_dict, to_dict
from wildrobot.core.errors import UserError
from wildrobot.reports.run_page import build_page
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import FeatureWindow
from wildrobot.signal_path.observation import ObservationBuilder, default_layout
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation import episodes
from wildrobot.training.evaluation.episodes import EpisodeConfig, row_of, run_episodes
from wildrobot.training.reference.build import BuildConfig
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.reference.plan.gait import GaitLibraryConfig, RoutePlanner, steady_gait
from wildrobot.training.rl.amp import AMP
from wildrobot.training.rl.networks import SymmetricActor
from wildrobot.training.rl.ppo import PPO
from wildrobot.training.setup import TrainConfig
from wildrobot.training.tasks.environment import Environment
from wildrobot.training.tasks.walking import WalkingTask, WalkingWeights


def walking(
    spec: RobotSpec, reference: ReferenceDataset, kind: type[Environment] = Environment
) -> Environment:
    """Four robots that are commanded to walk, past their first ticks."""
    env: Environment = walking_environment(spec, reference, reference_resets=1.0, command_s=(1e3, 1e3))
    env.__class__ = kind
    env.reset()
    for _ in range(3):
        still(env)
    return env


# ------------------------------------------------- 1 · a window or a difference spans a reset, or comes after it


class ResetAtOnce(Environment):
    """Starts an ended row anew within the same tick, as many environments do."""

    def step(self, action: Any) -> Any:
        step = super().step(action)
        if not (step.done & step.valid).any():
            return step
        after = super().step(np.zeros_like(action))
        return dataclasses.replace(after, done=step.done, terminated=step.terminated, valid=step.valid)


def test_trap_1_the_terminal_window_is_read_before_the_reset(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    check_terminal_window_is_of_the_fallen_robot(walking(spec, walking_reference))
    with pytest.raises(AssertionError):
        check_terminal_window_is_of_the_fallen_robot(walking(spec, walking_reference, ResetAtOnce))


def test_trap_1_no_window_spans_a_reset(
    spec: RobotSpec, walking_reference: ReferenceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_the_tick_after_a_fall(walking(spec, walking_reference))
    push = FeatureWindow.push
    monkeypatch.setattr(
        FeatureWindow, "push", lambda self, features, fresh: push(self, features, fresh & False)
    )
    with pytest.raises(AssertionError):
        check_the_tick_after_a_fall(walking(spec, walking_reference))


def check_no_difference_spans_a_reset(env: Environment) -> None:
    """A robot that fell a kilometre away did not slide here, and its first action is no change."""
    env.sim.qpos[1, 0] += 1000.0
    env.task._last_soles[1, :, 0] += 1000.0  # type: ignore[attr-defined]
    fell(env, 1)
    wild = np.zeros((4, env.spec.num_joints))
    wild[1] = 4.0
    env.step(wild)
    action = env.path.previous_action.copy()
    step = env.step(action)
    assert step.valid[1]
    assert step.rewards.terms["slip"][1] > -0.05
    assert step.rewards.terms["action_rate"][1] == 0.0


@pytest.mark.parametrize("memory", ["_last_soles", "_last_action"])
def test_trap_1_no_finite_difference_spans_a_reset(
    spec: RobotSpec, walking_reference: ReferenceDataset, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    check_no_difference_spans_a_reset(walking(spec, walking_reference))
    take_step = WalkingTask.step

    def forgetful(self: Any, truth: Any, motion: Any, action: Any, fresh: Any) -> Any:
        before = getattr(self, memory)
        result = take_step(self, truth, motion, action, fresh)
        mask = fresh.reshape(-1, *[1] * (before.ndim - 1))
        setattr(self, memory, np.where(mask, before, getattr(self, memory)))
        return result

    monkeypatch.setattr(WalkingTask, "step", forgetful)
    with pytest.raises(AssertionError):
        check_no_difference_spans_a_reset(walking(spec, walking_reference))


# ------------------------------------------------- 2 · normalised data in the normaliser, raw inputs in the penalty


def check_normalisers_learn_raw_data() -> None:
    ppo = small_ppo()
    for _ in range(2):
        rollout = collected(ppo)
        rollout.obs[:] = 5.0 * rollout.obs + 7.0
        rollout.critic_obs[:] = 3.0 * rollout.critic_obs - 4.0
        update(ppo, rollout)
    critic_obs = rollout.critic_obs.flatten(0, 1)
    mirrored = critic_obs[:, ppo.critic.normalizer.index] * ppo.critic.normalizer.sign
    for normalizer, flat in (
        (ppo.actor.normalizer, rollout.obs.flatten(0, 1)),  # the same rollout twice
        (ppo.critic.normalizer, torch.cat([critic_obs, mirrored])),
    ):
        torch.testing.assert_close(normalizer.mean, flat.mean(dim=0), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(normalizer.var, flat.var(dim=0, unbiased=False), atol=1e-2, rtol=1e-2)


def test_trap_2_the_normaliser_learns_raw_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from wildrobot.training.rl.normalizer import Normalizer

    check_normalisers_learn_raw_data()
    learn = Normalizer.update
    monkeypatch.setattr(Normalizer, "update", lambda self, x, *others: learn(self, self(x), *others))
    with pytest.raises(AssertionError):
        check_normalisers_learn_raw_data()


class RawPenalty(AMP):
    """Takes the slope with respect to raw windows."""

    def loss(self, real: torch.Tensor, fake: torch.Tensor, generator: torch.Generator) -> Any:
        d = self.discriminator
        real = real.detach().requires_grad_(True)
        d_real, d_fake = d(real), d(fake)
        (gradient,) = torch.autograd.grad(d_real.sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=-1).mean()
        return 0.5 * ((d_real - 1.0).square().mean() + d_fake.square().mean()) + 2.5 * penalty, penalty


def test_trap_2_the_penalty_is_taken_on_normalised_inputs() -> None:
    check_loss_by_hand(linear_amp())
    wrong = linear_amp()
    wrong.__class__ = RawPenalty
    with pytest.raises(AssertionError):
        check_loss_by_hand(wrong)


# ------------------------------------------------- 3 · the discriminator shares the policy's optimiser


def check_the_discriminator_is_on_its_own(ppo: PPO, amp: AMP) -> None:
    """The policy's learning changes neither its weights nor its step size."""
    rate = amp.optimizer.param_groups[-1]["lr"]
    before = copy.deepcopy(amp.discriminator.state_dict())
    for parameter in amp.discriminator.parameters():
        parameter.grad = torch.ones_like(parameter)  # left over from its last update
    ppo._adapt_learning_rate(1.0)
    update(ppo, collected(ppo))
    assert amp.optimizer.param_groups[-1]["lr"] == rate
    for name, value in amp.discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    groups = [*ppo.actor_optimizer.param_groups, *ppo.critic_optimizer.param_groups]
    shared = {id(p) for g in groups for p in g["params"]}
    assert not shared & {id(p) for p in amp.discriminator.parameters()}


def test_trap_3_the_discriminator_has_its_own_optimiser() -> None:
    check_the_discriminator_is_on_its_own(small_ppo(), small_amp())
    ppo, amp = small_ppo(), small_amp()
    ppo.actor_optimizer.add_param_group({"params": list(amp.discriminator.parameters()), "lr": 1e-4})
    amp.optimizer = ppo.actor_optimizer
    with pytest.raises(AssertionError):
        check_the_discriminator_is_on_its_own(ppo, amp)


# ------------------------------------------------- 4 · history is not refilled at a reset


def test_trap_4_history_is_refilled_at_a_reset(
    spec: RobotSpec, walking_reference: ReferenceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_history_is_refilled(walking(spec, walking_reference))
    push = ObservationBuilder.push
    monkeypatch.setattr(
        ObservationBuilder, "push", lambda self, values, fresh: push(self, values, fresh & False)
    )
    with pytest.raises(AssertionError):
        check_history_is_refilled(walking(spec, walking_reference))


# ------------------------------------------------- 5 · randomization accumulates, or does nothing


class Accumulating(Simulation):
    """Draws on top of the last draw."""

    def _randomize(self, rows: Any) -> None:
        super()._randomize(rows)
        self.robots.nominal = {name: np.array(values[0]) for name, values in self.robots.field.items()}


class Idle(Simulation):
    """Draws, and lets the model be."""

    def _randomize(self, rows: Any) -> None:
        kept = {name: np.array(values) for name, values in self.robots.field.items()}
        super()._randomize(rows)
        for name, values in self.robots.field.items():
            values[:] = kept[name]


@pytest.mark.parametrize("wrong", [Accumulating, Idle])
def test_trap_5_randomization_neither_accumulates_nor_does_nothing(
    spec: RobotSpec, wrong: type[Simulation]
) -> None:
    check_randomization_is_drawn_afresh(spec)
    with pytest.raises(AssertionError):
        check_randomization_is_drawn_afresh(spec, wrong)


# ------------------------------------------------- 6 · resume drops something


@pytest.fixture(scope="module")
def after_two(
    spec: RobotSpec, walking_reference: ReferenceDataset, tmp_path_factory: pytest.TempPathFactory
) -> Interrupted:
    return interrupted(spec, walking_reference, tmp_path_factory.mktemp("run"), 2, 2)


@pytest.mark.parametrize(
    "part",
    [
        "ppo/actor_optimizer",
        "amp/optimizer",
        "iteration",
        "replay",
        "ppo/actor/normalizer.mean",
        "ppo/critic/normalizer.count",
    ],
)
def test_trap_6_resume_drops_nothing(
    spec: RobotSpec, walking_reference: ReferenceDataset, after_two: Interrupted, part: str
) -> None:
    check_resume(spec, walking_reference, after_two)
    with pytest.raises(AssertionError):
        check_resume(spec, walking_reference, after_two, set_from(part))


# ------------------------------------------------- 7 · a configuration loader drops keys


def check_no_key_is_dropped(load: Any, cls: Any) -> None:
    """A stray key in the configuration, or in any nested one, is refused."""
    whole = to_dict(cls())
    load(cls, whole)
    places = [whole, *(value for value in whole.values() if isinstance(value, dict))]
    assert len(places) > 2
    for index, place in enumerate(places):
        if index and not dataclasses.is_dataclass(getattr(cls(), list(whole)[_position(whole, place)])):
            continue  # a free mapping
        place["stray_key"] = 1
        refused = False
        try:
            load(cls, whole)
        except UserError as error:
            refused = "stray_key" in str(error)
        del place["stray_key"]
        assert refused


def _position(whole: dict[str, Any], place: dict[str, Any]) -> int:
    return next(i for i, value in enumerate(whole.values()) if value is place)


@pytest.mark.parametrize("cls", [TrainConfig, BuildConfig])
def test_trap_7_no_key_is_dropped(cls: Any) -> None:
    check_no_key_is_dropped(from_dict, cls)

    def lenient(cls: Any, data: dict[str, Any]) -> Any:
        known = {f.name for f in dataclasses.fields(cls)}
        return from_dict(cls, {key: value for key, value in data.items() if key in known})

    with pytest.raises(AssertionError):
        check_no_key_is_dropped(lenient, cls)


# ------------------------------------------------- 8 · phase k of n frames is not at t = k dt


def with_both_ends(clip: PlannedClip) -> PlannedClip:
    """The same n frames spread from the first to the last instant of the period, both included."""
    count = len(clip)
    at = np.linspace(0.0, count, count)
    wrapped = np.arange(count + 1)

    def spread(values: Any) -> Any:
        periodic = np.concatenate([values, values[:1]])
        return np.stack([np.interp(at, wrapped, column) for column in periodic.T], axis=-1)

    return dataclasses.replace(
        clip,
        joint_position=spread(clip.joint_position),
        joint_velocity=spread(clip.joint_velocity),
        phase=2 * np.pi * np.arange(count) / (count - 1),
    )


def test_trap_8_frame_k_is_at_k_control_periods(spec: RobotSpec) -> None:
    gait = steady_gait(RoutePlanner(spec, GaitLibraryConfig()), 0.3, 18, 0.03)
    check_frames_are_a_control_period_apart(spec, gait)
    with pytest.raises(AssertionError):
        check_frames_are_a_control_period_apart(spec, with_both_ends(gait))


# ------------------------------------------------- 9 · logged reward terms vanish when a row resets


class OnlyWholeTicks(Environment):
    """Reports reward terms only of ticks in which nobody resets."""

    def compute_rewards(self, data: Any) -> Any:
        rewards = super().compute_rewards(data)
        whole = data.valid.all(axis=-1, keepdims=True)
        return dataclasses.replace(rewards, terms={name: whole * v for name, v in rewards.terms.items()})


def check_the_log_counts_every_valid_tick(spec: RobotSpec, reference: ReferenceDataset, kind: Any) -> None:
    """A robot that stands upright is paid for it, whatever the others do."""
    runner = tiny_runner(spec, reference, steps=12)
    runner.env.__class__ = kind
    logged, _, steps = logged_and_expected(runner)
    upright = np.concatenate([np.exp(-(1 - motion_up(step)[step.valid]) / 0.03) for step in steps])
    weight = WalkingWeights().upright
    assert logged["reward/upright"] == pytest.approx(weight * upright.mean(), rel=1e-6)


def motion_up(step: Any) -> Any:
    """Cosine of the pelvis's tilt, from the truth."""
    w, x, y, z = step.truth.pelvis_quaternion.T
    return (1 - 2 * (x * x + y * y)) / (w * w + x * x + y * y + z * z)


def test_trap_9_logged_terms_do_not_vanish_when_a_row_resets(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    check_terms_do_not_vanish_at_a_reset(walking(spec, walking_reference))
    with pytest.raises(AssertionError):
        check_terms_do_not_vanish_at_a_reset(walking(spec, walking_reference, OnlyWholeTicks))


def test_trap_9_the_log_counts_every_valid_tick(spec: RobotSpec, walking_reference: ReferenceDataset) -> None:
    check_the_log_counts_every_valid_tick(spec, walking_reference, Environment)
    with pytest.raises(AssertionError):
        check_the_log_counts_every_valid_tick(spec, walking_reference, OnlyWholeTicks)


# ------------------------------------------------- 10 · noisy training metrics instead of an evaluation


class TorchPolicy:
    """An untrained actor as a policy; `noise` makes it answer as it does while it explores."""

    def __init__(self, spec: RobotSpec, noise: float = 0.0) -> None:
        torch.manual_seed(0)
        self._actor, self._noise = SymmetricActor(spec, default_layout(spec), (8,)), noise

    def __call__(self, observation: Any) -> Any:
        with torch.no_grad():
            mean = self._actor(torch.from_numpy(observation))
            return (mean + self._noise * torch.randn(mean.shape)).numpy()


def check_evaluation_is_deterministic(spec: RobotSpec, noise: float = 0.0) -> None:
    config = EpisodeConfig(episodes=3, duration_s=0.5, threads=1)
    policy = TorchPolicy(spec, noise)
    rows = [row_of(run_episodes(spec, policy, None, 0.3, config)) for _ in range(2)]
    assert json.dumps(rows[0]) == json.dumps(rows[1])


def test_trap_10_an_evaluation_is_deterministic(spec: RobotSpec) -> None:
    check_evaluation_is_deterministic(spec)
    with pytest.raises(AssertionError):
        check_evaluation_is_deterministic(spec, noise=0.1)


def check_evaluation_is_held_out(spec: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The robots of an evaluation are not those of the training with the same seed."""
    drawn = []

    class Watched(Simulation):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            drawn.append(np.array(self.robots.field["body_mass"]))

    monkeypatch.setattr(episodes, "Simulation", Watched)
    config = EpisodeConfig(episodes=3, duration_s=0.1, threads=1)
    run_episodes(spec, TorchPolicy(spec), None, 0.3, config)
    trained = Simulation(spec, 3, TrainConfig().seed, TrainConfig().randomization, threads=1)
    assert not np.array_equal(drawn[0], trained.robots.field["body_mass"])


def test_trap_10_an_evaluation_draws_robots_that_training_never_saw(
    spec: RobotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_evaluation_is_held_out(spec, monkeypatch)
    monkeypatch.setattr(episodes, "HELD_OUT_SEED", 0)
    with pytest.raises(AssertionError):
        check_evaluation_is_held_out(spec, monkeypatch)


def test_trap_10_training_metrics_never_stand_in_for_an_evaluation(tmp_path: Path) -> None:
    line = {"iteration": 1, "steps": 10, "survival": 0.9876, "return_mean": 1.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert "Evaluation of the exported policy" not in build_page(tmp_path)
    figures = {"rows": [{"command_m_s": 0.3, "survival": 0.1234}]}
    (tmp_path / "evaluation.json").write_text(json.dumps(figures))
    section = build_page(tmp_path).split("Evaluation of the exported policy")[1].split("<h2>")[0]
    assert "12.3" in section
    assert "98.8" not in section
    assert "0.9876" not in section
