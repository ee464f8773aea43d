"""Another biped from its description alone: reference, training, export, walking, replay, evaluation, by the commands.

Heron has twelve joints where WildRobot has nine, under other names and in another order: hip yaws, ankle rolls, no
waist, a knee that turns the other way; one contact under each foot, its IMU on the pelvis, and 40 ticks a second.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamixel_helpers import Session, up

from wildrobot.cli import main as cli
from wildrobot.core.errors import UserError
from wildrobot.firmware_bridge.virtual.robot import VirtualRobot
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.control.state_machine import State
from wildrobot.signal_path.policy import load_policy
from wildrobot.training.evaluation.evaluation import EvalConfig, evaluate
from wildrobot.training.reference.dataset import ReferenceDataset

FOLDER = Path(__file__).parent / "robots" / "heron"
ROBOT = ("--robot-file", str(FOLDER / "robot.yaml"))
PRESET = ("--preset", str(FOLDER / "preset.yaml"))
# What makes it small; the limits that it loosens a tracker keeps that has been trained.
SMALL_REFERENCE = shlex.split(
    "--gaits.speeds-m-s 0.2 --gaits.turn-speeds-m-s 0.0 --gaits.stand-s 1.2 --track.iterations 2 --track.num-envs 16 "
    "--track.steps 8 --track.hidden 16 16 --track.episode-s 1.2 --track.rollouts-per-clip 2 "
    "--track.noisy-rollouts-per-clip 1 --track.student-rounds 1 --track.student-rollouts-per-clip 1 "
    "--track.limits.self-collision 1 --device cpu"
)
SMALL_TRAINING = shlex.split(
    "--iterations 3 --num-envs 16 --steps 8 --threads 1 --device cpu --hidden 16 16 --amp.hidden 16 16 --amp.batch 32 "
    "--selection.every 3 --selection.episodes 2 --selection.duration-s 1 --cloning.updates 600 --no-tensorboard"
)


@pytest.fixture(scope="module")
def heron() -> RobotSpec:
    return load_robot(FOLDER / "robot.yaml")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planned and executed by a tracker that has learnt next to nothing: the plans alone must stand."""
    path = tmp_path_factory.mktemp("heron") / "reference.npz"
    assert cli.main(["reference", "build", *ROBOT, *PRESET, *SMALL_REFERENCE, "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def run(reference: Path) -> Path:
    """A run folder with a policy that has been trained for three iterations."""
    folder = reference.parent / "run"
    where = ["--run-dir", str(folder), "--reference", str(reference)]
    assert cli.main(["train", *ROBOT, *PRESET, *SMALL_TRAINING, *where]) == 0
    assert cli.main(["export", str(folder), "--onnx"]) == 0
    return folder


@pytest.fixture(scope="module")
def walk(run: Path) -> dict[str, Any]:
    """What wildrobot-run measured; its log lies in the run folder."""
    flags = ["--robot", "sim", *ROBOT, "--fast", "--no-lcm", "--speed", "0.2", "--duration", "2"]
    files = ["--log", str(run / "walk.lcmlog"), "--json", str(run / "walk.json")]
    assert cli.main(["run", str(run / "policy.onnx"), *flags, *files]) in (0, 1)
    figures: dict[str, Any] = json.loads((run / "walk.json").read_text())
    return figures


def test_its_gaits_are_planned_and_executed_without_a_fall(reference: Path, heron: RobotSpec) -> None:
    dataset = ReferenceDataset.load(reference, heron)
    figures = {entry["name"]: entry for entry in dataset.clips}
    assert {name.split("_")[0] for name in figures} == {"stand", "walk", "turn", "start", "stop"}
    assert all(entry["accepted"] for entry in figures.values()), figures
    assert dataset.features.shape[1] == 2 * 12 + 7 + 2
    number = dataset.meta["rollout_clip"].index(list(figures).index("walk_v0.20_t14_c25"))
    walking = dataset.rollout(number, "qpos")
    planned = 0.2 * (len(walking) - 1) * heron.control_dt
    assert (
        0.3 * planned < walking[-1, 0] - walking[0, 0] < 1.3 * planned
    )  # of a randomized robot, uncorrected


def test_its_reference_is_shown(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = reference.with_name("reference.html")
    assert cli.main(["reference", "show", str(reference), *ROBOT, "--html", str(page)]) == 0
    assert "40 Hz" in capsys.readouterr().out
    text = page.read_text()
    assert "Left leg" in text
    assert "Other joints" not in text


def test_its_policy_is_trained_and_names_its_joints_and_feet(run: Path, heron: RobotSpec) -> None:
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in metrics] == [1, 2, 3]
    assert all(np.isfinite(row["task_reward_mean"]) and np.isfinite(row["disc_acc"]) for row in metrics)
    assert "eval/survival_0.15" in metrics[-1]
    contract = load_policy(run / "policy.onnx", heron).contract
    assert contract["joint_names"] == list(heron.joint_names)
    assert contract["foot_names"] == ["r_sole", "l_sole"]
    assert contract["control_hz"] == 40.0
    assert (run / "style.onnx").is_file()


def test_its_policy_runs_in_simulation(walk: dict[str, Any]) -> None:
    assert 1.0 < walk["walked_s"] < 2.1  # what has learned next to nothing may fall then
    assert walk["measured_by"] == "simulator"
    assert set(walk["swings"]) == {"left", "right"}
    assert 0.0 <= walk["style_score"] <= 1.0


def test_its_log_replays_to_the_last_bit(run: Path, walk: dict[str, Any]) -> None:
    assert cli.main(["replay", str(run / "walk.lcmlog")]) == 0


def test_a_log_whose_robot_file_has_moved_says_so_and_takes_the_new_place(
    run: Path, walk: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("robot.yaml", "heron.xml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    log, policy = str(run / "walk.lcmlog"), str(run / "policy.onnx")
    assert cli.main(["replay", log, "--policy", policy, "--robot-file", str(tmp_path / "robot.yaml")]) == 0
    with pytest.raises(UserError, match=r"no robot description .*nowhere.*--robot-file"):
        cli.main(["replay", log, "--robot-file", "nowhere/robot.yaml"])


def test_its_policy_is_evaluated_at_the_speeds_that_it_may_be_commanded(run: Path) -> None:
    out = run / "evaluation.json"
    flags = ["--episodes", "2", "--duration", "1", "--out", str(out), "--html", str(run / "evaluation.html")]
    assert cli.main(["eval", str(run / "policy.onnx"), *ROBOT, *flags]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["command_m_s"] for row in rows] == [0.0, 0.15, 0.3]
    assert all(0.0 <= row["survival"] <= 1.0 for row in rows)
    config = EvalConfig(run / "policy.onnx", speeds=(0.5,))
    with pytest.raises(UserError, match=r"0\.5 m/s, but heron walks at 0\.0 to 0\.35"):
        evaluate(load_robot(FOLDER / "robot.yaml"), config)


def test_its_run_has_a_report(run: Path) -> None:
    assert cli.main(["report", str(run)]) == 0
    assert "disc_acc" in (run / "report.html").read_text()


def test_every_randomization_shows_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["randomization", *ROBOT, "--envs", "64", "--resets", "2", "--threads", "1"])
    assert code == 0, capsys.readouterr().err


def test_the_other_robot_refuses_its_policy(run: Path) -> None:
    with pytest.raises(UserError, match="joint_names"):
        cli.main(["run", str(run / "policy.onnx"), "--robot", "sim", "--fast", "--no-lcm"])


def test_its_policy_stands_over_the_bus(run: Path, heron: RobotSpec) -> None:
    virtual = VirtualRobot(heron)
    session = Session(spec=heron, virtual=virtual, policy=run / "policy.onnx", speed=0.1)
    assert session.robot.servos.fast
    session.until(State.STANDING)
    for _ in range(round(2.0 * heron.control_hz)):
        session.tick()
    assert session.state is State.WALKING
    assert up(virtual)
    assert virtual.truth().torque_on.all()
    assert session.timer.missed == 0
    frame = session.robot.read()
    assert frame.foot_contact.shape == (1, 2)
    assert np.abs(frame.joint_position[0] - virtual.truth().joint_position).max() < 0.02
