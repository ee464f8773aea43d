"""A run that was interrupted and continued is the run that was not, to the last bit."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training_helpers import assert_same_state, comparable, leaves, tiny_config, tiny_runner

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.simulation.randomization.config import FULL
from wildrobot.training.learn import train
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.checkpoint import load_checkpoint, save_checkpoint
from wildrobot.training.rl.cloning import CloningConfig
from wildrobot.training.rl.discriminator_governor import GovernorConfig
from wildrobot.training.rl.runner import Mix
from wildrobot.training.setup import make_runner
from wildrobot.training.tasks.curriculum import CurriculumConfig
from wildrobot.training.tasks.walking import WalkingKernels


def metrics_of(runner: Any, iterations: int) -> list[dict[str, Any]]:
    return [comparable(runner.iterate()) for _ in range(iterations)]


def same_metrics(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> None:
    """Equal line by line, not-a-number included."""
    assert [json.dumps(line) for line in a] == [json.dumps(line) for line in b]


@dataclasses.dataclass
class Interrupted:
    """A run saved after its first iterations, and how it went on without the interruption."""

    file: Path
    metrics: list[dict[str, Any]]
    state: dict[str, Any]
    fresh: dict[str, Any]


def interrupted(
    spec: RobotSpec, reference: ReferenceDataset, folder: Path, first: int, rest: int, **changes: Any
) -> Interrupted:
    """`first` iterations, the file, `rest` iterations; `changes` are fields of the configuration."""
    runner = tiny_runner(spec, reference, **changes)
    fresh = copy.deepcopy(runner.state_dict())
    metrics_of(runner, first)
    save_checkpoint(folder / "checkpoint.pt", {"iteration": first, "runner": runner.state_dict()})
    metrics = metrics_of(runner, rest)
    return Interrupted(folder / "checkpoint.pt", metrics, copy.deepcopy(runner.state_dict()), fresh)


def check_resume(
    spec: RobotSpec, reference: ReferenceDataset, run: Interrupted, spoil: Any = None, **changes: Any
) -> None:
    """What is loaded from the file goes on as the run did."""
    state = load_checkpoint(run.file)["runner"]
    if spoil is not None:
        spoil(state, copy.deepcopy(run.fresh))
    continued = make_runner(spec, tiny_config(**changes), reference)
    continued.load_state_dict(state)
    same_metrics(metrics_of(continued, len(run.metrics)), run.metrics)
    assert_same_state(continued.state_dict(), run.state)


@pytest.fixture(scope="module")
def after_two(
    spec: RobotSpec, walking_reference: ReferenceDataset, tmp_path_factory: pytest.TempPathFactory
) -> Interrupted:
    """Two and two iterations."""
    return interrupted(spec, walking_reference, tmp_path_factory.mktemp("run"), 2, 2)


def test_two_and_two_iterations_equal_four(
    spec: RobotSpec, walking_reference: ReferenceDataset, after_two: Interrupted
) -> None:
    check_resume(spec, walking_reference, after_two)


def test_ten_and_ten_iterations_equal_twenty(
    spec: RobotSpec, walking_reference: ReferenceDataset, tmp_path: Path
) -> None:
    check_resume(spec, walking_reference, interrupted(spec, walking_reference, tmp_path, 10, 10))


def test_it_does_so_with_everything_switched_on(
    spec: RobotSpec, walking_reference: ReferenceDataset, tmp_path: Path
) -> None:
    governor = GovernorConfig(enabled=True, band=(0.6, 0.7))
    amp = dataclasses.replace(
        tiny_config().amp, frames=3, norm="spectral", symmetry=True, governor=governor, diagnostics_every=2
    )
    curriculum = CurriculumConfig(start=0.2, falls_per_1000_steps=1000.0, window_steps=40)
    changes = {
        "curriculum": curriculum,
        "randomization": FULL,
        "amp": amp,
        "mix": Mix(task=1.0, style=0.5, ramp=(1, 5), streams="two"),
    }
    run = interrupted(spec, walking_reference, tmp_path, 4, 4, **changes)
    assert {line["disc_updates"] for line in run.metrics} != {amp.updates}, "the governor is at work"
    assert 0.2 < run.metrics[-1]["randomization_level"] < 1.0, "the curriculum is at work"
    check_resume(spec, walking_reference, run, **changes)


def set_from(path: str) -> Any:
    """Put one part of a fresh runner's state into the saved one: as if it had not been saved."""

    def spoil(state: dict[str, Any], fresh: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for key in way:
            state, fresh = state[key], fresh[key]
        state[last] = fresh[last]

    return spoil


PARTS = [
    "ppo/actor_optimizer",
    "ppo/critic_optimizer",
    "ppo/updates",
    "ppo/actor/normalizer.mean",
    "ppo/actor/normalizer.count",
    "ppo/critic/normalizer.var",
    "amp/optimizer",
    "replay",
    "amp/discriminator",
    "iteration",
    "total_steps",
    "generator",
    "env/sim/_rng",
    "env/sim/robots/encoder_offset",
    "env/sim/_memory",
    "env/path/estimator",
    "env/path/clock",
    "env/path/_builder",
    "env/path/previous_target",
    "env/task/_rng",
    "env/task/_filtered",
    "env/window",
    "env/age",
    "obs",
]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_dropped_is_seen(
    spec: RobotSpec, walking_reference: ReferenceDataset, after_two: Interrupted, part: str
) -> None:
    with pytest.raises(AssertionError):
        check_resume(spec, walking_reference, after_two, set_from(part))


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    import numpy as np

    state = {
        "iteration": 3,
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "flags": np.array([True, False]),
        "nested": {"tensor": torch.randn(2), "none": None, "text": "a", "list": [1, 2.5]},
    }
    save_checkpoint(tmp_path / "c.pt", state)
    loaded = load_checkpoint(tmp_path / "c.pt")
    assert_same_state(loaded, state)
    assert loaded["array"].dtype == np.float32
    assert loaded["nested"]["none"] is None
    assert list(leaves(loaded)) == list(leaves(state))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"iteration": 1, "weights": torch.randn(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"checkpoint\.pt is not a whole checkpoint"):
        load_checkpoint(path)


def test_a_missing_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="has no 'iteration'"):
        load_checkpoint(tmp_path / "foreign.pt")


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("executed",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"iteration": 1, "x": Evil()}, protocol=2))
    with pytest.raises(UserError, match="not a whole checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")


# ---------------------------------------------------------------------- the command


@pytest.fixture
def run_config(walking_reference: ReferenceDataset, tmp_path: Path) -> Any:
    walking_reference.save(tmp_path / "reference.npz")
    return tiny_config(
        reference=tmp_path / "reference.npz",
        run_dir=tmp_path / "run",
        checkpoint_every=1,
        iterations=4,
        cloning=CloningConfig(updates=3, batch=16),
    )


def lines(run: Path) -> list[dict[str, Any]]:
    return [comparable(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_that_is_continued_by_the_command_is_the_whole_run(run_config: Any, tmp_path: Path) -> None:
    train(run_config)
    other = dataclasses.replace(run_config, run_dir=tmp_path / "other", iterations=2)
    train(other)
    with (tmp_path / "other" / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 3, "time_s": 1.0}\n{"iteration": 4, "ti')  # written after the checkpoint
    train(dataclasses.replace(other, iterations=4))
    assert [line["iteration"] for line in lines(tmp_path / "other")] == [1, 2, 3, 4]
    same_metrics(lines(tmp_path / "other"), lines(tmp_path / "run"))
    states = [load_checkpoint(tmp_path / name / "checkpoint.pt")["runner"] for name in ("run", "other")]
    assert_same_state(*states)


def test_a_run_folder_says_how_it_was_made(run_config: Any, tmp_path: Path, spec: RobotSpec) -> None:
    run = train(dataclasses.replace(run_config, iterations=1))
    environment = json.loads((run / "environment.json").read_text())
    assert {"python", "packages", "cpus"} <= environment.keys()
    saved = load_checkpoint(run / "checkpoint.pt")
    assert saved["robot_hash"] == spec.robot_hash
    assert saved["iteration"] == 1
    assert saved["layout"][0]["name"] == "features"
    assert (run / "config.yaml").is_file()


def test_a_run_is_not_continued_with_another_configuration(run_config: Any) -> None:
    train(dataclasses.replace(run_config, iterations=1))
    with pytest.raises(UserError, match=r"differs in: hidden, seed\. Continue it with its own configuration"):
        train(dataclasses.replace(run_config, seed=5, hidden=(4,)))


def without_kernels(path: Path, **instead: Any) -> None:
    """Make the run's checkpoint one of a version that had no kernel widths in its configuration, or others."""
    saved = load_checkpoint(path)
    config = json.loads(saved["config"])
    kept = {key: v for key, v in config["walking"].items() if key not in ("kernels", "home_noise_rad")}
    config["walking"] = kept | instead
    save_checkpoint(path, saved | {"config": json.dumps(config)})


def test_a_run_whose_configuration_lacks_newer_keys_is_continued_with_their_defaults(run_config: Any) -> None:
    run = train(dataclasses.replace(run_config, iterations=1))
    without_kernels(run / "checkpoint.pt")
    train(dataclasses.replace(run_config, iterations=2))
    assert [line["iteration"] for line in lines(run)] == [1, 2]
    without_kernels(run / "checkpoint.pt")
    wider = dataclasses.replace(run_config.walking, kernels=WalkingKernels(lateral_m_s=0.2))
    with pytest.raises(UserError, match=r"differs in: walking\."):
        train(dataclasses.replace(run_config, walking=wider, iterations=3))
    without_kernels(run / "checkpoint.pt", kernels={"lateral_m_s": 0.2})
    train(dataclasses.replace(run_config, walking=wider, iterations=3))


def test_a_run_with_a_key_that_is_no_more_is_another_one(run_config: Any) -> None:
    run = train(dataclasses.replace(run_config, iterations=1))
    without_kernels(run / "checkpoint.pt", lean=0.5)
    with pytest.raises(UserError, match=r"differs in: walking\."):
        train(dataclasses.replace(run_config, iterations=2))


def test_a_truncated_run_is_refused(run_config: Any) -> None:
    run = train(dataclasses.replace(run_config, iterations=1))
    path = run / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="not a whole checkpoint"):
        train(run_config)
