"""The training loop: collect, reward, update; for a tracker (task reward only) and for AMP alike."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wildrobot.signal_path.features import feature_names
from wildrobot.training.rl.amp import AMP, style_reward
from wildrobot.training.rl.collect import Collector
from wildrobot.training.rl.ppo import PPO, Update
from wildrobot.training.rl.rollout import Rollout
from wildrobot.training.rl.separability import feature_auc
from wildrobot.training.rl.workers import spawn_generator
from wildrobot.training.tasks.curriculum import Curriculum, CurriculumConfig
from wildrobot.training.tasks.environment import Environment


@dataclass(frozen=True)
class Mix:
    """How task and style rewards add up, per control tick."""

    task: float = 0.5
    style: float = 1.0
    ramp: tuple[int, int] = (0, 0)
    """Iterations between which the task's weight rises from a tenth of its value to all of it."""
    scale: float = 0.05
    """Common factor, so that returns are of order one for the critic."""
    streams: Literal["two", "sum"] = "two"
    """two: task and style have a value function each, and their advantages are normalised apart before the weights
    apply; sum: the weighted rewards are added up first."""

    def task_weight(self, iteration: int) -> float:
        """Weight of the task reward at an iteration."""
        begin, end = self.ramp
        if iteration >= end:
            return self.task
        share = 0.0 if iteration <= begin else (iteration - begin) / (end - begin)
        return self.task * (0.1 + 0.9 * share)


class Runner:
    """Environment, learner and optional motion prior, one iteration at a time."""

    def __init__(
        self,
        env: Environment,
        ppo: PPO,
        amp: AMP | None,
        steps: int,
        mix: Mix,
        seed: int,
        curriculum: CurriculumConfig | None = None,
    ) -> None:
        self.env, self.ppo, self.amp, self.steps, self.mix = env, ppo, amp, steps, mix
        self.distributed, self.workers = ppo.distributed, ppo.workers
        self.generator = torch.Generator().manual_seed(seed)
        self.curriculum = Curriculum(curriculum or CurriculumConfig(start=1.0))
        env.sim.set_level(self.curriculum.level)
        self.iteration = 0
        self.total_steps = 0
        self._rng = np.random.default_rng(seed)
        n = env.spec.num_joints
        self.rollout = Rollout(
            steps, env.num_envs, env.obs_size, env.critic_size, n, ppo.device, ppo.critic.streams
        )
        self._task_reward = torch.zeros(steps, env.num_envs)
        self.collector = Collector(env, ppo, self.rollout, self._task_reward)

    def start(self) -> None:
        """Reset all rows and spread their ages, so that time-outs do not come together."""
        self.collector.reset(self._rng.integers(self.env.max_age, size=self.env.num_envs))
        self.ppo.actor.normalizer.update(self.collector.obs, self.distributed)
        self.ppo.critic.normalizer.update(self.collector.critic_obs, self.distributed)

    def iterate(self) -> dict[str, Any]:
        """Collect one rollout, learn from it; returns this iteration's figures."""
        with self.workers.open():
            return self._iterate()

    def _iterate(self) -> dict[str, Any]:
        # collect
        began = time.perf_counter()
        rollout = self.rollout
        collected = self.collector.collect(self.generator)
        collect_s = time.perf_counter() - began

        # values
        rollout.values.copy_(self.ppo.values(rollout.critic_obs.flatten(0, 1)).view(rollout.values.shape))
        # the next state's value: that of the following tick's observation, which is the terminal one at an end
        rollout.next_values[:-1] = rollout.values[1:]
        rollout.next_values[-1] = self.ppo.values(self.collector.critic_obs)

        # rewards: the task's, and with a motion prior its style reward
        count = max(1, int(rollout.valid.sum()))
        metrics: dict[str, Any] = {
            f"reward/{name}": total / count for name, total in collected.reward_sums.items()
        }
        for name, (value, known) in collected.figure_sums.items():
            metrics[name] = value / known if known else float("nan")
        task_weight = self.mix.task_weight(self.iteration)
        metrics["task_reward_mean"] = float(self._task_reward.sum()) / count
        rewards, weights = self._task_reward[..., None], torch.tensor([task_weight])
        style_updates: list[Update] = []
        if self.amp is not None:
            style, style_updates = self._style(collected.windows, collected.window_valid, metrics)
            rewards = torch.stack([self._task_reward, style], dim=-1)
            weights = torch.tensor([task_weight, self.mix.style])
            if self.iteration % self.amp.config.diagnostics_every == 0:
                self._feature_figures(collected.features, metrics)
        total = rewards @ weights
        rollout.weights.copy_(weights if rollout.rewards.shape[-1] > 1 else torch.ones(1))
        streams = rewards if rollout.rewards.shape[-1] > 1 else total[..., None]
        rollout.rewards.copy_(streams * self.mix.scale)
        rollout.rewards *= rollout.valid[..., None]

        # update
        metrics |= self.ppo.update(rollout, self.generator, style_updates)
        self.iteration += 1

        # curriculum
        everywhere = (
            self.distributed.mean(torch.tensor([float(collected.falls), float(count)]))
            * self.distributed.world_size
        )
        self.env.sim.set_level(self.curriculum.update(*(int(total) for total in everywhere)))

        # figures
        samples = rollout.valid.numel() * self.distributed.world_size
        self.total_steps += samples
        elapsed = time.perf_counter() - began
        metrics |= {
            "iteration": self.iteration,
            "steps": self.total_steps,
            "steps_per_s": samples / elapsed,
            "collect_s": collect_s,
            "iteration_s": elapsed,
            "return_mean": float(total.sum()) / count,
            "episode_length": float(np.mean(collected.lengths)) if collected.lengths else float("nan"),
            "survival": 1.0 - collected.falls / max(1, collected.dones) if collected.dones else float("nan"),
            "falls_per_1000_steps": 1000.0 * collected.falls / count,
            "randomization_level": self.curriculum.level,
        }
        return self.distributed.average_metrics(metrics)

    def _style(self, windows: Tensor, ok: Tensor, metrics: dict[str, Any]) -> tuple[Tensor, list[Update]]:
        """Style reward (T, N) of windows (T, N, size), judged where `ok` (T, N).

        With it comes the discriminator's update, if that is still to be made.
        """
        amp = self.amp
        assert amp is not None
        fresh = windows[ok].to(self.ppo.device)
        if not self.distributed.all_ranks(len(fresh) > 0):  # somewhere, nobody was commanded to walk
            names = [f"disc_{side}_{what}" for side in ("real", "fake") for what in ("mean", "std")]
            names += ["disc_acc", "disc_acc_heldout", "style_reward_mean", "style_reward_std"]
            names += ["style_clipped_low", "style_clipped_high"]
            metrics |= dict.fromkeys(names, float("nan"))
            return torch.zeros(ok.shape), []
        warmup, generator = self.ppo.warming_up, spawn_generator(self.generator)
        logits = self.workers.infer(amp.logits, fresh)
        metrics |= self.distributed.average_metrics(amp.figures(logits, generator, self.workers))
        accuracy = metrics["disc_acc_heldout"]
        updates: list[Update] = [partial(amp.update, fresh, accuracy, generator, warmup)]
        if not amp.config.reward_before_update:
            metrics |= updates.pop()()
            logits = self.workers.infer(amp.logits, fresh)
        # Where style is not judged it pays its mean, so that no command is worth more than another.
        style = torch.full(ok.shape, metrics["style_reward_mean"])
        style[ok] = style_reward(logits, amp.config.reward).cpu()
        return style, updates

    def _feature_figures(self, features: NDArray[np.float64], metrics: dict[str, Any]) -> None:
        """What the discriminator sees: separability of single features and ratios of standard deviations."""
        assert self.amp is not None
        names = feature_names(self.env.spec)
        if len(features) == 0:
            metrics |= {f"auc/{name}": float("nan") for name in names}  # all processes average the same names
            return
        size = len(names)
        rng = np.random.default_rng(self.iteration)
        chosen = rng.integers(len(self.amp.reference), size=1500)
        reference = self.amp.reference[torch.from_numpy(chosen), -size:].cpu().numpy()
        policy = features[rng.integers(len(features), size=1500)]
        area = feature_auc(reference, policy)
        metrics |= {f"auc/{name}": round(float(one), 3) for name, one in zip(names, area, strict=True)}
        top = np.argsort(-area)[:6]
        metrics["auc_top"] = [[names[i], round(float(area[i]), 3)] for i in top]
        ratio = policy.std(axis=0) / np.maximum(reference.std(axis=0), 1e-3)
        far = np.argsort(-np.abs(np.log(np.maximum(ratio, 1e-3))))[:6]
        metrics["std_ratio_top"] = [[names[i], round(float(ratio[i]), 2)] for i in far]

    def own_state(self) -> dict[str, Any]:
        """The part of the state that each process has for itself; the rest is the same in all of them."""
        return {
            "env": self.env.state_dict(),
            "generator": self.generator.get_state(),
            "obs": self.collector.obs.cpu().clone(),
            "critic_obs": self.collector.critic_obs.cpu().clone(),
            "replay": None if self.amp is None else self.amp.replay.state_dict(),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Inverse of `own_state`."""
        self.env.load_state_dict(state["env"])
        self.generator.set_state(state["generator"])
        self.collector.obs.copy_(state["obs"])
        self.collector.critic_obs.copy_(state["critic_obs"])
        if self.amp is not None:
            self.amp.replay.load_state_dict(state["replay"])

    def state_dict(self) -> dict[str, Any]:
        """Everything that a bit-for-bit continuation needs."""
        return {
            "ppo": self.ppo.state_dict(),
            "amp": None if self.amp is None else self.amp.state_dict(),
            "curriculum": self.curriculum.state_dict(),
            "iteration": self.iteration,
            "total_steps": self.total_steps,
        } | self.own_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.ppo.load_state_dict(state["ppo"])
        if self.amp is not None:
            self.amp.load_state_dict(state["amp"])
        self.load_own_state(state)
        self.curriculum.load_state_dict(state["curriculum"])
        self.env.sim.set_level(self.curriculum.level)
        self.iteration, self.total_steps = state["iteration"], state["total_steps"]
