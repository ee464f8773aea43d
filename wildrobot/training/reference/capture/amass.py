"""Motion capture from AMASS `.npz` files (N. Mahmood et al., "AMASS: Archive of Motion Capture as Surface
Shapes", ICCV 2019).

A file holds joint rotations of the SMPL-H body but not the body's bones: those are in the SMPL model files,
which may not be redistributed. Here limb *directions* come from the file's rotations applied to an
approximate neutral skeleton of an adult of 1.7 m, with lengths rounded from anthropometric proportions (D. A.
Winter, Biomechanics and Motor Control of Human Movement, ch. 4). The shape parameters (`betas`), hands and
soft tissue are not used. Retargeting uses directions and the leg-length ratio, so the step lengths are those
of that skeleton.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wildrobot.core.errors import UserError
from wildrobot.core.rotations import quat_from_rotvec, quat_to_matrix
from wildrobot.training.reference.capture.human_motion import HumanMotion, forward_kinematics, unreadable

Array = NDArray[np.float64]
_FRAME_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")
# Joint, parent, and offset from the parent in the rest pose (m): x to the left, y up, z forward.
_SKELETON: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("pelvis", -1, (0.0, 0.0, 0.0)),
    ("left_hip", 0, (0.09, -0.09, 0.0)),
    ("right_hip", 0, (-0.09, -0.09, 0.0)),
    ("spine1", 0, (0.0, 0.11, -0.02)),
    ("left_knee", 1, (0.01, -0.40, 0.0)),
    ("right_knee", 2, (-0.01, -0.40, 0.0)),
    ("spine2", 3, (0.0, 0.14, 0.0)),
    ("left_ankle", 4, (0.0, -0.41, -0.03)),
    ("right_ankle", 5, (0.0, -0.41, -0.03)),
    ("spine3", 6, (0.0, 0.06, 0.0)),
    ("left_foot", 7, (0.02, -0.06, 0.13)),
    ("right_foot", 8, (-0.02, -0.06, 0.13)),
    ("neck", 9, (0.0, 0.21, -0.03)),
    ("left_collar", 9, (0.07, 0.12, -0.02)),
    ("right_collar", 9, (-0.07, 0.12, -0.02)),
    ("head", 12, (0.0, 0.09, 0.05)),
    ("left_shoulder", 13, (0.10, 0.04, -0.01)),
    ("right_shoulder", 14, (-0.10, 0.04, -0.01)),
    ("left_elbow", 16, (0.26, 0.0, -0.01)),
    ("right_elbow", 17, (-0.26, 0.0, -0.01)),
    ("left_wrist", 18, (0.25, 0.0, 0.0)),
    ("right_wrist", 19, (-0.25, 0.0, 0.0)),
)
SMPL_JOINTS = tuple(name for name, _, _ in _SKELETON)
"""The first 22 joints of SMPL, SMPL-H and SMPL-X, in the order of `poses`."""


def load_amass(path: str | Path) -> HumanMotion:
    """Read an AMASS file: `poses` (T, 66 or more) axis-angle in rad, `trans` (T, 3) m, frame rate; z is up.

    Raises:
        UserError: the file or one of its arrays is missing, of another shape or not finite.
    """
    path = Path(path)
    try:
        archive = np.load(path, allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error, "an AMASS .npz file") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a whole .npz file ({error}); download it again.") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise UserError(f"{path} holds a single array, expected an AMASS .npz archive with 'poses'.")
    with archive as data:
        poses = _array(path, data, "poses")
        trans = _array(path, data, "trans")
        rate_key = next((key for key in _FRAME_RATE_KEYS if key in data.files), _FRAME_RATE_KEYS[0])
        fps = float(_array(path, data, rate_key).reshape(-1)[0])
    count = len(SMPL_JOINTS)
    if poses.ndim != 2 or poses.shape[1] < 3 * count:
        raise UserError(
            f"{path}: 'poses' is {poses.shape}, expected (frames, {3 * count} or more): axis-angle of "
            f"{count} body joints. Use an AMASS motion of the SMPL-H or SMPL-X body."
        )
    if trans.shape != (len(poses), 3):
        raise UserError(
            f"{path}: 'trans' is {trans.shape}, expected ({len(poses)}, 3) like the frames of 'poses'."
        )
    local = quat_to_matrix(quat_from_rotvec(poses[:, : 3 * count].reshape(len(poses), count, 3)))
    parents = tuple(parent for _, parent, _ in _SKELETON)
    offsets = np.array([offset for _, _, offset in _SKELETON])
    positions, rotations = forward_kinematics(parents, offsets, local, trans)
    motion = HumanMotion(fps, SMPL_JOINTS, parents, positions, rotations, str(path), up=2)
    motion.check()
    return motion


def _array(path: Path, data: np.lib.npyio.NpzFile, key: str) -> Array:
    if key not in data.files:
        raise UserError(
            f"{path} has no array '{key}'; it holds: {', '.join(sorted(data.files)) or 'nothing'}. "
            "Expected an AMASS motion file (SMPL-H or SMPL-X) with 'poses', 'trans' and 'mocap_framerate'."
        )
    try:
        values = np.asarray(data[key], dtype=np.float64)
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: '{key}' cannot be read as numbers ({error}); download the file again."
        ) from error
    if values.size == 0 or not np.all(np.isfinite(values)):
        raise UserError(f"{path}: '{key}' is empty or not finite; cut those frames out or use another file.")
    return values
