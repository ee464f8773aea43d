"""`wildrobot import-policy`: networks of mjlab's and Isaac Lab's kind, against an implementation of theirs."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from torch import nn

from wildrobot.cli import import_policy as cli
from wildrobot.cli.run import run
from wildrobot.core.errors import UserError, run_main
from wildrobot.export import onnx_export
from wildrobot.export.elsewhere.description import (
    ForeignPolicy,
    ForeignTerm,
    ImportFindings,
    read_description,
)
from wildrobot.export.elsewhere.joints import breadth_first, depth_first
from wildrobot.export.elsewhere.readers import described
from wildrobot.export.elsewhere.run_import import import_policy
from wildrobot.export.elsewhere.terms import KINDS
from wildrobot.robot_description import RobotSpec
from wildrobot.runtime.logs.replay import replay
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.evaluation.episodes import EpisodeConfig
from wildrobot.training.evaluation.evaluation import EvalConfig, evaluate

COMMAND = np.array([0.3, 0.2])
MJLAB = Path(__file__).parent / "data" / "mjlab"


@pytest.fixture(autouse=True)
def _short_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five robots are enough here; the command takes fifty."""
    monkeypatch.setattr(onnx_export, "ROLLOUT_ENVS", 5)
    monkeypatch.setattr(onnx_export, "ROLLOUT_SAMPLES", 6)


# ---------------------------------------------------------------------- the other frameworks, in a few lines


@dataclass
class Term:
    """One observation term as a manager has it: the function of the simulator's state, then clip, scale, history."""

    name: str
    value: Callable[[State], Any]
    scale: Any = 1.0
    clip: tuple[float, float] | None = None
    history: int = 0


@dataclass
class State:
    """What a simulator knows: everything in the root link's axes, joints in the order of the framework."""

    angular_velocity: Any
    gravity: Any
    position: Any
    velocity: Any
    last_action: Any
    gyro: Any
    command: Any = field(default_factory=lambda: np.array([COMMAND[0], 0.0, COMMAND[1]]))


@dataclass
class Elsewhere:
    """A task of another framework: joints by name in its own order, its terms, its action."""

    joints: Sequence[str]
    default: Any
    scale: Any
    terms: list[Term]
    offset: Any = None
    target_clip: Any = None
    gain: float = 2.0
    module: Any = None

    def __post_init__(self) -> None:
        self.offset = self.default if self.offset is None else self.offset
        self._past: dict[str, deque[Any]] = {}
        size = sum(len(self.one(term, self.blank())) * max(1, term.history) for term in self.terms)
        torch.manual_seed(3)
        layers = [nn.Linear(size, 32), nn.ELU(), nn.Linear(32, 16), nn.ELU(), nn.Linear(16, len(self.joints))]
        self.module = Normalised(nn.Sequential(*layers), size, self.gain)

    def blank(self) -> State:
        n = len(self.joints)
        return State(*(np.zeros(size) for size in (3, 3, n, n, n, 3)))

    def one(self, term: Term, state: State) -> Any:
        value = np.asarray(term.value(state), dtype=np.float64)
        if term.clip is not None:
            value = np.clip(value, *term.clip)
        return value * np.asarray(term.scale)

    def observe(self, state: State) -> Any:
        """The concatenated group, each term's history flattened on its own, oldest first."""
        parts = []
        for term in self.terms:
            value = self.one(term, state)
            past = self._past.setdefault(term.name, deque(maxlen=max(1, term.history)))
            past.extend([value] * (past.maxlen if not past else 1))  # type: ignore[operator]
            parts.append(np.concatenate(list(past)))
        return np.concatenate(parts)

    def act(self, observation: Any) -> tuple[Any, dict[str, float]]:
        """The raw action, and joint targets by name."""
        with torch.no_grad():
            action = (
                self.module(torch.as_tensor(observation[None], dtype=torch.float32)).numpy()[0].astype(float)
            )
        target = self.offset + self.scale * action
        if self.target_clip is not None:
            target = np.clip(target, *np.transpose(self.target_clip))
        return action, dict(zip(self.joints, target, strict=True))


class Normalised(nn.Module):
    """An empirical normaliser and an MLP, as rsl_rl exports them."""

    def __init__(self, net: nn.Module, size: int, gain: float) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", 0.1 * torch.randn(size))
        self.register_buffer("std", 0.5 + torch.rand(size))
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * self.net((x - self.mean) / (self.std + 1e-2))


def export_onnx(task: Elsewhere, path: Path, opset: int = 18) -> Path:
    """As rsl_rl, mjlab and Isaac Lab do: a batch of one, fixed."""
    size = task.module.mean.shape[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have them use another exporter
        torch.onnx.export(
            task.module, (torch.zeros(1, size),), str(path), opset_version=opset, dynamo=False,
            input_names=["obs"], output_names=["actions"], dynamic_axes={},
        )  # fmt: skip
    return path


def csv(values: Any) -> str:
    """mjlab's `list_to_csv_str`: three decimals (of True, too), commas, and semicolons within."""

    def one(x: Any) -> str:
        return f"{x:.3f}" if isinstance(x, (int, float)) else str(x)

    return ",".join(";".join(map(one, v)) if isinstance(v, (list, tuple)) else one(v) for v in values)


def mjlab_metadata(task: Elsewhere, spec: RobotSpec, **changes: Any) -> dict[str, str]:
    def in_order(values: Any) -> list[float]:
        return [float(values[spec.joint_names.index(name)]) for name in task.joints]

    metadata = {
        "run_path": "lab/walk/abc123",
        "joint_names": list(task.joints),
        "joint_stiffness": in_order(spec.joint_stiffness),
        "joint_damping": in_order(spec.joint_damping),
        "default_joint_pos": [float(x) for x in task.default],
        "command_names": ["twist"],
        "observation_names": [term.name for term in task.terms],
        "observation_terms_scale": [np.asarray(t.scale).tolist() for t in task.terms],
        "observation_terms_flatten_history_dim": [True] * len(task.terms),
        "observation_terms_history_length": [t.history for t in task.terms],
        "observation_terms_clip": [list(t.clip or (float("-inf"), float("inf"))) for t in task.terms],
        "action_scale": [float(x) for x in task.scale],
    } | changes
    return {key: value if isinstance(value, str) else csv(value) for key, value in metadata.items()}


def attach(path: Path, metadata: dict[str, str]) -> Path:
    model = onnx.load(str(path))
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
    return path


def state_of(frame: SensorFrame, task: Elsewhere, spec: RobotSpec, last_action: Any) -> State:
    """What the framework's robot would have been like at the raw frame (1, ...): quaternion and gyroscope are the
    torso's, and between torso and pelvis is the waist, which turns about z."""
    w, x, y, z = frame.imu_quaternion[0]
    world_from_torso = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    waist = spec.joint_names.index("waist_yaw")
    c, s = np.cos(frame.joint_position[0, waist]), np.sin(frame.joint_position[0, waist])
    pelvis_from_torso = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    order = [spec.joint_names.index(name.removesuffix("_joint")) for name in task.joints]
    gyro = frame.imu_angular_velocity[0]
    return State(
        angular_velocity=pelvis_from_torso @ gyro - [0.0, 0.0, frame.joint_velocity[0, waist]],
        gravity=pelvis_from_torso @ world_from_torso.T @ [0.0, 0.0, -1.0],
        position=frame.joint_position[0, order],
        velocity=frame.joint_velocity[0, order],
        last_action=last_action,
        gyro=gyro,
    )


def check_on_a_rollout(
    task: Elsewhere, file: Path, spec: RobotSpec, ticks: int = 60, atol: float = 1e-5
) -> float:
    """The imported file on the runtime's signal path asks for the joint targets that the other framework would ask for;
    returns how far those went from home, rad."""
    policy = OnnxPolicy(file, spec)
    sim, path = Simulation(spec, 1, seed=2, threads=1), SignalPath(spec, policy.layout, heading_hold=False)
    first = sim.frame()
    path.reset(first)
    order = [spec.joint_names.index(name.removesuffix("_joint")) for name in task.joints]
    last_action = (first.joint_position[0, order] - task.offset) / task.scale
    far = 0.0
    for tick in range(ticks):
        frame = sim.frame()
        action = policy(path.observe(frame, COMMAND[None]).observation)
        last_action, wanted = task.act(task.observe(state_of(frame, task, spec, last_action)))
        target = spec.default_joint_pos + spec.action_scale * np.clip(
            action[0], -spec.action_clip, spec.action_clip
        )
        here = {name.removesuffix("_joint"): value for name, value in wanted.items()}
        there = np.array(
            [here.get(name, spec.default_joint_pos[i]) for i, name in enumerate(spec.joint_names)]
        )
        np.testing.assert_allclose(target, there, atol=atol, err_msg=f"tick {tick}")
        far = max(far, float(np.abs(target - spec.default_joint_pos).max()))
        sim.step(path.act(action))
    return far


def mjlab_task(spec: RobotSpec) -> Elsewhere:
    """Right leg first, another default pose, every term of the velocity task that can be exact."""
    joints = [*spec.joint_names[5:], *spec.joint_names[:5]]
    default = np.array([spec.default_joint_pos[spec.joint_names.index(name)] for name in joints]) + 0.05
    return Elsewhere(
        joints,
        default.round(3),
        np.linspace(0.2, 0.6, 9).round(3),
        [
            Term("base_ang_vel", lambda s: s.angular_velocity, scale=0.25),
            Term("projected_gravity", lambda s: s.gravity, history=3),
            Term("joint_pos", lambda s: s.position - default.round(3), history=2),
            Term("joint_vel", lambda s: s.velocity, scale=0.05, clip=(-0.5, 0.5), history=4),
            Term("actions", lambda s: s.last_action, history=2),
            Term("command", lambda s: s.command, scale=[2.0, 2.0, 0.25]),
        ],
    )


def isaac_task(spec: RobotSpec) -> Elsewhere:
    """Breadth-first, names with a suffix, absolute joint positions, targets cut."""
    joints = [f"{name}_joint" for name in breadth_first(spec)]
    home = np.array([spec.default_joint_pos[spec.joint_names.index(name)] for name in breadth_first(spec)])
    return Elsewhere(
        joints,
        home + 0.02,
        np.full(9, 0.25),
        [
            Term("generated_commands", lambda s: s.command),
            Term("base_ang_vel", lambda s: s.angular_velocity, scale=0.2),
            Term("joint_pos", lambda s: s.position, history=5),
            Term("joint_vel_rel", lambda s: s.velocity, scale=0.05),
            Term("projected_gravity", lambda s: s.gravity),
            Term("last_action", lambda s: s.last_action),
        ],
        offset=home - 0.03,
        gain=6.0,
    )


def io_descriptors(task: Elsewhere, spec: RobotSpec) -> dict[str, Any]:
    """Isaac Lab's IO_descriptors.yaml, as far as anything in it is read."""
    n = len(task.joints)
    return {
        "actions": [
            {
                "action_type": "JointAction",
                "clip": task.target_clip,
                "full_path": "isaaclab.envs.mdp.actions.joint_actions.JointPositionAction",
                "joint_names": list(task.joints),
                "name": "joint_position_action",
                "offset": [float(x) for x in task.offset],
                "scale": float(task.scale[0]),
                "shape": [n],
            }
        ],
        "articulations": {
            "robot": {
                "default_joint_damping": [0.85] * n,
                "default_joint_pos": [float(x) for x in task.default],
                "default_joint_stiffness": [18.9] * n,
                "joint_names": list(task.joints),
            }
        },
        "observations": {
            "policy": [
                {
                    "name": term.name,
                    "full_path": f"isaaclab.envs.mdp.observations.{term.name}",
                    "extras": {"modifiers": None},
                    "overloads": {
                        "clip": None, "flatten_history_dim": True, "history_length": term.history,
                        "scale": None if term.scale == 1.0 else term.scale,
                    },
                    **({"joint_names": list(task.joints)} if term.name.startswith("joint") else {}),
                }
                for term in task.terms
            ]
        },
        "scene": {"decimation": 4, "dt": 0.02, "physics_dt": 0.005},
    }  # fmt: skip


# ---------------------------------------------------------------------- the same joint targets


def test_a_policy_of_mjlab_s_kind_does_here_what_it_does_there(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    assert result.difference_rad < 1e-5
    assert check_on_a_rollout(task, result.policy, spec) > 0.1
    contract = OnnxPolicy(result.policy, spec).contract
    assert contract["training"]["imported"]["run_path"] == "lab/walk/abc123"
    assert contract["training"]["imported"]["warnings"] == list(result.warnings)


def test_a_policy_of_isaac_lab_s_kind_does_here_what_it_does_there(spec: RobotSpec, tmp_path: Path) -> None:
    task = isaac_task(spec)
    source = export_onnx(task, tmp_path / "policy.onnx", opset=11)
    described_by = tmp_path / "IO_descriptors.yaml"
    described_by.write_text(yaml.safe_dump(io_descriptors(task, spec)))
    assert list(task.joints) != [f"{name}_joint" for name in spec.joint_names]
    result = import_policy(source, spec, tmp_path / "here.onnx", (described_by,), threads=1)
    assert check_on_a_rollout(task, result.policy, spec) > 0.1


def frame_of(tick: int, there: Any, spec: RobotSpec) -> SensorFrame:
    """What the robot's sensors would have measured at a tick of mjlab's: IMU on the torso, which the waist turns."""
    order = [list(there["joint_names"]).index(name) for name in spec.joint_names]
    position, velocity = (there[name][tick, order].astype(float) for name in ("joint_pos", "joint_vel"))
    w, x, y, z = there["quaternion"][tick].astype(float)
    waist = spec.joint_names.index("waist_yaw")
    half, angle = position[waist] / 2.0, position[waist]
    c, s = np.cos(half), np.sin(half)
    p, q, r = there["angular_velocity"][tick].astype(float)
    return SensorFrame.measured(
        np.array([tick * spec.control_dt]),
        joint_position=position[None],
        joint_velocity=velocity[None],
        imu_quaternion=np.array([[w * c - z * s, x * c + y * s, y * c - x * s, w * s + z * c]]),
        imu_angular_velocity=np.array(
            [
                [
                    np.cos(angle) * p + np.sin(angle) * q,
                    np.cos(angle) * q - np.sin(angle) * p,
                    r + velocity[waist],
                ]
            ]
        ),
        imu_acceleration=np.array([[0.0, 0.0, 9.81]]),
        foot_contact=np.ones((1, 4)),
    )


def test_a_policy_that_mjlab_itself_exported_and_ran_asks_here_for_the_joint_targets_of_there(
    spec: RobotSpec, tmp_path: Path
) -> None:
    """tests/data/mjlab/record.py made the file and the ticks, with another joint order than this robot's."""
    there = np.load(MJLAB / "walk.npz")
    assert list(there["joint_names"]) != list(spec.joint_names)
    result = import_policy(MJLAB / "walk.onnx", spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    policy = OnnxPolicy(result.policy, spec)
    path = SignalPath(spec, policy.layout, heading_hold=False)
    order = [list(there["joint_names"]).index(name) for name in spec.joint_names]
    path.reset(frame_of(0, there, spec))
    default = there["target"][0] - there["action"][0] * mjlab_scale(there)
    # there the last action begins with zeros
    path.previous_action = ((default[order] - spec.default_joint_pos) / spec.action_scale)[None]
    for tick, (command, wanted) in enumerate(zip(there["command"], there["target"], strict=True)):
        action = policy(path.observe(frame_of(tick, there, spec), command[None, [0, 2]]).observation)
        target = spec.default_joint_pos + spec.action_scale * action[0]
        np.testing.assert_allclose(target, wanted[order], atol=1e-5, err_msg=f"tick {tick}")
        path.act(action)
    assert np.ptp(there["target"], axis=0).min() > 0.02  # or nothing was proved


def mjlab_scale(there: Any) -> Any:
    """The task's action scales, by joint."""
    return np.array([0.15 if "waist" in n else 0.35 if "pitch" in n else 0.2 for n in there["joint_names"]])


def test_a_wrong_joint_order_is_seen_by_the_rollout(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    swapped = list(task.joints)
    swapped[0], swapped[5] = swapped[5], swapped[0]  # the hips: the same pose at home
    metadata = mjlab_metadata(task, spec, joint_names=swapped)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), metadata)
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    with pytest.raises(AssertionError):
        check_on_a_rollout(task, result.policy, spec)


def test_a_network_without_a_word_about_itself_is_described_by_a_small_file(
    spec: RobotSpec, tmp_path: Path
) -> None:
    """The torso's gyroscope, a clipped action, and a waist that the policy does not know."""
    joints = [name for name in reversed(spec.joint_names) if name != "waist_yaw"]
    home = np.array([spec.default_joint_pos[spec.joint_names.index(name)] for name in joints])
    terms = [
        Term("gyro", lambda s: s.gyro, scale=0.25, history=2),
        Term("gravity", lambda s: s.gravity),
        Term("angles", lambda s: s.position - home),
        Term("dof_vel", lambda s: s.velocity, scale=0.05, clip=(-1.0, 1.0)),
        Term("velocity_commands", lambda s: s.command),
    ]
    task = Elsewhere(joints, home, np.full(8, 0.3), terms, gain=8.0)
    cut, scale = 0.5, task.scale
    real = task.module.forward
    source = export_onnx(task, tmp_path / "bare.onnx")
    task.module.forward = lambda x: torch.clamp(real(x), -cut, cut)  # as the environment's wrapper does
    description = {
        "control_hz": 50,
        "joint_names": [f"{name}_link" for name in joints],
        "rename": {f"{name}_link": name for name in joints},
        "default_joint_pos": home.tolist(),
        "action_scale": float(scale[0]),
        "action_clip": cut,
        "observations": [
            {"term": "gyro", "means": "base_ang_vel", "frame": "torso", "scale": 0.25, "history": 2},
            {"term": "gravity"},
            {"term": "angles", "means": "joint_pos", "relative": True},
            {"term": "dof_vel", "scale": 0.05, "clip": [-1.0, 1.0]},
            {"term": "velocity_commands"},
        ],
    }
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(description))
    result = import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "policy.yaml",), threads=1)
    assert check_on_a_rollout(task, result.policy, spec) == pytest.approx(cut * scale[0])  # it was cut
    assert any("does not move waist_yaw" in text for text in result.warnings)


def test_targets_that_are_cut_there_are_cut_here(spec: RobotSpec, tmp_path: Path) -> None:
    task = isaac_task(spec)
    task.terms = task.terms[:5]  # the last action is known after the cut only
    task.target_clip = [[float(o) - 0.06, float(o) + 0.2] for o in task.offset]
    task.__post_init__()
    source = export_onnx(task, tmp_path / "policy.onnx", opset=11)
    (tmp_path / "IO.yaml").write_text(yaml.safe_dump(io_descriptors(task, spec)))
    result = import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "IO.yaml",), threads=1)
    check_on_a_rollout(task, result.policy, spec)
    assert not any("target_clip" in text for text in result.warnings)
    whole = isaac_task(spec)
    whole.target_clip = task.target_clip
    export_onnx(whole, source, opset=11)
    (tmp_path / "IO.yaml").write_text(yaml.safe_dump(io_descriptors(whole, spec)))
    result = import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "IO.yaml",), threads=1)
    assert any("target_clip" in text and "last_action" in text for text in result.warnings)


def test_a_linear_velocity_is_the_estimate_in_the_pelvis_s_axes_and_a_warning_says_so(
    spec: RobotSpec, tmp_path: Path
) -> None:
    task = mjlab_task(spec)
    task.terms = [Term("base_lin_vel", lambda s: np.zeros(3), scale=2.0)]
    task.__post_init__()
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    assert any(text.startswith("base_lin_vel: not measured here but estimated") for text in result.warnings)
    policy = OnnxPolicy(result.policy, spec)
    assert [term.name for term in policy.layout] == ["pelvis_linear_velocity"]
    velocity = np.array([[0.3, -0.1, 0.02]], dtype=np.float32)
    _, wanted = task.act(2.0 * velocity[0])
    here = spec.default_joint_pos + spec.action_scale * policy(velocity)[0]
    np.testing.assert_allclose(here, [wanted[name] for name in spec.joint_names], atol=1e-5)


def test_runtime_replay_and_evaluation_take_the_file(
    spec: RobotSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = mjlab_task(spec)
    task.module.gain = 0.05
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    out = tmp_path / "here.onnx"
    assert cli.main([str(source), "--control-hz", "50", "--out", str(out), "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert "reads:  base_ang_vel x 1, projected_gravity x 3, joint_pos x 2" in text
    assert "default pose: " in text
    log = tmp_path / "stand.lcmlog"
    assert (
        run.main([str(out), "--robot", "sim", "--duration", "2", "--no-lcm", "--fast", "--log", str(log)])
        == 0
    )
    again = replay(log)
    assert again.difference is None
    assert again.count > 50
    config = EvalConfig(out, speeds=(0.0,), episodes=EpisodeConfig(episodes=2, duration_s=2.0, threads=1))
    figures = evaluate(spec, config)
    assert figures["network_sha256"] == OnnxPolicy(out, spec).contract["network_sha256"]


def test_weights_in_a_file_beside_it_come_into_the_policy_file(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    model = onnx.load(str(source))
    onnx.save(model, str(source), save_as_external_data=True, location="there.onnx.data", size_threshold=0)
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    (tmp_path / "there.onnx.data").unlink()
    check_on_a_rollout(task, result.policy, spec, ticks=3)
    with pytest.raises(UserError, match=r"cannot be read as ONNX.*\.data file"):
        import_policy(source, spec, tmp_path / "again.onnx", control_hz=50.0, threads=1)


# ---------------------------------------------------------------------- what cannot be built


def test_everything_in_the_way_is_named_at_once_and_nothing_is_written(
    spec: RobotSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = mjlab_task(spec)
    task.terms += [Term("height_scan", lambda s: np.zeros(187)), Term("wheel_slip", lambda s: np.zeros(2))]
    task.__post_init__()
    metadata = mjlab_metadata(task, spec)
    metadata["joint_names"] = metadata["joint_names"].replace("waist_yaw", "waist_roll")
    source = attach(export_onnx(task, tmp_path / "there.onnx"), metadata)
    before = sorted(tmp_path.iterdir())
    assert run_main(cli.main, [str(source), "--out", str(tmp_path / "here.onnx")]) == 2
    text = capsys.readouterr().err
    assert "2 things stand in the way" in text  # the joints' names first: without them no term can be built
    assert "control_hz: neither the file nor a description says it; this robot runs at 50 Hz" in text
    assert "wildrobot has no joint 'waist_roll' (waist_yaw?)" in text
    (tmp_path / "names.yaml").write_text("rename: {waist_roll: waist_yaw}\n")
    arguments = [
        str(source),
        "--description",
        str(tmp_path / "names.yaml"),
        "--out",
        str(tmp_path / "here.onnx"),
    ]
    assert run_main(cli.main, arguments) == 2
    text = capsys.readouterr().err
    assert "3 things stand in the way" in text
    assert "height_scan: no sensor of this robot sees the ground" in text
    assert "wheel_slip: unknown here; if it is one of base_lin_vel, base_ang_vel" in text
    assert "Nothing was written" in text
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "names.yaml"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation_names": "base_ang_vel"}, "observation_terms_scale: 6 entries for 1 observation terms"),
        ({"action_scale": "0.5,0.5"}, "action_scale: 2 values for 9 joints"),
        ({"action_scale": "0.000"}, "holds a 0, with which a joint is not moved"),
        ({"action_scale": "a,b"}, "action_scale: 'a,b' of the metadata is no list of numbers"),
        ({"default_joint_pos": ",".join(["nan"] * 9)}, "are not all numbers"),
        ({"default_joint_pos": ",".join(["1.0"] * 9)}, "default pose: outside the joint limits of waist_yaw"),
        ({"command_names": "motion"}, "the policy follows a recorded motion"),
        ({"joint_names": ""}, "Isaac Sim breadth-first, which is likely waist_yaw, left_hip_pitch, right_hip_pitch"),
        ({"joint_names": ",".join(["waist_yaw"] * 9)}, "name a joint twice"),
        ({"observation_terms_history_length": csv([0, 3, 2, 4, 2, 1, 1])}, "7 entries for 6 observation terms"),
        ({"observation_terms_history_length": csv([0, 3, 2, 4, 1, 0])}, "takes 87 values, its terms have 78"),
        ({"observation_terms_flatten_history_dim": csv([True, False] * 3)}, "its history is a dimension of its own"),
        ({"observation_terms_scale": csv([0.25, 1.0, 1.0, 0.05, 1.0, [2.0, 2.0]])}, "command: 2 scales for 3 values"),
        ({"observation_terms_scale": csv([0.25, 0.0, 1.0, 0.05, 1.0, 1.0])}, "projected_gravity: its scale is 0.0"),
        ({"observation_terms_scale": ""}, "joint_vel: its scale is said nowhere"),
        ({"observation_terms_history_length": ""}, "joint_vel: its history length is said nowhere"),
        ({"observation_names": csv(["phase", "a", "b", "c", "d", "e"])}, "say `means: gait_clock`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_metadata_that_make_no_sense_are_refused_by_name(
    spec: RobotSpec, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec, **changes))
    with pytest.raises(UserError) as error:
        import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    assert message in str(error.value)
    assert not (tmp_path / "here.onnx").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("controll_hz: 50\n", "unknown key 'controll_hz'"),
        (
            "observations: [{term: joint_acc}]\n",
            "describes joint_acc, but the policy's terms are base_ang_vel",
        ),
        (
            "observations: [{term: joint_pos, joints: [left_knee_pitch, nose]}]\n",
            "joint_pos: nose are not among",
        ),
        ("observations: [{term: projected_gravity, frame: torso}]\n", "only the torso's angular velocity"),
        ("observations: [{term: joint_pos, history: 0}]\n", "joint_pos: its history is 0"),
        (
            "observations: [{term: joint_pos, clip: [1, -1]}]\n",
            "joint_pos: its clip is [1.0, -1.0], expected the lower",
        ),
        (
            "target_clip: [[1, -1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]\n",
            "the lower number",
        ),
        ("action_clip: -1\n", "action_clip: -1.0, expected a number above 0"),
        ("target_clip: [[-1, 1]]\n", "target_clip: 1 ranges for 9 joints"),
        ("control_hz: 60\n", "made for 60 Hz, this robot runs at 50 Hz"),
        ("joint_names: [a\n", "is not valid YAML"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused_by_name(
    spec: RobotSpec, tmp_path: Path, text: str, message: str
) -> None:
    task = mjlab_task(spec)
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "policy.yaml",), threads=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["actions"][0].update(full_path="x.JointVelocityAction"),
            "here an action is one JointPositionAction",
        ),
        (lambda d: d["actions"].append(d["actions"][0]), "JointPositionAction, JointPositionAction; here"),
        (
            lambda d: d["observations"]["policy"][1]["extras"].update(modifiers=["bias"]),
            "goes through modifiers",
        ),
        (lambda d: d["scene"].pop("dt"), "looks like Isaac Lab's IO descriptors, but cannot be read"),
        (lambda d: d["scene"].update(dt=0.005), "made for 200 Hz"),
        (
            lambda d: d["observations"]["policy"][2]["overloads"].update(flatten_history_dim=False),
            "flatten it",
        ),
    ],
)
def test_io_descriptors_that_cannot_be_built_are_refused_by_name(
    spec: RobotSpec, tmp_path: Path, change: Any, message: str
) -> None:
    task = isaac_task(spec)
    source, data = export_onnx(task, tmp_path / "policy.onnx"), io_descriptors(task, spec)
    change(data)
    (tmp_path / "IO.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match=message):
        import_policy(source, spec, tmp_path / "here.onnx", (tmp_path / "IO.yaml",), threads=1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, obs: Any, h_in: Any) -> Any:
        h = torch.tanh(self.linear(obs) + h_in)
        return h, h


class OneAtATime(nn.Module):
    """Its graph holds the batch size that it was exported with."""

    def forward(self, obs: Any) -> Any:
        return torch.reshape(obs[:, :9] + 0.0, (1, 9))


class TwoAnswers(nn.Module):
    def forward(self, obs: Any) -> Any:
        return obs[:, :9] + 0.0, obs[:, :1] * 2.0


def test_networks_of_another_form_are_refused(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    metadata = mjlab_metadata(task, spec)
    source = tmp_path / "there.onnx"

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
        assert not (tmp_path / "here.onnx").exists()

    refused("there is no")
    source.write_bytes(b"no network")
    refused("cannot be read as ONNX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = {"input_names": ["obs", "h_in"], "output_names": ["actions", "h_out"]}
        torch.onnx.export(
            Recurrent(), (torch.zeros(1, 4), torch.zeros(1, 2)), str(source), dynamo=False, **ends
        )
        attach(source, metadata)
        refused("a memory of its own from tick to tick takes obs, h_in")
        task.module.double()
        torch.onnx.export(
            task.module, (torch.zeros(1, 87).double(),), str(source), dynamo=False,
            input_names=["obs"], output_names=["actions"],
        )  # fmt: skip
        attach(source, metadata)
        refused("obs: DOUBLE values; export the network in float32")
        torch.onnx.export(
            OneAtATime(), (torch.zeros(1, 87),), str(source), dynamo=False,
            input_names=["obs"], output_names=["actions"],
        )  # fmt: skip
        attach(source, metadata)
        refused("cannot be run on 5 observations at once")
        for module, message in (
            (nn.Linear(87, 12), r"answers with shape \(1, 12\), expected \(1, 9\)"),
            (nn.Linear(50, 9), "obs: ONNX Runtime cannot run it on 87 values"),
            (TwoAnswers(), "mean, value; which one is the action"),
        ):
            size = getattr(module, "in_features", 87)
            names = ["mean", "value"] if isinstance(module, TwoAnswers) else ["actions"]
            torch.onnx.export(
                module, (torch.zeros(1, size),), str(source), dynamo=False, input_names=["obs"], output_names=names,
                dynamic_axes={name: {0: "batch", 1: f"size_{name}"} for name in ("obs", *names)},
            )  # fmt: skip
            attach(source, metadata)
            refused(message)
    attach(export_onnx(mjlab_task(spec), source), metadata)
    import_policy(source, spec, tmp_path / "done.onnx", control_hz=50.0, threads=1)
    source = tmp_path / "done.onnx"
    refused("is a policy file already")


# ---------------------------------------------------------------------- what a person is told


def test_other_gains_another_pose_and_coarse_scales_are_told(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    changes = {"joint_stiffness": [40.0] * 9, "joint_damping": [0.85] * 9}
    metadata = mjlab_metadata(task, spec, **changes)
    metadata["observation_terms_scale"] = metadata["observation_terms_scale"].replace("0.050", "0.013")
    source = attach(export_onnx(task, tmp_path / "there.onnx"), metadata)
    result = import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1)
    told = "\n".join(result.warnings)
    assert "joint_stiffness: trained with right_hip_pitch 40 (here 18.9)" in told
    assert "joint_damping" not in told
    assert "default pose: waist_yaw 0.05 (here 0)" in told
    assert "0.013 is rounded to three decimals, 4% of it at worst" in told
    assert "base_ang_vel: taken as the pelvis's" in told
    assert "joint_pos is taken as mjlab's term" in told


def test_the_target_s_limits_are_counted_on_the_rollouts(spec: RobotSpec, tmp_path: Path) -> None:
    task = mjlab_task(spec)
    task.module.gain = 60.0
    source = attach(export_onnx(task, tmp_path / "there.onnx"), mjlab_metadata(task, spec))
    told = "\n".join(import_policy(source, spec, tmp_path / "here.onnx", control_hz=50.0, threads=1).warnings)
    assert "action_clip cut " in told
    assert "the target's rate limit cut " in told


def test_joints_are_counted_as_mujoco_does_and_as_isaac_sim_does(spec: RobotSpec) -> None:
    model = Simulation(spec, 1, threads=1).model
    assert depth_first(spec) == [model.joint(i).name for i in range(1, model.njnt)]
    assert breadth_first(spec) == [
        "waist_yaw", "left_hip_pitch", "right_hip_pitch", "left_hip_roll", "right_hip_roll",
        "left_knee_pitch", "right_knee_pitch", "left_ankle_pitch", "right_ankle_pitch",
    ]  # fmt: skip


def test_older_metadata_print_lists_as_python_does() -> None:
    found = ImportFindings()
    policy = described(
        {
            "observation_names": "base_ang_vel,command",
            "observation_terms_scale": "0.25,[2.0, 2.0, 0.25]",
            "observation_terms_clip": "[-inf, inf],[-1.0, 1.0]",
        },
        (),
        found,
    )
    assert found.problems == ["observation_terms_scale: 1 entries for 2 observation terms"]
    assert [term.clip for term in policy.observations] == [(-np.inf, np.inf), (-1.0, 1.0)]


def test_the_page_has_the_keys_and_the_terms_that_there_are() -> None:
    page = (Path(__file__).parents[1] / "docs" / "import.md").read_text()
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    read_description(example, Path("docs/import.md"))
    assert set(example) == {item.name for item in dataclasses.fields(ForeignPolicy)}
    told = {key for term in example["observations"] for key in term}
    assert told == {item.name for item in dataclasses.fields(ForeignTerm)}
    table = page.partition("## Terms")[2].partition("Refused")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `"): tuple(re.findall(r"`(\w+)`", row[2])) for row in rows} == KINDS
