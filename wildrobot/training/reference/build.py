"""The reference motion: planned, executed in simulation, judged and stored."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wildrobot.core.config import to_dict
from wildrobot.core.errors import UserError
from wildrobot.core.files import alone_with, write_text
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.training.reference.capture.amass import load_amass
from wildrobot.training.reference.capture.bvh import load_bvh
from wildrobot.training.reference.capture.retarget import retarget
from wildrobot.training.reference.capture.scaling import RetargetConfig
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.reference.execute.record import record
from wildrobot.training.reference.execute.track import TrackConfig, train_tracker
from wildrobot.training.reference.plan.gait import GaitLibraryConfig, build_gait_library
from wildrobot.training.rl.device import Device


@dataclass(frozen=True)
class BuildConfig:
    """Plan motions (generated gaits, or motion capture), execute them in simulation, keep what passes."""

    output: Path = Path("runs/reference/reference.npz")
    """Where the reference goes; the tracker's checkpoint is kept beside it, so that an interrupted build resumes."""
    bvh: tuple[Path, ...] = ()
    """BVH motion capture files to retarget instead of the generated library."""
    amass: tuple[Path, ...] = ()
    """AMASS .npz files to retarget instead of the generated library."""
    with_library: bool = False
    """Add the generated library to the motion capture."""
    max_joint_rate: float = 6.5
    """Planned clips with a faster joint (rad/s) are left out before tracking: the servos cannot execute them."""
    seed: int = 0
    device: Device = "auto"
    """Where the tracker learns. auto: on a GPU if there is one."""
    robot: Path | None = None
    """robot.yaml of another robot."""
    gaits: GaitLibraryConfig = field(default_factory=GaitLibraryConfig)
    retarget: RetargetConfig = field(default_factory=RetargetConfig)
    """How motion capture becomes the robot's."""
    track: TrackConfig = field(default_factory=TrackConfig)


def plan_clips(spec: RobotSpec, config: BuildConfig) -> tuple[list[PlannedClip], list[dict[str, Any]]]:
    """The planned clips and the rejected segments of motion capture, as table entries."""
    clips: list[PlannedClip] = []
    rejected: list[dict[str, Any]] = []
    if config.bvh or config.amass:
        for loader, paths in ((load_bvh, config.bvh), (load_amass, config.amass)):
            for path in paths:
                found, failed = retarget(spec, loader(path), config.retarget)
                clips += found
                rejected += [
                    _rejected(item.name, str(path), item.figure, item.value, item.limit) for item in failed
                ]
        if not clips:
            reasons = "; ".join(f"{entry['name']}: {entry['reason']}" for entry in rejected)
            raise UserError(f"no usable segment in the motion capture: {reasons or 'nothing found'}.")
    if not clips or config.with_library:
        clips += build_gait_library(spec, config.gaits)
    slow = []
    for clip in clips:
        rate = float(np.max(np.abs(clip.joint_velocity)))
        if rate <= config.max_joint_rate:
            slow.append(clip)
        else:
            rejected.append(
                _rejected(clip.name, clip.source, "planned joint rate (rad/s)", rate, config.max_joint_rate)
            )
    if not slow:
        raise UserError(
            f"all {len(clips)} planned clips move a joint faster than {config.max_joint_rate} rad/s; slow them down."
        )
    return slow, rejected


def _rejected(name: str, source: str, figure: str, value: float, limit: float) -> dict[str, Any]:
    return {
        "name": name, "source": source, "frames": 0, "loop": False, "command": [0.0, 0.0], "accepted": False,
        "figures": {figure: value}, "reason": f"{figure} {value:.4g} against a limit of {limit:.4g}",
    }  # fmt: skip


def build(config: BuildConfig, say: Callable[[str], None] = lambda text: None) -> ReferenceDataset:
    """Build and store the reference; returns it. `say` is told what is being done, a sentence at a time.

    Raises:
        UserError: nothing usable was planned, another process is at it, or the folder cannot be written to.
    """
    with alone_with(config.output):
        return _build(config, say)


def _build(config: BuildConfig, say: Callable[[str], None]) -> ReferenceDataset:
    spec = load_robot(config.robot)
    clips, rejected = plan_clips(spec, config)
    say(f"{len(clips)} planned clips, {len(rejected)} segments left out; executing them in simulation")
    began = time.time()
    checkpoint = config.output.with_suffix(".tracker.pt")
    actor = train_tracker(spec, clips, config.track, config.seed, checkpoint, config.device)
    dataset = record(spec, clips, actor, config.track, config.seed)
    dataset.meta["clips"] += rejected
    dataset.meta["provenance"] = {
        "seed": config.seed,
        "config": to_dict(config),
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "build_s": round(time.time() - began, 1),
        "machine": platform.machine(),
    }
    dataset.save(config.output)
    accepted = sum(entry["accepted"] for entry in dataset.clips)
    summary = {"clips": len(dataset.clips), "accepted": accepted, "rollouts": dataset.num_rollouts,
               "frames": len(dataset.features)}  # fmt: skip
    write_text(
        config.output.with_suffix(".json"), json.dumps(summary | {"table": dataset.clips}, indent=1) + "\n"
    )
    say(f"{accepted} of {len(dataset.clips)} clips accepted, {summary['frames']} frames -> {config.output}")
    for entry in dataset.clips:
        if not entry["accepted"]:
            say(f"  rejected {entry['name']}: {entry['reason']}")
    return dataset
