"""The comparison with other learners: turns, figures, messages; the adapters where their packages are installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from training_helpers import tiny_config, walking_environment

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.path import joint_target
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.tasks.walking import WalkingConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    sys.path.append(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("peers", BENCHMARKS / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


class Fake:
    """A learner whose iterations take `wall_s` of a clock that only these move."""

    now = 0.0

    def __init__(self, name: str, wall_s: float) -> None:
        self.name, self.wall_s, self.extra, self.closed = name, wall_s, {"own": 1}, False
        self.count = 0

    def iterate(self) -> tuple[int, float]:
        Fake.now += self.wall_s
        self.count += 1
        return 100, float(self.count)

    def cpu_seconds(self) -> float:
        return 2.0 * self.count * self.wall_s

    def close(self) -> None:
        self.closed = True


def test_every_learner_has_the_same_time_and_the_one_with_the_least_is_next(peers: ModuleType) -> None:
    order: list[str] = []
    done = peers.in_turns(
        [Fake("quick", 1.0), Fake("slow", 4.0)], 6.0, 1, lambda name, _: order.append(name), lambda: Fake.now
    )
    assert order == ["quick", "slow", "quick", "quick", "quick", "quick", "slow", "quick"]
    assert [len(done[name]) for name in ("quick", "slow")] == [6, 2]
    assert done["slow"][0].cpu_s == pytest.approx(8.0)


def test_a_learner_without_time_left_has_its_least_number_of_iterations(peers: ModuleType) -> None:
    done = peers.in_turns([Fake("slow", 4.0)], 1.0, 3, clock=lambda: Fake.now)
    assert len(done["slow"]) == 3


def test_ctrl_c_keeps_what_there_is_if_it_is_enough(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterate = Fake.iterate

    def interrupted(self: Fake) -> tuple[int, float]:
        if self.count == 2:
            raise KeyboardInterrupt
        return iterate(self)

    monkeypatch.setattr(Fake, "iterate", interrupted)
    assert len(peers.in_turns([Fake("one", 1.0)], 9.0, 2, clock=lambda: Fake.now)["one"]) == 2
    with pytest.raises(KeyboardInterrupt):
        peers.in_turns([Fake("one", 1.0)], 9.0, 3, clock=lambda: Fake.now)


def test_the_summary_leaves_the_warm_up_out_of_the_rates_and_keeps_it_in_the_curve(peers: ModuleType) -> None:
    iterations = [peers.Iteration(100, 0.1 * k, 10.0 if k < 2 else 2.0, 4.0) for k in range(6)]
    figures = peers.summary(iterations, 2)
    assert figures["steps_per_s"] == pytest.approx(50.0)
    assert figures["steps_per_cpu_s"] == pytest.approx(25.0)
    assert figures["iterations_timed"] == 4
    assert figures["total_steps"] == 600
    assert figures["curve"]["seconds"] == pytest.approx([10.0, 20.0, 22.0, 24.0, 26.0, 28.0])
    assert figures["task_reward_last_tenth"] == pytest.approx(0.5)
    long = peers.summary([peers.Iteration(1, 1.0, 1.0, 1.0)] * 500, 0)
    assert {len(values) for values in long["curve"].values()} == {60}


def test_ratios_are_ours_over_the_others(peers: ModuleType) -> None:
    rates = {
        "wildrobot": {"steps_per_s": 30.0, "steps_per_cpu_s": 20.0},
        "other": {"steps_per_s": 10.0, "steps_per_cpu_s": 40.0},
    }
    assert peers.ratios(rates, "wildrobot") == {
        "wildrobot/other": {"steps_per_s": 3.0, "steps_per_cpu_s": 0.5}
    }
    assert peers.ratios({"other": rates["other"]}, "wildrobot") == {}


def test_the_learners_are_closed_and_the_table_has_a_row_of_each(peers: ModuleType) -> None:
    learners = [Fake("one", 0.0), Fake("two", 0.0)]
    summaries = peers.measure(learners, 0.001, 1)
    assert all(learner.closed for learner in learners)
    assert summaries["one"]["own"] == 1
    assert len(peers.table(summaries).splitlines()) == 4


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(peers.NEEDS, "rsl_rl", (("no_such_module", "rsl-rl-lib"),))
    assert peers.run_main(peers._main, ["--learners", "rsl_rl"]) == 2
    said = capsys.readouterr().err
    assert "rsl-rl-lib" in said
    assert "pip install -e '.[bench]'" in said
    assert peers.check_packages(["wildrobot"]) == {}
    with pytest.raises(UserError, match="--warmup"):
        peers._main(["--learners", "wildrobot", "--warmup", "-1"])


def test_our_learners_write_their_figures(
    peers: ModuleType,
    walking_reference: ReferenceDataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference, out = tmp_path / "reference.npz", tmp_path / "peers.json"
    walking_reference.save(reference)
    command = [
        "--reference",
        str(reference),
        "--learners",
        "wildrobot",
        "wildrobot_ppo",
        "--seconds",
        "0",
        "--out",
        str(out),
    ]
    command += ["--num-envs", "8", "--steps", "4", "--hidden", "8", "--threads", "1", "--amp.hidden", "8"]
    assert peers._main([*command, "--amp.batch", "16", "--amp.warmup-updates", "1"]) == 0
    written = json.loads(out.read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == written
    assert written["config"]["cloning"]["updates"] == 0
    assert list(written["learners"]) == ["wildrobot", "wildrobot_ppo"]
    for figures in written["learners"].values():
        assert figures["iterations"] == 3
        assert figures["total_steps"] == 3 * 8 * 4
        assert figures["steps_per_s"] > 0.0


def test_rsl_rl_sees_a_reset_as_a_time_out_that_pays_nothing(
    peers: ModuleType, spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    pytest.importorskip("rsl_rl")
    import torch
    from peer_learners.rsl import Adapter

    env = walking_environment(spec, walking_reference, rows=4, episode_s=0.1)
    adapter = Adapter(env, 0.05, seed=0)
    assert adapter.get_observations()["actor"].shape == (4, env.obs_size)
    assert adapter.get_observations()["critic"].shape == (4, env.critic_size)
    adapter.episode_length_buf = torch.tensor([0, 1, 2, 4])
    ended, seen = torch.zeros(4, dtype=torch.bool), 0
    for _ in range(8):
        obs, reward, ends, extras = adapter.step(torch.zeros(4, adapter.num_actions))
        assert obs["actor"].dtype == reward.dtype == torch.float32
        assert torch.all(ends.bool()[ended]), "the tick after an end carries the reset"
        assert torch.all(reward[ended] == 0.0)
        assert torch.all(extras["time_outs"][ended] == 1.0)
        seen += int(ended.sum())
        ended = ends.bool() & ~ended
    assert seen >= 4
    assert adapter.valid_ticks == 4 * 8 - seen


def test_rsl_rl_learns_on_our_environment(
    peers: ModuleType, spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    pytest.importorskip("rsl_rl")
    from peer_learners.rsl import RslRl

    learner = RslRl(spec, tiny_config(), walking_reference)
    before = [p.detach().clone() for p in learner._runner.alg.actor.parameters()]
    steps, reward = learner.iterate()
    assert steps == 32
    assert np.isfinite(reward)
    after = learner._runner.alg.actor.parameters()
    assert any(not np.allclose(a, b.detach()) for a, b in zip(before, after, strict=True))


@pytest.fixture
def classic(peers: ModuleType, walking_reference: ReferenceDataset, tmp_path: Path) -> Any:
    pytest.importorskip("gymnasium")
    from peer_learners.classic import ClassicWalk

    walking_reference.save(tmp_path / "reference.npz")
    return ClassicWalk(tmp_path / "reference.npz", WalkingConfig(), 1.0, seed=3)


@pytest.mark.filterwarnings("ignore:.*Box:UserWarning")
def test_the_classic_environment_is_one_of_gymnasium(classic: Any) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(classic, skip_render_check=True)


def test_the_classic_environment_is_the_same_robot(classic: Any, spec: RobotSpec) -> None:
    sim = Simulation(spec, 1, threads=1)
    classic.reset()
    sim.reset(np.arange(1), classic.data.qpos[None], classic.data.qvel[None])
    target = classic.data.qpos[classic.joint_qpos].copy()
    rng = np.random.default_rng(0)
    for _ in range(10):
        action = rng.normal(0.0, 0.5, spec.num_joints)
        target = joint_target(spec, action, target)
        sim.step(target[None])
        classic.step(action)
        np.testing.assert_allclose(classic.data.qpos, sim.qpos[0], atol=1e-9)
    ours, theirs = sim.truth(), classic.truth()
    for name in ("joint_velocity", "foot_force", "foot_position", "torque", "pelvis_angular_velocity"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-6, err_msg=name)


def test_the_classic_environment_ends_in_time(classic: Any, spec: RobotSpec) -> None:
    classic.reset()
    for _ in range(round(1.0 * spec.control_hz)):
        _, reward, fell, late, _ = classic.step(np.zeros(spec.num_joints))
        assert np.isfinite(reward)
        if fell or late:
            break
    assert fell or late
    assert classic.reset()[0].shape == classic.observation_space.shape


@pytest.mark.slow
def test_stable_baselines3_learns_in_a_process_of_its_own(
    peers: ModuleType, walking_reference: ReferenceDataset, tmp_path: Path
) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("gymnasium")
    from peer_learners.sb3 import Sb3

    walking_reference.save(tmp_path / "reference.npz")
    config = replace(tiny_config(), reference=tmp_path / "reference.npz")
    learner = Sb3(config, processes=1)
    try:
        assert learner.extra["cpu_of_one_environment"]["tick_ms"] > 0.0
        before = learner.cpu_seconds()
        steps, reward = learner.iterate()
        assert steps == 32
        assert np.isfinite(reward)
        assert learner.cpu_seconds() > before
    finally:
        learner.close()


def test_the_training_rate_is_told_for_each_number_of_robots(
    peers: ModuleType,
    walking_reference: ReferenceDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import training_rate

    walking_reference.save(tmp_path / "reference.npz")
    command = ["training_rate.py", "--reference", str(tmp_path / "reference.npz"), "--iterations", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--threads", "1", "--envs", "2", "4"])
    monkeypatch.setattr(
        training_rate, "parse", lambda argv: tiny_config(reference=tmp_path / "reference.npz")
    )
    training_rate.main()
    rows = json.loads(capsys.readouterr().out)["by_num_envs"]
    assert [row["num_envs"] for row in rows] == [2, 4]
    assert all(row["share"] > 0.0 and row["raw_steps_per_s"] > 0.0 for row in rows)
