"""Networks to ONNX graphs, and the numeric comparison that every file must pass before it is written."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.parametrize import remove_parametrizations

from wildrobot.core.errors import UserError
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.features import FeatureWindow, num_features
from wildrobot.signal_path.observation import Layout
from wildrobot.signal_path.path import SignalPath
from wildrobot.signal_path.policy import open_session
from wildrobot.simulation.randomization.config import FULL
from wildrobot.simulation.simulation import Simulation
from wildrobot.training.rl.networks import Discriminator, SymmetricActor

Floats = NDArray[np.float32]

OPSET = 17
TOLERANCE = 1e-5
"""Largest difference between torch and ONNX Runtime with which a file is written."""
ROLLOUT_ENVS = 50
ROLLOUT_SAMPLES = 20
"""Observations taken of each environment."""
ROLLOUT_STRIDE = 5
"""Ticks between them: 2 s of every robot's walk."""


def to_onnx(module: nn.Module, size: int, names: tuple[str, str]) -> onnx.ModelProto:
    """ONNX model of a module with one input (batch, size) and one output; `names` are theirs."""
    buffer = io.BytesIO()
    module.eval()
    with warnings.catch_warnings():
        # Tracing gives the small graph of plain operators in a second; torch.export takes half a minute.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(2, size),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    model = onnx.load_from_string(buffer.getvalue())
    model.producer_name = "wildrobot"
    onnx.checker.check_model(model, full_check=True)
    return model


def compare(
    model: onnx.ModelProto, module: nn.Module, inputs: Floats, names: tuple[str, str]
) -> tuple[dict[str, Any], Floats]:
    """Torch against ONNX Runtime on inputs (k, D), as one batch and row by row as on the robot.

    Returns figures for the contract, and torch's answers (k, ...).

    Raises:
        UserError: an answer is not finite, or they differ by more than `TOLERANCE`.
    """
    with torch.no_grad():
        wanted = module(torch.as_tensor(inputs)).numpy()
    session = open_session(model.SerializeToString())
    batch = session.run([names[1]], {names[0]: inputs})[0]
    rows = np.concatenate([session.run([names[1]], {names[0]: row[None]})[0] for row in inputs])
    if not np.all(np.isfinite(wanted)):
        raise UserError(
            f"{np.count_nonzero(~np.isfinite(wanted))} values of '{names[1]}' are NaN or infinite "
            "on the network's own rollouts. The training diverged: export an older checkpoint or train again."
        )
    difference = np.maximum(np.abs(batch - wanted), np.abs(rows - wanted)).astype(np.float64)
    figures = {
        "samples": len(inputs),
        "max_abs_difference": float(np.max(difference)),
        "mean_abs_difference": float(np.mean(difference)),
        "tolerance": TOLERANCE,
        "opset": OPSET,
    }
    if not figures["max_abs_difference"] <= TOLERANCE:  # also true of NaN
        raise UserError(
            f"ONNX Runtime and torch differ by {figures['max_abs_difference']:.3g} in '{names[1]}' on "
            f"{len(inputs)} inputs from real rollouts, allowed {TOLERANCE:g}. Nothing was written; this is a "
            "defect of the exporter or of the installed torch or onnxruntime: try other versions of them."
        )
    return figures, wanted


def rollout(
    spec: RobotSpec,
    layout: Layout,
    actor: Callable[[torch.Tensor], torch.Tensor],
    frames: int,
    seed: int = 0,
    threads: int = 0,
) -> tuple[Floats, Floats]:
    """Observations (k, D) and feature windows (k, frames * F) of the walking policy, by the runtime's path.

    Robots differ, their sensors are noisy, they are pushed, and their commands cover the command ranges,
    standing included.
    """
    sim = Simulation(spec, ROLLOUT_ENVS, seed, FULL, threads)
    path, memory = SignalPath(spec, layout), FeatureWindow(frames)
    share = np.linspace(0.0, 1.0, ROLLOUT_ENVS)
    command = np.zeros((ROLLOUT_ENVS, 2))
    command[:, 0] = np.interp(share, [0.1, 1.0], spec.command.linear_velocity_x)
    turning = np.arange(ROLLOUT_ENVS) % 3 == 1
    command[turning, 1] = np.interp(share[turning], [0.0, 1.0], spec.command.yaw_rate)
    observations, windows = [], []
    fresh = np.ones(ROLLOUT_ENVS, dtype=bool)
    path.reset(sim.frame())
    for tick in range(ROLLOUT_SAMPLES * ROLLOUT_STRIDE):
        signal = path.observe(sim.frame(), command)
        window, _ = memory.push(signal.features, fresh)
        fresh = np.zeros(ROLLOUT_ENVS, dtype=bool)
        if tick % ROLLOUT_STRIDE == ROLLOUT_STRIDE - 1:
            observations.append(signal.observation)
            windows.append(window.astype(np.float32))
        with torch.no_grad():
            action = actor(torch.as_tensor(signal.observation)).numpy()
        sim.step(path.act(np.nan_to_num(action)))
    return np.concatenate(observations), np.concatenate(windows)


def load_networks(
    spec: RobotSpec, layout: Layout, checkpoint: dict[str, Any], config: dict[str, Any]
) -> tuple[SymmetricActor, Discriminator | None]:
    """Actor and, where the run trained one, discriminator, with the checkpoint's parameters.

    Raises:
        UserError: the parameters do not fit the networks that the run's configuration describes.
    """
    try:
        actor = SymmetricActor(spec, layout, config["hidden"])
        actor.load_state_dict(checkpoint["actor"])
        discriminator = None
        if checkpoint.get("discriminator"):
            amp = config["amp"]
            discriminator = Discriminator(amp["frames"] * num_features(spec), amp["hidden"], amp["norm"])
            discriminator.load_state_dict(checkpoint["discriminator"])
    except (KeyError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the checkpoint does not fit the networks of its own configuration ({type(error).__name__}: "
            f"{reason}). It was written by another release: export it with that one, or train again."
        ) from error
    return actor.eval(), None if discriminator is None else _plain(discriminator)


def _plain(discriminator: Discriminator) -> Discriminator:
    """The same one, to be looked at only: spectral norm, which ONNX does not know, has done its work on the weights."""
    discriminator.eval()
    for part in list(discriminator.modules()):
        for name in list(getattr(part, "parametrizations", ())):
            remove_parametrizations(part, name, leave_parametrized=True)
    return discriminator
