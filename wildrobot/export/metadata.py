"""Metadata of an exported policy: comma strings for other tools and the JSON contract in full precision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildrobot.core.files import read_json_object
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.command import COMMAND_NAMES
from wildrobot.signal_path.contract import METADATA_KEY
from wildrobot.signal_path.observation import Layout

GOLDEN_VECTORS = 8


def comma_strings(spec: RobotSpec, layout: Layout, run_path: str) -> dict[str, str]:
    """The keys that deployment tools of robot-learning frameworks look for, rounded."""

    def joined(values: Iterable[Any]) -> str:
        return ",".join(value if isinstance(value, str) else f"{value:.6g}" for value in values)

    return {
        "run_path": run_path,
        "joint_names": joined(spec.joint_names),
        "joint_stiffness": joined(spec.joint_stiffness),
        "joint_damping": joined(spec.joint_damping),
        "default_joint_pos": joined(spec.default_joint_pos),
        "action_scale": joined(spec.action_scale),
        "observation_names": joined(term.name for term in layout),
        "command_names": joined(COMMAND_NAMES),
    }


def golden_vectors(
    inputs: Any, answers: Any, names: tuple[str, str], count: int = GOLDEN_VECTORS
) -> dict[str, Any]:
    """`count` pairs, evenly spread over inputs (k, D) and answers (k, ...), exact in JSON."""
    rows = np.unique(np.linspace(0, len(inputs) - 1, count).astype(int))
    # float32 to float64 loses nothing, and JSON keeps every digit of a float64
    pairs = zip(names, (inputs, answers), strict=True)
    return {name: np.asarray(values)[rows].astype(np.float64).tolist() for name, values in pairs}


def network_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hex) over the names and values of a network's parameters: the same policy has the same one."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(state[name].detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def training_provenance(
    run: Path, checkpoint: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Where the network comes from, without places on that machine; what the run does not say is None."""
    environment = read_json_object(run / "environment.json") or {}
    return {
        "commit": environment.get("commit") or None,
        "preset": config.get("preset"),
        "seed": config.get("seed"),
        "steps": checkpoint.get("steps"),
        "iteration": checkpoint.get("iteration"),
        "packages": environment.get("packages"),
        "config": {
            key: value for key, value in config.items() if key not in ("run_dir", "reference", "robot")
        },
    }


def add_metadata(model: Any, contract: Mapping[str, Any], strings: Mapping[str, str]) -> None:
    """Put the contract and the comma strings into an ONNX model, replacing what metadata it has.

    Raises:
        ValueError: the contract holds NaN or infinity, which JSON has no word for.
    """
    del model.metadata_props[:]
    block = json.dumps(contract, allow_nan=False)
    for key, value in {**strings, METADATA_KEY: block}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
