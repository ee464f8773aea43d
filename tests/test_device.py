"""Where the networks learn: one seed gives one run on the CPU and, but for rounding, on a GPU."""

from __future__ import annotations

import math

import pytest
import torch
from training_helpers import tiny_config, tiny_runner

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.checkpoint import load_checkpoint, save_checkpoint
from wildrobot.training.rl.cloning import CloningConfig
from wildrobot.training.rl.device import learning_device
from wildrobot.training.setup import make_runner

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def test_without_a_gpu_auto_is_the_cpu_and_asking_for_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert learning_device("auto") == learning_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match=r"finds no GPU here.*--device cpu"):
        learning_device("cuda")


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = []
    for rank in range(4):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        found.append(learning_device("auto").index)
    assert found == [0, 1, 0, 1]
    assert learning_device("cpu") == torch.device("cpu")


@needs_gpu
def test_the_first_iteration_on_a_gpu_is_that_of_the_cpu_but_for_rounding(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    figures = [tiny_runner(spec, walking_reference, device=device).iterate() for device in ("cpu", "cuda")]
    for name in ("task_reward_mean", "style_reward_mean", "disc_real_mean", "disc_loss", "value_loss", "kl"):
        assert math.isclose(figures[0][name], figures[1][name], rel_tol=1e-3, abs_tol=1e-5), name


@needs_gpu
@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_another_device(
    spec: RobotSpec, walking_reference: ReferenceDataset, tmp_path: object, first: str, then: str
) -> None:
    cloned = CloningConfig(updates=2)  # with demonstrations
    runner = tiny_runner(spec, walking_reference, device=first, cloning=cloned)
    runner.iterate()
    path = f"{tmp_path}/checkpoint.pt"
    save_checkpoint(path, {"iteration": 1, "runner": runner.state_dict()})
    other = make_runner(spec, tiny_config(device=then, cloning=cloned), walking_reference)
    other.load_state_dict(load_checkpoint(path)["runner"])
    ours, theirs = runner.iterate(), other.iterate()
    assert other.iteration == 2
    for name in ("task_reward_mean", "style_reward_mean", "disc_real_mean"):
        assert math.isclose(ours[name], theirs[name], rel_tol=1e-3, abs_tol=1e-5), name
