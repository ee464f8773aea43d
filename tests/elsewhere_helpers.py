"""mjlab and Isaac Lab in a few lines: their observation terms, their networks, the metadata of their exporters."""

from __future__ import annotations

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
from torch import nn

from wildrobot.export import onnx_export
from wildrobot.export.elsewhere.joints import breadth_first
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.policy import OnnxPolicy
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.simulation.simulation import Simulation

COMMAND = np.array([0.3, 0.2])


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


def mjlab_scale(there: Any) -> Any:
    """The task's action scales, by joint."""
    return np.array([0.15 if "waist" in n else 0.35 if "pitch" in n else 0.2 for n in there["joint_names"]])


def shorten_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five robots are enough here; the command takes fifty."""
    monkeypatch.setattr(onnx_export, "ROLLOUT_ENVS", 5)
    monkeypatch.setattr(onnx_export, "ROLLOUT_SAMPLES", 6)
