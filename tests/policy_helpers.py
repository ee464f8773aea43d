"""A small training run and its exported policy, for the tests that need one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import torch

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.contract import METADATA_KEY
from wildrobot.signal_path.observation import default_layout, layout_to_dicts
from wildrobot.training.rl.checkpoint import save_checkpoint
from wildrobot.training.rl.networks import Discriminator, Norm, SymmetricActor

FRAMES = 2


def make_networks(spec: RobotSpec, norm: Norm = "layer") -> tuple[SymmetricActor, Discriminator]:
    """Networks as a training could leave them: no statistic and no weight is zero or one."""
    torch.manual_seed(7)
    layout = default_layout(spec)
    actor = SymmetricActor(spec, layout, (32, 16))
    discriminator = Discriminator(FRAMES * 29, (24, 12), norm)
    with torch.no_grad():
        for network in (actor, discriminator):
            network.normalizer.update(0.5 * torch.randn(500, len(network.normalizer.mean)) + 0.2)
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return actor, discriminator


def make_run(folder: Path, spec: RobotSpec, norm: Norm = "layer", **changes: Any) -> Path:
    """A run folder with a checkpoint, as training leaves it; `changes` replace entries, None removes them."""
    actor, discriminator = make_networks(spec, norm)
    config = {
        "preset": "quick",
        "seed": 5,
        "hidden": [32, 16],
        "robot": None,
        "amp": {"frames": FRAMES, "hidden": [24, 12], "norm": norm, "reward": "clip"},
    }
    state = {
        "iteration": 12,
        "steps": 3456,
        "config": json.dumps(config),
        "robot_hash": spec.robot_hash,
        "layout": layout_to_dicts(default_layout(spec)),
        "actor": actor.state_dict(),
        "discriminator": discriminator.state_dict(),
        **changes,
    }
    save_checkpoint(
        folder / "checkpoint.pt", {key: value for key, value in state.items() if value is not None}
    )
    (folder / "environment.json").write_text(json.dumps({"commit": "c0ffee", "python": "3.11"}))
    return folder


def rewrite_contract(source: Path, target: Path, change: Any) -> Path:
    """A copy of an exported file whose contract went through `change(contract)`."""
    model = onnx.load(str(source))
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            contract = json.loads(entry.value)
            change(contract)
            entry.value = json.dumps(contract)
    onnx.save(model, str(target))
    return target
