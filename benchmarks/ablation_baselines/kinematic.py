"""Features of plans that nobody executed, to show what an ideal reference does to the discriminator."""

from __future__ import annotations

import numpy as np

from wildrobot.core.config import from_dict
from wildrobot.core.errors import UserError
from wildrobot.core.rotations import heading_split, quat_to_matrix, rotate_heading
from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.estimator import Estimate
from wildrobot.signal_path.features import compute_features, windows_of
from wildrobot.signal_path.sensor_frame import SensorFrame
from wildrobot.training.reference.build import BuildConfig, plan_clips
from wildrobot.training.reference.clip import PlannedClip
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.tasks.clip_library import unroll


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
    return np.asarray(compute_features(frame, truth))


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


def kinematic_windows(spec: RobotSpec, dataset: ReferenceDataset, frames: int) -> list[np.ndarray]:
    """For each accepted plan that moves, its windows (k, frames * F) of commanded walking."""
    windows = []
    for clip in accepted_plans(spec, dataset):
        moving = windows_of(clip.moving[:, None], frames).all(axis=-1)
        windows.append(windows_of(kinematic_features(spec, clip), frames)[moving])
    return [part for part in windows if len(part)]
