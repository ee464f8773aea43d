"""Stable-Baselines3's PPO over its `SubprocVecEnv`: one process and one robot (`classic.ClassicWalk`) per CPU.

Its documentation advises against more processes than CPUs, so its rollout is as large as ours with fewer robots and
more steps of each. Networks, epochs, minibatches and the numbers of PPO are ours where it has the same ones; the step
size is its default, observation and reward are normalised by its `VecNormalize`.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import Wrapper
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from wildrobot.training.setup import TrainConfig
from wildrobot.training.tasks.walking import WalkingConfig

NEVER = sys.maxsize
TICKS = 300
"""Control ticks over which the cost of one environment is measured, before training."""


class Clocked(Wrapper):  # type: ignore[misc]
    """A `ClassicWalk` that tells the CPU time of its process, and of its parts."""

    def process_seconds(self) -> float:
        """CPU time of this process, s."""
        return time.process_time()

    def costs(self, ticks: int) -> dict[str, float]:
        """CPU time of a control tick without Stable-Baselines3, ms: all of it, and its physics alone."""
        env: Any = self.env
        env.reset()
        whole = physics = 0.0
        for _ in range(ticks):
            began = time.process_time()
            _, _, fell, late, _ = env.step(np.zeros(env.action_space.shape))
            whole += time.process_time() - began
            began = time.process_time()
            env.physics()
            physics += time.process_time() - began
            if fell or late:
                env.reset()
        return {"tick_ms": 1e3 * whole / ticks, "physics_ms": 1e3 * physics / ticks}


class Make:
    """Makes the environment of one process, there."""

    def __init__(
        self, reference: Path, walking: WalkingConfig, episode_s: float, seed: int, robot: Path | None
    ) -> None:
        self._arguments = (reference, walking, episode_s, seed, robot)

    def __call__(self) -> Any:
        from peer_learners.classic import ClassicWalk

        return Clocked(ClassicWalk(*self._arguments))


class TaskReward(BaseCallback):  # type: ignore[misc]
    """Sums up the task reward as the environments paid it, before its normalisation."""

    total, ticks = 0.0, 0

    def _on_step(self) -> bool:
        env: Any = self.training_env  # a VecNormalize
        reward = env.get_original_reward()
        self.total += float(np.sum(reward))
        self.ticks += len(reward)
        return True


class Sb3:
    """`PPO.learn`, one rollout at a time."""

    name = "stable-baselines3"

    def __init__(self, config: TrainConfig, processes: int) -> None:
        ppo, self._rollout = config.ppo, config.num_envs * config.rollout_steps // processes * processes
        makers: list[Callable[[], Any]] = [
            Make(config.reference, config.walking, config.episode_s, config.seed + k, config.robot)
            for k in range(processes)
        ]
        self._processes = SubprocVecEnv(makers)
        self.extra = {"cpu_of_one_environment": self._processes.env_method("costs", TICKS, indices=0)[0]}
        self._env = VecNormalize(self._processes, gamma=ppo.gamma)
        hidden = list(config.hidden)
        self._model = PPO(
            "MlpPolicy",
            self._env,
            n_steps=self._rollout // processes,
            batch_size=math.ceil(self._rollout / ppo.minibatches),
            n_epochs=ppo.epochs,
            gamma=ppo.gamma,
            gae_lambda=ppo.lam,
            clip_range=ppo.clip,
            ent_coef=ppo.entropy,
            max_grad_norm=ppo.max_grad_norm,
            policy_kwargs={
                "net_arch": {"pi": hidden, "vf": hidden},
                "activation_fn": torch.nn.ELU,
                "log_std_init": math.log(ppo.init_std),
            },
            seed=config.seed,
            device="cpu",
        )

    def iterate(self) -> tuple[int, float]:
        """One rollout and update: control steps, and task reward per control tick."""
        seen = TaskReward()
        self._model.learn(self._rollout, callback=seen, log_interval=NEVER, reset_num_timesteps=False)
        return self._rollout, seen.total / max(1, seen.ticks)

    def cpu_seconds(self) -> float:
        """CPU time of this process and of those of the environments, s."""
        return time.process_time() + float(sum(self._processes.env_method("process_seconds")))

    def close(self) -> None:
        """End the environments' processes."""
        with contextlib.suppress(EOFError, OSError):  # Ctrl-C has ended them already
            self._env.close()
