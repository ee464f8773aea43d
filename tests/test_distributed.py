"""Training by two processes over gloo: the same networks in both, averages of both, resume, and the loss of one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from training_helpers import assert_same_state, comparable, tiny_config

from wildrobot.core.config import to_dict
from wildrobot.core.errors import UserError
from wildrobot.training.learn import train
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.checkpoint import load_checkpoint
from wildrobot.training.rl.distributed import Distributed, threads_per_rank

# Each process writes what it found to OUT/RANK.pt.
MEASURE = """
import sys, torch
from torch import nn
from wildrobot.training.rl.normalizer import Normalizer
from wildrobot.training.rl.distributed import init_distributed
with init_distributed() as distributed:
    rank = distributed.rank
    x = torch.load(sys.argv[1], weights_only=True)[rank]
    normalizer = Normalizer(x.shape[1])
    normalizer.update(x[:2], distributed)
    normalizer.update(x[2:], distributed)
    layer = nn.Linear(3, 2, bias=False)
    torch.manual_seed(rank)
    nn.init.normal_(layer.weight)
    distributed.broadcast_parameters(layer)
    layer(x).square().mean().backward()
    distributed.average_gradients(layer.parameters())
    found = {
        "mean": distributed.mean(torch.tensor([1.0 + rank])),
        "average_metrics": distributed.average_metrics(
            {"a": 1.0 + rank, "b": 5.0 if rank else float("nan"), "c": f"text {rank}", "d": 7}
        ),
        "all_ranks": [distributed.all_ranks(True), distributed.all_ranks(rank == 0)],
        "moments": distributed.moments(x),
        "normalizer": normalizer.state_dict(),
        "weight": layer.weight.detach(),
        "gradient": layer.weight.grad,
        "gathered": distributed.gather_states({"rank": torch.full((rank + 1,), rank)}),
        "seed": distributed.seed(3),
    }
    torch.save(found, f"{sys.argv[2]}/{rank}.pt")
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*program, *arguments], capture_output=True, text=True, timeout=120, env=os.environ, check=False
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[torch.Tensor], list[Any]]:
    """The two processes' data (7, 3) and (4, 3), and what each of them found."""
    folder = tmp_path_factory.mktemp("found")
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(7, 3, generator=generator) + 5.0, 3.0 * torch.randn(4, 3, generator=generator)]
    torch.save(data, folder / "data.pt")
    (folder / "measure.py").write_text(MEASURE)
    done = torchrun(str(folder / "measure.py"), str(folder / "data.pt"), str(folder))
    assert done.returncode == 0, done.stderr
    return data, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_means_are_of_both_processes(found: tuple[list[torch.Tensor], list[Any]]) -> None:
    for rank, mine in enumerate(found[1]):
        assert mine["mean"].tolist() == [1.5]
        assert mine["average_metrics"] == {"a": 1.5, "b": 5.0, "c": f"text {rank}", "d": 7}
        assert mine["all_ranks"] == [True, False]


def test_moments_are_those_of_all_rows_together(found: tuple[list[torch.Tensor], list[Any]]) -> None:
    data, both = found
    rows = torch.cat(data)
    for mine in both:
        mean, var, count = mine["moments"]
        torch.testing.assert_close(mean, rows.mean(dim=0))
        torch.testing.assert_close(var, rows.var(dim=0, unbiased=False))
        assert count == 11
        torch.testing.assert_close(mine["normalizer"]["mean"], rows.mean(dim=0))
        torch.testing.assert_close(mine["normalizer"]["var"], rows.var(dim=0, unbiased=False))


def test_parameters_are_the_first_one_s_and_gradients_the_mean(
    found: tuple[list[torch.Tensor], list[Any]],
) -> None:
    data, both = found
    assert torch.equal(both[0]["weight"], both[1]["weight"])
    assert torch.equal(both[0]["gradient"], both[1]["gradient"])
    weight = both[0]["weight"].requires_grad_()
    slopes = [torch.autograd.grad((x @ weight.T).square().mean(), weight)[0] for x in data]
    torch.testing.assert_close(both[0]["gradient"], 0.5 * (slopes[0] + slopes[1]))


def test_the_first_process_gathers_what_the_others_have(found: tuple[list[torch.Tensor], list[Any]]) -> None:
    first, second = found[1]
    assert [part["rank"].tolist() for part in first["gathered"]] == [[1, 1]]
    assert second["gathered"] == []
    assert first["seed"] == 3
    assert second["seed"] > 1000


def test_one_process_is_its_own_mean() -> None:
    alone, x = Distributed(), torch.randn(5, 3)
    assert alone.is_main
    assert alone.seed(7) == 7
    assert alone.mean(x) is x
    assert alone.average_metrics({"a": float("nan")}).keys() == {"a"}
    assert alone.gather_states({"x": x}) == []
    assert [alone.all_ranks(yes) for yes in (True, False)] == [True, False]
    assert alone.moments(x)[2] == 5


def test_processes_of_one_machine_share_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = os.cpu_count() or 1
    assert threads_per_rank() == cpus
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(cpus))
    assert threads_per_rank() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(3 * cpus))
    assert threads_per_rank() == 1


# ---------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def reference(walking_reference: ReferenceDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "reference.npz"
    walking_reference.save(path)
    return path


def flags(folder: Path, reference: Path, iterations: int, run: str = "run", **changes: Any) -> list[str]:
    config = tiny_config(
        run_dir=folder / run, reference=reference, checkpoint_every=2, iterations=iterations, **changes
    )
    path = folder / f"{run}_{iterations}.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)))
    return ["-m", "wildrobot", "train", "--config", str(path)]


def lines(run: Path) -> list[dict[str, Any]]:
    return [comparable(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


SAME = """
import sys, torch
from wildrobot.core.config import load_config
from wildrobot.robot_description import load_robot
from wildrobot.training.rl.distributed import init_distributed
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.setup import TrainConfig, make_runner
config, spec = load_config(TrainConfig, sys.argv[1], TrainConfig()), load_robot()
with init_distributed() as distributed:
    runner = make_runner(spec, config, ReferenceDataset.load(config.reference, spec), distributed)
    runner.start()
    for _ in range(3):
        runner.iterate()
    networks = {"ppo": runner.ppo.state_dict(), "discriminator": runner.amp.discriminator.state_dict()}
    torch.save({"networks": networks, "obs": runner.collector.obs}, f"{sys.argv[2]}/{distributed.rank}.pt")
"""


def test_both_processes_keep_the_same_networks_and_have_robots_of_their_own(
    reference: Path, tmp_path: Path
) -> None:
    (tmp_path / "same.py").write_text(SAME)
    config = flags(tmp_path, reference, 3)[-1]
    done = torchrun(str(tmp_path / "same.py"), config, str(tmp_path))
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert_same_state(one["networks"], two["networks"])
    assert not torch.equal(one["obs"], two["obs"])


def test_torchrun_trains_and_a_run_that_is_continued_is_the_whole_run(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for iterations, run in ((4, "whole"), (2, "parts"), (4, "parts")):
        done = torchrun(*flags(tmp_path, reference, iterations, run))
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("next: wildrobot export") == 1, "one of them speaks"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert lines(whole) == lines(parts)
    assert [line["steps"] for line in lines(whole)] == [2 * 8 * 4 * k for k in (1, 2, 3, 4)]
    one, two = (load_checkpoint(run / "checkpoint.pt") for run in (whole, parts))
    assert len(one["others"]) == 1
    assert_same_state(one["runner"], two["runner"])
    assert_same_state(one["others"], two["others"])
    assert json.loads((whole / "environment.json").read_text())["processes"] == 2
    config = tiny_config(run_dir=whole, reference=reference, checkpoint_every=2, iterations=6)
    with pytest.raises(
        UserError, match=r"is a run of 2 processes, this is 1\. .*torchrun --nproc-per-node 2"
    ):
        train(config)


def start(rank: int, port: int, arguments: list[str], said: Path) -> subprocess.Popen[bytes]:
    """One of two processes, as torchrun starts them."""
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    with said.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *arguments], env=os.environ | place, stdout=subprocess.DEVNULL, stderr=file
        )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_the_loss_of_a_process_is_told_and_the_run_goes_on_when_started_again(
    reference: Path, tmp_path: Path
) -> None:
    arguments, port, run = flags(tmp_path, reference, 100_000), free_port(), tmp_path / "run"
    both = [start(rank, port, arguments, tmp_path / f"{rank}.txt") for rank in range(2)]
    end = time.monotonic() + 60.0
    while not (run / "checkpoint.pt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    both[1].send_signal(signal.SIGKILL)
    try:
        assert both[0].wait(120.0) == 2
    finally:
        both[0].kill()
    said = (tmp_path / "0.txt").read_text()
    assert "process 0 of 2 lost another one" in said
    assert "The same command continues from the last checkpoint" in said
    assert "Traceback" not in said
    done = load_checkpoint(run / "checkpoint.pt")["iteration"]
    assert done >= 2
    again = torchrun(*flags(tmp_path, reference, done + 2))
    assert again.returncode == 0, again.stderr
    assert [line["iteration"] for line in lines(run)] == list(range(1, done + 3))


def test_an_interrupted_run_stops_after_an_iteration_in_all_processes(
    reference: Path, tmp_path: Path
) -> None:
    arguments, port, run = flags(tmp_path, reference, 100_000), free_port(), tmp_path / "run"
    both = [start(rank, port, arguments, tmp_path / f"{rank}.txt") for rank in range(2)]
    end = time.monotonic() + 60.0
    while not (run / "checkpoint.pt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    both[0].send_signal(signal.SIGINT)  # one of them is enough
    assert [process.wait(120.0) for process in both] == [130, 0]
    assert "the same command continues it" in (tmp_path / "0.txt").read_text()
    saved = load_checkpoint(run / "checkpoint.pt")
    assert saved["iteration"] == lines(run)[-1]["iteration"]
