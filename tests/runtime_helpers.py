"""Small stand-ins shared by the runtime's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wildrobot.cli.run import run
from wildrobot.core.files import file_sha256
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.runtime.control import session
from wildrobot.runtime.control.skills import Skill
from wildrobot.runtime.logs.eventlog import Event, LogWriter
from wildrobot.runtime.logs.robots import read_log
from wildrobot.runtime.robots.base import Health
from wildrobot.runtime.telemetry.lcm_types import CHANNEL_TYPES
from wildrobot.signal_path.observation import default_layout, layout_size, layout_to_dicts
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.sensor_frame import SensorFrame

SPEC = load_robot()


def frame_at(
    time_s: float = 0.0, position: Any = None, quaternion: Any = None, jitter: int = 0
) -> SensorFrame:
    """A valid frame (1, ...) of the robot at rest; `jitter` makes the IMU's sample another one."""
    n = SPEC.num_joints
    q = SPEC.default_joint_pos if position is None else np.asarray(position, dtype=float)
    return SensorFrame(
        time_s=np.array([time_s]),
        joint_position=q[None].copy(),
        joint_velocity=np.zeros((1, n)),
        joint_time_s=np.full((1, n), time_s),
        joint_valid=np.ones((1, n), dtype=bool),
        imu_quaternion=np.array([SPEC.imu_mount if quaternion is None else quaternion], dtype=float),
        imu_angular_velocity=np.array([[1e-6 * jitter, 0.0, 0.0]]),
        imu_acceleration=np.array([[0.0, 0.0, 9.81]]),
        imu_time_s=np.array([time_s]),
        imu_valid=np.ones(1, dtype=bool),
        foot_contact=np.ones((1, 4)),
        foot_time_s=np.array([time_s]),
        foot_valid=np.ones(1, dtype=bool),
    )


def no_health() -> Health:
    """A robot that reports nothing beside motion."""
    unknown = np.full(SPEC.num_joints, np.nan)
    return Health(unknown, unknown, unknown)


@dataclass(frozen=True)
class Written:
    """What a robot was given on one tick."""

    stiffness: float
    target: Any


class WrittenRobot:
    """Remembers what it is given; it has no sensors."""

    lockstep = False

    def __init__(self) -> None:
        self.written: list[Written] = []
        self.closed = 0
        self._stiffness = 0.0

    def read(self) -> SensorFrame:
        raise NotImplementedError

    def health(self) -> Health:
        return no_health()

    def truth(self) -> None: ...

    def set_stiffness(self, stiffness: float) -> None:
        self._stiffness = stiffness

    def write(self, joint_target: Any) -> None:
        self.written.append(Written(self._stiffness, np.array(joint_target)))

    def close(self) -> None:
        self.closed += 1


class SmallPolicy:
    """Stands, with small answers that depend on every value of the observation."""

    def __init__(self, spec: RobotSpec, gain: float = 0.002, after: Any = None) -> None:
        layout = default_layout(spec)
        self.layout = layout
        self.contract = {"observation": layout_to_dicts(layout)}
        random = np.random.default_rng(0)
        self.weights = random.normal(0.0, gain, (layout_size(layout), spec.num_joints)).astype(np.float32)
        self._calls = 0
        self._after = after or {}

    def __call__(self, observation: Any) -> Any:
        self._calls += 1
        action = observation @ self.weights
        if self._calls in self._after:
            action = np.full_like(action, self._after[self._calls])
        return action


def small_skill(spec: RobotSpec, file: Path, policy: SmallPolicy | None = None) -> Skill:
    """`SmallPolicy` as the runtime has it."""
    policy = policy or SmallPolicy(spec)
    return Skill(file, file_sha256(file) if file.is_file() else "", policy, SignalPath(spec, policy.layout))


def use_small_policy(monkeypatch: pytest.MonkeyPatch, policy: SmallPolicy | None = None) -> None:
    """Whatever file `wildrobot-run` is given, it runs `SmallPolicy`."""
    monkeypatch.setattr(
        session,
        "load_skills",
        lambda spec, config: [small_skill(spec, file, policy) for file in config.policies],
    )


def run_small_policy(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *flags: str,
    policy: SmallPolicy | None = None,
    lcm: bool = False,
    fast: bool = True,
) -> int:
    """`wildrobot-run` in simulation with `SmallPolicy`; returns the exit code."""
    file = folder / "policy.onnx"
    file.write_bytes(b"small policy")
    use_small_policy(monkeypatch, policy)
    switches = [flag for flag, on in (("--no-lcm", not lcm), ("--fast", fast)) if on]
    return run.main([str(file), "--robot", "sim", *switches, *flags])


def write_small_onnx(path: Path, gain: float = 0.002) -> Path:
    """`SmallPolicy` as a real policy file, with the robot's contract and golden vectors."""
    import json

    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from wildrobot.signal_path.contract import METADATA_KEY, robot_contract

    small = SmallPolicy(SPEC, gain)
    size, n = small.weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "weights"], ["actions"])],
        "small_policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", size])],
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["batch", n])],
        [numpy_helper.from_array(small.weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    golden = np.random.default_rng(1).normal(size=(4, size)).astype(np.float32)
    answers = {"obs": golden.tolist(), "actions": (golden @ small.weights).tolist()}
    contract = robot_contract(SPEC, default_layout(SPEC)) | {"golden": answers}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(contract)})
    onnx.save(model, str(path))
    return path


def rewrite(source: Path, target: Path, change: Callable[[str, Any], Any]) -> Path:
    """Copy a log; `change(channel, message)` alters a message in place, or returns False to leave it out."""
    writer = LogWriter(target)
    for event in read_log(source):
        message = CHANNEL_TYPES[event.channel].decode(event.data)
        if change(event.channel, message) is not False:
            writer.write([Event(event.timestamp_us, event.channel, message.encode())])
    writer.close()
    return target
