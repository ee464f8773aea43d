"""A run's policy, and its discriminator beside it, as files that say what they read, answer and are for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import torch

from wildrobot.core.errors import UserError
from wildrobot.core.files import atomic_write
from wildrobot.export.figures import evaluation_of
from wildrobot.export.metadata import (
    add_metadata,
    comma_strings,
    golden_vectors,
    network_sha256,
    training_provenance,
)
from wildrobot.export.onnx_export import compare, load_networks, rollout, to_onnx
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.signal_path.contract import robot_contract, style_contract
from wildrobot.signal_path.observation import layout_from_dicts
from wildrobot.signal_path.policy import OnnxPolicy, OnnxStyle
from wildrobot.training.evaluation.best import BEST_FILE
from wildrobot.training.rl.checkpoint import load_checkpoint

POLICY_NAMES = (OnnxPolicy.input_name, OnnxPolicy.output_name)
STYLE_NAMES = (OnnxStyle.input_name, OnnxStyle.output_name)
STYLE_FILE = "style.onnx"


@dataclass(frozen=True)
class Exported:
    """What was written, and the largest difference to torch of each network."""

    policy: Path
    style: Path | None
    policy_difference: float
    style_difference: float | None
    notes: tuple[str, ...]


def export(
    run: Path,
    output: Path | None = None,
    robot: Path | None = None,
    seed: int = 0,
    threads: int = 0,
    which: Literal["best", "last"] = "best",
) -> Exported:
    """Export RUN's best (or last) checkpoint to `output` (default RUN/policy.onnx) and style.onnx beside it.

    `seed` is that of the rollouts on which the files are compared with torch, `threads` the number for them and for
    torch (0: all CPUs). Both files appear whole, after everything was checked, or not at all.

    Raises:
        UserError: no or a broken checkpoint, another robot description than it was trained with, a difference
            between torch and ONNX Runtime above the tolerance, or a place that cannot be written to.
    """
    if threads:
        torch.set_num_threads(threads)
    best = run / BEST_FILE
    checkpoint = load_checkpoint(best if which == "best" and best.exists() else run / "checkpoint.pt")
    config = _config_of(checkpoint, run)
    spec = load_robot(robot or config.get("robot"))
    _same_robot(checkpoint, spec, run)
    layout = layout_from_dicts(checkpoint["layout"])
    actor, discriminator = load_networks(spec, layout, checkpoint, config)
    frames = int(config["amp"]["frames"]) if discriminator is not None else 1
    observations, windows = rollout(spec, layout, actor, frames, seed, threads)
    provenance = training_provenance(run, checkpoint, config)
    network = network_sha256(actor.state_dict())
    output = output or run / "policy.onnx"
    evaluation, notes = evaluation_of(run, network, output)

    model = to_onnx(actor, observations.shape[1], POLICY_NAMES)
    figures, answers = compare(model, actor, observations, POLICY_NAMES)
    contract = robot_contract(spec, layout) | {
        "network_sha256": network,
        "golden": golden_vectors(observations, answers, POLICY_NAMES),
        "comparison": figures,
        "training": provenance,
        "evaluation": evaluation,
    }
    add_metadata(model, contract, comma_strings(spec, layout, run.resolve().name))

    if discriminator is None:
        _write(output, model, spec)
        return Exported(output, None, figures["max_abs_difference"], None, notes)
    style_model = to_onnx(discriminator, windows.shape[1], STYLE_NAMES)
    style_figures, logits = compare(style_model, discriminator, windows, STYLE_NAMES)
    style = style_contract(spec, frames, str(config["amp"]["reward"])) | {
        "network_sha256": network_sha256(discriminator.state_dict()),
        "policy_sha256": network,
        "golden": golden_vectors(windows, logits, STYLE_NAMES),
        "comparison": style_figures,
        "training": provenance,
    }
    add_metadata(style_model, style, {"run_path": run.resolve().name})
    beside = output.with_name(STYLE_FILE)
    if beside == output:
        raise UserError(
            f"{output} is the name of the discriminator's file. Choose another name for the policy."
        )
    with atomic_write(beside) as temporary:
        onnx.save(style_model, str(temporary))
        OnnxStyle(temporary, spec)
        _write(output, model, spec)
    return Exported(output, beside, figures["max_abs_difference"], style_figures["max_abs_difference"], notes)


def _write(path: Path, model: onnx.ModelProto, spec: RobotSpec) -> None:
    """Write a policy and read it back as the robot will, before it gets its name."""
    with atomic_write(path) as temporary:
        onnx.save(model, str(temporary))
        OnnxPolicy(temporary, spec)


def _config_of(checkpoint: dict[str, Any], run: Path) -> dict[str, Any]:
    lacking = sorted({"config", "layout", "actor", "robot_hash"} - set(checkpoint))
    if lacking:
        raise UserError(
            f"{run / 'checkpoint.pt'} lacks {', '.join(lacking)}: it is not the checkpoint of a policy. "
            "Give a run folder of `wildrobot train`."
        )
    config = checkpoint["config"]
    parsed: dict[str, Any] = json.loads(config) if isinstance(config, str) else dict(config)
    return parsed


def _same_robot(checkpoint: dict[str, Any], spec: RobotSpec, run: Path) -> None:
    if checkpoint["robot_hash"] != spec.robot_hash:
        raise UserError(
            f"{run} was made with another robot description (hash {str(checkpoint['robot_hash'])[:12]}; "
            f"{spec.path} has {spec.robot_hash[:12]}): the contract would be wrong. Give that robot.yaml "
            f"with --robot-file; the commit that holds it stands in {run / 'environment.json'}."
        )
