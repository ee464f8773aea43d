"""RSL-RL's PPO on WildRobot's environment: a thin adapter from `Environment` to its `VecEnv`, and its own runner.

Everything but the learner is ours: simulator, signal path, task, randomization, threads. Its networks and numbers are
ours, too, where it has the same ones (`settings`); no motion prior, no mirror symmetry of the actor, one stream.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.setup import TrainConfig, make_environment
from wildrobot.training.tasks.environment import Environment, StepResult


class Adapter(VecEnv):  # type: ignore[misc]
    """`Environment` as RSL-RL's vectorized environment: N robots, observation groups `actor` and `critic`.

    A tick that carries a reset is a transition of its own in `Environment`. RSL-RL knows no such thing; to it that
    tick is a time-out that pays nothing, so that no value crosses the reset and none is learned from it.
    """

    def __init__(self, env: Environment, scale: float, seed: int) -> None:
        self.env, self.scale = env, scale
        """`scale`: factor between the task reward and what the learner is paid."""
        self.num_envs, self.num_actions = env.num_envs, env.spec.num_joints
        self.max_episode_length = env.max_age
        self.device = "cpu"
        self.cfg: dict[str, Any] = {}
        age = np.random.default_rng(seed).integers(env.max_age, size=env.num_envs)
        self._obs = self._groups(env.reset(age))
        self.reward_sum, self.valid_ticks = 0.0, 0
        """Task reward and valid ticks since they were last set to zero."""

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Ages (N,) in control ticks."""
        return torch.from_numpy(self.env.age)

    @episode_length_buf.setter
    def episode_length_buf(self, value: torch.Tensor) -> None:
        self.env.age[:] = value.cpu().numpy()

    def _groups(self, step: StepResult) -> TensorDict:
        obs = {"actor": torch.from_numpy(step.obs), "critic": torch.from_numpy(step.critic_obs)}
        return TensorDict(obs, batch_size=[self.num_envs])

    def get_observations(self) -> TensorDict:
        """Observations (N, ...) of the last tick."""
        return self._obs

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One control tick: observations, rewards (N,), ends (N,), and among the extras the time-outs (N,)."""
        step = self.env.step(actions.numpy())
        self._obs = self._groups(step)
        self.reward_sum += float(step.rewards.total.sum())
        self.valid_ticks += int(step.valid.sum())
        rewards = torch.from_numpy((self.scale * step.rewards.total).astype(np.float32))
        ends = torch.from_numpy(step.done | ~step.valid)
        time_outs = torch.from_numpy((step.done & ~step.terminated) | ~step.valid)
        return self._obs, rewards, ends.long(), {"time_outs": time_outs.float()}


def settings(config: TrainConfig) -> dict[str, Any]:
    """RSL-RL's configuration with the numbers of ours that it has, and its own defaults elsewhere."""
    ppo = config.ppo
    network = {
        "class_name": "MLPModel",
        "hidden_dims": list(config.hidden),
        "activation": "elu",
        "obs_normalization": True,
    }
    noise = {
        "class_name": "GaussianDistribution",
        "init_std": ppo.init_std,
        "std_type": "log",
        "std_range": (ppo.min_std, 1e6),
    }
    return {
        "num_steps_per_env": config.rollout_steps,
        "save_interval": sys.maxsize,
        "obs_groups": {"actor": ["actor"], "critic": ["critic"]},
        "actor": network | {"distribution_cfg": noise},
        "critic": dict(network),
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": ppo.epochs,
            "num_mini_batches": ppo.minibatches,
            "clip_param": ppo.clip,
            "gamma": ppo.gamma,
            "lam": ppo.lam,
            "value_loss_coef": ppo.value_weight,
            "entropy_coef": ppo.entropy,
            "learning_rate": ppo.learning_rate,
            "max_grad_norm": ppo.max_grad_norm,
            "desired_kl": ppo.target_kl,
        },
    }


class RslRl:
    """RSL-RL's `OnPolicyRunner`, one iteration at a time, without its logging."""

    name = "rsl_rl"

    def __init__(self, spec: RobotSpec, config: TrainConfig, dataset: ReferenceDataset) -> None:
        torch.manual_seed(config.seed)
        env = make_environment(spec, config, dataset, config.seed)
        self._adapter = Adapter(env, config.mix.task * config.mix.scale, config.seed)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its networks
            self._runner = OnPolicyRunner(self._adapter, settings(config), log_dir=None, device="cpu")
        self._steps = config.rollout_steps * config.num_envs
        self.extra: dict[str, Any] = {}

    def iterate(self) -> tuple[int, float]:
        """One rollout and update: control steps, and task reward per control tick."""
        adapter = self._adapter
        adapter.reward_sum, adapter.valid_ticks = 0.0, 0
        self._runner.learn(1)
        return self._steps, adapter.reward_sum / max(1, adapter.valid_ticks)

    def cpu_seconds(self) -> float:
        """CPU time of this process, s."""
        return time.process_time()

    def close(self) -> None:
        """Nothing to end."""
