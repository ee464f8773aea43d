"""Ablation of the motion prior: short training runs that differ in one thing each, same seed and warm start.

Variants: as specified; the former quadratic style reward; the discriminator updated before it rewards; a
kinematic reference (features of the plan) in place of the executed one. The table is written after every
variant.

Further flags go to `wildrobot train`: --num-envs 128 --cloning.updates 500.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildrobot.config import from_dict
from wildrobot.errors import UserError
from wildrobot.files import write_text
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.rotations import heading_split, quat_to_matrix, rotate_heading
from wildrobot.runtime.estimator import Estimate
from wildrobot.runtime.features import compute_features
from wildrobot.runtime.sensor_frame import SensorFrame
from wildrobot.runtime.window import windows_of
from wildrobot.training.amp import AMP
from wildrobot.training.cloning import clone
from wildrobot.training.progress import Bar
from wildrobot.training.reference.build import BuildConfig, plan_clips
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.runner import Runner
from wildrobot.training.setup import TrainConfig, make_runner
from wildrobot.training.tracking import unroll
from wildrobot.training.train import environment_info, parse

VARIANTS: dict[str, dict[str, Any]] = {
    "as specified": {},
    "quadratic reward": {"reward": "quadratic"},
    "D updated before the reward": {"reward_before_update": False},
    "kinematic reference": {},
}
AVERAGED = 10
"""Iterations at either end over which figures are averaged."""


def kinematic_features(spec: RobotSpec, clip: PlannedClip) -> np.ndarray:
    """Features (T, F) of a plan that nobody executed: exact velocities, height and contacts."""
    shape = (len(clip),)
    zero, yes = np.zeros(shape), np.ones(shape, dtype=bool)
    yaw, tilt = heading_split(quat_to_matrix(clip.root_quaternion))
    contacts = clip.contact.astype(np.float64)
    frame = SensorFrame(
        time_s=zero,
        joint_position=clip.joint_position,
        joint_velocity=clip.joint_velocity,
        joint_time_s=np.zeros_like(clip.joint_position),
        joint_valid=np.ones_like(clip.joint_position, dtype=bool),
        imu_quaternion=clip.root_quaternion,
        imu_angular_velocity=np.zeros((*shape, 3)),
        imu_acceleration=np.zeros((*shape, 3)),
        imu_time_s=zero,
        imu_valid=yes,
        foot_contact=contacts,
        foot_time_s=zero,
        foot_valid=yes,
    )
    truth = Estimate(
        linear_velocity=rotate_heading(yaw, clip.root_linear_velocity, inverse=True),
        angular_velocity=rotate_heading(yaw, clip.root_angular_velocity, inverse=True),
        projected_gravity=-tilt[..., 2, :],
        pelvis_rotation=tilt,
        yaw=yaw,
        height=clip.root_position[:, 2],
        contacts=contacts,
    )
    features: np.ndarray = compute_features(frame, truth)
    return features


def accepted_plans(spec: RobotSpec, dataset: ReferenceDataset) -> list[PlannedClip]:
    """The plans of the clips that the reference holds, periodic ones as long as they were executed.

    Raises:
        UserError: the plans cannot be made again from the reference's provenance.
    """
    provenance = dataset.meta.get("provenance")
    config = from_dict(BuildConfig, provenance["config"]) if provenance else BuildConfig()
    names = {entry["name"] for entry in dataset.clips if entry["accepted"]}
    plans = [clip for clip in plan_clips(spec, config)[0] if clip.name in names]
    if len(plans) < len(names):
        raise UserError(
            f"only {len(plans)} of the reference's {len(names)} clips are planned by this version; "
            "build the reference again."
        )
    frames = round(config.track.episode_s * spec.control_hz)
    return [unroll(clip, frames) for clip in plans]


def use_kinematic_reference(
    runner: Runner, spec: RobotSpec, dataset: ReferenceDataset, config: TrainConfig
) -> None:
    """Put a discriminator into `runner` that knows the plans only; its normaliser is fitted to them."""
    windows = []
    for clip in accepted_plans(spec, dataset):
        moving = windows_of(clip.moving[:, None], config.amp.frames).all(axis=-1)
        windows.append(windows_of(kinematic_features(spec, clip), config.amp.frames)[moving])
    windows = [part for part in windows if len(part)]
    order = np.random.default_rng(config.seed).permutation(len(windows))
    held = order[: max(1, round(config.amp.held_out * len(order)))]
    sides = [
        torch.as_tensor(np.concatenate([windows[i] for i in part]), dtype=torch.float32)
        for part in (order[len(held) :], held)
    ]
    torch.manual_seed(config.seed)
    runner.amp = AMP(sides[0], sides[1], config.amp)


def warm_start(spec: RobotSpec, dataset: ReferenceDataset, config: TrainConfig) -> dict[str, Any]:
    """The actor's state with which every variant begins: as `wildrobot train` would begin."""
    runner = make_runner(spec, config, dataset)
    actor = runner.ppo.actor
    if config.cloning.updates:
        said = clone(spec, dataset, actor, runner.env.layout, config.cloning, config.seed)
        print(said, file=sys.stderr)
    return copy.deepcopy(actor.state_dict())


def mean(history: list[dict[str, Any]], name: str) -> float | None:
    """Mean of a figure over some iterations, of those that have it."""
    values = [entry[name] for entry in history if math.isfinite(entry.get(name, math.nan))]
    return float(np.mean(values)) if values else None


def table_row(name: str, history: list[dict[str, Any]]) -> dict[str, Any]:
    """What one variant came to; `style reward` is in the variant's own currency, D is comparable."""
    first, last = history[:AVERAGED], history[-AVERAGED:]
    top = next((entry["auc_top"] for entry in reversed(history) if "auc_top" in entry), [])
    return {
        "variant": name,
        "disc_acc": mean(last, "disc_acc_heldout"),
        "d_real": mean(last, "disc_real_mean"),
        "d_fake_begin": mean(first, "disc_fake_mean"),
        "d_fake": mean(last, "disc_fake_mean"),
        "style_reward_begin": mean(first, "style_reward_mean"),
        "style_reward_begin_std": mean(first, "style_reward_std"),
        "style_reward_end": mean(last, "style_reward_mean"),
        "style_reward_end_std": mean(last, "style_reward_std"),
        "speed_error": mean(last, "speed_error"),
        "falls_per_1000_steps": mean(last, "falls_per_1000_steps"),
        "top_auc": ", ".join(f"{feature} {area:.2f}" for feature, area in top[:3]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, default=Path("runs/reference/reference.npz"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path("policies/ablation.json"))
    arguments, rest = parser.parse_known_args()
    config = parse(["--preset", arguments.preset, "--reference", str(arguments.reference), *rest])
    if config.threads:
        torch.set_num_threads(config.threads)
    spec = load_robot(config.robot)
    dataset = ReferenceDataset.load(config.reference, spec)
    result: dict[str, Any] = {
        "note": (
            f"{arguments.iterations} iterations each of preset {arguments.preset}, one seed and warm start; "
            f"means over the last {AVERAGED} iterations (begin: the first), before each update. disc_acc is "
            "on held-out windows of the variant's own reference; the style reward is in the variant's own "
            "currency, D is comparable."
        ),
        "rows": [],
        "iterations": arguments.iterations,
        "seed": config.seed,
        "num_envs": config.num_envs,
        "reference_sha256": hashlib.sha256(config.reference.read_bytes()).hexdigest(),
        "environment": environment_info(),
    }
    warm = warm_start(spec, dataset, config)
    with Bar("ablation", len(VARIANTS) * arguments.iterations) as bar:
        for name, changes in VARIANTS.items():
            variant = dataclasses.replace(config, amp=dataclasses.replace(config.amp, **changes))
            runner = make_runner(spec, variant, dataset)
            if name == "kinematic reference":
                use_kinematic_reference(runner, spec, dataset, variant)
            runner.ppo.actor.load_state_dict(warm)
            runner.start()
            history: list[dict[str, Any]] = []
            for _ in range(arguments.iterations):
                history.append(runner.iterate())
                last = history[-1]
                bar.advance(
                    f"{name}: disc_acc {last['disc_acc_heldout']:.2f}  style {last['style_reward_mean']:.2f}"
                )
            result["rows"].append(table_row(name, history))
            write_text(arguments.output, json.dumps(result, indent=1) + "\n")
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
