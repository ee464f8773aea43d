"""Small environments, learners and comparisons for the tests of training. Imports torch only when used."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from wildrobot.robot_description import RobotSpec, load_robot


def no_correction(obs: Any) -> Any:
    """A tracker that leaves the plan as it is."""
    import torch

    return torch.zeros(len(obs), load_robot().num_joints)


def tiny_config(**changes: Any) -> Any:
    """A training run of eight robots that fall, time out and are pushed within a few ticks."""
    from wildrobot.simulation.randomization.config import BASIC
    from wildrobot.training.evaluation.best import SelectionConfig
    from wildrobot.training.rl.amp import AMPConfig
    from wildrobot.training.rl.cloning import CloningConfig
    from wildrobot.training.rl.discriminator_governor import GovernorConfig
    from wildrobot.training.rl.ppo import PPOConfig
    from wildrobot.training.setup import TrainConfig
    from wildrobot.training.tasks.walking import WalkingConfig

    fields: dict[str, Any] = {
        "num_envs": 8,
        "steps": 4,
        "threads": 1,
        "device": "cpu",
        "hidden": (8,),
        "episode_s": 0.16,
        "tensorboard": False,
        "selection": SelectionConfig(every=0),
        "iterations": 4,
        "ppo": PPOConfig(epochs=2, minibatches=2, critic_warmup=1),
        "amp": AMPConfig(
            hidden=(8,),
            batch=16,
            replay_rollouts=3,
            replay_share=8,
            held_out=0.25,
            governor=GovernorConfig(enabled=False),
        ),
        "cloning": CloningConfig(updates=0),
        "randomization": BASIC,
        "walking": WalkingConfig(reference_resets=1.0, stand_share=0.0),
    }
    return TrainConfig(**(fields | changes))


def tiny_runner(spec: RobotSpec, reference: Any, **changes: Any) -> Any:
    """A runner on `reference`, started."""
    from wildrobot.training.setup import make_runner

    runner = make_runner(spec, tiny_config(**changes), reference)
    runner.start()
    return runner


def walking_environment(
    spec: RobotSpec, reference: Any, rows: int = 4, frames: int = 2, episode_s: float = 20.0, **changes: Any
) -> Any:
    """Robots under the walking task, without noise; `changes` are fields of WalkingConfig."""
    from wildrobot.signal_path.observation import default_layout
    from wildrobot.simulation.simulation import Simulation
    from wildrobot.training.tasks.environment import Environment
    from wildrobot.training.tasks.walking import WalkingConfig, WalkingTask

    sim = Simulation(spec, rows, seed=1, threads=1)
    task = WalkingTask(spec, sim, reference, WalkingConfig(**changes), seed=2)
    return Environment(spec, sim, task, default_layout(spec), frames, episode_s)


def leaves(state: Any, path: str = "") -> dict[str, Any]:
    """Every tensor, array and number of nested dicts and lists, by its path."""
    if isinstance(state, dict):
        return {k: v for key, item in state.items() for k, v in leaves(item, f"{path}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {k: v for i, item in enumerate(state) for k, v in leaves(item, f"{path}/{i}").items()}
    return {path: np.asarray(state)}


def assert_same_state(a: Any, b: Any) -> None:
    """Two nested states are equal to the last bit; the first difference is named."""
    one, two = leaves(a), leaves(b)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.tobytes() == two[name].tobytes(), name


CLOCKS = ("time_s", "steps_per_s", "collect_s", "iteration_s")


def comparable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics without those that depend on the machine's speed."""
    return {name: copy.deepcopy(value) for name, value in metrics.items() if name not in CLOCKS}
