"""`wildrobot reference build`: plan, execute, judge and store the reference motion."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console

from wildrobot.core.config import to_dict
from wildrobot.core.errors import UserError, run_main
from wildrobot.core.files import alone_with, write_text
from wildrobot.robot_description import RobotSpec, load_robot
from wildrobot.training.preset import apply_preset
from wildrobot.training.reference.capture.scaling import RetargetConfig
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.reference.execute.record import record
from wildrobot.training.reference.execute.track import TrackConfig, train_tracker
from wildrobot.training.reference.plan.gait import GaitLibraryConfig, build_gait_library
from wildrobot.training.rl.device import Device

EPILOG = """examples:
  wildrobot reference build                                  # the generated gait library
  wildrobot reference build --bvh walk.bvh --output runs/walk/reference.npz
  wildrobot reference show runs/reference/reference.npz --video reference.mp4"""


EXAMPLES = """examples:
  wildrobot reference build --preset quick
  wildrobot reference build --bvh walk.bvh --output runs/walk/reference.npz
  wildrobot reference build --robot-file mine/robot.yaml --preset mine/preset.yaml"""


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
    robot: Annotated[Path | None, tyro.conf.arg(name="robot-file", metavar="FILE")] = None
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
        from wildrobot.training.reference.capture.amass import load_amass
        from wildrobot.training.reference.capture.bvh import load_bvh
        from wildrobot.training.reference.capture.retarget import retarget

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


def build(config: BuildConfig) -> ReferenceDataset:
    """Build and store the reference; returns it."""
    console = Console(stderr=True)
    spec = load_robot(config.robot)
    clips, rejected = plan_clips(spec, config)
    console.print(
        f"{len(clips)} planned clips, {len(rejected)} segments left out; executing them in simulation"
    )
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
    console.print(
        f"{accepted} of {len(dataset.clips)} clips accepted, {summary['frames']} frames -> {config.output}"
    )
    for entry in dataset.clips:
        if not entry["accepted"]:
            console.print(f"  rejected {entry['name']}: {entry['reason']}")
    return dataset


def _main(argv: Sequence[str]) -> int:
    argv = list(argv)
    base = BuildConfig()
    for i, item in enumerate(argv):
        if item == "--preset" and i + 1 < len(argv):
            base = apply_preset(base, argv[i + 1], "reference")
            del argv[i : i + 2]
            break
    config = tyro.cli(
        BuildConfig,
        prog="wildrobot reference build",
        args=argv,
        default=base,
        description=f"{BuildConfig.__doc__}\n\n{EXAMPLES}",
    )
    with alone_with(config.output):
        build(config)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `wildrobot reference build`."""
    return run_main(_main, argv)
